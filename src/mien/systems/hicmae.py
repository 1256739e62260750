"""HiCMAE: an audio-visual masked autoencoder with contrast at several levels, then fine-tuned.

::

    pretrain   10 % of a video --> encoder --+--> fusion --> decoder --> the other 90 %
                                  levels 4, 7, 10:  each pair of levels is contrasted,
                                             |      and each decoder looks back at its own
               20 % of a sound --> encoder --+--> fusion --> decoder --> the other 80 %

    finetune   video --> encoder --+--> mean of all levels (C) --+
                                   +--> fusion --> mean (C) -----+ concat --> norm --> Linear
               sound --> the same ----------------> 2 C ---------+

Licai Sun, Zheng Lian, Bin Liu, Jianhua Tao, Information Fusion 108 (2024), arXiv 2401.05698.

Shapes: B clips, V views, T frames a view, H x W pixels, N patches, K visible ones, C width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mien.parts import clips
from mien.parts.autoencoder import (
    AudioVisualAutoencoder,
    CrossModalEncoder,
    LevelPool,
    PatchEncoder,
)
from mien.parts.clips import BOTH, ClipSettings
from mien.parts.model import Model, blank
from mien.parts.views import Described, ViewedNetwork, check_once_a_clip
from mien.systems.hicmae_official import convert
from mien.types import Objective, Specs, Stage, Unit

__all__ = ["STAGES", "Config", "convert"]


class Config(ClipSettings):
    """Where nothing else is said, defaults are those of the official code for size B."""

    depth: int = Field(10, ge=1, description="blocks of each encoder")
    fusion_depth: int = Field(2, ge=1, description="cross-modal blocks of each stream")
    decoder_depth: int = Field(4, ge=2, description="blocks of each decoder")
    levels: tuple[int, ...] = Field(
        (4, 7, 10), description="blocks, from 1, that are contrasted and looked back at"
    )

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        """What the decoders look back at."""
        levels, looks = list(self.levels), self.decoder_depth - 1
        if len(levels) != looks:
            raise ValueError(f"{looks + 1} decoder blocks look back at {looks} levels: {levels}")
        if levels != sorted(set(levels)) or levels[0] < 1 or levels[-1] != self.depth:
            raise ValueError(f"levels rise from 1 to the last of {self.depth} blocks: {levels}")
        return self


# -- the parts of both networks --------------------------------------------------------------------


def _encoder(config: Config, name: str, drop_path: float) -> PatchEncoder:
    return PatchEncoder(
        clips.patches(config, name, config.dim),
        dim=config.dim,
        depth=config.depth,
        heads=config.heads,
        drop_path=drop_path,
    )


def _fusion(config: Config, drop_path: float) -> CrossModalEncoder:
    return CrossModalEncoder(
        ("video", "audio"),
        dim=config.dim,
        depth=config.fusion_depth,
        heads=config.heads,
        drop_path=drop_path,
    )


# -- pre-training ----------------------------------------------------------------------------------


def _pretraining(config: Config) -> AudioVisualAutoencoder:
    encoders = {name: _encoder(config, name, 0.0) for name in BOTH}
    return AudioVisualAutoencoder(
        encoders,
        _fusion(config, 0.0),
        clips.decoders(config, looks=config.decoder_depth - 1),
        targets=clips.targets(config),
        levels=config.levels,
        temperature=config.temperature,
    )


def rebuild_and_contrast(config: Config, specs: Specs) -> Objective:
    """Errors of both modalities, and the contrast between them at every level."""
    del specs
    levels = {f"contrast_{level}": level for level in config.levels}
    return clips.rebuild_and_contrast(config, levels, config.temperature)


# -- fine-tuning -----------------------------------------------------------------------------------


class Network(ViewedNetwork):
    """Every level of each encoder, and what the fusion makes of the last, to an answer a task.

    A clip that lacks a modality has zeros for its features, and its other stream looks at itself
    alone. A network that reads one modality has no fusion: the last level's mean takes its place.

    Args:
        config: sizes, and which modalities are read.
        specs: the tasks.
    """

    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__(config.reads, config.frames, specs)
        self.config = config
        self.encoders = nn.ModuleDict(
            {name: _encoder(config, name, config.drop_path) for name in config.reads}
        )
        self.pools = nn.ModuleDict({name: LevelPool(config.depth) for name in config.reads})
        self.fusion = _fusion(config, config.drop_path) if len(config.reads) > 1 else None
        self.answer_from(2 * config.dim * len(config.reads))

    def described(
        self, inputs: Mapping[str, Tensor], there: Mapping[str, Tensor | None]
    ) -> Described:
        """Features ``video`` and ``audio`` (B*V, C) of all levels; with the fusion's (B*V, 4 C)."""
        levels = {name: self.encoders[name](x) for name, x in inputs.items()}
        pooled = {name: blank(self.pools[name](own), there[name]) for name, own in levels.items()}
        tokens = {name: own[-1] for name, own in levels.items()}
        fused = tokens if self.fusion is None else self.fusion(tokens, there)
        last = {name: blank(x.mean(1), there[name]) for name, x in fused.items()}
        absent = torch.zeros_like(next(iter(pooled.values())))
        parts = [made.get(name, absent) for made in (pooled, last) for name in self.encoders]
        return pooled, torch.cat(parts, 1)

    # -- for layer decay --

    @property
    def layers(self) -> int:
        """The layer of all that is new: above the encoders' blocks and those of the fusion."""
        return self.config.depth + 1 + (0 if self.fusion is None else self.config.fusion_depth)

    def layer(self, name: str) -> int:
        """How far up a parameter lies: patches at 0, norms with what is new."""
        part, modality, *rest = name.split(".")
        if part == "encoders" and rest[0] == "patches":
            return 0
        if part == "encoders" and rest[0] == "blocks":
            return 1 + int(rest[1])
        if part == "fusion" and modality == "blocks":
            return self.config.depth + 1 + int(rest[1])
        return self.layers


# -- building --------------------------------------------------------------------------------------


def build_pretraining(config: Config, specs: Specs) -> Model:
    """Front end and network that learn from clips without labels."""
    del specs
    clips.need_both(config)
    front_end = clips.front_end(config, answering=False, hidden=config.hidden)
    return Model(front_end, _pretraining(config))


def build(config: Config, specs: Specs) -> Model:
    """Front end and network for these tasks."""
    check_once_a_clip("hicmae", specs)
    return Model(clips.front_end(config, answering=True), Network(config, specs))


def _takes(config: Config) -> tuple[str, ...]:
    """What fine-tuning goes on with: the encoders it has, and the fusion if it reads both."""
    encoders = tuple(f"encoders.{name}." for name in config.reads)
    return (*encoders, "fusion.") if len(config.reads) > 1 else encoders


STAGES = {
    "pretrain": Stage(
        unit=Unit.CLIP,
        build=build_pretraining,
        modalities=("audio", "video"),
        objective=rebuild_and_contrast,
        supervised=False,
        hands_on=("encoders.", "fusion."),
    ),
    "finetune": Stage(unit=Unit.CLIP, build=build, modalities=("audio", "video"), takes=_takes),
}
