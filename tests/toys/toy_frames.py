"""Toy: action units and affect for every frame, some frames without a valid label."""

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
        self.encode = nn.Sequential(nn.Linear(5, config.width), nn.Tanh())
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * config.width, spec.width) for name, spec in specs.items()}
        )

    def forward(
        self,
        face: Tensor,
        *,
        mask: dict[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        known = torch.ones(face.shape[:2], dtype=torch.bool) if mask is None else mask["face"]
        x = self.encode(face) * known[..., None]
        context = x.sum(1, keepdim=True) / known.sum(1)[:, None, None].clamp_min(1)
        x = torch.cat([x, context.expand_as(x)], -1)
        return Output(logits={name: head(x) for name, head in self.heads.items()})


def build(config: Config, specs: Specs) -> Model:
    return Model(FrontEnd(), Network(config, specs))


STAGES = {"frames": Stage(unit=Unit.WINDOW, build=build, modalities=("face",))}
