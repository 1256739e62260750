"""Clips decided by their frames, against numpy and from logits; classes set aside."""

from __future__ import annotations

import numpy as np
import pytest

from mien import tasks
from mien.errors import ConfigError
from mien.tasks import decisions
from mien.tasks.affect import ABAW_COMPOUND
from mien.types import Problem, TaskSpec

SPEC = TaskSpec(
    name="compound", problem=Problem.ONE_OF_N, labels=("a", "Other", "b"), aside=("Other",)
)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    found: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return found


def _logits(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(11, 4)) * 4


def test_the_three_ways_are_those_of_the_logits() -> None:
    logits = _logits()
    scores = _softmax(logits)
    found = {name: way(scores) for name, way in decisions.WAYS.items()}
    np.testing.assert_allclose(found["logits"], _softmax(logits.mean(0)), atol=1e-12)
    np.testing.assert_allclose(found["probabilities"], np.mean(scores, 0))
    votes = [int((logits.argmax(1) == c).sum()) / 11 for c in range(4)]
    np.testing.assert_allclose(found["vote"], votes)
    for answer in found.values():
        assert answer.sum() == pytest.approx(1)


def test_they_may_disagree_and_a_tie_goes_to_the_first_class() -> None:
    sure, unsure = [0.02, 0.98], [0.55, 0.45]
    scores = np.array([unsure, unsure, sure])
    assert int(decisions.vote(scores).argmax()) == 0
    assert int(decisions.mean_probabilities(scores).argmax()) == 1
    assert int(decisions.mean_logits(scores).argmax()) == 1
    assert int(decisions.vote(np.array([sure, unsure])).argmax()) == 0
    certain = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert decisions.mean_logits(certain).tolist() == pytest.approx([1, 0])


def test_a_dropped_logit_is_as_if_it_had_never_been_there() -> None:
    logits = _logits(1)[:, :3]
    targets = np.array([0, 1, 2, np.nan, 1, 2, 0, 0, 2, 1, 2])
    kept, scores = decisions.without(SPEC, targets, _softmax(logits))
    np.testing.assert_allclose(scores, _softmax(logits[:, [0, 2]]), atol=1e-12)
    skipped = [0, np.nan, 1, np.nan, np.nan, 1, 0, 0, 1, np.nan, 1]
    np.testing.assert_array_equal(kept, skipped)
    assert decisions.asked(SPEC).labels == ("a", "b")
    assert decisions.asked(SPEC).aside == ()
    _, certain = decisions.without(SPEC, np.array([np.nan]), np.array([[0.0, 1.0, 0.0]]))
    assert certain.tolist() == [[0.5, 0.5]], "sure of nothing that is asked for"


def test_a_compound_answer_says_two_basic_ones() -> None:
    scores = np.array([[0.5, 0, 0.2, 0, 0, 0.3, 0], [0, 1, 0, 0, 0, 0, 0]])
    task, said, truth = decisions.basics(ABAW_COMPOUND, scores, np.array([5, 1]))
    assert set(task.labels) == {"fear", "surprise", "happiness", "sadness", "disgust", "anger"}
    of_first = dict(zip(task.labels, said[0].tolist(), strict=True))
    expected = {"fear": 0.8, "surprise": 0.7, "sadness": 0.5, "happiness": 0, "anger": 0}
    assert of_first == pytest.approx(expected | {"disgust": 0})
    named = [{task.labels[i] for i in np.flatnonzero(row)} for row in truth]
    assert named == [{"sadness", "fear"}, {"happiness", "surprise"}]
    metrics = tasks.scores(task, truth, said)
    assert metrics["recall/fear"] == 1
    assert metrics["precision/surprise"] == 0.5


def test_what_is_set_aside_is_written_down_and_some_of_the_classes() -> None:
    assert TaskSpec.from_dict(SPEC.to_dict()) == SPEC
    plain = decisions.asked(SPEC)
    assert "aside" not in plain.to_dict()
    assert TaskSpec.from_dict(plain.to_dict()) == plain
    for wrong in (("c",), ("a", "Other", "b")):
        with pytest.raises(ConfigError, match="sets classes aside"):
            TaskSpec(name="x", problem=Problem.ONE_OF_N, labels=SPEC.labels, aside=wrong)
