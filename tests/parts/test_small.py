"""Towers of our own: opened, frozen, trained whole, recorded and verified like any other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mien.errors import ConfigError, TowerError
from mien.parts import adapters, towers
from mien.parts.audio import spec_augment
from mien.parts.small import SmallConfig

FACE = {"model_type": "face-net", "widths": [4, 8], "depths": [1, 1]}
VOICE = {"model_type": "voice-net", "widths": [4, 8], "depths": [1, 1], "mels": 16, "stride": 2}


def _face(**values: Any) -> towers.Tower:
    torch.manual_seed(0)
    return towers.vision(FACE | values)


def _voice(**values: Any) -> towers.Tower:
    torch.manual_seed(0)
    return towers.audio(VOICE | values)


def test_values_say_which_tower_is_meant() -> None:
    assert isinstance(_face(), towers.FaceTower)
    assert isinstance(_voice(), towers.VoiceTower)
    assert (_face().dim, _face().depth) == (8, 2)
    with pytest.raises(ConfigError, match="no 'width'"):
        towers.vision(FACE | {"width": 3})
    with pytest.raises(ConfigError, match="face-net"):
        towers.vision(FACE | {"depths": [1]})


def test_values_come_back_from_their_file() -> None:
    config = SmallConfig.from_dict(FACE)
    assert SmallConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_absent_frames_are_zeros_and_change_no_other() -> None:
    tower, video = _face(), torch.randn(3, 3, 4, 16, 16)
    mask = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]).bool()
    video = video.masked_fill(~mask[:, None, :, None, None], float("nan"))
    tokens, kept = tower(video, mask)
    assert torch.equal(kept, mask)
    assert tokens[~mask].abs().sum() == 0
    torch.testing.assert_close(tokens[:1, :2], tower(video[:1, :, :2])[0])


def test_absent_sounds_are_zeros_of_the_right_length() -> None:
    tower, mels = _voice(), torch.randn(3, 1, 41, 16)
    mels[1] = float("nan")
    tokens, kept = tower(mels, torch.tensor([[True], [False], [True]]))
    assert kept.tolist() == [[row] * 11 for row in (True, False, True)]
    assert tokens[1].abs().sum() == 0
    torch.testing.assert_close(tokens[2:], tower(mels[2:])[0])
    assert tower(mels, torch.zeros(3, 1, dtype=torch.bool))[0].shape == (3, 11, 8)


def test_a_frozen_tower_stands_still_and_a_tuned_one_moves() -> None:
    tower = _face(dropout=0.5)
    before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    video = torch.randn(2, 3, 4, 16, 16)
    tower.train()
    assert torch.equal(tower(video)[0], tower(video)[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in tower.state_dict().items())
    tower.tune().train()
    tower(video)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in tower.parameters())
    moved = {n for n, t in tower.state_dict().items() if not torch.equal(t, before[n])}
    assert any("running_mean" in name for name in moved)
    assert not tower.eval().base.training


def test_low_rank_updates_fit_convolutions() -> None:
    tower, video = _face(), torch.randn(1, 3, 2, 16, 16)
    before, _ = tower(video)
    adapters.lora(tower, ["conv1", "conv2"], 2, 4)
    torch.testing.assert_close(tower(video)[0], before)
    assert any(parameter.requires_grad for parameter in tower.parameters())


def test_noise_is_put_in_and_sleeps_outside_training() -> None:
    tower = _voice()
    mels = torch.randn(2, 1, 64, 16)
    told, _ = tower(mels)
    assert isinstance(tower, towers.VoiceTower)
    tower.regularise(drop_path=0.9, adapt=True, augment=spec_augment)
    torch.testing.assert_close(tower(mels)[0], told)
    rates = [part.rate for part in tower.modules() if isinstance(part, adapters.DropPath)]
    assert rates == [0.0, pytest.approx(0.9)]


def test_layers_are_counted_from_the_stem() -> None:
    tower = _voice()
    layers = {name: tower.layer(name) for name, _ in tower.named_parameters()}
    assert layers["net.layers.stem.0.weight"] == layers["net.norm.weight"] == 0
    assert layers["net.layers.stages.1.0.conv1.weight"] == layers["net.join.weight"] == 2


def test_a_frozen_one_is_kept_in_its_folder_and_a_tuned_one_in_the_run(tmp_path: Path) -> None:
    pair = nn.ModuleDict({"face": _face(), "voice": _voice().tune()})
    records = json.loads(json.dumps(towers.store(pair, tmp_path)))
    assert sorted(path.name for path in (tmp_path / "towers").iterdir()) == ["face"]
    with towers.using(records, tmp_path):
        face, voice = towers.vision(FACE), towers.audio(VOICE)
    assert towers.fingerprint(face) == towers.fingerprint(pair["face"])
    assert voice.tuned
    assert [t.shape for t in voice.parameters()] == [t.shape for t in pair["voice"].parameters()]
    opened = towers.vision(str(tmp_path / "towers" / "face"))
    assert isinstance(opened, towers.FaceTower)
    video = torch.randn(1, 3, 1, 16, 16)
    assert torch.equal(opened(video)[0], pair["face"](video)[0])
    del records["voice"]["architecture"]
    with towers.using(records, tmp_path), pytest.raises(TowerError, match="does not say how"):
        towers.audio(VOICE)


def test_neither_transformers_nor_peft_is_imported_for_them() -> None:
    code = f"""
import sys
from mien.parts import towers
towers.vision({FACE}); towers.audio({VOICE})
print(sorted(name for name in ("transformers", "peft") if name in sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_face_and_its_mirror_image_are_one_where_they_are_averaged() -> None:
    torch.manual_seed(0)
    plain = towers.vision(FACE)
    both = towers.vision(FACE | {"mirrored": True})
    both.load_state_dict(plain.state_dict())
    video = torch.rand(2, 3, 4, 16, 16)
    with torch.inference_mode():
        found, other = both.eval()(video)[0], both(video.flip(4))[0]
        mean = (plain.eval()(video)[0] + plain(video.flip(4))[0]) / 2
    torch.testing.assert_close(found, other)
    torch.testing.assert_close(found, mean)
    assert not torch.allclose(found, plain(video)[0]), "one side alone is something else"
