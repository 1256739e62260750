"""Descriptions of clips: captions of what is seen, heard and both, one line of JSONL each.

A file only grows: a line is appended for every step that was paid for, and of several lines about
a clip the last one holds. So a description that was stopped goes on, and nothing is paid twice. A
line that was only half written is cut off when the file is opened for writing again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, BinaryIO, Literal, NoReturn, Self

from pydantic import Field, ValidationError

from mien.config import Settings
from mien.data.rows import Row
from mien.errors import DataError

if os.name == "posix":
    import fcntl

CAPTIONS = ("visual", "audio", "joint")
"""The captions of a description, in the order in which their embeddings stand."""

Status = Literal["described", "waiting", "refused", "disagreed", "malformed", "failed"]
"""``waiting``: one of two models has answered; ``failed``: nobody did, and it is tried again."""

_LONGEST = 1 << 20  # letters of a line


class Captions(Settings):
    """What is seen, what is heard, and both together; None where a clip has no such thing."""

    visual: str | None = Field(None, min_length=1, max_length=2000)
    audio: str | None = Field(None, min_length=1, max_length=2000)
    joint: str | None = Field(None, min_length=1, max_length=2000)

    def in_order(self) -> tuple[str | None, ...]:
        """As `CAPTIONS` has them."""
        return self.visual, self.audio, self.joint


class Origin(Settings):
    """Who described a clip, and from what.

    Args:
        kind: a language model, or a template filled with what is known of a made-up clip.
        model: its name; of a template, the name of that.
        prompt: hash of what was asked, or of the template.
        settings: of the request.
        times: seconds of the source at which its pictures were taken.
        span: from when to when its sound was taken; None: no sound was sent.
        usage: tokens read and written; None: nobody counted.
        attempts: how often it was asked.
    """

    kind: Literal["model", "template"]
    model: str
    prompt: str
    settings: dict[str, Any] = Field({})
    times: list[float] = Field([])
    span: tuple[float, float] | None = None
    usage: tuple[int, int] | None = None
    attempts: int = 1


class Second(Settings):
    """What another model said of the same clip.

    Args:
        by: who.
        captions: its own, kept but not used.
        reasoning: on the way to them.
        shared: the emotions that both named.
    """

    by: Origin
    captions: Captions | None = None
    reasoning: dict[str, Any] = Field({})
    shared: list[str] = Field([])


class Description(Settings):
    """One line: what became of a clip.

    Args:
        id: of the row.
        clip: hash of which media and which seconds were meant; another one is another clip.
        status: whether there are captions to use.
        captions: only where ``status`` is ``described`` or ``waiting``.
        reasoning: on the way to the captions; kept apart, so that captions alone are embedded.
        by: who, and from what.
        second: the other model's word, where two were asked.
        why: why there are no captions.
        spent: tokens that this step took, failed attempts included.
    """

    id: str = Field(min_length=1)
    clip: str
    status: Status
    captions: Captions | None = None
    reasoning: dict[str, Any] = Field({})
    by: Origin
    second: Second | None = None
    why: str | None = None
    spent: int = Field(0, ge=0)

    @property
    def done(self) -> bool:
        """Whether nobody has to be asked again."""
        return self.status not in ("waiting", "failed")


def clip_hash(row: Row) -> str:
    """Which media and which seconds a row means; not what it is called or labelled.

    Files count by their own names, not their folders: the same rows may be written elsewhere.
    """
    files = [name and PurePosixPath(name).name for name in (row.video, row.audio)]
    meant = [*files, row.start, row.end, row.fps, row.person, row.box]
    return hashlib.sha256(json.dumps(meant).encode()).hexdigest()[:16]


def read(path: Path) -> list[Description]:
    """Every line of a file, in order; a last line without its end is left out.

    Raises:
        DataError: it is missing, or a line is no description.
    """
    if not path.is_file():
        raise DataError(
            "there is no such file of descriptions", where=str(path), fix="mien describe --help"
        )
    found = []
    with path.open("rb") as file:
        # Never more than a line may have: a foreign file may be one of gigabytes.
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST + 1), b""), 1):
            if (line.endswith(b"\n") or len(line) > _LONGEST) and line.strip():
                found.append(_description(line, f"{path}:{number}"))
    return found


def latest(lines: list[Description]) -> dict[str, Description]:
    """The last word on each clip, by the id of its row."""
    return {line.id: line for line in lines}


def write(path: Path, lines: list[Description]) -> None:
    """Write a whole file at once, or nothing."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(b"".join(map(_line, lines)))
    unfinished.replace(path)


class Journal:
    """A file of descriptions that grows. Several threads may add to it; one process may.

    Args:
        path: the file; made where there is none.

    Raises:
        DataError: somebody else writes to it, or it holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self.before: list[Description] = []
        self._added: list[Description] = []
        self.mended = False

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise DataError(f"cannot write here: {error.strerror}", where=str(self.path)) from error
        try:
            self._alone()
            self._mend()
            self.before = read(self.path)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._file.close()

    def add(self, line: Description) -> None:
        """Append a line; afterwards it is on the disk."""
        assert self._file is not None
        with self._lock:
            self._file.write(_line(line))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._added.append(line)

    def lines(self) -> list[Description]:
        """Everything that was ever added."""
        with self._lock:
            return [*self.before, *self._added]

    def _alone(self) -> None:
        assert self._file is not None
        if os.name != "posix":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                "another process is writing to this file", where=str(self.path)
            ) from error

    def _mend(self) -> None:
        """Cut off a last line that was only half written."""
        assert self._file is not None
        size = self._file.seek(0, os.SEEK_END)
        if not size:
            return
        back = min(size, 2 * _LONGEST)
        self._file.seek(size - back)
        end = self._file.read(back)
        if end.endswith(b"\n"):
            return
        keep = end.rfind(b"\n") + 1
        if not keep and back < size:
            raise DataError("this is no file of descriptions", where=str(self.path))
        self._file.truncate(size - back + keep)
        self._file.seek(0, os.SEEK_END)
        self.mended = True


def _line(line: Description) -> bytes:
    values = line.model_dump(mode="json", exclude_none=True)
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"


def _description(line: bytes, where: str) -> Description:
    def refuse(what: str) -> NoReturn:
        raise DataError(
            f"this line is no description: {what}",
            where=where,
            fix="give another --out, or take the line away",
        )

    if len(line) > _LONGEST:
        refuse("it is too long")
    try:
        return Description.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        refuse(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}")


def usable(lines: Mapping[str, Description]) -> Iterator[Description]:
    """Those that have captions to use."""
    return (line for line in lines.values() if line.status == "described" and line.captions)
