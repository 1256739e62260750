"""The answers within a timeline, put into words.

A timeline holds scores by name and not what kind of task they answer. Whoever has the run at hand
gives its specs; from a file alone the kind is told from the numbers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from mien.types import Problem, Specs, TaskSpec, Timeline, Window

_ONE = 1e-3  # how far from 1 the sum of probabilities may lie
_SURE = ((0.3, "sure"), (0.6, "fairly sure"), (0.85, "unsure"))
_MOVES_TEXT = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # writing direction


def declared(timelines: Sequence[Timeline], specs: Specs | None = None) -> dict[str, TaskSpec]:
    """The tasks that timelines answer: as given, else as their numbers look.

    Scores that are shares of one are one of n. Others are many of n where they come with an
    uncertainty, and a regression where they have none, as :func:`mien.tasks.decode` gives them.
    """
    labels: dict[str, dict[str, None]] = {}
    shares: dict[str, bool] = {}
    unsure: set[str] = set()
    for timeline in timelines:
        for _, window in timeline:
            unsure.update(window.uncertainty)
            for task, scores in window.scores.items():
                labels.setdefault(task, {}).update(dict.fromkeys(scores))
                shares[task] = shares.get(task, True) and _are_shares(scores)
    known = dict(specs or {})
    return {task: known.get(task) or _guess(task, labels[task], shares, unsure) for task in labels}


def _are_shares(scores: Mapping[str, float]) -> bool:
    return all(0 <= s <= 1 for s in scores.values()) and abs(sum(scores.values()) - 1) < _ONE


def _guess(
    task: str, labels: Mapping[str, None], shares: Mapping[str, bool], unsure: set[str]
) -> TaskSpec:
    problem = Problem.REGRESSION
    if shares[task]:
        problem = Problem.ONE_OF_N
    elif task in unsure:
        problem = Problem.MANY_OF_N
    return TaskSpec(name=task, problem=problem, labels=tuple(labels))


def given(scores: Mapping[str, float], spec: TaskSpec) -> tuple[str, ...]:
    """The labels an answer names: the best one, all that are there, or every dimension."""
    if spec.categorical:
        return (max(scores, key=lambda label: scores[label]),)
    if spec.problem is Problem.MANY_OF_N:
        return tuple(label for label, score in scores.items() if score >= spec.threshold)
    return tuple(scores)


def words(window: Window, specs: Specs, kind: str = "clip") -> str:
    """The answers of a window in one line: ``happy 0.71 (uncertainty 0.42)``.

    Args:
        window: the window.
        specs: the tasks to name.
        kind: of the track; that a voice is heard without a picture goes without saying.
    """
    said = []
    for task, spec in specs.items():
        if task not in window.scores:
            continue
        text = answer(window.scores[task], spec)
        if task in window.uncertainty:
            text += f" (uncertainty {window.uncertainty[task]:.2f})"
        said.append(text if len(specs) == 1 else f"{task}: {text}")
    never = "video" if kind == "voice" else ""
    absent = [name for name, there in window.present.items() if not there and name != never]
    return clean(", ".join(said) + (f" [without {', '.join(absent)}]" if absent else ""))


def answer(scores: Mapping[str, float], spec: TaskSpec) -> str:
    """One answer with its numbers."""
    sign = "+" if spec.problem is Problem.REGRESSION else ""
    return " ".join(f"{k} {scores[k]:{sign}z.2f}" for k in given(scores, spec)) or "none"


def sureness(uncertainty: float) -> str:
    """An uncertainty in 0..1 as a word."""
    shown = round(uncertainty, 2)  # so that word and number fit
    return next((word for most, word in _SURE if shown <= most), "close to guessing")


def clean(text: str) -> str:
    """A text on one line, without what would steer a terminal, break XML or turn the writing."""
    return " ".join("".join(map(_letter, text)).split())


def _letter(letter: str) -> str:
    if letter.isprintable():
        return letter
    if letter.isspace():
        return " "
    hidden = unicodedata.category(letter) in ("Cc", "Cs")
    return "\ufffd" if hidden or letter in _MOVES_TEXT or letter in "\ufffe\uffff" else letter
