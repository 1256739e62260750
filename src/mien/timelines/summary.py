"""A timeline in words, for a terminal: who was there, what they showed, and how sure that is."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from mien.timelines import reasons
from mien.timelines.answers import clean, declared, sureness
from mien.timelines.segments import Overall, Segment, overall, spans, steps, strongest
from mien.types import Problem, Specs, TaskSpec, Timeline, Track

_WIDTH = 80
_SEEN = {"face": "seen", "voice": "heard", "clip": ""}
_FEW = 3  # labels of a mean answer that are named
_LEAST = 0.05  # share of an answer or of the time below which a label is not worth a word


def said(timeline: Timeline, specs: Specs | None = None, *, n: int = 3, most: int = 8) -> str:
    """What a person wants to know of one source first.

    Args:
        timeline: one source.
        specs: the run's tasks; without them they are told from the numbers.
        n: how many segments of each track and task to show.
        most: how many tracks to show, those that are there longest.
    """
    length = f"  ({clock(timeline.duration)})" if timeline.duration is not None else ""
    out = [clean(timeline.source) + length]
    known = declared([timeline], specs)
    longest = sorted(timeline.tracks, key=lambda track: -_seconds(track))[:most]
    tracks = [track for track in timeline.tracks if track in longest]
    for track in tracks:
        out += ["", *_track(track, timeline, known, n)]
    if len(timeline.tracks) > most:
        out += ["", f"... and {len(timeline.tracks) - most} more who are there more briefly"]
    if not any(track.windows for track in tracks):
        out += ["", "Nobody was seen or heard."]
    if timeline.notes:
        out += [
            "",
            *(line for note in timeline.notes for line in _wrapped(clean(note), "- ", "  ")),
        ]
    if any(window.uncertainty for _, window in timeline):
        out += ["", "In brackets the uncertainty: 0 is sure, 1 knows nothing."]
    return "\n".join(out)


def clock(seconds: float) -> str:
    """A time as ``m:ss.s``, or ``h:mm:ss.s``."""
    tenths = round(abs(seconds) * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds < 0 and (hours or minutes or tenths) else ""
    rest = f"{tenths // 10:02}.{tenths % 10}"
    return f"{sign}{hours}:{minutes:02}:{rest}" if hours else f"{sign}{minutes}:{rest}"


def _track(track: Track, timeline: Timeline, specs: Specs, n: int) -> Iterator[str]:
    yield _presence(track, timeline)
    yield from _voice(track)
    answered = {task: overall(track, task, spec) for task, spec in specs.items()}
    for task, whole in answered.items():
        if whole is None:
            continue
        single = len(track.windows) == 1
        yield from _wrapped(_mean(task, specs[task], whole, single), "  ", "    ")
        if not single:
            yield from _segments(strongest(track, task, specs[task], n), specs[task])
        yield from _reasons(track, specs[task])
    if found := reasons.cues(track.windows):
        yield from _wrapped(clean(f"cues: {found}"), "  ", "    ")


def _reasons(track: Track, spec: TaskSpec) -> Iterator[str]:
    """Who carried the answers to a task, where somebody asked."""
    if len(track.windows) == 1:
        told = reasons.single(track.windows[0], spec)
    else:
        told = [reasons.often(steps(track.windows), spec)]
    for line in filter(None, told):
        yield from _wrapped(clean(line), "    ", "      ")


def _presence(track: Track, timeline: Timeline) -> str:
    name, there = clean(track.id) or "(no name)", spans(track)
    if not track.windows:
        return f"{name}, without an answer"
    if not there or there[-1][1] <= there[0][0]:
        return name
    when = f"{clock(there[0][0])} to {clock(there[-1][1])}"
    text = f"{name}, {_SEEN[track.kind]} {when}".replace("  ", " ")
    if timeline.duration:
        text += f", {_percent(_seconds(track) / timeline.duration)} of the time"
    return text


def _voice(track: Track) -> Iterator[str]:
    """For how much of the track a voice was taken for this person's, and why."""
    own = steps(track.windows)
    whole = sum(step.seconds for step in own)
    heard: dict[str, float] = {}
    for step in own:
        if step.window.voice and whole:
            why = clean(step.window.voice)
            heard[why] = heard.get(why, 0.0) + step.seconds / whole
    for why, share in sorted(heard.items(), key=lambda item: -item[1]):
        text = f"the voice was taken for theirs in {_percent(share)} of it: {why}"
        yield from _wrapped(text, "  ", "    ")


def _mean(task: str, spec: TaskSpec, whole: Overall, single: bool) -> str:
    """The answer over all of the track: numbers, or how often each label was given."""
    if spec.problem is Problem.REGRESSION:
        numbers = ", ".join(f"{label} {score:+z.2f}" for label, score in whole.scores.items())
        text = numbers if single else f"{numbers} on average"
    elif single and spec.categorical:
        text = ", ".join(f"{label} {score:.2f}" for label, score in _largest(whole.scores))
    elif single:
        text = ", ".join(f"{k} {whole.scores[k]:.2f}" for k, on in whole.shares.items() if on)
    else:
        often = ", ".join(f"{label} {_percent(share)}" for label, share in _largest(whole.shares))
        text = often and f"{often} of the time"
    text = clean(f"{task}: {text or 'none'}")
    if whole.uncertainty is None:
        return text
    return f"{text}; {_sure(whole.uncertainty)}"


def _largest(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    ranked = sorted(scores.items(), key=lambda item: -item[1])[:_FEW]
    return [item for item in ranked if item[1] >= _LEAST]


def _sure(uncertainty: float) -> str:
    return f"{sureness(uncertainty)} ({uncertainty:.2f})"


def _segments(found: Sequence[Segment], spec: TaskSpec) -> list[str]:
    """Segments below each other, one a line."""
    names = [clean(f"{segment.level} {segment.label}") for segment in found]
    wide = max((len(name) for name in names), default=0)
    times = [f"{clock(segment.start)} to {clock(segment.end)}" for segment in found]
    long = max((len(time) for time in times), default=0)
    sign = "+" if spec.problem is Problem.REGRESSION else ""
    return [
        f"    {name:<{wide}}  {time:>{long}}  {segment.score:{sign}z.2f}"
        + ("" if segment.uncertainty is None else f"  {_sure(segment.uncertainty)}")
        for name, time, segment in zip(names, times, found, strict=True)
    ]


def _seconds(track: Track) -> float:
    return sum(end - start for start, end in spans(track))


def _percent(share: float) -> str:
    return f"{min(share, 1.0):.0%}".replace("%", " %")


def _wrapped(text: str, first: str, later: str) -> list[str]:
    whole = re.sub(r" (?=\(|%)", "\xa0", text)  # what explains a word stays with it
    lines = textwrap.wrap(
        whole, _WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False
    )
    return [line.replace("\xa0", " ") for line in lines]
