"""Answers over time, smoothed: each becomes a mean, a median or the commonest of its neighbours.

Shapes: P positions, C classes, labels or dimensions.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError
from mien.types import TaskSpec

Floats = NDArray[np.float64]
Smoothing = Literal["none", "mean", "median", "mode"]


def smoothed(scores: Floats, spec: TaskSpec, how: Smoothing, around: int) -> Floats:
    """Scores (P, C) after smoothing over ``around`` positions on each side, fewer at the ends.

    Args:
        scores: after the task's activation.
        spec: the task.
        how: ``mean`` or ``median`` of each column, or ``mode``: each class gets the share of
            positions at which it was on top, so that the commonest is. Of a tie the first wins.
        around: positions on each side; 0 changes nothing.
    """
    if how == "none" or around == 0 or len(scores) < 2:
        return scores
    if how == "median":
        return _medians(scores, around)
    if how == "mean":
        return _means(scores, around)
    if not spec.categorical:
        raise ConfigError(
            f"only classes have a commonest one, and {spec.name!r} has none",
            fix="model.smooth=median, or mean",
        )
    return _means(np.eye(spec.width)[scores.argmax(1)], around)


def _edges(count: int, around: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First neighbour of each position, and the one after its last."""
    at = np.arange(count)
    return np.maximum(at - around, 0), np.minimum(at + around + 1, count)


def _means(scores: Floats, around: int) -> Floats:
    first, last = _edges(len(scores), around)
    sums = np.concatenate([np.zeros((1, scores.shape[1])), scores.cumsum(0)])
    means: Floats = (sums[last] - sums[first]) / (last - first)[:, None]
    return means


def _medians(scores: Floats, around: int) -> Floats:
    """A window at a time, since those of long recordings would fill the memory together."""
    first, last = _edges(len(scores), around)
    return np.stack([np.median(scores[a:b], axis=0) for a, b in zip(first, last, strict=True)])
