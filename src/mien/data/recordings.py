"""What is prepared together: a picture, a sound or both, known by their content."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.data import shards, stills
from mien.data.shards import Span
from mien.errors import DataError

MARGIN = 1.0
"""Seconds before and after what rows use, so that people are known when a row begins."""
_GAP = 2.0  # seconds that are sooner decoded than jumped over
_LAST = 1e6  # a second that no recording has
_CLOSE = 1e-6  # of a position: times are floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What is prepared together: a picture, a sound, or both.

    Args:
        video: a file, or a folder of numbered images.
        audio: a file of its own; without it the video's sound.
        fps: images a second of a folder.
        video_hash: of the content, see :func:`digest`.
        audio_hash: the same of the sound's own file.
        state: of the files when they were read for their hashes.
    """

    video: Path | None = None
    audio: Path | None = None
    fps: float | None = None
    video_hash: str | None = None
    audio_hash: str | None = None
    state: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(
        cls,
        video: Path | None = None,
        audio: Path | None = None,
        fps: float | None = None,
        *,
        known: Callable[[Path], str] | None = None,
    ) -> Recording:
        """A recording, with its files read for their hashes unless these are known."""
        read = known or digest
        found = cls(
            video=video,
            audio=audio,
            fps=fps if video is not None and video.is_dir() else None,
        )
        return dataclasses.replace(
            found,
            state=found.now(),
            video_hash=read(video) if video is not None else None,
            audio_hash=read(audio) if audio is not None else None,
        )

    @property
    def name(self) -> str:
        """Of the file, for people."""
        return " + ".join(path.name for path in self.files)

    @property
    def files(self) -> list[Path]:
        """Its picture and its sound, where it has them."""
        return [path for path in (self.video, self.audio) if path is not None]

    def now(self) -> tuple[tuple[int, ...], ...]:
        """The state of its files."""
        return tuple(state(path) for path in self.files)

    def address(self, spans: Sequence[Span], recipe: Mapping[str, Any]) -> str:
        """The name of its shard: the same for the same content, wherever it lies."""
        return shards.address(
            {
                "video": self.video_hash,
                "audio": self.audio_hash,
                "fps": self.fps,
                "spans": [list(span) for span in spans],
                "recipe": dict(recipe),
            }
        )


def merged(wanted: Iterable[Span], fps: float, margin: float = MARGIN) -> list[Span]:
    """What to decode: the stretches that rows use, widened, on the grid, near ones as one."""
    found: list[Span] = []
    for start, end in sorted(wanted, key=lambda span: span[0]):
        first = math.floor(max(0.0, min(start, _LAST) - margin) * fps + _CLOSE) / fps
        last = None
        if end is not None and end < _LAST:
            last = math.ceil((end + margin) * fps - _CLOSE) / fps
        if found and (found[-1][1] is None or first <= found[-1][1] + _GAP):
            first, until = found.pop()
            last = None if last is None or until is None else max(last, until)
        found.append((first, last))
    return found


# -- hashes ----------------------------------------------------------------------------------------


def digest(path: Path) -> str:
    """SHA-256 of a file's content, or of the numbers and contents of a folder of images."""
    try:
        if not path.is_dir():
            return _sha256(path)
        found = hashlib.sha256()
        for number, file in sorted(stills.numbered(path).items()):
            found.update(f"{number}\0{_sha256(file)}\n".encode())
        return found.hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def state(path: Path) -> tuple[int, ...]:
    """What changes when a file does: size, time and node; of a folder, of all images in it."""
    try:
        if not path.is_dir():
            facts = path.stat()
            return facts.st_size, facts.st_mtime_ns, facts.st_ino
        named = [[file.name, *state(file)] for file in stills.numbered(path).values()]
    except OSError as error:
        raise _unreadable(path, error) from error
    text = repr(named).encode()
    return len(named), int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def _unreadable(path: Path, error: OSError) -> DataError:
    if not path.exists():
        return DataError("there is no such file", where=str(path))
    return DataError(f"this cannot be read: {error.strerror}", where=str(path))


def _sha256(path: Path) -> str:
    if not path.is_file():  # also a pipe, which would wait for ever
        raise DataError("there is no such file", where=str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
