"""CMU-MOSEI and CMU-MOSI by the files of the CMU-MultimodalSDK: emotions that may be together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data.findings import Report
from mien.data.rows import FeatureRef, Label, Row, Split
from mien.errors import ConfigError, DataError
from mien.importers import cuts, orders, sequences
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.kept import Kept
from mien.importers.parts import parts
from mien.importers.sayings import clean
from mien.importers.sequences import Sequence
from mien.importers.texts import lines_of
from mien.types import Problem, TaskSpec

EMOTIONS = ("happiness", "sadness", "anger", "surprise", "disgust", "fear")
"""In the order in which the SDK's labels have them, behind the sentiment."""

_WORDS = {
    "audio": ("covarep", "opensmile", "acoustic", "audio"),
    "visual": ("facet", "openface", "visual", "vision"),
    "text": ("glove", "bert", "wordvectors"),
}
_EMOTION = TaskSpec(name="emotion", problem=Problem.MANY_OF_N, labels=EMOTIONS)
_SILENCE = b"sp"

Floats = NDArray[np.float64]


@dataclass(slots=True)
class _Clip:
    """One annotated stretch of a video.

    Args:
        id: of it.
        video: where it is.
        span: its first and last second.
        labels: of it.
        text: what is said.
        features: name -> the positions of the video's vectors that lie in it.
    """

    id: str
    video: str
    span: tuple[float, float]
    labels: dict[str, Label]
    text: str | None = None
    features: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def read(wish: Wish) -> Found:
    """Rows of all annotated stretches, with what each file has of them."""
    assert wish.kept is not None
    report, notes = Report(), list[str]()
    with ExitStack() as stack:
        files = [stack.enter_context(sequences.opened(path)) for path in _paths(wish)]
        labels = [file for file in files if "label" in file.name.lower()]
        if len(labels) != 1:
            raise DataError(
                f"there are {len(labels)} files of labels here, not one",
                where=str(wish.source),
                fix="CMU_MOSEI_Labels.csd, beside the files of vectors",
            )
        clips = list(_clips(labels[0], report, wish))
        if not clips:
            raise DataError("no stretch of any video is annotated", where=str(labels[0].path))
        used = _features(files, wish, report)
        words = next((file for file in files if file.name.lower() == "words"), None)
        if words is not None:
            _said(words, clips)
        for name, file in used.items():
            _written(name, file, clips, wish.kept, report)
            notes.append(f"features.{name} from {file.path.name}")
    sides = _sides(wish, report, {clip.video for clip in clips})
    rows = [_row(clip, sides.get(clip.video), wish.kept) for clip in clips]
    if not sides:
        notes.append("the SDK keeps its parts in code: --split train=LIST names videos, one a line")
    notes.append("an emotion is present where its value is above 0; several may be, or none")
    six = any("emotion" in clip.labels for clip in clips)
    tasks = ({"emotion": _EMOTION} if six else {}) | {"sentiment": orders.score()}
    return Found(rows=rows, tasks=tasks, report=report, notes=notes)


def _paths(wish: Wish) -> list[Path]:
    folder = wish.source if wish.source.is_dir() else wish.source.parent
    found = sorted(folder.glob("*.csd"))
    if not found:
        raise DataError("there is no file .csd in this folder", where=str(folder))
    return found


def _features(files: list[Sequence], wish: Wish, report: Report) -> dict[str, Sequence]:
    """Feature -> its file: as somebody said, else as it is called."""
    given = {}
    for name, file_name in wish.options.column.items():
        kind, _, feature = name.partition(".")
        fitting = [file for file in files if file_name in (file.path.name, file.name)]
        if kind != "features" or not feature or not fitting:
            known = ", ".join(file.path.name for file in files)
            raise ConfigError(
                f"{name}={file_name} names no feature and a file of it; here are {known}",
                fix="--column features.audio=CMU_MOSEI_COVAREP.csd",
            )
        given[feature] = fitting[0]
    found = dict(given)
    for file in files:
        word = re.sub(r"[^a-z]", "", file.name.lower())
        feature = next((f for f, names in _WORDS.items() if any(n in word for n in names)), "")
        if file in given.values() or "label" in word or word == "words":
            continue
        if not feature:
            report.warn("unknown", "files whose names say no modality; left out", file.path.name)
        elif feature in given:
            continue
        elif feature in found:
            raise DataError(
                f"{found[feature].path.name} and {file.path.name} are both {feature}",
                where=str(wish.source),
                fix=f"--column features.{feature}={file.path.name}",
            )
        else:
            found[feature] = file
    return found


def _clips(file: Sequence, report: Report, wish: Wish) -> Iterator[_Clip]:
    for number, video in enumerate(file.videos, 1):
        if wish.progress is not None and number % 100 == 0:
            wish.progress(number)
        times, values = file.of(video)
        if values.shape[1] not in (1, 1 + len(EMOTIONS)):
            raise DataError(
                f"labels of {values.shape[1]} values; MOSI has 1, MOSEI 7", where=str(file.path)
            )
        for index, (span, row) in enumerate(zip(times, values.astype(np.float64), strict=True)):
            name = f"{video}[{index}]"
            if not np.isfinite(span).all() or not 0 <= span[0] < span[1]:
                report.warn("times", "stretches that end before they begin; left out", name)
                continue
            labels: dict[str, Label] = {}
            if np.isfinite(row[0]):
                labels["sentiment"] = float(row[0])
            if len(row) > 1:
                present = zip(EMOTIONS, row[1:] > 0, strict=True)
                labels["emotion"] = [emotion for emotion, there in present if there]
            yield _Clip(name, video, (float(span[0]), float(span[1])), labels)


def _within(times: Floats, span: tuple[float, float]) -> NDArray[np.int64]:
    """Positions of the intervals that share time with a stretch."""
    return np.flatnonzero((times[:, 0] < span[1]) & (times[:, 1] > span[0]))


def _said(file: Sequence, clips: list[_Clip]) -> None:
    for video, inner in _by_video(clips).items():
        if video not in file.data:
            continue
        times, values = file.of(video)
        for clip in inner:
            words = [bytes(values[at, 0]) for at in _within(times, clip.span)]
            heard = b" ".join(word for word in words if word != _SILENCE)
            clip.text = clean(heard)


def _by_video(clips: list[_Clip]) -> dict[str, list[_Clip]]:
    found: dict[str, list[_Clip]] = {}
    for clip in clips:
        found.setdefault(clip.video, []).append(clip)
    return found


def _written(name: str, file: Sequence, clips: list[_Clip], kept: Kept, report: Report) -> None:
    """One feature: first which positions each clip has, then the vectors, a video at a time."""
    wide, absent = dict[str, int](), list[str]()
    held = _by_video(clips)
    for video, inner in held.items():
        if video not in file.data:
            absent += [clip.id for clip in inner]
            continue
        times, values = file.of(video)
        if values.dtype.kind == "S":
            raise DataError(f"{name} is texts, no vectors", where=str(file.path))
        for clip in inner:
            if len(found := _within(times, clip.span)):
                clip.features[name], wide[clip.id] = found, values.shape[1]
            else:
                absent.append(clip.id)
    if absent:
        report.warn("missing", f"stretches in which {file.name} has nothing", *absent)
    shapes = {
        clip.id: (len(clip.features[name]), wide[clip.id]) for clip in clips if clip.id in wide
    }
    with kept.open(name, shapes) as out:
        for video, inner in held.items():
            if any(clip.id in wide for clip in inner):
                _, values = file.of(video)
                for clip in (clip for clip in inner if clip.id in wide):
                    out.write(clip.id, values[clip.features[name]])
        out.note(report)


def _sides(wish: Wish, report: Report, videos: set[str]) -> Mapping[str, Split]:
    if not wish.options.split:
        return {}
    named: dict[Split, list[str]] = {}
    for part in parts(wish):
        if part.split is not None:
            lines = (line.strip() for line in lines_of(part.file))
            named[part.split] = [line for line in lines if line]
    sides = cuts.settle(named, report, "videos")
    if absent := sorted(sides.keys() - videos):
        report.warn("missing", "videos that a part names, and that are not here", *absent)
    if aside := sorted(videos - sides.keys()):
        report.warn("in no part", "videos that no part names; their rows have none", *aside)
    return sides


def _row(clip: _Clip, split: Split | None, kept: Kept) -> Row:
    refs: dict[str, FeatureRef] = {name: kept.ref(name, clip.id) for name in clip.features}
    return Row(
        id=clip.id,
        text=clip.text,
        features=refs,
        start=clip.span[0],
        end=clip.span[1],
        source=clip.video,
        split=split,
        labels=clip.labels,
    )


CORPUS = Corpus(
    name="cmu-mosei",
    title="Files of the CMU-MultimodalSDK",
    about="CMU-MOSEI and CMU-MOSI: sentiment as a number, and MOSEI's six emotions, many at once",
    read=read,
    takes=("column", "split", "licence", "keep_leaks"),
    layout="a folder of .csd files: CMU_MOSEI_Labels.csd, and any of COVAREP or OpenSMILE (audio), "
    "FACET or OpenFace (visual), word vectors (text) and words. Needs h5py. Layout not verified",
    verified="no real copy: files made up for its tests, as the SDK's own README has them",
    folds="none of its own: --split names the videos of each part",
    apply="the README of the CMU-MultimodalSDK says where its authors keep them",
    cite="Bagher Zadeh and others, ACL 2018, https://doi.org/10.18653/v1/P18-1208",
    command="FOLDER --split train=train.txt --split val=val.txt --split test=test.txt",
)
