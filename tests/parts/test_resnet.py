"""ResNet-18: published size, and what is absent shifts nothing."""

from __future__ import annotations

import torch

from mien.parts.resnet import Extractor, ResNet18, highest


def test_it_has_the_published_size() -> None:
    """torchvision's has 11,689,512 parameters, of which 513,000 are its last Linear's."""
    with torch.device("meta"):
        assert sum(p.numel() for p in ResNet18().parameters()) == 11_689_512 - 513_000
        assert sum(p.numel() for p in Extractor().parameters()) == 11_176_512 + 512 * 300 + 300


def test_pictures_are_halved_five_times() -> None:
    net = ResNet18(4).eval()
    assert net.stages(net.stem(torch.randn(1, 3, 64, 96))).shape == (1, 32, 2, 3)
    assert net(torch.randn(2, 3, 33, 70)).shape == (2, 32)


def test_what_is_absent_shifts_no_statistics() -> None:
    torch.manual_seed(0)
    pictures = torch.randn(4, 3, 32, 32)
    there = torch.tensor([True, False, True, True])
    one, two = Extractor(4, 6), Extractor(4, 6)
    two.load_state_dict(one.state_dict())
    found = one(pictures, there)
    torch.testing.assert_close(found[there], two(pictures[there]))
    assert not found[1].any()
    for a, b in zip(one.buffers(), two.buffers(), strict=True):
        torch.testing.assert_close(a, b)
    assert not one(pictures, torch.zeros(4, dtype=torch.bool)).any()


def test_the_maximum_is_over_what_is_there() -> None:
    x = torch.tensor([[[1.0, -5.0], [3.0, -2.0], [9.0, 9.0]]])
    assert highest(x, torch.tensor([[True, True, False]])).tolist() == [[3, -2]]
    assert highest(x, torch.zeros(1, 3, dtype=torch.bool)).tolist() == [[0, 0]]
