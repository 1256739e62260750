"""Cues: what was seen and heard in a stretch of a recording, before anybody names a feeling.

Three answers are kept apart throughout. ``None`` where nobody looked, listened or wrote down.
An empty tuple, or frames without a face, where somebody did and there was nothing. And values.
So an absence is never a zero, and what was not measured never becomes an absence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, TypeVar

from mien.data.turns import Turn
from mien.data.voice import Speech
from mien.errors import DataError

__all__ = ["Absence", "Cues", "Dimensions", "Face", "Heard", "Speech", "Turn"]

T = TypeVar("T")
Scale = Literal["share", "level"]


class Absence(StrEnum):
    """What a stretch lacks. Each is another thing, and none of them is silence about it."""

    NO_FACE = "no_face"
    NO_ACTIVE_UNIT = "no_active_unit"
    NO_SPEECH = "no_speech"
    NO_AUDIO = "no_audio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What one picture shows of the face that is meant, or one summary of many pictures.

    Args:
        time: seconds on the clock of the source.
        present: whether a face was found. Without one there are no scores.
        score: how sure the detector was, where it says.
        units: action unit -> how surely it is active, 0..1: ``{"AU12": 0.9}``.
        strengths: action unit -> how strongly, 0..1, where somebody measured that besides.
        emotions: expression -> its score, 0..1.
        levels: action unit -> by how many standard deviations it differs from what is usual for
            this face, where somebody knows what is.
    """

    time: float
    present: bool = True
    score: float | None = None
    units: Mapping[str, float] = field(default_factory=dict)
    strengths: Mapping[str, float] = field(default_factory=dict)
    emotions: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [*self.units.values(), *self.strengths.values(), *self.emotions.values()]
        if not all(0 <= value <= 1 for value in given):
            raise DataError("scores of a face lie between 0 and 1", where=f"{self.time:g} s")
        if (given or self.levels) and not self.present:
            raise DataError("scores of a face that was not found", where=f"{self.time:g} s")
        _finite(self.time, self.score, *self.levels.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How a stretch sounds, in one respect.

    Args:
        start: its first second.
        end: where it ends.
        name: what was measured (see ``mien.cues.measures.MEASURES``), or a tone by somebody's name.
        score: of a ``share`` 0..1; of a ``level`` by how many standard deviations it differs from
            what is usual for this voice, 0 being usual, and None where nobody knows what is.
        scale: which of the two.
        value: as measured, in the unit of the measure, where there is one.
    """

    start: float
    end: float
    name: str
    score: float | None
    scale: Scale = "share"
    value: float | None = None

    def __post_init__(self) -> None:
        _finite(self.start, self.end, self.score, self.value)
        if self.scale not in ("share", "level"):
            raise DataError(f"a score is a share or a level, not {self.scale!r}", where=self.name)
        if self.scale == "share" and (self.score is None or not 0 <= self.score <= 1):
            raise DataError("a share lies between 0 and 1", where=f"{self.name}={self.score}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """Arousal, dominance and valence of a stretch, 0..1 each; None where it was not asked."""

    start: float
    end: float
    arousal: float | None = None
    dominance: float | None = None
    valence: float | None = None

    def __post_init__(self) -> None:
        _finite(self.start, self.end)
        if any(v is not None and not 0 <= v <= 1 for v in self.values().values()):
            raise DataError("dimensions lie between 0 and 1", where=f"{self.start:g} s")

    def values(self) -> dict[str, float | None]:
        """By name, in the order in which they are told."""
        return {"arousal": self.arousal, "dominance": self.dominance, "valence": self.valence}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cues:
    """Everything that was measured of one clip, or of one window of it.

    Args:
        id: of the manifest row, or of the window.
        start: its first second on the clock of the source.
        end: where it ends.
        faces: one a picture that was looked at, in order; None: nobody looked.
        sound: whether there is an audio track; None: nobody listened.
        speech: when somebody speaks; empty: nobody does. None: nobody listened for it.
        prosody: how it sounds; may reach beyond ``start`` and ``end``.
        dimensions: of stretches of the sound.
        transcript: what is said, by whom if known; None: nobody wrote it down.
        made_by: what each of these came from: names to texts.
    """

    id: str
    start: float
    end: float
    faces: tuple[Face, ...] | None = None
    sound: bool | None = None
    speech: tuple[Speech, ...] | None = None
    prosody: tuple[Heard, ...] | None = None
    dimensions: tuple[Dimensions, ...] | None = None
    transcript: tuple[Turn, ...] | None = None
    made_by: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _finite(self.start, self.end)
        if not self.id or self.end < self.start:
            raise DataError("cues have an id and do not end before they start", where=self.id)
        _finite(*(t for speech in self.speech or () for t in (speech.start, speech.end)))
        _finite(*(t for turn in self.transcript or () for t in (turn.start, turn.end)))
        if self.sound is False and (self.speech or self.prosody or self.dimensions):
            raise DataError("something was heard where there is no audio track", where=self.id)

    def between(self, start: float, end: float, *, around: float = 0.0) -> Cues:
        """What of it lies in [start, end): of another clip's length, with the same states.

        Args:
            start: first second.
            end: where it ends.
            around: prosody may lie this far outside: a tone is heard over more than a moment.
        """
        wide = (start - around, end + around)
        return replace(
            self,
            start=start,
            end=end,
            faces=_kept(self.faces, lambda face: start <= face.time < end),
            speech=_kept(self.speech, lambda s: overlap(s.start, s.end, start, end)),
            prosody=_kept(self.prosody, lambda h: overlap(h.start, h.end, *wide)),
            dimensions=_kept(self.dimensions, lambda d: overlap(d.start, d.end, start, end)),
            transcript=_kept(self.transcript, lambda t: overlap(t.start, t.end, start, end)),
        )

    def peaks(self, kind: Literal["units", "strengths", "emotions"]) -> dict[str, float]:
        """The highest score of each name over all frames with a face."""
        found: dict[str, float] = {}
        for face in self.faces or ():
            for name, value in getattr(face, kind).items():
                found[name] = max(value, found.get(name, 0.0))
        return found

    def levels(self) -> dict[str, float]:
        """By how much each unit differs from what is usual, on average over frames with a face."""
        found: dict[str, list[float]] = {}
        for face in self.faces or ():
            for name, value in face.levels.items():
                found.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in found.items()}

    def active(self, threshold: float = 0.5) -> dict[str, float]:
        """Units that exceed the threshold in some frame, the clearest first."""
        found = {name: value for name, value in self.peaks("units").items() if value > threshold}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def absences(self, threshold: float = 0.5) -> frozenset[Absence]:
        """What is not there, of what was looked and listened for.

        Args:
            threshold: above which a unit is active.
        """
        found = set()
        if self.faces is not None:
            seen = [face for face in self.faces if face.present]
            if not seen:
                found.add(Absence.NO_FACE)
            elif any(face.units for face in seen) and not self.active(threshold):
                found.add(Absence.NO_ACTIVE_UNIT)
        if self.sound is False:
            found.add(Absence.NO_AUDIO)
        elif self.speech == () or (self.speech is None and self.transcript == ()):
            found.add(Absence.NO_SPEECH)
        return frozenset(found)


def overlap(start: float, end: float, first: float, last: float) -> bool:
    """Whether a stretch lies in part within [first, last), or, without length, begins there."""
    return start < last and (end > first or start == end == first)


def _kept(rows: tuple[T, ...] | None, wanted: Callable[[T], bool]) -> tuple[T, ...] | None:
    return None if rows is None else tuple(row for row in rows if wanted(row))


def _finite(*values: float | None) -> None:
    if any(value is not None and not math.isfinite(value) for value in values):
        raise DataError("cues hold a number that is not finite")
