"""Toy: two stages, contrast between modalities without labels, then a class a clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.config import Settings
from mien.parts.fusion import ConcatFusion
from mien.parts.losses import Contrast
from mien.parts.model import FrontEnd, Model
from mien.types import Objective, Output, Specs, Stage, Unit


class Config(Settings):
    width: int = 8


class Network(nn.Module):
    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict(
            {"a": nn.Linear(6, config.width), "b": nn.Linear(4, config.width)}
        )
        self.fuse = ConcatFusion({"a": config.width, "b": config.width})
        if specs:
            self.heads = nn.ModuleDict(
                {name: nn.Linear(2 * config.width, spec.width) for name, spec in specs.items()}
            )
        else:
            self.heads = nn.ModuleDict()
            self.temperature = nn.Parameter(torch.zeros(()))

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
            if x is not None:
                known = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask[name]
                pooled = (x * known[..., None]).sum(1) / known.sum(1, keepdim=True).clamp_min(1)
                found[name] = self.encoder[name](pooled)
        if not self.heads:
            there = {} if present is None else dict(zip("ab", present.unbind(1), strict=True))
            seen = {f"{name}_present": here for name, here in there.items()}
            return Output(features=found, aux={"temperature": self.temperature, **seen})
        fused = self.fuse(found, present)
        return Output(
            logits={name: head(fused) for name, head in self.heads.items()}, features=found
        )


def build(config: Config, specs: Specs) -> Model:
    return Model(FrontEnd(), Network(config, specs))


def contrast(config: Config, specs: Specs) -> Objective:
    return Contrast("a", "b", temperature="temperature")


STAGES = {
    "contrast": Stage(
        unit=Unit.CLIP,
        build=build,
        modalities=("a", "b"),
        objective=contrast,
        supervised=False,
        hands_on=("encoder.",),
    ),
    "classify": Stage(unit=Unit.CLIP, build=build, modalities=("a", "b"), sampler="balanced"),
}
