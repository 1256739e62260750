"""Where a film is cut: a picture that is not the one before, moved or lit otherwise."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_ROWS, _COLUMNS = 18, 32  # of the small picture that is compared
_UNLIKE = 0.6  # correlation below which two pictures have nothing in common
_CHANGE = 0.06  # mean difference of a cut at least, of full brightness
_JUMP = 2.5  # how many times the liveliest of the last changes a cut exceeds
_FLAT = 0.01  # deviation of a picture without anything in it
_RECENT = 4


class Cuts:
    """Tells of each picture whether a cut lies before it. A flash is none, and a pan is none.

    Brightness and contrast do not count, so a lamp that goes on changes nothing. What moves a lot
    raises the bar for what follows: a camera that is swung round changes every picture alike.
    """

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._changes: deque[float] = deque(maxlen=_RECENT)

    def before(self, pixels: Pixels) -> bool:
        """Whether the picture (H, W, 3) begins something new."""
        small = _small(pixels)
        last, self._before = self._before, small
        if last is None or np.array_equal(last, small):
            return False
        change, alike = _compared(last, small)
        busy = max(self._changes, default=0.0)
        self._changes.append(change)
        cut = alike < _UNLIKE and change > max(_CHANGE, _JUMP * busy)
        if cut:
            self._changes.clear()
        return cut


def _small(pixels: Pixels) -> NDArray[np.float32]:
    """(18, 32, 3) in 0..1; of a larger picture only some pixels count: all would cost more."""
    step = max(1, min(pixels.shape[0] // (4 * _ROWS), pixels.shape[1] // (4 * _COLUMNS)))
    few = np.ascontiguousarray(pixels[step // 2 :: step, step // 2 :: step])
    small = cv2.resize(few, (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


def _compared(one: NDArray[np.float32], two: NDArray[np.float32]) -> tuple[float, float]:
    """How far apart two pictures are, without their mean colour, and how they correlate."""
    a, b = (picture - picture.mean((0, 1)) for picture in (one, two))
    spread = float(a.std()), float(b.std())
    if min(spread) < _FLAT:  # black, or one colour: only the other can show something
        return float(np.abs(one - two).mean()), 1.0 if max(spread) < _FLAT else 0.0
    return float(np.abs(a - b).mean()), float((a * b).mean() / (spread[0] * spread[1]))
