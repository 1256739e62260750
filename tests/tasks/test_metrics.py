"""Scores against scikit-learn, scipy and closed forms, on random answers and at the edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn import metrics as reference

from mien.errors import DataError
from mien.tasks.metrics import (
    Agreement,
    Calibration,
    Confusion,
    Detection,
    Statistic,
    higher_is_better,
    per_class,
    score,
)

LABELS = ("a", "b", "c", "d")
EVERY: list[Statistic] = [
    Confusion(LABELS),
    Calibration(4),
    Detection(LABELS, 0.4),
    Agreement(LABELS),
]
Floats = NDArray[np.float64]


def chances(rng: np.random.Generator, size: int, width: int = 4) -> Floats:
    return rng.dirichlet(np.ones(width), size)


def answers(statistic: Statistic, seed: int, size: int) -> tuple[NDArray[Any], Floats]:
    """Targets and predictions of the kind that a statistic takes."""
    rng = np.random.default_rng(seed)
    if isinstance(statistic, Agreement):
        return rng.normal(size=(size, 4)), rng.normal(size=(size, 4))
    if isinstance(statistic, Detection):
        return rng.integers(0, 2, (size, 4)), rng.random((size, 4))
    return rng.integers(0, 4, size), chances(rng, size)


# Classes


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 40), classes=st.integers(1, 4))
def test_classification_equals_scikit_learn_with_classes_absent(
    seed: int, size: int, classes: int
) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, classes, size), chances(rng, size)
    said, all_classes = predicted.argmax(1), list(range(4))
    found = score([Confusion(LABELS)], truth, predicted)
    common: dict[str, Any] = {"labels": all_classes, "zero_division": 0}
    assert found["war"] == pytest.approx(reference.accuracy_score(truth, said))
    assert found["uar"] == pytest.approx(
        reference.recall_score(truth, said, labels=np.unique(truth), average="macro")
    )
    assert found["macro_f1"] == pytest.approx(
        reference.f1_score(truth, said, average="macro", **common)
    )
    assert found["weighted_f1"] == pytest.approx(
        reference.f1_score(truth, said, average="weighted", **common)
    )
    matrix = Confusion(LABELS).matrix(truth, predicted)
    np.testing.assert_array_equal(
        matrix, reference.confusion_matrix(truth, said, labels=all_classes)
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 40))
def test_each_class_equals_scikit_learn_and_undefined_values_are_left_out(
    seed: int, size: int
) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 3, size), chances(rng, size)
    said = predicted.argmax(1)
    expected = reference.precision_recall_fscore_support(
        truth, said, labels=range(4), zero_division=np.nan
    )
    found = score([Confusion(LABELS)], truth, predicted)
    table = per_class(Confusion(LABELS).matrix(truth, predicted), LABELS)
    for i, label in enumerate(LABELS):
        for name, column in zip(("precision", "recall"), expected[:2], strict=True):
            if np.isnan(column[i]):
                assert f"{name}/{label}" not in found
                assert table[label][name] is None
            else:
                assert found[f"{name}/{label}"] == pytest.approx(column[i])
                assert table[label][name] == pytest.approx(column[i])
        f1 = np.nan_to_num(expected[2][i])
        assert found[f"f1/{label}"] == table[label]["f1"] == pytest.approx(f1)
        assert table[label]["support"] == expected[3][i]


def test_uar_by_hand_with_a_class_that_is_only_predicted() -> None:
    predicted = np.eye(4)[[0, 0, 1, 3]]
    found = score([Confusion(LABELS)], [0, 0, 0, 1], predicted)
    assert found["war"] == 0.5
    assert found["uar"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["macro_f1"] == pytest.approx(0.8 / 4)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 200))
def test_calibration_equals_scikit_learn_and_the_definition(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, size), chances(rng, size)
    found = score([Calibration(4)], truth, predicted)
    every = list(range(4))
    assert found["nll"] == pytest.approx(reference.log_loss(truth, predicted, labels=every))
    assert found["brier"] == pytest.approx(
        reference.brier_score_loss(truth, predicted, labels=every, scale_by_half=False)
    )
    confidence, hit = predicted.max(1), predicted.argmax(1) == truth
    gaps = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            gaps += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    assert found["ece"] == pytest.approx(gaps)


def test_a_confidence_on_the_border_belongs_to_the_lower_bin() -> None:
    predicted = [[0.6, 0.4], [0.62, 0.38]]  # 0.6 ends the ninth bin
    assert score([Calibration(2)], [0, 1], predicted)["ece"] == pytest.approx((0.4 + 0.62) / 2)


def test_certain_answers_have_finite_surprise() -> None:
    right = score([Calibration(2)], [0, 1], np.eye(2))
    wrong = score([Calibration(2)], [1, 0], np.eye(2))
    assert right == {"ece": 0, "brier": 0, "nll": 0}
    assert wrong == pytest.approx({"ece": 1, "brier": 2, "nll": 36.04365}, rel=1e-6)


def test_soft_targets_count_as_their_largest_class() -> None:
    rng = np.random.default_rng(0)
    votes, predicted = chances(rng, 30), chances(rng, 30)
    assert score(EVERY[:2], votes, predicted) == score(EVERY[:2], votes.argmax(1), predicted)
    unknown = np.concatenate([votes, np.zeros((1, 4)), np.full((1, 4), np.nan)])
    more = np.concatenate([predicted, predicted[:2]])
    assert score(EVERY[:2], unknown, more) == score(EVERY[:2], votes, predicted)


# Many labels


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 40), rare=st.sampled_from([0.0, 0.1, 0.5]))
def test_detection_equals_scikit_learn(seed: int, size: int, rare: float) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = (rng.random((size, 4)) < rare).astype(int), rng.random((size, 4))
    found = score([Detection(LABELS, 0.7)], truth, predicted)
    said = (predicted >= 0.7).astype(int)
    each = reference.f1_score(truth, said, average=None, zero_division=0)
    assert found["f1"] == pytest.approx(each.mean())
    recall = reference.recall_score(truth, said, average=None, zero_division=np.nan)
    for i, label in enumerate(LABELS):
        assert found[f"f1/{label}"] == pytest.approx(each[i])
        assert found.get(f"recall/{label}", np.nan) == pytest.approx(recall[i], nan_ok=True)


def test_detection_scores_each_label_on_its_own_annotated_answers() -> None:
    rng = np.random.default_rng(3)
    truth, predicted = rng.integers(0, 2, (60, 4)).astype(float), rng.random((60, 4))
    truth[rng.random((60, 4)) < 0.3] = -1
    truth[:, 3] = np.nan
    found = score([Detection(LABELS)], truth, predicted)
    each = []
    for i in range(3):
        kept = truth[:, i] >= 0
        each.append(reference.f1_score(truth[kept, i], predicted[kept, i] >= 0.5))
        assert found[f"f1/{LABELS[i]}"] == pytest.approx(each[i])
    assert found["f1"] == pytest.approx(np.mean(each))
    assert "f1/d" not in found


# Values


def concordance(truth: Floats, said: Floats) -> float:
    covariance = np.cov(truth, said, ddof=0)
    apart = covariance[0, 0] + covariance[1, 1] + (truth.mean() - said.mean()) ** 2
    return float(2 * covariance[0, 1] / apart)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(3, 60),
    offset=st.sampled_from([0.0, -2.0, 1e4]),
    scale=st.sampled_from([1e-3, 1.0, 50.0]),
)
def test_agreement_equals_closed_forms_for_any_offset_and_scale(
    seed: int, size: int, offset: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    truth = scale * rng.normal(size=(size, 4)) + offset
    said = truth + scale * rng.normal(size=(size, 4)) + scale
    found = score([Agreement(LABELS)], truth, said)
    columns: dict[str, list[float]] = {"ccc": [], "pearson": [], "mae": [], "rmse": []}
    for i, label in enumerate(LABELS):
        t, s = truth[:, i], said[:, i]
        one = {
            "ccc": concordance(t, s),
            "pearson": pearsonr(t, s).statistic,
            "mae": reference.mean_absolute_error(t, s),
            "rmse": reference.root_mean_squared_error(t, s),
        }
        for name, value in one.items():
            assert found[f"{name}/{label}"] == pytest.approx(value, rel=1e-6, abs=1e-9)
            columns[name].append(value)
    for name, values in columns.items():
        assert found[name] == pytest.approx(np.mean(values), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3, 1e6])
def test_constant_sides_agree_with_nothing(constant: float) -> None:
    rng = np.random.default_rng(1)
    varied, flat = rng.normal(size=(33, 1)), np.full((33, 1), constant)
    for truth, said in [(varied, flat), (flat, varied), (flat, flat)]:
        found = score([Agreement(("x",))], truth, said)
        assert found["ccc"] == found["pearson"] == 0
        assert found["rmse"] == pytest.approx(np.sqrt(((truth - said) ** 2).mean()))


def test_a_group_in_which_a_side_is_constant_agrees_with_nothing() -> None:
    rng = np.random.default_rng(9)
    truth, said = rng.normal(size=(200, 1)), rng.normal(size=(200, 1))
    groups = np.arange(200) // 20
    said[:, 0] = np.where(groups < 9, 1 / (groups + 3), said[:, 0])  # one value a group
    statistic = Agreement(("x",))
    found = statistic.scores(statistic.totals(truth, said, groups, 10))
    assert np.all(found["pearson"][:9] == 0)
    np.testing.assert_allclose(found["ccc"][:9], 0, atol=1e-12)
    assert abs(found["pearson"][9]) > 1e-3


def test_equal_and_opposite_values_are_one_and_minus_one() -> None:
    x = np.random.default_rng(2).normal(size=(50, 1))
    x -= x.mean()
    assert score([Agreement(("x",))], x, x)["ccc"] == pytest.approx(1)
    assert score([Agreement(("x",))], x, -x)["ccc"] == pytest.approx(-1)


@pytest.mark.parametrize("slope", [0.3, -0.7, 3.0])
def test_a_straight_line_correlates_fully_and_never_more(slope: float) -> None:
    rng = np.random.default_rng(3)
    for size in range(3, 60):
        x = rng.normal(size=(size, 1))
        found = score([Agreement(("x",))], x, slope * x + 0.1)["pearson"]
        assert found == pytest.approx(np.sign(slope))
        assert abs(found) <= 1  # rounding included


def test_agreement_scores_each_dimension_on_its_own_annotated_values() -> None:
    rng = np.random.default_rng(4)
    truth, said = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    truth[:10, 0] = -5
    truth[:, 2] = np.nan
    found = score([Agreement(("v", "a", "d"), invalid=(-5.0,))], truth, said)
    first, second = concordance(truth[10:, 0], said[10:, 0]), concordance(truth[:, 1], said[:, 1])
    assert found["ccc/v"] == pytest.approx(first)
    assert found["ccc"] == pytest.approx((first + second) / 2)
    assert "ccc/d" not in found


# All kinds


@pytest.mark.parametrize("statistic", EVERY, ids=lambda s: type(s).__name__)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 30))
def test_sums_by_group_add_up_to_those_of_repeated_answers(
    statistic: Statistic, seed: int, size: int
) -> None:
    targets, predictions = answers(statistic, seed, size)
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 5, size)
    times = rng.integers(0, 3, 5)
    times[groups[0]] += 1  # at least one answer is drawn
    totals = statistic.totals(targets, predictions, groups, 5)
    rows = np.repeat(np.arange(size), times[groups])
    expected = score([statistic], targets[rows], predictions[rows])
    found = {name: float(v) for name, v in statistic.scores(times @ totals).items()}
    assert {n: v for n, v in found.items() if not np.isnan(v)} == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("statistic", EVERY, ids=lambda s: type(s).__name__)
def test_one_clip_has_finite_scores(statistic: Statistic) -> None:
    found = score([statistic], *answers(statistic, 5, 1))
    assert found
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize("statistic", EVERY, ids=lambda s: type(s).__name__)
def test_answers_without_targets_change_nothing(statistic: Statistic) -> None:
    targets, predictions = answers(statistic, 6, 20)
    more = np.concatenate([targets.astype(float), np.full_like(targets, np.nan, dtype=float)[:3]])
    wrong = np.concatenate([predictions, predictions[:3]])
    assert score([statistic], more, wrong) == score([statistic], targets, predictions)


@pytest.mark.parametrize("statistic", EVERY, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("size", [0, 3])
def test_no_annotated_answer_is_an_error(statistic: Statistic, size: int) -> None:
    targets, predictions = answers(statistic, 7, size)
    with pytest.raises(DataError, match="no annotated answer"):
        score([statistic], np.full_like(targets, np.nan, dtype=float), predictions)


@pytest.mark.parametrize("statistic", EVERY, ids=lambda s: type(s).__name__)
def test_misfits_are_refused(statistic: Statistic) -> None:
    targets, predictions = answers(statistic, 8, 5)
    with pytest.raises(DataError, match="predictions for 5 answers"):
        score([statistic], targets, predictions[:, :3])
    with pytest.raises(DataError, match="predictions for 5 answers"):
        score([statistic], targets, predictions[:4])
    broken = predictions.copy()
    broken[2, 0] = np.nan
    with pytest.raises(DataError, match="not a finite number") as caught:
        score([statistic], targets, broken)
    assert caught.value.where == "answer 2"


def test_targets_that_fit_no_label_are_refused() -> None:
    with pytest.raises(DataError, match="class index 4") as caught:
        score([Confusion(LABELS)], [0, 4], np.full((2, 4), 0.25))
    assert caught.value.where == "answer 1"
    with pytest.raises(DataError, match="targets of 4 labels"):
        score([Agreement(LABELS)], np.zeros((2, 3)), np.zeros((2, 4)))


def test_errors_are_better_when_low() -> None:
    assert higher_is_better("uar")
    assert higher_is_better("ccc/valence")
    assert not higher_is_better("rmse/valence")
    assert not higher_is_better("ece")
