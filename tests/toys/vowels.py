"""Sounds that are made up, with a pitch that is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Sound = NDArray[np.float32]


def voice(
    hertz: float | NDArray[np.float64],
    seconds: float = 1.0,
    *,
    noise: float = 20.0,
    seed: int = 0,
    rate: int = RATE,
) -> Sound:
    """A voice: harmonics that fall by 6 dB an octave under three formants, in white noise.

    Args:
        hertz: of the pitch, or one for each sample.
        seconds: how long.
        noise: decibels by which the voice is louder than the noise.
        seed: of the noise.
        rate: samples a second.
    """
    count = round(seconds * rate)
    pitch = np.broadcast_to(np.asarray(hertz, np.float64), (count,))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = np.zeros(count)
    for k in range(1, int(0.45 * rate / pitch.max()) + 1):
        formants = sum(np.exp(-(((k * pitch - f) / w) ** 2)) for f, w in _FORMANTS)
        sound += (0.05 + formants) / k * np.cos(k * phase + 0.7 * k)
    sound /= np.sqrt(np.mean(sound**2))
    drawn = np.random.default_rng(seed).normal(0, 10 ** (-noise / 20), count)
    return (0.1 * (sound + drawn)).astype(np.float32)


def silence(seconds: float, rate: int = RATE, *, seed: int = 1) -> Sound:
    """Almost nothing: noise 80 dB under full scale."""
    drawn = np.random.default_rng(seed).normal(0, 1e-4, round(seconds * rate))
    return drawn.astype(np.float32)


def syllables(hertz: float, count: int, seconds: float = 0.2) -> Sound:
    """Vowels with short, soft gaps between."""
    shape = np.clip(
        1.6 * np.sin(np.pi * np.arange(int(seconds * RATE)) / (seconds * RATE)), 0.05, 1
    )
    time = np.arange(round(count * seconds * RATE)) / RATE
    sound = voice(hertz * (1 + 0.12 * np.sin(2 * np.pi * 0.8 * time)), count * seconds, noise=40)
    return np.asarray(sound * np.tile(shape, count)[: len(sound)], np.float32)


def talk() -> Sound:
    """Seven seconds: somebody low, then somebody high, with silence around."""
    parts = [silence(1.5), syllables(120, 8), silence(1.5), syllables(240, 8), silence(2)]
    return np.concatenate(parts)


_FORMANTS = ((600.0, 200.0), (1500.0, 250.0), (2600.0, 350.0))
