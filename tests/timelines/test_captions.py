"""Captions: what a player may be given, and nothing said twice at a time."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import talks
from hypothesis import HealthCheck, given, settings

from mien.timelines import captions, formats
from mien.timelines.answers import declared
from mien.types import Timeline, Track, Window

_TIME = {
    "srt": re.compile(r"(\d\d+):(\d\d):(\d\d),(\d{3})"),
    "vtt": re.compile(r"(\d\d+):(\d\d):(\d\d)\.(\d{3})"),
}


def _milliseconds(text: str, form: str) -> int:
    found = _TIME[form].fullmatch(text)
    assert found, text
    hours, minutes, seconds, rest = map(int, found.groups())
    assert minutes < 60
    assert seconds < 60
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def _read(text: str, form: str) -> list[tuple[int, int, str]]:
    """Cues as a player reads them: blocks between blank lines, a time line, then text."""
    blocks = text.rstrip("\n").split("\n\n")
    if form == "vtt":
        assert blocks[0] == "WEBVTT"
        assert blocks[1].startswith("NOTE\n")
        assert "-->" not in blocks[1]
        blocks = blocks[2:]
    found = []
    for number, block in enumerate(filter(None, blocks), 1):
        lines = block.split("\n")
        if form == "srt":
            assert lines.pop(0) == str(number)
        start, arrow, end = lines[0].split(" ")
        assert arrow == "-->"
        assert len(lines) == 2
        assert "-->" not in lines[1]
        found.append((_milliseconds(start, form), _milliseconds(end, form), lines[1]))
    return found


def _captions(timeline: Timeline, form: str, path: Path) -> list[tuple[int, int, str]]:
    formats.write(path / f"x.{form}", [timeline], specs=talks.SPECS)
    return _read((path / f"x.{form}").read_text(encoding="utf-8"), form)


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_a_cue_for_each_window_cut_to_its_own_step(form: str, tmp_path: Path) -> None:
    """Windows [0, 4), [2, 6), [4, 8) ... are cues [0, 3), [3, 5), [5, 7) ..."""
    found = _captions(talks.talk(), form, tmp_path)
    first = [cue for cue in found if cue[2].startswith("face-1: ")]
    steps = [(0, 3000), *((t, t + 2000) for t in range(3000, 15000, 2000)), (15000, 18000)]
    assert [cue[:2] for cue in first] == steps
    assert first[2][2] == (
        "face-1: emotion: happy 0.80 (uncertainty 0.58), affect: valence +0.90 arousal -0.90, "
        "au: AU12 0.90 (uncertainty 0.60)"
    )
    assert first[0][2].endswith("au: none (uncertainty 0.60)")
    assert (0, 18000, "voice: emotion: sad 0.50 (uncertainty 0.94)") in found
    assert found == sorted(found, key=lambda cue: cue[:2])
    assert len(found) == 13


def test_one_task_and_one_clip_need_no_names(tmp_path: Path) -> None:
    held = Window(
        start=3599.9996,
        end=3601.5,
        scores={"emotion": {"calm": 0.71, "sad": 0.29}},
        uncertainty={"emotion": 0.42},
        present={"audio": False, "video": True},
    )
    clip = Timeline(source="a.mp4", tracks=[Track(id="clip", windows=[held])])
    found = _captions(clip, "srt", tmp_path)
    assert found == [(3600000, 3601500, "calm 0.71 (uncertainty 0.42) [without audio]")]


def test_markup_and_arrows_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    label = "<i>--> {\\an8} & \n\nNOTE\x1b[31m"
    held = Window(start=0.0, end=1.0, scores={"emotion": {label: 1.0, "sad": 0.0}})
    timeline = Timeline(
        source="a --> b\n\n00:00.000 --> 00:01.000",
        tracks=[Track(id="x\n\ny", windows=[held], kind="face")],
    )
    ((_, _, text),) = _captions(timeline, "vtt", tmp_path)
    assert text == "x y: &lt;i&gt;--&gt; {\\an8} &amp; NOTE\ufffd[31m 1.00"
    ((_, _, text),) = _captions(timeline, "srt", tmp_path)
    assert text == "x y: \u2039i\u203a--\u203a (\\an8) & NOTE\ufffd[31m 1.00"


def test_what_made_them_stands_in_a_note(tmp_path: Path) -> None:
    _captions(talks.talk(), "vtt", tmp_path)
    note = (tmp_path / "x.vtt").read_text().split("\n\n")[1].split("\n")
    assert note[1:] == [
        "source: talk.mp4",
        "run: first",
        "system: claip-emo",
        "licence: CC BY-NC 4.0",
        "The voice stands apart where two faces are in view.",
    ]


@pytest.mark.parametrize("form", ["srt", "vtt"])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(timelines=talks.ANY)
def test_any_timeline_gives_captions_that_can_be_read(
    form: str, timelines: list[Timeline], tmp_path: Path
) -> None:
    for timeline in filter(talks.timed, timelines):
        found = _captions(timeline, form, tmp_path)
        assert all(0 <= start < end for start, end, _ in found)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(timelines=talks.ANY)
def test_cues_of_a_track_never_overlap(timelines: list[Timeline]) -> None:
    for timeline in timelines:
        for track in timeline.tracks:
            alone = replace(timeline, tracks=[track])
            found = list(captions.cues(alone, declared([alone])))
            assert all(one.end <= two.start for one, two in pairwise(found))
