"""Stretches of a track that say the same: what people look for in a timeline.

Windows of a track may overlap (four seconds, every two). Here each counts for its own step only:
where two overlap, the earlier ends and the later starts in the middle of what they share. Thereby
nothing counts twice, and stretches of a track never overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from mien.timelines import answers
from mien.types import Problem, TaskSpec, Track, Window

Level = Literal["", "high", "low"]
HIGH: Level = "high"
LOW: Level = "low"

_TOUCH = 0.01  # seconds between two windows that still follow on each other
_FLAT = 0.05  # share of a dimension's range; smaller swings are no extremes


class Step(NamedTuple):
    """A window with the part of time that is its own."""

    start: float
    end: float
    window: Window

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.start


class Stretch(NamedTuple):
    """Windows that follow on each other and give the same answer."""

    answer: tuple[str, ...]
    steps: list[Step]

    @property
    def start(self) -> float:
        """Its first second."""
        return self.steps[0].start

    @property
    def end(self) -> float:
        """Where it ends."""
        return self.steps[-1].end


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of time about which one thing can be said.

    Args:
        start: its first second, on the clock of the source.
        end: where it ends.
        label: the best class, a label that is there, or a dimension.
        score: the label's mean score over the stretch.
        uncertainty: the task's mean uncertainty over it, where it has one.
        strength: what segments of a task are ranked by: the score; for a dimension the distance
            from the track's own mean, in standard deviations.
        level: for a dimension, on which side of that mean it is.
        windows: how many windows say so.
    """

    start: float
    end: float
    label: str
    score: float
    uncertainty: float | None
    strength: float
    level: Level = ""
    windows: int = 1

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.start


class Overall(NamedTuple):
    """The mean answer of a track: each second counts alike."""

    scores: dict[str, float]
    uncertainty: float | None
    shares: dict[str, float]
    """For each label the share of the time that answers name it (dimensions: all of it)."""


# -- time ------------------------------------------------------------------------------------------


def steps(windows: Sequence[Window]) -> list[Step]:
    """Windows in the order of time, each with the part that is its own."""
    if not windows:
        return []
    ordered = sorted(windows, key=lambda w: (_middle(w), w.start))
    cuts = [-math.inf]
    for one, two in pairwise(ordered):
        # Between the middles also where one window lies within the other.
        cuts.append(min(max((one.end + two.start) / 2, _middle(one)), _middle(two)))
    cuts.append(math.inf)
    return [
        Step(max(window.start, before), min(window.end, after), window)
        for window, (before, after) in zip(ordered, pairwise(cuts), strict=True)
    ]


def _middle(window: Window) -> float:
    return window.start + (window.end - window.start) / 2


def spans(track: Track) -> list[tuple[float, float]]:
    """When a track was there: its windows joined, without those in which it was not to be had.

    A face is not there without video, a voice not without audio, a clip not without anything.
    """
    found: list[tuple[float, float]] = []
    for window in sorted(track.windows, key=lambda w: w.start):
        if not _there(track, window):
            continue
        if found and window.start <= found[-1][1] + _TOUCH:
            found[-1] = (found[-1][0], max(found[-1][1], window.end))
        else:
            found.append((window.start, window.end))
    return found


def _there(track: Track, window: Window) -> bool:
    modality = {"face": "video", "voice": "audio"}.get(track.kind, "")
    if modality in window.present:
        return window.present[modality]
    return not window.present or any(window.present.values())


# -- what is said ----------------------------------------------------------------------------------


def stretches(track: Track, task: str, spec: TaskSpec) -> list[Stretch]:
    """Windows that follow on each other and answer alike, as one. They do not overlap.

    A regression gives another value in every window: each is a stretch of its own.
    """
    found: list[Stretch] = []
    merges = spec.problem is not Problem.REGRESSION
    for step in _answering(track, task):
        answer = answers.given(step.window.scores[task], spec)
        if merges and found and found[-1].answer == answer and _follows(found[-1], step):
            found[-1].steps.append(step)
        else:
            found.append(Stretch(answer, [step]))
    return found


def segments(track: Track, task: str, spec: TaskSpec) -> list[Segment]:
    """What a track says of a task over time, in the order of time.

    One of n and ordinal: stretches with the same best class; they fill the track. Many of n: for
    each label the stretches in which it is there. Regression: for each dimension the stretches in
    which it lies more than a standard deviation above or below the track's own mean.
    """
    if spec.categorical:
        found = [_segment(s.steps, task, s.answer[0]) for s in stretches(track, task, spec)]
    else:
        own = _answering(track, task)
        labels = {label: None for step in own for label in step.window.scores[task]}
        found = [segment for label in labels for segment in _of_label(own, task, label, spec)]
    return sorted(found, key=lambda segment: (segment.start, segment.end))


def strongest(track: Track, task: str, spec: TaskSpec, n: int = 3) -> list[Segment]:
    """The segments most worth a look: the strongest of each answer, then the others by strength."""
    ranked = sorted(segments(track, task, spec), key=lambda s: (-s.strength, -s.seconds, s.start))
    seen: set[tuple[str, str]] = set()
    first: list[Segment] = []
    others: list[Segment] = []
    for segment in ranked:
        kind = (segment.label, segment.level)
        (others if kind in seen else first).append(segment)
        seen.add(kind)
    return sorted([*first, *others][:n], key=lambda s: (-s.strength, s.start))


def overall(track: Track, task: str, spec: TaskSpec) -> Overall | None:
    """The mean answer over the whole track; None where the track does not answer the task."""
    own = _answering(track, task)
    if not own:
        return None
    scores, doubt = mean_answer(own, task)

    def named(label: str) -> float:
        return _mean(own, lambda s: label in answers.given(s.window.scores[task], spec))

    return Overall(scores, doubt, {label: named(label) for label in scores})


def mean_answer(own: Sequence[Step], task: str) -> tuple[dict[str, float], float | None]:
    """Mean scores and uncertainty over steps that answer a task; each second counts alike."""
    labels = {label: None for step in own for label in step.window.scores[task]}
    return {label: _score(own, task, label) for label in labels}, _doubt(own, task)


def _answering(track: Track, task: str) -> list[Step]:
    return steps([window for window in track.windows if task in window.scores])


def _follows(one: Step | Stretch, two: Step) -> bool:
    return two.start - one.end <= _TOUCH


def _of_label(own: Sequence[Step], task: str, label: str, spec: TaskSpec) -> list[Segment]:
    having = [step for step in own if label in step.window.scores[task]]

    def value(step: Step) -> float:
        return step.window.scores[task][label]

    if spec.problem is Problem.MANY_OF_N:
        on = _runs(having, lambda step: value(step) >= spec.threshold)
        return [_segment(run, task, label) for run in on]
    mean = _score(having, task, label)
    spread = math.sqrt(_mean(having, lambda step: (value(step) - mean) ** 2))
    least = max(spread, _FLAT * _range(spec, label))
    if spread == 0:
        return []
    high = _runs(having, lambda step: value(step) - mean > least)
    low = _runs(having, lambda step: mean - value(step) > least)
    return [
        _segment(run, task, label, level, mean, spread)
        for level, runs in ((HIGH, high), (LOW, low))
        for run in runs
    ]


def _range(spec: TaskSpec, label: str) -> float:
    if not spec.ranges or label not in spec.labels:
        return 0.0
    low, high = spec.ranges[spec.labels.index(label)]
    return high - low


def _runs(own: Sequence[Step], wanted: Callable[[Step], bool]) -> list[list[Step]]:
    """Steps that are wanted and follow on each other."""
    found: list[list[Step]] = []
    before: Step | None = None
    for step in own:
        if wanted(step):
            if found and found[-1][-1] is before and before is not None and _follows(before, step):
                found[-1].append(step)
            else:
                found.append([step])
        before = step
    return found


def _segment(
    run: Sequence[Step],
    task: str,
    label: str,
    level: Level = "",
    mean: float = 0.0,
    spread: float = 1.0,
) -> Segment:
    score = _score(run, task, label)
    return Segment(
        start=run[0].start,
        end=run[-1].end,
        label=label,
        score=score,
        uncertainty=_doubt(run, task),
        strength=abs(score - mean) / spread,
        level=level,
        windows=len(run),
    )


# -- means over time -------------------------------------------------------------------------------


def _mean(own: Sequence[Step], value: Callable[[Step], float]) -> float:
    whole = sum(step.seconds for step in own)
    if not whole:  # windows that do not say how long they last count alike
        return sum(value(step) for step in own) / len(own)
    return sum(value(step) * step.seconds for step in own) / whole


def _score(own: Sequence[Step], task: str, label: str) -> float:
    having = [step for step in own if label in step.window.scores[task]]
    return _mean(having, lambda step: step.window.scores[task][label])


def _doubt(own: Sequence[Step], task: str) -> float | None:
    having = [step for step in own if task in step.window.uncertainty]
    return _mean(having, lambda step: step.window.uncertainty[task]) if having else None
