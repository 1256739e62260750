"""Pictures of faces, upright and of one size: cut by five points, or by the box.

Where points are known, the similarity (turn, scale, shift) that brings them nearest to a template
decides what is cut; else a square around the box that frames the same region on average. Both go
through one resampling, which takes the mean over what a pixel covers: a face that is shrunk
without does flicker from frame to frame.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.data.faces import Box, Face, Pixels, checked
from mien.errors import ConfigError, DataError, did_you_mean

Matrix = NDArray[np.float64]  # (2, 3): pixels of the frame to those of the crop, centres at .5

SIZES = range(16, 2049)

TEMPLATE = np.asarray(
    [[0.36, 0.38], [0.64, 0.38], [0.50, 0.542], [0.38, 0.663], [0.62, 0.663]], np.float64
)
"""Where eyes, nose and mouth come to lie, in sides of the crop.

The proportions are the median of 727 faces that YuNet found in photographs and clips. In
them the chin lies 1.8 distances between the eyes below the eyes, 1.95 at most in one of twenty, and
the middle of the forehead 1.1 above. With the eyes 0.28 apart and at 0.38 the face reaches from
0.07 to 0.88, and 0.93 in those: brows, chin and a jaw that drops in surprise stay inside, with some
of the hair and nothing of the shoulders.
"""

_SIDE, _DOWN = 1.45, 0.02
"""A box's square: its side in roots of the box's area, how far it lies below the box's middle in
such sides. Medians of the squares that the template cuts, over the same faces."""

_NEAR = 0.5
"""How far points may put the middle of the crop from where the box puts it, in sides of the latter;
and within which factor of each other, 2 or 1/2, the two sides may lie."""

_FARTHEST = 16
"""A crop's side in longer sides of the frame at most: what lies outside is made up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRecipe:
    """How a face becomes a picture. Equal recipes make equal pictures, bit for bit.

    What lies outside of the frame continues its edge: a black corner would be a mark that no face
    has, and networks learn marks.

    Args:
        by: ``points`` aligns by five points where a face has some that agree with its box, and
            goes by the box elsewhere; ``box`` always goes by the box; ``whole`` leaves faces alone
            and takes the middle square of the frame.
        size: side in pixels.
        version: of template and resampling; rises with every change of a pixel.

    Raises:
        ConfigError: a value that this version does not know.
    """

    by: Literal["points", "box", "whole"] = "points"
    size: int = 224
    version: int = 1

    def __post_init__(self) -> None:
        known = ("points", "box", "whole")
        if self.by not in known:
            raise ConfigError(
                f"crops cannot go by {self.by!r}", fix=did_you_mean(str(self.by), known)
            )
        if type(self.size) is not int or self.size not in SIZES:
            raise ConfigError(f"a crop is 16 to 2048 pixels wide, not {self.size!r}", where="size")
        if type(self.version) is not int or self.version != 1:
            raise ConfigError(
                f"version {self.version!r} of the crops is not known to this version of mien",
                fix="pip install --upgrade mien",
            )

    @property
    def name(self) -> str:
        """As in ``points-1/224``: how, version, size."""
        return f"{self.by}-{self.version}/{self.size}"

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe, its first 16 digits."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The recipe that ``to_dict`` wrote.

        Raises:
            ConfigError: an unknown key or value.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise ConfigError(
                    f"a crop recipe has no {key!r}", where="crops", fix=did_you_mean(key, known)
                )
        return cls(**values)

    def crop(self, pixels: Pixels, face: Face) -> Pixels:
        """The picture of a face.

        Args:
            pixels: the frame, (H, W, 3) RGB.
            face: one that was found in it.

        Returns:
            (size, size, 3) RGB.

        Raises:
            DataError: the frame is no RGB image, or the face lies nowhere in it.
        """
        pixels = checked(pixels)
        if self.by == "whole":
            return self.whole(pixels)
        return resampled(pixels, self.matrix(face), self.size)

    def whole(self, pixels: Pixels) -> Pixels:
        """The frame's middle square, for runs without faces.

        Bars around the whole frame would keep its edges, at the price of pixels that were never
        recorded; towers are trained on middle squares.

        Args:
            pixels: the frame, (H, W, 3) RGB.

        Returns:
            (size, size, 3) RGB.
        """
        pixels = checked(pixels)
        height, width = pixels.shape[:2]
        scale = self.size / min(height, width)
        matrix = _placed(complex(scale), complex(width / 2, height / 2), self.size)
        return resampled(pixels, matrix, self.size)

    def matrix(self, face: Face) -> Matrix:
        """From pixels of the frame to pixels of the crop, (2, 3).

        Raises:
            DataError: the box is none.
        """
        scale, middle = square(face.box, self.size)
        if self.by == "points" and face.points is not None:
            aligned = similarity(face.points, TEMPLATE * self.size)
            if aligned is not None:
                turn, shift = aligned
                if 0.5 <= abs(turn) / scale <= 2:
                    center = ((1 + 1j) * self.size / 2 - shift) / turn
                    if abs(center - middle) * scale <= _NEAR * self.size:
                        return _placed(turn, center, self.size)
        return _placed(complex(scale), middle, self.size)


def similarity(
    points: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]
) -> tuple[complex, complex] | None:
    """Turn, scale and shift that bring points nearest to others, in the least squares' sense.

    A point is a complex number here, x + iy, and the similarity is ``turn * point + shift``: a
    multiplication turns and scales but cannot mirror. The least squares then have a closed form
    (Umeyama's for two dimensions): the projection of the target upon the points.

    Args:
        points: (N, 2).
        target: (N, 2).

    Returns:
        Turn (its length is the scale) and shift; None where points coincide or are not finite.
    """
    if not np.isfinite(points).all():
        return None
    from_, to = (np.asarray(xy, np.float64) @ np.asarray([1, 1j]) for xy in (points, target))
    start, end = from_.mean(), to.mean()
    spread = float(np.square(np.abs(from_ - start)).sum())
    if not 1e-6 < spread < 1e16:
        return None
    turn = complex(np.vdot(from_ - start, to - end)) / spread  # vdot conjugates its first
    return turn, complex(end) - turn * complex(start)


def square(box: Box, size: int) -> tuple[float, complex]:
    """What to cut for a box: scale to the crop, and the middle of the square as x + iy.

    Raises:
        DataError: the box has no middle, or no area.
    """
    left, top, width, height = (float(value) for value in box)
    side = _SIDE * math.sqrt(width * height) if width > 0 and height > 0 else 0.0
    middle = complex(left + width / 2, top + height / 2 + _DOWN * side)
    if not (1 <= side < 1e8 and abs(middle) < 1e8):  # not a number fails both
        raise DataError(f"there is nothing to cut in a box of {width:g} by {height:g} pixels")
    return size / side, middle


def resampled(pixels: Pixels, matrix: Matrix, size: int) -> Pixels:
    """A square cut out of a frame by a similarity, each pixel the mean over what it covers.

    What is shrunk to less than a quarter is first averaged over whole blocks of pixels; the rest is
    sampled two to four times as finely as wanted, so that no pixel is skipped, and averaged. Where
    there is fine texture this is 10 to 20 decibels nearer to a mean over 256 samples a pixel than
    plain bilinear sampling is.

    Args:
        pixels: (H, W, 3).
        matrix: (2, 3), from the frame to the crop. Positions count from the outer corner of the
            first pixel, whose middle thereby lies at (0.5, 0.5).
        size: side of the crop.

    Returns:
        (size, size, 3).

    Raises:
        DataError: the square lies outside of the frame, or is many times larger.
    """
    height, width = pixels.shape[:2]
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    if size / scale > _FARTHEST * max(height, width):
        raise DataError(f"a square of {size / scale:.0f} pixels is no part of this frame")
    block = max(1, int(0.5 / scale))
    left, top, right, bottom = _covered(matrix, size, 2 * block)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if left >= right or top >= bottom:
        raise DataError("the face lies outside of the frame")
    down, across = min(block, height), min(block, width)  # a strip is shrunk along itself only
    piece = _averaged(pixels[top:bottom, left:right], down, across)
    fine = math.ceil(1 / (scale * block))  # samples lie no further apart than pixels do: 1 to 4
    local = matrix * fine
    local[:, 2] += local[:, :2] @ [left, top]
    local[:, :2] *= [across, down]
    local[:, 2] += local[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts from the middle of the first
    cut = cv2.warpAffine(
        piece,
        local,
        (size * fine, size * fine),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _averaged(np.asarray(cut, np.uint8), fine, fine)


def _averaged(pixels: Pixels, tall: int, wide: int) -> Pixels:
    """Means over blocks of pixels; the last row and column continue where they do not fill one."""
    if tall == wide == 1:
        return pixels
    height, width = pixels.shape[:2]
    down, across = -height % tall, -width % wide
    if down or across:
        filled = cv2.copyMakeBorder(pixels, 0, down, 0, across, cv2.BORDER_REPLICATE)
        pixels = np.asarray(filled, np.uint8)
    size = (pixels.shape[1] // wide, pixels.shape[0] // tall)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _covered(matrix: Matrix, size: int, margin: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what the crop takes from the frame, whole pixels."""
    corners = np.asarray([[0, 0], [size, 0], [0, size], [size, size]], np.float64)  # (4, 2)
    found = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low, high = np.floor(found.min(axis=0)) - margin, np.ceil(found.max(axis=0)) + margin
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _placed(turn: complex, middle: complex, size: int) -> Matrix:
    """The similarity that turns and scales, and brings a point to the middle of the crop."""
    shift = complex(size / 2, size / 2) - turn * middle
    return np.asarray(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float64
    )
