"""A long clip cut into windows: each cue is looked at about once, and faces may be a stream."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from mien.cues.schema import Cues, Face, overlap

__all__ = ["windowed"]


class _Span(Protocol):
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


S = TypeVar("S", bound=_Span)


def windowed(
    clip: Cues,
    faces: Iterable[Face] | None,
    *,
    length: float,
    step: float,
    around: float = 0.0,
) -> Iterator[Cues]:
    """The windows of a clip, the last one shorter, as :meth:`Cues.between` would cut them.

    Args:
        clip: all that is known of it but faces. Windows are called ``ID@SECOND``.
        faces: in the order of time; no more of them is kept than a window has. None: nobody looked.
        length: seconds of a window.
        step: seconds from one to the next.
        around: prosody may lie this far outside.
    """
    passing = None if faces is None else _Passing(faces)
    speech, turns = _Sliding(clip.speech), _Sliding(clip.transcript)
    prosody, dimensions = _Sliding(clip.prosody), _Sliding(clip.dimensions)
    for number in range(max(1, math.ceil((clip.end - clip.start) / step - 1e-6))):
        start = clip.start + number * step
        end = start + length if clip.end <= start else min(start + length, clip.end)
        yield replace(
            clip,
            id=f"{clip.id}@{start:.3f}",
            start=start,
            end=end,
            faces=None if passing is None else passing.between(start, end),
            speech=speech.between(start, end),
            prosody=prosody.between(start - around, end + around),
            dimensions=dimensions.between(start, end),
            transcript=turns.between(start, end),
        )


class _Passing:
    """Faces that come one by one, and go when no later window wants them."""

    def __init__(self, faces: Iterable[Face]) -> None:
        self._coming = iter(faces)
        self._next = next(self._coming, None)
        self._kept: deque[Face] = deque()

    def between(self, start: float, end: float) -> tuple[Face, ...]:
        """Those in [start, end); neither ever lies before what was asked for last."""
        while self._kept and self._kept[0].time < start:
            self._kept.popleft()
        while self._next is not None and self._next.time < end:
            if self._next.time >= start:
                self._kept.append(self._next)
            self._next = next(self._coming, None)
        return tuple(face for face in self._kept if face.time < end)


class _Sliding(Generic[S]):
    """Stretches that overlap a window which only moves on, in the order in which they are given."""

    def __init__(self, items: tuple[S, ...] | None) -> None:
        self._items: Sequence[S] = items or ()
        self._asked = items is not None
        self._order = sorted(range(len(self._items)), key=lambda i: self._items[i].start)
        self._next = 0
        self._near: list[int] = []

    def between(self, start: float, end: float) -> tuple[S, ...] | None:
        """Those that overlap [start, end); neither ever lies before what was asked for last."""
        if not self._asked:
            return None
        items = self._items
        while self._next < len(items) and items[self._order[self._next]].start < end:
            self._near.append(self._order[self._next])
            self._next += 1
        self._near = [
            i for i in self._near if items[i].end > start or items[i].start == items[i].end == start
        ]
        near = (items[i] for i in sorted(self._near))
        return tuple(one for one in near if overlap(one.start, one.end, start, end))
