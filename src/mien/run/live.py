"""Answers to frames as they come, in memory that does not grow with their number.

Shapes: n frames at once, D width of their vectors, C outputs of a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mien import tasks
from mien.errors import DataError, RunError
from mien.run import infer
from mien.run.overlap import Overlap

if TYPE_CHECKING:
    from mien.run.load import Run


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers to frames that follow on each other.

    Args:
        first: which frame the first of them is to, counted from 0.
        scores: (n, C) by task, after its activation.
    """

    first: int
    scores: Mapping[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(next(iter(self.scores.values())))


class Live:
    """A run that is given vectors of frames, a few at a time, and gives its answers.

    They are those that it gives to the whole recording. A run that looks back only answers every
    frame at once; one that looks at windows answers when no further window can change anything,
    after a window and a stride at the latest. Smoothing looks ahead, and is left out.

    Args:
        run: one that reads vectors of frames, as stage ``sequence`` of clip-sequential does.

    Attributes:
        windows: how it reads them.
    """

    def __init__(self, run: Run) -> None:
        stage = run.stage
        if stage.windows is None or len(stage.modalities) != 1:
            raise RunError(
                f"{run.settings.system!r} does not answer to frames one after another",
                where=str(run.path),
                fix="mien train clip-sequential --stage sequence makes a run that does",
            )
        settings = run.settings.for_stage(run.settings.stages[-1])
        self.run, (self._name,) = run, stage.modalities
        self.windows = stage.windows(settings.model, False)
        self._at_once = bool(getattr(run.model, "causal", False))
        self._past: Any = None
        self._overlap = Overlap()
        self._kept: Tensor | None = None  # (1, frames that a window may still need, D)
        self._seen = torch.zeros(1, 0, dtype=torch.bool)
        self._start = 0  # position of the first frame that is kept
        self._next = 0  # where the next window begins
        self._count = 0  # frames that came

    def feed(self, vectors: ArrayLike, seen: ArrayLike | None = None) -> Answered:
        """Take the next frames (n, D), and give the answers that are certain now.

        Args:
            vectors: a vector a frame.
            seen: (n), where there is a face; None: in all of them.
        """
        x, there = self._read(vectors, seen)
        first = self._count
        self._count += x.shape[1]
        if self._at_once:
            return self._answered(first, self._follow(x, there))
        self._kept = x if self._kept is None else torch.cat([self._kept, x], 1)
        self._seen = torch.cat([self._seen, there], 1)
        first, settled = self._overlap.first, list[dict[str, Tensor]]()
        while self._next + self.windows.length <= self._count:
            settled.append(self._overlap.take(self._next) if self._next else {})
            self._look(self._next, self._next + self.windows.length)
            self._forget(self._next)
            self._next += self.windows.stride
        return self._answered(first, _joined(settled))

    def finish(self) -> Answered:
        """Nothing more comes: the answers that are still owed."""
        first = self._overlap.first
        if self._at_once or not self._count:
            return self._answered(self._count, {})
        last = max(0, self._count - self.windows.length)
        if last > self._next - self.windows.stride or self._next == 0:
            self._look(last, self._count)
        return self._answered(first, self._overlap.take())

    # -- looking -------------------------------------------------------------------------------

    def _read(self, vectors: ArrayLike, seen: ArrayLike | None) -> tuple[Tensor, Tensor]:
        x = torch.as_tensor(np.asarray(vectors, dtype=np.float32))
        if x.ndim != 2:
            raise DataError(f"frames are vectors, (frames, width), not {tuple(x.shape)}")
        there = torch.ones(len(x), dtype=torch.bool)
        if seen is not None:
            there = torch.as_tensor(np.asarray(seen, dtype=np.bool_))
        if there.shape != x.shape[:1]:
            raise DataError(f"{len(x)} frames, and {tuple(there.shape)} say who was seen")
        return x[None], there[None]

    @torch.inference_mode()
    def _follow(self, x: Tensor, there: Tensor) -> dict[str, Tensor]:
        network: Any = self.run.model
        inputs, mask = self._prepared(x, there)
        logits, self._past = network.follow(inputs, mask, self._past)
        return {name: answers[0].cpu() for name, answers in logits.items()}

    @torch.inference_mode()
    def _look(self, first: int, last: int) -> None:
        """Answer the window [first, last)."""
        part = slice(first - self._start, last - self._start)
        assert self._kept is not None
        inputs, mask = self._prepared(self._kept[:, part], self._seen[:, part])
        output = self.run.model(**{self._name: inputs}, mask={self._name: mask})
        answers = {name: output.logits[name][0].cpu() for name in self.run.specs}
        self._overlap.add(first, answers)

    def _prepared(self, x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        device = infer.device_of(self.run.whole)
        inputs, mask = self.run.front_end(
            {self._name: x.to(device)}, {self._name: there.to(device)}
        )
        return inputs[self._name], mask[self._name]

    def _forget(self, until: int) -> None:
        """Let go of frames before the last window: none that is to come reaches back there."""
        assert self._kept is not None
        gone = until - self._start
        self._kept, self._seen = self._kept[:, gone:].clone(), self._seen[:, gone:].clone()
        self._start = until

    def _answered(self, first: int, logits: Mapping[str, Tensor]) -> Answered:
        scores = {}
        for name, spec in self.run.specs.items():
            raw = logits.get(name, torch.zeros(0, spec.width))
            scores[name] = tasks.activation(spec)(raw).double().numpy()
        return Answered(first, scores)


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    known = [part for part in parts if part]
    names = known[0] if known else {}
    return {name: torch.cat([part[name] for part in known]) for name in names}
