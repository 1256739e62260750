"""Axes, lines and intervals: where values lie, and what is left out."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.report import plots
from mien.report.plots import Frame

FRAME = Frame(x=(0.0, 10.0), y=(-1.0, 1.0), wide=200, high=120, left=20, bottom=20, right=0, top=0)


@settings(max_examples=60, deadline=None)
@given(
    low=st.floats(-1e6, 1e6),
    share=st.floats(1e-4, 10),
    most=st.integers(2, 10),
    least=st.sampled_from([0.0, 1.0]),
)
def test_ticks_are_round_even_and_inside(low: float, share: float, most: int, least: float) -> None:
    width = share * max(abs(low), 1e-3)
    found = plots.ticks(low, low + width, most, least=least)
    assert len(found) <= most + 1
    assert all(low - 1e-6 * width <= tick <= low + 1.000001 * width for tick in found)
    steps = [b - a for a, b in pairwise(found)]
    assert steps == pytest.approx(steps[:1] * len(steps), rel=1e-6)
    assert min(steps, default=least) >= 0.999 * least
    if not least:
        assert len(found) >= most // 3


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_where_there_is_no_axis_there_are_no_ticks(ends: tuple[float, float]) -> None:
    assert plots.ticks(*ends, 5) == []


def test_values_lie_between_the_corners() -> None:
    assert (FRAME.across(0), FRAME.across(5), FRAME.across(10)) == (20, 110, 200)
    assert (FRAME.down(-1), FRAME.down(0), FRAME.down(1)) == (100, 50, 0)


def test_a_line_breaks_where_a_value_is_unknown_and_stays_inside() -> None:
    points = [(0.0, 0.0), (1.0, 9.0), (2.0, None), (3.0, -0.5), (None, 0.0)]
    assert FRAME.path(points) == "M20.0 50.0L38.0 0.0M74.0 75.0L74.0 75.0"
    assert FRAME.path([(1.0, None)]) == ""


def test_a_bar_stands_on_the_floor() -> None:
    assert FRAME.bar(0, 5, 0.5) == "M20.6 50.0V25.0H109.4V50.0z"


def test_intervals_lie_on_the_line_and_never_beyond_it() -> None:
    drawn = plots.strip(0.5, {"clips": (0.25, 0.75), "groups": (-9.0, 9.0)}, (0.0, 1.0), [0.125])
    assert 'class="thick" d="M39.5 8H110.5"' in drawn
    assert 'class="thin" d="M4 8H146"' in drawn
    assert 'class="mark" d="M21.8 2V14"' in drawn
    assert 'cx="75.0"' in drawn
    assert drawn.index("thick") < drawn.index("thin") < drawn.index("value")


def test_an_unknown_score_has_no_dot_and_one_value_no_width() -> None:
    assert "circle" not in plots.strip(None, {}, (0, 1))
    assert "circle" not in plots.strip(float("nan"), {}, (0, 1))
    assert 'cx="75.0"' in plots.strip(3.0, {}, (3.0, 3.0))


def test_a_rug_has_a_tick_for_each_and_a_dot_for_all() -> None:
    drawn = plots.rug([0.0, 0.5, 1.0], (0.0, 1.0), 0.25)
    assert re.findall(r"M([\d.]+) 3V", drawn) == ["4.0", "75.0", "146.0"]
    assert 'cx="39.5"' in drawn


def test_limits_hold_every_value_with_some_air() -> None:
    low, high = plots.limits([3.0, None, 5.0, float("inf")])
    assert low < 3 < 5 < high
    assert plots.limits([3.0, 5.0], least=0.0)[0] == 0
    assert plots.limits([]) == plots.limits([None]) == (0.0, 1.0)
    same = plots.limits([2.0, 2.0])
    assert same[0] < 2 < same[1]


def test_numbers_on_axes_are_brief() -> None:
    assert [plots.brief(v) for v in (0.1 + 0.2, -0.0, -2.5, 30.0)] == [
        "0.3",
        "0",
        "\u22122.5",
        "30",
    ]


def test_texts_in_drawings_are_escaped() -> None:
    evil = "<b>&\"'"
    drawn = FRAME.svg(evil, FRAME.axes(evil, evil))
    assert "<b>" not in drawn
    assert drawn.count("&lt;b&gt;&amp;&quot;&#x27;") == 3
