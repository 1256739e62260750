"""Credit for an answer: Shapley's values against his definition, and a rule that names few."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.tasks import credit
from mien.types import Problem, TaskSpec

ONE = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("calm", "glad", "sad"))
MANY = TaskSpec(name="au", problem=Problem.MANY_OF_N, labels=("AU1", "AU2"), threshold=0.4)
VALUE = TaskSpec(
    name="affect", problem=Problem.REGRESSION, labels=("valence",), ranges=((-1.0, 1.0),)
)


def by_orders(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """The definition: what each source adds when all come in one order, over all orders."""
    count = int(math.log2(len(margins)))
    found = np.zeros(count)
    orders = list(itertools.permutations(range(count)))
    for order in orders:
        there = 0
        for source in order:
            found[source] += margins[there | 1 << source] - margins[there]
            there |= 1 << source
    return found / len(orders)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_shapley_values_are_means_over_all_orders(count: int) -> None:
    margins = np.random.default_rng(count).normal(size=2**count)
    found = credit.shapley(margins)
    np.testing.assert_allclose(found, by_orders(margins), atol=1e-12)
    assert found.sum() == pytest.approx(margins[-1] - margins[0])


def test_what_only_adds_gets_what_it_adds_and_what_changes_nothing_gets_nothing() -> None:
    worth = np.array([2.0, -0.5, 0.0])
    margins = np.array([sum(worth[i] for i in range(3) if s >> i & 1) + 7 for s in range(8)])
    np.testing.assert_allclose(credit.shapley(margins), worth, atol=1e-12)


def test_margins_are_log_odds_against_the_best_rival() -> None:
    scores = np.array([[0.1, 0.6, 0.3], [np.nan, np.nan, np.nan]])
    found = credit.margin(ONE, scores, 1)
    assert found.tolist() == pytest.approx([math.log(0.6 / 0.3), 0.0])
    logits = math.log(0.7 / 0.3) - math.log(0.4 / 0.6)
    assert credit.margin(MANY, np.array([0.7, 0.1]), 0) == pytest.approx(logits)
    assert credit.margin(VALUE, np.array([-0.4]), 0) == pytest.approx(-0.4)
    assert np.isfinite(credit.margin(ONE, np.array([0.0, 1.0, 0.0]), 1))


def test_an_answer_names_the_best_all_that_are_there_or_every_dimension() -> None:
    assert credit.answered(ONE, np.array([0.1, 0.6, 0.3])) == [1]
    assert credit.answered(MANY, np.array([0.5, 0.39])) == [0]
    assert credit.answered(VALUE, np.array([-0.4])) == [0]


@pytest.mark.parametrize(
    ("margins", "verdict", "source"),
    [  # of nothing, a, b, both
        ([0.0, 3.0, -2.0, 2.0], "one", 0),
        ([0.0, -2.0, 3.0, 2.0], "one", 1),
        ([0.0, 3.0, -0.1, 2.9], "one", 0),
        ([0.0, 3.0, 0.1, 3.1], "one", 0),  # a hundredth of a vote is none
        ([0.0, 3.0, 2.0, 5.0], "agree", -1),
        ([0.0, 3.0, 3.0, 3.0], "agree", -1),
        ([0.0, 0.6, -0.5, 2.0], "unclear", -1),  # alone it gives less than half
        ([0.0, 3.0, 0.75, 3.75], "agree", -1),
        ([0.0, -0.5, -0.5, 1.0], "together", -1),
        ([1.0, 0.8, 0.9, 0.7], "nothing", -1),
        ([0.0, 0.0, 0.0, 0.0], "nothing", -1),
    ],
)
def test_one_is_named_that_is_needed_and_enough(
    margins: list[float], verdict: str, source: int
) -> None:
    assert credit.judge(ONE, np.array(margins), 0, least=0.8) == (verdict, source)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_who_is_named_does_not_depend_on_how_sure_the_answer_is(scale: float) -> None:
    margins = scale * np.array([0.0, 3.0, 0.45, 3.4])
    assert credit.judge(ONE, margins, 0, least=0.8) == ("one", 0)
    assert credit.judge(ONE, margins, 0, least=0.9).source == -1


def test_who_is_alone_is_not_compared() -> None:
    assert credit.judge(ONE, np.array([0.0, 2.0]), 0) == ("only", 0)


def test_of_three_of_which_two_repeat_each_other_nobody_is_needed() -> None:
    # a and b each say it, c does not: without a there is b.
    margins = np.array([0, 2, 2, 4, -1, 1, 1, 3.0])
    assert credit.judge(ONE, margins, 0)[0] == "agree"
    # a says it, and so do b and c together, neither of them alone.
    margins = np.array([0, 2, -1, 2, -1, 2, 1, 3.0])
    assert credit.judge(ONE, margins, 0)[0] == "agree"
    # Only a says it.
    margins = np.array([0, 2, -0.1, 2, -0.1, 2, -0.2, 2.0])
    assert credit.judge(ONE, margins, 0) == ("one", 0)


def test_who_adds_less_than_another_is_not_named_whatever_hangs_on_moments() -> None:
    margins = np.array([0, 2, 3, 5.0])
    assert credit.judge(ONE, margins, 0, hangs=np.array([0.9, 0.0]))[0] == "agree"
    assert credit.judge(ONE, margins, 0, hangs=np.array([0.0, 0.9])) == ("one", 1)


@pytest.mark.parametrize(
    ("values", "verdict", "source"),
    [
        ([0.1, 0.9, 0.1, 0.9], "one", 0),  # it goes all of the way
        ([0.1, -0.7, 0.1, -0.7], "one", 0),  # whichever way that is
        ([0.1, 0.7, 0.7, 0.9], "agree", -1),
        ([0.1, 0.4, 0.4, 0.9], "together", -1),
        ([0.1, 0.5, 0.1, 0.12], "nothing", -1),  # no way at all
    ],
)
def test_a_value_is_carried_by_who_moves_it_away_from_that_of_nothing(
    values: list[float], verdict: str, source: int
) -> None:
    assert credit.judge(VALUE, np.array(values), 0) == (verdict, source)


def test_an_answer_hangs_on_moments_only_where_they_take_much_of_it() -> None:
    drops, apart = np.array([0.1, 4.0, 3.0, 0.1]), np.array([[0.1, 4.0, 3.0, 0.1], [0, 1, 0.4, 9]])
    found = credit.moments(8.0, drops, apart)
    assert found is not None
    assert found.tolist() == pytest.approx([1 - 1.4 / 7, 0.0]), "of the strong ones only"
    assert credit.moments(80.0, drops, apart) is None
    assert credit.moments(8.0, -drops, apart) is None
    assert credit.moments(8.0, drops, apart[:1]) is None, "one is not compared"
    assert credit.moments(8.0, drops[:0], apart[:, :0]) is None
    assert credit.judge(ONE, np.array([0.0, 5, 3, 8]), 0, 0.75, found) == ("one", 0)
    assert credit.judge(ONE, np.array([0.0, 5, 3, 8]), 0, 0.9, found).source == -1


def test_calibration_leaves_hardly_anybody_named_where_both_agree() -> None:
    random = np.random.default_rng(0)
    strengths = random.normal(0.5, 0.2, 200).tolist()
    found = credit.calibrate(strengths, 0.05)
    assert found.named == sum(s >= found.least for s in strengths) <= 10
    assert found.clips == 200
    assert found.high > found.named / 200
    assert credit.calibrate([0.2, 0.1, 0.3]).least == 0.5, "nobody is near"
    assert credit.calibrate([]).least == credit.LEAST
    assert credit.calibrate([]).high == 1.0
