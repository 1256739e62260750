"""ResNet-18 over pictures, and the extractor that a Linear makes of it.

Shapes: N pictures, (H, W) their size, E the width of the last stage, Z of the projection.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.parts.convnet import ResidualBlock


class BasicBlock(ResidualBlock):
    """A residual block whose shortcut, where it changes size, is a convolution with a stride."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__(before, width, stride)
        if stride > 1 or before != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )


class ResNet18(nn.Module):
    """Four stages of two blocks, averaged over the picture (He et al., 2016, arXiv 1512.03385).

    Args:
        width: channels of the first stage, doubled by each further one; 64 is the published net.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        )
        self.stages = nn.Sequential()
        before = width
        for number in range(4):
            own = width * 2**number
            first = BasicBlock(before, own, 1 if number == 0 else 2)
            self.stages.append(nn.Sequential(first, BasicBlock(own, own, 1)))
            before = own
        self.dim = before
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, E)."""
        found: Tensor = self.stages(self.stem(pictures))
        return found.mean((2, 3))


class Extractor(nn.Module):
    """ResNet-18 and one Linear: what the triplet loss teaches, for sounds and pictures alike.

    Args:
        width: of the ResNet's first stage.
        dim: width Z of the projection.
    """

    def __init__(self, width: int = 64, dim: int = 300) -> None:
        super().__init__()
        self.dim = dim
        self.encode = ResNet18(width)
        self.project = nn.Linear(self.encode.dim, dim)

    def forward(self, pictures: Tensor, there: Tensor | None = None) -> Tensor:
        """Pictures (N, 3, H, W) of which some are there (N) to (N, Z); zeros for the others.

        What is not there shifts no statistics: it is not looked at.
        """
        if there is None or bool(there.all()):
            made: Tensor = self.project(self.encode(pictures))
            return made
        index = there.nonzero()[:, 0]
        if not len(index):
            return pictures.new_zeros(len(pictures), self.dim)
        some: Tensor = self.project(self.encode(pictures[index]))
        return some.new_zeros(len(pictures), self.dim).index_copy(0, index, some)


def highest(x: Tensor, there: Tensor) -> Tensor:
    """The largest value of each feature over the positions that are there.

    ``x`` (B, L, Z) and ``there`` (B, L) to (B, Z); zeros where there is none.
    """
    low = torch.finfo(x.dtype).min
    found = x.masked_fill(~there[..., None], low).amax(1)
    return found.masked_fill(~there.any(1, keepdim=True), 0)
