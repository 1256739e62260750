"""Mixup and cutmix: training clips mixed in pairs, with one share for every modality.

A clip's partner is its counterpart in the reversed batch. Both keep their labels in proportion:
``keep`` of the clip itself, the rest of its partner. Boxes and spans have fractional edges (an
edge pixel is blended as far as it is covered), so that a cut takes exactly the share that mixup
would, in a picture of any size, a spectrogram, a sequence, and even a single vector.

Shapes: B clips, L positions, M modalities, C outputs of a task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.errors import ConfigError

_OFF = "train.mixup=0 train.cutmix=0"


@dataclass(frozen=True, slots=True)
class Draw:
    """How two clips are mixed.

    Args:
        cut: a box or span of the partner (cutmix), else an average (mixup).
        keep: share of a clip's own content, 0..1.
        place: where a box lies between top and bottom and between left and right, each 0..1; a
            span takes the first.
    """

    cut: bool
    keep: float
    place: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Which clips of a batch are mixed, and how; the same for inputs and targets.

    Args:
        partner: (B) index of each clip's partner; its own index where it stays as it is.
        draws: how each modality is mixed; one left out stays as it is.
        label: share of its own label that a mixed clip keeps.
    """

    partner: Tensor
    draws: Mapping[str, Draw]
    label: float

    def inputs(
        self, inputs: Mapping[str, Tensor], mask: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Mix what the front end made.

        Args:
            inputs: (B, L, D) sequences with a mask of their own length are mixed by position;
                (B, ..., H, W) pictures and spectrograms by a box over the last two axes, shared
                by all frames and channels; anything else is averaged.
            mask: (B, L) bool for each modality.

        Returns:
            The mixed tensors, and masks that are True where either clip's part has content.
            Where one clip of a pair of sequences is shorter, its missing rest counts as zeros.
        """
        mixed, masks = dict(inputs), dict(mask)
        for name, how in self.draws.items():
            if not inputs[name].is_floating_point():
                raise ConfigError(
                    f"{name} holds {inputs[name].dtype} codes, which have no mean", fix=_OFF
                )
            mixed[name], masks[name] = self._mix(how, inputs[name], mask[name])
        return mixed, masks

    def targets(
        self, targets: Tensor, mask: Tensor, *, classes: int, categorical: bool
    ) -> tuple[Tensor, Tensor]:
        """Mix a task's targets, one answer a clip.

        Args:
            targets: (B) class indices or (B, C) weights of a categorical task, (B, C) values of
                any other.
            mask: (B) or (B, C) bool, True where annotated.
            classes: C.
            categorical: whether an answer is one class.

        Returns:
            Weights or values (B, C), and the mask: True where both clips of a pair are annotated.
        """
        indices = categorical and not targets.is_floating_point()
        if targets.ndim != (1 if indices else 2):
            raise ConfigError(
                f"only one answer a clip can be mixed, not targets {tuple(targets.shape)}", fix=_OFF
            )
        if indices:
            targets = F.one_hot(targets.clamp(min=0), classes)
        own = targets.float()  # (B, C)
        return torch.lerp(own[self.partner], own, self.label), mask & mask[self.partner]

    def _mix(self, how: Draw, own: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """One modality and its mask."""
        other_there = there[self.partner]
        if own.ndim <= 3 and there.shape == own.shape[:2]:
            own = own.masked_fill(~_like(there, own), 0.0)  # padding may hold anything
            keep = _kept_positions(how, there, other_there)  # (B, L)
            there = (there & (keep > 0)) | (other_there & (keep < 1))
            keep = _like(keep, own)
        else:
            keep = _kept_pixels(how, own)
            there = there | other_there
        return torch.lerp(own[self.partner], own, keep.to(own)), there


def draw(
    *,
    present: Tensor,
    modalities: Sequence[str],
    mixable: Tensor | None = None,
    mixup: float,
    cutmix: float,
    probability: float = 1.0,
    switch: float = 0.5,
    draws: Literal["shared", "official"] = "shared",
) -> Mixture | None:
    """Draw how a batch is mixed, from torch's global generator on the CPU.

    A pair stays unmixed unless both clips have the same modalities and both may be mixed.

    Args:
        present: (B, M) bool, which modalities each clip has.
        modalities: their names.
        mixable: (B) bool, False for a clip that is not annotated; None: all are.
        mixup: Beta parameter of mixup; 0 is off.
        cutmix: Beta parameter of cutmix; 0 is off.
        probability: how often a batch is mixed.
        switch: how often by cutmix where both are on.
        draws: ``shared`` gives all modalities one draw; ``official`` repeats the official
            CLAIP-Emo code, where each has its own while the label follows the video's.

    Returns:
        The mixture, or None where this batch is not mixed.
    """
    if draws == "official" and "video" not in modalities:
        raise ConfigError(
            "official draws give the label the video's share, and there is no video",
            where=f"modalities: {', '.join(modalities)}",
            fix="train.mix_draws=shared",
        )
    drawn: dict[str, Draw] = {}
    shared = _draw_one(mixup, cutmix, probability, switch)
    for name in modalities:
        follows = draws == "shared" or name == "video"
        own = shared if follows else _draw_one(mixup, cutmix, probability, switch)
        if own is not None:
            drawn[name] = own
    if not drawn:
        return None
    label = 1.0 if shared is None else shared.keep
    return Mixture(partner=_partners(present, mixable), draws=drawn, label=label)


def _draw_one(mixup: float, cutmix: float, probability: float, switch: float) -> Draw | None:
    luck, choice, down, across = torch.rand(4).tolist()
    cut = cutmix > 0 and (mixup == 0 or choice < switch)
    alpha = cutmix if cut else mixup
    if luck >= probability or alpha == 0:
        return None
    keep = float(torch.distributions.Beta(alpha, alpha).sample())
    return Draw(cut=cut, keep=keep, place=(down, across))


def _partners(present: Tensor, mixable: Tensor | None) -> Tensor:
    """The reversed batch, (B); a clip is its own partner where the two do not go together."""
    alike = (present == present.flip(0)).all(1)
    if mixable is not None:
        alike = alike & mixable & mixable.flip(0)
    rows = torch.arange(len(present), device=present.device)
    return torch.where(alike, rows.flip(0), rows)


def _kept_positions(how: Draw, there: Tensor, other_there: Tensor) -> Tensor:
    """How much of each position stays a clip's own, (B, L).

    A span lies within the longer clip of a pair, at the same relative place in all modalities.
    """
    share = torch.full(there.shape, how.keep, device=there.device)
    if not how.cut:
        return share
    position = torch.arange(there.shape[1], device=there.device)
    extent = ((position + 1) * (there | other_there)).amax(1, keepdim=True)  # (B, 1)
    length = (1 - how.keep) * extent
    keep = 1 - _covered(position, how.place[0] * (extent - length), length)
    # With gaps in both clips a cut may leave nothing at all: such a pair is averaged.
    something = ((there & (keep > 0)) | (other_there & (keep < 1))).any(1, keepdim=True)
    return torch.where(something, keep, share)


def _kept_pixels(how: Draw, own: Tensor) -> Tensor:
    """How much of each pixel stays a clip's own: (H, W) for a box, else one number."""
    if not how.cut or own.ndim < 3:
        return torch.tensor(how.keep, device=own.device)
    side = math.sqrt(1 - how.keep)
    edges = []
    for count, place in zip(own.shape[-2:], how.place, strict=True):
        length = torch.tensor(side * count, device=own.device)
        position = torch.arange(count, device=own.device)
        edges.append(_covered(position, place * (count - length), length))
    return 1 - edges[0][:, None] * edges[1]


def _covered(position: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """The share of each unit-wide position that lies within ``start .. start + length``."""
    return ((start + length).minimum(position + 1) - start.maximum(position)).clamp(0, 1)


def _like(values: Tensor, tensor: Tensor) -> Tensor:
    """(B, L) shaped to multiply (B, L, ...)."""
    return values.view(*values.shape, *[1] * (tensor.ndim - 2))
