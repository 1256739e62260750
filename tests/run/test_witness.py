"""Cues beside answers: each window its own, each absence by its own name, nothing made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import talks

from mien.cues import files
from mien.cues.schema import Cues, Face, Heard, Speech
from mien.data.turns import Turn
from mien.errors import DataError
from mien.run.witness import Witness
from mien.timelines import summary
from mien.types import Timeline, Track, Window

SMILE = Face(time=1.0, units={"AU12": 0.9, "AU4": 0.2}, emotions={"happiness": 0.7})


def one(kind: str = "clip", *, audio: bool = True) -> Timeline:
    windows = [
        Window(start=s, end=s + 2, scores={"emotion": {"calm": 1.0}}, present={"audio": audio})
        for s in (0.0, 2.0)
    ]
    return Timeline(source="films/a.mp4", tracks=[Track(id="x", windows=windows, kind=kind)])  # type: ignore[arg-type]


def beside(folder: Path, timeline: Timeline, *cues: Cues) -> list[tuple[list[str], list[str]]]:
    """Of each window the texts of its cues, and what is absent."""
    files.write(folder / "cues.jsonl", cues)
    (found,) = Witness(folder / "cues.jsonl").beside([timeline])
    held = [window.evidence for _, window in found]
    return [([c.text for c in e.cues], list(e.absent)) if e else ([], []) for e in held]


def test_each_window_has_the_cues_that_lie_in_it(tmp_path: Path) -> None:
    cues = Cues(
        id="a",
        start=0,
        end=4,
        faces=(SMILE, Face(time=1.5, units={"AU12": 0.6}), Face(time=3.0, units={"AU12": 0.1})),
        sound=True,
        speech=(Speech(start=2.5, end=3.0, confidence=1.0),),
        prosody=(
            Heard(start=2.5, end=3.0, name="pitch", score=1.0, scale="level"),
            Heard(start=2.5, end=3.0, name="energy", score=0.1, scale="level"),
            Heard(start=2.5, end=3.0, name="Joy", score=0.8),
        ),
        transcript=(Turn(start=2.5, end=3.0, speaker=None, text="oh well"),),
    )
    first, second = beside(tmp_path, one(), cues)
    assert first == (["happiness", "lip corner puller"], ["no_speech"])
    assert set(second[0]) == {"high pitch", "Joy", "oh well"}, "what is as usual is no cue"
    assert second[1] == ["no_active_unit"]


@pytest.mark.parametrize(
    ("cues", "absent"),
    [
        (Cues(id="a", start=0, end=4), []),
        (Cues(id="a", start=0, end=4, faces=(Face(time=1, present=False),)), ["no_face"]),
        (
            Cues(id="a", start=0, end=4, faces=(Face(time=1, units={"AU1": 0.1}),)),
            ["no_active_unit"],
        ),
        (Cues(id="a", start=0, end=4, sound=True, speech=()), ["no_speech"]),
        (Cues(id="a", start=0, end=4, sound=False), ["no_audio"]),
    ],
)
def test_each_absence_goes_from_the_file_to_what_is_read(
    cues: Cues, absent: list[str], tmp_path: Path
) -> None:
    assert beside(tmp_path, one(), cues)[0] == ([], absent)
    (found,) = Witness(tmp_path / "cues.jsonl").beside([one()])
    assert all(name in summary.said(found) for name in absent)


def test_a_voice_has_no_face_and_a_face_no_voice_that_is_not_its_own(tmp_path: Path) -> None:
    tone = Heard(start=0.0, end=4.0, name="pitch", score=-1.0, scale="level")
    cues = Cues(id="a.mp4", start=0, end=4, faces=(SMILE,), sound=True, prosody=(tone,))
    assert beside(tmp_path, one("voice"), cues)[0][0] == ["low pitch"]
    assert beside(tmp_path, one("face"), cues)[0][0] == [
        "low pitch",
        "happiness",
        "lip corner puller",
    ]
    assert "low pitch" not in beside(tmp_path, one("face", audio=False), cues)[0][0]


def test_windows_of_a_clip_are_put_together(tmp_path: Path) -> None:
    parts = [
        Cues(id="a@0.000", start=0, end=2, faces=(SMILE,)),
        Cues(id="a@2.000", start=2, end=4, faces=(Face(time=3.0, present=False),)),
    ]
    first, second = beside(tmp_path, one(), *parts)
    assert first == (["happiness", "lip corner puller"], [])
    assert second == ([], ["no_face"])


def test_another_clip_gets_a_note_and_no_cues(tmp_path: Path) -> None:
    files.write(tmp_path / "cues.jsonl", [Cues(id="b", start=0, end=4, faces=(SMILE,))])
    (found,) = Witness(tmp_path / "cues.jsonl").beside([one()])
    assert all(window.evidence is None for _, window in found)
    assert found.notes == ["cues.jsonl holds no cues of this clip, but of b."]
    with pytest.raises(DataError, match="no such file"):
        Witness(tmp_path / "other.jsonl")


def test_reasons_stay_where_cues_come(tmp_path: Path) -> None:
    timeline = replace(talks.explained(), source="a")
    files.write(tmp_path / "cues.jsonl", [Cues(id="a", start=0, end=10, faces=(SMILE,))])
    (found,) = Witness(tmp_path / "cues.jsonl").beside([timeline])
    for (_, before), (_, after) in zip(timeline, found, strict=True):
        assert before.evidence is not None
        assert after.evidence is not None
        assert after.evidence.reasons == before.evidence.reasons
