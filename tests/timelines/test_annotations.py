"""ELAN, RTTM and Label Studio: files that hold to the rules of the tools that read them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import talks
from hypothesis import HealthCheck, given, settings

from mien.timelines import formats
from mien.types import Timeline, Track, Window

_QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
_NASTY = "<&\"'>\x00\x0b\ufffe ]]> \u202e x"


def _held(start: float, end: float, **scores: float) -> Window:
    return Window(start=start, end=end, scores={"emotion": scores}, uncertainty={"emotion": 0.5})


# -- ELAN ------------------------------------------------------------------------------------------


def _eaf(timeline: Timeline, path: Path) -> Xml.Element:
    formats.write(path / "x.eaf", [timeline], specs=talks.SPECS)
    return Xml.fromstring((path / "x.eaf").read_bytes())


def _annotations(root: Xml.Element, tier: Xml.Element) -> list[tuple[int, int, str]]:
    times = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in _slots(root)}
    return [
        (times[a.attrib["TIME_SLOT_REF1"]], times[a.attrib["TIME_SLOT_REF2"]], a[0].text or "")
        for a in tier.iter("ALIGNABLE_ANNOTATION")
    ]


def _slots(root: Xml.Element) -> Iterator[Xml.Element]:
    return root.iter("TIME_SLOT")


def _obeys(root: Xml.Element) -> None:
    """The rules of the schema and of ELAN that such a document could break."""
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert {"AUTHOR", "DATE", "FORMAT", "VERSION"} <= root.attrib.keys()
    assert datetime.fromisoformat(root.attrib["DATE"]).tzinfo is not None
    order = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT"]
    assert [order.index(child.tag) for child in root] == sorted(
        order.index(child.tag) for child in root
    )
    for media in root.iter("MEDIA_DESCRIPTOR"):
        assert {"MEDIA_URL", "MIME_TYPE"} <= media.attrib.keys()
    times = [int(slot.attrib["TIME_VALUE"]) for slot in _slots(root)]
    assert times == sorted(times)
    assert all(0 <= time < 2**32 for time in times)
    ids = [slot.attrib["TIME_SLOT_ID"] for slot in _slots(root)]
    ids += [a.attrib["ANNOTATION_ID"] for a in root.iter() if "ANNOTATION_ID" in a.attrib]
    assert max(Counter(ids).values(), default=1) == 1
    assert all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in ids)
    _tiers_obey(root)


def _tiers_obey(root: Xml.Element) -> None:
    kinds = {
        kind.attrib["LINGUISTIC_TYPE_ID"]: kind.attrib for kind in root.iter("LINGUISTIC_TYPE")
    }
    rules = {rule.attrib["STEREOTYPE"] for rule in root.iter("CONSTRAINT")}
    tiers = {tier.attrib["TIER_ID"]: tier for tier in root.iter("TIER")}
    assert len(tiers) == len(list(root.iter("TIER")))
    for tier in tiers.values():
        kind = kinds[tier.attrib["LINGUISTIC_TYPE_REF"]]
        if "PARENT_REF" not in tier.attrib:
            assert kind["TIME_ALIGNABLE"] == "true"
            found = _annotations(root, tier)
            assert all(start < end for start, end, _ in found)
            assert all(one[1] <= two[0] for one, two in pairwise(found))
            continue
        assert kind["TIME_ALIGNABLE"] == "false"
        assert kind["CONSTRAINTS"] in rules
        parent = tiers[tier.attrib["PARENT_REF"]]
        above = [a.attrib["ANNOTATION_ID"] for a in parent.iter("ALIGNABLE_ANNOTATION")]
        assert [a.attrib["ANNOTATION_REF"] for a in tier.iter("REF_ANNOTATION")] == above


def test_a_tier_for_each_track_and_task_with_the_answers_alone(tmp_path: Path) -> None:
    root = _eaf(talks.talk(), tmp_path)
    _obeys(root)
    tiers = {tier.attrib["TIER_ID"]: tier for tier in root.iter("TIER")}
    names = [name for name, tier in tiers.items() if "PARENT_REF" not in tier.attrib]
    assert names == [
        *("emotion@face-1", "affect@face-1", "au@face-1"),
        *("emotion@face-2", "affect@face-2", "au@face-2", "emotion@voice"),
    ]
    assert tiers["emotion@face-1"].attrib["PARTICIPANT"] == "face-1"
    assert _annotations(root, tiers["emotion@face-1"]) == [
        (0, 5000, "calm"),
        (5000, 11000, "happy"),
        (11000, 13000, "calm"),
        (13000, 18000, "sad"),
    ]
    assert _annotations(root, tiers["au@face-1"])[1] == (5000, 9000, "AU12")
    assert _annotations(root, tiers["affect@face-1"])[2][2] == "valence +0.90 arousal -0.90"
    notes = [a[0].text for a in tiers["emotion strength@face-1"].iter("REF_ANNOTATION")]
    assert notes == [
        f"{label} 0.80 (uncertainty 0.58)" for label in ("calm", "happy", "calm", "sad")
    ]


def test_the_header_names_the_recording_and_the_run(tmp_path: Path) -> None:
    there = tmp_path / "media" / "a talk #1.mp4"
    there.parent.mkdir()
    there.touch()
    root = _eaf(talks.talk(str(there)), tmp_path)
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.attrib == {
        "MEDIA_URL": there.resolve().as_uri(),
        "MIME_TYPE": "video/mp4",
        "RELATIVE_MEDIA_URL": "./media/a%20talk%20%231.mp4",
    }
    facts = {p.attrib["NAME"]: p.text for p in root.iter("PROPERTY")}
    assert facts["mien.run"] == "first"
    assert facts["mien.note.1"] == talks.talk().notes[0]
    elsewhere = _eaf(talks.talk("no/such.wav"), tmp_path).find("HEADER/MEDIA_DESCRIPTOR")
    assert elsewhere is not None
    assert set(elsewhere.attrib.values()) == {"./such.wav", "audio/x-wav"}
    assert _eaf(talks.talk("row-17"), tmp_path).find("HEADER/MEDIA_DESCRIPTOR") is None


def test_names_that_xml_cannot_hold_are_made_ones_that_it_can(tmp_path: Path) -> None:
    held = Window(start=-1.0, end=2.0, scores={_NASTY: {_NASTY: 1.0}})
    tracks = [Track(id=name, windows=[held]) for name in ("a\x01", "a\x02", _NASTY)]
    made_by = {_NASTY: _NASTY}
    root = _eaf(Timeline(source=_NASTY, tracks=tracks, made_by=made_by), tmp_path)
    _obeys(root)
    plain = "<&\"'>\ufffd \ufffd ]]> \ufffd x"
    names = [t.attrib["TIER_ID"] for t in root.iter("TIER") if "PARENT_REF" not in t.attrib]
    assert names == [f"{plain}@a\ufffd", f"{plain}@a\ufffd (2)", f"{plain}@{plain}"]
    assert _annotations(root, next(root.iter("TIER"))) == [(0, 2000, plain)]


@settings(max_examples=60, deadline=None, suppress_health_check=_QUIET)
@given(timelines=talks.ANY)
def test_any_timeline_gives_a_document_that_obeys(
    timelines: list[Timeline], tmp_path: Path
) -> None:
    for timeline in filter(talks.timed, timelines):
        _obeys(_eaf(timeline, tmp_path))


# -- RTTM ------------------------------------------------------------------------------------------


def _rttm(timelines: list[Timeline], path: Path) -> list[list[str]]:
    formats.write(path / "x.rttm", timelines)
    text = (path / "x.rttm").read_text(encoding="utf-8")
    assert text.endswith("\n") or not text
    return [line.split(" ") for line in text.splitlines()]


def test_when_each_track_was_there(tmp_path: Path) -> None:
    gone = Track(
        id="Ann B",
        kind="face",
        windows=[
            Window(start=0.0, end=2.0, scores={}, present={"video": True, "audio": False}),
            Window(start=1.0, end=3.0, scores={}, present={}),
            Window(start=3.0, end=4.0, scores={}, present={"video": False, "audio": True}),
            Window(start=6.0, end=6.5, scores={}),
        ],
    )
    timeline = Timeline(source="talks/a talk.mp4", tracks=[*talks.talk().tracks[1:], gone])
    assert _rttm([timeline], tmp_path) == [
        ["SPEAKER", "a_talk", "1", onset, length, "<NA>", "<NA>", who, "<NA>", "<NA>"]
        for onset, length, who in [
            ("0.000", "3.000", "Ann_B"),
            ("0.000", "18.000", "voice"),
            ("5.500", "10.000", "face-2"),
            ("6.000", "0.500", "Ann_B"),
        ]
    ]


def test_files_of_one_name_go_by_their_path(tmp_path: Path) -> None:
    sources = ["a/x.mp4", "b/x.mp4", "c/y.mp4"]
    timelines = [Timeline(source=s, tracks=talks.talk().tracks[2:]) for s in sources]
    assert [line[1] for line in _rttm(timelines, tmp_path)] == ["a/x.mp4", "b/x.mp4", "y"]


@settings(max_examples=40, deadline=None, suppress_health_check=_QUIET)
@given(timelines=talks.ANY)
def test_any_timelines_give_lines_of_ten_fields(timelines: list[Timeline], tmp_path: Path) -> None:
    for line in _rttm([t for t in timelines if talks.timed(t)], tmp_path):
        assert len(line) == 10
        assert all(line)
        assert float(line[3]) >= 0
        assert float(line[4]) > 0


# -- Label Studio ----------------------------------------------------------------------------------


def _studio(timelines: list[Timeline], path: Path) -> tuple[list[dict[str, Any]], Xml.Element]:
    place = path / "x.label-studio.json"
    made = formats.write(place, timelines, specs=talks.SPECS)
    assert made == [place, path / "x.label-studio.xml"]
    return json.loads(place.read_bytes()), Xml.fromstring(made[1].read_bytes())


def _fits(tasks: list[dict[str, Any]], view: Xml.Element) -> None:
    """What Label Studio checks at import: every answer is one that the interface can give."""
    controls = {tag.attrib["name"]: tag for tag in view if "name" in tag.attrib}
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in controls)
    for task in tasks:
        assert task["data"].keys() == {"media"}
        (prediction,) = task["predictions"]
        assert prediction["model_version"]
        for result in prediction["result"]:
            tag = controls[result["from_name"]]
            assert tag.tag.lower() == result["type"]
            assert tag.attrib["toName"] == result["to_name"] == "media"
            assert result["value"]["start"] < result["value"]["end"]
            held = result["value"][result["type"]]
            if tag.tag == "Number":
                assert isinstance(held, float)
            else:
                assert held
                assert set(held) <= {child.attrib["value"] for child in tag}


def test_regions_are_stretches_of_a_track_with_answers_inside(tmp_path: Path) -> None:
    tasks, view = _studio([talks.talk(), talks.talk("b.mp4")], tmp_path)
    _fits(tasks, view)
    assert [task["data"]["media"] for task in tasks] == ["talk.mp4", "b.mp4"]
    results = tasks[0]["predictions"][0]["result"]
    assert tasks[0]["predictions"][0]["model_version"] == "first claip-emo"
    regions: dict[str, dict[str, Any]] = {}
    for result in results:
        regions.setdefault(result["id"], {})[result["from_name"]] = result
    happy = regions["r2"]
    assert happy["track"]["value"] == {
        "start": 5.0, "end": 11.0, "channel": 0, "labels": ["face-1"],
    }  # fmt: skip
    assert happy["emotion"]["value"] == {
        "start": 5.0, "end": 11.0, "channel": 0, "choices": ["happy"],
    }  # fmt: skip
    assert happy["emotion"]["score"] == pytest.approx(0.8)
    numbers = [r for r in regions.values() if "affect_valence" in r]
    assert len(numbers) == 12
    assert numbers[2]["affect_arousal"]["value"]["number"] == pytest.approx(-0.9)
    assert {tag.attrib.get("choice") for tag in view.iter("Choices")} == {"single", "multiple"}
    assert view.find("Video") is not None


def test_sound_alone_needs_no_picture(tmp_path: Path) -> None:
    _, view = _studio([talks.talk("talk.wav")], tmp_path)
    assert view.find("Video") is None
    sound = view.find("Audio")
    assert sound is not None
    assert "sync" not in sound.attrib


@settings(max_examples=60, deadline=None, suppress_health_check=_QUIET)
@given(timelines=talks.ANY)
def test_any_predictions_fit_their_interface(timelines: list[Timeline], tmp_path: Path) -> None:
    _fits(*_studio([t for t in timelines if talks.timed(t)], tmp_path))
