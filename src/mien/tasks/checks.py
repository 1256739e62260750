"""Targets and predictions as scores take them: of the right shape, finite, and annotated or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import DataError

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


def classes(
    targets: ArrayLike, width: int, invalid: Sequence[float]
) -> tuple[Integers, NDArray[np.bool_]]:
    """Class indices (N), and which of them are annotated."""
    values = np.asarray(targets, dtype=np.float64)
    if values.ndim != 1 and values.shape[1:] != (width,):
        raise DataError(
            f"targets of {width} classes have the shape (N) or (N, {width}), not {values.shape}"
        )
    if values.ndim == 2:  # one weight a class; NaN, as well as no weight at all, is no answer
        largest = values.max(1)
        values = np.where(largest > 0, values.argmax(1), np.nan)
    kept = np.isfinite(values) & (values >= 0) & ~np.isin(values, invalid)
    require(kept)
    indices = np.where(kept, values, 0).astype(np.int64)
    if indices.max() >= width:
        raise DataError(
            f"class index {indices.max()} among the targets of a task with {width} classes",
            where=f"answer {int(indices.argmax())}",
        )
    if (indices != np.where(kept, values, 0)).any():
        bad = int(np.flatnonzero(indices != np.where(kept, values, 0))[0])
        raise DataError(f"{values[bad]:g} is no class index", where=f"answer {bad}")
    return indices, kept


def entries(
    targets: ArrayLike, width: int, invalid: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Target values (N, C), and which of them are annotated."""
    values = np.asarray(targets, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != width:
        raise DataError(
            f"targets of {width} labels have the shape (N, {width}), not {values.shape}"
        )
    return values, np.isfinite(values) & ~np.isin(values, invalid)


def predicted(predictions: ArrayLike, length: int, width: int) -> Floats:
    """Predictions (N, C), all of them finite."""
    values = np.asarray(predictions, dtype=np.float64)
    if values.shape != (length, width):
        raise DataError(
            f"predictions for {length} answers of a task with {width} labels have the shape "
            f"{(length, width)}, not {values.shape}"
        )
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
        raise DataError("a prediction is not a finite number", where=f"answer {bad}")
    return values


def require(kept: NDArray[np.bool_]) -> None:
    """An error where nothing is annotated."""
    if not kept.any():
        raise DataError(
            "there is no annotated answer to score",
            fix="mien data check, and look at the labels of this task in the split",
        )
