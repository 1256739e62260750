"""Two runs on the same clips: how far apart their scores are, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien import tasks
from mien.errors import RunError
from mien.run import answers, checkpoint, folder, score
from mien.run.infer import Answers, Predictions
from mien.tasks import intervals
from mien.types import Specs


def compare(run: str | Path, other: str | Path) -> dict[str, Any]:
    """Scores of one run minus those of another, seed by seed, with 95 % intervals over groups.

    Both are scored on the same draws of speakers, so that clips which are hard for both do not
    widen the interval. One that leaves out 0 shows a difference.

    Args:
        run: a run, or a family of folds and seeds.
        other: another one, with the same test clips.
    """
    one, two = _by_seed(Path(run)), _by_seed(Path(other))
    shared = sorted(one.keys() & two.keys())
    if not shared:
        raise RunError(
            f"the runs share no seed: {sorted(one)} and {sorted(two)}", where=f"{run}, {other}"
        )
    specs = folder.read_labels(one[shared[0]][0])
    if folder.read_labels(two[shared[0]][0]) != specs:
        raise RunError("the runs learned different tasks", where=f"{run}, {other}")
    return {str(seed): _difference(one[seed], two[seed], specs) for seed in shared}


def _by_seed(place: Path) -> dict[int, list[Path]]:
    """The runs of a family (or the one run) by seed."""
    members = [place]
    if (place / "family.json").is_file():
        members = [place / n for n in checkpoint.read_object(place / "family.json")["members"]]
    found: dict[int, list[Path]] = {}
    for member in members:
        found.setdefault(int(folder.read_card(member)["seed"]), []).append(member)
    return found


def _difference(one: Sequence[Path], two: Sequence[Path], specs: Specs) -> dict[str, Any]:
    (ours, _), (theirs, _) = answers.joined(one, specs), answers.joined(two, specs)
    place = {name: i for i, name in enumerate(theirs.ids)}
    if set(ours.ids) != set(place):
        raise RunError(
            "the runs were not tested on the same clips", where=f"{one[0].parent}, {two[0].parent}"
        )
    order = [place[name] for name in ours.ids]
    return {
        name: _task_difference(ours, name, _in_order(theirs.tasks[name], order), specs)
        for name in specs
        if len(ours.tasks[name].owners())
    }


def _in_order(answers: Answers, order: Sequence[int]) -> Answers:
    return Answers([answers.scores[i] for i in order], [answers.targets[i] for i in order])


def _task_difference(
    ours: Predictions, name: str, theirs: Answers, specs: Specs
) -> dict[str, dict[str, Any]]:
    targets, a = ours.tasks[name].pooled()
    same, b = theirs.pooled()
    if not np.array_equal(targets, same):
        raise RunError(f"the runs were tested on different labels of {name!r}")
    owners = ours.tasks[name].owners()
    drawn = intervals.paired_difference(
        tasks.statistics(specs[name]),
        targets,
        a,
        b,
        groups=[ours.group[i] or ours.ids[i] for i in owners],
    )
    wanted = [key for key in score.headline(specs[name]) if key in drawn]
    return {key: drawn[key].to_dict() for key in wanted}


def table(found: dict[str, Any]) -> str:
    """Differences as lines, a block a seed."""
    lines = ["this run minus the other; 95 % intervals over groups"]
    for seed, body in found.items():
        for name, scores in body.items():
            lines.append(f"{name}, seed {seed}")
            lines += [
                f"  {key:<12} {i['value']:+.3f}  {i['low']:+.3f} to {i['high']:+.3f}"
                for key, i in scores.items()
            ]
    return "\n".join(lines)
