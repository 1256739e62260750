"""The verbs in the shell. Each function only parses its words and calls its namesake."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.ask import ask
from mien.cli.data import app as data_app
from mien.cli.describe import describe
from mien.cli.options import (
    Again,
    ConfigFile,
    CuesFile,
    DetectorKind,
    DetectorName,
    Explain,
    Faces,
    FaceWeights,
    FramesRun,
    Hop,
    Init,
    Jobs,
    Json,
    Labels,
    Looked,
    ManifestPath,
    Mouth,
    Out,
    Person,
    Preset,
    Quiet,
    Seeds,
    SelfContained,
    SystemName,
    TurnsFile,
    Watched,
    Who,
    WhoseFaces,
    Window,
    Words,
    fail,
    say,
)
from mien.errors import MienError
from mien.notice import INTENDED_USE

app = typer.Typer(
    name="mien",
    help="Published systems for multimodal emotion recognition: train, evaluate, predict.\n\n"
    "New here? [bold]mien demo[/bold] shows the whole story offline in about two minutes.",
    epilog=INTENDED_USE,
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
app.command()(ask)
app.command()(describe)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("mien"))
        raise typer.Exit


@app.callback()
def _mien(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def _speaks() -> bool:
    """Of several processes that were launched together only the first prints results."""
    return os.environ.get("RANK", "0") == "0"


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", help="Where to leave films, runs and pages.")
    ] = Path("mien-demo"),
    small: Annotated[
        bool, typer.Option("--small", help="Everything once in seconds, too little to learn from.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Other people, another training.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw films of people who speak, train on face, voice and both, and show what came of it.

    Leaves a report of the three runs and the timeline page of a film of somebody who was not
    trained on. Interrupted? The same command goes on where it stopped.

    [dim]mien demo --out demo[/dim]
    """
    from mien.report import demo as told

    metrics, text = told.demo(
        out, size=told.SMALL if small else None, seed=seed, quiet=quiet or as_json
    )
    say(metrics, as_json, text)


@app.command()
def systems(
    name: Annotated[str | None, typer.Argument(help="Show one system's card and presets.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Build each preset without weights and count it.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of the system's settings.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the systems, their papers and presets, or show one.

    [dim]mien systems claip-emo[/dim]
    """
    from mien import registry

    if schema:
        _print_schema(name)
        return
    chosen = [registry.system(name)] if name else list(registry.systems().values())
    if measure:
        from mien.run.measure import measure_all, table

        found = measure_all(chosen)
        say([item.to_dict() for item in found], as_json, table(found))
        return
    from mien.run import cards

    say(
        [cards.as_dict(system) for system in chosen],
        as_json,
        cards.page(chosen[0]) if name else cards.listing(chosen),
    )


def _print_schema(name: str | None) -> None:
    from mien import config

    if name is None:
        raise MienError("whose settings?", fix="mien systems claip-emo --schema")
    typer.echo(json.dumps(config.schema(name), indent=2))


@app.command()
def train(
    system: SystemName,
    data: ManifestPath,
    out: Out,
    words: Words = None,
    preset: Preset = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Run one stage alone.")] = None,
    folds: Annotated[
        bool, typer.Option("--folds", help="One run a fold (data.folds=5 makes grouped ones).")
    ] = False,
    seeds: Seeds = None,
    config: ConfigFile = None,
    init: Init = None,
    self_contained: SelfContained = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a system on your data. Interrupted? The same command goes on where it stopped.

    [dim]mien train claip-emo --preset features --data clips.jsonl --out runs/a[/dim]

    [dim]mien train claip-emo --preset features --data clips.jsonl --out runs/b
    data.folds=5 --folds lr=5e-4 epochs=40[/dim]
    """
    from mien.run.score import table
    from mien.run.train import train as run

    metrics = run(
        system,
        data=data,
        out=out,
        preset=preset,
        stage=stage,
        folds=folds,
        seeds=_numbers(seeds),
        config=config,
        overrides=words or (),
        init=init,
        self_contained=self_contained,
        quiet=quiet or as_json,
    )
    several = "seeds" in metrics
    run_again = f"mien evaluate {out}" if several else f"mien predict MANIFEST --run {out}"
    if _speaks():
        say(metrics, as_json, f"{table(metrics)}\n\n{out} is ready: {run_again}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder, or a folder of folds and seeds.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Manifest to score (default: the run's own test).")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the JSON here.")] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", help="Another run: how far apart are they? May be repeated."),
    ] = None,
    labels: Labels = None,
    as_json: Json = False,
) -> None:
    """Score a run: accuracy, recalls, calibration, with intervals over clips and over groups.

    [dim]mien evaluate runs/a --data others.csv --out scores.json[/dim]
    """
    if against:
        from mien.run import compare

        if data is not None or out is not None or labels is not None:
            raise MienError(
                "--against compares kept answers", fix="leave out --data, --labels and --out"
            )
        found = compare.compare(run, against)
        say(found, as_json, compare.table(found))
        return
    from mien.run.score import evaluate as score
    from mien.run.score import table

    metrics = score(run, data=data, out=out, labels=labels)
    say(metrics, as_json, table(metrics))


@app.command(epilog=INTENDED_USE)
def report(
    runs: Annotated[list[Path], typer.Argument(help="Runs, or folders of folds and seeds.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page (default: report.html in the run, or here)."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Manifest: clips for a masked pre-training to rebuild."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put runs on one page: curves, scores, confusion, calibration, groups; tests between runs.

    The page needs nothing but itself. All its numbers stand in a JSON file beside it.

    [dim]mien report runs/a[/dim]

    [dim]mien report runs/both runs/video runs/audio --out comparison.html[/dim]

    [dim]mien report runs/pre --data clips.jsonl[/dim]
    """
    from mien.report.runs import report as run

    found = run(runs, out, data=data)
    say(found.summary, as_json, f"{found.path} is ready; its numbers: {found.path.stem}.json")


@app.command(epilog=INTENDED_USE)
def predict(
    paths: Watched,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="A finished run (default: mien-pocket's, if it is installed)."),
    ] = None,
    out: Looked = None,
    faces: WhoseFaces = Faces.all,
    person: Person = None,
    detector: DetectorName = DetectorKind.auto,
    face_weights: FaceWeights = None,
    window: Window = None,
    hop: Hop = None,
    turns: TurnsFile = None,
    who: Who = None,
    mouth: Mouth = False,
    frames: FramesRun = None,
    labels: Labels = None,
    explain: Explain = False,
    cues: CuesFile = None,
    jobs: Jobs = None,
    again: Again = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what a run sees and hears: of each person, window by window, and how sure it is.

    Without --run it is mien-pocket that answers, where it is installed.

    With --out each file gets a page to look at and timelines as JSON, CSV and Parquet; the same
    command again goes on where it was stopped. A voice is a person's only where one face is
    visible, or where --turns, --who or --mouth say so; else it stands for itself.

    [dim]mien predict clip.mp4[/dim]

    [dim]mien predict clip.mp4 --run runs/a --out looked[/dim]

    [dim]mien predict recordings/ --run runs/a --out looked --jobs 4[/dim]

    [dim]mien predict clip.mp4 --explain --out looked[/dim]

    [dim]mien predict clips.jsonl --run runs/a --out timelines.csv[/dim]

    [dim]mien predict film.mp4 --run runs/sequence --frames runs/frames --out looked[/dim]
    """
    from mien.report import watch
    from mien.run import pocket

    run = run or pocket.folder(quiet=quiet or as_json)
    options = watch.Options(
        faces=faces.value,
        person=person,
        detector=detector.value,
        face_weights=face_weights,
        window=window,
        hop=hop,
        turns=turns,
        who=_pairs(who),
        mouth=mouth,
        frames=frames,
        explain=explain,
        cues=cues,
    )
    silent = quiet or as_json
    found = watch.predict(
        paths, run, out=out, options=options, jobs=jobs, again=again, quiet=silent, labels=labels
    )
    say([timeline.to_dict() for timeline in found.timelines], as_json, found.text)
    fail(found.errors)


@app.command()
def pretrain(
    system: SystemName,
    data: ManifestPath,
    out: Out,
    words: Words = None,
    preset: Preset = None,
    config: ConfigFile = None,
    init: Init = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a system's self-supervised stages, which need no labels; not every system has some.

    [dim]mien pretrain SYSTEM --data clips.jsonl --out runs/pre[/dim]

    [dim]mien train SYSTEM --init runs/pre --stage NAME --data clips.jsonl --out runs/c[/dim]
    """
    from mien.run.train import train as run

    metrics = run(
        system,
        data=data,
        out=out,
        preset=preset,
        only=lambda stage: not stage.supervised,
        config=config,
        overrides=words or (),
        init=init,
        quiet=quiet or as_json,
    )
    if _speaks():
        say(metrics, as_json, f"{out} is ready: mien train {system} --init {out} ...")


@app.command()
def convert(
    system: SystemName,
    checkpoint: Annotated[Path, typer.Argument(help="Published weights: .pth or .safetensors.")],
    out: Annotated[Path, typer.Argument(help="Run folder to make.")],
    words: Words = None,
    task: Annotated[
        str | None, typer.Option("--task", help="What its head answers, such as mafw.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="Or its classes in order: anger,disgust,...")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a run of a system's published weights, checked tensor by tensor. Nothing is unpickled.

    [dim]mien convert hicmae checkpoint.pth runs/official heads=8 --task mafw[/dim]
    """
    from mien.run.convert import convert as run

    names = [label.strip() for label in labels.split(",")] if labels else []
    card = run(system, checkpoint, out, overrides=words or (), task=task, labels=names)
    use = f"mien predict ... --run {out}"
    if not card["answers"]:
        use = (
            f"mien train {system} --preset {card['preset']} --init {out} --data MANIFEST --out RUN"
        )
    count = card["converted_from"]["tensors"]
    say(card, as_json, f"{out} is ready, {count} tensors, each in its place: {use}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine can do, and what to install for the rest.

    [dim]mien doctor --json[/dim]
    """
    from mien.run.doctor import examine, page

    found = examine()
    say(found, as_json, page(found))


def _pairs(words: list[str] | None) -> dict[str, str]:
    pairs = [word.partition("=") for word in words or []]
    for speaker, equals, face in pairs:
        if not (speaker and equals and face):
            raise MienError(f"{speaker + equals + face!r} names no face", fix="--who anna=face-2")
    return {speaker: face for speaker, _, face in pairs}


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise MienError(f"{text!r} is not a list of seeds", fix="--seeds 0,1,2") from None
