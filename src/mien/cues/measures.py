"""What is measured of a stretch of speech: numbers, each in its own unit.

Axes: F frames, P periods of a voice, D shifts, M points of a period.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.cues.pitch import HOP, Frames, Samples, runs

__all__ = ["MEASURES", "Measure", "measured"]

_LEAST = 5  # voiced frames; of fewer nothing is said of pitch
_SOFT = 25.0  # decibels under the loudest of a stretch: below that it pauses, and no syllable is
_DIP = 2.0  # decibels by which the sound between two syllables is softer than the softer of them
_PAUSE = 15  # frames: what is shorter is a stop, not a pause
_AROUND = 2  # frames on either side over which energy is smoothed before syllables are counted
_POINTS, _SHIFTS, _REACH = 32, 15, 0.08  # of a period; how many, and how far of a period
_BEFORE, _ALONG = 0.15, 5  # of a period, before its loudest moment; periods of which that is one
_ALIKE = 0.7  # how well two periods must match to be compared


@dataclass(frozen=True, slots=True)
class Measure:
    """What a number means.

    Args:
        unit: for people.
        ratio: whether twice as much is the same step everywhere: levels are then of its logarithm.
    """

    unit: str
    ratio: bool = False


MEASURES: Mapping[str, Measure] = {
    "pitch": Measure("Hz, median", ratio=True),
    "pitch_range": Measure("semitones from the 10th to the 90th percentile"),
    "energy": Measure("dB under full scale"),
    "energy_range": Measure("dB, standard deviation"),
    "rate": Measure("syllables a second"),
    "pauses": Measure("share of the time"),
    "tilt": Measure("dB of 1 to 5 kHz over 50 Hz to 1 kHz"),
    "jitter": Measure("mean difference of periods that follow each other, by the mean", ratio=True),
    "shimmer": Measure("the same of their amplitudes", ratio=True),
    "harmonicity": Measure("dB of what repeats itself over what does not"),
}
"""In the order in which they are told."""


def measured(
    frames: Frames, samples: Samples, rate: int, start: float, *, waited: float = 0.0
) -> dict[str, float]:
    """What can be measured of a stretch of speech; what cannot is left out.

    Args:
        frames: those of the stretch.
        samples: (n,), the sound of the stretch.
        rate: samples a second.
        start: seconds of the first sample, on the clock of the frames.
        waited: seconds of silence between the stretch before and this one.
    """
    if not len(frames):
        return {}
    soft = frames.energy < frames.energy.max() - _SOFT
    found = {
        "energy": 10 * float(np.log10(np.mean(10 ** (frames.energy.astype(np.float64) / 10)))),
        "energy_range": float(frames.energy[~soft].std()),
        "pauses": _pauses(soft, waited),
    }
    voiced = frames.pitch > 0
    if int(voiced.sum()) >= _LEAST and (voiced & ~soft).any():
        semitones = 12 * np.log2(frames.pitch[voiced])
        low, high = np.percentile(semitones, (10, 90))
        clear = np.clip(frames.periodic[voiced & ~soft].astype(np.float64), 1e-3, 1 - 1e-3)
        found |= {
            "pitch": float(np.median(frames.pitch[voiced])),
            "pitch_range": float(high - low),
            "rate": _syllables(frames) / (len(frames) * HOP),
            "tilt": float(frames.tilt[voiced].mean()),
            "harmonicity": float(np.mean(10 * np.log10(clear / (1 - clear)))),
        }
        found |= _irregular(frames, samples, rate, start)
    return {name: found[name] for name in MEASURES if name in found}


def _pauses(soft: NDArray[np.bool_], waited: float) -> float:
    """The share of the time since the stretch before in which nothing is said."""
    silent = sum(end - first for first, end in runs(soft) if end - first >= _PAUSE) * HOP
    return float((silent + waited) / (len(soft) * HOP + waited))


def _syllables(frames: Frames) -> int:
    """Peaks of energy that are voiced, with a dip between any two (after de Jong and Wempe)."""
    kernel = np.ones(2 * _AROUND + 1) / (2 * _AROUND + 1)
    padded = np.pad(frames.energy.astype(np.float64), _AROUND, mode="edge")
    energy = np.convolve(padded, kernel, mode="valid")  # (F)
    high = energy > energy.max() - _SOFT
    peak = np.pad((energy[1:-1] > energy[:-2]) & (energy[1:-1] >= energy[2:]), 1)
    kept: list[int] = []
    for at in np.flatnonzero(peak & high & (frames.pitch > 0)).tolist():
        if not kept:
            kept.append(at)
            continue
        lowest = energy[kept[-1] : at].min()
        if min(energy[kept[-1]], energy[at]) - lowest >= _DIP:
            kept.append(at)
        elif energy[at] > energy[kept[-1]]:
            kept[-1] = at
    return max(1, len(kept))


# -- from period to period -------------------------------------------------------------------------


def _irregular(frames: Frames, samples: Samples, rate: int, start: float) -> dict[str, float]:
    """Jitter and shimmer: how much periods that follow each other differ."""
    places = (frames.times - start) * rate
    lasts, louds, links = [], [], []
    for first, end in runs(frames.pitch > 0):
        if end - first < _LEAST:
            continue
        begins, periods = _periods(places[first:end], frames.pitch[first:end], rate)
        if len(begins) < 2:
            continue
        length, loud, alike = _matched(samples, begins, periods)
        lasts.append(length)
        louds.append(loud)
        links.append(np.concatenate([alike[1:] & alike[:-1], [False]]))
    if not lasts:
        return {}
    length, loud, link = map(np.concatenate, (lasts, louds, links))
    if int(link.sum()) < 2 * _LEAST:
        return {}
    at = np.flatnonzero(link)
    return {
        "jitter": float(np.abs(length[at + 1] - length[at]).mean() / length[at].mean()),
        "shimmer": float(np.abs(loud[at + 1] - loud[at]).mean() / max(1e-9, loud[at].mean())),
    }


def _periods(
    places: NDArray[np.float64], pitch: NDArray[np.float32], rate: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where periods begin, in samples, and how long they are about, (P) each."""
    grid = np.arange(np.ceil(places[0]), np.floor(places[-1]))
    hertz = np.interp(grid, places, pitch)
    phase = np.cumsum(hertz / rate)
    counts = np.arange(1, np.floor(phase[-1])) if len(phase) else np.zeros(0)
    begins = np.interp(counts, phase, grid)
    return begins, rate / np.interp(begins, places, pitch)


def _matched(
    samples: Samples, begins: NDArray[np.float64], periods: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Length and amplitude of each period, and whether the next one resembles it, (P) each."""
    points = np.arange(_POINTS) / _POINTS
    shifts = np.linspace(-_REACH, _REACH, _SHIFTS)
    at = begins[:, None] + periods[:, None] * points  # (P, M)
    at += (periods * _onset(_at(samples, at)))[:, None]
    this = _at(samples, at)
    later = _at(
        samples, at[:, None, :] + (periods[:, None] * (1 + shifts))[:, :, None]
    )  # (P, D, M)
    size = np.sqrt(np.square(this).sum(axis=1))  # (P)
    sizes = np.sqrt(np.square(later).sum(axis=2))  # (P, D)
    alike = np.einsum("pm,pdm->pd", this, later) / np.maximum(size[:, None] * sizes, 1e-12)
    best = np.clip(alike.argmax(axis=1), 1, _SHIFTS - 2)
    rows = np.arange(len(best))
    y0, y1, y2 = alike[rows, best - 1], alike[rows, best], alike[rows, best + 1]
    curve = np.minimum(y0 - 2 * y1 + y2, -1e-12)
    between = 0.5 * (y0 - y2) / curve
    inside = (np.abs(between) <= 1) & (y1 > _ALIKE)
    step = shifts[1] - shifts[0]
    length = periods * (1 + shifts[best] + np.clip(between, -1, 1) * step)
    return length, size / np.sqrt(_POINTS), inside


def _onset(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where in each period (P, M) it is loudest, as a share of it, less a little; (P).

    A window that begins in the middle of a pulse would see two of them, and average their periods.
    """
    power = np.square(values)
    kernel = np.ones(min(_ALONG, len(power)))
    along = np.apply_along_axis(np.convolve, 0, power, kernel, mode="same")[: len(power)]
    around = along + np.roll(along, 1, axis=1) + np.roll(along, -1, axis=1)
    return np.asarray(around.argmax(axis=1) / _POINTS - _BEFORE)


def _at(samples: Samples, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Samples between samples, on straight lines; beyond the ends the last ones."""
    kept = np.clip(places, 0, len(samples) - 1.001)
    low = kept.astype(np.intp)
    share = kept - low
    return np.asarray(samples[low] * (1 - share) + samples[low + 1] * share)
