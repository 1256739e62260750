"""The loss of extractors: its printed value, and the signs of its gradients in both forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mien.errors import ConfigError
from mien.parts.triplets import (
    EPSILON,
    TripletLoss,
    adaptive_margin,
    covariance,
    triplets,
    variance,
)
from mien.types import Batch, Output


def _distances(ap: float, an: float, pn: float) -> list[Tensor]:
    return [torch.tensor([d], dtype=torch.float64, requires_grad=True) for d in (ap, an, pn)]


def _gradients(ap: float, an: float, pn: float, *, literal: bool) -> list[float]:
    given = _distances(ap, an, pn)
    adaptive_margin(*given, literal=literal).sum().backward()  # type: ignore[no-untyped-call]
    return [float(d.grad) for d in given if d.grad is not None]


def test_the_printed_value_is_that_of_the_formula() -> None:
    wanted = 0.2 - 0.75 + 1 + 2 * math.exp(-0.8) + 1 + 2 * math.exp(-0.8)
    given = _distances(0.2, 0.8, 0.7)
    for literal in (True, False):
        assert adaptive_margin(*given, literal=literal).item() == pytest.approx(wanted)


@pytest.mark.parametrize("ap", [0.01, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("an", [0.05, 0.3, 0.6, 1.0])
def test_the_repaired_form_pulls_positives_closer_and_pushes_negatives_away(
    ap: float, an: float
) -> None:
    positive, negative, other = _gradients(ap, an, 0.5, literal=False)
    assert positive > 0
    assert negative < 0
    assert other < 0


def test_the_printed_form_does_the_opposite_where_it_matters() -> None:
    """Close positives are pushed apart, far negatives pulled in: why it is repaired."""
    assert _gradients(0.2, 0.8, 0.7, literal=True)[0] == pytest.approx(1 - 8 * math.exp(-0.8))
    assert _gradients(0.2, 0.8, 0.7, literal=True)[0] < 0
    assert _gradients(0.2, 0.8, 0.7, literal=True)[1] == pytest.approx(-0.5 + 8 * math.exp(-0.8))
    assert _gradients(0.2, 0.8, 0.7, literal=True)[1] > 0


def test_covariance_and_variance_are_those_of_numpy() -> None:
    z = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.5
    found = np.cov(z.numpy().T)
    apart = found - np.diag(np.diag(found))
    assert float(covariance(z)) == pytest.approx((apart**2).sum() / 4)
    assert float(covariance(z, literal=True)) == pytest.approx(apart.sum() / 4)
    short = 1 - np.sqrt(np.diag(found) + EPSILON)
    assert float(variance(z)) == pytest.approx(short.clip(0).mean())
    wide = float(variance(10 * z, literal=True))
    assert wide < 0, "the printed one falls for ever"
    assert float(variance(10 * z)) == 0


def test_negatives_lie_behind_the_positive_or_as_far_as_there_are() -> None:
    labels = torch.tensor([0, 0, 1, 1, -1])
    place = torch.tensor([0.0, 1.0, 0.5, 3.0, 9.0])
    apart = (place[:, None] - place).abs()
    found = {(a, p): n for a, p, n in triplets(labels, apart).tolist()}
    assert found == {(0, 1): 3, (1, 0): 3, (2, 3): 0, (3, 2): 0}
    assert not len(triplets(torch.tensor([1, 1, -1]), apart[:3, :3])), "one class alone"


def _batch(labels: list[int]) -> Batch:
    target = torch.tensor(labels)
    return Batch(
        inputs={}, mask={}, present=torch.ones(len(labels), 1).bool(),
        targets={"e": target}, target_mask={"e": target >= 0},
    )  # fmt: skip


def test_descending_the_repaired_loss_brings_classes_together() -> None:
    torch.manual_seed(0)
    labels = [0, 1] * 8
    z = torch.nn.Parameter(torch.randn(16, 6))
    loss, steps = TripletLoss("z", "e"), torch.optim.SGD([z], lr=0.05)
    same = torch.tensor([[a == b for a in labels] for b in labels])

    def contrast() -> float:
        unit = torch.nn.functional.normalize(z.detach(), dim=1)
        apart = torch.cdist(unit, unit)
        return float(apart[~same].mean() - apart[same].sum() / (same.sum() - 16))

    before = contrast()
    for _ in range(60):
        steps.zero_grad()
        terms = loss(Output(features={"z": z}), _batch(labels))
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        steps.step()
    assert contrast() > before + 0.3
    assert set(terms) == {"loss", "triplet", "covariance", "variance"}
    weighted = 20 * terms["triplet"] + 5 * terms["covariance"] + terms["variance"]
    torch.testing.assert_close(terms["loss"].detach(), weighted)


def test_what_is_not_there_makes_no_triplet() -> None:
    z = torch.randn(4, 3, requires_grad=True)
    there: dict[str, Any] = {"z_present": torch.tensor([True, True, True, False])}
    terms = TripletLoss("z", "e")(Output(features={"z": z}, aux=there), _batch([0, 0, 1, 1]))
    terms["loss"].backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert not z.grad[3].any()
    assert z.grad[:3].abs().sum() > 0
    alone = TripletLoss("z", "e")(Output(features={"z": z}), _batch([0, 0, -1, -1]))
    assert float(alone["loss"].detach()) == 0
    assert alone["loss"].requires_grad
    with pytest.raises(ConfigError, match="triplets need"):
        TripletLoss("y", "e")(Output(features={"z": z}), _batch([0, 0, 1, 1]))
