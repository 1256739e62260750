"""What a camera makes of a drawn picture: something in the way, soft focus, noise.

Axes: F frames; H, W of a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mien.data import canvas
from mien.data.acted import eased
from mien.data.canvas import Ink, Pixels
from mien.data.head import Pose, Values

OCCLUSIONS = ("none", "hand", "bar", "strand")
_ROOM = 16  # pixels by which the noise is larger than a picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """How pictures are taken.

    Args:
        noise: deviation of each pixel, of 255.
        blur: deviation of the soft focus, in pixels; 0: sharp.
        occlusion: what is in the way, one of `OCCLUSIONS`.
        quality: constant rate factor of the encoder: the higher, the coarser.
    """

    noise: float
    blur: float
    occlusion: str
    quality: int


def camera(random: np.random.Generator, *, occluded: float = 0.25) -> Camera:
    """Any camera.

    Args:
        random: which.
        occluded: how often something is in the way.
    """
    hidden = random.random() < occluded
    return Camera(
        noise=float(random.uniform(1.0, 7.0)),
        blur=float(max(0.0, random.uniform(-0.5, 0.9))),
        occlusion=OCCLUSIONS[int(random.integers(1, 4))] if hidden else "none",
        quality=int(random.integers(20, 31)),
    )


def taken(
    pictures: Iterable[Pixels],
    how: Camera,
    pose: Pose,
    skin: Values,
    hair: Values,
    fps: float,
    random: np.random.Generator,
) -> Iterator[Pixels]:
    """Pictures (H, W, 3) as the camera keeps them, one after the other.

    Args:
        pictures: what was drawn; painted over where something is in the way.
        how: the camera.
        pose: where the head is in each picture.
        skin: RGB, of a hand.
        hair: RGB, of a strand.
        fps: pictures a second.
        random: what is in the way, and the noise.
    """
    hider = _Hider()
    if how.occlusion == "hand":
        hider = _Hand(pose, skin, fps, random)
    elif how.occlusion == "bar":
        hider = _Bar(pose, random)
    elif how.occlusion == "strand":
        hider = _Strand(pose, hair, random)
    grain = np.zeros((0, 0, 3), np.int16)
    for i, picture in enumerate(pictures):
        hider.hide(picture, i)
        if how.blur:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), how.blur), np.uint8)
        height, width = picture.shape[:2]
        if not i:
            noise = random.standard_normal((height + _ROOM, width + _ROOM, 3), np.float32)
            grain = (noise * how.noise).astype(np.int16)
        left, top = random.integers(0, _ROOM, 2).tolist()
        here = grain[top : top + height, left : left + width]
        yield np.asarray(cv2.add(picture, here, dtype=cv2.CV_8U), np.uint8)


class _Hider:
    """Nothing is in the way."""

    def hide(self, picture: Pixels, i: int) -> None:
        """Paint over picture number i."""


class _Hand(_Hider):
    """A hand that comes up to a cheek or the chin for a while."""

    def __init__(self, pose: Pose, skin: Values, fps: float, random: np.random.Generator) -> None:
        frames = len(pose.x)
        time = np.arange(frames) / fps
        come, stay = random.uniform(0, 0.5) * frames / fps, random.uniform(0.4, 1.2)
        self._there = eased((time - come) / 0.3) * eased((come + stay + 0.6 - time) / 0.3)  # (F)
        self._pose, self._side = pose, random.choice([-1, 1])
        self._skin = skin
        self._goal = np.asarray([0.72, random.uniform(0.75, 1.25)])

    def hide(self, picture: Pixels, i: int) -> None:
        there = self._there[i]
        if there < 0.02:
            return
        pose, side = self._pose, self._side
        size = pose.scale[i]
        away = np.asarray([1.6, 3.6]) * (1 - there)
        middle = np.asarray([pose.x[i], pose.y[i]]) + size * (self._goal + away) * [side, 1]
        lit = (self._skin * 0.95).clip(0, 255).tolist()
        dark = (self._skin * 0.6).clip(0, 255).tolist()
        down = np.asarray([side * 0.35, 1.0])
        _stroke(picture, middle, middle + size * 2.6 * down, size * 0.62, lit)  # wrist and arm
        _stroke(picture, middle, middle + size * 0.2 * down, size * 0.8, lit)
        for k in range(4):
            root = middle + size * np.asarray([side * (0.28 - 0.19 * k), -0.25])
            tip = root + size * np.asarray([-side * 0.10, -0.55 + 0.07 * abs(k - 1.2)])
            _stroke(picture, root, tip, size * 0.185, dark)
            _stroke(picture, root, tip, size * 0.16, lit)


class _Bar(_Hider):
    """Something upright in the foreground that does not move: a lamp, a microphone's stand."""

    def __init__(self, pose: Pose, random: np.random.Generator) -> None:
        size = float(pose.scale.mean())
        at = float(pose.x.mean()) + size * random.choice([-1, 1]) * random.uniform(0.35, 1.0)
        lean = size * random.uniform(-0.3, 0.3)
        self._ends = np.asarray([at - lean, -10]), np.asarray([at + lean, pose.y[0] + 5 * size])
        self._width = size * random.uniform(0.12, 0.26)
        self._colour = (random.uniform(20, 190) + random.normal(0, 12, 3)).clip(0, 255).tolist()

    def hide(self, picture: Pixels, i: int) -> None:
        del i
        _stroke(picture, *self._ends, self._width, self._colour)


class _Strand(_Hider):
    """Hair that falls over one eye."""

    def __init__(self, pose: Pose, hair: Values, random: np.random.Generator) -> None:
        self._pose, side = pose, random.choice([-1, 1])
        t = np.linspace(0, 1, 8)
        self._lines, self._colours = [], []
        for k in range(9):  # (8, 2) each, in halves of a face's width
            x = side * (0.12 + 0.05 * k + (0.30 + 0.02 * k) * np.sin(np.pi * 0.62 * t))
            y = -1.05 + (1.25 - 0.035 * k + random.normal(0, 0.06)) * t
            self._lines.append(np.stack([x, y], axis=1))
            self._colours.append((hair * random.uniform(0.6, 1.15)).clip(0, 255).tolist())

    def hide(self, picture: Pixels, i: int) -> None:
        pose = self._pose
        base, size, roll = np.asarray([pose.x[i], pose.y[i]]), pose.scale[i], pose.roll[i]
        turn = np.asarray([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        for line, colour in zip(self._lines, self._colours, strict=True):
            points = base + size * line @ turn + [0.35 * size * np.sin(pose.yaw[i]), 0]
            canvas.line(picture, canvas.fixed(points), size * 0.03, colour)


def _stroke(picture: Pixels, start: Values, end: Values, width: float, colour: Ink) -> None:
    """A thick line, whose ends are round."""
    canvas.line(picture, canvas.fixed(np.stack([start, end])), width, colour)
