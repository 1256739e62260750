"""When somebody speaks: voice activity in a stream of sound, without learned weights.

Two questions are asked of every 10 ms. Does the sound stand out from the steady part of its
surroundings, band by band? And does it repeat itself as fast as a voice does? Steady noise and
hum fail the first, knocks and hiss that come and go fail the second. Music and animals may pass
both, and so may a buzz or a beep that comes and goes; a whisper fails the second, and a note
held for more than a second and a half the first.

Sound is worked on in blocks that lie fixed on its clock, so however it is cut when it is fed, the
segments are the same.

Axes: F frames, K bins of a spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mien.data.spectra import (
    BLOCK,
    HOP,
    MARGIN,
    WINDOW,
    Grid,
    Samples,
    Spectra,
    Stretch,
    There,
    Values,
)
from mien.errors import ConfigError, DataError

__all__ = ["Speech", "VoiceActivity", "has_voice", "share"]

RATES = (8_000, 192_000)
_HOLE = 10  # frames: sound may be lost for this long without a new beginning
_BRIDGED = 30  # frames: a shorter pause does not end a segment
_SHORTEST = 20  # frames: less is not called speech
_LONGEST = 500  # frames: a longer segment is given out in pieces that touch
_PADDING = 3  # frames by which a segment is widened: voices begin and end softly

_ON, _OFF = 0.7, 0.35  # decibels, averaged over bands and frames: where a voice begins and ends
_VOICED_SHARE, _VOICED_LEAST = 0.15, 6  # of a segment's frames, and how many of them
_REST = 100  # frames: what follows a piece needs no voice of its own if it is shorter,
_VOICED_STILL = 0.05  # and this share of voiced frames if not: or clapping would last for ever


@dataclass(frozen=True, slots=True)
class Speech:
    """A stretch of time in which somebody speaks.

    Args:
        start: its first second.
        end: where it ends.
        confidence: 0..1, how clearly it stands out and how much of it is voiced. It ranks; it is
            no probability.
    """

    start: float
    end: float
    confidence: float


def share(speeches: Iterable[Speech], start: float, end: float) -> float:
    """The share of [start, end) in which somebody speaks, 0..1; segments must not overlap."""
    if not end > start:
        return 0.0
    spoken = sum(max(0.0, min(s.end, end) - max(s.start, start)) for s in speeches)
    return min(1.0, spoken / (end - start))


def has_voice(speeches: Iterable[Speech], start: float, end: float, least: float = 0.1) -> bool:
    """Whether somebody speaks in at least this share of [start, end)."""
    return share(speeches, start, end) >= least


class VoiceActivity:
    """Finds speech in sound that comes piece by piece, in constant memory.

    A segment is given out at most ``DELAY`` seconds of sound after its end; one of more than five
    seconds comes in pieces that touch. ``settled`` says up to where nothing can be added.

    Args:
        rate: samples a second.
        start: seconds, on the clock of the source, of the first sample.
    """

    DELAY = (MARGIN + BLOCK + _BRIDGED) * HOP + WINDOW

    def __init__(self, rate: int, *, start: float = 0.0) -> None:
        if not RATES[0] <= rate <= RATES[1]:
            raise ConfigError(
                f"voices are found in sound of {RATES[0]:,} to {RATES[1]:,} samples a second",
                where=f"rate={rate}",
                fix="resample it: 16,000 is enough",
            )
        self._start = start
        self._grid = Grid(rate)
        self._spectra = Spectra(self._grid)
        self._stretch = Stretch(self._grid)
        self._segments = _Segments()
        self._next = 0  # number of the next frame
        self._hole = 0  # frames lost since the last one that was there
        self._finished = False

    @property
    def settled(self) -> float:
        """Every segment that begins before this second has been given out."""
        if self._finished:
            return math.inf
        return self._start + self._grid.seconds(self._segments.settled)

    def feed(self, samples: Samples, there: There | None = None) -> list[Speech]:
        """Take the next samples.

        Args:
            samples: (n,), mono, full scale at 1.
            there: (n,), which of them were recorded; all, where not given.

        Returns:
            Segments that have ended since, in order.

        Raises:
            DataError: samples that are not one finite number each, or a mask that is none.
        """
        if samples.ndim != 1 or (there is not None and there.shape != samples.shape):
            raise DataError("voices are looked for in one channel, with a mask of its length")
        if samples.dtype.kind != "f" or (there is not None and there.dtype != np.bool_):
            raise DataError(
                f"samples are floats and a mask is of bools, not {samples.dtype}"
                + ("" if there is None else f" and {there.dtype}"),
                fix="divide whole numbers by their full scale",
            )
        if not np.isfinite(samples).all():
            raise DataError("sound holds values that are not finite")
        if self._finished:
            raise DataError("this sound was finished: nothing can follow")
        runs = [run for block in self._spectra.feed(samples, there) for run in self._take(*block)]
        return [self._speech(run) for run in runs]

    def finish(self) -> list[Speech]:
        """The segments that are left. Nothing may be fed afterwards."""
        blocks = [] if self._finished else self._spectra.finish()
        runs = [run for block in blocks for run in self._take(*block)] + self._stop()
        self._finished = True
        return [self._speech(run) for run in runs]

    def _take(self, power: Values, there: There) -> list[_Run]:
        """A block of frames: power (F, K), there (F)."""
        found: list[_Run] = []
        edges = np.flatnonzero(there[1:] != there[:-1]) + 1
        for part, here in zip(np.split(power, edges), np.split(there, edges), strict=True):
            if here[0]:
                self._go_on(part)
            else:
                self._hole += len(part)
                if self._hole > _HOLE:
                    found += self._stop()
            self._next += len(part)
        return found + self._segments.add(*self._stretch.judge(final=False))

    def _go_on(self, power: Values) -> None:
        if self._stretch.frames == 0:
            self._segments.move(self._next)
        elif self._hole:  # a short hole keeps the sound before it
            self._stretch.add(self._stretch.last.repeat(self._hole, axis=0))
        self._hole = 0
        self._stretch.add(power)

    def _stop(self) -> list[_Run]:
        """Sound was lost or has ended: nothing before can be heard together with what follows."""
        found = []
        if self._stretch.frames:
            found = self._segments.add(*self._stretch.judge(final=True)) + self._segments.end()
            self._stretch = Stretch(self._grid)
        self._segments.move(self._next)
        return found

    def _speech(self, run: _Run) -> Speech:
        first, end = (self._start + self._grid.seconds(frame) for frame in (run.first, run.end))
        return Speech(first, end, run.confidence)


# -- answers to segments ---------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """A segment in frames, with what it is judged by."""

    first: int
    end: int = 0
    continues: bool = False  # a piece that was given out
    frames: int = 0  # that stand out; pauses within are not among them
    voiced: int = 0
    lift: float = 0.0
    highest: float = 0.0

    def extend(self, end: int, lift: Values, voiced: There) -> None:
        """Frames that stand out, (F), up to this one."""
        self.end = end
        self.frames += len(lift)
        self.voiced += int(voiced.sum())
        self.lift += float(lift.sum())
        self.highest = max(self.highest, float(lift.max()))

    @property
    def speech(self) -> bool:
        """Whether this is a voice; the rest of a voice needs less proof."""
        frames = self.end - self.first
        if self.continues:
            return frames < _REST or self.voiced >= _VOICED_STILL * self.frames
        least = max(_VOICED_LEAST, _VOICED_SHARE * self.frames)
        return frames >= _SHORTEST and self.highest >= _ON and self.voiced >= least

    @property
    def confidence(self) -> float:
        """0..1."""
        frames = max(1, self.frames)
        clear = 1 - math.exp(-self.lift / frames / 3)
        return clear * min(1.0, 2 * self.voiced / frames)


class _Segments:
    """Frames to segments, in constant memory."""

    def __init__(self) -> None:
        self._next = self._begin = 0  # the next frame, and the first of its stretch
        self._open: _Run | None = None

    @property
    def settled(self) -> int:
        """No segment that is still to come begins before this frame."""
        first = self._next if self._open is None else self._open.first
        return max(0, first - _PADDING)

    def move(self, frame: int) -> None:
        """A new stretch begins at this frame."""
        self._next = self._begin = frame

    def add(self, lift: Values, voiced: There) -> list[_Run]:
        """The answers for more frames; gives segments that have ended."""
        found: list[_Run] = []
        above = np.concatenate([[False], lift > _OFF, [False]])
        edges = np.flatnonzero(above[1:] != above[:-1])
        for first, end in edges.reshape(-1, 2).tolist():
            if self._open and self._next + first - self._open.end >= _BRIDGED:
                found += self._close(self._open.end + _PADDING)
            while first < end:
                found += self._cut(self._next + first)
                run = self._open = self._open or _Run(self._next + first)
                stop = min(end, run.first + _LONGEST - self._next)
                run.extend(self._next + stop, lift[first:stop], voiced[first:stop])
                first = stop
        self._next += len(lift)
        if self._open and self._next - self._open.end >= _BRIDGED:
            found += self._close(self._open.end + _PADDING)
        return found

    def end(self) -> list[_Run]:
        """The stretch is over."""
        return self._close(min(self._open.end + _PADDING, self._next)) if self._open else []

    def _close(self, end: int) -> list[_Run]:
        run, self._open = self._open, None
        if run is None or not run.speech:
            return []
        if not run.continues:
            run.first = max(self._begin, run.first - _PADDING)
        run.end = end
        return [run]

    def _cut(self, frame: int) -> list[_Run]:
        """Give out what would become too long with this frame; the rest follows as its own."""
        run = self._open
        if run is None or frame < run.first + _LONGEST:
            return []
        given = self._close(run.end)
        self._open = _Run(run.end, run.end, continues=True) if given else None
        return given
