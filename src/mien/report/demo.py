"""The story in two minutes, offline: films, a system trained on them, new people, two pages."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from mien.data.crops import CropRecipe
from mien.data.manifest import Manifest
from mien.data.prepare import Recipe
from mien.report import watch
from mien.report.runs import report
from mien.run import pocket
from mien.run.prepare import prepare
from mien.run.synthesise import synthesise
from mien.run.train import train

_PARTS = {"face alone": ["video"], "voice alone": ["audio"], "both": ["audio", "video"]}
_SIDE = 64  # pixels of a crop: the small tower looks at 48
# Of so few films many small steps are worth more than large ones, and in so few epochs nothing is
# learned by heart that dropout and changed pictures would have to prevent.
_QUICK = ("batch_size=16", "lr=1e-3", "augment=none")
_FROM = {
    # Towers that know people already, looking at films as short as these.
    "pocket": ("model.stride=6", "model.audio_seconds=2.0"),
    "laptop": ("model.vision.dropout=0.2",),
}
"""What the trainings start from: mien-pocket where it is installed, and settings for so little."""
_LOOK = watch.Options(window=2.0, hop=1.0)  # as long as the films that were trained on
_STEPS = 7
_OTHERS = 1000  # added to a seed, it draws other people


@dataclass(frozen=True, slots=True)
class Size:
    """How much is made and learned.

    Args:
        speakers: people; a quarter of them is never trained on.
        clips: films of each.
        epochs: times through the training part.
        long: seconds of the film that is watched.
    """

    speakers: int = 24
    clips: int = 16
    epochs: int = 14
    long: float = 24.0


SMALL = Size(speakers=8, clips=8, epochs=2, long=6.0)
"""Everything once, in seconds; too little to learn from."""


def demo(
    out: str | Path, *, size: Size | None = None, seed: int = 0, quiet: bool = False
) -> tuple[dict[str, Any], str]:
    """Draw films, prepare them, train CLAIP-Emo on face, voice and both, and show what came of it.

    Run it again and finished parts are not done anew.

    Args:
        out: folder for films, runs and pages.
        size: how much of it.
        seed: of films and trainings.
        quiet: no progress.

    Returns:
        The metrics of the three runs by name, and the whole story for a person.
    """
    place, size, steps = Path(out), size or Size(), _Steps(quiet)
    start = "pocket" if pocket.installed() else "laptop"
    with steps.next("drawing films of made-up people"):
        films = synthesise(
            place / "corpus", speakers=size.speakers, clips=size.clips, seed=seed, quiet=quiet
        ).manifest
    with steps.next("finding their faces, decoding once"):
        recipe = Recipe(crop=CropRecipe(size=_SIDE))
        corpus = _seen_and_heard(prepare(films, recipe=recipe, quiet=quiet).manifest)
    found: dict[str, dict[str, Any]] = {}
    for name, modalities in _PARTS.items():
        with steps.next(f"training CLAIP-Emo, small, on {name}"):
            found[name] = train(
                "claip-emo",
                preset=start,
                data=corpus,
                out=_run(place, name),
                overrides=[
                    f"model.modalities=[{', '.join(modalities)}]",
                    f"epochs={size.epochs}",
                    f"seed={seed}",
                    *_QUICK,
                    *_FROM[start],
                ],
                quiet=quiet,
            )
    with steps.next("a report of the three runs"):
        page = report([_run(place, name) for name in _PARTS], place / "report.html")
    with steps.next("drawing and watching a longer film of somebody it never met"):
        film = _unmet(place / "long", size, seed, quiet=quiet)
        seen = watch.predict(
            [film], _run(place, "both"), out=place / "looked", options=_LOOK, quiet=quiet
        )
    looked = place / "looked" / f"{film.stem}.html"
    return found, _story(place, films, found, page.summary, seen.text, looked)


class _Steps:
    """Says what is done, and how long it took."""

    def __init__(self, quiet: bool) -> None:
        self.aside = Console(stderr=True, quiet=quiet, highlight=False)
        self.number = 0

    @contextmanager
    def next(self, what: str) -> Iterator[None]:
        """Within: this is what is done."""
        self.number += 1
        self.aside.print(f"[bold]{self.number} of {_STEPS}[/bold]  {what}")
        began = time.monotonic()
        yield
        self.aside.print(f"        {time.monotonic() - began:.0f} s", style="dim")


def _run(place: Path, name: str) -> Path:
    return place / f"run-{name.split()[0]}"


def _seen_and_heard(prepared: Path) -> Path:
    """The clips in which a face was found and a voice is: all three trainings read the same."""
    manifest = Manifest.read(prepared)
    whole = [row for row in manifest.rows if {"audio", "video"} <= row.features.keys()]
    path = prepared.with_name("corpus.whole.jsonl")
    manifest.only(whole).write(path)
    return path


def _unmet(place: Path, size: Size, seed: int, *, quiet: bool) -> Path:
    """A film of a new person who goes through several emotions."""
    made = synthesise(
        place, kind="long", speakers=1, clips=1, seed=seed + _OTHERS, seconds=size.long, quiet=quiet
    )
    manifest = Manifest.read(made.manifest)
    return manifest.place.find(str(manifest.rows[0].video))


def _story(
    place: Path,
    films: Path,
    found: Mapping[str, Mapping[str, Any]],
    summary: Mapping[str, Any],
    seen: str,
    looked: Path,
) -> str:
    return "\n".join(
        [
            *_about(Manifest.read(films)),
            "",
            *_comparison(found, summary),
            "",
            "A film of somebody it never met",
            "",
            seen,
            "",
            "Look",
            f"  {place / 'report.html'}   the three runs: curves, confusions, intervals, tests",
            f"  {looked}   the film's timeline, second by second",
            "",
            "Next",
            f"  mien data check {films}",
            f"  mien evaluate {_run(place, 'both')}",
            f"  mien predict YOUR_CLIP.mp4 --run {_run(place, 'both')} --out looked",
        ]
    )


def _about(manifest: Manifest) -> list[str]:
    people = len({row.speaker for row in manifest.rows})
    unmet = len({row.speaker for row in manifest.rows if row.split == "test"})
    text = (
        f"{len(manifest.rows)} films of {people} made-up people, drawn and spoken by mien, eight "
        f"emotions. Training never meets {unmet} of the people: they are the test. A face tells "
        "four groups of two emotions apart, a voice four others; to know all eight takes both."
    )
    return textwrap.wrap(text, 78)


def _comparison(
    found: Mapping[str, Mapping[str, Any]], summary: Mapping[str, Any]
) -> Sequence[str]:
    """Mean recall of each run, and what the second modality adds, with intervals over people."""
    lines = ["trained on         UAR   95 % interval over people (guessing: 0.12)"]
    for name, metrics in found.items():
        uar = metrics["tasks"]["emotion"]["intervals"]["uar"]["groups"]
        lines.append(f"{name:<17} {uar['value']:.2f}   {uar['low']:.2f} to {uar['high']:.2f}")
    for pair in summary["comparison"]["pairs"]:
        if pair["other"] == "run-both":
            less = pair["tasks"]["emotion"]["scores"]["uar"]  # this one minus both
            name = f"both - {pair['run'].removeprefix('run-')}"
            lines.append(
                f"{name:<16} {-less['value']:+z.2f}  {-less['high']:+z.2f} to {-less['low']:+z.2f}"
            )
    return lines
