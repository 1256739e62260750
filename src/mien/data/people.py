"""Whom a row means: of all the people who are seen in its stretch of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mien.data.faces import Box
from mien.errors import DataError, did_you_mean

_SAME = 0.3  # overlap from which a box means a face


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """One person within a stretch of time.

    Args:
        id: the name of the track, as ``face-2``.
        seconds: for how long the person is seen.
        area: pixels of the face, summed over that time.
        first: the face where it is seen first.
    """

    id: str
    seconds: float
    area: float
    first: Box


def choose(
    people: Sequence[Presence],
    *,
    person: str | None = None,
    box: Box | None = None,
    who: Literal["largest", "named", "all"] = "largest",
) -> list[str]:
    """The names of those who are meant, in the order of the people.

    Args:
        people: who is there.
        person: who is named, by the name of a track; else ``box`` names someone.
        box: around the face that is meant, where it is seen first.
        who: who is meant if nobody is named: the one who fills most of the picture for the longest
            time, nobody, or everybody.

    Raises:
        DataError: the one who is named is not there.
    """
    names = [one.id for one in people]
    if person is not None:
        if person not in names:
            seen = did_you_mean(person, names) if names else "nobody is seen there"
            raise DataError(f"there is no person {person!r} in this stretch: {seen}")
        return [person]
    if box is not None:
        best = max(people, key=lambda one: overlap(one.first, box), default=None)
        if best is None or overlap(best.first, box) < _SAME:
            there = ", ".join(f"{one.id} at {_shown(one.first)}" for one in people) or "nobody"
            raise DataError(f"no face lies in the box {_shown(box)}: seen are {there}")
        return [best.id]
    if who == "all":
        return names
    if who == "named" or not people:
        return []
    return [max(people, key=lambda one: one.area).id]


def overlap(one: Box, two: Box) -> float:
    """Intersection over union of two boxes."""
    common = _common(one, two)
    return common / (one[2] * one[3] + two[2] * two[3] - common) if common else 0.0


def shared(one: Box, two: Box) -> float:
    """The share of the smaller of two boxes that lies in the other."""
    common = _common(one, two)
    return common / min(one[2] * one[3], two[2] * two[3]) if common else 0.0


def _common(one: Box, two: Box) -> float:
    wide = min(one[0] + one[2], two[0] + two[2]) - max(one[0], two[0])
    high = min(one[1] + one[3], two[1] + two[3]) - max(one[1], two[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def _shown(box: Box) -> list[int]:
    return [round(value) for value in box]
