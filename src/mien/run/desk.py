"""Where questions to language models go out and answers come in, a few at once.

Whatever ends it, what is under way is waited for: it is paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import Interrupted, LanguageError, printable
from mien.language.asking import Unanswered
from mien.language.exchange import Trouble
from mien.language.patience import Spent

Call = tuple[str, Callable[[], object]]
"""The id of what is asked about, and what asks and keeps the answer."""

_HOPELESS = 5  # in a row that nobody answered about
_FINAL = (401, 403, 404)  # a server says so to every question alike


@dataclass(slots=True)
class Desk:
    """Only its own thread touches it; answers are kept by those who ask.

    Args:
        path: where answers are kept, for errors.
        note: called when something was answered.
        advance: called when something is done with, answered or not.
        say: a line for people.
    """

    path: Path
    note: Callable[[], None]
    advance: Callable[[], None]
    say: Callable[[str], None]
    failures: int = 0
    asked: dict[Future[object], str] = field(default_factory=dict)

    def work(
        self, calls: Generator[Call, None, None], jobs: int, stop: Callable[[], None]
    ) -> str | None:
        """Ask everything, as many at once as there are jobs.

        Args:
            calls: a generator, which is closed.
            jobs: how many.
            stop: called when no more waiting is wanted.

        Returns:
            Why it ended early, if the tokens that may be spent are spent.

        Raises:
            LanguageError: nobody answers.
            Interrupted: by Ctrl-C.
        """
        pool = ThreadPoolExecutor(jobs, "ask")
        try:
            with closing(calls):
                for name, call in calls:
                    self.asked[pool.submit(call)] = name
                    while len(self.asked) >= jobs:
                        self._take()
            while self.asked:
                self._take()
        except Spent as end:
            self._finish()
            return end.what
        except KeyboardInterrupt:
            stop()
            self._finish()
            raise Interrupted(
                "stopped; what was answered is kept",
                where=str(self.path),
                fix="the same command goes on from there",
            ) from None
        except BaseException:
            stop()
            self._finish()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return None

    def _take(self) -> None:
        """Take in at least one answer."""
        done, _ = wait(self.asked, return_when=FIRST_COMPLETED)
        for future in done:
            name = self.asked.pop(future)
            try:
                future.result()
            except Unanswered as error:
                self._unanswered(error, name)
            else:
                self.failures = 0
                self.note()
            self.advance()

    def _unanswered(self, error: Unanswered, name: str) -> None:
        """Go on with the others, unless that is of no use."""
        if isinstance(error.trouble, Spent):
            raise error.trouble
        self.failures += 1
        status = error.trouble.status if isinstance(error.trouble, Trouble) else None
        if status in _FINAL or self.failures >= _HOPELESS:
            more = "" if status in _FINAL else f" ({self.failures} in a row)"
            raise LanguageError(
                f"{error.what}{more}",
                where=name,
                fix=error.fix or "look at the server, and give the same command again",
            )
        self.say(printable(f"{name}: {error.what}"))

    def _finish(self) -> None:
        """Wait for what is under way. Its lines are in the file by then."""
        for future in self.asked:
            future.cancel()
        wait([future for future in self.asked if not future.cancelled()])
