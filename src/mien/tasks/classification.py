"""Emotion classes of the published corpora, in the order of their class indices."""

from __future__ import annotations

from mien.types import Problem, TaskSpec

CREMA_D = TaskSpec(
    name="emotion",
    problem=Problem.ONE_OF_N,
    labels=("anger", "disgust", "fear", "happiness", "neutral", "sadness"),
    invalid=(-1.0,),
)
"""CREMA-D, 6 classes, in the order of HiCMAE's lists: ANG, DIS, FEA, HAP, NEU, SAD."""

DFEW = TaskSpec(
    name="emotion",
    problem=Problem.ONE_OF_N,
    labels=("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear"),
    invalid=(-1.0,),
)
"""DFEW, 7 classes. The corpus counts its labels from 1; class indices count from 0."""

EMODB = TaskSpec(
    name="emotion",
    problem=Problem.ONE_OF_N,
    labels=("anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral"),
    invalid=(-1.0,),
)
"""EmoDB, 7 classes, by the letters W, L, E, A (anxiety and fear), F, T, N; their order is ours."""

MAFW = TaskSpec(
    name="emotion",
    problem=Problem.ONE_OF_N,
    labels=(
        "anger",
        "disgust",
        "fear",
        "happiness",
        "neutral",
        "sadness",
        "surprise",
        "contempt",
        "anxiety",
        "helplessness",
        "disappointment",
    ),
    invalid=(-1.0,),
)
"""MAFW, 11 single classes, in the order of its label files (not alphabetical)."""

MER2023 = TaskSpec(
    name="emotion",
    problem=Problem.ONE_OF_N,
    labels=("neutral", "angry", "happy", "sad", "worried", "surprise"),
    invalid=(-1.0,),
)
"""MER2023, 6 classes, named and ordered as in the code of its organisers (MERTools)."""

MSP_IMPROV = TaskSpec(
    name="emotion",
    problem=Problem.ONE_OF_N,
    labels=("anger", "happiness", "neutral", "sadness"),
    invalid=(-1.0,),
)
"""MSP-IMPROV, 4 classes, in the order of HiCMAE's lists: A, H, N, S."""

IEMOCAP = MSP_IMPROV
"""IEMOCAP's 4 classes; their order is ours, the same."""

RAVDESS = TaskSpec(
    name="emotion",
    problem=Problem.ONE_OF_N,
    labels=("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
    invalid=(-1.0,),
)
"""RAVDESS speech, 8 classes, in the order of the codes 01 to 08 in its file names."""
