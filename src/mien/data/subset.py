"""A share of the rows that has as much of everybody as can be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from mien.data.rows import Row


def by_speaker(rows: Sequence[Row], number: int, seed: int = 0) -> list[Row]:
    """So many rows, of each speaker the same number as far as there are any, drawn by chance.

    Rows without a speaker count by their source. A larger number of the same seed takes the same
    rows and more, so a subset can grow.

    Args:
        rows: all of them.
        number: how many to take.
        seed: same seed, same rows, in whatever order they come.

    Returns:
        Rows in their order.
    """
    random = np.random.default_rng(seed)
    people: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.id):
        people.setdefault(row.speaker or row.source or "", []).append(row)
    names = sorted(people)
    dealt = [[people[names[i]][j] for j in random.permutation(len(people[names[i]]))]
             for i in random.permutation(len(names))]  # fmt: skip
    rounds = (row for turn in zip_longest(*dealt) for row in turn if row is not None)
    kept = {row.id for row, _ in zip(rounds, range(number), strict=False)}
    return [row for row in rows if row.id in kept]
