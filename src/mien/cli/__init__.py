"""The verbs in the shell. Each function only parses its words and calls its namesake."""

from __future__ import annotations

import sys

import typer

from mien.cli.options import complain
from mien.cli.verbs import app
from mien.errors import Interrupted, MienError

__all__ = ["app", "main"]


def main() -> None:
    """Entry point: errors that we raise on purpose are a message, not a traceback."""
    try:
        app(prog_name="mien")
    except Interrupted as stop:
        typer.echo(f"\n{stop}", err=True)
        sys.exit(130)
    except MienError as error:
        complain(error)
        sys.exit(2)
