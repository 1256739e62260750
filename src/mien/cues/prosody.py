"""How a voice sounds, stretch by stretch.

Sound comes piece by piece and is kept only as long as something is still to be measured in it, so
two hours take no more memory than two minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mien.cues.measures import measured
from mien.cues.pitch import RATE, Frames, PitchTracker, Samples
from mien.data.voice import Speech, VoiceActivity

__all__ = ["Activity", "Listener", "Utterance"]

_WAITED = 3.0  # seconds: a longer silence before a stretch says nothing of how it is spoken


class Activity(Protocol):
    """Whatever finds speech in sound that comes piece by piece."""

    @property
    def settled(self) -> float:
        """Every segment that begins before this second has been given out."""
        ...

    def feed(self, samples: Samples, there: NDArray[np.bool_] | None = None) -> list[Speech]:
        """Take the next samples; gives the segments that have ended since."""
        ...

    def finish(self) -> list[Speech]:
        """The segments that are left."""
        ...


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch in which somebody speaks, and what was measured of it.

    Args:
        speech: from when to when.
        values: by the names of ``mien.cues.measures.MEASURES``; those that could be measured.
    """

    speech: Speech
    values: Mapping[str, float] = field(default_factory=dict)


class Listener:
    """Finds and measures speech in sound that comes piece by piece, in constant memory.

    Args:
        rate: samples a second.
        start: seconds, on the clock of the source, of the first sample.
        activity: finds speech; None: mien's own, which needs no weights.
    """

    def __init__(
        self, rate: int = RATE, *, start: float = 0.0, activity: Activity | None = None
    ) -> None:
        self._rate, self._start = rate, start
        self._activity = activity or VoiceActivity(rate, start=start)
        self._tracker = PitchTracker(rate, start=start)
        self._frames = Frames.joined([])
        self._samples: Samples = np.zeros(0, np.float32)
        self._first = 0  # number of the first sample that is kept
        self._waiting: list[Speech] = []
        self._last = -math.inf  # where the last stretch ended

    def feed(self, samples: Samples, there: NDArray[np.bool_] | None = None) -> list[Utterance]:
        """Take the next samples (n,), mono, full scale at 1, and which of them were recorded."""
        self._samples = np.concatenate([self._samples, samples.astype(np.float32, copy=False)])
        self._frames = Frames.joined([self._frames, self._tracker.feed(samples)])
        self._waiting += self._activity.feed(samples, there)
        until = self._frames.times[-1] if len(self._frames) else -math.inf
        found = self._measure(until)
        self._forget()
        return found

    def finish(self) -> list[Utterance]:
        """What is left; nothing may be fed afterwards."""
        self._frames = Frames.joined([self._frames, self._tracker.finish()])
        self._waiting += self._activity.finish()
        return self._measure(math.inf)

    def _measure(self, until: float) -> list[Utterance]:
        found = []
        while self._waiting and self._waiting[0].end <= until:
            speech = self._waiting.pop(0)
            found.append(Utterance(speech, self._values(speech)))
            self._last = speech.end
        return found

    def _values(self, speech: Speech) -> dict[str, float]:
        first, end = np.searchsorted(self._frames.times, (speech.start, speech.end))
        low, high = (round((t - self._start) * self._rate) for t in (speech.start, speech.end))
        low = max(low, self._first)
        waited = speech.start - self._last
        return measured(
            self._frames.part(int(first), int(end)),
            self._samples[low - self._first : high - self._first],
            self._rate,
            self._start + low / self._rate,
            waited=waited if 0 < waited <= _WAITED else 0.0,
        )

    def _forget(self) -> None:
        """Let go of what lies before everything that is still to be measured."""
        needed = min([self._activity.settled, *(speech.start for speech in self._waiting)])
        if len(self._frames):
            needed = min(needed, float(self._frames.times[-1]))
        self._frames = self._frames.part(int(np.searchsorted(self._frames.times, needed)))
        keep = math.floor((needed - self._start) * self._rate) - self._first
        if keep >= len(self._samples) // 2:
            keep = min(keep, len(self._samples))
            self._samples, self._first = self._samples[keep:].copy(), self._first + keep
