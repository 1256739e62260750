"""Faces of one corpus in frames of another kind: what the way to the crop costs.

FER2013 has tight squares of 48 x 48 grey pixels; mien predicts from frames, in which it looks for
faces and cuts them by its own recipe. Here the squares are pasted into frames at several sizes and
go that way. What is printed: how many each detector misses, and where the square lands in the crop,
which says how the squares have to be cut for a net that will see crops. What is written: the crops
and where they are from, to be scored beside the squares themselves.

    python benchmarks/pasted_faces.py fer2013_validation.parquet --face-weights yunet.onnx \
        --out pasted

A detector looks for heads, and these squares have the face alone. So a square is cut along the
outline of a head, which reaches a little over its edges and takes its corners, and set on a neck
and shoulders: without those YuNet misses three times as many that are 90 pixels wide. Backgrounds
are slopes of light, textures of noise over several octaves, and other squares as large as the frame
and out of focus.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.data.crops import CropRecipe
from mien.data.faces import Detector, Face, open_detector

Grey = NDArray[np.uint8]  # (H, W)
Pixels = NDArray[np.uint8]  # (H, W, 3)
Matrix = NDArray[np.float64]  # (2, 3)

FRAME = (480, 640)
SIDES = (40, 60, 90, 140, 220)
"""Sides of the pasted squares, in pixels."""


@dataclass(frozen=True)
class Landing:
    """Where a square came to lie in the crop of its face.

    Args:
        matrix: from the square, 0..1 along each side, to the crop, 0..1 along each side.
        crop: the picture, (size, size, 3).
    """

    matrix: Matrix
    crop: Pixels

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """Side in sides of the crop, middle across and down, turn in degrees."""
        turn = complex(self.matrix[0, 0], self.matrix[1, 0])
        middle = self.matrix[:, :2] @ [0.5, 0.5] + self.matrix[:, 2]
        angle = math.degrees(math.atan2(turn.imag, turn.real))
        return abs(turn), float(middle[0]), float(middle[1]), angle


def read(path: Path, count: int | None = None) -> tuple[Grey, list[str]]:
    """Squares (N, 48, 48) and their labels."""
    table = pq.read_table(path, columns=["jpg", "label"])
    if count is not None:  # evenly through the file, which may be in the order of its classes
        rows = np.linspace(0, len(table) - 1, min(count, len(table))).astype(int)
        table = table.take(rows)
    squares = [
        cv2.imdecode(np.frombuffer(content.as_py(), np.uint8), cv2.IMREAD_GRAYSCALE)
        for content in table["jpg"]
    ]
    return np.asarray(squares, np.uint8), table["label"].to_pylist()


# -- frames ----------------------------------------------------------------------------------------


def background(squares: Grey, random: np.random.Generator) -> NDArray[np.float32]:
    """A frame without a face, (480, 640)."""
    height, width = FRAME
    kind = random.integers(3)
    if kind == 0:
        way, (low, high) = random.uniform(0, 2 * math.pi), random.uniform(20, 235, 2)
        down, across = np.mgrid[:height, :width]
        slope = np.cos(way) * across / width + np.sin(way) * down / height
        slope = (slope - slope.min()) / np.ptp(slope)
        return np.asarray(low + (high - low) * slope + random.normal(0, 4, FRAME), np.float32)
    if kind == 1:
        frame = np.full(FRAME, random.uniform(80, 170), np.float32)
        strength = random.uniform(20, 50)
        for cells in (3, 8, 24, 80):
            noise = random.normal(0, strength / math.sqrt(cells), (cells, cells))
            frame += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        return frame
    large = cv2.resize(squares[random.integers(len(squares))], (width, height)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(large, (0, 0), 25), np.float32)


def pasted(
    square: Grey, side: int, squares: Grey, random: np.random.Generator
) -> tuple[Pixels, Matrix]:
    """A frame with a square at a random place, on the neck and shoulders of someone.

    Returns:
        The frame, and the matrix from the square, 0..1 along each side, to pixels of the frame.
    """
    margin = side  # surroundings on each side
    small = side < len(square)
    patch = cv2.resize(
        square, (side, side), interpolation=cv2.INTER_AREA if small else cv2.INTER_CUBIC
    )
    patch = _bordered(patch, margin).astype(np.float32)
    top, left = (int(random.integers(0, n - side + 1)) for n in FRAME)
    framed = _bordered(background(squares, random), margin)
    part = framed[top : top + len(patch), left : left + len(patch)]
    skin, cloth = 0.8 * float(square[20:40, 10:38].mean()), random.uniform(20, 230)
    head, neck, shoulders = _figure(side)
    for cover, colour in ((neck, skin), (shoulders, cloth), (head, patch)):
        part += cover * (colour - part)
    frame = framed[margin : margin + FRAME[0], margin : margin + FRAME[1]]
    pixels = np.repeat(frame.round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return pixels, np.asarray([[side, 0, left], [0, side, top]], np.float64)


@lru_cache
def _figure(side: int) -> tuple[NDArray[np.float32], ...]:
    """What head, neck and shoulders cover around a square, (3 * side, 3 * side) each."""
    place = ((np.arange(3 * side) + 0.5) / side - 1.5).astype(np.float32)

    def ellipse(down: float, wide: float, tall: float) -> NDArray[np.float32]:
        away = np.hypot(place / wide, (place[:, None] - down) / tall)
        return np.asarray(((1 - away) * side / 4 + 0.5).clip(0, 1), np.float32)

    return ellipse(0.0, 0.56, 0.68), ellipse(0.45, 0.28, 0.7), ellipse(1.25, 1.1, 0.7)


def _bordered(picture: NDArray[Any], margin: int) -> NDArray[Any]:
    wide = cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    return np.asarray(wide)


# -- the way to the crop ---------------------------------------------------------------------------


def landing(
    frame: Pixels, place: Matrix, faces: Sequence[Face], recipe: CropRecipe
) -> Landing | None:
    """The crop of the face that was pasted, or None where no face is the pasted one.

    It is one whose crop has the middle of the square within its middle half, and in which the
    square's side is 0.4 to 2.5 of the crop's.
    """
    for face in faces:
        matrix = recipe.matrix(face) / recipe.size
        whole = matrix[:, :2] @ place
        whole[:, 2] += matrix[:, 2]
        found = Landing(whole, np.empty(0, np.uint8))
        scale, *middle, _ = found.numbers
        if 0.4 < scale < 2.5 and all(0.25 < x < 0.75 for x in middle):
            return Landing(whole, recipe.crop(frame, face))
    return None


@dataclass
class Tally:
    """What one detector made of the squares of one size."""

    landings: dict[int, Landing]
    asked: int = 0
    misled: int = 0  # frames whose largest face is another

    @property
    def missed(self) -> float:
        """Share of the squares that were not found."""
        return 1 - len(self.landings) / self.asked

    def arrays(self, squares: Grey, labels: list[str]) -> dict[str, NDArray[Any]]:
        """Crops of what was found, with the place of each in the corpus."""
        at = np.asarray(list(self.landings), np.int64)
        found = self.landings.values()
        return {
            "at": at,
            "crops": np.asarray([one.crop for one in found], np.uint8),
            "matrices": np.asarray([one.matrix for one in found], np.float64),
            "labels": np.asarray(labels)[at],
            "asked": np.arange(self.asked),
            "squares": squares[: self.asked],
        }


def sent(
    squares: Grey, side: int, detectors: dict[str, Detector], recipe: CropRecipe, seed: int = 0
) -> dict[str, Tally]:
    """Every square in a frame of its own, which all detectors see."""
    random = np.random.default_rng((seed, side))
    tallies = {name: Tally({}) for name in detectors}
    for index, square in enumerate(squares):
        frame, place = pasted(square, side, squares, random)
        for name, detector in detectors.items():
            tally, faces = tallies[name], detector.detect([frame])[0]
            tally.asked += 1
            found = landing(frame, place, faces, recipe)
            if found is not None:
                tally.landings[index] = found
            if faces and landing(frame, place, faces[:1], recipe) is None:
                tally.misled += 1
    return tallies


def summary(landings: Sequence[Landing]) -> str:
    """Mean and standard deviation of where squares landed."""
    values = np.asarray([one.numbers for one in landings]).reshape(-1, 4)
    if not len(values):
        return "-"
    mean, spread = values.mean(0), values.std(0)
    text = [f"{m:6.3f} ± {s:5.3f}" for m, s in zip(mean[:3], spread[:3], strict=True)]
    deep = np.log(values[:, 0])
    return (
        "  ".join(text) + f"  {mean[3]:5.1f} ± {spread[3]:4.1f}"
        f"  {math.exp(deep.mean()):6.3f} x÷ {math.exp(deep.std()):5.3f}"
    )


def beside(haar: dict[tuple[int, int], Landing], yunet: dict[tuple[int, int], Landing]) -> str:
    """Haar's crops less YuNet's of the same faces: what the widths in `data.haar` are from."""
    both = haar.keys() & yunet.keys()
    if not both:
        return "no face was found by both"
    wide = np.median([yunet[key].numbers[0] / haar[key].numbers[0] for key in both])
    down = np.median([yunet[key].numbers[2] - haar[key].numbers[2] for key in both])
    return (
        f"{len(both)} faces found by both: Haar's crops are {wide:.3f} times as wide, in the "
        f"median, and lie {down:+.3f} of a side lower"
    )


def _detectors(weights: Path | None) -> dict[str, Detector]:
    found = {"haar": open_detector("haar"), "haar, smallest 20": open_detector("haar", smallest=20)}
    if weights is not None:
        found |= {
            "yunet": open_detector("yunet", weights),
            "yunet, smallest 20": open_detector("yunet", weights, smallest=20),
        }
    return found


def lines(
    squares: Grey, detectors: dict[str, Detector], recipe: CropRecipe, sides: Sequence[int]
) -> Iterator[tuple[str, int, Tally]]:
    """Detector, side and what came of it."""
    for side in sides:
        for name, tally in sent(squares, side, detectors, recipe).items():
            yield name, side, tally


def main(say: Callable[[str], None] = print) -> None:
    """Paste, send, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("faces", type=Path, help="a Parquet file with columns jpg and label")
    parser.add_argument("--face-weights", type=Path, help="YuNet's ONNX file")
    parser.add_argument("--out", type=Path, help="folder for the crops, one .npz each")
    parser.add_argument("--count", type=int, default=1000, help="squares, evenly through the file")
    parser.add_argument("--size", type=int, default=96, help="side of the crops, as the run wants")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    given = parser.parse_args()
    squares, labels = read(given.faces, given.count)
    detectors, recipe = _detectors(given.face_weights), CropRecipe(size=given.size)
    every: dict[str, dict[tuple[int, int], Landing]] = {}
    say(f"{len(squares)} squares a line; where they land in {recipe.name}, mean ± sd")
    head = "side         across         down          turn          side, of logs"
    say(f"{'detector':<20} {'px':>4} {'missed':>7} {'misled':>6}    {head}")
    for name, side, tally in lines(squares, detectors, recipe, given.sides):
        found = list(tally.landings.values())
        every.setdefault(name, {}).update({(side, i): x for i, x in tally.landings.items()})
        say(
            f"{name:<20} {side:4} {tally.missed:7.1%} {tally.misled / tally.asked:6.1%}  "
            f"{summary(found)}"
        )
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            file = given.out / f"{name.replace(', smallest ', '_')}_{side}.npz"
            np.savez_compressed(file, allow_pickle=False, **tally.arrays(squares, labels))
    for name, landed in every.items():
        say(f"{name:<20}  all {'':7} {'':6}  {summary(list(landed.values()))}")
    if "yunet" in every:
        say(beside(every["haar"], every["yunet"]))


if __name__ == "__main__":
    main()
