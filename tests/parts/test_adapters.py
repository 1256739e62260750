"""What is added to frozen towers."""

from __future__ import annotations

import copy

import pytest
import torch
from small_towers import AUDIO, VISION
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts import adapters, towers

VISION_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
AUDIO_TARGETS = ("output.dense", "intermediate.dense", "patch_embed.proj")


def _tower(kind: str) -> tuple[towers.Tower, tuple[str, ...], Tensor]:
    """A small random tower, what to adapt in it, and something to encode."""
    torch.manual_seed(0)
    if kind == "vision":
        return towers.clip_vision(VISION), VISION_TARGETS, torch.randn(2, 3, 4, 16, 16)
    tower = towers.clap_audio(AUDIO)
    nn.init.normal_(tower.clap.audio_encoder.batch_norm.running_mean)
    return tower, AUDIO_TARGETS, torch.randn(2, 1, 256, 16)


def _stir(module: nn.Module) -> None:
    """Give what is trainable values that are not zero."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2)


both = pytest.mark.parametrize("kind", ["vision", "audio"])


def _trainable(module: nn.Module) -> int:
    """Number of parameters that learn."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@both
def test_lora_changes_nothing_until_it_learned_something(kind: str) -> None:
    tower, targets, x = _tower(kind)
    before = tower(x)[0]
    adapters.lora(tower, targets, rank=2, alpha=8)
    assert torch.equal(tower(x)[0], before)
    _stir(tower)
    assert not torch.allclose(tower(x)[0], before, atol=1e-3)


@both
def test_merged_is_the_same_function_without_adapters(kind: str) -> None:
    tower, targets, x = _tower(kind)
    names = [name for name, _ in tower.named_parameters()]
    adapters.lora(tower, targets, rank=2, alpha=8, dropout=0.5)
    _stir(tower)
    adapted = tower(x)[0]
    adapters.merge(tower)
    assert [name for name, _ in tower.named_parameters()] == names
    assert _trainable(tower) == 0
    torch.testing.assert_close(tower(x)[0], adapted, rtol=1e-5, atol=1e-5)


def test_the_update_is_alpha_over_rank_times_b_a() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 5)
    model = nn.Sequential(copy.deepcopy(layer))
    adapters.lora(model, ["0"], rank=2, alpha=8)
    state = dict(model.named_parameters())
    a, b = state["0.lora_A.default.weight"], state["0.lora_B.default.weight"]
    nn.init.normal_(b)
    x = torch.randn(3, 6)
    torch.testing.assert_close(model(x), layer(x) + x @ a.T @ b.T * (8 / 2))


@both
def test_only_adapters_learn_and_the_tower_keeps_every_bit(kind: str) -> None:
    tower, targets, x = _tower(kind)
    adapters.lora(tower, targets, rank=2, alpha=8, dropout=0.1)
    _stir(tower)
    before = {name: p.clone() for name, p in tower.named_parameters()}
    optimizer = torch.optim.AdamW(tower.parameters(), lr=0.1)
    tower.train()
    tower(x)[0].square().sum().backward()
    optimizer.step()
    moved = {n for n, p in tower.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n in before if adapters.is_adapter(n)}
    assert _trainable(tower) == sum(before[name].numel() for name in moved)


def test_rank_zero_only_freezes() -> None:
    tower, targets, _ = _tower("vision")
    tower.requires_grad_(True)
    names = [name for name, _ in tower.named_parameters()]
    adapters.lora(tower, targets, rank=0, alpha=8)
    assert [name for name, _ in tower.named_parameters()] == names
    assert _trainable(tower) == 0


def test_a_target_that_does_not_exist_is_named() -> None:
    tower, _, _ = _tower("vision")
    with pytest.raises(ConfigError, match=r"'q_porj' is no layer .* did you mean 'q_proj'"):
        adapters.lora(tower, ["q_porj", "fc1"], rank=2, alpha=8)


@both
def test_lora_dropout_is_the_only_noise_and_only_in_training(kind: str) -> None:
    tower, targets, x = _tower(kind)
    adapters.lora(tower, targets, rank=2, alpha=8, dropout=0.5)
    tower.train()
    assert torch.equal(tower(x)[0], tower(x)[0])  # B is still zero: the tower's own dropout is off
    _stir(tower)
    assert not torch.equal(tower(x)[0], tower(x)[0])
    tower.eval()
    assert torch.equal(tower(x)[0], tower(x)[0])


def test_a_dropped_path_leaves_out_whole_clips_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop, x = adapters.DropPath(0.25), torch.ones(4000, 2, 3)
    assert torch.equal(drop.eval()(x), x)
    dropped = drop.train()(x)
    per_clip = dropped.flatten(1)
    assert ((per_clip == per_clip[:, :1]).all(1)).all()
    assert per_clip[:, 0].unique().tolist() == [0, pytest.approx(4 / 3)]
    assert dropped.mean().item() == pytest.approx(1, abs=0.03)


def _norm() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(5)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)  # type: ignore[arg-type]
    return norm


def test_an_adapting_norm_is_a_batch_norm_and_a_frozen_one_stays() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 5, 6, 1) * 3 + 1
    plain = _norm()
    adapting = adapters.MelNorm(copy.deepcopy(plain), adapt=True)
    frozen = adapters.MelNorm(copy.deepcopy(plain), adapt=False)
    assert list(adapting.state_dict()) == list(plain.state_dict())
    before = plain.eval()(x)
    assert torch.equal(frozen.train()(x), before)
    assert torch.equal(frozen.running_mean, plain.running_mean)  # type: ignore[arg-type]
    assert torch.equal(adapting.eval()(x), before)
    assert torch.equal(adapting.train()(x), plain.train()(x))
    assert torch.equal(adapting.running_var, plain.running_var)  # type: ignore[arg-type]


@pytest.mark.parametrize("adapt", [True, False])
def test_log_mels_are_masked_in_training_only(adapt: bool) -> None:
    def silence(x: Tensor) -> Tensor:  # (B, channels, time, mel bins)
        assert x.shape == (4, 1, 6, 5)
        return torch.zeros_like(x)

    torch.manual_seed(0)
    norm, x = adapters.MelNorm(_norm(), adapt=adapt, augment=silence), torch.randn(4, 5, 6, 1)
    assert norm.train()(x).abs().sum() == 0
    assert norm.eval()(x).abs().sum() > 0


def test_stabilised_updates_are_divided_by_the_root_of_their_rank() -> None:
    """One Linear by hand: W x + alpha / sqrt(r) B A x, and alpha / r without."""
    for stabilised, scale in ((False, 6 / 4), (True, 6 / 2)):
        torch.manual_seed(0)
        box = nn.ModuleDict({"map": nn.Linear(5, 3)})
        adapters.lora(box, ("map",), rank=4, alpha=6, stabilised=stabilised)
        _stir(box)
        layer = box["map"]
        a, b = (p for n, p in layer.named_parameters() if "lora_" in n)
        x = torch.randn(2, 5)
        base = layer.get_submodule("base_layer")(x)
        torch.testing.assert_close(layer(x), base + scale * x @ a.T @ b.T)
