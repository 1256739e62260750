"""Hostile text made safe to show, and times as people read them."""

from __future__ import annotations

import html
import json
import math
from typing import Any

from mien.timelines import answers


def clip(text: str, most: int = 160) -> str:
    """A text on one line that can be shown, at most this long."""
    seen = answers.clean(str(text)[: most * 4])
    return seen if len(seen) <= most else seen[: most - 1] + "…"


def safe(text: str, most: int = 160) -> str:
    """Text for an element or a quoted attribute."""
    return html.escape(clip(text, most), quote=True)


def named(text: str, most: int = 160) -> str:
    """A name within a sentence; its own writing direction ends where it ends."""
    return f"<bdi>{safe(text, most)}</bdi>"


def script(values: Any) -> str:
    """JSON that may stand inside a script element, whatever its texts say."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def clock(seconds: float, *, tenths: bool = False) -> str:
    """Seconds as m:ss, or h:mm:ss from an hour on.

    Args:
        seconds: on the clock of the source.
        tenths: with one decimal.
    """
    sign, parts = ("-" if seconds < -0.05 else ""), round(abs(seconds) * 10)
    if not tenths:
        parts = parts // 10 * 10
    minutes, rest = divmod(parts, 600)
    text = f"{rest // 10:02d}" + (f".{rest % 10}" if tenths else "")
    if minutes < 60:
        return f"{sign}{minutes}:{text}"
    return f"{sign}{minutes // 60}:{minutes % 60:02d}:{text}"


def span(start: float, end: float) -> str:
    """A stretch of time; tenths where it is short."""
    tenths = end - start < 20
    return f"{clock(start, tenths=tenths)}–{clock(end, tenths=tenths)}"  # noqa: RUF001


def lasting(seconds: float) -> str:
    """A duration in words."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def number(value: float | None, sign: str = "") -> str:
    """A score as it stands in a table; a dash where there is none.

    Args:
        value: the score.
        sign: "+" to write the sign of positive numbers too.
    """
    return f"{value:{sign}.2f}" if value is not None and math.isfinite(value) else "–"  # noqa: RUF001
