"""Lines of a list: one or two paths, then a label."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.data.media import SOUNDS
from mien.errors import DataError
from mien.importers.search import Search
from mien.importers.texts import lines_of

_LONGEST = 10_000  # letters: two paths and a label
_HEADS = ("label", "labels", "emotion", "class", "target", "annotation")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line says.

    Args:
        paths: of a picture, a sound, or both.
        label: as written.
        where: list and line.
    """

    paths: tuple[str, ...]
    label: str
    where: str


def entries(file: Path, search: Search) -> list[Entry]:
    """The lines of a list, with blanks, tabs or commas between the columns.

    Raises:
        DataError: it is no list, or a line can be read in two ways.
    """
    numbered = enumerate(lines_of(file), 1)
    lines = [(number, line.strip("\r\n")) for number, line in numbered if line.strip()]
    if not lines:
        raise DataError("this list is empty", where=str(file))
    mark = _between([line for _, line in lines])
    found: list[Entry] = []
    for number, line in lines:
        where = f"{file}:{number}"
        if len(line) > _LONGEST:
            raise DataError("no line of a list is so long", where=where)
        cells = _cells(line, mark, search, where)
        *paths, label = cells
        if not found and number == lines[0][0] and label.lower() in _HEADS:
            continue  # names of columns
        if not 1 <= len(paths) <= 2 or not all(paths) or not label:
            raise DataError(
                f"this line has {len(cells)} columns", where=where, fix="FRAMES SOUND LABEL"
            )
        found.append(Entry(tuple(paths), label, where))
    return found


def _between(lines: list[str]) -> str | None:
    """What stands between columns: a tab or a comma that every line has, else blanks."""
    for mark in ("\t", ","):
        if all(1 <= line.count(mark) <= 2 for line in lines):
            labels = [line.rpartition(mark)[2].strip() for line in lines[1:] or lines]
            # A comma may stand in a path: what then follows it is no label.
            if mark == "\t" or not any(re.search(r"\s", label) for label in labels):
                return mark
    return None


def _cells(line: str, mark: str | None, search: Search, where: str) -> list[str]:
    if mark is not None:
        return [cell.strip().strip('"') for cell in line.split(mark)]
    head, label = [*line.strip().rsplit(None, 1), ""][:2]
    if not label:
        raise DataError("this line has no label", where=where, fix="FRAMES SOUND LABEL")
    ways = list(_ways(head))
    if len(ways) > 1:
        ways = _likely(ways, search)
    if len(ways) != 1:
        raise DataError(
            "blanks within the paths leave several ways to read this line",
            where=where,
            fix="put tabs between the columns",
        )
    return [*ways[0], label]


def _likely(ways: list[tuple[str, ...]], search: Search) -> list[tuple[str, ...]]:
    """Those ways of which all files are there as written; else by their ends; else of two paths."""
    found = [way for way in ways if all(search.there(path) is not None for path in way)]
    exact = [way for way in found if all((search.base / path).exists() for path in way)]
    pairs: list[tuple[str, ...]] = [way for way in found or ways if len(way) == 2]
    return exact or pairs or found or ways


def _ways(head: str) -> Iterator[tuple[str, ...]]:
    """One path, or a path and that of a sound, wherever a blank stands."""
    pairs = [(head[: gap.start()], head[gap.end() :]) for gap in re.finditer(r"\s+", head)]
    heard = [pair for pair in pairs if pair[1].lower().endswith(SOUNDS)]
    # Two words of which the second is no sound: frames and a folder of sounds, or one path.
    yield from heard or (pairs if len(pairs) == 1 else ())
    yield (head,)
