"""A timeline from plain values. Files come from anywhere, so everything in them is checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, get_args

from mien.errors import DataError, did_you_mean
from mien.evidence import Cue, Evidence, Moment, Reason, Verdict
from mien.types import Timeline, Track, Window

Kind = Literal["clip", "face", "voice"]
T = TypeVar("T")

# Beyond what is ever recorded or answered; sums and squares of such numbers are still numbers.
_LATEST, _LARGEST = 1e9, 1e100

_TIMELINE = {"source": True, "tracks": True, "duration": False, "made_by": False, "notes": False}
_TRACK = {"id": True, "windows": True, "kind": False}
_WINDOW = {
    "start": True,
    "end": True,
    "scores": True,
    "uncertainty": False,
    "present": False,
    "box": False,
    "voice": False,
    "voice_score": False,
    "evidence": False,
}
_EVIDENCE = {"reasons": False, "cues": False, "absent": False}
_REASON = {
    "task": True,
    "label": True,
    "margin": True,
    "verdict": True,
    "carried_by": False,
    "shares": False,
    "alone": False,
    "drops": False,
    "moments": False,
}
_MOMENT = {"start": True, "end": True, "drop": True, "by": False}
_CUE = {"start": True, "end": True, "of": True, "text": True}


def timeline_of(values: Any) -> Timeline:
    """Read what :meth:`mien.types.Timeline.to_dict` gave, as JSON values.

    Args:
        values: an object. What has a default in the types may be left out.

    Returns:
        The timeline, of plain floats and texts; tracks and windows are lists, notes a tuple.

    Raises:
        DataError: a key that is missing or unknown, a value of another kind, a number that is not
            finite or beyond all measure (times 1e9, others 1e100), a text that no file can hold,
            two tracks of one name, a window that ends before it starts. It says where, as in
            ``tracks[0].windows[3].scores``.
    """
    found = _object(values, "a timeline", _TIMELINE)
    with _inside("source"):
        source = _text(found["source"])
    with _inside("duration"):
        duration = (
            None
            if found.get("duration") is None
            else _number(found["duration"], low=0.0, high=_LATEST)
        )
    with _inside("made_by"):
        made_by = {_text(k): _text(v) for k, v in _names(found.get("made_by", {})).items()}
    with _inside("notes"):
        notes = tuple(_text(note) for note in _list(found.get("notes", [])))
    tracks: dict[str, Track] = {}
    for index, held in enumerate(_list(found["tracks"], "tracks")):
        with _inside(f"tracks[{index}]"):
            track = _track(held)
            if track.id in tracks:
                raise DataError(f"two tracks are called {track.id!r}")
            tracks[track.id] = track
    return Timeline(
        source=source,
        tracks=list(tracks.values()),
        made_by=made_by,
        duration=duration,
        notes=notes,
    )


def _track(values: Any) -> Track:
    found = _object(values, "a track", _TRACK)
    with _inside("id"):
        name = _text(found["id"])
    kind = found.get("kind", "clip")
    if kind not in get_args(Kind):
        raise DataError(f"a track's kind is one of {', '.join(get_args(Kind))}, not {_shown(kind)}")
    windows = []
    for index, held in enumerate(_list(found["windows"], "windows")):
        with _inside(f"windows[{index}]"):
            windows.append(_window(held))
    return Track(id=name, windows=windows, kind=kind)


def _window(values: Any) -> Window:
    found = _object(values, "a window", _WINDOW)
    start, end = _span(found)
    with _inside("scores"):
        scores = {_text(task): _scores(held) for task, held in _names(found["scores"]).items()}
    with _inside("uncertainty"):
        given = _names(found.get("uncertainty", {}))
        unsure = {_text(task): _number(held, low=0.0, high=1.0) for task, held in given.items()}
    with _inside("present"):
        given = _names(found.get("present", {}))
        present = {_text(name): _truth(held) for name, held in given.items()}
    with _inside("voice"):
        voice = _text(found.get("voice", ""))
    with _inside("voice_score"):
        believed = found.get("voice_score")
        voice_score = None if believed is None else _number(believed)
    why = found.get("evidence")
    return Window(
        start=start,
        end=end,
        scores=scores,
        uncertainty=unsure,
        present=present,
        box=_box(found.get("box")),
        voice=voice,
        voice_score=voice_score,
        evidence=None if why is None else evidence_of(why),
    )


def _span(found: Mapping[str, Any]) -> tuple[float, float]:
    with _inside("start"):
        start = _number(found["start"], low=-_LATEST, high=_LATEST)
    with _inside("end"):
        return start, _number(found["end"], low=start, high=_LATEST)


def _scores(values: Any) -> dict[str, float]:
    found = {_text(label): _number(score) for label, score in _names(values).items()}
    if not found:
        raise DataError("an answer has a score for at least one label")
    return found


def _box(values: Any) -> tuple[float, float, float, float] | None:
    if values is None:
        return None
    with _inside("box"):
        given = _list(values)
        if len(given) != 4:
            raise DataError(f"a box is left, top, width and height, not {len(given)} numbers")
        left, top, width, height = (_number(value) for value in given)
        return left, top, width, height


# -- evidence --------------------------------------------------------------------------------------


def evidence_of(values: Any) -> Evidence:
    """Read what :meth:`mien.evidence.Evidence.to_dict` gave, checked like a timeline."""
    with _inside("evidence"):
        found = _object(values, "evidence", _EVIDENCE)
        return Evidence(
            reasons=tuple(_each(found, "reasons", _reason)),
            cues=tuple(_each(found, "cues", _cue)),
            absent=tuple(_each(found, "absent", _text)),
        )


def _each(found: Mapping[str, Any], name: str, read: Callable[[Any], T]) -> Iterator[T]:
    for index, held in enumerate(_list(found.get(name, []), name)):
        with _inside(f"{name}[{index}]"):
            yield read(held)


def _reason(values: Any) -> Reason:
    found = _object(values, "a reason", _REASON)
    verdict = found["verdict"]
    if verdict not in get_args(Verdict):
        known = ", ".join(get_args(Verdict))
        raise DataError(f"a verdict is one of {known}, not {_shown(verdict)}")
    with _inside("margin"):
        margin = _number(found["margin"])
    return Reason(
        task=_text(found["task"]),
        label=_text(found["label"]),
        margin=margin,
        verdict=verdict,
        carried_by=_text(found.get("carried_by", "")),
        shares=_numbers(found, "shares"),
        alone=_numbers(found, "alone"),
        drops=_numbers(found, "drops"),
        moments=tuple(_each(found, "moments", _moment)),
    )


def _moment(values: Any) -> Moment:
    found = _object(values, "a moment", _MOMENT)
    start, end = _span(found)
    with _inside("drop"):
        drop = _number(found["drop"])
    return Moment(start=start, end=end, drop=drop, by=_numbers(found, "by"))


def _cue(values: Any) -> Cue:
    found = _object(values, "a cue", _CUE)
    start, end = _span(found)
    return Cue(start=start, end=end, of=_text(found["of"]), text=_text(found["text"]))


def _numbers(found: Mapping[str, Any], name: str) -> dict[str, float]:
    with _inside(name):
        return {_text(key): _number(held) for key, held in _names(found.get(name, {})).items()}


# -- values ----------------------------------------------------------------------------------------


@contextmanager
def _inside(name: str) -> Iterator[None]:
    """Within: every error says that it happened in this part."""
    try:
        yield
    except DataError as error:
        where = name if error.where is None else f"{name}.{error.where}"
        raise DataError(error.what, where=where, fix=error.fix) from error


def _object(values: Any, what: str, keys: Mapping[str, bool]) -> Mapping[str, Any]:
    found = _names(values)
    for key in found:
        if key not in keys:
            raise DataError(f"{what} has no {_shown(key)}: {did_you_mean(str(key), keys)}")
    for key, needed in keys.items():
        if needed and key not in found:
            raise DataError(f"{what} needs {key!r}")
    return found


def _names(values: Any) -> Mapping[Any, Any]:
    if not isinstance(values, Mapping):
        raise DataError(f"this is a JSON object, not {_shown(values)}")
    return values


def _list(values: Any, name: str = "") -> list[Any] | tuple[Any, ...]:
    if not isinstance(values, (list, tuple)):
        raise DataError(f"this is a JSON list, not {_shown(values)}", where=name or None)
    return values


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise DataError(f"this is a text, not {_shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{_shown(value)} has letters that no file can hold",
            fix="give the file a name in UTF-8",
        ) from None
    return str(value)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise DataError(f"this is true or false, not {_shown(value)}")
    return value


def _number(value: Any, *, low: float = -_LARGEST, high: float = _LARGEST) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"this is a number, not {_shown(value)}")
    try:
        found = float(value)
    except OverflowError:  # an integer of hundreds of digits
        found = math.inf
    if not math.isfinite(found):
        raise DataError("this number is not finite", fix="leave out what is not known")
    if not low <= found <= high:
        raise DataError(f"{found} is not within {low} to {high}")
    return found


def _shown(value: Any) -> str:
    """A value as an error names it: short, whatever it holds."""
    if isinstance(value, (Mapping, list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return "a very long number"
    return ascii(value)[:60]
