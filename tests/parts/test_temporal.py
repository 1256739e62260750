"""Tokens over time to one vector."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mien.errors import ConfigError
from mien.parts.temporal import ClassTokenTransformer, MeanPool


def _small() -> ClassTokenTransformer:
    torch.manual_seed(0)
    return ClassTokenTransformer(12, heads=2, head_dim=8, mlp=20, positions=9).eval()


@pytest.mark.parametrize(("dim", "expected"), [(768, 3_165_184), (1024, 4_219_904)])
def test_it_is_as_large_as_the_published_one(dim: int, expected: int) -> None:
    with torch.device("meta"):
        module = ClassTokenTransformer(dim)
    assert sum(p.numel() for p in module.parameters()) == expected


def test_it_computes_what_the_specification_says() -> None:
    module = _small()
    tokens = torch.randn(3, 5, 12)
    state = {name.removeprefix("blocks.0."): p for name, p in module.named_parameters()}

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (12,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)

    x = torch.cat([state["class_token"].expand(3, 1, 12), tokens], 1) + state["positions"][:, :6]
    query, key, value = torch.split(norm(x, "norm1") @ state["qkv.weight"].T, 16, -1)
    heads = []
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(8)
        heads.append(scores.softmax(-1) @ value[..., part])
    x = x + torch.cat(heads, -1) @ state["output.weight"].T + state["output.bias"]
    hidden = norm(x, "norm2") @ state["mlp.0.weight"].T + state["mlp.0.bias"]
    cubic = hidden + 0.044715 * hidden**3
    hidden = 0.5 * hidden * (1 + torch.tanh(math.sqrt(2 / math.pi) * cubic))
    x = x + hidden @ state["mlp.3.weight"].T + state["mlp.3.bias"]
    torch.testing.assert_close(module(tokens), x[:, 0], rtol=1e-4, atol=1e-5)


def test_class_token_and_positions_have_unit_variance_and_no_decay() -> None:
    torch.manual_seed(0)
    module = ClassTokenTransformer(768)
    assert module.class_token.std().item() == pytest.approx(1, abs=0.1)
    assert module.positions.std().item() == pytest.approx(1, abs=0.02)
    names = dict(module.named_parameters())
    assert module.undecayed() == {name for name in names if "." not in name}


@pytest.mark.parametrize("module", [_small(), MeanPool()], ids=["transformer", "mean"])
@given(there=st.lists(st.booleans(), min_size=1, max_size=6), more=st.integers(0, 2))
@settings(max_examples=25, deadline=None)
def test_padding_and_gaps_change_nothing(
    module: torch.nn.Module, there: list[bool], more: int
) -> None:
    torch.manual_seed(len(there))
    tokens = torch.randn(1, len(there), 12)
    mask = torch.tensor([there])
    plain = module(tokens, mask)
    spoilt = tokens.masked_fill(~mask[..., None], float("nan"))
    spoilt = F.pad(spoilt, (0, 0, 0, more), value=float("nan"))
    padded = module(spoilt, F.pad(mask, (0, more)))
    torch.testing.assert_close(plain, padded)
    assert plain.isfinite().all()


def test_no_mask_means_that_all_is_there() -> None:
    tokens = torch.randn(2, 4, 12)
    everything = torch.ones(2, 4, dtype=torch.bool)
    for module in (_small(), MeanPool()):
        torch.testing.assert_close(module(tokens), module(tokens, everything))


def test_the_order_of_frames_matters_to_the_transformer_only() -> None:
    tokens = torch.randn(1, 4, 12)
    module = _small()
    assert not torch.allclose(module(tokens), module(tokens.flip(1)))
    torch.testing.assert_close(MeanPool()(tokens), MeanPool()(tokens.flip(1)))


def test_nothing_there_is_zero_for_the_mean() -> None:
    assert MeanPool()(torch.randn(1, 3, 4), torch.zeros(1, 3, dtype=torch.bool)).abs().sum() == 0


def test_more_steps_than_positions_is_an_error_that_says_what_to_set() -> None:
    module = _small()
    module(torch.randn(1, 8, 12))
    with pytest.raises(ConfigError, match="9 time steps are more than the 8") as error:
        module(torch.randn(1, 9, 12))
    assert "model.frames=9" in str(error.value)
