"""The answers of one modality alone, learned from where the modality is there."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mien.parts.losses import Terms
from mien.types import Batch, Objective, Output


class Aligned:
    """``factor`` times a task's loss of one modality's own answers.

    Args:
        task: whose labels.
        modality: which modality.
        own: what the output's ``aux`` calls its logits (B, C).
        loss: of the task; it reads them as the task's logits.
        factor: of this term.
    """

    def __init__(
        self, task: str, modality: str, own: str, loss: Objective, factor: float = 1.0
    ) -> None:
        self.additive = loss.additive
        self.task, self.modality, self.own = task, modality, own
        self.loss, self.factor = loss, factor

    def __call__(self, output: Output, batch: Batch) -> Terms:
        """The mean over annotated answers of clips that have the modality; 0 where nobody has."""
        logits = output.aux.get(self.own)
        if logits is None:
            return {"loss": output.logits[self.task].sum() * 0}
        alone = replace(output, logits={self.task: logits})
        return {"loss": self.factor * self.loss(alone, self._having(batch))["loss"]}

    def weight(self, batch: Batch) -> Tensor:
        """What the task's loss counts of the clips that have the modality."""
        return self.loss.weight(self._having(batch))

    def _having(self, batch: Batch) -> Batch:
        """The batch with labels only where the modality is there."""
        there = torch.zeros_like(batch.present[:, 0])
        if self.modality in batch.inputs:
            there = batch.present[:, batch.modalities.index(self.modality)]
        mask = batch.target_mask.get(self.task, there)
        held = there if mask.ndim == 1 else there[:, None]
        return replace(batch, target_mask={**batch.target_mask, self.task: mask & held})
