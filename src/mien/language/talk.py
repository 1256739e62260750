"""What is said to a language model, and what comes back, whoever answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Schema = Mapping[str, Any]
"""JSON schema of an answer."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as the bytes of a JPEG file."""

    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound as the bytes of a WAV file."""

    wav: bytes = field(repr=False)


Part = str | Picture | Sound


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a talk: who says it, and its parts in their order."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that were read and written; ``known`` is False where a server did not say."""

    read: int = 0
    written: int = 0
    known: bool = True

    @property
    def total(self) -> int:
        """What is paid for."""
        return self.read + self.written

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.read + other.read, self.written + other.written, self.known and other.known
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said.

    Args:
        text: as it came.
        usage: of this turn.
        refused: why it would not answer; None: it did.
        cut: it ran out of tokens in the middle.
    """

    text: str
    usage: Usage
    refused: str | None = None
    cut: bool = False


class Talker(Protocol):
    """Somebody to talk to. Several threads may do so at once."""

    @property
    def name(self) -> str:
        """Of the model, as a record keeps it."""

    def say(self, messages: Sequence[Message], schema: Schema) -> Reply:
        """Answer to a talk.

        Args:
            messages: all turns so far.
            schema: what the answer has to look like; a model may not keep to it.

        Raises:
            LanguageError: there is no answer to be had.
        """
