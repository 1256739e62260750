"""Scores of answers, computed from sums over answers.

The hits of each class, the moments of a regression, the bins of a calibration curve: each
score here is a function of such sums. So the scores of thousands of bootstrap resamples are those
of one matrix product (see :mod:`mien.tasks.intervals`), and those of folds of sums by fold.

Targets that are not annotated are left out: values that are not finite, values that the task calls
invalid, and for classes and labels values below 0.

Axes: N answers, C classes, labels or dimensions, G groups whose sums are kept apart, S sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.tasks import checks

__all__ = [
    "Agreement",
    "Calibration",
    "Confusion",
    "Detection",
    "Statistic",
    "higher_is_better",
    "per_class",
    "score",
]

Floats: TypeAlias = checks.Floats
Integers: TypeAlias = checks.Integers

ERRORS = frozenset({"brier", "ece", "mae", "nll", "rmse"})
"""Scores of which less is better."""

BINS = 15
"""Bins of equal width in the expected calibration error."""


class Statistic(Protocol):
    """Sums over answers, and the scores that follow from them."""

    def totals(
        self, targets: ArrayLike, predictions: ArrayLike, groups: Integers, count: int
    ) -> Floats:
        """Sums (G, S) of the answers of each of ``count`` groups; ``groups`` (N) are their indices.

        Answers without a target add nothing: the sums of a group of such are 0.
        """
        ...

    def scores(self, totals: Floats) -> dict[str, Floats]:
        """Scores by name, each (...), of sums (..., S); NaN where one is undefined."""
        ...


def score(
    statistics: Sequence[Statistic], targets: ArrayLike, predictions: ArrayLike
) -> dict[str, float]:
    """All scores that are defined. An undefined one (recall of an absent class) is left out."""
    named: dict[str, float] = {}
    for statistic in statistics:
        totals = _together(statistic, targets, predictions)
        named |= {name: float(value) for name, value in statistic.scores(totals).items()}
    return {name: value for name, value in named.items() if not np.isnan(value)}


def higher_is_better(name: str) -> bool:
    """Whether more of a score is better; ``name`` may carry a label, as in ``rmse/valence``."""
    return name.split("/")[0] not in ERRORS


class Confusion:
    """One of n: WAR, UAR and F1 of the class with the highest probability.

    Scores: ``war`` (accuracy), ``uar`` (mean recall of the classes that occur among the targets),
    ``macro_f1`` (mean over all classes; one that is neither there nor predicted counts 0, as in
    the ABAW challenges), ``weighted_f1`` (by support), and per class ``precision/NAME`` (undefined
    where never predicted), ``recall/NAME`` (undefined where absent) and ``f1/NAME``.

    Args:
        labels: class names in the order of the columns of predictions (N, C).
        invalid: further target values that mean "not annotated".

    Targets are class indices (N), or one weight a class (N, C), of which the largest counts.
    """

    def __init__(self, labels: Sequence[str], invalid: Sequence[float] = ()) -> None:
        self.labels = tuple(labels)
        self.invalid = tuple(invalid)

    def totals(
        self, targets: ArrayLike, predictions: ArrayLike, groups: Integers, count: int
    ) -> Floats:
        """Sums (G, 3 * C) of each class: hits, targets, predictions."""
        width = len(self.labels)
        truth, said, kept = self._pairs(targets, predictions)
        place = groups[kept] * width
        counts = [(place + truth)[truth == said], place + truth, place + said]
        columns = [np.bincount(cell, minlength=count * width) for cell in counts]
        return np.concatenate([c.reshape(count, width) for c in columns], axis=1).astype(np.float64)

    def _pairs(
        self, targets: ArrayLike, predictions: ArrayLike
    ) -> tuple[Integers, Integers, NDArray[np.bool_]]:
        """Class and answer of each annotated answer, and which of all are annotated."""
        width = len(self.labels)
        truth, kept = checks.classes(targets, width, self.invalid)
        return truth[kept], checks.predicted(predictions, len(truth), width)[kept].argmax(1), kept

    def matrix(self, targets: ArrayLike, predictions: ArrayLike) -> Integers:
        """The confusion matrix (C, C) of all answers: rows are targets, columns predictions."""
        width = len(self.labels)
        truth, said, _ = self._pairs(targets, predictions)
        return np.bincount(truth * width + said, minlength=width**2).reshape(width, width)

    def scores(self, totals: Floats) -> dict[str, Floats]:
        """Scores (...) of sums (..., 3 * C)."""
        hits, truth, said = np.split(totals, 3, axis=-1)  # (..., C) each
        answers = truth.sum(-1)
        precision, recall, f1 = _quality(hits, truth, said)
        named = {
            "war": _ratio(hits.sum(-1), answers),
            "uar": _mean_defined(recall),
            "macro_f1": f1.mean(-1),
            "weighted_f1": _ratio((f1 * truth).sum(-1), answers),
        }
        return named | _by_label(self.labels, precision=precision, recall=recall, f1=f1)


def per_class(matrix: ArrayLike, labels: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Precision, recall, F1 and support of each class of a confusion matrix (rows are targets).

    None stands where one is undefined: recall of an absent class, precision of one never predicted.
    """
    cells = np.asarray(matrix, dtype=np.float64)
    truth, said = cells.sum(1), cells.sum(0)
    precision, recall, f1 = _quality(np.diagonal(cells), truth, said)
    columns = {"precision": precision, "recall": recall, "f1": f1, "support": truth}
    return {
        label: {
            name: None if np.isnan(column[i]) else float(column[i])
            for name, column in columns.items()
        }
        for i, label in enumerate(labels)
    }


class Calibration:
    """One of n: how far probabilities can be believed.

    Scores: ``ece`` (mean gap between confidence and accuracy of the most probable class, over 15
    bins of equal width), ``brier`` (squared distance to the one-hot target, 0..2), ``nll``.
    Resampling adds noise to each bin, so the interval of ``ece`` lies somewhat too high.

    Args:
        width: number of classes.
        invalid: further target values that mean "not annotated".
    """

    def __init__(self, width: int, invalid: Sequence[float] = ()) -> None:
        self.width = width
        self.invalid = tuple(invalid)

    def totals(
        self, targets: ArrayLike, predictions: ArrayLike, groups: Integers, count: int
    ) -> Floats:
        """Sums (G, 3 + 2 * BINS): answers, Brier, negative log, confidence and hits by bin."""
        truth, kept = checks.classes(targets, self.width, self.invalid)
        chances = checks.predicted(predictions, len(truth), self.width)[kept]
        truth, groups = truth[kept], groups[kept]
        of_truth = chances[np.arange(len(truth)), truth]
        confidence = chances.max(1)
        # The squared distance to the one-hot target, with its square expanded.
        brier = (chances**2).sum(1) - 2 * of_truth + 1
        surprise = -np.log(np.maximum(of_truth, np.finfo(np.float64).eps))
        each = _summed(np.stack([np.ones_like(brier), brier, surprise], axis=1), groups, count)
        place = bins(confidence) + groups * BINS
        hits = (chances.argmax(1) == truth).astype(np.float64)
        binned = [
            np.bincount(place, weights=weights, minlength=count * BINS).reshape(count, BINS)
            for weights in (confidence, hits)
        ]
        return np.concatenate([each, *binned], axis=1)

    def scores(self, totals: Floats) -> dict[str, Floats]:
        """Scores (...) of sums (..., S)."""
        answers = totals[..., 0]
        gaps = np.abs(totals[..., 3 : 3 + BINS] - totals[..., 3 + BINS :])
        return {
            "ece": _ratio(gaps.sum(-1), answers),
            "brier": _ratio(totals[..., 1], answers),
            "nll": _ratio(totals[..., 2], answers),
        }


def bins(confidence: Floats) -> Integers:
    """The bin (N) of each confidence; one on the border of two belongs to the lower one."""
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


class Detection:
    """Many of n: F1 of each label's presence.

    Scores: ``f1`` (mean over the labels; one that is never there nor predicted counts 0), and per
    label ``precision/NAME``, ``recall/NAME`` and ``f1/NAME``. A label without any annotated
    answer is left out.

    Args:
        labels: names in the order of the columns of targets and predictions (N, C).
        threshold: score at which a label counts as present; targets count from 0.5.
        invalid: further target values that mean "not annotated".
    """

    def __init__(
        self, labels: Sequence[str], threshold: float = 0.5, invalid: Sequence[float] = ()
    ) -> None:
        self.labels = tuple(labels)
        self.threshold = threshold
        self.invalid = tuple(invalid)

    def totals(
        self, targets: ArrayLike, predictions: ArrayLike, groups: Integers, count: int
    ) -> Floats:
        """Sums (G, 4 * C): hits, present, predicted, annotated answers of each label."""
        width = len(self.labels)
        truth, valid = checks.entries(targets, width, self.invalid)
        valid &= truth >= 0
        checks.require(valid)
        there = valid & (truth >= 0.5)
        said = valid & (checks.predicted(predictions, len(truth), width) >= self.threshold)
        return _summed(np.concatenate([there & said, there, said, valid], axis=1), groups, count)

    def scores(self, totals: Floats) -> dict[str, Floats]:
        """Scores (...) of sums (..., 4 * C)."""
        hits, there, said, answers = np.split(totals, 4, axis=-1)  # (..., C) each
        precision, recall, f1 = _quality(hits, there, said)
        f1 = np.where(answers > 0, f1, np.nan)
        by_label = _by_label(self.labels, precision=precision, recall=recall, f1=f1)
        return {"f1": _mean_defined(f1)} | by_label

    def per_class(
        self, targets: ArrayLike, predictions: ArrayLike
    ) -> dict[str, dict[str, float | None]]:
        """Precision, recall and F1 of each label, how often it is there, and how often annotated.

        None stands where one is undefined.
        """
        totals = _together(self, targets, predictions)
        _, there, _, answers = np.split(totals, 4)
        return _rows(self, totals, ("precision", "recall", "f1"), support=there, answers=answers)


class Agreement:
    """Regression: concordance, correlation and error of each dimension over all its values.

    Scores, each the mean over the dimensions and per dimension ``SCORE/NAME``: ``ccc`` (biased
    moments), ``pearson``, ``mae``, ``rmse``. Where a side is constant nothing agrees: both
    correlations are 0. A dimension without any annotated value is left out.

    Args:
        labels: names in the order of the columns of targets and predictions (N, C).
        invalid: target values that mean "not annotated".
    """

    _SUMS = 9

    def __init__(self, labels: Sequence[str], invalid: Sequence[float] = ()) -> None:
        self.labels = tuple(labels)
        self.invalid = tuple(invalid)

    def totals(
        self, targets: ArrayLike, predictions: ArrayLike, groups: Integers, count: int
    ) -> Floats:
        """Sums (G, C * 9) of each dimension: number, first and second moments, errors."""
        width = len(self.labels)
        truth, valid = checks.entries(targets, width, self.invalid)
        checks.require(valid)
        said = checks.predicted(predictions, len(truth), width)
        columns = [
            _moments(truth[kept, i], said[kept, i], groups[kept], count)
            for i, kept in enumerate(valid.T)
        ]
        return np.concatenate(columns, axis=1)

    def scores(self, totals: Floats) -> dict[str, Floats]:
        """Scores (...) of sums (..., C * 9)."""
        sums = totals.reshape(*totals.shape[:-1], len(self.labels), self._SUMS)
        number, *rest = np.moveaxis(sums, -1, 0)  # (..., C) each
        x, y, xx, yy, xy, off, size, square = (_ratio(part, number) for part in rest)
        var_x, var_y, covariance = _variance(xx, x), _variance(yy, y), xy - x * y
        apart = var_x + var_y + off**2
        spread = np.sqrt(var_x * var_y)
        by_dimension = {
            "ccc": _or_zero(_ratio(2 * covariance, apart), number),
            "pearson": _or_zero(np.clip(_ratio(covariance, spread), -1, 1), number),
            "mae": size,
            "rmse": np.sqrt(square),
        }
        means = {name: _mean_defined(values) for name, values in by_dimension.items()}
        return means | _by_label(self.labels, **by_dimension)

    def per_dimension(
        self, targets: ArrayLike, predictions: ArrayLike
    ) -> dict[str, dict[str, float | None]]:
        """Every score of each dimension, and on how many values; None where one is undefined."""
        totals = _together(self, targets, predictions)
        number = totals.reshape(-1, self._SUMS)[:, 0]
        return _rows(self, totals, ("ccc", "pearson", "mae", "rmse"), answers=number)


def _together(statistic: Statistic, targets: ArrayLike, predictions: ArrayLike) -> Floats:
    """The sums (S) of all answers."""
    together = np.zeros(len(np.asarray(targets)), dtype=np.int64)
    totals: Floats = statistic.totals(targets, predictions, together, 1)[0]
    return totals


def _rows(
    statistic: Detection | Agreement, totals: Floats, names: Sequence[str], **more: Floats
) -> dict[str, dict[str, float | None]]:
    """Scores of each label beside further columns (C)."""
    scores = statistic.scores(totals)
    table: dict[str, dict[str, float | None]] = {}
    for i, label in enumerate(statistic.labels):
        values = {name: float(scores[f"{name}/{label}"]) for name in names}
        values |= {name: float(column[i]) for name, column in more.items()}
        table[label] = {name: None if np.isnan(v) else v for name, v in values.items()}
    return table


def _moments(truth: Floats, said: Floats, groups: Integers, count: int) -> Floats:
    """Sums (G, 9) of one dimension."""
    if not len(truth):
        return np.zeros((count, Agreement._SUMS))
    # Variances do not change when a constant is taken off, but large means would cost them digits.
    # The median of a constant column is exactly that constant.
    x, y, off = said - np.median(said), truth - np.median(truth), said - truth
    columns = [np.ones_like(x), x, y, x * x, y * y, x * y, off, np.abs(off), off * off]
    return _summed(np.stack(columns, axis=1), groups, count)


def _variance(square: Floats, mean: Floats) -> Floats:
    """Biased variance; what is left of a constant by rounding counts as 0."""
    variance = square - mean**2
    return np.where(variance > 1e-12 * square, variance, 0.0)


def _or_zero(values: Floats, number: Floats) -> Floats:
    """0 for an undefined quotient of a dimension that has values."""
    return np.where(np.isnan(values) & (number > 0), 0.0, values)


def _quality(hits: Floats, there: Floats, said: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1; F1 is 0 where both others are undefined."""
    f1 = _ratio(2 * hits, there + said, undefined=0.0)
    return _ratio(hits, said), _ratio(hits, there), f1


def _by_label(labels: Sequence[str], **columns: Floats) -> dict[str, Floats]:
    return {
        f"{name}/{label}": values[..., i]
        for name, values in columns.items()
        for i, label in enumerate(labels)
    }


def _ratio(above: Floats, below: Floats, undefined: float = np.nan) -> Floats:
    result: Floats = np.full(np.broadcast_shapes(above.shape, below.shape), undefined)
    np.divide(above, below, out=result, where=below != 0)
    return result


def _mean_defined(values: Floats) -> Floats:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(-1), defined.sum(-1).astype(np.float64))


def _summed(columns: NDArray[Any], groups: Integers, count: int) -> Floats:
    """Sums (G, S) by group of columns (N, S)."""
    sums = [np.bincount(groups, weights=column, minlength=count) for column in columns.T]
    return np.stack(sums, axis=1)
