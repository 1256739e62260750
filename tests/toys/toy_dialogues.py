"""Toy: one class an utterance; a sample is a whole dialogue."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.config import Settings
from mien.parts.model import FrontEnd, Model
from mien.types import Output, Specs, Stage, Unit


class Config(Settings):
    width: int = 8


class Network(nn.Module):
    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__()
        self.encode = nn.Linear(6, config.width)
        self.talk = nn.TransformerEncoderLayer(config.width, 2, 16, dropout=0.1, batch_first=True)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.width, spec.width) for name, spec in specs.items()}
        )

    def forward(
        self,
        words: Tensor,
        *,
        mask: dict[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        known = torch.ones(words.shape[:2], dtype=torch.bool) if mask is None else mask["words"]
        # Attention over nothing is undefined: an empty dialogue looks at its own padding.
        padding = ~known & known.any(1, keepdim=True)
        x = self.talk(self.encode(words), src_key_padding_mask=padding)
        return Output(logits={name: head(x) for name, head in self.heads.items()})


def build(config: Config, specs: Specs) -> Model:
    return Model(FrontEnd(), Network(config, specs))


STAGES = {"dialogue": Stage(unit=Unit.DIALOGUE, build=build, modalities=("words",))}
