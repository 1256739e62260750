"""Toy: one class a clip from a sequence and a vector, with running statistics that move."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.config import Settings
from mien.parts.fusion import ConcatFusion
from mien.parts.model import FrontEnd, Model
from mien.types import Output, Specs, Stage, Unit


class Config(Settings):
    width: int = 8
    dropout: float = 0.1
    norm: bool = True


class Network(nn.Module):
    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__()
        self.encode = nn.ModuleDict(
            {"a": nn.Linear(6, config.width), "b": nn.Linear(4, config.width)}
        )
        self.norm = nn.BatchNorm1d(config.width) if config.norm else nn.Identity()
        self.drop = nn.Dropout(config.dropout)
        self.fuse = ConcatFusion({"a": config.width, "b": config.width})
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * config.width, spec.width) for name, spec in specs.items()}
        )

    def forward(
        self,
        a: Tensor | None = None,
        b: Tensor | None = None,
        *,
        mask: dict[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        found = {}
        for name, x in (("a", a), ("b", b)):
            if x is None:
                continue
            known = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask[name]
            pooled = (x * known[..., None]).sum(1) / known.sum(1, keepdim=True).clamp_min(1)
            found[name] = self.drop(self.norm(self.encode[name](pooled)))
        fused = self.fuse(found, present)
        return Output(
            logits={name: head(fused) for name, head in self.heads.items()},
            features={"fused": fused},
        )


def build(config: Config, specs: Specs) -> Model:
    return Model(FrontEnd(), Network(config, specs))


STAGES = {"classify": Stage(unit=Unit.CLIP, build=build, modalities=("a", "b"))}
