"""Differences of two models, exchange tests and McNemar's against scipy and closed forms."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, permutation_test

from mien.errors import ConfigError, DataError
from mien.tasks.metrics import Agreement, Calibration, Confusion, Detection, Statistic, score
from mien.tasks.paired import Pair, holm, mcnemar

LABELS = ("a", "b", "c")
ACCURACY = [Confusion(LABELS)]
Floats = NDArray[np.float64]


def answers(rng: np.random.Generator, right: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Floats]:
    """Targets, and predictions that are right where told."""
    targets = rng.integers(0, 3, len(right))
    return targets, np.eye(3)[np.where(right, targets, (targets + 1) % 3)]


def by_hand(
    statistics: Sequence[Statistic], targets: Any, a: Any, b: Any, groups: NDArray[np.int64]
) -> dict[str, float]:
    """p of every way to exchange groups, scored from the answers themselves."""
    count = groups.max() + 1

    def apart(swapped: NDArray[np.bool_]) -> dict[str, float]:
        inside = swapped[groups][:, None]
        first = score(statistics, targets, np.where(inside, b, a))
        second = score(statistics, targets, np.where(inside, a, b))
        return {name: abs(first[name] - second.get(name, np.nan)) for name in first}

    seen = apart(np.zeros(count, dtype=bool))
    ways = [apart(np.array(way)) for way in itertools.product([False, True], repeat=int(count))]
    return {
        name: float(np.mean([not way.get(name, np.inf) < value - 1e-9 for way in ways]))
        for name, value in seen.items()
        if not np.isnan(value)
    }


# Exchange tests


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("kind", ["classes", "labels", "values"])
def test_every_way_is_tried_where_there_are_few_groups(kind: str, offset: float) -> None:
    rng = np.random.default_rng(3)
    groups = rng.integers(0, 6, 60)
    statistics: list[Statistic] = [Confusion(LABELS), Calibration(3)]
    targets: NDArray[Any] = rng.integers(0, 3, 60)
    a, b = rng.dirichlet(np.ones(3), 60), rng.dirichlet(np.ones(3), 60)
    if kind == "labels":
        statistics, targets = [Detection(LABELS)], rng.integers(0, 2, (60, 3))
    elif kind == "values":
        # Models with other means: their sums must not be exchanged about different origins.
        statistics, targets = [Agreement(LABELS)], rng.normal(size=(60, 3)) + offset
        a, b = targets + a + offset / 10, targets + 3 * b
    found = Pair(statistics, targets, a, b, groups=[f"g{i}" for i in groups]).exchange()
    expected = by_hand(statistics, targets, a, b, groups)
    assert {name: test.p for name, test in found.items()} == pytest.approx(expected)
    one = found[next(iter(expected))]
    assert (one.method, one.over, one.units, one.ways) == ("exact", "groups", 6, 32)


def test_of_a_mean_it_is_the_sign_flip_test_of_scipy() -> None:
    rng = np.random.default_rng(4)
    targets = rng.normal(size=(9, 1))
    a, b = targets + rng.normal(size=(9, 1)), targets + 1.5 * rng.normal(size=(9, 1))
    found = Pair([Agreement(("x",))], targets, a, b).exchange()["mae"]
    off = np.abs(targets - a).ravel(), np.abs(targets - b).ravel()
    wanted = permutation_test(
        off, lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", vectorized=True
    )
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.difference == pytest.approx(wanted.statistic)
    assert (found.over, found.ways) == ("clips", 256)


def test_random_ways_come_close_to_scipys_for_a_score_that_is_no_mean() -> None:
    rng = np.random.default_rng(5)
    speakers = np.repeat(np.arange(40), 8)
    targets, b = answers(rng, rng.random(320) < 0.55)
    _, a = targets, np.eye(3)[np.where(rng.random(320) < 0.62, targets, (targets + 1) % 3)]
    found = Pair(ACCURACY, targets, a, b, groups=[str(s) for s in speakers]).exchange()["uar"]
    tables = [ACCURACY[0].totals(targets, said, speakers.astype(np.int64), 40) for said in (a, b)]
    stacked = np.concatenate(tables)

    def apart(x: NDArray[np.int64], y: NDArray[np.int64]) -> float:
        one, two = (float(ACCURACY[0].scores(stacked[i].sum(0))["uar"]) for i in (x, y))
        return one - two

    wanted = permutation_test(
        (np.arange(40), np.arange(40) + 40),
        apart,
        permutation_type="samples",
        vectorized=False,
        n_resamples=1500,
        rng=np.random.default_rng(0),
    )
    assert (found.method, found.units, found.ways) == ("monte carlo", 40, 9999)
    assert found.difference == pytest.approx(wanted.statistic)
    assert found.p == pytest.approx(wanted.pvalue, abs=4 * np.sqrt(0.25 / 1500))


def test_models_that_are_alike_are_seldom_found_apart() -> None:
    rng = np.random.default_rng(6)
    speakers = [str(i // 8) for i in range(96)]
    chances = []
    for _ in range(200):
        easy = rng.random(12)[np.arange(96) // 8]
        targets, a = answers(rng, rng.random(96) < easy)
        b = np.eye(3)[np.where(rng.random(96) < easy, targets, (targets + 1) % 3)]
        chances.append(Pair(ACCURACY, targets, a, b, groups=speakers).exchange()["war"].p)
    assert 0.01 <= np.mean(np.array(chances) <= 0.05) <= 0.09  # exact tests err at most so often
    assert np.mean(np.array(chances) <= 0.5) == pytest.approx(0.5, abs=0.12)


def test_a_model_is_not_apart_from_itself() -> None:
    targets, a = answers(np.random.default_rng(7), np.arange(30) % 3 > 0)
    pair = Pair(ACCURACY, targets, a, a)
    assert {(test.p, test.difference) for test in pair.exchange().values()} == {(1.0, 0.0)}
    found = pair.difference(resamples=100)
    assert {(i.value, i.low, i.high) for i in found.values()} == {(0.0, 0.0, 0.0)}


def test_units_that_do_not_differ_leave_the_test_exact() -> None:
    rng = np.random.default_rng(8)
    targets, a = answers(rng, rng.random(500) < 0.6)
    b = a.copy()
    b[:5] = np.eye(3)[(targets[:5] + 2) % 3]
    a[:5] = np.eye(3)[targets[:5]]
    found = Pair(ACCURACY, targets, a, b).exchange()["war"]
    assert (found.method, found.units, found.ways) == ("exact", 500, 16)
    assert found.p == pytest.approx(2 / 2**5)  # all five for one model: a sign test


def test_the_seed_decides_and_p_is_never_0() -> None:
    targets, a = answers(np.random.default_rng(9), np.ones(60, dtype=bool))
    b = np.eye(3)[(targets + 1) % 3]
    pair = Pair(ACCURACY, targets, a, b)
    assert pair.exchange(draws=99)["war"].p == 1 / 100
    b[::2] = a[::2]
    b[1::4] = a[1::4]
    pair = Pair(ACCURACY, targets, b, a)
    assert pair.exchange(draws=50, seed=1) == pair.exchange(draws=50, seed=1)
    json.dumps(pair.exchange(draws=50)["uar"].to_dict())
    with pytest.raises(ConfigError, match="at least 1 draw"):
        pair.exchange(draws=0)


# Several trainings


def test_trainings_of_a_model_are_averaged_and_exchanged_together() -> None:
    rng = np.random.default_rng(10)
    groups = rng.integers(0, 6, 48)
    targets = rng.integers(0, 3, 48)
    a, b = (rng.dirichlet(np.ones(3), (2, 48)) for _ in range(2))
    pair = Pair(ACCURACY, targets, a, b, groups=[str(g) for g in groups])
    found = pair.exchange()["uar"]

    def mean(swapped: NDArray[np.bool_]) -> float:
        inside = swapped[groups][:, None]
        ours = [score(ACCURACY, targets, np.where(inside, b[k], a[k]))["uar"] for k in (0, 1)]
        theirs = [score(ACCURACY, targets, np.where(inside, a[k], b[k]))["uar"] for k in (0, 1)]
        return float(np.mean(ours) - np.mean(theirs))

    seen = mean(np.zeros(6, dtype=bool))
    ways = [mean(np.array(way)) for way in itertools.product([False, True], repeat=6)]
    assert found.difference == pytest.approx(seen)
    assert found.p == pytest.approx(np.mean(np.abs(ways) >= abs(seen) - 1e-9))
    assert pair.difference(resamples=50)["uar"].value == pytest.approx(seen)
    with pytest.raises(DataError, match="as many trainings"):
        Pair(ACCURACY, targets, a, b[:1])


# McNemar, Holm


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, 60), second=st.integers(0, 60), both=st.integers(0, 5))
def test_mcnemar_is_the_binomial_test_of_scipy(first: int, second: int, both: int) -> None:
    one = np.array([True] * first + [False] * second + [True] * both)
    two = np.array([False] * first + [True] * second + [True] * both)
    found = mcnemar(one, two)
    assert (found.only_first, found.only_second) == (first, second)
    wanted = binomtest(first, first + second).pvalue if first + second else 1.0
    assert found.p == pytest.approx(wanted)


def test_mcnemar_of_very_many_answers() -> None:
    one = np.arange(200_000) < 100_400
    found = mcnemar(one, ~one)
    assert found.p == pytest.approx(binomtest(100_400, 200_000).pvalue, rel=1e-6)
    with pytest.raises(DataError, match="no pairs"):
        mcnemar(one, one[:3])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


# Intervals of a difference


def test_a_pair_is_compared_on_the_same_clips() -> None:
    rng = np.random.default_rng(11)
    hard = rng.random(400) < 0.5
    targets, b = answers(rng, ~hard)
    rescued = ~hard | (rng.random(400) < 0.1)
    a = np.eye(3)[np.where(rescued, targets, (targets + 1) % 3)]
    found = Pair(ACCURACY, targets, a, b).difference()["war"]
    gain = (rescued & hard).mean()
    assert found.value == pytest.approx(gain)
    assert found.low > 0
    # Each clip gains 0 or 1: the error of that mean, not of two accuracies.
    assert found.high - found.low == pytest.approx(
        2 * 1.96 * np.sqrt(gain * (1 - gain) / 400), rel=0.12
    )
    swapped = Pair(ACCURACY, targets, b, a).difference()["war"]
    assert (swapped.value, swapped.low) == pytest.approx((-found.value, -found.high))


def test_a_pair_can_be_compared_over_groups() -> None:
    rng = np.random.default_rng(12)
    speakers = np.repeat(np.arange(20), 20)
    targets, b = answers(rng, np.zeros(400, dtype=bool))
    _, a = (
        targets,
        np.eye(3)[np.where((rng.random(20) < 0.5)[speakers], targets, (targets + 1) % 3)],
    )
    names = [str(speaker) for speaker in speakers]
    clips = Pair(ACCURACY, targets, a, b).difference()["war"]
    groups = Pair(ACCURACY, targets, a, b, groups=names).difference()["war"]
    assert groups.high - groups.low > 2 * (clips.high - clips.low)
