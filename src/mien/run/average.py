"""What training moves, and its exponential moving average."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def moving(model: nn.Module) -> dict[str, Tensor]:
    """What training changes: trainable parameters and all buffers."""
    found = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    return found | dict(model.named_buffers())


class Average:
    """A running mean of all that moves; empty where averaging is off.

    Args:
        model: whose weights are averaged.
        decay: how much of the old mean stays at each step; None turns averaging off.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self.model, self.decay = model, decay
        self.kept: dict[str, Tensor] = {}
        if decay is not None:
            floats = {n: t for n, t in moving(model).items() if t.is_floating_point()}
            self.kept = {name: tensor.clone() for name, tensor in floats.items()}

    def update(self, step: int) -> None:
        """Take in the weights after a step."""
        if self.decay is None:
            return
        # Early on the mean would remember the random start: its memory grows with the steps.
        decay = min(self.decay, (1 + step) / (10 + step))
        now = moving(self.model)
        for name, kept in self.kept.items():
            kept.lerp_(now[name], 1 - decay)

    @torch.no_grad()
    def put(self) -> None:
        """Leave the averaged weights in the model."""
        now = moving(self.model)
        for name, kept in self.kept.items():
            now[name].copy_(kept)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within: the model holds its averaged weights, where averaging is on."""
        now = moving(self.model)
        own = {name: now[name].clone() for name in self.kept}
        self.put()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in own.items():
                    now[name].copy_(tensor)
