"""The official checkpoints of HiCMAE: what their weights are called, and which sizes they tell.

Pre-trained and fine-tuned ones share encoders and fusion, 364 tensors in size B. Sinusoidal
positions are never among them, nor is how many attention heads there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mien.errors import ConfigError, did_you_mean
from mien.types import Conversion

Shape = Sequence[int]

RULES = (
    ("encoder", "encoders.video"),
    ("encoder_audio", "encoders.audio"),
    ("encoder_fusion.blocks", "fusion.blocks.video"),
    ("encoder_fusion.blocks_audio", "fusion.blocks.audio"),
    ("encoder_fusion.norm", "fusion.norms.video"),
    ("encoder_fusion.norm_audio", "fusion.norms.audio"),
    # of a block
    ("patch_embed.proj", "patches.project"),
    ("attn", "attention"),
    ("cross_attn", "cross"),
    ("cross_norm1", "norm_query"),
    ("cross_norm2", "norm_context"),
    ("q", "query"),
    ("q_bias", "query_bias"),
    ("kv", "key_value"),
    ("v_bias", "value_bias"),
    ("proj", "output"),
    # of pre-training
    ("encoder_to_decoder", "decoders.video.enter"),
    ("encoder_to_decoder_audio", "decoders.audio.enter"),
    ("mask_token", "decoders.video.mask_token"),
    ("mask_token_audio", "decoders.audio.mask_token"),
    ("decoder", "decoders.video"),
    ("decoder.head", "decoders.video.head"),
    ("decoder_audio", "decoders.audio"),
    ("decoder_audio.head", "decoders.audio.head"),
    # of fine-tuning
    ("video_layer_weights", "pools.video.weights"),
    ("audio_layer_weights", "pools.audio.weights"),
    ("fc_norm", "feature_norm"),
    ("head", "heads.{task}"),
)
"""What a segment of a name is called in the official checkpoints, and here."""

_PRESETS = {256: "t", 384: "s", 512: "b"}
_HEAD = 64  # width of an attention head in all published sizes
_PRETRAINED = ("decoder", "mask_token", "encoder_to_decoder")
_FINETUNED = ("head.", "fc_norm.", "video_layer_weights", "audio_layer_weights")


def convert(shapes: Mapping[str, Shape], given: Mapping[str, Any]) -> Conversion:
    """What a checkpoint with tensors of these shapes is.

    Args:
        shapes: by official name.
        given: settings that the user chose, such as ``heads``.
    """
    pretrained = any(name.startswith(_PRETRAINED) for name in shapes)
    if not pretrained and not any(name.startswith(_FINETUNED) for name in shapes):
        raise ConfigError(
            "this is no checkpoint of HiCMAE: it has neither a decoder nor a head",
            where=", ".join(sorted(shapes)[:4]),
        )
    dim, *_ = _shape(shapes, "encoder.norm.weight", 1)
    _, _, tubelet, patch, _ = _shape(shapes, "encoder.patch_embed.proj.weight", 5)
    *_, sound_patch = _shape(shapes, "encoder_audio.patch_embed.proj.weight", 4)
    depth = _blocks(shapes, "encoder.blocks")
    heads = int(given.get("heads") or _heads(dim))
    model: dict[str, Any] = {
        "dim": dim,
        "depth": depth,
        "heads": heads,
        "fusion_depth": _blocks(shapes, "encoder_fusion.blocks"),
        "tubelet": tubelet,
        "patch": patch,
        "sound_patch": sound_patch,
    }
    if pretrained:
        width, _ = _shape(shapes, "encoder_to_decoder.weight", 2)
        decoder_depth = _blocks(shapes, "decoder.blocks")
        model |= {"decoder_dim": width, "decoder_heads": _decoder_heads(dim, heads, width)}
    else:  # nothing looks back, but the settings say how many would
        decoder_depth = min(4, max(2, depth))
    model |= {"decoder_depth": decoder_depth, "levels": _levels(depth, decoder_depth - 1)}
    return Conversion(
        stage="pretrain" if pretrained else "finetune",
        model=model,
        rules=RULES,
        preset=_PRESETS.get(dim),
        outputs=None if pretrained else _shape(shapes, "head.weight", 2)[0],
    )


def _shape(shapes: Mapping[str, Shape], name: str, axes: int) -> Shape:
    if name not in shapes:
        raise ConfigError(f"this checkpoint lacks {name!r}: {did_you_mean(name, shapes)}")
    if len(shapes[name]) != axes or not all(shapes[name]):
        raise ConfigError(f"{name} has the shape {tuple(shapes[name])}, not {axes} axes")
    return shapes[name]


def _blocks(shapes: Mapping[str, Shape], prefix: str) -> int:
    """How many blocks there are; never more than there are names."""
    inside = (name.removeprefix(f"{prefix}.") for name in shapes if name.startswith(f"{prefix}."))
    count = len({name.partition(".")[0] for name in inside})
    if not count:
        raise ConfigError(f"this checkpoint has nothing below {prefix!r}")
    return count


def _heads(dim: int) -> int:
    if dim % _HEAD:
        raise ConfigError(
            f"shapes do not say how many attention heads share a width of {dim}",
            fix="heads=N, as it was trained",
        )
    return dim // _HEAD


def _decoder_heads(dim: int, heads: int, width: int) -> int:
    """As wide as those of the encoder where these are as published, else as many."""
    published = dim == _HEAD * heads and width % _HEAD == 0
    return width // _HEAD if published else heads


def _levels(depth: int, count: int) -> list[int]:
    """Evenly down from the last block, all above the first if there are enough: 4, 7, 10 of ten."""
    step = max(1, (depth - 1) // count)
    return [depth - step * number for number in reversed(range(count))]
