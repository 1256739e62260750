"""Do triplets teach emotions of voices? M2FNet's audio extractor on RAVDESS, at retrieval.

::

    python benchmarks/triplet_retrieval.py --data ravdess_speech --out runs/triplets
    python benchmarks/triplet_retrieval.py --data ravdess_speech --out runs/small --small

The extractor learns from 18 actors, 3 of them choose the epoch, and 6 are tested: each clip of them
asks for clips of the same emotion by *other* actors among the six. Recall at 1, mean average
precision with an interval over actors who ask, and the difference to the same network as it began
(same seed), with ``--seeds`` one or several. Chance is the share of clips of the same emotion.
``--small`` reads 3 emotions, every second repetition, and trains for a few epochs: about five
minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import mien
from mien.data.manifest import Manifest, Row
from mien.data.sound import waveform
from mien.run import infer
from mien.run.load import Run
from mien.run.train import train

Floats = NDArray[np.float64]
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
FEW = ("happy", "sad", "angry")
TESTED, CHOOSING = range(19, 25), range(16, 19)
RESAMPLES = 2000


def corpus(data: Path, out: Path, *, small: bool) -> Path:
    """Every clip as samples in a file, and a manifest of them with whole actors in each part."""
    rows, waves = [], out / "waves"
    waves.mkdir(parents=True, exist_ok=True)
    for path in sorted(data.glob("Actor_*/*.flac")):
        _, _, emotion, _, _, again, actor = (int(part) for part in path.stem.split("-"))
        name = EMOTIONS[emotion - 1]
        if small and (name not in FEW or again == 2):
            continue
        file = waves / f"{path.stem}.npy"
        if not file.exists():
            np.save(file, waveform(path, 16_000)[0])
        split = "test" if actor in TESTED else ("val" if actor in CHOOSING else "train")
        rows.append(
            {
                "id": path.stem, "speaker": f"{actor:02d}", "split": split,
                "features": {"audio": f"waves/{file.name}"}, "labels": {"emotion": name},
            }
        )  # fmt: skip
    goal = out / "ravdess.jsonl"
    goal.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return goal


@torch.inference_mode()
def vectors(run: Run, manifest: Manifest, rows: list[Row]) -> Floats:
    """A vector of length 1 for each row."""
    found: dict[str, Floats] = {}
    for batch in infer.batches(run.dataset(manifest, rows), {}, 32, run.front_end):
        made = run.whole(batch).features["audio"].double().numpy()
        found |= dict(zip(batch.ids, made, strict=True))
    whole = np.stack([found[row.id] for row in rows])
    return np.asarray(whole / np.linalg.norm(whole, axis=1, keepdims=True), np.float64)


def asked(vectors_found: Floats, rows: list[Row]) -> dict[str, Floats]:
    """Recall at 1 and average precision of each clip, among clips of other actors."""
    near = vectors_found @ vectors_found.T
    actors = np.array([row.speaker for row in rows])
    labels = np.array([str(row.labels["emotion"]) for row in rows])
    first, precision, chance = [], [], []
    for i in range(len(rows)):
        others = np.flatnonzero(actors != actors[i])
        hits = (labels[others] == labels[i])[np.argsort(-near[i, others], kind="stable")]
        ranks = np.flatnonzero(hits) + 1
        first.append(float(hits[0]))
        precision.append(float((np.arange(1, len(ranks) + 1) / ranks).mean()))
        chance.append(float(hits.mean()))
    return {name: np.array(v) for name, v in
            (("recall_1", first), ("map", precision), ("chance", chance))}  # fmt: skip


def interval(values: Floats, actors: NDArray[np.str_]) -> tuple[float, float, float]:
    """The mean over clips, and its 95 % interval over actors that are drawn again."""
    names = np.unique(actors)
    sums = np.array([values[actors == name].sum() for name in names])
    counts = np.array([(actors == name).sum() for name in names])
    drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def begun(run: Run, seed: int) -> Run:
    """The same network as it was before its training: the same seed, no step."""
    from mien.run import assemble
    from mien.run.batches import seed_for

    settings = run.settings.for_stage("audio")
    torch.manual_seed(seed_for(seed, "audio", "build"))
    model = assemble.build(run.stage, settings, run.specs)
    return Run(run.path, run.settings, run.specs, run.card, model.eval())


def main() -> None:
    """Train, ask, and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("words", nargs="*", help="settings, such as epochs=40")
    args = parser.parse_args()
    data = corpus(args.data, args.out, small=args.small)
    few = ["epochs=25", "batch_size=32", "audio_seconds=2.5", "resnet=8"] if args.small else []
    report: dict[str, Any] = {}
    for seed in args.seeds:
        place = args.out / f"audio-{seed}"
        train("m2fnet", preset="laptop", stage="audio", data=data, out=place, quiet=True,
              overrides=[f"seed={seed}", *few, *args.words])  # fmt: skip
        run = mien.load(place)
        manifest = run.read(data)
        rows = [row for row in manifest.rows if row.split == "test"]
        actors = np.array([row.speaker for row in rows])
        after = asked(vectors(run, manifest, rows), rows)
        before = asked(vectors(begun(run, seed), manifest, rows), rows)
        body = {f"after {k}": interval(v, actors) for k, v in after.items()}
        body |= {f"before {k}": interval(v, actors) for k, v in before.items()}
        for key in ("recall_1", "map"):
            body[f"difference {key}"] = interval(after[key] - before[key], actors)
        report[str(seed)] = body
        for key, (value, low, high) in body.items():
            print(f"seed {seed}  {key:<20} {value:.3f} ({low:.3f} to {high:.3f})", flush=True)
    (args.out / "retrieval.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
