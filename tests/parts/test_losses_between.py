"""Losses between features, and sums of losses, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mien.errors import ConfigError
from mien.parts.losses import (
    Combined,
    ConcordanceLoss,
    Contrast,
    CrossEntropy,
    MeanSquaredError,
)
from mien.types import Batch, Objective, Output

C = 4


@pytest.fixture(autouse=True)
def same_draws() -> None:
    torch.manual_seed(0)


def batch_of(size: int, **targets: Tensor) -> Batch:
    present = torch.ones(size, 1, dtype=torch.bool)
    return Batch(inputs={}, mask={}, present=present, targets=targets)


def contrast(left: Tensor, right: Tensor, temperature: str | float, **aux: Tensor) -> Tensor:
    output = Output(features={"face": left, "voice": right}, aux=aux)
    return Contrast("face", "voice", temperature)(output, batch_of(len(left)))["loss"]


def test_contrast_equals_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 8)), rng.normal(size=(5, 8))
    unit_a, unit_b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    similarity = np.exp(unit_a @ unit_b.T / 0.07)
    own = np.diag(similarity)
    expected = -(np.log(own / similarity.sum(1)) + np.log(own / similarity.sum(0))).mean() / 2
    found = contrast(torch.from_numpy(a), torch.from_numpy(b), 0.07)
    assert found.item() == pytest.approx(expected)


def test_contrast_of_alike_rows_is_the_logarithm_of_their_number() -> None:
    same = torch.ones(6, 3)
    assert contrast(same, same, 0.1).item() == pytest.approx(math.log(6), rel=1e-6)


def test_contrast_does_not_depend_on_the_order_of_clips() -> None:
    left, right, order = torch.randn(6, 4), torch.randn(6, 4), torch.randperm(6)
    torch.testing.assert_close(contrast(left, right, 0.1), contrast(left[order], right[order], 0.1))


def test_rows_that_say_the_same_share_their_partners() -> None:
    left, right, said = torch.randn(5, 4), torch.randn(5, 4), torch.randn(5, 3)
    keep = torch.tensor([True, True, False, True, True])
    output = Output(
        features={"face": left, "voice": right}, aux={"said": said, "face_present": keep}
    )
    found = Contrast("face", "voice", 0.1, alike=("said", 0.5))(output, batch_of(5))["loss"]
    unit = [(x[keep] / x[keep].norm(dim=1, keepdim=True)).numpy() for x in (left, right, said)]
    scores, shares = unit[0] @ unit[1].T / 0.1, np.exp(unit[2] @ unit[2].T / 0.5)
    shares /= shares.sum(1, keepdims=True)
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    back = scores.T - np.log(np.exp(scores.T).sum(1, keepdims=True))
    expected = -(shares * (log_p + back)).sum(1).mean() / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_partners_of_texts_that_differ_are_one_each() -> None:
    left, right = torch.randn(3, 4), torch.randn(3, 4)
    output = Output(features={"face": left, "voice": right}, aux={"said": torch.eye(3)})
    soft = Contrast("face", "voice", 0.1, alike=("said", 0.01))(output, batch_of(3))["loss"]
    torch.testing.assert_close(soft, contrast(left, right, 0.1))


def test_a_learned_scale_is_a_bounded_logarithm_with_a_gradient() -> None:
    left, right = torch.randn(6, 4), torch.randn(6, 4)
    scale = torch.tensor(math.log(1 / 0.07), requires_grad=True)
    loss = contrast(left, right, "scale", scale=scale)
    torch.testing.assert_close(loss, contrast(left, right, 0.07))
    (gradient,) = torch.autograd.grad(loss, scale)
    assert gradient != 0
    torch.testing.assert_close(
        contrast(left, right, "scale", scale=torch.tensor(50.0)), contrast(left, right, 0.01)
    )


def test_absent_rows_are_no_negatives() -> None:
    left, right = torch.randn(5, 4, requires_grad=True), torch.randn(5, 4)
    masks = {
        "face_present": torch.tensor([True, True, False, True, True]),
        "voice_present": torch.tensor([True, True, True, True, False]),
    }
    loss = contrast(left, right, 0.1, **masks)
    kept = [0, 1, 3]
    torch.testing.assert_close(loss, contrast(left[kept], right[kept], 0.1))
    (gradient,) = torch.autograd.grad(loss, left)
    assert torch.all(gradient[[2, 4]] == 0)


def test_contrast_without_pairs_is_zero_with_a_graph() -> None:
    left, right = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    scale = torch.tensor(1.0, requires_grad=True)
    nobody = torch.zeros(3, dtype=torch.bool)
    loss = contrast(left, right, "scale", scale=scale, face_present=nobody)
    gradients = torch.autograd.grad(loss, [left, scale])
    assert loss == 0
    assert all(torch.all(gradient == 0) for gradient in gradients)


def test_contrast_is_computed_in_full_precision_under_autocast() -> None:
    left, right = torch.randn(6, 64), torch.randn(6, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = contrast(left, right, 0.05)
    assert torch.equal(inside, contrast(left, right, 0.05))


def test_contrast_declares_itself_and_refuses_misfits() -> None:
    objective = Contrast("face", "voice", 0.1)
    assert isinstance(objective, Objective)
    assert not objective.additive
    assert objective.weight(batch_of(7)) == 7
    with pytest.raises(ConfigError, match="one width"):
        contrast(torch.randn(2, 3), torch.randn(2, 4), 0.1)
    with pytest.raises(ConfigError, match="above 0"):
        Contrast("face", "voice", 0.0)
    with pytest.raises(ConfigError, match="did you mean 'voice'"):
        Contrast("voise", "voice", 0.1)(Output(features={"voice": torch.randn(2, 3)}), batch_of(2))


def test_combined_is_the_weighted_sum_with_named_terms() -> None:
    batch = batch_of(4, task=torch.randn(4, C), kind=torch.randint(0, C, (4,)))
    output = Output(logits={"task": torch.randn(4, C), "kind": torch.randn(4, C)})
    squared, cross, concordance = (
        MeanSquaredError("task"),
        CrossEntropy("kind"),
        ConcordanceLoss("task"),
    )
    inner = Combined([("a", 0.5, squared), ("b", 2.0, cross)])
    outer = Combined([("in", 3.0, inner), ("c", 1.0, concordance)])
    terms = outer(output, batch)
    mse, ce, con = (part(output, batch)["loss"] for part in (squared, cross, concordance))
    torch.testing.assert_close(terms["loss"], 1.5 * mse + 6 * ce + con)
    assert set(terms) == {"loss", "in/a/loss", "in/b/loss", "c/loss"}
    assert torch.equal(terms["in/b/loss"], ce)
    assert [(name, factor) for name, factor, _ in outer.parts] == [
        ("in/a", 1.5),
        ("in/b", 6.0),
        ("c", 1.0),
    ]
    assert inner.additive
    assert not outer.additive
    assert isinstance(outer, Objective)


def test_only_a_single_part_has_a_weight() -> None:
    batch = batch_of(4, task=torch.randn(4, C))
    squared = MeanSquaredError("task")
    assert Combined([("a", 0.5, squared)]).weight(batch) == 4 * C
    with pytest.raises(ConfigError, match="no single weight"):
        Combined([("a", 1.0, squared), ("b", 1.0, squared)]).weight(batch)


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_parts_need_names_of_their_own(names: list[str]) -> None:
    with pytest.raises(ConfigError, match="a name of its own"):
        Combined([(name, 1.0, MeanSquaredError("task")) for name in names])


def test_local_negatives_add_up_over_parts_of_a_batch() -> None:
    left, right = torch.randn(2, 6, 4).unbind(0)
    local = Contrast("face", "voice", 0.1, local=True)
    assert local.additive
    assert not Contrast("face", "voice", 0.1).additive
    parts = [contrast(left[i : i + 3], right[i : i + 3], 0.1) for i in (0, 3)]
    assert float(local.weight(batch_of(3))) == 3
    whole = contrast(left, right, 0.1)
    assert torch.stack(parts).mean() < whole  # fewer to be mistaken for
