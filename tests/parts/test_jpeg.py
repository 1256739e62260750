from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mien.parts.jpeg import jpeg

QUALITIES = [10, 20, 30, 50, 75, 92, 100]


def scene(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Soft shapes, edges and some noise, in colours: (H, W, 3)."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[:height, :width]
    picture = np.stack([100 + 60 * np.sin(across / n + down / 7) for n in (5, 8, 13)], axis=2)
    picture[(across - width / 2) ** 2 + (down - height / 2) ** 2 < height * width / 16] += 50
    picture += random.normal(0, 6, picture.shape)
    return np.asarray(picture.clip(0, 255), np.uint8)


def reread(picture: NDArray[np.uint8], quality: int) -> Tensor:
    """Through libjpeg's files: (C, H, W) in 0..255."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "jpeg", quality=quality, subsampling=2)
    array = np.atleast_3d(np.asarray(Image.open(file), np.float32))
    return torch.from_numpy(array).permute(2, 0, 1)


def simulated(picture: NDArray[np.uint8], quality: int) -> Tensor:
    planes = torch.from_numpy(np.atleast_3d(picture).astype(np.float32)).permute(2, 0, 1)
    return 255 * jpeg(planes[None] / 255, torch.tensor([float(quality)]))[0]


def psnr(one: Tensor, two: Tensor) -> float:
    return 20 * math.log10(255) - 10 * math.log10(float((one - two).square().mean()) + 1e-9)


@pytest.mark.parametrize("size", [(64, 80), (50, 37), (19, 24)])
@pytest.mark.parametrize("quality", QUALITIES)
def test_colours_come_back_as_from_a_file(size: tuple[int, int], quality: int) -> None:
    picture = scene(*size)
    before = torch.from_numpy(picture).permute(2, 0, 1)
    expected = reread(picture, quality)
    assert psnr(simulated(picture, quality), expected) > 38
    # What the simulation gets wrong is small beside what JPEG does.
    assert psnr(simulated(picture, quality), expected) > psnr(expected, before) + 3


@pytest.mark.parametrize("quality", QUALITIES)
def test_grey_comes_back_as_from_a_file(quality: int) -> None:
    picture = scene(48, 56)[..., 0]
    assert psnr(simulated(picture, quality), reread(picture, quality)) > 45


def test_each_picture_has_its_own_quality() -> None:
    picture = torch.from_numpy(scene(32, 32)).permute(2, 0, 1)[None].float() / 255
    both = jpeg(picture.repeat(2, 1, 1, 1), torch.tensor([10.0, 90.0]))
    for one, quality in zip(both, (10.0, 90.0), strict=True):
        torch.testing.assert_close(one[None], jpeg(picture, torch.tensor([quality])))
    assert psnr(255 * both[1], 255 * picture[0]) > psnr(255 * both[0], 255 * picture[0]) + 5


def test_values_are_bytes() -> None:
    values = 255 * jpeg(torch.rand(3, 3, 21, 19), torch.tensor([1.0, 40.0, 100.0]))
    torch.testing.assert_close(values, values.round())
    assert values.min() >= 0
    assert values.max() <= 255


def test_a_flat_picture_stays_as_it_is() -> None:
    flat = torch.full((1, 1, 16, 16), 100 / 255)
    # The first coefficient is eight times the mean; its step at quality 50 is 16.
    assert float((jpeg(flat, torch.tensor([50.0])) - flat).abs().max()) <= 1.01 / 255
