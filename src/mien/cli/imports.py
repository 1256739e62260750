"""What `mien data import` takes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Modalities(StrEnum):
    """What is taken of a copy."""

    audio = "audio"
    video = "video"
    both = "audio-video"


WhichCorpus = Annotated[
    str | None, typer.Argument(help="A corpus, or a shape of your own files; none: list them.")
]
Copy = Annotated[Path | None, typer.Argument(help="Your copy; none: what is known of the corpus.")]
ManifestOut = Annotated[
    Path | None,
    typer.Option("--out", help="The manifest (default: CORPUS.jsonl within the source)."),
]
Modality = Annotated[
    Modalities | None, typer.Option("--modality", help="What to take (default: what is there).")
]
SpeakerPattern = Annotated[
    str | None, typer.Option("--speaker", help="Pattern of paths whose group is the speaker.")
]
Columns = Annotated[
    list[str] | None,
    typer.Option(help="Column of a field, remembered: labels.emotion=label, id='{a}-{b}'."),
]
Renames = Annotated[
    list[str] | None, typer.Option("--rename", help="A label by another name: 03=happy.")
]
Labels = Annotated[
    str | None, typer.Option("--labels", help="Classes in order: a,b,c, or a file of them.")
]
FirstLabel = Annotated[int | None, typer.Option(help="What the first class counts as: 0 or 1.")]
TaskName = Annotated[
    str | None, typer.Option("--task", help="What labels are called (default: emotion).")
]
SplitFiles = Annotated[
    list[str] | None, typer.Option("--split", help="A part's own list or table: test=test.txt.")
]
FoldFiles = Annotated[
    list[str] | None,
    typer.Option("--fold", help="A fold's lists: 1=TRAIN,TEST, or '{}=tr{}.csv,te{}.csv'."),
]
MediaFolder = Annotated[
    str | None, typer.Option("--media", help="Where the paths of lists and tables start.")
]
PictureRate = Annotated[
    float | None, typer.Option("--fps", help="Pictures a second of folders of them.")
]
Licence = Annotated[
    str | None, typer.Option("--licence", help="Of your own data, such as CC-BY-4.0.")
]
KeepLeaks = Annotated[
    bool,
    typer.Option("--keep-leaks", help="Take a split that has somebody on both sides; marked."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Write over a file that no import wrote.")]
