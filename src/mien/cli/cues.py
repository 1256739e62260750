"""`mien data cues`: what is seen and heard, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Against, Json, Quiet, Root, pairs, say


def cues(
    manifest: Annotated[Path, typer.Argument(help="Manifest: JSONL, CSV or Parquet.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The new manifest (default: NAME.cues.jsonl beside it)."),
    ] = None,
    listen: Annotated[
        bool, typer.Option("--listen/--no-listen", help="Measure the voice in each recording.")
    ] = True,
    voice: Annotated[
        str, typer.Option("--voice", help="What finds speech: energy, or silero (extra vad).")
    ] = "energy",
    asr: Annotated[
        str | None,
        typer.Option("--asr", help="Write down what is said: a faster-whisper model (extra asr)."),
    ] = None,
    faces: Annotated[
        Path | None, typer.Option("--faces", help="Folder of CSV files of py-feat or OpenFace.")
    ] = None,
    face_values: Annotated[
        str | None,
        typer.Option(
            "--face-values",
            metavar="FEATURE=LAYOUT",
            help="A feature that holds them: openface, challenge or published.",
        ),
    ] = None,
    timelines: Annotated[
        list[Path] | None,
        typer.Option("--timelines", help="Answers of a run, as mien predict wrote them."),
    ] = None,
    transcripts: Annotated[
        Path | None,
        typer.Option("--transcripts", help="Folder of SRT, VTT, TXT or JSON (default: the text)."),
    ] = None,
    tones: Annotated[
        Path | None, typer.Option("--tones", help="Predictions of Hume's prosody model, JSON.")
    ] = None,
    against: Annotated[
        Against, typer.Option("--against", help="Whose voice says what is usual.")
    ] = Against.speaker,
    template: Annotated[
        str, typer.Option("--template", help="published, detailed, or a TOML file of your own.")
    ] = "published",
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", help="One of its rules, such as fields=TA or emotions=1."),
    ] = None,
    window: Annotated[
        float | None, typer.Option("--window", help="Seconds of a window (default: whole rows).")
    ] = None,
    hop: Annotated[
        float | None, typer.Option("--hop", help="Seconds from one to the next (default: as long).")
    ] = None,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Keep cues as Parquet, not as JSONL.")
    ] = False,
    root: Root = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure what is seen and heard in each clip, and put it in words, for systems that read.

    Pitch, loudness, tempo and seven more of each stretch of speech, against what is usual for the
    speaker; faces, tones and transcripts from whoever measured them. Writes a manifest whose text
    is the prompt, and a folder of what it was made of. Interrupt it and give the same command
    again: what was heard is kept. The exit status is 1 where a row was lost.

    [dim]mien data cues clips.jsonl --faces openface --transcripts subtitles[/dim]

    [dim]mien data cues talks.jsonl --window 2 --rule fields=TA --rule dimensions=levels[/dim]
    """
    from mien.cues.text import Template
    from mien.run import cues as run
    from mien.run.gathering import Asked
    from mien.run.handed import Handed
    from mien.timelines.formats import read

    rules = run.rules_of(pairs(rule, "--rule fields=TA"))
    asked = Asked(
        template=Template.read(template, rules),
        handed=Handed.read(
            faces=faces, vectors=run.layout_of(face_values), tones=tones, transcripts=transcripts,
            timelines=[line for path in timelines or () for line in read(path)],
        ),
        ears=run.ears(voice, asr) if listen else None,
        against=against.value, window=window, hop=hop,
    )  # fmt: skip
    form: run.Form = "parquet" if parquet else "jsonl"
    report = run.cue(manifest, asked, out=out, form=form, root=root, quiet=quiet or as_json)
    say(report.to_dict(), as_json, report.text)
    if report.errors:
        raise typer.Exit(1)
