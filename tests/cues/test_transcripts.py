"""What is said, from subtitles, texts and words; and tones of the paid service."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import mien
from mien.cues.schema import Cues
from mien.cues.template import Template
from mien.cues.text import textualize
from mien.cues.tones import read_tones
from mien.cues.transcripts import beside, read_transcript
from mien.data.turns import Turn


def test_subtitles_and_plain_text(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,500\nANNA: Hello\nthere\n")
    assert read_transcript(tmp_path / "a.srt") == (Turn(1.0, 2.5, "ANNA", "Hello there"),)
    (tmp_path / "b.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n<v Bob>Hi\n")
    assert read_transcript(tmp_path / "b.vtt") == (Turn(1.0, 2.0, "Bob", "Hi"),)
    (tmp_path / "c.txt").write_text("Dogs are\nsitting.\n")
    assert read_transcript(tmp_path / "c.txt", start=3, end=5) == (
        Turn(3, 5, None, "Dogs are sitting."),
    )
    (tmp_path / "d.txt").write_text(" \n")
    assert read_transcript(tmp_path / "d.txt") == ()
    assert beside(tmp_path, "b") == tmp_path / "b.vtt"
    assert beside(tmp_path, "e") is None


@pytest.mark.parametrize(
    "values",
    [
        [{"start": 0.1, "end": 0.4, "word": " so"}, {"start": 0.5, "end": 1, "word": "it"}],
        {"words": [
            {"start": 0.5, "end": 1, "text": "it"}, {"start": 0.1, "end": 0.4, "text": "so"}]},
        {"segments": [{"start": 0.1, "end": 1, "text": "so it", "words": [
            {"start": 0.1, "end": 0.4, "word": "so"}, {"start": 0.5, "end": 1, "word": "it"}]}]},
    ],
)  # fmt: skip
def test_words_with_times(values: Any, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(values))
    turns = read_transcript(tmp_path / "a.json")
    assert [(turn.start, turn.end, turn.text) for turn in turns] == [
        (0.1, 0.4, "so"), (0.5, 1, "it"),
    ]  # fmt: skip
    window = Cues(id="a", start=0, end=1, transcript=turns).between(0.45, 1)
    assert textualize(window, Template.read()) == "Said: it"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{", "no JSON"),
        ("a.json", "[" * 100_000, "no JSON"),
        ("a.json", '{"text": "x"}', "a list of words"),
        ("a.json", "[3]", "a word is an object"),
        ("a.json", '[{"start": 1, "end": 0, "word": "x"}]', "cannot last"),
        ("a.json", '[{"start": "0", "end": 1, "word": "x"}]', "cannot last"),
        ("a.json", '[{"start": 0, "end": 1, "word": 3}]', "has a text"),
        ("a.txt", "\xff", "not UTF-8"),
        ("a.doc", "", "transcripts are read from"),
        ("a.srt", "1\nx --> y\nno\n", "a time is"),
    ],
)
def test_transcripts_that_are_none(name: str, content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(mien.DataError) as error:
        read_transcript(tmp_path / name)
    assert said in str(error.value)
    assert name in str(error.value)


# -- tones -----------------------------------------------------------------------------------------

JOB: list[Any] = [{
    "source": {"type": "url", "url": "https://example.com/clips.zip?x=1"},
    "results": {"errors": [], "predictions": [
        {"file": "clips/a.mp4", "file_type": "video", "models": {"prosody": {
            "metadata": {"confidence": None, "detected_language": "en"},
            "grouped_predictions": [
                {"id": "unknown", "predictions": [
                    {"text": "so good", "time": {"begin": 0.5, "end": 2.0}, "confidence": 0.9,
                     "speaker_confidence": None, "emotions": [
                         {"name": "Joy", "score": 0.6}, {"name": "Fear", "score": 0.05}]},
                    {"text": None, "time": {"begin": 7, "end": 8}, "emotions": [
                        {"name": "Doubt", "score": 0.4}]},
                ]}]}}},
        {"file": "clips/b.mp4", "models": {"prosody": {"grouped_predictions": []}}},
        {"file": "clips/c.mp4", "models": {"face": {}}},
    ]}}]  # fmt: skip


def test_tones_of_a_job_give_the_published_prompt(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(JOB))
    found = read_tones(tmp_path / "job.json")
    assert set(found) == {"a.mp4", "b.mp4"}  # nobody listened to c
    tones = found["a.mp4"]
    assert [(s.start, s.end) for s in tones.speech] == [(0.5, 2.0), (7, 8)]
    assert tones.transcript == (Turn(0.5, 2.0, None, "so good"),)
    cues = Cues(id="a", start=0, end=10, prosody=tones.heard, speech=tones.speech, sound=True)
    clip = cues.between(2.5, 4.0, around=2.0)  # two seconds of context on either side
    assert textualize(clip, Template.read()) == (
        "Said: nobody is speaking | Voice: High Joy, Low Fear"
    )
    nothing = found["b.mp4"]
    silent = Cues(id="b", start=0, end=1, prosody=nothing.heard, speech=nothing.speech, sound=True)
    assert (
        textualize(silent, Template.read("published", {"fields": "A"}))
        == "Voice: nobody is speaking"
    )


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("results",), None, "'results' is missing"),
        (("results", "predictions"), {}, "'predictions' is missing"),
        (("results", "predictions", 0, "models", "prosody"), 3, "'grouped_predictions' is missing"),
        (("results", "predictions", 1, "file"), "other/a.mp4", "two files"),
        (("results", "predictions", 0, "models", "prosody", "grouped_predictions", 0,
          "predictions", 0, "time", "end"), 0.1, "cannot last"),
        (("results", "predictions", 0, "models", "prosody", "grouped_predictions", 0,
          "predictions", 0, "emotions", 0, "score"), 1.2, "has the score"),
        (("results", "predictions", 0, "models", "prosody", "grouped_predictions", 0,
          "predictions", 0, "emotions", 0, "name"), "x" * 200, "has the score"),
    ],
)  # fmt: skip
def test_other_jobs_are_refused(
    path: tuple[str | int, ...], value: Any, said: str, tmp_path: Path
) -> None:
    job: Any = copy.deepcopy(JOB)
    place = job[0]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    (tmp_path / "job.json").write_text(json.dumps(job))
    with pytest.raises(mien.DataError) as error:
        read_tones(tmp_path / "job.json")
    assert said in str(error.value)
    assert "job.json" in str(error.value.where)
