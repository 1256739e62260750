"""Fusions a frame: formulas by hand, who looks at whom, and what is not there."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mien.parts.framefusion import ChannelAttention, CrossedTokens, LeaderFollower

DIMS = {"visual": 8, "audio": 6, "text": 5}
TWO = {"visual": 8, "audio": 6}


def _made(kind: str, **more: Any) -> Any:
    torch.manual_seed(0)
    if kind == "lfan":
        return LeaderFollower(DIMS, 4, 2, 0.1).eval()
    if kind == "can":
        return ChannelAttention(DIMS, 4).eval()
    return CrossedTokens(more.pop("dims", TWO), 8, 2, 16, joint=kind == "jmt", **more).eval()


def _inputs(module: Any, batch: int = 2, length: int = 5) -> tuple[dict[str, Tensor], ...]:
    torch.manual_seed(1)
    dims = {name: DIMS[name] for name in module.names}
    tokens = {name: torch.randn(batch, length, width) for name, width in dims.items()}
    return tokens, {name: torch.ones(batch, length, dtype=torch.bool) for name in dims}


def _fused(module: Any, tokens: dict[str, Tensor], there: dict[str, Tensor]) -> Tensor:
    inside = torch.stack([*there.values()]).any(0)
    found: Tensor = module(tokens, there, inside)
    return found


# -- formulas --------------------------------------------------------------------------------------


def test_the_follower_is_attention_over_modalities_plus_their_values() -> None:
    """Softmax(Q K' / sqrt(d)) V + V at each frame and head; heads outside, modalities inside."""
    module = _made("lfan")
    tokens, there = _inputs(module)
    expected = torch.empty(2, 5, 8 + 12)
    for b in range(2):
        for t in range(5):
            parts = [module.looks[m](tokens[m][b, t]).chunk(3) for m in DIMS]
            heads = []
            for h in range(2):
                q, k, v = (torch.stack([p[i][2 * h : 2 * h + 2] for p in parts]) for i in range(3))
                heads.append((q @ k.T / math.sqrt(2)).softmax(1) @ v + v)  # (M, 2)
            follower = module.norm(module.output(torch.stack(heads).flatten()))
            expected[b, t] = torch.cat([tokens["visual"][b, t], follower])
    torch.testing.assert_close(_fused(module, tokens, there), expected, atol=1e-5, rtol=1e-5)


def test_channels_are_weighed_by_a_softmax_over_all_of_them() -> None:
    module = _made("can")
    tokens, there = _inputs(module)
    side = torch.cat([module.project[m](tokens[m]) for m in DIMS], 2)
    expected = module.weigh(side).softmax(2) * side
    torch.testing.assert_close(_fused(module, tokens, there), expected)


def _mha(look: Any) -> nn.MultiheadAttention:
    """The same from torch's own attention."""
    theirs = nn.MultiheadAttention(8, 2).eval()
    weights = [look.query.weight, look.key_value.weight]
    theirs.in_proj_weight.data = torch.cat(weights)
    theirs.in_proj_bias.data = torch.cat([look.query.bias, look.key_value.bias])
    theirs.out_proj.load_state_dict(look.output.state_dict())
    return theirs


def _encoded(block: Any, x: Tensor) -> Tensor:
    """The published layer, over sequences that come first (L, B, E), from torch's parts."""
    theirs = nn.MultiheadAttention(8, 2).eval()
    theirs.in_proj_weight.data = block.qkv.weight
    theirs.in_proj_bias.data = block.qkv.bias
    theirs.out_proj.load_state_dict(block.output.state_dict())
    x = block.norm1(x + theirs(x, x, x)[0])
    done: Tensor = block.norm2(x + block.mlp(x))
    return done


@pytest.mark.parametrize("kind", ["jmt", "mt"])
@pytest.mark.parametrize("literal", [False, True])
def test_crossed_tokens_are_those_of_torchs_own_attention(kind: str, literal: bool) -> None:
    """The literal form is the published one: the tokens (L * B, P, E) with sequences first."""
    module = _made(kind, literal=literal)
    tokens, there = _inputs(module)
    visual, audio = tokens["visual"], module.widen["audio"](tokens["audio"])
    streams = {"visual": visual, "audio": audio}
    if kind == "jmt":
        streams["joint"] = module.join(torch.cat([visual, audio], 2))
    encoded = {n: _encoded(module.encoders[n], x.transpose(0, 1)) for n, x in streams.items()}
    crossed = [
        _mha(module.crossed[f"{a}-{b}"])(encoded[a], encoded[b], encoded[b])[0]
        for a, b in module.pairs
    ]
    stack = torch.stack(crossed, 2).flatten(0, 1)  # (L * B, P, E)
    if not literal:
        stack = stack.transpose(0, 1)  # tokens first: a frame's tokens look at each other
    final = _encoded(module.between, stack)
    final = _mha(module.last)(final, final, final)[0]
    last = (final[:, -1] if literal else final[-1]).unflatten(0, (5, 2)).transpose(0, 1)
    torch.testing.assert_close(_fused(module, tokens, there), last, atol=1e-5, rtol=1e-5)


def test_pairs_are_in_the_published_order() -> None:
    joint = ["visual-audio", "audio-visual", "joint-visual", "visual-joint", "joint-audio"]
    assert list(_made("jmt").crossed) == [*joint, "audio-joint"]
    assert list(_made("mt").crossed) == ["visual-audio", "audio-visual"]


# -- who looks at whom -----------------------------------------------------------------------------


def _mixed(literal: bool) -> tuple[Any, Tensor, Tensor, Tensor]:
    module = _made("jmt", literal=literal)
    torch.manual_seed(2)
    pairs = torch.randn(2, 5, 6, 8)
    return module, pairs, torch.ones(2, 5, 6, dtype=torch.bool), torch.ones(2, 5, dtype=torch.bool)


def test_the_six_tokens_of_a_frame_look_at_each_other_and_at_no_other_frame() -> None:
    """Their order is nothing to attention: permuted tokens give permuted answers."""
    module, pairs, there, inside = _mixed(literal=False)
    plain = module.mixed(pairs, there, inside)
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    permuted = module.mixed(pairs[:, :, order], there, inside)
    torch.testing.assert_close(permuted, plain[:, :, order], atol=1e-6, rtol=1e-5)
    frames = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(module.mixed(pairs[:, frames], there, inside), plain[:, frames])
    for token in range(6):  # each of the six reaches the last of its frame, and of no other
        changed = pairs.clone()
        changed[0, 2, token] += 1
        moved = (module.mixed(changed, there, inside) != plain)[:, :, -1].any(2)
        assert moved.nonzero().tolist() == [[0, 2]]


def test_literally_each_token_looks_at_itself_at_all_frames_of_all_clips() -> None:
    module, pairs, there, inside = _mixed(literal=True)
    plain = module.mixed(pairs, there, inside)
    for token in range(6):
        changed = pairs.clone()
        changed[0, 2, token] += 1
        moved = (module.mixed(changed, there, inside) - plain).abs().amax(3) > 1e-6  # (B, L, P)
        assert bool(moved[..., token].all()), "every frame of both clips"
        assert int(moved.sum()) == 10, "and no other token: five of six are lost"
    last = module.mixed(pairs[:, :, [4, 3, 2, 1, 0, 5]], there, inside)[:, :, -1]
    torch.testing.assert_close(last, plain[:, :, -1])


@pytest.mark.parametrize("kind", ["lfan", "can", "jmt", "mt"])
def test_another_clip_of_the_batch_changes_nothing(kind: str) -> None:
    module = _made(kind)
    tokens, there = _inputs(module)
    plain = _fused(module, tokens, there)
    tokens["visual"][1] += 1
    changed = _fused(module, tokens, there)
    assert torch.equal(changed[0], plain[0])
    assert not torch.allclose(changed[1], plain[1])


def test_literally_another_clip_changes_everything_and_one_alone_only_sees_itself() -> None:
    module = _made("jmt", literal=True)
    tokens, there = _inputs(module)
    plain = _fused(module, tokens, there)
    tokens["visual"][1] += 1
    assert not torch.allclose(_fused(module, tokens, there)[0], plain[0], atol=1e-4)
    one = {m: x[:1] for m, x in tokens.items()}
    alone = {m: x[:1] for m, x in there.items()}
    first = _fused(module, one, alone)
    again = _fused(module, {m: x.clone() for m, x in one.items()}, alone)
    assert torch.equal(first, again)
    one["audio"][0, 4] += 1
    moved = (_fused(module, one, alone) - first).abs().amax(2)[0] > 1e-6
    assert bool(moved.all()), "at batch 1 a frame looks at all frames of its clip"


# -- what is not there -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lfan", "can", "jmt", "mt"])
@pytest.mark.parametrize("absent", ["visual", "audio"])
def test_what_is_absent_is_never_looked_at(kind: str, absent: str) -> None:
    module = _made(kind)
    tokens, there = _inputs(module)
    there[absent][0] = False
    plain = _fused(module, tokens, there)
    tokens[absent][0] = 7
    changed = _fused(module, tokens, there)
    assert torch.equal(changed, plain)
    assert bool(plain.isfinite().all())
    there[absent][0] = True
    assert not torch.allclose(_fused(module, tokens, there)[0], plain[0])


@pytest.mark.parametrize("kind", ["lfan", "can", "jmt", "mt"])
def test_gradients_are_finite_where_nothing_is_there(kind: str) -> None:
    module = _made(kind)
    tokens, there = _inputs(module)
    for mask in there.values():
        mask[0] = False
    inside = torch.ones(2, 5, dtype=torch.bool)
    module(tokens, there, inside).square().sum().backward()
    found = [p.grad for p in module.parameters() if p.grad is not None]
    assert found
    assert all(bool(grad.isfinite().all()) for grad in found)


@pytest.mark.parametrize("kind", ["jmt", "mt"])
def test_one_modality_alone_has_tokens_of_its_own(kind: str) -> None:
    module = _made(kind, dims={"audio": 6})
    names = ["joint-audio", "audio-joint"] if kind == "jmt" else ["audio-audio"]
    assert list(module.crossed) == names
    tokens, there = _inputs(module)
    found = _fused(module, tokens, there)
    tokens["audio"][0] += 1
    assert not torch.allclose(_fused(module, tokens, there)[0], found[0])
