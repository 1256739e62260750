"""Labels as lists write them, names or numbers from 0 or 1, to the names of classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mien.errors import DataError, did_you_mean
from mien.types import Problem, TaskSpec

_NUMBER = re.compile(r"[+-]?[0-9]+(\.0+)?")


def is_number(label: str) -> bool:
    """Whether a label is a whole number."""
    return _NUMBER.fullmatch(label) is not None


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of lists, and how they are written.

    Args:
        names: in their order.
        first: what the first is counted as; None: labels are written as names.
        notes: what was decided.
    """

    names: tuple[str, ...]
    first: int | None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        names: Sequence[str],
        *,
        width: int | None = None,
        first: int | None = None,
    ) -> Classes:
        """What all labels of all lists together show.

        Args:
            labels: as written.
            names: of the classes, where they are known.
            width: how many classes there are, where only that is known.
            first: what the first class is counted as, where somebody said so.

        Raises:
            DataError: names and numbers together; a class too many; nobody can tell where numbers
                begin.
        """
        numbers = {round(float(label)) for label in labels if is_number(label)}
        words = sorted({label for label in labels if not is_number(label)})
        if words and numbers:
            raise DataError(
                f"labels are names and numbers at once, such as {words[0]!r} and {min(numbers)}"
            )
        if words:
            return cls(tuple(names or words), None, [] if names else [_alphabetical(words)])
        count = len(names) or width
        counted = sorted(number for number in numbers if number >= 0)
        begin = first if first is not None else _first(counted, count)
        notes = []
        if begin == 1 and first is None:
            notes.append(f"labels run from 1 to {counted[-1]}: class 1 is the first")
        if not names:
            count = count or max(counted, default=0) + 1 - begin
            notes.append("classes are called by their index, from 0: --labels gives them names")
        return cls(tuple(names or map(str, range(count or 1))), begin, notes)

    def name(self, label: str) -> str | None:
        """The class of a label; None for a negative number, which is no annotation.

        Raises:
            DataError: there is no such class.
        """
        if self.first is None:
            if label not in self.names:
                raise DataError(f"there is no class {label!r}: {did_you_mean(label, self.names)}")
            return label
        index = round(float(label)) - self.first
        if round(float(label)) < 0:
            return None
        if not 0 <= index < len(self.names):
            raise DataError(
                f"there is no class {label}: {len(self.names)} classes count from {self.first}",
                fix="if they count otherwise, say --first-label 0 or 1",
            )
        return self.names[index]

    def task(self, name: str) -> TaskSpec:
        """One of these classes."""
        return TaskSpec(name=name, problem=Problem.ONE_OF_N, labels=self.names, invalid=(-1.0,))


def _first(counted: Sequence[int], count: int | None) -> int:
    """Whether numbers begin with 0 or with 1, as their range shows."""
    if count is None or not counted or counted[0] == 0:
        return 0
    if counted[-1] == count:
        return 1
    if counted[-1] > count:
        return 0  # there is no such class, which is said of its line
    raise DataError(
        f"labels run from {counted[0]} to {counted[-1]}, of {count} classes: "
        "they may count from 0 or from 1",
        fix="say --first-label 0 or --first-label 1",
    )


def _alphabetical(words: Sequence[str]) -> str:
    return f"{len(words)} classes in alphabetical order; --labels gives another"
