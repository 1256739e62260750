"""What the page of a timeline says: facts, drawings, numbers and tables."""

from __future__ import annotations

import base64
import math
from dataclasses import replace

import numpy as np
import pytest
import talks
from pages import (
    AFFECT,
    EMOTION,
    JPEG,
    LEVEL,
    SEVEN,
    UNITS,
    Read,
    decoded,
    face,
    read,
    timeline,
    windows,
)

from mien.notice import INTENDED_USE
from mien.report import words
from mien.timelines import segments
from mien.types import TaskSpec, Timeline, Window

# -- what it says ----------------------------------------------------------------------------------


def test_the_notice_stands_in_full_before_anything_else() -> None:
    found = read(timeline(face(windows(EMOTION, 3))), EMOTION)
    assert INTENDED_USE in found.text
    first = INTENDED_USE.partition(". ")[0] + "."
    assert ("strong", first) in found.texts
    tags = [tag for tag, _ in found.elements]
    assert tags.index("aside") < tags.index("main")
    assert INTENDED_USE in read(timeline(), EMOTION).text


def test_facts_are_those_of_the_source_and_the_run() -> None:
    made = {"run": "r1", "licence": "CC-BY-NC-4.0", "empty": "", "source": "another"}
    known = read(timeline(face(windows(EMOTION, 3)), made_by=made, duration=75.0), EMOTION)
    facts = [text for tag, text in known.texts if tag == "dt"]
    assert facts[: facts.index("space")] == ["source", "duration", "run", "licence"]
    said = [text for tag, text in known.texts if tag == "bdi"]
    assert {"films/a.mp4", "1:15", "CC-BY-NC-4.0"} <= set(said)
    assert "another" not in said
    unknown = read(timeline(), EMOTION)
    assert "duration" not in [text for tag, text in unknown.texts if tag == "dt"]


@pytest.mark.parametrize(
    "spec", [EMOTION, AFFECT, replace(UNITS, threshold=0.2), LEVEL], ids=lambda spec: spec.name
)
@pytest.mark.parametrize("count", [40, 6_000])
def test_tables_hold_the_strongest_segments_exactly(spec: TaskSpec, count: int) -> None:
    track = face(windows(spec, count, hop=0.5, length=1.0))
    found = read(timeline(track), spec)
    wanted = segments.strongest(track, spec.name, spec, 5)
    assert wanted
    texts = [text for _, text in found.texts]
    at = texts.index(f"face-1: {spec.name}, strongest segments") + 1
    cells = ["Time", "Label", "Score", "Uncertainty"]
    for one in wanted:
        sign = "+" if spec is AFFECT else ""
        level = [f" {one.level}"] if one.level else []
        scores = [f"{one.score:{sign}.2f}", f"{one.uncertainty:.2f}"]
        cells += [words.span(one.start, one.end), one.label, *level, *scores]
    assert texts[at : at + len(cells)] == cells
    links = [a["href"] for a in found.all("a")]
    assert links[: len(wanted)] == [f"#t={one.start:.2f}" for one in wanted]


@pytest.mark.parametrize(
    ("seconds", "plain", "fine"),
    [
        (0.0, "0:00", "0:00.0"),
        (59.96, "1:00", "1:00.0"),
        (75.25, "1:15", "1:15.2"),
        (3599.94, "59:59", "59:59.9"),
        (3600.0, "1:00:00", "1:00:00.0"),
        (-3.0, "-0:03", "-0:03.0"),
        (-0.01, "0:00", "0:00.0"),
    ],
)
def test_times_are_written_as_people_read_them(seconds: float, plain: str, fine: str) -> None:
    assert (words.clock(seconds), words.clock(seconds, tenths=True)) == (plain, fine)


def test_stretches_without_anybody_are_marked() -> None:
    there = [w for w in windows(EMOTION, 30, hop=4) if not 40 <= w.start < 80]
    found = read(timeline(face(there), duration=120.0), EMOTION)
    assert found.numbers["tracks"][0]["steps"].count(-40_000) == 1
    gaps = [a for a in found.all("svg") if a.get("class") == "gap"]
    assert ("33.33%", "33.34%") in [(a["x"], a["width"]) for a in gaps]
    assert ("text", "no face") in found.texts
    assert "Face, 67 % of the time" in found.text
    covered = [a["d"] for a in found.all("path") if a.get("class") == "paper"]
    assert covered == ["M0 17h3333v22h-3333zM6667 17h3333v22h-3333z"]
    assert "no audio" in found.text  # a modality that comes and goes has a row of its own


def test_what_is_drawn_is_what_was_scored() -> None:
    own = windows(EMOTION, 12, hop=2, length=4)
    (track,) = read(timeline(face(own)), EMOTION).numbers["tracks"]
    given = np.array([[w.scores["emotion"][label] for label in SEVEN] for w in own])
    drawn = decoded(track["scores"][0]).reshape(-1, 7)
    assert np.abs(drawn - given).max() < 1 / 4094
    # Each is drawn over its own step, and tells the window that its scores speak of.
    assert track["steps"] == [3000, *[2000] * 10, 3000]
    starts = np.cumsum([0, *track["steps"][:-1]]) / 1000
    spoken_of = starts + np.array(track["windows"])[:, 0] / 1000
    assert spoken_of.tolist() == [w.start for w in own]


@pytest.mark.parametrize("doubt", [{}, {"emotion": math.nan}], ids=["none", "nan"])
def test_windows_without_uncertainty_show_none(doubt: dict[str, float]) -> None:
    own = [replace(window, uncertainty=doubt) for window in windows(EMOTION, 10)]
    found = read(timeline(face(own)), EMOTION)
    assert found.rows("doubt") == 0
    assert found.rows("band") == 1
    assert found.numbers["tracks"][0]["unsure"] == [""]
    assert "nan" not in found.text
    assert read(timeline(face(windows(EMOTION, 10))), EMOTION).rows("doubt") == 1


@pytest.mark.parametrize("media", [None, "a.mp4"])
def test_a_source_without_tracks_says_so(media: str | None) -> None:
    found = read(timeline(duration=34.0, notes=["No sound."]), EMOTION, media=media)
    assert "No face, no voice and nothing else was found in this source." in found.text
    assert ("li", "No sound.") in found.texts
    assert found.numbers["tracks"] == []
    assert not found.all("table")


@pytest.mark.parametrize("duration", [None, 0.0, 9.0, math.nan, -5.0])
def test_a_track_without_windows_is_an_empty_lane(duration: float | None) -> None:
    found = read(timeline(face([]), duration=duration), EMOTION, AFFECT, UNITS)
    assert found.numbers["tracks"][0]["steps"] == []
    assert "Face, 0 % of the time" in found.text
    assert "Nothing stood out." in found.text


def test_windows_of_no_length_or_no_time_do_no_harm() -> None:
    own = windows(EMOTION, 6, hop=1, length=0)
    own += [replace(own[0], start=math.nan), replace(own[1], end=math.inf)]
    (track,) = read(timeline(face(own, kind="clip")), EMOTION).numbers["tracks"]
    assert len(track["steps"]) == 6
    assert min(track["steps"]) > 0


def test_a_task_that_nobody_declared_is_left_out() -> None:
    found = read(timeline(face(windows(EMOTION, 6))), AFFECT)
    assert found.numbers["tasks"] == []
    assert "Nothing stood out." in found.text


def test_scores_that_are_missing_are_no_zeros() -> None:
    own = windows(EMOTION, 4)
    own[1] = replace(own[1], scores={})
    own[2] = replace(own[2], scores={"emotion": {"happy": math.nan, "sad": 0.25}})
    (track,) = read(timeline(face(own)), EMOTION).numbers["tracks"]
    drawn = decoded(track["scores"][0]).reshape(-1, 7)
    assert np.isnan(drawn[1]).all()
    assert np.isnan(drawn[2, [0, 2]]).all()
    assert drawn[2, 1] == pytest.approx(0.25, abs=1e-3)


def test_a_voice_is_called_one_and_reasons_are_given() -> None:
    own = windows(EMOTION, 10, hop=4)
    gone = [w for w in own if w.start != 16]
    found = read(timeline(face(gone, "voice", kind="voice")), EMOTION)
    assert "Voice, 90 % of the time" in found.text
    assert "no voice" in found.text
    own = [replace(w, voice="mouth moves with it", voice_score=0.7) for w in own]
    whose = read(timeline(face(own)), EMOTION)
    assert ("text", "mouth moves with it") in whose.texts
    (track,) = whose.numbers["tracks"]
    assert track["reasons"][track["voice"][0]] == "mouth moves with it"
    assert decoded(track["voice_score"]) == pytest.approx(0.7, abs=1e-3)


def test_each_problem_is_drawn_in_its_own_way() -> None:
    values = {"valence": -0.5, "arousal": 2.0}
    own = [Window(start=i, end=i + 1, scores={"affect": values}) for i in range(4)]
    lines = read(timeline(face(own)), AFFECT)
    assert (lines.rows("lines"), lines.rows("band"), lines.rows("strip")) == (2, 0, 0)
    assert ("b", "+1 dB") in lines.texts
    assert lines.numbers["tasks"][0]["ranges"] == [[-1, 1], [-1, 1]]
    drawn = decoded(lines.numbers["tracks"][0]["scores"][0]).reshape(-1, 2)
    assert drawn[0] == pytest.approx([0.25, 1.0], abs=1e-3)  # shares of the range, kept within it
    free = read(timeline(face(own)), replace(AFFECT, ranges=()))
    assert free.numbers["tasks"][0]["ranges"] == [[-0.5, 0], [0, 2]]
    odd = replace(AFFECT, ranges=((math.nan, math.inf), (1, 1)))
    assert read(timeline(face(own)), odd).numbers["tasks"][0]["ranges"] == [[-0.5, 0], [1, 2]]

    on = {label: 0.5 if label == "AU3" else 0.49 for label in UNITS.labels}
    own = [Window(start=i, end=i + 1, scores={"units": on}) for i in range(4)]
    strips = read(timeline(face(own)), UNITS)
    assert (strips.rows("strip"), strips.rows("band")) == (12, 0)
    filled = [a["d"] for a in strips.all("path") if a.get("class") == "on"]
    assert filled == [""] * 3 + ["M0 2h10000v9h-10000z"] + [""] * 8

    order = read(timeline(face(windows(LEVEL, 9))), LEVEL)
    assert (order.rows("band"), order.rows("stack")) == (1, 1)
    assert order.numbers["tasks"][0]["looks"] == ["o0", "o3", "o6"]
    assert {"k0", "k1"}.isdisjoint(a.get("class", "")[:2] for a in order.all("path"))


# -- pictures --------------------------------------------------------------------------------------


def test_pictures_are_few_small_and_jpeg() -> None:
    tracks = [face(windows(EMOTION, 5), f"face-{i}") for i in range(4)]
    big = b"\xff\xd8\xff" + bytes(9_000)
    pictures = {
        "face-0": [(1.0, b"<svg onload=alert(1)>"), (2.0, b"\x89PNG\r\n"), (3.0, b"")],
        "face-1": [(float(i), big) for i in range(50)],
        "face-2": [(float(i), big) for i in range(50)],
        "face-3": [(math.nan, JPEG), (65.0, JPEG)],
        "nobody": [(1.0, JPEG)],
    }
    found = read(timeline(*tracks), EMOTION, thumbnails=pictures)
    shown = [attrs["src"].partition("base64,")[2] for attrs in found.all("img")]
    assert 2 < len(shown) <= 8
    assert sum(map(len, shown)) <= 50_000
    assert {base64.b64decode(text) for text in shown} == {big, JPEG}
    assert [a["alt"] for a in found.all("img")][-1] == "at 1:05"
    one = read(
        timeline(tracks[0]), EMOTION, thumbnails={"face-0": [(1.0, b"\xff\xd8\xff" * 30_000)]}
    )
    assert not one.all("img")


def test_reasons_have_rows_of_their_own_and_stand_in_numbers() -> None:
    found = read(talks.explained(), talks.EMOTION)
    assert "Carried by: the modality that gives an answer's lead" in found.text
    assert "carried by video" in found.text
    assert {"audio adds", "video adds", "it hangs on"} <= _names(found)
    assert {"face cues", "voice cues"} <= _names(found)
    assert found.rows("when") == 1
    (track,) = found.numbers["tracks"]
    assert len(track["why"]) == 4
    assert "carried by video; audio -0.50, video +2.00" in track["told"][track["why"][0]]
    assert "not there: no_speech" in track["told"][track["why"][1]]


def _names(found: Read) -> set[str]:
    return {a["title"] for a in found.all("span") if a.get("class") == "name" and "title" in a}


def test_a_page_without_reasons_has_no_word_of_them() -> None:
    found = read(talks.talk(), talks.EMOTION)
    assert "Carried by" not in found.text
    assert not _names(found) & {"carried by", "it hangs on"}
    assert all("why" not in track for track in found.numbers["tracks"])


def test_an_hour_with_reasons_stays_small_and_keeps_who_carried_it() -> None:
    (track,) = talks.explained().tracks
    hour = [
        replace(w, start=8.0 * i + w.start, end=8.0 * i + w.end)
        for i in range(450)
        for w in track.windows
    ]
    found = read(Timeline(source="a.mp4", tracks=[replace(track, windows=hour)]), talks.EMOTION)
    assert "carried by" in _names(found)
