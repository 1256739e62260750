"""What follows from a task: its loss, activation, scores and the reading of its answers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien import tasks
from mien.errors import ConfigError, DataError
from mien.parts.losses import (
    BinaryCrossEntropy,
    Combined,
    ConcordanceLoss,
    CrossEntropy,
    MeanSquaredError,
)
from mien.types import Problem, Resolution, TaskSpec

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("a", "b", "c"))
DEGREE = replace(EMOTION, name="degree", problem=Problem.ORDINAL)
UNITS = TaskSpec(
    name="units", problem=Problem.MANY_OF_N, labels=("x", "y"), threshold=0.3, invalid=(-1.0,)
)
AFFECT = TaskSpec(
    name="affect",
    problem=Problem.REGRESSION,
    labels=("v", "a"),
    resolution=Resolution.FRAME,
    ranges=((-1.0, 1.0), (0.0, 5.0)),
    invalid=(-5.0,),
)
RATING = replace(AFFECT, name="rating", resolution=Resolution.CLIP, ranges=())
FRAMES = replace(EMOTION, name="frames", resolution=Resolution.FRAME)
EVERY = (EMOTION, DEGREE, UNITS, AFFECT, RATING, FRAMES)


def test_importing_the_tasks_imports_no_torch() -> None:
    code = "import sys, mien.tasks.intervals; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (EMOTION, CrossEntropy),
        (DEGREE, CrossEntropy),
        (FRAMES, CrossEntropy),
        (UNITS, BinaryCrossEntropy),
        (AFFECT, ConcordanceLoss),
        (RATING, MeanSquaredError),
    ],
)
def test_a_task_has_its_own_loss(spec: TaskSpec, kind: type) -> None:
    found = tasks.objective({spec.name: spec})
    assert type(found) is kind
    assert found.task == spec.name  # type: ignore[attr-defined]


def test_the_loss_of_values_can_be_asked_for() -> None:
    for spec in (AFFECT, RATING):
        kinds = {
            word: type(tasks.objective({spec.name: spec}, regression=word))
            for word in ("mse", "ccc")
        }
        assert kinds == {"mse": MeanSquaredError, "ccc": ConcordanceLoss}
    assert type(tasks.objective({"emotion": EMOTION}, regression="ccc")) is CrossEntropy


def test_several_tasks_are_summed() -> None:
    found = tasks.objective({"emotion": EMOTION, "units": UNITS})
    assert isinstance(found, Combined)
    assert [(name, factor) for name, factor, _ in found.parts] == [("emotion", 1), ("units", 1)]
    assert found.additive
    assert not tasks.objective({"emotion": EMOTION, "affect": AFFECT}).additive


def test_smoothing_and_weights_reach_the_losses() -> None:
    weights = torch.tensor([1.0, 2.0, 3.0])
    emotion = tasks.objective(
        {"emotion": EMOTION}, label_smoothing=0.1, class_weights={"emotion": weights}
    )
    assert isinstance(emotion, CrossEntropy)
    assert emotion.label_smoothing == 0.1
    assert emotion.class_weights is weights
    units = tasks.objective({"units": UNITS}, class_weights={"units": weights[:2]})
    assert isinstance(units, BinaryCrossEntropy)
    assert units.pos_weight is not None


def test_weights_that_fit_no_task_are_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'emotion'"):
        tasks.objective({"emotion": EMOTION}, class_weights={"emotions": torch.ones(3)})
    with pytest.raises(ConfigError, match="3 labels"):
        tasks.objective({"emotion": EMOTION}, class_weights={"emotion": torch.ones(2)})
    with pytest.raises(ConfigError, match="no classes to weigh"):
        tasks.objective({"affect": AFFECT}, class_weights={"affect": torch.ones(2)})
    with pytest.raises(ConfigError, match="no task to learn"):
        tasks.objective({})


def test_activations_give_scores() -> None:
    logits = torch.tensor([[2.0, -3.0, 9.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(tasks.activation(EMOTION)(logits), logits.softmax(-1))
    torch.testing.assert_close(tasks.activation(DEGREE)(logits), logits.softmax(-1))
    torch.testing.assert_close(tasks.activation(UNITS)(logits), logits.sigmoid())
    two = logits[:, 1:]
    assert torch.equal(tasks.activation(RATING)(two), two)
    assert tasks.activation(AFFECT)(two).tolist() == [[-1, 5], [0, 0]]
    assert tasks.activation(EMOTION)(logits.half()).dtype == torch.float32


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: spec.name)
def test_the_default_metric_is_among_the_scores(spec: TaskSpec) -> None:
    rng = np.random.default_rng(0)
    shape = (20,) if spec.categorical else (20, spec.width)
    targets = rng.integers(0, 2, shape)
    predictions = tasks.activation(spec)(torch.randn(20, spec.width)).numpy()
    assert tasks.default_metric(spec) in tasks.scores(spec, targets, predictions)


def test_default_metrics_are_those_of_the_field() -> None:
    assert [tasks.default_metric(spec) for spec in EVERY] == [
        "uar",
        "uar",
        "f1",
        "ccc",
        "ccc",
        "macro_f1",
    ]


def test_scores_leave_invalid_values_out_and_keep_the_threshold() -> None:
    truth = np.array([[0.5, 1.0], [-5.0, 2.0], [-0.5, 4.0]])
    said = np.array([[0.5, 1.0], [0.0, 2.0], [-0.5, 4.0]])
    assert tasks.scores(AFFECT, truth, said)["mae/v"] == 0
    targets, predictions = np.array([[1, 0], [-1, 1]]), np.array([[0.35, 0.2], [0.9, 0.35]])
    found = tasks.scores(UNITS, targets, predictions)
    assert found["f1"] == 1
    stricter = tasks.scores(replace(UNITS, threshold=0.5), targets, predictions)
    assert stricter["f1"] == 0


def test_answers_are_named_and_know_their_doubt() -> None:
    assert tasks.decode(EMOTION, [1.0, 0.0, 0.0]) == ({"a": 1.0, "b": 0.0, "c": 0.0}, 0.0)
    named, doubt = tasks.decode(EMOTION, np.full(3, 1 / 3))
    assert list(named) == ["a", "b", "c"]
    assert doubt == pytest.approx(1)
    _, half = tasks.decode(EMOTION, [0.5, 0.5, 0.0])
    assert half == pytest.approx(np.log(2) / np.log(3))
    named, doubt = tasks.decode(UNITS, [0.5, 1.0])
    assert named == {"x": 0.5, "y": 1.0}
    assert doubt == pytest.approx(0.5)
    assert tasks.decode(AFFECT, [0.1, 2.0]) == ({"v": 0.1, "a": 2.0}, None)
    assert tasks.decode(replace(EMOTION, labels=("a",)), [1.0]) == ({"a": 1.0}, 0.0)
    with pytest.raises(DataError, match="shape"):
        tasks.decode(EMOTION, [1.0, 0.0])


def test_doubt_stays_in_range_for_rounded_probabilities() -> None:
    chances = np.full(3, np.float32(1 / 3))
    for answer in (chances, chances * np.float32(1.0000002)):
        doubt = tasks.decode(EMOTION, answer)[1]
        assert doubt is not None
        assert 0 <= doubt <= 1


# Published tasks


def test_published_tasks_have_the_published_orders() -> None:
    named = tasks.NAMED
    assert named["dfew"].labels[0] == "happiness"
    assert named["dfew"].labels.index("fear") == 6
    assert named["mafw"].labels.index("sadness") == 5  # not alphabetical
    assert named["mafw"].labels.index("disappointment") == 10
    assert named["ravdess"].labels.index("surprised") == 7  # file code 08
    assert named["abaw_expression"].labels.index("Other") == 7
    assert named["abaw_action_units"].labels[-2:] == ("AU25", "AU26")
    assert named["meld"].labels.index("joy") == 4
    assert named["iemocap_dialogues"].labels[-1] == "frustrated"
    assert named["abaw_compound"].labels.index("Sadly_Fearful") == 5
    assert named["abaw_affect"].labels == ("valence", "arousal")
    widths = {name: spec.width for name, spec in named.items()}
    assert widths == {
        "abaw_action_units": 12,
        "abaw_affect": 2,
        "abaw_compound": 7,
        "abaw_expression": 8,
        "c_expr_db": 8,
        "crema_d": 6,
        "dfew": 7,
        "emodb": 7,
        "iemocap_dialogues": 6,
        "mafw": 11,
        "meld": 7,
        "mer2023": 6,
        "mosi": 1,
        "msp_improv": 4,
        "ravdess": 8,
        "sims": 1,
    }


def test_labels_tell_published_tasks_apart() -> None:
    """A manifest that declares nothing is recognised by its task's name, labels or range."""
    told = [
        (spec.name, spec.problem, frozenset(spec.labels), spec.ranges)
        for spec in tasks.NAMED.values()
    ]
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("name", sorted(tasks.NAMED))
def test_published_tasks_survive_their_file_format(name: str) -> None:
    spec = tasks.NAMED[name]
    assert TaskSpec.from_dict(spec.to_dict()) == spec
    often = {"abaw": Resolution.FRAME, "c": Resolution.FRAME, "meld": Resolution.UTTERANCE}
    often["iemocap"] = Resolution.UTTERANCE
    assert spec.resolution is often.get(name.partition("_")[0], Resolution.CLIP)
    if name not in ("mosi", "sims"):  # of which every value means something
        assert spec.invalid == ((-5.0,) if name == "abaw_affect" else (-1.0,))
