"""OpenCV's Haar cascade: faces without any file of weights, but fewer of them and without points.

Viola and Jones: Rapid object detection using a boosted cascade of simple features (2001).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]  # (N, 5): left, top, width, height, score

WINDOW = 20
"""Side of the smallest square that the cascade looks at."""

STEP = 1.1
"""Growth of the square from one pass to the next. With 1.2 it is twice as fast and loses a tenth of
the faces."""

NEIGHBOURS = 5
"""Squares that must agree on a face. With fewer, walls and trees become faces."""

VERSION = 2
"""Of the boxes that are made of the cascade's squares; rises with every change of them."""

_WIDTH, _HEIGHT, _DOWN = 0.78, 1.075, 0.025  # in sides of the square


class Cascade:
    """The cascade for faces from the front that OpenCV's package brings along.

    The one for profiles is left out: on real clips it found no face that this one had missed.
    """

    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
        self._cascade = cv2.CascadeClassifier(str(path))

    def rows(self, pixels: NDArray[np.uint8]) -> Rows:
        """Faces in a frame as it is.

        Args:
            pixels: (H, W, 3) RGB.

        Returns:
            (N, 5): left, top, width, height, score. The score grows with the number of squares that
            agree: a half where they just suffice, towards one where there are many.
        """
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        squares, agreeing = self._cascade.detectMultiScale2(
            grey, scaleFactor=STEP, minNeighbors=NEIGHBOURS, minSize=(WINDOW, WINDOW)
        )
        if not len(squares):
            return np.zeros((0, 5), np.float32)
        count = np.asarray(agreeing, np.float32).reshape(-1)
        boxes = upright(np.asarray(squares, np.float32).reshape(-1, 4))
        return np.concatenate([boxes, (count / (count + NEIGHBOURS))[:, None]], axis=1)


def upright(squares: Rows) -> Rows:
    """The cascade's squares as boxes from the forehead to the chin.

    The squares end below the mouth and reach over the cheeks. The numbers make the crop of such a
    box, in the median, as large and as high as the one that YuNet's points lead to: over 3,409
    faces of FER2013's train part, pasted into frames, that both found. So one recipe for crops fits
    both detectors.

    Args:
        squares: (N, 4): left, top, width, height.
    """
    side = squares[:, 2:3]
    size = side * np.asarray([[_WIDTH, _HEIGHT]], np.float32)  # (N, 2)
    middle = squares[:, :2] + squares[:, 2:] / 2 + side * np.asarray([[0, _DOWN]], np.float32)
    return np.concatenate([middle - size / 2, size], axis=1)
