"""Batches for training: always with every modality, so that outputs always have the same parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from mien.config import TrainConfig
from mien.data.batch import BatchOrder, RowDataset, collate
from mien.types import Batch, Sample, Specs


class Collate:
    """Collates, and adds what a whole batch happens to lack as one masked position.

    In training a network must answer with the same named parts for every batch, or processes and
    micro-batches could not put theirs together.

    Args:
        rows: what the batches will be made of.
        specs: the tasks.
    """

    def __init__(self, rows: RowDataset, specs: Specs) -> None:
        self.specs = dict(specs)
        self.blanks = _blanks(rows)

    def __call__(self, samples: list[Sample]) -> Batch:
        """Samples padded to the longest, with every modality."""
        batch = collate(samples, self.specs)
        lacking = [name for name in self.blanks if name not in batch.inputs]
        if not lacking:
            return batch
        present = dict(zip(batch.modalities, batch.present.unbind(1), strict=True))
        inputs, mask = dict(batch.inputs), dict(batch.mask)
        for name in lacking:
            blank = self.blanks[name]
            inputs[name] = blank.expand(len(samples), *blank.shape[1:])
            mask[name] = torch.zeros(len(samples), 1, dtype=torch.bool)
            present[name] = torch.zeros(len(samples), dtype=torch.bool)
        columns = torch.stack([present[name] for name in sorted(present)], 1)
        return replace(batch, inputs=inputs, mask=mask, present=columns)


def _blanks(rows: RowDataset) -> Mapping[str, Tensor]:
    """One empty position (1, 1, ...) of each modality that any of the rows has."""
    found: dict[str, Tensor] = {}
    for index in range(len(rows)):
        if len(found) == len(rows.modalities):
            break
        alone = collate([rows[index]], {})
        for name, tensor in alone.inputs.items():
            found.setdefault(name, torch.zeros_like(tensor[:, :1]))
    return found


class Plan:
    """The sample indices of one process's micro-batches, from a step on to the end.

    Args:
        order: the global batches of every epoch.
        config: epochs and micro-batches a step.
        step: where to begin.
        process: which of the processes this is.
        processes: how many share a batch.
    """

    def __init__(
        self, order: BatchOrder, config: TrainConfig, step: int, process: int, processes: int
    ) -> None:
        self.order, self.config, self.step = order, config, step
        self.process, self.processes = process, processes

    def __iter__(self) -> Iterator[list[int]]:
        first, skip = divmod(self.step, len(self.order.epoch(0)))
        for epoch in range(first, self.config.epochs):
            for indices in self.order.epoch(epoch)[skip if epoch == first else 0 :]:
                mine = indices[self.process :: self.processes]
                size = len(mine) // self.config.accumulate
                for start in range(0, size * self.config.accumulate, size):
                    yield mine[start : start + size]
