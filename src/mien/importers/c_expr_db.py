"""C-EXPR-DB: compound emotions in videos from the web, by annotations that a user has.

::

    01.csv                                  begin, end, and a column with a 1 for each class
    Fearfully-Surprised/01_Fearfully-Surprised_0.mp4      its stretches as clips, counted by class
    split-0/train.txt, test.txt             published folds: clip, class number, what is said
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mien.data import split
from mien.data.findings import Report
from mien.data.media import FILMS
from mien.data.rows import Row
from mien.errors import DataError
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.counts import Expected
from mien.importers.parts import Part, parts
from mien.importers.texts import lines_of
from mien.importers.walk import walk
from mien.tasks.affect import ABAW_COMPOUND, C_EXPR_DB, OTHER
from mien.types import TaskSpec

FPS = 30.0
"""Pictures a second, where nobody says: no stretch is taken to be shorter than one of them."""

_BEGIN, _END = "Begin Time - hh:mm:ss.ms", "End Time - hh:mm:ss.ms"
_TIME = re.compile(r"(?P<h>[0-9]{1,2}):(?P<m>[0-9]{1,2}):(?P<s>[0-9]{1,2}(?:\.[0-9]{1,6})?)")
_CLIP = re.compile(r"(?P<video>.+)_(?P<label>[A-Z][a-z]+(?:-[A-Z][a-z]+)?)_(?P<number>[0-9]+)")
_FOLDS = 5
_KNOWN = ("split-{}/train.txt", "split-{}/test.txt")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Some seconds of a video that show one thing, or all of a clip that was cut out."""

    video: str
    label: str
    number: int
    start: float | None = None
    end: float | None = None

    @property
    def id(self) -> str:
        return f"{self.video}_{self.label.replace('_', '-')}_{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """Which classes are taken."""

    spec: TaskSpec

    def read(self, wish: Wish) -> Found:
        """A row for each stretch that was annotated, or each clip where nothing was."""
        root, report, notes = wish.source.resolve(), Report(), list[str]()
        media = (root / wish.options.media).resolve() if wish.options.media else root
        films = walk(media, FILMS, wish.progress)
        films.note(report)
        clips = _clips(films.files)
        stretches = list(_annotated(root, wish.options.fps or FPS, report)) or [*clips]
        if not stretches:
            raise DataError(
                "neither annotations nor clips are here",
                where=str(wish.source),
                fix=f"NAME.csv with {_BEGIN!r}, or NAME_Fearfully-Surprised_0.mp4",
            )
        kept = [stretch for stretch in stretches if stretch.label in self.spec.labels]
        if len(kept) < len(stretches):
            notes.append(f"{len(stretches) - len(kept)} stretches of {OTHER} are left out")
        sources = _sources([path for path in films.files if path not in clips.values()])
        rows = list(self._rows(kept, _numbered(kept, clips), sources, wish, report))
        if not rows:
            raise DataError(
                f"of {len(kept)} stretches no film is here, such as {kept[0].id}.mp4 or "
                f"{kept[0].video}.mp4",
                where=str(media),
                fix="say where they lie: --media FOLDER",
            )
        rows = _cut(rows, wish, notes)
        return Found(rows=rows, tasks={self.spec.name: self.spec}, report=report, notes=notes)

    def _rows(
        self,
        stretches: Sequence[_Stretch],
        clips: Mapping[_Stretch, Path],
        sources: Mapping[str, Path],
        wish: Wish,
        report: Report,
    ) -> Iterator[Row]:
        for stretch in stretches:
            row = Row(
                id=stretch.id,
                source=stretch.video,
                labels={self.spec.name: stretch.label},
            )
            if stretch in clips:
                yield replace(row, video=wish.place.relative(clips[stretch]))
            elif stretch.video in sources and stretch.start is not None:
                video = wish.place.relative(sources[stretch.video])
                yield replace(row, video=video, start=stretch.start, end=stretch.end)
            else:
                report.warn("missing", "annotated, and neither clip nor video is here", stretch.id)


# -- annotations -----------------------------------------------------------------------------------


def _annotated(root: Path, fps: float, report: Report) -> Iterator[_Stretch]:
    """The stretches of all annotation files, counted by video and class from 0."""
    known = set[str]()
    for path in walk(root, (".csv",)).files:
        lines = csv.reader(lines_of(path))
        header = [name.strip() for name in next(lines, [])]
        if header[:2] != [_BEGIN, _END]:
            continue
        if path.stem in known:
            raise DataError(f"{path.stem!r} is annotated twice", where=str(path))
        known.add(path.stem)
        classes = {at: _class(name, path) for at, name in enumerate(header[2:], 2) if name}
        counted: dict[str, int] = {}
        for cells in lines:
            where = f"{path}:{lines.line_num}"
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            label = _marked(cells, classes, where)
            start, end = (_seconds(cell, where) for cell in (*cells[:2], "", "")[:2])
            if label is None or end < start:
                kind = "unmarked" if label is None else "backwards"
                what = "no class is marked" if label is None else "it ends before it begins"
                report.warn(kind, f"{what}; left out", f"{path.name}:{lines.line_num}")
                continue
            made = _Stretch(path.stem, label, counted.get(label, 0), start, end)
            counted[label] = made.number + 1
            if end - start < 1 / fps:
                made = replace(made, end=start + 1 / fps)
                report.warn("short", f"shorter than a picture at {fps:g} a second", made.id)
            yield made


def _class(name: str, path: Path) -> str:
    label = name.replace(" ", "_").replace("-", "_")
    if label not in C_EXPR_DB.labels:
        raise DataError(
            f"there is no class {name!r}", where=str(path), fix=", ".join(C_EXPR_DB.labels)
        )
    return label


def _marked(cells: Sequence[str], classes: Mapping[int, str], where: str) -> str | None:
    """The class whose cell holds a 1; None where none does."""
    marks = [classes[at] for at, cell in enumerate(cells) if at in classes and cell == "1"]
    odd = [cell for at, cell in enumerate(cells) if at in classes and cell not in ("", "0", "1")]
    if odd or len(marks) > 1:
        what = f"{odd[0]!r} marks no class" if odd else f"{' and '.join(marks)} are both marked"
        raise DataError(what, where=where, fix="a 1 in the column of one class")
    return marks[0] if marks else None


def _seconds(cell: str, where: str) -> float:
    match = _TIME.fullmatch(cell)
    if match is None:
        raise DataError(f"{cell!r} is no time", where=where, fix="hh:mm:ss.ms, as 00:01:02.500")
    return 3600 * int(match["h"]) + 60 * int(match["m"]) + float(match["s"])


# -- clips -----------------------------------------------------------------------------------------


def _clips(files: Sequence[Path]) -> dict[_Stretch, Path]:
    """Films whose names say which stretch they are."""
    found = dict[_Stretch, Path]()
    for path in files:
        match = _CLIP.fullmatch(path.stem)
        label = match["label"].replace("-", "_") if match else ""
        if match is not None and label in C_EXPR_DB.labels:
            stretch = _Stretch(match["video"], label, int(match["number"]))
            if stretch in found:
                raise DataError(f"two clips are called {path.stem!r}", where=str(path))
            found[stretch] = path
    return found


def _sources(films: Sequence[Path]) -> dict[str, Path]:
    """Whole videos by their names."""
    found = dict[str, Path]()
    for path in films:
        if path.stem in found:
            raise DataError(
                f"two films are called {path.stem!r}: {found[path.stem]} too",
                where=str(path),
                fix="--media FOLDER, the one that holds the videos or clips",
            )
        found[path.stem] = path
    return found


def _numbered(
    stretches: Sequence[_Stretch], clips: Mapping[_Stretch, Path]
) -> dict[_Stretch, Path]:
    """Which clip is which stretch: the first of a video and class is the first, from 0 or 1 on."""
    found = dict[_Stretch, Path]()
    for video, label in dict.fromkeys((stretch.video, stretch.label) for stretch in stretches):
        both = [
            sorted((s for s in some if (s.video, s.label) == (video, label)), key=_place)
            for some in (stretches, clips)
        ]
        if len(both[0]) == len(both[1]):
            found |= {s: clips[clip] for s, clip in zip(both[0], both[1], strict=True)}
    return found


def _place(stretch: _Stretch) -> int:
    return stretch.number


# -- cuts ------------------------------------------------------------------------------------------


def _cut(rows: list[Row], wish: Wish, notes: list[str]) -> list[Row]:
    """Folds: the published ones where they are asked for, else whole videos apart."""
    source = wish.source
    there = all((source / name.replace("{}", "0")).is_file() for name in _KNOWN)
    asked = bool(wish.options.fold)
    published: dict[str, int] = {}
    if asked or there:
        options = (
            wish.options if asked else wish.options.model_copy(update={"fold": {"{}": _KNOWN}})
        )
        held = parts(replace(wish, options=options))
        published = _published(held, rows, notes)
        said = _said(held)
        rows = [replace(row, text=said.get(row.id) or None) for row in rows]
    if asked:
        return [replace(row, fold=published.get(row.id)) for row in rows]
    rows = [
        replace(row, groups={"published fold": published[row.id]}) if row.id in published else row
        for row in rows
    ]
    if len({row.source for row in rows}) < _FOLDS:
        return rows
    notes.append(
        f"{_FOLDS} folds of whole videos are made here; the published ones cut clips apart"
    )
    made = split.make_folds(rows, _FOLDS, seed=0)
    return [replace(row, fold=made[row.id]) for row in rows]


def _published(held: Sequence[Part], rows: Sequence[Row], notes: list[str]) -> dict[str, int]:
    """The fold that tests each clip, and a word on clips whose video is also trained on."""
    sources = {row.id: row.source for row in rows}
    sides: dict[tuple[str, int], list[str]] = {}
    found: dict[str, int] = {}
    for part in held:
        fold = part.fold or 0
        for name, label, _, where in _lines(part.file):
            known = next((row.labels for row in rows if row.id == name), None)
            if known is not None and label not in (*known.values(), _index(known)):
                raise DataError(f"{name} is {label} here, and not {[*known.values()]}", where=where)
            if part.split == "test" and found.setdefault(name, fold) != fold:
                raise DataError(f"{name} is tested in two folds", where=where)
            sides.setdefault((str(part.split), fold), []).append(name)
    for fold in sorted({fold for _, fold in sides}):
        trained = {sources.get(name) for name in sides.get(("train", fold), ())} - {None}
        tested = sides.get(("test", fold), [])
        leaks = sum(sources.get(name) in trained for name in tested)
        notes.append(
            f"published fold {fold}: {leaks} of {len(tested)} tested clips are of a video that is "
            "also trained on"
        )
    return found


def _index(labels: Mapping[str, object]) -> str:
    """The number that lists give for a class."""
    return str(C_EXPR_DB.labels.index(str(next(iter(labels.values())))))


def _said(held: Sequence[Part]) -> dict[str, str]:
    """What is said in each clip, where lists say it."""
    return {name: text for part in held for name, _, text, _ in _lines(part.file) if text}


def _lines(file: Path) -> Iterator[tuple[str, str, str, str]]:
    """Clip, class, what is said and where that stands, of each line."""
    for number, line in enumerate(lines_of(file), 1):
        if not line.strip():
            continue
        path, comma, rest = line.strip().partition(",")
        label, _, text = rest.partition(",")
        if not comma or not label.strip():
            raise DataError("this line has no class", where=f"{file}:{number}", fix="PATH,LABEL")
        name = Path(path.strip().replace("\\", "/")).stem
        yield name, label.strip(), text.strip().strip('"'), f"{file}:{number}"


_SECONDS = "the annotations of arXiv 2407.12927, counted"
_CLASSES = dict(zip(C_EXPR_DB.labels, (24, 15, 13, 10, 8, 19, 16, 20), strict=True))


def _corpus(name: str, spec: TaskSpec, about: str) -> Corpus:
    classes = {label: _CLASSES[label] for label in spec.labels}
    return Corpus(
        name=name,
        title=f"C-EXPR-DB: compound expressions, {about}",
        about=f"videos from the web that show compound emotions, {about}",
        read=_Copy(spec=spec).read,
        takes=("fold", "fps", "media", "keep_leaks"),
        layout=f"NAME.csv with {_BEGIN!r}, {_END!r} and a column a class, and NAME.mp4 or the "
        "clips that were cut out of it, NAME_Fearfully-Surprised_0.mp4, in any folder; clips alone "
        "do. split-0/train.txt and test.txt, where they are, hold PATH,LABEL,TRANSCRIPT",
        verified="no real copy: files made up by the specification",
        task=spec,
        expected=Expected(rows=sum(classes.values()), source=_SECONDS, classes=classes),
        folds="five of whole videos, made here. The published ones, --fold "
        "'{}=split-{}/train.txt,split-{}/test.txt', cut clips apart: most tested clips are of a "
        "video that is also trained on, and --keep-leaks has to ask for that",
        licence="C-EXPR-DB agreement: non-commercial research only (as commonly known)",
        apply="on request, as the page of the ABAW challenge says; annotations are yours: the "
        "challenge gives none, and those of arXiv 2407.12927 have no licence",
        cite="Kollias, CVPR Workshops 2023; Richet and others, arXiv 2407.12927",
        command="FOLDER",
    )


CORPUS = _corpus("c-expr-db", C_EXPR_DB, "seven and others")
SEVEN = _corpus("c-expr-db-7", ABAW_COMPOUND, "seven")
