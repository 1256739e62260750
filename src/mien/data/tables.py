"""JSONL, CSV and Parquet as flat records. All three hold the same rows.

A cell of a table holds one value: what is no text stands in it as JSON. In CSV a class name is
written as it is, and in quotes where it could be taken for something else (``"1"``, ``"null"``).
Parquet keeps numbers, texts and lists as such; columns that mix kinds are JSON, and marked so.
"""

from __future__ import annotations

import csv
import difflib
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from mien.data.records import is_field, record_of, suggestion
from mien.data.rows import COUNTS, FIELDS, GROUPED, NUMBERS, Row
from mien.errors import DataError, did_you_mean

Record = dict[str, Any]
Columns = Mapping[str, str]
"""Manifest field -> column of the file."""

SUFFIXES = (".jsonl", ".csv", ".parquet")
_MARK = b"mien"


def read(path: Path, columns: Columns) -> Iterator[tuple[str, Record]]:
    """Records of a file, each with the place it stands at (``rows.csv:7``).

    Args:
        path: ``.jsonl``, ``.csv`` or ``.parquet``.
        columns: where the file names a field otherwise. A column that is named here is read
            under no other name. With any given, further columns that no field is called like
            are left alone in CSV and Parquet, and an error otherwise.
    """
    for name in columns:
        if not is_field(name):
            raise DataError(
                f"a manifest has no field {name!r}: {suggestion(name)}", where="columns"
            )
    reader = _by_suffix(path, {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet})
    if not path.is_file():
        raise DataError(
            "there is no such manifest",
            where=str(path),
            fix=_beside(path)
            or "the path of a .jsonl, .csv or .parquet file; mien demo makes one to look at",
        )
    yield from reader(path, columns)


def _beside(path: Path) -> str:
    """What to type where a manifest beside it is called nearly so; else nothing."""
    names = [each.name for each in path.parent.glob("*") if each.suffix.lower() in SUFFIXES]
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    return did_you_mean(path.name, close) if close else ""


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows in the format of the file's ending, whole or not at all."""
    writer = _by_suffix(
        path, {".jsonl": _write_jsonl, ".csv": _write_csv, ".parquet": _write_parquet}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        writer(unfinished, [record_of(row) for row in rows])
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _by_suffix(path: Path, known: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    if path.suffix.lower() not in known:
        raise DataError(
            f"a manifest ends in {', '.join(SUFFIXES)}, not {path.suffix!r}", where=str(path)
        )
    return known[path.suffix.lower()]


# -- which column is which field -------------------------------------------------------------------


def _fields(names: Sequence[str], columns: Columns, path: Path, *, strict: bool) -> dict[str, str]:
    """Field -> column for the columns that a table has."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two columns are called {twice!r}", where=str(path))
    for field, column in columns.items():
        if column not in names:
            raise DataError(
                f"there is no column {column!r} for {field!r}: {did_you_mean(column, names)}",
                where=str(path),
            )
    found = dict(columns)
    for name in names:
        if name in columns.values() or name in columns:
            continue
        if is_field(name):
            found[name] = name
        elif strict:
            raise DataError(
                f"there is no field {name!r}: {suggestion(name)}",
                where=str(path),
                fix='name foreign columns field by field, as in data.columns.id="key"',
            )
    return found


def _unknown(name: str, record: Mapping[str, Any]) -> NoReturn:
    raise DataError(f"row {record.get('id')!r} has an unknown field {name!r}: {suggestion(name)}")


# -- JSONL -----------------------------------------------------------------------------------------


def _read_jsonl(path: Path, columns: Columns) -> Iterator[tuple[str, Record]]:
    unused = dict(columns)
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        try:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    record = _flat(_json(line), columns)
                except DataError as error:
                    raise DataError(error.what, where=where, fix=error.fix) from error
                for field in [field for field in unused if field in record]:
                    del unused[field]
                yield where, record
        except UnicodeDecodeError as error:
            raise DataError(f"this file is not UTF-8: {error}", where=str(path)) from error
    for field, column in unused.items():
        raise DataError(f"no row has a key {column!r} for {field!r}", where=str(path))


def _flat(value: Any, columns: Columns) -> Record:
    """The nested names of one row as ``labels.emotion`` and so on."""
    if not isinstance(value, dict):
        raise DataError(f"a row is a JSON object, not {type(value).__name__}")
    record = {field: value[column] for field, column in columns.items() if column in value}
    for name, item in value.items():
        if name in columns.values() or name in columns:
            continue
        if name not in GROUPED:
            if not is_field(name):
                _unknown(name, value)
            record[name] = item
        elif isinstance(item, dict):
            if "" in item:
                raise DataError(f"{name} go by a name, not ''")
            inner = {f"{name}.{key}": held for key, held in item.items()}
            record |= {field: held for field, held in inner.items() if field not in columns}
        elif item is not None:
            raise DataError(f'{name} is an object, as in {{"NAME": ...}}, not {item!r}')
    return record


def _json(text: str) -> Any:
    def refuse(word: str) -> NoReturn:
        raise DataError(f"{word} is not a JSON value", fix="write null where nothing is known")

    try:
        value = json.loads(text, parse_constant=refuse)
        if "\\ud" in text.lower():  # half of a pair of escapes is a letter that no file can hold
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DataError(f"this is not JSON: {error}") from error
    return value


def _write_jsonl(path: Path, records: Iterable[Record]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for record in records:
            nested: Record = {}
            for name, value in record.items():
                kind, dot, rest = name.partition(".")
                if dot:
                    nested.setdefault(kind, {})[rest] = value
                else:
                    nested[name] = value
            out.write(json.dumps(nested, ensure_ascii=False) + "\n")


# -- cells -----------------------------------------------------------------------------------------


def value_of(field: str, cell: str) -> Any:
    """What the text of a cell means. Anything that is not JSON is a text."""
    kind = field.partition(".")[0]
    if not cell:
        return None
    if kind == "box":
        return _json(cell)
    if kind not in GROUPED or (kind == "features" and cell[0] not in '["'):
        return cell
    try:
        return _json(cell)
    except DataError:
        return cell


def _cell(field: str, value: Any) -> str:
    """The text of a cell that :func:`value_of` reads as this value."""
    if isinstance(value, str) and value_of(field, value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _columns_of(records: Sequence[Record]) -> list[str]:
    used = {name for record in records for name in record}
    plain = [name for name in FIELDS if name in used or name == "id"]
    return plain + sorted(name for name in used if "." in name)


# -- CSV -------------------------------------------------------------------------------------------


def _read_csv(path: Path, columns: Columns) -> Iterator[tuple[str, Record]]:
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a cell may hold a whole vector
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            names = next(lines, [])
            fields = _fields(names, columns, path, strict=not columns)
            at = {field: names.index(column) for field, column in fields.items()}
            line = lines.line_num + 1
            for cells in lines:
                where, line = f"{path}:{line}", lines.line_num + 1
                if cells:
                    yield where, _csv_record(cells, at, len(names), where)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"this is not a CSV file in UTF-8: {error}", where=str(path)) from error
    finally:
        csv.field_size_limit(before)


def _csv_record(cells: Sequence[str], at: Mapping[str, int], width: int, where: str) -> Record:
    if len(cells) != width:
        raise DataError(f"this line has {len(cells)} cells, the header {width}", where=where)
    try:
        return {field: value_of(field, cells[i]) for field, i in at.items() if cells[i]}
    except DataError as error:
        raise DataError(error.what, where=where, fix=error.fix) from error


def _write_csv(path: Path, records: Sequence[Record]) -> None:
    names = _columns_of(records)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(names)
        for record in records:
            out.writerow(_cell(n, record[n]) if n in record else "" for n in names)


# -- Parquet ---------------------------------------------------------------------------------------


def _read_parquet(path: Path, columns: Columns) -> Iterator[tuple[str, Record]]:
    try:
        schema = pq.read_schema(path)
        fields = _fields(schema.names, columns, path, strict=not columns)
        wanted = list(dict.fromkeys(fields.values()))
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(columns=wanted):
            cells = {
                field: cells_of(field, schema.field(column), batch.column(column))
                for field, column in fields.items()
            }
            for index in range(batch.num_rows):
                number += 1
                record = {field: values[index] for field, values in cells.items()}
                yield f"{path}: row {number}", {k: v for k, v in record.items() if v is not None}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"this is not a Parquet file: {error}", where=str(path)) from error


def cells_of(field: str, column: Any, values: Any) -> list[Any]:
    """The values of one column as Python means them."""
    kind = field.partition(".")[0]
    if kind == "features" and _is_list(column.type) and not _is_list(column.type.value_type):
        return [c.values.to_numpy(zero_copy_only=False) if c.is_valid else None for c in values]
    found: list[Any] = values.to_pylist(maps_as_pydicts="strict")
    mark = (column.metadata or {}).get(_MARK)
    if kind not in (*GROUPED, "box") or mark == b"text":
        return found
    return [_meant(field, cell, marked=mark == b"json") for cell in found]


def _meant(field: str, cell: Any, *, marked: bool) -> Any:
    """A cell of a table that others may have written: lists and weights can stand in it as JSON."""
    if isinstance(cell, dict):  # a struct has all names in every row
        return {name: value for name, value in cell.items() if value is not None}
    if isinstance(cell, str) and (marked or cell[:1] in ("[", "{")):
        return value_of(field, cell)
    return cell


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _write_parquet(path: Path, records: Sequence[Record]) -> None:
    arrays, fields = [], []
    for name in _columns_of(records):
        values = [record.get(name) for record in records]
        kind = _kind(name, [value for value in values if value is not None])
        mark = None
        if kind is None:
            values = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
            mark = {_MARK: b"json"}
        elif kind == pa.string() and "." in name:
            mark = {_MARK: b"text"}
        kind = pa.string() if kind is None else kind
        arrays.append(pa.array(values, kind))
        fields.append(pa.field(name, kind, metadata=mark))
    pq.write_table(pa.table(arrays, schema=pa.schema(fields)), path)


def _kind(name: str, values: Sequence[Any]) -> Any:
    """The type that holds all values of a column exactly; None if only JSON does."""
    if name in NUMBERS:
        return pa.float64()
    if name in COUNTS:
        return pa.int64()
    if all(isinstance(value, str) for value in values):
        return pa.string()
    if all(isinstance(value, list) and value for value in values):
        inner = _kind(name, [item for value in values for item in value])
        return None if inner is None else pa.list_(inner)
    if all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in values):
        return pa.int64()
    if all(isinstance(value, float) and math.isfinite(value) for value in values):
        return pa.float64()
    return None
