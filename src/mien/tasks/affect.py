"""Affect per frame, as the ABAW challenges annotate it: values, expressions, compound ones."""

from __future__ import annotations

from dataclasses import replace

from mien.types import Problem, Resolution, TaskSpec

ABAW_AFFECT = TaskSpec(
    name="affect",
    problem=Problem.REGRESSION,
    resolution=Resolution.FRAME,
    labels=("valence", "arousal"),
    ranges=((-1.0, 1.0), (-1.0, 1.0)),
    invalid=(-5.0,),
)
"""Aff-Wild2, valence (unpleasant to pleasant), arousal (calm to excited); -5 is not annotated."""

ABAW_EXPRESSION = TaskSpec(
    name="expression",
    problem=Problem.ONE_OF_N,
    resolution=Resolution.FRAME,
    labels=(
        "Neutral",
        "Anger",
        "Disgust",
        "Fear",
        "Happiness",
        "Sadness",
        "Surprise",
        "Other",
    ),
    invalid=(-1.0,),
)
"""Aff-Wild2, 8 expressions, spelt as in the header of its annotation files; -1 is not annotated."""

ABAW_COMPOUND = TaskSpec(
    name="compound",
    problem=Problem.ONE_OF_N,
    resolution=Resolution.FRAME,
    labels=(
        "Fearfully_Surprised",
        "Happily_Surprised",
        "Sadly_Surprised",
        "Disgustedly_Surprised",
        "Angrily_Surprised",
        "Sadly_Fearful",
        "Sadly_Angry",
    ),
    invalid=(-1.0,),
)
"""C-EXPR-DB, 7 compound expressions, spelt as in the header of the challenge's submissions."""

OTHER = "Other"

C_EXPR_DB = replace(ABAW_COMPOUND, labels=(*ABAW_COMPOUND.labels, OTHER), aside=(OTHER,))
"""The same with an eighth class to learn from, that nobody asks for."""

BASICS = {
    "Fearfully_Surprised": ("fear", "surprise"),
    "Happily_Surprised": ("happiness", "surprise"),
    "Sadly_Surprised": ("sadness", "surprise"),
    "Disgustedly_Surprised": ("disgust", "surprise"),
    "Angrily_Surprised": ("anger", "surprise"),
    "Sadly_Fearful": ("sadness", "fear"),
    "Sadly_Angry": ("sadness", "anger"),
}
"""The two basic emotions of each compound one."""
