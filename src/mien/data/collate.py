"""From samples to a batch: padded to the longest. What is absent is masked.

Shapes: B samples, L positions, C labels of a task, D width of a feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.data import targets
from mien.data.features import sequence
from mien.errors import DataError
from mien.types import Batch, Resolution, Sample, Specs, TaskSpec

Array = NDArray[np.generic]


def collate(samples: Sequence[Sample], specs: Specs) -> Batch:
    """Samples padded to the longest.

    Args:
        samples: at least one.
        specs: tasks whose targets the batch shall have. Where no sample has any target at all
            (prediction), the batch has none; else it has those of every task, masked where a
            sample is not annotated.
    """
    inputs: dict[str, Tensor] = {}
    mask: dict[str, Tensor] = {}
    for name in sorted({name for sample in samples for name in sample.inputs}):
        inputs[name], mask[name] = _padded(samples, name)
    columns = [mask[name].any(1) for name in inputs]
    batch = Batch(
        inputs=inputs,
        mask=mask,
        present=torch.stack(columns, 1) if columns else torch.zeros(len(samples), 0).bool(),
        times=_times(samples),
        ids=[sample.id for sample in samples],
        group=[sample.group for sample in samples],
        chosen=_chosen(samples),
        luck=_luck(samples),
    )
    if any(sample.targets for sample in samples):
        longest = max((tensor.shape[1] for tensor in inputs.values()), default=1)
        for name, spec in specs.items():
            given = [sample.targets.get(name) for sample in samples]
            batch.targets[name], batch.target_mask[name] = _targets(given, spec, longest)
    return batch


def _chosen(samples: Sequence[Sample]) -> frozenset[str]:
    """What was chosen from in every sample that has it."""
    named = {name for sample in samples for name in sample.chosen}
    for name in named:
        for sample in samples:
            if name in sample.inputs and name not in sample.chosen:
                raise DataError(
                    f"{name!r} is prepared for some clips and given as arrays for others",
                    where=f"sample {sample.id!r}",
                    fix="mien data prepare every row, or none",
                )
    return frozenset(named)


def _luck(samples: Sequence[Sample]) -> list[int]:
    """The seeds of the samples, if all have one."""
    found = [sample.luck for sample in samples if sample.luck is not None]
    return found if len(found) == len(samples) else []


def _padded(samples: Sequence[Sample], name: str) -> tuple[Tensor, Tensor]:
    """One modality (B, L, ...), zero where there is nothing, and its mask (B, L)."""
    given = [
        (s, sequence(np.asarray(s.inputs[name]))) if name in s.inputs else None for s in samples
    ]
    arrays = [pair[1] for pair in given if pair is not None]
    _check_alike(name, [pair for pair in given if pair is not None])
    length = max(len(array) for array in arrays)
    padded = np.zeros((len(samples), length, *arrays[0].shape[1:]), dtype=_dtype(arrays))
    mask = np.zeros((len(samples), length), dtype=bool)
    for index, pair in enumerate(given):
        if pair is None:
            continue
        sample, array = pair
        seen = np.asarray(sample.mask.get(name, np.ones(len(array), dtype=bool)), dtype=bool)
        if seen.shape != (len(array),):
            raise DataError(
                f"the mask of {name!r} has the shape {seen.shape}, not {(len(array),)}",
                where=f"sample {sample.id!r}",
            )
        mask[index, : len(array)] = seen
        padded[index, : len(array)][seen] = array[seen]
    return torch.from_numpy(padded), torch.from_numpy(mask)


def _check_alike(name: str, given: Sequence[tuple[Sample, Array]]) -> None:
    first, like = given[0]
    for sample, array in given:
        if array.ndim == 0:
            raise DataError(f"{name!r} is a single number", where=f"sample {sample.id!r}")
        if array.shape[1:] != like.shape[1:]:
            raise DataError(
                f"{name!r} has positions of the shape {like.shape[1:]} in {first.id!r} "
                f"and {array.shape[1:]} in {sample.id!r}",
                fix="mien data check lists every row that differs",
            )


def _dtype(arrays: Sequence[Array]) -> type[np.generic]:
    """Floats as float32, pixels as they are, other integers as int64."""
    kinds = {array.dtype.kind for array in arrays}
    if kinds & {"f", "b"}:
        return np.float32
    return np.uint8 if all(array.dtype == np.uint8 for array in arrays) else np.int64


def _times(samples: Sequence[Sample]) -> Tensor | None:
    """Seconds (B, L); NaN where a sample has none."""
    given = [sample.times for sample in samples]
    length = max((len(times) for times in given if times is not None), default=0)
    if not length:
        return None
    padded = np.full((len(samples), length), np.nan, dtype=np.float32)
    for index, times in enumerate(given):
        if times is not None:
            padded[index, : len(times)] = times
    return torch.from_numpy(padded)


def _targets(given: Sequence[Array | None], spec: TaskSpec, longest: int) -> tuple[Tensor, Tensor]:
    """The targets of one task, and which of them are annotated.

    Args:
        given: of each sample; None where it has none.
        spec: the task.
        longest: positions of the batch, for a task by frames that no sample has.

    Returns:
        Indices (B) or (B, L) with -1, or soft labels and values (B, C) or (B, L, C) with 0, where
        there is no annotation; masks (B) or (B, L) of classes, (B, C) or (B, L, C) of values.
    """
    soft = spec.categorical and any(a is not None and a.dtype.kind == "f" for a in given)
    made = [_softened(array, spec) if soft and array is not None else array for array in given]
    whole = _stacked(made, spec, longest, wide=soft or not spec.categorical)
    if whole.dtype.kind != "f":
        return torch.from_numpy(whole), torch.from_numpy(whole >= 0)
    annotated = np.isfinite(whole)
    whole[~annotated] = 0
    return torch.from_numpy(whole), torch.from_numpy(annotated.all(-1) if soft else annotated)


def _softened(array: Array, spec: TaskSpec) -> Array:
    return array if array.dtype.kind == "f" else targets.one_hot(array, spec.width)


def _stacked(
    made: Sequence[Array | None], spec: TaskSpec, longest: int, *, wide: bool
) -> NDArray[np.float32] | NDArray[np.int64]:
    """Targets padded to one length; ``wide`` ones have a last axis of C."""
    tail = (spec.width,) if wide else ()
    known = [array for array in made if array is not None]
    axes = {array.ndim for array in known} or {len(tail) + (spec.resolution is Resolution.FRAME)}
    if len(axes) > 1 or any(array.shape[array.ndim - len(tail) :] != tail for array in known):
        shapes = sorted({array.shape for array in known})
        raise DataError(f"targets of task {spec.name!r} do not go together: {shapes}")
    by_position = axes.pop() > len(tail)
    length = (max((len(array) for array in known), default=longest),) if by_position else ()
    size = (len(made), *length, *tail)
    whole = np.full(size, np.nan, np.float32) if wide else np.full(size, -1, np.int64)
    for index, array in enumerate(made):
        if array is not None:
            whole[(index, slice(len(array))) if by_position else index] = array
    return whole
