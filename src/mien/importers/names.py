"""Rows from file names that say everything: who, what, how, which take.

A corpus gives the pattern of its names and tables of their codes; the rest is the same for all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mien.data.findings import Report
from mien.data.media import FILMS
from mien.data.places import Place
from mien.data.recordings import digest
from mien.data.rows import Row
from mien.errors import DataError
from mien.importers.corpus import Found, Modality, Wish
from mien.importers.walk import MEDIA, Tree, walk
from mien.types import TaskSpec

Codes = Mapping[str, str]
Files = dict[str, list[Path]]
"""Kind (``film``, with sound; ``picture``; ``sound``) -> files of one performance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How the files of a corpus are called.

    Args:
        pattern: of a whole name without its ending, with the groups ``id``, ``speaker`` and
            ``emotion``, and any that ``groups``, ``only`` and ``kinds`` speak of.
        form: the same for people.
        example: a name that fits.
        emotions: code -> class.
        speakers: everybody there is.
        fold: of a speaker, from 0.
        groups: name -> the pattern's group and its codes in words.
        only: group -> the code that a file must have to belong to this corpus.
        kinds: code of the group ``kind`` -> what such a file holds; without it endings decide.
        broken: ids that the published protocol leaves out, and why.
        why_broken: in words.
    """

    pattern: re.Pattern[str]
    form: str
    example: str
    emotions: Codes
    speakers: Sequence[str]
    fold: Callable[[str], int]
    groups: Mapping[str, tuple[str, Codes]] = field(default_factory=dict)
    only: Codes = field(default_factory=dict)
    kinds: Codes = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    why_broken: str = ""

    def read(self, wish: Wish) -> Found:
        """Rows of every file below the source that is called so."""
        assert wish.task is not None
        tree = walk(wish.source, progress=wish.progress)
        report, notes = Report(), list[str]()
        tree.note(report)
        clips, first = self._clips(tree, report, notes)
        rows = []
        unused: Counter[str] = Counter()
        for name, files in clips.items():
            kept = {kind: _best(paths, tree.root, report) for kind, paths in files.items()}
            video, audio = choose(kept, wish.options.modality)
            if video is None and audio is None:
                unused["row"] += 1
                continue
            unused.update(kind for kind, path in kept.items() if path not in (video, audio))
            rows.append(self._row(name, first[name], video, audio, wish.task, wish.place))
        if not rows:
            raise DataError(
                f"no clip has {wish.options.modality}",
                where=str(wish.source),
                fix="leave --modality out to take what is there",
            )
        notes += _said(unused, wish.options.modality)
        return Found(rows=rows, tasks={wish.task.name: wish.task}, report=report, notes=notes)

    def _clips(
        self, tree: Tree, report: Report, notes: list[str]
    ) -> tuple[dict[str, Files], dict[str, re.Match[str]]]:
        """Files by performance and kind, and the parts of each performance's name."""
        clips: dict[str, Files] = {}
        first: dict[str, re.Match[str]] = {}
        odd, wrong, aside, broken = list[str](), list[str](), list[str](), set[str]()
        for path in tree.files:
            match = self.pattern.fullmatch(path.stem)
            if match is None:
                odd.append(path.relative_to(tree.root).as_posix())
            elif any(match[group] != code for group, code in self.only.items()):
                aside.append(path.name)
            elif match["emotion"] not in self.emotions or match["speaker"] not in self.speakers:
                wrong.append(path.relative_to(tree.root).as_posix())
            elif match["id"] in self.broken:
                broken.add(match["id"])
            else:
                kind = self._kind(match, path)
                clips.setdefault(match["id"], {}).setdefault(kind, []).append(path)
                first.setdefault(match["id"], match)
        self._refuse(tree, clips, odd, wrong, aside)
        if odd:
            report.warn("unexpected", f"media that are not called {self.form}; left out", *odd)
        if aside:
            notes.append(f"{len(aside):,} files belong to another part, as {aside[0]}; left out")
        if broken:
            notes.append(f"left out, {self.why_broken}: {', '.join(sorted(broken))}")
        return clips, first

    def _refuse(
        self,
        tree: Tree,
        clips: Mapping[str, Files],
        odd: Sequence[str],
        wrong: Sequence[str],
        aside: Sequence[str],
    ) -> None:
        fix = f"names are {self.form}, as {self.example}"
        if wrong:
            more = f" and {len(wrong) - 3:,} more" if len(wrong) > 3 else ""
            raise DataError(
                f"{len(wrong):,} names have an emotion or a speaker that the corpus does not have: "
                + ", ".join(wrong[:3]) + more,
                where=str(tree.root),
                fix=fix,
            )  # fmt: skip
        if clips:
            return
        if aside:
            what = f"all {len(aside):,} files belong to another part of the corpus, as {aside[0]}"
        elif odd:
            what = f"none of {len(odd):,} media files fits, such as {odd[0]}"
        else:
            others = f"; {tree.others:,} other files" if tree.others else ""
            what = f"there is no sound and no film here{others}"
        raise DataError(what, where=str(tree.root), fix=fix)

    def _kind(self, match: re.Match[str], path: Path) -> str:
        if self.kinds:
            return self.kinds[match["kind"]]
        return "film" if path.suffix.lower() in FILMS else "sound"

    def _row(
        self,
        name: str,
        match: re.Match[str],
        video: Path | None,
        audio: Path | None,
        task: TaskSpec,
        place: Place,
    ) -> Row:
        speaker = match["speaker"]
        return Row(
            id=name,
            video=place.relative(video) if video is not None else None,
            audio=place.relative(audio) if audio is not None else None,
            speaker=speaker,
            fold=self.fold(speaker),
            labels={task.name: self.emotions[match["emotion"]]},
            groups={
                group: codes.get(match[part], match[part])
                for group, (part, codes) in self.groups.items()
            },
        )


def choose(files: Mapping[str, Path], modality: Modality | None) -> tuple[Path | None, Path | None]:
    """Picture and sound of one performance, of what there is.

    A film's own sound is taken before a file of its own: it is in step.
    """
    film, picture, sound = (files.get(kind) for kind in ("film", "picture", "sound"))
    if modality == "audio":
        return None, sound or film
    if modality == "video":
        return picture, None
    if film is not None:
        return film, None
    if modality == "audio-video" and (picture is None or sound is None):
        return None, None
    return picture, sound


def _best(paths: Sequence[Path], root: Path, report: Report) -> Path:
    """One of several files of the same kind and performance.

    Raises:
        DataError: two are called alike and hold something else.
    """
    order = sorted(paths, key=lambda path: (MEDIA.index(path.suffix.lower()), str(path)))
    best = order[0]
    for other in order[1:]:
        name = other.relative_to(root).as_posix()
        if other.suffix.lower() != best.suffix.lower():
            report.warn("format", "there in another format too; left out", name)
        elif other.stat().st_size == best.stat().st_size and digest(other) == digest(best):
            report.warn("twice", "there twice, the same byte by byte; left out", name)
        else:
            raise DataError(
                f"{best.relative_to(root).as_posix()} and {name} are called alike, "
                "and hold something else",
                where=str(root),
                fix="import the folder of one copy",
            )
    return best


def _said(unused: Counter[str], modality: Modality | None) -> list[str]:
    notes = []
    if lacking := unused.pop("row", 0):
        notes.append(f"{lacking:,} clips do not have {modality}; left out")
    if sounds := unused.pop("sound", 0):
        notes.append(f"{sounds:,} sound files are not needed: films have their own, in step")
    if rest := unused.total():
        notes.append(f"{rest:,} files are not needed for what was asked")
    return notes
