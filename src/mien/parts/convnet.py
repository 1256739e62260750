"""Small convolutional networks over pictures of one channel: a face, or a spectrogram.

A stem, then stages of residual blocks; every stage but the first halves the picture.
Cheap on a processor: plain 3 x 3 convolutions, no attention.

Shapes: N pictures, (H, W) their size, C the width of the last stage, F mel bins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.parts.adapters import DropPath

_FLAT = 1e-3  # deviation below which a picture shows nothing; of values around 1


class ConvNet(nn.Sequential):
    """Pictures (N, 1, H, W) to a map (N, C, H', W'), H' and W' halved by every stage but the first.

    Args:
        widths: channels of each stage; the stem has as many as the first.
        depths: residual blocks of each stage.
        stride: of the stem; 2 halves the picture at once, which is four times as fast.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int], stride: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.stages = nn.Sequential()
        before = widths[0]
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            first = ResidualBlock(before, width, stride=1 if number == 0 else 2)
            rest = [ResidualBlock(width, width) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            before = width


class ResidualBlock(nn.Module):
    """``relu(shortcut(x) + conv(relu(conv(x))))``, every convolution normalised by its batch."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != width:
            # ceil_mode: an odd side gives as many cells as the convolution makes of it.
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(before, width, 1, bias=False),
                nn.BatchNorm2d(width),
            )
        self.drop_path = DropPath(0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, width, H / stride, W / stride)."""
        made = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + self.drop_path(made))


class FaceNet(nn.Module):
    """One vector a face: brightness, standardised within the picture, through a ConvNet.

    Standardising takes away level and contrast of the light. Colours are averaged: a face in grey
    and the same in colour are nearly the same input. The last map is averaged within the cells of
    a coarse grid, which a Linear joins: in an aligned crop brows and mouth each have their place.

    Args:
        widths: channels of each stage.
        depths: blocks of each stage.
        stride: of the stem.
        dropout: rate on the vector.
        grid: cells in each direction; 1 averages everything, and joins nothing.
        mirrored: outside training, the mean of a face's vector and of its mirror image's.
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        stride: int,
        dropout: float,
        grid: int = 1,
        *,
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        self.mirrored = mirrored
        self.layers = ConvNet(widths, depths, stride)
        self.grid = nn.AdaptiveAvgPool2d(grid)
        self.join = nn.Linear(widths[-1] * grid**2, widths[-1]) if grid > 1 else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, pixels: Tensor) -> Tensor:
        """``pixels`` (N, 3, S, S) to (N, C)."""
        grey = pixels.mean(1, keepdim=True)
        mean = grey.mean((2, 3), keepdim=True)
        spread = grey.var((2, 3), keepdim=True).sqrt()
        grey = ((grey - mean) / spread.clamp_min(_FLAT)).contiguous(
            memory_format=torch.channels_last  # a third faster on processors, in bf16 twice
        )
        if self.training or not self.mirrored:
            return self._vector(grey)
        both = self._vector(torch.cat([grey, grey.flip(3)]))
        return (both[: len(grey)] + both[len(grey) :]) / 2

    def _vector(self, grey: Tensor) -> Tensor:
        vector = self.grid(self.layers(grey)).flatten(1)  # (N, C * grid * grid)
        if self.join is not None:
            vector = F.relu(self.join(self.dropout(vector)))
        made: Tensor = self.dropout(vector)
        return made


class VoiceNet(nn.Module):
    """One vector every few frames of sound: normalised log-mels through a ConvNet.

    The rows of the last map are joined by a Linear, not averaged: high and low bands differ.

    Args:
        mels: number F of mel bins.
        widths: channels of each stage.
        depths: blocks of each stage.
        stride: of the stem.
        dropout: rate on the vectors.
    """

    augment: Callable[[Tensor], Tensor] | None = None
    """In training, applied to the normalised log-mels (N, 1, time, F)."""

    def __init__(
        self,
        mels: int,
        widths: Sequence[int],
        depths: Sequence[int],
        stride: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(mels)
        self.layers = ConvNet(widths, depths, stride)
        rows = -(-mels // (stride * 2 ** (len(widths) - 1)))
        self.join = nn.Linear(widths[-1] * rows, widths[-1])
        self.dropout = nn.Dropout(dropout)

    def forward(self, mel: Tensor) -> Tensor:
        """``mel`` (N, 1, time, F) to (N, time', C)."""
        mel = self.norm(mel[:, 0].transpose(1, 2)).transpose(1, 2)[:, None]
        if self.training and self.augment is not None:
            mel = self.augment(mel)
        made = self.layers(mel.contiguous(memory_format=torch.channels_last))  # (N, C, time', F')
        joined = F.relu(self.join(made.permute(0, 2, 1, 3).flatten(2)))
        dropped: Tensor = self.dropout(joined)
        return dropped
