"""Losses against torch, scikit-learn and closed forms; what must hold for any batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, mean_squared_error
from torch import Tensor

from mien.errors import ConfigError, DataError
from mien.parts.losses import (
    BinaryCrossEntropy,
    ConcordanceLoss,
    CrossEntropy,
    MeanSquaredError,
    ccc,
)
from mien.types import Batch, Objective, Output

C = 4
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 4.0])


def batch_of(target: Tensor, mask: Tensor | None = None) -> Batch:
    return Batch(
        inputs={},
        mask={},
        present=torch.ones(len(target), 1, dtype=torch.bool),
        targets={"task": target},
        target_mask={} if mask is None else {"task": mask},
    )


def loss_of(objective: Objective, logits: Tensor, batch: Batch) -> Tensor:
    return objective(Output(logits={"task": logits}), batch)["loss"]


def indices(shape: tuple[int, ...]) -> Tensor:
    return torch.randint(0, C, shape)


def mixtures(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(*shape, C).softmax(-1)


def presences(shape: tuple[int, ...]) -> Tensor:
    return torch.randint(0, 2, (*shape, C)).float()


def values(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(*shape, C)


Draw = Callable[[tuple[int, ...]], Tensor]
Case = tuple[Objective, Draw]

ADDITIVE: dict[str, Case] = {
    "indices": (CrossEntropy("task"), indices),
    "smoothed": (CrossEntropy("task", 0.1), indices),
    "weighted": (CrossEntropy("task", 0.1, WEIGHTS), indices),
    "mixtures": (CrossEntropy("task", 0.1), mixtures),
    "weighted mixtures": (CrossEntropy("task", 0.1, WEIGHTS), mixtures),
    "many": (BinaryCrossEntropy("task"), presences),
    "weighted many": (BinaryCrossEntropy("task", WEIGHTS), presences),
    "squared": (MeanSquaredError("task"), values),
}
ALL: dict[str, Case] = ADDITIVE | {
    "concordance": (ConcordanceLoss("task"), values),
    "unbiased concordance": (ConcordanceLoss("task", unbiased=True), values),
}


@pytest.fixture(autouse=True)
def same_draws() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=sorted(ALL))
def case(request: pytest.FixtureRequest) -> Case:
    return ALL[request.param]


# What holds for every loss


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(ADDITIVE)),
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    frames=st.sampled_from([0, 1, 3]),
    kept=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
)
def test_loss_of_a_batch_is_the_weighted_mean_of_its_parts(
    name: str, seed: int, sizes: list[int], frames: int, kept: float
) -> None:
    objective, draw = ADDITIVE[name]
    torch.manual_seed(seed)
    shape = (sum(sizes), frames) if frames else (sum(sizes),)
    logits, target, mask = 3 * torch.randn(*shape, C), draw(shape), torch.rand(shape) < kept
    whole = batch_of(target, mask)
    own_logits, own_target, own_mask = (torch.split(t, sizes) for t in (logits, target, mask))
    parts = [batch_of(*part) for part in zip(own_target, own_mask, strict=True)]
    weights = torch.stack([objective.weight(part) for part in parts])
    losses = torch.stack(
        [loss_of(objective, own, b) for own, b in zip(own_logits, parts, strict=True)]
    )
    torch.testing.assert_close(weights.sum(), objective.weight(whole))
    if mask.any():
        expected = (weights * losses).sum() / weights.sum()
        torch.testing.assert_close(loss_of(objective, logits, whole), expected)
    else:
        assert weights.sum() == 0


def other(target: Tensor) -> Tensor:
    """Targets of the same kind that differ everywhere."""
    return (target + 1) % C if not target.is_floating_point() else target * -3 + 7


def test_what_is_not_annotated_changes_neither_loss_nor_gradient(case: Case) -> None:
    objective, draw = case
    target, mask = draw((6, 5)), torch.rand(6, 5) < 0.5
    logits = torch.randn(6, 5, C)
    grown = mask.view(6, 5, *[1] * (target.ndim - 2))
    disturbed = torch.where(grown, target, other(target))
    wild, broken = (logits.masked_fill(~mask[..., None], value) for value in (1e38, torch.nan))
    seen = []
    for given_logits, given_target in [
        (logits, target),
        (logits, disturbed),
        (wild, target),
        (broken, target),
    ]:
        leaf = given_logits.clone().requires_grad_()
        loss = loss_of(objective, leaf, batch_of(given_target, mask))
        (gradient,) = torch.autograd.grad(loss, leaf)
        seen.append((loss.detach(), gradient))
    assert seen[0][1][mask].abs().sum() > 0
    assert torch.all(seen[0][1][~mask] == 0)
    for loss, gradient in seen[1:]:
        assert torch.equal(loss, seen[0][0])
        assert torch.equal(gradient, seen[0][1])


def marks_of(draw: Draw) -> list[float]:
    """What stands for "not annotated" in targets of a kind: a regression may be negative."""
    if draw is indices:
        return [-1.0]
    return [torch.nan] if draw is values else [-1.0, torch.nan]


MARKS = [(name, mark) for name, (_, draw) in ALL.items() for mark in marks_of(draw)]


@pytest.mark.parametrize(("name", "mark"), MARKS)
def test_values_that_mark_a_missing_answer_need_no_mask(name: str, mark: float) -> None:
    objective, draw = ALL[name]
    target, gone = draw((6, 5)), torch.rand(6, 5) < 0.5
    marked = target.masked_fill(gone.view(6, 5, *[1] * (target.ndim - 2)), mark)
    logits = torch.randn(6, 5, C, requires_grad=True)
    (a,) = torch.autograd.grad(loss_of(objective, logits, batch_of(marked)), logits)
    (b,) = torch.autograd.grad(loss_of(objective, logits, batch_of(target, ~gone)), logits)
    assert torch.equal(a, b)
    assert objective.weight(batch_of(marked)) == objective.weight(batch_of(target, ~gone))


@pytest.mark.parametrize("scale", [1.0, 1e38])
def test_nothing_annotated_is_zero_with_a_graph(case: Case, scale: float) -> None:
    objective, draw = case
    logits = (scale * torch.randn(3, 2, C).sign()).requires_grad_()
    batch = batch_of(draw((3, 2)), torch.zeros(3, 2, dtype=torch.bool))
    loss = loss_of(objective, logits, batch)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss == 0
    assert torch.all(gradient == 0)
    assert objective.weight(batch) == 0


def test_half_precision_is_left_before_summing(case: Case) -> None:
    objective, draw = case
    logits, batch = torch.randn(64, C).bfloat16(), batch_of(draw((64,)))
    loss = loss_of(objective, logits, batch)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, loss_of(objective, logits.float(), batch))


def test_every_loss_keeps_the_protocol(case: Case) -> None:
    assert isinstance(case[0], Objective)
    assert case[0].additive is not isinstance(case[0], ConcordanceLoss)


def test_misspelt_task_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'task'"):
        CrossEntropy("taks")(Output(logits={"task": torch.randn(2, C)}), batch_of(indices((2,))))


def test_targets_of_another_shape_are_refused(case: Case) -> None:
    objective, draw = case
    with pytest.raises(DataError, match="the shape"):
        loss_of(objective, torch.randn(2, 3, C), batch_of(draw((2, 4))))


# Cross-entropy


@pytest.mark.parametrize("shape", [(7,), (3, 5)])
def test_cross_entropy_of_indices_equals_torch(shape: tuple[int, ...]) -> None:
    logits, target = torch.randn(*shape, C), indices(shape)
    target.view(-1)[2] = -1
    flat = logits.view(-1, C), target.view(-1)
    batch = batch_of(target)
    torch.testing.assert_close(
        loss_of(CrossEntropy("task"), logits, batch), F.cross_entropy(*flat, ignore_index=-1)
    )
    torch.testing.assert_close(
        loss_of(CrossEntropy("task", 0.2), logits, batch),
        F.cross_entropy(*flat, ignore_index=-1, label_smoothing=0.2),
    )
    torch.testing.assert_close(
        loss_of(CrossEntropy("task", 0.0, WEIGHTS), logits, batch),
        F.cross_entropy(*flat, ignore_index=-1, weight=WEIGHTS),
    )


def test_cross_entropy_of_mixtures_equals_torch_and_sees_unnormalised_votes() -> None:
    logits, target = torch.randn(6, C), mixtures((6,))
    expected = F.cross_entropy(logits, target, label_smoothing=0.1)
    objective = CrossEntropy("task", 0.1)
    torch.testing.assert_close(loss_of(objective, logits, batch_of(target)), expected)
    torch.testing.assert_close(loss_of(objective, logits, batch_of(5 * target)), expected)


def test_one_hot_mixtures_equal_indices() -> None:
    logits, target = torch.randn(6, C), indices((6,))
    objective = CrossEntropy("task", 0.1, WEIGHTS)
    hard, soft = batch_of(target), batch_of(F.one_hot(target, C).float())
    torch.testing.assert_close(loss_of(objective, logits, hard), loss_of(objective, logits, soft))
    assert objective.weight(hard) == objective.weight(soft) == WEIGHTS[target].sum()


def test_smoothing_puts_the_published_shares_on_the_classes() -> None:
    log_p = torch.tensor([[-1.0, -2.0, -3.0, -4.0]])
    log_p = log_p - log_p.logsumexp(-1)
    on, off = 1 - 0.1 + 0.1 / C, 0.1 / C
    expected = -(log_p[0] * torch.tensor([off, on, off, off])).sum()
    loss = loss_of(CrossEntropy("task", 0.1), log_p, batch_of(torch.tensor([1])))
    torch.testing.assert_close(loss, expected)


def test_a_row_without_votes_is_not_annotated() -> None:
    logits, target = torch.randn(3, C), mixtures((3,))
    empty = target.clone()
    empty[1] = 0
    kept = torch.tensor([True, False, True])
    objective = CrossEntropy("task")
    torch.testing.assert_close(
        loss_of(objective, logits, batch_of(empty)),
        loss_of(objective, logits, batch_of(target, kept)),
    )
    assert objective.weight(batch_of(empty)) == 2


def test_wrong_weights_and_smoothing_are_refused() -> None:
    logits, short = torch.randn(2, C), WEIGHTS[:3]
    with pytest.raises(ConfigError, match="4 outputs"):
        loss_of(CrossEntropy("task", 0.0, short), logits, batch_of(indices((2,))))
    with pytest.raises(ConfigError, match="4 outputs"):
        loss_of(BinaryCrossEntropy("task", short), logits, batch_of(presences((2,))))
    with pytest.raises(ConfigError, match="label smoothing"):
        CrossEntropy("task", 1.5)


# Binary cross-entropy and squared error


def test_binary_cross_entropy_equals_scikit_learn() -> None:
    logits, target = torch.randn(5, 3, C).double(), presences((5, 3))
    mask = torch.rand(5, 3, C) < 0.6
    loss = loss_of(BinaryCrossEntropy("task"), logits, batch_of(target, mask))
    expected = log_loss(target[mask].numpy(), logits[mask].sigmoid().numpy(), labels=[0, 1])
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_presence_weight_multiplies_present_labels_only() -> None:
    logits, target = torch.randn(5, C), presences((5,))
    plain = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    expected = (plain * torch.where(target > 0, WEIGHTS, 1.0)).mean()
    loss = loss_of(BinaryCrossEntropy("task", WEIGHTS), logits, batch_of(target))
    torch.testing.assert_close(loss, expected)
    assert BinaryCrossEntropy("task", WEIGHTS).weight(batch_of(target)) == 5 * C


def test_squared_error_equals_scikit_learn() -> None:
    predicted, target = torch.randn(5, 3, C).double(), values((5, 3)).double()
    mask = torch.rand(5, 3, C) < 0.6
    loss = loss_of(MeanSquaredError("task"), predicted, batch_of(target, mask))
    assert loss.item() == pytest.approx(mean_squared_error(target[mask], predicted[mask]))


# Concordance


def closed_form(x: np.ndarray, y: np.ndarray, ddof: int = 0) -> float:
    covariance = np.cov(x, y, ddof=ddof)
    apart = covariance[0, 0] + covariance[1, 1] + (x.mean() - y.mean()) ** 2
    return float(2 * covariance[0, 1] / apart)


@pytest.mark.parametrize("unbiased", [False, True])
def test_concordance_equals_the_closed_form_over_all_valid_frames(unbiased: bool) -> None:
    torch.manual_seed(1)
    predicted = torch.randn(3, 7, 2).double()
    target = 0.5 * predicted + torch.randn(3, 7, 2) + 0.3
    mask = torch.rand(3, 7, 2) < 0.7
    expected = [
        closed_form(
            predicted[..., i][mask[..., i]].numpy(),
            target[..., i][mask[..., i]].numpy(),
            ddof=int(unbiased),
        )
        for i in range(2)
    ]
    found = ccc(predicted, target, mask, unbiased=unbiased)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    loss = loss_of(ConcordanceLoss("task", unbiased=unbiased), predicted, batch_of(target, mask))
    assert loss.item() == pytest.approx(1 - np.mean(expected), rel=1e-6)


def test_concordance_of_equal_opposite_and_constant_values() -> None:
    x = torch.randn(50, 1)
    x = x - x.mean()
    assert ccc(x, x).item() == pytest.approx(1, abs=1e-5)
    assert ccc(x, -x).item() == pytest.approx(-1, abs=1e-5)
    constant = torch.full((50, 1), 0.3)
    assert ccc(constant, x).item() == pytest.approx(0, abs=1e-6)
    assert ccc(constant, constant).item() == 0


def test_concordance_has_the_right_gradient() -> None:
    target = torch.randn(6, 2).double()
    predicted = torch.randn(6, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: ccc(p, target), predicted)


def test_concordance_survives_constant_sides() -> None:
    for predicted, target in [
        (torch.zeros(4, 2), torch.randn(4, 2)),
        (torch.randn(4, 2), torch.ones(4, 2)),
    ]:
        leaf = predicted.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(
            loss_of(ConcordanceLoss("task"), leaf, batch_of(target)), leaf
        )
        assert gradient.isfinite().all()


def test_a_dimension_with_one_value_is_left_out() -> None:
    predicted, target = torch.randn(5, 2), torch.randn(5, 2)
    mask = torch.ones(5, 2, dtype=torch.bool)
    mask[1:, 0] = False
    loss = loss_of(ConcordanceLoss("task"), predicted, batch_of(target, mask))
    torch.testing.assert_close(loss, 1 - ccc(predicted, target)[1])
    single = loss_of(ConcordanceLoss("task"), predicted[:1], batch_of(target[:1]))
    assert single == 0


def test_concordance_does_not_add_over_parts() -> None:
    torch.manual_seed(2)
    predicted, target = torch.randn(2, 8, 1), torch.randn(2, 8, 1)
    predicted[0] += 3
    whole = loss_of(ConcordanceLoss("task"), predicted, batch_of(target))
    parts = [loss_of(ConcordanceLoss("task"), predicted[i], batch_of(target[i])) for i in range(2)]
    assert abs(whole - torch.stack(parts).mean()) > 0.01
