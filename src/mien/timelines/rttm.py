"""Timelines as RTTM, the lines by which tools compare who was there when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from mien.timelines import answers
from mien.timelines.segments import spans
from mien.types import Timeline


def lines(timelines: Sequence[Timeline]) -> bytes:
    """When each track was there: a SPEAKER line a stretch of time, to the millisecond.

    Files go by their name without its ending, as is the custom; by their path where two sources
    would otherwise be called alike. White space in names becomes an underscore.
    """
    names = _files(timelines)
    said = []
    for timeline in timelines:
        found = [(*span, track.id) for track in timeline.tracks for span in spans(track)]
        for start, end, track in sorted(found):
            onset, stop = max(0, round(start * 1000)), round(end * 1000)
            if stop > onset:
                file, whose = names[timeline.source], _word(track)
                times = f"{onset / 1000:.3f} {(stop - onset) / 1000:.3f}"
                said.append(f"SPEAKER {file} 1 {times} <NA> <NA> {whose} <NA> <NA>\n")
    return "".join(said).encode()


def _files(timelines: Sequence[Timeline]) -> dict[str, str]:
    sources = {timeline.source for timeline in timelines}
    stems = {source: _word(PurePath(source).stem) for source in sources}
    taken = list(stems.values())
    return {s: stem if taken.count(stem) == 1 else _word(s) for s, stem in stems.items()}


def _word(name: str) -> str:
    return "_".join(answers.clean(name).split()) or "_"
