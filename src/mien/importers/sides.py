"""Who is on both sides of a split or of folds that came with the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from mien.data import leaks, repeats
from mien.data.findings import Report
from mien.data.rows import Row

_LEFT = "these parts are left out"
_FIX = "mien cuts whole groups apart by itself; --keep-leaks takes the parts as they came"


def apart(rows: Sequence[Row], report: Report, *, keep: bool) -> list[Row]:
    """Rows whose cuts have nobody on both sides: one that has is left out, or kept and marked.

    Content is not looked at here: ``mien data check`` does.

    Args:
        rows: all of them.
        report: what is added to.
        keep: leave such a cut in, because somebody asked for it by name.
    """
    unread = [None] * len(rows)
    twice, found = Report(), Report()
    repeats.look(rows, unread, twice)
    for finding in twice.errors:
        report.warn(finding.kind, finding.what, *finding.found, fix=finding.fix)
    leaks.look(rows, unread, found)
    if not found.errors:
        return list(rows)
    for kind in dict.fromkeys(leak.kind for leak in found.errors):
        names = sorted({name for leak in found.errors if leak.kind == kind for name in leak.found})
        what = f"{len(names):,} {kind.split()[0]}s are in several of the parts that the data has; "
        what += "kept, as asked for: scores speak of what training knew" if keep else _LEFT
        report.warn(kind, what, *names, fix=None if keep else _FIX)
    return list(rows) if keep else [dataclasses.replace(r, split=None, fold=None) for r in rows]


def unknown(rows: Sequence[Row]) -> Iterator[str]:
    """What nobody can tell, where nobody is named."""
    nameless = sum(row.speaker is None for row in rows)
    cut = any(row.split is not None or row.fold is not None for row in rows)
    if nameless and cut:
        yield (
            f"{_some(nameless, len(rows))} no speaker: nobody can tell whether somebody is on both "
            "sides"
        )
    elif nameless:
        yield (
            f"{_some(nameless, len(rows))} no speaker: cuts keep recordings and dialogues whole, "
            "not people"
        )


def _some(number: int, of: int) -> str:
    return "rows name" if number == of else f"{number:,} of {of:,} rows name"
