"""Streams and vectors: what is kept of two hours, and what looking at frames together saves.

The first part feeds a causal and a windowed sequence model random vectors, two minutes and two
hours of them at 30 a second, each in a process of its own, and prints the most memory that the
process had. The second makes the vectors of one prepared film with frames together and one by one.
Random weights.

    python benchmarks/over_time.py [--part stream|vectors] [--preset laptop] [--size 64]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mien.data.manifest import Manifest
from mien.data.writer import Writer, encode
from mien.run.extractor import Extraction, Job, work
from mien.run.load import Run, load
from mien.run.train import train

FPS = 30
PIECE = 30  # frames that come together
COUNT = 200  # frames of the film


def a_run(place: Path, preset: str, *words: str) -> Run:
    """A run over time that has learned next to nothing."""
    random, rows = np.random.default_rng(0), []
    for i in range(4):
        np.save(place / f"{i}.npy", random.normal(size=(64, 96)).astype(np.float32))
        np.save(place / f"y{i}.npy", random.uniform(-1, 1, (64, 2)))
        labels = {"affect": {"path": f"y{i}.npy"}}
        rows.append({"id": str(i), "features": {"face": f"{i}.npy"}, "labels": labels})
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["epochs=1", "train.select=last", "model.feature_dims.face=96", *words]
    out = place / "run"
    train(
        "clip-sequential",
        preset=preset,
        data=place / "rows.jsonl",
        out=out,
        overrides=given,
        quiet=True,
    )
    return load(out)


def streamed(seconds: int, preset: str, attention: str) -> dict[str, float]:
    """Feed so many seconds, and say what it took."""
    with tempfile.TemporaryDirectory() as folder:
        live = a_run(Path(folder), preset, f"attention={attention}").live()
    random, answered, began = np.random.default_rng(0), 0, time.process_time()
    piece = random.normal(size=(PIECE, 96)).astype(np.float32)
    for _ in range(seconds * FPS // PIECE):
        answered += len(live.feed(piece))
    answered += len(live.finish())
    assert answered == seconds * FPS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux
    return {"peak": peak, "speed": answered / (time.process_time() - began)}


def streams(preset: str) -> None:
    """Two minutes beside two hours, each in a process of its own."""
    for attention in ("causal", "window"):
        found = {}
        for seconds in (120, 7200):
            words = ["--part", f"{attention}:{seconds}", "--preset", preset]
            done = subprocess.run(
                [sys.executable, __file__, *words], check=True, capture_output=True, text=True
            )
            found[seconds] = json.loads(done.stdout.splitlines()[-1])
        short, long = found[120], found[7200]
        print(
            f"{attention}: peak {short['peak']:.0f} MiB after 2 minutes, {long['peak']:.0f} MiB "
            f"after 2 hours; {long['speed']:,.0f} frames a second of CPU time"
        )


def vectors(preset: str, size: int) -> None:
    """One film of 8 s, its frames looked at 64 at a time and one by one."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with Writer(place / "0.shard", fps=25, rate=16000, size=size, spans=[(0.0, None)]) as shard:
            for k in range(COUNT):
                pixels = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
                box = (0.0, 0.0, float(size), float(size))
                shard.seen("face-1", k, shard.picture(encode(pixels, 95)), box, 0.9, True)
            shard.looked(0, COUNT)
            shard.finish({"recipe": {}})
        np.save(place / "y.npy", np.arange(COUNT) % 8)
        row = {"id": "a", "features": {"video": "0.shard::face-1"}}
        row["labels"] = {"expression": {"path": "y.npy", "fps": 25}}
        (place / "rows.jsonl").write_text(json.dumps(row))
        given = ["stages=[frames]", "epochs=1", "train.select=last", "every=20"]
        train(
            "clip-sequential",
            preset=preset,
            data=place / "rows.jsonl",
            out=place / "run",
            overrides=given,
            quiet=True,
        )
        manifest = Manifest.read(place / "rows.jsonl")
        seconds = dict[int, float]()
        for batch in (64, 1, 64, 1):
            job = Job(
                row=manifest.rows[0],
                feature="video",
                place=manifest.place,
                out=place / f"{batch}.safetensors",
            )
            began = time.process_time()
            work(Extraction(run=place / "run", batch=batch), job)
            took = time.process_time() - began
            seconds[batch] = min(took, seconds.get(batch, took))
    print(
        f"vectors: {COUNT / seconds[64]:,.0f} frames a second of CPU time 64 at once, "
        f"{COUNT / seconds[1]:,.0f} one by one: {seconds[1] / seconds[64]:.1f} times"
    )


def main() -> None:
    """Both parts, or one."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    words.add_argument("--part", default="all")
    words.add_argument("--preset", default="laptop")
    words.add_argument("--size", type=int, default=64)
    given = words.parse_args()
    if ":" in given.part:
        attention, _, seconds = given.part.partition(":")
        print(json.dumps(streamed(int(seconds), given.preset, attention)))
        return
    if given.part in ("all", "stream"):
        streams(given.preset)
    if given.part in ("all", "vectors"):
        vectors(given.preset, given.size)


if __name__ == "__main__":
    main()
