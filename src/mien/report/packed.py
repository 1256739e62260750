"""The numbers behind the drawing, small: what the page's script reads.

A value is two letters: 0 to 4094 over its range, 4095 for none. Times are milliseconds, each step
as its length, a gap as a negative number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mien.report import colours, lanes, words
from mien.report.body import Drawn
from mien.report.lanes import Axis
from mien.report.steps import Floats, Steps
from mien.types import Specs, TaskSpec

Ranges = Sequence[tuple[float, float]]

_LETTERS = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8
)
_MOST = 4094
_REASONS = 60  # different reasons for a voice that are told apart


def whole(drawn: Sequence[Drawn], specs: Specs, axis: Axis) -> dict[str, Any]:
    """All that the script reads."""
    ranges = {
        name: lanes.limits(spec, _together([one.steps for one in drawn], name, spec.width))
        for name, spec in specs.items()
    }
    return {
        "start": axis.start,
        "seconds": axis.seconds,
        "tasks": [_task(name, spec, ranges[name]) for name, spec in specs.items()],
        "tracks": [_track(one, specs, ranges, axis) for one in drawn],
    }


def _together(drawn: Sequence[Steps], task: str, width: int) -> Floats:
    return np.concatenate([np.empty((0, width)), *(steps.scores[task] for steps in drawn)])


def _task(name: str, spec: TaskSpec, ranges: Ranges) -> dict[str, Any]:
    return {
        "name": words.clip(name, 60),
        "kind": "best" if spec.categorical else spec.problem.value,
        "labels": [words.clip(label, 60) for label in spec.labels],
        "looks": list(colours.names(spec)),
        "ranges": [list(pair) for pair in ranges],
        "least": spec.threshold,
    }


def _track(one: Drawn, specs: Specs, ranges: Mapping[str, Ranges], axis: Axis) -> dict[str, Any]:
    steps, of = one.steps, one.track
    body: dict[str, Any] = {
        "name": words.clip(of.id, 60),
        "kind": of.kind if of.kind in ("face", "voice") else "clip",
        "steps": _lengths(steps.spans, axis.start),
        "scores": [_letters(steps.scores[name], ranges[name]) for name in specs],
        "unsure": [_known(steps.unsure[name][:, None], [(0, 1)]) for name in specs],
        "present": {
            words.clip(name, 30): _letters(shares[:, None], [(0, 1)])
            for name, shares in steps.present.items()
        },
        "box": _known(steps.box, [(0, 1)] * 4),
    }
    if not np.array_equal(steps.spans, steps.windows):
        body["windows"] = np.round((steps.windows - steps.spans) * 1000).astype(int).tolist()
    if any(steps.voice):
        known = list(dict.fromkeys(steps.voice))[:_REASONS]
        body["reasons"] = [words.clip(reason, 120) for reason in known] + [""]
        body["voice"] = [known.index(v) if v in known else len(known) for v in steps.voice]
        body["voice_score"] = _known(steps.voice_score[:, None], [(0, 1)])
    if any(steps.why.whole):
        told = {text: number for number, text in enumerate(dict.fromkeys(steps.why.whole))}
        body["told"] = [words.clip(text, 400) for text in told]
        body["why"] = [told[text] for text in steps.why.whole]
    return body


def _lengths(spans: Floats, start: float) -> list[int]:
    lengths, at = [], 0
    for left, right in np.round((spans - start) * 1000).astype(int).tolist():
        if left != at:
            lengths.append(at - left)
        lengths.append(right - left)
        at = right
    return lengths


def _known(values: Floats, ranges: Ranges) -> str:
    """The values (N, C), or nothing where there are none at all."""
    return _letters(values, ranges) if np.isfinite(values).any() else ""


def _letters(values: Floats, ranges: Ranges) -> str:
    low, high = np.asarray(ranges, dtype=np.float64).T
    share = np.clip((values - low) / (high - low), 0, 1)
    codes = np.where(np.isfinite(share), np.round(np.nan_to_num(share) * _MOST), _MOST + 1)
    pairs = np.stack([codes // 64, codes % 64], axis=-1).astype(np.int64)
    return _LETTERS[pairs].tobytes().decode("ascii")


def size(steps: Steps, specs: Specs) -> int:
    """Fewest bytes that the numbers of a track take."""
    return len(steps) * (4 + 2 * sum(spec.width + 1 for spec in specs.values()))
