"""Features instead of media: vectors that something else extracted, standardised and encoded.

Shapes: B clips, L positions (1 where a clip is one vector), D features, W the encoder's width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from mien.errors import DataError
from mien.parts.model import FrontEnd, Tensors
from mien.types import Batch


class Standardise(FrontEnd):
    """Each feature to mean 0 and deviation 1 over the training part; an unknown value to the mean.

    A value that is not finite counts nowhere and becomes 0, and so does a feature that never
    varied.

    Args:
        dims: number of features of each modality; other modalities pass as they are.
    """

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.dims = dict(dims)
        for name, width in self.dims.items():
            self.register_buffer(f"{name}_mean", torch.zeros(width))
            self.register_buffer(f"{name}_scale", torch.ones(width))

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """``inputs[m]`` (B, L, D), standardised; masks as they are."""
        del chosen  # every position is read
        _no_words(inputs)
        made = dict(inputs)
        for name in self.dims.keys() & inputs.keys():
            values = self._checked(name, inputs[name])
            mean, scale = getattr(self, f"{name}_mean"), getattr(self, f"{name}_scale")
            known = torch.isfinite(values) & mask[name][..., None]
            made[name] = torch.where(known, (values - mean) * scale, 0.0)
        return made, dict(mask)

    def fit(self, batches: Iterable[Batch]) -> None:
        """Learn mean and deviation of every feature, in double precision and one pass."""
        sums = {name: _Moments(width) for name, width in self.dims.items()}
        for batch in batches:
            _no_words(batch.inputs)
            for name in self.dims.keys() & batch.inputs.keys():
                sums[name].add(self._checked(name, batch.inputs[name])[batch.mask[name]])
        for name, moments in sums.items():
            mean, scale = moments.mean_and_scale()
            getattr(self, f"{name}_mean").copy_(mean)
            getattr(self, f"{name}_scale").copy_(scale)

    def _checked(self, name: str, values: Tensor) -> Tensor:
        if values.ndim != 3 or values.shape[2] != self.dims[name]:
            raise DataError(
                f"{name} holds {tuple(values.shape)}, not (clips, positions, {self.dims[name]})",
                fix=f"model.feature_dims.{name}={values.shape[-1]}, or another feature of the data",
            )
        return values.float()


def _no_words(inputs: Mapping[str, Tensor]) -> None:
    """Refuse texts that nobody made vectors of, as they would be read by nobody."""
    for name, values in inputs.items():
        if values.ndim == 2 and not values.is_floating_point():
            raise DataError(
                f"{name} holds words as they are written, and vectors of them are needed",
                fix=f"features.{name} in its rows, or model.modalities without {name}",
            )


class _Moments:
    """Count, mean and squared deviation, merged batch by batch without cancellation."""

    def __init__(self, width: int) -> None:
        self.count, self.mean, self.spread = torch.zeros(3, width, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take in rows (N, D); values that are not finite are left out."""
        rows = rows.double().cpu()
        known = torch.isfinite(rows)
        count = known.sum(0)
        mean = torch.where(known, rows, 0).sum(0) / count.clamp_min(1)
        spread = torch.where(known, (rows - mean) ** 2, 0).sum(0)
        total = (self.count + count).clamp_min(1)
        step = mean - self.mean
        self.spread = self.spread + spread + step**2 * self.count * count / total
        self.mean = self.mean + step * count / total
        self.count = self.count + count

    def mean_and_scale(self) -> tuple[Tensor, Tensor]:
        """Mean, and one over the deviation (0 for what never varies)."""
        deviation = (self.spread / self.count.clamp_min(1)).sqrt()
        varies = deviation > 1e-6 * self.mean.abs().clamp_min(1e-6)
        return self.mean, torch.where(varies, 1 / deviation, 0.0)


class FeatureEncoder(nn.Module):
    """A small perceptron over every position, in the place of a tower.

    Args:
        features: number D of features.
        width: width W of the tokens.
        dropout: rate on the tokens.
    """

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dim = width
        self.layers = nn.Sequential(
            nn.Linear(features, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``x`` (B, L, D) and ``mask`` (B, L) to tokens (B, L, W) and their mask."""
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        return self.layers(x), mask.expand(x.shape[:2])
