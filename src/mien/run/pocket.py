"""mien-pocket, where it is installed: the run that answers when none is named."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from mien.errors import RunError, TowerError
from mien.parts import hub
from mien.run import folder as runs


def installed() -> bool:
    """Whether it is there."""
    try:
        return hub.pocket().is_dir()
    except TowerError:
        return False


def folder(*, quiet: bool = False) -> Path:
    """The run of mien-pocket; says under which licence its weights are.

    Args:
        quiet: do not say it.

    Raises:
        RunError: it is not installed.
    """
    try:
        found = hub.pocket()
    except TowerError as error:
        raise RunError(
            "no run was named, and mien-pocket, which answers without one, is not installed",
            fix=f"{hub.GET_POCKET}; or name a run: mien predict ... --run RUN",
        ) from error
    licence = runs.read_card(found).get("licence", "")
    Console(stderr=True, quiet=quiet, highlight=False).print(
        f"mien-pocket answers; its weights are {licence}", style="dim"
    )
    return found
