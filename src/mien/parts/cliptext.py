"""CLIP's text tower over sentences of labels, and words that it learns to put before them.

Shapes: N sentences, L tokens, H the tower's inner width, K learned tokens, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.errors import ConfigError, TowerError
from mien.parts import keys
from mien.parts.encoders import OfTransformers

MODELS = ("clip", "clip_text_model")
"""What configuration files call a model that has such a tower."""


class ClipText(OfTransformers):
    """A sentence to what CLIP compares with pictures: its last token, normed and projected."""

    kind, marker, prefix, section = "clip-text", "clip", "", "text_config"
    others = ("vision_model.", "visual_projection.", "logit_scale")

    clip: Any

    def forward(
        self, ids: Tensor, mask: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """A vector (N, 1, D) for each sentence, and a mask that says so.

        Args:
            ids: tokens (N, L), padded behind their end.
            mask: (N, L), True where there is a token.
            context: (K, H) in the place of words, behind the token of the start.
        """
        from transformers.masking_utils import create_causal_mask

        text = self.clip.text_model
        words = text.embeddings.token_embedding(ids)  # (N, L, H)
        last = mask.sum(1) - 1  # (N)
        if context is not None:
            learned = context.expand(len(ids), -1, -1)
            words = torch.cat([words[:, :1], learned, words[:, 1:]], 1)  # (N, L + K, H)
            last = last + len(context)
        hidden = text.embeddings(inputs_embeds=words)
        # Each token looks back only, so the last one never sees the padding behind it.
        back = create_causal_mask(
            config=text.config, inputs_embeds=hidden, attention_mask=None, past_key_values=None
        )
        hidden = text.encoder(
            inputs_embeds=hidden, attention_mask=back, is_causal=True
        ).last_hidden_state
        ends = text.final_layer_norm(hidden)[torch.arange(len(ids), device=ids.device), last]
        vectors = self.clip.text_projection(ends)[:, None]  # (N, 1, D)
        return vectors, mask.new_ones(len(ids), 1)

    @classmethod
    def classes(cls) -> tuple[Any, Any]:
        """Configuration and model class of transformers."""
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection

        return CLIPTextConfig, CLIPTextModelWithProjection

    @property
    def dim(self) -> int:
        """Width D of the vectors."""
        return int(self.config.projection_dim)

    @property
    def inner(self) -> int:
        """Width H within."""
        return int(self.config.hidden_size)

    @property
    def longest(self) -> int:
        """Tokens of a sentence, those of start and end included."""
        return int(self.config.max_position_embeddings)

    def layer(self, name: str) -> int:
        """0 for the embeddings, then the block's number from 1; norm and projection with the last.

        Args:
            name: a parameter of this tower.
        """
        ours = keys.ours(name).split(".")
        if "blocks" in ours:
            return 1 + int(ours[ours.index("blocks") + 1])
        return 0 if "embeddings" in ours or "positions" in ours else self.depth

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return int(self.config.num_hidden_layers)


def tokens(folder: Path, sentences: Sequence[str], longest: int) -> tuple[Tensor, Tensor]:
    """Tokens (N, longest) of sentences, padded behind, and where there are any.

    Args:
        folder: where the tokenizer lies.
        sentences: texts.
        longest: L; a longer sentence is an error, for its end is what is read.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        said = [tokenizer(sentence)["input_ids"] for sentence in sentences]
    except (OSError, ValueError, KeyError) as error:
        raise TowerError(
            f"no tokenizer of this tower: {str(error).splitlines()[0]}", where=str(folder)
        ) from error
    ids = torch.zeros(len(said), longest, dtype=torch.int64)
    mask = torch.zeros(len(said), longest, dtype=torch.bool)
    for i, given in enumerate(said):
        if len(given) > longest:
            raise ConfigError(
                f"{sentences[i]!r:.80} has {len(given)} tokens, more than {longest}",
                fix="shorter labels or templates, or a larger model.label_tokens",
            )
        ids[i, : len(given)] = torch.tensor(given)
        mask[i, : len(given)] = True
    return ids, mask


def letters(sentences: Sequence[str], longest: int, vocabulary: int) -> tuple[Tensor, Tensor]:
    """UTF-8 bytes as tokens, for a tower of random weights that has no tokenizer.

    Args:
        sentences: texts; what is longer is cut from the front, for the label stands behind.
        longest: L.
        vocabulary: tokens that the tower knows; bytes are folded into them.
    """
    ids = torch.zeros(len(sentences), longest, dtype=torch.int64)
    mask = torch.zeros(len(sentences), longest, dtype=torch.bool)
    for i, sentence in enumerate(sentences):
        given = [byte % vocabulary for byte in sentence.encode()][-longest:]
        ids[i, : len(given)] = torch.tensor(given)
        mask[i, : len(given)] = True
    return ids, mask
