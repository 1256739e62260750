"""Facial action units per frame, as the ABAW challenges annotate them."""

from __future__ import annotations

from mien.types import Problem, Resolution, TaskSpec

ABAW_ACTION_UNITS = TaskSpec(
    name="action_units",
    problem=Problem.MANY_OF_N,
    resolution=Resolution.FRAME,
    labels=tuple(f"AU{number}" for number in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)),
    invalid=(-1.0,),
)
"""Aff-Wild2, 12 action units, present or not; -1 is not annotated."""
