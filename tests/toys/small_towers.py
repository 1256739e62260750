"""Architectures of towers, small enough to build with random weights in every test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    ClapAudioConfig,
    ClapAudioModel,
    ClapConfig,
    ClapModel,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
)

VISION: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 16,
    "patch_size": 8,
}
AUDIO: dict[str, Any] = {
    "patch_embeds_hidden_size": 8,
    "depths": [1, 2],
    "num_attention_heads": [1, 2],
    "hidden_size": 16,
    "enable_fusion": True,
    "spec_size": 64,
    "num_mel_bins": 16,
}
TEXT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 20,
    "max_position_embeddings": 8,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
FRAMES, MELS = (2, 3, 4, 16, 16), (2, 1, 256, 16)


def spread(model: Any) -> Any:
    """Random values everywhere: transformers starts biases and norms at 0 and 1."""
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.1)
    return model.eval()


def vision_alone() -> Any:
    """CLIP's image tower."""
    return spread(CLIPVisionModel(CLIPVisionConfig(**VISION)))


def vision_full() -> Any:
    """CLIP, with its text tower."""
    return spread(CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=8)))


def audio_alone(**values: Any) -> Any:
    """CLAP's sound tower."""
    return spread(ClapAudioModel(ClapAudioConfig(**(AUDIO | values))))


def audio_full() -> Any:
    """CLAP, with its text tower."""
    return spread(ClapModel(ClapConfig(audio_config=AUDIO, text_config=TEXT, projection_dim=8)))


def cached(cache: Path, name: str, folder: Path, revision: str) -> None:
    """Lay a model into a cache as the hub's client does."""
    home = cache / f"models--{name.replace('/', '--')}"
    (home / "snapshots").mkdir(parents=True)
    folder.rename(home / "snapshots" / revision)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(revision)
