r"""Timelines as a table, one row a window, for CSV and Parquet. Reading gives back every bit.

A row holds the window's numbers under names that pandas, R and spreadsheets show as they are:
``emotion.happy``, ``emotion.uncertainty``, ``present.audio``, ``box.left``. ``emotion.top`` is
there for people, and not read. ``evidence`` holds as JSON why a window was answered so, where
somebody asked. ``timeline`` numbers the sources, since a source may come twice; on
the first row of each, ``about`` holds as JSON what belongs to the whole of it (duration, made_by,
notes). A track without windows is a row without times, a source without tracks one without a track.

A dot in the name of a task is written ``\.``, and a name that would be taken for another column
begins with a backslash (``emotion.\top``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mien.errors import DataError, did_you_mean
from mien.timelines.values import timeline_of
from mien.types import Specs, Timeline, Window

Cell = str | float | int | bool
Row = dict[str, Cell]
"""What is not known is left out."""
Kind = Literal["text", "number", "truth", "count"]

_FIRST: Mapping[str, Kind] = {
    "timeline": "count",
    "source": "text",
    "track": "text",
    "kind": "text",
    "start": "number",
    "end": "number",
}
_BOX = ("left", "top", "width", "height")
_LAST: Mapping[str, Kind] = {
    "voice": "text",
    "voice_score": "number",
    "evidence": "text",
    "about": "text",
}
_PRESENT, _PLACE = "present", "box"
_TOP, _UNSURE = "top", "uncertainty"


class Column(NamedTuple):
    """What a column holds: of which task or modality, and which value of it."""

    kind: Kind
    part: str  # "" for a plain column, else scores, top, uncertainty, present or box
    owner: str = ""
    item: str = ""


def table_of(timelines: Sequence[Timeline], specs: Specs) -> tuple[dict[str, Column], list[Row]]:
    """Columns by name in their order, and the rows.

    Args:
        timelines: checked ones.
        specs: which tasks have one best class; only these get a column for it.
    """
    rows: list[Row] = []
    for number, timeline in enumerate(timelines):
        about = {
            "duration": timeline.duration,
            "made_by": dict(timeline.made_by),
            "notes": list(timeline.notes),
        }
        own = _rows(timeline, specs)
        own[0]["about"] = json.dumps(about, ensure_ascii=False, allow_nan=False)
        whose: Row = {"timeline": number, "source": timeline.source}
        rows += [whose | row for row in own]
    used = dict.fromkeys(name for row in rows for name in row)
    return _ordered(used, timelines), rows


def _rows(timeline: Timeline, specs: Specs) -> list[Row]:
    rows: list[Row] = []
    for track in timeline.tracks:
        whose: Row = {"track": track.id, "kind": track.kind}
        rows += [whose | _cells(window, specs) for window in track.windows] or [whose]
    return rows or [{}]


def _cells(window: Window, specs: Specs) -> Row:
    row: Row = {"start": window.start, "end": window.end}
    for task, scores in window.scores.items():
        prefix = _prefix(task)
        row |= {f"{prefix}.{_suffix(label)}": score for label, score in scores.items()}
        if specs[task].categorical:
            row[f"{prefix}.{_TOP}"] = window.top(task)
    row |= {f"{_prefix(task)}.{_UNSURE}": held for task, held in window.uncertainty.items()}
    row |= {f"{_PRESENT}.{name}": there for name, there in window.present.items()}
    if window.box is not None:
        row |= {f"{_PLACE}.{side}": v for side, v in zip(_BOX, window.box, strict=True)}
    if window.voice:
        row["voice"] = window.voice
    if window.voice_score is not None:
        row["voice_score"] = window.voice_score
    if window.evidence is not None:
        why = window.evidence.to_dict()
        row["evidence"] = json.dumps(why, ensure_ascii=False, allow_nan=False)
    return row


def _ordered(used: Mapping[str, None], timelines: Sequence[Timeline]) -> dict[str, Column]:
    """Columns of a task stand together: its labels, the best, the uncertainty."""
    found = {name: column_of(name) for name in [*_FIRST, *used]}
    tasks: dict[str, None] = {}
    for timeline in timelines:
        for _, window in timeline:
            tasks |= dict.fromkeys(window.scores) | dict.fromkeys(window.uncertainty)
    place = {task: index for index, task in enumerate(tasks)}
    parts = ("first", "scores", "top", "uncertainty", "present", "box", "last")

    def order(name: str) -> tuple[int, int, int]:
        column = found[name]
        if column.part in ("scores", "top", "uncertainty"):
            return 1, place[column.owner], parts.index(column.part)
        part = column.part or ("first" if name in _FIRST else "last")
        inner = _BOX.index(column.item) if part == "box" else 0
        inner = list(_LAST).index(name) if part == "last" else inner
        return (0 if part == "first" else 2), parts.index(part), inner

    return {name: found[name] for name in sorted(found, key=order)}


# -- names of columns ------------------------------------------------------------------------------


def _prefix(task: str) -> str:
    name = task.replace("\\", "\\\\").replace(".", "\\.")
    return f"\\{name}" if task in (_PRESENT, _PLACE) else name


def _suffix(label: str) -> str:
    return f"\\{label}" if label in (_TOP, _UNSURE) or label.startswith("\\") else label


def column_of(name: str) -> Column:
    """What a column holds, by its name.

    Raises:
        DataError: there is no such column.
    """
    plain = {**_FIRST, **_LAST}
    if name in plain:
        return Column(plain[name], "")
    raw, item = _split(name)
    if item is None:
        raise DataError(
            f"a table of timelines has no column {name[:60]!r}: {did_you_mean(name, plain)}",
            fix="write it without further columns; in pandas: to_csv(path, index=False)",
        )
    if raw == _PRESENT:
        return Column("truth", "present", item=item)
    if raw == _PLACE:
        if item not in _BOX:
            raise DataError(f"a box has no {item[:60]!r}: {did_you_mean(item, _BOX)}")
        return Column("number", "box", item=item)
    task = _plain(raw)
    if item == _TOP:
        return Column("text", "top", task)
    if item == _UNSURE:
        return Column("number", "uncertainty", task)
    return Column("number", "scores", task, item.removeprefix("\\"))


def _split(name: str) -> tuple[str, str | None]:
    """At the first dot that has no backslash before it."""
    at = 0
    while at < len(name) and name[at] != ".":
        at += 2 if name[at] == "\\" else 1
    return (name[:at], name[at + 1 :]) if at < len(name) else (name, None)


def _plain(raw: str) -> str:
    letters, at = [], 0
    while at < len(raw):
        at += raw[at] == "\\"
        letters.append(raw[at : at + 1])
        at += 1
    return "".join(letters)


# -- back to timelines -----------------------------------------------------------------------------


def timelines_of(
    columns: Mapping[str, Column], rows: Iterable[tuple[str, Mapping[str, Any]]]
) -> list[Timeline]:
    """Timelines from rows, each given with the place it stands at.

    Rows of one timeline need not stand together; windows keep the order of the rows.

    Raises:
        DataError: it says in which row.
    """
    for name in ("timeline", "source", "track", "kind", "start", "end"):
        if name not in columns:
            raise DataError(f"there is no column {name!r}", fix=f"add {name!r}")
    found: dict[int, dict[str, Any]] = {}
    for where, row in rows:
        try:
            _add(found, columns, row)
        except DataError as error:
            inner = where if error.where is None else f"{where}, {error.where}"
            raise DataError(error.what, where=inner, fix=error.fix) from error
    return [_made(number, values) for number, values in found.items()]


def _add(
    found: dict[int, dict[str, Any]], columns: Mapping[str, Column], row: Mapping[str, Any]
) -> None:
    """Put what a row holds into the plain values of its timeline."""
    if "timeline" not in row:
        raise DataError("this row does not say which timeline it belongs to")
    source = row.get("source", "")
    values = found.setdefault(row["timeline"], {"source": source, "tracks": {}, "about": None})
    if values["source"] != source:
        raise DataError(f"timeline {row['timeline']} has two sources")
    if "about" in row:
        if values["about"] is not None:
            raise DataError(f"timeline {row['timeline']} has two cells in 'about'")
        values["about"] = _about(row["about"])
    answers = row.keys() - {"timeline", "source", "track", "kind", "about"}
    if "kind" not in row:
        if answers:
            raise DataError("this row has no kind of track")
        return
    name = row.get("track", "")
    track = values["tracks"].setdefault(name, {"id": name, "kind": row["kind"], "windows": []})
    if track["kind"] != row["kind"]:
        raise DataError(f"track {name!r} has two kinds")
    if answers:
        track["windows"].append(_window(columns, row))


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"this is not JSON: {error}", where=where) from error


def _about(text: str) -> dict[str, Any]:
    values = _parsed(text, "about")
    if not isinstance(values, dict) or not values.keys() <= {"duration", "made_by", "notes"}:
        raise DataError("about holds duration, made_by and notes", where="about")
    return values


def _window(columns: Mapping[str, Column], row: Mapping[str, Any]) -> dict[str, Any]:
    window: dict[str, Any] = {"scores": {}, "uncertainty": {}, "present": {}}
    box: dict[str, Any] = {}
    for name, cell in row.items():
        column = columns[name]
        if column.part == "scores":
            window["scores"].setdefault(column.owner, {})[column.item] = cell
        elif column.part == "uncertainty":
            window["uncertainty"][column.owner] = cell
        elif column.part == "present":
            window["present"][column.item] = cell
        elif column.part == "box":
            box[column.item] = cell
        elif name == "evidence":
            window[name] = _parsed(cell, name)
        elif name in ("start", "end", "voice", "voice_score"):
            window[name] = cell
    if box:
        window["box"] = [box[side] for side in _BOX if side in box]
    return window


def _made(number: int, values: Mapping[str, Any]) -> Timeline:
    about = values["about"] or {}
    plain = {"source": values["source"], "tracks": list(values["tracks"].values())} | about
    try:
        return timeline_of(plain)
    except DataError as error:
        where = f"timeline {number}" + (f", {error.where}" if error.where else "")
        raise DataError(error.what, where=where, fix=error.fix) from error
