"""What a check of a manifest found, gathered by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Finding:
    """One thing that is wrong, with everything it is wrong of.

    Args:
        kind: a short name to look for, such as ``missing file`` or ``speaker leak``.
        what: what is wrong, in one sentence.
        fix: what to do about it.
        found: rows, labels or speakers, each named once.
    """

    kind: str
    what: str
    fix: str | None = None
    found: list[str] = field(default_factory=list)

    def to_dict(self, limit: int) -> dict[str, Any]:
        """Plain values, with the first few names and the number of all."""
        return {
            "kind": self.kind,
            "what": self.what,
            "fix": self.fix,
            "count": len(self.found),
            "found": self.found[:limit],
        }

    def line(self, limit: int) -> str:
        """The finding as a line for a person."""
        more = f", and {len(self.found) - limit} more" if len(self.found) > limit else ""
        names = f": {', '.join(self.found[:limit])}{more}" if self.found else ""
        return f"{self.what}{names}" + (f"\n  try: {self.fix}" if self.fix else "")


@dataclass(slots=True)
class Report:
    """Errors stop a training or spoil it; warnings make its scores look better or worse than true.

    Attributes:
        errors: what must be mended.
        warnings: what should be looked at.
        counts: rows by split and fold, features, labels by task and split.
        limit: how many names of a finding are shown.
    """

    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    limit: int = 10
    _known: dict[tuple[str, str], Finding] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing must be mended."""
        return not self.errors

    def error(self, kind: str, what: str, *found: str, fix: str | None = None) -> None:
        """Note an error; what is found again is added to the same finding."""
        self._note(self.errors, kind, what, found, fix)

    def warn(self, kind: str, what: str, *found: str, fix: str | None = None) -> None:
        """Note a warning; what is found again is added to the same finding."""
        self._note(self.warnings, kind, what, found, fix)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "ok": self.ok,
            "errors": [finding.to_dict(self.limit) for finding in self.errors],
            "warnings": [finding.to_dict(self.limit) for finding in self.warnings],
            "counts": self.counts,
        }

    def lines(self) -> list[str]:
        """The findings as text, errors first."""
        errors = [f"error: {finding.line(self.limit)}" for finding in self.errors]
        return errors + [f"warning: {finding.line(self.limit)}" for finding in self.warnings]

    def _note(
        self, among: list[Finding], kind: str, what: str, found: Sequence[str], fix: str | None
    ) -> None:
        if (kind, what) not in self._known:
            self._known[kind, what] = Finding(kind, what, fix)
            among.append(self._known[kind, what])
        self._known[kind, what].found += found
