"""`mien data ...`: checking, preparing and making up what is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    DetectorKind,
    DetectorName,
    FaceWeights,
    Jobs,
    Json,
    PreparedFaces,
    Quiet,
    say,
)

app = typer.Typer(help="Check and prepare data before training on it.", no_args_is_help=True)


@app.command()
def prepare(
    manifest: Annotated[Path, typer.Argument(help="Manifest with video or audio files.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The new manifest (default: NAME.prepared.jsonl beside it)."),
    ] = None,
    faces: Annotated[
        PreparedFaces, typer.Option("--faces", help="Who is cut out; none keeps whole frames.")
    ] = PreparedFaces.largest,
    detector: DetectorName = DetectorKind.auto,
    face_weights: FaceWeights = None,
    fps: Annotated[float, typer.Option("--fps", help="Pictures a second.")] = 25.0,
    rate: Annotated[int, typer.Option("--rate", help="Samples a second of the sound.")] = 16000,
    size: Annotated[int, typer.Option("--size", help="Pixels at each side of a crop.")] = 224,
    jobs: Jobs = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also read all of the shards that are there already.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="YAML file whose data part says how to read it."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Decode video and sound once, find and follow faces, and keep crops and samples for training.

    Writes a folder of shards and a new manifest that names them. Interrupt it and give the same
    command again: what is finished is kept. A broken file is one line; the rest goes on, and the
    exit status is 1.

    [dim]mien data prepare clips.jsonl --face-weights yunet.onnx[/dim]

    [dim]mien train claip-emo --data clips.prepared.jsonl --out runs/a[/dim]
    """
    from mien.data.crops import CropRecipe
    from mien.data.prepare import Recipe
    from mien.run.prepare import prepare as run

    recipe = Recipe(
        fps=fps,
        rate=rate,
        crop=CropRecipe(size=size),
        faces=faces.value,
        detector=detector.value,
        weights=face_weights,
    )
    report = run(
        manifest, recipe=recipe, out=out, jobs=jobs, config=config, verify=verify,
        quiet=quiet or as_json,
    )  # fmt: skip
    say(report.to_dict(), as_json, report.text)
    if report.errors:
        raise typer.Exit(1)


@app.command()
def synthetic(
    out: Annotated[Path, typer.Argument(help="Folder for the films and their manifest.")],
    speakers: Annotated[int, typer.Option("--speakers", help="How many people.")] = 24,
    clips: Annotated[int, typer.Option("--clips", help="Films of each.")] = 16,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same corpus.")] = 0,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of each film.")] = 2.0,
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a corpus of drawn faces that speak, eight emotions, as films with sound.

    A face alone, or a voice alone, tells four pairs of them apart; both together tell all eight.
    Interrupt it and give the same command again: finished films are kept.

    [dim]mien data synthetic made[/dim]

    [dim]mien data prepare made/corpus.jsonl[/dim]
    """
    from mien.run.synthesise import synthesise

    made = synthesise(
        out, speakers=speakers, clips=clips, seed=seed, seconds=seconds, jobs=jobs,
        quiet=quiet or as_json,
    )  # fmt: skip
    say(made.to_dict(), as_json, made.text)


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="Manifest: JSONL, CSV or Parquet.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", help="YAML file whose data part says how to read it."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find missing and broken files, label typos, imbalance, and leaks between parts.

    Exits with 1 where something must be mended, or somebody is on both sides of a split.

    [dim]mien data check clips.jsonl[/dim]
    """
    from mien.run.check import inspect

    report, text = inspect(manifest, config, quiet=quiet or as_json)
    say(report.to_dict(), as_json, text)
    if report.errors:
        raise typer.Exit(1)
