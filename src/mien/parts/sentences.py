"""Sentence encoders: texts to vectors of length 1, by any encoder of transformers.

What is not padding is averaged over the last layer's positions, as the sentence-transformers
family does (Reimers and Gurevych, 2019, https://arxiv.org/abs/1908.10084), and divided by its
length. Encoders that were trained to be read at their first position are averaged all the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import TowerError
from mien.parts import hub

_FILES = ("config.json", "*.safetensors", "tokenizer*", "vocab*", "merges.txt", "*.model",
          "special_tokens_map.json", "added_tokens.json")  # fmt: skip
_SPARE = ("pooler.", "position_ids")  # that no average reads


def pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean of the positions that are there, at length 1: (B, L, D) and (B, L) to (B, D)."""
    there = mask.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
    mean = (hidden * there).sum(1) / there.sum(1).clamp(min=1)
    return nn.functional.normalize(mean, dim=-1)


@dataclass(slots=True)
class SentenceEncoder:
    """Texts to vectors; nothing of it learns.

    Args:
        folder: where its files lie.
        model: of transformers.
        tokenizer: that belongs to it.
        longest: tokens of a text; the rest is not read.
        fingerprint: of weights, configuration and tokenizer.
    """

    folder: Path
    model: Any = field(repr=False)
    tokenizer: Any = field(repr=False)
    longest: int
    fingerprint: str

    @classmethod
    def open(cls, name: str, revision: str | None = None) -> SentenceEncoder:
        """An encoder in a local folder, else in the user's cache, else on the hub.

        Raises:
            TowerError: there is none, or its weights do not fit.
        """
        from transformers import AutoModel, AutoTokenizer

        folder = _folder(name, revision)
        safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, **safe)
            with hub.silent():
                model, found = AutoModel.from_pretrained(
                    folder, use_safetensors=True, output_loading_info=True, **safe
                )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise TowerError(
                f"no sentence encoder: {str(error).splitlines()[0]}", where=str(folder)
            ) from error
        missing = sorted(k for k in found["missing_keys"] if not any(s in k for s in _SPARE))
        if missing or found["mismatched_keys"]:
            raise TowerError(
                f"these weights do not fit their config.json: {len(missing)} are missing "
                f"{missing[:3]}, {len(found['mismatched_keys'])} have another shape",
                where=str(folder),
            )
        model.eval().requires_grad_(False)
        if tokenizer.pad_token is None:  # decoders often have none; what it is does not matter
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return cls(folder, model, tokenizer, _longest(model, tokenizer), _fingerprint(folder))

    @property
    def dim(self) -> int:
        """Width D of the vectors."""
        return int(self.model.config.hidden_size)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch: int = 32) -> Iterator[Tensor]:
        """A vector (D) on the CPU for each text, in order."""
        for first in range(0, len(texts), batch):
            some = list(texts[first : first + batch])
            held = self.tokenizer(
                some, padding=True, truncation=True, max_length=self.longest, return_tensors="pt"
            )
            given = {name: held[name] for name in ("input_ids", "attention_mask")}
            hidden = self.model(**given).last_hidden_state  # (B, L, D)
            yield from pooled(hidden.float(), held["attention_mask"])


def located(name: str, revision: str | None = None) -> tuple[Path, str]:
    """Where an encoder's files lie, fetched if need be, and the hash of them; it is not opened."""
    folder = _folder(name, revision)
    return folder, _fingerprint(folder)


def _folder(name: str, revision: str | None) -> Path:
    local = hub.local_folder(name)
    if local is not None:
        if not (local / hub.CONFIG).is_file():
            raise TowerError(
                "this folder holds no model: config.json is needed",
                where=str(local),
                fix="the folder that save_pretrained wrote, with its tokenizer",
            )
        return local
    return hub.snapshot(name, revision, _FILES)


def _longest(model: Any, tokenizer: Any) -> int:
    """Tokens that both can take; some configurations give an absurd number for no limit."""
    places = int(getattr(model.config, "max_position_embeddings", 512))
    if model.config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        places -= 2  # its positions begin after the padding's
    return max(8, min(places, int(tokenizer.model_max_length), 512))


def _fingerprint(folder: Path) -> str:
    """A hash of every file that has a part in a vector."""
    digest = hashlib.sha256()
    files = {path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()}
    for path in sorted(files):
        with path.open("rb") as content:
            held = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{path.name} {held}\n".encode())
    return digest.hexdigest()
