"""Reliability, thresholds and joint counts against scikit-learn, numpy and the scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from mien.errors import DataError
from mien.tasks.curves import joint, reliability, thresholds
from mien.tasks.metrics import BINS, Calibration, score


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 300))
def test_reliability_equals_scikit_learn_and_adds_up_to_the_error(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    truth, chances = rng.integers(0, 3, size), rng.dirichlet(np.ones(3), size)
    bins = reliability(truth, chances, 3)
    confidence, right = chances.max(1), chances.argmax(1) == truth
    accuracy, mean = calibration_curve(right, confidence, n_bins=BINS)
    assert [one.accuracy for one in bins] == pytest.approx(accuracy.tolist())
    assert [one.confidence for one in bins] == pytest.approx(mean.tolist())
    assert sum(one.count for one in bins) == size
    ece = sum(one.count * abs(one.accuracy - one.confidence) for one in bins) / size
    assert ece == pytest.approx(score([Calibration(3)], truth, chances)["ece"])
    assert all(one.low < one.confidence <= one.high for one in bins)
    assert all(one.interval[0] <= one.accuracy <= one.interval[1] for one in bins)


def test_reliability_leaves_out_what_is_not_annotated() -> None:
    bins = reliability([0, -1, np.nan], [[1.0, 0.0], [0.6, 0.4], [0.7, 0.3]], 2)
    assert [(one.low, one.high, one.count, one.accuracy) for one in bins] == [(14 / 15, 1, 1, 1)]
    assert json.loads(json.dumps(bins[0].to_dict()))["interval"][1] == 1
    with pytest.raises(DataError, match="no annotated answer"):
        reliability([-1], [[1.0, 0.0]], 2)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 40), rare=st.sampled_from([0.0, 0.3]))
def test_thresholds_equal_scikit_learn_at_each(seed: int, size: int, rare: float) -> None:
    rng = np.random.default_rng(seed)
    truth = (rng.random((size, 3)) < rare).astype(float)
    scores = rng.integers(0, 11, (size, 3)) / 10  # ties, and scores on thresholds
    at = [0.0, 0.3, 0.5, 0.95, 1.0]
    found = thresholds(truth, scores, at)
    for i in range(3):
        wanted = [reference.f1_score(truth[:, i], scores[:, i] >= t, zero_division=0) for t in at]
        assert found[i] == pytest.approx(wanted)


def test_thresholds_go_by_what_is_annotated() -> None:
    truth = np.array([[1, np.nan], [0, np.nan], [-1, np.nan], [9, np.nan]])
    found = thresholds(truth, np.full((4, 2), 0.6), [0.5, 0.7], invalid=[9.0])
    assert found == [[pytest.approx(2 / 3), 0.0], [None, None]]


def test_joint_counts_are_those_of_numpy_and_hold_every_answer() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.normal(size=500), rng.normal(size=500)
    truth[:20] = np.nan
    found = joint(truth, said, bins=10)
    assert found is not None
    assert found.counts.sum() == found.errors.sum() == 480
    edges = found.edges
    inside = (truth > edges[3]) & (truth < edges[4]) & (said > edges[5]) & (said < edges[6])
    assert found.counts[3, 5] == inside.sum()
    middle = len(found.errors) // 2
    assert found.off[middle] < 0 < found.off[middle + 1]
    assert found.off[0] == -found.off[-1]
    json.dumps(found.to_dict())


def test_joint_counts_of_one_value_and_of_none() -> None:
    same = joint([0.5], [0.5])
    assert same is not None
    assert (same.edges[0], same.edges[-1], same.counts.sum()) == (0.0, 1.0, 1)
    assert joint([np.nan], [0.5]) is None
