"""Which parameters learn how fast: groups for weight decay and layer decay, and the schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from mien.config import TrainConfig
from mien.errors import ConfigError


def build(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW or SGD over what is trainable, in groups that share decay and rate."""
    groups = parameter_groups(network, config)
    if not groups:
        raise ConfigError("nothing in this model is trainable", fix="unfreeze a part of it")
    if config.optimizer == "sgd":
        ahead = config.nesterov and config.momentum > 0
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=ahead)
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=1e-8)


def parameter_groups(network: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Groups with ``names``, ``weight_decay`` and ``scale`` (factor on the learning rate).

    Biases, norms and other vectors are not decayed, nor what a module names in its
    ``undecayed()`` (class tokens, positions) unless ``decay_all`` asks for the official way.
    With ``layer_decay`` the network says in which of its layers a parameter lives.
    """
    spared = set() if config.decay_all else _undecayed(network)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = 0.0 if parameter.ndim <= 1 or name in spared else config.weight_decay
        scale = _scale(network, name, config.layer_decay)
        group = groups.setdefault(
            (decay, scale), {"params": [], "names": [], "weight_decay": decay, "scale": scale}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def _undecayed(network: nn.Module) -> set[str]:
    spared: set[str] = set()
    for prefix, module in network.named_modules():
        if hasattr(module, "undecayed"):
            spared |= {f"{prefix}.{name}" if prefix else name for name in module.undecayed()}
    return spared


def _scale(network: nn.Module, name: str, layer_decay: float) -> float:
    if layer_decay == 1.0:
        return 1.0
    inner: Any = network
    prefix = ""
    if not hasattr(inner, "layer") and hasattr(inner, "network"):
        inner, prefix = inner.network, "network."
    if not hasattr(inner, "layer"):
        raise ConfigError(
            "this system does not say how its layers are ordered", fix="train.layer_decay=1"
        )
    if not name.startswith(prefix):
        return 1.0
    depth = inner.layers - inner.layer(name.removeprefix(prefix))
    return float(layer_decay**depth)


def rate(step: int, *, steps: int, warmup: int, config: TrainConfig) -> float:
    """Learning rate of a step: linear from zero over the warm-up, then down to ``min_lr``."""
    if step < warmup:
        return config.lr * step / max(1, warmup)
    if config.schedule == "step":
        epoch = max(0, step - 1) * config.epochs // max(1, steps)  # the first step is 1
        return max(config.min_lr, config.lr * config.step_factor ** (epoch // config.step_epochs))
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return config.min_lr + (config.lr - config.min_lr) * 0.5 * (1 + math.cos(math.pi * progress))


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group its share of the step's rate."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["scale"]


def state(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's memory under parameter names: ``NAME/exp_avg`` and so on."""
    kept: dict[str, torch.Tensor] = {}
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            for key, value in optimizer.state.get(parameter, {}).items():
                if value is not None:  # SGD has no momentum before its first step
                    kept[f"{name}/{key}"] = value
    return kept


def restore(optimizer: torch.optim.Optimizer, kept: dict[str, torch.Tensor]) -> None:
    """Put back what :func:`state` gave."""
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            memory = {}
            for key, value in kept.items():
                owner, _, item = key.rpartition("/")
                if owner == name:
                    memory[item] = value if item == "step" else value.to(parameter.device)
            if memory:
                optimizer.state[parameter] = memory
