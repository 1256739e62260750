"""Does reading frames over time help? Long made-up videos whose frames are noisy, one by one.

What somebody's face does over minutes comes from the same acting as `mien data synthetic --kind
long`, with nothing drawn: a frame's vector is a fixed random mixture of the action units, moved a
little for each person, and noise of its own. A frame without a visible face is absent. The noise is
set so that a ridge regression on single frames reaches a mean CCC in the middle of 0.40 to 0.65 on
people it has not met.

Three models of mien then learn valence and arousal, and action units, each by itself: the
perceptron frame by frame (``model.parts=[]``), the sequence model, and the sequence model on the
same frames in random order. All are scored on held-out people, intervals bootstrapped over people.
The sequence helps where its lower bound lies above the upper bound of the perceptron's, and the
order of frames is why, if it does not help when they are shuffled.

    python benchmarks/sequence_helps.py --out runs/sequence [--preset laptop] [--seeds 0,1,2]

What is finished is kept: give the same command again after an interruption. ``--smoke`` runs all of
it once, too little to learn from.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mien import tasks
from mien.data import takes
from mien.data.acted import ACTION_UNITS
from mien.data.manifest import Manifest, Row, Track
from mien.data.rows import Label
from mien.data.synthetic import Recipe
from mien.run.train import train
from mien.tasks.action_units import ABAW_ACTION_UNITS
from mien.tasks.affect import ABAW_AFFECT

Values = NDArray[np.float64]

TASKS = {"affect": (ABAW_AFFECT, "ccc"), "action_units": (ABAW_ACTION_UNITS, "f1")}
WANTED = (0.40, 0.65)
PERSONAL = 0.3  # deviation of what a person adds to all of their vectors, of the mixture's own
RIDGE = 10.0


@dataclass(frozen=True)
class Setup:
    """How much is made and trained.

    Args:
        out: folder.
        preset: of clip-sequential; its sequence model's sizes and rates.
        speakers: people; the last quarter is held out.
        films: of each.
        seconds: of each film.
        width: of a frame's vector.
        epochs: of a training; None: as many as the preset says.
    """

    out: Path
    preset: str = "laptop"
    speakers: int = 24
    films: int = 3
    seconds: float = 120.0
    width: int = 96
    epochs: int | None = None


@dataclass(frozen=True)
class Film:
    """One long video without its pictures.

    Shapes: units (F, U) intensities, values (F, 2), seen (F).
    """

    id: str
    speaker: str
    split: str
    units: Values
    values: Values
    seen: NDArray[np.bool_]


# -- videos ----------------------------------------------------------------------------------------


def films(setup: Setup, seed: int) -> list[Film]:
    """What everybody's face does."""
    recipe = Recipe(
        kind="long", speakers=setup.speakers, films=setup.films, seconds=setup.seconds, seed=seed
    )
    made = []
    for take in recipe.takes():
        shot = takes.staged(take)
        values = np.stack([shot.acting.valence, shot.acting.arousal], 1)
        made.append(
            Film(
                take.id,
                f"s{take.speaker:02d}",
                recipe.part(take.speaker),
                shot.acting.units,
                values,
                shot.visible,
            )
        )
    return made


def vectors(found: list[Film], width: int, noise: float, seed: int) -> list[Values]:
    """The vectors (F, D) of each film's frames."""
    random = np.random.default_rng([seed, 7])
    mixture = random.normal(size=(len(ACTION_UNITS), width)) / len(ACTION_UNITS) ** 0.5
    people = {
        name: PERSONAL * random.normal(size=width) / len(ACTION_UNITS) ** 0.5
        for name in sorted({film.speaker for film in found})
    }
    return [
        np.tanh(film.units @ mixture + people[film.speaker])
        + noise * random.normal(size=(len(film.units), width))
        for film in found
    ]


def calibrated(found: list[Film], setup: Setup, seed: int) -> tuple[float, float]:
    """The noise at which single frames tell about half, and how much they tell then."""
    low, high = 0.0, 20.0
    wanted = sum(WANTED) / 2
    noise = told = 0.0
    for _ in range(14):
        noise = (low + high) / 2
        told = _ridge(found, vectors(found, setup.width, noise, seed))
        low, high = (noise, high) if told > wanted else (low, noise)
    return noise, told


def _ridge(found: list[Film], faces: list[Values]) -> float:
    """Mean CCC of a ridge regression on frames of half of the train people, on the others."""
    people = sorted({film.speaker for film in found if film.split == "train"})
    taught = set(people[: len(people) // 2])
    pairs = [(f, x) for f, x in zip(found, faces, strict=True) if f.split == "train"]

    def stacked(known: bool) -> tuple[Values, Values]:
        chosen = [(f, x) for f, x in pairs if (f.speaker in taught) is known]
        x = np.concatenate([x[f.seen] for f, x in chosen])
        return x, np.concatenate([f.values[f.seen] for f, _ in chosen])

    (x, y), (new, truth) = stacked(True), stacked(False)
    middle, mean = x.mean(0), y.mean(0)
    gram = (x - middle).T @ (x - middle) + RIDGE * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, (x - middle).T @ (y - mean))
    return tasks.scores(ABAW_AFFECT, truth, (new - middle) @ weights + mean)["ccc"]


def write(setup: Setup, seed: int, *, shuffled: bool) -> tuple[Path, dict[str, float]]:
    """A manifest of vectors with their truth; shuffled: the frames of each film in random order."""
    place = setup.out / f"seed-{seed}" / ("shuffled" if shuffled else "ordered")
    path, note = place / "frames.jsonl", place / "made.json"
    if note.exists():
        return path, json.loads(note.read_text())
    place.mkdir(parents=True, exist_ok=True)
    found = films(setup, seed)
    noise, told = calibrated(found, setup, seed)
    faces, rows = vectors(found, setup.width, noise, seed), list[Row]()
    random = np.random.default_rng([seed, 8])
    for film, face in zip(found, faces, strict=True):
        order = random.permutation(len(face)) if shuffled else np.arange(len(face))
        rows.append(_row(place, film, face[order].astype(np.float32), order))
    declared = {name: spec for name, (spec, _) in TASKS.items()}
    Manifest(rows, path, tasks=declared).write(path)
    facts = {"noise": noise, "ridge_ccc": told}
    note.write_text(json.dumps(facts))
    return path, facts


def _row(place: Path, film: Film, face: NDArray[np.float32], order: NDArray[np.int64]) -> Row:
    seen = film.seen[order]
    tensors: dict[str, NDArray[Any]] = {"face": face * seen[:, None]}
    tensors["face.seen"] = seen.astype(np.uint8)
    save_file(tensors, place / f"{film.id}.safetensors")
    labels: dict[str, Label] = {}
    present = np.where(film.seen[:, None], film.units >= takes.PRESENT, -1)
    for name, values in (("affect", film.values), ("action_units", present)):
        with (place / f"{film.id}.{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(TASKS[name][0].labels)
            table.writerows(np.round(values[order], 4).tolist())
        labels[name] = Track(f"{film.id}.{name}.csv", fps=takes.FPS)
    return replace(
        Row(id=film.id, speaker=film.speaker, fps=takes.FPS, labels=labels),
        split="test" if film.split == "test" else "train",
        features={"face": f"{film.id}.safetensors::face"},
    )


# -- trainings -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """A score with its interval over people."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def trained(setup: Setup, seed: int, model: str, task: str) -> Scored:
    """Train one model for one task, or take what an earlier call left."""
    data, _ = write(setup, seed, shuffled=model == "shuffled")
    words = [f"data.tasks=[{task}]", f"seed={seed}", f"model.feature_dims.face={setup.width}"]
    words += ["parts=[]"] if model == "frame by frame" else []
    words += [f"epochs={setup.epochs}"] if setup.epochs else []
    out = setup.out / f"seed-{seed}" / f"{model.replace(' ', '-')}-{task}"
    metrics: dict[str, Any] = train(
        "clip-sequential", preset=setup.preset, data=data, out=out, overrides=words
    )
    body, key = metrics["tasks"][task], TASKS[task][1]
    span = body["intervals"][key]["groups"]
    return Scored(body["scores"][key], span["low"], span["high"])


def compared(setup: Setup, seeds: list[int]) -> Iterator[str]:
    """What came of it, a line each."""
    for seed in seeds:
        _, facts = write(setup, seed, shuffled=False)
        yield f"seed {seed}: noise {facts['noise']:.2f}, ridge CCC {facts['ridge_ccc']:.3f}"
        for task, (_, key) in TASKS.items():
            names = ("frame by frame", "sequence", "shuffled")
            found = {name: trained(setup, seed, name, task) for name in names}
            alone, together = found["frame by frame"], found["sequence"]
            yield f"  {task}, {key}: " + ", ".join(f"{n} {s}" for n, s in found.items())
            helps = "above" if together.low > alone.high else "not above"
            order = "still above" if found["shuffled"].low > alone.high else "back down"
            yield f"    lower bound {helps} the upper one of single frames; shuffled: {order}"
            if task == "affect" and not WANTED[0] <= alone.value <= WANTED[1]:
                yield f"    frame by frame lies outside {WANTED[0]:.2f} to {WANTED[1]:.2f}"


def main() -> None:
    """Make, train, compare."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    words.add_argument("--out", type=Path, default=Path("runs/sequence"))
    words.add_argument("--preset", default="laptop")
    words.add_argument("--seeds", default="0,1,2")
    words.add_argument("--speakers", type=int, default=24)
    words.add_argument("--films", type=int, default=3)
    words.add_argument("--seconds", type=float, default=120.0)
    words.add_argument("--epochs", type=int)
    words.add_argument("--smoke", action="store_true")
    given = words.parse_args()
    setup = Setup(
        given.out, given.preset, given.speakers, given.films, given.seconds, epochs=given.epochs
    )
    seeds = [int(seed) for seed in given.seeds.split(",")]
    if given.smoke:
        setup = replace(setup, speakers=8, films=1, seconds=20.0, epochs=1)
        seeds = seeds[:1]
    for line in compared(setup, seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
