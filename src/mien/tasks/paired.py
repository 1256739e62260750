"""Two models on the same answers: how far apart their scores are, and whether chance could do it.

Three questions, none of which answers the other:

- **How large is the difference?** The bootstrap interval (:meth:`Pair.difference`) draws clips or
  groups again, the same for both models.
- **Could it be chance?** The exchange test (:meth:`Pair.exchange`): if the two models were alike,
  it would not matter whose answers are whose. So the answers of whole units (clips or groups) are
  exchanged between them in every way, or in many random ways, and p is the share of these in which
  the scores lie at least as far apart. Of a mean over equal units this is the sign-flip test of
  their differences; but it holds for any score, such as F1 or concordance.
- **Do they err on different clips?** McNemar's test (:func:`mcnemar`), on classes.

Axes: G units, R ways to exchange, S sums (see :mod:`.metrics`), K trainings of each model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import ConfigError, DataError
from mien.tasks import intervals
from mien.tasks.checks import Floats
from mien.tasks.intervals import RESAMPLES, Interval
from mien.tasks.metrics import Statistic

__all__ = ["Exchange", "McNemar", "Pair", "holm", "mcnemar"]

DRAWS = 9_999
_EXACT = 14
"""Up to so many units that differ, every way to exchange them is tried (half suffice)."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An exchange test of one score.

    Args:
        difference: score of the first model minus that of the second.
        p: share of the ways to exchange units in which the scores lie at least as far apart.
        method: ``exact`` (every way) or ``monte carlo`` (random ways, the given one among them).
        over: what was exchanged, ``clips`` or ``groups``.
        units: how many of these there are.
        ways: how many ways were looked at.
    """

    difference: float
    p: float
    method: str
    over: str
    units: int
    ways: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class Pair:
    """The answers of two models to the same clips, as sums of each unit.

    Args:
        statistics: what to score, as :func:`mien.tasks.statistics` gives for a task.
        targets: (N) or (N, C), as the statistics take them.
        a: answers (N, C) of the first model, or (K, N, C) of K trainings of it: then scores are
            means over trainings.
        b: the same of the second one.
        clips: the clip of each answer, where a clip has several; None: one each.
        groups: the group of each answer; where given, groups are the units.
    """

    def __init__(
        self,
        statistics: Sequence[Statistic],
        targets: ArrayLike,
        a: ArrayLike,
        b: ArrayLike,
        *,
        clips: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> None:
        self.statistics = tuple(statistics)
        index, count, self.over = intervals.units(len(np.asarray(targets)), clips, groups)
        ours, theirs = _trainings(a), _trainings(b)
        if ours.shape != theirs.shape:
            raise DataError("two models are compared by as many trainings of each")
        # Both models in one table: sums are exchanged, and have to start from the same origin.
        twice = np.concatenate([np.asarray(targets)] * 2)
        tables = [
            [
                part.totals(
                    twice, np.concatenate(both), np.concatenate([index, index + count]), 2 * count
                )
                for part in self.statistics
            ]
            for both in zip(ours, theirs, strict=True)
        ]
        self.sizes = [[table.shape[1] for table in row] for row in tables]
        sums = np.split(np.concatenate([table for row in tables for table in row], axis=1), 2)
        there = (sums[0] != 0).any(1) | (sums[1] != 0).any(1)
        self.a, self.b = sums[0][there], sums[1][there]  # (G, S)

    def scores(self, sums: Floats) -> dict[str, Floats]:
        """Scores (...) of sums (..., S), means over trainings."""
        found: dict[str, list[Floats]] = {}
        start = 0
        for sizes in self.sizes:
            for part, size in zip(self.statistics, sizes, strict=True):
                for name, values in part.scores(sums[..., start : start + size]).items():
                    found.setdefault(name, []).append(values)
                start += size
        return {name: np.mean(values, axis=0) for name, values in found.items()}

    def _apart(self, a: Floats, b: Floats) -> dict[str, Floats]:
        ours, theirs = self.scores(a), self.scores(b)
        return {name: ours[name] - theirs[name] for name in ours}

    def difference(
        self, *, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0
    ) -> dict[str, Interval]:
        """Scores of the first model minus those of the second, with bootstrap intervals.

        Both are scored on the same draws, so that clips which are hard for both do not widen the
        interval. One that leaves out 0 shows a difference.
        """
        drawn = intervals.resampled([self.a, self.b], resamples, seed, self.over)
        values = self._apart(self.a.sum(0), self.b.sum(0))
        return intervals.percentiles(values, self._apart(*drawn), level, self.over)

    def exchange(self, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Exchange]:
        """The exchange test of every score that is defined.

        Exact where at most 14 units differ; else Monte Carlo, with the given assignment counted
        as one of the ways, so that p is never 0.

        Args:
            draws: number of random ways.
            seed: the same seed gives the same p.
        """
        if draws < 1:
            raise ConfigError(f"a test needs at least 1 draw, not {draws}")
        # Exchanging what is the same on both sides is no exchange.
        moved = (self.b - self.a)[(self.a != self.b).any(1)]  # (D, S)
        exact = len(moved) <= _EXACT
        ways = _every(len(moved)) if exact else _random(len(moved), draws, seed)
        a, b = self.a.sum(0), self.b.sum(0)
        given = {name: float(value) for name, value in self._apart(a, b).items()}
        extreme = dict.fromkeys(given, 0)
        total = 0
        for swaps in ways:
            shift = swaps @ moved
            total += len(swaps)
            for name, values in self._apart(a + shift, b - shift).items():
                # An undefined score speaks for nobody: it counts against a difference.
                near = np.abs(values) < abs(given[name]) - _ROUNDING * max(1.0, abs(given[name]))
                extreme[name] += int((~near).sum())
        return {
            name: Exchange(
                difference=value,
                p=(extreme[name] + (not exact)) / (total + (not exact)),
                method="exact" if exact else "monte carlo",
                over=self.over,
                units=len(self.a),
                ways=total,
            )
            for name, value in given.items()
            if not np.isnan(value)
        }


def _trainings(predictions: ArrayLike) -> Floats:
    """Answers as (K, N, C)."""
    given = np.asarray(predictions, dtype=np.float64)
    return given if given.ndim == 3 else given[None]


def _every(units: int) -> Iterator[Floats]:
    """Every way (R, D) to exchange units, but for mirror images, which lie as far apart."""
    count = 2 ** max(units - 1, 0)
    numbers = np.arange(count)[:, None] >> np.arange(units)
    yield (numbers & 1).astype(np.float64)


def _random(units: int, draws: int, seed: int) -> Iterator[Floats]:
    """Random ways (R, D), some at a time to bound memory."""
    generator = np.random.default_rng(seed)
    most = max(1, min(2_000, 2_000_000 // units))
    for start in range(0, draws, most):
        rows = min(most, draws - start)
        yield generator.integers(2, size=(rows, units)).astype(np.float64)


# -- classes ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """McNemar's exact test: of the answers that one model alone has right, whose are more?

    Args:
        only_first: how many only the first model has right.
        only_second: how many only the second one has right.
        p: two-sided binomial probability of a split at least as uneven, were both alike.
    """

    only_first: int
    only_second: int
    p: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """McNemar's exact test on independent answers.

    Args:
        first: (N) whether the first model is right.
        second: (N) whether the second one is.
    """
    one, two = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    if one.shape != two.shape or one.ndim != 1:
        raise DataError(f"answers of the shapes {one.shape} and {two.shape} are no pairs")
    ours, theirs = int((one & ~two).sum()), int((two & ~one).sum())
    return McNemar(
        only_first=ours, only_second=theirs, p=_binomial(min(ours, theirs), ours + theirs)
    )


def _binomial(fewer: int, number: int) -> float:
    """Twice the chance of at most so many heads; 1 at most. In logarithms: n may be large."""
    steps = np.arange(1, fewer + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log((number - steps + 1) / steps))])
    return float(min(1.0, 2 * np.exp(np.logaddexp.reduce(logs) - number * np.log(2))))


def holm(chances: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are, after Holm: any one below 0.05 by chance in 5 %.

    Args:
        chances: p-values of one family of tests.
    """
    given: NDArray[np.float64] = np.asarray(chances, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    factors = np.arange(len(given), 0, -1)
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1)
    return [float(value) for value in corrected]
