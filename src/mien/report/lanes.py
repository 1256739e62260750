"""The lanes of a track: what was answered over time, as SVG that needs no script.

Shapes are drawn in a box that is stretched to whatever width there is: ``WIDE`` units for the whole
axis, one unit a pixel in height. Texts stand outside of it, so that they keep their form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from mien.report import colours, words
from mien.report.reasons import Why
from mien.report.steps import Floats, Steps
from mien.types import Problem, Specs, TaskSpec

WIDE = 10_000
DOUBTS = 5  # shades of certainty

_NARROW = 620  # pixels of an axis on paper; a text that does not fit there is left to the script
_LETTER = 6.8  # pixels of a letter
_BAND, _CAPTION = 22, 17
_STACK, _LINE, _STRIP, _DOUBT, _ADDS = 54, 46, 13, 12, 13

_NOTHING = {"face": "no face", "voice": "no voice", "clip": "nothing"}

Units = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Axis:
    """The seconds that the page shows."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How many there are."""
        return self.end - self.start

    def units(self, times: Floats) -> Units:
        """Places on the axis, 0..WIDE."""
        share = np.clip((times - self.start) / self.seconds, 0, 1)
        return np.round(share * WIDE).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Run:
    """Steps that follow on each other and look the same."""

    left: int
    right: int
    what: str


def rows(steps: Steps, specs: Specs, axis: Axis, kind: str) -> Iterator[str]:
    """Every row of a track's lane: bands, uncertainty, scores, and what was there."""
    spans = axis.units(steps.spans)
    caption = _captions(_gaps(spans, _NOTHING.get(kind, "nothing")), "gap")
    for task, spec in specs.items():
        scores, unsure = steps.scores[task], steps.unsure[task]
        if spec.categorical:
            yield _band(spans, scores, unsure, spec, caption)
        yield from _doubt(spans, unsure)
        if spec.categorical:
            yield _stack(spans, scores, spec)
        elif spec.problem is Problem.MANY_OF_N:
            yield from _strips(spans, scores, spec)
        else:
            yield from _lines(spans, scores, spec)
        yield from _why(spans, steps.why, task, axis)
    yield from _presence(spans, steps)
    yield from _cues(steps.why, axis)


# -- rows ------------------------------------------------------------------------------------------


def _row(
    kind: str, name: str, height: int, shapes: str, texts: str = "", *, aside: str = ""
) -> str:
    """One row: its name, and a drawing as wide as the axis."""
    label = (
        f'<span class="name" title="{words.safe(name, 100)}">{words.named(name, 60)}{aside}</span>'
    )
    box = f'<svg viewBox="0 0 {WIDE} {height}" preserveAspectRatio="none">{shapes}</svg>'
    return (
        f'<div class="row {kind}">{label}<svg class="chart" height="{height}" '
        f'aria-hidden="true">{box}{texts}</svg></div>'
    )


def _band(spans: Units, scores: Floats, unsure: Floats, spec: TaskSpec, caption: str) -> str:
    """The best class of each step; the paler, the less sure."""
    tops = best(scores)
    names = colours.names(spec)
    shades = doubts(unsure)
    looks = [
        "" if top < 0 else f"{names[top]} a{shade}"
        for top, shade in zip(tops.tolist(), shades.tolist(), strict=True)
    ]
    texts = ["" if top < 0 else spec.labels[top] for top in tops.tolist()]
    shapes = _cover(spans, _CAPTION, _BAND)
    drawn: dict[str, list[str]] = {}
    for run in _runs(spans, looks):
        drawn.setdefault(run.what, []).append(_block(run, _CAPTION, _BAND))
    shapes += "".join(f'<path class="{look}" d="{"".join(d)}"/>' for look, d in drawn.items())
    labels = f'<g class="labels">{_captions(_runs(spans, texts), "label")}{caption}</g>'
    return _row("band", spec.name, _CAPTION + _BAND, shapes, labels)


def _doubt(spans: Units, unsure: Floats) -> Iterator[str]:
    known = np.isfinite(unsure)
    if known.any():
        tops = np.round(_DOUBT * (1 - np.clip(unsure[known], 0, 1))).astype(np.int64)
        shape = f'<path class="unsure" d="{_area(spans[known], tops, _DOUBT)}"/>'
        yield _row("doubt", "uncertainty", _DOUBT, shape)


def _stack(spans: Units, scores: Floats, spec: TaskSpec) -> str:
    """Shares of the classes, the first at the bottom. Each is painted over those above it."""
    known = np.isfinite(scores).any(axis=1)
    heights = np.cumsum(np.nan_to_num(np.clip(scores[known], 0, 1)), axis=1)  # (N, C)
    tops = np.round(_STACK * (1 - np.clip(heights, 0, 1))).astype(np.int64)
    names = colours.names(spec)
    shapes = [
        f'<path class="{names[i]}" d="{_area(spans[known], tops[:, i], _STACK)}"/>'
        for i in reversed(range(spec.width))
    ]
    return _row("stack", "all classes", _STACK, "".join(shapes))


def _strips(spans: Units, scores: Floats, spec: TaskSpec) -> Iterator[str]:
    """Where each label is there."""
    for i, label in enumerate(spec.labels):
        known = np.isfinite(scores[:, i])
        on = ["on" if score >= spec.threshold else "" for score in scores[:, i].tolist()]
        blocks = "".join(_block(run, 2, _STRIP - 4) for run in _runs(spans, on))
        shapes = f'{_cover(spans[known], 0, _STRIP)}<path class="on" d="{blocks}"/>'
        yield _row("strip", label, _STRIP, shapes)


def _lines(spans: Units, scores: Floats, spec: TaskSpec) -> Iterator[str]:
    """Each dimension as a line over its range, with its zero."""
    for i, (label, (low, high)) in enumerate(zip(spec.labels, limits(spec, scores), strict=True)):
        known = np.isfinite(scores[:, i])
        share = np.clip((scores[known, i] - low) / (high - low), 0, 1)
        tops = np.round(1 + (_LINE - 2) * (1 - share)).astype(np.int64)
        zero = round(1 + (_LINE - 2) * (1 - min(max((0 - low) / (high - low), 0), 1)))
        unit = f" {words.safe(spec.units[i], 12)}" if spec.units else ""
        shapes = (
            f'{_cover(spans[known], 0, _LINE)}<path class="line" '
            f'd="{_area(spans[known], tops, zero)}"/><path class="zero" d="M0 {zero}h{WIDE}"/>'
        )
        ends = f"<small><b>{high:+.4g}{unit}</b><b>{low:+.4g}</b></small>"
        yield _row("lines", label, _LINE, shapes, aside=ends)


def _presence(spans: Units, steps: Steps) -> Iterator[str]:
    """What was there, where not all of it was there all the time; whose the voice was taken for."""
    for modality, shares in steps.present.items():
        if len(shares) and not (shares >= 0.5).all():
            looks = ["there" if share >= 0.5 else "" for share in shares.tolist()]
            absent = ["" if look else f"no {modality}" for look in looks]
            yield _there(modality, spans, looks, _captions(_runs(spans, absent), "gap", 10))
    if any(steps.voice):
        looks = ["there" if why else "" for why in steps.voice]
        reasons = _captions(_runs(spans, list(steps.voice)), "why", 10)
        yield _there("voice of this person", spans, looks, reasons)


def _why(spans: Units, why: Why, task: str, axis: Axis) -> Iterator[str]:
    """Who carried the answers, what each modality adds to them, and the moments they hang on."""
    said = why.said[task]
    if not any(said):
        return
    looks = ["there" if name else "nobody" if text else "" for name, text in zip(
        why.named[task], said, strict=True
    )]  # fmt: skip
    yield _there("carried by", spans, looks, _captions(_runs(spans, list(said)), "why", 10))
    shares = why.shares[task]
    largest = max([1e-9, *(float(np.nanmax(np.abs(v), initial=0.0)) for v in shares.values())])
    for name, values in shares.items():
        known = np.isfinite(values)
        tops = np.round(_ADDS * (1 - values[known] / largest)).astype(np.int64)
        shapes = (
            f'{_cover(spans[known], 0, 2 * _ADDS)}<path class="line" '
            f'd="{_area(spans[known], tops, _ADDS)}"/><path class="zero" d="M0 {_ADDS}h{WIDE}"/>'
        )
        ends = f"<small><b>{largest:+.2g}</b><b>{-largest:+.2g}</b></small>"
        yield _row("lines", f"{name} adds", 2 * _ADDS, shapes, aside=ends)
    if len(why.moments[task]):
        yield _row("when", "it hangs on", _STRIP, _heat(why.moments[task], axis))


def _heat(moments: Floats, axis: Axis) -> str:
    """Stretches of time, the paler, the less an answer hangs on them."""
    places = axis.units(moments[:, :2])
    drawn: dict[int, list[str]] = {}
    for (left, right), shade in zip(
        places.tolist(), doubts(1 - moments[:, 2]).tolist(), strict=True
    ):
        drawn.setdefault(shade, []).append(_block(_Run(left, right, ""), 0, _STRIP))
    return "".join(f'<path class="hot a{n}" d="{"".join(d)}"/>' for n, d in sorted(drawn.items()))


def _cues(why: Why, axis: Axis) -> Iterator[str]:
    """What there was to see and hear, where somebody handed it in."""
    for of in dict.fromkeys(cue.of for cue in why.cues):
        own = [cue for cue in why.cues if cue.of == of]
        spans = axis.units(np.array([(cue.start, cue.end) for cue in own], dtype=np.float64))
        spans[:, 1] = np.maximum(spans[:, 1], spans[:, 0] + WIDE // 200)  # one picture is seen, too
        runs = _apart(spans, [cue.text for cue in own])
        blocks = "".join(_block(run, 0, _STRIP + 1) for run in runs)
        shapes = f'<path class="there" d="{blocks}"/>'
        yield _row("there", f"{of} cues", _STRIP + 1, shapes, _captions(runs, "why", 10))


def _apart(spans: Units, texts: Sequence[str]) -> list[_Run]:
    """Cues of the same time as one; one that begins within another ends it."""
    found: list[_Run] = []
    for (left, right), text in zip(spans.tolist(), texts, strict=True):
        last = found[-1] if found else None
        if last is not None and last.left == left:
            found[-1] = _Run(left, max(right, last.right), f"{last.what}, {text}")
            continue
        if last is not None and last.right > left:
            found[-1] = _Run(last.left, left, last.what)
        found.append(_Run(left, right, text))
    return found


def _there(name: str, spans: Units, looks: Sequence[str], texts: str) -> str:
    drawn: dict[str, list[str]] = {}
    for run in _runs(spans, looks):
        drawn.setdefault(run.what, []).append(_block(run, 0, _STRIP + 1))
    shapes = "".join(f'<path class="{look}" d="{"".join(d)}"/>' for look, d in drawn.items())
    return _row("there", name, _STRIP + 1, shapes, texts)


# -- numbers ---------------------------------------------------------------------------------------


def best(scores: Floats) -> Units:
    """(N) the label with the highest score; -1 where there is none."""
    known = np.isfinite(scores).any(axis=1)
    return np.where(known, np.where(np.isfinite(scores), scores, -np.inf).argmax(axis=1), -1)


def doubts(unsure: Floats) -> Units:
    """(N) shade of certainty: 0 is sure. Where nothing is known of it, it looks sure."""
    level = np.nan_to_num(np.clip(unsure, 0, 1)) * DOUBTS
    return np.minimum(level.astype(np.int64), DOUBTS - 1)


def limits(spec: TaskSpec, scores: Floats) -> list[tuple[float, float]]:
    """Lowest and highest value drawn for each label: declared, else what there is, and 0."""
    if spec.problem is not Problem.REGRESSION:
        return [(0.0, 1.0)] * spec.width
    found = []
    for i in range(spec.width):
        values = scores[np.isfinite(scores[:, i]), i]
        low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
        if spec.ranges and all(map(math.isfinite, spec.ranges[i])):
            low, high = spec.ranges[i]
        found.append((float(low), float(high)) if high > low else (float(low), float(low) + 1))
    return found


# -- shapes ----------------------------------------------------------------------------------------


def _runs(spans: Units, looks: Sequence[str]) -> list[_Run]:
    """Steps that touch and look the same, as one; those that look like nothing are left out."""
    found: list[_Run] = []
    for (left, right), look in zip(spans.tolist(), looks, strict=True):
        last = found[-1] if found else None
        if last is not None and last.what == look and last.right == left:
            found[-1] = _Run(last.left, right, look)
        else:
            found.append(_Run(left, right, look))
    return [run for run in found if run.what]


def _gaps(spans: Units, what: str) -> list[_Run]:
    edges = [0, *spans.ravel().tolist(), WIDE]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return [_Run(left, right, what) for left, right in pairs if right > left]


def _block(run: _Run, top: int, height: int) -> str:
    wide = run.right - run.left
    return f"M{run.left} {top}h{wide}v{height}h-{wide}z"


def _cover(spans: Units, top: int, height: int) -> str:
    """Paper over the hatching, where there is something."""
    blocks = "".join(_block(run, top, height) for run in _runs(spans, ["x"] * len(spans)))
    return f'<path class="paper" d="{blocks}"/>'


def _area(spans: Units, tops: Units, floor: int) -> str:
    """A stepped outline down to the floor, closed for each stretch without a gap."""
    path: list[str] = []
    steps = [(*span, top) for span, top in zip(spans.tolist(), tops.tolist(), strict=True)]
    at = -1
    for (top, _), group in groupby(_unbroken(steps), key=lambda step: (step[2], step[3])):
        same = list(group)
        left, right = same[0][0], same[-1][1]
        if left != at or not path:
            path.append(f"V{floor}z" if path else "")
            path.append(f"M{left} {floor}V{top}")
        else:
            path.append(f"V{top}")
        path.append(f"h{right - left}")
        at = right
    return "".join([*path, f"V{floor}z"]) if path else ""


def _unbroken(steps: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Each step with the number of the stretch that it belongs to."""
    stretch, at = 0, None
    for step in steps:
        stretch += step[0] != at
        at = step[1]
        yield (*step, stretch)


def _captions(runs: Sequence[_Run], look: str, size: int = 12) -> str:
    """The words of stretches that have room for them on paper; cut off where they do not."""
    texts = []
    for run in runs:
        share = (run.right - run.left) / WIDE
        text = words.clip(run.what, 60)
        if share * _NARROW >= len(text) * _LETTER * size / 12 + 4:
            texts.append(
                f'<svg class="{look}" x="{100 * run.left / WIDE:.4g}%" width="{100 * share:.4g}%">'
                f'<text x="1" y="12">{words.safe(text, 60)}</text></svg>'
            )
    return "".join(texts)
