"""`mien describe`: clips in words, by a language model."""

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


def describe(
    manifest: Annotated[Path, typer.Argument(help="Manifest with video or audio files.")],
    out: Annotated[
        Path, typer.Option("--out", help="File of descriptions to make, or to go on with.")
    ] = Path("descriptions.jsonl"),
    address: Address = None,
    model: ModelName = None,
    second_model: Annotated[
        str | None,
        typer.Option("--second-model", help="Another, which has to name one of its emotions."),
    ] = None,
    second_address: Annotated[
        str | None, typer.Option("--second-address", help="Where that is (default: the same).")
    ] = None,
    key_from: KeyFrom = "MIEN_KEY",
    local: LocalModel = None,
    pictures: Annotated[
        int, typer.Option("--pictures", min=0, max=64, help="Sent of each clip, evenly apart.")
    ] = 6,
    side: Annotated[
        int, typer.Option("--side", min=32, max=4096, help="Pixels of their longer side.")
    ] = 512,
    sound: Annotated[
        bool, typer.Option("--sound", help="Send the sound too, where the model can hear.")
    ] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=600, help="Of a clip, from its start.")
    ] = 30.0,
    num_samples: Annotated[
        int | None,
        typer.Option("--num-samples", min=1, help="Only so many clips, of each speaker as many."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which.")] = 0,
    jobs: AtOnce = 4,
    per_minute: PerMinute = None,
    most_tokens: MostTokens = None,
    longest: Annotated[
        int, typer.Option("--longest", min=100, help="Tokens that an answer may have.")
    ] = 1500,
    timeout: Timeout = 120.0,
    attempts: Attempts = 6,
    schema: BySchema = True,
    prompt: Annotated[
        Path | None, typer.Option("--prompt", help="A template of your own (TOML).")
    ] = None,
    again: AskAgain = False,
    dry_run: DryRun = False,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Put clips into words, as captions of face, voice and both, by a multimodal language model.

    A few pictures of each clip and, with --sound, its sound go to a server (OpenAI's protocol:
    vLLM, llama.cpp, Ollama and many others) or to a model on this machine. Labels, texts and names
    of the manifest are sent to nobody. A key is read from the environment and written nowhere.

    Answers are checked; what does not fit is asked for again. Interrupt it and give the same
    command again: no answer is paid for twice. Begin with --dry-run, then with --num-samples.

    [dim]mien describe clips.jsonl --dry-run[/dim]

    [dim]mien describe clips.jsonl --address http://127.0.0.1:8000/v1 --model NAME
    --num-samples 500 --sound --jobs 8 --most-tokens 2000000[/dim]

    [dim]mien data embed descriptions.jsonl --manifest clips.jsonl --encoder FOLDER
    --out described.jsonl[/dim]
    """
    from mien.data.glimpse import View
    from mien.data.manifest import Manifest
    from mien.run import describe as run
    from mien.run import talkers

    asked = talkers.Asked(
        address=address, model=model, second_address=second_address, second_model=second_model,
        local=local, key_from=key_from, prompt=prompt,
        view=View(pictures=pictures, side=side, sound=sound, seconds=seconds),
        longest=longest, structured=schema, timeout=timeout, attempts=attempts,
        per_minute=per_minute, most_tokens=most_tokens,
    )  # fmt: skip
    rows = Manifest.read(manifest, root=root)
    if dry_run:
        plan = run.rehearse(rows, out, asked, num_samples=num_samples, seed=seed)
        say(plan.to_dict(), as_json, plan.text)
        return
    table = talkers.seat(asked, quiet=quiet or as_json)
    tally = run.describe(
        rows, out, table.panel, purse=table.purse, num_samples=num_samples, seed=seed,
        jobs=1 if local is not None else jobs, again=again, stop=table.stop,
        quiet=quiet or as_json,
    )  # fmt: skip
    say(tally.to_dict(), as_json, tally.text)
    if tally.broken or tally.counts.get("failed"):
        raise typer.Exit(1)
