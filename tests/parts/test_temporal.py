"""Tokens over time to one vector."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts.temporal import ClassTokenTransformer, FrameTransformer, MeanPool


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


# -- one token out for each in ---------------------------------------------------------------------


def _frames(reach: int | None = None) -> FrameTransformer:
    torch.manual_seed(0)
    return FrameTransformer(12, depth=3, heads=2, mlp=20, dropout=0.0, reach=reach).eval()


def test_blocks_over_frames_equal_torchs_own() -> None:
    ours = _frames()
    layer = nn.TransformerEncoderLayer(12, 2, 20, 0.0, batch_first=True)
    theirs = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).train()
    names = {
        "self_attn.in_proj_": "qkv.",
        "self_attn.out_proj": "output",
        "linear1": "mlp.0",
        "linear2": "mlp.3",
        "layers": "blocks",
    }

    def renamed(name: str) -> str:
        for theirs_, ours_ in names.items():
            name = name.replace(theirs_, ours_)
        return name

    given = {renamed(name): p for name, p in theirs.named_parameters()}
    assert given.keys() == ours.state_dict().keys()
    theirs.load_state_dict({n: ours.state_dict()[renamed(n)] for n in theirs.state_dict()})
    tokens, mask = torch.randn(3, 9, 12), torch.ones(3, 9, dtype=torch.bool)
    mask[1, 6:] = mask[2, 1:] = False
    expected = theirs(tokens, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours(tokens, mask)[0], expected, atol=1e-5, rtol=0)


def test_where_a_token_stands_does_not_matter_without_positions() -> None:
    tokens, order = torch.randn(2, 7, 12), torch.randperm(7)
    moved = _frames()(tokens[:, order])[0]
    torch.testing.assert_close(moved, _frames()(tokens)[0][:, order], atol=1e-5, rtol=0)


@pytest.mark.parametrize("sizes", [[1] * 20, [5, 1, 9, 5], [20]])
def test_one_that_looks_back_gives_the_same_piece_by_piece(sizes: list[int]) -> None:
    module, tokens = _frames(reach=6), torch.randn(2, 20, 12)
    whole, _ = module(tokens)
    parts, past = list[Tensor](), list[tuple[Tensor, Tensor]]()
    for piece in torch.split(tokens, sizes, 1):
        made, past = module(piece, past=past)
        parts.append(made)
        assert all(keys.shape[2] <= 5 for keys, _ in past), "what is kept is bounded"
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


def test_one_that_looks_back_never_sees_ahead_nor_beyond_its_reach() -> None:
    module, tokens = _frames(reach=3), torch.randn(1, 20, 12)
    changed = tokens.clone()
    changed[:, 10] += 1
    moved = (module(changed)[0] != module(tokens)[0]).any(2)[0]
    # Three blocks, each of which looks back over two further positions.
    assert moved.nonzero()[:, 0].tolist() == list(range(10, 10 + 1 + 3 * 2))


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ConfigError, match="heads"):
        FrameTransformer(10, depth=1, heads=4, mlp=8, dropout=0.0)
