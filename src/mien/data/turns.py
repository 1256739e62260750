"""Who speaks when, where somebody has written it down: RTTM, SubRip and WebVTT files."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mien.errors import DataError

_LARGEST = 50_000_000  # bytes of a file
_LONGEST = 7 * 24 * 3600.0  # seconds

_TIME = re.compile(r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})")
# None of these looks at a character twice for two beginnings: a line may be as long as the file.
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]+)>")
_TAG = re.compile(r"<[^<>]*>")
_NAMED = re.compile(r"(?:\[([^\]:]{1,40})\]|([A-Z][A-Z0-9 _.'-]{0,38}|[\w-]{1,20}-\d{1,3}))\s*:\s*")
_BRACKETED = re.compile(r"\[([^\]]{1,40})\]\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of time in which somebody speaks.

    Args:
        start: its first second.
        end: where it ends.
        speaker: who, if the file says.
        text: what is said, if it does.
    """

    start: float
    end: float
    speaker: str | None = None
    text: str | None = None


def read_turns(path: str | Path) -> list[Turn]:
    """The turns of a file, in the order of their beginnings; they may overlap.

    RTTM names speakers. In WebVTT ``<v Anna>`` does, in both kinds of subtitles a line that begins
    with ``ANNA:``, ``[Anna]`` or ``face-2:``.

    Raises:
        DataError: names the line that cannot be read.
    """
    path = Path(path)
    readers: dict[str, Callable[[Sequence[str]], Iterator[Turn]]] = {
        ".rttm": _rttm,
        ".srt": _subtitles,
        ".vtt": _subtitles,
    }
    if path.suffix.lower() not in readers:
        raise DataError(
            "turns are read from .rttm, .srt and .vtt files",
            where=str(path),
            fix="save who speaks when as one of these",
        )
    try:
        found = list(readers[path.suffix.lower()](_text(path).splitlines()))
    except _LineError as error:
        raise DataError(error.what, where=f"{path}:{error.number}: {error.line[:80]!r}") from error
    return sorted(found, key=lambda turn: (turn.start, turn.end))


def beside(path: str | Path) -> Path | None:
    """The file of turns that lies beside a recording under its name, if one does."""
    path = Path(path)
    return next(
        (file for end in (".rttm", ".srt", ".vtt") if (file := path.with_suffix(end)).is_file()),
        None,
    )


class _LineError(Exception):
    def __init__(self, what: str, number: int, line: str) -> None:
        self.what, self.number, self.line = what, number, line


def _text(path: Path) -> str:
    try:
        if not path.is_file():  # also a pipe, which would wait for ever
            raise DataError("there is no such file", where=str(path))
        if path.stat().st_size > _LARGEST:
            raise DataError(f"a file of turns has at most {_LARGEST:,} bytes", where=str(path))
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read it: {error.strerror}", where=str(path)) from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


# -- RTTM ------------------------------------------------------------------------------------------


def _rttm(lines: Sequence[str]) -> Iterator[Turn]:
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0].startswith(";") or fields[0] != "SPEAKER":
            continue  # other kinds of lines say nothing of turns
        try:
            start, lasts, who = float(fields[3]), float(fields[4]), fields[7]
        except (IndexError, ValueError):
            _refuse("a turn is SPEAKER FILE CHANNEL START SECONDS <NA> <NA> NAME", number, line)
        _check(start, start + lasts, number, line)
        yield Turn(start, start + lasts, None if who == "<NA>" else who)


# -- subtitles -------------------------------------------------------------------------------------


def _subtitles(lines: Sequence[str]) -> Iterator[Turn]:
    """SubRip and WebVTT: a line with two times, then what is said, up to an empty line."""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if "-->" not in line or line.startswith("NOTE"):
            continue
        at = number
        start, end = _span(line, at)
        said = []
        while number < len(lines) and lines[number].strip() and "-->" not in lines[number]:
            said.append(lines[number].strip())
            number += 1
        if number < len(lines) and "-->" in lines[number] and said and said[-1].isdigit():
            said.pop()  # the number of the next one, where an empty line is lacking
        yield from _said(start, end, said)


def _span(line: str, number: int) -> tuple[float, float]:
    parts = line.split("-->", maxsplit=1)
    found = [_TIME.match(part.strip()) for part in parts]
    if len(found) != 2 or found[0] is None or found[1] is None:
        _refuse("a time is 00:01:02,500 --> 00:01:04,000", number, line)
    start, end = (_seconds(match) for match in found if match is not None)
    _check(start, end, number, line)
    return start, end


def _seconds(match: re.Match[str]) -> float:
    hours, minutes, seconds, rest = match.groups()
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + int(rest.ljust(3, "0")) / 1000


def _said(start: float, end: float, lines: Sequence[str]) -> Iterator[Turn]:
    """A turn for each speaker of a subtitle: two may share one, a line each."""
    speaker: str | None = None
    text: list[str] = []
    for line in lines:
        who, rest = _speaker(line)
        if who is not None and text:
            yield Turn(start, end, speaker, " ".join(text) or None)
            text = []
        speaker = who or speaker
        text += [rest] if rest else []
    if speaker is not None or text:
        yield Turn(start, end, speaker, " ".join(text) or None)


def _speaker(line: str) -> tuple[str | None, str]:
    voice = _VOICE.search(line)
    plain = html.unescape(_TAG.sub("", line)).lstrip("- ").strip()
    if voice is not None:
        return html.unescape(voice.group(1)).strip(), plain
    named = _NAMED.match(plain) or _BRACKETED.match(plain)
    if named is None:
        return None, plain
    return next(filter(None, named.groups())).strip(), plain[named.end() :].strip()


def _check(start: float, end: float, number: int, line: str) -> None:
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end <= _LONGEST):
        _refuse(f"a turn cannot last from {start:g} to {end:g} s", number, line)


def _refuse(what: str, number: int, line: str) -> NoReturn:
    raise _LineError(what, number, line)
