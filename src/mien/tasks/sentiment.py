"""Sentiment as one number, and the scores that its corpora are compared by.

CMU-MOSI and CMU-MOSEI are annotated from -3 (strongly negative) to 3 (strongly positive), CH-SIMS
from -1 to 1. Scores follow the definitions of MMSA's regression table and, for classes of other
edges, of the CMU-MultimodalSDK. Nothing is rounded but the values that a class is made of.

Axes: N answers, K classes of a reading, G groups whose sums are kept apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import DataError
from mien.tasks import checks
from mien.tasks.checks import Floats, Integers
from mien.types import Problem, Resolution, TaskSpec

__all__ = ["HEADLINE", "MOSI", "SIMS", "Polarity", "argmax_accuracy", "protocol"]

Protocol = Literal["mosi", "sims"]

MOSI = TaskSpec(
    name="sentiment",
    problem=Problem.REGRESSION,
    labels=("sentiment",),
    ranges=((-3.0, 3.0),),
)
"""CMU-MOSI and CMU-MOSEI: one value a clip, the mean over annotators."""

SIMS = TaskSpec(
    name="sentiment",
    problem=Problem.REGRESSION,
    labels=("sentiment",),
    ranges=((-1.0, 1.0),),
)
"""CH-SIMS: one value a clip, in steps of 0.2."""

HEADLINE = {
    "mosi": (
        *("mae", "pearson", "acc2_has0", "f1_has0", "acc2_non0", "f1_non0"),
        *("acc5", "acc7", "acc7_sdk"),
    ),
    "sims": ("mae", "pearson", "acc2", "f1", "acc3", "acc5"),
}
"""The scores that papers print, in their order."""


def protocol(spec: TaskSpec) -> Protocol | None:
    """Whose scores a task is compared by: that of a regression called sentiment, by its range."""
    once = spec.resolution is not Resolution.FRAME
    if spec.name != "sentiment" or spec.problem is not Problem.REGRESSION or not once:
        return None
    return "mosi" if spec.ranges == MOSI.ranges else "sims" if spec.ranges == SIMS.ranges else None


# -- values as classes -----------------------------------------------------------------------------


def half_to_even(values: Floats, most: int) -> Integers:
    """Classes 0..2 * most of values cut to -most..most; 0.5 is 0, 1.5 and 2.5 are 2 (MMSA)."""
    return np.rint(np.clip(values, -most, most)).astype(np.int64) + most


def away_from_zero(values: Floats, most: int) -> Integers:
    """Classes 0..2 * most; whatever lies above 0 is 1 at least, above 1 it is 2 (SDK)."""
    steps = np.sign(values) * np.ceil(np.abs(np.clip(values, -most, most)))
    return steps.astype(np.int64) + most


def _not_negative(values: Floats) -> Integers:
    return (values >= 0).astype(np.int64)


def _positive(values: Floats) -> Integers:
    return (values > 0).astype(np.int64)


def _between(*edges: float) -> Callable[[Floats], Integers]:
    """A value on an edge belongs to the class below it, as SIMS has it.

    Both are compared in single precision, in which labels are kept: 0.1 is 0.1 there.
    """
    at = np.array(edges, dtype=np.float32)
    return lambda values: np.searchsorted(at, values.astype(np.float32), side="left")


@dataclass(frozen=True, slots=True)
class Reading:
    """Values read as classes.

    Args:
        classes: values (N) to class indices (N).
        count: number of classes K.
        accuracy: what the share of hits is called.
        f1: what the F1 weighted by support is called; None: it is not given.
        zeros: whether answers whose target is exactly 0 count.
    """

    classes: Callable[[Floats], Integers]
    count: int
    accuracy: str
    f1: str | None = None
    zeros: bool = True


READINGS: dict[str, tuple[Reading, ...]] = {
    "mosi": (
        Reading(_not_negative, 2, "acc2_has0", "f1_has0"),
        Reading(_positive, 2, "acc2_non0", "f1_non0", zeros=False),
        Reading(lambda values: half_to_even(values, 2), 5, "acc5"),
        Reading(lambda values: half_to_even(values, 3), 7, "acc7"),
        Reading(lambda values: away_from_zero(values, 3), 7, "acc7_sdk"),
    ),
    "sims": (
        Reading(_between(0), 2, "acc2", "f1"),
        Reading(_between(-0.1, 0.1), 3, "acc3"),
        Reading(_between(-0.7, -0.1, 0.1, 0.7), 5, "acc5"),
    ),
}


class Polarity:
    """A sentiment score read as classes: accuracies, and F1 weighted by support.

    MOSI: ``acc2_has0`` and ``f1_has0`` tell negative from not negative, over all answers;
    ``acc2_non0`` and ``f1_non0`` negative from positive, over those whose target is not 0, and a
    prediction of exactly 0 counts as negative. ``acc5`` and ``acc7`` round both sides half to even,
    ``acc7_sdk`` away from 0. SIMS: ``acc2``, ``f1``, ``acc3`` and ``acc5``, by its own edges.

    MMSA's table of classification computes Non0 from targets that no prediction can meet; that is
    not done here.

    Args:
        of: whose scores.
        invalid: target values that mean "not annotated".
    """

    def __init__(self, of: Protocol, invalid: Sequence[float] = ()) -> None:
        self.readings = READINGS[of]
        self.invalid = tuple(invalid)

    def totals(
        self, targets: ArrayLike, predictions: ArrayLike, groups: Integers, count: int
    ) -> Floats:
        """Sums (G, sum of K * K): the confusion of each reading, rows are targets."""
        values, valid = checks.entries(targets, 1, self.invalid)
        kept = valid[:, 0]
        checks.require(kept)
        said = checks.predicted(predictions, len(values), 1)[kept, 0]
        truth, owners = values[kept, 0], groups[kept]
        tables = []
        for reading in self.readings:
            counts = np.ones(len(truth), dtype=np.bool_) if reading.zeros else truth != 0
            cells = reading.count**2
            place = owners * cells + reading.classes(truth) * reading.count + reading.classes(said)
            found = np.bincount(place[counts], minlength=count * cells)
            tables.append(found.reshape(count, cells))
        return np.concatenate(tables, axis=1).astype(np.float64)

    def scores(self, totals: Floats) -> dict[str, Floats]:
        """Scores (...) of sums (..., S); NaN where no answer counts."""
        named: dict[str, Floats] = {}
        start = 0
        for reading in self.readings:
            end = start + reading.count**2
            shape = (*totals.shape[:-1], reading.count, reading.count)
            table = totals[..., start:end].reshape(shape)
            named[reading.accuracy], f1 = _summary(table)
            if reading.f1 is not None:
                named[reading.f1] = f1
            start = end
        return named


def _summary(table: Floats) -> tuple[Floats, Floats]:
    """Accuracy and weighted F1 (...) of confusions (..., K, K)."""
    hits = np.diagonal(table, axis1=-2, axis2=-1)  # (..., K)
    there, said, number = table.sum(-1), table.sum(-2), table.sum((-2, -1))
    f1 = _over(2 * hits, there + said, 0.0)
    return _over(hits.sum(-1), number, np.nan), _over((f1 * there).sum(-1), number, np.nan)


def _over(above: Floats, below: Floats, undefined: float) -> Floats:
    result: Floats = np.full(np.shape(below), undefined)
    np.divide(above, below, out=result, where=below != 0)
    return result


def argmax_accuracy(targets: ArrayLike, chances: ArrayLike) -> float:
    """Share of answers whose likeliest of seven classes is the target's (``acc7_argmax``).

    Not ``acc7``: that one rounds a value, and papers mix the two up.

    Args:
        targets: values (N) in -3..3, rounded half to even.
        chances: (N, 7) of the classes -3 to 3.
    """
    values: NDArray[np.float64] = np.asarray(targets, dtype=np.float64)
    likely = np.asarray(chances, dtype=np.float64)
    if values.ndim != 1 or likely.shape != (len(values), 7) or not len(values):
        raise DataError(f"chances of seven classes are (N, 7), not {likely.shape}")
    return float((half_to_even(values, 3) == likely.argmax(1)).mean())
