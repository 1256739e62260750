"""Conversations that are on both sides under two names, and parts that are one and the same.

Files that are passed on often count the held-out part as train, or the test part as held out. Where
names were given anew, only what is said tells: one sentence is said in many conversations, three in
a row are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from mien.data.findings import Report
from mien.data.rows import SPLITS, Row

_SENTENCES = 3  # of a conversation that is told by what is said
_LETTERS = 40  # in them: "Hi. Hi. Hi." is many conversations


def look(rows: Sequence[Row], keys: Sequence[str | None], report: Report) -> None:
    """Note parts with the same content, and conversations that are in two parts.

    Args:
        rows: all rows.
        keys: the content of each (see :mod:`mien.data.content`); None: of a row that is
            text alone, the text stands for it.
        report: what is added to.
    """
    same = _parts(rows, keys)
    for one, two in same:
        report.error(
            f"{two} is {one}",
            f"{one} and {two} hold the same: what one has shown is scored on the other",
            fix="leave split out and let mien cut by groups",
        )
    for sides, names in sorted(_talks(rows).items()):
        if sides not in same:
            report.error(
                "dialogue repeated",
                f"what is said in a dialogue is said in another, in {' and '.join(sides)}",
                *(" = ".join(pair) for pair in names),
                fix="keep one of each",
            )


def _parts(rows: Sequence[Row], keys: Sequence[str | None]) -> list[tuple[str, str]]:
    """Pairs of parts with exactly the same content."""
    held: dict[str, list[str | None]] = {}
    for row, key in zip(rows, keys, strict=True):
        if row.split is not None:
            bare = not (row.video or row.audio or row.features)
            text = f"text {row.text}" if bare and row.text else None
            held.setdefault(row.split, []).append(key or text)
    return [
        (one, two)
        for one, two in combinations(SPLITS, 2)
        if (first := held.get(one)) and (second := held.get(two))
        and None not in first and len(set(first)) > 1 and set(first) == set(second)
    ]  # fmt: skip


def _talks(rows: Sequence[Row]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Pairs of parts -> dialogues of one and of the other in which the same is said."""
    dialogues: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.dialogue is not None and row.split is not None:
            dialogues.setdefault((row.dialogue, row.split), []).append(row)
    said: dict[tuple[str, ...], dict[str, str]] = {}
    for (name, split), members in dialogues.items():
        texts = tuple(row.text or "" for row in sorted(members, key=lambda row: row.turn or 0))
        if len(texts) >= _SENTENCES and sum(map(len, texts)) >= _LETTERS:
            said.setdefault(texts, {}).setdefault(split, name)
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for names in said.values():
        for one, two in combinations(SPLITS, 2):
            if one in names and two in names and names[one] != names[two]:
                found.setdefault((one, two), []).append((names[one], names[two]))
    return found
