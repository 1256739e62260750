"""What came of preparing a manifest, as values and in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SEEN = 8  # lines of a kind that a page has


@dataclass(frozen=True, slots=True)
class Loss:
    """A row that lacks something.

    Args:
        row: its id.
        source: its files.
        what: what is wrong.
        fix: what to do about it.
        kept: whether the row is in the new manifest all the same, for its text or features.
    """

    row: str
    source: str
    what: str
    fix: str | None = None
    kept: bool = False


@dataclass(slots=True, kw_only=True)
class PrepareReport:
    """What came of a manifest.

    Args:
        manifest: the new one.
        folder: where the shards are.
        rows: rows of the new manifest.
        sources: recordings, by content.
        made: how many of them were prepared by this call.
        failed: how many could not be.
        mended: damaged shards that were made anew.
        people: tracks in all shards.
        faceless: recordings with a picture in which nobody was found.
        seen: hours of picture.
        heard: hours of sound.
        seconds: that the call took.
        speed: hours of picture or sound in an hour, of what this call did.
        unused: shards in the folder that belong to no row of the manifest.
        errors: rows that lost what they had.
        notes: damage that was passed over, a line a file.
    """

    manifest: Path
    folder: Path
    rows: int = 0
    sources: int = 0
    made: int = 0
    failed: int = 0
    mended: int = 0
    people: int = 0
    faceless: int = 0
    seen: float = 0.0
    heard: float = 0.0
    seconds: float = 0.0
    speed: float | None = None
    unused: int = 0
    errors: list[Loss] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every row kept all it had."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self) | {
            "manifest": str(self.manifest),
            "folder": str(self.folder),
            "ok": self.ok,
        }

    @property
    def text(self) -> str:
        """The same for a person."""
        before = self.sources - self.made - self.failed
        lines = [
            f"{self.manifest}: {_many(self.rows, 'row')}",
            f"  prepared: {_many(self.made, 'file')}"
            + (f", and {before} before" if before else "")
            + (f"; {self.failed} could not be" if self.failed else ""),
            f"  picture: {self.seen:.2f} h, sound: {self.heard:.2f} h",
        ]
        if self.people or self.faceless:
            nobody = f", nobody in {_many(self.faceless, 'file')}" if self.faceless else ""
            lines.append(f"  people: {_many(self.people, 'track')}{nobody}")
        if self.speed is not None:
            lines.append(f"  took: {self.seconds:.0f} s, {self.speed:.1f} times real time")
        if self.mended:
            lines.append(f"  made anew: {_many(self.mended, 'damaged shard')}")
        if self.unused:
            lines.append(f"  of no use to these rows: {_many(self.unused, 'shard')}")
        lines += [f"  {note}" for note in _first(self.notes)]
        if self.errors:
            kept = sum(loss.kept for loss in self.errors)
            also = f" ({kept} kept for what else they have)" if kept else ""
            file = losses_file(self.manifest)
            lines.append(f"lost something: {_many(len(self.errors), 'row')}{also}, see {file}")
            lines += [f"  {line}" for line in _first(_by_source(self.errors))]
        return "\n".join(lines)


def losses_file(manifest: Path) -> Path:
    """Where the rows that lost something are listed."""
    return manifest.with_name(f"{manifest.stem}.errors.jsonl")


def write_losses(manifest: Path, losses: Sequence[Loss]) -> None:
    """List the rows that lost something, a line each; without any there is no such file."""
    path = losses_file(manifest)
    if not losses:
        path.unlink(missing_ok=True)
        return
    unfinished = path.with_name(path.name + ".unfinished")
    lines = (json.dumps(dataclasses.asdict(loss), ensure_ascii=False) for loss in losses)
    unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    unfinished.replace(path)


def _by_source(losses: Sequence[Loss]) -> list[str]:
    """One line for each thing that is wrong with a file."""
    found: dict[tuple[str, str], list[str]] = {}
    for loss in losses:
        found.setdefault((loss.source, loss.what), []).append(loss.row)
    return [f"{source}: {what} ({_rows(rows)})" for (source, what), rows in found.items()]


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _rows(rows: Sequence[str]) -> str:
    return f"row {rows[0]!r}" if len(rows) == 1 else f"{len(rows)} rows, as {rows[0]!r}"


def _first(lines: Sequence[str]) -> Iterator[str]:
    yield from lines[:_SEEN]
    if len(lines) > _SEEN:
        yield f"and {len(lines) - _SEEN} more"
