"""Light SVG: axes, lines, dots and intervals, drawn for a box that is scaled to whatever room is.

Nothing here needs a script. Colours are classes of the style sheet, so that a drawing is right on
light and dark pages; every text passes through :mod:`.words`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from mien.report import words

Point = tuple[float, float]
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """An area between two axes, and where values lie in it.

    Args:
        x: lowest and highest value across.
        y: lowest and highest value upwards.
        wide: of the whole drawing, in units of about a pixel.
        high: the same.
        left: room for the names of the vertical axis.
        bottom: room for those of the horizontal one.
        whole: whether only whole numbers stand below.
    """

    x: Pair
    y: Pair
    wide: float = 360
    high: float = 230
    left: float = 42
    bottom: float = 36
    right: float = 12
    top: float = 10
    whole: bool = False

    def across(self, value: float) -> float:
        """Where a value lies from the left."""
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return self.left + share * (self.wide - self.left - self.right)

    def down(self, value: float) -> float:
        """Where a value lies from the top."""
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return self.high - self.bottom - share * (self.high - self.bottom - self.top)

    def axes(self, across: str, upwards: str) -> str:
        """Both axes with their ticks, a faint grid, and their names, which are escaped here."""
        floor, parts = self.high - self.bottom, []
        for tick in ticks(*self.y, 5):
            y = self.down(tick)
            parts.append(
                f'<path class="grid" d="M{self.left:g} {y:.1f}H{self.wide - self.right:g}"/>'
            )
            parts.append(
                f'<text class="tick" x="{self.left - 6:g}" y="{y + 3.5:.1f}" text-anchor="end">'
                f"{brief(tick)}</text>"
            )
        for tick in ticks(*self.x, 6, least=1.0 if self.whole else 0.0):
            x = self.across(tick)
            parts.append(
                f'<path class="axis" d="M{x:.1f} {floor:g}v4"/><text class="tick" x="{x:.1f}" '
                f'y="{floor + 15:g}" text-anchor="middle">{brief(tick)}</text>'
            )
        middle = (self.left + self.wide - self.right) / 2
        parts.append(
            f'<path class="axis" d="M{self.left:g} {floor:g}H{self.wide - self.right:g}"/>'
        )
        parts.append(
            f'<text class="tick" x="{middle:g}" y="{self.high - 4:g}" text-anchor="middle">'
            f"{words.safe(across, 60)}</text>"
        )
        if upwards:
            x, y = 11, (self.top + floor) / 2
            parts.append(
                f'<text class="tick" x="{x}" y="{y:g}" text-anchor="middle" '
                f'transform="rotate(-90 {x} {y:g})">{words.safe(upwards, 60)}</text>'
            )
        return "".join(parts)

    def path(self, points: Iterable[tuple[float | None, float | None]]) -> str:
        """A line through points; broken where one is unknown."""
        path: list[str] = []
        known = [(x, y) for x, y in points]
        for there, run in groupby(known, key=lambda point: None not in point):
            if there:
                steps = [
                    f"{self.across(x):.1f} {self.down(self._inside(y)):.1f}"
                    for x, y in run
                    if x is not None and y is not None
                ]
                path.append(f"M{steps[0]}" + "".join(f"L{step}" for step in steps[1:] or steps))
        return "".join(path)

    def bar(self, left: float, right: float, value: float) -> str:
        """A bar from the floor to a value, as a part of a path; a hair's breadth from the next."""
        floor = self.down(max(0.0, self.y[0]))
        a, b = self.across(left) + 0.6, self.across(right) - 0.6
        return f"M{a:.1f} {floor:.1f}V{self.down(value):.1f}H{b:.1f}V{floor:.1f}z"

    def _inside(self, value: float) -> float:
        return min(max(value, self.y[0]), self.y[1])

    def svg(self, title: str, shapes: str) -> str:
        """The drawing, with a title that is read out in its place."""
        return (
            f'<svg class="plot" viewBox="0 0 {self.wide:g} {self.high:g}" role="img">'
            f"<title>{words.safe(title, 300)}</title>{shapes}</svg>"
        )


def figure(drawing: str, caption: str, numbers: str = "", summary: str = "Numbers") -> str:
    """A drawing with its caption, and its numbers as a table to unfold.

    Args:
        drawing: an SVG, or several.
        caption: what is seen, escaped.
        numbers: a table, or nothing.
        summary: what stands on the fold.
    """
    table = f"<details><summary>{summary}</summary>{numbers}</details>" if numbers else ""
    return f"<figure>{drawing}<figcaption>{caption}</figcaption>{table}</figure>"


# -- intervals in a row of a table -----------------------------------------------------------------

_STRIP_WIDE, _STRIP_HIGH = 150, 16


def strip(
    value: float | None,
    ends: Mapping[str, Pair],
    scale: Pair,
    marks: Sequence[float] = (),
) -> str:
    """A score and its intervals on a line: thick over clips, thin over groups.

    Args:
        value: the score.
        ends: lower and upper ends, by what was drawn.
        scale: the values at both ends of the line.
        marks: values that are marked, such as what guessing gives.
    """
    middle, low, high = _STRIP_HIGH / 2, *scale

    def at(number: float) -> float:
        share = (number - low) / (high - low) if high > low else 0.5
        return round(4 + (_STRIP_WIDE - 8) * min(max(share, 0), 1), 1)

    parts = [f'<path class="grid" d="M4 {middle:g}H{_STRIP_WIDE - 4}"/>']
    parts += [f'<path class="mark" d="M{at(mark)} 2V{_STRIP_HIGH - 2}"/>' for mark in marks]
    for unit, look in (("clips", "thick"), ("groups", "thin")):
        if unit in ends:
            parts.append(
                f'<path class="{look}" d="M{at(ends[unit][0])} {middle:g}H{at(ends[unit][1])}"/>'
            )
    if value is not None and math.isfinite(value):
        parts.append(f'<circle class="value" cx="{at(value)}" cy="{middle:g}" r="3.5"/>')
    return (
        f'<svg class="strip" viewBox="0 0 {_STRIP_WIDE} {_STRIP_HIGH}" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def rug(values: Sequence[float], scale: Pair, mark: float) -> str:
    """Many scores as ticks on one line, and the score of all.

    Args:
        values: the scores.
        scale: the values at both ends of the line.
        mark: the score of all together.
    """
    low, high = scale
    places = [
        4 + (_STRIP_WIDE - 8) * (value - low) / ((high - low) or 1) for value in (*values, mark)
    ]
    *each, whole = [f"{place:.1f}" for place in places]
    lines = "".join(f"M{place} 3V{_STRIP_HIGH - 3}" for place in each)
    middle = _STRIP_HIGH / 2
    return (
        f'<svg class="strip" viewBox="0 0 {_STRIP_WIDE} {_STRIP_HIGH}" aria-hidden="true">'
        f'<path class="grid" d="M4 {middle:g}H{_STRIP_WIDE - 4}"/><path class="ticks" d="{lines}"/>'
        f'<circle class="value" cx="{whole}" cy="{middle:g}" r="3.5"/></svg>'
    )


# -- numbers on axes -------------------------------------------------------------------------------


def ticks(low: float, high: float, most: int, least: float = 0.0) -> list[float]:
    """Round values between two ends.

    Args:
        low: lower end.
        high: upper end.
        most: how many there may be, about.
        least: how far apart they are at least.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return []
    least = max((high - low) / most, least)
    size = 10.0 ** math.floor(math.log10(least))
    step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k >= least * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, first + most + 1) if k * step <= high + 1e-9 * step]


def limits(values: Iterable[float | None], *, least: float | None = None) -> Pair:
    """Ends of an axis that holds all values, with a little air.

    Args:
        values: what is drawn; unknown ones are left out.
        least: a value that the axis begins with, if all are above it.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return (0.0, 1.0)
    low, high = min(known), max(known)
    if least is not None:
        low = min(low, least)
    air = 0.05 * (high - low) or abs(high) * 0.1 or 0.5
    return (low if least is not None and low == least else low - air, high + air)


def brief(value: float) -> str:
    """A number on an axis, without what says nothing."""
    text = f"{value + 0.0:.6g}"
    return text.replace("-", "\u2212")
