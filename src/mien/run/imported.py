"""What came of an import, for people and for machines."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.data.findings import Finding

_SHOWN = 5  # names of a finding, people of a fold


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """What was imported.

    Attributes:
        corpus: the importer.
        manifest: what was written.
        source: what was read.
        root: what the manifest's paths need to be told, where they lead out of its folder.
        status: written, replaced or unchanged.
        licence: of the data.
        expected: who says how much a whole copy has.
        folds: where folds come from.
        media: whether there are films or sounds to prepare.
        counts: rows by class, fold, split and speaker: found, and expected where that is known.
        people: who is in each fold and part.
        notes: what was decided.
        warnings: what is missing, left out or odd.
        limit: how many names of a finding JSON holds.
    """

    corpus: str
    manifest: Path
    source: Path
    root: Path | None
    status: str
    licence: str | None
    expected: str | None
    folds: str
    media: bool
    counts: Mapping[str, Any]
    people: Mapping[str, Sequence[str]]
    notes: Sequence[str] = ()
    warnings: Sequence[Finding] = ()
    limit: int = 10
    next: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        self.next = self.next or tuple(_next(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "corpus": self.corpus,
            "manifest": str(self.manifest),
            "source": str(self.source),
            "root": None if self.root is None else str(self.root),
            "status": self.status,
            "licence": self.licence,
            "expected": self.expected,
            "folds": self.folds,
            "counts": self.counts,
            "people": self.people,
            "notes": list(self.notes),
            "warnings": [finding.to_dict(self.limit) for finding in self.warnings],
            "next": list(self.next),
        }

    @property
    def text(self) -> str:
        """The same for a person."""
        rows, speakers = self.counts["rows"], self.counts["speakers"]
        who = f", {_count(speakers)} speakers" if speakers["found"] else ", no speakers known"
        lines = [f"{self.manifest}: {self.status}, {_count(rows)} rows of {self.corpus}{who}"]
        lines += _table("class", self.counts["classes"], {})
        folds = {f"fold {number}": pair for number, pair in self.counts["folds"].items()}
        splits = {name: {"found": count} for name, count in self.counts["splits"].items()}
        lines += _table("part", folds | splits, self.people)
        if folds:
            lines.append(f"  folds: {self.folds}")
        if self.licence:
            lines.append(f"  licence: {self.licence}")
        lines += [f"  {note}" for note in self.notes]
        lines += [f"warning: {finding.line(_SHOWN)}" for finding in self.warnings]
        return "\n".join([*lines, "next:", *(f"  {command}" for command in self.next)])


def _count(pair: Mapping[str, int]) -> str:
    expected = pair.get("expected", pair["found"])
    of = "" if expected == pair["found"] else f" of {expected:,}"
    return f"{pair['found']:,}{of}"


def _table(
    title: str, counts: Mapping[str, Mapping[str, int]], people: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Found and expected, a line each, and who is in it."""
    if not counts:
        return
    width = max(len(name) for name in (*counts, title))
    known = any("expected" in pair for pair in counts.values())
    yield f"  {title:<{width}}  {'found':>7}" + (f"  {'expected':>8}" if known else "")
    for name, pair in counts.items():
        expected = f"  {pair['expected']:>8,}" if "expected" in pair else "  " * known
        who = people.get(name, ())
        more = f" and {len(who) - _SHOWN} more" if len(who) > _SHOWN else ""
        named = f"  {', '.join(who[:_SHOWN])}{more}" if who else ""
        yield f"  {name:<{width}}  {pair['found']:>7,}{expected}{named}".rstrip()


def _next(report: ImportReport) -> Iterator[str]:
    """What to type next, with the root where one is needed."""
    manifest = report.manifest
    prepared = manifest.with_name(f"{manifest.stem}.prepared.jsonl")
    root = [] if report.root is None else ["--root", str(report.root)]
    yield shlex.join(["mien", "data", "check", str(manifest), *root])
    if not report.media:
        return
    yield shlex.join(["mien", "data", "prepare", str(manifest), *root])
    train = ["mien", "train", "claip-emo", "--data", str(prepared), "--out"]
    train += [f"runs/{manifest.stem}", *(["--folds"] if report.counts["folds"] else [])]
    yield shlex.join(train + ([] if report.root is None else [f"data.root={report.root}"]))
