"""A sentence encoder of random weights, as ``save_pretrained`` leaves one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

_WORDS = ("a", "b", "c", "d", "e", "f", "g", "the", "voice", "face", "is", "brows", "mouth", "high",
          "low", "it", "comes")  # fmt: skip


def sentence_encoder(folder: Path, *, dim: int = 16, seed: int = 0) -> Path:
    """Write a small BERT with a tokenizer of whole words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: i for i, word in enumerate([*special, *_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    kind: Any = PreTrainedTokenizerFast
    fast = kind(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=24,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=dim,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
        )
    )
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == dim
    return folder
