"""`mien data synthetic`: a made-up corpus of films, in several processes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mien.data import captioned, descriptions, synthetic, takes
from mien.data.descriptions import Description, Origin
from mien.data.manifest import Manifest
from mien.data.synthetic import Kind, Recipe
from mien.errors import ConfigError, Interrupted, MienError
from mien.run import workers
from mien.run.progress import Bar


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it.

    Args:
        manifest: of the corpus.
        films: how many it has.
        made: how many of them were made now.
        speakers: how many people are in it.
        seconds: that it took.
        descriptions: of all films, where they were asked for.
    """

    manifest: Path
    films: int
    made: int
    speakers: int
    seconds: float
    descriptions: Path | None = None

    @property
    def text(self) -> str:
        """For a person."""
        kept = f", {self.films - self.made} were there" if self.made < self.films else ""
        return (
            f"{self.films} films of {self.speakers} people{kept}, in {self.seconds:.0f} s: "
            f"{self.manifest}"
        ) + (f"\nin words: {self.descriptions}" if self.descriptions else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "manifest": str(self.manifest), "films": self.films, "made": self.made,
            "speakers": self.speakers, "seconds": round(self.seconds, 2),
            "descriptions": str(self.descriptions) if self.descriptions else None,
        }  # fmt: skip


def synthesise(
    out: str | Path,
    *,
    kind: Kind = "clips",
    speakers: int | None = None,
    clips: int | None = None,
    seed: int = 0,
    seconds: float | None = None,
    jobs: int | None = None,
    describe: bool = False,
    quiet: bool = False,
) -> Made:
    """Make a corpus of films; what an earlier call finished is kept.

    Args:
        out: folder for it.
        kind: clips of one emotion, dialogues of two people, or long films.
        speakers: how many people; a quarter of them is the test part. None: what suits the kind.
        clips: films of each, or dialogues of each pair.
        seed: same seed, same corpus.
        seconds: length of each clip or long film.
        jobs: processes; None: as many as there are cores.
        describe: also leave ``descriptions.jsonl``, measured and put into words by a template.
        quiet: no progress.

    Raises:
        ConfigError: numbers that make no corpus, or long films that no caption holds.
        DataError: the folder holds films that were made otherwise, or a film cannot be written.
        Interrupted: by Ctrl-C; what was finished is kept.
    """
    began = time.monotonic()
    recipe = Recipe.of(kind, speakers=speakers, films=clips, seed=seed, seconds=seconds)
    if describe and kind == "long":
        raise ConfigError(
            "a long film shows many things, which no caption holds",
            fix="--describe with --kind clips or dialogues",
        )
    waiting = synthetic.begin(out, recipe)
    total = len(recipe.takes())
    try:
        _make(Path(out), waiting, total, jobs, quiet=quiet)
    except KeyboardInterrupt:
        raise Interrupted(
            "stopped; the films that were finished are kept",
            where=str(out),
            fix="the same command goes on from there",
        ) from None
    manifest = synthetic.finish(out, recipe)
    words = None
    if describe:
        words = _describe(Path(out), manifest, recipe, jobs, quiet=quiet)
    return Made(manifest, total, len(waiting), recipe.speakers, time.monotonic() - began, words)


def _describe(
    folder: Path, manifest: Path, recipe: Recipe, jobs: int | None, *, quiet: bool
) -> Path:
    """Put all films into words, in the format of `mien describe`."""
    by = Origin(
        kind="template", model=captioned.NAME, prompt=captioned.NAME,
        settings={"films": synthetic.VERSION, "seed": recipe.seed},
    )  # fmt: skip
    rows = Manifest.read(manifest).rows
    results = workers.over(
        captioned.described, recipe.takes(), jobs=jobs, name=lambda take: take.id
    )
    lines: dict[int, Description] = {}
    began = time.monotonic()
    with Bar("describing", len(rows), unit="films", quiet=quiet) as bar, workers.ended(results):
        for index, captions in results:
            if isinstance(captions, MienError):
                raise captions
            row = rows[index]
            lines[index] = Description(
                id=row.id,
                clip=descriptions.clip_hash(row),
                status="described",
                captions=captions,
                by=by,
            )
            bar.advance("", rate=len(lines) / max(1e-9, time.monotonic() - began))
    path = folder / "descriptions.jsonl"
    descriptions.write(path, [lines[index] for index in sorted(lines)])
    return path


def _make(
    folder: Path, waiting: list[takes.Take], total: int, jobs: int | None, *, quiet: bool
) -> None:
    began, done = time.monotonic(), 0
    results = workers.over(
        partial(takes.film, folder),
        waiting,
        jobs=jobs,
        seconds=lambda take: 600 + 10 * (take.seconds or 0),
        memory=2**30,
        name=lambda take: take.id,
    )
    bar = Bar("drawing", total, done=total - len(waiting), unit="films", quiet=quiet)
    with bar, workers.ended(results):
        for _, result in results:
            if isinstance(result, MienError):
                raise result
            done += 1
            bar.advance("", rate=done / max(1e-9, time.monotonic() - began))
