"""Which class a number means: the orders that files of conversations have, and a way to check them.

A number alone says nothing, and files of one corpus count differently. Where the test part of a
corpus is whole, its counts are known, and tell whether an order can be right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mien.data.findings import Report
from mien.types import Problem, TaskSpec


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a corpus's classes.

    Args:
        corpus: which.
        order: of most of its files.
        test: utterances of each class in its test part.
        others: further orders, by whose files have them.
    """

    corpus: str
    order: tuple[str, ...]
    test: Mapping[str, int]
    others: Mapping[str, tuple[str, ...]]


MELD = Known(
    "MELD",
    ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
    {
        "neutral": 1256, "surprise": 281, "fear": 50, "sadness": 208, "joy": 402, "disgust": 68,
        "anger": 345,
    },
    {
        "MERTools": ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise"),
        "EmoBERTa": ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear"),
    },
)  # fmt: skip
IEMOCAP = Known(
    "IEMOCAP",
    ("happy", "sad", "neutral", "angry", "excited", "frustrated"),
    {"happy": 144, "sad": 245, "neutral": 384, "angry": 170, "excited": 299, "frustrated": 381},
    {"EmoBERTa": ("neutral", "frustrated", "sad", "angry", "excited", "happy")},
)
POLARITY = ("neutral", "positive", "negative")
"""MELD's three sentiments, in the order of its files."""


def task(name: str, labels: Sequence[str]) -> TaskSpec:
    """One of these classes."""
    return TaskSpec(name=name, problem=Problem.ONE_OF_N, labels=tuple(labels), invalid=(-1.0,))


def score(name: str = "sentiment", most: float = 3.0) -> TaskSpec:
    """A sentiment as a number, from the most negative to the most positive."""
    return TaskSpec(name=name, problem=Problem.REGRESSION, labels=(name,), ranges=((-most, most),))


def judge(known: Known, labels: Sequence[str], report: Report) -> str | None:
    """Compare the classes of a whole test part with those it is known to have.

    Args:
        known: the corpus.
        labels: of the utterances of the test part, by their names.
        report: what is added to, where they are other ones.

    Returns:
        What to say, where they agree; None: the part is not whole, so nobody can tell.
    """
    if len(labels) != sum(known.test.values()):
        return None
    counts = {name: list(labels).count(name) for name in known.test}
    if counts == dict(known.test):
        return f"the order of the classes agrees with the counts of {known.corpus}'s test part"
    off = [f"{name} {counts[name]:,} of {wanted:,}" for name, wanted in known.test.items()]
    report.warn(
        "label order",
        f"the test part is as large as {known.corpus}'s, and has another number of each class: "
        "the order of the labels is probably another one",
        *off,
        fix="--labels A,B,C names the classes in the order of their numbers",
    )
    return None
