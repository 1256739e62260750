"""What is said of a recording over time: windows with scores, tracks of people, a timeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mien.evidence import Evidence

__all__ = ["Timeline", "Track", "Window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Scores of one stretch of time.

    Args:
        start: its first second, on the clock of the source.
        end: where it ends.
        scores: one number a label, by task; no task where the run gave no answer.
        uncertainty: one number in 0..1 by task (normalised entropy of a categorical answer).
        present: which modalities were there.
        box: where the face was, in the middle of the window: left, top, width and height as
            shares of the picture.
        voice: why the voice heard here was taken for this person's; empty where it was not.
        voice_score: how strongly that was believed, where the rule says.
        evidence: why these answers were given, where somebody asked.
    """

    start: float
    end: float
    scores: Mapping[str, Mapping[str, float]]
    uncertainty: Mapping[str, float] = field(default_factory=dict)
    present: Mapping[str, bool] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    voice: str = ""
    voice_score: float | None = None
    evidence: Evidence | None = None

    def top(self, task: str) -> str:
        """The label with the highest score."""
        scores = self.scores[task]
        return max(scores, key=lambda label: scores[label])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "start": self.start,
            "end": self.end,
            "scores": {task: dict(scores) for task, scores in self.scores.items()},
            "uncertainty": dict(self.uncertainty),
            "present": dict(self.present),
            "box": None if self.box is None else list(self.box),
            "voice": self.voice,
            "voice_score": self.voice_score,
        } | ({} if self.evidence is None else {"evidence": self.evidence.to_dict()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The windows of one person, one voice, or one whole clip; ``kind`` says of which."""

    id: str
    windows: Sequence[Window]
    kind: Literal["clip", "face", "voice"] = "clip"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        windows = [window.to_dict() for window in self.windows]
        return {"id": self.id, "kind": self.kind, "windows": windows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What a run says about one source over time, and which run said it.

    Args:
        source: the file or row.
        tracks: people, voices, or the clip as one.
        made_by: run, versions, detector, crop recipe, licence: names to texts.
        duration: seconds of the whole source, where known.
        notes: what a reader should know, a sentence each.
    """

    source: str
    tracks: Sequence[Track]
    made_by: Mapping[str, str] = field(default_factory=dict)
    duration: float | None = None
    notes: Sequence[str] = ()

    def __iter__(self) -> Iterator[tuple[Track, Window]]:
        for track in self.tracks:
            for window in track.windows:
                yield track, window

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "source": self.source,
            "duration": self.duration,
            "made_by": dict(self.made_by),
            "notes": list(self.notes),
            "tracks": [track.to_dict() for track in self.tracks],
        }
