"""Stretches of a track that say the same, and the summary that a person reads."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import talks
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.timelines import summary
from mien.timelines.answers import clean, declared, sureness
from mien.timelines.segments import overall, segments, spans, steps, stretches, strongest
from mien.types import Problem, Timeline, Track, Window

FACE = talks.talk().tracks[0]


def _window(start: float, end: float, **scores: float) -> Window:
    return Window(start=start, end=end, scores={"emotion": scores}, uncertainty={"emotion": 0.5})


# -- time ------------------------------------------------------------------------------------------


def test_windows_that_overlap_are_cut_in_the_middle_of_what_they_share() -> None:
    found = [(step.start, step.end) for step in steps(FACE.windows)]
    assert found == [(0, 3), *((t, t + 2) for t in range(3, 15, 2)), (15, 18)]


def test_windows_that_do_not_overlap_stay_as_they_are() -> None:
    apart = [_window(0, 10, calm=1), _window(10, 12, calm=1), _window(20, 21, calm=1)]
    assert [(s.start, s.end) for s in steps(apart[::-1])] == [(0, 10), (10, 12), (20, 21)]
    assert steps([]) == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 30)), max_size=8))
def test_steps_never_overlap_and_lie_within_their_windows(edges: list[tuple[int, int]]) -> None:
    windows = [_window(a / 4, (a + length) / 4, calm=1) for a, length in edges]
    found = steps(windows)
    assert len(found) == len(windows)
    assert all(one.end <= two.start for one, two in pairwise(found))
    for step in found:
        assert step.window.start <= step.start <= step.end <= step.window.end
    covered = sum(step.seconds for step in found)
    joined = sum(end - start for start, end in spans(Track(id="x", windows=windows)))
    assert covered <= joined + 1e-9


def test_a_track_is_there_without_the_windows_in_which_it_is_not() -> None:
    windows = [
        replace(_window(0, 2, calm=1), present={"video": True}),
        replace(_window(2, 3, calm=1), present={"video": False, "audio": True}),
        replace(_window(3, 5, calm=1), present={"video": True}),
    ]
    assert spans(Track(id="x", windows=windows, kind="face")) == [(0, 2), (3, 5)]
    assert spans(Track(id="x", windows=windows, kind="voice")) == [(0, 5)]
    assert spans(Track(id="x", windows=windows)) == [(0, 5)]


# -- segments --------------------------------------------------------------------------------------


def test_windows_with_the_same_best_class_are_one_segment() -> None:
    found = segments(FACE, "emotion", talks.EMOTION)
    assert [(s.start, s.end, s.label, s.windows) for s in found] == [
        (0, 5, "calm", 2),
        (5, 11, "happy", 3),
        (11, 13, "calm", 1),
        (13, 18, "sad", 2),
    ]
    assert all(s.score == pytest.approx(0.8) for s in found)
    assert all(s.uncertainty == pytest.approx(0.58) for s in found)


def test_a_gap_ends_a_segment() -> None:
    windows = [_window(0, 1, calm=1, sad=0), _window(1, 2, calm=1, sad=0), _window(3, 4, calm=1)]
    found = segments(Track(id="x", windows=windows), "emotion", talks.EMOTION)
    assert [(s.start, s.end) for s in found] == [(0, 2), (3, 4)]


def test_a_mean_score_counts_each_second_alike() -> None:
    windows = [_window(0, 3, calm=1.0, sad=0.0), _window(3, 4, calm=0.6, sad=0.4)]
    (found,) = segments(Track(id="x", windows=windows), "emotion", talks.EMOTION)
    assert found.score == pytest.approx(0.9)
    assert found.seconds == 4


def test_windows_without_a_length_count_alike() -> None:
    windows = [_window(0, 0, calm=1.0, sad=0.0), _window(0, 0, calm=0.6, sad=0.4)]
    whole = overall(Track(id="x", windows=windows), "emotion", talks.EMOTION)
    assert whole is not None
    assert whole.scores == {"calm": pytest.approx(0.8), "sad": pytest.approx(0.2)}


def test_each_of_many_labels_has_segments_of_its_own() -> None:
    found = segments(FACE, "au", talks.UNITS)
    assert [(s.start, s.end, s.label) for s in found] == [(5, 9, "AU12")]
    low = replace(talks.UNITS, threshold=0.25)
    assert [(s.start, s.end, s.label) for s in segments(FACE, "au", low)] == [
        (0, 18, "AU4"),
        (5, 9, "AU12"),
    ]


def test_a_dimension_has_segments_where_it_is_extreme() -> None:
    found = segments(FACE, "affect", talks.AFFECT)
    assert [(s.start, s.end, s.label, s.level) for s in found] == [
        (5, 9, "valence", "high"),
        (5, 9, "arousal", "low"),
    ]
    assert found[0].score == pytest.approx(0.9)
    values = [step.window.scores["affect"]["valence"] for step in steps(FACE.windows)]
    weights = [step.seconds for step in steps(FACE.windows)]
    mean = sum(v * w for v, w in zip(values, weights, strict=True)) / 18
    spread = math.sqrt(sum(w * (v - mean) ** 2 for v, w in zip(values, weights, strict=True)) / 18)
    assert found[0].strength == pytest.approx((0.9 - mean) / spread)


def test_a_dimension_that_hardly_moves_is_never_extreme() -> None:
    levels = [0.0, 0.0, 0.0, 0.0, 0.09]
    windows = [talks.window(float(i), i + 1.0, level=v) for i, v in enumerate(levels)]
    track = Track(id="x", windows=windows)
    assert segments(track, "affect", talks.AFFECT) == []
    assert segments(track, "affect", replace(talks.AFFECT, ranges=())) != []
    still = Track(id="x", windows=windows[:4])
    assert segments(still, "affect", replace(talks.AFFECT, ranges=())) == []


def test_the_strongest_shows_each_answer_before_one_of_them_again() -> None:
    scores = [("calm", 0.99), ("sad", 0.5), ("calm", 0.98), ("happy", 0.6), ("calm", 0.97)]
    windows = [
        _window(i, i + 1, **{label: score, "other": 1 - score - 0.01})
        for i, (label, score) in enumerate(scores)
    ]
    track = Track(id="x", windows=windows)
    found = strongest(track, "emotion", talks.EMOTION, 3)
    assert [(s.label, s.start) for s in found] == [("calm", 0), ("happy", 3), ("sad", 1)]
    found = strongest(track, "emotion", talks.EMOTION, 4)
    assert [s.start for s in found] == [0, 2, 3, 1]
    assert strongest(track, "affect", talks.AFFECT) == []


def test_stretches_of_a_regression_are_its_windows() -> None:
    assert len(stretches(FACE, "affect", talks.AFFECT)) == len(FACE.windows)
    assert [s.answer for s in stretches(FACE, "au", talks.UNITS)] == [(), ("AU12",), ()]


def test_the_whole_answer_has_means_and_shares_of_the_time() -> None:
    whole = overall(FACE, "emotion", talks.EMOTION)
    assert whole is not None
    assert whole.shares == {
        "calm": pytest.approx(7 / 18),
        "happy": pytest.approx(6 / 18),
        "sad": pytest.approx(5 / 18),
    }
    assert sum(whole.scores.values()) == pytest.approx(1)
    assert whole.uncertainty == pytest.approx(0.58)
    assert overall(FACE, "pain", talks.EMOTION) is None


# -- answers ---------------------------------------------------------------------------------------


def test_without_specs_the_kind_of_task_shows_in_the_numbers() -> None:
    found = declared([talks.talk()])
    assert {name: spec.problem for name, spec in found.items()} == {
        "emotion": Problem.ONE_OF_N,
        "affect": Problem.REGRESSION,
        "au": Problem.MANY_OF_N,
    }
    assert found["emotion"].labels == ("calm", "happy", "sad")
    assert declared([talks.talk()], talks.SPECS) == talks.SPECS
    assert declared([], talks.SPECS) == {}


def test_uncertainty_in_words_grows() -> None:
    said = [sureness(u / 20) for u in range(21)]
    assert list(dict.fromkeys(said)) == ["sure", "fairly sure", "unsure", "close to guessing"]


@given(st.text())
def test_a_clean_text_is_one_line_that_steers_nothing(text: str) -> None:
    found = clean(text)
    assert clean(found) == found
    assert not set(found) & {"\n", "\r", "\x1b", "\x00", "\u202e", "\u2028"}
    assert clean("Zoë \U0001f600 नि\u200dया") == "Zoë \U0001f600 नि\u200dया"


# -- the summary -----------------------------------------------------------------------------------


def test_a_summary_as_it_is_read() -> None:
    assert (
        summary.said(talks.talk(), talks.SPECS)
        == """\
talk.mp4  (0:20.0)

face-1, seen 0:00.0 to 0:18.0, 90 % of the time
  emotion: calm 39 %, happy 33 %, sad 28 % of the time; fairly sure (0.58)
    happy  0:05.0 to 0:11.0  0.80  fairly sure (0.58)
    calm   0:00.0 to 0:05.0  0.80  fairly sure (0.58)
    sad    0:13.0 to 0:18.0  0.80  fairly sure (0.58)
  affect: valence +0.19, arousal -0.19 on average
    high valence  0:05.0 to 0:09.0  +0.90
    low arousal   0:05.0 to 0:09.0  -0.90
  au: AU12 22 % of the time; fairly sure (0.60)
    AU12  0:05.0 to 0:09.0  0.90  fairly sure (0.60)

face-2, seen 0:05.5 to 0:15.5, 50 % of the time
  the voice was taken for theirs in 100 % of it: the only face in view
  emotion: calm 50 %, happy 50 % of the time; fairly sure (0.58)
    happy  0:05.5 to 0:10.5  0.80  fairly sure (0.58)
    calm   0:10.5 to 0:15.5  0.80  fairly sure (0.58)
  affect: valence +0.00, arousal +0.00 on average
  au: none; fairly sure (0.60)

voice, heard 0:00.0 to 0:18.0, 90 % of the time
  emotion: sad 0.50, happy 0.30, calm 0.20; close to guessing (0.94)

- The voice stands apart where two faces are in view.

In brackets the uncertainty: 0 is sure, 1 knows nothing."""
    )


def test_many_tracks_are_cut_to_those_that_are_there_longest() -> None:
    tracks = [
        Track(id=f"face-{i}", windows=[talks.window(0.0, float(i))], kind="face")
        for i in range(1, 12)
    ]
    text = summary.said(Timeline(source="crowd.mp4", tracks=tracks), talks.SPECS, most=3)
    heads = [line.split(",")[0] for line in text.splitlines() if line.startswith("face")]
    assert heads == ["face-9", "face-10", "face-11"]
    assert "... and 8 more" in text


def test_nobody_and_nothing() -> None:
    assert summary.said(Timeline(source="a.mp4", tracks=[])).endswith("Nobody was seen or heard.")
    empty = Timeline(source="a.mp4", tracks=[Track(id="face-1", windows=[], kind="face")])
    assert "face-1, without an answer" in summary.said(empty)


@settings(max_examples=60, deadline=None)
@given(timelines=talks.ANY)
def test_any_timeline_can_be_told(timelines: list[Timeline]) -> None:
    for timeline in timelines:
        for line in summary.said(timeline).split("\n"):
            assert clean(line) == line.strip() or "  " in line.strip()
            assert not set(line) & {"\r", "\x1b", "\x00", "\u202e", "\u2028"}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0:00.0"),
        (59.96, "1:00.0"),
        (75.25, "1:15.2"),
        (3599.96, "1:00:00.0"),
        (7325.5, "2:02:05.5"),
        (-0.01, "0:00.0"),
        (-1.5, "-0:01.5"),
    ],
)
def test_times_as_people_write_them(seconds: float, said: str) -> None:
    assert summary.clock(seconds) == said
