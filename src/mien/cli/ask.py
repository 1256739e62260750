"""`mien ask`: texts sorted into classes by a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Json, Quiet, Root, say
from mien.cli.servers import (
    Address,
    AskAgain,
    AtOnce,
    Attempts,
    BySchema,
    DryRun,
    KeyFrom,
    LocalModel,
    ModelName,
    MostTokens,
    PerMinute,
    Timeout,
)


def ask(
    manifest: Annotated[Path, typer.Argument(help="Manifest whose rows have a text.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of answers to make, or go on with.")],
    labels: Annotated[str, typer.Option("--labels", help="The classes in order: happy,sad,...")],
    task: Annotated[
        str, typer.Option("--task", help="Whose labels are right, where rows have some.")
    ] = "emotion",
    examples: Annotated[
        Path | None,
        typer.Option("--examples", help="Manifest to draw examples from, of its train part."),
    ] = None,
    shots: Annotated[
        int, typer.Option("--shots", min=1, max=50, help="Examples of each class.")
    ] = 2,
    address: Address = None,
    model: ModelName = None,
    key_from: KeyFrom = "MIEN_KEY",
    local: LocalModel = None,
    num_samples: Annotated[
        int | None,
        typer.Option("--num-samples", min=1, help="Only so many rows, of each speaker as many."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which rows and examples.")] = 0,
    jobs: AtOnce = 4,
    per_minute: PerMinute = None,
    most_tokens: MostTokens = None,
    longest: Annotated[
        int, typer.Option("--longest", min=10, help="Tokens that an answer may have.")
    ] = 100,
    timeout: Timeout = 120.0,
    attempts: Attempts = 6,
    schema: BySchema = True,
    wording: Annotated[
        Path | None, typer.Option("--wording", help="A template of your own (TOML).")
    ] = None,
    again: AskAgain = False,
    dry_run: DryRun = False,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Have a language model sort texts into classes, with no training or with a few examples.

    A row's text goes to the server, and nothing else of it; of the examples text and label. Texts
    that are the same are asked about once. An answer is one of the labels, or it is asked for
    again. Of a manifest with parts the test rows are asked about.

    Where rows have labels, --out is told by `mien evaluate` and compared with runs. Interrupted?
    The same command goes on, and nothing is paid twice.

    [dim]mien ask clips.jsonl --labels joy,anger --out runs/asked --dry-run[/dim]

    [dim]mien ask clips.jsonl --labels joy,anger --examples clips.jsonl --shots 4
    --address http://127.0.0.1:8000/v1 --model NAME --out runs/asked[/dim]
    """
    from mien.data.manifest import Manifest
    from mien.run import ask as run
    from mien.run import talkers
    from mien.run.question import Question, Wording, examples_of

    rows = Manifest.read(manifest, root=root)
    names = tuple(label.strip() for label in labels.split(",") if label.strip())
    told = () if examples is None else examples_of(
        Manifest.read(examples, root=root).rows, task, names, shots, seed
    )  # fmt: skip
    question = Question(names, Wording.read(wording), told)
    if dry_run:
        chosen = run.wanted(rows, num_samples, seed)
        texts = len({run.hash_of(row) for row in chosen})
        plan = {"question": question.shown(), "rows": len(chosen), "texts": texts}
        counted = f"{len(chosen):,} rows with {texts:,} texts; nobody was asked"
        say(plan, as_json, f"{plan['question']}\n\n{counted}")
        return
    asked = talkers.Asked(
        address=address, model=model, local=local, key_from=key_from, longest=longest,
        structured=schema, timeout=timeout, attempts=attempts, per_minute=per_minute,
        most_tokens=most_tokens,
    )  # fmt: skip
    tally = run.ask(
        rows, out, question, talkers.call(asked, quiet=quiet or as_json), task=task,
        num_samples=num_samples, seed=seed, jobs=1 if local is not None else jobs, again=again,
        quiet=quiet or as_json,
    )  # fmt: skip
    say(tally.to_dict(), as_json, tally.text)
    if tally.counts.get("failed"):
        raise typer.Exit(1)
