"""Sound as frames of 10 ms: how far each stands out from its surroundings, and if it has a pitch.

Sound is worked on in blocks that lie fixed on its clock, so however it is cut when it is fed, the
answers are the same.

Axes: F frames, K bins of the spectrum up to 4 kHz, 12 bands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["BLOCK", "HOP", "MARGIN", "WINDOW", "Grid", "Spectra", "Stretch"]

Samples = NDArray[np.float32]
There = NDArray[np.bool_]
Values = NDArray[np.float32]

HOP, WINDOW = 0.010, 0.032  # seconds between frames, and what each frame sees
BLOCK = 128  # frames that are computed at once
_STEADY = 150  # frames: what keeps its level for this long is background
_BLUR, _AROUND = 2, 4  # frames on either side that smooth a spectrum, and an answer
MARGIN = _STEADY + _BLUR + _AROUND
"""Frames that must follow before a frame has its answer."""

_BANDS, _LOWEST, _HIGHEST = 12, 200.0, 4000.0  # Hz; equally wide to the ear
_LOUDEST = 1e4  # full scale is 1: more is a broken file, and must not overflow
_QUIET = 1e-8  # mean square of a bin that is silence: 80 dB under full scale
_FAINT = 10**-3.5  # of the loudest nearby: fainter sounds are breath and echo
_RISE, _FULL = 5.0, 12.0  # decibels over the background where a band begins to count; its most
_PITCHES, _HARMONICS = (70.0, 400.0), (100.0, 2000.0)  # Hz
_LAGS = 256  # points of an autocorrelation
_ABOVE = 3.0  # times the background that is taken away before a pitch is looked for
_STRONG = 10.0  # times the background that must be left then
_VOICED = 0.42  # how well a frame of a voice matches itself one period later


# -- sound to spectra ------------------------------------------------------------------------------


class Grid:
    """Where frames lie in samples, and bins in hertz."""

    def __init__(self, rate: int) -> None:
        self.rate, self.hop, self.window = rate, round(HOP * rate), round(WINDOW * rate)
        self.size = 1 << (self.window - 1).bit_length()  # of a transform
        hertz = np.fft.rfftfreq(self.size, 1 / rate)
        self.hertz: NDArray[np.float64] = hertz[hertz <= _HIGHEST].astype(np.float64)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)
        self.weights = (hann / np.sqrt(np.square(hann).sum())).astype(np.float32)

    def seconds(self, frame: int) -> float:
        """Where a frame begins: frames touch, and lie around the middles of their windows."""
        return (frame * self.hop + (self.window - self.hop) / 2) / self.rate


class Spectra:
    """Samples to the power of each frame up to 4 kHz, a block of frames at a time."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._samples: Samples = np.zeros(0, np.float32)
        self._there: There = np.zeros(0, np.bool_)

    def feed(self, samples: Samples, there: There | None) -> Iterator[tuple[Values, There]]:
        """Blocks: power (F, K), there (F)."""
        here = np.ones(len(samples), np.bool_) if there is None else there
        kept = np.clip(samples, -_LOUDEST, _LOUDEST).astype(np.float32, copy=False)
        self._samples = np.concatenate([self._samples, kept])
        self._there = np.concatenate([self._there, here])
        step, needed, done = BLOCK * self._grid.hop, self._needed, 0
        while len(self._samples) - done >= needed:
            part = slice(done, done + needed)
            yield self._block(self._samples[part].copy(), self._there[part])
            done += step
        self._samples, self._there = self._samples[done:].copy(), self._there[done:].copy()

    def finish(self) -> list[tuple[Values, There]]:
        """The last block, filled up with what is not there."""
        rest = np.zeros(self._needed - len(self._samples), np.float32)
        return list(self.feed(rest, np.zeros(len(rest), np.bool_)))

    @property
    def _needed(self) -> int:
        return (BLOCK - 1) * self._grid.hop + self._grid.window

    def _block(self, samples: Samples, there: There) -> tuple[Values, There]:
        grid = self._grid
        frames = sliding_window_view(samples, grid.window)[:: grid.hop] * grid.weights
        spectra = np.fft.rfft(frames, grid.size, axis=1)[:, : len(grid.hertz)]  # (F, K)
        power = np.square(spectra.real) + np.square(spectra.imag)
        lost = np.concatenate([[0], np.cumsum(~there)])
        starts = np.arange(BLOCK) * grid.hop
        return power, lost[starts + grid.window] == lost[starts]


# -- spectra to answers ----------------------------------------------------------------------------


class Stretch:
    """Sound without a hole, and what is said of its frames once enough has followed."""

    def __init__(self, grid: Grid) -> None:
        self.frames = 0  # how many were added
        self._power: Values = np.zeros((0, len(grid.hertz)), np.float32)
        self._judged = 0  # how many of the frames still held have their answer
        self._bands, self._pitch = _bands(grid.hertz), _Pitch(grid)

    @property
    def last(self) -> Values:
        """The last frame, (1, K)."""
        return self._power[-1:]

    def add(self, power: Values) -> None:
        """More frames, (F, K)."""
        self._power = np.concatenate([self._power, power])
        self.frames += len(power)

    def judge(self, *, final: bool) -> tuple[Values, There]:
        """For each frame whose time has come: decibels over the background, and if it is voiced."""
        part = slice(self._judged, len(self._power) - (0 if final else MARGIN))
        if part.stop <= part.start:
            return np.zeros(0, np.float32), np.zeros(0, np.bool_)
        lift, voiced = self._lift()[part], self._pitch.voiced(self._power, part)
        self._judged = min(part.stop, MARGIN)
        self._power = self._power[part.stop - self._judged :]
        return lift, voiced

    def _lift(self) -> Values:
        """By how much frames stand out, averaged over bands, (F)."""
        blurred = _smooth(self._power, _BLUR)
        bands = np.stack([blurred[:, band].mean(axis=1) for band in self._bands], axis=1)
        around = _surrounded(-bands.mean(axis=1, keepdims=True), _STEADY)
        loudest = -_lowest(around, 2 * _STEADY + 1)
        background = np.maximum(_steady(bands), np.maximum(loudest * _FAINT, _QUIET))  # (F, 12)
        over = 10 * np.log10(np.maximum(bands, _QUIET) / background)
        counted = np.clip(over - _RISE, 0, _FULL).mean(axis=1, keepdims=True)
        return _smooth(counted, _AROUND)[:, 0]


class _Pitch:
    """Whether frames repeat themselves as fast as voices do, the steady part taken away."""

    def __init__(self, grid: Grid) -> None:
        self._low, self._high = (int(n) for n in np.searchsorted(grid.hertz, _HARMONICS))
        self._hertz = grid.hertz[self._low : self._high].astype(np.float32)
        second = float(grid.hertz[1]) * _LAGS  # lags a second
        self._lags = slice(int(second / _PITCHES[1]), int(second / _PITCHES[0]) + 1)
        window = np.abs(np.fft.rfft(grid.weights, grid.size))[: len(grid.hertz)]
        likeness = np.fft.irfft(window[: _LAGS // 2 + 1], _LAGS)
        # The window itself is less and less like itself; beyond some point, too little is left.
        self._window = np.maximum(likeness[self._lags] / likeness[0], 0.3).astype(np.float32)

    def voiced(self, power: Values, part: slice) -> There:
        """Power (F, K) of a stretch; answers for a part of its frames."""
        heard = power[:, self._low : self._high]
        background = np.maximum(_steady(_smooth(heard, 1))[part], _QUIET)
        rest = np.maximum(heard[part] - _ABOVE * background, 0)
        strong = (rest / background).mean(axis=1) > _STRONG
        spectrum = np.pad(np.sqrt(rest * self._hertz), ((0, 0), (self._low, 0)))
        likeness = np.fft.irfft(spectrum, _LAGS, axis=1)  # (F, lags)
        whole = np.maximum(likeness[:, :1], np.float32(1e-12))
        best = (likeness[:, self._lags] / self._window).max(axis=1, initial=0)
        return np.asarray(strong & (best > _VOICED * whole[:, 0]))


def _bands(hertz: NDArray[np.float64]) -> list[slice]:
    """Bins of each band, equally wide on the mel scale."""
    low, high = (2595 * math.log10(1 + edge / 700) for edge in (_LOWEST, _HIGHEST))
    edges = 700 * (10 ** (np.linspace(low, high, _BANDS + 1) / 2595) - 1)
    bins = np.searchsorted(hertz, edges)
    return [slice(int(a), int(b)) for a, b in pairwise(bins)]


def _smooth(values: Values, around: int) -> Values:
    """The mean over some frames on either side, fewer at the edges, (F, K)."""
    frames = len(values)
    total = values.copy()
    count = np.ones((frames, 1), np.float32)
    for step in range(1, min(around, frames - 1) + 1):
        total[step:] += values[:-step]
        total[:-step] += values[step:]
        count[step:] += 1
        count[:-step] += 1
    return total / count


def _steady(values: Values) -> Values:
    """The highest level that is held for ``_STEADY`` frames around each frame, (F, K)."""
    span = min(_STEADY, len(values))
    held = _lowest(values, span)  # (F - span + 1, K), by the first frame
    return -_lowest(_surrounded(-held, span - 1), span)


def _surrounded(values: Values, frames: int) -> Values:
    """With frames before and after that are never the lowest."""
    return np.pad(values, ((frames, frames), (0, 0)), constant_values=np.inf)


def _lowest(values: Values, span: int) -> Values:
    """The lowest of every ``span`` frames in a row, (F - span + 1, K)."""
    covered = 1
    while covered < span:
        step = min(covered, span - covered)
        values = np.minimum(values[:-step], values[step:])
        covered += step
    return values
