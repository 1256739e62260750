"""What a person sees while something long runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar:
    """A progress bar with throughput and time left.

    On a terminal it moves; in a log file only :meth:`say` prints. Everything goes to stderr, so
    that ``--json`` keeps stdout clean.

    Args:
        title: what is being done.
        total: steps in all; None: nobody knows.
        done: steps that an earlier call already did.
        unit: what the rate counts.
        quiet: print nothing at all.
    """

    def __init__(
        self, title: str, total: int | None, *, done: int = 0, unit: str = "clips", quiet: bool
    ) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        live = sys.stderr.isatty() and not quiet
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not live,
            transient=True,
        )
        self._unit = unit
        self._task = self._progress.add_task(title, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def advance(self, note: str, *, rate: float, steps: int = 1) -> None:
        """Move on, with a word on how it goes and the units a second."""
        self._progress.update(self._task, advance=steps, note=f"{note} {rate:,.0f} {self._unit}/s")

    def say(self, line: str) -> None:
        """A line that stays."""
        self._progress.console.print(line, highlight=False, soft_wrap=True)
