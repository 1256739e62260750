"""The running mean of what training moves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mien.run.average import Average, moving


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    model[2].requires_grad_(False)
    return model


def test_what_moves_is_what_learns_and_every_buffer() -> None:
    assert moving(_model()).keys() == {
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    }


def test_the_mean_follows_its_formula_and_forgets_the_random_start() -> None:
    model = _model()
    average = Average(model, 0.6)
    expected = {name: tensor.clone() for name, tensor in average.kept.items()}
    assert "1.num_batches_tracked" not in expected
    for step in range(30):
        model.train()(torch.randn(4, 2))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        for name, tensor in moving(model).items():
            if name in expected:
                expected[name] = decay * expected[name] + (1 - decay) * tensor
    for name, tensor in average.kept.items():
        torch.testing.assert_close(tensor, expected[name])


def test_within_it_the_model_is_the_mean_and_afterwards_itself() -> None:
    model = _model()
    average = Average(model, 0.5)
    start = {name: tensor.clone() for name, tensor in average.kept.items()}
    with torch.no_grad():
        for tensor in moving(model).values():
            tensor.add_(1)
    own = {name: tensor.clone() for name, tensor in moving(model).items()}
    with average.applied():
        for name, tensor in start.items():
            assert torch.equal(moving(model)[name], tensor)
    with pytest.raises(ZeroDivisionError), average.applied():
        _ = 1 / 0  # scoring failed
    for name, tensor in moving(model).items():
        assert torch.equal(tensor, own[name])
    average.put()
    for name, tensor in moving(model).items():
        assert torch.equal(tensor, start.get(name, own["1.num_batches_tracked"]))


def test_turned_off_it_keeps_and_changes_nothing() -> None:
    model = _model()
    average = Average(model, None)
    before = {name: tensor.clone() for name, tensor in moving(model).items()}
    average.update(3)
    average.put()
    with average.applied():
        for name, tensor in moving(model).items():
            assert torch.equal(tensor, before[name])
    assert not average.kept
