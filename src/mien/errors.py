"""One small tree of errors. Each says what was wrong, where, and what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MienError(Exception):
    """Base of every error that mien raises on purpose.

    Args:
        what: what is wrong, in one sentence.
        where: the file, row, key or tensor it was found in.
        fix: what to type or change next.
    """

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        where = f"\n  in: {self.where}" if self.where else ""
        fix = f"\n  try: {self.fix}" if self.fix else ""
        return f"{self.what}{where}{fix}"


class ConfigError(MienError):
    """A key or value of a configuration, preset or task is wrong."""


class DataError(MienError):
    """A manifest, a row or a feature file is wrong."""


class RunError(MienError):
    """A run folder is missing, incomplete, or does not fit its model."""


class TowerError(MienError):
    """A pretrained tower cannot be found or is not the one that was recorded."""


class LanguageError(MienError):
    """A language model did not answer, or gave an answer of no use."""


class Interrupted(MienError):
    """Something long was asked to stop; what it had done is kept."""


class MissingExtra(MienError):
    """An optional dependency is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module!r} is not installed", fix=f'pip install "mien[{extra}]"')


def printable(text: str) -> str:
    """A text in which nothing moves the cursor or ends the line, whoever named the file."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word: the closest known ones, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(name) for name in close) + "?"
    return "known: " + ", ".join(names) if names else "nothing is known here"
