"""What stages minimise: cross-entropies, squared error, concordance, contrast, and sums of them.

Each objective reads logits and targets of one task by name and leaves out what is not annotated:
where ``target_mask`` is False, class indices below 0, and values that are not finite. What is left
out gets a gradient of exactly 0; where nothing is left, the loss is 0 and still has a graph.

The loss of an additive objective is a weighted mean whose total weight is :meth:`weight`, so
``sum_i weight_i * loss_i / sum_i weight_i`` over micro-batches is the loss of the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.errors import ConfigError, DataError, did_you_mean
from mien.types import Batch, Objective, Output

__all__ = [
    "BinaryCrossEntropy",
    "Combined",
    "ConcordanceLoss",
    "Contrast",
    "CrossEntropy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "ccc",
]

Terms = dict[str, Tensor]

MAX_SCALE = 100.0
"""Upper bound of a learned similarity scale, as in CLIP: beyond it training becomes unstable."""


def ccc(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    unbiased: bool = False,
    eps: float = 1e-8,
) -> Tensor:
    """Lin's concordance correlation of each dimension, over all valid places together.

    Args:
        prediction: (..., C).
        target: (..., C).
        mask: (...) or (..., C) bool, True where the target is valid; None: everywhere.
        unbiased: divide variances and covariance by n - 1 instead of n.
        eps: keeps the quotient finite where both sides are constant.

    Returns:
        (C) values in -1..1; 0 where nothing is valid.
    """
    prediction = _full(prediction)
    valid = _over_entries(mask, target).flatten(0, -2)  # (N, C)
    predicted = prediction.flatten(0, -2).masked_fill(~valid, 0)
    wanted = target.flatten(0, -2).to(prediction.dtype).masked_fill(~valid, 0)
    count = valid.sum(0).clamp_min(1)
    mean_p, mean_t = predicted.sum(0) / count, wanted.sum(0) / count  # (C)
    predicted = (predicted - mean_p).masked_fill(~valid, 0)
    wanted = (wanted - mean_t).masked_fill(~valid, 0)
    divisor = (count - 1).clamp_min(1) if unbiased else count
    covariance = (predicted * wanted).sum(0) / divisor
    variances = (predicted.square() + wanted.square()).sum(0) / divisor
    return 2 * covariance / (variances + (mean_p - mean_t).square() + eps)


class CrossEntropy:
    """Softmax cross-entropy of class indices or soft targets.

    Targets are integers (B) or (B, L), below 0 where not annotated, or non-negative floats
    (B, C) or (B, L, C), one weight a class (a mixture of clips, or the votes of annotators),
    taken as a distribution; a row of zeros is not annotated.

    Args:
        task: key of logits and targets.
        label_smoothing: share of every target spread evenly over the classes, so that a class
            index becomes 1 - s + s/C at its class and s/C at the others.
        class_weights: (C); an answer counts with the weight of its target, for a soft target
            the mean under it (before smoothing).
    """

    def __init__(
        self, task: str, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"label smoothing lies in 0..1, not {label_smoothing}", where=task)
        self.additive = True
        self.task = task
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights

    def __call__(self, output: Output, batch: Batch) -> Terms:
        """The mean over annotated answers."""
        logits = _full(_find(output.logits, self.task, "logits"))
        target, valid = self._target(batch)
        _check_width(self.class_weights, logits, self.task)
        wanted = _distribution(target, valid, logits.shape[-1]).to(logits.dtype)
        _check_shape(logits, wanted, self.task)
        smoothed = torch.lerp(
            wanted, torch.full_like(wanted, 1 / wanted.shape[-1]), self.label_smoothing
        )
        log_p = logits.masked_fill(~valid[..., None], 0).log_softmax(-1)
        losses = -(smoothed * log_p).sum(-1)  # (B) or (B, L)
        return {"loss": _weighted_mean(losses, self._counts(wanted, valid))}

    def weight(self, batch: Batch) -> Tensor:
        """Number of annotated answers, each with the class weight of its target."""
        target, valid = self._target(batch)
        if self.class_weights is None:
            return valid.sum().float()
        wanted = _distribution(target, valid, len(self.class_weights))
        return self._counts(wanted.to(self.class_weights.dtype), valid).sum()

    def _counts(self, wanted: Tensor, valid: Tensor) -> Tensor:
        if self.class_weights is None:
            return valid.to(wanted.dtype)
        return (wanted @ self.class_weights.to(wanted)).masked_fill(~valid, 0)

    def _target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Targets as they stand, and which answers (B) or (B, L) are annotated."""
        target = _find(batch.targets, self.task, "targets")
        if target.is_floating_point():
            valid = ((target >= 0) & target.isfinite()).all(-1) & (target.sum(-1) > 0)
        else:
            valid = target >= 0
        mask = batch.target_mask.get(self.task)
        if mask is not None:
            valid = valid & (mask if mask.ndim == valid.ndim else mask.all(-1))
        return target, valid


class BinaryCrossEntropy:
    """Sigmoid cross-entropy of each label of a many-of-n task, over all annotated entries.

    Targets are floats (B, C) or (B, L, C) in 0..1; entries below 0 are not annotated.

    Args:
        task: key of logits and targets.
        pos_weight: (C); factor on the loss where a label is present. It does not change how
            much an entry counts in the mean.
    """

    def __init__(self, task: str, pos_weight: Tensor | None = None) -> None:
        self.additive = True
        self.task = task
        self.pos_weight = pos_weight

    def __call__(self, output: Output, batch: Batch) -> Terms:
        """The mean over annotated entries."""
        logits = _full(_find(output.logits, self.task, "logits"))
        target, valid = self._target(batch)
        _check_shape(logits, target, self.task)
        _check_width(self.pos_weight, logits, self.task)
        losses = F.binary_cross_entropy_with_logits(
            logits.masked_fill(~valid, 0),
            target.to(logits.dtype).masked_fill(~valid, 0),
            pos_weight=None if self.pos_weight is None else self.pos_weight.to(logits),
            reduction="none",
        )
        return {"loss": _weighted_mean(losses, valid.to(logits.dtype))}

    def weight(self, batch: Batch) -> Tensor:
        """Number of annotated entries."""
        return self._target(batch)[1].sum().float()

    def _target(self, batch: Batch) -> tuple[Tensor, Tensor]:
        target, valid = _entries(batch, self.task)
        return target, valid & (target >= 0)


class MeanSquaredError:
    """Squared error over all annotated entries of a regression task."""

    def __init__(self, task: str) -> None:
        self.additive = True
        self.task = task

    def __call__(self, output: Output, batch: Batch) -> Terms:
        """The mean over annotated entries."""
        predicted = _full(_find(output.logits, self.task, "logits"))
        target, valid = _entries(batch, self.task)
        _check_shape(predicted, target, self.task)
        error = predicted.masked_fill(~valid, 0) - target.to(predicted.dtype).masked_fill(~valid, 0)
        return {"loss": _weighted_mean(self._cost(error), valid.to(predicted.dtype))}

    def weight(self, batch: Batch) -> Tensor:
        """Number of annotated entries."""
        return _entries(batch, self.task)[1].sum().float()

    def _cost(self, error: Tensor) -> Tensor:
        return error.square()


class MeanAbsoluteError(MeanSquaredError):
    """Absolute error over all annotated entries of a regression task."""

    def _cost(self, error: Tensor) -> Tensor:
        return error.abs()


class ConcordanceLoss:
    """One minus :func:`ccc`, averaged over the dimensions that have two valid values or more.

    The correlation is that of all valid frames of the batch together, not of each sequence, so
    the loss does not add over micro-batches.

    Args:
        task: key of logits and targets.
        unbiased: moments with n - 1, as some published training code has them.
    """

    def __init__(self, task: str, *, unbiased: bool = False) -> None:
        self.additive = False
        self.task = task
        self.unbiased = unbiased

    def __call__(self, output: Output, batch: Batch) -> Terms:
        """The mean over dimensions."""
        predicted = _full(_find(output.logits, self.task, "logits"))
        target, valid = _entries(batch, self.task)
        _check_shape(predicted, target, self.task)
        distance = 1 - ccc(predicted, target, valid, unbiased=self.unbiased)  # (C)
        # One value has no variance to agree with.
        enough = (valid.flatten(0, -2).sum(0) > 1).to(distance.dtype)
        return {"loss": _weighted_mean(distance, enough)}

    def weight(self, batch: Batch) -> Tensor:
        """Number of annotated entries."""
        return _entries(batch, self.task)[1].sum().float()


class Contrast:
    """Symmetric InfoNCE: each row of one feature finds its own partner among the other's rows.

    Every other row of the batch is a negative, so the loss does not add over micro-batches.

    Args:
        left: name of a feature (B, D).
        right: name of the feature (B, D) on the other side.
        temperature: a fixed divisor of the cosine similarities, or the name of a zero-dimensional
            tensor in ``output.aux``: the logarithm of a learned factor, bounded by 100.
        local: the negatives are those of a process's own micro-batch only. Then the loss adds up,
            and depends on how the batch is shared out.
        alike: name of a tensor (B, E) in ``output.aux`` and a temperature: partners are shared out
            by a softmax of its rows' cosine similarities, so that rows which say the same are no
            negatives of each other; None: a row's only partner is its own.

    Rows for which ``output.aux["NAME_present"]`` (B) is False on either side are left out.
    """

    def __init__(
        self,
        left: str,
        right: str,
        temperature: str | float,
        *,
        local: bool = False,
        alike: tuple[str, float] | None = None,
    ) -> None:
        if not isinstance(temperature, str) and temperature <= 0:
            raise ConfigError(
                f"a temperature is above 0, not {temperature}", where=f"{left}, {right}"
            )
        self.additive = local
        self.left = left
        self.right = right
        self.temperature = temperature
        self.alike = alike

    def __call__(self, output: Output, batch: Batch) -> Terms:  # noqa: ARG002 (an Objective)
        """The mean over both directions."""
        left, right, keep = self._rows(output)
        # Similarities close to 1 differ by less than half precision resolves.
        with torch.autocast(left.device.type, enabled=False):
            cosine = F.normalize(left, dim=-1) @ F.normalize(right, dim=-1).T  # (K, K)
            similarity = cosine * self._scale(output, cosine)
            partner = self._partners(output, keep)
        if not len(similarity):
            return {"loss": similarity.sum()}  # 0, with a graph
        there = F.cross_entropy(similarity, partner)
        back = F.cross_entropy(similarity.T, partner)
        return {"loss": (there + back) / 2}

    def weight(self, batch: Batch) -> Tensor:
        """Number of clips."""
        return torch.tensor(float(len(batch)), device=batch.present.device)

    def _partners(self, output: Output, keep: Tensor) -> Tensor:
        """Whom each kept row should find: its index (K), or a share of every row (K, K)."""
        if self.alike is None:
            return torch.arange(int(keep.sum()), device=keep.device)
        name, temperature = self.alike
        rows = F.normalize(_full(_find(output.aux, name, "aux").detach())[keep], dim=-1)
        return (rows @ rows.T / temperature).softmax(-1)

    def _rows(self, output: Output) -> tuple[Tensor, Tensor, Tensor]:
        """What is kept of either feature (K, D), and which rows (B) these are."""
        left = _full(_find(output.features, self.left, "features"))
        right = _full(_find(output.features, self.right, "features"))
        if left.ndim != 2 or left.shape != right.shape:
            raise ConfigError(
                f"contrast compares two features (B, D) of one width, "
                f"not {tuple(left.shape)} and {tuple(right.shape)}",
                where=f"{self.left}, {self.right}",
            )
        keep = torch.ones(len(left), dtype=torch.bool, device=left.device)
        for name in (self.left, self.right):
            keep = keep & output.aux.get(f"{name}_present", keep).bool()
        return left[keep], right[keep], keep

    def _scale(self, output: Output, like: Tensor) -> Tensor:
        if isinstance(self.temperature, str):
            logarithm = _find(output.aux, self.temperature, "aux")
            return logarithm.to(like.dtype).exp().clamp(max=MAX_SCALE)
        return like.new_tensor(1 / self.temperature)


class Combined:
    """A weighted sum of named objectives. The terms of each appear as ``name/term``.

    Args:
        parts: ``(name, factor, objective)``; the parts of a combined part stand beside the others
            as ``name/part``.
    """

    def __init__(self, parts: Sequence[tuple[str, float, Objective]]) -> None:
        self.parts = tuple(_flat(parts))
        names = [name for name, _, _ in self.parts]
        if not names or len(set(names)) != len(names):
            raise ConfigError("a sum of objectives needs at least one, each with a name of its own")
        self.additive = all(part.additive for _, _, part in self.parts)

    def __call__(self, output: Output, batch: Batch) -> Terms:
        """The weighted sum, and the terms of each part."""
        terms: Terms = {}
        losses = []
        for name, factor, part in self.parts:
            own = part(output, batch)
            losses.append(factor * own["loss"])
            terms |= {f"{name}/{key}": value for key, value in own.items()}
        return {"loss": torch.stack(losses).sum(), **terms}

    def weight(self, batch: Batch) -> Tensor:
        """The weight of the only part; several parts have no common one."""
        if len(self.parts) > 1:
            raise ConfigError(
                "a sum of objectives has no single weight: its parts may count differently",
                where=", ".join(name for name, _, _ in self.parts),
                fix="weigh each of .parts by its own weight()",
            )
        return self.parts[0][2].weight(batch)


def _flat(parts: Sequence[tuple[str, float, Objective]]) -> list[tuple[str, float, Objective]]:
    flat: list[tuple[str, float, Objective]] = []
    for name, factor, part in parts:
        if isinstance(part, Combined):
            flat += [(f"{name}/{inner}", factor * own, leaf) for inner, own, leaf in part.parts]
        else:
            flat.append((name, factor, part))
    return flat


def _find(table: Mapping[str, Tensor], name: str, kind: str) -> Tensor:
    if name not in table:
        raise ConfigError(
            f"this loss needs {kind} {name!r}, which are not there: {did_you_mean(name, table)}"
        )
    return table[name]


def _full(tensor: Tensor) -> Tensor:
    """At least single precision: losses lose too much in half."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _over_entries(mask: Tensor | None, target: Tensor) -> Tensor:
    """Where entries (..., C) are annotated, from a mask with or without the last axis."""
    valid = target.isfinite()
    if mask is None:
        return valid
    return valid & (mask if mask.ndim == target.ndim else mask[..., None])


def _entries(batch: Batch, task: str) -> tuple[Tensor, Tensor]:
    """Targets (B, C) or (B, L, C), and which entries are annotated."""
    target = _find(batch.targets, task, "targets")
    return target, _over_entries(batch.target_mask.get(task), target)


def _distribution(target: Tensor, valid: Tensor, width: int) -> Tensor:
    """Class indices or class weights as distributions (..., C); unannotated ones are arbitrary."""
    if not target.is_floating_point():
        return F.one_hot(target.masked_fill(~valid, 0).long(), width)
    filled = target.masked_fill(~valid[..., None], 1)
    return filled / filled.sum(-1, keepdim=True)


def _weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum()
    return (losses * weights).sum() / torch.where(total > 0, total, torch.ones_like(total))


def _check_shape(logits: Tensor, target: Tensor, task: str) -> None:
    if logits.shape != target.shape:
        raise DataError(
            f"targets of task {task!r} have the shape {tuple(target.shape)} where the logits have "
            f"{tuple(logits.shape)}",
            fix="check that the labels and the resolution of the task are those of the data",
        )


def _check_width(weights: Tensor | None, logits: Tensor, task: str) -> None:
    if weights is not None and weights.shape != logits.shape[-1:]:
        raise ConfigError(
            f"task {task!r} has {logits.shape[-1]} outputs but weights of the shape "
            f"{tuple(weights.shape)}"
        )
