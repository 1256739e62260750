"""Who is seen for long enough to be kept, among all that a detector takes for faces."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mien.data.faces import Box
from mien.data.shards import Pixels
from mien.data.writer import Writer, encode

SHORT = 0.2
"""Seconds; who is seen for less is a flicker of the detector."""
_FORGET = 5.0  # seconds after which someone who was seen for less will not be seen again


@dataclass(slots=True)
class Sight:
    """Someone at one position."""

    crop: Pixels
    box: Box
    score: float
    detected: bool


@dataclass(slots=True)
class _Person:
    """What is known of someone while they are seen."""

    position: int = 0
    crop: Pixels | None = None
    coded: bytes = b""  # of that crop
    written: bytes | None = None  # what was last written
    number: int = 0  # as which picture
    waiting: list[tuple[int, bytes, Sight]] = field(default_factory=list)


class Sieve:
    """Writes whoever is seen for long enough, and forgets who was not.

    Args:
        writer: of the shard.
        fps: positions a second.
        quality: of the JPEGs.

    Attributes:
        kept: who was written.
        written: at how many positions, over all of them.
    """

    def __init__(self, writer: Writer, fps: float, quality: int) -> None:
        self.writer, self.quality = writer, quality
        self.needed = max(1, math.ceil(SHORT * fps - 1e-6))
        self.patience = math.ceil(_FORGET * fps)
        self.kept: set[str] = set()
        self.written = 0
        self._people: dict[str, _Person] = {}

    def add(self, name: str, position: int, sight: Sight) -> None:
        """Someone is seen."""
        if name not in self._people:
            self._forget(position)
        person = self._people.setdefault(name, _Person())
        if person.crop is None or not np.array_equal(person.crop, sight.crop):
            person.crop, person.coded = sight.crop, encode(sight.crop, self.quality)
        person.position = position
        person.waiting.append((position, person.coded, sight))
        if name in self.kept or len(person.waiting) >= self.needed:
            self._write(name, person)

    def finish(self, looked: int) -> None:
        """The span is over. In one of few positions, few are enough."""
        for name, person in self._people.items():
            if len(person.waiting) >= min(self.needed, looked):
                self._write(name, person)

    def _write(self, name: str, person: _Person) -> None:
        self.kept.add(name)
        for position, coded, sight in person.waiting:
            if coded is not person.written:  # a picture that stays is written once
                person.number, person.written = self.writer.picture(coded), coded
            self.writer.seen(name, position, person.number, sight.box, sight.score, sight.detected)
        self.written += len(person.waiting)
        person.waiting = []

    def _forget(self, position: int) -> None:
        late = [
            name
            for name, person in self._people.items()
            if person.position < position - self.patience
        ]
        for name in late:
            del self._people[name]
