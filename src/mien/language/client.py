"""A model behind an address that speaks as OpenAI's chat completions do, as many servers can."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from mien.errors import printable
from mien.language import patience
from mien.language.exchange import Post, Trouble
from mien.language.patience import Backoff, Pace, Purse
from mien.language.talk import Message, Part, Picture, Reply, Schema, Sound, Usage

_PATH = "/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Asks a model over HTTP, and is patient with its server.

    Network errors, timeouts, answers that end too early, 408, 409, 425, 429 and 5xx are tried
    again, later each time; whatever else a server says is final.

    Args:
        post: to where.
        model: its name, as the server knows it.
        longest: tokens that an answer may have.
        temperature: 0 for the likeliest answer; None: the server's own.
        seed: of the server's choice of words, where it has one.
        structured: ask for answers by JSON schema; False for servers that refuse to.
        backoff: how long to wait between attempts.
        pace: requests a minute.
        purse: tokens that may be spent.
        stopped: set from outside, it ends all waiting.
        tell: called with a line for people when something is tried again.
    """

    post: Post
    model: str
    longest: int = 1500
    temperature: float | None = 0.0
    seed: int | None = None
    structured: bool = True
    backoff: Backoff = field(default_factory=Backoff)
    pace: Pace = field(default_factory=Pace)
    purse: Purse = field(default_factory=Purse)
    stopped: threading.Event = field(default_factory=threading.Event, repr=False)
    tell: Callable[[str], None] = field(default=lambda _: None, repr=False)

    @property
    def name(self) -> str:
        """Of the model."""
        return self.model

    def say(self, messages: Sequence[Message], schema: Schema) -> Reply:
        """Answer to a talk.

        Raises:
            Trouble: none, after all attempts.
            Spent: the tokens that may be spent are spent.
        """
        document = self.document(messages, schema)
        for attempt in range(self.backoff.attempts):
            self.pace.wait()
            try:
                with self.purse.request() as spent:
                    reply = _reply(self.post.send(_PATH, document))
                    spent(reply.usage)
                    return reply
            except Trouble as trouble:
                last = attempt + 1 == self.backoff.attempts
                if not trouble.again or last or self.stopped.is_set():
                    raise
                wait = self.backoff.seconds(attempt, trouble.after, patience.luck())
                self.tell(f"{trouble.what}; once more in {wait:.0f} s")
                if self.stopped.wait(wait):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def document(self, messages: Sequence[Message], schema: Schema) -> dict[str, Any]:
        """What is sent."""
        found: dict[str, Any] = {
            "model": self.model,
            "messages": [_message(message) for message in messages],
            "max_tokens": self.longest,
            "stream": False,
        }
        if self.temperature is not None:
            found["temperature"] = self.temperature
        if self.seed is not None:
            found["seed"] = self.seed
        if self.structured:
            named = {"name": "answer", "strict": True, "schema": dict(schema)}
            found["response_format"] = {"type": "json_schema", "json_schema": named}
        return found


def _message(message: Message) -> dict[str, Any]:
    if message.role != "user":  # many servers take nothing but text from them
        text = "\n".join(part for part in message.parts if isinstance(part, str))
        return {"role": message.role, "content": text}
    return {"role": "user", "content": [_part(part) for part in message.parts]}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Picture(jpeg):
            url = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
            return {"type": "image_url", "image_url": {"url": url}}
        case Sound(wav):
            data = {"data": base64.b64encode(wav).decode(), "format": "wav"}
            return {"type": "input_audio", "input_audio": data}
    return {"type": "text", "text": part}


def _reply(found: Any) -> Reply:
    """What a server's document says.

    Raises:
        Trouble: it is of another shape.
    """
    choice = _first(found, "choices")
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        raise Trouble("the answer has no choices with a message", again=True)
    text = message.get("content")
    if isinstance(text, list):  # some servers give parts
        pieces = [part.get("text") for part in text if isinstance(part, Mapping)]
        text = "".join(piece for piece in pieces if isinstance(piece, str))
    refused, ended = message.get("refusal"), choice.get("finish_reason")
    if ended == "content_filter":
        refused = refused or "stopped by the server's filter"
    if not isinstance(text, str) and not refused:
        raise Trouble("the message has no content", again=True)
    return Reply(
        text=text if isinstance(text, str) else "",
        usage=_usage(found.get("usage")),
        refused=printable(str(refused)[:300]) if refused else None,
        cut=ended == "length",
    )


def _first(found: Any, name: str) -> Any:
    held = found.get(name) if isinstance(found, Mapping) else None
    return held[0] if isinstance(held, list) and held else None


def _usage(found: Any) -> Usage:
    """Tokens as a server counts them; what is no count is not believed."""
    if not isinstance(found, Mapping):
        return Usage(known=False)
    read, written = found.get("prompt_tokens"), found.get("completion_tokens")
    if _is_count(read) and _is_count(written):
        return Usage(read=read, written=written)
    return Usage(known=False)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
