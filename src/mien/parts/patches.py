"""Patches: a video, a picture or a spectrogram as a grid of tokens.

Patches are counted row by row, the first axis slowest. Where only some of them are wanted, only
those are cut out and projected.

Shapes: B clips, C channels, N patches, K some of them, D width of a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.errors import DataError


def grid_of(shape: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """How many patches of ``size`` an input (B, C, ...) has along each of its other axes."""
    extent = tuple(shape[2:])
    if len(extent) != len(size) or not all(extent) or any(n % s for n, s in zip(extent, size)):  # noqa: B905
        raise DataError(
            f"an input of {' x '.join(map(str, extent))} does not divide into patches of "
            f"{' x '.join(map(str, size))}"
        )
    return tuple(n // s for n, s in zip(extent, size, strict=True))


def cut(x: Tensor, size: Sequence[int], which: Tensor | None = None) -> Tensor:
    """``x`` (B, C, ...) in patches (B, N, C, *size), or those at ``which`` (B, K) alone."""
    grid = grid_of(x.shape, size)
    for axis, step in enumerate(size, 2):
        x = x.unfold(axis, step, step)  # (B, C, *grid, *size), nothing copied yet
    x = x.movedim(1, 1 + len(size))
    if which is None:
        return x.flatten(1, len(size))
    place = torch.unravel_index(which, grid)
    row = torch.arange(len(x), device=x.device)[:, None]
    return x[(row, *place)]


def put(x: Tensor, size: Sequence[int], which: Tensor, patches: Tensor) -> Tensor:
    """``x`` (B, C, ...) with other ``patches`` (B, K, C, *size) at ``which`` (B, K) of its own."""
    grid, sides = grid_of(x.shape, size), len(size)
    place = torch.unravel_index(which, grid)
    row = torch.arange(len(x), device=x.device)[:, None]
    made = torch.unflatten(cut(x, size), 1, grid).index_put((row, *place), patches)
    # (B, *grid, C, *size) to (B, C, then the grid and the sides of a patch by turns)
    turns = [n for axis in range(sides) for n in (1 + axis, 2 + sides + axis)]
    whole: Tensor = made.permute(0, 1 + sides, *turns).reshape(x.shape)
    return whole


class Patches(nn.Module):
    """Every patch as a token: cut out and projected.

    Args:
        channels: C of the input.
        size: of a patch: frames, height and width, or time and frequency.
        dim: width D.
    """

    def __init__(self, channels: int, size: Sequence[int], dim: int) -> None:
        super().__init__()
        self.size = tuple(size)
        kind: Any = nn.Conv3d if len(self.size) == 3 else nn.Conv2d
        # A convolution in name and shape; it is applied to patches as the matrix that it is.
        self.project: nn.Conv2d | nn.Conv3d = kind(channels, dim, self.size, self.size)

    @property
    def values(self) -> int:
        """How many numbers a patch has."""
        return self.project.weight[0].numel()

    def count(self, x: Tensor) -> int:
        """How many patches N an input (B, C, ...) has."""
        return math.prod(grid_of(x.shape, self.size))

    def forward(self, x: Tensor, which: Tensor | None = None) -> Tensor:
        """``x`` (B, C, ...) to (B, N, D), or to (B, K, D) of the patches at ``which`` (B, K)."""
        flat = cut(x, self.size, which).flatten(2)
        tokens: Tensor = F.linear(flat, self.project.weight.flatten(1), self.project.bias)
        return tokens


def positions(count: int, dim: int, like: Tensor) -> Tensor:
    """Fixed sinusoids (count, dim) of the places of tokens, sines and cosines in turns."""
    # From numpy each time: a tensor kept from one call could have been made without a graph.
    return torch.from_numpy(_sinusoids(count, dim)).to(like.device)


@lru_cache(maxsize=32)
def _sinusoids(count: int, dim: int) -> NDArray[np.float32]:
    exponent = 2 * (np.arange(dim) // 2) / dim
    angle = np.arange(count)[:, None] / np.power(10000.0, exponent)
    return np.where(np.arange(dim) % 2, np.cos(angle), np.sin(angle)).astype(np.float32)
