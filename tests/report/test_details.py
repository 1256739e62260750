"""What lies behind scores: yardsticks, mistakes, thresholds and values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import answered
import kept_runs
import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.dummy import DummyClassifier

from mien.report.details import MISTAKES, details
from mien.run.infer import Answers, Predictions
from mien.types import Problem, TaskSpec

SPEC = kept_runs.EMOTION


def told(found: Predictions, spec: TaskSpec = SPEC) -> dict[str, Any]:
    return details(found, spec.name, spec)


def test_guessing_is_what_scikit_learns_dummies_score() -> None:
    found = kept_runs.answered(90)
    truth = np.concatenate(found.tasks["emotion"].targets)
    same = DummyClassifier(strategy="most_frequent").fit(truth[:, None], truth)
    said = same.predict(truth[:, None])
    assert told(found)["guessing"] == pytest.approx(
        {
            "war": reference.accuracy_score(truth, said),
            "uar": reference.balanced_accuracy_score(truth, said),
        }
    )


def test_mistakes_are_the_surest_wrong_answers_one_a_clip() -> None:
    found = kept_runs.answered(90, skill=0.0)
    own = found.tasks["emotion"]
    wrong = {
        clip: float(scores.max())
        for clip, scores, truth in zip(found.ids, own.scores, own.targets, strict=True)
        if scores.argmax() != truth[0]
    }
    mistakes = told(found)["mistakes"]
    expected = sorted(wrong, key=lambda clip: -wrong[clip])[:MISTAKES]
    assert [one["clip"] for one in mistakes] == expected
    for one in mistakes:
        place = found.ids.index(one["clip"])
        scores, truth = own.scores[place][0], int(own.targets[place][0])
        assert (one["said"], one["target"]) == (SPEC.labels[scores.argmax()], SPEC.labels[truth])
        assert (one["score"], one["score_of_target"]) == (scores.max(), scores[truth])
        assert "position" not in one


def test_a_run_without_mistakes_has_none() -> None:
    found = kept_runs.answered(20, skill=100.0)
    assert told(found)["mistakes"] == []


def test_of_frames_the_worst_one_of_each_clip_is_named_with_its_place() -> None:
    found = answered.made()
    own = found.tasks["affect"]
    mistakes = told(found, answered.AFFECT)["mistakes"]
    assert len({one["clip"] for one in mistakes}) == len(mistakes) == MISTAKES
    worst = max(
        (float(np.nanmax(np.abs(s - t))), clip)
        for clip, s, t in zip(found.ids, own.scores, own.targets, strict=True)
        if not np.isnan(t).all()
    )
    first = mistakes[0]
    assert first["clip"] == worst[1]
    assert abs(first["score"] - first["target"]) == pytest.approx(worst[0])
    column = answered.AFFECT.labels.index(first["label"])
    place = found.ids.index(first["clip"])
    assert own.scores[place][first["position"], column] == first["score"]


def test_a_label_that_is_on_the_right_side_is_no_mistake() -> None:
    spec = TaskSpec(name="au", problem=Problem.MANY_OF_N, labels=("a", "b"), threshold=0.3)
    rows = [([0.31, 0.1], [1, 0]), ([0.29, 0.1], [1, 0]), ([0.9, 0.9], [-1, 0])]
    found = Predictions(
        ids=["x", "y", "z"],
        group=["p", "q", "r"],
        tasks={
            "au": Answers(
                [np.array([s]) for s, _ in rows], [np.array([t], dtype=float) for _, t in rows]
            )
        },
    )
    mistakes = told(found, spec)["mistakes"]
    assert [(one["clip"], one["label"]) for one in mistakes] == [("z", "b"), ("y", "a")]


def test_best_thresholds_are_those_of_a_search() -> None:
    found = answered.made()
    body = told(found, answered.UNITS)["thresholds"]
    targets, scores = found.tasks["au"].pooled()
    for i, label in enumerate(answered.UNITS.labels):
        known = ~np.isnan(targets[:, i])
        every = [reference.f1_score(targets[known, i], scores[known, i] >= t) for t in body["at"]]
        assert body["labels"][label]["f1"] == pytest.approx(every)
        assert body["labels"][label]["best_f1"] == pytest.approx(max(every))
        assert body["labels"][label]["best_threshold"] == body["at"][int(np.argmax(every))]


def test_values_that_are_invalid_are_drawn_nowhere() -> None:
    found = answered.made()
    spec = replace(answered.AFFECT, invalid=(-5.0,))
    before = told(found, spec)["joint"]["valence"]
    place = next(i for i, t in enumerate(found.tasks["affect"].targets) if not np.isnan(t).any())
    found.tasks["affect"].targets[place][0, 0] = -5
    after = told(found, spec)["joint"]["valence"]
    assert np.sum(after["counts"]) == np.sum(before["counts"]) - 1
