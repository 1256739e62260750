"""Aff-Wild2: long videos from the web, annotated frame by frame, as the ABAW challenges give it.

::

    VA_Estimation_Challenge/Train_Set/NAME.txt      a header, then a line a frame
    cropped_aligned/NAME/00001.jpg                  a picture a frame; none where no face was found

A video of two people has a file and a folder for each of them, ``NAME_left`` and ``NAME_right``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mien.data import stills
from mien.data.findings import Report
from mien.data.rows import Label, Row, Split, Track
from mien.errors import DataError
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.counts import Expected
from mien.importers.texts import lines_of
from mien.tasks.action_units import ABAW_ACTION_UNITS
from mien.tasks.affect import ABAW_AFFECT, ABAW_EXPRESSION
from mien.types import TaskSpec

FPS = 30.0
"""Pictures a second where nobody says, our choice: line k is picture k at any rate."""

_SIDE = re.compile(r"(?P<source>.+)_(?P<side>left|right)")
_PARTS: dict[str, Split] = {"Train_Set": "train", "Validation_Set": "test"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Annotations:
    """Annotation files of one challenge, told by their header."""

    spec: TaskSpec

    def read(self, wish: Wish) -> Found:
        """A row for each video that is annotated, or asked for, and has pictures."""
        root, report, notes = wish.source.resolve(), Report(), list[str]()
        media = (root / wish.options.media).resolve() if wish.options.media else root
        files = self._files(root, report)
        asked = _asked(root, wish.options.split)
        if not files and not asked:
            raise DataError(
                f"no Train_Set or Validation_Set holds annotations of {self.spec.name!r}",
                where=str(wish.source),
                fix="name the folder that holds the challenge's folders",
            )
        splits = _splits(files, asked)
        folders = _folders(media, set(splits))
        fps, rows = wish.options.fps or FPS, list[Row]()
        for name in sorted(splits):
            if name not in folders:
                report.warn("no pictures", "no folder has their pictures; left out", name)
                continue
            labels: dict[str, Label] = {}
            if name in files:
                path = wish.place.relative(files[name][0])
                labels = {self.spec.name: Track(path, fps=fps)}
            video = wish.place.relative(folders[name])
            rows.append(_row(name, video, splits[name], fps, labels))
        if not rows:
            raise DataError(
                f"none of {len(splits):,} videos has pictures, as {min(splits)!r}",
                where=str(media),
                fix="--media FOLDER, the one that holds a folder of pictures for each video",
            )
        if "val" not in splits.values():
            notes.append("its validation set is the test part: labels of its test set are kept")
        notes.append(f"pictures are taken to be {fps:g} a second; line k is picture k at any rate")
        notes.append(f"keep their rate: mien data prepare --faces none --fps {fps:g}")
        return Found(rows=rows, tasks={self.spec.name: self.spec}, report=report, notes=notes)

    def _files(self, root: Path, report: Report) -> dict[str, tuple[Path, Split]]:
        """Annotation files of this challenge by video, and their part."""
        found: dict[str, tuple[Path, Split]] = {}
        for place, folders, names in os.walk(root):
            folders[:] = sorted(name for name in folders if name[0] != ".")
            part = _PARTS.get(Path(place).name)
            for name in sorted(names) if part else ():
                path = Path(place) / name
                if part is None or path.suffix != ".txt" or not self._fits(path):
                    continue
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    report.warn("link", "links that lead out are not followed", name)
                    continue
                if path.stem in found:
                    raise DataError(
                        f"{path.stem!r} is annotated twice, in {found[path.stem][0].parent} too",
                        where=str(path),
                        fix="import the folder of one challenge",
                    )
                found[path.stem] = path, part
        return found

    def _fits(self, path: Path) -> bool:
        """Whether a file's header is that of this challenge."""
        with path.open("rb") as file:
            head = file.readline(1000)
        names = head.decode("utf-8-sig", errors="replace").split(",")
        return [name.strip() for name in names] == list(self.spec.labels)


def _asked(root: Path, lists: Mapping[str, str]) -> list[str]:
    """Videos of a list of test videos, or of an example of a submission."""
    unknown = sorted(set(lists) - {"test"})
    if unknown:
        raise DataError(f"{unknown[0]} comes with the annotations", fix="--split test=LIST")
    if "test" not in lists:
        return []
    lines = [line.strip() for line in lines_of(root / lists["test"])]
    names = [line.partition(",")[0].partition("/")[0] for line in lines if line]
    return list(dict.fromkeys(name for name in names if name != "image_location"))


def _splits(files: Mapping[str, tuple[Path, Split]], asked: list[str]) -> dict[str, Split]:
    """The part of each video: where there is a test set, what validates chooses the epoch."""
    found: dict[str, Split] = {name: part for name, (_, part) in files.items()}
    if asked:
        found = {name: "val" if part == "test" else part for name, part in found.items()}
        for name in asked:
            if name in found:
                raise DataError(f"{name!r} is asked for as test, and is in the {found[name]} part")
            found[name] = "test"
    return found


def _folders(media: Path, names: set[str]) -> dict[str, Path]:
    """The folder of pictures of each video."""
    found: dict[str, Path] = {}
    for place, folders, files in os.walk(media):
        here = Path(place)
        folders[:] = sorted(n for n in folders if n[0] != "." and not (here / n).is_symlink())
        if here.name not in names or here == media:
            continue
        if not any(Path(name).suffix.lower() in stills.SUFFIXES for name in files):
            continue
        if here.name in found:
            raise DataError(
                f"two folders are called {here.name!r}: {found[here.name]} too",
                where=str(here),
                fix="--media FOLDER, one of cropped and of cropped and aligned pictures",
            )
        found[here.name] = here
    return found


def _row(name: str, video: str, split: Split, fps: float, labels: dict[str, Label]) -> Row:
    match = _SIDE.fullmatch(name)
    return Row(
        id=name,
        video=video,
        fps=fps,
        source=match["source"] if match else name,
        split=split,
        labels=labels,
        groups={"side": match["side"]} if match else {},
    )


def _corpus(
    name: str, spec: TaskSpec, about: str, folder: str, expected: Expected | None
) -> Corpus:
    return Corpus(
        name=name,
        title=f"Aff-Wild2: {about}",
        about=f"long videos from the web, {about} in every frame",
        read=_Annotations(spec=spec).read,
        takes=("fps", "media", "split", "keep_leaks"),
        layout=f"{folder}/Train_Set and Validation_Set with NAME.txt, in any folder, and folders "
        "NAME with 00001.jpg, 00002.jpg, ... (cropped and aligned); --split test=LIST adds videos "
        "without labels, by a list of them or an example of a submission",
        verified="no real copy: files made up by the specification",
        task=spec,
        expected=expected,
        folds="none; its validation set is the test part, or chooses the epoch where --split "
        "test=LIST names another",
        licence="Aff-Wild2 agreement: non-commercial research only",
        apply="on request, with an agreement that a member of a faculty signs: the page of the "
        "ABAW challenge says how",
        cite="Kollias and Zafeiriou, arXiv 1811.07770; Kollias and others, CVPR Workshops 2025",
        command="FOLDER --media cropped_aligned",
    )


VALUES = _corpus(
    "aff-wild2-va",
    ABAW_AFFECT,
    "valence and arousal",
    "VA_Estimation_Challenge",
    Expected(rows=432, source="356 videos to train on and 76 to validate, as others count them"),
)
EXPRESSIONS = _corpus(
    "aff-wild2-expr", ABAW_EXPRESSION, "eight expressions", "EXPR_Recognition_Challenge", None
)
ACTION_UNITS = _corpus(
    "aff-wild2-au", ABAW_ACTION_UNITS, "twelve action units", "AU_Detection_Challenge", None
)
