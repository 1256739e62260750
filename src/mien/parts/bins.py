"""A score as a mean over classes that lie on its scale.

Shapes: B clips, K classes with ascending centres v.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mien.errors import ConfigError
from mien.parts.losses import CrossEntropy, MeanAbsoluteError, Terms
from mien.types import Batch, Output


def expected(logits: Tensor, centres: Tensor) -> Tensor:
    """The mean of the centres under a softmax: (B, K) to (B), never outside them."""
    return logits.softmax(-1) @ centres.to(logits.dtype)


def soft_targets(values: Tensor, centres: Tensor) -> Tensor:
    """Shares (B, K) of the two centres around each value (B), such that their mean is the value.

    A value outside all centres is cut to the nearest one.
    """
    if len(centres) < 2 or bool((centres.diff() <= 0).any()):
        raise ConfigError(f"centres of a score ascend, and there are two at least: {centres}")
    centres = centres.to(values)
    kept = values.clamp(centres[0], centres[-1])
    above = torch.searchsorted(centres, kept, right=True).clamp(1, len(centres) - 1)  # (B)
    low, high = centres[above - 1], centres[above]
    share = (kept - low) / (high - low)
    made = values.new_zeros(len(values), len(centres))
    made.scatter_(1, above[:, None], share[:, None])
    return made.scatter_add_(1, above[:, None] - 1, 1 - share[:, None])


class SoftScore(MeanAbsoluteError):
    """``a`` times the cross-entropy to :func:`soft_targets`, and ``b`` times the absolute error.

    Args:
        task: a regression of one value.
        centres: v (K).
        classes: what the output's ``aux`` calls the logits (B, K) of the classes.
        a: factor on the cross-entropy.
        b: factor on the absolute error.
        value: whether the output has the value as the task's answer; else it is the mean of the
            classes.
    """

    def __init__(
        self,
        task: str,
        centres: Tensor,
        classes: str,
        a: float = 1.0,
        b: float = 1.0,
        *,
        value: bool = True,
    ) -> None:
        super().__init__(task)
        self.value = value
        self.centres, self.classes, self.a, self.b = centres, classes, a, b
        self.cross_entropy = CrossEntropy(task)

    def __call__(self, output: Output, batch: Batch) -> Terms:
        """The weighted sum of both means over annotated answers, and each of them."""
        values = batch.targets[self.task][:, 0].float()  # (B)
        known = values.isfinite()
        mask = batch.target_mask.get(self.task)
        if mask is not None:
            known = known & (mask if mask.ndim == 1 else mask[:, 0])
        wanted = soft_targets(values.masked_fill(~known, 0), self.centres.to(values.device))
        # A row without any share is not annotated.
        shares = {self.task: wanted.masked_fill(~known[:, None], 0)}
        classes = Output(logits={self.task: output.aux[self.classes]})
        crossed = self.cross_entropy(
            classes, replace(batch, targets=shares, target_mask={self.task: known})
        )["loss"]
        said = output
        if not self.value:
            mean = expected(output.aux[self.classes], self.centres.to(values.device))
            said = Output(logits={self.task: mean[:, None]})
        apart = super().__call__(said, batch)["loss"]
        total = self.a * crossed + self.b * apart
        return {"loss": total, "cross_entropy": crossed, "absolute_error": apart}
