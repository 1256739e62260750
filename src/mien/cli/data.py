"""`mien data ...`: importing, making up, checking and preparing what is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.cues import cues
from mien.cli.imports import (
    Columns,
    Copy,
    FirstLabel,
    FoldFiles,
    KeepLeaks,
    Labels,
    Licence,
    ManifestOut,
    MediaFolder,
    Modality,
    PictureRate,
    Renames,
    Replace,
    SpeakerPattern,
    SplitFiles,
    TaskName,
    WhichCorpus,
)
from mien.cli.options import (
    DetectorKind,
    DetectorName,
    FaceWeights,
    FilmKind,
    Jobs,
    Json,
    PreparedFaces,
    Quiet,
    Root,
    pairs,
    say,
)

app = typer.Typer(
    help="Import, check and prepare data before training on it.", no_args_is_help=True
)
app.command()(cues)


@app.command("import")
def import_(
    corpus: WhichCorpus = None,
    source: Copy = None,
    out: ManifestOut = None,
    modality: Modality = None,
    speaker: SpeakerPattern = None,
    column: Columns = None,
    rename: Renames = None,
    labels: Labels = None,
    first_label: FirstLabel = None,
    task: TaskName = None,
    split: SplitFiles = None,
    fold: FoldFiles = None,
    media: MediaFolder = None,
    fps: PictureRate = None,
    licence: Licence = None,
    keep_leaks: KeepLeaks = False,
    replace: Replace = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a manifest of your own copy of a corpus, and compare it with what a whole one has.

    Without a corpus it lists what there is; without a source it says how one gets a corpus, under
    which licence, and what is looked for in it.

    [dim]mien data import ravdess downloads/ravdess[/dim]

    [dim]mien data import folders clips --speaker 'speaker(.+?)_'[/dim]

    [dim]mien data import table clips.csv --column labels.emotion=mood --column media=file[/dim]
    """
    from mien import importers
    from mien.run import catalogue
    from mien.run.importing import asked, take_in

    if corpus is None:
        known = [catalogue.as_dict(importers.named(name)) for name in importers.NAMES]
        say(known, as_json, catalogue.listing())
    elif source is None:
        say(catalogue.as_dict(importers.named(corpus)), as_json, catalogue.page(corpus))
    else:
        options = asked(
            modality=modality, speaker=speaker, column=pairs(column, "--column FIELD=COLUMN"),
            rename=pairs(rename, "--rename WRITTEN=MEANT"), labels=labels, first_label=first_label,
            task=task, split=pairs(split, "--split test=FILE"),
            fold=pairs(fold, "--fold 1=TRAIN,TEST"), media=media, fps=fps, licence=licence,
            keep_leaks=keep_leaks,
        )  # fmt: skip
        report = take_in(
            corpus, source, out=out, options=options, replace=replace, quiet=quiet or as_json
        )
        say(report.to_dict(), as_json, report.text)


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
    root: Root = None,
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
        manifest, recipe=recipe, out=out, jobs=jobs, config=config, root=root, verify=verify,
        quiet=quiet or as_json,
    )  # fmt: skip
    say(report.to_dict(), as_json, report.text)
    if report.errors:
        raise typer.Exit(1)


@app.command()
def scenes(
    manifest: Annotated[Path, typer.Argument(help="Manifest whose rows name films.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The new manifest (default: NAME.scenes.jsonl beside it)."),
    ] = None,
    frames: Annotated[int, typer.Option("--frames", help="Frames of a clip.")] = 15,
    size: Annotated[int, typer.Option("--size", help="Side of frames and faces.")] = 112,
    face_weights: FaceWeights = None,
    jobs: Jobs = None,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Keep a few whole frames of each clip and all faces in them, with how large each is.

    For systems that look at a scene and at everybody in it. Rows get features.scene, features.faces
    and features.boxes. Interrupt it and give the same command again: what is finished is kept.

    [dim]mien data scenes talks.prepared.jsonl[/dim]
    """
    from mien.run.scenes import How
    from mien.run.scenes import scenes as run

    how = How(frames=frames, size=size, weights=face_weights)
    report = run(manifest, out=out, how=how, jobs=jobs, root=root, quiet=quiet or as_json)
    say(report.to_dict(), as_json, report.text)
    if report.errors:
        raise typer.Exit(1)


@app.command()
def features(
    manifest: Annotated[Path, typer.Argument(help="Manifest of rows that the run reads.")],
    run: Annotated[
        list[Path], typer.Option("--run", help="Gives a vector a frame, or a row: then several do.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The new manifest (default: NAME.features.jsonl beside it)."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Frames looked at together.")] = 64,
    half: Annotated[bool, typer.Option("--half", help="Keep half precision.")] = False,
    jobs: Jobs = None,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at every frame once and keep the vector that a run makes of it, to train over time.

    Writes a folder of vectors and a new manifest that names them as features.face. Interrupt it
    and give the same command again: what is finished is kept. Runs that make one vector of a whole
    row, of its text, sound or pictures, write them into the new manifest itself, a Parquet file
    with a column features.text, features.audio or features.visual for each.

    [dim]mien data features clips.prepared.jsonl --run runs/frames[/dim]

    [dim]mien data features talks.jsonl --run runs/text --run runs/audio[/dim]
    """
    from mien.run.extract import extract
    from mien.run.vectors import gather, whole_rows

    if whole_rows(run):
        made = gather(manifest, runs=run, out=out, batch=batch, root=root, quiet=quiet or as_json)
        say(made.to_dict(), as_json, made.text)
        return
    report = extract(
        manifest, run=run[0], out=out, batch=batch, half=half, jobs=jobs, root=root,
        quiet=quiet or as_json,
    )  # fmt: skip
    say(report.to_dict(), as_json, report.text)
    if report.errors:
        raise typer.Exit(1)


@app.command()
def submission(
    run: Annotated[Path, typer.Argument(help="A run of one task that answers once a frame.")],
    data: Annotated[Path, typer.Option("--data", help="Manifest with a row for each video.")],
    example: Annotated[Path, typer.Option("--example", help="The challenge's example file.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    as_json: Json = False,
) -> None:
    """Answer a challenge in the format of its example: the same frames, the same header.

    [dim]mien data submission runs/va --data test.jsonl --example given.txt --out mine.txt[/dim]
    """
    from mien.run.submission import submit

    found = submit(run, data=data, example=example, out=out)
    say(found.to_dict(), as_json, found.text)


@app.command()
def synthetic(
    out: Annotated[Path, typer.Argument(help="Folder for the films and their manifest.")],
    kind: Annotated[
        FilmKind,
        typer.Option(
            "--kind",
            help="One emotion a film, talks of two, long films; or one that is planted for a "
            "moment, in the face, the voice, or both.",
        ),
    ] = FilmKind.clips,
    speakers: Annotated[
        int | None, typer.Option("--speakers", help="How many people (default: 24, 16 or 12).")
    ] = None,
    clips: Annotated[
        int | None,
        typer.Option(
            "--clips", help="Films of each, or dialogues of each pair (default: 16, 4 or 2)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same corpus.")] = 0,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", help="Length of a film (default: 2, of long ones 60)."),
    ] = None,
    describe: Annotated[
        bool, typer.Option("--describe", help="Also say in words what is seen and heard in each.")
    ] = False,
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a corpus of drawn faces that speak, eight emotions, as films with sound.

    A face alone, or a voice alone, tells four pairs of them apart; both together tell all eight.
    The truth of every frame lies beside each film: action units, valence, arousal, expression.
    Interrupt it and give the same command again: finished films are kept.

    [dim]mien data synthetic made[/dim]

    [dim]mien data prepare made/corpus.jsonl[/dim]
    """
    from mien.run.synthesise import synthesise

    made = synthesise(
        out, kind=kind.value, speakers=speakers, clips=clips, seed=seed, seconds=seconds,
        jobs=jobs, describe=describe, quiet=quiet or as_json,
    )  # fmt: skip
    say(made.to_dict(), as_json, made.text)


@app.command()
def embed(
    descriptions: Annotated[Path, typer.Argument(help="What mien describe left.")],
    manifest: Annotated[Path, typer.Option("--manifest", help="Whose rows are described.")],
    encoder: Annotated[
        str, typer.Option("--encoder", help="Sentence encoder: a folder, or a name on the hub.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The new manifest.")] = Path("described.jsonl"),
    revision: Annotated[
        str | None, typer.Option("--revision", help="Commit on the hub (default: the newest).")
    ] = None,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn captions into vectors, for systems that learn from descriptions.

    Each row with a description gets features.text: three vectors, of its visual, its audio and its
    joint caption; one that it does not have is zeros. Each different text is encoded once, and kept
    in mien's cache.

    [dim]mien data embed descriptions.jsonl --manifest clips.prepared.jsonl
    --encoder sentence-transformers/all-MiniLM-L6-v2 --out described.jsonl[/dim]
    """
    from mien.run.embed import embed as run

    made = run(
        descriptions, manifest, encoder, out, root=root, revision=revision, quiet=quiet or as_json
    )
    say(made.to_dict(), as_json, made.text)


@app.command()
def align(
    manifest: Annotated[Path, typer.Argument(help="Manifest whose rows have vectors of tokens.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The new manifest (default: NAME.aligned.jsonl beside it)."),
    ] = None,
    feature: Annotated[str, typer.Option("--feature", help="Vectors of tokens (n, D).")] = "text",
    times: Annotated[
        str, typer.Option("--times", help="First and last second (n, 2) of each token's word.")
    ] = "word_times",
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Make one vector a frame of the vectors of what is said.

    Tokens go where their words were said, if features.word_times has their first and last seconds;
    else the frames are dealt out to them evenly.

    [dim]mien data align clips.jsonl[/dim]
    """
    from mien.run.align import align as run

    made = run(manifest, out=out, feature=feature, times=times, root=root)
    say(made.to_dict(), as_json, made.text)


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="Manifest: JSONL, CSV or Parquet.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", help="YAML file whose data part says how to read it."),
    ] = None,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find missing and broken files, label typos, imbalance, and leaks between parts.

    Exits with 1 where something must be mended, or somebody is on both sides of a split.

    [dim]mien data check clips.jsonl[/dim]
    """
    from mien.run.check import inspect

    report, text = inspect(manifest, config, root=root, quiet=quiet or as_json)
    say(report.to_dict(), as_json, text)
    if report.errors:
        raise typer.Exit(1)
