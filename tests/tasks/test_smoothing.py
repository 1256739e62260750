"""Smoothed answers against scipy's filters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mien.errors import ConfigError
from mien.tasks.affect import ABAW_AFFECT, ABAW_EXPRESSION
from mien.tasks.smoothing import smoothed


@pytest.mark.parametrize("around", [1, 4, 50])
@pytest.mark.parametrize("how", ["mean", "median"])
def test_values_are_the_mean_or_median_of_what_is_around(how: str, around: int) -> None:
    scores = np.random.default_rng(0).normal(size=(23, 2))
    expected = [
        getattr(np, how)(scores[max(0, i - around) : i + around + 1], axis=0) for i in range(23)
    ]
    found = smoothed(scores, ABAW_AFFECT, how, around)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("around", [1, 3, 20])
def test_a_class_is_the_commonest_of_what_is_around(around: int) -> None:
    scores = np.random.default_rng(1).dirichlet(np.ones(8), size=60)
    top = scores.argmax(1)
    expected = [stats.mode(top[max(0, i - around) : i + around + 1]).mode for i in range(60)]
    found = smoothed(scores, ABAW_EXPRESSION, "mode", around)
    assert found.argmax(1).tolist() == expected
    np.testing.assert_allclose(found.sum(1), 1)


def test_a_single_frame_that_differs_is_overruled() -> None:
    scores = np.tile([0.9, 0.1, 0, 0, 0, 0, 0, 0], (9, 1))
    scores[4] = [0, 1, 0, 0, 0, 0, 0, 0]
    assert smoothed(scores, ABAW_EXPRESSION, "mode", 2).argmax(1).tolist() == [0] * 9


def test_nothing_is_smoothed_unless_asked_and_values_have_no_commonest() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 2))
    assert smoothed(scores, ABAW_AFFECT, "none", 3) is scores
    assert smoothed(scores, ABAW_AFFECT, "mean", 0) is scores
    with pytest.raises(ConfigError, match="median"):
        smoothed(scores, ABAW_AFFECT, "mode", 1)
