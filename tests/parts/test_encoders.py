"""What a tower does with clips that are partly there, long, or learning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_towers import AUDIO, VISION
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts import adapters, towers


def _sight() -> towers.ClipVision:
    torch.manual_seed(0)
    return towers.clip_vision(VISION)


def _sound(**values: Any) -> towers.ClapAudio:
    torch.manual_seed(0)
    tower = towers.clap_audio(AUDIO | values)
    with torch.no_grad():
        for tensor in [*tower.parameters(), *tower.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.1)
    return tower


def test_absent_frames_are_zeros_and_change_no_other() -> None:
    tower, video = _sight(), torch.randn(3, 3, 4, 16, 16)
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]).bool()
    video = video.masked_fill(~mask[:, None, :, None, None], float("nan"))
    tokens, kept = tower(video, mask)
    assert torch.equal(kept, mask)
    assert tokens[~mask].abs().sum() == 0
    alone, _ = tower(video[:1, :, :2])
    torch.testing.assert_close(tokens[:1, :2], alone)


def test_absent_sounds_are_zeros_and_change_no_other() -> None:
    tower, mels = _sound(), torch.randn(3, 1, 256, 16)
    mask = torch.tensor([[True], [False], [True]])
    mels[1] = float("nan")
    tokens, kept = tower(mels, mask)
    assert kept.tolist() == [[row] * 64 for row in (True, False, True)]
    assert tokens[1].abs().sum() == 0
    torch.testing.assert_close(tokens[2:], tower(mels[2:])[0])


def test_nothing_there_at_all_still_has_a_shape() -> None:
    nothing = torch.zeros(2, 1, dtype=torch.bool)
    tokens, _ = _sound()(torch.randn(2, 1, 256, 16), nothing)
    assert tokens.shape == (2, 64, 16)
    tokens, _ = _sight()(torch.randn(2, 3, 4, 16, 16), nothing.expand(2, 4))
    assert tokens.shape == (2, 4, 32)


def test_absent_sounds_shift_no_statistics() -> None:
    mels = torch.randn(3, 1, 256, 16)
    moved = []
    for rows in (3, 2):
        tower = _sound()
        tower.regularise(drop_path=0, adapt=True, augment=None)
        mask = torch.tensor([True, True, False])[:, None]
        tower.train()(mels[:rows], mask[:rows])
        moved.append(tower.clap.audio_encoder.batch_norm.running_mean)
    assert torch.equal(*moved)
    assert not torch.equal(moved[0], _sound().clap.audio_encoder.batch_norm.running_mean)


def test_only_the_first_norm_adapts() -> None:
    tower = _sound()
    tower.regularise(drop_path=0, adapt=True, augment=None)
    before = {name: b.clone() for name, b in tower.named_buffers()}
    tower.train()(torch.randn(3, 4, 256, 16))
    moved = {name for name, b in tower.named_buffers() if not torch.equal(b, before[name])}
    norm = "clap.audio_encoder.batch_norm."
    assert moved == {norm + name for name in ("running_mean", "running_var", "num_batches_tracked")}
    tower.eval()(torch.randn(3, 1, 256, 16))
    assert moved == {n for n, b in tower.named_buffers() if not torch.equal(b, before[n])}


def test_regularising_is_inert_outside_training_and_changes_no_names() -> None:
    plain, tower, mels = _sound(), _sound(), torch.randn(2, 1, 256, 16)
    tower.regularise(drop_path=0.9, adapt=True, augment=torch.zeros_like)
    assert list(tower.state_dict()) == list(plain.state_dict())
    assert torch.equal(tower(mels)[0], plain(mels)[0])


def test_drop_path_grows_from_block_to_block_on_both_branches() -> None:
    tower = _sound()
    tower.regularise(drop_path=0.2, adapt=False, augment=None)
    blocks = [block for stage in tower.clap.audio_encoder.layers for block in stage.blocks]
    rates = [(block.drop_path.rate, block.output.dropout.rate) for block in blocks]
    assert rates == [(0, 0), (pytest.approx(0.1),) * 2, (pytest.approx(0.2),) * 2]
    found = [part for part in tower.modules() if isinstance(part, adapters.DropPath)]
    assert len(found) == 2 * len(blocks)


def test_a_block_with_both_branches_dropped_passes_its_input_on() -> None:
    tower = _sound()
    tower.regularise(drop_path=0.2, adapt=False, augment=None)
    block = tower.clap.audio_encoder.layers[0].blocks[0]
    block.drop_path = block.output.dropout = adapters.DropPath(1 - 1e-9)
    x = torch.randn(2, 256, 8)
    tower.train()
    assert torch.equal(block(x, (16, 16))[0], x)
    tower.eval()
    assert not torch.allclose(block(x, (16, 16))[0], x)


def test_frozen_dropout_of_the_tower_never_runs() -> None:
    tower, mels = _sound(hidden_dropout_prob=0.9, attention_probs_dropout_prob=0.9), None
    mels = torch.randn(2, 1, 256, 16)
    assert torch.equal(tower.train()(mels)[0], tower.eval()(mels)[0])


def test_a_short_sound_in_four_channels_is_one_channel() -> None:
    """Only a clip whose close-ups differ from the whole goes through the fusion gate."""
    tower, whole = _sound(), torch.randn(2, 1, 256, 16)
    short = whole.expand(2, 4, 256, 16).clone()
    torch.testing.assert_close(tower(short)[0], tower(whole)[0])
    long = short.clone()
    long[1, 1:] = torch.randn(3, 256, 16)
    tokens = tower(long)[0]
    torch.testing.assert_close(tokens[0], tower(whole)[0][0])
    assert not torch.allclose(tokens[1], tower(whole)[0][1])
    expected = tower.clap(long, is_longer=torch.tensor([[False], [True]])).pooler_output
    torch.testing.assert_close(tokens.mean(1), expected)


def test_a_tower_without_fusion_reads_one_channel() -> None:
    tower = _sound(enable_fusion=False)
    assert tower(torch.randn(1, 1, 256, 16))[0].shape == (1, 64, 16)
    with pytest.raises(ConfigError, match="reads one channel, not 4") as error:
        tower(torch.randn(1, 4, 256, 16))
    assert "model.long=crop" in str(error.value)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_recomputing_activations_changes_no_gradient(
    dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = torch.randn(2, 3, 3, 16, 16)
    monkeypatch.setattr(towers.ClipVision, "_AT_ONCE", 6 if dropout else 4)
    grads = []
    for checkpointing in (False, True):
        tower = _sight()
        adapters.lora(tower, ["q_proj", "fc2"], 2, 8, dropout)
        for name, parameter in tower.named_parameters():
            if "lora_B" in name:
                nn.init.ones_(parameter)
        tower.checkpointing = checkpointing
        torch.manual_seed(1)
        tower.train()(video)[0].square().sum().backward()
        grads.append([p.grad for p in tower.parameters() if p.requires_grad])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_autocast_stays_close_to_full_precision() -> None:
    mels, video = torch.randn(2, 1, 256, 16), torch.randn(2, 3, 2, 16, 16)
    cases: list[tuple[towers.Tower, list[str], Tensor]] = [
        (_sight(), ["q_proj", "fc1"], video),
        (_sound(), ["output.dense", "patch_embed.proj"], mels),
    ]
    for tower, targets, x in cases:
        adapters.lora(tower, targets, 2, 8)
        full = tower(x)[0]
        with torch.autocast("cpu", torch.bfloat16):
            half = tower(x)[0]
        torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.1)


def test_layers_are_counted_from_the_input_up() -> None:
    sight, sound = _sight(), _sound()
    assert (sight.depth, sound.depth) == (2, 3)
    assert sight.layer("clip.embeddings.class_embedding") == 0
    assert sight.layer("clip.encoder.layers.1.self_attn.q_proj.lora_A.default.weight") == 2
    assert sight.layer("clip.post_layernorm.weight") == 2
    assert sound.layer("clap.audio_encoder.patch_embed.proj.weight") == 0
    assert sound.layer("clap.audio_encoder.layers.0.downsample.norm.weight") == 1
    assert sound.layer("clap.audio_encoder.layers.1.blocks.1.output.dense.weight") == 3
    assert sound.layer("clap.audio_encoder.norm.weight") == 3
