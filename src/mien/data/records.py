"""Rows as flat plain values, and back: the common ground of JSONL, CSV and Parquet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mien.data.places import Place
from mien.data.rows import COUNTS, FIELDS, GROUPED, NUMBERS, Inline, Row, Track, scalar
from mien.errors import DataError, did_you_mean


def is_field(name: str) -> bool:
    """Whether a manifest may have a column of this name."""
    kind, dot, rest = name.partition(".")
    return bool(rest) and kind in GROUPED if dot else name in FIELDS and name not in GROUPED


def suggestion(name: str) -> str:
    """What a misspelt field may have meant."""
    kind, dot, rest = name.partition(".")
    if dot:
        return did_you_mean(f"{kind}.{rest}", [f"{known}.{rest or 'NAME'}" for known in GROUPED])
    return did_you_mean(name, FIELDS)


def row_of(
    record: Mapping[str, Any],
    *,
    rename: Mapping[str, str] | None = None,
    place: Place | None = None,
) -> Row:
    """A row from flat values: ``id``, ``start``, ``labels.emotion`` and so on.

    Args:
        record: texts, numbers, lists and dicts as a file holds them.
        rename: label as written -> label as meant; also for classes in lists and dicts.
        place: where its paths start. They are checked not to leave the root.

    Raises:
        DataError: a value that does not fit its field.
    """
    named: dict[str, dict[str, Any]] = {kind: {} for kind in GROUPED}
    plain: dict[str, Any] = {}
    for name, value in record.items():
        kind, _, rest = name.partition(".")
        if rest and kind in GROUPED:
            named[kind][rest] = value
        else:
            plain[name] = _plain(name, value)
    labels = {
        task: _track(value) if isinstance(value, Mapping) and "path" in value else value
        for task, value in named["labels"].items()
    }
    if rename:
        labels = {task: _renamed(label, rename) for task, label in labels.items()}
    plain["id"] = plain.get("id") or ""
    row = Row(
        **plain, features=named["features"], groups=named["groups"], labels=labels, place=place
    )
    if place is not None:
        for path in row.paths():
            place.find(path)
    return row


def _plain(name: str, value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if name in NUMBERS:
        return _number(name, value)
    if name in COUNTS:
        return _count(name, value)
    if name == "box":
        if not isinstance(value, list | tuple) or len(value) != 4:
            raise DataError(f"a box is [left, top, width, height], not {value!r}")
        return tuple(_number(name, item) for item in value)
    return _text(name, value)


def _number(name: str, value: Any) -> float | None:
    if value == "":
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} is a number, not {value!r}") from error


def _count(name: str, value: Any) -> int | None:
    number = _number(name, value)
    if number is None:
        return None
    if not number.is_integer() or abs(number) >= 2**53:  # beyond it floats skip numbers
        raise DataError(f"{name} is a whole number, not {value!r}")
    return int(number)


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # tables turn whole numbers with gaps into floats
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise DataError(
        f"{name} is a text, not {type(value).__name__}", fix=f"give {name} another column"
    )


def _track(value: Mapping[str, Any]) -> Any:
    if not isinstance(value["path"], str):
        return value  # a class may be called "path"
    unknown = sorted(set(value) - {"path", "column", "fps"})
    if unknown:
        hint = did_you_mean(unknown[0], ("path", "column", "fps"))
        raise DataError(f"a track has no {unknown[0]!r}: {hint}")
    column = value.get("column")
    if isinstance(column, list):
        column = tuple(_text("column", name) for name in column)
    elif column is not None:
        column = _text("column", column)
    fps = value.get("fps")
    return Track(value["path"], column, None if fps is None else _number("fps", fps))


def _renamed(label: Any, rename: Mapping[str, str]) -> Any:
    if isinstance(label, list):
        return [_renamed(item, rename) for item in label]
    if isinstance(label, Mapping):
        return _renamed_weights(label, rename)
    if isinstance(label, str | int | float):
        return rename.get(str(scalar(label)), label)
    return label


def _renamed_weights(label: Mapping[str, Any], rename: Mapping[str, str]) -> dict[str, Any]:
    """Weights of classes that become one are added up."""
    found: dict[str, Any] = {}
    for name, weight in label.items():
        new = rename.get(name, name)
        both = weight is not None and found.get(new) is not None
        found[new] = found[new] + weight if both else weight
    return found


def record_of(row: Row) -> dict[str, Any]:
    """Flat plain values of a row, what :func:`row_of` reads; absent ones are left out."""
    record: dict[str, Any] = {}
    for name in FIELDS:
        value = getattr(row, name)
        if name in GROUPED:
            record |= {f"{name}.{key}": _bare(item) for key, item in sorted(value.items())}
        elif value is not None and not (name == "source" and value == (row.video or row.audio)):
            record[name] = list(value) if isinstance(value, tuple) else value
    return record


def _bare(value: Any) -> Any:
    if isinstance(value, Inline):
        return value.values.tolist()
    if not isinstance(value, Track):
        return value
    found: dict[str, Any] = {"path": value.path}
    if value.column is not None:
        found["column"] = value.column if isinstance(value.column, str) else list(value.column)
    return found if value.fps is None else found | {"fps": value.fps}
