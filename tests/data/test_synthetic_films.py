"""Films of made-up people: what is in the files, who is where, and what survives a second call."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from mien import tasks
from mien.data import (
    acted,
    camera,
    filmed,
    frames,
    media,
    sound,
    synthetic,
    takes,
    talks,
    uttered,
)
from mien.data.acted import ACTION_UNITS, EMOTIONS
from mien.data.batch import RowDataset
from mien.data.check import check
from mien.data.faces import Detector, open_detector
from mien.data.manifest import Manifest, infer_tasks
from mien.data.rows import Inline
from mien.data.synthetic import Recipe
from mien.data.takes import FPS, SIZE, Planted, Take
from mien.errors import ConfigError, DataError
from mien.types import Unit

Pixels = NDArray[np.uint8]


def take(emotion: str | None = "happy", **given: Any) -> Take:
    usual: dict[str, Any] = {
        "id": "x", "seed": 0, "speaker": 0, "number": 0, "emotion": emotion, "seconds": 1.0,
    }  # fmt: skip
    return Take(**(usual | given))


def drawn(what: Take) -> list[Pixels]:
    """The frames of a take, before they are encoded."""
    return list(takes.pictures(what, takes.staged(what)))


def decoded(path: Path) -> tuple[Pixels, NDArray[np.float32]]:
    """All frames (F, H, W, 3) and samples of a film."""
    pictures = [frame.pixels for frame in frames.recorded(path) if frame.pixels is not None]
    samples, there = sound.waveform(path, rate=16_000)
    return np.stack(pictures), samples[there]


def digest(path: Path) -> str:
    pictures, samples = decoded(path)
    return hashlib.sha256(pictures.tobytes() + samples.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with two clips each."""
    return synthetic.clips(tmp_path_factory.mktemp("made"), speakers=4, clips=2)


# -- faces -----------------------------------------------------------------------------------------


def found(detector: Detector, people: range) -> float:
    """The share of frames in which a face is found where it is."""
    hits = []
    for speaker in people:
        what = take(list(EMOTIONS)[speaker % 8], speaker=speaker, seed=500)
        shot = takes.staged(what)
        for i, pixels in enumerate(drawn(what)):
            if i % 6:
                continue
            faces = detector.detect([pixels])[0]
            left, top, width, height = faces[0].box if faces else (0, 0, 0, 0)
            hits.append(
                left < shot.pose.x[i] < left + width and top < shot.pose.y[i] < top + height
            )
    return float(np.mean(hits))


def test_haar_finds_most_faces() -> None:
    assert found(open_detector("haar"), range(12)) >= 0.85


@pytest.mark.shared
def test_yunet_finds_nearly_all_faces(shared: Path) -> None:
    weights = shared / "weights" / "yunet_n_640_640.onnx"
    assert found(open_detector("yunet", weights), range(12)) >= 0.95


@pytest.mark.shared
def test_yunet_finds_eyes_nose_and_mouth_where_they_were_drawn(shared: Path) -> None:
    from mien.data import head

    detector = open_detector("yunet", shared / "weights" / "yunet_n_640_640.onnx")
    off = []
    for speaker in range(6):
        what = take(speaker=speaker, seed=501)
        shot = takes.staged(what)
        if shot.how.occlusion != "none":
            continue
        face = detector.detect([drawn(what)[12]])[0][0]
        parts = head.seen(head.points(takes.person(501, speaker).looks, shot.acting), shot.pose)
        eyes = [
            (parts[f"{s} upper lid"][12, 4] + parts[f"{s} lower lid"][12, 4]) / 2
            for s in ("left", "right")
        ]
        corners = [parts["upper line"][12, 0], parts["upper line"][12, 8]]
        drawn_at = np.stack([*eyes, parts["ridge"][12, 3], *corners])
        assert face.points is not None
        off.append(np.linalg.norm(face.points - drawn_at, axis=1) / shot.pose.scale[12])
    assert np.median(off) < 0.12  # halves of a face's width


def test_lids_and_brows_are_seen_to_move() -> None:
    """Not only points: an open mouth is darker, a frown's crease too."""
    what = take(None, seconds=2.0, seed=3, speaker=1)
    shot = takes.staged(what)
    plain = dataclasses.replace(
        shot,
        how=camera.Camera(noise=0.0, blur=0.0, occlusion="none", quality=20),
        pose=dataclasses.replace(shot.pose, yaw=0 * shot.pose.yaw, roll=0 * shot.pose.roll),
    )

    def mouth(amount: float) -> float:
        units = np.zeros_like(shot.acting.units)
        units[:, ACTION_UNITS.index("AU26")] = amount
        acting = dataclasses.replace(shot.acting, units=units)
        frame = next(takes.pictures(what, dataclasses.replace(plain, acting=acting)))
        x, y, size = (round(float(v[0])) for v in (shot.pose.x, shot.pose.y, shot.pose.scale))
        part = frame[y + round(0.9 * size) : y + round(1.15 * size), x - 5 : x + 5]
        return float(part.min(axis=2).mean())

    assert mouth(1.0) < 0.8 * mouth(0.0)


def test_people_differ_and_stay_who_they_are() -> None:
    people = [takes.person(0, speaker).looks for speaker in range(6)]
    assert len({(*p.skin.tolist(), p.style, p.nose) for p in people}) == 6
    again = takes.person(0, 3).looks
    np.testing.assert_array_equal(people[3].skin, again.skin)
    assert takes.person(1, 3).looks.nose != again.nose


# -- files -----------------------------------------------------------------------------------------


def test_films_hold_what_was_asked_for(corpus: Path) -> None:
    manifest = Manifest.read(corpus)
    assert len(manifest.rows) == 8
    for row in manifest.rows[:2]:
        path = manifest.place.find(str(row.video))
        facts = media.probe(path)
        assert facts.video is not None
        assert facts.audio is not None
        assert (facts.video.width, facts.video.height) == SIZE
        pictures, samples = decoded(path)
        assert len(pictures) == 2 * FPS
        assert len(samples) == pytest.approx(2 * 16_000, abs=1024)
        assert pictures.std() > 20
        assert 0.005 < samples.std() < 0.3


def test_what_is_decoded_is_what_was_drawn_and_said(corpus: Path) -> None:
    what = Recipe(speakers=4, films=2).takes()[1]
    pictures, samples = decoded(corpus.parent / "clips" / f"{what.id}.mp4")
    before = np.stack(drawn(what)).astype(float)
    blurred = [frame.reshape(88, 2, 104, 2, 3).mean(axis=(1, 3)) for frame in pictures]
    expected = before.reshape(-1, 88, 2, 104, 2, 3).mean(axis=(2, 4))
    assert np.abs(np.stack(blurred) - expected).mean() < 5  # of 255
    voice = takes.sound(what, takes.staged(what))
    likeness = np.corrcoef(voice[2000:30000], samples[2000:30000])[0, 1]
    assert likeness > 0.9  # and so in step


def test_frames_and_their_truth_are_one_to_one(corpus: Path) -> None:
    manifest = Manifest.read(corpus.with_name("frames.jsonl"))
    specs = infer_tasks(manifest, tasks.NAMED)
    assert set(specs) == {"action_units", "affect", "expression"}
    what = Recipe(speakers=4, films=2).takes()[0]
    acting = takes.staged(what).acting
    with (corpus.parent / "tracks" / f"{what.id}.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(acting.units) == 2 * FPS
    for line, units, valence in zip(lines, acting.units, acting.valence, strict=True):
        assert float(line["valence"]) == pytest.approx(valence, abs=1e-3)
        for name, value in zip(ACTION_UNITS, units, strict=True):
            assert float(line[f"{name}.intensity"]) == pytest.approx(value, abs=1e-3)
            assert int(line[name]) == (value >= takes.PRESENT)
    height = max(range(len(lines)), key=lambda i: acting.course[i].sum())
    assert lines[height]["emotion"] == what.emotion
    assert {line["visible"] for line in lines} == {"1"}


def test_labels_reach_a_batch(corpus: Path) -> None:
    """As the manifest says them, at the frames' times."""
    tracked = Manifest.read(corpus.with_name("frames.jsonl"))
    seen = Inline(np.ones((2 * FPS, 3)))
    row = dataclasses.replace(tracked.rows[0], fps=float(FPS), features={"face": seen})
    specs = infer_tasks(tracked, tasks.NAMED)
    sample = RowDataset([row], tracked.only([row]), {"face": "face"}, specs, Unit.WINDOW)[0]
    acting = takes.staged(Recipe(speakers=4, films=2).takes()[0]).acting
    units, affect = (np.asarray(sample.targets[name], float) for name in ("action_units", "affect"))
    np.testing.assert_array_equal(units, acting.units >= takes.PRESENT)
    np.testing.assert_allclose(affect[:, 0], acting.valence, atol=1e-3)


def test_nothing_is_wrong_with_the_manifests(corpus: Path) -> None:
    for name in ("corpus.jsonl", "frames.jsonl"):
        found = Manifest.read(corpus.with_name(name))
        assert not check(found, infer_tasks(found, tasks.NAMED)).errors
    manifest = Manifest.read(corpus)
    assert manifest.licence == "Apache-2.0"
    assert manifest.tasks["emotion"].labels == tuple(EMOTIONS)
    sides: dict[str | None, set[str | None]] = {}
    for row in manifest.rows:
        sides.setdefault(row.speaker, set()).add(row.split)
    assert all(len(parts) == 1 for parts in sides.values())
    assert sum(parts == {"test"} for parts in sides.values()) == 1


# -- again -----------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_films(corpus: Path, tmp_path: Path) -> None:
    again = synthetic.clips(tmp_path / "again", speakers=1, clips=1)
    other = synthetic.clips(tmp_path / "other", speakers=1, clips=1, seed=1)
    name = "clips/s00-c00.mp4"
    assert digest(again.parent / name) == digest(corpus.parent / name)
    assert digest(other.parent / name) != digest(corpus.parent / name)


def test_what_is_whole_is_kept_and_what_is_not_is_made_anew(tmp_path: Path) -> None:
    recipe = Recipe(speakers=1, films=2, seconds=0.5)
    first, second = recipe.takes()
    assert [take.id for take in synthetic.begin(tmp_path, recipe)] == [first.id, second.id]
    takes.film(tmp_path, first)
    half = tmp_path / "clips" / f"{second.id}.mp4{filmed.PART}"
    half.write_bytes(b"a film that was being written when the lights went out")
    assert synthetic.begin(tmp_path, recipe) == [second]
    takes.film(tmp_path, second)
    assert not half.exists()
    assert len(decoded(tmp_path / "clips" / f"{second.id}.mp4")[0]) == 12
    before = (tmp_path / "clips" / f"{first.id}.mp4").stat().st_mtime_ns
    more = dataclasses.replace(recipe, films=3)
    assert [take.number for take in synthetic.begin(tmp_path, more)] == [2]
    assert (tmp_path / "clips" / f"{first.id}.mp4").stat().st_mtime_ns == before


def test_films_of_another_recipe_are_not_mixed_in(tmp_path: Path) -> None:
    synthetic.begin(tmp_path, Recipe(seed=1))
    for other in (Recipe(seed=2), Recipe(seed=1, seconds=3.0), Recipe.of("long", seed=1)):
        with pytest.raises(DataError, match="made otherwise"):
            synthetic.begin(tmp_path, other)
    (tmp_path / "made.json").write_text("[")
    with pytest.raises(DataError, match="unknown"):
        synthetic.begin(tmp_path, Recipe(seed=1))


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "clip"},
        {"speakers": 0},
        {"films": 0},
        {"seed": -1},
        {"seconds": 0.1},
        {"seconds": float("nan")},
        {"kind": "dialogues", "speakers": 3},
    ],
)
def test_recipes_that_make_no_corpus_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Recipe(**given)


# -- the design ------------------------------------------------------------------------------------


def test_each_display_and_each_delivery_serves_two_emotions_that_the_other_tells_apart() -> None:
    pairs = [(e.display, e.delivery) for e in EMOTIONS.values()]
    assert len(set(pairs)) == 8
    for side in (0, 1):
        names = [pair[side] for pair in pairs]
        assert {names.count(name) for name in names} == {2}
    assert {e.display for e in EMOTIONS.values()} == set(acted.DISPLAYS) == set(talks.MOODS)


def test_a_display_is_at_its_height_in_the_middle_of_a_clip() -> None:
    for seed in range(5):
        shown = acted.course("sad", 50, 25, np.random.default_rng(seed), strength=0.8).sum(axis=1)
        assert shown[0] == 0
        assert shown.max() == pytest.approx(0.8)
        assert 0.3 < (shown > 0.4).mean() < 0.85


# -- long films and dialogues ----------------------------------------------------------------------


def test_long_films_change_and_say_when_nobody_is_there() -> None:
    shots = [takes.staged(take(None, seconds=60.0, number=n)) for n in range(3)]
    for shot in shots:
        course = shot.acting.course
        assert len(np.unique(course.argmax(axis=1)[course.sum(axis=1) > 0.5])) >= 4
        assert np.abs(np.diff(shot.acting.valence)).max() < 0.2  # smooth
        assert course.sum(axis=1).max() <= 1 + 1e-9
    visible = np.concatenate([shot.visible for shot in shots])
    speaking = np.concatenate([shot.speaking for shot in shots])
    assert 0.7 < visible.mean() < 1
    assert 0.4 < speaking.mean() < 0.95
    yaw = np.concatenate([shot.pose.yaw for shot in shots])
    assert np.abs(yaw[visible]).max() < takes.TURNED


def test_truth_of_a_hidden_face_is_left_out(tmp_path: Path) -> None:
    for number in range(20):
        what = take(None, seconds=12.0, number=number, id=f"l{number}")
        shot = takes.staged(what)
        if not shot.visible.all():
            break
    (tmp_path / "tracks").mkdir()
    (tmp_path / "clips").mkdir()
    takes.film(tmp_path, what)
    with (tmp_path / "tracks" / f"{what.id}.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 12 * FPS
    for line, seen in zip(lines, shot.visible, strict=True):
        assert (line["AU1"] != "") == (line["expression"] != "") == bool(seen)
        assert line["valence"] != ""
    gone = int(np.flatnonzero(~shot.visible)[len(np.flatnonzero(~shot.visible)) // 2])
    pictures, _ = decoded(tmp_path / "clips" / f"{what.id}.mp4")
    assert not open_detector("haar").detect([pictures[gone]])[0]


# -- planted ---------------------------------------------------------------------------------------


def planted(carried_by: Literal["face", "voice", "both"]) -> takes.Shot:
    moment = Planted(carried_by=carried_by, start=2.0, end=4.0)
    return takes.staged(take("happy", seconds=6.0, planted=moment))


def test_an_emotion_is_planted_where_it_is_said_to_be() -> None:
    def lively(shot: takes.Shot, first: float, last: float) -> float:
        """How far pitch moves: what is lively moves it most."""
        part = slice(round(first * uttered.CONTROL), round(last * uttered.CONTROL))
        return float(np.log2(shot.uttering.pitch[part]).std())

    face, voice, both = planted("face"), planted("voice"), planted("both")
    for shot in (face, both):
        smile = shot.acting.course[:, 0]
        assert smile[: 2 * FPS].max() == smile[4 * FPS :].max() == 0
        assert smile[3 * FPS] > 0.8
    assert not voice.acting.course.any(), "the face is at rest"
    for shot in (voice, both):
        assert lively(shot, 2.0, 4.0) > 1.5 * max(lively(shot, 0.2, 2.0), lively(shot, 4.0, 5.8))
    assert lively(face, 2.0, 4.0) < 0.6 * lively(both, 2.0, 4.0)


def test_planted_films_say_who_carries_what_and_when() -> None:
    recipe = Recipe.of("planted", speakers=2)
    made = recipe.takes()
    assert len(made) == 24
    kinds = {(t.emotion, t.planted.carried_by) for t in made if t.planted is not None}
    assert len(kinds) == 12, "each emotion with each carrier"
    for held in made:
        assert held.planted is not None
        assert 0 < held.planted.start < held.planted.end < 6.0
    shows = {e: (EMOTIONS[e].display, EMOTIONS[e].delivery) for e in synthetic.PLAIN.labels}
    assert len({d for d, _ in shows.values()}) == len({d for _, d in shows.values()}) == 4


def test_vectors_stand_out_where_it_was_planted_and_nowhere_else(tmp_path: Path) -> None:
    manifest = Manifest.read(synthetic.moments(tmp_path, speakers=1, clips=12))
    for row in manifest.rows:
        first, last = (round(10 * float(row.groups[f"moment_{end}"])) for end in ("start", "end"))
        carriers = {"face": {"video"}, "voice": {"audio"}, "both": {"audio", "video"}}
        for name in ("audio", "video"):
            vectors = np.load(tmp_path / str(row.features[name]))
            assert len(vectors) == 60
            rest = np.concatenate([vectors[:first], vectors[last:]])
            away = float(np.linalg.norm(vectors[first:last].mean(0) - rest.mean(0)))
            assert (away > 4) == (name in carriers[str(row.groups["carried_by"])])


def test_a_manifest_says_where_it_was_planted(tmp_path: Path) -> None:
    recipe = Recipe(kind="planted", speakers=1, films=1, seconds=1.0)
    for held in synthetic.begin(tmp_path, recipe):
        takes.film(tmp_path, held)
    (row,) = Manifest.read(synthetic.finish(tmp_path, recipe)).rows
    assert row.groups["carried_by"] == "face"
    assert 0 < float(row.groups["moment_start"]) < float(row.groups["moment_end"]) < 1.0
    assert row.labels == {"emotion": "happy"}


def test_dialogues_take_turns_and_answer(tmp_path: Path) -> None:
    turns = talks.turns(8, 12, seed=0)
    by_dialogue: dict[str, list[talks.Turn]] = {}
    for turn in turns:
        by_dialogue.setdefault(turn.dialogue, []).append(turn)
    assert len(by_dialogue) == 4 * 12
    answered = total = 0
    for found in by_dialogue.values():
        assert [turn.number for turn in found] == list(range(len(found)))
        assert talks.TURNS[0] <= len(found) <= talks.TURNS[1]
        speakers = [turn.take.speaker for turn in found]
        assert len(set(speakers)) == 2
        assert all(a != b for a, b in pairwise(speakers))
        for one, two in pairwise(turn.take.emotion or "" for turn in found):
            answered += talks.ANSWERS[one] == two
            total += 1
    assert answered / total == pytest.approx(0.6 + 0.4 / 8, abs=0.06)
    assert sorted(talks.ANSWERS) == sorted(talks.ANSWERS.values()) == sorted(EMOTIONS)
    felt = [turn.take.emotion for turn in turns]
    assert min(felt.count(name) for name in EMOTIONS) > 0.6 * len(felt) / 8


def test_manifests_of_dialogues_are_sorted_and_apart(tmp_path: Path) -> None:
    recipe = Recipe.of("dialogues", speakers=4, films=1)
    synthetic.begin(tmp_path, recipe)
    for one in recipe.takes()[:1]:
        takes.film(tmp_path, one)
    manifest = Manifest.read(synthetic.finish(tmp_path, recipe))
    order = [(row.dialogue, row.turn) for row in manifest.rows]
    assert order == sorted(order, key=str)
    assert {row.split for row in manifest.rows} == {"train", "test"}
    assert all(row.text for row in manifest.rows)
    sides = {(row.dialogue, row.split) for row in manifest.rows}
    assert len(sides) == 2
    path = manifest.place.find(str(manifest.rows[0].video))
    words = len(str(manifest.rows[0].text).split())
    assert 0.3 * words / 4 < len(decoded(path)[0]) / FPS < words


def test_what_was_made_is_noted(corpus: Path) -> None:
    noted = json.loads((corpus.parent / "made.json").read_text())
    assert noted == {"version": synthetic.VERSION, "kind": "clips", "seed": 0, "seconds": 2.0}
