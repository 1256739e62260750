"""What clips are, by the answers to their frames; and scores without what nobody asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mien import tasks
from mien.run import slices
from mien.run.infer import Answers, Floats, Predictions
from mien.tasks import decisions
from mien.tasks.affect import BASICS
from mien.types import Resolution, TaskSpec

SHOWN = ("war", "macro_f1", "weighted_f1")
"""Scores of clips that are told, accuracy first."""


def asked(spec: TaskSpec, answers: Answers) -> tuple[TaskSpec, Answers]:
    """Task and answers without the classes that are set aside; the same where there are none."""
    if not spec.aside:
        return spec, answers
    targets = answers.targets or [np.full(len(part), np.nan) for part in answers.scores]
    pairs = [
        decisions.without(spec, target, score)
        for target, score in zip(targets, answers.scores, strict=True)
    ]
    made = Answers(scores=[score for _, score in pairs])
    made.targets = [target for target, _ in pairs] if answers.targets else []
    return decisions.asked(spec), made


def by_clip(spec: TaskSpec, answers: Answers) -> dict[str, Answers]:
    """One answer a clip, in each way; nothing where a clip shows more than one class."""
    if spec.resolution is not Resolution.FRAME or not spec.categorical or not answers.targets:
        return {}
    known = [np.unique(target[~np.isnan(target)]) for target in answers.targets]
    if max(map(len, known)) != 1:
        return {}
    targets: list[Floats] = [found if len(found) else np.full(1, np.nan) for found in known]
    return {
        name: Answers(scores=[way(part)[None] for part in answers.scores], targets=targets)
        for name, way in decisions.WAYS.items()
    }


def scored(spec: TaskSpec, answers: Answers, metric: str) -> tuple[str, dict[str, float]]:
    """Scores of frames, or as ``vote/weighted_f1`` asks for those of clips, and the score's name.

    Args:
        spec: the task.
        answers: to its frames, or clips.
        metric: a score, or a way to decide on clips and a score.
    """
    spec, answers = asked(spec, answers)
    way, _, rest = metric.partition("/")
    if rest and way in decisions.WAYS:
        found = by_clip(spec, answers)
        return rest, tasks.scores(spec, *found[way].pooled()) if found else {}
    return metric, tasks.scores(spec, *answers.pooled())


def report(
    found: Predictions, spec: TaskSpec, answers: Answers, wanted: Sequence[str]
) -> dict[str, Any]:
    """What a task's scores say besides.

    ``decided`` on clips; ``asked``, with nothing aside; of compound emotions ``basics``, how well
    the basic ones behind them are told.

    Args:
        found: whose answers they are.
        spec: the task.
        answers: to its frames, or clips.
        wanted: the scores to give.
    """
    body: dict[str, Any] = {}
    ways = by_clip(spec, answers)
    if ways:
        body["decided"] = {way: _body(found, spec, made, SHOWN) for way, made in ways.items()}
    if set(spec.labels) <= BASICS.keys():
        targets, scores = answers.pooled()
        task, said, truth = decisions.basics(spec, scores, targets)
        body["basics"] = {"scores": tasks.scores(task, truth, said)}
    if spec.aside:
        less, kept = asked(spec, answers)
        if len(kept.owners()):
            body["asked"] = {"labels": list(less.labels), **_body(found, less, kept, wanted)}
            body["asked"] |= report(found, less, kept, wanted)
    return body


def _body(
    found: Predictions, spec: TaskSpec, answers: Answers, wanted: Sequence[str]
) -> dict[str, Any]:
    pooled = slices.Pooled.of(found, answers)
    scores = tasks.scores(spec, pooled.targets, pooled.scores)
    return {
        **pooled.sizes(),
        "scores": {key: scores[key] for key in wanted if key in scores},
        "intervals": slices.chosen(pooled.drawn(spec, wanted), wanted),
    }


def lines(body: dict[str, Any]) -> list[str]:
    """The same for a person, a line each."""
    made = []
    for way, decided in body.get("decided", {}).items():
        said = ", ".join(f"{key} {decided['scores'][key]:.3f}" for key in SHOWN)
        made.append(f"  clips by {way}: {said}")
    if "basics" in body:
        made.append(f"  basic emotions: f1 {body['basics']['scores']['f1']:.3f}")
    if "asked" in body:
        part = body["asked"]
        said = ", ".join(f"{key} {part['scores'][key]:.3f}" for key in SHOWN)
        made += [f"  of {len(part['labels'])} classes that are asked for: {said}"]
        made += [f"  {line}" for line in lines(part)]
    return made
