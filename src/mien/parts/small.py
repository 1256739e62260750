"""Towers of mien's own: a few hundred thousand parameters, for laptops and for mien-pocket.

They stand where CLIP and CLAP stand, and are opened, recorded and verified like them; neither
transformers nor peft is imported for them.

Shapes: B clips, T frames, L tokens, D the tower's width, F mel bins.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn

from mien.parts.adapters import DropPath
from mien.parts.convnet import FaceNet, ResidualBlock, VoiceNet
from mien.parts.encoders import Tower, all_there, where_there


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallConfig:
    """The values that make a small tower; what ``config.json`` holds.

    Args:
        model_type: which tower.
        widths: channels of each stage.
        depths: residual blocks of each stage.
        stride: of the stem.
        dropout: rate on the vectors, in training.
        grid: cells of a face in each direction whose places are told apart.
        mirrored: outside training, a face's vector is the mean of its own and its mirror image's.
        mels: number of mel bins of the sound.
        licence: of the weights; None: that of the run which trained them.
    """

    model_type: str
    widths: tuple[int, ...] = (16, 48, 96, 192)
    depths: tuple[int, ...] = (1, 1, 2, 1)
    stride: int = 1
    dropout: float = 0.2
    grid: int = 1
    mirrored: bool = False
    mels: int = 64
    licence: str | None = None

    def __post_init__(self) -> None:
        same = len(self.widths) == len(self.depths) > 0
        if not same or min(*self.widths, *self.depths, self.stride, self.grid, self.mels) < 1:
            raise ValueError("a stage has a width and a depth of at least 1")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` gave; what is not known is an error."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(values.keys() - known)
        if unknown:
            raise ValueError(f"there is no {unknown[0]!r} among {', '.join(sorted(known))}")
        given = {name: values[name] for name in known & values.keys()}
        for name in ("widths", "depths"):
            if name in given:
                given[name] = tuple(int(value) for value in given[name])
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class _Small(Tower):
    """What both small towers share."""

    marker = "net"
    net: nn.Module

    @classmethod
    def blank(cls, values: Mapping[str, Any]) -> Any:
        """A network with random weights."""
        config = SmallConfig.from_dict({"model_type": cls.kind, **values})
        net = cls.network(config).to(memory_format=torch.channels_last)
        net.config = config
        return net

    @classmethod
    def filled(cls, blank: Any, state: dict[str, Tensor]) -> Any:
        """The same network with these weights."""
        net = cls.blank(blank.config.to_dict())
        net.load_state_dict(state, strict=False)  # names and shapes were compared; counters differ
        return net

    @classmethod
    @abstractmethod
    def network(cls, config: SmallConfig) -> Any:
        """The bare network."""

    @classmethod
    def model_type(cls) -> str:
        """What its ``config.json`` calls it."""
        return cls.kind

    @property
    def dim(self) -> int:
        """Width D of the tokens."""
        return int(self.config.widths[-1])

    @property
    def depth(self) -> int:
        """Number of stages, the stem counting as one with the first."""
        return len(self.config.widths)

    def layer(self, name: str) -> int:
        """0 for the stem, then the stage's number from 1; what follows them lies with the last."""
        ours = name.split(".")
        if "stages" in ours:
            return 1 + int(ours[ours.index("stages") + 1])
        return 0 if "stem" in ours or "norm" in ours else self.depth

    def regularise(
        self, *, drop_path: float, adapt: bool, augment: Callable[[Tensor], Tensor] | None
    ) -> None:
        """Stochastic depth, and masked stripes of spectrograms; all inert outside training.

        Args:
            drop_path: rate of the last block; it grows linearly from 0 at the first.
            adapt: norms of a small tower follow the data where the tower is trained, else never.
            augment: applied to the normalised log-mels (B, 1, time, F).
        """
        del adapt
        blocks = [part for part in self.net.modules() if isinstance(part, ResidualBlock)]
        rates = torch.linspace(0, drop_path, len(blocks), device="cpu").tolist()
        for block, rate in zip(blocks, rates, strict=True):
            block.drop_path = DropPath(rate)
        if isinstance(self.net, VoiceNet):
            self.net.augment = augment
        self.train(self.training)


class FaceTower(_Small):
    """A :class:`FaceNet` over every frame of a video; a token is a frame."""

    kind = "face-net"

    @classmethod
    def network(cls, config: SmallConfig) -> Any:
        """The bare network."""
        return FaceNet(
            config.widths,
            config.depths,
            config.stride,
            config.dropout,
            config.grid,
            mirrored=config.mirrored,
        )

    def forward(self, video: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``video`` (B, 3, T, S, S) and ``mask`` (B, T) to (B, T, D)."""
        batch, _, frames = video.shape[:3]
        pixels = video.transpose(1, 2).flatten(0, 1)  # (B*T, 3, S, S)
        there = None if mask is None else mask.flatten()
        tokens = where_there(self.net, pixels, there, (self.dim,)).view(batch, frames, self.dim)
        return tokens, all_there(tokens) if mask is None else mask


class VoiceTower(_Small):
    """A :class:`VoiceNet` over a clip's log-mels; a token is a column of its last map."""

    kind = "voice-net"

    @classmethod
    def network(cls, config: SmallConfig) -> Any:
        """The bare network."""
        return VoiceNet(config.mels, config.widths, config.depths, config.stride, config.dropout)

    def forward(self, audio: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``audio`` (B, 1, time, F) and ``mask`` (B, ...) to (B, L, D)."""
        there = None if mask is None else mask.flatten(1).any(1)
        length = -(-audio.shape[2] // (self.config.stride * 2 ** (self.depth - 1)))
        tokens = where_there(self.net, audio, there, (length, self.dim))
        seen = all_there(tokens)
        return tokens, seen if there is None else seen & there[:, None]
