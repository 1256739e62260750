"""A voice as sound: pulses of the glottis and noise of air through a vocal tract, in a room.

Each pulse is the impulse response of source and tract at its moment, so pitch, jitter and shimmer
are exactly what was asked for. Formants are digital resonators in cascade (Klatt: Software for a
cascade/parallel formant synthesizer, 1980); noise is filtered by the tract in short overlapping
frames. Then come a short echo, a microphone with a colour and a gain of its own, and its noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.data.uttered import CONTROL, Uttering

Samples = NDArray[np.float32]
Values = NDArray[np.float64]
Spectrum = NDArray[np.complex64]

RATE = 16_000
_LONG = 512  # samples of a pulse's response
_BINS = _LONG // 2 + 1
_HERTZ = np.fft.rfftfreq(_LONG, 1 / RATE).astype(np.float64)
_TURN = (-2j * np.pi * _HERTZ / RATE).astype(np.complex64)  # of a bin's phase by one sample
_DELAY: Spectrum = np.exp(_TURN)
_WIDTHS = (80.0, 100.0, 140.0, 220.0)  # Hz, of the formants
_FIFTH, _FIFTH_WIDTH = 4500.0, 300.0
_HOP = 128  # samples between frames of noise, which are twice as long
_CHUNK = 512  # pulses at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Microphone:
    """Where and through what a voice is recorded.

    Args:
        gain: of everything, decibels.
        tilt: decibels per octave about 1 kHz.
        colour: (3) decibels at 300, 1500 and 5000 Hz, wide.
        echo: seconds in which the room's echo falls by 60 dB.
        wet: share of the echo.
        noise: decibels of its noise under the loudest second of speech.
    """

    gain: float
    tilt: float
    colour: tuple[float, float, float]
    echo: float
    wet: float
    noise: float


def microphone(random: np.random.Generator) -> Microphone:
    """Any microphone in any room."""
    a, b, c = random.normal(0, 3.0, 3).tolist()
    return Microphone(
        gain=float(random.uniform(-12, 0)),
        tilt=float(random.normal(0, 1.8)),
        colour=(a, b, c),
        echo=float(random.uniform(0.08, 0.35)),
        wet=float(random.uniform(0.05, 0.35)),
        noise=float(random.uniform(-42, -24)),
    )


def speak(uttering: Uttering, random: np.random.Generator) -> Samples:
    """The voice as it leaves the lips, at `RATE`."""
    count = round(uttering.seconds * RATE)
    dry = _voiced(uttering, count, random) + _noisy(uttering, count, random)
    return np.asarray(dry[:count], np.float32)


def record(voices: Samples, where: Microphone, random: np.random.Generator) -> Samples:
    """What a microphone makes of it, at most 0.9 of full scale."""
    count = len(voices)
    size = 1 << (count + round(where.echo * RATE)).bit_length()
    decay = np.arange(round(where.echo * RATE)) / RATE
    tail = random.standard_normal(len(decay)) * np.exp(-6.9 * decay / where.echo)
    tail *= where.wet / max(1e-9, float(np.sqrt(np.square(tail).sum())))
    tail[0] = 1.0
    hertz = np.fft.rfftfreq(size, 1 / RATE).astype(np.float64)
    spectrum = np.fft.rfft(voices, size) * np.fft.rfft(tail, size) * _colour(where, hertz)
    heard = np.fft.irfft(spectrum, size)[:count]
    loud = max(1e-6, _loudest(heard))
    white = np.fft.rfft(random.standard_normal(count), size)
    hiss = np.fft.irfft(white / np.sqrt(1 + hertz / 150), size)[:count]
    heard = heard + hiss * (loud * 10 ** (where.noise / 20) / max(1e-9, float(hiss.std())))
    gain = 0.12 / loud * 10 ** (where.gain / 20)
    peak = float(np.abs(heard).max()) * gain
    return np.asarray(heard * gain * min(1.0, 0.9 / max(1e-9, peak)), np.float32)


def _colour(where: Microphone, hertz: Values) -> Values:
    octaves = np.log2(np.clip(hertz, 60, None) / 1000)
    decibels = where.tilt * octaves
    for middle, much in zip((300.0, 1500.0, 5000.0), where.colour, strict=True):
        decibels = decibels + much * np.exp(-(((octaves - np.log2(middle / 1000)) / 0.9) ** 2))
    rumble = 1 / (1 + (70 / np.clip(hertz, 1, None)) ** 4)
    return np.asarray(10 ** (decibels / 20) * rumble)


def _loudest(sound: Values) -> float:
    """Root mean square of the loudest quarter of a second."""
    step = RATE // 4
    whole = len(sound) // step * step
    if not whole:
        return float(np.sqrt(np.square(sound).mean()))
    return float(np.sqrt(np.square(sound[:whole]).reshape(-1, step).mean(axis=1).max()))


# -- the voice -------------------------------------------------------------------------------------


def _voiced(uttering: Uttering, count: int, random: np.random.Generator) -> Values:
    moments = (np.arange(len(uttering.pitch)) + 0.5) / CONTROL
    phase = np.concatenate([[0], np.cumsum(uttering.pitch) / CONTROL])
    edges = np.arange(len(phase)) / CONTROL
    number = np.arange(1, int(phase[-1]))
    times = np.interp(number, phase, edges)  # when the phase is a whole number
    pitch = np.interp(times, moments, uttering.pitch)
    level = np.interp(times, moments, uttering.level)
    early, loud = random.normal(size=(2, len(times)))
    level *= 1 + loud * np.interp(times, moments, uttering.shimmer)
    times = times + early * np.interp(times, moments, uttering.jitter) / pitch
    heard = (level > 1e-3) & (times >= 0)
    out = np.zeros(count + 2 * _LONG)
    for some in np.array_split(np.flatnonzero(heard), max(1, int(heard.sum()) // _CHUNK)):
        at = times[some]
        place = np.clip((at * CONTROL).astype(int), 0, len(moments) - 1)
        spectra = _tract(uttering.formants[place]) * _source(uttering.tense[place])
        samples = at * RATE
        first = np.floor(samples).astype(int)
        loud = (level[some] / np.sqrt(pitch[some] / 100)).astype(np.float32)[:, None]
        spectra *= loud * np.exp(_TURN * (samples - first).astype(np.float32)[:, None])
        responses = np.fft.irfft(spectra, _LONG, axis=1)
        for start, response in zip(first.tolist(), responses, strict=True):
            out[start : start + _LONG] += response
    return out


def _tract(formants: Values) -> Spectrum:
    """Resonators in cascade, each 1 at 0 Hz; formants (n, K) to (n, bins)."""
    last = np.full((len(formants), 1), _FIFTH)
    hertz = np.concatenate([formants, last], axis=1)  # (n, K + 1)
    r = np.exp(-np.pi * np.asarray((*_WIDTHS, _FIFTH_WIDTH)) / RATE)
    c = (2 * r * np.cos(2 * np.pi * hertz / RATE)).astype(np.float32)
    gain = np.prod(1 - c + r * r, axis=1, keepdims=True).astype(np.float32)
    below = np.ones((len(formants), _BINS), np.complex64)
    for k, squared in enumerate((r * r).astype(np.float32)):
        below *= (1 + squared * _DELAY**2) - c[:, k, None] * _DELAY
    return np.asarray(gain / below, np.complex64)


def _source(tense: Values) -> Spectrum:
    """The flow of a pulse and its radiation from the lips: two poles and a zero at 0 Hz."""
    corner = (150 * 5.0**tense)[:, None]  # Hz: the tenser, the faster the glottis closes
    s = (1j * _HERTZ / corner).astype(np.complex64)
    return np.asarray(3 * s / (1 + s) ** 2, np.complex64)


def _noisy(uttering: Uttering, count: int, random: np.random.Generator) -> Values:
    """Breath through the tract, and the noise of consonants, in frames that overlap by half."""
    frames = count // _HOP + 2
    place = (np.arange(frames) * _HOP / RATE * CONTROL).astype(int)
    place = np.clip(place, 0, len(uttering.pitch) - 1)
    air = (uttering.breath * uttering.level)[place]
    hiss, middle = uttering.hiss[place], uttering.place[place]
    white = random.standard_normal((frames, 2 * _HOP)) * np.hanning(2 * _HOP)
    spectra = np.fft.rfft(white, _LONG, axis=1)
    busy = air > 1e-3
    shape = np.zeros((frames, _BINS))
    shape[busy] = 0.05 * air[busy, None] * np.abs(_tract(uttering.formants[place[busy]]))
    octaves = np.log2(np.clip(_HERTZ, 60, None)[None] / middle[:, None])
    shape += 0.5 * hiss[:, None] * np.exp(-((octaves / 0.6) ** 2))
    noise = np.fft.irfft(spectra * shape, _LONG, axis=1)
    out = np.zeros((frames + 4) * _HOP)
    for i in range(_LONG // _HOP):  # frames of four hops overlap
        piece = noise[:, i * _HOP : (i + 1) * _HOP].reshape(-1)
        out[i * _HOP : i * _HOP + len(piece)] += piece
    return np.pad(out, (0, max(0, count + 2 * _LONG - len(out))))[: count + 2 * _LONG]
