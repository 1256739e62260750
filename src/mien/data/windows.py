"""Rows of many positions in windows, so that long recordings fit, and every position is in one.

Shapes: N positions of a row, L of a window, C labels of a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mien.data import prepared, targets
from mien.data.batch import Choose, RowDataset, group_of
from mien.data.features import sequence
from mien.data.manifest import Manifest
from mien.data.prepared import Source
from mien.data.rows import Row
from mien.errors import ConfigError, DataError
from mien.types import Resolution, Sample, Specs, Unit, Windows

Array = NDArray[np.generic]
Span = tuple[int, int, int]
"""Which item, and its first position and the one after its last."""


def starts(count: int, windows: Windows) -> list[int]:
    """Where windows over so many positions begin.

    The last one ends where the row ends, also where that is nearer than a stride to the one
    before; what is shorter than a window is one shorter window.
    """
    if windows.stride < 1 or (windows.stride > windows.length and not windows.gaps):
        raise ConfigError(
            f"windows of {windows.length} positions every {windows.stride} leave gaps",
            fix="a stride between 1 and the length of a window",
        )
    last = max(0, count - windows.length)
    return [*range(0, last, windows.stride), last]


@runtime_checkable
class Cut(Protocol):
    """Items that are read in windows."""

    @property
    def windows(self) -> Windows:
        """How."""
        ...

    @property
    def spans(self) -> Sequence[Span]:
        """What each sample is of; those of an item follow one another."""
        ...

    def head(self, item: int) -> Sample:
        """All of an item but its inputs: id, group, times and targets."""
        ...


class WindowDataset(RowDataset):
    """Rows in windows; a row has as many positions as its longest input or label.

    In training, windows in which nobody is seen, or of which nothing is annotated, are left out:
    they have nothing to learn from. Else every position is in at least one.

    Args:
        rows: what to read.
        manifest: where the rows come from.
        modalities: modality of the model -> feature of the rows.
        specs: tasks whose labels become targets.
        windows: how rows are cut.
        training: whether empty windows are left out.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        manifest: Manifest,
        modalities: Mapping[str, str],
        specs: Specs,
        windows: Windows,
        *,
        training: bool,
    ) -> None:
        super().__init__(rows, manifest, modalities, specs, Unit.WINDOW)
        self.windows = windows
        self._made: dict[int, dict[str, Array]] = {}
        self._counts = [self._count(item) for item in range(len(self.items))]
        self.spans: list[Span] = [
            (item, first, min(first + windows.length, count))
            for item, count in enumerate(self._counts)
            for first in starts(count, windows)
        ]
        if training:
            self.spans = self._worth_learning()

    def __len__(self) -> int:
        return len(self.spans)

    def length(self, index: int) -> int:
        """Positions of one window."""
        _, first, last = self.spans[index]
        return last - first

    def read(self, index: int, choose: Choose | None = None) -> Sample:
        """One window; of its inputs nothing else is read."""
        del choose  # every position has an answer
        item, first, last = self.spans[index]
        (row,) = self.items[item]
        inputs, mask = {}, {}
        for name, source in self._given(row).items():
            inputs[name], mask[name] = _part(source, first, last)
        rate = self._rate(row)
        return Sample(
            id=row.id,
            inputs=inputs,
            mask={name: there for name, there in mask.items() if not there.all()},
            targets=self.targets(index),
            times=None if rate is None else np.arange(first, last) / rate,
            group=group_of(row),
        )

    def targets(self, index: int) -> dict[str, Array]:
        """The targets of one window by task; no feature is read."""
        item, first, last = self.spans[index]
        return {name: self._cut(name, array, first, last) for name, array in self._of(item).items()}

    def head(self, item: int) -> Sample:
        """All of a row but its inputs."""
        (row,) = self.items[item]
        rate, count = self._rate(row), self._counts[item]
        made = self._of(item)
        return Sample(
            id=row.id,
            inputs={},
            targets={name: self._cut(name, array, 0, count) for name, array in made.items()},
            times=None if rate is None else np.arange(count) / rate,
            group=group_of(row),
        )

    # -- rows ----------------------------------------------------------------------------------

    def _of(self, item: int) -> dict[str, Array]:
        """The targets of a whole row, kept: they are small, and asked for window by window."""
        if item not in self._made:
            (row,) = self.items[item]
            self._made[item] = super()._labels(row)
        return self._made[item]

    def _cut(self, name: str, array: Array, first: int, last: int) -> Array:
        spec = self.specs[name]
        if spec.resolution is not Resolution.FRAME:
            return array
        part = array[first:last]
        lacking = last - first - len(part)
        if not lacking:
            return part
        rest = targets.unknown(spec, lacking)
        if part.ndim > rest.ndim:  # soft classes
            rest = np.full((lacking, spec.width), np.nan, dtype=part.dtype)
        return np.concatenate([part, rest])

    def _count(self, item: int) -> int:
        (row,) = self.items[item]
        lengths = [prepared.length(row, feature, self.place) for feature in self._features(row)]
        known = [length for length in lengths if length is not None]
        if len(known) < len(lengths):
            raise DataError(
                "windows are cut from positions over time, and this row has an input without",
                where=f"row {row.id!r}",
                fix="features of the shape (positions, width)",
            )
        made = self._of(item)
        frames = [name for name in made if self.specs[name].resolution is Resolution.FRAME]
        return max([1, *known, *(len(made[name]) for name in frames)])

    def _lengths(self, row: Row) -> list[int]:
        """None: a label keeps its own length, since every labelled position is answered."""
        del row
        return []

    def _features(self, row: Row) -> list[str]:
        return [name for name in self.modalities.values() if name in row.features]

    def _given(self, row: Row) -> dict[str, Source]:
        have = [name for name in self.modalities if self._has(row, name)]
        found = {name: self._source(row, name) for name in have}
        return {name: source for name, source in found.items() if len(source.mask)}

    def _worth_learning(self) -> list[Span]:
        chosen, seen = [], dict[int, Array]()
        for index, (item, first, last) in enumerate(self.spans):
            if item not in seen:
                (row,) = self.items[item]
                masks = [source.mask for source in self._given(row).values()]
                seen = {item: _any(masks)}
            known = self.targets(index).values()
            annotated = not self.specs or any(_annotated(array) for array in known)
            if annotated and bool(seen[item][first:last].any()):
                chosen.append(self.spans[index])
        return chosen


class SampleWindows(Dataset[Sample]):
    """Samples that are in memory, in windows.

    Args:
        samples: what to cut; of each, inputs have one length.
        windows: how.
    """

    def __init__(self, samples: Sequence[Sample], windows: Windows) -> None:
        self.samples, self.windows = samples, windows
        self._counts = [_length(sample) for sample in samples]
        self.spans: list[Span] = [
            (item, first, min(first + windows.length, count))
            for item, count in enumerate(self._counts)
            for first in starts(count, windows)
        ]

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, index: int) -> Sample:
        item, first, last = self.spans[index]  # an IndexError ends an iteration
        sample = self.samples[item]
        return Sample(
            id=sample.id,
            inputs={name: sequence(array)[first:last] for name, array in sample.inputs.items()},
            mask={name: there[first:last] for name, there in sample.mask.items()},
            group=sample.group,
        )

    def head(self, item: int) -> Sample:
        """All of a sample but its inputs."""
        sample = self.samples[item]
        return Sample(id=sample.id, inputs={}, times=sample.times, group=sample.group)


def _length(sample: Sample) -> int:
    lengths = {len(sequence(array)) for array in sample.inputs.values()}
    if len(lengths) != 1:
        raise DataError(
            f"inputs of one clip have the lengths {sorted(lengths)}", where=f"sample {sample.id!r}"
        )
    return lengths.pop()


def _part(source: Source, first: int, last: int) -> tuple[Array, NDArray[np.bool_]]:
    """Positions [first, last) of an input; masked where it is shorter."""
    asked = np.arange(first, last)
    at = np.minimum(asked, len(source.mask) - 1)
    return source.read(at), source.mask[at] & (asked < len(source.mask))


def _any(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Where any input is there, (N)."""
    longest = np.zeros(max((len(mask) for mask in masks), default=0), dtype=np.bool_)
    for mask in masks:
        longest[: len(mask)] |= mask
    return longest


def _annotated(array: Array) -> bool:
    known = np.isfinite(array) if array.dtype.kind == "f" else array.astype(np.int64) >= 0
    return bool(known.any())
