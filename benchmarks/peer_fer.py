"""The package `fer`, in an environment of its own, for it wants an older numpy than mien.

    python -m venv peer
    peer/bin/pip install fer tensorflow opencv-contrib-python
    peer/bin/python benchmarks/peer_fer.py film talk.mp4
    python recipes/pocket/faces.py TRAIN.parquet VALIDATION.parquet --out faces
    peer/bin/python benchmarks/peer_fer.py pictures faces/test.npz --out peer.npz

A film: the seconds that it takes to find and read the faces of every frame, once it is loaded.
Pictures: its probabilities, the whole picture being the face. Nothing of mien is imported here.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def film(path: Path) -> dict[str, float]:
    """Frames a second, finding included."""
    from fer.fer import FER

    reader = FER()
    video = cv2.VideoCapture(str(path))
    frames, faces, start = 0, 0, 0.0
    while True:
        there, frame = video.read()
        if not there:
            break
        if frames == 5:  # the first ones wait for the network to be built
            start = time.perf_counter()
        faces += len(reader.detect_emotions(frame))
        frames += 1
    seconds = time.perf_counter() - start
    return {"frames": frames - 5, "faces": faces, "seconds": seconds, "fps": (frames - 5) / seconds}


def pictures(path: Path, out: Path) -> None:
    """Scores (N, 7) of pictures (N, H, W)."""
    from fer.fer import FER

    reader, scores = FER(), []
    with np.load(path, allow_pickle=False) as kept:
        grey = kept["pictures"]
    for one in grey:
        height, width = one.shape
        # It adds ten pixels to each side of a face; so what it reads is the whole picture.
        inner = [10, 10, width - 20, height - 20]
        said = reader.detect_emotions(
            cv2.cvtColor(one, cv2.COLOR_GRAY2BGR), face_rectangles=[inner]
        )
        scores.append([said[0]["emotions"][label] for label in LABELS])
    np.savez(out, scores=np.asarray(scores, np.float64))


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("film", "pictures"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--out", type=Path, default=Path("peer.npz"))
    given = parser.parse_args()
    if given.what == "film":
        print(json.dumps(film(given.path)))
    else:
        pictures(given.path, given.out)


if __name__ == "__main__":
    main()
