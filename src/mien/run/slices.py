"""Scores of slices: each speaker, each sex, each range of ages, as far as there are answers.

A score of few clips is noise that looks like a finding, so a slice of fewer than :data:`FEW_CLIPS`
clips is said to be too small and gets no number; an interval over groups needs :data:`FEW_GROUPS`
of them. Both are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import tasks
from mien.run.infer import Answers, Floats, Predictions, Value
from mien.tasks import intervals
from mien.tasks.intervals import Interval
from mien.types import Specs, TaskSpec

FEW_CLIPS, FEW_GROUPS = 10, 5
MOST = 60
"""Slices of a field that are scored: the largest ones."""
_NUMBERS = 8
"""A field with more different numbers is cut into quarters."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """Annotated answers of one task, one below the other, and whose they are.

    targets: (N) class indices or (N, C) values. scores: (N, C). sample: (N) indices of samples.
    """

    targets: Floats
    scores: Floats
    sample: NDArray[np.int64]
    clips: NDArray[np.str_]
    groups: NDArray[np.str_]

    @classmethod
    def of(cls, found: Predictions, answers: Answers) -> Pooled:
        """The answers of one task; a sample without a group is one of its own."""
        targets, scores = answers.pooled()
        sample = answers.owners()
        ids = np.array(found.ids, dtype=str)
        groups = np.array([g or name for g, name in zip(found.group, found.ids, strict=True)])
        return cls(targets, scores, sample, ids[sample], groups[sample])

    def only(self, kept: NDArray[np.bool_]) -> Pooled:
        """Some of them."""
        return Pooled(
            self.targets[kept],
            self.scores[kept],
            self.sample[kept],
            self.clips[kept],
            self.groups[kept],
        )

    def sizes(self) -> dict[str, int]:
        """How many answers, clips and groups there are."""
        return {
            "answers": len(self.targets),
            "clips": len(np.unique(self.clips)),
            "groups": len(np.unique(self.groups)),
        }

    def drawn(
        self, spec: TaskSpec, only: Sequence[str] | None = None, least_groups: int = 2
    ) -> dict[str, dict[str, Interval]]:
        """Intervals over clips and over groups, where there are enough of them.

        Args:
            spec: the task.
            only: scores that get some; None: all.
            least_groups: fewer groups get no interval.
        """
        statistics, drawn = tasks.statistics(spec), {}
        sizes = self.sizes()
        if sizes["clips"] >= 2:  # one says nothing about the next one
            drawn["clips"] = intervals.bootstrap(
                statistics, self.targets, self.scores, clips=self.clips.tolist(), only=only
            )
        if sizes["groups"] >= least_groups:
            drawn["groups"] = intervals.bootstrap(
                statistics, self.targets, self.scores, groups=self.groups.tolist(), only=only
            )
        return drawn


def chosen(drawn: dict[str, dict[str, Interval]], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Intervals of some scores as plain values: score, then what was drawn."""
    found: dict[str, dict[str, Any]] = {}
    for key in keys:
        for unit, by_score in drawn.items():
            if key in by_score:
                found.setdefault(key, {})[unit] = by_score[key].to_dict()
    return found


def slices(
    found: Predictions, task: str, specs: Specs, wanted: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Each field's slices of one task, the largest first.

    Args:
        found: answers with what they can be compared by.
        task: which one.
        specs: the tasks by name.
        wanted: the scores to give.

    Returns:
        By field: ``slices``, a list of values with their scores, and ``left_out``, the number of
        those beyond :data:`MOST`. A field that is the same everywhere has no slices.
    """
    answers = found.tasks[task]
    pooled = Pooled.of(found, answers)
    positions = answers.positions()
    fields = {}
    for field, values in found.groups.items():
        names, code = _coded(values, pooled.sample, positions)
        counts = np.bincount(code + 1, minlength=len(names) + 1)  # the first is that of None
        order = [i for i in np.argsort(-counts[1:], kind="stable").tolist() if counts[i + 1]]
        unknown = [-1] * bool(counts[0])
        if len(order) + len(unknown) < 2:
            continue
        bodies = [
            _body(pooled.only(code == i), specs[task], None if i < 0 else names[i], wanted)
            for i in order[:MOST] + unknown
        ]
        fields[field] = {"slices": bodies, "left_out": max(len(order) - MOST, 0)}
    return fields


def _coded(
    values: Sequence[Sequence[Value]], sample: NDArray[np.int64], positions: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64]]:
    """The names of slices, and which of them each answer (N) is in; -1 where nobody said.

    A sample has one value for all of its positions, or one for each.
    """
    lengths = np.array([len(row) for row in values], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    told = _named([value for row in values for value in row])
    names = sorted({name for name in told if name is not None})
    number = {name: i for i, name in enumerate(names)}
    codes = np.array([-1 if name is None else number[name] for name in told] or [-1])
    place = np.where(lengths[sample] == 1, 0, positions)
    known = place < lengths[sample]
    return names, np.where(known, codes[np.where(known, starts[sample] + place, 0)], -1)


def _named(values: Sequence[Value]) -> list[str | None]:
    """Values as the names of slices; many different numbers as ranges that hold a quarter each."""
    numbers = [value for value in values if isinstance(value, (int, float))]
    if len(numbers) < sum(value is not None for value in values) or len(set(numbers)) <= _NUMBERS:
        return [f"{v:g}" if isinstance(v, (int, float)) else v for v in values]
    edges = np.unique(np.quantile(numbers, (0.25, 0.5, 0.75)))
    inside: dict[int, list[float]] = {}
    for number in numbers:
        inside.setdefault(int(np.searchsorted(edges, number)), []).append(number)
    texts = {i: f"{min(part):g} to {max(part):g}" for i, part in inside.items()}
    return [
        None if not isinstance(v, (int, float)) else texts[int(np.searchsorted(edges, v))]
        for v in values
    ]


def _body(part: Pooled, spec: TaskSpec, value: str | None, wanted: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {"value": value, **part.sizes()}
    if spec.categorical:
        # Recall is a mean over the classes that occur: fewer classes are another question.
        body["classes"] = len(np.unique(part.targets))
    if body["clips"] < FEW_CLIPS:
        return body | {"too_small": True}
    scores = tasks.scores(spec, part.targets, part.scores)
    body["scores"] = {key: scores[key] for key in wanted if key in scores}
    body["intervals"] = chosen(part.drawn(spec, wanted, FEW_GROUPS), wanted)
    return body
