"""Tones of voice from the service that the published system paid for (Hume, batch jobs).

Its answers are one JSON file a job: sources, their files, and of each file groups of utterances
with ``time.begin``, ``time.end`` and a list of named scores.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mien.cues.schema import Heard, Speech, Turn
from mien.errors import DataError

__all__ = ["Tones", "read_tones"]

_LARGEST = 500_000_000  # bytes of a file
_LONGEST = 100  # letters of a name


@dataclass(frozen=True, slots=True)
class Tones:
    """What the service heard in one file.

    Args:
        heard: each named score of each utterance.
        speech: the utterances; none where it heard nobody speak.
        transcript: what it understood, if it wrote that down.
    """

    heard: tuple[Heard, ...]
    speech: tuple[Speech, ...]
    transcript: tuple[Turn, ...]


def read_tones(path: str | Path) -> dict[str, Tones]:
    """The tones of each file of a job, by the name of the file without its folders.

    A file whose prediction has no prosody, because that model failed or was not asked for, is left
    out: nobody listened.

    Raises:
        DataError: names the place that is not what it should be.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise DataError("there is no such file, or no job writes so much", where=str(path))
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError("these predictions are no JSON", where=str(path)) from error
    found: dict[str, Tones] = {}
    try:
        for name, prosody in _files(values):
            if name in found:
                raise DataError(f"two files of the job are called {name!r}")
            found[name] = _tones(prosody)
    except DataError as error:
        raise DataError(error.what, where=str(path), fix=error.fix) from error
    return found


def _files(values: Any) -> Iterator[tuple[str, Any]]:
    """Names of files and what the prosody model said of each."""
    for source in values if isinstance(values, list) else [values]:
        results = _get(source, "results", dict)
        for prediction in _get(results, "predictions", list):
            models = _get(prediction, "models", dict)
            if models.get("prosody") is not None:
                yield _name(prediction, source), models["prosody"]


def _name(prediction: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    about = source.get("source") or {}
    given = [prediction.get("file"), about.get("filename"), about.get("url")]
    name = next((text for text in given if isinstance(text, str) and text), None)
    if name is None:
        raise DataError("a prediction does not say of which file it is")
    return PurePosixPath(name.replace("\\", "/").partition("?")[0]).name


def _tones(prosody: Any) -> Tones:
    groups = _get(prosody, "grouped_predictions", list)
    said = [row for group in groups for row in _get(group, "predictions", list)]
    heard: list[Heard] = []
    speech: list[Speech] = []
    transcript: list[Turn] = []
    for row in said:
        start, end = _span(row)
        speech.append(Speech(start, end, 1.0))
        text = row.get("text")
        if isinstance(text, str) and text.strip():
            transcript.append(Turn(start, end, None, text.strip()))
        heard += (_heard(entry, start, end) for entry in _get(row, "emotions", list))
    speech.sort(key=lambda stretch: (stretch.start, stretch.end))
    transcript.sort(key=lambda turn: (turn.start, turn.end))
    return Tones(tuple(heard), tuple(speech), tuple(transcript))


def _span(row: Any) -> tuple[float, float]:
    time = _get(row, "time", dict)
    begin, end = time.get("begin"), time.get("end")
    if not all(isinstance(t, int | float) and math.isfinite(t) for t in (begin, end)):
        raise DataError(f"an utterance cannot last from {begin!r} to {end!r}")
    if not 0 <= begin <= end:
        raise DataError(f"an utterance cannot last from {begin!r} to {end!r}")
    return float(begin), float(end)


def _heard(entry: Any, start: float, end: float) -> Heard:
    name, score = _get(entry, "name", str), _get(entry, "score", (int, float))
    if not 0 < len(name) <= _LONGEST or not 0 <= score <= 1:
        raise DataError(f"the tone {name[:_LONGEST]!r} has the score {score!r}")
    return Heard(start=start, end=end, name=name, score=float(score))


def _get(values: Any, name: str, kind: Any) -> Any:
    found = values.get(name) if isinstance(values, Mapping) else None
    if not isinstance(found, kind) or isinstance(found, bool):
        raise DataError(f"this is no file of predictions of prosody: {name!r} is missing there")
    return found
