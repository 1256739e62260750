"""Encoders that were pretrained by others, wrapped so that they stay as they are.

Shapes: B clips, T frames, L tokens, D the tower's width, F mel bins.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mien.errors import ConfigError
from mien.parts import adapters, keys
from mien.parts.hub import TowerSource


class Tower(nn.Module, ABC):
    """A frozen encoder: ``(x, mask) -> (tokens (B, L, D), mask (B, L))``.

    It encodes only what is there: rows and frames that are masked cost nothing, shift no
    statistics, and come out as zeros. While training, only what :mod:`mien.parts.adapters` put in
    behaves differently, unless :meth:`tune` set all of it free.

    Args:
        source: where the weights come from.
        pretrained: the module that has them, with its configuration as ``config``.
    """

    kind: ClassVar[str]
    marker: ClassVar[str]  # attribute that holds the module, and its table in keys
    prefix: ClassVar[str] = ""  # of the tower's weights in a checkpoint of the whole model
    others: ClassVar[tuple[str, ...]] = ()  # what else such a checkpoint holds
    section: ClassVar[str] = ""  # of the whole model's configuration
    whole: ClassVar[bool] = True  # whether its weights can be written as they were read

    def __init__(self, source: TowerSource, pretrained: Any) -> None:
        super().__init__()
        self.source = source
        self.config = pretrained.config
        self.sha256: str | None = None
        self.tuned = False
        # Some versions of transformers keep the encoder one level deeper.
        inner = self.prefix.rstrip(".")
        setattr(self, self.marker, getattr(pretrained, inner, pretrained) if inner else pretrained)
        self.requires_grad_(False)
        self.eval()

    @property
    def base(self) -> Any:
        """The module that has the weights."""
        return getattr(self, self.marker)

    def tune(self) -> Self:
        """Train all of it, norms and dropout included: then it is the run's, and not frozen."""
        self.tuned = True
        self.requires_grad_(True)
        return self

    def train(self, mode: bool = True) -> Tower:
        """Of a frozen tower only what was added follows; its dropout and norms stay as they are."""
        if self.tuned:
            super().train(mode)
            return self
        super().train(False)
        self.training = mode
        for part in adapters.training_parts(self):
            part.train(mode)
        return self

    @classmethod
    @abstractmethod
    def blank(cls, values: Mapping[str, Any]) -> Any:
        """The bare module with random weights, from configuration values."""

    @classmethod
    @abstractmethod
    def filled(cls, blank: Any, state: dict[str, Tensor]) -> Any:
        """A module like ``blank`` with these weights, whose names and shapes were compared."""

    @classmethod
    @abstractmethod
    def model_type(cls) -> str:
        """What a configuration file calls this kind of model."""

    @classmethod
    def owns(cls, values: Mapping[str, Any]) -> bool:
        """Whether a configuration file is that of such a model."""
        return values.get("model_type") == cls.model_type()

    @classmethod
    def bare(cls, given: Mapping[str, Tensor], values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Tensors of a checkpoint, which may hold a whole model, by the names of the bare one.

        Args:
            given: all but those of ``others``.
            values: the bare one's configuration.
        """
        del values
        return {name.removeprefix(cls.prefix): tensor for name, tensor in given.items()}

    def accompany(self, folder: Path | None) -> None:
        """Take what else belongs to such a tower from the folder of its files; here nothing.

        Args:
            folder: None where it was made from configuration values.
        """

    def companions(self) -> dict[str, bytes]:
        """Small files that a run keeps beside a tower in any case, by name; here none."""
        return {}

    def companion_hashes(self) -> dict[str, str]:
        """SHA-256 of each of them."""
        return {n: hashlib.sha256(content).hexdigest() for n, content in self.companions().items()}

    def described(self) -> dict[str, Any]:
        """The configuration, as its file holds it."""
        values: dict[str, Any] = self.config.to_dict()
        return values

    @property
    @abstractmethod
    def dim(self) -> int:
        """Width D of the tokens."""

    @abstractmethod
    def layer(self, name: str) -> int:
        """How deep a parameter of this tower lies: 0 before the first block, then 1 to `depth`."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """Number of blocks."""


class OfTransformers(Tower):
    """A tower whose module is one of transformers'."""

    @classmethod
    @abstractmethod
    def classes(cls) -> tuple[Any, Any]:
        """Configuration and model class of transformers."""

    @classmethod
    def blank(cls, values: Mapping[str, Any]) -> Any:
        """The bare module with random weights, from configuration values."""
        from huggingface_hub.errors import StrictDataclassError

        config_class, model_class = cls.classes()
        try:
            return model_class(config_class.from_dict(dict(values)))
        except StrictDataclassError as error:
            raise ValueError(str(error)) from error

    @classmethod
    def filled(cls, blank: Any, state: dict[str, Tensor]) -> Any:
        """A module with these weights; what follows from the configuration is filled in."""
        from transformers.utils import logging

        bars: Any = logging
        shown = bars.is_progress_bar_enabled()
        bars.disable_progress_bar()
        try:
            return type(blank).from_pretrained(
                None, config=blank.config, state_dict=state, dtype=torch.float32
            )
        finally:
            if shown:
                bars.enable_progress_bar()

    @classmethod
    def model_type(cls) -> str:
        """What a configuration file calls this kind of model."""
        return str(cls.classes()[0].model_type)

    def described(self) -> dict[str, Any]:
        """The configuration, as its file holds it."""
        return super().described() | {"architectures": [self.classes()[1].__name__]}

    @property
    def dim(self) -> int:
        """Width D of the tokens."""
        return int(self.config.hidden_size)


class ClipVision(OfTransformers):
    """CLIP's image tower over every frame of a video; a token is a frame's class token, normed."""

    kind, marker, prefix, section = "clip-vision", "clip", "vision_model.", "vision_config"
    others = ("text_model.", "text_projection.", "visual_projection.", "logit_scale")

    clip: Any

    checkpointing = False
    """Recompute activations in the backward pass, a few frames at a time."""

    _AT_ONCE = 32  # frames whose activations are in memory together when recomputing

    def forward(self, video: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``video`` (B, 3, T, H, W) and ``mask`` (B, T) to (B, T, D)."""
        batch, _, frames = video.shape[:3]
        pixels = video.transpose(1, 2).flatten(0, 1)  # (B*T, 3, H, W): all frames in one call
        there = None if mask is None else mask.flatten()
        tokens = where_there(self._encode, pixels, there, (self.dim,))
        tokens = tokens.view(batch, frames, self.dim)
        return tokens, all_there(tokens) if mask is None else mask

    def _encode(self, pixels: Tensor) -> Tensor:
        if not (self.checkpointing and torch.is_grad_enabled()):
            return self._pooled(pixels)
        parts = [
            checkpoint(self._pooled, part, use_reentrant=False)
            for part in torch.split(pixels, self._AT_ONCE)
        ]
        return torch.cat(parts)

    def _pooled(self, pixels: Tensor) -> Tensor:
        pooled: Tensor = self.clip(pixel_values=pixels).pooler_output
        return pooled

    @classmethod
    def classes(cls) -> tuple[Any, Any]:
        """Configuration and model class of transformers."""
        from transformers import CLIPVisionConfig, CLIPVisionModel

        return CLIPVisionConfig, CLIPVisionModel

    def layer(self, name: str) -> int:
        """0 for the embeddings, then the block's number from 1; the last norm with the last."""
        ours = keys.ours(name).split(".")
        if "blocks" in ours:
            return 1 + int(ours[ours.index("blocks") + 1])
        return self.depth if "norm_out" in ours else 0

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return int(self.config.num_hidden_layers)


class ClapAudio(OfTransformers):
    """CLAP's audio tower (HTSAT) over one log-mel image a clip; 64 tokens of up to ten seconds.

    One channel is the whole clip. Four are CLAP's fusion input: the whole clip, shrunk, and three
    close-ups; a clip of ten seconds or less repeats itself in all four, and is taken as one.
    """

    kind, marker, prefix, section = "clap-audio", "clap", "audio_model.", "audio_config"
    others = ("text_model.", "text_projection.", "audio_projection.", "logit_scale_")

    clap: Any

    def forward(self, audio: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``audio`` (B, 1 or 4, time, F) and ``mask`` (B, ...) to (B, L, D)."""
        if audio.shape[1] > 1 and not self.config.enable_fusion:
            raise ConfigError(
                f"{self.source} reads one channel, not {audio.shape[1]}", fix="model.long=crop"
            )
        there = None if mask is None else mask.flatten(1).any(1)
        tokens = where_there(self._encode, audio, there, (self.length, self.dim))  # (B, L, D)
        seen = all_there(tokens)
        return tokens, seen if there is None else seen & there[:, None]

    def _encode(self, audio: Tensor) -> Tensor:
        longer = audio.new_zeros(audio.shape[0], dtype=torch.bool)
        if audio.shape[1] > 1:
            longer = (audio[:, 1:] != audio[:, :1]).flatten(1).any(1)
        last: Tensor = self.clap(input_features=audio, is_longer=longer[:, None]).last_hidden_state
        return last.flatten(2).transpose(1, 2)  # (B, D, frequency, time) to (B, L, D)

    @classmethod
    def classes(cls) -> tuple[Any, Any]:
        """Configuration and model class of transformers."""
        from transformers import ClapAudioConfig, ClapAudioModel

        return ClapAudioConfig, ClapAudioModel

    @property
    def dim(self) -> int:
        """Width D of the tokens: that of the patches, doubled by every stage but the first."""
        return int(self.config.patch_embeds_hidden_size * 2 ** (len(self.config.depths) - 1))

    @property
    def length(self) -> int:
        """Number L of tokens: each stage but the first halves the grid in both directions."""
        return int(
            self.clap.audio_encoder.patch_embed.num_patches // 4 ** (len(self.config.depths) - 1)
        )

    def layer(self, name: str) -> int:
        """0 for the patches, then blocks counted through the stages, merges with those before."""
        ours = keys.ours(name).split(".")
        if "stages" not in ours:
            return self.depth if "norm_out" in ours else 0
        at = ours.index("stages")
        stage = int(ours[at + 1])
        inside = 1 + int(ours[at + 3]) if ours[at + 2] == "blocks" else self.config.depths[stage]
        return int(sum(self.config.depths[:stage]) + inside)

    @property
    def depth(self) -> int:
        """Number of blocks in all stages."""
        return int(sum(self.config.depths))

    def regularise(
        self,
        *,
        drop_path: float,
        adapt: bool,
        augment: Callable[[Tensor], Tensor] | None,
    ) -> None:
        """Put in what HTSAT's own training has and transformers' leaves out.

        All of it is inert outside training.

        Args:
            drop_path: rate of the last block; it grows linearly from 0 at the first.
            adapt: normalise with the batch's statistics, which the running ones follow.
            augment: applied to the normalised log-mels (B, C, time, F).
        """
        encoder = self.clap.audio_encoder
        encoder.batch_norm = adapters.MelNorm(encoder.batch_norm, adapt=adapt, augment=augment)
        blocks = [block for stage in encoder.layers for block in stage.blocks]
        rates = torch.linspace(0, drop_path, len(blocks), device="cpu").tolist()
        for block, rate in zip(blocks, rates, strict=True):
            # transformers drops the attention branch only; the other ends in a dropout that never
            # runs in a frozen tower, so this takes its place.
            block.drop_path = adapters.DropPath(rate)
            block.output.dropout = adapters.DropPath(rate)
        self.train(self.training)  # new modules start in training


def where_there(
    encode: Callable[[Tensor], Tensor], x: Tensor, there: Tensor | None, shape: tuple[int, ...]
) -> Tensor:
    """``encode`` over the rows of x (N, ...) that are there; (N, *shape), zeros for the others."""
    if there is None or bool(there.all()):
        return encode(x)
    index = there.nonzero()[:, 0]
    if len(index) == 0:
        return x.new_zeros(x.shape[0], *shape)
    some = encode(x[index])
    return some.new_zeros(x.shape[0], *shape).index_copy(0, index, some)


def all_there(tokens: Tensor) -> Tensor:
    """A mask (B, L) that says so of tokens (B, L, D)."""
    return torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
