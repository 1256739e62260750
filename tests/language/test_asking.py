"""Answers that have to fit a form, and models that do not keep to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import Field

from mien.config import Settings
from mien.errors import LanguageError
from mien.language.asking import Answer, Unanswered, ask, strict
from mien.language.talk import Message, Reply, Schema, Usage


class Mood(Settings):
    """A form."""

    name: str = Field(max_length=5)
    sure: float = Field(0.5, ge=0, le=1)


class Parrot:
    """Says what it was given, one after the other."""

    name = "parrot"

    def __init__(self, *replies: Reply | str | LanguageError) -> None:
        self.replies = list(replies)
        self.heard: list[list[Message]] = []
        self.schemas: list[Schema] = []

    def say(self, messages: Sequence[Message], schema: Schema) -> Reply:
        self.heard.append(list(messages))
        self.schemas.append(schema)
        reply = self.replies.pop(0)
        if isinstance(reply, LanguageError):
            raise reply
        return Reply(reply, Usage(10, 2)) if isinstance(reply, str) else reply


QUESTION = (Message("user", ("how?",)),)
GOOD = '{"name": "glad", "sure": 1}'


def asked(parrot: Parrot, **given: Any) -> Answer[Mood]:
    return ask(parrot, QUESTION, Mood, complaint="No: {wrong}", **given)


@pytest.mark.parametrize("text", [GOOD, f"\n{GOOD} ", f"```json\n{GOOD}\n```", f"```\n{GOOD}```"])
def test_a_good_answer_is_taken(text: str) -> None:
    found = asked(Parrot(text))
    assert found.form == Mood(name="glad", sure=1)
    assert (found.attempts, found.usage) == (1, Usage(10, 2))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("glad", "not the JSON"),
        ('{"name": "glad"', "not the JSON"),
        ('["glad"]', "valid dictionary"),
        ('{"name": "delighted"}', '"name": String should have at most 5'),
        ('{"name": "glad", "sure": 2}', '"sure": Input should be less'),
        ('{"name": "glad", "more": 2}', '"more": Extra inputs'),
        ("{}", '"name": Field required'),
        ('{"name": "glad", "sure": NaN}', "not the JSON"),
        (f"Sure! {GOOD}", "not the JSON"),
        ("", "not the JSON"),
    ],
)
def test_a_bad_answer_is_told_what_is_wrong(bad: str, said: str) -> None:
    parrot = Parrot(bad, GOOD)
    found = asked(parrot)
    assert found.form is not None
    assert (found.attempts, found.usage.total) == (2, 24)
    question, answer, complaint = parrot.heard[1]
    assert (question, answer.role) == (QUESTION[0], "assistant")
    assert str(complaint.parts[0]).startswith("No: ")
    assert said in str(complaint.parts[0])


def test_an_answer_that_was_cut_has_to_be_shorter() -> None:
    parrot = Parrot(Reply(GOOD, Usage(), cut=True), GOOD)
    assert asked(parrot).attempts == 2
    assert "shorter" in str(parrot.heard[1][-1].parts[0])


def test_of_all_attempts_only_the_last_is_shown_and_patience_ends() -> None:
    parrot = Parrot("one", "two", "x" * 50_000)
    found = asked(parrot)
    assert found.form is None
    assert found.attempts == 3
    assert found.wrong is not None
    assert "not the JSON" in found.wrong
    assert [len(talk) for talk in parrot.heard] == [1, 3, 3]
    assert parrot.heard[2][1].parts == ("two",)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m really sorry.",
        "Sorry, no.",
        "I cannot describe people.",
        "I can\u2019t do this",
        "As an AI, I do not see.",
        "I am unable to view pictures.",
    ],
)
def test_a_refusal_is_no_malformed_answer(text: str) -> None:
    found = asked(Parrot(text))
    assert found.refused is not None
    assert (found.form, found.wrong, found.attempts) == (None, None, 1)


def test_a_caption_about_somebody_who_is_sorry_is_no_refusal() -> None:
    assert asked(Parrot('{"name": "sorry"}')).refused is None


def test_trouble_says_what_was_spent_before() -> None:
    with pytest.raises(Unanswered, match="gone") as caught:
        asked(Parrot("bad", LanguageError("gone")))
    assert caught.value.usage.total == 12


def test_a_schema_asks_for_everything_and_allows_nothing_else() -> None:
    parrot = Parrot(GOOD)
    asked(parrot)
    (schema,) = parrot.schemas
    assert schema["required"] == ["name", "sure"]
    assert schema["additionalProperties"] is False
    assert "default" not in str(schema)
    inner = strict({"$defs": {"a": {"properties": {"b": {"default": 1}}}}, "items": [{}]})
    assert inner["$defs"]["a"]["required"] == ["b"]
    named = strict({"properties": {"title": {"title": "Title", "maxLength": 3}}})
    assert named["properties"] == {"title": {}}
