"""How much of each label a row has: what parts and folds should have alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.data.rows import Label, Row

Floats = NDArray[np.float64]

_MOST = 50  # labels of a task; beyond them lie free texts, which cannot be balanced


def table(rows: Sequence[Row]) -> Floats:
    """One line a row, one column a label, (N, K).

    A class or a present label counts 1, a soft label its weights, a number 1 in the quarter of
    all numbers it lies in. Lists of numbers and tracks are not looked at.
    """
    tasks = sorted({task for row in rows for task in row.labels})
    columns = [column for task in tasks for column in _columns([r.labels.get(task) for r in rows])]
    return np.stack(columns, 1) if columns else np.zeros((len(rows), 0))


def shares(label: Label | None) -> dict[str, float]:
    """The classes a label names, each with its weight."""
    if isinstance(label, str):
        return {label: 1.0}
    if isinstance(label, dict):
        return {name: float(weight or 0) for name, weight in label.items()}
    if isinstance(label, list):
        return {item: 1.0 for item in label if isinstance(item, str)}
    return {}


def _columns(labels: Sequence[Label | None]) -> list[Floats]:
    named = [shares(label) for label in labels]
    often = Counter(word for share in named for word in share)
    words = sorted(word for word, _ in often.most_common(_MOST))
    found = [np.array([share.get(word, 0.0) for share in named]) for word in words]
    numbers = np.array([x if isinstance(x, int | float) else np.nan for x in labels], dtype=float)
    known = numbers[~np.isnan(numbers)]
    if known.size:
        edges = np.unique(np.quantile(known, (0.25, 0.5, 0.75)))
        quarter = np.searchsorted(edges, numbers)
        for index in range(len(edges) + 1):
            found.append(((quarter == index) & ~np.isnan(numbers)).astype(np.float64))
    return [column for column in found if column.any()]
