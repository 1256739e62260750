"""Several looks at one clip: their answers as one, and networks that answer so.

Shapes: B clips, V views, T frames a view, D width of what the heads read.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import ConfigError, DataError
from mien.parts.blocks import EPS
from mien.parts.model import blank, clips_with, given_of
from mien.types import Output, Problem, Resolution, Specs, TaskSpec

Described = tuple[Mapping[str, Tensor], Tensor]
"""Named features (B*V, ...) of views, and what the heads read of them (B*V, D)."""


def flattened(given: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Modalities (B, V, ...) as (B*V, ...), and V; one with a single view shows it V times."""
    views = max(x.shape[1] for x in given.values())
    for name, x in given.items():
        if x.shape[1] not in (1, views):
            raise DataError(f"{name} has {x.shape[1]} views where another modality has {views}")
    flat = {name: x.expand(-1, views, *x.shape[2:]) for name, x in given.items()}
    return {name: x.flatten(0, 1) for name, x in flat.items()}, views


def mean_answer(logits: Tensor, spec: TaskSpec) -> Tensor:
    """Answers of views (B, V, C) to one (B, C) whose scores are the mean of the views' scores."""
    views = logits.shape[1]
    if views == 1:
        return logits[:, 0]
    if spec.problem is Problem.ONE_OF_N:
        # Plus a constant a clip, so that views which agree are answered like one view.
        scale = logits.logsumexp(-1).mean(1, keepdim=True)
        return F.log_softmax(logits, -1).logsumexp(1) - math.log(views) + scale
    if spec.problem is Problem.MANY_OF_N:  # the logit of the mean of sigmoids
        return F.logsigmoid(logits).logsumexp(1) - F.logsigmoid(-logits).logsumexp(1)
    return logits.mean(1)


def check_once_a_clip(system: str, specs: Specs) -> None:
    """Refuse tasks that ask more often than a system answers."""
    for spec in specs.values():
        if spec.resolution is Resolution.FRAME:  # a clip may well be one utterance
            raise ConfigError(
                f"{system} answers once a clip, {spec.name!r} asks once a {spec.resolution.value}",
                fix="cut the recordings into one row a label",
            )


class ViewedNetwork(nn.Module, ABC):
    """A network of videos and their sound that answers once a clip, whatever its encoders are.

    A subclass says in :meth:`described` what it makes of views, and in its constructor, last, how
    wide that is; a norm and one Linear a task are added to it.

    Args:
        reads: modalities that it knows.
        frames: T.
        specs: the tasks.
    """

    def __init__(self, reads: Sequence[str], frames: int, specs: Specs) -> None:
        super().__init__()
        self.reads, self.frames, self.specs = tuple(reads), frames, dict(specs)

    def answer_from(self, width: int) -> None:
        """Make the norm and the heads that read what is ``width`` D wide."""
        self.feature_norm = nn.LayerNorm(width, eps=EPS)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, spec.width) for name, spec in self.specs.items()}
        )

    @abstractmethod
    def described(
        self, inputs: Mapping[str, Tensor], there: Mapping[str, Tensor | None]
    ) -> Described:
        """What the encoders make of views.

        Args:
            inputs: (B*V, 3, T, H, W) and (B*V, 1, time, mel), those that are given; zeros for
                clips that lack one.
            there: (B*V) by modality, False where a clip lacks it; None: all have it.
        """

    def forward(
        self,
        video: Tensor | None = None,
        audio: Tensor | None = None,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """What the front end made, in any subset, to raw answers.

        Args:
            video: normalised pixels (B, 3, V*T, H, W); V is 1 unless there are whole views.
            audio: normalised filter banks (B, V, time, mel).
            mask: (B, L) for each modality; without it everything is there.
            present: (B, M), a column for each given modality in sorted order.

        Returns:
            Logits by task; the named features, means over views, and ``fused`` (B, D), which the
            heads read.
        """
        given = given_of(self.reads, video=video, audio=audio)
        read = {name: self._views(name, given[name]) for name in self.reads if name in given}
        flat, views = flattened(read)  # (B*V, ...)
        there: dict[str, Tensor | None] = {}
        for name in flat:
            own = clips_with(name, given, mask, present)
            there[name] = None if own is None else own.repeat_interleave(views)
        named, joined = self.described(
            {name: blank(x, there[name]) for name, x in flat.items()}, there
        )
        feature = torch.unflatten(self.feature_norm(joined), 0, (-1, views))  # (B, V, D)
        return Output(
            logits={
                name: mean_answer(head(feature), self.specs[name])
                for name, head in self.heads.items()
            },
            features={
                name: torch.unflatten(vector, 0, (-1, views)).mean(1)
                for name, vector in named.items()
            }
            | {"fused": feature.mean(1)},
        )

    def _views(self, name: str, x: Tensor) -> Tensor:
        """One modality view by view: (B, V, 3, T, H, W) or (B, V, 1, time, mel)."""
        if name == "audio":
            return x[:, :, None]
        views = 1 if x.shape[2] % self.frames else x.shape[2] // self.frames
        return torch.unflatten(x, 2, (views, -1)).transpose(1, 2)
