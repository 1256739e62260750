"""What is known of a corpus, what somebody asks of it, and what is found of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from mien.config import Settings
from mien.data.findings import Report
from mien.data.places import Place
from mien.data.rows import Row
from mien.errors import ConfigError
from mien.importers.counts import Expected
from mien.importers.kept import Kept
from mien.types import TaskSpec

Modality = Literal["audio", "video", "audio-video"]
Progress = Callable[[int], None]


class Options(Settings):
    """What may be asked of an importer; each takes some of it. It is remembered beside the rows.

    Args:
        modality: what to take of a clip.
        speaker: a pattern of paths whose group is the speaker.
        task: what the labels are called.
        labels: the classes in their order.
        first_label: what the first class is counted as.
        split: train, val or test -> a list or table of its own.
        fold: number, or ``{}`` for all numbers from 1 -> its list of train and of test clips.
        media: where paths start, from the source.
        fps: pictures a second of folders of numbered pictures.
        column: field of a manifest -> column, or a text with ``{COLUMN}`` in it.
        rename: label as written -> label as meant.
        licence: of the user's own data.
        keep_leaks: take a split or folds that have somebody on both sides.
    """

    modality: Modality | None = None
    speaker: str | None = None
    task: str | None = Field(None, min_length=1)
    labels: tuple[str, ...] = ()
    first_label: Literal[0, 1] | None = None
    split: dict[str, str] = Field({})
    fold: dict[str, tuple[str, str]] = Field({})
    media: str | None = None
    fps: float | None = Field(None, gt=0, le=1000)
    column: dict[str, str] = Field({})
    rename: dict[str, str] = Field({})
    licence: str | None = None
    keep_leaks: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """Which copy to read, and how.

    Args:
        source: the folder, or the file, that somebody has.
        place: where the paths of the rows will start, and what they may not leave.
        options: what was asked for.
        task: the labels of the corpus in their order; None: they follow from the copy.
        progress: called with the number of files that have been looked at.
        kept: takes vectors out of files that a manifest cannot name.
    """

    source: Path
    place: Place
    options: Options = field(default_factory=Options)
    task: TaskSpec | None = None
    progress: Progress | None = None
    kept: Kept | None = None


@dataclass(slots=True, kw_only=True)
class Found:
    """Rows, and what is to be said about them.

    Args:
        rows: one a clip.
        tasks: what their labels mean.
        report: what is missing, left out or odd.
        notes: what was decided on the way, a sentence each.
        options: what to remember, where more was found out than was asked.
    """

    rows: list[Row]
    tasks: Mapping[str, TaskSpec]
    report: Report
    notes: list[str] = field(default_factory=list)
    options: Options | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A corpus, or a shape in which people keep their own.

    Args:
        name: what one types.
        title: what it is called in full.
        about: what is in it, in one line.
        read: from a wish to rows.
        takes: the options it listens to.
        layout: what is looked for in a copy.
        verified: on what this was tried.
        task: the labels in their order; None: they follow from the copy.
        expected: how many of what a whole copy has; None: nobody can know.
        folds: where its folds come from.
        licence: of the data, as far as it is known; None: the user's own matter.
        apply: how one gets it.
        cite: the paper.
        command: the words after ``mien data import NAME`` of an example.
    """

    name: str
    title: str
    about: str
    read: Callable[[Wish], Found]
    takes: tuple[str, ...] = ()
    layout: str
    verified: str
    task: TaskSpec | None = None
    expected: Expected | None = None
    folds: str
    licence: str | None = None
    apply: str
    cite: str = ""
    command: str = "FOLDER"

    def check(self, options: Options) -> None:
        """Refuse what this corpus would not listen to."""
        given = options.model_dump(exclude_defaults=True)
        for name in given:
            if name not in self.takes:
                known = ", ".join(f"--{other.replace('_', '-')}" for other in self.takes)
                raise ConfigError(
                    f"{self.name} takes no --{name.replace('_', '-')}",
                    fix=f"it takes {known}" if known else f"mien data import {self.name} says more",
                )
