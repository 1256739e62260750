"""Names of weights, ours and theirs."""

from __future__ import annotations

import pytest

from mien.parts import adapters, keys, towers

VISION_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
AUDIO_TARGETS = ("output.dense", "intermediate.dense", "patch_embed.proj", "query", "key", "value")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "network.vision.clip.encoder.layers.3.self_attn.q_proj.lora_A.default.weight",
            "network.vision.clip.blocks.3.attention.query.lora_a",
        ),
        ("vision.clip.pre_layrnorm.weight", "vision.clip.norm_in.weight"),
        ("audio.clap.audio_encoder.batch_norm.running_mean", "audio.clap.norm_in.running_mean"),
        (
            "audio.clap.audio_encoder.layers.2.blocks.5.attention.output.dense.lora_B.default.weight",
            "audio.clap.stages.2.blocks.5.attention.output.lora_b",
        ),
        (
            "audio.clap.audio_encoder.layers.2.blocks.5.output.dense.base_layer.weight",
            "audio.clap.stages.2.blocks.5.mlp.fc2.base_layer.weight",
        ),
        ("audio.clap.audio_encoder.patch_embed.norm.bias", "audio.clap.patches.norm.bias"),
        ("network.temporal.video.class_token", "network.temporal.video.class_token"),
        ("other.encoder.layers.0.self_attn.q_proj.weight",) * 2,
    ],
)
def test_names_translate_both_ways(theirs: str, ours: str) -> None:
    assert keys.ours(theirs) == ours
    assert keys.theirs(ours) == theirs


@pytest.mark.parametrize("name", sorted(towers.KNOWN))
def test_every_name_of_an_adapted_tower_comes_back(name: str) -> None:
    with towers.blueprint():
        if "clap" in name:
            tower: towers.Tower = towers.clap_audio(name)
            adapters.lora(tower, AUDIO_TARGETS, 4, 8)
        else:
            tower = towers.clip_vision(name)
            adapters.lora(tower, VISION_TARGETS, 4, 8)
    names = [*dict(tower.named_parameters()), *dict(tower.named_buffers())]
    translated = [keys.ours(theirs) for theirs in names]
    assert len(set(translated)) == len(names)
    assert [keys.theirs(ours) for ours in translated] == names
    forbidden = ("self_attn", "layrnorm", "audio_encoder", "lora_A", "dense")
    assert not [ours for ours in translated if any(word in ours for word in forbidden)]


def test_a_table_of_its_own_goes_both_ways() -> None:
    rules = [("encoder", "a.video"), ("encoder.blocks", "a.blocks"), ("q", "query"), ("head", "h")]
    for theirs, ours in (
        ("encoder.norm.weight", "a.video.norm.weight"),
        ("encoder.blocks.3.q", "a.blocks.3.query"),
        ("q_bias.q", "q_bias.query"),
        ("head.bias", "h.bias"),
        ("other.thing", "other.thing"),
    ):
        assert keys.renamed(theirs, rules) == ours
        assert keys.renamed(ours, rules, back=True) == theirs
