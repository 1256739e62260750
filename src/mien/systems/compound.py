"""Compound emotions from features: a TCN a modality, fused frame by frame.

::

    visual   (L, 512) --> TCN --> norm --+
    audio    (L, 128) --> TCN --> norm --+--> LFAN, CAN, JMT or MT --> Linear --> (L, C)
    text     (L, 768) --> TCN --> norm --+
                 windows of 300 frames, one every 200; answers to a frame are averaged,
                 and a clip is what most of its frames are, or their mean

Nicolas Richet, Soufiane Belharbi and others, *Textualized and Feature-based Models for Compound
Multimodal Emotion Recognition in the Wild*, ECCV Workshops 2024 (7th ABAW), arXiv 2407.12927: the
feature-based half. The text-based one is another system.

Shapes: B windows, L frames of a window, D width of a modality's features, E of what is fused,
C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from mien.config import Settings
from mien.errors import ConfigError, DataError
from mien.parts.features import Standardise
from mien.parts.framefusion import ChannelAttention, CrossedTokens, LeaderFollower
from mien.parts.model import FrontEnd, Model, given_of, known_positions
from mien.parts.tcn import TCN, fill_forward
from mien.parts.temporal import FrameNorm
from mien.types import Output, Problem, Resolution, Specs, Stage, Unit, Windows

Modality = Literal["visual", "audio", "text"]

ORDER: tuple[Modality, ...] = ("visual", "audio", "text")
"""As published; the first one that a network has is LFAN's leader."""

_WHOLE = 2**31  # frames: more than any recording has


class Config(Settings):
    """Defaults are LFAN's published sizes."""

    fusion: Literal["lfan", "can", "jmt", "mt"] = Field(
        "lfan", description="leader and followers, channel attention, or crossed Transformers"
    )
    modalities: tuple[Modality, ...] = Field(
        ORDER, min_length=1, description="what is read, where the data have it"
    )
    feature_dims: dict[str, int] = Field(
        {}, description="width of the features, as visual=512; {} asks the data"
    )
    standardise: tuple[Modality, ...] = Field(
        ("audio", "text"), description="to mean 0 and deviation 1 over the training part"
    )
    channels: dict[str, tuple[int, ...]] = Field(
        {"visual": (256, 256, 128, 128), "audio": (64, 64, 32, 32), "text": (256, 256, 128, 128)},
        description="of each TCN",
    )
    kernel: int = Field(5, ge=2, description="taps of the TCNs' convolutions")
    dropout: float = Field(0.1, ge=0, lt=1, description="in the TCNs")
    dim: int = Field(32, ge=1, description="width that each modality is brought to for fusion")
    heads: int = Field(2, ge=1, description="of attention between modalities; can has none")
    mlp: int = Field(128, ge=1, description="hidden width of the Transformers of jmt and mt")
    follower_dropout: float = Field(0.1, ge=0, lt=1, description="on lfan's followers")
    literal: bool = Field(
        False,
        description="jmt and mt as in the published code, which attends over the frames of all "
        "clips of a batch instead of over the tokens of a frame",
    )
    norm: Literal["batch", "layer"] = Field(
        "batch", description="over the frames of a batch, or over the channels of each"
    )
    window: int = Field(300, ge=1, description="frames that are looked at together")
    stride: int = Field(200, ge=1, description="frames from one window to the next")
    whole: bool = Field(False, description="answer recordings whole, and only train on windows")
    smooth: Literal["none", "mean", "median", "mode"] = Field(
        "none", description="of the answers to a whole recording"
    )
    around: int = Field(20, ge=0, description="frames on each side that smoothing looks at")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.stride > self.window:
            raise ValueError(f"windows of {self.window} every {self.stride} frames leave gaps")
        for name in self.modalities:
            if not self.channels.get(name):
                raise ValueError(f"channels.{name} says nothing, and {name} is read")
        if self.fusion in ("jmt", "mt") and "text" in self.modalities:
            raise ValueError(
                f"{self.fusion} crosses two modalities, and text is none of them: "
                "modalities=[visual, audio]"
            )
        if self.literal and self.fusion not in ("jmt", "mt"):
            raise ValueError(f"{self.fusion} has no other published form: leave out literal")
        return self


class FrameNetwork(nn.Module):
    """A TCN a modality, a fusion, and a head a task.

    A frame at which nothing of a modality was found is read as the last one before it; the modality
    joins the fusion with the first of its frames.

    Args:
        config: sizes.
        specs: the tasks.
    """

    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__()
        self.specs, self.features = dict(specs), _widths(config)
        self.tcns = nn.ModuleDict(
            {
                name: TCN(width, config.channels[name], config.kernel, config.dropout, "fixed")
                for name, width in self.features.items()
            }
        )
        self.widths = {name: config.channels[name][-1] for name in self.features}
        self.norms = nn.ModuleDict({name: _norm(config, w) for name, w in self.widths.items()})
        self.fusion = _fusion(config, self.widths)
        width = self.fusion.dim
        self.hidden = self.hidden_norm = None
        if config.fusion != "lfan":
            self.hidden, self.hidden_norm = nn.Linear(width, width), _norm(config, width)
        self.heads = nn.ModuleDict({n: nn.Linear(width, spec.width) for n, spec in specs.items()})

    def forward(
        self,
        visual: Tensor | None = None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Features (B, L, D) to raw answers (B, L, C).

        What stands behind the last frame of all modalities is answered like it.

        Args:
            visual: a vector a frame.
            audio: the same, of sound.
            text: the same, of what is said.
            mask: ``mask[m]`` (B, L), True where there is something.
            present: (B, M), a column for each given modality in sorted order.
        """
        given = given_of(self.features, visual=visual, audio=audio, text=text)
        length = max(x.shape[1] for x in given.values())
        x, seen = {}, {}
        for name in self.features.keys() & given.keys():
            x[name] = _padded(self._checked(name, given[name]), length)
            known = known_positions(name, given, mask, present)
            if known is None:
                known = torch.ones(1, 1, dtype=torch.bool, device=x[name].device)
            seen[name] = _padded(known.expand(given[name].shape[:2]), length)
        inside, last = _inside(torch.stack([*seen.values()]).any(0))
        tokens, there = self._tokens(x, seen, inside)
        fused = self.fusion(tokens, there, inside)[inside]  # (frames that count, E)
        if self.hidden is not None and self.hidden_norm is not None:
            fused = F.leaky_relu(self.hidden_norm(self.hidden(fused)))
        return Output(logits={name: self._said(name, fused, inside, last) for name in self.heads})

    def _tokens(
        self, x: Mapping[str, Tensor], seen: Mapping[str, Tensor], inside: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Normed answers of the TCNs (B, L, their width), and from where on there are any."""
        tokens, there = {}, {}
        for name in self.features:
            if name not in x:
                tokens[name] = torch.zeros(*inside.shape, self.widths[name], device=inside.device)
                there[name] = torch.zeros_like(inside)
                continue
            there[name] = seen[name].cummax(1).values & inside
            made, _ = self.tcns[name](fill_forward(x[name], seen[name]))
            normed = self.norms[name](made[there[name]])
            tokens[name] = normed.new_zeros(made.shape)
            tokens[name][there[name]] = normed
        return tokens, there

    def _said(self, name: str, fused: Tensor, inside: Tensor, last: Tensor) -> Tensor:
        """One task's answers (B, L, C); behind the last frame its answer holds."""
        answers: Tensor = self.heads[name](fused)
        if self.specs[name].problem is Problem.REGRESSION:
            answers = answers.tanh()  # as published
        whole = answers.new_zeros(*inside.shape, answers.shape[1])
        whole[inside] = answers
        at = torch.arange(inside.shape[1], device=inside.device).minimum(last)  # (B, L)
        return whole.gather(1, at[..., None].expand_as(whole))

    def _checked(self, name: str, x: Tensor) -> Tensor:
        if x.ndim != 3 or x.shape[2] != self.features[name]:
            raise DataError(
                f"{name} features are (windows, frames, {self.features[name]}), "
                f"not {tuple(x.shape)}",
                fix=f"model.feature_dims.{name}={x.shape[-1]}, or another feature of the data",
            )
        return x


def _fusion(
    config: Config, widths: Mapping[str, int]
) -> LeaderFollower | ChannelAttention | CrossedTokens:
    if config.fusion == "lfan":
        return LeaderFollower(widths, config.dim, config.heads, config.follower_dropout)
    if config.fusion == "can":
        return ChannelAttention(widths, config.dim)
    return CrossedTokens(
        widths,
        config.dim,
        config.heads,
        config.mlp,
        joint=config.fusion == "jmt",
        literal=config.literal,
    )


def _norm(config: Config, width: int) -> nn.Module:
    return FrameNorm(width) if config.norm == "batch" else nn.LayerNorm(width)


def _widths(config: Config) -> dict[str, int]:
    """Width of each modality that a network has, in the published order."""
    dims = config.feature_dims
    found: dict[str, int] = {m: dims[m] for m in ORDER if m in config.modalities and m in dims}
    if not found:
        raise ConfigError(
            "how wide are the features?",
            where="model.feature_dims",
            fix="model.feature_dims={visual: 512, audio: 128, text: 768}",
        )
    return found


def _padded(x: Tensor, length: int) -> Tensor:
    """``x`` (B, L, ...) at so many frames; those behind its end are zeros."""
    return F.pad(x, [0, 0] * (x.ndim - 2) + [0, length - x.shape[1]])


def _inside(seen: Tensor) -> tuple[Tensor, Tensor]:
    """Frames (B, L) up to the last one at which anything is seen, and that one (B, 1)."""
    at = torch.arange(seen.shape[1], device=seen.device).expand_as(seen)
    last = torch.where(seen, at, 0).amax(1, keepdim=True)
    return at <= last, last


def build(config: Config, specs: Specs) -> Model:
    """Front end and network that answer to features over time."""
    for spec in specs.values():
        if spec.resolution is not Resolution.FRAME:
            raise ConfigError(
                f"compound answers once a frame, {spec.name!r} asks once a {spec.resolution.value}",
                fix="classes, which a frame shares with its clip, or labels over time",
            )
    widths = _widths(config)
    known: dict[str, int] = {m: widths[m] for m in config.standardise if m in widths}
    front_end = Standardise(known) if known else FrontEnd()
    return Model(front_end, FrameNetwork(config, specs))


def _windows(config: Config, training: bool) -> Windows:
    length, stride = config.window, config.stride
    if config.whole and not training:
        length = stride = _WHOLE
    return Windows(length=length, stride=stride, smooth=config.smooth, around=config.around)


STAGES = {
    "frames": Stage(
        unit=Unit.WINDOW,
        build=build,
        modalities=ORDER,
        hands_on=("tcns.", "norms.", "fusion.", "hidden"),
        windows=_windows,
        spread=True,
    ),
}
