"""Which samples make up each batch of each epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError

Indices = NDArray[np.int64]


class BatchOrder:
    """The batches of every epoch, a pure function of seed and epoch.

    Args:
        size: how many samples there are.
        batch_size: samples a batch, over all processes together.
        seed: same seed, same order.
        shuffle: another order every epoch; else the order of the samples.
        drop_last: leave out a last batch that is not full, unless it is the only one.
        balanced_labels: the class of each sample; all classes are then drawn alike often, rare
            ones more than once an epoch. Samples with -1 have no class and are not drawn.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        *,
        shuffle: bool,
        drop_last: bool,
        balanced_labels: Sequence[int] | None = None,
    ) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.shuffle, self.drop_last = shuffle, drop_last
        self.classes = None if balanced_labels is None else self._classes(balanced_labels)

    def epoch(self, number: int) -> list[list[int]]:
        """Sample indices of each batch, in order."""
        random = np.random.default_rng([self.seed, number])
        order = np.arange(self.size)
        if self.classes is not None:
            order = _balanced(self.classes, self.size, random)
        if self.shuffle:
            order = random.permutation(order)
        stop = self.size
        if self.drop_last and self.size >= self.batch_size:
            stop -= self.size % self.batch_size
        starts = range(0, stop, self.batch_size)
        return [order[start : min(stop, start + self.batch_size)].tolist() for start in starts]

    def _classes(self, labels: Sequence[int]) -> list[Indices]:
        if len(labels) != self.size:
            raise DataError(f"{self.size} samples have {len(labels)} labels to balance")
        found = np.asarray(labels, dtype=np.int64)
        known = [np.flatnonzero(found == label) for label in np.unique(found[found >= 0])]
        if not known and self.size:
            raise DataError("no sample has a class, so classes cannot be drawn alike often")
        return known


def _balanced(classes: Sequence[Indices], size: int, random: np.random.Generator) -> Indices:
    """As many of each class as the size allows; all of a class before any of it again."""
    quota = np.full(len(classes), size // len(classes)) if classes else np.zeros(0, dtype=np.int64)
    extra = random.permutation(len(classes))[: size - int(quota.sum())]
    quota[extra] += 1
    drawn = []
    for members, wanted in zip(classes, quota, strict=True):
        rounds = -(-int(wanted) // len(members))
        again = [random.permutation(members) for _ in range(rounds)]
        drawn += again and [np.concatenate(again)[:wanted]]
    return np.concatenate(drawn) if drawn else np.zeros(0, dtype=np.int64)
