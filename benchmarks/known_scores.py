"""MER-CLIP's regression, on vectors of scores that are known.

Made-up vectors in the layout of MMSA's files: arrays padded to one length, with lengths, -inf in
the sound, and `video$_$clip` names; shorter and thinner than the published ones. A trained run is
scored on the last quarter of the videos, beside what knows nothing (the median), what a ridge
regression reads of the means over time, and the same network with a perceptron in the place of its
labels.

    python benchmarks/known_scores.py --out runs/scores [--smoke]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from sklearn.preprocessing import StandardScaler

from label_guided import Floats, Rows, Said, Setup, written
from mien.run import infer
from mien.run.load import load
from mien.tasks.sentiment import argmax_accuracy


def score(setup: Setup) -> None:
    """Train on vectors of known scores, and say how far the answers are off."""
    arrays = mmsa_like(np.random.default_rng(0), setup.rows or 1200)
    path, linear = mmsa_manifest(setup.out / "made", arrays)
    known = load_file(setup.out / "made/truth.safetensors")["sentiment"]
    print(f"the median                 MAE {np.abs(known - np.median(known)).mean():.3f}")
    print(f"ridge on means over time   MAE {linear:.3f}")
    for head in ("labels", "regression"):
        run = setup.fit(head, path, f"head={head}", "dim=32", "epochs=15")
        said = Said.of([run], path)
        names = ("mae", "pearson", "acc2_non0", "acc7")
        print(f"head={head:<11}", "  ".join(f"{n} {said.score(n)}" for n in names), flush=True)
        if head == "labels":
            print(f"acc7_argmax {_likeliest(run, path):.3f}, another score than acc7")


@torch.inference_mode()
def _likeliest(place: Path, data: Path) -> float:
    """Accuracy of the likeliest of the seven labels."""
    run = load(place)
    manifest = run.read(data)
    tested = run.dataset(manifest, [row for row in manifest.rows if row.split == "test"])
    truth, chances = [], []
    for batch in infer.batches(tested, run.specs, 64, run.front_end):
        truth.append(batch.targets["sentiment"][:, 0].numpy())
        chances.append(run.whole(batch).aux["sentiment_classes"].softmax(-1).numpy())
    return argmax_accuracy(np.concatenate(truth), np.concatenate(chances))


def mmsa_like(random: np.random.Generator, count: int) -> dict[str, Any]:
    """Arrays of a known score as an unaligned file of MMSA has them, shorter and thinner."""
    truth = np.round(random.uniform(-3, 3, count) * 5) / 5
    sizes = {"text": (12, 16), "audio": (20, 5), "vision": (16, 20)}
    noise = {"text": 2.0, "audio": 5.0, "vision": 8.0}  # of one position
    made: dict[str, Any] = {"regression_labels": truth}
    made["id"] = [f"video{i // 8}$_${i % 8}" for i in range(count)]
    for name, (longest, width) in sizes.items():
        way = random.normal(size=width) / np.sqrt(width)
        values = truth[:, None, None] * way + noise[name] * random.normal(
            size=(count, longest, width)
        ) / np.sqrt(width)
        lengths = random.integers(longest // 2, longest + 1, count)
        values[np.arange(longest) >= lengths[:, None]] = 0  # padding
        made[name], made[f"{name}_lengths"] = values, lengths
    made["audio"][random.random(made["audio"].shape) < 0.001] = -np.inf
    return made


def mmsa_manifest(folder: Path, arrays: Mapping[str, Any]) -> tuple[Path, float]:
    """A manifest of such arrays, without padding; and the error of the best linear reading."""
    folder.mkdir(parents=True, exist_ok=True)
    truth, count = np.asarray(arrays["regression_labels"]), len(arrays["id"])
    rows: Rows = {"id": [], "source": [], "split": [], "labels.sentiment": truth.tolist()}
    means, tensors = [], {}
    features: dict[str, list[str]] = {"text": [], "audio": [], "visual": []}
    for i, name in enumerate(arrays["id"]):
        video = name.partition("$_$")[0]
        rows["id"].append(name)
        rows["source"].append(video)
        rows["split"].append("test" if i >= 0.75 * count else "train")
        parts = []
        for feature, key in (("text", "text"), ("audio", "audio"), ("visual", "vision")):
            kept = np.asarray(arrays[key][i][: arrays[f"{key}_lengths"][i]])
            values = np.nan_to_num(kept, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
            tensors[f"{i}/{feature}"] = values
            features[feature].append(f"vectors.safetensors::{i}/{feature}")
            parts.append(values.mean(0))
        means.append(np.concatenate(parts))
    save_file(tensors, folder / "vectors.safetensors")
    x = np.stack(means)
    split = int(np.ceil(0.75 * count))
    save_file({"sentiment": truth[split:]}, folder / "truth.safetensors")
    rows |= {f"features.{feature}": refs for feature, refs in features.items()}
    return written(folder / "rows.parquet", rows), _linear(x, truth, split)


def _linear(x: Floats, truth: Floats, split: int) -> float:
    """Mean absolute error on the test part of a ridge regression on means over time."""
    scaled = StandardScaler().fit(x[:split])
    z = np.column_stack([scaled.transform(x), np.ones(len(x))])
    gram = z[:split].T @ z[:split] + 1.0 * np.eye(z.shape[1])
    weights = np.linalg.solve(gram, z[:split].T @ truth[:split])
    return float(np.abs(np.clip(z[split:] @ weights, -3, 3) - truth[split:]).mean())


def main() -> None:
    """Read the words, train, score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("runs/scores"))
    parser.add_argument("--encoder", default="letters", help="of labels: a sentence encoder")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    score(Setup(Path(), given.encoder, given.out, rows=200 if given.smoke else None))


if __name__ == "__main__":
    main()
