"""Textualized: what is said, seen and heard as one text, read by a language model with a head.

::

    text of a window --> tokens --> encoder, or decoder with low-rank updates --> (L, D)
                     --> first token, mean, or last token --> (D) --> dropout --> Linear --> (C)

    training     a row for each chunk of ten frames
    answering    a row for each frame, around which its text looks, or one for a whole clip;
                 texts that are the same are read once

Nicolas Richet et al., ECCV Workshops 2024 (7th ABAW), arXiv 2407.12927: the half of the paper that
reads text. Which cues become which words is not this module's: a row's ``text`` is read as it is.

Shapes: B texts, L tokens of the longest, D width of the tower, C outputs of a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from mien.config import Settings
from mien.parts import adapters, towers
from mien.parts.model import Model, known_positions
from mien.parts.text import Pooling, TextTower, pooled
from mien.parts.tokens import TextFrontEnd
from mien.parts.views import check_once_a_clip
from mien.types import Output, Specs, Stage, Unit


class Config(Settings):
    """Where nothing else is said, defaults are those of the official code for LLaMA."""

    text: str | dict[str, Any] = Field(
        "google-bert/bert-base-uncased",
        description="encoder or decoder: a name on the hub, a folder, or values of a configuration",
    )
    text_revision: str | None = Field(None, description="commit on the hub")
    longest: int = Field(256, ge=1, description="tokens of a text that are read, from its start")
    pooling: Pooling = Field(
        "auto", description="which token stands for a text: an encoder's first, a decoder's last"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="before the head")
    quantised: bool = Field(False, description="frozen weights in four bits; needs a GPU")
    tune: Literal["all", "adapters"] = Field("all", description="all of it, or low-rank updates")
    rank: int = Field(8, ge=0, description="of the updates; 0 trains the head alone")
    alpha: float = Field(8, gt=0, description="numerator of their scale")
    stabilised: bool = Field(True, description="alpha / sqrt(rank), not alpha / rank")
    adapter_dropout: float = Field(0.05, ge=0, lt=1)
    targets: list[str] = Field([], description="layers to update; none: the usual ones")

    @model_validator(mode="after")
    def _frozen_in_four_bits(self) -> Self:
        if self.quantised and self.tune == "all":
            raise ValueError("weights in four bits are not trained: tune=adapters")
        return self


class Network(nn.Module):
    """A text tower and a Linear a task on one vector of it.

    Args:
        config: which token stands for a text.
        tower: reads.
        specs: the tasks.
    """

    def __init__(self, config: Config, tower: TextTower, specs: Specs) -> None:
        super().__init__()
        self.tower = tower
        self.pooling: Pooling = config.pooling
        if config.pooling == "auto":
            self.pooling = "last" if tower.looks_back else "first"
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.ModuleDict(
            {name: _head(tower.dim, spec.width) for name, spec in specs.items()}
        )

    def forward(
        self,
        text: Tensor,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Tokens (B, L) to raw answers (B, C), and the vector (B, D) behind them.

        A text that is absent has zeros for its vector: what is left is what the heads take for
        likely.

        Args:
            text: tokens.
            mask: ``mask["text"]`` (B, L), True up to the end of each text.
            present: (B, 1).
        """
        seen = known_positions("text", {"text": text}, mask, present)
        if seen is None:
            seen = text.new_ones(text.shape).bool()
        found, there = self.tower(text, seen.expand(text.shape))
        vector = pooled(found, there, self.pooling)
        logits = {name: head(self.dropout(vector)) for name, head in self.heads.items()}
        return Output(logits=logits, features={"text": vector})

    # -- for layer decay --

    @property
    def layers(self) -> int:
        """The layer of the heads."""
        return self.tower.depth + 1

    def layer(self, name: str) -> int:
        """How far up a parameter lies."""
        part, _, rest = name.partition(".")
        return self.tower.layer(rest) if part == "tower" else self.layers


def _head(width: int, outputs: int) -> nn.Linear:
    head = nn.Linear(width, outputs)
    nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def build(config: Config, specs: Specs) -> Model:
    """Front end and network for these tasks."""
    check_once_a_clip("textualized", specs)
    tower = towers.texts(config.text, config.text_revision, quantised=config.quantised)
    if config.tune == "all":
        tower.tune()
    else:
        targets = config.targets or (tower.targets() if config.rank else ())
        adapters.lora(
            tower, targets, config.rank, config.alpha, config.adapter_dropout,
            stabilised=config.stabilised,
        )  # fmt: skip
    front_end = TextFrontEnd(tower.tokens, tower.longest(config.longest), tower.pad)
    return Model(front_end, Network(config, tower, specs))


STAGES = {
    "classify": Stage(unit=Unit.TEXT, build=build, modalities=("text",), hands_on=("tower.",))
}
