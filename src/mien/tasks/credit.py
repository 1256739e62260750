"""Who gets credit for an answer: margins, Shapley values, and a rule that names one or nobody.

A set of sources is a number whose bit ``i`` says that source ``i`` is there; 0 is nothing.

Axes: S = 2**M sets of M sources, P positions that were answered, C outputs of a task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.evidence import Verdict
from mien.tasks.intervals import wilson
from mien.types import Problem, TaskSpec

Floats = NDArray[np.float64]

LEAST = 0.75
"""By which share the others have to fall short of a modality that is named; ``docs/explain.md``
says on what it was measured."""

_FLOOR = 1e-9  # a probability below this tells nothing more: margins end at 20.7
_LOWEST = 0.5  # below this the others give more than half as much
_LITTLE = 1e-12
_STRONG = 0.25  # share of the greatest drop from which a stretch of time is one of those that count
_HANGS = 0.25  # share of the lead that goes with these, where an answer hangs on moments
_STILL = 0.05  # share of a dimension's range that is no way at all


class Named(NamedTuple):
    """Who carried an answer; ``source`` is -1 where nobody is named."""

    verdict: Verdict
    source: int = -1


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A strength from which a modality is named, and how sure that is.

    Args:
        least: the strength.
        named: in how many of the clips from which it was taken somebody would be named still.
        clips: how many these were.
        high: the share of such clips in which somebody is named lies below this, with 97.5 %
            confidence by Wilson's interval.
    """

    least: float
    named: int
    clips: int
    high: float


def answered(spec: TaskSpec, scores: Floats) -> list[int]:
    """Which outputs (C) an answer names: the best, all that are there, or every dimension."""
    if spec.categorical:
        return [int(scores.argmax())]
    if spec.problem is Problem.MANY_OF_N:
        return [int(i) for i in np.flatnonzero(scores >= spec.threshold)]
    return list(range(spec.width))


def margin(spec: TaskSpec, scores: Floats, output: int) -> Floats:
    """How far an output lies above its best rival: (..., C) after the activation, to (...).

    One of n: the logarithm of its odds against the best of the others. Many of n: that of its odds
    against those of the threshold. Regression: the value. Scores that are no numbers, as of a
    network that was given nothing, say nothing: 0.
    """
    own = scores[..., output]
    if spec.problem is Problem.REGRESSION:
        return np.where(np.isfinite(own), own, 0.0)
    if spec.categorical:
        rest = np.delete(scores, output, axis=-1)
        rival = rest.max(-1) if rest.shape[-1] else 1 - own
        found = _log(own) - _log(rival)
    else:
        found = _odds(own) - _odds(np.asarray(spec.threshold))
    return np.where(np.isfinite(scores).all(-1), found, 0.0)


def _log(chances: Floats) -> Floats:
    return np.log(np.clip(np.nan_to_num(chances), _FLOOR, 1))


def _odds(chances: Floats) -> Floats:
    return _log(chances) - _log(1 - chances)


def shapley(margins: Floats) -> Floats:
    """Shapley values (M, ...) of margins (S, ...): what each source adds, on average over orders.

    They sum up to the margin of all sources less that of nothing, and are exact: every set was
    asked for.
    """
    count = len(margins).bit_length() - 1
    found = np.zeros((count, *margins.shape[1:]))
    for source in range(count):
        for others in range(len(margins)):
            if others >> source & 1:
                continue
            size = others.bit_count()
            orders = math.factorial(size) * math.factorial(count - size - 1)
            gain = margins[others | 1 << source] - margins[others]
            found[source] += orders / math.factorial(count) * gain
    return found


# -- the rule --------------------------------------------------------------------------------------


def leads(spec: TaskSpec, margins: Floats, output: int) -> Floats:
    """Margins (S) as shares of that of everything; zeros where there is no lead to share.

    Of a regression: how far the value goes of the way from what is said of nothing.
    """
    if spec.problem is Problem.REGRESSION:
        way = margins[-1] - margins[0]
        none = abs(way) <= _STILL * _range(spec, output)
        return np.zeros_like(margins) if none else np.asarray((margins - margins[0]) / way)
    if margins[-1] <= max(margins[0], 0.0):  # no surer than of nothing at all
        return np.zeros_like(margins)
    return np.asarray(margins / margins[-1])


def _range(spec: TaskSpec, output: int) -> float:
    if not spec.ranges:
        return 0.0
    low, high = spec.ranges[output]
    return high - low


def strength(shares: Floats) -> Floats:
    """(M) by how much all others without a source fall short of what it gives alone.

    1: they give nothing; above 1: they give another answer; 0: as much as it does, or more. It is 0
    too where a source alone gives less than half of the lead (S).
    """
    alone, without = _alone(shares), _without(shares)
    enough = alone >= max(shares[-1] / 2, _LITTLE)
    return np.where(enough, np.clip(1 - without / np.maximum(alone, _LITTLE), 0, None), 0.0)


def _alone(shares: Floats) -> Floats:
    return shares[[1 << source for source in range(len(shares).bit_length() - 1)]]


def _without(shares: Floats) -> Floats:
    whole = len(shares) - 1
    return shares[[whole ^ 1 << source for source in range(len(shares).bit_length() - 1)]]


def moments(lead: float, drops: Floats, apart: Floats) -> Floats | None:
    """(M) the same strength, of the moments on which an answer hangs; None where it hangs on none.

    What a source at rest happens to say is spread over all of a clip, and does not count here.

    Args:
        lead: of the answer.
        drops: (N) of the lead, without each stretch of time.
        apart: (M, N) of the lead, without each stretch of one source.
    """
    if len(apart) < 2 or not len(drops) or drops.max() <= 0:
        return None
    strong = drops >= _STRONG * drops.max()
    if drops[strong].sum() < _HANGS * abs(lead):
        return None
    totals = apart[:, strong].sum(1)
    others = np.array([np.delete(totals, source).max() for source in range(len(totals))])
    known = totals > _LITTLE
    return np.where(known, np.clip(1 - others / np.where(known, totals, 1), 0, None), 0.0)


def judge(
    spec: TaskSpec,
    margins: Floats,
    output: int,
    least: float = LEAST,
    hangs: Floats | None = None,
) -> Named:
    """Who carried an answer.

    A source is named that gives at least half of the lead alone, while all others without it fall
    short of that by at least a share, and that adds most to the answer. Else they agree, where the
    answer stands without any of them.

    Args:
        spec: the task.
        margins: (S) of the output, by :func:`margin`.
        output: which one.
        least: the share, above a half.
        hangs: the strengths (M) by :func:`moments`, which count instead where there are some.
    """
    if len(margins) == 2:
        return Named("only", 0)
    shares = leads(spec, margins, output)
    if not shares.any():
        return Named("nothing")
    strengths = strength(shares) if hangs is None else hangs
    best = int(strengths.argmax())
    if strengths[best] >= least and best == int(shapley(shares).argmax()):
        return Named("one", best)
    stands = 0.5 if spec.problem is Problem.REGRESSION else 0.0
    if (_without(shares) > stands).all():
        return Named("agree")
    return Named("unclear" if (_alone(shares) > stands).any() else "together")


def calibrate(strengths: Sequence[float], share: float = 0.05) -> Calibrated:
    """A share so that hardly anybody is named in clips in which the sources agree.

    Args:
        strengths: of such clips the greatest :func:`strength` of any source.
        share: of these clips in which somebody may be named still.
    """
    if not strengths:
        return Calibrated(LEAST, 0, 0, 1.0)
    ordered = np.sort(np.asarray(strengths, dtype=np.float64))
    place = min(len(ordered) - 1, math.ceil((1 - share) * len(ordered)))
    least = max(float(np.nextafter(ordered[place], np.inf)), _LOWEST)
    named = int((ordered >= least).sum())
    return Calibrated(least, named, len(ordered), wilson(named, len(ordered))[1])
