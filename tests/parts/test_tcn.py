"""A temporal convolutional network: as published, causal, the same piece by piece."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from mien.parts.tcn import TCN, CausalConv, fill_forward


def _small() -> TCN:
    torch.manual_seed(0)
    module = TCN(6, (5, 4, 4), kernel=3).eval()
    for name, parameter in module.named_parameters():
        if "direction" in name:  # as they begin, answers are too small to compare
            parameter.data *= 50
    return module


def test_it_is_as_large_and_looks_back_as_far_as_the_published_one() -> None:
    with torch.device("meta"):
        module = TCN(768, (768, 256, 128))
    blocks = [sum(p.numel() for p in block.parameters()) for block in module.blocks]
    assert blocks == [5_901_315, 1_508_611, 279_171]
    assert module.reach == 57


class _Theirs(nn.Module):
    """The same from torch's own convolutions and weight norm."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.pad = 2 * dilation
        self.conv1 = weight_norm(nn.Conv1d(inputs, outputs, 3, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(outputs, outputs, 3, dilation=dilation))
        self.act1, self.act2, self.act3 = nn.PReLU(), nn.PReLU(), nn.PReLU()
        self.around = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.conv1(F.pad(x, (self.pad, 0))))
        y = self.act2(self.conv2(F.pad(y, (self.pad, 0))))
        out: Tensor = self.act3(y + self.around(x))
        return out


def test_it_equals_torchs_convolutions_with_weight_norm() -> None:
    ours = _small()
    theirs = nn.Sequential(_Theirs(6, 5, 1), _Theirs(5, 4, 2), _Theirs(4, 4, 4))
    state = {}
    for name, tensor in ours.state_dict().items():
        name = name.removeprefix("blocks.")
        name = name.replace("length", "parametrizations.weight.original0")
        name = name.replace("direction", "parametrizations.weight.original1")
        state[name] = tensor[:, None, None] if name.endswith("original0") else tensor
    theirs.load_state_dict(state)
    x = torch.randn(2, 30, 6)
    expected = theirs(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(ours(x)[0], expected, atol=1e-6, rtol=1e-5)


def test_the_split_weights_begin_as_one_small_normal_weight() -> None:
    torch.manual_seed(0)
    conv = CausalConv(64, 64, 5, 1)
    norm = conv.direction.flatten(1).norm(dim=1)
    torch.testing.assert_close(conv.length, norm)
    assert float(conv.direction.detach().std()) == pytest.approx(0.01, rel=0.05)


def test_a_future_frame_changes_no_answer_before_it_and_none_beyond_its_reach() -> None:
    module, x = _small(), torch.randn(1, 60, 6)
    changed = x.clone()
    changed[:, 20] += 1
    before, after = module(x)[0], module(changed)[0]
    assert torch.equal(before[:, :20], after[:, :20])
    assert not torch.equal(before[:, 20], after[:, 20])
    assert module.reach == 1 + 2 * 2 * (1 + 2 + 4) == 29
    assert torch.equal(before[:, 20 + 29 :], after[:, 20 + 29 :])


@pytest.mark.parametrize("sizes", [[1] * 60, [1, 40, 2, 17], [60]])
def test_piece_by_piece_it_gives_the_same(sizes: list[int]) -> None:
    module, x = _small(), torch.randn(2, 60, 6)
    parts, past = list[Tensor](), list[Tensor]()
    for piece in torch.split(x, sizes, 1):
        made, past = module(piece, past)
        parts.append(made)
    torch.testing.assert_close(torch.cat(parts, 1), module(x)[0], atol=1e-5, rtol=0)
    assert [kept.shape[2] for kept in past] == [2, 2, 4, 4, 8, 8], "what is kept is bounded"


def test_gaps_are_filled_with_what_was_seen_last() -> None:
    x = torch.arange(1.0, 7).view(1, 6, 1)
    mask = torch.tensor([[False, True, False, False, True, False]])
    assert fill_forward(x, mask)[0, :, 0].tolist() == [0, 2, 2, 2, 5, 5]
    before = torch.full((1, 1), 9.0)
    assert fill_forward(x, mask, before)[0, :, 0].tolist() == [9, 2, 2, 2, 5, 5]
    nothing = torch.zeros_like(mask)
    assert fill_forward(x, nothing, before)[0, :, 0].tolist() == [9] * 6
    junk = x.masked_fill(~mask[..., None], torch.nan)
    torch.testing.assert_close(fill_forward(junk, mask), fill_forward(x, mask))
