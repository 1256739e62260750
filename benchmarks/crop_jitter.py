"""How much the crop of one face varies when its picture is taken again.

Each picture is copied several times: shifted by up to 8 pixels, turned by up to 3 degrees, scaled
by up to a tenth, lighter or darker, noisy, and compressed as JPEG. A detector finds the faces in
every copy; what the copy did is undone, and what is left of the difference between the crops is the
detector's own. Its spread is the default of `mien.parts.facewear`.

    python benchmarks/crop_jitter.py VIDEO... --face-weights yunet.onnx --faces fer2013.parquet

Haar finds upright boxes, so it does not follow a turn: the turns of the copies are its spread.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import pasted_faces
from mien.data.crops import CropRecipe
from mien.data.faces import Detector, Pixels, open_detector
from mien.data.frames import sampled

Matrix = NDArray[np.float64]  # (3, 3)

COPIES = 8
SIDES = (90, 140, 220)
_RECIPE = CropRecipe(size=64)


def copied(pixels: Pixels, random: np.random.Generator) -> tuple[Pixels, Matrix]:
    """Another picture of the same, and the matrix from the picture to it."""
    height, width = pixels.shape[:2]
    turn = math.exp(random.uniform(-0.1, 0.1)) * np.exp(1j * math.radians(random.uniform(-3, 3)))
    middle = complex(width / 2, height / 2)
    shift = middle - turn * middle + complex(*random.uniform(-8, 8, 2))
    matrix = np.asarray(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag], [0, 0, 1]]
    )
    half = np.asarray([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from pixels' middles
    inner = (np.linalg.inv(half) @ matrix @ half)[:2]
    moved = cv2.warpAffine(pixels, inner, (width, height), borderMode=cv2.BORDER_REPLICATE)
    noise = random.normal(0, random.uniform(0, 8), moved.shape)
    worn = (moved * random.uniform(0.8, 1.2) + noise).clip(0, 255).astype(np.uint8)
    quality = int(random.uniform(40, 95))
    _, content = cv2.imencode(".jpg", worn, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8), matrix


def crops(detector: Detector, pixels: Pixels) -> list[Matrix]:
    """From the picture to each crop, 0..1 along each side."""
    found = [_RECIPE.matrix(face) / _RECIPE.size for face in detector.detect([pixels])[0]]
    return [np.vstack([matrix, [0, 0, 1]]) for matrix in found]


def difference(one: Matrix, two: Matrix) -> NDArray[np.float64] | None:
    """Shift across and down, logarithm of the scale, degrees; None for another face's crop."""
    apart = two @ np.linalg.inv(one)
    across, down, _ = apart @ [0.5, 0.5, 1] - [0.5, 0.5, 1]
    scale = math.hypot(apart[0, 0], apart[1, 0])
    if max(abs(across), abs(down)) > 0.25 or not 0.6 < scale < 1.6:
        return None
    angle = math.degrees(math.atan2(apart[1, 0], apart[0, 0]))
    return np.asarray([across, down, math.log(scale), angle])


def spread(
    detector: Detector, pixels: Pixels, random: np.random.Generator
) -> list[NDArray[np.float64]]:
    """For each face that is found again, how its crops lie about their mean: (copies, 4)."""
    first = crops(detector, pixels)
    again: list[list[NDArray[np.float64]]] = [[] for _ in first]
    for _ in range(COPIES):
        copy, matrix = copied(pixels, random)
        for found in crops(detector, copy):
            for values, one in zip(again, first, strict=True):
                apart = difference(one, found @ matrix)
                if apart is not None:
                    values.append(apart)
                    break
    kept = [np.asarray(values) for values in again if len(values) >= COPIES // 2 + 1]
    # A mean of n draws is off itself by a share of 1 / n of their variance.
    return [(v - v.mean(0)) * math.sqrt(len(v) / (len(v) - 1)) for v in kept]


def pictures(
    videos: list[Path], faces: Path | None, random: np.random.Generator
) -> Iterator[tuple[str, Pixels]]:
    """Some frames of each video, and pasted squares."""
    for path in videos:
        for frame in islice(sampled(path, fps=1.5), 12):
            if frame.pixels is not None:
                yield path.stem[:20], frame.pixels
    if faces is not None:
        squares, _ = pasted_faces.read(faces, 600)
        for side in SIDES:
            for square in squares[:60]:
                frame_, _ = pasted_faces.pasted(square, side, squares, random)
                yield f"pasted, {side} px", frame_


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--faces", type=Path, help="a Parquet file with squares to be pasted")
    parser.add_argument("--face-weights", type=Path, help="YuNet's ONNX file")
    given = parser.parse_args()
    detectors = {"haar": open_detector("haar")}
    if given.face_weights:
        detectors["yunet"] = open_detector("yunet", given.face_weights)
    found: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    random = np.random.default_rng(1)
    for name, pixels in pictures(given.videos, given.faces, random):
        for kind, detector in detectors.items():
            faces = spread(detector, pixels, random)
            for key in ((kind, name), (kind, "all")):
                found.setdefault(key, []).extend(faces)
    print("standard deviations, in sides of the crop, of the logarithm of the scale, in degrees")
    print(f"{'':29} {'faces':>5} {'across':>7} {'down':>7} {'scale':>7} {'turn':>6}")
    for (kind, name), values in sorted(found.items()):
        if values:
            across, down, scale, turn = np.concatenate(values).std(0)
            print(
                f"{kind:<7} {name:<21} {len(values):5} {across:7.4f} {down:7.4f} {scale:7.4f} "
                f"{turn:6.2f}"
            )


if __name__ == "__main__":
    main()
