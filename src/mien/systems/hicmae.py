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
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mien.config import Settings
from mien.errors import ConfigError
from mien.parts.alignment import AlignedMedia, MaskedMedia
from mien.parts.audio import OfficialFbank
from mien.parts.augment import Augment, ScaleCrop
from mien.parts.autoencoder import (
    AudioVisualAutoencoder,
    CrossModalEncoder,
    LevelPool,
    PatchEncoder,
    SkipDecoder,
)
from mien.parts.blocks import EPS
from mien.parts.losses import Combined, Contrast
from mien.parts.model import Model, blank, clips_with
from mien.parts.patches import Patches
from mien.parts.pretext import PatchTarget, Reconstruction
from mien.parts.views import flattened, mean_answer
from mien.parts.vision import IMAGENET_MEAN, IMAGENET_STD, VideoFrontEnd
from mien.systems.hicmae_official import convert
from mien.types import Objective, Output, Resolution, Specs, Stage, Unit

__all__ = ["STAGES", "Config", "convert"]

Modality = Literal["audio", "video"]
BOTH = ("video", "audio")  # in the order in which the official head reads them

RATE = 16000  # samples a second of the analysis
WINDOW, HOP = 400, 160  # samples of a frame of sound, and from one to the next
AUDIOSET = (-4.2677393, 2 * 4.5689974)  # mean, and twice the deviation, of its filter banks


class Config(Settings):
    """Where nothing else is said, defaults are those of the official code for size B."""

    modalities: tuple[Modality, ...] = Field(("audio", "video"), min_length=1)

    dim: int = Field(512, ge=2, description="width of the encoders")
    depth: int = Field(10, ge=1, description="blocks of each encoder")
    heads: int = Field(8, ge=1, description="attention heads of encoders and fusion")
    fusion_depth: int = Field(2, ge=1, description="cross-modal blocks of each stream")
    decoder_dim: int = Field(384, ge=2, description="width of the decoders")
    decoder_depth: int = Field(4, ge=2, description="blocks of each decoder")
    decoder_heads: int = Field(6, ge=1)
    levels: tuple[int, ...] = Field(
        (4, 7, 10), description="blocks, from 1, that are contrasted and looked back at"
    )
    patch: int = Field(16, ge=1, description="height and width of a patch of a frame")
    tubelet: int = Field(2, ge=1, description="frames that a patch lasts")
    sound_patch: int = Field(16, ge=1, description="sides of a patch of a spectrogram")
    drop_path: float = Field(0.1, ge=0, lt=1, description="of the last blocks, in fine-tuning")

    video_hidden: float = Field(0.9, gt=0, lt=1, description="share of places hidden, as tubes")
    audio_hidden: float = Field(0.8, gt=0, lt=1, description="share of patches hidden, anywhere")
    contrast: float = Field(0.0025, ge=0, description="factor on each level's contrast")
    temperature: float = Field(0.07, gt=0)
    negatives: Literal["gathered", "local"] = Field(
        "gathered", description="of the whole batch, or of a process's own part (official)"
    )
    frame_difference: bool = Field(
        True, description="rebuild each second frame as its difference to the one before"
    )

    frames: int = Field(16, ge=1, description="frames a view")
    stride: int = Field(4, ge=1, description="recorded frames from one to the next")
    size: int = Field(160, ge=1, description="height and width of frames")
    views: int = Field(2, ge=1, description="windows of an evaluated clip, answers averaged")
    fit: Literal["stretch", "crop"] = Field("stretch", description="frames that are not square")
    augment: bool = Field(True, description="random changes of training frames and loudness")
    audio_source_rate: int = Field(16000, ge=1, description="samples a second of the waveforms")
    mels: int = Field(128, ge=1, description="bands of the spectrogram")
    sound_frames: int = Field(256, ge=1, description="its rows, one every 10 ms")

    @property
    def reads(self) -> tuple[str, ...]:
        """The modalities, in the order in which their features are read."""
        return tuple(name for name in BOTH if name in self.modalities)

    @property
    def patch_size(self) -> dict[str, tuple[int, ...]]:
        """Sides of a patch of each modality."""
        return {
            "audio": (self.sound_patch, self.sound_patch),
            "video": (self.tubelet, self.patch, self.patch),
        }

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """What the decoders look back at, and patches that divide what they are cut from."""
        levels, looks = list(self.levels), self.decoder_depth - 1
        if len(levels) != looks:
            raise ValueError(f"{looks + 1} decoder blocks look back at {looks} levels: {levels}")
        if levels != sorted(set(levels)) or levels[0] < 1 or levels[-1] != self.depth:
            raise ValueError(f"levels rise from 1 to the last of {self.depth} blocks: {levels}")
        if self.frame_difference and self.tubelet % 2:
            raise ValueError("differences are taken within a patch: tubelet=2")
        video, audio = (self.frames, self.size, self.size), (self.sound_frames, self.mels)
        for extents, sides in (
            (video, self.patch_size["video"]),
            (audio, self.patch_size["audio"]),
        ):
            if any(extent % side for extent, side in zip(extents, sides, strict=True)):
                raise ValueError(f"patches of {sides} do not divide an input of {extents}")
        return self


# -- front ends: what was recorded to what the encoders read ---------------------------------------


def _front_end(config: Config, *, pretraining: bool) -> AlignedMedia:
    augment = ScaleCrop() if pretraining else Augment()
    video = VideoFrontEnd(
        frames=config.frames,
        stride=config.stride,
        size=config.size,
        views=1 if pretraining else config.views,
        fit=config.fit,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        spread=not pretraining,
        augment=augment if config.augment else None,
    )
    audio = OfficialFbank(
        rate=RATE,
        source_rate=config.audio_source_rate,
        mels=config.mels,
        window=1000 * WINDOW // RATE,
        seconds=(WINDOW + HOP * (config.sound_frames - 1)) / RATE,
        frames=config.sound_frames,
        short="end",
        gain=config.augment,
        scale=AUDIOSET,
    )
    seconds = config.frames * config.stride / 25
    if not pretraining:
        return AlignedMedia(video, audio, seconds=seconds)
    hidden = {"audio": config.audio_hidden, "video": config.video_hidden}
    by_patch = {name: (config.patch_size[name], share) for name, share in hidden.items()}
    return MaskedMedia(video, audio, seconds=seconds, hidden=by_patch)


# -- the parts of both networks --------------------------------------------------------------------


def _encoder(config: Config, name: str, drop_path: float) -> PatchEncoder:
    channels = 3 if name == "video" else 1
    return PatchEncoder(
        Patches(channels, config.patch_size[name], config.dim),
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
    decoders = {
        name: SkipDecoder(
            config.dim,
            width=config.decoder_dim,
            depth=config.decoder_depth,
            heads=config.decoder_heads,
            outputs=encoder.patches.values,
        )
        for name, encoder in encoders.items()
    }

    targets = {
        "audio": PatchTarget(config.patch_size["audio"]),
        "video": PatchTarget(
            config.patch_size["video"],
            frame_difference=config.frame_difference,
            # Of colours in 0..1: what is added to their deviation is small compared with that.
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        ),
    }
    return AudioVisualAutoencoder(
        encoders,
        _fusion(config, 0.0),
        decoders,
        targets=targets,
        levels=config.levels,
        temperature=config.temperature,
    )


def rebuild_and_contrast(config: Config, specs: Specs) -> Objective:
    """Errors of both modalities, and the contrast between them at every level."""
    del specs
    parts: list[tuple[str, float, Objective]] = [(name, 1.0, Reconstruction(name)) for name in BOTH]
    if config.contrast:
        local = config.negatives == "local"
        parts += [
            (
                f"contrast_{level}",
                config.contrast,
                Contrast(f"video_{level}", f"audio_{level}", config.temperature, local=local),
            )
            for level in config.levels
        ]
    return Combined(parts)


# -- fine-tuning -----------------------------------------------------------------------------------


class Network(nn.Module):
    """Every level of each encoder, and what the fusion makes of the last, to an answer a task.

    A clip that lacks a modality has zeros for its features, and its other stream looks at itself
    alone. A network that reads one modality has no fusion: the last level's mean takes its place.

    Args:
        config: sizes, and which modalities are read.
        specs: the tasks.
    """

    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__()
        self.config, self.specs = config, dict(specs)
        self.encoders = nn.ModuleDict(
            {name: _encoder(config, name, config.drop_path) for name in config.reads}
        )
        self.pools = nn.ModuleDict({name: LevelPool(config.depth) for name in config.reads})
        self.fusion = _fusion(config, config.drop_path) if len(config.reads) > 1 else None
        width = 2 * config.dim * len(config.reads)
        self.feature_norm = nn.LayerNorm(width, eps=EPS)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, spec.width) for name, spec in specs.items()}
        )

    def forward(
        self,
        video: Tensor | None = None,
        audio: Tensor | None = None,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """What the front end made, in any subset, to raw answers.

        Args:
            video: normalised pixels (B, 3, V*T, H, W); V is 1 unless there are whole views.
            audio: normalised filter banks (B, V, time, mel).
            mask: (B, L) for each modality; without it everything is there.
            present: (B, M), a column for each given modality in sorted order.

        Returns:
            Logits by task; features ``video`` and ``audio`` (B, C) of all levels, and ``fused``
            (B, 4 C), which the heads read.
        """
        given = {n: x for n, x in (("video", video), ("audio", audio)) if x is not None}
        read = {name: self._views(name, x) for name, x in given.items() if name in self.encoders}
        if not read:
            raise ConfigError(
                f"no input for any of {', '.join(self.encoders)}: got {', '.join(given) or 'none'}"
            )
        flat, views = flattened(read)  # (B*V, ...)
        there, levels = {}, {}
        for name, x in flat.items():
            own = clips_with(name, given, mask, present)
            there[name] = None if own is None else own.repeat_interleave(views)
            levels[name] = self.encoders[name](blank(x, there[name]))
        tokens = {name: own[-1] for name, own in levels.items()}
        pooled = {name: blank(self.pools[name](own), there[name]) for name, own in levels.items()}
        fused = tokens if self.fusion is None else self.fusion(tokens, there)
        last = {name: blank(x.mean(1), there[name]) for name, x in fused.items()}
        return self._answer(pooled, last, views)

    def _views(self, name: str, x: Tensor) -> Tensor:
        """One modality view by view: (B, V, 3, T, H, W) or (B, V, 1, time, mel)."""
        if name == "audio":
            return x[:, :, None]
        frames = self.config.frames
        views = 1 if x.shape[2] % frames else x.shape[2] // frames
        return torch.unflatten(x, 2, (views, -1)).transpose(1, 2)

    def _answer(
        self, pooled: Mapping[str, Tensor], last: Mapping[str, Tensor], views: int
    ) -> Output:
        like = next(iter(pooled.values()))
        absent = torch.zeros_like(like)
        parts = [made.get(name, absent) for made in (pooled, last) for name in self.encoders]
        feature = torch.unflatten(self.feature_norm(torch.cat(parts, 1)), 0, (-1, views))
        return Output(
            logits={
                name: mean_answer(head(feature), self.specs[name])
                for name, head in self.heads.items()
            },
            features={
                name: torch.unflatten(vector, 0, (-1, views)).mean(1)
                for name, vector in pooled.items()
            }
            | {"fused": feature.mean(1)},
        )

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
    if len(config.reads) < len(BOTH):
        raise ConfigError(
            "pre-training sets sound against pictures, and needs both",
            where=f"model.modalities={list(config.modalities)}",
            fix="pre-train with both; stage.finetune.model.modalities=[audio] reads one",
        )
    return Model(_front_end(config, pretraining=True), _pretraining(config))


def build(config: Config, specs: Specs) -> Model:
    """Front end and network for these tasks."""
    for spec in specs.values():
        if spec.resolution is not Resolution.CLIP:
            raise ConfigError(
                f"hicmae answers once a clip, {spec.name!r} asks once a {spec.resolution.value}",
                fix="cut the recordings into one row a label",
            )
    return Model(_front_end(config, pretraining=False), Network(config, specs))


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
