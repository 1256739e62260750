"""Writing a shard: pictures and sound as they come, the index at the end, whole or not at all."""

from __future__ import annotations

import os
import secrets
import zlib
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.data import layout
from mien.data.shards import FULL, Pixels, Span
from mien.errors import DataError


def encode(pixels: Pixels, quality: int) -> bytes:
    """A crop (S, S, 3) as JPEG."""
    done, coded = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise DataError(f"a crop of the shape {pixels.shape} cannot be written as JPEG")
    return bytes(coded.tobytes())


class Writer:
    """Writes one shard, whole or not at all, in memory that does not grow with the pictures.

    Used in a ``with`` block, at the end of which the file is in place if :meth:`finish` was
    called. The same calls write the same bytes.

    Args:
        path: where the shard will lie. It is written beside it under a name of its own.
        fps: positions a second; position k is shown at k / fps.
        rate: samples a second.
        size: pixels at each side of a crop.
        spans: what of the source was prepared.
    """

    def __init__(
        self, path: Path, *, fps: float, rate: int, size: int, spans: Sequence[Span]
    ) -> None:
        self.path, self.rate = path, rate
        self._head = {"fps": fps, "rate": rate, "size": size, "spans": [list(s) for s in spans]}
        # A name that no other process has: one that outlived its parent may still be writing.
        self._unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.unfinished")
        self._lengths, self._sums = array("I"), array("I")
        self._tracks: dict[str, tuple[array[int], array[float], bytearray]] = {}
        self._grid: list[int] = []
        self._pieces, self._runs = array("q"), array("q")
        self._heard = bytearray()  # of the piece that is being gathered
        self._next = 0  # the sample that would continue it
        self._whole = False

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = self._unfinished.open("xb")
        self._file.write(layout.HEADER_BYTES)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if kind is None and self._whole:
            self._unfinished.replace(self.path)
            _sync(self.path.parent)
        else:
            self._unfinished.unlink(missing_ok=True)

    def picture(self, coded: bytes) -> int:
        """Append a JPEG; its number, for :meth:`seen`."""
        self._file.write(coded)
        self._lengths.append(len(coded))
        self._sums.append(zlib.crc32(coded))
        return len(self._lengths) - 1

    def looked(self, first: int, stop: int) -> None:
        """The positions from ``first`` up to ``stop`` were looked at, whatever was seen there."""
        if stop > first:
            self._grid += [first, stop]

    def seen(
        self,
        track: str,
        position: int,
        picture: int,
        box: Sequence[float],
        score: float,
        detected: bool,
    ) -> None:
        """Someone is seen at a position; those of a track are given in order."""
        if track not in self._tracks:
            self._tracks[track] = (array("I"), array("f"), bytearray())
        where, values, found = self._tracks[track]
        where.extend((position, picture))
        values.extend((*box, score))
        found.append(detected)

    def heard(self, at: int, samples: NDArray[np.float32], there: NDArray[np.bool_]) -> None:
        """Sound (n) from the sample ``at`` on; calls are in order and do not overlap."""
        there = there & ~np.isnan(samples)
        if at != self._next:
            self._flush()
        self._note_runs(at, there)
        scaled = np.clip(np.rint(np.where(there, samples, 0) * FULL), -FULL, FULL - 1)
        self._heard += scaled.astype("<i2").tobytes()
        self._next = at + len(samples)
        piece = 2 * self.rate
        while len(self._heard) >= piece:
            rest = self._heard[piece:]
            del self._heard[piece:]
            self._piece(self._next - len(rest) // 2 - self.rate)
            self._heard = rest

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the index, and with it whatever else is to be known of the source."""
        self._flush()
        head, columns = self._index(facts)
        self._file.write(layout.pack(head, columns, offset=self._file.tell()))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._whole = True

    def _index(self, facts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, ArrayLike]]:
        head = self._head | {
            "facts": dict(facts),
            "tracks": [[name, len(found)] for name, (_, _, found) in self._tracks.items()],
            "counts": [
                len(self._lengths), len(self._grid) // 2,
                len(self._pieces) // 2, len(self._runs) // 2,
            ],
        }  # fmt: skip
        columns: dict[str, ArrayLike] = {
            "grid": self._grid, "pieces": self._pieces, "runs": self._runs,
            "lengths": self._lengths, "sums": self._sums,
        }  # fmt: skip
        for i, (where, values, found) in enumerate(self._tracks.values()):
            pairs, floats = np.array(where).reshape(-1, 2), np.array(values).reshape(-1, 5)
            columns |= {
                f"{i}.positions": pairs[:, 0], f"{i}.blobs": pairs[:, 1],
                f"{i}.boxes": floats[:, :4], f"{i}.scores": floats[:, 4],
                f"{i}.detected": np.frombuffer(found, np.uint8),
            }  # fmt: skip
        return head, columns

    def _flush(self) -> None:
        if self._heard:
            self._piece(self._next - len(self._heard) // 2)

    def _piece(self, at: int) -> None:
        self._pieces.extend((at, self.picture(bytes(self._heard))))
        self._heard = bytearray()

    def _note_runs(self, at: int, there: NDArray[np.bool_]) -> None:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(np.int8)))
        for start, stop in (edges.reshape(-1, 2) + at).tolist():
            if self._runs and self._runs[-1] == start:
                self._runs[-1] = stop
            else:
                self._runs.extend((start, stop))


def _sync(folder: Path) -> None:
    """Make a rename durable; file systems without folder sync (Windows) do it themselves."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
