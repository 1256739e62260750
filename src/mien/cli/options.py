"""What several verbs take, and how they answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.errors import MienError, printable


class Faces(StrEnum):
    """Who is asked about."""

    all = "all"
    largest = "largest"


class PreparedFaces(StrEnum):
    """Whose crops a row gets."""

    largest = "largest"
    named = "named"
    all = "all"
    none = "none"


class DetectorKind(StrEnum):
    """What finds faces."""

    auto = "auto"
    yunet = "yunet"
    haar = "haar"


class Against(StrEnum):
    """Whose voice says what is usual."""

    speaker = "speaker"
    source = "source"
    all = "all"


class FilmKind(StrEnum):
    """What is made up."""

    clips = "clips"
    dialogues = "dialogues"
    long = "long"
    planted = "planted"


Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Labels = Annotated[
    str | None,
    typer.Option("--labels", help="Answer with this label set: a name, or SET.yaml (mer-clip)."),
]
DetectorName = Annotated[
    DetectorKind,
    typer.Option("--detector", help="Finds faces; auto is YuNet where its file is at hand."),
]
FaceWeights = Annotated[
    Path | None, typer.Option("--face-weights", help="YuNet's ONNX file, or its folder.")
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=0, help="Files at once (default: what fits).")
]
Watched = Annotated[
    list[Path], typer.Argument(help="Video, sound or picture files; folders; manifests.")
]
Looked = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Folder for a page and timelines of each file; or one file for all timelines "
        "(.jsonl, .json, .csv, .parquet, .srt, .vtt, .eaf, .rttm).",
    ),
]
WhoseFaces = Annotated[Faces, typer.Option("--faces", help="Who is asked about.")]
Person = Annotated[
    str | None, typer.Option("--person", help="Ask about this one only, such as face-2.")
]
Window = Annotated[
    float | None, typer.Option("--window", help="Seconds that are answered at once (default: 4).")
]
Hop = Annotated[
    float | None,
    typer.Option("--hop", help="Seconds from one window to the next (default: half a window)."),
]
TurnsFile = Annotated[
    Path | None,
    typer.Option("--turns", help="Who speaks when: RTTM, SRT, VTT (default: beside it)."),
]
Who = Annotated[
    list[str] | None, typer.Option("--who", help="Whose face a speaker has: anna=face-2.")
]
Mouth = Annotated[
    bool, typer.Option("--mouth", help="Let a voice join the face whose mouth moves with it.")
]
FramesRun = Annotated[
    Path | None,
    typer.Option(
        "--frames", help="Of a run that reads vectors over time: the run that makes them."
    ),
]
Explain = Annotated[
    bool,
    typer.Option("--explain", help="Also say which modality carried each answer, and when."),
]
CuesFile = Annotated[
    Path | None,
    typer.Option("--cues", help="Cues to show beside the answers, as mien data cues leaves them."),
]
Again = Annotated[bool, typer.Option("--again", help="Watch also what an earlier call finished.")]
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
    Path | None,
    typer.Option(
        "--init", help="A run whose handed-on weights to start from; of a family each fold's own."
    ),
]
Root = Annotated[
    Path | None,
    typer.Option("--root", help="The folder that paths may not leave (default: its own)."),
]
SelfContained = Annotated[
    bool, typer.Option("--self-contained", help="Store every tower in the run, however large.")
]


def say(value: Any, as_json: bool, text: str) -> None:
    """JSON for machines, or a text for people."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False) if as_json else text)


def pairs(words: Sequence[str] | None, example: str) -> dict[str, str]:
    """Words of the form ``name=value``; the value may be empty."""
    found: dict[str, str] = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not (name and equals) or name in found:
            what = f"{name!r} is given twice" if name in found else f"{word!r} has no name and ="
            raise MienError(what, fix=example)
        found[name] = value
    return found


def fail(errors: Sequence[MienError]) -> None:
    """Say what failed and end with 1."""
    for error in errors:
        complain(error)
    if errors:
        raise typer.Exit(1)


def complain(error: MienError) -> None:
    """Say what is wrong, on stderr; a name with control characters shall not move the cursor."""
    text = "\n".join(printable(line) for line in str(error).split("\n"))
    typer.secho(f"error: {text}", err=True, fg="red" if sys.stderr.isatty() else None)
