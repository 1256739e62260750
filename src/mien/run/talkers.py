"""Who is asked: a server, a model in a folder, or two servers that have to agree."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.data.glimpse import View
from mien.errors import ConfigError, printable
from mien.language.client import Client
from mien.language.exchange import Address, Post
from mien.language.patience import Backoff, Pace, Purse
from mien.language.talk import Talker
from mien.run.describing import Panel
from mien.run.prompts import Prompt

KEY = "MIEN_KEY"
"""The environment variable that holds a server's key, where nobody names another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who is to be asked, as somebody types it.

    Args:
        address: of a server that speaks as OpenAI's do.
        model: its name there.
        second_address: of another server; None: the same.
        second_model: a model that has to agree; None: nobody has to.
        local: a folder with a model, instead of a server.
        key_from: the environment variable that holds the key.
        prompt: a template; None: mien's own.
        view: what is shown.
        longest: tokens of an answer.
        temperature: None: the server's own.
        structured: ask for JSON by schema.
        timeout: seconds of a request.
        attempts: of a request.
        wait: seconds before the second; each further one waits twice as long.
        per_minute: requests to each server.
        most_tokens: of all requests of all calls together.
    """

    address: str | None = None
    model: str | None = None
    second_address: str | None = None
    second_model: str | None = None
    local: Path | None = None
    key_from: str = KEY
    prompt: Path | None = None
    view: View = field(default_factory=View)
    longest: int = 1500
    temperature: float | None = 0.0
    structured: bool = True
    timeout: float = 120.0
    attempts: int = 6
    wait: float = 1.0
    per_minute: float | None = None
    most_tokens: int | None = None

    def check(self) -> None:
        """Refuse what makes no question.

        Raises:
            ConfigError: it says why.
        """
        if (self.address is None) == (self.local is None):
            raise ConfigError(
                "who shall be asked?",
                fix="--address http://127.0.0.1:8000/v1 --model NAME, or --local FOLDER",
            )
        if self.address is not None and not self.model:
            raise ConfigError("which model?", fix="--model NAME, as the server calls it")
        if self.local is not None and self.second_model is not None:
            raise ConfigError("a local model is asked alone", fix="leave out --second-model")
        if self.second_address is not None and self.second_model is None:
            raise ConfigError("which model is at the other address?", fix="--second-model NAME")
        same = (self.second_address or self.address, self.second_model)
        if self.second_model is not None and same == (self.address, self.model):
            raise ConfigError("a model always agrees with itself", fix="--second-model ANOTHER")
        if not (self.view.pictures or self.view.sound):
            raise ConfigError("there is nothing to look at", fix="--pictures 6, or --sound")


@dataclass(frozen=True, slots=True)
class Callers:
    """Who is asked, what may be spent, and how all waiting is ended."""

    first: Talker
    second: Talker | None
    purse: Purse
    stop: Callable[[], None]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Everybody at it: who is asked, what may be spent, and how all waiting is ended."""

    panel: Panel
    purse: Purse
    stop: Callable[[], None]


def seat(
    asked: Asked, *, environment: Mapping[str, str] | None = None, quiet: bool = False
) -> Table:
    """Make clients, or load a model, to describe clips; see :func:`call`."""
    who = call(asked, environment=environment, quiet=quiet)
    panel = Panel(who.first, who.second, Prompt.read(asked.prompt), asked.view, who.settings)
    return Table(panel, who.purse, who.stop)


def call(
    asked: Asked, *, environment: Mapping[str, str] | None = None, quiet: bool = False
) -> Callers:
    """Make clients, or load a model.

    Args:
        asked: who.
        environment: where the key is; None: the process's own.
        quiet: say nothing when a request is tried again.

    Raises:
        ConfigError: it cannot be.
        LanguageError: a folder holds no model.
    """
    asked.check()
    purse = Purse(asked.most_tokens, largest=asked.longest)
    stopped = threading.Event()
    settings: dict[str, Any] = {"longest": asked.longest, "temperature": asked.temperature}
    second: Talker | None = None
    first: Talker
    if asked.local is not None:
        from mien.language.local import Local

        first = Local(asked.local, longest=asked.longest)
        settings["temperature"] = 0.0
    else:
        key = (os.environ if environment is None else environment).get(asked.key_from) or None

        def sleep(seconds: float) -> None:
            stopped.wait(seconds)

        def client(address: str | None, model: str | None) -> Client:
            return Client(
                post=Post(Address.of(address or ""), asked.timeout, key),
                model=model or "",
                longest=asked.longest,
                temperature=asked.temperature,
                structured=asked.structured,
                backoff=Backoff(attempts=asked.attempts, first=asked.wait),
                pace=Pace(asked.per_minute, sleep=sleep),
                purse=purse,
                stopped=stopped,
                tell=_mute if quiet else _tell,
            )

        first = client(asked.address, asked.model)
        if asked.second_model is not None:
            second = client(asked.second_address or asked.address, asked.second_model)
            settings["second"] = asked.second_model
    return Callers(first, second, purse, stopped.set, settings)


def _tell(line: str) -> None:
    print(printable(line), file=sys.stderr)  # noqa: T201


def _mute(line: str) -> None:
    del line
