"""What a timeline says, as tables: for eyes that want numbers, for paper, for screen readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mien.report import colours, words
from mien.timelines import segments
from mien.timelines.segments import Segment
from mien.types import Problem, Specs, TaskSpec, Track

_STRONGEST = 5  # segments a person and task that are shown first

_HEAD = (
    '<thead><tr><th scope="col">Time</th><th scope="col">Label</th>'
    '<th scope="col">Score</th><th scope="col">Uncertainty</th></tr></thead>'
)


def strongest(track: Track, specs: Specs) -> str:
    """A person's segments most worth a look, of every task."""
    parts = []
    for name, spec in specs.items():
        found = segments.strongest(track, name, spec, _STRONGEST)
        if found:
            parts.append(_table(f"{track.id}: {name}, strongest segments", found, spec))
    return "".join(parts) or "<p>Nothing stood out.</p>"


def complete(track: Track, specs: Specs, most: int) -> tuple[str, int]:
    """Every segment of a track, folded away.

    Args:
        track: whose.
        specs: the tasks by name.
        most: rows of a task at most; the longest segments are kept, in the order of time.

    Returns:
        The tables, and how many segments are not in them.
    """
    parts, left_out = [], 0
    for name, spec in specs.items():
        found = segments.segments(track, name, spec)
        kept = sorted(found, key=lambda segment: -segment.seconds)[:most]
        left_out += len(found) - len(kept)
        ordered = sorted(kept, key=lambda segment: (segment.start, segment.end))
        if ordered:
            rest = f", the {len(kept)} longest" if len(kept) < len(found) else ""
            title = f"{track.id}: {name}, all {len(found)} segments{rest}"
            summary = f"<summary>{words.safe(name, 60)}: all {len(found)} segments{rest}</summary>"
            table = _table(title, ordered, spec)
            parts.append(f"<details>{summary}{table}</details>")
    return "".join(parts), left_out


def _table(caption: str, found: Sequence[Segment], spec: TaskSpec) -> str:
    title = f"<caption>{words.safe(caption, 200)}</caption>"
    return f"<table>{title}{_HEAD}<tbody>{''.join(_rows(found, spec))}</tbody></table>"


def _rows(found: Iterable[Segment], spec: TaskSpec) -> Iterable[str]:
    looks = dict(zip(spec.labels, colours.names(spec), strict=True))
    sign = "+" if spec.problem is Problem.REGRESSION else ""
    for segment in found:
        mark = f'<i class="dot {looks.get(segment.label, "k0")}"></i>' if spec.categorical else ""
        level = f" {segment.level}" if segment.level else ""
        yield (
            f'<tr><th scope="row"><a href="#t={segment.start:.2f}">'
            f"{words.span(segment.start, segment.end)}</a></th>"
            f"<td>{mark}{words.named(segment.label, 60)}{level}</td>"
            f"<td>{words.number(segment.score, sign)}</td>"
            f"<td>{words.number(segment.uncertainty)}</td></tr>"
        )
