"""Windows as they are drawn: steps in time that do not overlap, and fewer where there are many.

Axes: N steps, C labels of a task.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mien.report import reasons
from mien.report.reasons import Why
from mien.timelines import segments
from mien.types import Problem, Specs, Track, Window

Floats = NDArray[np.float64]

WIDTHS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
"""Seconds a step may last where windows are merged."""

_JITTER = 0.02  # seconds between two windows that are no gap, but rounding
_LEAST = 1e-3  # seconds that anything lasts


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What is drawn of a track.

    Args:
        spans: (N, 2) where each step is drawn; in order, never overlapping.
        windows: (N, 2) the stretch that its scores speak of.
        scores: (N, C) by task; NaN where there is none.
        unsure: (N) by task; NaN where there is none.
        present: (N) by modality: the share of the windows in which it was there.
        voice: why the voice was taken for this person's; empty where it was not.
        voice_score: (N), NaN where the rule says none.
        box: (N, 4) shares of the picture, NaN without a face.
        why: the reasons, where somebody asked for them.
    """

    spans: Floats
    windows: Floats
    scores: Mapping[str, Floats]
    unsure: Mapping[str, Floats]
    present: Mapping[str, Floats]
    voice: Sequence[str]
    voice_score: Floats
    box: Floats
    why: Why

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def seconds(self) -> float:
        """How long there is something."""
        return float((self.spans[:, 1] - self.spans[:, 0]).sum())


def lasting(track: Track) -> Track:
    """The track without windows at no time at all, each lasting a while.

    A row of vectors does not say how long it lasts: it gets a second, or the time to the next.
    """
    known = [w for w in track.windows if math.isfinite(w.start) and math.isfinite(w.end)]
    known.sort(key=lambda w: (w.start, w.end))
    follows = [*(w.start for w in known), math.inf][1:]
    windows = [
        w if w.end > w.start else replace(w, end=min(w.start + 1, after) + _LEAST)
        for w, after in zip(known, follows, strict=True)
    ]
    return replace(track, windows=windows)


def read(track: Track, specs: Specs) -> Steps:
    """Every window of a :func:`lasting` track as a step of its own.

    Windows that overlap are drawn to the middle of what they share, each over its own step: of
    windows of 4 s every 2 s, each gets the 2 s in its middle.
    """
    own = segments.steps(track.windows)
    windows = [step.window for step in own]
    modalities = sorted({name for w in windows for name in w.present})
    return Steps(
        spans=_touching(_rows([(step.start, step.end) for step in own], 2)),
        windows=_rows([(w.start, w.end) for w in windows], 2),
        scores={name: _scores(windows, name, spec.labels) for name, spec in specs.items()},
        unsure={
            name: _column(w.uncertainty.get(name, math.nan) for w in windows) for name in specs
        },
        present={
            name: _column(float(w.present.get(name, False)) for w in windows) for name in modalities
        },
        voice=[str(w.voice or "") for w in windows],
        voice_score=_column(math.nan if w.voice_score is None else w.voice_score for w in windows),
        box=_rows([_box(w) for w in windows], 4),
        why=reasons.read(own, specs),
    )


def _rows(values: Sequence[Sequence[float]], width: int) -> Floats:
    return np.asarray(values, dtype=np.float64).reshape(-1, width)


def _column(values: Iterable[float]) -> Floats:
    column = np.fromiter(values, dtype=np.float64)
    return np.where(np.isfinite(column), column, math.nan)


def _box(window: Window) -> tuple[float, float, float, float]:
    box = window.box
    if box is None or len(box) != 4 or not all(math.isfinite(side) for side in box):
        return (math.nan,) * 4
    return box


def _scores(windows: Sequence[Window], task: str, labels: Sequence[str]) -> Floats:
    named = (window.scores.get(task, {}) for window in windows)
    flat = _column(float(scores.get(label, math.nan)) for scores in named for label in labels)
    return flat.reshape(-1, len(labels))


def _touching(spans: Floats) -> Floats:
    """(N, 2) spans in order, without overlaps, and without gaps that are only rounding."""
    for before, after in pairwise(spans):
        if after[0] - before[1] <= min(_JITTER, (before[1] - before[0]) / 10):
            before[1] = after[0] = max(after[0], before[0])
        after[1] = max(after[1], after[0])
    return spans


def merged(steps: Steps, width: float, specs: Specs) -> Steps:
    """The same track in steps of ``width`` seconds, on one grid for all tracks.

    A step holds the windows whose middle lies in it. It shows their mean; of labels that come and
    go (many of n) the highest score, so that nothing brief is lost. Gaps shorter than a step
    close.
    """
    if not len(steps):
        return steps
    cells = np.floor(steps.spans.mean(1) / width).astype(np.int64)  # (N)
    first = np.flatnonzero(np.diff(cells, prepend=cells[0] - 1))  # (M) where a new step begins
    last = np.append(first[1:], len(cells)) - 1
    middle = (first + last) // 2
    spans = np.stack([steps.spans[first, 0], steps.spans[last, 1]], axis=1)

    def highest(values: Floats) -> Floats:
        return np.fmax.reduceat(values, first, axis=0)

    def mean(values: Floats) -> Floats:
        there = np.isfinite(values)
        total = np.add.reduceat(np.where(there, values, 0), first, axis=0)
        count = np.add.reduceat(there.astype(np.float64), first, axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), math.nan)

    return Steps(
        spans=spans,
        windows=spans,
        scores={
            name: (highest if specs[name].problem is Problem.MANY_OF_N else mean)(values)
            for name, values in steps.scores.items()
        },
        unsure={name: mean(values) for name, values in steps.unsure.items()},
        present={name: mean(values) for name, values in steps.present.items()},
        voice=[
            _usual(steps.voice[a : b + 1])
            for a, b in zip(first.tolist(), last.tolist(), strict=True)
        ],
        voice_score=mean(steps.voice_score),
        box=steps.box[middle],
        why=reasons.merged(steps.why, first, last),
    )


def _usual(words: Sequence[str]) -> str:
    """What is said most often, an empty word counting like the others."""
    return Counter(words).most_common(1)[0][0]
