"""Descriptions of clips: captions of what is seen, heard and both, one line of JSONL each.

A file only grows: a line is appended for every step that was paid for, and of several lines about
a clip the last one holds. So a description that was stopped goes on, and nothing is paid twice. A
line that was only half written is cut off when the file is opened for writing again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field

from mien.config import Settings
from mien.data import journal
from mien.data.rows import Row

CAPTIONS = ("visual", "audio", "joint")
"""The captions of a description, in the order in which their embeddings stand."""

Status = Literal["described", "waiting", "refused", "disagreed", "malformed", "failed"]
"""``waiting``: one of two models has answered; ``failed``: nobody did, and it is tried again."""


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


_KIND = journal.Kind(Description, "description", "mien describe --help")


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
    return journal.read(path, _KIND)


def latest(lines: list[Description]) -> dict[str, Description]:
    """The last word on each clip, by the id of its row."""
    return {line.id: line for line in lines}


def write(path: Path, lines: list[Description]) -> None:
    """Write a whole file at once, or nothing."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(b"".join(map(journal.line, lines)))
    unfinished.replace(path)


class Journal(journal.Journal[Description]):
    """A file of descriptions that grows.

    Args:
        path: the file; made where there is none.

    Raises:
        DataError: somebody else writes to it, or it holds something else.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _KIND)


def usable(lines: Mapping[str, Description]) -> Iterator[Description]:
    """Those that have captions to use."""
    return (line for line in lines.values() if line.status == "described" and line.captions)
