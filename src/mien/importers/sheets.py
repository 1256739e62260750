"""Tables of other people: CSV with any mark between the columns, TSV, Parquet."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mien.data.tables import cells_of, value_of
from mien.errors import DataError
from mien.importers.texts import lines_of

_MARKS = ",;\t|"
_SEEN = 50  # lines that show which mark it is
_FIRST = 200  # rows that guesses look at

Values = dict[str, Any]
Cells = dict[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table with named columns.

    Args:
        file: it.
        names: of its columns.
        mark: what stands between cells; None: Parquet.
    """

    file: Path
    names: tuple[str, ...]
    mark: str | None = None

    @classmethod
    def of(cls, file: Path) -> Sheet:
        """Look at the names of the columns.

        Raises:
            DataError: it is no table, or two columns have one name.
        """
        if file.suffix.lower() == ".parquet":
            try:
                sheet = cls(file, tuple(pq.read_schema(file).names))
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"this is not a Parquet file: {error}", where=str(file)) from error
        else:
            lines = lines_of(file)
            mark = _mark(lines, file)
            names = next(csv.reader(lines[:1], delimiter=mark), [])
            sheet = cls(file, tuple(name.strip() for name in names), mark)
        twice = next((name for name in sheet.names if sheet.names.count(name) > 1), None)
        if twice is not None or not sheet.names:
            what = f"two columns are called {twice!r}" if sheet.names else "this table is empty"
            raise DataError(what, where=str(file), fix="the first line names the columns")
        return sheet

    def rows(
        self, fields: Mapping[str, str], others: Sequence[str] = ()
    ) -> Iterator[tuple[str, Values, Cells]]:
        """Where each row stands, its fields as they are meant, and the text of other columns.

        Args:
            fields: of a manifest -> column.
            others: columns that texts are made of.
        """
        return self._parquet(fields, others) if self.mark is None else self._text(fields, others)

    def first(self, names: Sequence[str]) -> list[Cells]:
        """The first rows as texts."""
        found = []
        for _, _, cells in self.rows({}, names):
            found.append(cells)
            if len(found) == _FIRST:
                break
        return found

    def _text(
        self, fields: Mapping[str, str], others: Sequence[str]
    ) -> Iterator[tuple[str, Values, Cells]]:
        assert self.mark is not None
        before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a cell may be a whole vector
        try:
            lines = csv.reader(lines_of(self.file), delimiter=self.mark, strict=True)
            next(lines)
            at = {name: index for index, name in enumerate(self.names)}
            line = lines.line_num + 1
            for cells in lines:
                where, line = f"{self.file}:{line}", lines.line_num + 1
                if not any(cells):
                    continue
                if len(cells) != len(self.names):
                    raise DataError(
                        f"this line has {len(cells)} cells, the header {len(self.names)}",
                        where=where,
                    )
                values = {
                    field: value_of(field, cells[at[name]].strip())
                    for field, name in fields.items()
                }
                yield where, values, {name: cells[at[name]].strip() for name in others}
        except csv.Error as error:
            raise DataError(f"this is not a table: {error}", where=str(self.file)) from error
        finally:
            csv.field_size_limit(before)

    def _parquet(
        self, fields: Mapping[str, str], others: Sequence[str]
    ) -> Iterator[tuple[str, Values, Cells]]:
        try:
            file, number = pq.ParquetFile(self.file), 0
            wanted = list(dict.fromkeys([*fields.values(), *others]))
            for batch in file.iter_batches(columns=wanted):
                values = {
                    field: cells_of(field, file.schema_arrow.field(name), batch.column(name))
                    for field, name in fields.items()
                }
                texts = {name: batch.column(name).to_pylist() for name in others}
                for index in range(batch.num_rows):
                    number += 1
                    yield (
                        f"{self.file}: row {number}",
                        {field: held[index] for field, held in values.items()},
                        {name: _said(held[index]) for name, held in texts.items()},
                    )
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"this is not a Parquet file: {error}", where=str(self.file)) from error


def _said(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column with gaps turns whole numbers into floats
    return "" if value is None or isinstance(value, list | dict | bytes) else str(value)


def _mark(lines: Sequence[str], file: Path) -> str:
    """What stands between cells: what the header has most of, and other lines as often."""
    shown = [line for line in lines[:_SEEN] if line.strip()]
    if not shown:
        raise DataError("this table is empty", where=str(file))
    often = {mark: _often(shown, mark) for mark in _MARKS}
    best = max(often, key=lambda mark: often[mark])
    if often[best] == (0.0, 0):
        return "\t" if file.suffix.lower() == ".tsv" else ","
    return best


def _often(lines: Sequence[str], mark: str) -> tuple[float, int]:
    """The share of lines with as many cells as the header, and how many these are."""
    try:
        cells = [len(row) for row in csv.reader(lines, delimiter=mark) if row]
    except csv.Error:
        return 0.0, 0
    if not cells or cells[0] < 2:
        return 0.0, 0
    return sum(count == cells[0] for count in cells) / len(cells), cells[0]
