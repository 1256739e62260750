"""CLIP-sequential: emotion over time, frame by frame, from vectors that CLIP made of faces.

::

    frames     a face --> CLIP, tuned --> (D) --> Linear                       single frames
    sequence   faces --> the same CLIP, once --> (L, D), kept                  mien data features
               (L, D) --> TCN, looks back --> 1x1 --> Transformer --> perceptron --> (L, C)
                   windows of 300 frames, one every 200; answers to a frame are averaged

Weiwei Zhou, Chenkun Ling, Zefeng Cai, CVPR Workshops 2025 (8th ABAW), arXiv 2503.09929. What its
text was not at hand for is that of the same authors' system for the 6th ABAW, arXiv 2403.11440.

Shapes: B windows, L frames of a window, D width of the frame vectors, E of the tokens, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mien.config import Settings
from mien.errors import ConfigError, DataError
from mien.parts import adapters, towers
from mien.parts.augment import Augment
from mien.parts.facewear import FaceWear
from mien.parts.features import Standardise
from mien.parts.media import FrameMedia
from mien.parts.model import FRAMES, FrontEnd, Model, known_positions
from mien.parts.tcn import TCN, fill_forward
from mien.parts.temporal import FrameNorm, FrameTransformer, Kept
from mien.parts.vision import CLIP_MEAN, CLIP_STD, VideoFrontEnd
from mien.types import Output, Problem, Resolution, Specs, Stage, Unit, Windows

_WHOLE = 2**31  # positions: more than any recording has
_AT_ONCE = 256  # frames that a causal network answers together


class Config(Settings):
    """Where nothing else is said, defaults are those of the authors' code of 2024."""

    # -- stage frames --
    vision: str | dict[str, Any] = Field(
        "openai/clip-vit-base-patch16",
        description="image tower: hub name, local folder, or configuration values (random weights)",
    )
    vision_revision: str | None = Field(None, description="commit on the hub (default: pinned)")
    tune: Literal["all", "adapters"] = Field(
        "all", description="what of the tower learns: all of it, or low-rank updates"
    )
    rank: int = Field(8, ge=0, description="LoRA rank; 0 leaves the tower as it is")
    alpha: float = Field(16.0, gt=0, description="LoRA scale is alpha / rank")
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    size: int = Field(224, ge=8, description="height and width that the tower reads")
    fit: Literal["stretch", "crop"] = Field("stretch", description="frames that are not square")
    focus: float = Field(
        1.0, gt=0, le=1, description="share of each side that is looked at, around the middle"
    )
    augment: Literal["policy", "mild", "none"] = Field(
        "mild", description="random changes of training frames: those of CLAIP-Emo, or few"
    )
    every: int = Field(10, ge=1, description="recorded frames from one trained on to the next")

    # -- stage sequence --
    feature_dims: dict[str, int] = Field(
        {}, description="width of the frame vectors, as face=768; {} asks the data"
    )
    standardise: bool = Field(False, description="each feature to mean 0 and deviation 1")
    parts: tuple[Literal["tcn", "transformer"], ...] = Field(
        ("tcn", "transformer"), description="what looks over time; none answers frame by frame"
    )
    channels: tuple[int, ...] = Field((768, 256, 128), min_length=1, description="of the TCN")
    kernel: int = Field(5, ge=2, description="taps of the TCN's convolutions")
    dim: int = Field(512, ge=1, description="width E of the Transformer")
    depth: int = Field(8, ge=1, description="blocks of the Transformer")
    heads: int = Field(4, ge=1)
    mlp: int = Field(512, ge=1, description="hidden width of its feed-forward parts")
    dropout: float = Field(0.3, ge=0, lt=1)
    head: int = Field(256, ge=1, description="hidden width of the perceptron")
    head_norm: Literal["batch", "layer"] = Field(
        "batch", description="norm within the perceptron: over the frames of a batch, or of each"
    )
    bounded: bool = Field(False, description="tanh on values; else they are only clipped")
    window: int = Field(300, ge=1, description="frames that are looked at together")
    stride: int = Field(200, ge=1, description="frames from one window to the next")
    attention: Literal["window", "causal"] = Field(
        "window",
        description="of a frame to all of its window, or to as many frames before it: then every "
        "answer can be given at once",
    )
    smooth: Literal["none", "mean", "median", "mode"] = Field(
        "none", description="of the answers to a whole recording"
    )
    around: int = Field(20, ge=0, description="frames on each side that smoothing looks at")

    @model_validator(mode="after")
    def _windows_meet(self) -> Self:
        if self.stride > self.window:
            raise ValueError(f"windows of {self.window} every {self.stride} frames leave gaps")
        return self


# -- frames ----------------------------------------------------------------------------------------


def _front_end(config: Config) -> FrameMedia:
    augment: Augment | FaceWear | None = None
    if config.augment == "mild":
        augment = FaceWear.mild()
    elif config.augment == "policy":
        augment = Augment()
    return FrameMedia(
        VideoFrontEnd(
            size=config.size,
            mean=CLIP_MEAN,
            std=CLIP_STD,
            fit=config.fit,
            focus=config.focus,
            augment=augment,
        )
    )


class FrameNetwork(nn.Module):
    """An image tower, and one Linear a task over each frame's vector.

    Args:
        tower: ``(video, mask) -> (tokens (B, L, D), mask)``.
        specs: the tasks.
    """

    def __init__(self, tower: towers.Tower, specs: Specs) -> None:
        super().__init__()
        self.tower = tower
        self.heads = nn.ModuleDict(
            {name: nn.Linear(tower.dim, spec.width) for name, spec in specs.items()}
        )

    def forward(
        self,
        video: Tensor,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Pixels (B, 3, L, S, S) to raw answers (B, L, C), and the vectors (B, L, D) behind them.

        Args:
            video: normalised pixels.
            mask: ``mask["video"]`` (B, L), True where there is a face.
            present: (B, 1).
        """
        seen = known_positions("video", {"video": video}, mask, present)
        tokens, _ = self.tower(video, None if seen is None else seen.expand(-1, video.shape[2]))
        logits = {name: head(tokens) for name, head in self.heads.items()}
        return Output(logits=logits, features={FRAMES: tokens})

    # -- for layer decay --

    @property
    def layers(self) -> int:
        """The layer of the heads."""
        return self.tower.depth + 1

    def layer(self, name: str) -> int:
        """How far up a parameter lies."""
        part, _, rest = name.partition(".")
        return self.tower.layer(rest) if part == "tower" else self.layers


def build_frames(config: Config, specs: Specs) -> Model:
    """Front end and network that answer to single faces."""
    _check(config, specs)
    tower = towers.vision(config.vision, config.vision_revision)
    if config.tune == "all":
        tower.tune()
    else:
        adapters.lora(tower, config.targets, config.rank, config.alpha)
    return Model(_front_end(config), FrameNetwork(tower, specs))


# -- sequence --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Past:
    """What is kept of the frames that came before; its size does not grow with their number."""

    seen: Tensor | None = None  # (B, D), the last face
    tcn: Sequence[Tensor] = ()
    looked_at: Sequence[Kept] = field(default_factory=tuple)


class SequenceNetwork(nn.Module):
    """A TCN and a Transformer over the vectors of frames, and a perceptron a task.

    A frame without a face is read as the last one before it, or as zeros where there was none.

    Args:
        config: sizes.
        specs: the tasks.
    """

    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__()
        self.specs, self.features = dict(specs), _width(config)
        self.causal = config.attention == "causal"
        self.bounded = config.bounded
        width = self.features
        self.tcn = self.transformer = None
        if "tcn" in config.parts:
            self.tcn = TCN(width, config.channels, config.kernel, config.dropout)
            width = self.tcn.dim
        self.project = nn.Linear(width, config.dim)  # the published 1x1 convolution
        if "transformer" in config.parts:
            self.transformer = FrameTransformer(
                config.dim,
                config.depth,
                config.heads,
                config.mlp,
                config.dropout,
                reach=config.window if self.causal else None,
            )
        self.heads = nn.ModuleDict(
            {name: _head(config, spec.width) for name, spec in specs.items()}
        )

    def forward(
        self,
        face: Tensor,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Vectors (B, L, D) to raw answers (B, L, C).

        What stands behind the last face of a window is not looked at, and answered like it.

        Args:
            face: a vector a frame.
            mask: ``mask["face"]`` (B, L), True where there is a face.
            present: (B, 1).
        """
        if face.ndim != 3 or face.shape[2] != self.features:
            raise DataError(
                f"frame vectors are (windows, frames, {self.features}), not {tuple(face.shape)}",
                fix=f"model.feature_dims.face={face.shape[-1]}, or another feature of the data",
            )
        seen = known_positions("face", {"face": face}, mask, present)
        if seen is None:
            seen = torch.ones(face.shape[:2], dtype=torch.bool, device=face.device)
        seen = seen.expand(face.shape[:2])
        if self.causal and not self.training:
            return Output(logits=self._one_after_another(face, seen))
        at = torch.arange(face.shape[1], device=face.device).expand_as(seen)
        last = torch.where(seen, at, 0).amax(1, keepdim=True)  # (B, 1)
        inside = at <= last
        x, _ = self._tokens(face, seen, Past(), inside)  # (B, L, E)
        logits = {}
        for name, head in self.heads.items():
            answers = head(x[inside])  # (frames that count, C)
            whole = answers.new_zeros(*inside.shape, answers.shape[1])
            whole[inside] = answers
            held = at.minimum(last)[..., None].expand_as(whole)
            logits[name] = self._valued(name, whole.gather(1, held))
        return Output(logits=logits)

    def follow(
        self, face: Tensor, seen: Tensor, past: Past | None = None
    ) -> tuple[dict[str, Tensor], Past]:
        """Answers (B, n, C) to the next n frames at once, for ``attention=causal``.

        Args:
            face: their vectors (B, n, D).
            seen: (B, n), True where there is a face.
            past: what the call before gave; nothing at the beginning.
        """
        if not self.causal:
            raise ConfigError(
                "a frame of this network looks ahead, to the end of its window",
                fix="train one with model.attention=causal",
            )
        x, past = self._tokens(face, seen, past or Past(), None)
        flat = x.flatten(0, 1)
        logits = {
            name: self._valued(name, head(flat).unflatten(0, x.shape[:2]))
            for name, head in self.heads.items()
        }
        return logits, past

    def _one_after_another(self, face: Tensor, seen: Tensor) -> dict[str, Tensor]:
        """A whole recording, in pieces: each looks back as far as if it were one."""
        past, parts = Past(), list[dict[str, Tensor]]()
        for first in range(0, face.shape[1], _AT_ONCE):
            piece = slice(first, first + _AT_ONCE)
            logits, past = self.follow(face[:, piece], seen[:, piece], past)
            parts.append(logits)
        return {name: torch.cat([part[name] for part in parts], 1) for name in self.heads}

    def _tokens(
        self, face: Tensor, seen: Tensor, past: Past, inside: Tensor | None
    ) -> tuple[Tensor, Past]:
        """What the perceptrons read, (B, L, E)."""
        x = fill_forward(face, seen, past.seen)
        kept = Past(seen=x[:, -1])
        if self.tcn is not None:
            x, kept.tcn = self.tcn(x, past.tcn)
        x = self.project(x)
        if self.transformer is not None:
            x, kept.looked_at = self.transformer(x, inside, past.looked_at)
        return x, kept

    def _valued(self, name: str, logits: Tensor) -> Tensor:
        values = self.bounded and self.specs[name].problem is Problem.REGRESSION
        return logits.tanh() if values else logits


def _head(config: Config, outputs: int) -> nn.Sequential:
    """The perceptron; nothing stands between its norm and its last layer, as published."""
    norm = FrameNorm(config.head) if config.head_norm == "batch" else nn.LayerNorm(config.head)
    return nn.Sequential(nn.Linear(config.dim, config.head), norm, nn.Linear(config.head, outputs))


def _width(config: Config) -> int:
    if "face" not in config.feature_dims:
        raise ConfigError(
            "how wide are the frame vectors?",
            where="model.feature_dims",
            fix="model.feature_dims.face=768",
        )
    return config.feature_dims["face"]


def build_sequence(config: Config, specs: Specs) -> Model:
    """Front end and network that answer to faces over time."""
    _check(config, specs)
    front_end = Standardise({"face": _width(config)}) if config.standardise else FrontEnd()
    return Model(front_end, SequenceNetwork(config, specs))


def _check(config: Config, specs: Specs) -> None:
    for spec in specs.values():
        if spec.resolution is not Resolution.FRAME:
            raise ConfigError(
                f"clip-sequential answers once a frame, {spec.name!r} asks once a "
                f"{spec.resolution.value}",
                fix="labels over time, declared with resolution: frame",
            )
        if config.smooth == "mode" and not spec.categorical:
            raise ConfigError(
                f"only classes have a commonest one, and {spec.name!r} has none",
                where="model.smooth=mode",
                fix="model.smooth=median",
            )


# -- windows ---------------------------------------------------------------------------------------


def _frames(config: Config, training: bool) -> Windows:
    """Single frames to learn from, not all of them: those beside each other are alike."""
    if training:
        return Windows(length=1, stride=config.every, gaps=True)
    return Windows(length=4, stride=4, smooth=config.smooth, around=config.around)


def _windows(config: Config, training: bool) -> Windows:
    """As published; a network that looks back only reads recordings whole."""
    length, stride = config.window, config.stride
    if config.attention == "causal" and not training:
        length = stride = _WHOLE
    return Windows(length=length, stride=stride, smooth=config.smooth, around=config.around)


STAGES = {
    "frames": Stage(
        unit=Unit.IMAGE,
        build=build_frames,
        modalities=("video",),
        hands_on=("tower.",),
        windows=_frames,
    ),
    "sequence": Stage(
        unit=Unit.WINDOW,
        build=build_sequence,
        modalities=("face",),
        takes=lambda config: tuple(f"{part}." for part in (*config.parts, "project")),
        windows=_windows,
    ),
}
