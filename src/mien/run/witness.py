"""Cues of a file beside the windows in which they lie: what there was to see and hear.

They come from `mien data cues`, or from anything that writes its format. They take no part in an
answer; they stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from mien.cues import files
from mien.cues.facs import NAMES
from mien.cues.schema import Absence, Cues
from mien.evidence import Cue, Evidence
from mien.types import Timeline, Track, Window

_ACTIVE = 0.5  # of a unit
_HIGH = 0.3  # of a tone by somebody's name
_UNUSUAL = 0.5  # standard deviations from what is usual for a voice
_SEEN = (Absence.NO_FACE, Absence.NO_ACTIVE_UNIT)


class Witness:
    """The cues of a file, by the clips that they are of.

    Args:
        path: a file of cues.

    Raises:
        DataError: there is none, or it holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._of: dict[str, list[Cues]] = {}
        for cues in files.read(path):
            # A window of a clip is called ID@SECOND.
            self._of.setdefault(cues.id.rpartition("@")[0] or cues.id, []).append(cues)

    def beside(self, timelines: Sequence[Timeline], ids: Sequence[str] = ()) -> list[Timeline]:
        """Timelines with the cues of their windows; one that the file does not know has a note.

        Args:
            timelines: of files or rows. Cues are called like the row, or like the file, with or
                without its ending.
            ids: the rows' own names, if they are rows of a manifest.
        """
        names = [[*ids[i : i + 1], *_names(t)] for i, t in enumerate(timelines)]
        found = [next(filter(None, map(self._of.get, own)), []) for own in names]
        return [
            _told(timeline, own) if own else replace(timeline, notes=[*timeline.notes, self._other])
            for timeline, own in zip(timelines, found, strict=True)
        ]

    @property
    def _other(self) -> str:
        known = ", ".join(list(self._of)[:3]) or "nothing"
        return f"{self.path.name} holds no cues of this clip, but of {known}."


def _names(timeline: Timeline) -> list[str]:
    place = PurePath(timeline.source.replace("\\", "/"))
    return [timeline.source, place.name, place.stem]


def _told(timeline: Timeline, known: Sequence[Cues]) -> Timeline:
    tracks = [
        replace(track, windows=[_window(window, track, known) for window in track.windows])
        for track in timeline.tracks
    ]
    return replace(timeline, tracks=tracks)


def _window(window: Window, track: Track, known: Sequence[Cues]) -> Window:
    """A window with its cues: a voice has none of a face, nor a face those of another's voice."""
    parts = [
        cues.between(window.start, window.end)
        for cues in known
        if cues.start < window.end and cues.end > window.start
    ]
    seen = track.kind != "voice"
    heard = track.kind != "face" or window.present.get("audio", False)
    found: dict[tuple[float, float, str, str], Cue] = {}
    for part in parts:
        for cue in [*(_face(part) if seen else ()), *(_voice(part) if heard else ())]:
            found.setdefault((cue.start, cue.end, cue.of, cue.text), cue)
    # What one part of the window lacks and another has is not absent.
    absent = [set(part.absences(_ACTIVE)) for part in parts]
    everywhere = set.intersection(*absent) if absent else set()
    kept = [a.value for a in Absence if a in everywhere and (seen or a not in _SEEN)]
    evidence = window.evidence or Evidence()
    why = replace(evidence, cues=tuple(found[key] for key in sorted(found)), absent=tuple(kept))
    empty = not (why.cues or why.absent or why.reasons)
    return window if empty else replace(window, evidence=why)


def _face(cues: Cues) -> Iterator[Cue]:
    """Active units and the likeliest expression, from the first frame that shows it to the last."""
    for unit in cues.active(_ACTIVE):
        times = [f.time for f in cues.faces or () if f.units.get(unit, 0.0) > _ACTIVE]
        yield Cue(start=times[0], end=times[-1], of="face", text=NAMES.get(unit, unit))
    scores = cues.peaks("emotions")
    if scores:
        best = max(scores, key=lambda name: scores[name])
        times = [f.time for f in cues.faces or () if f.emotions]
        yield Cue(start=times[0], end=times[-1], of="expression", text=best)


def _voice(cues: Cues) -> Iterator[Cue]:
    """What is unusual about a voice, and what is said."""
    for heard in cues.prosody or ():
        if heard.score is None:
            continue
        if heard.scale == "level" and abs(heard.score) >= _UNUSUAL:
            text = f"{'high' if heard.score > 0 else 'low'} {heard.name}"
            yield Cue(start=heard.start, end=heard.end, of="voice", text=text)
        elif heard.scale == "share" and heard.score > _HIGH:
            yield Cue(start=heard.start, end=heard.end, of="voice", text=heard.name)
    for turn in cues.transcript or ():
        if turn.text:
            yield Cue(start=turn.start, end=turn.end, of="speech", text=turn.text)
