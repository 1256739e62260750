"""Clips of a face and a voice for masked autoencoders: sizes, front ends, decoders, objective.

Shapes: B clips, T frames, H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from mien.config import Settings
from mien.errors import ConfigError
from mien.parts.alignment import AlignedMedia, MaskedMedia
from mien.parts.audio import OfficialFbank
from mien.parts.augment import Augment, ScaleCrop
from mien.parts.autoencoder import PatchDecoder
from mien.parts.losses import Combined, Contrast
from mien.parts.patches import Patches
from mien.parts.pretext import PatchTarget, Reconstruction
from mien.parts.vision import IMAGENET_MEAN, IMAGENET_STD, VideoFrontEnd
from mien.types import Objective

Modality = Literal["audio", "video"]
BOTH = ("video", "audio")  # in the order in which heads read them
CHANNELS = {"video": 3, "audio": 1}

RATE = 16000  # samples a second of the analysis
WINDOW, HOP = 400, 160  # samples of a frame of sound, and from one to the next
AUDIOSET = (-4.2677393, 2 * 4.5689974)  # mean, and twice the deviation, of its filter banks


class ClipSettings(Settings):
    """How a clip is looked at, cut into patches, hidden, rebuilt, and contrasted."""

    modalities: tuple[Modality, ...] = Field(("audio", "video"), min_length=1)

    dim: int = Field(512, ge=2, description="width of the encoders")
    heads: int = Field(8, ge=1, description="their attention heads")
    decoder_dim: int = Field(384, ge=2, description="width of the decoders")
    decoder_depth: int = Field(4, ge=1, description="blocks of each decoder")
    decoder_heads: int = Field(6, ge=1)
    drop_path: float = Field(0.1, ge=0, lt=1, description="of the last blocks, in fine-tuning")
    contrast: float = Field(0.0025, ge=0, description="factor on each contrast of pre-training")
    temperature: float = Field(0.07, gt=0, description="of its similarities")
    negatives: Literal["gathered", "local"] = Field(
        "gathered", description="of the whole batch, or of a process's own part"
    )

    patch: int = Field(16, ge=1, description="height and width of a patch of a frame")
    tubelet: int = Field(2, ge=1, description="frames that a patch lasts")
    sound_patch: int = Field(16, ge=1, description="sides of a patch of a spectrogram")
    video_hidden: float = Field(0.9, gt=0, lt=1, description="share of places hidden, as tubes")
    audio_hidden: float = Field(0.8, gt=0, lt=1, description="share of patches hidden, anywhere")
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

    @property
    def hidden(self) -> dict[str, float]:
        """Share of each modality's patches that pre-training hides."""
        return {"audio": self.audio_hidden, "video": self.video_hidden}

    @model_validator(mode="after")
    def _patches_fit(self) -> Self:
        """Patches divide what they are cut from."""
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


def need_both(config: ClipSettings) -> None:
    """Refuse to set one modality against the other where only one is read."""
    if len(config.reads) < len(BOTH):
        raise ConfigError(
            "pre-training sets sound against pictures, and needs both",
            where=f"model.modalities={list(config.modalities)}",
            fix="pre-train with both; stage.finetune.model.modalities=[audio] reads one",
        )


def front_end(
    config: ClipSettings, *, answering: bool, hidden: Mapping[str, float] | None = None
) -> AlignedMedia:
    """Frames to pixels (B, 3, T, H, W), their sound to filter banks (B, 1, time, mel).

    Args:
        config: sizes.
        answering: whether the stage answers tasks. Then training changes frames in more ways, and
            evaluation looks at several views; else at one.
        hidden: shares of patches for which masks are drawn; None: no masks.
    """
    augment = Augment() if answering else ScaleCrop()
    video = VideoFrontEnd(
        frames=config.frames,
        stride=config.stride,
        size=config.size,
        views=config.views if answering else 1,
        fit=config.fit,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        spread=answering,
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
    if hidden is None:
        return AlignedMedia(video, audio, seconds=seconds)
    by_patch = {name: (config.patch_size[name], share) for name, share in hidden.items()}
    return MaskedMedia(video, audio, seconds=seconds, hidden=by_patch)


def patches(config: ClipSettings, name: str, dim: int) -> Patches:
    """What cuts a modality into tokens of a width."""
    return Patches(CHANNELS[name], config.patch_size[name], dim)


def decoders(config: ClipSettings, *, looks: int = 0) -> dict[str, PatchDecoder]:
    """A decoder for each modality; the last ``looks`` of its blocks look back at a level."""
    return {
        name: PatchDecoder(
            config.dim,
            width=config.decoder_dim,
            depth=config.decoder_depth,
            heads=config.decoder_heads,
            outputs=CHANNELS[name] * math.prod(config.patch_size[name]),
            looks=looks,
        )
        for name in BOTH
    }


def rebuild_and_contrast(
    config: ClipSettings, levels: Mapping[str, int], temperature: str | float
) -> Combined:
    """Errors of both modalities, and a contrast between them.

    Args:
        config: its factor, and which negatives it has.
        levels: whose features are contrasted, by the name of the term.
        temperature: as :class:`Contrast` takes it.
    """
    parts: list[tuple[str, float, Objective]] = [(name, 1.0, Reconstruction(name)) for name in BOTH]
    local = config.negatives == "local"
    for name, level in levels.items() if config.contrast else ():
        pair = Contrast(f"video_{level}", f"audio_{level}", temperature, local=local)
        parts.append((name, config.contrast, pair))
    return Combined(parts)


def targets(config: ClipSettings) -> dict[str, PatchTarget]:
    """What is to be rebuilt of each modality."""
    return {
        "audio": PatchTarget(config.patch_size["audio"]),
        "video": PatchTarget(
            config.patch_size["video"],
            frame_difference=config.frame_difference,
            # Of colours in 0..1: what is added to their deviation is small compared with that.
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        ),
    }
