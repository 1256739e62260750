"""Sound on a grid of samples: mono, at any rate, in blocks, with a mask of where there is any."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from mien.data.frames import check_span
from mien.data.media import SLOWEST, check_sound
from mien.data.streams import (
    LIMITS,
    Damage,
    Limits,
    Source,
    blamed,
    decoded,
    leap,
    opened,
    straightened,
)
from mien.errors import DataError

Samples = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SLACK = 0.015  # seconds by which timestamps may be off before it is a gap: less than any packet
_RUN_UP = 1.0  # seconds before the start that are decoded too: codecs and filters look back
_SEEKABLE = ("mov", "wav", "w64", "aiff", "caf")  # exact to the sample, if their clock is
_TAIL = 64  # zeros that push the last samples out of the filter, at the lower of both rates
_SCALES = {  # full scale and zero of sample formats
    "u8": (128.0, 128.0),
    "s16": (32768.0, 0.0),
    "s32": (2147483648.0, 0.0),
    "flt": (1.0, 0.0),
    "dbl": (1.0, 0.0),
}
_PLANES = 7  # PyAV sees planes that are not there where a frame has eight or more


@dataclass(slots=True)
class Block:
    """A stretch of sound.

    Args:
        time: seconds on the clock of the source, of the first sample.
        samples: (n,) mono, zero where there is none.
        there: (n,) whether anything was recorded.
    """

    time: float
    samples: Samples
    there: Mask


def blocks(
    path: Path,
    rate: int,
    *,
    start: float = 0.0,
    end: float | None = None,
    limits: Limits = LIMITS,
    damage: Damage | None = None,
) -> Iterator[Block]:
    """Sound from start until before end, a second at a time, one block after the other.

    Channels are averaged, nothing is normalised. Samples lie at whole multiples of 1/rate on the
    clock of the file: the start is moved to the nearest. What was not recorded, or is not a number,
    is zero and not there; where stretches overlap, the earlier one holds. A part has the samples
    that the whole has there, save for noise that a decoder draws by chance (AAC may).

    Args:
        path: a media file.
        rate: samples a second that are wanted.
        start: seconds on the clock of the file.
        end: seconds; None: until the sound ends. Later than that, nothing is there.
        limits: what the file may ask for.
        damage: what is wrong with the file is counted here.

    Raises:
        DataError: the file cannot be read, is beyond the limits, or has no sound.
    """
    check_span(start, end)
    if not SLOWEST <= rate <= limits.rate:
        raise DataError(f"a rate of {rate} samples a second", fix="rate=16000")
    if end is not None and end - start > limits.seconds:
        raise DataError(f"{end - start:.0f} seconds of sound; {limits.seconds:.0f} are read")
    first, last = round(start * rate), None if end is None else round(end * rate)
    pieces = _pieces(path, rate, start, limits, damage if damage is not None else Damage())
    return _cut(pieces, rate, start, first, last)


def waveform(
    path: Path,
    rate: int,
    *,
    start: float = 0.0,
    end: float | None = None,
    limits: Limits = LIMITS,
    damage: Damage | None = None,
) -> tuple[Samples, Mask]:
    """All blocks as one: samples (S,) and where there are any (S,)."""
    parts = list(blocks(path, rate, start=start, end=end, limits=limits, damage=damage))
    if not parts:
        return np.zeros(0, np.float32), np.zeros(0, np.bool_)
    return np.concatenate([b.samples for b in parts]), np.concatenate([b.there for b in parts])


# -- the grid --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Piece:
    """Samples that lie next to each other, from a place on the grid of the wanted rate."""

    first: int
    samples: Samples
    there: Mask


def _cut(
    pieces: Iterator[_Piece], rate: int, start: float, first: int, last: int | None
) -> Iterator[Block]:
    """Pieces in order to blocks without gaps; what no piece covers is not there."""
    base, filled = first, first  # where the block begins, how far the grid is known
    samples, there = np.zeros(rate, np.float32), np.zeros(rate, np.bool_)
    for piece in pieces:
        at, stop = max(piece.first, filled), piece.first + len(piece.samples)
        stop = stop if last is None else min(stop, last)
        while at < stop:
            if at >= base + rate:
                yield Block(start + (base - first) / rate, samples, there)
                samples, there = np.zeros(rate, np.float32), np.zeros(rate, np.bool_)
                base += rate
                continue
            end = min(stop, base + rate)
            samples[at - base : end - base] = piece.samples[at - piece.first : end - piece.first]
            there[at - base : end - base] = piece.there[at - piece.first : end - piece.first]
            at = filled = end
        if last is not None and filled >= last:
            break
    goal = filled if last is None else last
    while base < goal:
        size = min(rate, goal - base)
        yield Block(start + (base - first) / rate, samples[:size], there[:size])
        samples, there = np.zeros(rate, np.float32), np.zeros(rate, np.bool_)
        base += size


class _Run:
    """Sound without gaps at one rate, on its way to another.

    Both grids start at the zero of the clock. Where a run begins, zeros are put before it back to
    the nearest place where both have a sample: thereby the same sound gives the same samples,
    whichever part of a file is read.
    """

    def __init__(self, rate: int, wanted: int, first: int) -> None:
        both = math.gcd(rate, wanted)
        common = first // (rate // both)
        self.rate, self.wanted, self.first, self.next = rate, wanted, first, first
        self.resampled = common * (wanted // both)  # place of the filter's next sample
        self.pushed = common * (rate // both)
        self.bad = np.zeros(0, np.int64)  # places of samples that are not numbers
        self.filter = av.AudioResampler(format="fltp", layout="mono", rate=wanted)

    def feed(self, samples: Samples, sound: Mask) -> Iterator[_Piece]:
        if not sound.all():
            self.bad = np.concatenate([self.bad, np.flatnonzero(~sound) + self.next])
        before = np.zeros(self.next - self.pushed, np.float32)  # of the first samples only
        self.next += len(samples)
        yield from self._push(np.concatenate([before, samples]) if len(before) else samples)

    def finish(self) -> Iterator[_Piece]:
        tail = math.ceil(_TAIL * max(1.0, self.rate / self.wanted))
        if self.rate != self.wanted:
            yield from self._push(np.zeros(tail, np.float32))
            for frame in self.filter.resample(None):
                yield from self._take(frame.to_ndarray()[0])

    def _push(self, samples: Samples) -> Iterator[_Piece]:
        if self.rate == self.wanted:
            self.pushed += len(samples)
            yield from self._take(samples)
            return
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "fltp", "mono")
        frame.sample_rate, frame.pts = self.rate, self.pushed
        frame.time_base = Fraction(1, self.rate)
        self.pushed += len(samples)
        for ready in self.filter.resample(frame):
            yield from self._take(ready.to_ndarray()[0])

    def _take(self, values: NDArray[Any]) -> Iterator[_Piece]:
        """What of the filter's samples lies within the run."""
        at, self.resampled = self.resampled, self.resampled + len(values)
        first = max(at, -(-self.first * self.wanted // self.rate))
        stop = min(self.resampled, -(-self.next * self.wanted // self.rate))
        if first >= stop:
            return
        samples = values[first - at : stop - at].astype(np.float32)
        there = self._there(first, stop)
        samples[~there] = 0
        yield _Piece(first, samples, there)

    def _there(self, first: int, stop: int) -> Mask:
        """Which samples have no bad one next to them."""
        if not len(self.bad):
            return np.ones(stop - first, np.bool_)
        places = np.arange(first, stop) * (self.rate / self.wanted)
        reach = 0.5 if self.rate == self.wanted else max(1.0, self.rate / self.wanted)
        low = np.searchsorted(self.bad, places - reach)
        there = low == np.searchsorted(self.bad, places + reach, side="right")
        self.bad = self.bad[low[-1] :]
        return np.asarray(there, dtype=np.bool_)


# -- the file --------------------------------------------------------------------------------------


def _pieces(
    path: Path, rate: int, start: float, limits: Limits, damage: Damage
) -> Iterator[_Piece]:
    """The sound of a file at the wanted rate, in order, from the start or earlier."""
    with blamed(path), opened(path, limits) as source:
        if source.audio is None:
            raise DataError("there is no sound in this file, only a picture")
        near = _near(source, start, damage)
        if near is not None:
            yield from _placed(source, near, rate, damage, from_start=False)
            return
    with blamed(path), opened(path, limits) as source:
        assert source.audio is not None
        frames = decoded(source, source.audio, damage)
        yield from _placed(source, frames, rate, damage, from_start=True)


def _near(source: Source, start: float, damage: Damage) -> Iterator[AudioFrame] | None:
    """Sound from a little before the start on, if the file can be entered exactly there."""
    stream = source.audio
    assert stream is not None
    exact = stream.time_base is not None and stream.time_base * stream.sample_rate <= 1
    if source.format not in _SEEKABLE or not exact or start <= 2 * _RUN_UP:
        return None
    if not source.seek(stream, start - _RUN_UP):
        return None
    frames = decoded(source, stream, damage)
    first = next(frames, None)
    time = None if first is None else source.seconds(stream, first.pts)
    if first is None or time is None or time > start:
        return None
    return chain([first], frames)


def _placed(
    source: Source,
    frames: Iterator[AudioFrame],
    wanted: int,
    damage: Damage,
    *,
    from_start: bool,
) -> Iterator[_Piece]:
    """Decoded sound on the grid of the wanted rate."""
    run: _Run | None = None
    straight = straightened(
        _stamped(source, frames),
        damage,
        from_start=from_start,
        believed=source.limits.gaps,
        leap=leap(source),
    )
    for time, _, frame in straight:
        if time > source.limits.seconds:
            raise DataError(f"this sound is longer than {source.limits.seconds / 3600:g} hours")
        samples, sound = _mono(frame)
        rate = frame.sample_rate
        at = round(time * rate)
        if run is not None and run.rate == rate and at - run.next <= _SLACK * rate:
            overlap = run.next - at
            overlap = overlap if overlap > _SLACK * rate else 0
            yield from run.feed(samples[overlap:], sound[overlap:])
            continue
        if run is not None:
            yield from run.finish()
        run = _Run(rate, wanted, at)
        yield from run.feed(samples, sound)
    if run is None:
        raise DataError("nothing of the sound in this file can be decoded")
    yield from run.finish()


def _stamped(
    source: Source, frames: Iterator[AudioFrame]
) -> Iterator[tuple[float | None, float, AudioFrame]]:
    assert source.audio is not None
    for frame in frames:
        rate, _ = check_sound(frame, source.limits)
        if frame.samples:
            yield source.seconds(source.audio, frame.pts), frame.samples / rate, frame


def _mono(frame: AudioFrame) -> tuple[Samples, Mask]:
    """The mean of a frame's channels (n,), and which of them are numbers."""
    channels = frame.layout.nb_channels
    planar = frame.format.is_planar
    if frame.format.name.rstrip("p") not in _SCALES or (planar and channels > _PLANES):
        alike = av.AudioResampler(format="dbl", layout=frame.layout.name, rate=frame.sample_rate)
        (frame,) = alike.resample(frame)
        planar = False
    values = frame.to_ndarray() if planar else frame.to_ndarray().reshape(-1, channels).T  # (C, n)
    scale, zero = _SCALES[frame.format.name.rstrip("p")]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = ((values.mean(0, dtype=np.float64) - zero) / scale).astype(np.float32)
    sound = np.isfinite(mean)
    mean[~sound] = 0
    return mean, sound
