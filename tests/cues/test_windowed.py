"""A long clip in windows: as if each were cut out of the whole, at a fraction of the memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.cues.schema import Cues, Dimensions, Face, Heard, Speech
from mien.cues.windowed import windowed
from mien.data.turns import Turn

SECONDS = st.integers(0, 80).map(lambda n: n / 8)
SPANS = st.lists(st.tuples(SECONDS, st.sampled_from([0.0, 0.125, 1.0, 7.0])), max_size=8)


def clip(faces: list[float] | None, spans: list[tuple[float, float]], end: float) -> Cues:
    ends = [(start, start + length) for start, length in spans]
    return Cues(
        id="film",
        start=1.0,
        end=1.0 + end,
        faces=None if faces is None else tuple(Face(time=time) for time in sorted(faces)),
        sound=True,
        speech=tuple(Speech(start=a, end=b, confidence=1.0) for a, b in ends),
        prosody=tuple(Heard(start=a, end=b, name="x", score=0.5) for a, b in ends),
        dimensions=tuple(Dimensions(start=a, end=b) for a, b in ends) or None,
        transcript=tuple(Turn(a, b, None, str(n)) for n, (a, b) in enumerate(ends)),
    )


@given(
    st.none() | st.lists(SECONDS, max_size=20), SPANS, SECONDS,
    st.sampled_from([0.5, 2.0, 3.0]), st.sampled_from([0.25, 2.0, 5.0]),
    st.sampled_from([0.0, 1.5]),
)  # fmt: skip
def test_windows_are_what_would_be_cut_out_of_the_whole(
    faces: list[float] | None,
    spans: list[tuple[float, float]],
    end: float,
    length: float,
    step: float,
    around: float,
) -> None:
    whole = clip(faces, spans, end)
    stream = None if whole.faces is None else iter(whole.faces)
    bare = replace(whole, faces=None)
    found = list(windowed(bare, stream, length=length, step=step, around=around))
    assert len(found) == max(1, math.ceil(end / step))
    for number, part in enumerate(found):
        start = 1.0 + number * step
        last = start + length if whole.end <= start else min(start + length, whole.end)
        expected = whole.between(start, last, around=around)
        assert part == replace(expected, id=f"film@{start:.3f}")


def test_of_a_film_of_hours_no_more_faces_are_kept_than_a_window_has() -> None:
    alive, most = 0, 0

    class Counted(Face):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def faces() -> Iterator[Face]:
        nonlocal alive, most
        for number in range(2000):
            alive += 1
            most = max(most, alive)
            yield Counted(time=number / 10)

    film = Cues(id="film", start=0.0, end=200.0)
    seen = [len(part.faces or ()) for part in windowed(film, faces(), length=4.0, step=4.0)]
    assert seen == [40] * 50
    assert most == pytest.approx(80, abs=3)  # those of a window, and of the one that is told
