"""The story in a minute, offline: a corpus, a system trained on it, held-out speakers, answers."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from mien.data import synthetic
from mien.data.manifest import Manifest
from mien.run import say, score
from mien.run.load import load
from mien.run.train import train

_PARTS = {"video alone": ["video"], "audio alone": ["audio"], "both": ["audio", "video"]}


def demo(out: str | Path, *, seed: int = 0, quiet: bool = False) -> tuple[dict[str, Any], str]:
    """Train CLAIP-Emo's feature preset on each modality and on both; score speakers never heard.

    Run it again and finished parts are not trained anew.

    Returns:
        The metrics of the run with both modalities, and the whole story for a person.
    """
    place, aside = Path(out), Console(stderr=True, quiet=quiet, highlight=False)
    corpus = synthetic.features(place / "corpus", seed=seed)
    aside.print(f"made up a corpus: {corpus}")
    found: dict[str, dict[str, Any]] = {}
    for number, (name, modalities) in enumerate(_PARTS.items(), 1):
        aside.print(f"training on {name} ({number} of {len(_PARTS)}) ...")
        found[name] = train(
            "claip-emo",
            preset="features",
            data=corpus,
            out=_run(place, name),
            overrides=[f"model.modalities=[{', '.join(modalities)}]", "epochs=15", f"seed={seed}"],
            quiet=True,
        )
    return found["both"], _story(place, corpus, found)


def _run(place: Path, name: str) -> Path:
    return place / f"run-{name.split()[0]}"


def _story(place: Path, corpus: Path, found: Mapping[str, Mapping[str, Any]]) -> str:
    run = load(_run(place, "both"))
    manifest = run.read(corpus)
    test = [row for row in manifest.rows if row.split == "test"]
    few = manifest.only(test[:4])
    return "\n".join(
        [
            *_about(manifest, len({row.speaker for row in test})),
            "",
            *_comparison(found),
            "",
            "With both, in full",
            *_indented(score.table(found["both"])),
            "",
            "What it says of four clips it never met",
            *_indented(say.lines(run.predict(few), run.specs)),
            "",
            "Next",
            f"  mien data check {corpus}",
            f"  mien predict {corpus} --run {_run(place, 'both')}",
            f"  mien train claip-emo --preset features --data {corpus} --out runs/first",
        ]
    )


def _about(manifest: Manifest, unheard: int) -> list[str]:
    speakers = len({row.speaker for row in manifest.rows})
    text = (
        f"A made-up corpus of feature vectors: {len(manifest.rows)} clips of {speakers} speakers, "
        f"four emotions. Training never meets {unheard} of the speakers: they are the test. Video "
        "tells pleasant from unpleasant, audio excited from calm; to know all four takes both."
    )
    return textwrap.wrap(text, 78)


def _comparison(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Mean recall of each run, with its interval over speakers."""
    lines = ["trained on    UAR   95 % interval over speakers (guessing: 0.25)"]
    for name, metrics in found.items():
        uar = metrics["tasks"]["emotion"]["intervals"]["uar"]["groups"]
        lines.append(f"{name:<12}  {uar['value']:.2f}  {uar['low']:.2f} to {uar['high']:.2f}")
    return lines


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
