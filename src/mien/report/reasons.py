"""Why a track has its answers, as rows of its lane: who carried them, what each adds, when, cues.

Axes: N steps, K stretches of time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evidence import Cue
from mien.timelines import reasons
from mien.timelines.segments import Step
from mien.types import Specs, TaskSpec

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NOTE = (
    "Carried by: the modality that gives an answer's lead over the next one alone, while others "
    "give little of it; else that several agree, or what else there is to say. Adds: how much of "
    "that lead (log-odds) a modality brings. It hangs on: the stretches whose absence "
    "costs most of that lead. All of this is about the run, and not about what people felt."
)
_SOURCES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What is drawn of the reasons of a track.

    Args:
        said: (N) by task: who carried each step's answer; empty where nobody asked.
        named: (N) by task: the modality that is named, if one is.
        shares: (N) by task and modality: what it adds to the answer; NaN where nobody asked.
        moments: (K, 3) by task: start, end, and the drop as a share of its window's largest one.
        cues: in the order of time.
        whole: (N) all of it in one line.
    """

    said: Mapping[str, Sequence[str]]
    named: Mapping[str, Sequence[str]]
    shares: Mapping[str, Mapping[str, Floats]]
    moments: Mapping[str, Floats]
    cues: Sequence[Cue]
    whole: Sequence[str]


def read(own: Sequence[Step], specs: Specs) -> Why:
    """The reasons of windows, each over its own step."""
    windows = [step.window for step in own]
    return Why(
        said={n: [reasons.said(w, spec) for w in windows] for n, spec in specs.items()},
        named={n: [_named(step, n) for step in own] for n in specs},
        shares={n: _shares(own, spec) for n, spec in specs.items()},
        moments={n: _moments(own, n) for n in specs},
        cues=_cues(own),
        whole=[_whole(step, specs) for step in own],
    )


def _named(step: Step, task: str) -> str:
    names = {reason.carried_by for reason in reasons.of(step.window, task)}
    return names.pop() if len(names) == 1 else ""


def _shares(own: Sequence[Step], spec: TaskSpec) -> dict[str, Floats]:
    """What each modality adds to the best class; of other tasks none is drawn."""
    if not spec.categorical:
        return {}
    found = [next(iter(reasons.of(step.window, spec.name)), None) for step in own]
    names = dict.fromkeys(n for r in found if r is not None and len(r.shares) > 1 for n in r.shares)
    return {
        name: np.array([math.nan if r is None else r.shares.get(name, math.nan) for r in found])
        for name in list(names)[:_SOURCES]
    }


def _moments(own: Sequence[Step], task: str) -> Floats:
    """Stretches of time as far as they lie in the step that their window is drawn over."""
    rows = []
    for step in own:
        found = [m for reason in reasons.of(step.window, task)[:1] for m in reason.moments]
        largest = max((moment.drop for moment in found), default=0.0)
        for moment in found:
            start, end = max(moment.start, step.start), min(moment.end, step.end)
            if end > start and moment.drop > 0:
                rows.append((start, end, moment.drop / largest))
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _cues(own: Sequence[Step]) -> list[Cue]:
    """Cues of all windows, each once; what overlapping windows share is one."""
    found: dict[tuple[float, float, str, str], Cue] = {}
    for step in own:
        for cue in step.window.evidence.cues if step.window.evidence is not None else ():
            found.setdefault((cue.start, cue.end, cue.of, cue.text), cue)
    return [found[key] for key in sorted(found)]


def _whole(step: Step, specs: Specs) -> str:
    evidence = step.window.evidence
    if evidence is None:
        return ""
    told = [line for spec in specs.values() for line in reasons.single(step.window, spec)]
    told += [f"not there: {', '.join(evidence.absent)}"] if evidence.absent else []
    texts = dict.fromkeys(cue.text for cue in evidence.cues)
    told += [f"cues: {', '.join(texts)}"] if texts else []
    return " · ".join(told)


def merged(why: Why, first: Integers, last: Integers) -> Why:
    """The same in fewer steps: what is said most often, means; without stretches of time.

    Args:
        why: of (N) steps.
        first: (M) of which step each new one begins with.
        last: (M) and ends with.
    """
    spans = list(zip(first.tolist(), last.tolist(), strict=True))

    def usual(words: Sequence[str]) -> list[str]:
        return [Counter(words[a : b + 1]).most_common(1)[0][0] for a, b in spans]

    def mean(values: Floats) -> Floats:
        parts = [values[a : b + 1] for a, b in spans]
        known = [part[np.isfinite(part)] for part in parts]
        return np.array([part.mean() if len(part) else math.nan for part in known])

    return Why(
        said={task: usual(words) for task, words in why.said.items()},
        named={task: usual(words) for task, words in why.named.items()},
        shares={t: {n: mean(v) for n, v in one.items()} for t, one in why.shares.items()},
        moments={task: np.empty((0, 3)) for task in why.moments},
        cues=(),
        whole=usual(["; ".join(filter(None, said)) for said in _together(why)]),
    )


def _together(why: Why) -> Iterator[tuple[str, ...]]:
    yield from zip(*why.said.values(), strict=True)
