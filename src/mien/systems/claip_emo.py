"""CLAIP-Emo: frozen language-supervised towers, adapted with under 4 % of their parameters.

::

    16 frames -- CLIP + LoRA --> 16 tokens -- class-token Transformer --> (B, D) --+
                                                                                 concat --> Linear
    10 s of sound -- CLAP + LoRA --> 64 tokens -- mean -----------------> (B, 768) +

Yin Chen, Jia Li, Jinpeng Hu, Zhenzhen Hu, Richang Hong, arXiv 2509.14527. No text encoder, prompt
or contrastive loss takes part: "language-supervised" is how the towers were pretrained.

Shapes: B clips, T frames a view, V views of an evaluated clip, D width of a tower, C outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.config import Settings
from mien.errors import ConfigError
from mien.parts import adapters, towers
from mien.parts.audio import ClapNative, OfficialFbank, spec_augment
from mien.parts.augment import Augment
from mien.parts.facewear import FaceWear
from mien.parts.features import FeatureEncoder, Standardise
from mien.parts.fusion import ConcatFusion
from mien.parts.media import MediaFrontEnd
from mien.parts.model import Model, given_of, known_positions
from mien.parts.temporal import ClassTokenTransformer, MeanPool
from mien.parts.views import check_once_a_clip, mean_answer
from mien.parts.vision import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, VideoFrontEnd
from mien.parts.voicewear import VoiceWear
from mien.parts.wear import Change, worn
from mien.types import Output, Specs, Stage, Unit

Modality = Literal["audio", "video"]
Encoder = towers.Tower | FeatureEncoder


class Config(Settings):
    """Where nothing else is said, defaults are those of the official code."""

    modalities: tuple[Modality, ...] = Field(("audio", "video"), min_length=1)

    vision: str | dict[str, Any] = Field(
        "openai/clip-vit-base-patch16",
        description="image tower: hub name, local folder, or configuration values (random weights)",
    )
    vision_revision: str | None = Field(None, description="commit on the hub (default: pinned)")
    vision_rank: int = Field(8, ge=0, description="LoRA rank; 0 leaves the tower as it is")
    vision_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    audio: str | dict[str, Any] = Field(
        "laion/clap-htsat-fused", description="sound tower, given like the image tower"
    )
    audio_revision: str | None = Field(None, description="commit on the hub (default: pinned)")
    audio_rank: int = Field(8, ge=0)
    audio_targets: tuple[str, ...] = Field(
        ("output.dense", "intermediate.dense", "patch_embed.proj"),
        description="add query, key and value to adapt what the official code leaves out",
    )
    tune: Literal["adapters", "all"] = Field(
        "adapters", description="what of a tower learns: low-rank updates, or all of its weights"
    )
    alpha: float = Field(32.0, gt=0, description="LoRA scale is alpha / rank")
    dropout: float = Field(0.1, ge=0, lt=1, description="on the input of LoRA, or after features")

    frames: int = Field(16, ge=1, description="frames a view")
    stride: int = Field(4, ge=1, description="recorded frames from one to the next")
    size: int = Field(224, ge=8, description="height and width that the image tower reads")
    views: int = Field(2, ge=1, description="windows of an evaluated clip, answers averaged")
    fit: Literal["stretch", "crop"] = Field("stretch", description="frames that are not square")
    normalisation: Literal["clip", "imagenet"] = Field(
        "clip",
        description="colour statistics; the official code feeds CLIP with ImageNet's; "
        "mien's own small tower has no use for any",
    )
    focus: float = Field(
        1.0, gt=0, le=1, description="share of each side that is looked at, around the middle"
    )
    augment: Literal["policy", "wear", "mild", "none"] = Field(
        "policy",
        description="random changes in training: the paper's policy for frames; wear of faces and "
        "voices as cameras, rooms and lines cause it; mild, which mirrors faces, cuts them a "
        "little differently and lights them otherwise; none",
    )
    face_wear: dict[str, Change] = Field(
        {}, description="of augment=wear: other shares and measures of FaceWear, by name"
    )
    voice_wear: dict[str, Change] = Field(
        {}, description="of augment=wear: other shares and measures of VoiceWear, by name"
    )

    audio_source_rate: int = Field(16000, ge=1, description="samples a second of the waveforms")
    audio_front: Literal["clap_native", "official_fbank", "fbank"] = Field(
        "clap_native",
        description="CLAP's own log-mels, the official Kaldi filter banks of 10 s at 48 kHz, or "
        "Kaldi filter banks of audio_seconds at the recording's rate",
    )
    audio_seconds: float = Field(4.0, gt=0, le=60, description="length of what fbank reads")
    long: Literal["crop", "fusion"] = Field(
        "crop", description="sound over 10 s: a part of it, or CLAP's fusion of the whole"
    )
    audio_bn: Literal["adapt", "freeze"] = Field(
        "adapt", description="whether the first norm of the sound tower follows the data"
    )
    drop_path: float = Field(0.1, ge=0, lt=1, description="of the sound tower's last block")
    spec_augment: bool = Field(True, description="silence stripes of training spectrograms")

    temporal: Literal["transformer", "mean"] = Field("transformer", description="over frames")
    checkpointing: bool = Field(False, description="less memory, a third more time to train")

    feature_dims: dict[Modality, int] | None = Field(
        None, description="width of feature vectors in the place of media; {} asks the data"
    )
    width: int = Field(128, ge=1, description="of the encoders of feature vectors")

    @property
    def reads(self) -> tuple[str, ...]:
        """The modalities in sorted order."""
        return tuple(sorted(set(self.modalities)))


# -- front end: what was recorded to what the towers read ------------------------------------------


def _frame_changes(config: Config) -> Augment | FaceWear | None:
    if config.augment == "wear":
        return worn(FaceWear, config.face_wear)
    if config.augment == "mild":
        return FaceWear.mild()
    return Augment() if config.augment == "policy" else None


def _sound_changes(config: Config) -> VoiceWear | None:
    if config.augment != "wear":
        return None
    made = worn(VoiceWear, config.voice_wear)
    made.rate = config.audio_source_rate
    return made


def front_end(config: Config) -> MediaFrontEnd:
    """Frames to normalised pixels (B, 3, V*T, S, S), sound to log-mels (B, 1 or 4, time, 64)."""
    if config.augment != "wear" and (config.face_wear or config.voice_wear):
        raise ConfigError(
            f"wear is set, and model.augment={config.augment} has none", fix="model.augment=wear"
        )
    clip = config.normalisation == "clip"
    video = VideoFrontEnd(
        frames=config.frames,
        stride=config.stride,
        size=config.size,
        views=config.views,
        fit=config.fit,
        mean=CLIP_MEAN if clip else IMAGENET_MEAN,
        std=CLIP_STD if clip else IMAGENET_STD,
        focus=config.focus,
        augment=_frame_changes(config),
    )
    return MediaFrontEnd(video, _spectra(config), _sound_changes(config))


def _spectra(config: Config) -> nn.Module:
    rate = config.audio_source_rate
    if config.audio_front == "clap_native":
        return ClapNative(source_rate=rate, long=config.long)
    if config.audio_front == "official_fbank":
        return OfficialFbank(source_rate=rate)
    seconds = config.audio_seconds
    frames = math.ceil(100 * seconds)  # one every 10 ms
    return OfficialFbank(rate=rate, source_rate=rate, seconds=seconds, frames=frames, pad="silence")


# -- network ---------------------------------------------------------------------------------------


class Network(nn.Module):
    """An encoder and a temporal module for each modality, their vectors joined, one Linear a task.

    Args:
        encoders: ``(x, mask) -> (tokens (B, L, D), mask)`` by modality.
        temporal: ``(tokens, mask) -> (B, D)`` by modality.
        specs: the tasks.
        frames: T; more of them are V views of T, answered one by one.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        temporal: Mapping[str, nn.Module],
        specs: Specs,
        frames: int,
    ) -> None:
        super().__init__()
        self.specs, self.frames = dict(specs), frames
        self.encoders = nn.ModuleDict(encoders)
        self.temporal = nn.ModuleDict(temporal)
        self.fusion = ConcatFusion({name: encoder.dim for name, encoder in encoders.items()})
        self.heads = nn.ModuleDict(
            {name: nn.Linear(self.fusion.dim, spec.width) for name, spec in specs.items()}
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
            video: pixels (B, 3, V*T, S, S), or features (B, L, D).
            audio: log-mels (B, 1 or 4, time, 64), or features (B, L, D).
            mask: (B, L) for each modality; without it everything is there.
            present: (B, M), a column for each given modality in sorted order.
        """
        given = given_of(self.encoders, audio=audio, video=video)
        vectors, there = {}, {}
        for name in [name for name in given if name in self.encoders]:
            seen = known_positions(name, given, mask, present)
            vectors[name] = self._vectors(name, given[name], seen)  # (B, V or 1, D)
            if seen is not None:
                there[name] = seen.any(1)
        return self._answer(vectors, there)

    def _vectors(self, name: str, x: Tensor, seen: Tensor | None) -> Tensor:
        """One vector a view, (B, V, D)."""
        encoder = self.encoders[name]
        tokens, mask = encoder(x, seen)
        batch, length, dim = tokens.shape
        views = 1
        if name == "video" and isinstance(encoder, towers.Tower) and length % self.frames == 0:
            views = length // self.frames
        tokens = tokens.reshape(batch * views, -1, dim)
        vectors: Tensor = self.temporal[name](tokens, mask.reshape(batch * views, -1))
        return vectors.view(batch, views, dim)

    def _answer(self, vectors: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> Output:
        views = max(vector.shape[1] for vector in vectors.values())
        flat = {name: v.expand(-1, views, -1).flatten(0, 1) for name, v in vectors.items()}
        present = None
        if there:
            present = torch.stack([there[name] for name in sorted(there)], 1)
            present = present.repeat_interleave(views, 0)
        fused = self.fusion(flat, present).unflatten(0, (-1, views))  # (B, V, sum of D)
        return Output(
            logits={
                name: mean_answer(head(fused), self.specs[name])
                for name, head in self.heads.items()
            },
            features={name: v.mean(1) for name, v in vectors.items()} | {"fused": fused.mean(1)},
        )

    # -- for layer decay --

    @property
    def layers(self) -> int:
        """The heads' layer: one above the deepest tower's last block."""
        return 1 + max(_depth(encoder) for encoder in self.encoders.values())

    def layer(self, name: str) -> int:
        """How far up a parameter lies: towers end together, below everything that is new."""
        start, *rest = name.split(".")
        if start != "encoders":
            return self.layers
        encoder = self.encoders[rest[0]]
        if not isinstance(encoder, towers.Tower):
            return self.layers
        return self.layers - 1 - encoder.depth + encoder.layer(".".join(rest[1:]))


def _depth(encoder: nn.Module) -> int:
    return encoder.depth if isinstance(encoder, towers.Tower) else 0


# -- building --------------------------------------------------------------------------------------


def build(config: Config, specs: Specs) -> Model:
    """Front end and network for these tasks."""
    check_once_a_clip("claip-emo", specs)
    if config.feature_dims is not None:
        return _from_features(config, config.feature_dims, specs)
    encoders: dict[str, Encoder] = {}
    if "video" in config.modalities:
        encoders["video"] = _vision_tower(config)
    if "audio" in config.modalities:
        encoders["audio"] = _audio_tower(config)
    temporal: dict[str, nn.Module] = {name: MeanPool() for name in encoders}
    if "video" in encoders and config.temporal == "transformer":
        temporal["video"] = _transformer(config, encoders["video"].dim)
    return Model(front_end(config), Network(encoders, temporal, specs, config.frames))


def _vision_tower(config: Config) -> towers.Tower:
    tower = towers.vision(config.vision, config.vision_revision)
    if isinstance(tower, towers.ClipVision):
        tower.checkpointing = config.checkpointing
    return _learning(tower, config, config.vision_targets, config.vision_rank)


def _audio_tower(config: Config) -> towers.Tower:
    tower = towers.audio(config.audio, config.audio_revision)
    if isinstance(tower, towers.ClapAudio | towers.VoiceTower):
        tower.regularise(
            drop_path=config.drop_path,
            adapt=config.audio_bn == "adapt",
            augment=spec_augment if config.spec_augment else None,
        )
    return _learning(tower, config, config.audio_targets, config.audio_rank)


def _learning(
    tower: towers.Tower, config: Config, targets: Sequence[str], rank: int
) -> towers.Tower:
    """A tower of which adapters learn, or everything."""
    if config.tune == "all":
        return tower.tune()
    adapters.lora(tower, targets, rank, config.alpha, config.dropout)
    return tower


def _from_features(config: Config, dims: Mapping[Modality, int], specs: Specs) -> Model:
    """The same fusion and heads over feature vectors, in the place of media and towers."""
    chosen: dict[str, int] = {
        name: dims[name] for name in sorted(dims) if name in config.modalities
    }
    if not chosen:
        raise ConfigError(
            "how wide are the feature vectors?",
            where="model.feature_dims",
            fix="model.feature_dims.video=35 model.feature_dims.audio=259",
        )
    encoders: dict[str, Encoder] = {
        name: FeatureEncoder(dim, config.width, config.dropout) for name, dim in chosen.items()
    }
    temporal: dict[str, nn.Module] = {
        name: _transformer(config, config.width) if config.temporal == "transformer" else MeanPool()
        for name in chosen
    }
    return Model(Standardise(chosen), Network(encoders, temporal, specs, config.frames))


def _transformer(config: Config, dim: int) -> ClassTokenTransformer:
    return ClassTokenTransformer(dim, positions=config.frames + 1)


STAGES = {
    "classify": Stage(
        unit=Unit.CLIP,
        build=build,
        modalities=("audio", "video"),
        hands_on=("encoders.", "temporal."),  # to another corpus, and heads of the same classes
    )
}
