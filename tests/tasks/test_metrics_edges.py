"""Every score at the edges, case by case, against scikit-learn, scipy and the definition."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn import metrics as reference

from mien.errors import DataError
from mien.tasks.metrics import (
    BINS,
    Agreement,
    Calibration,
    Confusion,
    Detection,
    Statistic,
    score,
)

LABELS = ("a", "b", "c", "d")
EVERY = list(range(4))
Floats = NDArray[np.float64]


def sure(said: list[int], chance: float = 0.7) -> Floats:
    """Probabilities whose largest is that of the class named."""
    rest = (1 - chance) / 3
    return np.full((len(said), 4), rest) + (chance - rest) * np.eye(4)[said]


TIED = np.array([[0.25, 0.25, 0.25, 0.25], [0.4, 0.1, 0.1, 0.4], [0.1, 0.4, 0.4, 0.1]])

CLASSES: dict[str, tuple[list[int], Floats]] = {
    "a class absent from targets": ([0, 0, 1, 2], sure([0, 3, 1, 1])),
    "a class never said": ([0, 1, 2, 3, 3], sure([0, 1, 2, 2, 0])),
    "a class neither there nor said": ([0, 1, 1, 0], sure([0, 1, 0, 0])),
    "one class alone, all right": ([2, 2, 2], sure([2, 2, 2])),
    "one clip, right": ([1], sure([1])),
    "one clip, wrong": ([1], sure([3])),
    "a constant answer": ([0, 1, 2, 3, 0, 0], sure([1] * 6)),
    "all wrong": ([0, 1, 2, 3], sure([1, 2, 3, 0])),
    "all wrong and certain": ([0, 1, 2, 3], sure([1, 2, 3, 0], 1.0)),
    "all right and certain": ([0, 1, 2, 3], sure([0, 1, 2, 3], 1.0)),
    "ties": ([0, 3, 2], TIED),
    "knows nothing": ([0, 1, 2, 3], np.full((4, 4), 0.25)),
}


@pytest.mark.parametrize("case", CLASSES)
def test_classes_equal_scikit_learn(case: str) -> None:
    truth, chances = CLASSES[case]
    said = chances.argmax(1)  # of a tie the first, as numpy has it
    found = score([Confusion(LABELS)], truth, chances)
    options: dict[str, Any] = {"labels": EVERY, "zero_division": 0}
    expected = {
        "war": reference.accuracy_score(truth, said),
        "uar": reference.recall_score(
            truth, said, labels=np.unique(truth), average="macro", zero_division=0
        ),
        "macro_f1": reference.f1_score(truth, said, average="macro", **options),
        "weighted_f1": reference.f1_score(truth, said, average="weighted", **options),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of classes that only the answers name
        balanced = reference.balanced_accuracy_score(truth, said)
    assert found["uar"] == pytest.approx(balanced)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert all(0 <= found[name] <= 1 for name in expected)
    each = reference.precision_recall_fscore_support(
        truth, said, labels=EVERY, zero_division=np.nan
    )
    for i, label in enumerate(LABELS):
        for name, column in zip(("precision", "recall"), each[:2], strict=True):
            assert found.get(f"{name}/{label}", np.nan) == pytest.approx(column[i], nan_ok=True)
        assert found[f"f1/{label}"] == pytest.approx(float(np.nan_to_num(each[2][i])))


@pytest.mark.parametrize("case", CLASSES)
def test_calibration_equals_scikit_learn_and_the_definition(case: str) -> None:
    truth, chances = CLASSES[case]
    found = score([Calibration(4)], truth, chances)
    assert found["nll"] == pytest.approx(reference.log_loss(truth, chances, labels=EVERY))
    brier = reference.brier_score_loss(truth, chances, labels=EVERY, scale_by_half=False)
    assert found["brier"] == pytest.approx(brier, abs=1e-12)
    confidence, right = chances.max(1), chances.argmax(1) == np.array(truth)
    # The bin of each answer, counted up by hand: (0, 1/15], (1/15, 2/15], ...
    place = [next(b for b in range(BINS) if c <= (b + 1) / BINS + 1e-12) for c in confidence]
    gaps = 0.0
    for number in set(place):
        inside = np.array(place) == number
        gaps += abs(right[inside].sum() - confidence[inside].sum())
    assert found["ece"] == pytest.approx(gaps / len(truth))


def test_calibration_in_closed_form() -> None:
    """Of answers that are sure by c and right by r: the gap, its square, and both logarithms."""
    truth = [0] * 60 + [1] * 40
    chances = np.tile([0.8, 0.2, 0.0, 0.0], (100, 1))
    found = score([Calibration(4)], truth, chances)
    assert found["ece"] == pytest.approx(0.8 - 0.6)
    assert found["brier"] == pytest.approx(0.6 * 2 * 0.2**2 + 0.4 * 2 * 0.8**2)
    assert found["nll"] == pytest.approx(-0.6 * np.log(0.8) - 0.4 * np.log(0.2))
    perfect = score([Calibration(4)], [0] * 80 + [1] * 20, chances)
    assert perfect["ece"] == pytest.approx(0)


@pytest.mark.parametrize("invalid", [(), (-1.0, 9.0)])
def test_what_is_not_annotated_counts_nowhere(invalid: tuple[float, ...]) -> None:
    truth, chances = CLASSES["a class never said"]
    more = np.array([*truth, -1, np.nan, *([9.0] if invalid else []), np.inf])
    padded = np.concatenate([chances, sure([3] * (len(more) - len(truth)))])
    statistics: list[Statistic] = [Confusion(LABELS, invalid), Calibration(4, invalid)]
    assert score(statistics, more, padded) == score(statistics, truth, chances)


def test_soft_labels_count_as_their_largest_class_the_first_of_a_tie() -> None:
    soft = np.array([[0.5, 0.5, 0, 0], [0.2, 0.1, 0.6, 0.1], [0, 0, 0, 0], [np.nan] * 4])
    chances = sure([0, 2, 1, 1])
    found = score([Confusion(LABELS), Calibration(4)], soft, chances)
    assert found == score([Confusion(LABELS), Calibration(4)], [0, 2], chances[:2])
    assert found["war"] == 1


def test_targets_that_are_no_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"1\.5 is no class index") as caught:
        score([Confusion(LABELS)], [0, 1.5], sure([0, 1]))
    assert caught.value.where == "answer 1"
    for shape in ((2, 3), (2, 5), (2, 4, 1)):
        with pytest.raises(DataError, match="targets of 4 classes have the shape"):
            score([Confusion(LABELS)], np.ones(shape), sure([0, 1]))


# Many labels

HALF = np.array([[1, 0, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0]])
MANY: dict[str, tuple[Any, Any]] = {
    "a label never there": (HALF, [[0.9, 0.9, 0.9, 0.1], [0.1, 0.2, 0.9, 0.1], [0.9, 0.1, 0.9, 0]]),
    "a label never said": (HALF, [[0.1, 0.1, 0.9, 0.1], [0.1, 0.2, 0.9, 0.1], [0.4, 0.1, 0.1, 0]]),
    "nothing there, nothing said": (np.zeros((3, 4)), np.zeros((3, 4))),
    "everything there and said": (np.ones((3, 4)), np.ones((3, 4))),
    "all wrong": (HALF, 1 - HALF),
    "one row": (HALF[:1], [[0.9, 0.1, 0.2, 0.1]]),
    "on the threshold": (HALF, np.full((3, 4), 0.5)),
    "just below it": (HALF, np.full((3, 4), 0.5 - 1e-9)),
}


@pytest.mark.parametrize("case", MANY)
def test_many_labels_equal_scikit_learn(case: str) -> None:
    truth, scores = np.asarray(MANY[case][0]), np.asarray(MANY[case][1], dtype=float)
    said = scores >= 0.5
    detection = Detection(LABELS)
    found = score([detection], truth, scores)
    each = reference.precision_recall_fscore_support(
        truth, said, average=None, zero_division=np.nan
    )
    table = detection.per_class(truth, scores)
    for i, label in enumerate(LABELS):
        for name, column in zip(("precision", "recall"), each[:2], strict=True):
            value = found.get(f"{name}/{label}", np.nan)
            assert value == pytest.approx(column[i], nan_ok=True)
            assert table[label][name] == (None if np.isnan(value) else value)
        assert found[f"f1/{label}"] == pytest.approx(float(np.nan_to_num(each[2][i])))
        assert table[label]["support"] == truth[:, i].sum()
        assert table[label]["answers"] == len(truth)
    f1 = reference.f1_score(truth, said, average="macro", zero_division=0)
    assert found["f1"] == pytest.approx(f1)


def test_a_label_is_scored_where_it_is_annotated_and_present_from_one_half() -> None:
    truth = np.array([[1, -1, np.nan, 0.5], [0, 1, np.nan, 0.49], [1, 0, np.nan, 9]])
    scores = np.array([[0.9, 0.9, 0.9, 0.9], [0.9, 0.1, 0.9, 0.1], [0.1, 0.1, 0.9, 0.9]])
    detection = Detection(LABELS, invalid=(9.0,))
    found = score([detection], truth, scores)
    assert found["f1/a"] == 0.5  # one hit, one too many, one missed
    assert found["f1/b"] == 0.0
    assert "f1/c" not in found
    assert found["f1/d"] == 1.0
    assert found["f1"] == pytest.approx(0.5)
    table = detection.per_class(truth, scores)
    assert table["c"] == {"precision": None, "recall": None, "f1": None, "support": 0, "answers": 0}
    assert (table["b"]["answers"], table["d"]["answers"]) == (2, 2)


# Values

RAMP = np.linspace(-1, 1, 7)
VALUES: dict[str, tuple[Floats, Floats]] = {
    "one value, off": (np.array([0.2]), np.array([0.5])),
    "two values": (np.array([0.0, 1.0]), np.array([0.5, 0.7])),
    "a constant target": (np.full(7, 0.3), RAMP),
    "a constant answer": (RAMP, np.full(7, -0.4)),
    "both constant, apart": (np.full(5, 1.0), np.full(5, 2.0)),
    "both constant, alike": (np.full(5, 1.0), np.full(5, 1.0)),
    "ties": (np.array([0, 0, 1, 1, 2.0]), np.array([0, 1, 1, 0, 2.0])),
    "the opposite": (RAMP, -RAMP),
    "shifted": (RAMP, RAMP + 3),
    "far from zero": (RAMP + 1e6, RAMP * 2 + 1e6),
    "an outlier": (RAMP, np.append(RAMP[:-1], 1e6)),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_equal_scipy_scikit_learn_and_the_definition(case: str) -> None:
    truth, said = VALUES[case]
    agreement = Agreement(("x",))
    found = score([agreement], truth[:, None], said[:, None])
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(truth, said))
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(truth, said))
    varied = np.ptp(truth) > 0 and np.ptp(said) > 0
    pearson = pearsonr(truth, said).statistic if varied else 0.0
    assert found["pearson"] == pytest.approx(pearson, abs=1e-9)
    apart = truth.var() + said.var() + (truth.mean() - said.mean()) ** 2
    covariance = ((truth - truth.mean()) * (said - said.mean())).mean()
    ccc = 2 * covariance / apart if apart > 0 else 0.0
    assert found["ccc"] == pytest.approx(ccc, rel=1e-6, abs=1e-9)
    (row,) = agreement.per_dimension(truth[:, None], said[:, None]).values()
    assert row == pytest.approx(
        {**{n: found[n] for n in ("ccc", "pearson", "mae", "rmse")}, "answers": len(truth)}
    )


def test_a_dimension_without_values_is_left_out_of_every_mean() -> None:
    truth = np.stack([RAMP, np.full(7, np.nan), np.full(7, -5.0)], axis=1)
    said = np.stack([RAMP / 2, RAMP, RAMP], axis=1)
    agreement = Agreement(("v", "a", "d"), invalid=(-5.0,))
    found = score([agreement], truth, said)
    assert {n: found[n] for n in ("ccc", "mae")} == {n: found[f"{n}/v"] for n in ("ccc", "mae")}
    table = agreement.per_dimension(truth, said)
    assert (
        table["a"]
        == table["d"]
        == dict.fromkeys(("ccc", "pearson", "mae", "rmse")) | {"answers": 0}
    )
