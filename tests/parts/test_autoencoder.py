"""Encoders, fusion and decoders of masked autoencoders: order, skips, and who is absent."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts import masking
from mien.parts.autoencoder import (
    AudioVisualAutoencoder,
    CrossModalEncoder,
    LevelPool,
    PatchDecoder,
    PatchEncoder,
)
from mien.parts.patches import Patches, positions
from mien.parts.pretext import PatchTarget
from mien.types import Output

DIM, WIDTH, LEVELS = 8, 6, (1, 3)
SIDES = {"video": (2, 4, 4), "audio": (4, 4)}
SHAPES = {"video": (3, 4, 8, 8), "audio": (1, 8, 8)}  # 2 x 2 x 2 and 2 x 2 patches


def encoder(name: str = "video") -> PatchEncoder:
    patches = Patches(SHAPES[name][0], SIDES[name], DIM)
    return PatchEncoder(patches, dim=DIM, depth=3, heads=2)


def stirred(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


def inputs(name: str, clips: int = 3) -> Tensor:
    return torch.randn(clips, *SHAPES[name])


# -- encoder ---------------------------------------------------------------------------------------


def test_an_encoder_norms_every_level_by_the_same_norm() -> None:
    layer, x = encoder(), inputs("video")
    stirred(layer)
    tokens = layer.patches(x) + positions(8, DIM, x)
    expected = []
    for block in layer.blocks:
        tokens = block(tokens)
        expected.append(layer.norm(tokens))
    for found, wanted in zip(layer(x), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    low, high = layer(x, None, LEVELS)
    assert torch.equal(low, layer(x)[0])
    assert torch.equal(high, layer(x)[2])


def test_what_is_hidden_never_enters() -> None:
    layer, x = encoder(), inputs("video", 1)
    stirred(layer)
    visible = torch.tensor([[1, 4, 6]])
    one = layer(x, visible)[-1]
    assert one.shape == (1, 3, DIM)
    pieces = x.clone().view(1, 3, 2, 2, 2, 4, 2, 4)  # (B, C, t, 2, h, 4, w, 4)
    pieces[:, :, 0, :, 0, :, 0] = float("nan")  # patch 0
    pieces[:, :, 1, :, 1, :, 1] = float("nan")  # patch 7
    assert torch.equal(layer(pieces.view_as(x), visible)[-1], one)


# -- fusion ----------------------------------------------------------------------------------------


def test_both_streams_look_at_what_the_other_was_before() -> None:
    layer = CrossModalEncoder(("video", "audio"), dim=DIM, depth=2, heads=2)
    stirred(layer)
    video, audio = torch.randn(2, 5, DIM), torch.randn(2, 3, DIM)
    found = layer({"audio": audio, "video": video}, {})
    blocks = {name: list(part) for name, part in layer.blocks.items()}  # type: ignore[call-overload]
    for step in range(2):
        before = video
        video = blocks["video"][step](video, audio)
        audio = blocks["audio"][step](audio, before)
    torch.testing.assert_close(found["video"], layer.norms["video"](video))
    torch.testing.assert_close(found["audio"], layer.norms["audio"](audio))


def test_a_clip_without_sound_is_fused_as_if_there_were_none() -> None:
    layer = CrossModalEncoder(("video", "audio"), dim=DIM, depth=2, heads=2)
    stirred(layer)
    video, audio = torch.randn(2, 5, DIM), torch.randn(2, 3, DIM)
    there = torch.tensor([True, False])
    mixed = layer({"video": video, "audio": audio}, {"audio": there})
    alone = layer({"video": video}, {})
    torch.testing.assert_close(mixed["video"][1], alone["video"][1])
    assert not torch.allclose(mixed["video"][0], alone["video"][0])


# -- decoder ---------------------------------------------------------------------------------------


def test_a_decoder_looks_back_from_the_highest_level_down() -> None:
    layer = PatchDecoder(DIM, width=WIDTH, depth=3, heads=2, outputs=7, looks=2)
    stirred(layer)
    fused, low, high = torch.randn(3, 1, 2, DIM).unbind(0)
    visible, hidden = torch.tensor([[0, 3]]), torch.tensor([[1, 2, 4]])
    place = positions(5, WIDTH, fused)
    seen = place[[0, 3]]
    x = torch.cat([layer.enter(fused) + seen, layer.mask_token + place[[1, 2, 4]]], 1)
    x = layer.blocks[0](x)
    x = layer.blocks[1](x, layer.enter(high) + seen)
    x = layer.blocks[2](x, layer.enter(low) + seen)
    expected = layer.head(layer.norm(x[:, -3:]))
    torch.testing.assert_close(layer(fused, [low, high], visible, hidden), expected)
    assert layer.undecayed() == {"mask_token"}


# -- levels ----------------------------------------------------------------------------------------


def test_levels_begin_alike_and_are_mixed_by_what_is_learned() -> None:
    pool, levels = LevelPool(3), list(torch.randn(3, 2, 5, DIM).unbind(0))
    torch.testing.assert_close(pool(levels), torch.stack(levels).mean((0, 2)))
    weights = torch.tensor([0.5, -1.0, 2.0])
    with torch.no_grad():
        pool.weights.copy_(weights)
    share = weights.exp() / weights.exp().sum()
    expected = sum(s * tokens.mean(1) for s, tokens in zip(share, levels, strict=True))
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(pool(levels), expected)
    with pytest.raises(ConfigError, match="2 levels for 3 weights"):
        pool(levels[:2])


# -- all of it -------------------------------------------------------------------------------------


def autoencoder() -> AudioVisualAutoencoder:
    encoders = {name: encoder(name) for name in SIDES}
    made = AudioVisualAutoencoder(
        encoders,
        CrossModalEncoder(("video", "audio"), dim=DIM, depth=1, heads=2),
        {
            name: PatchDecoder(
                DIM, width=WIDTH, depth=3, heads=2, outputs=part.patches.values, looks=2
            )
            for name, part in encoders.items()
        },
        targets={name: PatchTarget(sides) for name, sides in SIDES.items()},
        levels=LEVELS,
        temperature=0.07,
    )
    stirred(made)
    return made


def batch(clips: int = 3) -> dict[str, Tensor]:
    masks = [masking.tube((2, 2, 2), 0.5), masking.anywhere((2, 2), 0.5)]
    video, audio = masking.draw(masks, clips)
    return {
        "video": inputs("video", clips), "audio": inputs("audio", clips),
        "video_hidden": video, "audio_hidden": audio,
    }  # fmt: skip


def test_training_gives_what_is_learned_from_and_no_more() -> None:
    network, given = autoencoder(), batch()
    trained, evaluated = network.train()(**given), network.eval()(**given)
    errors = {f"{name}_error" for name in SIDES}
    present = {f"{name}_present" for name in SIDES}
    present |= {f"{name}_{level}_present" for name in SIDES for level in LEVELS}
    assert set(trained.aux) == errors | present
    assert set(evaluated.aux) - set(trained.aux) == {"video", "audio", "logits_1", "logits_3"}
    assert set(trained.features) == {f"{name}_{level}" for name in SIDES for level in LEVELS}
    for name in errors:
        assert torch.equal(trained.aux[name], evaluated.aux[name])


def _one(output: Output, name: str, row: int) -> Tensor:
    return torch.cat([
        output.aux[f"{name}_error"][row : row + 1],
        *(output.features[f"{name}_{level}"][row] for level in LEVELS),
    ])  # fmt: skip


def test_a_modality_that_a_clip_lacks_is_absent_whatever_stands_there() -> None:
    network, given = autoencoder(), batch()
    present = torch.tensor([[True, True], [True, False], [False, True]])  # audio, video
    given["video"][1], given["audio"][2] = float("nan"), float("nan")
    mixed = network(**given, present=present)
    assert mixed.aux["video_present"].tolist() == mixed.aux["video_1_present"].tolist()
    assert mixed.aux["video_present"].tolist() == [True, False, True]
    assert mixed.aux["audio_present"].tolist() == [True, True, False]
    for row, name in ((1, "audio"), (2, "video")):
        alone = network(
            **{key: x[row : row + 1] for key, x in given.items() if key.startswith(name)}
        )
        torch.testing.assert_close(_one(mixed, name, row), _one(alone, name, 0))
        other = "video" if name == "audio" else "audio"
        assert not alone.aux[f"{other}_present"].any()
        assert alone.aux[f"{other}_error"].tolist() == [0]
        assert alone.features.keys() == mixed.features.keys()
    whole = network(**{key: x[:1] for key, x in given.items()})
    torch.testing.assert_close(_one(mixed, "video", 0), _one(whole, "video", 0))


def test_absent_clips_move_no_weight() -> None:
    network, given = autoencoder(), batch(2)
    network.train()(**given, present=torch.tensor([[True, False]] * 2)).aux[
        "audio_error"
    ].sum().backward()
    moved = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert any("encoders.audio" in name for name in moved)
    assert not [name for name in moved if "encoders.video" in name]


def test_masks_are_asked_for() -> None:
    network, given = autoencoder(), batch()
    given.pop("audio_hidden")
    with pytest.raises(ConfigError, match="which patches are hidden"):
        network(**given)
