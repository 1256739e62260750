"""Tokens over time to one vector, or to as many. What is masked is never looked at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import ConfigError


class MeanPool(nn.Module):
    """The mean of the tokens that are there; zeros where there are none."""

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """``tokens`` (B, L, D) and ``mask`` (B, L) to (B, D)."""
        if mask is None:
            return tokens.mean(1)
        there = mask[..., None]
        total = tokens.masked_fill(~there, 0).sum(1)  # (B, D)
        return total / there.sum(1).clamp_min(1)


class ClassTokenTransformer(nn.Module):
    """A small pre-norm Transformer with a class token of its own, read out at that token.

    CLAIP-Emo's visual temporal module: the attention is ``heads * head_dim`` wide whatever the
    width of the tokens, and no norm follows the last block.

    Args:
        dim: width D of the tokens.
        depth: number of blocks.
        heads: attention heads a block.
        head_dim: width of a head.
        mlp: hidden width of the feed-forward part.
        dropout: rate after attention and in the feed-forward part.
        positions: length of the position table, the class token's included.
    """

    def __init__(
        self,
        dim: int,
        depth: int = 1,
        heads: int = 8,
        head_dim: int = 64,
        mlp: int = 1024,
        dropout: float = 0.0,
        positions: int = 17,
    ) -> None:
        super().__init__()
        # Unit variance, not the usual 0.02: so says the official code.
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, positions, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, head_dim, mlp, dropout) for _ in range(depth))

    def undecayed(self) -> set[str]:
        """Parameters that weight decay should leave alone although they are not vectors."""
        return {"class_token", "positions"}

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """``tokens`` (B, L, D) and ``mask`` (B, L) to (B, D)."""
        batch, length, _ = tokens.shape
        if length >= self.positions.shape[1]:
            raise ConfigError(
                f"{length} time steps are more than the {self.positions.shape[1] - 1} "
                "this temporal module has positions for",
                fix=f"model.frames={length} (train anew), or cut the clips into shorter windows",
            )
        attended = None
        if mask is not None:
            tokens = tokens.masked_fill(~mask[..., None], 0)  # a NaN would pass a zero weight
            seen = F.pad(mask, (1, 0), value=True)  # the class token always sees itself
            attended = seen[:, None, None, :]  # (B, 1, 1, 1 + L), over heads and queries
        x = torch.cat([self.class_token.expand(batch, -1, -1), tokens], 1)  # (B, 1 + L, D)
        x = x + self.positions[:, : length + 1]
        for block in self.blocks:
            x = block(x, attended)
        return x[:, 0]


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``."""

    def __init__(self, dim: int, heads: int, head_dim: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_dim
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * inner, bias=False)
        self.output = nn.Linear(inner, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp),
            nn.GELU(approximate="tanh"),
            nn.Dropout(dropout),
            nn.Linear(mlp, dim),
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, attended: Tensor | None) -> Tensor:
        """(B, L, D) to (B, L, D); keys where ``attended`` is False are not looked at."""
        batch, length, _ = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, L, head_dim)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attended)
        mixed = mixed.transpose(1, 2).flatten(2)  # (B, L, heads * head_dim)
        x = x + self.drop(self.output(mixed))
        done: Tensor = x + self.drop(self.mlp(self.norm2(x)))
        return done


Kept = tuple[Tensor, Tensor]
"""Keys and values (B, heads, at most R - 1, head_dim) of the positions that came before."""


class FrameTransformer(nn.Module):
    """Post-norm blocks over the positions of a window, one token out for each token in.

    As published for emotion over time: no positions are added, so only the mask tells where a
    token stands. Without ``reach`` every position looks at all of the window. With it, each looks
    back over so many positions in each block, its own included, and never ahead; such a one can
    be streamed.

    Args:
        dim: width D.
        depth: number of blocks.
        heads: attention heads a block.
        mlp: hidden width of the feed-forward part.
        dropout: rate within a block.
        reach: R, positions that a token looks back over; None: at all, ahead too.
    """

    def __init__(
        self, dim: int, depth: int, heads: int, mlp: int, dropout: float, reach: int | None = None
    ) -> None:
        super().__init__()
        self.reach = reach
        self.blocks = nn.ModuleList(PostNormBlock(dim, heads, mlp, dropout) for _ in range(depth))

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, past: Sequence[Kept] = ()
    ) -> tuple[Tensor, list[Kept]]:
        """``tokens`` (B, L, D) to (B, L, D), and what the next call needs, if it looks back.

        Args:
            tokens: positions, from where ``past`` ends.
            mask: (B, L), True where a token may be looked at, at least one of each sequence. One
                that looks back only has no use for it: padding lies ahead.
            past: what the call before gave; nothing at the beginning.
        """
        attended = None if mask is None else mask[:, None, None, :]  # over heads and queries
        if self.reach is not None:
            earlier = past[0][0].shape[2] if past else 0
            attended = _looked_back(tokens.shape[1], earlier, self.reach, tokens.device)
        kept: list[Kept] = []
        for i, block in enumerate(self.blocks):
            tokens, own = block(tokens, attended, past[i] if past else None)
            if self.reach is not None:
                keys, values = own
                first = max(0, keys.shape[2] - (self.reach - 1))
                kept.append((keys[:, :, first:], values[:, :, first:]))
        return tokens, kept


def _looked_back(count: int, earlier: int, reach: int, device: torch.device) -> Tensor:
    """Which of (earlier + count) keys each of the last ``count`` positions looks at."""
    query = torch.arange(earlier, earlier + count, device=device)[:, None]
    key = torch.arange(earlier + count, device=device)
    return (key <= query) & (key > query - reach)


class PostNormBlock(nn.Module):
    """``norm(x + attention(x))``, then ``norm(x + mlp(x))``: the first Transformer's."""

    def __init__(self, dim: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(f"a width of {dim} does not divide over {heads} heads")
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp), nn.ReLU(), nn.Dropout(dropout), nn.Linear(mlp, dim)
        )
        self.drop = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.output.bias)

    def forward(
        self, x: Tensor, attended: Tensor | None, past: Kept | None = None
    ) -> tuple[Tensor, Kept]:
        """(B, L, D) to (B, L, D), and the keys and values of everything that was looked at."""
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, L, head_dim)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        rate = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attended, rate)
        mixed = mixed.transpose(1, 2).flatten(2)  # (B, L, D)
        x = self.norm1(x + self.drop(self.output(mixed)))
        done: Tensor = self.norm2(x + self.drop(self.mlp(x)))
        return done, (key, value)


class FrameNorm(nn.BatchNorm1d):
    """Batch norm over frames; a single one has no deviation, and is judged by those before it."""

    def forward(self, x: Tensor) -> Tensor:
        """Frames (N, E), normalised."""
        if self.training and len(x) < 2:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)
