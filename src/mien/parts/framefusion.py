"""Several modalities to one vector a frame, whichever of them are there.

Three ways, each as published for emotion over time: a leader that is followed, channels that are
weighed, and tokens that modalities made of each other. What is not there is never looked at.

All three are called alike: with ``tokens[m]`` (B, L, D), with ``there[m]`` (B, L), where modality m
is, and with ``inside`` (B, L), frames that are none of padding. They give (B, L, ``dim``).

Shapes: B clips, L frames, M modalities, D the width of a modality's tokens, E of what is fused,
P pairs of modalities.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts.temporal import PostNormBlock

JOINT = "joint"
"""The modality that is made of all others."""


class LeaderFollower(nn.Module):
    """At each frame modalities look at each other; what comes of it follows the first of them.

    Args:
        dims: width of each modality's tokens; the first one leads.
        width: of queries, keys and values.
        heads: that share it.
        dropout: rate on what follows.
    """

    def __init__(self, dims: Mapping[str, int], width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.names, self.heads = list(dims), _checked(width, heads)
        self.leader = self.names[0]
        self.dim = dims[self.leader] + width * len(dims)
        looks = {m: nn.Linear(d, 3 * width) for m, d in dims.items()}
        self.looks = nn.ModuleDict(looks)
        self.output = nn.Linear(width * len(dims), width * len(dims))
        self.norm = nn.LayerNorm(width * len(dims))
        self.drop = nn.Dropout(dropout)
        for linear in (*looks.values(), self.output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self, tokens: Mapping[str, Tensor], there: Mapping[str, Tensor], inside: Tensor
    ) -> Tensor:
        """Tokens to leader and follower, side by side (B, L, dim)."""
        del inside  # each frame is fused by itself
        made = torch.stack([self.looks[m](tokens[m]) for m in self.names], 2)  # (B, L, M, 3 W)
        known = torch.stack([there[m] for m in self.names], 2)  # (B, L, M)
        made = made.masked_fill(~known[..., None], 0)
        made = torch.unflatten(made, 3, (3, self.heads, -1))
        query, key, value = made.permute(3, 0, 1, 4, 2, 5)  # each (B, L, heads, M, W / heads)
        found = attend(query, key, value, known[:, :, None, None]) + value  # (B, L, heads, M, W')
        found = found.masked_fill(~known[:, :, None, :, None], 0)
        follower = self.norm(self.drop(self.output(found.flatten(2))))
        leader = tokens[self.leader].masked_fill(~there[self.leader][..., None], 0)
        return torch.cat([leader, follower], 2)


class ChannelAttention(nn.Module):
    """All modalities side by side, each channel times its share of attention.

    Args:
        dims: width of each modality's tokens.
        width: of each after its projection.
    """

    def __init__(self, dims: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.names, self.width = list(dims), width
        self.dim = width * len(dims)
        self.project = nn.ModuleDict({m: nn.Linear(d, width) for m, d in dims.items()})
        self.weigh = nn.Linear(self.dim, self.dim)

    def forward(
        self, tokens: Mapping[str, Tensor], there: Mapping[str, Tensor], inside: Tensor
    ) -> Tensor:
        """Tokens to weighed channels (B, L, dim); shares of a modality that is absent are 0."""
        del inside  # each frame is fused by itself
        parts = torch.cat([self.project[m](tokens[m]) for m in self.names], 2)
        known = torch.stack([there[m] for m in self.names], 2).repeat_interleave(self.width, 2)
        parts = parts.masked_fill(~known, 0)
        weights: Tensor = self.weigh(parts).masked_fill(~_some(known), -torch.inf)
        return weights.softmax(2) * parts


class Look(nn.Module):
    """Attention of tokens to those of a context, the same or another.

    Args:
        dim: width.
        heads: that share it.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = _checked(dim, heads)
        self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor, attended: Tensor) -> Tensor:
        """``x`` (B, L, D) looks at ``context`` (B, K, D) where ``attended`` (B, K) is True."""
        parts = (self.query(x), *self.key_value(context).chunk(2, 2))
        query, key, value = (
            torch.unflatten(part, 2, (self.heads, -1)).transpose(1, 2) for part in parts
        )
        mixed = attend(query, key, value, attended[:, None, None])
        made: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return made


class CrossedTokens(nn.Module):
    """Modalities look at each other over time; of the tokens of a frame the last one is kept.

    ``joint`` is the joint multimodal Transformer: a third modality is made of the others, and there
    are six tokens a frame, visual-audio, audio-visual, joint-visual, visual-joint, joint-audio and
    audio-joint (a modality, and what it looks at). Without it there are the first two. A modality
    that is alone looks at itself.

    The tokens of a frame look at each other, then the last of those that are there is kept. In the
    published code axes were mixed up: each token looks at the same token of all frames of all clips
    of a batch, so that the first five are lost, and an answer depends on what else is in the batch.
    ``literal`` does that, without the padding; with one clip at a time it looks at its own frames.

    Args:
        dims: width of each modality's tokens.
        width: E.
        heads: of all attention.
        mlp: hidden width of the feed-forward parts.
        joint: with the third modality.
        literal: as in the published code.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        width: int,
        heads: int,
        mlp: int,
        *,
        joint: bool,
        literal: bool = False,
    ) -> None:
        super().__init__()
        self.names, self.dim, self.literal = list(dims), width, literal
        self.widen = nn.ModuleDict({m: nn.Linear(d, width) for m, d in dims.items() if d != width})
        self.join = nn.Linear(width * len(dims), width) if joint else None
        streams = [*self.names, JOINT] if joint else self.names
        self.encoders = nn.ModuleDict({s: PostNormBlock(width, heads, mlp, 0.0) for s in streams})
        self.pairs = _pairs(self.names, joint)
        self.crossed = nn.ModuleDict({f"{a}-{b}": Look(width, heads) for a, b in self.pairs})
        self.between = PostNormBlock(width, heads, mlp, 0.0)
        self.last = Look(width, heads)

    def forward(
        self, tokens: Mapping[str, Tensor], there: Mapping[str, Tensor], inside: Tensor
    ) -> Tensor:
        """Tokens to the last one of each frame (B, L, E)."""
        streams, known = self._streams(tokens, there)
        crossed, made = list[Tensor](), list[Tensor]()
        for one, other in self.pairs:
            keys, attended = streams[other], known[other]
            heard = attended.any(1, keepdim=True)  # (B, 1), whether it is in the clip at all
            if self.join is None:
                keys = torch.where(heard[..., None], keys, streams[one])
                attended = torch.where(heard, attended, known[one])
                heard = torch.ones_like(heard)
            crossed.append(self.crossed[f"{one}-{other}"](streams[one], keys, attended))
            made.append(known[one] & heard)
        pairs, there_at = torch.stack(crossed, 2), torch.stack(made, 2)  # (B, L, P, E), (B, L, P)
        mixed = self.mixed(pairs, there_at, inside)
        at = torch.arange(there_at.shape[2], device=there_at.device)
        final = torch.where(there_at, at, 0).amax(2)  # (B, L), the last that is there
        return mixed.gather(2, final[..., None, None].expand(-1, -1, 1, self.dim))[:, :, 0]

    def mixed(self, pairs: Tensor, there: Tensor, inside: Tensor) -> Tensor:
        """Tokens (B, L, P, E) after they looked at those that they should, or literally did.

        Args:
            pairs: one a pair of modalities.
            there: (B, L, P).
            inside: (B, L), frames that are none of padding.
        """
        if not self.literal:
            made = self._between(pairs.flatten(0, 1), there.flatten(0, 1))
            return made.view_as(pairs)
        x, known = pairs[inside].transpose(0, 1), there[inside].T  # (P, frames, E), (P, frames)
        made = torch.zeros_like(pairs)
        if x.shape[1]:
            made[inside] = self._between(x, known).transpose(0, 1)
        return made

    def _between(self, x: Tensor, known: Tensor) -> Tensor:
        """Sequences (N, K, E), each looking at itself where (N, K) it is known."""
        encoded, _ = self.between(x, _some(known)[:, None, None])
        made: Tensor = self.last(encoded, encoded, known)
        return made

    def _streams(
        self, tokens: Mapping[str, Tensor], there: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality, and the joint one, after it looked at itself over time."""
        wide = {m: self.widen[m](tokens[m]) if m in self.widen else tokens[m] for m in self.names}
        wide = {m: x.masked_fill(~there[m][..., None], 0) for m, x in wide.items()}
        known = {m: there[m] for m in self.names}
        if self.join is not None:
            wide[JOINT] = self.join(torch.cat([wide[m] for m in self.names], 2))
            known[JOINT] = torch.stack([there[m] for m in self.names]).any(0)
        encoded = {
            s: self.encoders[s](x, _some(known[s])[:, None, None])[0] for s, x in wide.items()
        }
        return encoded, known


def _pairs(names: list[str], joint: bool) -> list[tuple[str, str]]:
    """Who looks at whom, in the published order."""
    if len(names) == 1:
        (name,) = names
        return [(JOINT, name), (name, JOINT)] if joint else [(name, name)]
    one, other = names
    found = [(one, other), (other, one)]
    for name in names if joint else ():
        found += [(JOINT, name), (name, JOINT)]
    return found


def attend(query: Tensor, key: Tensor, value: Tensor, attended: Tensor) -> Tensor:
    """Attention (..., L, D) to keys (..., K, D); zeros where there is nothing to look at.

    Args:
        query: (..., L, D).
        key: (..., K, D).
        value: (..., K, D).
        attended: (..., 1, K), which keys are looked at.
    """
    mixed = F.scaled_dot_product_attention(query, key, value, _some(attended))
    return mixed.masked_fill(~attended.any(-1, keepdim=True), 0)


def _some(known: Tensor) -> Tensor:
    """The same; all, where there is nothing: a softmax over nothing is no number."""
    return known | ~known.any(-1, keepdim=True)


def _checked(width: int, heads: int) -> int:
    if width % heads:
        raise ConfigError(f"a width of {width} does not divide over {heads} heads")
    return heads
