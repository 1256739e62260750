"""Several looks at one clip: their answers as one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from mien.errors import DataError
from mien.types import Problem, TaskSpec


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
