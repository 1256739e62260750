"""Answers of three kinds of tasks to clips that nobody recorded."""

from __future__ import annotations

import numpy as np

from mien.run.infer import Answers, Predictions
from mien.types import Problem, Resolution, Specs, TaskSpec

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("x", "y", "z"))
UNITS = TaskSpec(
    name="au", problem=Problem.MANY_OF_N, labels=("AU1", "AU2"), resolution=Resolution.FRAME
)
AFFECT = TaskSpec(
    name="affect",
    problem=Problem.REGRESSION,
    labels=("valence", "arousal"),
    resolution=Resolution.FRAME,
)
SPECS: Specs = {spec.name: spec for spec in (EMOTION, UNITS, AFFECT)}
CLIPS = 40


def made(clips: int = CLIPS, speakers: int = 8) -> Predictions:
    """Answers of three tasks; some clips and frames are not annotated."""
    random = np.random.default_rng(1)
    found = Predictions(
        ids=[f"clip{i}" for i in range(clips)], group=[f"p{i % speakers}" for i in range(clips)]
    )
    emotion = found.tasks["emotion"] = Answers()
    units, affect = Answers(), Answers()
    found.tasks |= {"au": units, "affect": affect}
    for i in range(clips):
        length = int(random.integers(1, 6))
        truth = float(random.choice(3, p=[0.6, 0.3, 0.1]))
        scores = random.dirichlet([1, 1, 1], size=1)
        scores[0, int(truth)] += 0.3
        emotion.targets.append(np.array([np.nan if i % 9 == 4 else truth]))
        emotion.scores.append(scores / scores.sum())
        seen = random.random((length, 2))
        units.scores.append(seen)
        units.targets.append(
            np.where(
                random.random((length, 2)) < 0.2,
                np.nan,
                seen + 0.2 * random.normal(size=(length, 2)) > 0.5,
            )
        )
        affect.scores.append(random.normal(size=(length, 2)))
        affect.targets.append(affect.scores[-1] + random.normal(size=(length, 2)))
        if i % 5 == 2:
            affect.targets[-1][:] = np.nan
    return found
