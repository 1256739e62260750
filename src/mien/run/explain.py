"""Why a run answers as it does: who carried an answer, and when.

Who: the run is asked again with every set of modalities, the others absent. When: with one stretch
of time after the other absent, from everything and from each modality. All of it are questions to
the run as it is, in batches; nothing is sampled, so the same run and clip give the same reasons.

Shapes: S sets of M sources, K questions, P answered positions, C outputs of a task.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mien.data.batch import RowDataset
from mien.data.windows import Cut
from mien.errors import ConfigError, DataError
from mien.evidence import Evidence, Moment, Reason
from mien.parts.model import FrontEnd, Model
from mien.run import infer
from mien.run.hiding import Asked, AskedWindows, Given, Hiding, Rows, Subjects, Windowed
from mien.tasks import credit
from mien.types import Problem, Sample, Specs, TaskSpec

Floats = NDArray[np.float64]

_MOST = 6  # sources of which all sets are asked for
_AT_ONCE = 512  # questions that are kept in mind together


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How answers are explained.

    Args:
        least: share by which the others fall short of a modality that is named (see
            :func:`mien.tasks.credit.judge`).
        stretch: seconds that are made absent at once, about; of clips whose length nobody knows
            an eighth.
        stretches: so many of a sample at most.
    """

    least: float = credit.LEAST
    stretch: float = 0.5
    stretches: int = 16

    def __post_init__(self) -> None:
        if not 0.5 < self.least <= 10:
            raise ConfigError(f"one of several can only be named above a half, not {self.least:g}")
        if self.stretch <= 0 or self.stretches < 0:
            raise ConfigError("stretches of time are some, and last", where="stretch, stretches")

    def made_by(self, asked: int) -> dict[str, str]:
        """What a timeline says of its reasons."""
        named = f"a modality is named of which all others fall short by {100 * self.least:g} %"
        return {"explained": f"by {asked} further answers to each; {named}"}

    def pieces(self, seconds: float, lengths: Iterable[int]) -> int:
        """Into how many stretches a sample is cut; 0 where it has no time."""
        timed = [length for length in lengths if length > 1]
        wanted = round(seconds / self.stretch) if seconds > 0 else 8
        count = min([self.stretches, max(wanted, 4), *timed])
        return count if timed and count > 1 else 0


@dataclass(frozen=True, slots=True)
class Explained:
    """What a run says of one sample when parts of it are absent.

    Args:
        specs: the tasks.
        sources: modalities by the name that is shown, in order; layers of one text are one.
        sets: (S, P, C) by task: scores with every set of sources.
        pieces: how many stretches of time there are.
        all_of: (N, P, C) by task: scores without each stretch.
        of_one: the same of each source in turn, (M, N, P, C); of no source where there is but one.
        asked: how many further answers it took.
    """

    specs: Specs
    sources: Sequence[str]
    sets: Mapping[str, Floats]
    pieces: int
    all_of: Mapping[str, Floats]
    of_one: Mapping[str, Floats]
    asked: int

    def evidence(
        self, position: int, start: float, end: float, how: How, *, few: bool = False
    ) -> Evidence:
        """Why a position has its answers.

        Args:
            position: which.
            start: first second of the sample.
            end: where the sample ends.
            how: the rule.
            few: keep the strongest stretch of time only.
        """
        reasons = [
            self._reason(spec, position, output, (start, end), how, few)
            for spec in self.specs.values()
            for output in credit.answered(spec, self._at(spec, position)[-1])
        ]
        return Evidence(reasons=reasons)

    def strengths(self, task: str, position: int = 0) -> Floats:
        """(M) how far each source carries the answer to a task (see the rule)."""
        spec = self.specs[task]
        scores = self._at(spec, position)
        (output,) = credit.answered(spec, scores[-1])[:1]
        margins = credit.margin(spec, scores, output)
        hangs = self._hangs(spec, margins, self._drops(spec, position, output, margins))
        return credit.strength(credit.leads(spec, margins, output)) if hangs is None else hangs

    def _at(self, spec: TaskSpec, position: int) -> Floats:
        scores = self.sets[spec.name]
        return scores[:, min(position, scores.shape[1] - 1)]

    def _reason(
        self,
        spec: TaskSpec,
        position: int,
        output: int,
        span: tuple[float, float],
        how: How,
        few: bool,
    ) -> Reason:
        margins = credit.margin(spec, self._at(spec, position), output)
        drops = self._drops(spec, position, output, margins)
        hangs = self._hangs(spec, margins, drops)
        named = credit.judge(spec, margins, output, how.least, hangs)
        shares, whole = credit.shapley(margins), len(margins) - 1
        bits = {name: 1 << source for source, name in enumerate(self.sources)}
        moments = list(self._moments(drops, span))
        if few and moments:
            moments = [max(moments, key=lambda moment: moment.drop)]
        return Reason(
            task=spec.name,
            label=spec.labels[output],
            margin=float(margins[-1]),
            verdict=named.verdict,
            carried_by=self.sources[named.source] if named.source >= 0 else "",
            shares=dict(zip(self.sources, shares.tolist(), strict=True)),
            alone={name: float(margins[bit]) for name, bit in bits.items()},
            drops={name: float(margins[-1] - margins[whole ^ bit]) for name, bit in bits.items()},
            moments=tuple(moments),
        )

    def _drops(self, spec: TaskSpec, position: int, output: int, margins: Floats) -> Floats:
        """(1 + M or 1, N) by how much the margin falls without each stretch, of all and of one."""
        at = min(position, self.all_of[spec.name].shape[1] - 1)
        without = self.all_of[spec.name][None, :, at]
        ones = self.of_one[spec.name][:, :, at]
        return np.asarray(margins[-1] - credit.margin(spec, np.vstack([without, ones]), output))

    def _hangs(self, spec: TaskSpec, margins: Floats, drops: Floats) -> Floats | None:
        """How far each source carries the moments on which the answer hangs, if it hangs on any."""
        regression = spec.problem is Problem.REGRESSION
        lead = float(margins[-1] - margins[0] if regression else margins[-1])
        way = -1.0 if lead < 0 else 1.0
        return credit.moments(lead, way * drops[0], way * drops[1:])

    def _moments(self, drops: Floats, span: tuple[float, float]) -> Iterator[Moment]:
        start, end = span
        if end <= start:
            return  # nobody knows how long it lasts
        for number, (drop, *apart) in enumerate(drops.T.tolist()):
            yield Moment(
                start=start + (end - start) * number / self.pieces,
                end=start + (end - start) * (number + 1) / self.pieces,
                drop=drop,
                by=dict(zip(self.sources, apart, strict=False)),  # of one source there is no by
            )


def subjects_of(dataset: Dataset[Sample], front_end: FrontEnd) -> Subjects | Windowed:
    """A dataset as something of which parts can be hidden."""
    if isinstance(dataset, Cut):
        return Windowed(dataset)
    if isinstance(dataset, RowDataset):
        return Rows(dataset, front_end)
    return Given([dataset[index] for index in range(len(dataset))])  # type: ignore[arg-type]


def explain(
    model: Model,
    subjects: Subjects | Windowed,
    found: infer.Predictions,
    specs: Specs,
    seconds: Sequence[float],
    how: How,
    *,
    batch_size: int = 32,
) -> list[Explained]:
    """Ask a model again, with parts of every sample absent.

    Args:
        model: what answers.
        subjects: the samples.
        found: what it answered to them as they are.
        specs: the tasks.
        seconds: how long each sample lasts; 0 where nobody knows.
        how: how they are explained.
        batch_size: questions that are answered together; it changes no answer.
    """
    explained: list[Explained] = []
    waiting: list[_Plan] = []
    for item in range(len(found.ids)):
        waiting.append(_Plan(item, subjects.lengths(item), seconds[item], how))
        if sum(len(plan.questions) for plan in waiting) >= _AT_ONCE:
            explained += _answered(model, subjects, found, specs, waiting, batch_size)
            waiting = []
    return explained + _answered(model, subjects, found, specs, waiting, batch_size)


class _Plan:
    """The questions about one sample, in order: sets, stretches, stretches of each source.

    The set of everything is not among them: that is how the sample was answered.
    """

    def __init__(self, item: int, lengths: Mapping[str, int], seconds: float, how: How) -> None:
        self.item = item
        self.sources = _sources(lengths)
        if len(self.sources) > _MOST:
            raise DataError(
                f"answers to at most {_MOST} modalities can be explained, not to "
                f"{len(self.sources)}: {', '.join(self.sources)}"
            )
        self.pieces = how.pieces(seconds, lengths.values())
        groups = [frozenset(group) for group in self.sources.values()]
        everything = frozenset(lengths)
        timed = frozenset(name for name, length in lengths.items() if length > 1)
        self.questions: list[Hiding] = [
            Hiding(absent=everything - _union(groups, number))
            for number in range(2 ** len(groups) - 1)
        ]
        self.questions += [self._without(number, timed) for number in range(self.pieces)]
        if len(groups) > 1:
            self.questions += [
                self._without(number, group & timed)
                for group in groups
                for number in range(self.pieces)
            ]

    def _without(self, number: int, of: frozenset[str]) -> Hiding:
        return Hiding(stretch=(self.pieces, number), of=of)

    def explained(self, specs: Specs, whole: infer.Predictions, answers: _Answers) -> Explained:
        """The answers to these questions, which are the next ones."""
        count, sources = self.pieces, len(self.sources)
        sets, all_of, of_one = {}, {}, {}
        for name in specs:
            there = whole.tasks[name].scores[self.item][None]
            scores = answers.take(name, len(self.questions), there.shape[1])  # (K, P, C)
            first = 2**sources - 1
            sets[name] = np.concatenate([scores[:first], there])
            all_of[name] = scores[first : first + count]
            apart = sources if sources > 1 else 0
            of_one[name] = scores[first + count :].reshape(apart, count, *scores.shape[1:])
        return Explained(
            specs, tuple(self.sources), sets, count, all_of, of_one, len(self.questions)
        )


def _sources(lengths: Mapping[str, int]) -> dict[str, list[str]]:
    """Modalities by the name that is shown: ``text2`` is the text once more, read otherwise."""
    found: dict[str, list[str]] = {}
    for name in sorted(lengths):
        stem = re.sub(r"\d+$", "", name)
        found.setdefault(stem if stem in lengths else name, []).append(name)
    return found


def _union(groups: Sequence[frozenset[str]], number: int) -> frozenset[str]:
    """The modalities of a set of sources."""
    return frozenset().union(*(group for i, group in enumerate(groups) if number >> i & 1))


class _Answers:
    """Answers to questions, taken out in their order."""

    def __init__(self, found: infer.Predictions) -> None:
        self._found = found
        self._next = dict.fromkeys(found.tasks, 0)

    def take(self, task: str, count: int, positions: int) -> Floats:
        """The next answers to a task, (K, P, C); NaN at positions that were not answered."""
        first = self._next[task]
        self._next[task] += count
        found = self._found.tasks[task].scores[first : first + count]
        taken = np.full((count, positions, found[0].shape[1]), np.nan)
        for row, scores in zip(taken, found, strict=True):
            row[: len(scores)] = scores[:positions]
        return taken


def _answered(
    model: Model,
    subjects: Subjects | Windowed,
    found: infer.Predictions,
    specs: Specs,
    plans: Sequence[_Plan],
    batch_size: int,
) -> list[Explained]:
    if not plans:
        return []
    questions = [(plan.item, hiding) for plan in plans for hiding in plan.questions]
    asked: Dataset[Sample]
    if isinstance(subjects, Windowed):
        asked = AskedWindows(subjects, questions)
    else:
        asked = Asked(subjects, questions)
    answers = _Answers(infer.predict(model, asked, specs, batch_size=batch_size))
    return [plan.explained(specs, found, answers) for plan in plans]
