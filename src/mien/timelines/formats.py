"""Timelines to files and back: which formats there are, and who writes them.

JSON, JSONL, CSV and Parquet hold everything, to the last bit, and can be read again. Captions,
ELAN, RTTM and Label Studio are for other tools, and hold what those can show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mien.errors import DataError, did_you_mean
from mien.run import checkpoint
from mien.timelines import captions, elan, labelling, rttm, sheets
from mien.timelines.answers import declared
from mien.timelines.values import timeline_of
from mien.types import Specs, Timeline

Writer = Callable[[Sequence[Timeline], Specs, Path], bytes]
Reader = Callable[[Path], list[Timeline]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format of timelines.

    Args:
        suffix: how its files end.
        about: what it is for, in a few words.
        write: timelines, their tasks and the path to the file's content.
        read: the way back, where nothing is lost.
        single: whether a file holds one source only.
        beside: the ending and content of a second file that goes with it.
    """

    suffix: str
    about: str
    write: Writer
    read: Reader | None = None
    single: bool = False
    beside: tuple[str, Writer] | None = None


def write(
    path: str | Path,
    timelines: Sequence[Timeline],
    *,
    form: str | None = None,
    specs: Specs | None = None,
) -> list[Path]:
    """Write timelines, whole or not at all.

    Args:
        path: where to; its ending names the format.
        timelines: one a source. Captions and ELAN hold one source a file.
        form: the format's name (see :data:`FORMATS`), whatever the ending.
        specs: the run's tasks, for formats that say answers in words; without them, what kind of
            task it is shows in the numbers.

    Returns:
        The files that were written: one, and for Label Studio its labelling interface.

    Raises:
        DataError: an ending that is not known; values that no file can hold (NaN); several
            sources, or none with a time, where the format needs one.
    """
    place = Path(path)
    name = form or _form_of(place)
    if name not in FORMATS:
        raise DataError(f"there is no format {name!r}: {did_you_mean(name, FORMATS)}")
    made = FORMATS[name]
    checked = [_checked(timeline) for timeline in timelines]
    if made.single and len(checked) != 1:
        raise DataError(
            f"a {made.suffix} file holds one source, not {len(checked)}",
            where=str(place),
            fix=f"write each source to its own {made.suffix} file, or all of them to one .jsonl",
        )
    if made.read is None:
        _refuse_timeless(checked, place)
    known = declared(checked, specs)
    contents = [(place, made.write(checked, known, place))]
    if made.beside is not None:
        ending, writer = made.beside
        stem = place.name.removesuffix(made.suffix) if form is None else place.stem
        contents.insert(0, (place.with_name(stem + ending), writer(checked, known, place)))
    for target, content in contents:
        checkpoint.write_bytes(target, content)
    return [target for target, _ in reversed(contents)]


def read(path: str | Path, *, form: str | None = None) -> list[Timeline]:
    """Read timelines from a format that holds all of them.

    Raises:
        DataError: a format that cannot be read back, or a file that is not what it should be.
    """
    place = Path(path)
    name = form or _form_of(place)
    reader = FORMATS[name].read if name in FORMATS else None
    if reader is None:
        known = [key for key, held in FORMATS.items() if held.read is not None]
        raise DataError(
            f"{name!r} does not hold whole timelines",
            where=str(place),
            fix=f"a file that was written as {', '.join(known)}",
        )
    if not place.is_file():
        raise DataError("there is no such file", where=str(place))
    try:
        return reader(place)
    except DataError as error:
        where = str(place) if error.where is None else f"{place}: {error.where}"
        raise DataError(error.what, where=where, fix=error.fix) from error
    except OSError as error:
        raise DataError(f"this file cannot be read: {error}", where=str(place)) from error


def _form_of(path: Path) -> str:
    """The format whose ending a path has; the longest that fits."""
    fitting = [name for name, held in FORMATS.items() if path.name.lower().endswith(held.suffix)]
    if not fitting:
        known = " ".join(held.suffix for held in FORMATS.values())
        ending = f"the ending {path.suffix!r}" if path.suffix else "a name without an ending"
        raise DataError(
            f"there is no format of timelines for {ending}: known are {known}",
            where=str(path),
            fix=str(path.with_suffix(".json")) if path.name else "timelines.json",
        )
    return max(fitting, key=lambda name: len(FORMATS[name].suffix))


def _checked(timeline: Timeline) -> Timeline:
    try:
        return timeline_of(timeline.to_dict())
    except DataError as error:
        where = ascii(timeline.source)[:100] + (f", {error.where}" if error.where else "")
        raise DataError(error.what, where=where, fix=error.fix) from error


def _refuse_timeless(timelines: Sequence[Timeline], path: Path) -> None:
    windows = [window for timeline in timelines for _, window in timeline]
    if windows and not any(window.end > window.start for window in windows):
        raise DataError(
            "no window says how long it lasts, so there is nothing to put on a time axis",
            where=str(path),
            fix=str(path.with_suffix(".csv")),
        )


# -- JSON ------------------------------------------------------------------------------------------


def _json(timelines: Sequence[Timeline]) -> bytes:
    """Always a list, so that a script reads one source and many alike."""
    inner = ",\n".join(_line(timeline) for timeline in timelines)
    return f"[\n{inner}\n]\n".encode() if timelines else b"[]\n"


def _jsonl(timelines: Sequence[Timeline]) -> bytes:
    return "".join(_line(timeline) + "\n" for timeline in timelines).encode()


def _line(timeline: Timeline) -> str:
    return json.dumps(timeline.to_dict(), ensure_ascii=False, allow_nan=False)


def _read_json(path: Path) -> list[Timeline]:
    """A list of timelines, or a single one."""
    try:
        values = _parsed(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"this file is not UTF-8: {error}") from error
    if not isinstance(values, list):
        return [timeline_of(values)]
    return [_at(f"[{index}]", held) for index, held in enumerate(values)]


def _read_jsonl(path: Path) -> list[Timeline]:
    found = []
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    found.append(_at(f"line {number}", line, parse=True))
        except UnicodeDecodeError as error:
            raise DataError(f"this file is not UTF-8: {error}") from error
    return found


def _at(where: str, values: Any, *, parse: bool = False) -> Timeline:
    try:
        return timeline_of(_parsed(values) if parse else values)
    except DataError as error:
        inner = where if error.where is None else f"{where}, {error.where}"
        raise DataError(error.what, where=inner, fix=error.fix) from error


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DataError(f"this is not JSON: {error}") from error


def _refuse_constant(word: str) -> NoReturn:
    raise DataError(f"{word} is not a JSON value", fix="leave out what is not known")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise DataError("an object has the same key twice")
    return values


FORMATS: Mapping[str, Format] = {
    "json": Format(
        suffix=".json",
        about="everything, as one list",
        write=lambda timelines, _specs, _path: _json(timelines),
        read=_read_json,
    ),
    "jsonl": Format(
        suffix=".jsonl",
        about="everything, a source a line",
        write=lambda timelines, _specs, _path: _jsonl(timelines),
        read=_read_jsonl,
    ),
    "csv": Format(
        suffix=".csv",
        about="everything, a row a window",
        write=lambda timelines, specs, _path: sheets.csv_of(timelines, specs),
        read=sheets.read_csv,
    ),
    "parquet": Format(
        suffix=".parquet",
        about="everything, a row a window, small and typed",
        write=lambda timelines, specs, _path: sheets.parquet_of(timelines, specs),
        read=sheets.read_parquet,
    ),
    "srt": Format(
        suffix=".srt",
        about="captions for video players",
        write=lambda timelines, specs, _path: captions.srt(timelines[0], specs),
        single=True,
    ),
    "vtt": Format(
        suffix=".vtt",
        about="captions for browsers",
        write=lambda timelines, specs, _path: captions.vtt(timelines[0], specs),
        single=True,
    ),
    "eaf": Format(
        suffix=".eaf",
        about="tiers for ELAN",
        write=lambda timelines, specs, path: elan.eaf(timelines[0], specs, path.parent),
        single=True,
    ),
    "rttm": Format(
        suffix=".rttm",
        about="when each track was there",
        write=lambda timelines, _specs, _path: rttm.lines(timelines),
    ),
    "label-studio": Format(
        suffix=".label-studio.json",
        about="predictions for Label Studio, with the labelling interface beside them",
        write=lambda timelines, specs, _path: labelling.tasks(timelines, specs),
        beside=(
            ".label-studio.xml",
            lambda timelines, specs, _path: labelling.interface(timelines, specs),
        ),
    ),
}
"""Every format by name."""
