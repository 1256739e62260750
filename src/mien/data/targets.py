"""Labels as the numbers a task is trained on.

Shapes: C labels of the task, L positions. What is not annotated is -1 as a class index and NaN
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.rows import Label, Track
from mien.errors import DataError, did_you_mean
from mien.types import Problem, TaskSpec

Array = NDArray[np.generic]
Floats = NDArray[np.float32]


def of_clip(label: Label | None, spec: TaskSpec) -> Array:
    """The target of one answer.

    Args:
        label: one class as its name, or as its index where the task's classes are not called by
            numbers; weights by class, taken as shares of their sum; for many of n a list of the
            labels that are present, or a number by label; for a regression a number, a list of
            them, or a number by dimension.
        spec: the task.

    Returns:
        A class index (), or weights (C) of a soft label; other tasks: values (C).
    """
    if label is None:
        return unknown(spec)
    if isinstance(label, Track):
        raise DataError(
            f"task {spec.name!r} asks once a {spec.resolution.value}, and its label is a track",
            fix="declare it with resolution: frame",
        )
    if spec.categorical:
        return _one(label, spec)
    return _present(label, spec) if spec.problem is Problem.MANY_OF_N else _values(label, spec)


def of_frames(values: Array | Sequence[Any], spec: TaskSpec) -> Array:
    """The targets of L positions.

    Args:
        values: numbers (L) or (L, C), or a list with one label a position.
        spec: the task.

    Returns:
        Class indices (L), or weights (L, C) of soft labels; other tasks: values (L, C).
    """
    if isinstance(values, np.ndarray):
        return _frames(values, spec)
    made = [of_clip(None if value is None else value, spec) for value in values]
    return stacked(made, spec)


def unknown(spec: TaskSpec, *length: int) -> Array:
    """Targets of positions that nobody annotated."""
    if spec.categorical:
        return np.full(length, -1, dtype=np.int64)
    return np.full((*length, spec.width), np.nan, dtype=np.float32)


def stacked(made: Sequence[Array], spec: TaskSpec) -> Array:
    """Answers one after the other; where hard and soft labels meet, all become soft."""
    if not made:
        return unknown(spec, 0)
    if spec.categorical and len({array.ndim for array in made}) > 1:
        made = [array if array.ndim else one_hot(array, spec.width) for array in made]
    return np.stack(made)


def one_hot(indices: Array, width: int) -> Floats:
    """Class indices (...) as weights (..., C); NaN where there is none."""
    weights = np.full((*indices.shape, width), np.nan, dtype=np.float32)
    known = indices.astype(np.int64) >= 0
    weights[known] = np.eye(width, dtype=np.float32)[indices.astype(np.int64)[known]]
    return weights


# -- one answer ------------------------------------------------------------------------------------


def _one(label: Any, spec: TaskSpec) -> Array:
    if isinstance(label, list):
        raise DataError(
            f"task {spec.name!r} asks for one class, the label is a list", fix="problem: many_of_n"
        )
    if not isinstance(label, Mapping):
        return np.asarray(index_of(label, spec), dtype=np.int64)
    weights = np.zeros(spec.width)
    for name, weight in label.items():
        if weight is None or weight < 0:
            raise DataError(f"class {name!r} has the weight {weight}: weights are at least 0")
        weights[index_of(name, spec)] += weight
    if not weights.sum():
        raise DataError(f"a soft label needs a class with a weight, not {dict(label)}")
    soft: Floats = (weights / weights.sum()).astype(np.float32)
    return soft


def index_of(label: str | int | float, spec: TaskSpec) -> int:
    """The index of a class by its name or number; -1 for a number that means "not annotated"."""
    if label in spec.invalid:
        return -1
    word = str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
    if word in spec.labels:
        return spec.labels.index(word)
    if isinstance(label, int | float) and not _numbered(spec):
        if label in range(spec.width):
            return int(label)
        raise DataError(f"task {spec.name!r} has classes 0 to {spec.width - 1}, not {label}")
    raise DataError(f"task {spec.name!r} has no label {word!r}: {did_you_mean(word, spec.labels)}")


def _numbered(spec: TaskSpec) -> bool:
    """Whether classes are called by numbers, which then are no indices."""
    return any(label.lstrip("-").isdecimal() for label in spec.labels)


def _present(label: Label, spec: TaskSpec) -> Array:
    """A number a label: 1 where it is present, 0 where it is not."""
    if isinstance(label, Mapping):
        return _by_name(label, spec, missing=0.0)
    if isinstance(label, list) and label and not isinstance(label[0], str):
        return _listed(label, spec)
    found = np.zeros(spec.width, dtype=np.float32)
    names: list[Any] = label if isinstance(label, list) else [label]
    for name in names:
        found[index_of(name, spec)] = 1
    return found


def _values(label: Label, spec: TaskSpec) -> Array:
    if isinstance(label, Mapping):
        return _by_name(label, spec, missing=np.nan)
    return _listed(label if isinstance(label, list) else [label], spec)


def _by_name(label: Mapping[str, Any], spec: TaskSpec, *, missing: float) -> Array:
    found = np.full(spec.width, missing)
    for name, value in label.items():
        if name not in spec.labels:
            raise DataError(
                f"task {spec.name!r} has no label {name!r}: {did_you_mean(name, spec.labels)}"
            )
        found[spec.labels.index(name)] = np.nan if value is None else value
    return _annotated(found, spec)


def _listed(label: Sequence[Any], spec: TaskSpec) -> Array:
    if len(label) != spec.width:
        raise DataError(f"task {spec.name!r} has {spec.width} values, the label {len(label)}")
    if not all(value is None or isinstance(value, int | float) for value in label):
        raise DataError(f"task {spec.name!r} asks for numbers, not {label!r}")
    return _annotated(np.array([np.nan if v is None else v for v in label]), spec)


def _annotated(values: NDArray[Any], spec: TaskSpec) -> Floats:
    """Values with NaN where they mean "not annotated"."""
    found = values.astype(np.float32)
    if spec.invalid:
        found[np.isin(found, np.array(spec.invalid, dtype=np.float32))] = np.nan
    if np.isinf(found).any():
        raise DataError(f"a value of task {spec.name!r} is not finite")
    return found


# -- many answers at once --------------------------------------------------------------------------


def _frames(values: NDArray[Any], spec: TaskSpec) -> Array:
    if values.ndim == 1 and not spec.categorical:
        values = values[:, None]
    if values.ndim == 2 and values.shape[1] == 1 and spec.categorical:
        values = values[:, 0]
    if values.ndim == 2 and values.shape[1] != spec.width:
        raise DataError(
            f"task {spec.name!r} has {spec.width} labels, the track {values.shape[1]} columns"
        )
    found = _annotated(values, spec)
    if not spec.categorical:
        return found
    return _shares(found, spec) if found.ndim == 2 else _indices(found, spec)


def _indices(values: Floats, spec: TaskSpec) -> Array:
    """Class numbers (L), NaN where unknown, to class indices (L)."""
    indices = np.full(len(values), -1, dtype=np.int64)
    for value in np.unique(values[~np.isnan(values)]):  # few classes, many positions
        indices[values == value] = index_of(float(value), spec)
    return indices


def _shares(values: Floats, spec: TaskSpec) -> Array:
    """Weights (L, C) that add up to 1; rows without any are unknown."""
    if (values < 0).any():
        raise DataError(f"weights of the classes of task {spec.name!r} are at least 0")
    total = np.nansum(values, 1, keepdims=True)
    found: Floats = np.divide(values, total, where=total > 0, out=np.full_like(values, np.nan))
    return found
