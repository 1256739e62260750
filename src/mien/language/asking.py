"""Questions whose answers have to fit a form: checked here, whatever a model promised."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from mien.errors import LanguageError
from mien.language.exchange import parsed
from mien.language.talk import Message, Reply, Talker, Usage

Form = TypeVar("Form", bound=BaseModel)

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.S)
_NO = re.compile(
    r"\s*(?:i'?m (?:really |very |so )?sorry|sorry\b|i (?:can't|cannot|can not|won't)"
    r"|i(?:'m| am) (?:not able|unable)|as an ai\b)",
    re.I,
)
_UNSENT = ("default", "title", "minLength", "maxLength")
_LETTERS = 20_000  # of an answer that are shown to its model again


@dataclass(frozen=True, slots=True)
class Answer(Generic[Form]):
    """What came of a question.

    Args:
        form: the answer; None: refused, or of no use.
        usage: of all attempts.
        refused: why the model would not answer.
        wrong: what was wrong with the last attempt.
        attempts: how often it was asked.
    """

    form: Form | None
    usage: Usage
    refused: str | None = None
    wrong: str | None = None
    attempts: int = 1


def ask(
    talker: Talker,
    messages: Sequence[Message],
    form: type[Form],
    *,
    complaint: str,
    attempts: int = 3,
    context: Any = None,
) -> Answer[Form]:
    """Ask for an answer of a form; one that does not fit is answered with what is wrong.

    Args:
        talker: who is asked.
        messages: the question.
        form: what an answer has to be.
        complaint: what is said to one that is not, with ``{wrong}`` in it.
        attempts: in all.
        context: handed to the validators of the form.

    Raises:
        LanguageError: the talker gives no answer at all. ``usage`` of it says what had been spent.
    """
    schema, talk, usage, wrong = strict(form.model_json_schema()), list(messages), Usage(), ""
    for attempt in range(1, attempts + 1):
        try:
            reply = talker.say(talk, schema)
        except LanguageError as error:
            raise Unanswered(error, usage) from error
        usage += reply.usage
        if reason := refusal(reply):
            return Answer(None, usage, refused=reason, attempts=attempt)
        try:
            return Answer(read(reply, form, context), usage, attempts=attempt)
        except ValueError as error:
            wrong = _said(error)
        # The question stays; of all attempts only the last is kept, so that talks do not grow.
        talk = [
            *messages,
            Message("assistant", (reply.text[:_LETTERS] or "(nothing)",)),
            Message("user", (complaint.replace("{wrong}", wrong),)),
        ]
    return Answer(None, usage, wrong=wrong, attempts=attempts)


class Unanswered(LanguageError):
    """A question was left open by trouble, when some tokens may have been spent on it."""

    def __init__(self, trouble: LanguageError, usage: Usage) -> None:
        super().__init__(trouble.what, where=trouble.where, fix=trouble.fix)
        self.trouble = trouble
        self.usage = usage


def refusal(reply: Reply) -> str | None:
    """Why a model would not answer: as it says itself, or in words that are no JSON."""
    if reply.refused is not None:
        return reply.refused
    if "{" not in reply.text and _NO.match(reply.text.replace("\u2019", "'")):
        return " ".join(reply.text.split())[:300]
    return None


def read(reply: Reply, form: type[Form], context: Any = None) -> Form:
    """A reply as a form.

    Raises:
        ValueError: it does not fit.
    """
    if reply.cut:
        raise ValueError("the answer was cut off: it has to be shorter")
    text = reply.text.strip()
    fenced = _FENCED.fullmatch(text)
    return form.model_validate(parsed(fenced[1] if fenced else text), context=context)


def strict(schema: Any) -> Any:
    """A schema as servers want it: every field asked for, no other allowed, no lengths of texts.

    Some servers refuse a schema with a word that they do not know; lengths are checked here anyway.
    """
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(value) for name, value in schema.items() if name not in _UNSENT}
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        made["required"] = list(schema["properties"])
        made["additionalProperties"] = False
    return made


def _said(error: ValueError) -> str:
    """What is wrong, for the model that wrote it and for a record."""
    if not isinstance(error, ValidationError):
        return f"it is not the JSON that was asked for: {error}"[:500]
    places = [(".".join(map(str, e["loc"])) or "answer", e["msg"]) for e in error.errors()[:5]]
    return "; ".join(f"{json.dumps(place)}: {what}" for place, what in places)[:1000]
