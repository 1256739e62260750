"""Rows from lists as the field's code reads them: ``frame_dir wav label``, one clip a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mien.data.findings import Report
from mien.data.media import SOUNDS
from mien.data.rows import Row
from mien.errors import DataError
from mien.importers import walk
from mien.importers.classes import Classes
from mien.importers.corpus import Found, Wish
from mien.importers.entries import Entry, entries
from mien.importers.parts import Part, parts
from mien.importers.search import Search
from mien.importers.speakers import Speakers

FPS = 25.0
"""Pictures a second of numbered ones where nobody says, our choice."""


@dataclass(slots=True)
class Clip:
    """One clip of the lists.

    Args:
        video: a file, or a folder of pictures.
        audio: a file.
        entry: where it is named first, with its label.
        parts: the lists that name it.
    """

    video: Path | None
    audio: Path | None
    entry: Entry
    parts: list[Part] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """What it is called by."""
        found = self.video or self.audio
        assert found is not None
        return found

    def tested(self, folds: bool) -> list[Part]:
        """The folds that test it."""
        return [part for part in self.parts if folds and part.split == "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """How the lists of a corpus are.

    Args:
        known: patterns of its own lists of train and of test clips, with ``{}`` for the fold.
        forms: what a bare name in them stands for, such as ``data/{:0>5}``.
        width: how many classes there are, where nobody says their names.
        task: what the labels are called.
    """

    known: tuple[str, str] | None = None
    forms: Sequence[str] = ()
    width: int | None = None
    task: str = "emotion"

    def read(self, wish: Wish) -> Found:
        """Rows of all clips that the lists name and that are there."""
        options, report = wish.options, Report()
        search = Search.of(wish, self.forms)
        held = {part: entries(part.file, search) for part in parts(wish, self.known)}
        known = wish.task.labels if wish.task is not None else options.labels
        labels = [entry.label for lines in held.values() for entry in lines]
        classes = Classes.of(labels, known, width=self.width, first=options.first_label)
        task = wish.task or classes.task(options.task or self.task)
        clips = list(_clips(held, search, wish))
        if not clips:
            raise search.nothing()
        missing(search, report)
        folds = [part for part in held if part.fold is not None]
        _folds(clips, folds, report)
        speakers = Speakers.of(options.speaker)
        called = walk.names([clip.path for clip in clips], search.base)
        rows = []
        for clip in clips:
            name = called[clip.path]
            label, speaker = _label(clip, classes), speakers.name(name)
            rows.append(_row(name, clip, bool(folds), {task.name: label}, speaker, wish))
        speakers.note(report)
        notes = [*classes.notes, *search.notes, *_decided(folds, rows, wish)]
        return Found(rows=rows, tasks={task.name: task}, report=report, notes=notes)


def _clips(held: Mapping[Part, Sequence[Entry]], search: Search, wish: Wish) -> Iterator[Clip]:
    """Clips that are there, in the order in which they are named first.

    Raises:
        DataError: a clip is twice in a list, or has two labels.
    """
    found: dict[tuple[str, ...], Clip | None] = {}
    seen = 0
    for part, lines in held.items():
        for entry in lines:
            seen += 1
            if wish.progress is not None and seen % 100 == 0:
                wish.progress(seen)
            if entry.paths not in found:
                found[entry.paths] = _clip(entry, search)
            clip = found[entry.paths]
            if clip is None:
                continue
            if part in clip.parts:
                raise DataError(
                    f"{entry.paths[0]!r} is in this list twice",
                    where=entry.where,
                    fix="keep one line for each clip",
                )
            if entry.label != clip.entry.label:
                raise DataError(
                    f"{entry.paths[0]!r} is {entry.label} here, and {clip.entry.label} "
                    f"in {clip.entry.where}",
                    where=entry.where,
                )
            clip.parts.append(part)
    by_path: dict[Path, Clip] = {}
    for clip in filter(None, found.values()):
        other = by_path.setdefault(clip.path, clip)
        if other is not clip:
            raise DataError(
                f"{clip.entry.paths[0]!r} and {other.entry.paths[0]!r} are the same file",
                where=clip.entry.where,
            )
        yield clip


def _clip(entry: Entry, search: Search) -> Clip | None:
    video = audio = None
    for number, name in enumerate(entry.paths):
        path = search.find(name)
        if path is None:
            continue
        if number == 1 or (path.suffix.lower() in SOUNDS and path.is_file()):
            audio = path
        else:
            video = path
    return None if video is None and audio is None else Clip(video, audio, entry)


def _label(clip: Clip, classes: Classes) -> str | None:
    try:
        return classes.name(clip.entry.label)
    except DataError as error:
        raise DataError(error.what, where=clip.entry.where, fix=error.fix) from error


def _row(
    name: str,
    clip: Clip,
    folds: bool,
    labels: Mapping[str, str | None],
    speaker: str | None,
    wish: Wish,
) -> Row:
    tested = clip.tested(folds)
    frames = clip.video is not None and clip.video.is_dir()
    return Row(
        id=name,
        video=wish.place.relative(clip.video) if clip.video is not None else None,
        audio=wish.place.relative(clip.audio) if clip.audio is not None else None,
        fps=(wish.options.fps or FPS) if frames else None,
        speaker=speaker,
        split=None if folds else clip.parts[0].split,
        fold=tested[0].fold if tested else None,
        labels={task: label for task, label in labels.items() if label is not None},
    )


# -- what is odd -----------------------------------------------------------------------------------


def missing(search: Search, report: Report) -> None:
    """Say what was named and is not here, or not within the folder."""
    if search.missing:
        report.warn("missing", "named, and not here", *dict.fromkeys(search.missing))
    if search.outside:
        report.warn(
            "link",
            "lies outside of the folder, by a link or by ..; left out",
            *dict.fromkeys(search.outside),
            fix="say where it lies: --media FOLDER",
        )


def _folds(clips: Sequence[Clip], folds: Sequence[Part], report: Report) -> None:
    """Every clip is tested once at most, never where it is trained on, and trained on elsewhere.

    Raises:
        DataError: a clip is on both sides, or in two parts.
    """
    numbers = {part.fold for part in folds}
    for clip in clips:
        sides = [part.split if part.fold is None else part.fold for part in clip.parts]
        twice = len(set(sides)) < len(sides)
        tested = len(clip.tested(bool(folds)))
        if twice or tested > 1 or (not folds and len(sides) > 1):
            raise DataError(
                f"{clip.entry.paths[0]!r} is in {clip.parts[0].file.name} and in "
                f"{clip.parts[1].file.name}: on both sides",
                where=clip.entry.where,
                fix="give each fold its own two lists, and each part its own",
            )
        lacking = numbers - {part.fold for part in clip.parts}
        for fold in sorted(number for number in lacking if number is not None):
            report.warn(
                "untrained",
                f"in neither list of fold {fold}, where mien trains on all that is not tested",
                clip.entry.paths[0],
            )


def _decided(folds: Sequence[Part], rows: Sequence[Row], wish: Wish) -> Iterator[str]:
    if folds:
        yield f"{len({part.fold for part in folds})} folds, counted from 0 here"
    if wish.options.fps is None and any(row.fps is not None for row in rows):
        yield f"folders of pictures are taken at {FPS:g} a second, our choice; --fps says otherwise"
