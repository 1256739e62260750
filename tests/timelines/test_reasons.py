"""Reasons in a timeline: read back or refused, and said in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import talks

from mien.errors import DataError
from mien.timelines import captions, summary
from mien.timelines.values import timeline_of
from mien.types import Timeline


def plain() -> dict[str, Any]:
    return talks.explained().to_dict()


def why(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = values["tracks"][0]["windows"][1]["evidence"]
    return found


def test_reasons_come_back_as_they_were() -> None:
    assert timeline_of(plain()) == replace(talks.explained(), notes=())


def test_a_timeline_that_nobody_explained_holds_no_word_of_it() -> None:
    assert "evidence" not in talks.talk().to_dict()["tracks"][0]["windows"][0]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w: w["reasons"][0].update(verdict="guilty"), "a verdict is one of"),
        (lambda w: w["reasons"][0].update(margin=float("nan")), "not finite"),
        (lambda w: w["reasons"][0].pop("task"), "needs 'task'"),
        (lambda w: w["reasons"][0].update(blame=1), "has no 'blame'"),
        (lambda w: w["reasons"][0]["shares"].update(audio="much"), "this is a number"),
        (lambda w: w["reasons"][0]["moments"][2].update(end=-5), "is not within"),
        (lambda w: w["cues"][0].update(text=5), "this is a text"),
        (lambda w: w.update(absent="no_face"), "this is a JSON list"),
        (lambda w: w.update(reasons=5), "this is a JSON list"),
    ],
)
def test_what_is_no_reason_is_refused_with_its_place(spoil: Any, said: str) -> None:
    values = plain()
    spoil(why(values))
    with pytest.raises(DataError, match=said) as caught:
        timeline_of(values)
    assert (caught.value.where or "").startswith("tracks[0].windows[1].evidence")


def test_a_summary_says_who_carried_it_and_what_there_was() -> None:
    text = " ".join(summary.said(talks.explained(), talks.SPECS).split())
    assert "carried by video in 30 %" in text
    assert "audio and video agree in 20 %" in text
    assert "cheek raiser" in text
    assert "no_speech" in text


def test_one_window_says_how_much_and_when() -> None:
    whole = talks.explained()
    (track,) = whole.tracks
    one = replace(whole, tracks=[replace(track, windows=track.windows[:1])])
    text = " ".join(summary.said(one, talks.SPECS).split())
    assert "carried by video; audio -0.50, video +2.00 of +1.50" in text
    assert "most in 2.0 to 3.0 s (+2.00)" in text


def test_hostile_names_stay_on_their_line() -> None:
    values = plain()
    for window in values["tracks"][0]["windows"]:
        reason = window["evidence"]["reasons"][0]
        reason["verdict"], reason["carried_by"] = "one", "video\x1b[2J\nroot# rm"
        window["evidence"]["cues"][0]["text"] = "\x1b[31mred\n"
    hostile: Timeline = timeline_of(values)
    text = summary.said(hostile, talks.SPECS)
    assert "\x1b" not in text
    assert "\nroot#" not in text
    assert captions.srt(hostile, talks.SPECS), "captions hold no reasons, and are made as ever"
