"""What lies behind a task's scores: calibration, thresholds, values, and the worst mistakes."""

from __future__ import annotations

import numpy as np

from mien.report.folders import Json
from mien.run.infer import Floats, Predictions
from mien.run.slices import Pooled
from mien.tasks import curves
from mien.types import Problem, TaskSpec

MISTAKES = 12
_STEPS = [round(0.02 * step, 2) for step in range(51)]
_MOST_LABELS = 60


def details(found: Predictions, task: str, spec: TaskSpec) -> Json:
    """Curves and mistakes of one task, as plain values."""
    pooled = Pooled.of(found, found.tasks[task])
    body: Json = {"guessing": _guessing(pooled, spec)}
    if spec.categorical:
        bins = curves.reliability(pooled.targets, pooled.scores, spec.width, spec.invalid)
        body["reliability"] = [one.to_dict() for one in bins]
    elif spec.problem is Problem.MANY_OF_N:
        body["thresholds"] = _thresholds(pooled, spec)
    else:
        body["joint"] = _joint(pooled, spec)
    single = all(len(scores) == 1 for scores in found.tasks[task].scores)
    positions = None if single else found.tasks[task].positions().tolist()
    body["mistakes"] = _mistakes(pooled, spec, positions)
    return body


def _guessing(pooled: Pooled, spec: TaskSpec) -> dict[str, float]:
    """What answers that look at nothing would score: a yardstick."""
    if not spec.categorical:
        return {}
    counts = np.unique(pooled.targets, return_counts=True)[1]
    return {"war": float(counts.max() / counts.sum()), "uar": 1 / len(counts)}


def _thresholds(pooled: Pooled, spec: TaskSpec) -> Json:
    """F1 of each label by threshold. The best one was found on these answers: it is optimistic."""
    few = slice(_MOST_LABELS)
    found = curves.thresholds(pooled.targets[:, few], pooled.scores[:, few], _STEPS, spec.invalid)
    labels = {}
    for label, f1 in zip(spec.labels[few], found, strict=True):
        known = [value for value in f1 if value is not None]
        best = int(np.argmax(known)) if known else None
        labels[label] = {
            "f1": f1,
            "best_threshold": None if best is None else _STEPS[best],
            "best_f1": None if best is None else known[best],
        }
    return {"at": _STEPS, "labels": labels, "left_out": max(spec.width - _MOST_LABELS, 0)}


def _joint(pooled: Pooled, spec: TaskSpec) -> Json:
    targets = pooled.targets.copy()
    targets[np.isin(targets, spec.invalid)] = np.nan
    found = {}
    for i, label in enumerate(spec.labels[:_MOST_LABELS]):
        counted = curves.joint(targets[:, i], pooled.scores[:, i])
        if counted is not None:
            found[label] = counted.to_dict()
    return found


# -- mistakes --------------------------------------------------------------------------------------


def _off(pooled: Pooled, spec: TaskSpec) -> Floats:
    """How far each answer is from its label, (N, C) or (N, 1); 0 where it is right or unknown."""
    if spec.categorical:
        wrong = pooled.scores.argmax(1) != pooled.targets
        return np.where(wrong, pooled.scores.max(1), 0.0)[:, None]
    targets = np.where(np.isin(pooled.targets, spec.invalid), np.nan, pooled.targets)
    off = np.nan_to_num(np.abs(pooled.scores - targets))
    if spec.problem is Problem.MANY_OF_N:
        agree = (pooled.scores >= spec.threshold) == (targets >= 0.5)
        off = np.where(agree | (targets < 0), 0.0, off)
    return off


def _mistakes(pooled: Pooled, spec: TaskSpec, positions: list[int] | None) -> list[Json]:
    """The most confident mistakes, or the largest errors: one a clip, the worst first."""
    off = _off(pooled, spec)
    badness = off.max(1)
    found: list[Json] = []
    seen: set[int] = set()
    for i in np.argsort(-badness, kind="stable").tolist():
        if badness[i] <= 0 or len(found) == MISTAKES:
            break
        if int(pooled.sample[i]) in seen:
            continue
        seen.add(int(pooled.sample[i]))
        where: Json = {"clip": str(pooled.clips[i]), "group": str(pooled.groups[i])}
        if positions is not None:
            where["position"] = positions[i]
        found.append(where | _said(pooled, spec, i, int(off[i].argmax())))
    return found


def _said(pooled: Pooled, spec: TaskSpec, i: int, worst: int) -> Json:
    targets, scores = pooled.targets[i], pooled.scores[i]
    if not spec.categorical:
        return {
            "label": spec.labels[worst],
            "target": float(targets[worst]),
            "score": float(scores[worst]),
        }
    truth, said = int(targets), int(scores.argmax())
    return {
        "target": spec.labels[truth],
        "said": spec.labels[said],
        "score": float(scores[said]),
        "score_of_target": float(scores[truth]),
    }
