"""The two halves of everything a stage builds: a front end and a network.

The front end turns what was recorded (frames, waveforms, feature rows) into what the network
reads (normalised pixels, log-mels); both are saved in a run, so that a model never meets inputs
prepared in another way. Mixing of training pairs happens between the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from mien.types import Batch, Output

Tensors = dict[str, Tensor]


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

    def choose(self, mask: Mapping[str, Tensor], *, training: bool) -> Tensors:
        """Which positions of a recording the network will see, before any of them is read.

        Decoding is what costs most: of a prepared clip only these positions are decoded.

        Args:
            mask: (1, L) by modality, True where something was recorded.
            training: whether the choice is random, drawn from torch's generator.

        Returns:
            Positions (1, T) of those modalities that are chosen from; nothing here.
        """
        del mask, training
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
        # Spectra and statistics need full precision, also under autocast.
        with torch.autocast(batch.present.device.type, enabled=False):
            chosen = {"chosen": batch.chosen} if batch.chosen else {}
            inputs, mask = self.front_end(batch.inputs, batch.mask, **chosen)
            if mixing is not None:
                inputs, mask = mixing.inputs(inputs, mask)
        output: Output = self.network(**inputs, mask=mask, present=batch.present)
        return output


def column(present: Tensor | None, modalities: Iterable[str], name: str) -> Tensor | None:
    """The presence (B,) of one modality; columns of ``present`` are in sorted order."""
    return None if present is None else present[:, sorted(modalities).index(name)]
