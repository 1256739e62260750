"""What came of `mien describe`, or would come of it: for people and for machines."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.errors import printable


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came of a manifest.

    Args:
        out: the descriptions.
        rows: how many were wanted.
        unseen: rows with nothing to show or to hear.
        counts: rows by what became of them, of all calls.
        asked: rows that were asked about now.
        broken: rows whose files cannot be read, and why.
        spent: tokens, of all calls.
        stopped: why it ended early.
        mended: whether a half-written line was cut off.
        seconds: that it took.
    """

    out: Path
    rows: int
    unseen: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    spent: int = 0
    stopped: str | None = None
    mended: bool = False
    seconds: float = 0.0

    @property
    def left(self) -> int:
        """Rows that the same command would ask about again."""
        done = sum(n for status, n in self.counts.items() if status not in ("waiting", "failed"))
        return self.rows - self.unseen - len(self.broken) - done

    @property
    def text(self) -> str:
        """For a person."""
        counts = ", ".join(f"{n:,} {status}" for status, n in sorted(self.counts.items()))
        lines = [
            f"{self.out}: {counts or 'nothing'}, of {self.rows:,} rows",
            f"  {self.asked:,} were asked about now, in {self.seconds:.0f} s; "
            f"{self.spent:,} tokens in all",
        ]
        if self.unseen:
            lines.append(f"  {self.unseen:,} rows have nothing to show or to hear")
        if self.mended:
            lines.append("  a line that was only half written was cut off")
        lines += [f"  {name}: {printable(why)}" for name, why in list(self.broken.items())[:5]]
        if self.stopped:
            lines.append(f"stopped: {printable(self.stopped)}")
        if self.left:
            lines.append(f"{self.left:,} are left: the same command goes on with them")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "out": str(self.out), "rows": self.rows, "unseen": self.unseen, "counts": self.counts,
            "asked": self.asked, "broken": self.broken, "spent": self.spent, "left": self.left,
            "stopped": self.stopped, "seconds": round(self.seconds, 2),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be asked.

    Args:
        prompt: in words.
        digest: its hash, as records keep it.
        rows: of the manifest.
        chosen: rows that would be described.
        speakers: how many people they show.
        done: of them, how many are described already.
        pictures: that would be sent of each.
        sound: whether their sound would be sent.
    """

    prompt: str
    digest: str
    rows: int
    chosen: int
    speakers: int
    done: int
    pictures: int
    sound: bool

    @property
    def text(self) -> str:
        """For a person."""
        sound = " and the sound" if self.sound else ""
        return (
            f"{self.prompt}\n\n{self.chosen:,} of {self.rows:,} rows, {self.speakers:,} speakers; "
            f"{self.done:,} are described already\n"
            f"up to {self.pictures} pictures{sound} of each would be sent; prompt {self.digest}\n"
            "nobody was asked"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)
