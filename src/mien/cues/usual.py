"""What is usual for a voice or a face, and by how much something differs from that.

A level is a number of standard deviations, 0 being usual. Whoever always speaks high, or whose
brows lie low, is not told to do so each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from mien.cues.measures import MEASURES
from mien.cues.prosody import Utterance
from mien.cues.schema import Face, Heard

__all__ = ["Usual"]

_FEWEST = 5  # observations from which one can say what is usual
_MOST = 9.0  # standard deviations; beyond it lies what was measured wrongly


@dataclass(slots=True)
class _Moments:
    count: int = 0
    weight: float = 0.0
    mean: float = 0.0
    squares: float = 0.0  # weighted, about the mean

    def add(self, value: float, weight: float) -> None:
        self.count += 1
        self.weight += weight
        away = value - self.mean
        self.mean += away * weight / self.weight
        self.squares += weight * away * (value - self.mean)

    def level(self, value: float) -> float | None:
        spread = math.sqrt(self.squares / self.weight) if self.weight else 0.0
        if self.count < _FEWEST or spread < 1e-6:
            return None
        return max(-_MOST, min(_MOST, (value - self.mean) / spread))


class Usual:
    """Mean and deviation of everything that was measured of one person, or in one recording."""

    def __init__(self) -> None:
        self._voice: dict[str, _Moments] = {}
        self._face: dict[str, _Moments] = {}

    def hear(self, utterances: Iterable[Utterance]) -> None:
        """Take in stretches of speech; each counts by its length."""
        for utterance in utterances:
            weight = max(1e-3, utterance.speech.end - utterance.speech.start)
            for name, value in utterance.values.items():
                self._voice.setdefault(name, _Moments()).add(_scaled(name, value), weight)

    def see(self, faces: Iterable[Face]) -> None:
        """Take in faces, one by one."""
        for face in faces:
            for name, value in _told(face).items():
                self._face.setdefault(name, _Moments()).add(value, 1.0)

    def heard(self, utterance: Utterance) -> Iterator[Heard]:
        """Each measure as it differs from what is usual; no level where nobody knows that."""
        for name, value in utterance.values.items():
            known = self._voice.get(name, _Moments())
            yield Heard(
                start=utterance.speech.start, end=utterance.speech.end, name=name,
                score=known.level(_scaled(name, value)), scale="level", value=value,
            )  # fmt: skip

    def seen(self, face: Face) -> Face:
        """A face with the levels of its units, those that are known."""
        levels = {n: self._face.get(n, _Moments()).level(v) for n, v in _told(face).items()}
        return replace(face, levels={n: v for n, v in levels.items() if v is not None})


def _told(face: Face) -> Mapping[str, float]:
    """How strong units are, where somebody measured that; else how surely they are active."""
    return {**face.units, **face.strengths}


def _scaled(name: str, value: float) -> float:
    return math.log(max(value, 1e-6)) if MEASURES[name].ratio else value
