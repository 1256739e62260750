"""Labels over time, from a file with one line or row a position."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from mien.data import features
from mien.data.places import Place
from mien.data.rows import Track
from mien.errors import DataError, did_you_mean
from mien.types import TaskSpec

_TABLES = (".csv", ".parquet")
_LINES = ".txt"
_BYTES = 64 << 20  # of a file of lines: hundreds of hours


def load(track: Track, place: Place, spec: TaskSpec, *, row: str = "") -> NDArray[Any] | list[Any]:
    """What a track holds at each of its L positions.

    Args:
        track: the file, and which of its columns.
        place: where its path starts.
        spec: the task, for the names of columns.
        row: id, to be named in errors.

    Returns:
        Numbers (L) or (L, C), NaN where a cell is empty, or a list of L class names.
    """
    if Path(track.path).suffix.lower() == _LINES:
        _no_columns(track, row)
        return _lines(track, place, spec, row)
    if Path(track.path).suffix.lower() not in _TABLES:
        _no_columns(track, row)
        values = features.load(track.path, place, row=row, finite=False)
        if values.ndim > 2:
            raise DataError(
                f"a track has the shape (L) or (L, C), not {values.shape}", where=_where(track, row)
            )
        return values
    table = _table(track, place, row)
    chosen = _chosen(track, table.column_names, spec, row)
    columns = [table.column(name) for name in chosen]
    if len(columns) == 1 and not _numeric(columns[0]):
        return list(columns[0].to_pylist())
    try:
        numbers = [column.cast(pa.float64()).to_numpy() for column in columns]
    except pa.ArrowException as error:
        raise DataError(f"a track holds numbers: {error}", where=_where(track, row)) from error
    return numbers[0] if len(numbers) == 1 else np.stack(numbers, 1)  # (L) or (L, C)


def width(track: Track, place: Place, *, row: str = "") -> int:
    """How many columns a track has, C; those of a table that are asked for."""
    if track.column is not None:
        return 1 if isinstance(track.column, str) else len(track.column)
    if Path(track.path).suffix.lower() in _TABLES:
        return len(_table(track, place, row).column_names)
    if Path(track.path).suffix.lower() == _LINES:
        lines = _text(track, place, row)  # of one of n classes a line has less than the header
        return len(lines[min(1, len(lines) - 1)].split(","))
    size = features.shape(track.path, place, row=row)
    return 1 if len(size) == 1 else size[1]


def positions(
    count: int, *, track_fps: float | None, fps: float | None, lengths: Sequence[int]
) -> NDArray[np.int64]:
    """Which position of a track each position of the inputs is labelled by; -1: by none.

    Position i of the inputs lies at i / fps seconds, where the track's position of that moment is
    taken. Without either rate both count alike. A track often has a few positions more or fewer
    than the inputs: then it is cut, or its end is not annotated.

    Args:
        count: positions of the track.
        track_fps: of them a second.
        fps: positions of the inputs a second.
        lengths: how many positions each input has. The nearest to the track's duration counts, if
            it is within 5 % (or 3 positions); else the track keeps its own duration.
    """
    step = track_fps / fps if track_fps and fps else 1.0
    wanted = max(1, round(count / step)) if count else 0
    near = [n for n in lengths if abs(n - wanted) <= max(3, 0.05 * wanted)]
    length = min(near, key=lambda n: (abs(n - wanted), n)) if near else wanted
    at = np.floor(np.arange(length) * step + 1e-6).astype(np.int64)
    return np.where(at < count, at, -1)


def _lines(track: Track, place: Place, spec: TaskSpec, row: str) -> NDArray[np.float64]:
    """A file of lines as the ABAW challenges have them: a header, then a line a frame.

    The header names the task's labels in their order. A line holds a number a label, or of one of
    n classes its number alone.

    Returns:
        (L) class numbers, or (L, C) values; what means "not annotated" is left as it is.
    """
    header, *lines = _text(track, place, row)
    names = [name.strip() for name in header.split(",")]
    if names != list(spec.labels):
        raise DataError(
            f"its header names {', '.join(names)[:80]}, task {spec.name!r} asks for "
            f"{', '.join(spec.labels)[:80]}",
            where=_where(track, row),
        )
    wide = 1 if spec.categorical else spec.width
    values = np.empty((len(lines), wide))
    for number, line in enumerate(lines):
        cells = line.split(",")
        try:
            values[number] = np.array([float(cell) for cell in cells]).reshape(wide)
        except ValueError as error:
            raise DataError(
                f"line {number + 2} holds {line.strip()[:40]!r}, not {wide} numbers",
                where=_where(track, row),
            ) from error
    return values[:, 0] if spec.categorical else values


def _text(track: Track, place: Place, row: str) -> list[str]:
    """The lines of a text file, the header first; there is at least that."""
    try:
        path = place.find(track.path)
        if not path.is_file():
            raise DataError("there is no such file")
        if path.stat().st_size > _BYTES:
            raise DataError("no track is so large")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"this is no text: {error}", where=_where(track, row)) from error
    except DataError as error:
        raise DataError(error.what, where=_where(track, row), fix=error.fix) from error
    return lines[:-1] if len(lines) > 1 and not lines[-1].strip() else lines


def _numeric(column: Any) -> bool:
    kind = column.type
    return bool(
        pa.types.is_floating(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def _table(track: Track, place: Place, row: str) -> Any:
    try:
        path = place.find(track.path)
        if not path.is_file():
            raise DataError("there is no such file")
        # Threads do not survive the fork of a process that reads data.
        if path.suffix.lower() == ".csv":
            table = csv.read_csv(
                path,
                csv.ReadOptions(use_threads=False),
                convert_options=csv.ConvertOptions(strings_can_be_null=True),
            )
        else:
            table = pq.read_table(path, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"this is not a table: {error}", where=_where(track, row)) from error
    except DataError as error:
        raise DataError(error.what, where=_where(track, row), fix=error.fix) from error
    return table.rename_columns([name.strip() for name in table.column_names])


def _chosen(track: Track, names: Sequence[str], spec: TaskSpec, row: str) -> Sequence[str]:
    """The columns of a table that hold the task's labels."""
    if track.column is not None:
        wanted = (track.column,) if isinstance(track.column, str) else track.column
    elif set(spec.labels) <= set(names):
        wanted = spec.labels
    elif spec.name in names:
        wanted = (spec.name,)
    else:
        wanted = tuple(names)
    for name in wanted:
        if name not in names:
            raise DataError(
                f"there is no column {name!r}: {did_you_mean(name, names)}",
                where=_where(track, row),
            )
    if len(wanted) not in ({1, spec.width} if spec.categorical else {spec.width}):
        raise DataError(
            f"task {spec.name!r} needs {'1 or ' if spec.categorical else ''}{spec.width} columns, "
            f"not {len(wanted)}: {', '.join(wanted[:6])}",
            where=_where(track, row),
            fix='say which, as in {"path": ..., "column": "NAME"}',
        )
    return wanted


def _no_columns(track: Track, row: str) -> None:
    if track.column is not None:
        raise DataError(
            "only columns of a .csv or .parquet file have names", where=_where(track, row)
        )


def _where(track: Track, row: str) -> str:
    return f"row {row!r}, {track.path}" if row else track.path
