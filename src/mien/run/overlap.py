"""Answers of windows that overlap, as one a position; no more is kept than can still change.

Shapes: L positions of a window, C outputs of a task.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Overlap:
    """The mean of all answers to a position, before the task's activation.

    Windows come in the order of their starts. What lies before the start of a window that came
    is final once nothing can reach back there any more, and may then be taken out.

    Attributes:
        first: the first position that is not taken out yet.
    """

    def __init__(self) -> None:
        self.first = 0
        self._sums: dict[str, Tensor] = {}
        self._counts = torch.zeros(0, dtype=torch.float64)

    @property
    def last(self) -> int:
        """The position after the last one that was answered."""
        return self.first + len(self._counts)

    def add(self, start: int, logits: Mapping[str, Tensor]) -> None:
        """Take in the answers of a window.

        Args:
            start: its first position; none before it may have been taken out.
            logits: (L, C) by task.
        """
        length = len(next(iter(logits.values())))
        more = start + length - self.last
        if more > 0:
            self._counts = torch.cat([self._counts, self._counts.new_zeros(more)])
        place = slice(start - self.first, start - self.first + length)
        self._counts[place] += 1
        for name, answers in logits.items():
            known = self._sums.get(name, torch.zeros(0, answers.shape[1], dtype=torch.float64))
            if len(known) < len(self._counts):
                lacking = len(self._counts) - len(known)
                known = torch.cat([known, known.new_zeros(lacking, known.shape[1])])
            known[place] += answers.double()
            self._sums[name] = known

    def take(self, until: int | None = None) -> dict[str, Tensor]:
        """Take out the answers (n, C) of all positions before ``until``; None: of all."""
        count = len(self._counts) if until is None else max(0, until - self.first)
        means = {
            name: (sums[:count] / self._counts[:count, None]) for name, sums in self._sums.items()
        }
        self.first += count
        self._counts = self._counts[count:].clone()
        self._sums = {name: sums[count:].clone() for name, sums in self._sums.items()}
        return means
