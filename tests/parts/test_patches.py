"""Patches against convolutions and loops; positions against their formula."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mien.errors import DataError
from mien.parts.patches import Patches, cut, grid_of, positions, put

VIDEO, SIZE = (2, 3, 4, 6, 4), (2, 3, 2)


def test_a_video_is_cut_frame_by_frame_row_by_row() -> None:
    x = torch.arange(math.prod(VIDEO)).view(VIDEO)
    pieces = cut(x, SIZE)
    assert pieces.shape == (2, 2 * 2 * 2, 3, *SIZE)
    number = 0
    for t in range(0, 4, 2):
        for h in range(0, 6, 3):
            for w in range(0, 4, 2):
                assert torch.equal(pieces[:, number], x[:, :, t : t + 2, h : h + 3, w : w + 2])
                number += 1


@pytest.mark.parametrize(("shape", "size"), [(VIDEO, SIZE), ((2, 1, 6, 4), (3, 2))])
def test_patches_are_put_where_others_were_cut(
    shape: tuple[int, ...], size: tuple[int, ...]
) -> None:
    x, which = torch.randn(shape), torch.tensor([[3, 0], [1, 2]])
    assert torch.equal(put(x, size, which, cut(x, size, which)), x)
    found = put(x, size, which, torch.zeros_like(cut(x, size, which)))
    pieces = cut(x, size)
    for row, places in enumerate(which.tolist()):
        pieces[row, places] = 0
    assert torch.equal(cut(found, size), pieces)


@pytest.mark.parametrize(
    ("shape", "size", "convolve"), [(VIDEO, SIZE, F.conv3d), ((2, 1, 6, 4), (3, 2), F.conv2d)]
)
def test_patches_are_a_convolution_that_never_overlaps(
    shape: tuple[int, ...], size: tuple[int, ...], convolve: object
) -> None:
    layer, x = Patches(shape[1], size, 5), torch.randn(shape)
    assert callable(convolve)
    whole = convolve(x, layer.project.weight, layer.project.bias, stride=size)
    expected = whole.flatten(2).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)
    assert layer.count(x) == expected.shape[1]
    assert layer.values == math.prod(size) * shape[1]
    which = torch.tensor([[3, 0], [1, 2]])
    torch.testing.assert_close(
        layer(x, which), torch.stack([expected[0, [3, 0]], expected[1, [1, 2]]])
    )


def test_only_whole_patches_are_cut() -> None:
    assert grid_of((1, 3, 16, 160, 160), (2, 16, 16)) == (8, 10, 10)
    for shape in ((1, 3, 4, 6, 5), (1, 3, 4, 6), (1, 3, 0, 6, 4)):
        with pytest.raises(DataError, match="does not divide into patches of 2 x 3 x 2"):
            cut(torch.zeros(shape), SIZE)


def test_positions_are_sines_and_cosines_in_turns() -> None:
    found = positions(800, 6, torch.zeros(1))
    assert found.shape == (800, 6)
    for place in (0, 1, 17, 799):
        for axis in range(6):
            angle = place / 10000 ** (2 * (axis // 2) / 6)
            wanted = math.cos(angle) if axis % 2 else math.sin(angle)
            assert float(found[place, axis]) == pytest.approx(wanted, abs=1e-6)
