"""Timelines as captions, to be watched with the video: SRT and WebVTT.

One cue a window and track, from which a person reads the answer and how unsure it is. Windows of a
track may overlap; each cue is cut to the window's own step, so that a track says one thing at a
time. Cues of several tracks stand beside each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mien.timelines import answers
from mien.timelines.segments import steps
from mien.types import Specs, Timeline

# SRT has no escapes: letters that players take for markup give way to ones that look like them.
_SRT = str.maketrans({"<": "\u2039", ">": "\u203a", "{": "(", "}": ")"})
_VTT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Cue(NamedTuple):
    """One caption, in whole milliseconds."""

    start: int
    end: int
    text: str


def cues(timeline: Timeline, specs: Specs) -> Iterator[Cue]:
    """Captions in the order of time. Windows without a length or an answer are left out."""
    several = len(timeline.tracks) > 1
    found = []
    for track in timeline.tracks:
        whose = f"{answers.clean(track.id)}: " if several or track.kind != "clip" else ""
        for step in steps(track.windows):
            start, end = max(0, round(step.start * 1000)), round(step.end * 1000)
            text = answers.words(step.window, specs, track.kind)
            if end > start and text:
                found.append(Cue(start, end, whose + text))
    yield from sorted(found, key=lambda cue: (cue.start, cue.end))


def srt(timeline: Timeline, specs: Specs) -> bytes:
    """SubRip captions."""
    blocks = [
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        f"{cue.text.translate(_SRT)}\n"
        for number, cue in enumerate(cues(timeline, specs), 1)
    ]
    return "\n".join(blocks).encode()


def vtt(timeline: Timeline, specs: Specs) -> bytes:
    """WebVTT captions. A note at the beginning says what made them."""
    about = [f"source: {timeline.source}", *(f"{k}: {v}" for k, v in timeline.made_by.items() if v)]
    said = [answers.clean(line).translate(_VTT) for line in [*about, *timeline.notes]]
    note = "\n".join(filter(None, said))
    blocks = [
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{cue.text.translate(_VTT)}\n"
        for cue in cues(timeline, specs)
    ]
    return "\n".join(["WEBVTT\n", f"NOTE\n{note}\n", *blocks]).encode()


def _clock(milliseconds: int, point: str) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{thousandths:03}"
