"""Several modalities to one vector, whichever of them are there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mien.errors import ConfigError, did_you_mean


class ConcatFusion(nn.Module):
    """The embeddings side by side, in the order of their names.

    A modality that is absent, from the whole call or from one clip, is zeros: then a clip gets the
    same answer in any batch.

    Args:
        dims: width of each modality's embedding.
    """

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.dims = dict(sorted(dims.items()))

    @property
    def dim(self) -> int:
        """Width of the fused vector."""
        return sum(self.dims.values())

    def forward(self, embeddings: Mapping[str, Tensor], present: Tensor | None = None) -> Tensor:
        """Put side by side what is there.

        Args:
            embeddings: (B, D of m) for each modality m that is given, in any subset.
            present: (B, M) bool, one column for each given modality in sorted order.

        Returns:
            (B, sum of all D).
        """
        given = self._given(embeddings, present)
        like = embeddings[given[0]]
        parts = []
        for name, width in self.dims.items():
            if name not in given:
                parts.append(like.new_zeros(like.shape[0], width))
            elif present is None:
                parts.append(embeddings[name])
            else:
                absent = ~present[:, given.index(name), None]
                parts.append(embeddings[name].masked_fill(absent, 0))
        return torch.cat(parts, 1)

    def _given(self, embeddings: Mapping[str, Tensor], present: Tensor | None) -> list[str]:
        given = sorted(embeddings)
        unknown = [name for name in given if name not in self.dims]
        if unknown or not given:
            what = (
                f"{unknown[0]!r}: {did_you_mean(unknown[0], self.dims)}" if unknown else "nothing"
            )
            raise ConfigError(f"cannot fuse {what}", where=f"fusion of {', '.join(self.dims)}")
        if present is not None and present.shape[1] != len(given):
            raise ConfigError(
                f"present has {present.shape[1]} columns for {len(given)} modalities",
                where=f"fusion of {', '.join(given)}",
                fix="one column for each modality that is given, in sorted order",
            )
        return given
