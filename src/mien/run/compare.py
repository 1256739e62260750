"""Two runs on the same clips: how far apart their scores are, how sure that is, what tests say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien import tasks
from mien.errors import RunError
from mien.run import answers, folder
from mien.run.answers import Kept
from mien.run.infer import Floats, Predictions
from mien.run.slices import Pooled
from mien.tasks.paired import Pair, holm, mcnemar
from mien.types import Resolution, Specs, TaskSpec


def compare(run: str | Path, others: Sequence[str | Path]) -> dict[str, Any]:
    """Scores of one run minus those of others, with 95 % intervals and tests over groups.

    Both of a pair are scored on the same draws of speakers, so that clips which are hard for both
    do not widen the interval. Of several seeds the mean is compared, and each seed on its own.

    Args:
        run: a run, or a family of folds and seeds.
        others: further ones, with the same test clips. Of several, p is also given corrected.
    """
    one = answers.kept(Path(run))
    pairs = [difference(one, answers.kept(Path(other))) for other in others]
    correct(pairs)
    return {"versions": folder.versions(), "level": 0.95, "pairs": pairs}


def difference(one: Kept, two: Kept) -> dict[str, Any]:
    """The first run minus the second one: every task that both learned."""
    seeds = sorted(one.seeds.keys() & two.seeds.keys())
    where = f"{one.name}, {two.name}"
    if not seeds:
        told = f"{sorted(one.seeds)} and {sorted(two.seeds)}"
        raise RunError(f"the runs share no seed: {told}", where=where)
    specs = {name: spec for name, spec in one.specs.items() if two.specs.get(name) == spec}
    if not specs:
        raise RunError("the runs learned different tasks", where=where)
    order = list(one.seeds[seeds[0]].ids)
    sides = [
        [_in_order(side.seeds[seed], order, specs, where) for seed in seeds] for side in (one, two)
    ]
    found = {name: _task(name, specs[name], seeds, *sides) for name in specs}
    return {
        "run": one.name,
        "other": two.name,
        "seeds": seeds,
        "tasks": {name: body for name, body in found.items() if body},
    }


def _in_order(found: Predictions, order: Sequence[str], specs: Specs, where: str) -> Predictions:
    """Answers in the order of these clips, which have to be the same."""
    place = {name: i for i, name in enumerate(found.ids)}
    if len(place) < len(found.ids) or place.keys() != set(order) or len(order) != len(place):
        raise RunError("the runs were not tested on the same clips", where=where)
    rows = [place[name] for name in order]
    sorted_tasks = {}
    for name in specs:
        own = found.tasks[name]
        sorted_tasks[name] = type(own)(
            [own.scores[i] for i in rows], [own.targets[i] for i in rows]
        )
    return Predictions(ids=list(order), group=[found.group[i] for i in rows], tasks=sorted_tasks)


def _task(
    name: str,
    spec: TaskSpec,
    seeds: Sequence[int],
    ours: Sequence[Predictions],
    theirs: Sequence[Predictions],
) -> dict[str, Any]:
    if not len(ours[0].tasks[name].owners()):
        return {}
    first = Pooled.of(ours[0], ours[0].tasks[name])
    sides = [[_answers(run, name, first) for run in side] for side in (ours, theirs)]
    body: dict[str, Any] = {"by": tasks.default_metric(spec), **first.sizes()}
    body["scores"] = _scores(spec, first, np.stack(sides[0]), np.stack(sides[1]))
    if len(seeds) > 1:
        body["by_seed"] = {
            str(seed): _scores(spec, first, a, b) for seed, a, b in zip(seeds, *sides, strict=True)
        }
    if spec.categorical and spec.resolution is Resolution.CLIP:  # frames are no independent answers
        body["mcnemar"] = {
            str(seed): mcnemar(_right(a, first), _right(b, first)).to_dict()
            for seed, a, b in zip(seeds, *sides, strict=True)
        }
    return body


def _answers(run: Predictions, name: str, first: Pooled) -> Floats:
    """A run's answers (N, C), given to the same labels as the first one's."""
    targets, scores = run.tasks[name].pooled()
    if not np.array_equal(targets, first.targets):
        raise RunError(f"the runs were tested on different labels of {name!r}")
    return scores


def _right(scores: Floats, first: Pooled) -> NDArray[np.bool_]:
    return np.asarray(scores.argmax(1) == first.targets, dtype=np.bool_)


def _scores(spec: TaskSpec, first: Pooled, a: Floats, b: Floats) -> dict[str, Any]:
    """Differences with intervals and p-values; over clips where there is but one group."""
    several = len(np.unique(first.groups)) > 1
    if not several and len(np.unique(first.clips)) < 2:
        raise RunError("one clip alone says nothing about the next one")
    pair = Pair(
        tasks.statistics(spec),
        first.targets,
        a,
        b,
        clips=None if several else first.clips.tolist(),
        groups=first.groups.tolist() if several else None,
    )
    drawn, tests = pair.difference(), pair.exchange()
    return {
        key: drawn[key].to_dict() | {"test": tests[key].to_dict()}
        for key in tasks.headline(spec)
        if key in drawn and key in tests
    }


def correct(pairs: Sequence[dict[str, Any]]) -> None:
    """Add p after Holm to each test, where a task and score was tested on several pairs of runs."""
    together: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for pair in pairs:
        for name, body in pair["tasks"].items():
            for key, found in body["scores"].items():
                together.setdefault((name, key), []).append(found["test"])
    for tests in together.values():
        if len(tests) > 1:
            for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
                test["p_holm"] = p


def table(found: dict[str, Any]) -> str:
    """Differences as lines, a block for each other run."""
    lines = []
    for pair in found["pairs"]:
        for name, body in pair["tasks"].items():
            seeds = f", mean of seeds {', '.join(map(str, pair['seeds']))}"
            many = seeds if len(pair["seeds"]) > 1 else ""
            lines.append(f"{name}: {pair['run']} minus {pair['other']}{many}")
            lines += [_line(key, i) for key, i in body["scores"].items()]
            for seed, scores in body.get("by_seed", {}).items():
                lines += [_line(f"seed {seed}", scores[body["by"]]) + f"  ({body['by']})"]
            for seed, test in body.get("mcnemar", {}).items():
                own = f"seed {seed}: " if many else ""
                lines.append(
                    f"  McNemar: {own}right alone on {test['only_first']} clips, the other on "
                    f"{test['only_second']}; p {p_value(test['p'])}, as if clips were independent"
                )
    return "\n".join([*lines, *_explained(found)])


def _line(key: str, found: dict[str, Any]) -> str:
    test = found["test"]
    holm_p = f", {p_value(test['p_holm'])} after Holm" if "p_holm" in test else ""
    return (
        f"  {key:<12} {found['value']:+.3f}  {found['low']:+.3f} to {found['high']:+.3f}"
        f"  p {p_value(test['p'])}{holm_p}"
    )


def _explained(found: dict[str, Any]) -> list[str]:
    every = [
        scores
        for pair in found["pairs"]
        for body in pair["tasks"].values()
        for scores in body["scores"].values()
    ]
    if not every:
        return ["no task was scored in both runs"]
    first = every[0]
    unit = "speakers or other groups" if first["over"] == "groups" else "clips"
    return [
        f"95 % intervals over {first['over']}. p: exchange test, in which the answers of whole "
        f"{unit} ({first['test']['units']}) change places."
    ]


def p_value(p: float) -> str:
    """A p-value as it is written: three digits, never 0."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
