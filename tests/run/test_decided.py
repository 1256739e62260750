"""Scores of clips by their frames, and without what is set aside, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs

from mien.errors import DataError
from mien.run import decided, score
from mien.run.infer import Answers, Predictions
from mien.types import Problem, Resolution, TaskSpec

SPEC = TaskSpec(
    name="compound",
    problem=Problem.ONE_OF_N,
    resolution=Resolution.FRAME,
    labels=("a", "b", "Other"),
    aside=("Other",),
)


def _found(clips: int = 30) -> Predictions:
    """Clips of one class each; some of them Other, one not annotated."""
    random = np.random.default_rng(0)
    made = Answers()
    for i in range(clips):
        length = 3 + i % 5
        powers = np.exp(2 * random.normal(size=(length, 3)))
        made.scores.append(powers / powers.sum(1, keepdims=True))
        made.targets.append(np.full(length, np.nan if i == 4 else i % 3))
    ids = [f"c{i}" for i in range(clips)]
    return Predictions(
        ids=ids, group=[f"v{i // 3}" for i in range(clips)], tasks={"compound": made}
    )


def test_frames_and_clips_are_scored_with_other_and_without() -> None:
    found = _found()
    body = score.report(found, {"compound": SPEC})["compound"]
    answers = found.tasks["compound"]
    kept = [i for i in range(30) if i not in (4,) and i % 3 < 2]
    truth = np.concatenate([answers.targets[i] for i in kept])
    said = np.concatenate([answers.scores[i][:, :2].argmax(1) for i in kept])
    asked = body["asked"]
    assert asked["labels"] == ["a", "b"]
    assert asked["answers"] == len(truth)
    weighted = theirs.f1_score(truth, said, average="weighted")
    assert asked["scores"]["weighted_f1"] == pytest.approx(weighted)
    votes = [np.bincount(answers.scores[i][:, :2].argmax(1), minlength=2).argmax() for i in kept]
    labels = [i % 3 for i in kept]
    by_vote = asked["decided"]["vote"]
    assert by_vote["clips"] == len(kept)
    assert by_vote["scores"]["war"] == pytest.approx(theirs.accuracy_score(labels, votes))
    assert by_vote["scores"]["macro_f1"] == pytest.approx(
        theirs.f1_score(labels, votes, average="macro")
    )
    low = by_vote["intervals"]["weighted_f1"]["clips"]["low"]
    assert low < by_vote["scores"]["weighted_f1"]
    everyone = body["decided"]["probabilities"]
    means = [part.mean(0).argmax() for i, part in enumerate(answers.scores) if i != 4]
    every = [i % 3 for i in range(30) if i != 4]
    assert everyone["scores"]["war"] == pytest.approx(theirs.accuracy_score(every, means))
    assert body["scores"]["war"] != asked["scores"]["war"]
    told = score.table({"part": "test", "tasks": {"compound": body}})
    assert "clips by vote" in told
    assert "2 classes that are asked for" in told


def test_an_epoch_may_be_chosen_by_clips_and_never_by_what_is_aside() -> None:
    found = _found()
    specs = {"compound": SPEC}
    body = score.report(found, specs)["compound"]["asked"]
    by_frames, _ = score.selection(found, specs, "weighted_f1")
    assert by_frames == pytest.approx(body["scores"]["weighted_f1"])
    by_clips, _ = score.selection(found, specs, "vote/weighted_f1")
    assert by_clips == pytest.approx(body["decided"]["vote"]["scores"]["weighted_f1"])
    with pytest.raises(DataError, match="no score 'vote/nothing'"):
        score.selection(found, specs, "vote/nothing")


def test_clips_of_more_than_one_class_are_not_decided_on() -> None:
    answers = _found().tasks["compound"]
    answers.targets[0][0] = 1
    assert decided.by_clip(SPEC, answers) == {}
    clip = TaskSpec(name="x", problem=Problem.ONE_OF_N, labels=SPEC.labels)
    assert decided.by_clip(clip, _found().tasks["compound"]) == {}
