"""Werewolf-XL: people play a game of deceit; three dimensions of affect, as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.data.findings import Report
from mien.data.rows import Row
from mien.errors import DataError
from mien.importers import walk
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.counts import Expected
from mien.importers.lists import FPS, missing
from mien.importers.parts import parts
from mien.importers.search import Search
from mien.importers.speakers import Speakers
from mien.importers.texts import lines_of
from mien.types import Problem, TaskSpec

_DIMENSIONS = ("first", "second", "third")
_LINE = re.compile(r"(?P<frames>\S+)[ \t]+(?P<sound>\S+)" + r"[ \t]+([^\s]+)" * 3)
_PREFIX = re.compile(r"(?P<prefix>[0-9]{2})[^0-9]")
_WIDE = 6  # prefixes of a fold: 01-06, 07-12, ...
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class _Clip:
    video: Path | None
    audio: Path | None
    values: tuple[float, ...]
    where: str

    @property
    def path(self) -> Path:
        found = self.video or self.audio
        assert found is not None
        return found


def read(wish: Wish) -> Found:
    """Rows of all clips that the lists name and that are there; a clip of several lists is one."""
    options, report, search = wish.options, Report(), Search.of(wish)
    dimensions = options.labels or _DIMENSIONS
    if len(dimensions) != len(_DIMENSIONS):
        raise DataError(f"{len(dimensions)} names for three numbers", fix="--labels one,two,three")
    task = TaskSpec(name=options.task or "affect", problem=Problem.REGRESSION, labels=dimensions)
    clips: dict[tuple[str, str], _Clip | None] = {}
    for part in parts(wish):
        for names, values, where in _lines(part.file):
            if names not in clips:
                clips[names] = _clip(names, values, where, search)
            known = clips[names]
            if known is not None and known.values != values:
                raise DataError(f"{names[0]!r} has other values in {known.where}", where=where)
    there = [clip for clip in clips.values() if clip is not None]
    if not there:
        raise search.nothing()
    missing(search, report)
    speakers = Speakers.of(options.speaker)
    called = walk.names([clip.path for clip in there], search.base)
    rows = [_row(called[clip.path], clip, task, speakers, wish) for clip in there]
    speakers.note(report)
    notes = [*search.notes, "folds follow from the two digits that names begin with"]
    if not options.labels:
        notes.append("which number is which dimension is not documented: --labels names them")
    return Found(rows=rows, tasks={task.name: task}, report=report, notes=notes)


def _lines(file: Path) -> Iterator[tuple[tuple[str, str], tuple[float, ...], str]]:
    for number, line in enumerate(lines_of(file), 1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        match = _LINE.fullmatch(line.strip())
        try:
            values = tuple(float(word) for word in match.groups()[2:]) if match else ()
        except ValueError:
            values = ()
        if match is None or not values or not all(map(math.isfinite, values)):
            raise DataError(
                "this line is not two paths and three numbers", where=where,
                fix="FRAMES SOUND NUMBER NUMBER NUMBER",
            )  # fmt: skip
        yield (match["frames"], match["sound"]), values, where


def _clip(
    names: tuple[str, str], values: tuple[float, ...], where: str, search: Search
) -> _Clip | None:
    video, audio = search.find(names[0]), search.find(names[1])
    return None if video is None and audio is None else _Clip(video, audio, values, where)


def _row(name: str, clip: _Clip, task: TaskSpec, speakers: Speakers, wish: Wish) -> Row:
    match = _PREFIX.match(Path(name).name + ".")
    prefix = int(match["prefix"]) if match else 0
    if not 1 <= prefix <= _WIDE * _FOLDS:
        raise DataError(
            f"{name!r} does not begin with 01 to {_WIDE * _FOLDS}", where=clip.where,
            fix="clips of this corpus begin with two digits, which say their fold",
        )  # fmt: skip
    frames = clip.video is not None and clip.video.is_dir()
    return Row(
        id=name,
        video=wish.place.relative(clip.video) if clip.video is not None else None,
        audio=wish.place.relative(clip.audio) if clip.audio is not None else None,
        fps=(wish.options.fps or FPS) if frames else None,
        speaker=speakers.name(name),
        source=f"{prefix:02d}",
        fold=(prefix - 1) // _WIDE,
        labels={task.name: list(clip.values)},
    )


CORPUS = Corpus(
    name="werewolf-xl",
    title="Werewolf-XL",
    about="people who play the game Werewolf; three dimensions of affect, as numbers",
    read=read,
    takes=("fold", "split", "media", "fps", "speaker", "labels", "task", "licence", "keep_leaks"),
    layout="lists of FRAMES SOUND NUMBER NUMBER NUMBER with blanks between; clips that begin with "
    "two digits, 01 to 30. What shares them counts as one recording. Layout not verified",
    verified="no real copy: lists made up for its tests",
    expected=Expected(rows=14_457, source="HiCMAE's lists"),
    folds="five by the digits that names begin with, 01-06, 07-12, 13-18, 19-24 and 25-30, as "
    "HiCMAE's lists have them",
    licence="Werewolf-XL agreement: academic research only (as commonly known)",
    apply="on request: its authors' page says how",
    cite="Zhang and others, IEEE Transactions on Affective Computing, 2021, "
    "https://doi.org/10.1109/TAFFC.2021.3101563",
    command="lists/all.txt --media FOLDER",
)
