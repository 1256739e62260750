"""Whole conversations: what each utterance means among the others, in several modalities.

What an utterance lacks is nobody's key, adds nothing, and is zeros at the end.

Shapes: B dialogues, U utterances, D width of a modality, T width of the query's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mien.errors import ConfigError


class DialogueEncoder(nn.Module):
    """``x + encoder(x)`` once a layer: Transformer layers, each within a skip of its own.

    Args:
        dim: width D.
        layers: how many.
        heads: attention heads a layer; they divide D.
        mlp: hidden width of the feed-forward part.
        dropout: rate within a layer.
    """

    def __init__(self, dim: int, layers: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        _check_heads(dim, heads)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, heads, mlp, dropout, activation="gelu", batch_first=True
            )
            for _ in range(layers)
        )

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Vectors (B, U, D) of which some are there (B, U) to as many; zeros where none is."""
        absent = ~there[..., None]
        hidden = _hidden(there)
        x = x.masked_fill(absent, 0)
        for layer in self.layers:
            x = x + layer(x, src_key_padding_mask=hidden)
            x = x.masked_fill(absent, 0)
        return x


def places(count: int, dim: int, like: Tensor) -> Tensor:
    """Sines and cosines (U, D) that tell utterances apart by their place in the dialogue."""
    at = torch.arange(count, device=like.device, dtype=torch.float32)[:, None]
    even = torch.arange(0, dim, 2, device=like.device)
    angles = at * torch.exp(-math.log(10_000.0) * even / dim)  # (U, half of D, rounded up)
    both = torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
    return both[:, :dim].to(like.dtype)


class FusionAttention(nn.Module):
    """M2FNet's fusion: queries and values of one modality, keys of each of the others.

    ``A = MHA(Q=T, K=F_A, V=T)``, likewise for every other modality, and ``T' = FC([A; T; ...])``.
    Keys and values are aligned: the key of an utterance is what another modality says of it, its
    value what the query's own does.

    Args:
        dim: width T of the query's modality.
        others: width of each other modality.
        heads: attention heads; they divide T.
        dropout: rate on attention weights and after the last layer.
    """

    def __init__(self, dim: int, others: Mapping[str, int], heads: int, dropout: float) -> None:
        super().__init__()
        _check_heads(dim, heads)
        self.others = sorted(others)
        self.attention = nn.ModuleDict(
            {
                name: nn.MultiheadAttention(
                    dim, heads, dropout, kdim=others[name], vdim=dim, batch_first=True
                )
                for name in self.others
            }
        )
        self.join = nn.Linear((1 + len(self.others)) * dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, keys: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> Tensor:
        """Query (B, U, T) to (B, U, T).

        Args:
            x: of the query's modality.
            keys: (B, U, D of m) of each other modality m; one that is left out adds zeros.
            there: (B, U) of each of these, True where both the key and the query are there.
        """
        parts = [x]
        for name in self.others:
            if name not in keys:
                parts.append(torch.zeros_like(x))
                continue
            seen = there[name]
            looked, _ = self.attention[name](
                x, keys[name], x, key_padding_mask=_hidden(seen), need_weights=False
            )
            parts.append(looked.masked_fill(~seen.any(1)[:, None, None], 0))
        joined: Tensor = self.drop(self.join(torch.cat(parts, 2)))
        return joined


def _hidden(there: Tensor) -> Tensor:
    """What attention leaves out (B, U); where nothing is there it looks at padding, in vain."""
    return ~there & there.any(1, keepdim=True)


def _check_heads(dim: int, heads: int) -> None:
    if dim % heads:
        raise ConfigError(
            f"a width of {dim} does not divide over {heads} heads",
            fix="model.heads=2, or another width first: model.widths.visual=256",
        )
