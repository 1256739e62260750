"""Labels under scrutiny: typos, classes nobody declared, ranges, balance."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mien.data import prepared, strata, targets, tracks
from mien.data.findings import Report
from mien.data.manifest import Manifest
from mien.data.rows import Label, Row, Track
from mien.errors import DataError
from mien.types import Problem, Resolution, Specs, TaskSpec

_RARE = 3  # a label seen less often than this may be a typo
_CLOSE = 0.75
_UNEVEN = 20


def look(manifest: Manifest, specs: Specs, report: Report) -> None:
    """Note labels that do not fit their task, look like typos, or are badly spread."""
    for task, spec in specs.items():
        labelled = [row for row in manifest.rows if task in row.labels]
        if not labelled:
            report.warn("no labels", f"no row has a label of task {task!r}")
            continue
        for row in labelled:
            _fits(row, spec, manifest, report)
        if task not in manifest.tasks:
            _typos(task, labelled, report)
            _codes(task, spec, labelled, report)
        _balance(task, spec, labelled, report)


# -- single labels ---------------------------------------------------------------------------------


def _fits(row: Row, spec: TaskSpec, manifest: Manifest, report: Report) -> None:
    try:
        made = _target(row, spec, manifest, report)
    except DataError as error:
        report.error("label", error.what, f"{row.id}", fix=error.fix)
        return
    if spec.ranges and made.dtype.kind == "f":
        low, high = np.array(spec.ranges).T
        if bool(((made < low) | (made > high)).any()):  # NaN is neither
            shown = [list(pair) for pair in spec.ranges]
            report.error("range", f"a value of task {spec.name!r} lies outside {shown}", row.id)


def _target(row: Row, spec: TaskSpec, manifest: Manifest, report: Report) -> targets.Array:
    label = row.labels[spec.name]
    if spec.resolution is not Resolution.FRAME:
        return targets.of_clip(label, spec)
    if isinstance(label, Track):
        place = row.place or manifest.place
        made = targets.of_frames(tracks.load(label, place, spec, row=row.id), spec)
        _fits_inputs(row, len(made), label.fps, manifest, report)
        return made
    if not isinstance(label, list) and spec.categorical:  # it holds at each frame
        return targets.of_clip(label, spec)
    if not isinstance(label, list):
        raise DataError(f"task {spec.name!r} asks for a label a frame")
    return targets.of_frames(label, spec)


def _fits_inputs(
    row: Row, count: int, fps: float | None, manifest: Manifest, report: Report
) -> None:
    """A track should last as long as some feature of its row."""
    lengths = []
    rate = row.fps
    for name in row.features:
        try:
            length = prepared.length(row, name, manifest.place)
            rate = rate or prepared.fps(row, name, manifest.place)
        except DataError:
            continue  # broken features are noted where features are looked at
        lengths += [length] if length is not None else []
    at = tracks.positions(count, track_fps=fps, fps=rate, lengths=lengths)
    if lengths and len(at) not in lengths:
        report.warn(
            "track length",
            "a track is longer or shorter than every feature of its row",
            f"{row.id} ({len(at)}, features {sorted(set(lengths))})",
            fix="give fps of the row and of the track",
        )


def _codes(task: str, spec: TaskSpec, rows: Sequence[Row], report: Report) -> None:
    """Whole numbers may be codes of classes."""
    values = {row.labels[task] for row in rows if isinstance(row.labels[task], int)}
    if spec.problem is Problem.REGRESSION and len(rows) > len(values) > 1:
        whole = all(isinstance(row.labels[task], int) for row in rows)
        if whole and len(values) <= 20:
            report.warn(
                "codes",
                f"task {task!r} has whole numbers only and is read as a regression",
                *sorted(map(str, values)),
                fix="where they are codes: data.rename.0=NAME for each, or declare the task",
            )


# -- all labels of a task --------------------------------------------------------------------------


def _typos(task: str, rows: Sequence[Row], report: Report) -> None:
    """A label that is hardly ever seen and looks like one that often is."""
    often = Counter(word for row in rows for word in strata.shares(row.labels[task]))
    for word, count in sorted(often.items()):
        for other in _similar(word, count, often):
            report.warn(
                "typo",
                f"a label of task {task!r} may be misspelt",
                f"{word!r} ({count}) for {other!r} ({often[other]})",
                fix="data.rename.WRITTEN=MEANT",
            )


def _similar(word: str, count: int, often: Counter[str]) -> list[str]:
    def plain(text: str) -> str:
        return "".join(letter for letter in text.casefold() if letter.isalnum())

    same = [w for w, n in often.items() if w != word and plain(w) == plain(word) and n >= count]
    if same:
        return [w for w in same if (often[w], w) > (count, word)][:1]
    if count >= _RARE:
        return []
    frequent = {plain(w): w for w, n in often.items() if n >= max(_RARE, 3 * count)}
    close = difflib.get_close_matches(plain(word), frequent, n=1, cutoff=_CLOSE)
    return [frequent[match] for match in close]


def _balance(task: str, spec: TaskSpec, rows: Sequence[Row], report: Report) -> None:
    """Labels by split, and classes that are missing or rare where a model learns them."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        part = counts.setdefault(row.split or "unmarked", Counter())
        part.update(_named(row.labels[task], spec))
    report.counts.setdefault("labels", {})[task] = {
        split: dict(sorted(part.items())) for split, part in sorted(counts.items())
    }
    learned = counts.get("train", counts.get("unmarked", Counter()))
    if spec.problem is Problem.REGRESSION or not learned:
        return
    seen = Counter[str]()
    for part in counts.values():
        seen.update(part)
    for label in (label for label in spec.labels if not learned[label]):
        where = f"but in another split ({seen[label]} rows)" if seen[label] else "at all"
        report.warn(
            "unlearned class",
            f"a class of task {task!r} has no row to train on",
            f"{label} {where}",
        )
    common, rare = max(learned.values()), min(learned.values())
    if common > _UNEVEN * rare and len(learned) > 1:
        report.warn(
            "imbalance",
            f"classes of task {task!r} are more than {_UNEVEN} times as frequent as others",
            *(f"{label} {count}" for label, count in learned.most_common()),
            fix="train.class_weights=balanced",
        )


def _named(label: Label, spec: TaskSpec) -> list[str]:
    """The classes a label names; a soft label counts for its strongest."""
    if isinstance(label, dict) and spec.categorical:
        known: dict[str, Any] = {name: weight or 0 for name, weight in label.items()}
        return [max(known, key=lambda name: known[name])] if known else []
    if isinstance(label, int | float) and spec.categorical:
        try:
            index = targets.index_of(label, spec)
        except DataError:
            return []
        return [spec.labels[index]] if index >= 0 else []
    return [name for name, weight in strata.shares(label).items() if weight > 0]
