"""Parts of a sample made absent: whole modalities, or a stretch of time in some of them.

What is absent is masked or left out, as if it had never been recorded; nothing is filled in. It is
hidden before a front end chooses what it looks at, so frames that are hidden are not looked at as
black ones: others are.

Shapes: L positions of a modality.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from torch.utils.data import Dataset

from mien.data.batch import RowDataset
from mien.data.features import sequence
from mien.data.prepared import Bools, Indices
from mien.data.windows import Cut, Span
from mien.parts.model import FrontEnd
from mien.run.batches import choose, seed_for
from mien.types import Sample, Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Hiding:
    """What is made absent.

    Args:
        absent: modalities, as a whole.
        stretch: of so many equal stretches of the sample's time, which one.
        of: modalities in which it is hidden.
    """

    absent: frozenset[str] = frozenset()
    stretch: tuple[int, int] = (1, 0)
    of: frozenset[str] = frozenset()

    def left(self, name: str, count: int, first: int = 0, last: int | None = None) -> Bools:
        """Which positions of a modality are left, of [first, last) of so many in all."""
        at = np.arange(first, count if last is None else last)
        if name in self.absent:
            return np.zeros(len(at), np.bool_)
        pieces, number = self.stretch
        if name not in self.of:
            return np.ones(len(at), np.bool_)
        low, high = count * number // pieces, count * (number + 1) // pieces
        return (at < low) | (at >= high)


NOTHING = Hiding()
"""Hides nothing."""


class Subjects(Protocol):
    """Samples that can be asked for with parts hidden; each may be read in several windows."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def lengths(self, item: int) -> dict[str, int]:
        """Positions in time of every modality that is there; 1 where it has no time."""
        ...

    def read(self, item: int, hiding: Hiding) -> Sample:
        """A sample with parts hidden."""
        ...


def hidden(sample: Sample, hiding: Hiding, span: tuple[int, int, int] | None = None) -> Sample:
    """A sample with parts hidden, of which every position is there to be hidden.

    Args:
        sample: nothing of it was chosen yet.
        hiding: what is hidden.
        span: of a window: its first position, the one after its last, and how many there are.
    """
    masks: dict[str, Bools] = {}
    for name, array in sample.inputs.items():
        count = len(sequence(array))
        first, last, whole = span if span is not None else (0, count, count)
        masks[name] = _mask(sample, name) & hiding.left(name, whole, first, last)[:count]
    return with_masks(sample, masks)


def _mask(sample: Sample, name: str) -> Bools:
    """Which positions of a modality are there."""
    count = len(sequence(np.asarray(sample.inputs[name])))
    return np.asarray(sample.mask.get(name, np.ones(count, np.bool_)), np.bool_)


def with_masks(sample: Sample, masks: Mapping[str, Bools]) -> Sample:
    """A sample with these masks, without modalities of which nothing is left.

    Where that is all of them, one stays, masked: a network is never asked without any input. What
    is hidden at the end is still a position: times say so.
    """
    moments = [len(array) for array in sample.inputs.values() if np.ndim(array) > 1]
    left = [name for name, there in masks.items() if there.any()] or sorted(masks)[:1]
    return replace(
        sample,
        inputs={name: sample.inputs[name] for name in left},
        mask={name: masks[name] for name in left},
        chosen=frozenset(name for name in left if name in sample.chosen),
        times=np.arange(max(moments)) if moments and sample.times is None else sample.times,
    )


# -- where samples come from -----------------------------------------------------------------------


class Given:
    """Samples in memory.

    Args:
        samples: nothing of them was chosen yet.
        finish: what becomes of a sample once parts of it are hidden, such as the front end's
            choice of frames.
    """

    def __init__(
        self, samples: Sequence[Sample], finish: Callable[[Sample], Sample] = lambda sample: sample
    ) -> None:
        self.samples, self.finish = samples, finish

    def __len__(self) -> int:
        return len(self.samples)

    def lengths(self, item: int) -> dict[str, int]:
        """Positions in time of every modality that is there."""
        return _lengths(self.samples[item])

    def read(self, item: int, hiding: Hiding) -> Sample:
        """A sample with parts hidden."""
        return self.finish(hidden(self.samples[item], hiding))


class Rows:
    """Rows of a manifest as a front end sees them: of prepared clips what it chooses is read.

    Args:
        rows: the rows.
        front_end: whose choice counts.
    """

    def __init__(self, rows: RowDataset, front_end: FrontEnd) -> None:
        self.rows, self.front_end = rows, front_end

    def __len__(self) -> int:
        return len(self.rows)

    def lengths(self, item: int) -> dict[str, int]:
        """Positions in time of every modality that is there."""
        sample, counts = self._read(item, NOTHING)
        return _lengths(sample) | counts

    def read(self, item: int, hiding: Hiding) -> Sample:
        """A sample with parts hidden."""
        return self._read(item, hiding)[0]

    def _read(self, item: int, hiding: Hiding) -> tuple[Sample, dict[str, int]]:
        """The sample, and how many positions those modalities had of which some were chosen."""
        counts: dict[str, int] = {}
        chosen: dict[str, Indices] = {}

        def chooses(masks: Mapping[str, Bools], rates: Mapping[str, float]) -> dict[str, Indices]:
            left = {name: there & hiding.left(name, len(there)) for name, there in masks.items()}
            kept = {name: there for name, there in left.items() if name not in hiding.absent}
            if kept:  # what is absent is not even read
                chosen.update({name: np.array([-1]) for name in left if name not in kept})
            chosen.update(choose(self.front_end, kept or left, rates, training=False))
            counts.update({name: len(masks[name]) for name in chosen})
            return chosen

        sample = self.rows.read(item, chooses)
        masks: dict[str, Bools] = {}
        for name, array in sample.inputs.items():
            count = counts.get(name, len(sequence(array)))
            left = hiding.left(name, count)
            masks[name] = _mask(sample, name) & (left[chosen[name]] if name in chosen else left)
        luck = seed_for(sample.id)  # the same as in any other evaluation
        return with_masks(replace(sample, luck=luck, targets={}), masks), counts


class Windowed:
    """Rows, or arrays, that are read in windows.

    Args:
        cut: their windows.
    """

    def __init__(self, cut: Dataset[Sample]) -> None:
        assert isinstance(cut, Cut)
        self.dataset, self.cut = cut, cut
        self.spans: dict[int, list[tuple[int, Span]]] = {}
        for index, span in enumerate(cut.spans):
            self.spans.setdefault(span[0], []).append((index, span))

    def __len__(self) -> int:
        return len(self.spans)

    def lengths(self, item: int) -> dict[str, int]:
        """Positions in time of every modality that is there."""
        found: dict[str, int] = {}
        for window in range(len(self.spans[item])):
            sample = self.window(item, window, NOTHING)
            there = [name for name, mask in sample.mask.items() if mask.any()]
            found |= dict.fromkeys(there, self._count(item))
        return found

    def _count(self, item: int) -> int:
        return max(last for _, (_, _, last) in self.spans[item])

    def window(self, item: int, window: int, hiding: Hiding) -> Sample:
        """One of an item's windows with parts hidden."""
        index, (_, first, last) = self.spans[item][window]
        span = (first, last, self._count(item))
        return hidden(replace(self.dataset[index], targets={}), hiding, span)


def _lengths(sample: Sample) -> dict[str, int]:
    found = {}
    for name, array in sample.inputs.items():
        if _mask(sample, name).any():
            letters = array.ndim == 1 and array.dtype.kind in "iu"  # of a text: no moments
            found[name] = 1 if letters else len(sequence(array))
    return found


# -- questions -------------------------------------------------------------------------------------


class Asked(Dataset[Sample]):
    """Samples with parts hidden, one for each question.

    Args:
        subjects: where they come from.
        questions: which of them, and what is hidden.
    """

    def __init__(self, subjects: Subjects, questions: Sequence[tuple[int, Hiding]]) -> None:
        self.subjects, self.questions = subjects, questions

    def __len__(self) -> int:
        return len(self.questions)

    def __getitem__(self, index: int) -> Sample:
        item, hiding = self.questions[index]  # an IndexError ends an iteration
        return self.subjects.read(item, hiding)


class AskedWindows(Dataset[Sample]):
    """The same of what is read in windows: each question is an item, in as many windows.

    Args:
        subjects: where they come from.
        questions: which of them, and what is hidden.
    """

    def __init__(self, subjects: Windowed, questions: Sequence[tuple[int, Hiding]]) -> None:
        self.subjects, self.questions = subjects, questions
        self.spans: list[Span] = []
        self._window: list[int] = []
        for number, (item, _) in enumerate(questions):
            for window, (_, (_, first, last)) in enumerate(subjects.spans[item]):
                self.spans.append((number, first, last))
                self._window.append(window)

    @property
    def windows(self) -> Windows:
        """How rows are cut."""
        return self.subjects.cut.windows

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, index: int) -> Sample:
        item, hiding = self.questions[self.spans[index][0]]
        return self.subjects.window(item, self._window[index], hiding)

    def head(self, item: int) -> Sample:
        """All of an item but its inputs and targets."""
        return replace(self.subjects.cut.head(self.questions[item][0]), targets={})
