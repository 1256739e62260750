"""What a single score hides: reliability by confidence, F1 by threshold, values against values.

Axes: N answers, C labels or dimensions, T thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mien.tasks import checks, intervals, metrics
from mien.tasks.checks import Floats, Integers

__all__ = ["Bin", "Joint", "joint", "reliability", "thresholds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Answers whose highest probability lies between two confidences.

    Args:
        low: lowest confidence, excluded.
        high: highest one, included.
        count: number of answers.
        confidence: their mean.
        accuracy: share of them that is right.
        interval: Wilson's 95 % interval of the accuracy.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"interval": list(self.interval)}


def reliability(
    targets: ArrayLike, predictions: ArrayLike, width: int, invalid: Sequence[float] = ()
) -> list[Bin]:
    """The bins of the expected calibration error that hold answers.

    Args:
        targets: (N) class indices, or (N, C).
        predictions: (N, C) probabilities.
        width: number of classes.
        invalid: further target values that mean "not annotated".
    """
    truth, kept = checks.classes(targets, width, invalid)
    chances = checks.predicted(predictions, len(truth), width)[kept]
    confidence, right = chances.max(1), chances.argmax(1) == truth[kept]
    place = metrics.bins(confidence)
    found = []
    for number in range(metrics.BINS):
        inside = place == number
        count, hits = int(inside.sum()), int(right[inside].sum())
        if count:
            found.append(
                Bin(
                    low=number / metrics.BINS,
                    high=(number + 1) / metrics.BINS,
                    count=count,
                    confidence=float(confidence[inside].mean()),
                    accuracy=hits / count,
                    interval=intervals.wilson(hits, count),
                )
            )
    return found


def thresholds(
    targets: ArrayLike,
    predictions: ArrayLike,
    at: Sequence[float],
    invalid: Sequence[float] = (),
) -> list[list[float | None]]:
    """F1 of each of C labels at each of T thresholds; None for a label that is nowhere annotated.

    Args:
        targets: (N, C); present from 0.5.
        predictions: (N, C).
        at: (T) scores from which a label counts as present.
        invalid: target values that mean "not annotated", besides those below 0.
    """
    width = np.asarray(predictions).shape[1]
    truth, valid = checks.entries(targets, width, invalid)
    valid &= truth >= 0
    checks.require(valid)
    said = checks.predicted(predictions, len(truth), width)
    found: list[list[float | None]] = []
    for i in range(width):
        kept = valid[:, i]
        there = np.sort(said[kept & (truth[:, i] >= 0.5), i])
        every = np.sort(said[kept, i])
        hits = len(there) - np.searchsorted(there, at)  # how many of them reach a threshold
        reach = len(every) - np.searchsorted(every, at)
        below = len(there) + reach
        f1 = np.divide(2.0 * hits, below, out=np.zeros(len(at)), where=below > 0)
        found.append([None] * len(at) if not kept.any() else [float(value) for value in f1])
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Targets against predictions of one dimension, counted.

    Args:
        edges: of the bins of both.
        counts: rows are bins of targets, columns of predictions.
        off: edges of bins of predictions minus targets.
        errors: how many answers lie in these.
    """

    edges: Floats
    counts: Integers
    off: Floats
    errors: Integers

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: value.tolist() for name, value in asdict(self).items()}


def joint(targets: ArrayLike, predictions: ArrayLike, bins: int = 24) -> Joint | None:
    """How often which value was given for which; None where nothing is annotated.

    Args:
        targets: (N) values, NaN where not annotated.
        predictions: (N) values.
        bins: how many for each.
    """
    truth = np.asarray(targets, dtype=np.float64)
    kept = np.isfinite(truth)
    truth, said = truth[kept], np.asarray(predictions, dtype=np.float64)[kept]
    if not len(truth):
        return None
    low, high = float(min(truth.min(), said.min())), float(max(truth.max(), said.max()))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    counts, _, _ = np.histogram2d(truth, said, bins=[edges, edges])
    off = said - truth
    reach = float(np.abs(off).max()) or 0.5
    # An odd number, so that small errors of either sign share the bin around 0.
    errors, ends = np.histogram(off, bins=bins + 1 - bins % 2, range=(-reach, reach))
    return Joint(
        edges=edges, counts=counts.astype(np.int64), off=ends, errors=errors.astype(np.int64)
    )
