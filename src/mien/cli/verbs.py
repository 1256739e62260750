"""The verbs in the shell. Each function only parses its words and calls its namesake."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.errors import Interrupted, MienError

USE = (
    "Emotion labels are guesses about people, made by models that are often wrong and learned "
    "from acted or annotated clips. Do not use them to decide about anyone. In the EU, inferring "
    "emotions at work and in education is prohibited (AI Act, article 5), save for medical or "
    "safety reasons."
)

app = typer.Typer(
    name="mien",
    help="Published systems for multimodal emotion recognition: train, evaluate, predict.\n\n"
    "New here? [bold]mien demo[/bold] shows the whole story offline in under a minute.",
    epilog=USE,
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Look at data before training on it.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
SystemName = Annotated[str, typer.Argument(help="A system, as in [bold]mien systems[/bold].")]
ManifestPath = Annotated[
    Path, typer.Option("--data", help="Manifest: JSONL, CSV or Parquet, one row a clip.")
]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Settings laid over all else, such as lr=1e-4."),
]
Out = Annotated[Path, typer.Option("--out", help="Run folder to make, or to go on with.")]
Preset = Annotated[
    str | None, typer.Option("--preset", help="Named settings, as in [bold]mien systems[/bold].")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file of settings, laid over the preset.")
]
Seeds = Annotated[str | None, typer.Option("--seeds", help="One run each, such as 0,1,2.")]
Init = Annotated[
    Path | None, typer.Option("--init", help="A run whose handed-on weights to start from.")
]
SelfContained = Annotated[
    bool, typer.Option("--self-contained", help="Store every tower in the run, however large.")
]


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


def _print(value: Any, as_json: bool, text: str) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False) if as_json else text)


def _speaks() -> bool:
    """Of several processes that were launched together only the first prints results."""
    return os.environ.get("RANK", "0") == "0"


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Where to leave corpus and runs.")] = Path(
        "mien-demo"
    ),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a small corpus of feature vectors, train on it, score held-out speakers, predict.

    [dim]mien demo --out demo[/dim]
    """
    from mien.run.demo import demo as run

    metrics, text = run(out, quiet=quiet or as_json)
    _print(metrics, as_json, text)


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
        _print([item.to_dict() for item in found], as_json, table(found))
        return
    from mien.run import cards

    _print(
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
        _print(metrics, as_json, f"{table(metrics)}\n\n{out} is ready: {run_again}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder, or a folder of folds and seeds.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Manifest to score (default: the run's own test).")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also write the JSON here.")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another run: how far apart are their scores?")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a run: accuracy, recalls, calibration, with intervals over clips and over groups.

    [dim]mien evaluate runs/a --data others.csv --out scores.json[/dim]
    """
    if against is not None:
        from mien.run import compare

        if data is not None or out is not None:
            raise MienError("--against compares kept answers", fix="leave out --data and --out")
        found = compare.compare(run, against)
        _print(found, as_json, compare.table(found))
        return
    from mien.run.score import evaluate as score
    from mien.run.score import table

    metrics = score(run, data=data, out=out)
    _print(metrics, as_json, table(metrics))


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Manifests with feature files.")],
    run: Annotated[Path, typer.Option("--run", help="A finished run.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write one timeline a line (JSONL) here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a run sees and hears in each clip, and how sure it is.

    [dim]mien predict clips.jsonl --run runs/a --out timelines.jsonl[/dim]
    """
    from mien.run.load import load
    from mien.run.say import lines, write

    loaded = load(run, merge=True)
    timelines = [timeline for path in paths for timeline in loaded.predict(path)]
    text = lines(timelines, loaded.specs)
    if out is not None:
        write(out, timelines)
        text += f"\n{len(timelines)} timelines are in {out}"
    _print([timeline.to_dict() for timeline in timelines], as_json, text)


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
        _print(metrics, as_json, f"{out} is ready: mien train {system} --init {out} ...")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine can do, and what to install for the rest.

    [dim]mien doctor --json[/dim]
    """
    from mien.run.doctor import examine, page

    found = examine()
    _print(found, as_json, page(found))


@data_app.command()
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
    _print(report.to_dict(), as_json, text)
    if report.errors:
        raise typer.Exit(1)


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise MienError(f"{text!r} is not a list of seeds", fix="--seeds 0,1,2") from None


def main() -> None:
    """Entry point: errors that we raise on purpose are a message, not a traceback."""
    try:
        app(prog_name="mien")
    except Interrupted as stop:
        typer.echo(f"\n{stop}", err=True)
        sys.exit(130)
    except MienError as error:
        typer.secho(f"error: {error}", err=True, fg="red" if sys.stderr.isatty() else None)
        sys.exit(2)


if __name__ == "__main__":
    main()
