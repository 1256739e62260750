"""Running a model over rows: scores with their targets, the same alone as in a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mien import tasks
from mien.data.batch import RowDataset, collate
from mien.data.windows import Cut
from mien.parts.model import FrontEnd, Model
from mien.run.batches import Collate, Seen
from mien.run.overlap import Overlap
from mien.run.repeats import Repeats
from mien.tasks.smoothing import smoothed
from mien.types import Batch, Objective, Output, Sample, Specs, TaskSpec, Unit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_STANDS = 0.5  # support from which an answer is given
Value: TypeAlias = str | int | float | None
"""What a sample is compared by; None where nobody said."""


@dataclass(slots=True)
class Answers:
    """One task's answers, an entry a sample. P positions: 1 for a clip, else frames or utterances.

    scores: (P, C) after the task's activation. targets: (P) class indices of a categorical task,
    else (P, C) values; NaN where not annotated. Empty where the rows carry no labels.
    """

    scores: list[Floats] = field(default_factory=list)
    targets: list[Floats] = field(default_factory=list)

    def pooled(self) -> tuple[Floats, Floats]:
        """Annotated positions of all samples: targets (N) or (N, C), and scores (N, C)."""
        targets, scores = np.concatenate(self.targets), np.concatenate(self.scores)
        known = _annotated(targets)
        return targets[known], scores[known]

    def owners(self) -> NDArray[np.int64]:
        """For each pooled position the index of its sample; empty where nothing is annotated."""
        counts = [int(_annotated(target).sum()) for target in self.targets]
        return np.repeat(np.arange(len(counts)), counts)

    def positions(self) -> NDArray[np.int64]:
        """For each pooled position its place within its sample; 0 for a clip."""
        places = [np.flatnonzero(_annotated(target)) for target in self.targets]
        return np.concatenate([np.zeros(0, np.int64), *places]).astype(np.int64)


def _annotated(targets: Floats) -> NDArray[np.bool_]:
    unknown = np.isnan(targets)
    return np.asarray(~(unknown if targets.ndim == 1 else unknown.all(axis=1)), dtype=np.bool_)


@dataclass(slots=True)
class Predictions:
    """What a model said of every sample, in the order of the rows.

    ``groups`` holds what samples can be compared by, such as speaker or age: by name a list of
    values for each sample, one for all of it or one a position. ``support`` says of each sample how
    far the network stands behind its answers, where it says so. ``seen`` says of samples with more
    than one position at which of them (P) each modality was there, where that is known. ``members``
    names the rows that a sample was made of, the utterances of a dialogue, and is empty elsewhere.
    """

    ids: list[str] = field(default_factory=list)
    group: list[str] = field(default_factory=list)
    present: list[dict[str, bool]] = field(default_factory=list)
    times: list[Floats | None] = field(default_factory=list)
    tasks: dict[str, Answers] = field(default_factory=dict)
    groups: dict[str, list[list[Value]]] = field(default_factory=dict)
    support: list[float] = field(default_factory=list)
    seen: list[dict[str, Bools]] = field(default_factory=list)
    members: list[list[str]] = field(default_factory=list)

    def present_at(self, index: int, position: int) -> dict[str, bool]:
        """Which modalities were there, at a position of a sample where that is known."""
        if not self.seen:
            return self.present[index]
        return {name: bool(there[position]) for name, there in self.seen[index].items()}

    def said(
        self, index: int, position: int, specs: Specs
    ) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
        """Named scores and uncertainties of a position of a sample, by task.

        A clip's answer holds for all of its positions where another task answers per frame. Nothing
        is said where the network does not stand behind it.
        """
        scores: dict[str, dict[str, float]] = {}
        unsure: dict[str, float] = {}
        if self.support and self.support[index] < _STANDS:
            return scores, unsure
        for name, spec in specs.items():
            answers = self.tasks[name].scores[index]
            scores[name], doubt = tasks.decode(spec, answers[min(position, len(answers) - 1)])
            if doubt is not None:
                unsure[name] = doubt
        return scores, unsure


@torch.inference_mode()
def predict(
    model: Model, dataset: Dataset[Sample], specs: Specs, *, batch_size: int = 32
) -> Predictions:
    """Run the model in evaluation mode over a dataset; windows of a row give one answer to it."""
    model.eval()
    found = Predictions(tasks={name: Answers() for name in specs})
    if isinstance(dataset, RowDataset):
        found.groups = dataset.groups()
        if dataset.unit is Unit.DIALOGUE:
            found.members = dataset.members()
    if isinstance(dataset, Cut):
        _in_windows(found, model, dataset, specs, batch_size)
        return found
    if (same := Repeats.of(dataset, model.front_end)) is not None:
        _once(found, model, cast("RowDataset", dataset), same, specs, batch_size)
        return found
    for batch in batches(dataset, specs, batch_size, model.front_end):
        output = model(batch.to(device_of(model)))
        collect(found, batch, output.to("cpu"), specs)
    return found


def _once(
    found: Predictions,
    model: Model,
    rows: RowDataset,
    same: Repeats,
    specs: Specs,
    batch_size: int,
) -> None:
    """Answer samples that are the same by one reading."""
    read = batches(same.samples(rows, model.front_end), specs, batch_size, model.front_end)
    answers = same.spread(read, lambda batch: model(batch.to(device_of(model))).to("cpu"))
    for batch in batches(rows, specs, batch_size, model.front_end):
        first = len(found.ids)
        collect(found, batch, answers(first, first + len(batch)), specs)


def _in_windows(
    found: Predictions, model: Model, dataset: Dataset[Sample], specs: Specs, batch_size: int
) -> None:
    """Answer each item of a cut dataset once a position, over all of its windows."""
    cut = cast("Cut", dataset)
    spans, row = iter(cut.spans), _Row(0)
    for batch in batches(dataset, specs, batch_size, model.front_end):
        output = model(batch.to(device_of(model))).to("cpu")
        for place in range(len(batch)):
            owner, first, last = next(spans)
            if owner != row.item:
                row.finish(found, cut, specs)
                row = _Row(owner)
            row.add(batch, output, place, (first, last), specs)
    if row.overlap.last:
        row.finish(found, cut, specs)


@dataclass(slots=True)
class _Row:
    """An item of a cut dataset on its way: answers, and where something was seen."""

    item: int
    overlap: Overlap = field(default_factory=Overlap)
    seen: dict[str, Bools] = field(default_factory=dict)

    def add(
        self, batch: Batch, output: Output, place: int, span: tuple[int, int], specs: Specs
    ) -> None:
        """Take in one window, at this place of a batch."""
        first, last = span
        answers = {name: output.logits[name][place, : last - first] for name in specs}
        self.overlap.add(first, answers)
        for name, mask in batch.mask.items():
            there = _longer(self.seen.get(name, np.zeros(0, np.bool_)), last)
            part = mask[place, : last - first].numpy()  # no clip of the batch may be as long in it
            there[first : first + len(part)] |= part
            self.seen[name] = there

    def finish(self, found: Predictions, cut: Cut, specs: Specs) -> None:
        """Give the whole item its answers."""
        head, count, whole = cut.head(self.item), self.overlap.last, self.overlap.take()
        found.ids.append(head.id)
        found.group.append(head.group)
        found.present.append({name: bool(there.any()) for name, there in self.seen.items()})
        found.seen.append({name: _longer(there, count) for name, there in self.seen.items()})
        found.times.append(None if head.times is None else np.asarray(head.times, np.float64))
        for name, spec in specs.items():
            scores = tasks.activation(spec)(whole[name]).double().numpy()
            how, around = cut.windows.smooth, cut.windows.around
            found.tasks[name].scores.append(smoothed(scores, spec, how, around))
            if name in head.targets:
                batch = collate([head], specs)
                found.tasks[name].targets.append(_target(batch, spec, 0, len(scores)))


def _longer(there: Bools, count: int) -> Bools:
    """The same up to so many positions: behind its end nothing is there."""
    return np.concatenate([there, np.zeros(max(0, count - len(there)), np.bool_)])


@torch.inference_mode()
def mean_terms(
    model: Model, dataset: RowDataset, objective: Objective, specs: Specs, *, batch_size: int
) -> dict[str, float]:
    """The objective's terms over a dataset, for a stage that has no task to score."""
    model.eval()
    sums: dict[str, float] = {}
    count = 0
    together = Collate(dataset, specs)
    for batch in batches(dataset, specs, batch_size, model.front_end, together):
        batch = batch.to(device_of(model))
        output = model(batch).map(lambda t: t.float() if t.is_floating_point() else t)
        count += len(batch)
        for name, value in objective(output, batch).items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
    return {name: value / count for name, value in sums.items()}


def batches(
    dataset: Dataset[Sample],
    specs: Specs,
    size: int,
    front_end: FrontEnd,
    together: Collate | None = None,
) -> Iterator[Batch]:
    """A dataset's samples in order, as a front end sees them, batched."""
    seen = Seen(dataset, front_end) if isinstance(dataset, RowDataset) else dataset
    loader: DataLoader[Sample] = DataLoader(
        seen, batch_size=size, collate_fn=together or partial(collate, specs=specs)
    )
    yield from loader


def device_of(model: Model) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


def collect(found: Predictions, batch: Batch, output: Output, specs: Specs) -> None:
    """Take a batch's answers apart into samples, without their padding."""
    # An utterance is answered although nothing of it was recorded and nobody labelled it.
    said = [len(rows) for rows in found.members[len(found.ids) : len(found.ids) + len(batch)]]
    found.ids += list(batch.ids)
    found.group += list(batch.group)
    for place, count in enumerate(said):
        seen = {name: mask[place, :count].numpy() for name, mask in batch.mask.items()}
        found.seen.append({name: _longer(there, count) for name, there in seen.items()})
    if (support := output.aux.get("support")) is not None:
        found.support += support.tolist()
    for row in batch.present.tolist():
        found.present.append(dict(zip(batch.modalities, row, strict=True)))
    found.times += (
        [None] * len(batch) if batch.times is None else list(batch.times.double().numpy())
    )
    for name, spec in specs.items():
        scores = tasks.activation(spec)(output.logits[name].float())
        real = said if said and scores.ndim == 3 else _real_positions(batch, name, scores)
        answers = found.tasks[name]
        for row in range(len(batch)):
            part = scores[row, : real[row]] if scores.ndim == 3 else scores[row : row + 1]
            answers.scores.append(part.double().numpy())
            if name in batch.targets:
                answers.targets.append(_target(batch, spec, row, len(part)))


def _real_positions(batch: Batch, task: str, scores: Tensor) -> list[int]:
    """How many positions of each sample are not padding (1 where an answer is one per clip).

    A position is real where something was recorded or annotated, or that has a time.
    """
    if scores.ndim == 2:
        return [1] * len(batch)
    masks = list(batch.mask.values())
    if task in batch.target_mask:
        annotated = batch.target_mask[task]  # (B, L) or (B, L, C)
        masks.append(annotated.any(2) if annotated.ndim == 3 else annotated)
    if batch.times is not None:
        masks.append(batch.times.isfinite())
    masks = [mask for mask in masks if mask.shape[1:] == scores.shape[1:2]]
    known = torch.stack(masks).any(0) if masks else torch.ones(scores.shape[:2], dtype=torch.bool)
    last = torch.arange(1, known.shape[1] + 1) * known.cpu()
    return [int(n) for n in last.amax(1)]


def _target(batch: Batch, spec: TaskSpec, row: int, positions: int) -> Floats:
    """The target of one sample as (P) class indices or (P, C) values, NaN where unknown."""
    target, mask = batch.targets[spec.name][row].double(), batch.target_mask[spec.name][row]
    soft = spec.categorical and target.ndim > mask.ndim
    if soft:
        target = target.argmax(-1).double()
    elif target.ndim > mask.ndim:
        mask = mask[..., None].expand_as(target)
    target = torch.where(mask, target, torch.full_like(target, torch.nan))
    lead = target if target.ndim == (1 if spec.categorical else 2) else target[None]
    return lead[:positions].numpy()
