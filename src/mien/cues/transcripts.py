"""What is said, where somebody wrote it down: subtitles, plain text, and words with their times."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.data.turns import Turn, read_turns
from mien.errors import DataError

__all__ = ["SUFFIXES", "beside", "read_transcript"]

SUFFIXES = (".srt", ".vtt", ".json", ".txt")
_LARGEST = 50_000_000  # bytes of a file


def read_transcript(path: str | Path, *, start: float = 0.0, end: float = 0.0) -> tuple[Turn, ...]:
    """The turns of a file, in order; none where it says that nothing was said.

    ``.srt`` and ``.vtt`` are subtitles. ``.json`` holds words or segments with ``start``, ``end``
    and ``word`` or ``text``, in a list or under ``segments`` or ``words``, as recognisers of the
    Whisper family write; where segments have words, these are taken. ``.txt`` has no times: all of
    it is one turn.

    Args:
        path: the file.
        start: of the turn of a ``.txt`` file.
        end: of the same.

    Raises:
        DataError: names what cannot be read.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise DataError(f"transcripts are read from {', '.join(SUFFIXES)} files", where=str(path))
    if kind in (".srt", ".vtt"):
        return tuple(turn for turn in read_turns(path) if turn.text)
    text = _text(path)
    if kind == ".txt":
        said = " ".join(text.split())
        return (Turn(start, end, None, said),) if said else ()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError("this transcript is no JSON", where=str(path)) from error
    turns = [_turn(entry, f"{path}: {place}") for place, entry in _entries(values, path)]
    return tuple(sorted((t for t in turns if t.text), key=lambda turn: (turn.start, turn.end)))


def beside(folder: Path, name: str) -> Path | None:
    """The transcript of a clip in a folder, by the clip's name, if there is one."""
    return next((f for end in SUFFIXES if (f := folder / f"{name}{end}").is_file()), None)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise DataError("there is no such transcript", where=str(path))
        if path.stat().st_size > _LARGEST:
            raise DataError(f"a transcript has at most {_LARGEST:,} bytes", where=str(path))
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("this transcript is not UTF-8", where=str(path)) from error
    except OSError as error:
        raise DataError(f"cannot read it: {error.strerror}", where=str(path)) from error


def _entries(values: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Words, or segments that have none, each with its place."""
    name = "entry"
    if isinstance(values, Mapping):
        name = next((key for key in ("segments", "words") if key in values), "")
        values = values.get(name)
    if not isinstance(values, list):
        raise DataError(
            "a transcript is a list of words or segments",
            where=str(path),
            fix='[{"start": 0.1, "end": 0.4, "word": "hello"}, ...]',
        )
    for number, entry in enumerate(values):
        words = entry.get("words") if isinstance(entry, Mapping) else None
        if isinstance(words, list) and words:
            yield from ((f"{name} {number}, word {i}", word) for i, word in enumerate(words))
        else:
            yield f"{name} {number}", entry


def _turn(entry: Any, where: str) -> Turn:
    if not isinstance(entry, Mapping):
        raise DataError("a word is an object", where=where)
    text = entry.get("word", entry.get("text"))
    start, end = entry.get("start"), entry.get("end")
    speaker = entry.get("speaker")
    numbers = all(isinstance(t, int | float) and math.isfinite(t) for t in (start, end))
    if not numbers or not 0 <= start <= end:  # type: ignore[operator]
        raise DataError(f"a word cannot last from {start!r} to {end!r}", where=where)
    if not isinstance(text, str) or not isinstance(speaker, str | None):
        raise DataError("a word has a text, and a speaker that is one, too", where=where)
    return Turn(float(start), float(end), speaker, text.strip())  # type: ignore[arg-type]
