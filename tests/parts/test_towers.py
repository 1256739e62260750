"""Pretrained towers: found, checked, run, and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_towers import (
    AUDIO,
    FRAMES,
    MELS,
    TEXT,
    VISION,
    audio_alone,
    audio_full,
    cached,
    spread,
    vision_alone,
    vision_full,
)
from torch import Tensor, nn
from transformers import ClapAudioModel, CLIPVisionModel

from mien.errors import ConfigError, TowerError
from mien.parts import adapters, hub, towers, weights

B16 = "openai/clip-vit-base-patch16"


def _saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    return _saved(vision_full(), tmp_path / "clip")


# -- loading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [vision_alone, vision_full])
def test_clip_gives_the_pooled_output_of_every_frame(
    make: Callable[[], Any], tmp_path: Path
) -> None:
    model = make()
    tower = towers.clip_vision(str(_saved(model, tmp_path)))
    model = getattr(model, "vision_model", model)
    video = torch.randn(FRAMES)
    tokens, mask = tower(video)
    assert tokens.shape == (2, 4, 32)
    assert mask.all()
    for frame in range(4):
        with torch.no_grad():
            expected = model(pixel_values=video[:, :, frame]).pooler_output
        torch.testing.assert_close(tokens[:, frame], expected)
    assert tower.base.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("make", [audio_alone, audio_full])
def test_clap_on_one_channel_equals_transformers(make: Callable[[], Any], tmp_path: Path) -> None:
    """The parity path of CLAIP-Emo: one log-mel image, nothing longer, the mean of all tokens."""
    model = make()
    tower = towers.clap_audio(str(_saved(model, tmp_path)))
    model = getattr(model, "audio_model", model)
    mels = torch.randn(MELS)
    tokens, mask = tower(mels)
    assert tokens.shape == (2, tower.length, tower.dim) == (2, 64, 16)
    assert mask.all()
    with torch.no_grad():
        expected = model(mels, is_longer=torch.zeros(2, 1, dtype=torch.bool)).pooler_output
    torch.testing.assert_close(tokens.mean(1), expected)


@pytest.mark.parametrize("layout", ["official", "tiny"])
def test_parity_holds_at_the_published_input_size(layout: str) -> None:
    """(B, 1, 1024, 64), folded to 256 x 256, to 64 tokens."""
    wide = 96 if layout == "official" else 16
    shape = {"depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 4, 8]}
    size = {"patch_embeds_hidden_size": wide, "spec_size": 256, "num_mel_bins": 64}
    model = audio_alone(**shape, **size)
    tower = towers.ClapAudio(towers.TowerSource("clap-audio", size), model)
    mels = torch.randn(1, 1, 1024, 64)
    with torch.no_grad():
        expected = model(mels, is_longer=torch.zeros(1, 1, dtype=torch.bool)).pooler_output
        tokens, _ = tower(mels)
    assert tokens.shape == (1, 64, 8 * wide)
    torch.testing.assert_close(tokens.mean(1), expected)


def _drop(state: dict[str, Tensor]) -> None:
    del state["vision_model.post_layernorm.bias"]


def _add(state: dict[str, Tensor]) -> None:
    state["vision_model.adapter.weight"] = torch.zeros(2)


def _stranger(state: dict[str, Tensor]) -> None:
    state["something_else.weight"] = torch.zeros(2)


def _reshape(state: dict[str, Tensor]) -> None:
    state["vision_model.embeddings.position_embedding.weight"] = torch.zeros(9, 32)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_drop, "1 tensors missing .*post_layernorm.bias"),
        (_add, "1 unexpected .*adapter.weight"),
        (_stranger, "1 unexpected .*something_else"),
        (_reshape, r"shape \(9, 32\), its config.json says \(5, 32\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    clip_folder: Path, spoil: Callable[[dict[str, Tensor]], None], message: str
) -> None:
    path = clip_folder / "model.safetensors"
    state = load_file(path)
    spoil(state)
    save_file(state, path)
    with pytest.raises(TowerError, match=message):
        towers.load_tower("clip-vision", clip_folder)


def test_what_old_versions_saved_beside_the_weights_is_no_stranger(clip_folder: Path) -> None:
    expected = towers.load_tower("clip-vision", clip_folder).sha256
    path = clip_folder / "model.safetensors"
    positions = {"vision_model.embeddings.position_ids": torch.arange(5)[None]}
    save_file(load_file(path) | positions, path)
    assert towers.load_tower("clip-vision", clip_folder).sha256 == expected


def test_half_precision_files_become_float32(clip_folder: Path) -> None:
    path = clip_folder / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
    tower = towers.load_tower("clip-vision", clip_folder)
    assert {p.dtype for p in tower.parameters()} == {torch.float32}


STRANGE: dict[str, Any] = {
    "auto_map": {"AutoModel": "evil.Model"}, "_attn_implementation": "somebody/kernel",
    "attn_implementation": "somebody/kernel", "_experts_implementation": "somebody/experts",
    "torch_dtype": "float16", "dtype": "bfloat16", "quantization_config": {"x": 1},
}  # fmt: skip
"""What a configuration may not say: attention by a name on the hub would be fetched and run."""

_READER = {
    "model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "vocab_size": 260,
}  # fmt: skip


def _innocent(tower: towers.Tower) -> None:
    assert {p.dtype for p in tower.parameters()} == {torch.float32}
    assert tower.config._attn_implementation in ("sdpa", "eager")
    for word in ("somebody", "evil", "quantization"):
        assert word not in json.dumps(tower.described(), default=str)


@pytest.mark.parametrize(
    ("kind", "values"),
    [("clip-vision", VISION), ("clip-text", TEXT), ("clap-audio", AUDIO), ("text", _READER)],
)
def test_a_configuration_names_no_code_and_no_precision(kind: str, values: dict[str, Any]) -> None:
    _innocent(towers.open_tower(towers.TowerSource(kind, values | STRANGE)))


def test_nor_does_that_of_a_folder_or_of_a_part(clip_folder: Path) -> None:
    path = clip_folder / "config.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | {"vision_config": whole["vision_config"] | STRANGE}))
    _innocent(towers.clip_vision(str(clip_folder)))
    parts = {"language": STRANGE | {"widths": [1]}, "id2label": {0: "joy"}}
    assert weights.harmless(parts) == {"language": {"widths": [1]}, "id2label": {0: "joy"}}


def test_a_configuration_without_bottom_is_refused(clip_folder: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"part": deep}
    with pytest.raises(ConfigError, match="make no clip-vision tower"):
        towers.clip_vision(VISION | deep)


def test_a_folder_of_another_model_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TowerError, match="a 'clip' model is no clap-audio tower"):
        towers.load_tower("clap-audio", clip_folder)
    with pytest.raises(TowerError, match="this folder holds no model"):
        towers.load_tower("clip-vision", tmp_path)
    (clip_folder / "config.json").write_text("{")
    with pytest.raises(TowerError, match=r"cannot read config\.json"):
        towers.load_tower("clip-vision", clip_folder)


def test_impossible_values_and_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match="make no clip-vision tower"):
        towers.clip_vision(VISION | {"hidden_size": "wide"})
    with pytest.raises(ConfigError, match="no kind of tower 'clip-vison': did you mean"):
        towers.open_tower(towers.TowerSource("clip-vison", VISION))


# -- fingerprints ----------------------------------------------------------------------------------


def test_a_fingerprint_is_that_of_the_weights_alone(clip_folder: Path) -> None:
    tower = towers.load_tower("clip-vision", clip_folder)
    assert tower.sha256 == towers.fingerprint(tower)
    adapters.lora(tower, ["q_proj", "fc1"], 2, 4)
    assert towers.fingerprint(tower) == tower.sha256
    with torch.no_grad():
        tower.base.post_layernorm.bias[0] += 1e-3
    assert towers.fingerprint(tower) != tower.sha256


def test_a_fingerprint_is_defined_byte_by_byte() -> None:
    module = nn.Linear(2, 1)
    digest = hashlib.sha256()
    for name in ("bias", "weight"):
        tensor = getattr(module, name)
        digest.update(f"{name} torch.float32 {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().numpy().tobytes())
    assert towers.fingerprint(module) == digest.hexdigest()


def test_running_statistics_may_move() -> None:
    tower = towers.clap_audio(AUDIO)
    tower.clap.audio_encoder.batch_norm.running_mean += 1
    assert towers.fingerprint(tower) == tower.sha256


def test_another_fingerprint_than_the_one_meant_is_refused(clip_folder: Path) -> None:
    right = towers.load_tower("clip-vision", clip_folder).sha256
    source = towers.TowerSource("clip-vision", str(clip_folder), sha256=right)
    assert towers.open_tower(source).sha256 == right
    wrong = towers.TowerSource("clip-vision", str(clip_folder), sha256="0" * 64)
    with pytest.raises(TowerError, match="another fingerprint"):
        towers.open_tower(wrong)


# -- what a run keeps ------------------------------------------------------------------------------


def _pair() -> nn.ModuleDict:
    torch.manual_seed(1)
    pair = nn.ModuleDict({"sight": towers.clip_vision(VISION), "sound": towers.clap_audio(AUDIO)})
    adapters.lora(pair["sight"], ["q_proj", "fc1"], 2, 4)
    spread(pair)
    return pair


def _base_state(module: Any) -> dict[str, Tensor]:
    """Weights and statistics by name, as if no adapter had been put in."""
    return {
        name.replace("base_layer.", ""): tensor
        for name, tensor in module.state_dict().items()
        if not adapters.is_adapter(name)
    }


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert sorted(one) == sorted(other)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_small_towers_are_kept_without_adapters_and_opened_again(tmp_path: Path) -> None:
    pair = _pair()
    records = json.loads(json.dumps(towers.store(pair, tmp_path)))
    assert sorted(records) == ["sight", "sound"]
    with towers.using(records, tmp_path):
        sound, sight = towers.clap_audio(AUDIO), towers.clip_vision(VISION)
    assert towers.fingerprint(sight) == towers.fingerprint(pair["sight"])
    for own, again in ((pair["sight"], sight), (pair["sound"], sound)):
        _same(_base_state(own), again.state_dict())


def test_transformers_reads_what_was_kept(tmp_path: Path) -> None:
    pair = _pair()
    towers.store(pair, tmp_path)
    sight = CLIPVisionModel.from_pretrained(tmp_path / "towers" / "sight")
    sound = ClapAudioModel.from_pretrained(tmp_path / "towers" / "sound")
    _same(_base_state(pair["sight"].clip), sight.state_dict())
    _same(_base_state(pair["sound"].clap), sound.state_dict())


def test_towers_of_one_source_come_back_each_as_itself(tmp_path: Path) -> None:
    twins = nn.ModuleDict({"b": towers.clip_vision(VISION), "a": towers.clip_vision(VISION)})
    records = towers.store(twins, tmp_path)
    with towers.using(records, tmp_path):
        again = [towers.clip_vision(VISION).sha256 for _ in range(2)]
    assert again == [records["b"]["sha256"], records["a"]["sha256"]]
    assert len(set(again)) == 2


def test_a_kept_tower_that_changed_is_refused(tmp_path: Path) -> None:
    records = towers.store(_pair(), tmp_path)
    path = tmp_path / "towers" / "sight" / "model.safetensors"
    state = load_file(path)
    next(iter(state.values())).add_(1)
    save_file(state, path)
    with (
        towers.using(records, tmp_path),
        pytest.raises(TowerError, match="another fingerprint"),
    ):
        towers.clip_vision(VISION)


def test_a_tower_the_run_did_not_record_is_refused(tmp_path: Path) -> None:
    records = towers.store(_pair(), tmp_path)
    other = VISION | {"hidden_size": 64}
    with towers.using(records, tmp_path), pytest.raises(TowerError, match="recorded no"):
        towers.clip_vision(other)


@pytest.mark.parametrize("self_contained", [False, True])
def test_a_large_hub_tower_is_recorded_by_name_and_checked(
    self_contained: bool,
    clip_folder: Path,
    empty_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached(empty_cache, B16, clip_folder, towers.KNOWN[B16].revision)
    monkeypatch.setattr(towers, "SMALL", 1000)
    holder = nn.ModuleDict({"sight": towers.clip_vision(B16)})
    run = tmp_path / "run"
    records = towers.store(holder, run, self_contained=self_contained)
    assert records["sight"]["licence"] == "MIT"
    assert (run / "towers" / "sight").exists() is self_contained
    with towers.using(records, run):
        assert towers.clip_vision(B16).sha256 == records["sight"]["sha256"]
    if self_contained:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "gone"))
        with towers.using(records, run):
            towers.clip_vision(B16)
    else:
        path = next(empty_cache.rglob("model.safetensors"))
        save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
        with (
            towers.using(records, run),
            pytest.raises(TowerError, match=f"hf download {B16}"),
        ):
            towers.clip_vision(B16)


@pytest.mark.parametrize("licence", [None, "CC-BY-NC-SA-4.0"])
def test_a_record_names_the_licence(licence: str | None, clip_folder: Path, tmp_path: Path) -> None:
    config = json.loads((clip_folder / "config.json").read_text())
    if licence:
        config["vision_config"]["licence"] = licence
    (clip_folder / "config.json").write_text(json.dumps(config))
    holder = nn.ModuleDict({"sight": towers.load_tower("clip-vision", clip_folder)})
    record = towers.store(holder, tmp_path)["sight"]
    assert record["licence"] == (licence or f"unknown (that of {clip_folder})")
    kept = hub.read_config(tmp_path / "towers" / "sight")
    assert kept.get("licence") == licence


# -- without weights -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("openai/clip-vit-base-patch32", 87_456_000),
        ("openai/clip-vit-base-patch16", 85_799_424),
        ("openai/clip-vit-large-patch14", 303_179_776),
        ("laion/clap-htsat-fused", 27_549_128),
    ],
)
def test_known_towers_are_built_without_weights(name: str, parameters: int) -> None:
    with towers.blueprint():
        tower = towers.clap_audio(name) if "clap" in name else towers.clip_vision(name)
    assert sum(p.numel() for p in tower.parameters()) == parameters
    assert all(p.is_meta for p in tower.parameters())


def test_a_blueprint_of_a_folder_reads_its_configuration(clip_folder: Path) -> None:
    with towers.blueprint():
        tower = towers.clip_vision(str(clip_folder))
        assert tower.dim == 32
        with pytest.raises(TowerError, match="did you mean 'openai/clip-vit-base-patch32'"):
            towers.clip_vision("openai/clip-vit-base-patch31")
    assert not any(p.is_meta for p in towers.clip_vision(VISION).parameters())
