"""Clips as small pictures that a page carries with it: frames side by side, spectrograms."""

from __future__ import annotations

import base64

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.data.writer import encode
from mien.report import words

Values = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_WIDE, _HIGH, _FRAMES = 800, 96, 8
_QUALITY = 88
_HIDDEN = 128  # the grey of what cannot be seen
_GAP = 2


def film(video: Values) -> Pixels:
    """Some frames of (3, T, H, W), colours in 0..1, beside each other; NaN is grey."""
    count = max(1, min(_FRAMES, video.shape[1], _WIDE // video.shape[3]))
    chosen = video[:, [i * video.shape[1] // count for i in range(count)]]
    frames = np.moveaxis(_bytes(chosen), 0, -1)  # (T, H, W, 3)
    frames = _larger(frames, axes=(1, 2))
    gap = np.zeros((frames.shape[1], _GAP, 3), np.uint8)
    parts = [part for frame in frames for part in (gap, frame)][1:]
    return np.asarray(np.concatenate(parts, axis=1), dtype=np.uint8)


def spectrogram(sound: Values, scale: tuple[float, float]) -> Pixels:
    """(1, time, bands), time to the right and pitch upwards; NaN is grey.

    Args:
        sound: the values.
        scale: those that get the darkest and the brightest colour.
    """
    picture = sound[0].T[::-1]
    low, high = scale
    shares = (picture - low) / (high - low if high > low else 1.0)
    coloured = cv2.applyColorMap(_bytes(shares), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    coloured = np.where(np.isnan(picture)[..., None], np.uint8(_HIDDEN), coloured)
    return _larger(np.asarray(coloured, dtype=np.uint8), axes=(0, 1))


def scale_of(sound: Values) -> tuple[float, float]:
    """Between which values nearly all of a spectrogram lies."""
    low, high = np.nanquantile(sound, [0.01, 0.99])
    return float(low), float(high)


def image(pixels: Pixels, told: str) -> str:
    """An element with the picture within.

    Args:
        pixels: (H, W, 3).
        told: what is seen, for who does not see it; escaped here.
    """
    data = base64.b64encode(encode(np.ascontiguousarray(pixels), _QUALITY)).decode()
    high, wide = pixels.shape[:2]
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{wide}" height="{high}" '
        f'alt="{words.safe(told, 200)}">'
    )


def _bytes(shares: Values) -> Pixels:
    """0..1 to 0..255; what is no number becomes grey."""
    known = np.where(np.isfinite(shares), np.clip(shares, 0, 1) * 255, _HIDDEN)
    return np.asarray(known.round(), dtype=np.uint8)


def _larger(pictures: Pixels, axes: tuple[int, int]) -> Pixels:
    """Small ones grow by a whole factor, so that their pixels stay squares."""
    factor = max(1, _HIGH // pictures.shape[axes[0]])
    for axis in axes:
        pictures = pictures.repeat(factor, axis)
    return pictures
