"""How fast mien-pocket watches a film, beside the package `fer` on the same film in the same run.

    python benchmarks/pocket.py talk.mp4 --face-weights yunet.onnx --peer peer/bin/python

* the command: `mien predict FILM` from nothing, starting Python included, its peak memory
* warm: the same film once more in a process that has the model
* every frame: the face of each frame is read, none twice
* the peer: `fer`, every frame, once it is loaded; benchmarks/peer_fer.py says how to install it

Windows are two seconds long and start every half second: two of the voice and sixteen readings of
the face for each second of film.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import mien
from mien.data import media
from mien.data.faces import Detector, open_detector
from mien.parts.media import MediaFrontEnd
from mien.run import seeing
from mien.run.predict import Predictor

WINDOW, HOP = 2.0, 0.5
PEER = Path(__file__).with_name("peer_fer.py")


def command(film: Path, weights: Path | None) -> tuple[float, float]:
    """Seconds and peak megabytes of the command."""
    with tempfile.TemporaryDirectory() as place:
        words = [sys.executable, "-m", "mien.cli", "predict", str(film), "--out", place]
        words += ["--window", str(WINDOW), "--hop", str(HOP), "--quiet"]
        words += ["--face-weights", str(weights)] if weights else []
        start = time.perf_counter()
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
    if status:
        raise SystemExit("mien predict failed")
    return seconds, usage.ru_maxrss / 1024


def warm(film: Path, detector: Detector, *, every_frame: bool = False) -> dict[str, Any]:
    """Seconds of a second look, and how many faces and voices were read in it."""
    run = mien.load("pocket")
    view = replace(seeing.view_of(run), window=WINDOW, hop=WINDOW if every_frame else HOP)
    if every_frame:
        front = run.front_end
        assert isinstance(front, MediaFrontEnd)
        front.video.frames, front.video.stride = round(WINDOW * view.fps), 1
    counts = {"faces": 0, "voices": 0}
    network: Any = run.model
    network.opinions["video"].tower.net.register_forward_hook(
        lambda _, given, __: counts.update(faces=counts["faces"] + len(given[0]))
    )
    network.opinions["audio"].tower.net.register_forward_hook(
        lambda _, given, __: counts.update(voices=counts["voices"] + len(given[0]))
    )
    predictor = Predictor(run, view, detector)
    predictor.predict(film)
    counts.update(faces=0, voices=0)
    start = time.perf_counter()
    predictor.predict(film)
    return {"seconds": time.perf_counter() - start} | counts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("film", type=Path)
    parser.add_argument("--face-weights", type=Path, help="YuNet's ONNX file (default: Haar)")
    parser.add_argument("--peer", type=Path, help="Python of an environment that has `fer`")
    parser.add_argument("--times", type=int, default=3, help="how often; the median is told")
    given = parser.parse_args()
    facts = media.probe(given.film)
    length = float(facts.duration or 0)
    detector = open_detector("yunet" if given.face_weights else "haar", given.face_weights)
    found: dict[str, Any] = {"film_seconds": length, "detector": detector.name}
    runs = sorted(command(given.film, given.face_weights) for _ in range(given.times))
    seconds, _ = runs[len(runs) // 2]
    found["command"] = {
        "seconds": seconds,
        "times_real_time": length / seconds,
        "peak_mb": max(memory for _, memory in runs),
    }
    for name, every in (("warm", False), ("every_frame", True)):
        one = warm(given.film, detector, every_frame=every)
        found[name] = one | {
            "times_real_time": length / one["seconds"],
            "faces_a_second_of_film": one["faces"] / length,
            "voices_a_second_of_film": one["voices"] / length,
            "faces_a_second": one["faces"] / one["seconds"],
        }
    if given.peer is not None:
        told = subprocess.run(
            [given.peer, PEER, "film", given.film], capture_output=True, text=True, check=True
        )
        found["peer"] = json.loads(told.stdout.strip().splitlines()[-1])
    found["peak_mb_here"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
