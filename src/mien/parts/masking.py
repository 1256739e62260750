"""Which patches are hidden from a masked autoencoder, and tokens parted accordingly.

Every mask of one shape and ratio hides equally many patches, so that clips stay a batch.

Shapes: B clips, N patches, K of them visible, N - K hidden.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mien.errors import DataError

Mask = Callable[[torch.Generator | None], Tensor]
"""Draws (N) bool, True where a patch is hidden."""


def tube(grid: Sequence[int], ratio: float) -> Mask:
    """The same places in every frame: what moves through one cannot be copied from the next.

    Args:
        grid: patches along time, height and width.
        ratio: share of places that is hidden, rounded down.
    """
    frames, *places = grid
    one = anywhere(places, ratio)
    return lambda generator: one(generator).repeat(frames)


def anywhere(grid: Sequence[int], ratio: float) -> Mask:
    """A share of all patches, rounded down, wherever they lie."""
    count = math.prod(grid)
    hidden = int(ratio * count)

    def draw(generator: torch.Generator | None) -> Tensor:
        order = torch.randperm(count, generator=generator, device="cpu")
        return torch.zeros(count, dtype=torch.bool, device="cpu").index_fill(0, order[:hidden], 1)

    return draw


def draw(masks: Sequence[Mask], clips: int, luck: Sequence[int] = ()) -> list[Tensor]:
    """Each mask (B, N) for a number of clips.

    Args:
        masks: what is drawn for a clip, in this order.
        clips: B.
        luck: a seed for each clip, so that its masks do not depend on the clips beside it; without
            them everything comes from torch's own generator.
    """
    sources: list[torch.Generator | None] = [None] * clips
    if luck:
        sources = [torch.Generator("cpu").manual_seed(seed) for seed in luck]
    drawn = [[mask(source) for mask in masks] for source in sources]
    return [torch.stack(one) for one in zip(*drawn, strict=True)]


def parted(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Where the visible (B, K) and the hidden patches (B, N - K) of a mask (B, N) lie, in order."""
    hidden = hidden.bool()
    count = hidden.sum(1)
    number = int(count.amax())
    if int(count.amin()) != number or not 0 < number < hidden.shape[1]:
        raise DataError(
            f"masks hide between {int(count.amin())} and {number} of {hidden.shape[1]} patches",
            fix="hide some of every clip, not all, and equally many of each",
        )
    order = torch.argsort(hidden.to(torch.uint8), dim=1, stable=True)
    return order[:, :-number], order[:, -number:]
