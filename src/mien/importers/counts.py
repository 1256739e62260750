"""How many of what a whole copy has, against what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mien.data.findings import Report
from mien.data.rows import Row
from mien.types import Problem, TaskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a whole copy has.

    Args:
        rows: clips.
        source: who says so.
        classes: clips by class.
        speakers: people.
        folds: clips tested in each fold, by class where that is known.
        names: the ids of all rows, where a rule gives them.
    """

    rows: int
    source: str
    classes: Mapping[str, int] = field(default_factory=dict)
    speakers: int | None = None
    folds: Sequence[int | Sequence[int]] = ()
    names: Callable[[], Iterable[str]] | None = None

    def of_fold(self, number: int) -> int | None:
        """How many clips are tested in a fold."""
        if number >= len(self.folds):
            return None
        held = self.folds[number]
        return held if isinstance(held, int) else sum(held)


def compare(
    rows: Sequence[Row], task: TaskSpec | None, expected: Expected | None, report: Report
) -> dict[str, Any]:
    """Count rows by class, fold, split and speaker, and note where a copy is not whole.

    Returns:
        ``{"rows": {"found": n, "expected": m}, "classes": {...}, "folds": {...}, ...}``.
    """
    named = task is not None and task.problem is not Problem.REGRESSION
    given = [row.labels.get(task.name) for row in rows] if task is not None else []
    labels = [one for label in given for one in (label if isinstance(label, list) else [label])]
    classes = Counter(str(label) for label in labels if isinstance(label, str))
    order = [*(task.labels if task is not None and named else ()), *sorted(classes)]
    folds = Counter(row.fold for row in rows if row.fold is not None)
    numbers = sorted({*folds, *range(len(expected.folds) if expected else 0)} if folds else ())
    speakers = Counter(row.speaker for row in rows if row.speaker is not None)
    known = expected or Expected(rows=len(rows), source="")
    counts: dict[str, Any] = {
        "rows": _pair(len(rows), expected.rows if expected else None),
        "speakers": _pair(len(speakers), known.speakers),
        "by_speaker": dict(sorted(speakers.items())),
        "classes": {
            name: _pair(classes[name], known.classes.get(name)) for name in dict.fromkeys(order)
        },
        "folds": {str(number): _pair(folds[number], known.of_fold(number)) for number in numbers},
        "splits": dict(Counter(row.split for row in rows if row.split is not None)),
    }
    if expected is not None:
        _whole(rows, counts, expected, report)
        _fold_classes(rows, task, expected, report)
    return counts


def _pair(found: int, expected: int | None) -> dict[str, int]:
    return {"found": found} if expected is None else {"found": found, "expected": expected}


def _whole(
    rows: Sequence[Row], counts: Mapping[str, Any], expected: Expected, report: Report
) -> None:
    """A warning with numbers where rows are missing, or there are more than there should be."""
    known = set(expected.names()) if expected.names is not None else set()
    missing = sorted(known - {row.id for row in rows})
    if len(rows) < expected.rows:
        report.warn(
            "partial copy",
            f"a partial copy: {len(rows):,} of {expected.rows:,} clips ({expected.source})",
            *missing,
        )
    elif len(rows) > expected.rows:
        report.warn(
            "more than expected",
            f"{len(rows):,} clips, where {expected.rows:,} are known ({expected.source})",
        )
    for part, word in (("classes", ""), ("folds", "fold ")):
        off = [
            f"{word}{name} {pair['found']:,} of {pair['expected']:,}"
            for name, pair in counts[part].items()
            if pair["found"] != pair.get("expected", pair["found"])
        ]
        if off:
            report.warn(part, f"{part} have another number of clips than expected", *off)


def _fold_classes(
    rows: Sequence[Row], task: TaskSpec | None, expected: Expected, report: Report
) -> None:
    """Classes within folds, for corpora whose specification gives the whole table."""
    tables = [held for held in expected.folds if not isinstance(held, int)]
    if task is None or not tables or not any(row.fold is not None for row in rows):
        return
    found = Counter((row.fold, row.labels.get(task.name)) for row in rows)
    off = [
        f"fold {number} {name} {found[number, name]:,} of {wanted:,}"
        for number, table in enumerate(tables)
        for name, wanted in zip(task.labels, table, strict=True)
        if found[number, name] != wanted
    ]
    if off:
        what = "classes of a fold have another number of clips than expected"
        report.warn("classes of folds", what, *off)
