"""Answers of something that mien did not train, kept as a run keeps its own.

So `mien evaluate` tells them, and compares them with runs on the same clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mien.run import answers, checkpoint, folder, score
from mien.run.infer import Predictions
from mien.types import Specs


def keep(
    out: Path,
    found: Predictions,
    specs: Specs,
    *,
    system: str,
    seed: int = 0,
    fold: int | None = None,
    notes: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write answers with their scores; gives the content of ``metrics.json``.

    Args:
        out: a folder; what an earlier call kept in it is replaced.
        found: the answers.
        specs: what they answer.
        system: who answered.
        seed: of it.
        fold: that was answered, of several.
        notes: what a reader of the scores should know.
        facts: more for the card.
    """
    folder.write_labels(out, specs)
    answers.write(out / folder.PREDICTIONS, found, fold=fold)
    head = {
        "part": "all" if fold is None else f"fold {fold}", "seed": seed, "fold": fold,
        "select": "none", "versions": folder.versions(), "notes": list(notes),
    }  # fmt: skip
    metrics = head | {"tasks": score.report(found, specs)}
    checkpoint.write_json(out / folder.METRICS, metrics)
    card = head | {"system": system, "selection": {"part": "none", "ids": []}, **(facts or {})}
    checkpoint.write_json(out / folder.CARD, card | {"finished": True})
    return metrics
