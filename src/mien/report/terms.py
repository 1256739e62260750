"""What scores, tasks and choices are called on a page, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mien.report import words
from mien.tasks import metrics

_SCORES = {
    "war": ("WAR", "accuracy"),
    "uar": ("UAR", "mean recall of the classes"),
    "macro_f1": ("Macro F1", "mean over classes"),
    "weighted_f1": ("Weighted F1", "mean over clips"),
    "ece": ("ECE", "expected calibration error"),
    "brier": ("Brier", "squared error of probabilities"),
    "nll": ("NLL", "negative log-likelihood"),
    "f1": ("F1", "mean over labels"),
    "precision": ("Precision", "share of what was said that is right"),
    "recall": ("Recall", "share of what is there that was said"),
    "ccc": ("CCC", "concordance"),
    "pearson": ("Pearson", "correlation"),
    "mae": ("MAE", "mean absolute error"),
    "rmse": ("RMSE", "root mean squared error"),
    "acc2": ("Acc-2", "positive or not"),
    "acc2_has0": ("Acc-2 with 0", "negative or not"),
    "acc2_non0": ("Acc-2 without 0", "negative or positive"),
    "f1_has0": ("F1 with 0", "negative or not, mean over clips"),
    "f1_non0": ("F1 without 0", "negative or positive, mean over clips"),
    "acc3": ("Acc-3", "values read as three classes"),
    "acc5": ("Acc-5", "values read as five classes"),
    "acc7": ("Acc-7", "values rounded, half to even"),
    "acc7_sdk": ("Acc-7 (SDK)", "values rounded away from 0"),
}
_PROBLEMS = {
    "one_of_n": "one of {n} classes",
    "many_of_n": "any of {n} labels",
    "regression": "{n} values",
    "ordinal": "one of {n} ordered classes",
}
_OFTEN = {"clip": "once a clip", "frame": "once a frame", "utterance": "once an utterance"}
_PARTS = {"test": "the test part", "held_out": "the held-out part, which also chose the epoch"}


def score(name: str) -> str:
    """A score's short name."""
    return _SCORES.get(name, (name, ""))[0]


def about(name: str) -> str:
    """What a score is."""
    return _SCORES.get(name, ("", ""))[1]


def titled(name: str) -> str:
    """A score's short name, escaped, with an arrow where less is better."""
    less = '<span aria-hidden="true"> ↓</span><span class="unseen">, less is better</span>'
    return words.safe(score(name), 60) + ("" if metrics.higher_is_better(name) else less)


def task(spec: Mapping[str, Any]) -> str:
    """What a task asks for."""
    count = len(spec["labels"])
    kind = _PROBLEMS[spec["problem"]].format(n=count)
    return f"{'one value' if kind == '1 values' else kind}, {_OFTEN[spec['resolution']]}"


def part(name: str | None) -> str:
    """Which rows were scored."""
    return _PARTS.get(name or "", f"part {name!r}" if name else "a part that it does not name")


def select(name: str | None, chose: int, *, tested: bool) -> str:
    """Which part chose the epoch, in plain words.

    Args:
        name: the part, as the card names it.
        chose: how many rows chose.
        tested: whether another part was scored in the end.
    """
    if name == "held_out":
        count = f"{chose:,} rows" if chose else "rows"
        scored = "; the test part was looked at once, at the end" if tested else ""
        return f"{count} held out of train chose the epoch{scored}"
    if name == "test":
        return "the test part chose the epoch: its scores are optimistic"
    if name == "last":
        return "no part chose: the last epoch was kept"
    return "it is not said what chose the epoch"


def digits(value: Any, places: int = 3, sign: str = "") -> str:
    """A number with so many decimals and a true minus; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "–"  # noqa: RUF001
    return f"{value:{sign}.{places}f}".replace("-", "\u2212")


def span(found: Mapping[str, Any] | None, sign: str = "") -> str:
    """An interval from its lower to its upper end."""
    if not found:
        return "–"  # noqa: RUF001
    return f"{digits(found['low'], sign=sign)} to {digits(found['high'], sign=sign)}"


def spread(found: Mapping[str, Any] | None) -> str:
    """A mean and its standard deviation."""
    if not found:
        return "–"  # noqa: RUF001
    std = found.get("std")
    return digits(found["mean"]) + ("" if std is None else f" ± {digits(std)}")


def count(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}"


def many(number: float, what: str) -> str:
    """A number of things: ``1 clip``, ``12 clips``."""
    return f"{count(number)} {what}" + "s" * (number != 1)
