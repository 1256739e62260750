"""One source's timeline as one static page: nothing to install, nothing fetched, 300 kB at most.

The page stays small by rule, however long the source:

1. Each window is drawn as it is, while that fits.
2. Else all tracks are drawn in steps of one width, the least of 0.1 s, 0.2 s, ... that fits: a step
   shows the mean of its windows (many of n: the highest score). Steps stay below a sixtieth of
   the source while fewer tracks make room.
3. Then only the tracks seen longest are drawn: 24, 12, 6, 3, 1.
4. Then, for names beyond all measure, six labels of a task and no thumbnails.

What was left out stands on the page. Tables are made of exact windows, and name the longest
segments where there are too many.
"""

from __future__ import annotations

import math
import mimetypes
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePath
from urllib.parse import quote

from mien.errors import RunError
from mien.notice import INTENDED_USE
from mien.report import body, document, packed, reasons, steps, words
from mien.report.body import Drawn, Thumbnail
from mien.report.lanes import Axis
from mien.types import Specs, TaskSpec, Timeline, Track

__all__ = ["LIMIT", "Thumbnail", "page"]

LIMIT = 300_000
"""Bytes that a page may have."""

_MOST_TASKS = 6


@dataclass(frozen=True, slots=True)
class _Room:
    """Labels of a task, rows of all complete tables together, bytes of thumbnails as text."""

    labels: int
    rows: int
    pictures: int


_ROOMS = (_Room(32, 240, 50_000), _Room(6, 60, 0))  # the second is enough whatever names are like


@dataclass(frozen=True, slots=True)
class _Plan:
    """How much is drawn: the width of a step (0: windows as they are), and of how many tracks."""

    width: float
    tracks: int


def page(
    timeline: Timeline,
    specs: Specs,
    *,
    media: str | None = None,
    thumbnails: Mapping[str, Sequence[Thumbnail]] | None = None,
    notice: str = INTENDED_USE,
    title: str | None = None,
) -> str:
    """A timeline as a page that stands for itself.

    Args:
        timeline: what a run said about a source.
        specs: its tasks by name.
        media: name of the file to play, if it lies beside the page.
        thumbnails: a few small pictures of a track, by its name.
        notice: what the page is for; the first sentence is set in bold.
        title: the heading; None takes the name of the source.

    Returns:
        HTML of at most 300 kB. It fetches nothing but the file to play.
    """
    tracks = [steps.lasting(track) for track in timeline.tracks]
    timeline = replace(timeline, tracks=tracks)
    heading = title or PurePath(timeline.source.replace("\\", "/")).name or "timeline"
    top = body.header(timeline, heading, notice, words.clip(media, 250) if media else None)
    for room in _ROOMS:
        pictures = _pictures(tracks, thumbnails or {}, room.pictures)
        for inside, numbers in _drawings(timeline, specs, pictures, media, room):
            html = document.document(
                heading,
                top + inside,
                style="page.css",
                script="page.js",
                numbers=numbers,
                media=True,
            )
            if len(html.encode()) <= LIMIT:
                return html
    raise RunError(f"the page of {heading!r} does not fit into {LIMIT // 1000} kB")


# -- what is drawn ---------------------------------------------------------------------------------


def _drawings(
    timeline: Timeline,
    specs: Specs,
    pictures: Mapping[str, Sequence[Thumbnail]],
    media: str | None,
    room: _Room,
) -> Iterator[tuple[str, object]]:
    """The main part of the page and its numbers, from the finest drawing on."""
    tracks, axis = timeline.tracks, _axis(timeline)
    shown, cut = _shown(timeline, specs, room.labels)
    exact = [steps.read(track, shown) for track in tracks]
    longest = sorted(range(len(tracks)), key=lambda i: -exact[i].seconds)
    if any(any(one.why.whole) for one in exact):
        cut.append(reasons.NOTE)

    @cache  # the same however it is drawn, and slow to put together
    def told(i: int) -> str:
        return body.told(tracks[i], exact[i], shown, axis)

    @cache
    def article(i: int, rows: int) -> str:
        return body.article(tracks[i], told(i), shown, rows)

    for plan in _plans(axis, len(tracks)):
        kept = sorted(longest[: plan.tracks])
        if not plan.width and sum(packed.size(exact[i], shown) for i in kept) > LIMIT:
            continue
        drawn = [
            Drawn(
                track=tracks[i],
                steps=steps.merged(exact[i], plan.width, shown) if plan.width else exact[i],
                told=told(i),
                pictures=pictures.get(tracks[i].id, ()),
            )
            for i in kept
        ]
        said = [*cut, *_said(plan, tracks, drawn)]
        rows = max(room.rows // max(len(kept) * len(shown), 1), 3)
        articles = [article(i, rows) for i in kept]
        inside = body.main(drawn, shown, axis, said, _player(media), media, articles)
        yield inside, packed.whole(drawn, shown, axis)


def _plans(axis: Axis, tracks: int) -> Iterator[_Plan]:
    """Ways to draw, from the finest on."""
    for most in (24, 12, 6, 3, 1):
        if most > 1 and tracks <= most // 2:
            continue  # the next one draws them all as well
        yield _Plan(0, most)
        fitting = [width for width in steps.WIDTHS if width <= axis.seconds / 60]
        yield from (_Plan(width, most) for width in fitting)
    yield from (_Plan(width, 1) for width in steps.WIDTHS if width > axis.seconds / 60)
    yield _Plan(axis.seconds, 1)


def _said(plan: _Plan, tracks: Sequence[Track], drawn: Sequence[Drawn]) -> list[str]:
    """What a reader has to know of how it is drawn."""
    said = []
    if plan.width:
        said.append(
            f"Drawn in steps of {plan.width:g} s to keep the page light: each shows the mean of "
            "its windows, of labels that come and go the highest score. Shorter gaps are closed. "
            "Tables are exact."
        )
    if len(drawn) < len(tracks):
        said.append(
            f"The {len(drawn)} tracks seen longest are drawn, out of {len(tracks)}; the timeline's "
            "own file has them all."
        )
    return said


def _shown(timeline: Timeline, specs: Specs, most: int) -> tuple[dict[str, TaskSpec], list[str]]:
    """The tasks with what of them is shown: labels that never score high make room for others."""
    answered = {name for _, window in timeline for name in window.scores}
    used = {name: spec for name, spec in specs.items() if name in answered or not answered}
    shown, said = {}, []
    for name, spec in list(used.items())[:_MOST_TASKS]:
        if spec.width > most:
            said.append(f"Of {spec.width} labels of {words.clip(name, 60)}, {most} are shown.")
            spec = _fewer(timeline, name, spec, most)
        shown[name] = spec
    if len(used) > len(shown):
        said.append(f"Of {len(used)} tasks, {len(shown)} are shown.")
    return shown, said


def _fewer(timeline: Timeline, task: str, spec: TaskSpec, most: int) -> TaskSpec:
    highest = dict.fromkeys(spec.labels, -math.inf)
    for _, window in timeline:
        for label, score in window.scores.get(task, {}).items():
            if label in highest and score > highest[label]:
                highest[label] = score
    kept = set(sorted(spec.labels, key=lambda label: -highest[label])[:most])
    places = [i for i, label in enumerate(spec.labels) if label in kept]
    return replace(
        spec,
        labels=tuple(spec.labels[i] for i in places),
        ranges=tuple(spec.ranges[i] for i in places) if spec.ranges else (),
        units=tuple(spec.units[i] for i in places) if spec.units else (),
    )


def _axis(timeline: Timeline) -> Axis:
    windows = [window for _, window in timeline]
    end = max((window.end for window in windows), default=0.0)
    start = 0.0
    if timeline.duration is not None and math.isfinite(timeline.duration):
        end = max(end, timeline.duration)
    else:  # a row may be a stretch from somewhere within its file
        start = min((window.start for window in windows), default=0.0)
    start = min(start, *(window.start for window in windows), start)
    return Axis(start, end if end > start else start + 1.0)


def _pictures(
    tracks: Sequence[Track], given: Mapping[str, Sequence[Thumbnail]], left: int
) -> dict[str, list[Thumbnail]]:
    """A few pictures of each track: first one for all, then a second, while there is room."""
    kept: dict[str, list[Thumbnail]] = {}
    for turn in range(body.PICTURES):
        for track in tracks:
            found = [p for p in given.get(track.id, ()) if p[1][:3] == b"\xff\xd8\xff"]
            few = found[:: max(len(found) // body.PICTURES, 1)][: body.PICTURES]
            if turn < len(few) and (cost := len(few[turn][1]) * 4 // 3) <= left:
                left -= cost
                kept.setdefault(track.id, []).append(few[turn])
    return kept


# -- the document ----------------------------------------------------------------------------------


def _player(media: str | None) -> str:
    """The element that plays the file beside the page."""
    if not media:
        return ""
    kind = (mimetypes.guess_type(media)[0] or "").partition("/")[0]
    tag = "audio" if kind == "audio" else "video"
    # Quoted, and below a dot: a path is no address, whatever letters it has.
    source = "./" + quote(os.fsencode(media), safe="/")
    return (
        f'<{tag} src="{words.safe(source, 2000)}" controls preload="metadata" playsinline></{tag}>'
    )
