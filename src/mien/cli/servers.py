"""What verbs take that ask a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Address = Annotated[
    str | None, typer.Option("--address", help="A server that speaks as OpenAI's do.")
]
ModelName = Annotated[str | None, typer.Option("--model", help="Its model, by name.")]
KeyFrom = Annotated[
    str, typer.Option("--key-from", help="Environment variable that holds the server's key.")
]
LocalModel = Annotated[
    Path | None, typer.Option("--local", help="Or a folder with a model of transformers.")
]
AtOnce = Annotated[int, typer.Option("--jobs", "-j", min=1, max=256, help="Requests at once.")]
PerMinute = Annotated[
    float | None, typer.Option("--per-minute", min=0.01, help="Requests to each server.")
]
MostTokens = Annotated[
    int | None,
    typer.Option("--most-tokens", min=1, help="Stop before more are spent, by all calls."),
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds of a request.")]
Attempts = Annotated[
    int, typer.Option("--attempts", min=1, max=100, help="Of a request that finds no answer.")
]
BySchema = Annotated[bool, typer.Option("--schema/--no-schema", help="Ask for JSON by schema.")]
AskAgain = Annotated[
    bool, typer.Option("--again", help="Ask anew about what was refused or malformed.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the prompt and counts; ask nobody.")]
