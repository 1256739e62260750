"""One encoder for several modalities: each of them through the same blocks, alone and together.

Shapes: B clips, R those of them that have everything, K tokens of a modality, L those of a pass,
D their width, P the width of what is contrasted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from mien.parts import pretext
from mien.parts.autoencoder import MaskedAutoencoder, PatchDecoder, Read, rising
from mien.parts.blocks import EPS, Block
from mien.parts.losses import MAX_SCALE
from mien.parts.model import blank
from mien.parts.patches import Patches, positions

TOGETHER = "both"
"""The pass in which all modalities see each other."""
SHARED = "all"
"""The norm of every pass, where each has not its own."""


Pool = Callable[[Sequence[Tensor]], Tensor]


class UnifiedEncoder(nn.Module):
    """Patches of every modality as tokens of one kind, and one stack of blocks for all of them.

    Only the stems, a learned vector that says which modality a token is of, and, if so wanted, the
    norms at the end belong to one of them.

    Args:
        stems: by modality, what cuts it into tokens of width D.
        dim: D.
        depth: number of blocks.
        heads: attention heads.
        separate_norms: a last norm for each pass, or one for all.
        drop_path: of the last block; it grows linearly from 0 at the first.
    """

    def __init__(
        self,
        stems: Mapping[str, Patches],
        *,
        dim: int,
        depth: int,
        heads: int,
        separate_norms: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim, self.depth = dim, depth
        self.stems = nn.ModuleDict(stems)
        self.embeddings = nn.ParameterDict({name: torch.empty(dim) for name in stems})
        for vector in self.embeddings.values():
            nn.init.trunc_normal_(vector, std=0.02)
        self.blocks = nn.ModuleList(
            Block(dim, heads, drop_path=rate) for rate in rising(drop_path, depth)
        )
        passes = (*stems, TOGETHER) if len(stems) > 1 else tuple(stems)
        norms = passes if separate_norms else (SHARED,)
        self.norms = nn.ModuleDict({name: nn.LayerNorm(dim, eps=EPS) for name in norms})

    def tokens(self, name: str, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """One modality (B, C, ...) as tokens (B, K, D), or its patches at ``visible`` (B, K)."""
        stem = self.stems[name]
        assert isinstance(stem, Patches)
        place = positions(stem.count(x), self.dim, x) + self.embeddings[name]
        tokens: Tensor = stem(x, visible) + (place if visible is None else place[visible])
        return tokens

    def forward(
        self, tokens: Tensor, name: str, levels: Collection[int] | None = None
    ) -> list[Tensor]:
        """One pass.

        Args:
            tokens: (B, L, D).
            name: whose they are, or :data:`TOGETHER`: which norm they go through at the end.
            levels: numbers of blocks, from 1; None: the last alone.

        Returns:
            (B, L, D) after each of these blocks, the lowest first.
        """
        norm = self.norms[name if name in self.norms else SHARED]
        wanted = (self.depth,) if levels is None else levels
        kept = []
        for number, block in enumerate(self.blocks, 1):
            tokens = block(tokens)
            if number in wanted:
                kept.append(norm(tokens))
        return kept

    def together(
        self,
        tokens: Mapping[str, Tensor],
        there: Mapping[str, Tensor | None],
        levels: Collection[int] | None = None,
    ) -> tuple[list[Tensor], Tensor | None]:
        """The pass of all modalities, for those clips that have all.

        Args:
            tokens: (B, K of m, D) by modality, in the order in which they stand side by side.
            there: (B) by modality, False where a clip lacks it; None: all have it.
            levels: as in :meth:`forward`.

        Returns:
            (R, L, D) for each level, and which clips (R) these are; None: all.
        """
        known = having(tokens, there)
        rows = None if known is None else known.nonzero()[:, 0]
        parts = [x if rows is None else x[rows] for x in tokens.values()]
        return self(torch.cat(parts, 1), TOGETHER, levels), rows

    def vectors(
        self,
        tokens: Mapping[str, Tensor],
        there: Mapping[str, Tensor | None],
        pools: Mapping[str, Pool],
        levels: Collection[int] | None = None,
    ) -> dict[str, Tensor]:
        """One vector (B, D) of each pass that is asked for, zeros for clips without it.

        Args:
            tokens: (B, K of m, D) of one modality at least.
            there: (B) by modality, False where a clip lacks it; None: all have it.
            pools: by pass, levels (B, L, D) to (B, D).
            levels: as in :meth:`forward`.
        """
        like = next(iter(tokens.values()))
        absent = like.new_zeros(len(like), self.dim)
        made = {}
        for name, pool in pools.items():
            made[name] = absent
            if name in tokens:
                made[name] = blank(pool(self(tokens[name], name, levels)), there[name])
            elif name == TOGETHER and len(tokens) > 1:
                found, rows = self.together(tokens, there, levels)
                made[name] = put_rows(absent, rows, pool(found))
        return made

    def layer(self, name: str) -> int:
        """How far up a parameter lies: stems at 0, norms above the blocks."""
        part, number, *_ = name.split(".")
        if part in ("stems", "embeddings"):
            return 0
        return 1 + int(number) if part == "blocks" else self.depth + 1


class AroundUnified(nn.Module):
    """A network around a :class:`UnifiedEncoder` called ``encoder``, for layer decay."""

    encoder: UnifiedEncoder

    @property
    def layers(self) -> int:
        """The layer of all that is new: above the encoder's blocks."""
        return self.encoder.depth + 1

    def layer(self, name: str) -> int:
        """How far up a parameter lies."""
        part, _, rest = name.partition(".")
        return self.encoder.layer(rest) if part == "encoder" else self.layers


class UnifiedAutoencoder(AroundUnified, MaskedAutoencoder):
    """What is visible of a video and its sound, each alone and both together, through one encoder.

    Features are means of the passes alone, projected; the pass together is what decoders rebuild
    from. Of a clip that lacks a modality, the pass of the other takes its place.

    Args:
        encoder: of all three passes.
        decoders: by modality.
        projections: by modality, (B, 1, D) to (B, 1, P).
        targets: as in :class:`MaskedAutoencoder`.
        temperature: the same.
        learned: whether the temperature is learned, from this one on.
    """

    def __init__(
        self,
        encoder: UnifiedEncoder,
        decoders: Mapping[str, PatchDecoder],
        projections: Mapping[str, nn.Module],
        *,
        targets: Mapping[str, pretext.PatchTarget],
        temperature: float,
        learned: bool = False,
    ) -> None:
        levels = (encoder.depth,) if decoders else ()
        super().__init__(decoders, targets=targets, levels=levels, temperature=temperature)
        self.encoder = encoder
        self.projections = nn.ModuleDict(projections)
        scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))
        self.scale = scale if learned and decoders else None

    def encoded(
        self,
        given: Mapping[str, Tensor],
        visible: Mapping[str, Tensor],
        there: Mapping[str, Tensor | None],
    ) -> Read:
        """Projected means of each modality's own pass, and the tokens of the pass together."""
        tokens = {name: self.encoder.tokens(name, x, visible[name]) for name, x in given.items()}
        alone = {name: self.encoder(x, name)[-1] for name, x in tokens.items()}
        means = {name: x.mean(1, keepdim=True) for name, x in alone.items()}
        output = pretext.level_features(
            {name: [self.projections[name](x)] for name, x in means.items()}, there, self.levels
        )
        if self.scale is not None:
            output.aux["scale"] = self.scale
        if len(tokens) > 1:
            levels, rows = self.encoder.together(tokens, there)
            sizes = [x.shape[1] for x in tokens.values()]
            joint = dict(zip(tokens, torch.split(levels[-1], sizes, 1), strict=True))
            alone = {name: put_rows(x, rows, joint[name]) for name, x in alone.items()}
        return output, {name: (x, ()) for name, x in alone.items()}

    def temperature_now(self) -> float:
        """The temperature, as far as it is learned."""
        if self.scale is None:
            return self.temperature
        return 1 / float(self.scale.detach().exp().clamp(max=MAX_SCALE))


class LastPool(nn.Module):
    """The mean of the tokens of the last level."""

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(B, L, D) of each level to (B, D)."""
        return levels[-1].mean(1)


def having(names: Iterable[str], there: Mapping[str, Tensor | None]) -> Tensor | None:
    """Which clips (B) have all of these modalities; None: all clips."""
    known = [one for name in names if (one := there[name]) is not None]
    return torch.stack(known).all(0) if known else None


def put_rows(x: Tensor, rows: Tensor | None, other: Tensor) -> Tensor:
    """``x`` (B, ...) with ``other`` (R, ...) at ``rows`` (R); None: all of them."""
    return other if rows is None else x.index_copy(0, rows, other.to(x.dtype))
