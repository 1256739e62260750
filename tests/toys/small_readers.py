"""Text classifiers of random weights, as ``save_pretrained`` leaves them: encoders and decoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

WORDS = ("the", "voice", "face", "is", "high", "low", "brows", "up", "down", "glad", "sad", ".")
SIZES: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "intermediate_size": 32},
    "roberta": {"hidden_size": 16, "intermediate_size": 32, "pad_token_id": 1},
    "distilbert": {"dim": 16, "hidden_dim": 32, "n_heads": 2, "n_layers": 2},
    "llama": {"hidden_size": 16, "intermediate_size": 32, "num_key_value_heads": 1},
}


def tokenizer(kind: str) -> Any:
    """Whole words; a decoder's has a beginning, an end and no padding."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    end = "" if kind == "llama" else " </s>"
    made.post_processor = processors.TemplateProcessing(
        single=f"<s> $A{end}", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast: Any = PreTrainedTokenizerFast
    padding = {} if kind == "llama" else {"pad_token": "<pad>"}
    return fast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>", **padding
    )


def classifier(folder: Path, kind: str, *, seed: int = 0) -> Any:
    """Write one of three classes with its tokenizer; gives it."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        kind,
        **(
            {"num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3, "pad_token_id": 2}
            | {"vocab_size": 4 + len(WORDS), "max_position_embeddings": 40}
            | SIZES[kind]
        ),
    )
    build: Any = AutoModelForSequenceClassification
    model = build.from_config(config).eval()
    for parameter in model.parameters():  # norms and biases too, so that none goes unnoticed
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer(kind).save_pretrained(folder)
    return model
