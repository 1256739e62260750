"""Answers of something that mien did not train are told and compared like those of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.run import compare, outside, score
from mien.run.infer import Answers, Predictions
from mien.types import Problem, TaskSpec

SPECS = {"emotion": TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("a", "b"))}


def _said(right: int) -> Predictions:
    """Twelve clips of four people, of which the first are answered right."""
    targets = [float(n % 2) for n in range(12)]
    chosen = [int(t) if n < right else 1 - int(t) for n, t in enumerate(targets)]
    return Predictions(
        ids=[f"c{n}" for n in range(12)],
        group=[f"p{n // 3}" for n in range(12)],
        tasks={
            "emotion": Answers(
                scores=[np.eye(2)[[k]] for k in chosen], targets=[np.array([t]) for t in targets]
            )
        },
    )


def test_they_are_evaluated_and_compared(tmp_path: Path) -> None:
    for name, right in (("good", 12), ("poor", 6)):
        kept = outside.keep(tmp_path / name, _said(right), SPECS, system="x", notes=["a note"])
        assert score.evaluate(tmp_path / name) == kept
        assert kept["tasks"]["emotion"]["scores"]["war"] == right / 12
        assert "note: a note" in score.table(kept)
    found = compare.compare(tmp_path / "good", [tmp_path / "poor"])
    scores = found["pairs"][0]["tasks"]["emotion"]["scores"]
    assert scores["war"]["value"] == pytest.approx(0.5)


def test_folds_are_put_together(tmp_path: Path) -> None:
    members = []
    for fold in range(2):
        half = _said(9)
        part = Predictions(
            ids=half.ids[fold::2],
            group=half.group[fold::2],
            tasks={
                "emotion": Answers(
                    half.tasks["emotion"].scores[fold::2], half.tasks["emotion"].targets[fold::2]
                )
            },
        )
        members.append(tmp_path / f"fold-{fold}")
        outside.keep(members[-1], part, SPECS, system="x", fold=fold)
    score.summarise(tmp_path, members)
    assert score.evaluate(tmp_path)["tasks"]["emotion"]["scores"]["war"] == 9 / 12
