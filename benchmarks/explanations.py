"""Do explanations find what was planted? Clips of which it is known who carries the emotion, when.

Makes clips in which one of four emotions shows for a moment, in the face, in the voice or in both,
trains CLAIP-Emo small on some people, and explains the answers to clips of others: as long as those
it learned from, and longer ones. `vectors` are made-up features over time and take seconds; `films`
are drawn (`mien data synthetic --kind planted`), their faces found, and take most of an hour on one
free core. The share by which others fall short of a modality that is named is taken from clips of
the held-out part in which both carry, and the one that `mien predict --explain` has by default is
scored beside it.

    python benchmarks/explanations.py --out runs/explanations [--part films] [--seeds 0,1] [--smoke]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.data import synthetic
from mien.data.crops import CropRecipe
from mien.data.manifest import Manifest, Row
from mien.data.prepare import Recipe
from mien.evidence import Reason
from mien.run import pocket
from mien.run.explain import Explained, How, explain, subjects_of
from mien.run.infer import predict
from mien.run.load import Run, load
from mien.run.prepare import prepare
from mien.run.synthesise import synthesise
from mien.run.train import train
from mien.tasks import credit
from mien.tasks.intervals import wilson

SHOWN_BY = {"face": "video", "voice": "audio", "both": ""}
FILMS = (
    *("model.frames=24", "model.stride=12", "model.audio_seconds=12", "augment=none"),
    *("batch_size=16", "lr=1e-3", "modality_dropout=0.2"),
)
VECTORS = ("modality_dropout=0.3", "model.dropout=0.2", "weight_decay=0.05")
LONGER = {"films": (12.0,), "vectors": (12.0, 30.0)}  # seconds


@dataclass(frozen=True, slots=True)
class Film:
    """What a run said of one film, and what was planted in it."""

    row: Row
    answer: Explained
    seconds: float

    def reason(self, least: float = credit.LEAST) -> Reason:
        """Why it was answered so, by the rule with this margin."""
        how = How(least=least)
        (reason,) = self.answer.evidence(0, 0.0, self.seconds, how).reasons
        return reason

    @property
    def right(self) -> bool:
        """Whether the answer is."""
        return self.reason().label == self.row.labels["emotion"]

    @property
    def planted(self) -> str:
        """The modality that carries the emotion; empty where both do."""
        return SHOWN_BY[str(self.row.groups["carried_by"])]

    def moment(self) -> tuple[bool, float, float]:
        """Whether the strongest stretch lies in the planted moment, by its middle.

        Then the share of all drops that does, and the share of the stretches.
        """
        first, last = (float(self.row.groups[f"moment_{edge}"]) for edge in ("start", "end"))
        found = self.reason().moments
        middles = np.array([(moment.start + moment.end) / 2 for moment in found])
        drops = np.clip([moment.drop for moment in found], 0, None)
        inside = (middles >= first) & (middles < last)
        share = float(drops[inside].sum() / max(drops.sum(), 1e-9))
        return bool(inside[drops.argmax()]), share, float(inside.mean())


def corpus(place: Path, size: argparse.Namespace, speakers: int, seed: int, seconds: float) -> Path:
    """Clips, made once."""
    of = {"speakers": speakers, "clips": size.clips, "seed": seed, "seconds": seconds}
    if size.part == "vectors":
        return synthetic.moments(place, **of)
    made = synthesise(place, kind="planted", jobs=1, **of)
    recipe = Recipe(crop=CropRecipe(size=64), weights=size.face_weights)
    return prepare(made.manifest, recipe=recipe, jobs=1).manifest


def explained(run: Run, manifest: Manifest, rows: Sequence[Row], seconds: float) -> list[Film]:
    """What the run says of rows that have a face and a voice, and why."""
    rows = [row for row in rows if {"audio", "video"} <= row.features.keys()]
    dataset, lasts = run.dataset(manifest, rows), [seconds] * len(rows)
    found = predict(run.whole, dataset, run.specs)
    subjects = subjects_of(dataset, run.front_end)
    answers = explain(run.whole, subjects, found, run.specs, lasts, How(stretches=24))
    return [Film(row, answer, seconds) for row, answer in zip(rows, answers, strict=True)]


def share(hits: Sequence[bool]) -> dict[str, Any]:
    """How often, with Wilson's interval."""
    low, high = wilson(sum(hits), len(hits)) if hits else (0.0, 1.0)
    value = round(sum(hits) / len(hits), 3) if hits else None
    return {"hits": sum(hits), "of": len(hits), "share": value, "low": round(low, 3),
            "high": round(high, 3)}  # fmt: skip


def scored(found: Sequence[Film], least: float) -> dict[str, Any]:
    """How often the rule names what was planted, and when it should name nobody."""
    named = [(film, film.reason(least).carried_by) for film in found]
    single = [(film, name) for film, name in named if film.planted]
    both = [(film, name) for film, name in named if not film.planted]
    sure = [(film, name) for film, name in single if film.right]
    moments = [film.moment() for film in found if film.right]
    return {
        "least": round(least, 3),
        "answered right": {
            name: share([film.right for film in found if film.planted == of])
            for name, of in SHOWN_BY.items()
        },
        "the planted one is named": share([name == film.planted for film, name in single]),
        "of those answered right": share([name == film.planted for film, name in sure]),
        "of these, the other is named": share(
            [name not in ("", film.planted) for film, name in sure]
        ),
        "nobody is named where both carry": share([not name for _, name in both]),
        "of these answered right, nobody": share([not name for film, name in both if film.right]),
        "the strongest stretch is in the moment": share([hit for hit, _, _ in moments]),
        "share of all drops in it": round(float(np.mean([s for _, s, _ in moments])), 3),
        "by chance": round(float(np.mean([c for _, _, c in moments])), 3),
    }


def learned(place: Path, short: Path, seed: int, size: argparse.Namespace) -> Run:
    """A run that has learned from the train part."""
    vectors = size.part == "vectors"
    train(
        "claip-emo",
        preset="features" if vectors else size.preset,
        data=short,
        out=place / "run",
        overrides=[
            *(VECTORS if vectors else FILMS), f"epochs={size.epochs}", f"seed={seed}",
            *size.words,
        ],
        quiet=True,
    )  # fmt: skip
    return load(place / "run")


def one(place: Path, seed: int, size: argparse.Namespace) -> dict[str, Any]:
    """One corpus, one training, all scores."""
    short = corpus(place / "short", size, size.speakers, seed, 6.0)
    began = time.process_time()
    run = learned(place, short, seed, size)
    took = time.process_time() - began
    manifest, held = run.read(short), set(run.card["selection"]["ids"])
    began = time.process_time()
    chosen = explained(run, manifest, [row for row in manifest.rows if row.id in held], 6.0)
    taken = credit.calibrate(
        [float(f.answer.strengths("emotion").max()) for f in chosen if not f.planted and f.right]
    )
    parts = {"6 s": [row for row in manifest.rows if row.split == "test"]}
    found = {"6 s": explained(run, manifest, parts["6 s"], 6.0)}
    for seconds in LONGER[size.part]:
        path = place / f"long-{seconds:g}"
        made = run.read(corpus(path, size, size.speakers // 8, seed + 1000, seconds))
        found[f"{seconds:g} s"] = explained(run, made, made.rows, seconds)
    count = len(chosen) + sum(map(len, found.values()))
    return {
        "seed": seed,
        "cpu_seconds_of_training": round(took, 1),
        "cpu_seconds_a_clip_explained": round((time.process_time() - began) / count, 3),
        "calibrated": {
            "least": round(taken.least, 3), "named": taken.named, "clips": taken.clips,
            "high": round(taken.high, 3),
        },
        **{
            f"{name}, {which}": scored(films, least)
            for name, films in found.items()
            for which, least in (("calibrated", taken.least), ("default", credit.LEAST))
        },
        "strengths": {
            name: {
                by: sorted(
                    round(float(f.answer.strengths("emotion").max()), 3)
                    for f in films if f.right and f.planted == of
                )
                for by, of in SHOWN_BY.items()
            }
            for name, films in found.items()
        },
    }  # fmt: skip


def main() -> None:
    """Every seed in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/explanations"))
    parser.add_argument("--part", choices=["vectors", "films"], default="vectors")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--speakers", type=int, default=32)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--preset", default="pocket" if pocket.installed() else "laptop")
    parser.add_argument("--face-weights", type=Path, help="YuNet's ONNX file (films)")
    parser.add_argument("--smoke", action="store_true", help="everything once, too little")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="of the training")
    size = parser.parse_intermixed_args()
    if size.smoke:
        size.speakers, size.epochs = 8, 1
    found = []
    for seed in map(int, size.seeds.split(",")):
        found.append(one(size.out / size.part / f"seed-{seed}", seed, size))
        print(json.dumps({k: v for k, v in found[-1].items() if k != "strengths"}, indent=1))
    (size.out / f"{size.part}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
