"""A temporal convolutional network: each answer looks back, never ahead, and can be streamed.

Shapes: B sequences, L positions, D and C widths, K taps of a convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Past = list[Tensor]
"""What each convolution still needs of what came before, (B, C, (K - 1) * dilation) each."""

Slope = Literal["learned", "fixed"]
"""What becomes of negative values: a slope that is learned, or LeakyReLU's.

Published networks with the fixed one begin with Xavier's weights of gain sqrt(2), those with
the learned one with small normal weights.
"""


def fill_forward(x: Tensor, mask: Tensor, before: Tensor | None = None) -> Tensor:
    """Positions (B, L, D) at which nothing was seen get what was seen last.

    Args:
        x: what was seen.
        mask: (B, L), True where something was.
        before: (B, D) what was seen last before the first position; None: nothing, zeros.
    """
    at = torch.arange(x.shape[1], device=x.device).expand_as(mask)
    last = torch.where(mask, at, -1).cummax(1).values  # (B, L), -1 before the first
    found = x.gather(1, last.clamp_min(0)[..., None].expand_as(x))
    start = torch.zeros_like(x[:, 0]) if before is None else before
    return torch.where(last[..., None] >= 0, found, start[:, None])


class CausalConv(nn.Module):
    """A convolution over time that looks back only, its weights split into length and direction.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: taps K.
        dilation: positions from one tap to the next.
        slope: which of both ways to begin.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, dilation: int, slope: Slope = "learned"
    ) -> None:
        super().__init__()
        self.dilation, self.reach = dilation, (kernel - 1) * dilation
        self.direction = nn.Parameter(torch.empty(outputs, inputs, kernel))
        _begin(self.direction, slope)
        self.length = nn.Parameter(self.direction.detach().flatten(1).norm(dim=1))
        self.bias = nn.Parameter(torch.empty(outputs))
        bound = (inputs * kernel) ** -0.5
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``x`` (B, D, L) to (B, C, L), and what the next call needs of it.

        Args:
            x: the positions from where ``past`` ends.
            past: (B, D, reach); None: nothing came before, which is zeros.
        """
        start = x.new_zeros(*x.shape[:2], self.reach) if past is None else past
        whole = torch.cat([start, x], 2)
        norm = self.direction.flatten(1).norm(dim=1)  # (C)
        weight = self.direction * (self.length / norm)[:, None, None]
        made = F.conv1d(whole, weight, self.bias, dilation=self.dilation)
        return made, whole[:, :, whole.shape[2] - self.reach :]


class TemporalBlock(nn.Module):
    """Two causal convolutions, and a way around them.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: taps of the convolutions.
        dilation: positions from one tap to the next.
        dropout: rate after each convolution.
        slope: of negative values.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        dilation: int,
        dropout: float,
        slope: Slope = "learned",
    ) -> None:
        super().__init__()
        self.conv1 = CausalConv(inputs, outputs, kernel, dilation, slope)
        self.conv2 = CausalConv(outputs, outputs, kernel, dilation, slope)
        act = nn.PReLU if slope == "learned" else nn.LeakyReLU
        self.act1, self.act2, self.act3 = act(), act(), act()
        self.drop = nn.Dropout(dropout)
        self.around: nn.Module = nn.Identity()
        if inputs != outputs:
            self.around = nn.Conv1d(inputs, outputs, 1)
            _begin(self.around.weight, slope)

    def forward(self, x: Tensor, past: Sequence[Tensor] = ()) -> tuple[Tensor, Past]:
        """``x`` (B, D, L) to (B, C, L), and what the next call needs."""
        before = tuple(past) or (None, None)
        inner, kept1 = self.conv1(x, before[0])
        inner = self.drop(self.act1(inner))
        inner, kept2 = self.conv2(inner, before[1])
        inner = self.drop(self.act2(inner))
        return self.act3(inner + self.around(x)), [kept1, kept2]


def _begin(weight: Tensor, slope: Slope) -> None:
    if slope == "learned":
        nn.init.normal_(weight, 0, 0.01)
    else:
        nn.init.xavier_uniform_(weight, gain=2**0.5)


class TCN(nn.Module):
    """Temporal blocks whose dilation doubles from one to the next.

    Args:
        inputs: width D of what is read.
        channels: width of each block; the last one's is C.
        kernel: taps of the convolutions.
        dropout: rate after each convolution.
        slope: of negative values.
    """

    def __init__(
        self,
        inputs: int,
        channels: Sequence[int],
        kernel: int = 5,
        dropout: float = 0.0,
        slope: Slope = "learned",
    ) -> None:
        super().__init__()
        widths = [inputs, *channels]
        self.dim = widths[-1]
        self.blocks = nn.ModuleList(
            TemporalBlock(widths[i], widths[i + 1], kernel, 2**i, dropout, slope)
            for i in range(len(channels))
        )

    @property
    def reach(self) -> int:
        """Positions that an answer depends on, its own included: 57 as published."""
        convs = [part for part in self.modules() if isinstance(part, CausalConv)]
        return 1 + sum(conv.reach for conv in convs)

    def forward(self, x: Tensor, past: Sequence[Tensor] = ()) -> tuple[Tensor, Past]:
        """``x`` (B, L, D) to (B, L, C), and what the next call needs to go on.

        Args:
            x: positions; there may be any number of them.
            past: what the call before gave; nothing at the beginning.
        """
        x, kept = x.transpose(1, 2), Past()
        for i, block in enumerate(self.blocks):
            x, own = block(x, past[2 * i : 2 * i + 2])
            kept += own
        return x.transpose(1, 2), kept
