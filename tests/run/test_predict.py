"""From a film to a timeline: the same streamed as whole, and nobody speaks for anybody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import films
import numpy as np
import pytest
import squares
import torch

from mien.data.batch import collate
from mien.data.follow import follow
from mien.data.frames import sampled
from mien.data.sound import waveform
from mien.data.turns import Turn
from mien.errors import DataError, RunError
from mien.run import seeing
from mien.run.load import Run
from mien.run.predict import Predictor
from mien.types import Sample, Timeline, Window

BLACK = np.zeros((32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return squares.run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares.scene(tmp_path_factory.mktemp("film") / "film.mp4")


def predictor(run: Run, *, batch_size: int = 8, **view: float) -> Predictor:
    wanted = replace(seeing.view_of(run), window=2.0, hop=1.0)
    return Predictor(run, replace(wanted, **view), squares.Squares(), batch_size=batch_size)  # type: ignore[arg-type]


def windows(timeline: Timeline, track: str) -> list[Window]:
    return [window for found, window in timeline if found.id == track]


# -- streamed and whole ----------------------------------------------------------------------------


def test_streamed_answers_are_those_of_the_whole_file(run: Run, film: Path) -> None:
    streamed = predictor(run).predict(film).timeline
    view = predictor(run).view
    moments = list(follow(list(sampled(film, view.fps)), squares.Squares(), every=view.every))
    crops = {
        (name, at): view.crop.crop(moment.frame.pixels, seen.face)
        for at, moment in enumerate(moments)
        for name, seen in moment.faces.items()
        if moment.frame.pixels is not None
    }
    wave, there = waveform(film, view.rate)
    compared = 0
    for track, window in streamed:
        low, high = (round(second * view.fps) for second in (window.start, window.end))
        inputs: dict[str, Any] = {}
        mask: dict[str, Any] = {}
        if track.kind == "face":
            seen = np.array([(track.id, at) in crops for at in range(low, high)])
            inputs["video"] = np.stack(
                [
                    crops.get((track.id, at), np.zeros((32, 32, 3), np.uint8))
                    for at in range(low, high)
                ]
            )
            mask["video"] = seen
        if window.present["audio"]:
            part = slice(round(window.start * view.rate), round(window.end * view.rate))
            inputs["audio"], mask["audio"] = wave[part], there[part]
        with torch.inference_mode():
            output = run.whole(collate([Sample(id="x", inputs=inputs, mask=mask)], {}))
        expected = output.logits["emotion"].softmax(1)[0].tolist()
        assert list(window.scores["emotion"].values()) == pytest.approx(expected, abs=1e-5)
        compared += 1
    assert compared > 12
    answers = {tuple(window.scores["emotion"].values()) for _, window in streamed}
    assert len(answers) > compared / 2  # random weights, but not one answer for all


@pytest.mark.parametrize("size", [1, 3, 50])
def test_windows_answered_together_are_answered_alike(run: Run, film: Path, size: int) -> None:
    one, other = (predictor(run, batch_size=n).predict(film).timeline for n in (8, size))
    for (_, a), (_, b) in zip(one, other, strict=True):
        assert (a.start, a.end, a.box, a.voice) == (b.start, b.end, b.box, b.voice)
        for label, score in a.scores["emotion"].items():
            assert b.scores["emotion"][label] == pytest.approx(score, abs=1e-5)


# -- who is there, and whose voice it is -----------------------------------------------------------


def test_everyone_is_a_track_with_the_times_they_are_seen(run: Run, film: Path) -> None:
    found = predictor(run).predict(film)
    first, second = windows(found.timeline, "face-1"), windows(found.timeline, "face-2")
    assert found.timeline.duration == pytest.approx(8.0, abs=0.05)
    assert first[0].start == 0
    assert first[-1].end == pytest.approx(8.0, abs=0.05)
    assert second[0].start == pytest.approx(3.0, abs=0.25)
    assert second[-1].end == pytest.approx(6.0, abs=0.25)
    left, top, width, height = first[0].box or (0, 0, 0, 0)
    assert 0.05 < left < 0.2
    assert top == pytest.approx(20 / 96, abs=0.03)
    assert width == pytest.approx(40 / 160, abs=0.03)
    assert height == pytest.approx(40 / 96, abs=0.05)
    assert found.thumbnails["face-1"]
    assert found.thumbnails["face-2"]
    assert all(picture.jpeg[:2] == b"\xff\xd8" for picture in found.thumbnails["face-1"])


def test_a_voice_is_a_face_s_only_while_one_face_is_visible(run: Run, film: Path) -> None:
    timeline = predictor(run).predict(film).timeline
    for window in windows(timeline, "face-1"):
        if window.end <= 3 or window.start >= 6:
            assert (window.voice == "one face") == window.present["audio"]
        elif window.start >= 3 and window.end <= 6:
            assert not window.voice
            assert not window.present["audio"]
    assert any(window.voice for window in windows(timeline, "face-1"))
    alone = windows(timeline, "voice")
    assert alone
    assert all(window.end > 3 and window.start < 6 for window in alone)
    assert all(window.present == {"audio": True, "video": False} for window in alone)


def test_a_voice_after_a_face_has_left_is_not_its_own(run: Run, tmp_path: Path) -> None:
    film = squares.scene(
        tmp_path / "left.mp4", seconds=4, voice=(2.4, 3.9), second=(9, 9), first=(0, 2.1)
    )
    timeline = (
        Predictor(run, replace(seeing.view_of(run), window=4.0, hop=2.0), squares.Squares())
        .predict(film)
        .timeline
    )
    (face,) = windows(timeline, "face-1")
    assert not face.voice
    assert not face.present["audio"]
    assert windows(timeline, "voice")


def test_who_is_not_asked_about_may_still_have_spoken(run: Run, film: Path) -> None:
    everyone = predictor(run).predict(film).timeline
    view = replace(predictor(run).view, faces="largest")
    largest = Predictor(run, view, squares.Squares()).predict(film).timeline
    assert [w.start for w in windows(largest, "voice")] == [
        w.start for w in windows(everyone, "voice")
    ]
    assert len(largest.tracks) <= len(everyone.tracks)


def test_one_person_can_be_named(run: Run, film: Path) -> None:
    view = replace(predictor(run).view, person="face-2")
    found = Predictor(run, view, squares.Squares()).predict(film).timeline
    assert {track.id for track in found.tracks} == {"face-2", "voice"}


def test_turns_say_whose_voice_it_is(run: Run, film: Path) -> None:
    turns = [Turn(3.0, 6.0, "anna"), Turn(6.0, 6.5, "zoe")]
    found = predictor(run).predict(film, turns=turns, who={"anna": "face-2"}).timeline
    given = [w for w in windows(found, "face-2") if w.voice == "given"]
    assert given
    assert all(window.present["audio"] for window in given)
    named = predictor(run).predict(film, turns=[Turn(3.0, 6.0, "anna")]).timeline
    assert windows(named, "voice anna")


def test_damage_is_said(run: Run, film: Path, tmp_path: Path) -> None:
    content = bytearray(film.read_bytes())
    for place in range(len(content) // 4, len(content) // 2, 97):
        content[place] ^= 255
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    timeline = predictor(run).predict(path).timeline
    assert any("could not be decoded" in note or "damaged" in note for note in timeline.notes)


# -- odd files -------------------------------------------------------------------------------------


def test_without_sound_there_is_no_voice(run: Run, tmp_path: Path) -> None:
    film = squares.scene(tmp_path / "mute.mp4", seconds=3, voice=None)
    timeline = predictor(run).predict(film).timeline
    assert {track.kind for track in timeline.tracks} == {"face"}
    assert all(window.present == {"audio": False, "video": True} for _, window in timeline)


def test_sound_alone_is_a_voice(run: Run, tmp_path: Path) -> None:
    film = films.film(tmp_path / "a.wav", codec=None, audio=squares.speech(5, 1, 4),
                      audio_codec="pcm_s16le")  # fmt: skip
    timeline = predictor(run).predict(film).timeline
    assert [track.id for track in timeline.tracks] == ["voice"]
    assert timeline.duration == pytest.approx(5, abs=0.05)


def test_a_clip_shorter_than_a_window_is_one_window(run: Run, tmp_path: Path) -> None:
    film = squares.scene(tmp_path / "short.mp4", seconds=0.6, voice=None)
    (window,) = windows(predictor(run).predict(film).timeline, "face-1")
    assert window.start == 0
    assert window.end == pytest.approx(0.6)


def test_the_last_window_ends_with_the_file(run: Run, tmp_path: Path) -> None:
    film = squares.scene(tmp_path / "odd.mp4", seconds=4.56, voice=None)
    found = windows(predictor(run).predict(film).timeline, "face-1")
    assert [round(window.start, 2) for window in found] == [0, 1, 2, 2.56]
    assert found[-1].end == pytest.approx(4.56)


def test_where_nobody_is_nothing_is_said(run: Run, tmp_path: Path) -> None:
    film = films.film(tmp_path / "empty.mp4", seconds=3, size=(64, 48),
                      draw=lambda index, time: np.full((48, 64, 3), 80, np.uint8))  # fmt: skip
    timeline = predictor(run).predict(film).timeline
    assert not timeline.tracks
    assert timeline.duration == pytest.approx(3, abs=0.05)


def test_a_file_that_is_no_film_is_an_error(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("not a film")
    with pytest.raises(DataError, match=r"."):
        predictor(run).predict(path)


# -- what the run knows ----------------------------------------------------------------------------


def test_a_run_that_learned_from_vectors_does_not_watch(tmp_path: Path) -> None:
    run = squares.run(tmp_path, card={"inputs": {"video": "vectors"}})
    with pytest.raises(RunError, match="vectors") as caught:
        predictor(run)
    assert "mien data prepare" in str(caught.value)


def test_another_detector_than_in_training_is_said(tmp_path: Path, film: Path) -> None:
    recipe = {**seeing_recipe(), "detector": "yunet-12345678"}
    run = squares.run(tmp_path, card={"recipes": [recipe]})
    timeline = predictor(run).predict(film).timeline
    assert any("yunet-12345678" in note and "squares-1" in note for note in timeline.notes)
    assert timeline.made_by["detector"] == "squares-1"
    assert timeline.made_by["crop"] == "points-1/32"
    quiet = predictor(squares.run(tmp_path)).predict(film).timeline
    assert not any("worse" in note for note in quiet.notes)


def seeing_recipe() -> dict[str, object]:
    return {"fps": 25.0, "every": 5, "crop": {"by": "points", "size": 32, "version": 1}}


def test_a_run_predicts_a_path(run: Run, film: Path) -> None:
    (timeline,) = run.predict(film)
    assert timeline.source == "film.mp4"
    assert timeline.made_by["detector"].startswith(("haar", "yunet"))
