"""A small masked pre-training, and clips for it that are noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mien.run.train import train


def clips(
    folder: Path,
    *,
    count: int = 12,
    named: Callable[[int], str] = "c{}".format,
    video: bool = True,
    seed: int = 0,
    **fields: Any,
) -> Path:
    """A manifest of frames and waveforms as arrays, two clips a speaker; the last lacks its face.

    Args:
        folder: where to write it.
        count: clips.
        named: number of a clip to its id.
        video: whether there are faces at all.
        seed: of the noise.
        fields: more of every row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random, lines = np.random.default_rng(seed), []
    for i in range(count):
        sound = random.normal(0, 0.1, 12000).astype(np.float32)
        face = random.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
        np.save(folder / f"audio{i}.npy", sound)
        np.save(folder / f"video{i}.npy", face)
        features = {"audio": f"audio{i}.npy"}
        if video and i + 1 < count:
            features["video"] = f"video{i}.npy"
        row = {"id": named(i), "speaker": f"p{i // 2}", "features": features, **fields}
        lines.append(json.dumps(row) + "\n")
    path = folder / "clips.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def pretrained(data: Path, out: Path, *words: str) -> Path:
    """HiCMAE's first stage, two epochs of it."""
    overrides = ["epochs=2", "batch_size=4", "data.held_out=0.4", *words]
    train(
        "hicmae", preset="tiny", stage="pretrain", data=data, out=out, overrides=overrides,
        quiet=True,
    )  # fmt: skip
    return out
