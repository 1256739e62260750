"""Who or what is on both sides of a cut: leakage that makes scores look better than they are."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from mien.data.findings import Report
from mien.data.rows import Row

Value = Callable[[Row], str | None]

_LINKS: dict[str, Value] = {
    "speaker": lambda row: row.speaker,
    "source": lambda row: row.source,
    "dialogue": lambda row: row.dialogue,
}


def look(rows: Sequence[Row], keys: Sequence[str | None], report: Report) -> None:
    """Note every speaker, source, dialogue and content on both sides of a split or of folds.

    Args:
        rows: all rows.
        keys: the content of each (see :mod:`mien.data.content`).
        report: what is added to.
    """
    same = dict(zip((row.id for row in rows), keys, strict=True))
    for part, side in (("split", _split), ("fold", _fold)):
        for link, value in _LINKS.items():
            for sides, members in _across(rows, value, side):
                found = sorted(members)
                report.error(
                    f"{link} leak",
                    f"a {link} is in {sides}",
                    *found,
                    fix=f"one {part} a {link}; or leave {part} out and let mien cut by groups",
                )
        for sides, members in _across(rows, lambda row: same[row.id], side):
            found = sorted(" = ".join(ids) for ids in members.values())
            report.error("duplicate leak", f"the same recording is in {sides}", *found)
    for ids in _groups(rows, lambda row: same[row.id]).values():
        if len(ids) > 1:
            report.warn(
                "duplicate",
                "rows hold the same recording",
                " = ".join(row.id for row in ids),
                fix="keep one of each",
            )


def _split(row: Row) -> str | None:
    return row.split


def _fold(row: Row) -> str | None:
    return None if row.fold is None else f"fold {row.fold}"


def _across(
    rows: Sequence[Row], value: Value, side: Value
) -> list[tuple[str, dict[str, list[str]]]]:
    """Values that occur on several sides: ``("test and train", {value: ids of its rows})``."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, members in _groups(rows, value).items():
        sides = sorted({at for row in members if (at := side(row)) is not None})
        if len(sides) > 1:
            # With many folds their numbers say little: which value it is says enough.
            words = " and ".join(sides) if len(sides) == 2 else f"{len(sides)} parts"
            key = "several folds" if sides[0].startswith("fold ") else words
            found.setdefault(key, {})[str(name)] = [row.id for row in members]
    return sorted(found.items())


def _groups(rows: Sequence[Row], value: Value) -> dict[Hashable, list[Row]]:
    found: dict[Hashable, list[Row]] = {}
    for row in rows:
        if (name := value(row)) is not None:
            found.setdefault(name, []).append(row)
    return found
