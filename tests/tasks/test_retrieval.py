"""Retrieval against loops, scipy's bootstrap, and what guessing gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mien.errors import DataError
from mien.tasks.retrieval import chance, retrieval


def near(count: int, noise: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    one = random.normal(size=(count, 6))
    return np.asarray(one @ (one + noise * random.normal(size=(count, 6))).T)


def ranks(similarity: np.ndarray) -> list[int]:
    """The place of the right column when each row's are sorted."""
    found = []
    for number, row in enumerate(similarity.tolist()):
        order = sorted(range(len(row)), key=lambda j: -row[j])
        found.append(1 + order.index(number))
    return found


def test_every_value_is_that_of_a_loop() -> None:
    similarity = near(40, 1.5)
    own, found = ranks(similarity), retrieval(similarity)
    assert found["recall_1"].value == sum(rank == 1 for rank in own) / 40
    assert found["recall_5"].value == pytest.approx(sum(rank <= 5 for rank in own) / 40)
    assert found["median_rank"].value == float(np.median(own))
    assert 0.1 < found["recall_1"].value < 0.9  # neither is trivial


@pytest.mark.parametrize(("name", "score"), [("recall_5", np.mean), ("median_rank", np.median)])
def test_intervals_are_those_of_scipy(name: str, score: object) -> None:
    similarity = near(60, 2.0)
    own = np.array(ranks(similarity), float)
    values = (own <= 5).astype(float) if name == "recall_5" else own
    other = stats.bootstrap(
        (values,), score, n_resamples=2000, method="percentile", rng=np.random.default_rng(7)
    ).confidence_interval
    found = retrieval(similarity)[name]
    width = other.high - other.low
    assert found.low == pytest.approx(other.low, abs=0.15 * width)
    assert found.high == pytest.approx(other.high, abs=0.15 * width)
    assert (found.over, found.level, found.resamples) == ("clips", 0.95, 2000)
    assert retrieval(similarity)[name] == found


def test_what_tells_nothing_apart_has_what_guessing_gives() -> None:
    found = retrieval(np.full((12, 12), 0.3))
    assert {name: one.value for name, one in found.items()} == pytest.approx(chance(12))
    assert found["recall_1"].low == found["recall_1"].high
    assert chance(3) == {"recall_1": 1 / 3, "recall_5": 1.0, "median_rank": 2.0}
    lucky = [retrieval(np.random.default_rng(i).normal(size=(50, 50))) for i in range(40)]
    assert np.mean([one["recall_5"].value for one in lucky]) == pytest.approx(0.1, abs=0.02)


def test_several_that_are_as_near_share_the_place() -> None:
    similarity = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [2.0, 1.0, 1.0]])
    found = retrieval(similarity)  # ranks 1.5, 1, 2.5
    assert found["recall_1"].value == pytest.approx((0.5 + 1 + 0) / 3)
    assert found["median_rank"].value == 1.5


@pytest.mark.parametrize(
    ("similarity", "said"),
    [
        (np.zeros((1, 1)), "at least 2"),
        (np.zeros((2, 3)), "at least 2"),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), "not every similarity"),
    ],
)
def test_what_has_no_pairs_is_refused(similarity: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        retrieval(similarity)
