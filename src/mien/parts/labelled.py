"""A label encoder: sets of labels to vectors, of which as much learns as is wanted.

====================  =========================================================================
``model.tune``        what learns
====================  =========================================================================
``frozen``            nothing: the vectors are kept, and no text tower is in memory
``adapter``           ``E + W2 gelu(W1 E)`` over the kept vectors; it begins as ``E``
``prompt``            tokens before the words of every label, in front of a frozen CLIP tower
``lora``              low-rank updates of that tower
``full``              all of that tower
====================  =========================================================================

Shapes: C labels, D width of their vectors, N sentences, L tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from mien.config import Settings
from mien.errors import ConfigError
from mien.parts import adapters, cliptext, labels, meanings, towers
from mien.parts.cliptext import ClipText
from mien.parts.labels import LabelSet


class LabelSettings(Settings):
    """What a label encoder is told."""

    encoder: str | dict[str, Any] = Field(
        "openai/clip-vit-base-patch32",
        description="reads the labels: CLIP or a sentence encoder, by hub name or folder; letters "
        "or random, which have no weights; configuration values (a random CLIP text tower)",
    )
    encoder_revision: str | None = Field(None, description="commit on the hub (default: pinned)")
    label_dim: int = Field(512, ge=1, description="width of the label vectors")
    tune: Literal["frozen", "adapter", "prompt", "lora", "full"] = Field(
        "frozen", description="what of the label encoder learns"
    )
    label_sets: dict[str, str | dict[str, Any]] = Field(
        {},
        description="task -> label set: a known name, a file, or its values (default: class names, "
        "and sentiment7 for a score)",
    )
    templates: str | tuple[str, ...] = Field(
        "default", description="sentences around {label}, or the name of some; answers are averaged"
    )
    label_tokens: int = Field(32, ge=3, description="tokens of a sentence (prompt, lora, full)")
    context: int = Field(8, ge=1, description="learned tokens of tune=prompt")
    rank: int = Field(8, ge=1, description="of tune=lora")
    alpha: float = Field(16.0, gt=0, description="LoRA scale is alpha / rank")

    @field_validator("label_sets", mode="before")
    @classmethod
    def _files_are_read_once(cls, values: Any) -> Any:
        """A run keeps what a file said: the file may change, or be gone."""
        if not isinstance(values, Mapping):
            return values
        return {task: _inline(given) for task, given in values.items()}

    @field_validator("templates")
    @classmethod
    def _templates_have_a_place(cls, values: str | tuple[str, ...]) -> str | tuple[str, ...]:
        return values if isinstance(values, str) else labels.checked(values)

    @property
    def in_a_tower(self) -> bool:
        """Whether the text tower itself takes part in training."""
        return self.tune in ("prompt", "lora", "full")


def _inline(given: Any) -> Any:
    if isinstance(given, str) and Path(given).suffix:
        try:
            return labels.named(given).model_dump(mode="json")
        except ConfigError as error:
            raise ValueError(str(error)) from error
    return given


class ResidualAdapter(nn.Module):
    """``x + W2 gelu(W1 x)``, with W2 = 0 at first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, dim)
        self.fc2 = nn.Linear(dim, dim)
        nn.init.zeros_(self.fc2.weight)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        moved: Tensor = x + self.fc2(F.gelu(self.fc1(x)))
        return moved


class _Held(nn.Module):
    """What is kept of one task's labels: vectors (C, D), or the tokens (N, L) of their sentences.

    ``owners`` (N) says which label a sentence is of.
    """

    vectors: Tensor
    ids: Tensor
    mask: Tensor
    owners: Tensor


class LabelEncoder(nn.Module):
    """Vectors of length 1 for the labels of each task.

    Args:
        settings: the encoder, and what of it learns.
        sets: labels by task.
    """

    def __init__(self, settings: LabelSettings, sets: Mapping[str, LabelSet]) -> None:
        super().__init__()
        self.settings = settings
        self.sets: dict[str, LabelSet] = {}
        self.adapter = ResidualAdapter(settings.label_dim) if settings.tune == "adapter" else None
        self.tower: ClipText | None = None
        self.context: nn.Parameter | None = None
        if settings.in_a_tower:
            self.tower = self._opened()
        elif not isinstance(settings.encoder, str):
            raise ConfigError(
                "the vectors of a random text tower are kept nowhere",
                fix="model.encoder=letters, or model.tune=full",
            )
        if self.tower is not None and settings.tune == "prompt":
            self.context = nn.Parameter(0.02 * torch.randn(settings.context, self.tower.inner))
        self.held = nn.ModuleDict({task: _Held() for task in sets})
        for task, given in sets.items():
            self.put(task, given)

    def put(self, task: str, given: LabelSet) -> None:
        """Take these labels for a task, in the place of those that it had."""
        settings, held = self.settings, self._of(task)
        later = towers.filled_later()
        if self.tower is None:
            vectors = torch.zeros(len(given.labels), settings.label_dim)
            if not later:
                assert isinstance(settings.encoder, str)
                vectors = meanings.vectors(
                    settings.encoder,
                    settings.encoder_revision,
                    given,
                    settings.templates,
                    settings.label_dim,
                )
            held.register_buffer("vectors", vectors)
        else:
            self._put_tokens(held, given, later=later)
        self.sets[task] = given

    def forward(self, task: str) -> Tensor:
        """The vectors (C, D) of a task's labels."""
        held = self._of(task)
        if self.tower is None:
            vectors = held.vectors
            if self.adapter is not None:
                vectors = self.adapter(vectors)
            return F.normalize(vectors, dim=-1)
        said = F.normalize(self.tower(held.ids, held.mask, self.context)[0][:, 0], dim=-1)
        count = len(self.sets[task].labels)
        total = said.new_zeros(count, said.shape[1]).index_add(0, held.owners, said)
        return F.normalize(total, dim=-1)  # the mean's direction

    def _of(self, task: str) -> _Held:
        held = self.held[task]
        assert isinstance(held, _Held)
        return held

    def _opened(self) -> ClipText:
        settings = self.settings
        if settings.encoder in (meanings.LETTERS, meanings.RANDOM):
            raise ConfigError(
                f"{settings.encoder!r} has no weights that could learn",
                fix="model.tune=adapter, or model.encoder= a CLIP model",
            )
        tower = meanings.text_tower(settings.encoder, settings.encoder_revision)
        if tower.dim != settings.label_dim:
            raise ConfigError(
                f"this tower gives vectors of {tower.dim}, not {settings.label_dim}",
                fix=f"model.label_dim={tower.dim}",
            )
        learned = settings.context if settings.tune == "prompt" else 0
        if settings.label_tokens + learned > tower.longest:
            raise ConfigError(
                f"this tower reads {tower.longest} tokens, not {settings.label_tokens + learned}",
                fix=f"model.label_tokens={tower.longest - learned}",
            )
        if settings.tune == "full":
            return tower.tune()
        if settings.tune == "lora":
            adapters.lora(tower, ("q_proj", "v_proj"), settings.rank, settings.alpha)
        return tower

    def _put_tokens(self, held: _Held, given: LabelSet, *, later: bool) -> None:
        said = labels.sentences(given, self.settings.templates)
        flat = [sentence for some in said for sentence in some]
        shape = (len(flat), self.settings.label_tokens)
        ids, mask = torch.zeros(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.bool)
        if not later:
            if isinstance(self.settings.encoder, str):
                folder, _ = meanings.place(self.settings.encoder, self.settings.encoder_revision)
                ids, mask = cliptext.tokens(folder, flat, shape[1])
            else:
                assert self.tower is not None
                ids, mask = cliptext.letters(flat, shape[1], self.tower.config.vocab_size)
        owners = [i for i, some in enumerate(said) for _ in some]
        held.register_buffer("ids", ids)
        held.register_buffer("mask", mask)
        held.register_buffer("owners", torch.tensor(owners), persistent=False)
