"""Which samples make up each batch of each epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError

Indices = NDArray[np.int64]
_POOL = 50
"""Batches whose samples are sorted together: enough to be alike, few enough to mix anew."""


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
        lengths: of each sample; batches are then made of samples that are about as long, so that
            little is padded. Which batch comes when, and who is left out, stays a matter of luck.
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
        lengths: Sequence[int] | None = None,
    ) -> None:
        if lengths is not None and len(lengths) != size:
            raise DataError(f"{size} samples have {len(lengths)} lengths")
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.lengths = None if lengths is None else np.asarray(lengths, dtype=np.int64)
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
        order = order[:stop]
        if self.lengths is not None:
            order = self._alike(order, self.lengths, random)
        starts = range(0, stop, self.batch_size)
        return [order[start : start + self.batch_size].tolist() for start in starts]

    def _alike(self, order: Indices, lengths: Indices, random: np.random.Generator) -> Indices:
        """Within pools of many batches by length; then whole batches anew, a part of one last."""
        pool = _POOL * self.batch_size
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        by_length = [one[np.argsort(lengths[one], kind="stable")] for one in pools]
        found = np.concatenate([order[:0], *by_length])
        whole = len(found) // self.batch_size * self.batch_size
        batches = found[:whole].reshape(-1, self.batch_size)
        if self.shuffle:
            batches = random.permutation(batches)
        return np.concatenate([batches.reshape(-1), found[whole:]])

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
