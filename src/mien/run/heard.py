"""What was measured of the sound of rows, part by part, in a file that only grows.

A row is listened to in parts of ten minutes, each on its own: nothing is carried over from one to
the next. So a row of many hours that was stopped goes on with the part it was in, and the answer
is the same as if nobody had stopped it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from mien.cues.pitch import RATE
from mien.cues.prosody import Activity, Listener, Utterance
from mien.data import media, prepared, sound, stills
from mien.data.descriptions import clip_hash
from mien.data.places import Place
from mien.data.rows import Row
from mien.data.sound import Block
from mien.data.turns import Turn
from mien.errors import DataError

PART = 600  # seconds of a part
_VERSION = 1  # of the measures; another one measures anew
_LONGEST = 1 << 24  # letters of a line

Finder = Callable[[int, float], Activity]
"""Makes what finds speech, from the rate and the second of the first sample."""

Writer = Callable[[sound.Samples, float], tuple[Turn, ...]]
"""Writes down what is said in sound of 16,000 samples a second, given its first second."""


@dataclass(frozen=True, slots=True)
class Ears:
    """Who listens.

    Args:
        name: what finds speech, and who writes down.
        finder: makes what finds speech.
        writer: writes down what is said, where somebody shall.
    """

    name: str
    finder: Finder
    writer: Writer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the sound of a row.

    Args:
        row: its id.
        clip: hash of which media and which seconds were meant.
        by: what found speech, and the version of the measures.
        number: of the part, from 0.
        start: its first second.
        end: where it ends.
        sound: whether there is an audio track at all.
        last: whether the row ends with it.
        utterances: what was said in it, measured.
        transcript: what was written down; None: nobody did.
    """

    row: str
    clip: str
    by: str
    number: int
    start: float
    end: float
    sound: bool
    last: bool
    utterances: tuple[Utterance, ...] = ()
    transcript: tuple[Turn, ...] | None = None


_PART = TypeAdapter(Part)


def listen(row: Row, place: Place, ears: Ears, done: Mapping[int, Part]) -> Iterator[Part]:
    """The parts of a row that are not done, in order.

    Args:
        row: with a recording.
        place: where its paths start.
        ears: who listens.
        done: parts by number.

    Raises:
        DataError: the recording cannot be read.
    """
    first = next((n for n in range(len(done) + 1) if n not in done), 0)
    start = (row.start or 0.0) + first * PART
    about: dict[str, Any] = {"row": row.id, "clip": clip_hash(row), "by": named(ears.name)}
    try:
        rate, blocks = _blocks(row, row.place or place, start)
    except _NoSoundError as error:
        yield Part(**about, number=0, start=start, end=error.end, sound=False, last=True)
        return
    for number, heard in enumerate(_parts(blocks, rate, start, ears), first):
        yield Part(**about, number=number, sound=True, **heard)


def named(by: str) -> str:
    """What found speech, with the version of the measures."""
    return f"{by} {_VERSION}"


def _parts(
    blocks: Iterator[Block], rate: int, start: float, ears: Ears
) -> Iterator[dict[str, Any]]:
    """Times, utterances and transcript of each part; blocks are of a second or less."""
    ear = _Ear(ears, rate, start)
    for block in blocks:
        if block.time >= ear.start + PART - 0.5 / rate:
            yield ear.end(ear.start + PART, last=False)
            ear = _Ear(ears, rate, ear.start + PART)
        ear.feed(block)
    yield ear.end(ear.until, last=True)


class _Ear:
    """Listens to one part."""

    def __init__(self, ears: Ears, rate: int, start: float) -> None:
        if ears.writer is not None and rate != RATE:
            raise DataError(
                f"sound of {rate:,} samples a second is not written down",
                fix=f"mien data prepare --rate {RATE}",
            )
        self.start = self.until = start
        self._rate, self._writer = rate, ears.writer
        self._listener = Listener(rate, start=start, activity=ears.finder(rate, start))
        self._found: list[Utterance] = []
        self._kept: list[sound.Samples] = []  # only where somebody writes down

    def feed(self, block: Block) -> None:
        self._found += self._listener.feed(block.samples, block.there)
        if self._writer is not None:
            self._kept.append(block.samples)
        if block.there.any():
            last = int(np.flatnonzero(block.there)[-1]) + 1
            self.until = block.time + last / self._rate

    def end(self, until: float, *, last: bool) -> dict[str, Any]:
        """What is told of the part."""
        written = None
        if self._writer is not None:
            written = self._writer(
                np.concatenate([np.zeros(0, np.float32), *self._kept]), self.start
            )
        found = tuple(self._found + self._listener.finish())
        return {
            "start": self.start, "end": until, "last": last, "utterances": found,
            "transcript": written,
        }  # fmt: skip


class _NoSoundError(Exception):
    """There is no audio track; says where the picture ends."""

    def __init__(self, end: float) -> None:
        self.end = end


def _blocks(row: Row, place: Place, start: float) -> tuple[int, Iterator[Block]]:
    """The rate and the sound of a row, from some second on."""
    named = row.audio or row.video
    if named is None:
        source = prepared.source(row, "audio", place)
        rate = int(source.rate or RATE)  # of a shard it is known
        samples, there = np.asarray(source.whole(), np.float32), source.mask
        skip = round((start - (row.start or 0.0)) * rate)
        return rate, _cut(samples[skip:], there[skip:], rate, start)
    path = place.find(named)
    if path.is_dir() or stills.kind(path):
        raise _NoSoundError(row.end if row.end is not None else start)
    facts = media.probe(path)
    if facts.audio is None:
        raise _NoSoundError(min(row.end or facts.duration, facts.duration))
    return RATE, sound.blocks(path, RATE, start=start, end=row.end)


def _cut(samples: sound.Samples, there: sound.Mask, rate: int, start: float) -> Iterator[Block]:
    for at in range(0, len(samples), rate):
        yield Block(start + at / rate, samples[at : at + rate], there[at : at + rate])


# -- the file --------------------------------------------------------------------------------------


class Journal:
    """The file: what is in it, and what is added. One process writes to it.

    Args:
        path: made where there is none; a last line that was only half written is cut off.
        by: parts that were measured otherwise are passed over.
    """

    def __init__(self, path: Path, by: str) -> None:
        self.path, self._by = path, named(by)
        self.parts: dict[tuple[str, str], dict[int, Part]] = {}
        _mend(path)
        if path.is_file():
            with path.open("rb") as file:
                for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
                    self._hold(_part(line, f"{path}:{number}"))

    def add(self, part: Part) -> None:
        """Keep a part; afterwards it is on the disk."""
        line = json.dumps(_PART.dump_python(part, mode="json"), ensure_ascii=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._hold(part)

    def of(self, row: Row) -> dict[int, Part]:
        """The parts of a row by number."""
        return self.parts.get((row.id, clip_hash(row)), {})

    def whole(self, row: Row) -> bool:
        """Whether a row is listened to up to its end."""
        parts = self.of(row)
        ends = [number for number, part in parts.items() if part.last]
        return bool(ends) and all(number in parts for number in range(min(ends)))

    def _hold(self, part: Part) -> None:
        if part.by == self._by:
            self.parts.setdefault((part.row, part.clip), {})[part.number] = part


def _mend(path: Path) -> None:
    """Cut off a last line that was only half written."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        back = min(size, 2 * _LONGEST)
        file.seek(size - back)
        end = file.read(back)
        if end and not end.endswith(b"\n"):
            file.truncate(size - back + end.rfind(b"\n") + 1)


def _part(line: bytes, where: str) -> Part:
    try:
        found = _PART.validate_json(line)
    except ValidationError as error:
        raise DataError(
            "this line was not written by mien data cues",
            where=where,
            fix="take the file away: the rows are listened to again",
        ) from error
    return dataclasses.replace(found, utterances=tuple(found.utterances))
