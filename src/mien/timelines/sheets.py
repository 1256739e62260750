"""Tables of timelines as CSV and Parquet.

A text of a CSV cell that begins like a formula gets an apostrophe before it, since spreadsheets
would run it and names of files come from anywhere. Reading takes the apostrophe away again.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mien.errors import DataError
from mien.timelines.flat import Cell, Column, Kind, column_of, table_of, timelines_of
from mien.types import Specs, Timeline

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = 2**53  # whole numbers up to here are exact as floats

# How much a Parquet file may unfold to: honest tables repeat themselves, too, but not like this.
_CELLS, _BYTES, _FOLD = 10**6, 10**8, 100


def csv_of(timelines: Sequence[Timeline], specs: Specs) -> bytes:
    """A CSV file in UTF-8: plain for pandas and R, exact, and without formulas."""
    columns, rows = table_of(timelines, specs)
    file = io.StringIO(newline="")
    out = csv.writer(file)
    out.writerow([_guarded(name) for name in columns])
    for row in rows:
        out.writerow([_shown(row[name]) if name in row else "" for name in columns])
    return file.getvalue().encode()


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _shown(cell: Cell) -> str:
    if isinstance(cell, str):
        return _guarded(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return repr(cell)


def read_csv(path: Path) -> list[Timeline]:
    """Timelines that :func:`csv_of` wrote."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # sources have notes of any length
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            columns = _columns([_unguarded(name) for name in next(lines, [])])
            return timelines_of(columns, _csv_rows(lines, columns))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"this is not a CSV file in UTF-8: {error}") from error
    finally:
        csv.field_size_limit(before)


def _csv_rows(lines: Any, columns: Mapping[str, Column]) -> Iterator[tuple[str, dict[str, Any]]]:
    for cells in lines:
        where = f"line {lines.line_num}"
        if not cells:
            continue
        if len(cells) != len(columns):
            wrong = f"this line has {len(cells)} cells, the header {len(columns)}"
            raise DataError(wrong, where=where)
        row: dict[str, Any] = {}
        for (name, column), cell in zip(columns.items(), cells, strict=True):
            if cell and column.part != "top":
                try:
                    row[name] = _MEANT[column.kind](cell)
                except DataError as error:
                    raise DataError(error.what, where=f"{where}, {name}") from error
        yield where, row


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def _number(cell: str) -> float:
    if not _NUMBER.fullmatch(cell):
        raise DataError(f"{cell[:40]!r} is not a number")
    return float(cell)


def _truth(cell: str) -> bool:
    if cell.lower() not in ("true", "false"):
        raise DataError(f"{cell[:40]!r} is neither true nor false")
    return cell.lower() == "true"


def _count(cell: str) -> int:
    return _whole(_number(cell))


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError("timelines are numbered")
    if not 0 <= value < _WHOLE or value != int(value):
        raise DataError("timelines are numbered from 0")
    return int(value)


_MEANT: Mapping[Kind, Callable[[str], Any]] = {
    "text": _unguarded,
    "number": _number,
    "truth": _truth,
    "count": _count,
}


def _columns(names: Sequence[str]) -> dict[str, Column]:
    if not names:
        raise DataError("this table has no header")
    found: dict[str, Column] = {}
    seen: set[Column] = set()
    for name in names:
        column = column_of(name)
        if name in found or (column.part and column in seen):
            raise DataError(f"two columns are called {name[:60]!r}")
        found[name] = column
        seen.add(column)
    return found


# -- Parquet ---------------------------------------------------------------------------------------

_TYPES: Mapping[Kind, Any] = {
    "text": pa.string(),
    "number": pa.float64(),
    "truth": pa.bool_(),
    "count": pa.int64(),
}


def parquet_of(timelines: Sequence[Timeline], specs: Specs) -> bytes:
    """A Parquet file: the same columns as in CSV, with their types."""
    columns, rows = table_of(timelines, specs)
    arrays = [
        pa.array([row.get(name) for row in rows], _TYPES[column.kind])
        for name, column in columns.items()
    ]
    fields = [pa.field(name, _TYPES[column.kind]) for name, column in columns.items()]
    file = io.BytesIO()
    pq.write_table(pa.table(arrays, schema=pa.schema(fields)), file)
    return file.getvalue()


def read_parquet(path: Path) -> list[Timeline]:
    """Timelines that :func:`parquet_of` wrote."""
    try:
        schema = pq.read_schema(path)
        columns = _columns(schema.names)
        for name, column in columns.items():
            if not _fits(schema.field(name).type, column.kind):
                raise DataError(f"column {name[:60]!r} holds {schema.field(name).type}")
        # One copy of each text, however many rows have it.
        texts = [name for name, column in columns.items() if column.kind == "text"]
        file = pq.ParquetFile(path, read_dictionary=texts)
        _refuse_unfolding(file.metadata, path)
        return timelines_of(columns, _parquet_rows(file, columns))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        first = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"this is not a Parquet file: {first}") from error


def _refuse_unfolding(facts: Any, path: Path) -> None:
    there = path.stat().st_size
    groups = [facts.row_group(index) for index in range(facts.num_row_groups)]
    cells = facts.num_rows * facts.num_columns
    unfolded = sum(group.total_byte_size for group in groups)
    if cells > _CELLS + _FOLD * there or unfolded > _BYTES + _FOLD * there:
        raise DataError(f"{there:,} bytes that unfold to {facts.num_rows:,} rows are no timelines")


def _parquet_rows(file: Any, columns: Mapping[str, Column]) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    wanted = [name for name, column in columns.items() if column.part != "top"]
    for batch in file.iter_batches():
        cells = {name: _values(batch.column(name), columns[name].kind) for name in wanted}
        for index in range(batch.num_rows):
            number += 1
            row = {name: values[index] for name, values in cells.items()}
            yield f"row {number}", {k: v for k, v in row.items() if v is not None}


def _values(column: Any, kind: Kind) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        texts = column.dictionary.to_pylist()
        return [None if at is None else texts[at] for at in column.indices.to_pylist()]
    found: list[Any] = column.to_pylist()
    return [None if v is None else _whole(v) for v in found] if kind == "count" else found


def _fits(held: Any, kind: Kind) -> bool:
    if kind == "text":
        inner = held.value_type if pa.types.is_dictionary(held) else held
        return bool(
            pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_null(inner)
        )
    if kind == "truth":
        return bool(pa.types.is_boolean(held) or pa.types.is_null(held))
    number = pa.types.is_floating(held) or pa.types.is_integer(held) or pa.types.is_null(held)
    return bool(number)
