"""Run folders as a training leaves them, without the training: card, scores, answers, log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.run import answers, folder, score
from mien.run.infer import Answers, Predictions, Value
from mien.types import Problem, Specs, TaskSpec

EMOTION = TaskSpec(
    name="emotion", problem=Problem.ONE_OF_N, labels=("calm", "happy", "sad", "angry")
)


def answered(
    clips: int = 120,
    speakers: int = 12,
    *,
    spec: TaskSpec = EMOTION,
    skill: float = 1.0,
    seed: int = 0,
    **groups: Sequence[Value],
) -> Predictions:
    """Answers to the same clips, whatever the seed: better ones with more skill."""
    truth = np.random.default_rng(99).integers(0, spec.width, clips)
    random = np.random.default_rng(seed)
    scores = random.dirichlet(np.ones(spec.width), clips)
    scores[np.arange(clips), truth] += skill * random.random(clips)
    scores /= scores.sum(1, keepdims=True)
    own = Answers(list(scores[:, None]), list(truth[:, None].astype(float)))
    speaker: list[Value] = [f"p{i % speakers}" for i in range(clips)]
    found = {"speaker": speaker, **groups}
    return Predictions(
        ids=[f"clip{i}" for i in range(clips)],
        group=[f"p{i % speakers}" for i in range(clips)],
        tasks={spec.name: own},
        groups={name: [[value] for value in values] for name, values in found.items()},
    )


def card(seed: int = 0, fold: int | None = None, **more: Any) -> dict[str, Any]:
    """What a finished run says of itself."""
    return {
        "data": "0123456789abcdef" * 4,
        "fold": fold,
        "system": "toy-clip",
        "preset": "tiny",
        "seed": seed,
        "versions": folder.versions(),
        "licence": "CC-BY-4.0",
        "modalities": ["a", "b"],
        "selection": {"part": "held_out", "ids": ["h1", "h2"], "epoch": 2, "score": 0.5},
        "notes": [],
        "sizes": {"train": 90, "held_out": 30, "test": 120},
        "finished": True,
        **more,
    }


def log(
    epochs: int = 4, stage: str = "classify", more: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """One line an epoch, the loss falling."""
    first: list[dict[str, Any]] = [{"stage": stage, "step": 0, "started_from": 0, "new": []}]
    return first + [
        {
            "stage": stage,
            "epoch": epoch,
            "step": 3 * epoch,
            "loss": 1.5 / epoch,
            "lr": 1e-3,
            "held_out/emotion/uar": 0.3 + 0.2 * (epoch == 2),
            "clips_per_second": 9.0,
            **(more or {}),
        }
        for epoch in range(1, epochs + 1)
    ]


def run(
    place: Path,
    found: Predictions | None = None,
    specs: Specs | None = None,
    *,
    part: str = "test",
    lines: Sequence[dict[str, Any]] | None = None,
    config: str = "system: toy-clip\ntrain: {epochs: 4}\n",
    **facts: Any,
) -> Path:
    """Write a run folder.

    Args:
        place: where.
        found: its answers; None: 120 clips of a task of four classes.
        specs: the tasks.
        part: which part was scored.
        lines: of its log.
        config: its settings.
        facts: entries of the card.
    """
    found = answered() if found is None else found
    specs = {"emotion": EMOTION} if specs is None else specs
    about = card(**facts)
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(config)
    (place / "card.json").write_text(json.dumps(about))
    folder.write_labels(place, specs)
    if specs:
        answers.write(place / folder.PREDICTIONS, found, fold=about["fold"])
    (place / "metrics.json").write_text(json.dumps({"part": part, "seed": about["seed"]}))
    told = log() if lines is None else lines
    (place / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told))
    return place


def family(place: Path, *, seeds: Sequence[int] = (0, 1), folds: int = 3, **more: Any) -> Path:
    """A folder of folds and seeds; each fold is a share of the same clips."""
    members = []
    for seed in seeds:
        whole = answered(seed=seed, **more)
        for fold in range(folds):
            rows = [i for i in range(len(whole.ids)) if i % 12 % folds == fold]
            own = whole.tasks["emotion"]
            part = Predictions(
                ids=[whole.ids[i] for i in rows],
                group=[whole.group[i] for i in rows],
                tasks={
                    "emotion": Answers(
                        [own.scores[i] for i in rows], [own.targets[i] for i in rows]
                    )
                },
                groups={name: [v[i] for i in rows] for name, v in whole.groups.items()},
            )
            members.append(run(place / f"seed-{seed}" / f"fold-{fold}", part, seed=seed, fold=fold))
    score.summarise(place, members)
    return place
