"""How sure a score is: bootstrap intervals, and scores over folds.

What is drawn again is the clip, or the whole group: clips of one speaker resemble each other, so
an interval over clips is too narrow as a statement on new speakers.

Axes: G units that are drawn (clips or groups), R resamples, S sums (see :mod:`.metrics`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import ConfigError, DataError
from mien.tasks.metrics import Floats, Integers, Statistic

__all__ = [
    "FoldMean",
    "Interval",
    "bootstrap",
    "fold_mean",
    "percentiles",
    "resampled",
    "units",
    "wilson",
]

RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A score and its percentile bootstrap interval.

    Args:
        value: the score of all answers.
        low: lower end.
        high: upper end.
        level: share of the resampled scores between the ends.
        over: what was drawn, ``clips`` or ``groups``.
        resamples: number of draws in which the score was defined.
    """

    value: float
    low: float
    high: float
    level: float
    over: str
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldMean:
    """A score over folds, in both ways that are reported.

    Args:
        mean: mean of the score of each fold.
        std: sample standard deviation over folds; None where only one has the score.
        pooled: the score of the answers of all folds together.
        folds: the score of each fold in which it is defined.
    """

    mean: float
    std: float | None
    pooled: float
    folds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def bootstrap(
    statistics: Sequence[Statistic],
    targets: ArrayLike,
    predictions: ArrayLike,
    *,
    clips: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
    only: Sequence[str] | None = None,
) -> dict[str, Interval]:
    """An interval for each score that is defined, all from the same draws.

    Args:
        statistics: what to score, as :func:`mien.tasks.statistics` gives for a task.
        targets: as the statistics take them, one row an answer.
        predictions: as the statistics take them, one row an answer.
        clips: the clip of each answer, where a clip has several (frames); None: one each.
        groups: the group of each answer (speaker, source video). Where given, groups are drawn
            with all their answers.
        resamples: number of draws.
        level: share of the resampled scores between the ends.
        seed: the same seed gives the same intervals.
        only: these scores alone, which is faster where there are many; None: all.
    """
    index, count, over = units(len(np.asarray(targets)), clips, groups)
    tables = [part.totals(targets, predictions, index, count) for part in statistics]
    drawn = resampled(tables, resamples, seed, over)
    values: dict[str, Floats] = {}
    samples: dict[str, Floats] = {}
    for part, table, sums in zip(statistics, tables, drawn, strict=True):
        values |= part.scores(table.sum(0))
        samples |= part.scores(sums)
    wanted = {name: value for name, value in values.items() if only is None or name in only}
    return percentiles(wanted, samples, level, over)


def wilson(hits: int, number: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share, such as the accuracy of a few clips; they count as independent.

    Args:
        hits: how often it was so.
        number: of how many, at least 1.
        level: share of such intervals that hold the truth.
    """
    if not 0 <= hits <= number or number < 1:
        raise DataError(f"{hits} of {number} are no share")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = hits / number, z * z / number
    middle = (share + spread / 2) / (1 + spread)
    reach = z / (1 + spread) * sqrt(share * (1 - share) / number + spread / (4 * number))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def fold_mean(
    statistics: Sequence[Statistic],
    targets: ArrayLike,
    predictions: ArrayLike,
    folds: Sequence[str],
) -> dict[str, FoldMean]:
    """Mean and deviation over folds of each score, beside the score of all answers pooled.

    The two differ for every score that is not a mean over answers (UAR, F1, CCC). ``folds`` names
    the test fold of each answer.
    """
    names, index = _index(folds, len(np.asarray(targets)), "folds")
    results: dict[str, FoldMean] = {}
    for part in statistics:
        totals = part.totals(targets, predictions, index, len(names))
        pooled = part.scores(totals.sum(0))
        for name, values in part.scores(totals).items():
            defined = ~np.isnan(values)
            if defined.any():
                results[name] = FoldMean(
                    mean=float(values[defined].mean()),
                    std=float(values[defined].std(ddof=1)) if defined.sum() > 1 else None,
                    pooled=float(pooled[name]),
                    folds={names[i]: float(values[i]) for i in np.flatnonzero(defined)},
                )
    return results


def units(
    length: int, clips: Sequence[str] | None, groups: Sequence[str] | None
) -> tuple[Integers, int, str]:
    """The unit (N) that each answer is drawn with, their number, and what they are."""
    if groups is not None:
        names, index = _index(groups, length, "groups")
        return index, len(names), "groups"
    if clips is not None:
        names, index = _index(clips, length, "clips")
        return index, len(names), "clips"
    return np.arange(length), length, "clips"


def _index(ids: Sequence[str], length: int, kind: str) -> tuple[list[str], Integers]:
    if len(ids) != length:
        raise DataError(f"there are {length} answers but {kind} for {len(ids)}")
    names, index = np.unique(np.asarray(ids, dtype=str), return_inverse=True)
    return names.tolist(), index.astype(np.int64)


def resampled(tables: Sequence[Floats], resamples: int, seed: int, over: str) -> list[Floats]:
    """The sums (R, S) of each table (G, S) when its rows are drawn with replacement."""
    joined = np.concatenate(tables, axis=1)
    joined = joined[(joined != 0).any(1)]  # a unit without an annotated answer is no unit
    if len(joined) < 2:
        raise DataError(
            f"an interval over {over} needs at least 2 of them with annotated answers, "
            f"here there is {len(joined)}",
            fix="report the score alone" + ("" if over == "clips" else ", or draw clips"),
        )
    sums = np.concatenate([draws @ joined for draws in _draws(len(joined), resamples, seed)])
    ends = np.cumsum([table.shape[1] for table in tables])
    return np.split(sums, ends[:-1], axis=1)


def _draws(units: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each unit is drawn, (rows, units) at a time to bound memory."""
    if resamples < 1:
        raise ConfigError(f"a bootstrap needs at least 1 resample, not {resamples}")
    generator = np.random.default_rng(seed)
    most = max(1, 2_000_000 // units)
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        drawn = generator.integers(units, size=(rows, units))
        drawn += np.arange(rows)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=rows * units)
        yield counts.reshape(rows, units).astype(np.float64)


def percentiles(
    values: Mapping[str, Floats], samples: Mapping[str, Floats], level: float, over: str
) -> dict[str, Interval]:
    """The interval between percentiles of the scores (R) of resamples, for each score."""
    if not 0 < level < 1:
        raise ConfigError(f"the level of an interval lies between 0 and 1, not {level}")
    found: dict[str, Interval] = {}
    for name, value in values.items():
        sample = samples[name][~np.isnan(samples[name])]
        if np.isnan(value) or not len(sample):
            continue
        low, high = np.quantile(sample, [(1 - level) / 2, (1 + level) / 2])
        found[name] = Interval(
            value=float(value),
            low=float(low),
            high=float(high),
            level=level,
            over=over,
            resamples=len(sample),
        )
    return found
