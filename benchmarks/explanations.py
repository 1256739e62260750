"""Do explanations find what was planted? Films of which it is known who carries the emotion, when.

Draws films (`mien data synthetic --kind planted`), trains CLAIP-Emo small on people, and explains
the answers to films of others: of 6 seconds, and of 12 that it never learned from. The margin from
which a modality is named is taken from films of the held-out part in which face and voice agree,
and the one that `mien predict --explain` has by default is scored beside it.

    python benchmarks/explanations.py --out runs/explanations [--seeds 0,1] [--smoke]
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
LEARNS = (
    *("model.frames=24", "model.stride=12", "model.audio_seconds=12", "augment=none"),
    *("batch_size=16", "lr=1e-3", "modality_dropout=0.2"),
)


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


def films(place: Path, speakers: int, clips: int, seed: int, seconds: float) -> Path:
    """Films and their faces and voices, drawn once."""
    made = synthesise(
        place, kind="planted", speakers=speakers, clips=clips, seed=seed, seconds=seconds, jobs=1
    )
    return prepare(made.manifest, recipe=Recipe(crop=CropRecipe(size=64)), jobs=1).manifest


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


def one(place: Path, seed: int, size: argparse.Namespace) -> dict[str, Any]:
    """One corpus, one training, all scores."""
    short = films(place / "films", size.speakers, size.clips, seed, 6.0)
    long = films(place / "long", max(2, size.speakers // 8), size.clips, seed + 1, 12.0)
    began = time.process_time()
    train(
        "claip-emo",
        preset=size.preset,
        data=short,
        out=place / "run",
        overrides=[*LEARNS, f"epochs={size.epochs}", f"seed={seed}"],
        quiet=True,
    )
    learned = time.process_time() - began
    run = load(place / "run")
    manifest, held = run.read(short), set(run.card["selection"]["ids"])
    began = time.process_time()
    chosen = explained(run, manifest, [row for row in manifest.rows if row.id in held], 6.0)
    agreeing = [float(f.answer.strengths("emotion").max()) for f in chosen if not f.planted]
    taken = credit.calibrate(agreeing)
    test = explained(run, manifest, [row for row in manifest.rows if row.split == "test"], 6.0)
    others = run.read(long)
    longer = explained(run, others, others.rows, 12.0)
    count = len(chosen) + len(test) + len(longer)
    return {
        "seed": seed,
        "cpu_seconds_of_training": round(learned, 1),
        "cpu_seconds_a_clip_explained": round((time.process_time() - began) / count, 3),
        "calibrated": {
            "least": round(taken.least, 3), "named": taken.named, "clips": taken.clips,
            "high": round(taken.high, 3),
        },
        "test, calibrated": scored(test, taken.least),
        "test, default": scored(test, credit.LEAST),
        "long, calibrated": scored(longer, taken.least),
        "long, default": scored(longer, credit.LEAST),
    }  # fmt: skip


def main() -> None:
    """Every seed in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/explanations"))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--speakers", type=int, default=32)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--preset", default="pocket" if pocket.installed() else "laptop")
    parser.add_argument("--smoke", action="store_true", help="everything once, too little")
    size = parser.parse_args()
    if size.smoke:
        size.speakers, size.epochs = 4, 1
    found = []
    for seed in map(int, size.seeds.split(",")):
        found.append(one(size.out / f"seed-{seed}", seed, size))
        print(json.dumps(found[-1], indent=1))
    (size.out / "explanations.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
