"""Queries that look at one modality after another, and answers by likeness to label vectors.

Shapes: B clips, Q queries, L positions of a modality, E width of the tokens, C labels, D width of
the label vectors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.parts.blocks import EPS, CrossAttention, Perceptron
from mien.parts.losses import MAX_SCALE
from mien.parts.patches import positions
from mien.parts.temporal import Block

Memories = Mapping[str, tuple[Tensor, Tensor]]
"""By modality its tokens (B, L, E), and which of them (B, L) are there."""


class SequenceEncoder(nn.Module):
    """Vectors of one modality, a projection, places, and pre-norm blocks over them.

    Args:
        features: width of the vectors.
        dim: width E.
        depth: number of blocks.
        heads: attention heads of a block.
        dropout: rate within a block.
    """

    def __init__(self, features: int, dim: int, depth: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(features, dim)
        self.norm = nn.LayerNorm(dim)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(dim, heads, dim // heads, 4 * dim, dropout) for _ in range(depth)
        )

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` (B, L, D) and ``mask`` (B, L) to tokens (B, L, E) and the same mask."""
        x = x.masked_fill(~mask[..., None], 0)  # a NaN would pass a zero weight
        tokens = self.norm(self.project(x))
        tokens = self.drop(tokens + positions(tokens.shape[1], tokens.shape[2], tokens))
        attended = somewhere(mask)[:, None, None, :]
        for block in self.blocks:
            tokens = block(tokens, attended)
        return tokens, mask


def somewhere(mask: Tensor) -> Tensor:
    """A mask (B, L) for attention: a clip without anything looks everywhere, and is not used."""
    return mask | ~mask.any(1, keepdim=True)


class Injection(nn.Module):
    """Queries that look at each other, then at a memory, then think it over; all pre-norm.

    Args:
        dim: width E.
        heads: attention heads.
        dropout: rate on what each part adds.
        between: whether queries look at each other.
    """

    def __init__(self, dim: int, heads: int, dropout: float, *, between: bool) -> None:
        super().__init__()
        self.between = CrossAttention(dim, heads) if between else None
        self.norm_between = nn.LayerNorm(dim, eps=EPS) if between else None
        self.norm_query = nn.LayerNorm(dim, eps=EPS)
        self.norm_memory = nn.LayerNorm(dim, eps=EPS)
        self.cross = CrossAttention(dim, heads)
        self.norm_mlp = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Perceptron(dim, 4 * dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """``queries`` (B, Q, E) after a memory (B, L, E); those of a clip without it stay.

        Args:
            queries: (B, Q, E).
            memory: (B, L, E).
            mask: (B, L), True where there is something.
        """
        x = queries
        if self.between is not None and self.norm_between is not None:
            own = self.norm_between(x)
            x = x + self.drop(self.between(own, own))
        found = self.cross(self.norm_query(x), self.norm_memory(memory), somewhere(mask))
        x = x + self.drop(found)
        x = x + self.drop(self.mlp(self.norm_mlp(x)))
        return torch.where(mask.any(1)[:, None, None], x, queries)


class SequentialDecoder(nn.Module):
    """Passes over the modalities, one block each, in a fixed order.

    Args:
        order: modalities, the first is looked at first.
        depth: number of passes, each with weights of its own.
        dim: width E.
        heads: attention heads.
        dropout: rate.
        between: whether queries look at each other.
    """

    def __init__(
        self,
        order: Sequence[str],
        depth: int,
        dim: int,
        heads: int,
        dropout: float,
        *,
        between: bool,
    ) -> None:
        super().__init__()
        self.order = tuple(order)
        self.passes = nn.ModuleList(
            nn.ModuleDict({name: Injection(dim, heads, dropout, between=between) for name in order})
            for _ in range(depth)
        )

    def forward(self, queries: Tensor, memories: Memories) -> Tensor:
        """``queries`` (B, Q, E), with everything that is there taken in, one after the other."""
        for blocks in self.passes:
            for name in self.order:
                if name in memories:
                    queries = blocks[name](queries, *memories[name])  # type: ignore[index]
        return queries


class QueryPool(nn.Module):
    """One token of several, by a learned softmax over them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim, 1)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """``tokens`` (B, Q, E) and ``mask`` (B, Q) to (B, 1, E)."""
        scores = self.score(tokens)  # (B, Q, 1)
        if mask is not None:
            scores = scores.masked_fill(~somewhere(mask)[..., None], -math.inf)
        pooled: Tensor = (scores.softmax(1) * tokens).sum(1, keepdim=True)
        return pooled


class Likeness(nn.Module):
    """Cosines of projected queries and label vectors, times a learned factor of at most 100.

    Args:
        dim: width E of the queries.
        label_dim: width D of the label vectors.
        temperature: one over the first factor.
    """

    def __init__(self, dim: int, label_dim: int, temperature: float) -> None:
        super().__init__()
        self.project = nn.Linear(dim, label_dim)
        self.scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self, queries: Tensor, labels: Tensor) -> Tensor:
        """A logit (B, C) a label.

        Args:
            queries: (B, C, E), one a label, or (B, 1, E), one for all of them.
            labels: (C, D).
        """
        # Cosines close to 1 differ by less than half precision resolves.
        with torch.autocast(queries.device.type, enabled=False):
            said = F.normalize(self.project(queries.float()), dim=-1)
            cosines = (said * F.normalize(labels.float(), dim=-1)).sum(-1)  # (B, C)
            logits: Tensor = cosines * self.scale.exp().clamp(max=MAX_SCALE)
            return logits
