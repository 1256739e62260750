"""What stands on the page: header, player, lanes, legend, tables. It reads without a script.

Texts come from files and are hostile: all of them pass through :mod:`.words`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mien.report import colours, document, lanes, tables, words
from mien.report.lanes import Axis
from mien.report.steps import Steps
from mien.timelines import segments
from mien.types import Problem, Specs, Timeline, Track

Thumbnail = tuple[float, bytes]
"""Seconds on the clock of the source, and a small JPEG."""

PICTURES = 4  # of a track, at most

_KINDS = {"face": "Face", "voice": "Voice", "clip": "Whole clip"}
_KEYS = (
    ("space", "play, pause"),
    ("← →", "window before, window after"),
    ("↑ ↓", "person above, person below"),
    ("Home End", "beginning, end"),
    ("+ −", "zoom in, zoom out; 0 fits the page"),  # noqa: RUF001
    ("?", "this help"),
)
_FACTS, _NOTES = 20, 12


@dataclass(frozen=True, slots=True)
class Drawn:
    """A track that has a lane.

    Args:
        track: its windows.
        steps: what is drawn: each window, or fewer steps where there are many.
        told: the track in one line, by :func:`told`.
        pictures: thumbnails, few.
    """

    track: Track
    steps: Steps
    told: str
    pictures: Sequence[Thumbnail]


# -- above -----------------------------------------------------------------------------------------


def header(timeline: Timeline, heading: str, notice: str, media: str | None) -> str:
    """What was looked at, by what, and what that is good for."""
    facts = {"source": timeline.source}
    if timeline.duration is not None and 0 < timeline.duration < math.inf:
        facts["duration"] = words.lasting(timeline.duration)
    if media and media != heading:
        facts["plays"] = media
    made_by = list(timeline.made_by.items())[:_FACTS]
    facts |= {name: text for name, text in made_by if name not in facts}
    listed = [
        (words.safe(name, 40), words.named(text, 200)) for name, text in facts.items() if text
    ]
    notes = "".join(f"<li>{words.safe(note, 300)}</li>" for note in timeline.notes[:_NOTES])
    return (
        f"<header><h1>{words.named(heading, 200)}</h1>{document.notice(notice)}"
        + document.facts(listed)
        + (f'<ul class="notes" aria-label="Notes">{notes}</ul>' if notes else "")
        + "</header>"
    )


def main(
    drawn: Sequence[Drawn],
    specs: Specs,
    axis: Axis,
    said: Sequence[str],
    player: str,
    media: str | None,
    articles: Sequence[str],
) -> str:
    """Player, lanes and tables.

    Args:
        drawn: the tracks with a lane.
        specs: the tasks by name.
        axis: the seconds that are shown.
        said: what a reader has to know of how it is drawn.
        player: the media element, empty without media.
        media: the name of the file that it plays.
        articles: what stood out in each of the tracks, by :func:`article`.
    """
    if not drawn:
        nothing = "<p>No face, no voice and nothing else was found in this source.</p>"
        stage = _stage(player, {}, media) if player else ""
        return f"<main>{stage}<section>{nothing}</section></main>"
    return (
        f"<main>{_stage(player, specs, media)}{_timeline(drawn, specs, axis, said)}"
        f"{_stood_out(articles)}</main>{_HELP}{_NOW}"
    )


# -- player and numbers ----------------------------------------------------------------------------


def _stage(player: str, specs: Specs, media: str | None) -> str:
    screen = (
        f'<div class="screen">{player}<div class="box" hidden><span></span></div></div>'
        '<p class="missing" hidden></p>'
        f"<noscript><p>If nothing plays, {words.named(media or '', 250)} is not there.</p>"
        "</noscript>"
        if player
        else ""
    )
    panel = (
        f'<div class="panel" hidden><h2></h2><p class="there"></p>{"".join(_bars(specs))}</div>'
        if specs
        else ""
    )
    return f'<section class="stage" aria-label="Player and numbers">{screen}{panel}</section>'


def _bars(specs: Specs) -> Iterator[str]:
    """A bar for each label, which the script fills with what is under the pointer."""
    for name, spec in specs.items():
        bars = "".join(
            f'<li><i class="dot {look}"></i>{words.named(label, 60)}'
            f'<b class="bar {look}"><i></i></b><output></output></li>'
            for label, look in zip(spec.labels, colours.names(spec), strict=True)
        )
        yield f'<h3>{words.named(name, 60)} <small></small></h3><ul class="bars">{bars}</ul>'


# -- lanes -----------------------------------------------------------------------------------------


def _timeline(drawn: Sequence[Drawn], specs: Specs, axis: Axis, said: Sequence[str]) -> str:
    notes = "".join(f"<p>{words.safe(text, 600)}</p>" for text in said)
    ticks = _axis(axis)
    return (
        '<section class="timeline" aria-label="Timeline">'
        f'<div class="tools">{_legend(specs)}<div class="zoom" hidden>'
        '<button type="button" data-do="out" aria-label="Zoom out">−</button>'  # noqa: RUF001
        '<button type="button" data-do="fit">Fit</button>'
        '<button type="button" data-do="in" aria-label="Zoom in">+</button>'
        '<button type="button" data-do="help" aria-label="Keys">?</button></div></div>'
        f'<div class="said">{notes}</div><div class="scroll"><div class="grid">{ticks}'
        + "".join(_lane(number, one, specs, axis) for number, one in enumerate(drawn))
        + (ticks if len(drawn) > 2 else "")
        + '<div class="over" aria-hidden="true"><i class="head" hidden></i></div>'
        + "</div></div></section>"
    )


def _lane(number: int, one: Drawn, specs: Specs, axis: Axis) -> str:
    name, told = words.named(one.track.id, 80), one.told
    faces = "".join(
        f'<img src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" '
        f'alt="at {words.clock(time)}" data-t="{time:.2f}" width="44" height="44">'
        for time, jpeg in one.pictures
        if math.isfinite(time)
    )
    return (
        f'<section class="lane" data-lane="{number}"><div class="who">{faces}<div>'
        f"<h2>{name}</h2><p>{told}</p></div></div>"
        f'<div class="plot" role="img" aria-label="{words.safe(one.track.id, 80)}, {told}">'
        f"{''.join(lanes.rows(one.steps, specs, axis, one.track.kind))}"
        '<div class="over" aria-hidden="true"><i class="here" hidden></i></div></div></section>'
    )


def told(track: Track, exact: Steps, specs: Specs, axis: Axis) -> str:
    """A track in one line, safe for an attribute too."""
    share = exact.seconds / axis.seconds
    seen = "all the time" if share > 0.995 else f"{100 * share:.0f} % of the time"
    said = [f"{_KINDS.get(track.kind, 'Track')}, {seen}"]
    for name, spec in specs.items():
        whole = segments.overall(track, name, spec)
        if whole is not None and spec.categorical:
            most = max(whole.shares, key=lambda label: whole.shares[label])
            said.append(f"mostly {words.safe(most, 60)} ({100 * whole.shares[most]:.0f} %)")
    return " · ".join(said)


def _axis(axis: Axis) -> str:
    """The times above the lanes: few enough for a phone; the script adds more where they fit."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
    every = next((s for s in steps if axis.seconds / s <= 5), axis.seconds)
    first = math.ceil(axis.start / every)
    ticks = []
    for number in range(first, first + 8):
        share = (number * every - axis.start) / axis.seconds
        if share <= 1:
            place = f"{100 * share:.4g}%"
            anchor = ' text-anchor="end"' if share > 0.96 else ""
            ticks.append(
                f'<svg x="{place}" overflow="visible"><path d="M0 15v5"/>'
                f'<text x="0" y="11"{anchor}>{words.clock(number * every)}</text></svg>'
            )
    return (
        '<div class="row axis"><span class="name">time</span>'
        f'<svg class="chart" height="20" aria-hidden="true">{"".join(ticks)}</svg></div>'
    )


def _legend(specs: Specs) -> str:
    items = []
    for spec in specs.values():
        if spec.categorical:
            items += [
                f'<li><i class="dot {look}"></i>{words.named(label, 60)}</li>'
                for label, look in zip(spec.labels, colours.names(spec), strict=True)
            ]
    problems = {spec.problem for spec in specs.values()}
    if Problem.MANY_OF_N in problems:
        items.append('<li><i class="dot on"></i>label is there</li>')
    if any(spec.categorical for spec in specs.values()):
        items.append('<li class="wide"><i class="fade"></i>paler: less sure</li>')
    items.append('<li class="wide"><i class="dot none"></i>nothing there</li>')
    return f'<ul class="legend" aria-label="Legend">{"".join(items)}</ul>'


# -- below -----------------------------------------------------------------------------------------


def article(track: Track, said: str, specs: Specs, rows: int) -> str:
    """What stood out in a track, with up to so many rows of each task."""
    complete, left_out = tables.complete(track, specs, rows)
    rest = f"{left_out} shorter segments stand in the timeline's own file only."
    note = f'<p class="muted">{rest}</p>' if left_out else ""
    return (
        f'<article><h3>{words.named(track.id, 80)}</h3><p class="muted">{said}</p>'
        f"{tables.strongest(track, specs)}{complete}{note}</article>"
    )


def _stood_out(articles: Sequence[str]) -> str:
    return (
        '<section class="stood" aria-labelledby="stood"><h2 id="stood">What stood out</h2>'
        '<p class="muted">Uncertainty: 0 is sure, 1 knows nothing.</p>'
        f'<div class="people">{"".join(articles)}</div></section>'
    )


_HELP = (
    '<dialog class="help" aria-labelledby="keys"><h2 id="keys">Keys</h2><dl>'
    + "".join(f"<div><dt>{key}</dt><dd>{does}</dd></div>" for key, does in _KEYS)
    + '</dl><form method="dialog"><button>Close</button></form></dialog>'
)
_NOW = (
    '<div class="now" hidden><button type="button" data-do="play" aria-label="Play">▶</button>'
    "<p></p></div>"
)
