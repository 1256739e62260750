"""Blocks against attention written out query by query, and what an absent context does."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts.blocks import Block, CrossAttention, CrossBlock, SelfAttention

DIM, HEADS = 12, 3


def by_hand(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of (B, L, D) to (B, K, D), one head and one query after the other."""
    made = torch.zeros_like(query)
    width = DIM // HEADS
    for clip in range(len(query)):
        for head in range(HEADS):
            own = slice(head * width, (head + 1) * width)
            for place, asked in enumerate(query[clip, :, own]):
                scores = (key[clip, :, own] * asked).sum(1) / math.sqrt(width)
                weights = scores.exp() / scores.exp().sum()
                made[clip, place, own] = (weights[:, None] * value[clip, :, own]).sum(0)
    return made


def norm(x: Tensor, layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.LayerNorm)
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / (variance + 1e-6).sqrt() * layer.weight + layer.bias


def linear(x: Tensor, layer: nn.Linear) -> Tensor:
    return x @ layer.weight.T + layer.bias


def self_attention(x: Tensor, layer: SelfAttention) -> Tensor:
    query, key, value = layer.qkv.weight.chunk(3)
    found = by_hand(x @ query.T + layer.query_bias, x @ key.T, x @ value.T + layer.value_bias)
    return linear(found, layer.output)


def cross_attention(x: Tensor, context: Tensor, layer: CrossAttention) -> Tensor:
    key, value = layer.key_value.weight.chunk(2)
    query = x @ layer.query.weight.T + layer.query_bias
    return linear(
        by_hand(query, context @ key.T, context @ value.T + layer.value_bias), layer.output
    )


def block(x: Tensor, layer: Block) -> Tensor:
    x = x + self_attention(norm(x, layer.norm1), layer.attention)
    hidden = linear(norm(x, layer.norm2), layer.mlp.fc1)
    return x + linear(0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2))), layer.mlp.fc2)


def stirred(module: nn.Module) -> nn.Module:
    """Every parameter matters, biases and norms too."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def test_a_block_is_its_formula() -> None:
    layer, x = Block(DIM, HEADS), torch.randn(2, 5, DIM)
    stirred(layer)
    torch.testing.assert_close(layer(x), block(x, layer))


def test_a_crossed_block_looks_at_its_context_first() -> None:
    layer, x, context = CrossBlock(DIM, HEADS), torch.randn(2, 5, DIM), torch.randn(2, 3, DIM)
    stirred(layer)
    seen = norm(x, layer.norm_query), norm(context, layer.norm_context)
    expected = block(x + cross_attention(*seen, layer.cross), layer)
    torch.testing.assert_close(layer(x, context), expected)
    torch.testing.assert_close(layer(x), block(x, layer))  # without one it is a plain block


def test_an_absent_context_changes_nothing_and_learns_nothing() -> None:
    layer, x = CrossBlock(DIM, HEADS), torch.randn(3, 5, DIM)
    stirred(layer)
    context = torch.randn(3, 4, DIM, requires_grad=True)
    there = torch.tensor([True, False, True])
    mixed = layer(x, context, there)
    torch.testing.assert_close(mixed[1], layer(x)[1])
    torch.testing.assert_close(mixed[::2], layer(x, context)[::2])
    mixed.square().sum().backward()
    assert context.grad is not None
    assert not context.grad[1].any()
    assert context.grad[0].any()


def test_keys_have_no_bias() -> None:
    counts = {name: p.numel() for name, p in CrossBlock(DIM, HEADS).named_parameters()}
    assert len(counts) == 23
    assert counts["attention.query_bias"] == counts["cross.value_bias"] == DIM
    assert not [name for name in counts if "key" in name and "bias" in name]


def test_whole_branches_are_left_out_in_training_only() -> None:
    layer, x = Block(DIM, HEADS, drop_path=0.9), torch.randn(4, 5, DIM)
    stirred(layer)
    assert torch.equal(layer(x), layer(x))
    torch.testing.assert_close(layer(x), block(x, layer))
    changed = [(layer.train()(x) != x).flatten(1).any(1) for _ in range(20)]
    share = torch.stack(changed).float().mean()
    assert 0 < share < 0.5  # 1 - 0.9 ** 2 of all clips


def test_heads_share_the_width_evenly() -> None:
    with pytest.raises(ConfigError, match="a width of 10 cannot be shared by 3"):
        Block(10, 3)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
def test_what_is_masked_of_a_context_is_not_looked_at(kind: torch.dtype) -> None:
    layer = CrossAttention(DIM, HEADS).to(kind)
    x, context = torch.randn(2, 3, DIM).to(kind), torch.randn(2, 5, DIM).to(kind)
    mask = torch.tensor([[True] * 5, [True, False, True, False, False]])
    filled = context.masked_fill(~mask[..., None], 1e4)
    found = layer(x, filled, mask)
    torch.testing.assert_close(found[1:], layer(x[1:], context[1:, [0, 2]]))
    torch.testing.assert_close(found[:1], layer(x[:1], context[:1]))
