"""The two halves of everything a stage builds: a front end and a network.

The front end turns what was recorded (frames, waveforms, feature rows) into what the network
reads (normalised pixels, log-mels); both are saved in a run, so that a model never meets inputs
prepared in another way. Mixing of training pairs happens between the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.types import Batch, Output

Tensors = dict[str, Tensor]

FRAMES = "frames"
"""The feature (B, L, D) of an output that holds one vector a frame, where a network makes some."""


class FrontEnd(nn.Module):
    """Raw tensors and masks in, the network's tensors and masks out. This one changes nothing.

    A front end with statistics of its own (such as the mean of a feature) overrides
    :meth:`fit`, which the loop calls once with the training part.
    """

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """Recorded tensors to the network's.

        Args:
            inputs: ``inputs[m]`` (B, L, ...) by modality.
            mask: ``mask[m]`` (B, L), True where something was recorded.
            chosen: modalities of which only what :meth:`choose` named was read.
        """
        del chosen  # nothing is ever chosen by this one
        return dict(inputs), dict(mask)

    def choose(
        self,
        mask: Mapping[str, Tensor],
        *,
        training: bool,
        rates: Mapping[str, float] | None = None,
    ) -> Tensors:
        """Which positions of a recording the network will see, before any of them is read.

        Decoding is what costs most: of a prepared clip only these positions are decoded.

        Args:
            mask: (1, L) by modality, True where something was recorded.
            training: whether the choice is random, drawn from torch's generator.
            rates: positions a second by modality, where they are known.

        Returns:
            Positions (1, T) of those modalities that are chosen from, -1 for none: it becomes a
            masked one. Nothing here.
        """
        del mask, training, rates
        return {}

    def draw(self, inputs: Mapping[str, Tensor], luck: Sequence[int]) -> Tensors:
        """What is drawn for each clip and handed to the network beside its inputs; nothing here.

        Args:
            inputs: what this front end made, by modality.
            luck: a seed for each clip, or none: then it comes from torch's generator.
        """
        del inputs, luck
        return {}

    def fit(self, batches: Iterable[Batch]) -> None:
        """Learn statistics from the training part; nothing to learn here."""


class Mixing(Protocol):
    """A drawn mixture of the clips of a batch (see :mod:`mien.parts.mixing`)."""

    def inputs(self, inputs: Tensors, mask: Tensors) -> tuple[Tensors, Tensors]:
        """Mix what the front end made."""
        ...


class Model(nn.Module):
    """A front end and a network: what a stage builds, the loop trains and a run saves.

    Args:
        front_end: recorded tensors to model tensors.
        network: called as ``network(**inputs, mask=mask, present=present)``, gives an Output;
            ``mask`` and ``present`` may be left out where everything is there.
    """

    def __init__(self, front_end: FrontEnd, network: nn.Module) -> None:
        super().__init__()
        self.front_end = front_end
        self.network = network

    def forward(self, batch: Batch, mixing: Mixing | None = None) -> Output:
        """Recorded tensors to answers; in training clips may be mixed on the way."""
        inputs, drawn, mask = self.prepared(batch, mixing)
        output: Output = self.network(**inputs, **drawn, mask=mask, present=batch.present)
        return output

    def prepared(
        self, batch: Batch, mixing: Mixing | None = None
    ) -> tuple[Tensors, Tensors, Tensors]:
        """What the network is given: inputs, what was drawn for them, and masks."""
        # Spectra and statistics need full precision, also under autocast.
        with torch.autocast(batch.present.device.type, enabled=False):
            chosen = {"chosen": batch.chosen} if batch.chosen else {}
            inputs, mask = self.front_end(batch.inputs, batch.mask, **chosen)
            if mixing is not None:
                inputs, mask = mixing.inputs(inputs, mask)
            return inputs, self.front_end.draw(inputs, batch.luck), mask


def given_of(reads: Iterable[str], **inputs: Tensor | None) -> Tensors:
    """The inputs that were given; at least one of them must be among those that are read."""
    given = {name: x for name, x in inputs.items() if x is not None}
    if not given.keys() & set(reads):
        raise ConfigError(
            f"no input for any of {', '.join(reads)}: got {', '.join(given) or 'none'}"
        )
    return given


def column(present: Tensor | None, modalities: Iterable[str], name: str) -> Tensor | None:
    """The presence (B,) of one modality; columns of ``present`` are in sorted order."""
    return None if present is None else present[:, sorted(modalities).index(name)]


def known_positions(
    name: str,
    given: Mapping[str, Tensor],
    mask: Mapping[str, Tensor] | None,
    present: Tensor | None,
) -> Tensor | None:
    """What is there of one modality, (B, L) or (B, 1); None where nobody says.

    Args:
        name: the modality.
        given: everything that was given, by modality.
        mask: (B, L) by modality.
        present: (B, M), a column for each given modality in sorted order.
    """
    positions = None if mask is None else mask.get(name)
    there = column(present, given, name)
    if there is None:
        return positions
    return there[:, None] if positions is None else positions & there[:, None]


def clips_with(
    name: str,
    given: Mapping[str, Tensor],
    mask: Mapping[str, Tensor] | None,
    present: Tensor | None,
) -> Tensor | None:
    """Which clips (B) have a modality, from what :func:`known_positions` takes; None: all."""
    positions = known_positions(name, given, mask, present)
    there = None if positions is None else positions.any(1)
    return None if there is None or bool(there.all()) else there


def blank(x: Tensor, there: Tensor | None) -> Tensor:
    """``x`` (B, ...) with zeros for clips that are not there (B), whatever stood in their place."""
    return x if there is None else x.masked_fill(~there.view(-1, *[1] * (x.ndim - 1)), 0)
