"""How high a voice is, every 10 ms, in sound that comes piece by piece.

The short-term autocorrelation of each frame, divided by that of its window, has a peak at the
period of a voice (Boersma 1993, eq. 9 and 23 to 26). Each frame gives some peaks as candidates and
one more, that it has no pitch; the path through all frames that is worth most is the answer, so
that a frame which could be heard an octave higher or lower is judged by its neighbours.

Sound is worked on in blocks that lie fixed on its clock, so however it is cut when it is fed, the
answers are the same, and memory stays the same for any length. What is silent is judged against
the loudest moment of its block and the two before.

Axes: F frames, N samples of a frame, T lags, K candidates and the one of no pitch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["CEILING", "FLOOR", "HOP", "RATE", "Frames", "PitchTracker", "runs", "track"]

RATE = 16_000
"""Samples a second that this is made for."""

HOP = 0.010
"""Seconds from one frame to the next."""

FLOOR, CEILING = 75.0, 600.0  # hertz
_PERIODS = 3  # of the lowest pitch that a frame holds
_BLOCK = 500  # frames that are worked on at once
_BACK = 100  # frames at the end of a block whose path may still change
_CANDIDATES = 8

_OCTAVE, _JUMP, _VOICING = 0.01, 0.35, 0.14  # what a low pitch, an octave's jump and a change cost
_VOICED, _SILENT = 0.45, 0.03  # a frame below these has no pitch: of its own peak, of the loudest
_QUIET = 1e-10  # mean square: 100 dB under full scale
_BANDS = (50.0, 1000.0, 5000.0)  # hertz: the low and the high band of the tilt

Samples = NDArray[np.float32]
Values = NDArray[np.float32]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Frames:
    """What was heard every 10 ms, (F) each.

    Args:
        times: seconds of the middles of frames, on the clock of the source.
        pitch: hertz; 0 where there is none.
        periodic: 0..1, how well a frame repeats itself one period later; 0 without a pitch.
        energy: decibels under full scale, at least -100.
        tilt: decibels by which 1 to 5 kHz are stronger than 50 Hz to 1 kHz; mostly negative.
    """

    times: NDArray[np.float64]
    pitch: Values
    periodic: Values
    energy: Values
    tilt: Values

    def __len__(self) -> int:
        return len(self.times)

    def part(self, first: int, end: int | None = None) -> Frames:
        """Some of the frames."""
        kept = slice(first, end)
        return Frames(
            self.times[kept], self.pitch[kept], self.periodic[kept], self.energy[kept],
            self.tilt[kept],
        )  # fmt: skip

    @staticmethod
    def joined(parts: list[Frames]) -> Frames:
        """Frames one after the other."""
        empty = np.zeros(0, np.float32)
        if not parts:
            return Frames(np.zeros(0), empty, empty, empty, empty)
        return Frames(
            np.concatenate([p.times for p in parts]),
            *(np.concatenate([getattr(p, name) for p in parts])
              for name in ("pitch", "periodic", "energy", "tilt")),
        )  # fmt: skip


def track(samples: Samples, rate: int = RATE, *, start: float = 0.0) -> Frames:
    """All frames of a short sound (n,)."""
    tracker = PitchTracker(rate, start=start)
    return Frames.joined([tracker.feed(samples), tracker.finish()])


class PitchTracker:
    """Follows the pitch of sound that comes piece by piece, in constant memory.

    Args:
        rate: samples a second, 8,000 or more.
        start: seconds, on the clock of the source, of the first sample.
    """

    def __init__(self, rate: int = RATE, *, start: float = 0.0) -> None:
        self._analysis = _Analysis(rate)
        self._path = _Path()
        self._start, self._next = start, 0  # the number of the next frame that is given out
        self._samples: Samples = np.zeros(0, np.float32)
        self._peaks: list[float] = []  # of the last blocks
        self._waiting: list[_Block] = []  # whose path may still change

    def feed(self, samples: Samples) -> Frames:
        """Take the next samples (n,), full scale at 1; gives the frames that are settled."""
        self._samples = np.concatenate([self._samples, samples.astype(np.float32, copy=False)])
        hop, window = self._analysis.hop, self._analysis.window
        found, done = [], 0
        while len(self._samples) - done >= (_BLOCK - 1) * hop + window:
            part = self._samples[done : done + (_BLOCK - 1) * hop + window]
            found.append(self._take(part, final=False))
            done += _BLOCK * hop
        self._samples = self._samples[done:].copy()
        return Frames.joined(found)

    def finish(self) -> Frames:
        """The frames that are left."""
        rest, self._samples = self._samples, np.zeros(0, np.float32)
        whole = len(rest) >= self._analysis.window
        return self._take(rest if whole else rest[:0], final=True)

    def _take(self, samples: Samples, *, final: bool) -> Frames:
        if len(samples):
            block = self._analysis.block(samples, self._peaks)
            self._peaks = [*self._peaks, block.peak][-2:]
            self._waiting.append(block)
            self._path.add(block.hertz, block.worth)
        chosen = self._path.settled(0 if final else _BACK)  # (F), a candidate each
        return self._given(chosen)

    def _given(self, chosen: Places) -> Frames:
        """The frames of a part of the path, taken from the blocks that wait."""
        parts, done = [], 0
        while done < len(chosen):
            block = self._waiting[0]
            count = min(len(block.hertz), len(chosen) - done)
            numbers = np.arange(self._next, self._next + count)
            parts.append(block.frames(chosen[done : done + count], self._when(numbers)))
            self._next, done = self._next + count, done + count
            self._waiting[:1] = [block.after(count)] if count < len(block.hertz) else []
        return Frames.joined(parts)

    def _when(self, numbers: Places) -> NDArray[np.float64]:
        analysis = self._analysis
        middle = (analysis.window - 1) / 2
        return np.asarray(self._start + (numbers * analysis.hop + middle) / analysis.rate)


# -- frames to candidates --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    """Frames with their candidates; of the last one, that there is no pitch, the hertz are 0."""

    peak: float  # of the samples
    hertz: Values  # (F, K)
    worth: Values  # (F, K)
    likeness: Values  # (F, K)
    energy: Values  # (F)
    tilt: Values  # (F)

    def frames(self, chosen: Places, times: NDArray[np.float64]) -> Frames:
        """The first frames, with the candidate that was chosen of each."""
        rows = np.arange(len(chosen))
        count = len(chosen)
        return Frames(
            times, self.hertz[rows, chosen], self.likeness[rows, chosen],
            self.energy[:count], self.tilt[:count],
        )  # fmt: skip

    def after(self, count: int) -> _Block:
        """Without the first frames."""
        rest = (self.hertz, self.worth, self.likeness, self.energy, self.tilt)
        return _Block(self.peak, *(values[count:] for values in rest))


class _Analysis:
    """Samples to candidates of pitch, a block at a time."""

    def __init__(self, rate: int) -> None:
        self.rate, self.hop = rate, round(HOP * rate)
        self.window = round(_PERIODS / FLOOR * rate)
        self.lags = (int(rate / CEILING) - 1, int(rate / FLOOR) + 2)  # with one more on each side
        self.size = _smooth_size(self.window + self.lags[1])
        place = (np.arange(self.window) + 0.5) / self.window
        self._hann = (0.5 - 0.5 * np.cos(2 * np.pi * place)).astype(np.float32)
        power = np.abs(np.fft.rfft(self._hann, self.size)) ** 2
        likeness = np.fft.irfft(power, self.size)
        self._window_likeness = (likeness / likeness[0])[slice(*self.lags)].astype(np.float32)
        self._weight = float(np.square(self._hann).sum())
        hertz = np.fft.rfftfreq(self.size, 1 / rate)
        edges = [int(np.searchsorted(hertz, min(edge, rate / 2))) for edge in _BANDS]
        self._low, self._high = slice(*edges[:2]), slice(*edges[1:])

    def block(self, samples: Samples, peaks: list[float]) -> _Block:
        """A block's candidates, given the peaks of those before."""
        frames = sliding_window_view(samples, self.window)[:: self.hop]  # (F, N)
        frames = frames - frames.mean(axis=1, keepdims=True)
        local = np.maximum(frames.max(axis=1), -frames.min(axis=1))  # (F)
        spectra = np.fft.rfft(frames * self._hann, self.size, axis=1)
        power = np.square(spectra.real) + np.square(spectra.imag)
        likeness = np.fft.irfft(power, self.size, axis=1)[:, : self.lags[1]]
        whole = np.maximum(likeness[:, :1], np.float32(1e-12))
        likeness = likeness[:, self.lags[0] :] / whole / self._window_likeness  # (F, T)
        hertz, peak = self._peaks(likeness)
        loudest = max([float(local.max()), *peaks, 1e-6])
        octaves = np.log2(FLOOR / np.maximum(hertz, 1)).astype(np.float32)
        worth = peak - np.float32(_OCTAVE) * octaves
        silent = 2 - local / loudest / (_SILENT / (1 + _VOICED))  # above 0: too soft to have one
        worth[:, -1] = _VOICED + np.maximum(0, silent)
        worth[:, :-1][hertz[:, :-1] == 0] = -np.inf
        energy = 2 * power.sum(axis=1) / self.size / self._weight
        low, high = power[:, self._low].sum(axis=1), power[:, self._high].sum(axis=1)
        floor = np.float32(_QUIET * self._weight * self.size)
        tilt = 10 * np.log10(np.maximum(high, floor) / np.maximum(low, floor))
        return _Block(
            float(local.max()), hertz, worth, np.where(hertz > 0, peak, 0).astype(np.float32),
            (10 * np.log10(np.maximum(energy, _QUIET))).astype(np.float32), tilt.astype(np.float32),
        )  # fmt: skip

    def _peaks(self, likeness: Values) -> tuple[Values, Values]:
        """Hertz (F, K) and heights (F, K) of the highest peaks; the last is the one of no pitch."""
        before, at, after = likeness[:, :-2], likeness[:, 1:-1], likeness[:, 2:]
        peak = (at > before) & (at >= after) & (at > 0.5 * _VOICED)
        heights = np.where(peak, at, np.float32(-1))
        lags = np.arange(self.lags[0] + 1, self.lags[1] - 1, dtype=np.float32)
        # A period that is twice as long matches as well: the shorter one is to be among the best.
        ranked = heights - np.float32(_OCTAVE) * np.log2(FLOOR / self.rate * lags)
        best = np.argpartition(-ranked, _CANDIDATES, axis=1)[:, :_CANDIDATES]  # (F, K - 1)
        rows = np.arange(len(at))[:, None]
        y0, y1, y2 = before[rows, best], at[rows, best], after[rows, best]
        curve = np.minimum(y0 - 2 * y1 + y2, np.float32(-1e-9))
        shift = np.clip(0.5 * (y0 - y2) / curve, -1, 1)  # of a parabola through three points
        height = y1 - 0.25 * (y0 - y2) * shift
        hertz = self.rate / (lags[best] + shift)
        there = heights[rows, best] > 0
        hertz = np.where(there, hertz, 0)
        height = np.where(there, np.minimum(height, np.float32(0.9999)), 0)
        none = np.zeros((len(at), 1), np.float32)
        return (
            np.concatenate([hertz, none], axis=1).astype(np.float32),
            np.concatenate([height, none], axis=1).astype(np.float32),
        )


def _smooth_size(least: int) -> int:
    """The next size of a transform without large factors, and even."""
    for size in range(least + least % 2, 2 * least, 2):
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
    return 1 << least.bit_length()


# -- candidates to a path --------------------------------------------------------------------------


class _Path:
    """The path through candidates that is worth most, settled bit by bit."""

    def __init__(self) -> None:
        self._hertz: Values | None = None  # (K) of the last frame
        self._worth: NDArray[np.float64] = np.zeros(0)  # (K) of the best path to each of them
        self._back: list[Places] = []  # (K) for each frame that is not settled

    def add(self, hertz: Values, worth: Values) -> None:
        """More frames, (F, K) each."""
        first = self._hertz is None
        before = hertz[:1] if self._hertz is None else self._hertz[None]
        costs = _costs(np.concatenate([before, hertz]))  # (F, K, K)
        total = self._worth if not first else np.zeros(hertz.shape[1])
        for step, gain in zip(costs, worth.astype(np.float64), strict=True):
            ways = total - step  # (K, K): to each candidate from each of the frame before
            back = ways.argmax(axis=1)
            total = ways[self._rows(len(back)), back] + gain
            self._back.append(back)
        self._worth = total - total.max()
        self._hertz = hertz[-1]

    def settled(self, held: int) -> Places:
        """The candidates that the best path takes, but for the last frames that are held back."""
        count = len(self._back) - held
        if count <= 0:
            return np.zeros(0, np.intp)
        chosen = np.zeros(len(self._back), np.intp)
        at = int(self._worth.argmax())
        for i in range(len(self._back) - 1, -1, -1):
            chosen[i] = at
            at = int(self._back[i][at])
        self._back = self._back[count:]
        return chosen[:count]

    @staticmethod
    def _rows(count: int) -> Places:
        return np.arange(count)


def _costs(hertz: Values) -> NDArray[np.float64]:
    """What each step costs, (F, K, K): from the last axis to the one before it."""
    voiced = hertz > 0
    pitch = np.log2(np.maximum(hertz, 1.0))
    jump = _JUMP * np.abs(pitch[1:, :, None] - pitch[:-1, None, :])
    both = voiced[1:, :, None] & voiced[:-1, None, :]
    change = voiced[1:, :, None] != voiced[:-1, None, :]
    return np.asarray(np.where(both, jump, np.where(change, _VOICING, 0.0)), np.float64)


def runs(voiced: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and end of each stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], voiced, [False]])))
    yield from ((int(a), int(b)) for a, b in edges.reshape(-1, 2))
