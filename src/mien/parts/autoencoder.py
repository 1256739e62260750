"""Masked autoencoders of two modalities: encoders, their fusion, decoders with skip connections.

Shapes: B clips, N patches, K of them visible, D width of an encoder, W width of a decoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts import masking, pretext
from mien.parts.blocks import EPS, Block, CrossBlock
from mien.parts.model import blank, clips_with
from mien.parts.patches import Patches, positions
from mien.types import Output


class PatchEncoder(nn.Module):
    """Patches through a stack of blocks; what is hidden never enters.

    Args:
        patches: cuts the input into tokens of width D.
        dim: D.
        depth: number of blocks.
        heads: attention heads.
        drop_path: of the last block; it grows linearly from 0 at the first.
    """

    def __init__(
        self, patches: Patches, *, dim: int, depth: int, heads: int, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.dim = dim
        self.patches = patches
        self.blocks = nn.ModuleList(
            Block(dim, heads, drop_path=rate) for rate in rising(drop_path, depth)
        )
        self.norm = nn.LayerNorm(dim, eps=EPS)

    def forward(
        self, x: Tensor, visible: Tensor | None = None, levels: Collection[int] | None = None
    ) -> list[Tensor]:
        """Tokens after some of the blocks, all through the one norm at the end.

        Args:
            x: (B, C, ...).
            visible: (B, K) places of the patches that enter; None: all.
            levels: numbers of blocks, from 1; None: all.

        Returns:
            (B, K or N, D) for each level, the lowest first.
        """
        tokens = self.patches(x, visible)
        place = positions(self.patches.count(x), self.dim, tokens)
        tokens = tokens + (place if visible is None else place[visible])
        kept = []
        for number, block in enumerate(self.blocks, 1):
            tokens = block(tokens)
            if levels is None or number in levels:
                kept.append(self.norm(tokens))
        return kept


class CrossModalEncoder(nn.Module):
    """Two streams of tokens, each of which looks at the other in every block.

    Both step at once: each looks at what the other was before its own step.

    Args:
        modalities: two names.
        dim: width D.
        depth: number of blocks of each stream.
        heads: attention heads.
        drop_path: of the last block; it grows linearly from 0 at the first.
    """

    def __init__(
        self,
        modalities: tuple[str, str],
        *,
        dim: int,
        depth: int,
        heads: int,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.depth = depth
        first, second = modalities
        self.other = {first: second, second: first}
        self.blocks = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    CrossBlock(dim, heads, drop_path=rate) for rate in rising(drop_path, depth)
                )
                for name in modalities
            }
        )
        self.norms = nn.ModuleDict({name: nn.LayerNorm(dim, eps=EPS) for name in modalities})

    def forward(
        self, tokens: Mapping[str, Tensor], there: Mapping[str, Tensor | None]
    ) -> dict[str, Tensor]:
        """Fused tokens of each modality that is given.

        Args:
            tokens: (B, L of m, D) by modality; one that is alone looks at itself only.
            there: (B) bool by modality, False where a clip lacks it; None: all have it.
        """
        streams = dict(tokens)
        for level in range(self.depth):
            streams = {
                name: self._blocks(name)[level](
                    x, streams.get(self.other[name]), there.get(self.other[name])
                )
                for name, x in streams.items()
            }
        return {name: self.norms[name](x) for name, x in streams.items()}

    def _blocks(self, name: str) -> nn.ModuleList:
        blocks = self.blocks[name]
        assert isinstance(blocks, nn.ModuleList)
        return blocks


class PatchDecoder(nn.Module):
    """Rebuilds hidden patches from tokens of the visible ones, with or without skip connections.

    The first blocks look at their own sequence only; each of the last ones also at one level of an
    encoder, the highest first.

    Args:
        dim: width D of what comes in.
        width: W.
        depth: number of blocks.
        heads: attention heads.
        outputs: numbers in a patch.
        looks: how many of the blocks look back at a level.
    """

    def __init__(
        self, dim: int, *, width: int, depth: int, heads: int, outputs: int, looks: int = 0
    ) -> None:
        super().__init__()
        self.width = width
        self.enter = nn.Linear(dim, width, bias=False)
        nn.init.xavier_uniform_(self.enter.weight)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.blocks = nn.ModuleList(
            (Block if number < depth - looks else CrossBlock)(width, heads)
            for number in range(depth)
        )
        self.looks = looks
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.head = nn.Linear(width, outputs)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def undecayed(self) -> set[str]:
        """Parameters that weight decay should leave alone although they are not vectors."""
        return {"mask_token"}

    def forward(
        self, fused: Tensor, skips: Sequence[Tensor], visible: Tensor, hidden: Tensor
    ) -> Tensor:
        """Hidden patches (B, N - K, outputs).

        Args:
            fused: (B, K, D), the visible tokens.
            skips: (B, K, D) of each level to look back at, the lowest first.
            visible: (B, K) their places.
            hidden: (B, N - K) the places of the others.
        """
        count = visible.shape[1] + hidden.shape[1]
        place = positions(count, self.width, fused)
        seen = place[visible]
        unseen = self.mask_token + place[hidden]
        x = torch.cat([self.enter(fused) + seen, unseen], 1)  # (B, N, W), the visible first
        plain = len(self.blocks) - self.looks
        for block in self.blocks[:plain]:
            x = block(x)
        for block, skip in zip(self.blocks[plain:], reversed(skips), strict=True):
            x = block(x, self.enter(skip) + seen)
        made: Tensor = self.head(self.norm(x[:, visible.shape[1] :]))
        return made


Read = tuple[Output, Mapping[str, tuple[Tensor, Sequence[Tensor]]]]
"""Features, and by modality what its decoder takes: tokens (B, K, D), and levels to look back at"""


class MaskedAutoencoder(nn.Module, ABC):
    """Decoders that rebuild what is hidden of a video and its sound, whatever its encoders are.

    A subclass says in :meth:`encoded` how what is visible is read.

    Args:
        decoders: by modality.
        targets: by modality, what is to be rebuilt.
        levels: numbers of the blocks, from 1 to the last, whose means are features.
        temperature: of the similarities between features.
    """

    def __init__(
        self,
        decoders: Mapping[str, PatchDecoder],
        *,
        targets: Mapping[str, pretext.PatchTarget],
        levels: Sequence[int],
        temperature: float,
    ) -> None:
        super().__init__()
        self.decoders = nn.ModuleDict(decoders)
        self.targets, self.levels, self.temperature = dict(targets), tuple(levels), temperature

    @abstractmethod
    def encoded(
        self,
        given: Mapping[str, Tensor],
        visible: Mapping[str, Tensor],
        there: Mapping[str, Tensor | None],
    ) -> Read:
        """Features of each level as :func:`pretext.level_features` gives them, and what to decode.

        Args:
            given: (B, C, ...) by modality, zeros for clips that lack it.
            visible: (B, K) places of the patches that may be seen.
            there: (B) by modality, False where a clip lacks it; None: all have it.
        """

    def forward(
        self,
        video: Tensor | None = None,
        audio: Tensor | None = None,
        *,
        video_hidden: Tensor | None = None,
        audio_hidden: Tensor | None = None,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Errors of what was rebuilt, and features of each level.

        Args:
            video: normalised pixels (B, 3, T, H, W).
            audio: normalised spectrograms (B, 1, time, mel).
            video_hidden: (B, N), 1 where a patch is hidden; of every clip equally many.
            audio_hidden: the same for the sound.
            mask: (B, L) for each modality; without it everything is there.
            present: (B, M), a column for each given modality in sorted order.

        Returns:
            Features ``video_4`` (B, D) and so on, and in ``aux`` the errors ``video_error`` (B).
            Outside training also what was rebuilt, ``video`` and ``audio`` (B, N - K, values of a
            patch), and the similarities ``logits_4`` (B, B) of each video to each sound.
        """
        given = {n: x for n, x in (("video", video), ("audio", audio)) if x is not None}
        hidden = {"video": video_hidden, "audio": audio_hidden}
        places = {n: masking.parted(one) for n, one in hidden.items() if one is not None}
        if not given or not given.keys() <= places.keys():
            raise ConfigError(
                "which patches are hidden?",
                fix="model(video=..., audio=..., video_hidden=..., audio_hidden=...), 1 where a "
                "patch is; front_end.draw makes such masks",
            )
        there = {name: clips_with(name, given, mask, present) for name in given}
        given = {name: blank(x, there[name]) for name, x in given.items()}
        output, tokens = self.encoded(given, {name: places[name][0] for name in given}, there)
        for name, x in given.items():
            made = self.decoders[name](*tokens[name], *places[name])
            with torch.no_grad():
                target = self.targets[name](x, places[name][1])
            output.aux[f"{name}_error"] = pretext.patch_error(made, target)
            output.aux[f"{name}_present"] = pretext.flags(there[name], x)
            if not self.training:  # in training everything travels to the other processes
                output.aux[name] = made
        for name in self.decoders.keys() - given.keys():  # as if every clip lacked it
            pretext.add_absent(output, name, self.levels)
        if not self.training:
            output.aux |= pretext.similarities(output, self.levels, self.temperature_now())
        return output

    def temperature_now(self) -> float:
        """The temperature; a subclass may learn it."""
        return self.temperature


class AudioVisualAutoencoder(MaskedAutoencoder):
    """What is visible of a video and its sound through encoders and fusion; decoders give the rest.

    Args:
        encoders: by modality.
        fusion: of their last levels.
        decoders: by modality.
        targets: as in :class:`MaskedAutoencoder`.
        levels: the same; the decoders look back at them.
        temperature: the same.
    """

    def __init__(
        self,
        encoders: Mapping[str, PatchEncoder],
        fusion: CrossModalEncoder,
        decoders: Mapping[str, PatchDecoder],
        *,
        targets: Mapping[str, pretext.PatchTarget],
        levels: Sequence[int],
        temperature: float,
    ) -> None:
        super().__init__(decoders, targets=targets, levels=levels, temperature=temperature)
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = fusion

    def encoded(
        self,
        given: Mapping[str, Tensor],
        visible: Mapping[str, Tensor],
        there: Mapping[str, Tensor | None],
    ) -> Read:
        """Means of the levels of each encoder; its last one fused, and all to look back at."""
        levels = {
            name: self.encoders[name](x, visible[name], self.levels) for name, x in given.items()
        }
        fused = self.fusion({name: own[-1] for name, own in levels.items()}, there)
        output = pretext.level_features(levels, there, self.levels)
        return output, {name: (x, levels[name]) for name, x in fused.items()}


class LevelPool(nn.Module):
    """The mean of the tokens of every level, mixed with weights that are learned.

    Args:
        levels: how many there are; they begin alike.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((levels,), 1 / levels))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(B, N, D) of each level to (B, D)."""
        if len(levels) != len(self.weights):
            raise ConfigError(f"{len(levels)} levels for {len(self.weights)} weights")
        means = torch.stack([tokens.mean(1) for tokens in levels], 1)  # (B, levels, D)
        return (means * self.weights.softmax(0)[:, None]).sum(1)


def rising(last: float, depth: int) -> list[float]:
    """Rates that grow linearly from 0 at the first block to the last."""
    rates: list[float] = torch.linspace(0, last, depth, device="cpu").tolist()
    return rates
