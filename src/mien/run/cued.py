"""What came of putting cues in words, as values and for a person."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.run.prepared import Loss, losses_file

_SEEN = 8  # lines of a kind that a page has


@dataclass(slots=True, kw_only=True)
class CueReport:
    """What came of a manifest.

    Args:
        manifest: the new one, whose ``text`` are prompts.
        cues: the file of what the prompts were made of.
        rows: of the new manifest: clips, or windows of them.
        texts: how many of their prompts differ.
        silent: rows of which there is nothing to say.
        listened: rows that this call listened to.
        before: rows that had been listened to before.
        heard: seconds of sound that this call listened to.
        seconds: that the call took.
        absences: how many rows lack what.
        errors: rows that could not be read.
        notes: what a reader should know, a sentence each.
    """

    manifest: Path
    cues: Path
    rows: int = 0
    texts: int = 0
    silent: int = 0
    listened: int = 0
    before: int = 0
    heard: float = 0.0
    seconds: float = 0.0
    absences: Counter[str] = field(default_factory=Counter)
    errors: list[Loss] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = dataclasses.asdict(self) | {"manifest": str(self.manifest), "cues": str(self.cues)}
        return values | {"absences": dict(self.absences)}

    @property
    def text(self) -> str:
        """The same for a person."""
        lines = [f"{self.manifest}: {self.rows:,} rows, {self.texts:,} different texts"]
        lines.append(f"  cues: {self.cues}")
        if self.listened or self.before:
            before = f", and {self.before:,} before" if self.before else ""
            lines.append(f"  listened to: {self.listened:,} rows{before}")
        if self.listened:
            speed = self.heard / max(1e-9, self.seconds)
            lines.append(f"  took: {self.seconds:.0f} s, {speed:,.0f} times real time")
        lines += [f"  {name}: {count:,} rows" for name, count in sorted(self.absences.items())]
        if self.silent:
            lines.append(f"  of {self.silent:,} rows nothing was measured: they have no text")
        lines += [f"  {note}" for note in self.notes]
        if self.errors:
            lines.append(f"left out: {len(self.errors)} rows, see {losses_file(self.manifest)}")
            lines += [f"  {loss.row}: {loss.what}" for loss in self.errors[:_SEEN]]
        return "\n".join(lines)
