"""Toy: one class a clip from its words alone; the front end learns which bytes occur."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from mien.config import Settings
from mien.parts.model import FrontEnd, Model
from mien.types import Batch, Output, Specs, Stage, Unit


class Config(Settings):
    width: int = 8


class Known(FrontEnd):
    """Bytes that training never met are read as 0."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(256))

    def fit(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self.seen[batch.inputs["text"][batch.mask["text"]].long()] = 1

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        text = inputs["text"].long()
        return {"text": text * self.seen[text].long()}, dict(mask)


class Network(nn.Module):
    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, config.width)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.width, spec.width) for name, spec in specs.items()}
        )

    def forward(
        self,
        text: Tensor,
        *,
        mask: dict[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        known = torch.ones(text.shape, dtype=torch.bool) if mask is None else mask["text"]
        pooled = (self.embed(text) * known[..., None]).sum(1) / known.sum(
            1, keepdim=True
        ).clamp_min(1)
        return Output(logits={name: head(pooled) for name, head in self.heads.items()})


def build(config: Config, specs: Specs) -> Model:
    return Model(Known(), Network(config, specs))


STAGES = {"classify": Stage(unit=Unit.TEXT, build=build, modalities=("text",))}
