"""Transformer blocks over one set of tokens, or over one that also looks at another.

Norms come first, queries and values have a bias, and keys have none: one that is added to every
key changes no attention weight.

Shapes: B clips, L tokens, K tokens of a context, D their width, H heads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts.adapters import DropPath

EPS = 1e-6
"""What the norms of masked autoencoders add to a variance."""


class SelfAttention(nn.Module):
    """Tokens that look at each other.

    Args:
        dim: width D.
        heads: H, each D / H wide.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = _checked(dim, heads)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.query_bias = nn.Parameter(torch.zeros(dim))
        self.value_bias = nn.Parameter(torch.zeros(dim))
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        bias = torch.cat([self.query_bias, torch.zeros_like(self.query_bias), self.value_bias])
        query, key, value = F.linear(x, self.qkv.weight, bias).chunk(3, 2)
        attended: Tensor = self.output(_attend(query, key, value, self.heads))
        return attended


class CrossAttention(nn.Module):
    """Tokens that look at those of a context.

    Args:
        dim: width D.
        heads: H, each D / H wide.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = _checked(dim, heads)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.query_bias = nn.Parameter(torch.zeros(dim))
        self.value_bias = nn.Parameter(torch.zeros(dim))
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """``x`` (B, L, D) and ``context`` (B, K, D) to (B, L, D).

        Args:
            x: tokens.
            context: what they look at.
            mask: (B, K), True where there is something, which is at one place of each at least.
        """
        query = F.linear(x, self.query.weight, self.query_bias)
        bias = torch.cat([torch.zeros_like(self.value_bias), self.value_bias])
        key, value = F.linear(context, self.key_value.weight, bias).chunk(2, 2)
        seen = None if mask is None else mask[:, None, None]  # over heads and queries
        attended: Tensor = self.output(_attend(query, key, value, self.heads, seen))
        return attended


class Perceptron(nn.Module):
    """Two layers with a GELU between them, over each token by itself."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        made: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return made


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + mlp(norm(x))``.

    Args:
        dim: width D.
        heads: H.
        ratio: width of the hidden layer of the perceptron, over D.
        drop_path: how often a branch is left out in training, for whole clips.
    """

    def __init__(self, dim: int, heads: int, *, ratio: int = 4, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attention = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = Perceptron(dim, ratio * dim)
        self.drop = DropPath(drop_path)
        self.apply(_even)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        x = x + self.drop(self.attention(self.norm1(x)))
        made: Tensor = x + self.drop(self.mlp(self.norm2(x)))
        return made


class CrossBlock(Block):
    """``x + cross(norm(x), norm(context))``, then what :class:`Block` does."""

    def __init__(self, dim: int, heads: int, *, ratio: int = 4, drop_path: float = 0.0) -> None:
        super().__init__(dim, heads, ratio=ratio, drop_path=drop_path)
        self.norm_query = nn.LayerNorm(dim, eps=EPS)
        self.norm_context = nn.LayerNorm(dim, eps=EPS)
        self.cross = CrossAttention(dim, heads).apply(_even)

    def forward(
        self, x: Tensor, context: Tensor | None = None, there: Tensor | None = None
    ) -> Tensor:
        """One block; without a context it is a plain one.

        Args:
            x: (B, L, D).
            context: (B, K, D).
            there: (B) bool, False for a clip whose context is absent.
        """
        if context is not None:
            found = self.cross(self.norm_query(x), self.norm_context(context))
            if there is not None:
                found = found.masked_fill(~there.view(-1, 1, 1), 0)
            x = x + self.drop(found)
        return super().forward(x)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, heads: int, seen: Tensor | None = None
) -> Tensor:
    """Attention of ``query`` (B, L, D) to ``key`` and ``value`` (B, K, D), (B, L, D).

    By the fused kernel, except in half precision on a CPU, where that kernel's backward pass was
    measured 1.3 (800 tokens) to 3.7 times (80 tokens) slower than its products one by one.
    """
    query, key, value = (
        torch.unflatten(x, 2, (heads, -1)).transpose(1, 2) for x in (query, key, value)
    )
    if query.dtype == torch.bfloat16 and query.device.type == "cpu":
        scores: Tensor = query * query.shape[3] ** -0.5 @ key.transpose(2, 3)  # (B, H, L, K)
        if seen is not None:
            scores = scores.masked_fill(~seen, -torch.inf)
        mixed = scores.softmax(3) @ value  # (B, H, L, D / H)
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, seen)
    return mixed.transpose(1, 2).flatten(2)


def _even(module: nn.Module) -> None:
    """Begin as masked autoencoders do: signals neither grow nor fade, biases are 0."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _checked(dim: int, heads: int) -> int:
    if dim % heads:
        raise ConfigError(f"a width of {dim} cannot be shared by {heads} attention heads")
    return heads
