"""What a masked autoencoder is to rebuild, and how well it did.

Targets are normalised patch by patch: what is left of a patch is its pattern, neither how bright
nor how loud it is.

Shapes: B clips, M hidden patches, P values of a channel in a patch, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.errors import ConfigError, DataError
from mien.parts.patches import cut, put
from mien.types import Batch, Output

_EPS = 1e-6  # added to a deviation: a patch of one value has the target 0


def patch_targets(
    x: Tensor, size: Sequence[int], hidden: Tensor, *, frame_difference: bool = False
) -> Tensor:
    """The normalised patches at ``hidden``, (B, M, P * C) with the channels side by side.

    Args:
        x: (B, C, ...), in the scale in which a deviation of 1e-6 is nothing.
        size: of a patch.
        hidden: (B, M) places.
        frame_difference: of each pair of frames, the second becomes its difference to the first;
            both are normalised before.
    """
    patches, mean, std = _patches(x, size, hidden)
    target = (patches - mean) / (std + _EPS)
    if frame_difference:
        target = _differences(target, size[0])
    return target.flatten(2)


def _patches(x: Tensor, size: Sequence[int], hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values (B, M, P, C), and the mean and deviation (B, M, 1, C) of each patch and channel."""
    patches = cut(x, size, hidden).flatten(3).transpose(2, 3)
    return patches, patches.mean(2, keepdim=True), patches.std(2, keepdim=True)


def _differences(target: Tensor, frames: int) -> Tensor:
    """(B, M, P, C) of patches that are so many frames long, every second one less the first."""
    if frames % 2:
        raise ConfigError(
            f"frames are taken in pairs, and a patch has {frames}", fix="model.tubelet=2"
        )
    pairs = torch.unflatten(target, 2, (frames // 2, 2, -1))
    first, second = pairs.unbind(3)
    return torch.stack([first, second - first], 3).view_as(target)


def _summed(target: Tensor, frames: int) -> Tensor:
    """What :func:`_differences` took apart, put together again."""
    pairs = torch.unflatten(target, 2, (frames // 2, 2, -1))
    first, change = pairs.unbind(3)
    return torch.stack([first, first + change], 3).view_as(target)


class PatchTarget:
    """What is to be rebuilt of one modality, and how it looks among what was visible.

    Args:
        size: of a patch.
        frame_difference: as in :func:`patch_targets`.
        mean: of each channel, where the input was normalised and its own scale matters: of colours
            in 0..1, 1e-6 is nothing.
        std: the same.
    """

    def __init__(
        self,
        size: Sequence[int],
        *,
        frame_difference: bool = False,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        self.size, self.frame_difference = tuple(size), frame_difference
        self.mean, self.std = tuple(mean), tuple(std)

    def __call__(self, x: Tensor, hidden: Tensor) -> Tensor:
        """The target (B, M, P * C) at ``hidden`` (B, M) of an input (B, C, ...)."""
        own = self.shown(x)
        return patch_targets(own, self.size, hidden, frame_difference=self.frame_difference)

    def shown(self, x: Tensor) -> Tensor:
        """An input (B, C, ...) in the scale that it had before it was normalised."""
        if not self.mean:
            return x
        shape = (-1, *[1] * (x.ndim - 2))
        mean, std = (torch.tensor(v).view(shape).to(x) for v in (self.mean, self.std))
        return torch.addcmul(mean, x, std)

    def rebuilt(self, x: Tensor, made: Tensor, hidden: Tensor) -> Tensor:
        """The input as it is :meth:`shown`, with what was made of it (B, M, P * C) at ``hidden``.

        A target knows neither how bright nor how rich in contrast a patch is: both are taken from
        the original.
        """
        own = self.shown(x)
        patches, mean, std = _patches(own, self.size, hidden)
        values = made.to(own).view_as(patches)
        if self.frame_difference:
            values = _summed(values, self.size[0])
        values = (values * (std + _EPS) + mean).transpose(2, 3)  # (B, M, C, P)
        return put(own, self.size, hidden, torch.unflatten(values, 3, self.size))


@runtime_checkable
class Rebuilding(Protocol):
    """What a masked autoencoder lets others look at; ``mien report`` shows any that has it.

    Its front end draws ``NAME_hidden`` (B, N) for each modality. Outside training its Output has
    ``aux["NAME"]``, what was made of the hidden patches in their order, (B, M, P * C), with
    ``aux["NAME_present"]`` (B), and at each level ``features["NAME_LEVEL"]`` (B, D).
    """

    @property
    def targets(self) -> Mapping[str, PatchTarget]:
        """What is rebuilt, by modality."""
        ...

    @property
    def levels(self) -> Sequence[int]:
        """Where the features of two modalities are contrasted; none where they are not."""
        ...


def patch_error(made: Tensor, target: Tensor) -> Tensor:
    """Squared error (B) of a clip's rebuilt patches (B, M, P * C), the mean of all values."""
    if made.shape != target.shape:
        raise DataError(f"{tuple(made.shape)} was rebuilt where {tuple(target.shape)} was hidden")
    return (made.float() - target).square().mean((1, 2))


def level_features(
    levels: Mapping[str, Sequence[Tensor]],
    there: Mapping[str, Tensor | None],
    numbers: Sequence[int],
) -> Output:
    """Features ``NAME_LEVEL`` (B, D), each the mean token of a level, and who has them in ``aux``.

    Args:
        levels: tokens (B, K, D) of each level by modality.
        there: (B) by modality, False where a clip lacks it; None: all have it.
        numbers: what the levels are called.
    """
    output = Output()
    for name, own in levels.items():
        for number, tokens in zip(numbers, own, strict=True):
            output.features[f"{name}_{number}"] = tokens.mean(1)
            output.aux[f"{name}_{number}_present"] = flags(there[name], tokens)
    return output


def add_absent(output: Output, name: str, numbers: Sequence[int]) -> None:
    """What :func:`level_features` gives, and an error of 0, of a modality that no clip has."""
    like = next(iter(output.features.values()))  # (B, D)
    nobody = like.new_zeros(len(like), dtype=torch.bool)
    for number in numbers:
        output.features[f"{name}_{number}"] = torch.zeros_like(like)
        output.aux[f"{name}_{number}_present"] = nobody
    output.aux |= {f"{name}_error": like.new_zeros(len(like)), f"{name}_present": nobody}


def similarities(output: Output, numbers: Sequence[int], temperature: float) -> dict[str, Tensor]:
    """``logits_LEVEL`` (B, B): cosine of each video to every sound, over a temperature."""
    found = {}
    for number in numbers:
        video, audio = (
            F.normalize(output.features[f"{name}_{number}"].float(), dim=1)
            for name in ("video", "audio")
        )
        found[f"logits_{number}"] = video @ audio.T / temperature
    return found


def flags(there: Tensor | None, like: Tensor) -> Tensor:
    """(B) bool, always a tensor: the outputs of all processes have the same parts."""
    return like.new_ones(len(like), dtype=torch.bool) if there is None else there


class Reconstruction:
    """How badly one modality was rebuilt: the mean over the clips that have it.

    Reads ``aux["NAME_error"]`` (B), and leaves out where ``aux["NAME_present"]`` (B) is False.

    Args:
        modality: the name.
    """

    def __init__(self, modality: str) -> None:
        self.additive = True
        self.modality = modality

    def __call__(self, output: Output, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002
        """The mean over clips."""
        error, there = (output.aux[f"{self.modality}_{word}"] for word in ("error", "present"))
        known = there.to(error.dtype)
        return {"loss": (error * known).sum() / known.sum().clamp_min(1)}

    def weight(self, batch: Batch) -> Tensor:
        """Number of clips that have it."""
        column = batch.present[:, batch.modalities.index(self.modality)]
        return column.sum().float()
