"""What a language model is asked about a text, from a template; and the form of its answer."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError, create_model

from mien.config import Settings
from mien.data.rows import Row
from mien.errors import ConfigError, DataError, did_you_mean
from mien.language.talk import Message
from mien.run.prompts import filled

_LETTERS = 8000  # of a text that are sent


class Choice(Settings):
    """An answer: one of the classes. Each question has a form of its own, which names them."""

    label: str


class Wording(Settings):
    """A template; see ``ask.toml`` beside this file."""

    name: str = Field(min_length=1, max_length=100)
    system: str
    question: str
    complaint: str

    @classmethod
    def read(cls, path: Path | None = None) -> Wording:
        """The template of a file; None: mien's own.

        Raises:
            ConfigError: it is none.
        """
        here = resources.files("mien.run").joinpath("ask.toml") if path is None else path
        try:
            return cls.model_validate(tomllib.loads(here.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            why = error.errors()[0] if isinstance(error, ValidationError) else None
            said = f"{'.'.join(map(str, why['loc']))}: {why['msg']}" if why else str(error)
            raise ConfigError(f"this is no wording: {said}", where=str(path)) from error


@dataclass(frozen=True)
class Question:
    """A question about a text, which has one of a few labels for an answer.

    Args:
        labels: the classes, in order.
        wording: how it is put.
        examples: texts with their labels, told before the question.
    """

    labels: tuple[str, ...]
    wording: Wording = field(default_factory=Wording.read)
    examples: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise ConfigError(
                "a question has two labels or more, each once",
                where=", ".join(self.labels),
                fix="--labels happy,sad,angry",
            )

    @property
    def form(self) -> type[Choice]:
        """Of an answer: nothing but these labels is one."""
        known: Any = Literal[self.labels]
        return create_model("Choice", __base__=Choice, label=(known, ...))

    @property
    def digest(self) -> str:
        """Of all that is said besides the text."""
        held = json.dumps([self.wording.model_dump(), self.labels, self.examples])
        return f"{self.wording.name}-{hashlib.sha256(held.encode()).hexdigest()[:16]}"

    def messages(self, text: str) -> list[Message]:
        """The whole talk: the examples as if they had been asked, then the question."""
        talk = [Message("system", (self.wording.system.strip(),))]
        for example, label in self.examples:
            talk.append(Message("user", (self._asked(example),)))
            told = json.dumps({"label": label}, ensure_ascii=False)
            talk.append(Message("assistant", (told,)))
        return [*talk, Message("user", (self._asked(text),))]

    def shown(self) -> str:
        """The same for people."""
        talk = self.messages("<a row's text>")
        return "\n".join(f"[{m.role}]\n" + "\n".join(map(str, m.parts)) for m in talk)

    def _asked(self, text: str) -> str:
        return filled(
            self.wording.question.strip(), labels=", ".join(self.labels), text=text[:_LETTERS]
        )


def examples_of(
    rows: Sequence[Row], task: str, labels: Sequence[str], shots: int, seed: int
) -> tuple[tuple[str, str], ...]:
    """So many texts of each class, drawn by chance and told in a mixed order.

    Args:
        rows: to draw from; of a manifest with parts only those of train.
        task: whose labels count.
        labels: the classes.
        shots: of each.
        seed: which.
    """
    random, drawn = np.random.default_rng(seed), list[tuple[str, str]]()
    usable = [row for row in rows if row.text and row.split in (None, "train")]
    for label in labels:
        own = sorted({row.text or "" for row in usable if row.labels.get(task) == label})
        if len(own) < shots:
            known = sorted({str(row.labels.get(task)) for row in usable})
            raise DataError(
                f"there are {len(own)} different texts of {label!r} among the examples, "
                f"not {shots}: {did_you_mean(label, known)}",
                fix=f"--shots {len(own)}" if own else "other --labels, or another --examples",
            )
        drawn += [(own[i], label) for i in random.permutation(len(own))[:shots]]
    return tuple(drawn[i] for i in random.permutation(len(drawn)))
