"""Answers to frames as one answer to their clip, and answers without classes nobody asks for.

Shapes: L frames of a clip, N answers, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien.tasks.affect import BASICS
from mien.types import Problem, TaskSpec

Floats = NDArray[np.float64]

_LEAST = 1e-300  # a probability that was rounded to nothing still has a logarithm


def vote(scores: Floats) -> Floats:
    """Probabilities (L, C) to the share (C) of frames in which each class is the most probable.

    Of classes with as many frames the first one has the largest share that argmax finds.
    """
    counts = np.bincount(scores.argmax(1), minlength=scores.shape[1])
    return np.asarray(counts / len(scores), dtype=np.float64)


def mean_logits(scores: Floats) -> Floats:
    """Probabilities (L, C) to those (C) of the mean of their logits.

    Logarithms do for logits: within a frame they differ by one constant, and so do the means.
    """
    mean = np.log(np.maximum(scores, _LEAST)).mean(0)
    weights = np.exp(mean - mean.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def mean_probabilities(scores: Floats) -> Floats:
    """Probabilities (L, C) to their mean (C)."""
    return np.asarray(scores.mean(0), dtype=np.float64)


WAYS: Mapping[str, Callable[[Floats], Floats]] = {
    "vote": vote,
    "logits": mean_logits,
    "probabilities": mean_probabilities,
}
"""How a clip may be decided on, by name."""


def asked(spec: TaskSpec) -> TaskSpec:
    """The task without the classes that it sets aside."""
    kept = tuple(label for label in spec.labels if label not in spec.aside)
    return replace(spec, labels=kept, aside=())


def without(spec: TaskSpec, targets: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Answers as if there were no classes aside: as if their logits had been dropped.

    Args:
        spec: the task, with classes aside.
        targets: (N) class indices, NaN where not annotated; may be empty.
        scores: (N, C) probabilities.

    Returns:
        Targets as indices of :func:`asked`, NaN where they were of a class aside, and
        probabilities of the other classes that add up to 1.
    """
    kept = [i for i, label in enumerate(spec.labels) if label not in spec.aside]
    place = np.full(spec.width + 1, np.nan)  # the last one is for what is not annotated
    place[kept] = np.arange(len(kept))
    at = np.where(np.isnan(targets), spec.width, targets).astype(np.int64)
    rest = np.maximum(scores[:, kept], _LEAST)
    return place[at], rest / rest.sum(1, keepdims=True)


def basics(spec: TaskSpec, scores: Floats, targets: Floats) -> tuple[TaskSpec, Floats, Floats]:
    """Answers to compound emotions as answers to the basic ones behind them, several at once.

    Args:
        spec: a task of compound emotions alone, as :data:`BASICS` has them.
        scores: (N, C) probabilities.
        targets: (N) class indices, all of them annotated.

    Returns:
        The task, and by basic emotion (N, 6) the probability of the classes that it is part of,
        and whether it is part of the target.
    """
    names = tuple(dict.fromkeys(name for label in spec.labels for name in BASICS[label]))
    part = np.array([[name in BASICS[label] for name in names] for label in spec.labels], float)
    task = replace(spec, name="basics", problem=Problem.MANY_OF_N, labels=names)
    return task, scores @ part, part[targets.astype(np.int64)]
