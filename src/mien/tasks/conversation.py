"""Emotion in conversation: one answer an utterance, of whole dialogues.

Scores count utterances, all of a part together; what is drawn for an interval is the dialogue.
Weighted F1 is what the field compares by.
"""

from __future__ import annotations

from dataclasses import replace

from mien.types import Problem, Resolution, Specs, TaskSpec

MELD = TaskSpec(
    name="emotion",
    problem=Problem.ONE_OF_N,
    labels=("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
    resolution=Resolution.UTTERANCE,
    invalid=(-1.0,),
)
"""MELD, 7 classes, in the order of the label index of its own code."""

IEMOCAP_DIALOGUES = TaskSpec(
    name="emotion",
    problem=Problem.ONE_OF_N,
    labels=("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    resolution=Resolution.UTTERANCE,
    invalid=(-1.0,),
)
"""IEMOCAP's 6 classes, in the order that systems for conversations share."""


def by_utterance(specs: Specs) -> dict[str, TaskSpec]:
    """The same tasks as a dialogue is asked: what was one answer a clip is one an utterance."""
    return {
        name: replace(spec, resolution=Resolution.UTTERANCE)
        if spec.resolution is Resolution.CLIP
        else spec
        for name, spec in specs.items()
    }
