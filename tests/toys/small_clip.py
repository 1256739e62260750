"""CLIP with a text tower of random weights and a tokenizer, as ``save_pretrained`` leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import small_towers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

DIM = 12
_WORDS = ("the", "speaker", "feels", "anger", "joy", "fear", "very", "quite", "slightly",
          "negative", "neutral", "positive", "happy", "angry")  # fmt: skip


def small_clip(folder: Path, seed: int = 0) -> Path:
    """Write both towers and a tokenizer of whole words, with CLIP's tokens for start and end."""
    special = ["<pad>", "<unk>", "<start>", "<end>"]
    vocabulary = {word: i for i, word in enumerate([*special, *_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 2), ("<end>", 3)]
    )
    kind: Any = PreTrainedTokenizerFast
    fast = kind(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<start>",
        eos_token="<end>", model_max_length=16,
    )  # fmt: skip
    text = small_towers.TEXT | {
        "vocab_size": len(vocabulary),
        "num_hidden_layers": 2,
        "max_position_embeddings": 16,
        "projection_dim": DIM,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    torch.manual_seed(seed)
    config = CLIPConfig(vision_config=small_towers.VISION, text_config=text, projection_dim=DIM)
    small_towers.spread(CLIPModel(config)).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
