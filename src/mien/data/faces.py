"""Faces in frames: where they are, and five points of each where the detector knows them.

YuNet where its file is at hand, OpenCV's Haar cascade elsewhere. A detector looks at a frame that
is shrunk as far as the smallest wanted face allows: what it costs follows from that size, not from
the resolution of the camera. How far is a function of the frame's size and of the settings alone,
and frames are looked at one by one, so a frame's faces never depend on its neighbours (a batch
costs as much: the network's time is arithmetic, not calls).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.data import haar, yunet
from mien.errors import ConfigError, DataError, TowerError, did_you_mean

Box = tuple[float, float, float, float]
"""Left, top, width and height, in pixels of the frame. It may reach over the frame's edges.

Positions count from the outer corner of the first pixel, whose middle thereby lies at 0.5, 0.5."""

Pixels = NDArray[np.uint8]  # (H, W, 3), RGB

SMALLEST, SHARE = 40, 1 / 27
"""Width of the smallest face that is looked for: pixels, or a share of the frame's shorter side
where that is more, as it is above 1080: a face of 40 pixels in 4K is one of a crowd."""

NEEDED = 16
"""Width that a face must have in what a detector looks at. Of faces this wide YuNet finds 19 of 20
in real clips, of those half as wide few; Haar's smallest square takes in one of 16 pixels."""

LARGEST_LOOK = 4_000_000
"""Pixels that a detector looks at, whatever the frame's shape and the settings."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one frame. Two faces are equal only if they are the same object.

    Args:
        box: around the face, from the forehead to the chin.
        score: 0 to 1: how sure the detector is. To be compared within one detector only.
        points: (5, 2) x and y in pixels of the frame: the eye at the picture's left, the one at its
            right, the tip of the nose, the corner of the mouth at its left, the one at its right.
            None where the detector knows no points.
    """

    box: Box
    score: float
    points: NDArray[np.float32] | None = None

    @property
    def area(self) -> float:
        """Pixels within the box."""
        return self.box[2] * self.box[3]


class Detector(ABC):
    """Finds faces in frames. It may be used by several threads, and pickled to other processes.

    Args:
        smallest: width in pixels of the smallest face to be found. None: see `SMALLEST`.

    Attributes:
        name: kind and version, as runs and timelines record it.
        note: one line for the user on what it is.
        has_points: whether its faces have five points.
        settings: what ``open_detector(**settings)`` makes the same detector of, in any process.
    """

    name: str
    note: str
    has_points: bool
    settings: dict[str, Any]

    def __init__(self, smallest: int | None) -> None:
        if smallest is not None and smallest < 1:
            raise ConfigError(f"a face cannot be as wide as {smallest} pixels", where="smallest")
        self.smallest = smallest
        self._one_at_a_time = threading.Lock()

    def detect(self, frames: Sequence[Pixels]) -> list[list[Face]]:
        """The faces of each frame, the largest first.

        Args:
            frames: (H, W, 3) RGB each; not all need the same size.

        Raises:
            DataError: a frame is no RGB image.
            TowerError: the detector's file holds a network that cannot be run.
        """
        return [self._faces(checked(frame)) for frame in frames]

    def look(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to which a frame of this size is shrunk before it is looked at."""
        smallest = self.smallest or max(SMALLEST, SHARE * min(height, width))
        scale = min(1.0, NEEDED / smallest)
        while True:
            size = max(1, round(height * scale)), max(1, round(width * scale))
            # The network pads each side to a multiple of 32, which a strip one pixel high can feel.
            if (size[0] + 31) * (size[1] + 31) <= LARGEST_LOOK:
                return size
            scale *= 0.8

    def _faces(self, pixels: Pixels) -> list[Face]:
        height, width = pixels.shape[:2]
        tall, wide = self.look(height, width)
        with self._one_at_a_time:
            rows = self._rows(shrunk(pixels, tall, wide)).astype(np.float64)
        rows[:, :-1] *= np.resize([width / wide, height / tall], rows.shape[1] - 1)
        faces = [
            Face(
                box=(row[0], row[1], row[2], row[3]),
                score=row[-1],
                points=np.asarray(row[4:-1], np.float32).reshape(5, 2) if len(row) > 5 else None,
            )
            for row in rows.tolist()
        ]
        return sorted(faces, key=lambda face: -face.area)

    @abstractmethod
    def _rows(self, pixels: Pixels) -> NDArray[np.float32]:
        """(N, 5) or (N, 15): box, points where there are some, score; in pixels of what it sees."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.settings,)


class _Yunet(Detector):
    has_points = True

    def __init__(self, path: Path, smallest: int | None) -> None:
        super().__init__(smallest)
        self._network = yunet.Yunet(path)
        self.name = f"yunet-{self._network.digest[:8]}"
        self.note = f"faces by YuNet, from {path.name}"
        self.settings = {"kind": "yunet", "weights": str(path.absolute()), "smallest": smallest}

    def _rows(self, pixels: Pixels) -> NDArray[np.float32]:
        return self._network.rows(pixels)


class _Haar(Detector):
    has_points = False

    def __init__(self, smallest: int | None, why: str = "") -> None:
        super().__init__(smallest)
        self._cascade = haar.Cascade()
        self.name = f"haar-{haar.VERSION}-opencv-{cv2.__version__}"
        self.note = "faces by OpenCV's Haar cascade, which finds fewer" + why
        self.settings = {"kind": "haar", "smallest": smallest}

    def _rows(self, pixels: Pixels) -> NDArray[np.float32]:
        return self._cascade.rows(pixels)


def open_detector(
    kind: Literal["auto", "yunet", "haar"] = "auto",
    weights: Path | str | None = None,
    *,
    smallest: int | None = None,
) -> Detector:
    """A detector of faces, opened and tried.

    Args:
        kind: ``yunet``, ``haar``, or ``auto``: YuNet where its file is found, else Haar.
        weights: YuNet's ONNX file, or a folder with it. None: see `yunet.found`.
        smallest: width in pixels of the smallest face to be found, which decides what a frame
            costs. None: 40, and more in frames whose shorter side is above 1080.

    Raises:
        ConfigError: no such kind, or weights for Haar.
        TowerError: YuNet is wanted by name or by weights, and its file is missing or is another.
    """
    if kind not in ("auto", "yunet", "haar"):
        hint = did_you_mean(kind, ("auto", "yunet", "haar"))
        raise ConfigError(f"there is no detector {kind!r}", fix=hint)
    if kind == "haar":
        if weights is not None:
            raise ConfigError("Haar's cascade takes no weights", fix="--detector yunet")
        return _Haar(smallest)
    path = yunet.found(None if weights is None else Path(weights))
    if path is not None:
        return _Yunet(path, smallest)
    if kind == "yunet":
        raise TowerError(
            "YuNet's file is not at hand",
            fix=f"--face-weights FILE, or where there is a network: {yunet.FETCH}",
        )
    hint = "mien predict --detector yunet --face-weights FILE"
    return _Haar(smallest, f": YuNet's file is not at hand ({hint})")


def checked(pixels: Any) -> Pixels:
    """A frame, if it is one: (H, W, 3) of uint8, rows in order.

    Raises:
        DataError: it is something else.
    """
    array = np.asarray(pixels)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise DataError(
            f"a frame is (height, width, 3) of uint8, not {array.shape} of {array.dtype}",
            fix="grey images: np.repeat(image[..., None], 3, axis=2)",
        )
    return np.ascontiguousarray(array)


def shrunk(pixels: Pixels, height: int, width: int) -> Pixels:
    """A frame made smaller: halved while that is possible, then by what is left.

    Halving takes the mean of four pixels, so nothing is skipped, and is many times faster than a
    mean over areas of fractions of pixels; what is left is less than a factor of two.
    """
    while pixels.shape[0] >= 2 * height and pixels.shape[1] >= 2 * width:
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_AREA), np.uint8)
    if pixels.shape[:2] == (height, width):
        return pixels
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(small, np.uint8)


def _reopened(settings: dict[str, Any]) -> Detector:
    return open_detector(**settings)
