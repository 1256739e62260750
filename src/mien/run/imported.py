"""What came of an import, for people and for machines."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.data.findings import Finding
from mien.data.rows import Row
from mien.errors import printable
from mien.importers.corpus import Corpus
from mien.run.record import Status
from mien.types import Resolution

_SHOWN = 5  # names of a finding, people of a fold
_NAMED = 10  # the same in JSON


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """What was imported.

    Attributes:
        corpus: the importer, and what it knows.
        manifest: what was written.
        source: what was read.
        root: what the manifest's paths need to be told, where they lead out of its folder.
        status: written, replaced or unchanged.
        licence: of the data.
        rows: of the manifest.
        counts: rows by class, fold, split and speaker: found, and expected where that is known.
        notes: what was decided.
        warnings: what is missing, left out or odd.
    """

    corpus: Corpus
    manifest: Path
    source: Path
    root: Path | None
    status: Status
    licence: str | None
    rows: Sequence[Row]
    counts: Mapping[str, Any]
    notes: Sequence[str]
    warnings: Sequence[Finding]

    @property
    def people(self) -> dict[str, list[str]]:
        """Who is in each fold and each part."""
        found: dict[str, set[str]] = {}
        for row in self.rows:
            for part in (row.split, None if row.fold is None else f"fold {row.fold}"):
                if part is not None and row.speaker is not None:
                    found.setdefault(part, set()).add(row.speaker)
        return {part: sorted(names) for part, names in sorted(found.items())}

    @property
    def next(self) -> list[str]:
        """What to type next, with the root where one is needed."""
        root = [] if self.root is None else ["--root", str(self.root)]
        check = ["mien", "data", "check", str(self.manifest), *root]
        if not any(row.video or row.audio for row in self.rows):
            return [shlex.join(check)]
        prepared = self.manifest.with_name(f"{self.manifest.stem}.prepared.jsonl")
        train = ["mien", "train", *self._system, "--data", str(prepared)]
        train += ["--out", f"runs/{self.manifest.stem}"]
        filled = [pair for pair in self.counts["folds"].values() if pair["found"]]
        train += ["--folds"] if len(filled) > 1 else []
        train += [] if self.root is None else [f"data.root={self.root}"]
        prepare = ["mien", "data", "prepare", str(self.manifest), *self._as_they_are, *root]
        return [shlex.join(command) for command in (check, prepare, train)]

    @property
    def _by_frame(self) -> bool:
        task = self.corpus.task
        return task is not None and task.resolution is Resolution.FRAME

    @property
    def _system(self) -> list[str]:
        """What can be trained on it."""
        return ["clip-sequential", "--stage", "frames"] if self._by_frame else ["claip-emo"]

    @property
    def _as_they_are(self) -> list[str]:
        """Pictures of faces, a line of labels each: none is cut, none is left out."""
        rates = [row.fps for row in self.rows if row.fps is not None]
        return ["--faces", "none", "--fps", f"{rates[0]:g}"] if self._by_frame and rates else []

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        expected = self.corpus.expected
        return {
            "corpus": self.corpus.name,
            "manifest": str(self.manifest),
            "source": str(self.source),
            "root": None if self.root is None else str(self.root),
            "status": self.status,
            "licence": self.licence,
            "expected": None if expected is None else expected.source,
            "folds": self.corpus.folds,
            "counts": self.counts,
            "people": self.people,
            "notes": list(self.notes),
            "warnings": [finding.to_dict(_NAMED) for finding in self.warnings],
            "next": self.next,
        }

    @property
    def text(self) -> str:
        """The same for a person. Names of files may be hostile: they move no cursor."""
        counts = self.counts
        lines = [
            f"{self.manifest}: {self.status}, {_count(counts['rows'])} rows of {self.corpus.name}",
            f"  speakers: {_speakers(counts)}",
        ]
        lines += _table("class", counts["classes"], {})
        folds = {f"fold {number}": pair for number, pair in counts["folds"].items()}
        splits = {name: {"found": count} for name, count in counts["splits"].items()}
        lines += _table("part", folds | splits, self.people)
        if folds:
            lines.append(f"  folds: {self.corpus.folds}")
        if self.licence:
            lines.append(f"  licence: {self.licence}")
        lines = [printable(line) for line in (*lines, *(f"  {note}" for note in self.notes))]
        for finding in self.warnings:
            names = [printable(name) for name in finding.found]
            shown = dataclasses.replace(finding, what=printable(finding.what), found=names)
            lines.append(f"warning: {shown.line(_SHOWN)}")
        return "\n".join([*lines, "next:", *(f"  {printable(line)}" for line in self.next)])


def _count(pair: Mapping[str, int]) -> str:
    expected = pair.get("expected", pair["found"])
    of = "" if expected == pair["found"] else f" of {expected:,}"
    return f"{pair['found']:,}{of}"


def _speakers(counts: Mapping[str, Any]) -> str:
    """How many there are, and how much each says."""
    each = counts["by_speaker"].values()
    if not each:
        return "none known"
    low, high = min(each), max(each)
    rows = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{_count(counts['speakers'])}, with {rows} rows each"


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
