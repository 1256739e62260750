"""How long to wait, how often to ask, and how much to spend. Several threads share one of each."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mien.errors import LanguageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mien.language.talk import Usage

LONGEST = 600.0
"""Seconds: no server makes us wait longer at once, whatever it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waiting between attempts: twice as long each time, and never the same for two of us.

    Args:
        attempts: in all.
        first: seconds after the first.
        longest: seconds; what a server asks for (Retry-After) may be longer, up to `LONGEST`.
    """

    attempts: int = 6
    first: float = 1.0
    longest: float = 60.0

    def seconds(self, attempt: int, asked: float | None, luck: float) -> float:
        """How long to wait after an attempt.

        Args:
            attempt: that failed, from 0.
            asked: what the server asked for, at least.
            luck: 0 to 1; takes off up to half, so that many clients do not come back together.
        """
        own = min(self.longest, self.first * 2.0 ** min(attempt, 30)) * (1 - luck / 2)
        return max(own, min(asked or 0.0, LONGEST))


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for: a number or a date; None where it says neither.

    RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST)
    try:
        when = email.utils.parsedate_to_datetime(text)
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        seconds = (when - (now or datetime.now(UTC))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST)


@dataclass(slots=True)
class Pace:
    """At most so many requests a minute, evenly apart; None: as many as there are.

    Args:
        per_minute: requests.
        clock: seconds of a clock that never goes back.
        sleep: waits.
    """

    per_minute: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def wait(self) -> None:
        """Wait for one's turn."""
        if self.per_minute is None:
            return
        with self._lock:
            now = self.clock()
            mine = max(now, self._next)
            self._next = mine + 60.0 / self.per_minute
        if mine > now:
            self.sleep(mine - now)


class Spent(LanguageError):
    """The tokens that may be spent are spent."""


@dataclass(slots=True)
class Purse:
    """What was spent, and may be.

    A request is let through only if there is room for it and for all that are under way, each
    taken to be as large as the largest so far. So a limit is passed by no more than a request may
    be larger than all before it.

    Args:
        most: tokens; None: no limit.
        spent: by earlier calls.
        largest: tokens of the largest request so far; at first, what one may write.
    """

    most: int | None = None
    spent: int = 0
    largest: int = 0
    _open: int = 0
    _blind: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def request(self) -> Iterator[Callable[[Usage], None]]:
        """Within: one request is under way; call what is given with what it used.

        Raises:
            Spent: it would be too much, or there is a limit and the server does not count.
        """
        with self._lock:
            if self.most is not None:
                if self._blind:
                    raise Spent(
                        "this server does not say how many tokens it used: no limit can be kept",
                        fix="leave out --most-tokens, and limit --num-samples",
                    )
                room = self.most - self.spent - self.largest * self._open
                if self.largest > room:
                    raise Spent(
                        f"{self.spent:,} of {self.most:,} tokens are spent, and the next request "
                        f"may need {self.largest:,}"
                    )
            self._open += 1
        try:
            yield self._note
        finally:
            with self._lock:
                self._open -= 1

    def _note(self, usage: Usage) -> None:
        with self._lock:
            self.spent += usage.total
            self._blind = self._blind or not usage.known
            self.largest = max(self.largest, usage.total)


def luck() -> float:
    """For :meth:`Backoff.seconds`; no seed is asked for: it shall differ from call to call."""
    return random.random()
