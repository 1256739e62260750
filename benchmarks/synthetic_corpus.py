"""Made-up films: are their faces found, are means silent, and does it take both face and voice?

For each seed a corpus of its own is made: other people, other films, another training. Answers
about all test people are then pooled; intervals are bootstrapped over people.

    python benchmarks/synthetic_corpus.py --out made --face-weights yunet.onnx

What is finished is kept: give the same command again after an interruption. ``--only faces,probe``
leaves the trainings out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien import tasks
from mien.data import frames, takes
from mien.data.batch import RowDataset
from mien.data.crops import CropRecipe
from mien.data.faces import Detector, open_detector
from mien.data.manifest import Manifest
from mien.data.prepare import Recipe
from mien.data.synthetic import EMOTION
from mien.data.synthetic import Recipe as Films
from mien.run import answers, infer
from mien.run.load import load
from mien.run.prepare import prepare
from mien.run.synthesise import synthesise
from mien.run.train import train
from mien.tasks import intervals
from mien.types import Unit

Values = NDArray[np.float64]

PARTS = {"face": ["video"], "voice": ["audio"], "both": ["audio", "video"]}
EVERY = 10  # frames from one that is looked at to the next
STRENGTHS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)  # of the ridge
FOLDS = 6


@dataclass(frozen=True)
class Setup:
    """What is measured, and how much of it.

    Args:
        out: folder.
        films: of one seed.
        seeds: of corpora and trainings.
        weights: YuNet's file, or None.
        epochs: of a training; None: as many as the preset says.
        preset: of CLAIP-Emo.
    """

    out: Path
    films: Films
    seeds: tuple[int, ...]
    weights: Path | None
    epochs: int | None
    preset: str

    def place(self, seed: int) -> Path:
        """Folder of a seed."""
        return self.out / f"seed{seed}"


def made(setup: Setup, seed: int) -> Path:
    """The films of a seed, and the manifest of their crops and samples."""
    films = setup.films
    corpus = synthesise(
        setup.place(seed) / "corpus", speakers=films.speakers, clips=films.films, seed=seed
    ).manifest
    recipe = Recipe(crop=CropRecipe(size=64), weights=setup.weights)
    return prepare(corpus, recipe=recipe).manifest


# -- faces -----------------------------------------------------------------------------------------


def faces(setup: Setup) -> dict[str, Any]:
    """The share of frames in which each detector finds the face that was drawn."""
    detectors = {"haar": open_detector("haar")}
    if setup.weights is not None:
        detectors["yunet"] = open_detector("yunet", setup.weights)
    found: dict[str, dict[str, list[bool]]] = {name: {} for name in detectors}
    for seed in setup.seeds:
        films = replace(setup.films, seed=seed)
        for take in films.takes():
            path = setup.place(seed) / "corpus" / "clips" / f"{take.id}.mp4"
            shot = takes.staged(take)
            for name, detector in detectors.items():
                hits = list(_hits(detector, path, shot))
                for group in ("all", f"occlusion: {shot.how.occlusion}"):
                    found[name].setdefault(group, []).extend(hits)
    return {
        name: {
            group: {"found": round(float(np.mean(hits)), 4), "frames": len(hits)}
            for group, hits in sorted(groups.items())
        }
        for name, groups in found.items()
    }


def _hits(detector: Detector, path: Path, shot: takes.Shot) -> Iterator[bool]:
    """Of some frames: is there a face around the middle of the one that was drawn?"""
    for i, frame in enumerate(frames.recorded(path)):
        if i % EVERY or frame.pixels is None:
            continue
        x, y = shot.pose.x[i], shot.pose.y[i]
        boxes = [face.box for face in detector.detect([frame.pixels])[0]]
        yield any(
            left < x < left + wide and top < y < top + tall for left, top, wide, tall in boxes
        )


# -- what means give away --------------------------------------------------------------------------


def probe(setup: Setup) -> dict[str, Any]:
    """How well a linear classifier tells emotions by mean pictures and mean spectra.

    Ridge regression on classes in closed form, people apart. Its strength is chosen on the very
    answers that are scored: what is printed is more than an honest probe would reach.
    """
    by_seed: list[dict[str, float]] = []
    for seed in setup.seeds:
        pixels, spectra, classes, people = _means(made(setup, seed))
        both = np.concatenate([pixels, spectra], axis=1)
        inputs = {"pixels": pixels, "spectra": spectra, "both": both}
        by_seed.append(
            {
                name: max(_ridge(x, classes, people, strength) for strength in STRENGTHS)
                for name, x in inputs.items()
            }
        )
    return {
        name: {"uar": [round(one[name], 3) for one in by_seed]}
        for name in ("pixels", "spectra", "both")
    }


def _means(path: Path) -> tuple[Values, Values, NDArray[np.int64], NDArray[np.int64]]:
    """Mean crop and frame, mean log-spectrum, class and person of every clip."""
    manifest = Manifest.read(path)
    named = {"video": "video", "audio": "audio"}
    data = RowDataset(manifest.rows, manifest, named, {"emotion": EMOTION}, Unit.CLIP)
    people = {name: i for i, name in enumerate(sorted({str(row.speaker) for row in manifest.rows}))}
    pixels, spectra, classes, who = [], [], [], []
    for i, row in enumerate(manifest.rows):
        sample = data[i]
        crop = np.asarray(sample.inputs["video"], np.float32).mean(axis=0)
        shown = [frame.pixels for frame in frames.recorded(manifest.place.find(str(row.video)))]
        whole = np.mean([p for p in shown if p is not None], axis=0, dtype=np.float32)
        small = (_small(np.asarray(crop)), _small(np.asarray(whole)))
        pixels.append(np.concatenate(small))
        spectra.append(_spectrum(np.asarray(sample.inputs["audio"], np.float64)))
        classes.append(int(sample.targets["emotion"]))
        who.append(people[str(row.speaker)])
    return np.asarray(pixels), np.asarray(spectra), np.asarray(classes), np.asarray(who)


def _small(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture (H, W, 3) in 16 x 16 pixels, as a vector."""
    return cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()


def _spectrum(samples: Values) -> Values:
    """The mean of the logarithm of the power in 64 bands of 125 Hz."""
    pieces = np.lib.stride_tricks.sliding_window_view(samples, 512)[::256] * np.hanning(512)
    power = np.square(np.abs(np.fft.rfft(pieces, axis=1)))[:, 1:].reshape(len(pieces), 64, 4)
    return np.asarray(np.log(power.mean(axis=2) + 1e-7).mean(axis=0))


def _ridge(
    x: Values, classes: NDArray[np.int64], people: NDArray[np.int64], strength: float
) -> float:
    """Mean recall over people who were left out."""
    said = np.zeros_like(classes)
    for fold in range(FOLDS):
        test = people % FOLDS == fold
        mean, spread = x[~test].mean(axis=0), x[~test].std(axis=0) + 1e-9
        near, far = (x[~test] - mean) / spread, (x[test] - mean) / spread
        wanted = np.eye(EMOTION.width)[classes[~test]] - 1 / EMOTION.width
        kernel = near @ near.T + strength * np.eye(len(near))
        said[test] = (far @ near.T @ np.linalg.solve(kernel, wanted)).argmax(axis=1)
    return recall(classes, said)


def recall(classes: NDArray[np.int64], said: NDArray[np.int64]) -> float:
    """Mean over classes of the share that is recognised."""
    return float(np.mean([(said[classes == c] == c).mean() for c in np.unique(classes)]))


# -- what is learned -------------------------------------------------------------------------------


def learned(setup: Setup) -> dict[str, Any]:
    """Mean recall on people never met: of face, voice and both, and with face and voice apart."""
    pooled: dict[str, list[infer.Predictions]] = {}
    for seed in setup.seeds:
        corpus = made(setup, seed)
        for name, modalities in PARTS.items():
            run = setup.place(seed) / f"run-{name}"
            words = [f"model.modalities=[{', '.join(modalities)}]", f"seed={seed}"]
            words += [] if setup.epochs is None else [f"epochs={setup.epochs}"]
            train("claip-emo", preset=setup.preset, data=corpus, out=run, overrides=words)
            pooled.setdefault(name, []).append(answers.kept(run).seeds[seed])
        for side, found in _shuffled(setup, seed, corpus).items():
            pooled.setdefault(f"both, shuffled, by the {side}", []).append(found)
    return {name: _interval(found) for name, found in pooled.items()}


def _interval(found: Sequence[infer.Predictions]) -> dict[str, Any]:
    """Mean recall of all answers with its interval over people; every seed has its own."""
    targets, scores = (
        np.concatenate(parts)
        for parts in zip(*(one.tasks["emotion"].pooled() for one in found), strict=True)
    )
    groups = [f"{i}-{name}" for i, one in enumerate(found) for name in one.group]
    drawn = intervals.bootstrap(tasks.statistics(EMOTION), targets, scores, groups=groups)
    uar = drawn["uar"]
    by_seed = [
        recall(one.tasks["emotion"].pooled()[0].astype(int).ravel(), _said(one)) for one in found
    ]
    return {
        "uar": round(uar.value, 3), "low": round(uar.low, 3), "high": round(uar.high, 3),
        "by_seed": [round(value, 3) for value in by_seed], "clips": len(targets),
        "people": len(set(groups)),
    }  # fmt: skip


def _said(found: infer.Predictions) -> NDArray[np.int64]:
    return np.asarray(found.tasks["emotion"].pooled()[1].argmax(axis=1))


def _shuffled(setup: Setup, seed: int, corpus: Path) -> Mapping[str, infer.Predictions]:
    """The joint run on the face of one test clip with the voice of another, of another class.

    The label is once that of the face, once that of the voice.
    """
    run = load(setup.place(seed) / "run-both")
    manifest = run.read(corpus)
    test = [row for row in manifest.rows if row.split == "test"]
    random = np.random.default_rng(seed)
    order = random.permutation(len(test))
    while any(test[i].labels == test[j].labels for i, j in enumerate(order)):
        clash = [i for i, j in enumerate(order) if test[i].labels == test[j].labels]
        other = int(random.integers(len(test)))
        order[[clash[0], other]] = order[[other, clash[0]]]
    found = {}
    for side in ("face", "voice"):
        rows = []
        for row, j in zip(test, order, strict=True):
            voice = test[j]
            features = row.features | {"audio": voice.features["audio"]}
            labels = row.labels if side == "face" else voice.labels
            name = f"{row.id}+{voice.id}"
            rows.append(replace(row, id=name, features=features, labels=labels))
        found[side] = infer.predict(run.whole, run.dataset(manifest.only(rows), rows), run.specs)
    return found


# -- all of it -------------------------------------------------------------------------------------


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What was found, for a person."""
    for name, groups in found.get("faces", {}).items():
        for group, value in groups.items():
            yield f"{name:<6} {group:<20} {value['found']:.3f} of {value['frames']} frames"
    for name, value in found.get("probe", {}).items():
        yield f"linear probe, {name:<8} UAR {', '.join(f'{v:.3f}' for v in value['uar'])}"
    for name, value in found.get("learned", {}).items():
        by_seed = ", ".join(f"{v:.3f}" for v in value["by_seed"])
        yield (
            f"{name:<29} UAR {value['uar']:.3f} ({value['low']:.3f} to {value['high']:.3f}), "
            f"by seed {by_seed}; {value['clips']} clips of {value['people']} people"
        )


def main() -> None:
    """Measure, print, and keep ``results.json``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--face-weights", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--speakers", type=int, default=24)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--only", default="faces,probe,learned")
    given = parser.parse_args()
    setup = Setup(
        out=given.out,
        films=Films(speakers=given.speakers, films=given.clips),
        seeds=tuple(int(seed) for seed in given.seeds.split(",")),
        weights=given.face_weights,
        epochs=given.epochs,
        preset=given.preset,
    )
    for seed in setup.seeds:
        made(setup, seed)
    steps = {"faces": faces, "probe": probe, "learned": learned}
    found: dict[str, Any] = {}
    for name in given.only.split(","):
        found[name] = steps[name](setup)
        print("\n".join(lines({name: found[name]})), flush=True)
    (setup.out / "results.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
