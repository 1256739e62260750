"""Conversations: which rows belong to one, in which order, and what was said around each of them.

Shapes: U utterances of a dialogue, D width of a feature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.data.rows import Row
from mien.errors import DataError
from mien.types import AROUND, SAID, TURN

Array = NDArray[np.generic]
_SPACES = str.maketrans(dict.fromkeys((AROUND, SAID, TURN), " "))


def dialogues(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each dialogue in the order of their turns."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.dialogue is None:
            raise DataError(
                "a sample is a whole dialogue, and this row belongs to none",
                where=f"row {row.id!r}",
                fix='"dialogue": "NAME", "turn": 0 on every row',
            )
        found.setdefault(row.dialogue, []).append(row)
    return [_ordered(name, members) for name, members in found.items()]


def _ordered(name: str, members: list[Row]) -> list[Row]:
    turns = [row.turn for row in members if row.turn is not None]
    if turns and (len(turns) < len(members) or len(set(turns)) < len(turns)):
        raise DataError(
            "turns of a dialogue are given for every row, each once",
            where=f"dialogue {name!r}",
        )
    return sorted(members, key=lambda row: row.turn or 0)  # without turns: in the order of the file


def stacked(
    rows: Sequence[Row], name: str, vector: Callable[[Row], Array | None]
) -> tuple[Array, NDArray[np.bool_]] | None:
    """One feature (U, D) of a whole dialogue and which utterances (U) have it; None: no one does.

    Args:
        rows: of the dialogue, in order.
        name: of the feature, for errors.
        vector: the feature (D) of a row; None where it has none.
    """
    found = [vector(row) for row in rows]
    vectors = [each for each in found if each is not None]
    if not vectors:
        return None
    sizes = {each.shape for each in vectors}
    if len(sizes) > 1:
        raise DataError(
            f"feature {name!r} has the shapes {sorted(sizes)} in one dialogue",
            where=f"dialogue {rows[0].dialogue!r}",
        )
    there = np.array([each is not None for each in found])
    stack = np.zeros((len(rows), *sizes.pop()), dtype=np.result_type(*vectors))
    stack[there] = vectors
    return stack, there


class Context:
    """What was said before and after an utterance of the same dialogue, and by whom.

    ``before AROUND own AROUND after``; on either side utterances are set apart by ``TURN``, in the
    order in which they were said, and who says something stands before it with ``SAID``.

    Args:
        rows: everything that was said.
        reach: how many utterances on each side are told.
    """

    def __init__(self, rows: Sequence[Row], reach: int) -> None:
        self.reach = reach
        talks = dialogues([row for row in rows if row.dialogue is not None])
        self._talks = {str(talk[0].dialogue): talk for talk in talks}
        self._places = {row.id: i for talk in talks for i, row in enumerate(talk)}

    def told(self, row: Row) -> str:
        """The words of a row with what surrounds them; a row without a dialogue stands alone."""
        talk = self._talks.get(row.dialogue or "", [])
        place = self._places.get(row.id, 0)
        before = talk[max(0, place - self.reach) : place]
        after = talk[place + 1 : place + 1 + self.reach]
        sides = [TURN.join(map(_said, some)) for some in (before, [row], after)]
        return AROUND.join(sides)


def _said(row: Row) -> str:
    who, words = ((text or "").translate(_SPACES) for text in (row.speaker, row.text))
    return f"{who}{SAID}{words}"
