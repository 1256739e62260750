"""Scores of sentiment against scikit-learn and plain loops, on random values and at the edges."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from mien import tasks
from mien.data.declared import infer_tasks
from mien.data.manifest import Manifest
from mien.errors import DataError
from mien.parts.losses import MeanAbsoluteError, MeanSquaredError
from mien.tasks import intervals
from mien.tasks.sentiment import MOSI, SIMS, argmax_accuracy, protocol
from mien.types import Batch, Output, Problem, Resolution, TaskSpec

Floats = NDArray[np.float64]


def _bankers(value: float, most: int) -> int:
    return round(max(-most, min(most, value)))  # Python rounds half to even, too


def _sdk(value: float) -> int:
    """The seven-class rule of the SDK, edge by edge."""
    edges = ((-2, -3), (-1, -2), (0, -1))
    for edge, below in edges:
        if value < edge:
            return below
    return 0 if value == 0 else 1 if value <= 1 else 2 if value <= 2 else 3


def _sims(value: float, edges: tuple[float, ...]) -> int:
    return sum(bool(np.float32(value) > np.float32(edge)) for edge in edges)


def _weighted(truth: list[Any], said: list[Any]) -> float:
    return float(f1_score(truth, said, average="weighted", zero_division=0))


def by_hand(truth: Floats, said: Floats) -> dict[str, float]:
    """MMSA's regression table, written otherwise; what has no answers is left out."""
    found = {"mae": sum(abs(a - b) for a, b in zip(truth, said, strict=True)) / len(truth)}
    spread = truth.std() * said.std()
    found["pearson"] = float(np.corrcoef(truth, said)[0, 1]) if spread > 1e-9 else 0.0
    with_zero = [["neg" if v < 0 else "rest" for v in side] for side in (truth, said)]
    found["acc2_has0"] = float(accuracy_score(*with_zero))
    found["f1_has0"] = _weighted(*with_zero)
    pairs = [(a > 0, b > 0) for a, b in zip(truth, said, strict=True) if a != 0]
    if pairs:
        found["acc2_non0"] = sum(a == b for a, b in pairs) / len(pairs)
        found["f1_non0"] = _weighted([a for a, _ in pairs], [b for _, b in pairs])
    for name, read in {
        "acc5": lambda v: _bankers(v, 2),
        "acc7": lambda v: _bankers(v, 3),
        "acc7_sdk": _sdk,
    }.items():
        hits = [read(float(a)) == read(float(b)) for a, b in zip(truth, said, strict=True)]
        found[name] = float(np.mean(hits))
    return found


def sims_by_hand(truth: Floats, said: Floats) -> dict[str, float]:
    edges = {"acc2": (0.0,), "acc3": (-0.1, 0.1), "acc5": (-0.7, -0.1, 0.1, 0.7)}
    found = {}
    for name, cut in edges.items():
        classes = [[_sims(v, cut) for v in side] for side in (truth, said)]
        found[name] = float(accuracy_score(*classes))
        if name == "acc2":
            found["f1"] = _weighted(*classes)
    return found


RANDOM = np.random.default_rng(7)
TRUTH = np.round(RANDOM.uniform(-3, 3, 60) * 5) / 5
HALVES = np.arange(-3, 3.25, 0.5)
CASES: dict[str, tuple[Floats, Floats]] = {
    "random": (TRUTH, np.clip(TRUTH + RANDOM.normal(size=60), -3, 3)),
    "random, far outside": (TRUTH, 4 * RANDOM.normal(size=60)),
    "thirds, as MOSEI has them": (
        RANDOM.integers(-9, 10, 80) / 3,
        RANDOM.integers(-9, 10, 80) / 3,
    ),
    "halves against halves": (np.repeat(HALVES, 13), np.tile(HALVES, 13)),
    "all zero, both": (np.zeros(5), np.zeros(5)),
    "all targets zero": (np.zeros(4), np.array([-1.0, 0.0, 0.5, 2.0])),
    "all predictions zero": (np.array([-1.0, 0.0, 0.5, 2.0]), np.zeros(4)),
    "constant targets": (np.full(6, 1.4), RANDOM.normal(size=6)),
    "a constant answer": (RANDOM.normal(size=6), np.full(6, -0.2)),
    "no negative one": (np.array([0.2, 1.0, 3.0]), np.array([-0.2, 1.0, 2.6])),
    "no positive one": (np.array([-0.2, -1.0, -3.0]), np.array([0.2, -1.4, -2.6])),
    "never said positive": (np.array([-0.2, 1.0, 3.0]), np.array([-0.2, -1.0, -3.0])),
    "one clip": (np.array([1.6]), np.array([2.5])),
    "minus zero": (np.array([-0.0, 0.0]), np.array([0.0, -0.0])),
}


@pytest.mark.parametrize("case", CASES)
def test_scores_equal_an_independent_implementation(case: str) -> None:
    truth, said = CASES[case]
    found = tasks.scores(MOSI, truth[:, None], said[:, None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of absent classes
        expected = by_hand(truth, said)
    extra = {"ccc", "rmse", *(name for name in found if "/" in name)}
    assert found.keys() - extra == expected.keys()
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_scores_of_sims_equal_an_independent_implementation(case: str) -> None:
    truth, said = (np.clip(side / 3, -1, 1).astype(np.float32) for side in CASES[case])
    found = tasks.scores(SIMS, truth[:, None], said[:, None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sims_by_hand(truth.astype(np.float64), said.astype(np.float64))
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_values_of_sims_on_an_edge_belong_to_the_class_below() -> None:
    edges = np.array([-1.0, -0.7, -0.1, 0.0, 0.1, 0.7, 1.0], dtype=np.float32)
    classes = [0, 0, 0, 1, 1, 2, 2]
    assert classes == [_sims(v, (-0.1, 0.1)) for v in edges]
    mixed = tasks.scores(SIMS, edges[:, None], np.roll(edges, 1)[:, None])
    assert mixed["acc3"] == pytest.approx(4 / 7)
    assert mixed["acc5"] == pytest.approx(2 / 7)


def test_both_roundings_and_the_zero_are_as_published() -> None:
    truth = np.array([0.5, 1.5, 2.5, 0.0, -1.0])[:, None]
    said = np.array([0.0, 2.0, 2.0, -0.0, -0.6])[:, None]
    found = tasks.scores(MOSI, truth, said)
    assert found["acc7"] == 1.0  # 0, 2, 2, 0, -1 on both sides
    assert found["acc7_sdk"] == pytest.approx(3 / 5)  # 0.5 is 1, and 2.5 is 3
    # A prediction of exactly 0 is not negative with zeros, and negative without.
    assert found["acc2_has0"] == 1.0
    assert found["acc2_non0"] == pytest.approx(3 / 4)


def test_perfect_predictions_are_perfect_without_zeros() -> None:
    """The known faulty variant would score the share of negative ones."""
    truth = np.array([-1.0, -2.0, 0.0, 1.0, 2.0, 3.0])[:, None]
    found = tasks.scores(MOSI, truth, truth)
    assert {name: found[name] for name in tasks.headline(MOSI) if name != "mae"} == dict.fromkeys(
        tasks.headline(MOSI)[1:], pytest.approx(1.0)
    )


def test_what_is_not_annotated_is_left_out_and_sums_add_up() -> None:
    truth, said = CASES["random"]
    holes = truth.copy()
    holes[::4] = np.nan
    kept = ~np.isnan(holes)
    whole = tasks.scores(MOSI, holes[:, None], said[:, None])
    assert whole == tasks.scores(MOSI, truth[kept][:, None], said[kept][:, None])
    groups = np.arange(60) % 7
    for part in tasks.statistics(MOSI):
        apart = part.totals(holes[:, None], said[:, None], groups, 7).sum(0)
        together = part.totals(holes[:, None], said[:, None], np.zeros(60, np.int64), 1)[0]
        if type(part).__name__ == "Polarity":
            np.testing.assert_array_equal(apart, together)
    with pytest.raises(DataError, match="no annotated answer"):
        tasks.scores(MOSI, np.full((3, 1), np.nan), np.zeros((3, 1)))


def test_intervals_come_with_every_score() -> None:
    truth, said = CASES["random"]
    drawn = intervals.bootstrap(
        tasks.statistics(MOSI),
        truth[:, None],
        said[:, None],
        groups=[str(i % 9) for i in range(60)],
    )
    for name in tasks.headline(MOSI):
        assert drawn[name].low <= drawn[name].value <= drawn[name].high
        assert drawn[name].over == "groups"


def test_the_class_of_the_highest_chance_is_another_score() -> None:
    chances = np.full((3, 7), 0.05)
    chances[[0, 1, 2], [3, 5, 6]] = 0.7
    assert argmax_accuracy([0.4, 1.5, 1.0], chances) == pytest.approx(2 / 3)
    with pytest.raises(DataError, match=r"\(N, 7\)"):
        argmax_accuracy([0.4], np.ones((1, 5)))


# -- the task --------------------------------------------------------------------------------------


def test_a_score_called_sentiment_is_known_by_its_range(tmp_path: Path) -> None:
    def of(*values: float, name: str = "sentiment") -> TaskSpec:
        rows = [f'{{"id": "r{i}", "labels": {{"{name}": {v}}}}}' for i, v in enumerate(values)]
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(rows))
        return infer_tasks(Manifest.read(path), tasks.NAMED)[name]

    assert of(-2.4, 0.2, 1) is MOSI
    assert of(-1, 0.2, 0.6) is SIMS
    assert of(-1, 4).ranges == ()
    assert of(-1, 2, name="liking").ranges == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "mosi"),
        ({"ranges": ((-1.0, 1.0),)}, "sims"),
        ({"resolution": Resolution.UTTERANCE}, "mosi"),
        ({"ranges": ((0.0, 1.0),)}, None),
        ({"resolution": Resolution.FRAME}, None),
        ({"name": "liking"}, None),
        ({"problem": Problem.ONE_OF_N, "labels": ("a", "b"), "ranges": ()}, None),
    ],
)
def test_other_tasks_are_scored_as_before(change: dict[str, Any], expected: str | None) -> None:
    values: dict[str, Any] = {
        "name": "sentiment",
        "problem": Problem.REGRESSION,
        "labels": ("sentiment",),
        "ranges": ((-3.0, 3.0),),
    }
    spec = TaskSpec(**(values | change))
    assert protocol(spec) == expected
    named = {"mosi": ("mae", True), "sims": ("mae", True)}
    if expected in named:
        assert tasks.default_metric(spec) == "mae"
    else:
        assert "acc7" not in tasks.headline(spec)
        assert tasks.default_metric(spec) != "mae"


def test_its_loss_is_the_absolute_error_unless_another_is_asked_for() -> None:
    usual = tasks.objective({"sentiment": MOSI})
    assert type(usual) is MeanAbsoluteError
    assert type(tasks.objective({"sentiment": MOSI}, regression="mse")) is MeanSquaredError
    logits = torch.tensor([[1.0], [-2.0], [9.0]], requires_grad=True)
    batch = Batch(
        inputs={},
        mask={},
        present=torch.ones(3, 0, dtype=torch.bool),
        targets={"sentiment": torch.tensor([[0.5], [1.0], [math.nan]])},
    )
    loss = usual(Output(logits={"sentiment": logits}), batch)["loss"]
    assert float(loss.detach()) == pytest.approx((0.5 + 3.0) / 2)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[:, 0].tolist() == [0.5, -0.5, 0.0]
