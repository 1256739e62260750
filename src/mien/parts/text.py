"""Text towers: any encoder or decoder that transformers knows, over tokens.

Shapes: B texts, L tokens of the longest, D the tower's width.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mien.errors import ConfigError, TowerError
from mien.parts import hub, tokens
from mien.parts.encoders import Tower, all_there, where_there
from mien.parts.hub import TowerSource
from mien.parts.tokens import Tokens

Pooling = Literal["auto", "first", "mean", "last"]

KNOWN: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "google-bert/bert-base-uncased": (
        "86b5e0934494bd15c9632b12f734a8a67f723594",
        "Apache-2.0",
        {"model_type": "bert"},
    ),
    "sentence-transformers/all-MiniLM-L6-v2": (
        "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        "Apache-2.0",
        {
            "model_type": "bert",
            "hidden_size": 384,
            "num_hidden_layers": 6,
            "intermediate_size": 1536,
        },
    ),
    "meta-llama/Meta-Llama-3-8B": (
        "8cde5ca8380496c9a6cc7ef3a8b46a0372a1d920",
        "Llama 3 Community License",
        {
            "model_type": "llama",
            "vocab_size": 128256,
            "intermediate_size": 14336,
            "num_key_value_heads": 8,
            "max_position_embeddings": 8192,
        },
    ),
}
"""Revision, licence and architecture of text towers that presets name."""

_TARGETS = {
    "albert": ("query", "value"),
    "distilbert": ("q_lin", "v_lin"),
    "modernbert": ("Wqkv",),
    "mpnet": ("attn.q", "attn.v"),
}  # where peft knows none; our choice


class TextTower(Tower):
    """An encoder or decoder of transformers; with its tokenizer, which a run keeps beside it.

    Tokens stand at the left, padding at the right: a decoder's tokens see none of it.
    """

    kind, marker = "text", "reader"

    reader: Any

    def __init__(self, source: TowerSource, pretrained: Any) -> None:
        super().__init__(source, pretrained)
        self.tokens = Tokens.of_bytes()

    def forward(self, text: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``text`` (B, L) of tokens and ``mask`` (B, L) to (B, L, D)."""
        seen = torch.ones_like(text, dtype=torch.bool) if mask is None else mask
        # Some encoders count positions by what is no padding.
        text = text.masked_fill(~seen, self.pad)
        both = torch.stack([text, seen.long()], 2)  # (B, L, 2)
        found = where_there(self._encode, both, seen.any(1), (text.shape[1], self.dim))
        if not found.is_floating_point():  # nothing was there to be encoded
            found = found.to(next(self.parameters()).dtype)
        return found, all_there(found) if mask is None else mask

    def _encode(self, both: Tensor) -> Tensor:
        text, seen = both.unbind(2)
        last: Tensor = self.reader(input_ids=text, attention_mask=seen).last_hidden_state
        return last

    # -- sizes --

    @property
    def dim(self) -> int:
        """Width D of the tokens."""
        return int(self.config.hidden_size)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return int(self.config.num_hidden_layers)

    @property
    def pad(self) -> int:
        """The token that stands behind the end."""
        found = self.config.pad_token_id
        return found if isinstance(found, int) and 0 <= found < self.config.vocab_size else 0

    @property
    def looks_back(self) -> bool:
        """Whether a token sees only those before it, so that the last one has seen all."""
        from transformers.models.auto import modeling_auto as auto

        name = self.config.model_type
        masked: Any = auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
        return name not in masked or bool(getattr(self.config, "is_decoder", False))

    def longest(self, wanted: int) -> int:
        """Tokens of a text, as many as wanted and no more than it has positions for."""
        places = int(getattr(self.config, "max_position_embeddings", wanted) or wanted)
        if self.config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
            places -= 2  # its positions begin after the padding's
        return max(1, min(wanted, places))

    def layer(self, name: str) -> int:
        """0 for the embeddings, then the block's number from 1; the last norm with the last."""
        if "embed" in name or "wte" in name:
            return 0
        number = re.search(r"\.(\d+)\.", name)
        return self.depth if number is None else 1 + int(number[1])

    def targets(self) -> Sequence[str]:
        """The layers that low-rank updates usually go to: peft's own, where it knows some."""
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL

        name = self.config.model_type
        found: Sequence[str] | None = USUAL.get(name) or _TARGETS.get(name)
        if not found:
            raise ConfigError(
                f"which layers of a {name} model are to be updated is not known",
                fix="model.targets=[q_proj, v_proj]",
            )
        return found

    # -- files --

    def accompany(self, folder: Path | None) -> None:
        """Take the tokenizer out of the folder that the weights came from."""
        self.tokens = tokens.beside(self.source.name, self.source.revision, folder)
        if len(self.tokens) > self.config.vocab_size:
            raise TowerError(
                f"the tokenizer knows {len(self.tokens):,} tokens, "
                f"the model {self.config.vocab_size:,}",
                where=str(self.source),
                fix=f"vocab_size: {tokens.BYTES}" if folder is None else None,
            )

    def companions(self) -> dict[str, bytes]:
        """The tokenizer's file."""
        return {tokens.FILE: self.tokens.content}

    @classmethod
    def model_type(cls) -> str:
        """Many; see :meth:`owns`."""
        return cls.kind

    @classmethod
    def owns(cls, values: Mapping[str, Any]) -> bool:
        """Whether a configuration file is that of such a model."""
        return _classes(values) is not None

    @classmethod
    def bare(cls, given: Mapping[str, Tensor], values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Tensors of a checkpoint, which may hold a whole model, by the names of the bare one."""
        _, model_class = _known(values)
        prefix = f"{model_class.base_model_prefix}."
        whole = any(name.startswith(prefix) for name in given)
        found = {}
        for name, tensor in given.items():
            if whole and not name.startswith(prefix):
                continue  # a head
            name = name.removeprefix(prefix)
            if _pools(model_class) and name.startswith("pooler."):
                continue
            if not name.endswith("rotary_emb.inv_freq"):  # computed, and in old files
                found[re.sub(r"gamma$", "weight", re.sub(r"beta$", "bias", name))] = tensor
        return found

    @classmethod
    def blank(cls, values: Mapping[str, Any]) -> Any:
        """The bare module with random weights, from configuration values."""
        from huggingface_hub.errors import StrictDataclassError

        config_class, model_class = _known(values)
        try:
            config = config_class.from_dict(dict(values))
        except StrictDataclassError as error:
            raise ValueError(str(error)) from error
        if getattr(config, "is_encoder_decoder", False):
            raise ConfigError(
                f"a {config.model_type} model is an encoder and a decoder", fix="one of the two"
            )
        return model_class(config, **_without_pooler(model_class))

    @classmethod
    def filled(cls, blank: Any, state: dict[str, Tensor]) -> Any:
        """A module with these weights; what follows from the configuration is filled in."""
        kind = type(blank)
        with hub.silent():
            return kind.from_pretrained(
                None,
                config=blank.config,
                state_dict=state,
                dtype=torch.float32,
                **_without_pooler(kind),
            )

    def described(self) -> dict[str, Any]:
        """The configuration, as its file holds it."""
        return super().described() | {"architectures": [type(self.reader).__name__]}


def pooled(found: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """One vector a text: the first token's, the last one's, or the mean; zeros where there is none.

    Args:
        found: (B, L, D).
        mask: (B, L), True up to the end of each text.
        how: which.
    """
    there = mask.any(1)
    if how == "mean":
        vector = (found * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp_min(1)
    else:
        at = torch.arange(mask.shape[1], device=mask.device)
        place = (at * mask).amax(1) if how == "last" else torch.zeros_like(there, dtype=torch.long)
        vector = found[torch.arange(len(found), device=found.device), place]
    return vector.masked_fill(~there[:, None], 0)


def _classes(values: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Configuration and model class of transformers, of what calls itself so."""
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    known: Any = CONFIG_MAPPING
    models: Any = MODEL_MAPPING
    name = values.get("model_type")
    if not isinstance(name, str) or name not in known or known[name] not in models:
        return None
    config_class = known[name]
    model_class = models[config_class]
    return None if isinstance(model_class, tuple) else (config_class, model_class)


def _known(values: Mapping[str, Any]) -> tuple[Any, Any]:
    found = _classes(values)
    if found is None:
        raise ConfigError(
            f"transformers has no model of type {str(values.get('model_type'))[:60]!r}",
            fix="model_type: bert",
        )
    return found


def _pools(model_class: Any) -> bool:
    return "add_pooling_layer" in inspect.signature(model_class.__init__).parameters


def _without_pooler(model_class: Any) -> dict[str, Any]:
    return {"add_pooling_layer": False} if _pools(model_class) else {}
