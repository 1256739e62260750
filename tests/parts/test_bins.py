"""Scores as means over classes: targets whose mean is the score, and the loss by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import ConfigError
from mien.parts.bins import SoftScore, expected, soft_targets
from mien.types import Batch, Output

SEVEN = torch.arange(-3.0, 4.0)


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_the_mean_of_the_targets_is_the_score(values: list[float]) -> None:
    for centres in (SEVEN, torch.tensor([-3.0, 0.0, 3.0]), torch.tensor([-3.0, -2.5, 3.0])):
        shares = soft_targets(torch.tensor(values, dtype=torch.float64), centres)
        assert (shares >= 0).all()
        assert ((shares > 0).sum(1) <= 2).all()
        torch.testing.assert_close(shares.sum(1), torch.ones(len(values), dtype=torch.float64))
        mean = shares @ centres.double()
        torch.testing.assert_close(
            mean, torch.tensor(values, dtype=torch.float64), atol=1e-12, rtol=0
        )


def test_a_score_on_a_centre_is_that_class_alone() -> None:
    assert torch.equal(soft_targets(SEVEN, SEVEN), torch.eye(7))
    assert torch.equal(soft_targets(torch.tensor([-9.0, 9.0]), SEVEN), torch.eye(7)[[0, 6]])


def test_centres_that_do_not_ascend_are_refused() -> None:
    for centres in ([1.0], [1.0, 1.0], [2.0, 1.0]):
        with pytest.raises(ConfigError, match="ascend"):
            soft_targets(torch.zeros(1), torch.tensor(centres))


def test_a_mean_never_leaves_its_classes() -> None:
    said = expected(100 * torch.randn(50, 7), SEVEN)
    assert said.abs().max() <= 3
    sure = torch.full((1, 7), -1e4)
    sure[0, 5] = 1e4
    assert expected(sure, SEVEN).tolist() == [2.0]


def _batch(*values: float) -> Batch:
    return Batch(
        inputs={},
        mask={},
        present=torch.ones(len(values), 0, dtype=torch.bool),
        targets={"s": torch.tensor(values)[:, None]},
    )


def test_the_loss_is_both_parts_over_what_is_annotated() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 7)
    value = torch.randn(4, 1)
    truth = np.array([0.25, -3.0, 1.0])
    output = Output(logits={"s": value}, aux={"classes": logits})
    terms = SoftScore("s", SEVEN, "classes", 2.0, 0.5)(output, _batch(*truth, math.nan))
    log_p = logits[:3].double().log_softmax(-1).numpy()
    crossed = -np.mean([0.75 * log_p[0, 3] + 0.25 * log_p[0, 4], log_p[1, 0], log_p[2, 4]])
    apart = np.abs(value[:3, 0].numpy() - truth).mean()
    assert float(terms["cross_entropy"]) == pytest.approx(crossed, rel=1e-5)
    assert float(terms["absolute_error"]) == pytest.approx(apart, rel=1e-5)
    assert float(terms["loss"]) == pytest.approx(2 * crossed + 0.5 * apart, rel=1e-5)


def test_parts_of_a_batch_weighted_are_the_whole() -> None:
    torch.manual_seed(1)
    logits = torch.randn(5, 7)
    values = [0.2, math.nan, -1.5, 3.0, 0.0]
    loss = SoftScore("s", SEVEN, "classes", value=False)

    def part(rows: slice) -> tuple[float, float]:
        output = Output(aux={"classes": logits[rows]})
        batch = _batch(*values[rows])
        return float(loss(output, batch)["loss"]), float(loss.weight(batch))

    whole, weight = part(slice(0, 5))
    pieces = [part(slice(0, 2)), part(slice(2, 5))]
    assert weight == 4
    assert sum(a * b for a, b in pieces) / 4 == pytest.approx(whole, rel=1e-6)
