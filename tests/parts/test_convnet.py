"""Small convolutional networks: shapes, light that changes nothing, what a residual block adds."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mien.parts.convnet import ConvNet, FaceNet, ResidualBlock, VoiceNet


@pytest.mark.parametrize(("stride", "side"), [(1, 48), (2, 48), (1, 37), (2, 30)])
def test_every_stage_but_the_first_halves_the_picture(stride: int, side: int) -> None:
    net = ConvNet((4, 6, 8), (1, 2, 1), stride)
    tall, wide = (-(-pixels // (stride * 4)) for pixels in (side, side + 8))
    assert net(torch.randn(2, 1, side, side + 8)).shape == (2, 8, tall, wide)


def test_a_block_is_its_shortcut_plus_two_convolutions() -> None:
    block = ResidualBlock(3, 5, stride=2).eval()
    for norm in (block.norm1, block.norm2):
        torch.nn.init.uniform_(norm.running_mean)  # type: ignore[arg-type]
        torch.nn.init.uniform_(norm.weight)
    x = torch.randn(2, 3, 7, 7)

    def normed(y: torch.Tensor, norm: torch.nn.BatchNorm2d) -> torch.Tensor:
        mean, var = norm.running_mean, norm.running_var
        assert mean is not None
        assert var is not None
        scale = norm.weight / (var + norm.eps).sqrt()
        return (y - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]

    inner = F.relu(normed(F.conv2d(x, block.conv1.weight, stride=2, padding=1), block.norm1))
    inner = normed(F.conv2d(inner, block.conv2.weight, padding=1), block.norm2)
    torch.testing.assert_close(block(x), F.relu(block.shortcut(x) + inner))
    straight = ResidualBlock(3, 3)
    assert isinstance(straight.shortcut, torch.nn.Identity)


def test_a_face_is_the_same_in_any_steady_light_and_in_grey() -> None:
    net = FaceNet((4, 8), (1, 1), 1, 0.5).eval()
    face = torch.rand(3, 3, 16, 16)
    told = net(face)
    torch.testing.assert_close(net(0.3 * face + 0.2), told, atol=1e-5, rtol=1e-4)
    grey = face.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    torch.testing.assert_close(net(grey), told)
    assert torch.isfinite(net(torch.full((1, 3, 16, 16), 0.5))).all()


def test_a_voice_is_told_piece_by_piece_and_high_from_low() -> None:
    net = VoiceNet(16, (4, 8), (1, 1), 2, 0.0).eval()
    mel = torch.randn(2, 1, 40, 16)
    told = net(mel)
    assert told.shape == (2, 10, 8)
    assert (net(mel.flip(3)) - told).abs().max() > 1e-3
    late = mel.clone()
    late[:, :, 38:] += 3
    changed = (net(late) - told).abs().amax((0, 2)) > 1e-6
    assert not changed[:6].any()
    assert changed[-1]


def test_stripes_are_drawn_in_training_only() -> None:
    net = VoiceNet(8, (4,), (1,), 1, 0.0)
    seen: list[torch.Tensor] = []

    def note(mel: torch.Tensor) -> torch.Tensor:
        seen.append(mel)
        return torch.zeros_like(mel)

    net.augment = note
    net.train()(torch.randn(4, 1, 10, 8))
    assert seen[0].shape == (4, 1, 10, 8)
    assert float(seen[0].detach().mean().abs()) < 1e-5  # normalised before
    net.eval()(torch.randn(4, 1, 10, 8))
    assert len(seen) == 1
