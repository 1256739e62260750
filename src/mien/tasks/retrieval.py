"""How often one of two things finds its other half, such as a face its voice, among many.

Axes: N pairs, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import DataError
from mien.tasks.intervals import RESAMPLES, Interval, percentiles
from mien.tasks.metrics import Floats

DEPTHS = (1, 5)
"""Among how many of the nearest a half is looked for."""
_PART = 2_000_000  # drawn numbers at once


def retrieval(
    similarity: ArrayLike,
    *,
    depths: Sequence[int] = DEPTHS,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """``recall_1``, ``recall_5`` and ``median_rank`` of the rows, each with an interval.

    What is drawn again are the rows that ask; all columns stay to be chosen from. Where several
    columns are as near as the right one, their order counts as drawn by lot: a row that is equally
    near to all has the recall of guessing.

    Args:
        similarity: (N, N), each row to every column; what belongs together has the same place.
        depths: of the recalls.
        resamples: number of draws.
        level: share of the resampled values between the ends.
        seed: the same seed gives the same intervals.
    """
    above, level_with = _before(np.asarray(similarity, dtype=np.float64))
    found = {f"recall_{k}": np.clip((k - above) / (level_with + 1), 0, 1) for k in depths}
    ranks = 1 + above + level_with / 2
    values = {name: hits.mean() for name, hits in found.items()}
    samples: dict[str, list[Floats]] = {name: [] for name in [*found, "median_rank"]}
    random, count = np.random.default_rng(seed), len(ranks)
    rows = max(1, _PART // count)
    for start in range(0, resamples, rows):
        drawn = random.integers(count, size=(min(rows, resamples - start), count))
        for name, hits in found.items():
            samples[name].append(hits[drawn].mean(1))
        samples["median_rank"].append(np.median(ranks[drawn], axis=1))
    return percentiles(
        values | {"median_rank": np.median(ranks)},
        {name: np.concatenate(parts) for name, parts in samples.items()},
        level,
        "clips",
    )


def chance(count: int, depths: Sequence[int] = DEPTHS) -> dict[str, float]:
    """What guessing gives among so many pairs.

    Args:
        count: N.
        depths: of the recalls.
    """
    return {f"recall_{k}": min(1.0, k / count) for k in depths} | {"median_rank": (count + 1) / 2}


def _before(similarity: Floats) -> tuple[Floats, Floats]:
    """How many columns (N) are nearer than the right one, and how many others as near."""
    if similarity.ndim != 2 or len(set(similarity.shape)) > 1 or len(similarity) < 2:
        raise DataError(f"pairs are told apart from at least 2, not from {similarity.shape}")
    if not np.isfinite(similarity).all():
        raise DataError("not every similarity is a number")
    own = np.diagonal(similarity)[:, None]
    return (similarity > own).sum(1).astype(float), ((similarity == own).sum(1) - 1).astype(float)
