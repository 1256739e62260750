"""Shards: the faces and the sound of one source, decoded once and kept in one file.

A shard is written from front to back and read from the back: a header, blobs (JPEG crops, pieces
of sound), an index, a footer. The index holds the length and checksum of every blob, and columns
that say what each of them shows. Blobs lie side by side, so lengths alone say where they are.
Nothing that an index claims is believed before it is compared with the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.data import layout
from mien.errors import DataError

Span: TypeAlias = tuple[float, float | None]
"""From a second to another; None: to the end of the source."""
Pixels: TypeAlias = NDArray[np.uint8]

SUFFIX = ".shard"
AUDIO, FRAME = "audio", "frame"
"""What a reference names beside people: the sound, and the whole picture."""
FULL = 32768.0
"""The int16 that stands for 1.0 in a sound."""

_CLOSE = 1e-6  # of a position: times are floats
_EMPTY = 60  # seconds of nothing that a stretch of sound may hold besides what is stored
_COLOR = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # no second pass from BGR
_SIZES = struct.Struct(">HH")
_OPEN = 64  # shards whose indices a process keeps


def address(values: Mapping[str, Any]) -> str:
    """The name that a shard has by its content: of source, recipe and spans."""
    text = json.dumps({**values, "shard": layout.VERSION}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_of(folder: Path, name: str) -> Path:
    """Where the shard of an address lies."""
    return folder / name[:2] / f"{name}{SUFFIX}"


@dataclass(frozen=True, slots=True)
class Sightings:
    """Where and when one person is seen; positions at which nobody is are left out.

    Shapes: positions (n) on the grid, rising; blobs (n); boxes (n, 4) in pixels of the source:
    left, top, width, height; scores (n); detected (n): found here, not placed between two finds.
    """

    positions: NDArray[np.uint32]
    blobs: NDArray[np.uint32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    detected: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.positions)


class Shard:
    """A shard, opened: its index is in memory, its pictures and sound are read when asked for.

    No file is held open and nothing is shared, so threads and processes may use the same one; a
    pickled shard is opened anew from its path.

    Attributes:
        path: the file.
        fps: positions a second.
        rate: samples a second.
        size: pixels at each side of a crop.
        spans: what of the source was prepared.
        facts: source, hashes, detector, recipe, duration, versions, notes.
        tracks: who is seen, by name.
        grid: (G, 2) positions that were looked at: from, up to.
    """

    def __init__(self, path: Path, head: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
        self.path = path
        self.fps, self.rate, self.size = float(head["fps"]), int(head["rate"]), int(head["size"])
        self.spans: list[Span] = [(start, end) for start, end in head["spans"]]
        self.facts: dict[str, Any] = head["facts"]
        self.tracks = {
            name: Sightings(
                columns[f"{i}.positions"],
                columns[f"{i}.blobs"],
                columns[f"{i}.boxes"],
                columns[f"{i}.scores"],
                columns[f"{i}.detected"].view(np.bool_),
            )
            for i, (name, _) in enumerate(head["tracks"])
        }
        self.grid: NDArray[np.int64] = columns["grid"]
        self._pieces, self._runs = columns["pieces"], columns["runs"]
        self._lengths, self._sums = columns["lengths"], columns["sums"]
        self._ends = layout.START + np.cumsum(self._lengths, dtype=np.int64)

    @classmethod
    def open(cls, path: str | Path) -> Shard:
        """Read and check the index of a shard.

        Raises:
            DataError: it is missing, not a shard, or damaged.
        """
        path = Path(path)
        with _reading(path) as file:
            head, columns = layout.read(file)
        return cls(path, head, columns)

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard.open, (str(self.path),)

    def covers(self, start: float, end: float | None) -> bool:
        """Whether all of [start, end) was prepared."""
        return any(
            first <= start + _CLOSE and (last is None or (end is not None and end <= last + _CLOSE))
            for first, last in self.spans
        )

    def clip(self, track: str, start: float = 0.0, end: float | None = None) -> Clip:
        """One person, or the whole picture, in [start, end); nothing is decoded yet.

        Raises:
            DataError: nobody is called so, or not all of the stretch was prepared.
        """
        seen = self._track(track)
        self._check_stretch(start, end)
        low = _ceil(start * self.fps)
        high = _ceil(end * self.fps) if end is not None else int(self.grid.max(initial=0))
        edges = np.clip(self.grid, low, max(low, high))
        wanted = layout.together(edges.tolist())
        at = np.searchsorted(seen.positions, wanted)
        at[at == len(seen)] = 0
        return Clip(self, track, wanted, seen.positions[at] == wanted, at)

    def frames(self, track: str, positions: ArrayLike) -> Pixels:
        """Crops (n, S, S, 3) at some positions, in any order; only these are read.

        Raises:
            DataError: nothing is seen at one of them, or what was written is damaged.
        """
        seen, asked = self._track(track), np.asarray(positions, dtype=np.int64).reshape(-1)
        at = np.searchsorted(seen.positions, asked)
        at[at == len(seen)] = 0
        found = seen.positions[at] == asked
        if not found.all():
            missing = int(asked[~found][0])
            raise DataError(f"{track!r} is not seen at position {missing}", where=str(self.path))
        return self.decode(seen.blobs[at])

    def decode(self, blobs: NDArray[np.uint32]) -> Pixels:
        """The crops (n, S, S, 3) in some blobs (n)."""
        crops = np.empty((len(blobs), self.size, self.size, 3), np.uint8)
        before: dict[int, int] = {}  # a picture that is shown for long is one blob
        with _reading(self.path) as file:
            for i, blob in enumerate(blobs.tolist()):
                if blob in before:
                    crops[i] = crops[before[blob]]
                else:
                    crops[i] = _decoded(self._blob(file, blob), self.size)
                    before[blob] = i
        return crops

    @property
    def seconds_seen(self) -> float:
        """Seconds of picture that were looked at."""
        return float((self.grid[:, 1] - self.grid[:, 0]).sum()) / self.fps

    @property
    def seconds_heard(self) -> float:
        """Seconds of sound that there are."""
        return float((self._runs[:, 1] - self._runs[:, 0]).sum()) / self.rate

    def looked(self, start: float = 0.0, end: float | None = None) -> bool:
        """Whether the picture was looked at anywhere in [start, end)."""
        low, high = _ceil(start * self.fps), math.inf if end is None else _ceil(end * self.fps)
        return bool(((self.grid[:, 0] < high) & (self.grid[:, 1] > low)).any())

    def hears(self, start: float = 0.0, end: float | None = None) -> bool:
        """Whether there is any sound in [start, end)."""
        low, high = start * self.rate, math.inf if end is None else end * self.rate
        return bool(((self._runs[:, 0] < high) & (self._runs[:, 1] > low)).any())

    def wave(
        self, start: float = 0.0, end: float | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Sound (n) in [start, end), and where (n) there is any; it ends where the source does.

        Raises:
            DataError: what was written is damaged, or not all of the stretch was prepared.
        """
        self._check_stretch(start, end)
        stops = self._pieces[:, 0] + self._lengths[self._pieces[:, 1]] // 2
        last = int(stops.max(initial=0))
        first = round(max(0.0, start) * self.rate)
        stop = last if end is None else min(last, round(end * self.rate))
        count = max(0, stop - first)
        stored = int((stops - self._pieces[:, 0]).sum())
        if count > 2 * stored + _EMPTY * self.rate:
            raise DataError("this shard has sound from two ends of time", where=str(self.path))
        samples, there = np.zeros(count, np.float32), np.zeros(count, np.bool_)
        low, high = np.searchsorted(self._runs[:, 1], first, "right"), self._runs[:, 0] < stop
        for a, b in np.clip(self._runs[low : high.sum()] - first, 0, count).tolist():
            there[a:b] = True
        with _reading(self.path) as file:
            for i in np.flatnonzero((stops > first) & (self._pieces[:, 0] < stop)).tolist():
                at, blob = self._pieces[i].tolist()
                piece = np.frombuffer(self._blob(file, blob), "<i2")
                skip = max(0, first - at)
                part = piece[skip : stop - at] / np.float32(FULL)
                samples[at + skip - first :][: len(part)] = part
        return samples, there

    def verify(self) -> None:
        """Read everything there is.

        Raises:
            DataError: the first thing that is damaged.
        """
        Shard.open(self.path)
        with _reading(self.path) as file:
            for blob in range(len(self._lengths)):
                self._blob(file, blob)

    def _check_stretch(self, start: float, end: float | None) -> None:
        if not self.covers(start, end):
            word = "the end" if end is None else f"{end:g} s"
            raise DataError(
                f"this shard does not hold all from {start:g} s to {word}",
                where=str(self.path),
                fix="mien data prepare again: the row was changed after its source was prepared",
            )

    def _track(self, name: str) -> Sightings:
        if name not in self.tracks:
            known = ", ".join(list(self.tracks)[:10]) or "nobody"
            raise DataError(
                f"there is no {name!r} in this shard, which shows {known}", where=str(self.path)
            )
        return self.tracks[name]

    def _blob(self, file: BinaryIO, number: int) -> bytes:
        length = int(self._lengths[number])
        file.seek(int(self._ends[number]) - length)
        found = file.read(length)
        if len(found) != length or zlib.crc32(found) != self._sums[number]:
            raise DataError(f"piece {number} of this shard is damaged")
        return found


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    """A handle of one's own; within, errors name the file and what to do about it."""
    try:
        if not path.is_file():  # also a pipe, which would wait for ever
            raise DataError("there is no such shard")
        with path.open("rb", buffering=0) as file:
            yield file
    except OSError as error:
        raise DataError(f"this shard cannot be read: {error}", where=str(path)) from error
    except DataError as error:
        fix = error.fix or "mien data prepare on its manifest makes it anew"
        raise DataError(error.what, where=error.where or str(path), fix=fix) from error


def _decoded(coded: bytes, size: int) -> Pixels:
    """A crop (S, S, 3), if its header says that it is one: else nothing is decoded."""
    found = _size_of(coded)
    if found != (size, size, 3):
        raise DataError(f"a crop claims the shape {found}, not {(size, size, 3)}")
    try:
        crop = cv2.imdecode(np.frombuffer(coded, np.uint8), _COLOR)
    except cv2.error as error:
        raise DataError(f"a crop cannot be decoded: {error.err}") from error
    if crop is None or crop.shape != found:
        raise DataError("a crop cannot be decoded")
    return np.asarray(crop, np.uint8)


def _size_of(coded: bytes) -> tuple[int, int, int] | None:
    """Height, width and colours that the header of a baseline JPEG claims."""
    at = 2
    while coded[:2] == b"\xff\xd8" and at + 10 <= len(coded) and coded[at] == 0xFF:
        if coded[at + 1] == 0xC0:  # the start of a frame
            height, width = _SIZES.unpack_from(coded, at + 5)
            return height, width, coded[at + 9]
        if not 0xC4 <= coded[at + 1] <= 0xFE or 0xD0 <= coded[at + 1] <= 0xDA:
            return None
        at += 2 + int.from_bytes(coded[at + 2 : at + 4], "big")
    return None


def _ceil(position: float) -> int:
    """The first whole position that is not before this one; nothing beyond what a shard holds."""
    return math.ceil(min(max(position, 0.0), 2.0**32) - _CLOSE)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One person, or the whole picture, in one stretch of a source.

    Shapes: positions (n) of the grid that were looked at, mask (n), at (n).

    Args:
        shard: where it is read from.
        track: who.
        positions: points of the grid.
        mask: whether one is seen there.
        at: which sighting of the track it is, where there is one.
    """

    shard: Shard
    track: str
    positions: NDArray[np.int64]
    mask: NDArray[np.bool_]
    at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def times(self) -> NDArray[np.float64]:
        """Seconds (n) on the clock of the source."""
        return self.positions / self.shard.fps

    @property
    def boxes(self) -> NDArray[np.float32]:
        """Where one is seen (n, 4) in pixels of the source; NaN where nobody is."""
        found = self.shard.tracks[self.track].boxes[self.at]
        return np.where(self.mask[:, None], found, np.float32(np.nan))

    def frames(self, which: ArrayLike | None = None) -> Pixels:
        """Crops (k, S, S, 3) of the positions of these indices (k), or of all; only these are read.

        Black where nobody is seen: the mask says so.
        """
        every = np.arange(len(self)) if which is None else np.asarray(which, np.int64).reshape(-1)
        there = self.mask[every]
        seen = self.shard.decode(self.shard.tracks[self.track].blobs[self.at[every[there]]])
        if there.all():
            return seen
        crops = np.zeros((len(every), *seen.shape[1:]), np.uint8)
        crops[there] = seen
        return crops


def opened(path: str | Path) -> Shard:
    """A shard, out of the few that a process keeps opened; one that was replaced is opened anew."""
    path = Path(path)
    try:
        facts = path.stat()
    except OSError as error:
        raise DataError(
            f"this shard cannot be read: {error.strerror}",
            where=str(path),
            fix="mien data prepare on its manifest makes it",
        ) from error
    return _open(str(path), facts.st_mtime_ns, facts.st_size, facts.st_ino)


@lru_cache(maxsize=_OPEN)
def _open(path: str, changed: int, size: int, node: int) -> Shard:
    del changed, size, node  # part of the key
    return Shard.open(path)
