"""Tokens over time to one vector. What is masked is never looked at, however it is filled."""

from __future__ import annotations

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
