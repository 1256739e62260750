"""What a model reads: of prepared clips only the positions it will look at, in batches.

In training a batch always has every modality, so that outputs always have the same parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mien.config import TrainConfig
from mien.data.batch import Bools, Indices, RowDataset, collate
from mien.data.order import BatchOrder
from mien.parts.model import FrontEnd
from mien.types import Batch, Sample, Specs

Draw = tuple[int, int]
"""A sample's index, and the seed of what is random in this reading of it."""


def seed_for(*parts: object) -> int:
    """A 63-bit seed from whatever identifies a draw."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class Seen(Dataset[Sample]):
    """A dataset as a front end sees it: of prepared clips only what it chooses is decoded.

    Args:
        rows: samples, read as :meth:`RowDataset.read` does.
        front_end: whose choice counts.
    """

    def __init__(self, rows: RowDataset, front_end: FrontEnd) -> None:
        self.rows, self.front_end = rows, front_end

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | Draw) -> Sample:
        """A sample as it is evaluated, or as one draw of training sees it."""
        if not isinstance(key, tuple):
            sample = self.rows.read(key, partial(choose, self.front_end, training=False))
            return replace(sample, luck=seed_for(sample.id))  # the same at every evaluation
        index, seed = key
        with torch.random.fork_rng(devices=[]):
            # On the CPU alone: torch.manual_seed would note for a GPU that never comes from where
            # it was called, which takes a twentieth of a small network's training.
            torch.default_generator.manual_seed(seed)
            sample = self.rows.read(index, partial(choose, self.front_end, training=True))
        # Not the seed itself: what is drawn later shall not repeat what was chosen here.
        return replace(sample, luck=seed_for(seed, "clip"))


def choose(
    front_end: FrontEnd,
    mask: Mapping[str, Bools],
    rates: Mapping[str, float],
    *,
    training: bool,
) -> dict[str, Indices]:
    """The positions (T) of one sample's inputs that a front end will show, -1 for none.

    Args:
        front_end: whose choice counts.
        mask: (L) of each input.
        rates: positions a second of each input, where known.
        training: whether the choice is random.
    """
    tensors = {name: torch.from_numpy(there)[None] for name, there in mask.items()}
    found = front_end.choose(tensors, training=training, rates=rates)
    return {name: positions[0].numpy() for name, positions in found.items()}


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
    """The draws of one process's micro-batches, from a step on to the end.

    What is random in a draw depends on its epoch and its place in the global batch alone, so that
    it is the same after a resume and over any number of processes.

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

    def __iter__(self) -> Iterator[list[Draw]]:
        first, skip = divmod(self.step, len(self.order.epoch(0)))
        for epoch in range(first, self.config.epochs):
            batches = self.order.epoch(epoch)
            for number in range(skip if epoch == first else 0, len(batches)):
                drawn = [
                    (index, seed_for(self.order.seed, epoch, number, place))
                    for place, index in enumerate(batches[number])
                ]
                mine = drawn[self.process :: self.processes]
                size = len(mine) // self.config.accumulate
                for start in range(0, size * self.config.accumulate, size):
                    yield mine[start : start + size]
