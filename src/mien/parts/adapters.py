"""What is added to a frozen tower so that it learns: low-rank updates and training noise.

Everything here is the identity when it is put in, and leaves the names of the tower's own weights
readable through :mod:`mien.parts.keys`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import ConfigError, did_you_mean


def lora(
    module: nn.Module,
    targets: Sequence[str],
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    *,
    stabilised: bool = False,
) -> nn.Module:
    """Freeze a module and add ``alpha / rank * B A`` to its linear maps and convolutions, in place.

    Args:
        module: the tower to adapt.
        targets: ends of module names, whole segments (``fc1``, ``output.dense``).
        rank: width of the update; 0 adds nothing and only freezes.
        alpha: numerator of the scale.
        dropout: rate on the input of the update.
        stabilised: ``alpha / sqrt(rank)`` instead, so that higher ranks learn as fast
            (Kalajdzievski, 2023, https://arxiv.org/abs/2312.03732).
    """
    module.requires_grad_(False)
    if rank == 0:
        return module
    _check_targets(module, targets)
    from peft import LoraConfig, inject_adapter_in_model

    scale: Any = alpha  # peft says int and takes any number
    config = LoraConfig(
        r=rank, lora_alpha=scale, lora_dropout=dropout, target_modules=list(targets), bias="none",
        use_rslora=stabilised,
    )  # fmt: skip
    # In a box: peft leaves notes on what it is given, and rewrites targets for known models.
    box = nn.ModuleDict({"tower": module})
    inject_adapter_in_model(config, box)
    for _, layer in _lora_layers(module):
        # Autocast decides the precision; peft's own cast to float32 would double the memory.
        layer.cast_input_dtype_enabled = False
        layer.train(module.training)
    return module


def merge(module: nn.Module) -> nn.Module:
    """Fold every low-rank update into the weight it updates, in place: same answers, no adapter."""
    for name, layer in list(_lora_layers(module)):
        layer.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, layer.get_base_layer())
    return module


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name was put in by :func:`lora`."""
    return ".lora_" in f".{name}"


def training_parts(module: nn.Module) -> Iterator[nn.Module]:
    """What was added here and behaves differently while training; the tower itself does not."""
    for name, part in module.named_modules():
        if isinstance(part, DropPath | MelNorm) or ".lora_dropout." in f".{name}":
            yield part


def _check_targets(module: nn.Module, targets: Sequence[str]) -> None:
    names = [f".{name}" for name, part in module.named_modules() if _adaptable(part)]
    for target in targets:
        if not any(name.endswith(f".{target}") for name in names):
            known = {name.rpartition(".")[2] for name in names}
            raise ConfigError(
                f"LoRA target {target!r} is no layer of this tower: {did_you_mean(target, known)}",
                where=type(module).__name__,
            )


def _adaptable(part: nn.Module) -> bool:
    return isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Embedding)


def _lora_layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    if not any(is_adapter(f"{name}.") for name, _ in module.named_modules()):
        return  # peft takes seconds to import, and nothing here is its work

    from peft.tuners.lora import LoraLayer

    for name, part in module.named_modules():
        if isinstance(part, LoraLayer):
            yield name, part


class DropPath(nn.Module):
    """Stochastic depth: in training a residual branch is left out for whole clips.

    Args:
        rate: how often; the branches that stay are scaled up to keep the mean.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) to the same shape."""
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * keep / (1 - self.rate)


class MelNorm(nn.BatchNorm2d):
    """HTSAT's first norm, over mel bins, as a frozen tower needs it.

    Args:
        norm: the norm it takes the place of; its tensors are shared, so names stay as they are.
        adapt: in training, normalise with the batch and let the running statistics follow.
        augment: in training, applied to the normalised log-mels (B, channels, time, mel bins).
    """

    def __init__(
        self,
        norm: nn.BatchNorm2d,
        *,
        adapt: bool,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(norm.num_features, eps=norm.eps, momentum=norm.momentum, device="meta")
        self._parameters |= norm._parameters
        self._buffers |= norm._buffers
        self.adapt, self.augment = adapt, augment

    def forward(self, x: Tensor) -> Tensor:
        """(B, mel bins, time, channels) to the same shape."""
        if self.training and self.adapt:
            x = super().forward(x)
        else:
            x = F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        if self.training and self.augment is not None:
            x = self.augment(x.transpose(1, 3)).transpose(1, 3)
        return x
