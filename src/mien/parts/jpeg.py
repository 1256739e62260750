"""What JPEG leaves of a picture, in a few batched matrix products.

The arithmetic of the standard (ITU-T T.81) as libjpeg does it: Y'CbCr, chroma at half resolution,
a cosine transform of blocks of 8 x 8, division by the standard's tables at a quality, rounding,
and all of it back. The lossless part, the coding of what was rounded, changes nothing.

Shapes: N pictures, C colours, of H x W pixels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in luminance (ITU-R BT.601)."""

# Annex K of the standard: steps of the coefficients at quality 50, for luminance and chroma.
_LUMA_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA_STEPS = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
)  # fmt: skip


def jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """Pictures as they come back from a JPEG file.

    Args:
        pictures: (N, C, H, W) with values in 0..1, C = 1 (grey) or 3.
        quality: (N), 1..100 as in libjpeg. Colours are kept at half resolution (4:2:0).

    Returns:
        (N, C, H, W), whole numbers of 0..255 divided by 255.
    """
    height, width = pictures.shape[2:]
    coarse = 8 if pictures.shape[1] == 1 else 16
    padding = (0, -width % coarse, 0, -height % coarse)
    whole = (pictures * 255).round()
    if any(padding):
        whole = F.pad(whole, padding, mode="replicate")
    if pictures.shape[1] == 1:
        back = _coded(whole - 128, _steps(_LUMA_STEPS, quality)) + 128
    else:
        back = _colours(whole, quality)
    return back[..., :height, :width].round().clamp(0, 255) / 255


def _colours(pictures: Tensor, quality: Tensor) -> Tensor:
    """The same for (N, 3, H, W) in 0..255, sides in whole blocks."""
    red, green, blue = pictures.unbind(1)
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue  # (N, H, W)
    chroma = torch.stack([(blue - luma) / (2 - 2 * LUMA[2]), (red - luma) / (2 - 2 * LUMA[0])], 1)
    luma = _coded(luma.round()[:, None] - 128, _steps(_LUMA_STEPS, quality))[:, 0].round() + 128
    chroma = F.avg_pool2d(chroma.round(), 2).round()
    chroma = _coded(chroma, _steps(_CHROMA_STEPS, quality)).round()
    # libjpeg's triangle filter is bilinear interpolation between the middles of pixels.
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    red = luma + (2 - 2 * LUMA[0]) * chroma[:, 1]
    blue = luma + (2 - 2 * LUMA[2]) * chroma[:, 0]
    green = (luma - LUMA[0] * red - LUMA[2] * blue) / LUMA[1]
    return torch.stack([red, green, blue], 1)


def _coded(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes (N, C, H, W) around 0 whose coefficients are rounded to multiples of (N, 64)."""
    count, colours, height, width = planes.shape
    down, across = height // 8, width // 8
    blocks = planes.view(count, colours, down, 8, across, 8).transpose(3, 4)
    transform = _cosines(planes)
    coefficients = blocks.reshape(count, -1, 64) @ transform.T  # (N, blocks, 64)
    steps = steps[:, None]
    blocks = (coefficients / steps).round().mul_(steps) @ transform
    blocks = blocks.view(count, colours, down, across, 8, 8).transpose(3, 4)
    return blocks.reshape(planes.shape)


def _cosines(like: Tensor) -> Tensor:
    """The orthonormal transform of a block (64) as one matrix: both its axes at once."""
    place = torch.arange(8, device=like.device, dtype=like.dtype)
    one = torch.cos(math.pi / 8 * (place + 0.5) * place[:, None]) / 2  # (frequency, place)
    one[0] /= math.sqrt(2)
    return torch.kron(one, one)


def _steps(table: tuple[int, ...], quality: Tensor) -> Tensor:
    """A table at each quality (N, 64), scaled and rounded as libjpeg does."""
    quality = quality.round()[:, None]
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    return ((quality.new_tensor(table) * percent + 50) / 100).floor().clamp(1, 255)
