"""A model that sees and writes, of random weights, as ``save_pretrained`` leaves one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} : {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}assistant :{% endif %}"
)


def talker(folder: Path) -> Path:
    """Write a small LLaVA with a processor."""
    kinds: Any = transformers
    names = ["<pad>", "<unk>", "</s>", "<image>", *"abcdefgh", "user", "system", "assistant", ":"]
    words = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = kinds.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", eos_token="</s>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
             "num_attention_heads": 2}  # fmt: skip
    config = kinds.LlavaConfig(
        vision_config=kinds.CLIPVisionConfig(image_size=28, patch_size=14, **small),
        text_config=kinds.LlamaConfig(vocab_size=len(names), max_position_embeddings=4096, **small),
        image_token_index=3, image_seq_length=4, vision_feature_layer=-1,
    )  # fmt: skip
    torch.manual_seed(0)
    kinds.LlavaForConditionalGeneration(config).save_pretrained(folder)
    eyes = kinds.CLIPImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    processor = kinds.LlavaProcessor(
        image_processor=eyes, tokenizer=tokenizer, patch_size=14, num_additional_image_tokens=1,
        vision_feature_select_strategy="default", chat_template=_TEMPLATE, image_token="<image>",
    )  # fmt: skip
    processor.save_pretrained(folder)
    return folder
