"""`mien data check`: everything that can be wrong with a manifest, before hours are spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mien.data import content, labels, leaks, media, prepared, repeats, split
from mien.data.findings import Finding, Report
from mien.data.manifest import Manifest, infer_tasks
from mien.data.rows import Row
from mien.errors import DataError
from mien.types import Specs

_SLACK = 0.5  # seconds that a row may end after its file: durations are rounded

Shapes = dict[str, dict[tuple[int, ...], list[str]]]
"""Feature -> shape of a position -> ids of its rows."""

__all__ = ["Finding", "Report", "check"]


def check(
    manifest: Manifest,
    specs: Specs | None = None,
    *,
    limit: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Look at every row, every file and every label.

    Features are read whole, of prepared clips a picture each; media are opened, not decoded.

    Args:
        manifest: what was read.
        specs: the tasks by name; None: what the manifest declares or its labels look like.
        limit: how many names of a finding the report shows.
        progress: called with the number of rows done and of all rows.
    """
    report = Report(limit=limit)
    shapes: Shapes = {}
    for done, row in enumerate(manifest.rows, 1):
        _media(row, manifest, report)
        _features(row, manifest, report, shapes)
        _span(row, report)
        if progress is not None:
            progress(done, len(manifest.rows))
    _widths(shapes, report)
    labels.look(manifest, _specs(manifest, report) if specs is None else specs, report)
    keys = content.keys(manifest.rows, manifest.place)
    leaks.look(manifest.rows, keys, report)
    repeats.look(manifest.rows, keys, report)
    report.counts = _counts(manifest.rows, keys, shapes) | report.counts
    return report


def _specs(manifest: Manifest, report: Report) -> Specs:
    try:
        return infer_tasks(manifest, {})
    except DataError as error:
        report.error("undeclared task", error.what, fix=error.fix)
        return manifest.tasks


# -- files -----------------------------------------------------------------------------------------


def _media(row: Row, manifest: Manifest, report: Report) -> None:
    place = row.place or manifest.place
    for name in (row.video, row.audio):
        if name is None:
            continue
        try:
            path = place.find(name)
        except DataError as error:
            report.error("path", error.what, row.id, fix=error.fix)
            continue
        if path.is_dir() and name == row.video:
            _frames(path, row, report)
        elif not path.is_file():
            report.error("missing file", "a media file is not there", f"{row.id} ({name})")
        elif not path.stat().st_size:
            report.error("broken file", "a media file is empty", f"{row.id} ({name})")
        else:
            _content(path, name, row, report)


def _content(path: Path, name: str, row: Row, report: Report) -> None:
    """What the file says of itself; nothing is decoded."""
    try:
        facts = media.probe(path)
    except DataError as error:
        report.error(
            "broken file", "a media file cannot be read", f"{row.id} ({name}): {error.what}"
        )
        return
    if name == row.video and facts.video is None:
        report.warn("no picture", "a video has no picture", f"{row.id} ({name})")
    if name == row.audio and facts.audio is None:
        report.warn("no sound", "an audio file has no sound", f"{row.id} ({name})")
    if max(row.start or 0.0, row.end or 0.0) > facts.duration + _SLACK:
        report.warn(
            "span", "a row reaches beyond the end of its file", f"{row.id} ({facts.duration:.1f} s)"
        )


def _frames(folder: Path, row: Row, report: Report) -> None:
    numbered = [file for file in folder.iterdir() if any(c.isdigit() for c in file.stem)]
    if not numbered:
        report.error("broken file", "a folder holds no numbered frames", f"{row.id} ({row.video})")
    if row.fps is None:
        report.error(
            "no fps", "a folder of frames needs their number a second", row.id, fix='"fps": 25'
        )


def _features(
    row: Row,
    manifest: Manifest,
    report: Report,
    shapes: Shapes,
) -> None:
    """Every feature is there, whole, finite, and not empty."""
    for name, ref in row.features.items():
        shown = f"{row.id} ({name})" if not isinstance(ref, str) else f"{row.id} ({ref})"
        try:
            source = prepared.source(row, name, manifest.place)
            shape = source.read(np.flatnonzero(source.mask)[:1]).shape[1:] if source.there else None
        except DataError as error:
            if "no such" in error.what:
                report.error("missing file", "a feature file is not there", shown)
            else:
                report.error("broken file", "a feature cannot be read", f"{shown}: {error.what}")
            continue
        if shape is None:
            report.warn("empty feature", "a feature has no positions: it counts as absent", shown)
            continue
        shapes.setdefault(name, {}).setdefault(shape, []).append(row.id)
    if not row.features and not row.text:
        named = row.video or row.audio
        root = f" --root {manifest.root}" if manifest.root is not None else ""
        report.warn(
            "no inputs",
            "a row has media that is not prepared yet"
            if named
            else "a row holds nothing to learn from",
            row.id,
            fix=f"mien data prepare {manifest.path}{root}" if named else None,
        )


def _widths(shapes: Shapes, report: Report) -> None:
    """All rows have positions of one shape."""
    for name, found in sorted(shapes.items()):
        usual = _usual(found)
        for shape, ids in found.items():
            if shape != usual:
                report.error(
                    "feature shape",
                    f"feature {name!r} has positions of the shape {shape}, most rows have {usual}",
                    *ids,
                )


def _usual(found: Mapping[tuple[int, ...], Sequence[str]]) -> tuple[int, ...]:
    """The shape that most rows have."""
    return max(found, key=lambda shape: len(found[shape]))


def _span(row: Row, report: Report) -> None:
    """A row should last at least one position."""
    if row.end is None or row.fps is None:
        return
    if (row.end - (row.start or 0)) * row.fps < 1:
        report.warn("empty span", "a row is shorter than one of its frames", row.id)


def _counts(rows: Sequence[Row], keys: Sequence[str | None], shapes: Shapes) -> dict[str, object]:
    return {
        "rows": len(rows),
        "splits": dict(sorted(Counter(row.split or "unmarked" for row in rows).items())),
        "folds": dict(sorted(Counter(str(r.fold) for r in rows if r.fold is not None).items())),
        "speakers": len({row.speaker for row in rows if row.speaker}),
        "sources": len({row.source for row in rows if row.source}),
        "dialogues": len({row.dialogue for row in rows if row.dialogue}),
        "groups": len(set(split.groups(rows, keys=keys))),
        "features": {
            name: {
                "rows": sum(len(ids) for ids in found.values()),
                "shape": list(_usual(found)),
            }
            for name, found in sorted(shapes.items())
        },
    }
