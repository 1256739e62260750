"""Rows from any table: columns are mapped once, and remembered."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mien.data.findings import Report
from mien.data.media import SOUNDS
from mien.data.records import is_field, row_of, suggestion
from mien.data.rows import Row
from mien.errors import ConfigError, DataError, did_you_mean
from mien.importers import guesses
from mien.importers.classes import Classes
from mien.importers.corpus import Found, Wish
from mien.importers.lists import FPS, missing
from mien.importers.parts import WORDS, Part, parts
from mien.importers.search import Search
from mien.importers.sheets import Sheet
from mien.types import TaskSpec

_PLACE = re.compile(r"\{([^{}]+)\}")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")


def read(wish: Wish) -> Found:
    """Rows of one table, or of one for each part."""
    options, report = wish.options, Report()
    sheets = {part: Sheet.of(part.file) for part in parts(wish)}
    named = (field[7:] for field in options.column if field.startswith("labels."))
    task = options.task or next(named, "emotion")
    columns, notes = _columns(next(iter(sheets.values())), wish, task)
    search = Search.of(wish)
    rows: list[Row] = []
    lines: dict[str, str] = {}
    for part, sheet in sheets.items():
        for where, row in _rows(sheet, part, columns, search, wish):
            if row.id in lines:
                raise DataError(
                    f"the id {row.id!r} was given before, in {lines[row.id]}",
                    where=where,
                    fix="put columns together: --column 'id={ONE}-{OTHER}', {split} among them",
                )
            lines[row.id] = where
            rows.append(row)
    if not rows:
        raise (
            search.nothing()
            if search.missing
            else DataError("this table has no rows", where=str(wish.source))
        )
    missing(search, report)
    rows, tasks, said = _named(rows, wish, task)
    if options.fps is None and any(row.fps is not None for row in rows):
        said.append(f"folders of pictures are taken at {FPS:g} a second, our choice: --fps")
    used = options.model_copy(update={"column": columns})
    return Found(
        rows=rows, tasks=tasks, report=report, notes=[*notes, *search.notes, *said], options=used
    )


# -- which column is which field -------------------------------------------------------------------


def _columns(sheet: Sheet, wish: Wish, task: str) -> tuple[dict[str, str], list[str]]:
    """Field -> column, or text with ``{COLUMN}`` in it: as somebody said, else as it looks."""
    given = wish.options.column
    for field, source in given.items():
        if field != guesses.FILE and not is_field(field):
            raise ConfigError(
                f"a manifest has no field {field!r}: {suggestion(field)}",
                fix=f"--column FIELD={source or 'COLUMN'}; media is a sound or a film",
            )
        for name in _used(source, sheet):
            if name not in (*sheet.names, "split"):
                raise DataError(
                    f"there is no column {name!r} for {field!r}: {did_you_mean(name, sheet.names)}",
                    where=str(sheet.file),
                )
    guessed, notes = guesses.guess(sheet.names, sheet.first(sheet.names), given, task)
    columns = {field: source for field, source in {**guessed, **given}.items() if source}
    if not any(field.startswith("labels.") for field in columns):
        raise guesses.unmapped(sheet.names, str(sheet.file))
    if guessed:
        shown = ", ".join(f"{field}={name}" for field, name in guessed.items())
        notes.insert(0, f"guessed from their names: {shown}; --column says otherwise")
    return columns, notes


def _used(source: str, sheet: Sheet) -> list[str]:
    """The columns that a field is made of."""
    if not source or source in sheet.names:
        return [source] if source else []
    return _PLACE.findall(source) or [source]


# -- rows ------------------------------------------------------------------------------------------


def _rows(
    sheet: Sheet, part: Part, columns: Mapping[str, str], search: Search, wish: Wish
) -> Iterator[tuple[str, Row]]:
    plain = {field: name for field, name in columns.items() if name in sheet.names}
    made = {field: text for field, text in columns.items() if field not in plain}
    others = {name for text in made.values() for name in _used(text, sheet)}
    if lacking := others - {*sheet.names, "split"}:
        raise DataError(f"there is no column {min(lacking)!r}", where=str(sheet.file))
    found = sheet.rows(plain, sorted(others & {*sheet.names}))
    for number, (where, values, cells) in enumerate(found, 1):
        if wish.progress is not None and number % 100 == 0:
            wish.progress(number)
        for field, text in made.items():
            values[field] = _filled(text, {"split": part.split or "", **cells})
        try:
            row = _row(values, part, number, search, wish)
        except DataError as error:
            raise DataError(error.what, where=where, fix=error.fix) from error
        if row is not None:
            yield where, row


def _filled(text: str, cells: Mapping[str, str]) -> str:
    """A text with the cells of a row in its places."""
    return _PLACE.sub(lambda match: cells[match[1]], text)


def _row(values: dict[str, Any], part: Part, number: int, search: Search, wish: Wish) -> Row | None:
    """A row; None where none of its files is here, and it has nothing else."""
    record = {field: v for field, v in values.items() if v is not None and not _is_empty(v)}
    name = record.pop(guesses.FILE, None)
    if name is not None:
        heard = PurePosixPath(str(name)).suffix.lower() in SOUNDS
        record.setdefault("audio" if heard else "video", name)
    files, named = dict[str, Path](), False
    for field, value in list(record.items()):
        if field in ("video", "audio") or (field[:9] == "features." and isinstance(value, str)):
            named = True
            file, mark, key = str(value).partition("::")
            if (found := search.find(file)) is None:
                del record[field]
            else:
                files[field] = found
                record[field] = wish.place.relative(found) + mark + key
    for field in ("start", "end"):
        record |= {field: _seconds(record[field])} if field in record else {}
    record["split"] = part.split or _split(record.get("split"))
    shown = files.get("video") or files.get("audio")
    record.setdefault("id", _name(shown, search, part, number, shared="start" in record))
    if files.get("video", search.base / "none").is_dir():
        record.setdefault("fps", wish.options.fps or FPS)
    row = row_of(record, rename=wish.options.rename)
    return None if named and not (files or row.features or row.text) else row


def _is_empty(value: Any) -> bool:
    return isinstance(value, str) and not value


def _name(path: Path | None, search: Search, part: Part, number: int, *, shared: bool) -> str:
    """A row without an id is called by its file; where several may share one, by its line too."""
    if path is None:
        return f"{part.split or part.file.stem}-{number}"
    name = path.relative_to(search.base).with_suffix("").as_posix()
    return f"{name}-{number}" if shared else name


def _split(word: Any) -> str | None:
    if word is None:
        return None
    if str(word).lower() not in WORDS:
        raise DataError(f"there is no part {word!r}", fix=f"one of {', '.join(WORDS)}")
    return WORDS[str(word).lower()]


def _seconds(value: Any) -> Any:
    """Seconds of a clock, 00:16:21,940; anything else as it is."""
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))


# -- labels ----------------------------------------------------------------------------------------


def _named(
    rows: list[Row], wish: Wish, task: str
) -> tuple[list[Row], dict[str, TaskSpec], list[str]]:
    """Labels by the names that somebody gave, in that order."""
    options = wish.options
    labels = [row.labels[task] for row in rows if task in row.labels]
    plain = [label for label in labels if isinstance(label, str | int | float)]
    if not options.labels:
        numbers = [label for label in plain if not isinstance(label, str)]
        whole = numbers and all(float(label).is_integer() for label in numbers)
        note = f"{task} is a number: a regression; if they are classes, --labels names them"
        return rows, {}, [note] if whole and len(numbers) == len(labels) else []
    texts = [_text(label) for label in plain]
    classes = Classes.of(texts, options.labels, first=options.first_label)
    found = []
    for row in rows:
        label = row.labels.get(task)
        if isinstance(label, str | int | float):
            name = classes.name(_text(label))
            rest = {other: held for other, held in row.labels.items() if other != task}
            row = dataclasses.replace(row, labels=rest | ({task: name} if name else {}))
        found.append(row)
    return found, {task: classes.task(task)}, classes.notes


def _text(label: str | int | float) -> str:
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return str(label)
