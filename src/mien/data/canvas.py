"""Brushes and textures: what a picture is painted with, and what is painted only once for many.

Points are whole numbers in sixteenths of a pixel, so that nothing jumps from pixel to pixel.

Axes: H, W of a picture, P points.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Points = NDArray[np.int32]  # (P, 2)
Values = NDArray[np.float64]
Ink = Sequence[float] | float

BITS = 4  # of a pixel's fraction
PIXEL = 1 << BITS

GRAIN = 56
"""Pixels of the skin's texture in half of a face's width."""

NEUTRAL = 180
"""On a map of light and dark: neither."""


def fixed(points: Values) -> Points:
    """Positions in pixels as points."""
    return np.round(points * PIXEL).astype(np.int32)


def shifted(points: Points, x: float, y: float) -> Points:
    """Points moved by pixels."""
    return points + np.asarray([round(x * PIXEL), round(y * PIXEL)], np.int32)


def fill(picture: Pixels, polygon: Points, ink: Ink) -> None:
    """Paint within a polygon."""
    cv2.fillPoly(picture, [np.ascontiguousarray(polygon)], _ink(ink), cv2.LINE_8, BITS)


def line(picture: Pixels, points: Points, width: float, ink: Ink, *, closed: bool = False) -> None:
    """Paint along points, with a brush of some pixels."""
    thick = max(1, round(width))
    points = np.ascontiguousarray(points)
    cv2.polylines(picture, [points], closed, _ink(ink), thick, cv2.LINE_AA, BITS)


def oval(picture: Pixels, middle: Points, across: float, down: float, ink: Ink) -> None:
    """Paint an ellipse, upright, by its half axes in pixels."""
    axes = (max(1, round(across * PIXEL)), max(1, round(down * PIXEL)))
    at = (int(middle[0]), int(middle[1]))
    cv2.ellipse(picture, at, axes, 0, 0, 360, _ink(ink), -1, cv2.LINE_AA, BITS)


def dot(picture: Pixels, middle: Points, radius: float, ink: Ink) -> None:
    """Paint a disc."""
    at = (int(middle[0]), int(middle[1]))
    cv2.circle(picture, at, max(1, round(radius * PIXEL)), _ink(ink), -1, cv2.LINE_AA, BITS)


def _ink(ink: Ink) -> Sequence[float]:
    return (float(ink),) if isinstance(ink, int | float) else ink


def within(picture: Pixels, polygon: Points, painted: Pixels, left: int, top: int) -> None:
    """Copy what was painted to a place of a picture, within a polygon only."""
    tall, wide = painted.shape[:2]
    mask = np.zeros((tall, wide), np.uint8)
    fill(mask, shifted(polygon, -left, -top), 255)
    cv2.copyTo(painted, mask, picture[top : top + tall, left : left + wide])


def window(points: Points, picture: Pixels) -> tuple[int, int, int, int]:
    """Left, top, width and height of what points cover of a picture; empty outside of it."""
    low = np.maximum((points.min(axis=0) >> BITS) - 1, 0).tolist()
    high = ((points.max(axis=0) >> BITS) + 2).tolist()
    right, bottom = min(high[0], picture.shape[1]), min(high[1], picture.shape[0])
    return low[0], low[1], max(0, right - low[0]), max(0, bottom - low[1])


def blurred(picture: Pixels, size: float) -> Pixels:
    """The mean over a square of about this many pixels."""
    side = 2 * round(size / 2) + 1
    return np.asarray(cv2.blur(picture, (side, side)), np.uint8)


# -- textures --------------------------------------------------------------------------------------


def skin(
    colour: Values, lamp: tuple[float, float], dark: float, random: np.random.Generator
) -> Pixels:
    """A round thing under a lamp, with the blush of cheeks and nose, (H, W, 3).

    Args:
        colour: RGB in full light.
        lamp: where it is: right and down, each -1 to 1.
        dark: brightness of what the lamp does not reach, 0 to 1.
        random: skin is not smooth.
    """
    wide, tall = int(2.5 * GRAIN), int(3.4 * GRAIN)
    x = (np.arange(wide) - wide / 2) / GRAIN  # in halves of a face's width, from the middle
    y = ((np.arange(tall) - tall / 2) / GRAIN)[:, None]
    u, v = x / 1.12, y / 1.72
    depth = np.sqrt(np.clip(1 - u**2 - v**2, 0.02, 1))
    towards = np.asarray([*lamp, 0.9])
    towards /= np.linalg.norm(towards)
    lit = np.clip(u * towards[0] + v * towards[1] + depth * towards[2], 0, 1)
    shade = 1.04 * (dark + (1 - dark) * lit)
    blush = np.zeros_like(lit)
    for at, down in ((-0.55, 0.25), (0.55, 0.25), (0.0, 0.35)):
        blush += np.exp(-(((x - at) / 0.3) ** 2) - ((y - down) / 0.26) ** 2)
    rough = cv2.resize(
        random.normal(0, 1, (tall // 7, wide // 7)), (wide, tall), interpolation=cv2.INTER_CUBIC
    )
    tint = 1 - np.asarray([0.0, 0.085, 0.09]) * blush[..., None]
    painted = colour * tint * (shade + 0.012 * rough)[..., None]
    return np.asarray(np.clip(painted, 0, 255), np.uint8)


def wall(
    colours: Values, lamp: float, size: tuple[int, int], random: np.random.Generator
) -> Pixels:
    """A gradient from top to bottom, brighter on one side, with a few soft shapes; (H, W, 3).

    Args:
        colours: (2, 3) RGB, above and below.
        lamp: brighter on the left (-1) or on the right (1).
        size: width and height.
        random: the shapes.
    """
    wide, tall = size
    t = np.linspace(0, 1, tall)[:, None, None]
    s = np.linspace(-1, 1, wide)[None, :, None]
    shade = (colours[0] * (1 - t) + colours[1] * t) * (1 + 0.18 * lamp * s)
    painted = np.asarray(np.clip(shade, 0, 255), np.uint8)
    for _ in range(int(random.integers(0, 5))):
        ink = np.clip(colours.mean(axis=0) + random.normal(0, 22) + random.normal(0, 9, 3), 0, 255)
        corners = (random.uniform(-0.1, 1.1, (2, 2)) * size).astype(int).tolist()
        cv2.rectangle(painted, corners[0], corners[1], ink.tolist(), -1)
    return blurred(painted, 9)


def tints() -> Pixels:
    """A map of light and dark as colours, (1, 256, 3): skin in the shade is redder, not greyer."""
    level = np.arange(256, dtype=np.float64)[:, None]
    weight = np.where(level < NEUTRAL, np.asarray([0.82, 1.04, 1.08]), 1.0)
    return np.asarray(np.clip(NEUTRAL + (level - NEUTRAL) * weight, 0, 255), np.uint8)[None]
