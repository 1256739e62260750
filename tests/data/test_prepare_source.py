"""One recording to one shard: what is kept, at which times, and what is absent."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import films
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.data import prepare
from mien.data.crops import CropRecipe
from mien.data.faces import Detector, Face
from mien.data.prepare import Job, Recipe, Report, prepare_source, work
from mien.data.recordings import MARGIN, Recording, digest, merged, state
from mien.data.shards import FRAME, Shard, Span
from mien.errors import ConfigError, DataError

Pixels = NDArray[np.uint8]

SIDE = 64
WHOLE = Recipe(faces="none", crop=CropRecipe(size=SIDE))
FACES = Recipe(crop=CropRecipe(size=32), every=3)
ALL: list[Span] = [(0.0, None)]


class Squares(Detector):
    """Takes bright squares for faces: whatever is coloured, a square for each pure colour."""

    name, note, has_points = "squares-1", "for tests", False

    def __init__(self) -> None:
        super().__init__(None)
        self.settings = {}

    def detect(self, frames: Sequence[Pixels]) -> list[list[Face]]:
        return [self._seen(frame) for frame in frames]

    def _rows(self, pixels: Pixels) -> NDArray[np.float32]:
        raise NotImplementedError

    def _seen(self, pixels: Pixels) -> list[Face]:
        found = []
        for colour in range(3):
            others = pixels[..., [c for c in range(3) if c != colour]].max(axis=-1)
            mask = (pixels[..., colour] > 150) & (others < 100)
            if mask.sum() > 50:
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                box = (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)
                left, top, width, height = map(float, box)
                found.append(Face((left, top, width, height), 0.9))
        return sorted(found, key=lambda face: -face.area)


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_detector", lambda *_: Squares())


def scene(index: int, _: float) -> Pixels:
    """Red from the start, left; blue from 1 s on, right; green for two frames at 2 s."""
    pixels = np.full((96, 128, 3), 40, np.uint8)
    pixels[20 : 20 + 40, 10 + index % 5 : 50 + index % 5] = (230, 20, 20)
    if index >= 25:
        pixels[50:80, 80:110] = (20, 20, 230)
    if index in (50, 51):
        pixels[4:24, 100:120] = (20, 230, 20)
    return pixels


def prepared(
    tmp_path: Path, recording: Recording, recipe: Recipe = WHOLE, spans: Sequence[Span] = ALL
) -> tuple[Shard, Report]:
    out = tmp_path / "out" / "a.shard"
    report = work(recipe, Job(recording, tuple(spans), out))
    shard = Shard.open(out)
    shard.verify()
    assert report.size == out.stat().st_size
    assert [file.name for file in out.parent.iterdir()] == ["a.shard"]
    return shard, report


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds at 25 a second whose pictures say which they are, and a rising tone."""
    time = np.arange(5 * 16_000) / 16_000
    sound = 0.4 * np.sin(2 * np.pi * (200 + 100 * time) * time)
    path = tmp_path_factory.mktemp("films") / "talk.mkv"
    return films.film(path, seconds=5, size=(SIDE, SIDE), audio=sound, audio_codec="pcm_s16le")


# -- pictures and sound at their times -------------------------------------------------------------


@pytest.mark.parametrize("fps", [25.0, 10.0, 30.0])
def test_a_position_shows_what_is_shown_at_its_time(tmp_path: Path, talk: Path, fps: float) -> None:
    recipe = dataclasses.replace(WHOLE, fps=fps)
    shard, report = prepared(tmp_path, Recording.of(talk), recipe)
    clip = shard.clip(FRAME)
    assert clip.mask.all()
    assert len(clip) == pytest.approx(5 * fps, abs=1)
    shown = [films.number(crop) for crop in clip.frames()]
    assert shown == [math.floor(time * 25 + 0.03) for time in clip.times]
    np.testing.assert_array_equal(clip.boxes[0], [0, 0, SIDE, SIDE])
    assert (report.people, report.pictures) == (1, len(clip))
    assert report.looked == pytest.approx(5, abs=0.1)


def test_spans_lie_on_the_clock_of_the_source(tmp_path: Path, talk: Path) -> None:
    spans = merged([(1.5, 1.7), (4.6, 4.9)], 25.0, margin=0.2)
    shard, report = prepared(tmp_path, Recording.of(talk), spans=spans)
    assert len(spans) == 2
    assert report.looked == pytest.approx(0.6 + 0.6, abs=0.1)
    for start, end in ((1.5, 1.7), (4.6, 4.9)):
        clip = shard.clip(FRAME, start, end)
        assert [films.number(crop) for crop in clip.frames()] == clip.positions.tolist()
        assert start <= clip.times[0] < start + 0.04
        assert end - 0.04 - 1e-9 <= clip.times[-1] < end


def test_sound_lies_on_the_clock_of_the_source(tmp_path: Path, talk: Path) -> None:
    whole, _ = prepared(tmp_path / "whole", Recording.of(talk))
    samples, there = whole.wave()
    assert there.all()
    time = np.arange(len(samples)) / 16_000
    expected = 0.4 * np.sin(2 * np.pi * (200 + 100 * time) * time)
    np.testing.assert_allclose(samples, expected, atol=2e-3)
    part, report = prepared(tmp_path / "part", Recording.of(talk), spans=[(3.0, 4.0)])
    heard, mask = part.wave(3.0, 4.0)
    assert mask.all()
    np.testing.assert_allclose(heard, samples[48_000:64_000], atol=2e-3)
    assert report.heard == 1.0


def test_a_row_that_claims_to_end_in_a_thousand_years_ends_with_its_source(
    tmp_path: Path, talk: Path
) -> None:
    shard, report = prepared(tmp_path, Recording.of(talk), spans=merged([(4.0, 1e9)], 25.0))
    assert report.looked == pytest.approx(2, abs=0.1)
    assert len(shard.clip(FRAME, 4.0, 1e9)) == 25
    assert len(shard.wave(4.0, 1e9)[0]) == 16_000
    after, report = prepared(tmp_path / "after", Recording.of(talk), spans=[(60.0, 70.0)])
    assert not after.tracks
    assert not after.hears(60.0, 70.0)
    assert (report.pictures, report.heard) == (0, 0)


def test_what_stays_is_written_once(tmp_path: Path) -> None:
    still = films.film(tmp_path / "a.mp4", seconds=1, fps=2, size=(SIDE, SIDE), codec="mpeg4")
    shard, _ = prepared(tmp_path, Recording.of(still))
    assert len(shard.tracks[FRAME]) == 25
    assert len(set(shard.tracks[FRAME].blobs.tolist())) == 2


# -- what is absent --------------------------------------------------------------------------------


def test_a_picture_without_sound_and_a_sound_without_picture(tmp_path: Path) -> None:
    silent = films.film(tmp_path / "silent.mp4", size=(SIDE, SIDE))
    shard, report = prepared(tmp_path / "silent", Recording.of(silent))
    assert len(shard.clip(FRAME)) == 25
    assert not shard.hears()
    assert report.heard == 0
    spoken = films.wav(tmp_path / "a.wav", films.tone(1.0))
    for recording in (Recording.of(audio=spoken), Recording.of(spoken)):
        shard, report = prepared(tmp_path / "spoken", recording)
        assert not shard.tracks
        assert shard.facts["width"] is None
        assert report.heard == pytest.approx(1.0)


def test_a_sound_of_its_own_takes_the_place_of_the_films(tmp_path: Path, talk: Path) -> None:
    other = films.wav(tmp_path / "other.wav", films.tone(2.0, hertz=1000))
    shard, _ = prepared(tmp_path, Recording.of(talk, other))
    samples, there = shard.wave()
    np.testing.assert_allclose(samples, films.tone(2.0, hertz=1000), atol=2e-3)
    assert there.all()
    mute = films.film(tmp_path / "mute.mp4", size=(SIDE, SIDE))
    shard, report = prepared(tmp_path, Recording.of(talk, mute))
    assert not shard.hears()
    assert "there is no sound in mute.mp4" in report.notes


def test_a_folder_with_gaps_is_absent_there(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 2, 3, 4, 9, 10):
        image = films.picture_of(number, (SIDE, SIDE))
        cv2.imwrite(str(folder / f"{number:03}.png"), image[..., ::-1])
    recording = Recording.of(folder, fps=5.0)
    shard, _ = prepared(tmp_path, recording, dataclasses.replace(WHOLE, fps=10.0))
    clip = shard.clip(FRAME)
    shown = np.zeros(len(clip), int)
    shown[clip.mask] = [films.number(crop) for crop in clip.frames(np.flatnonzero(clip.mask))]
    assert shown.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, *[0] * 8, 9, 9, 10, 10]
    assert shard.facts["damage"]["dark"] == 8


# -- people ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("squares")
def test_everyone_who_is_seen_long_enough_is_kept(tmp_path: Path) -> None:
    film = films.film(tmp_path / "a.mp4", seconds=3, size=(128, 96), draw=scene)
    shard, report = prepared(tmp_path, Recording.of(film), FACES)
    assert list(shard.tracks)[:2] == ["face-1", "face-2"]
    assert len(shard.tracks) == report.people == 2  # who is green was a flicker
    red, blue = shard.clip("face-1"), shard.clip("face-2")
    assert red.mask.all()
    assert not blue.mask[:20].any()
    assert blue.mask[30:].all()
    for clip, colour in ((red, 0), (blue, 2)):
        crops = clip.frames(np.flatnonzero(clip.mask)[::7])
        middle = crops[:, 12:20, 12:20].mean((0, 1, 2))
        assert middle.argmax() == colour
        assert middle[colour] > 150
    np.testing.assert_allclose(red.boxes[:5], [[10 + k, 20, 40, 40] for k in range(5)], atol=5)
    assert (shard.facts["width"], shard.facts["height"]) == (128, 96)
    assert shard.facts["detector"] == "squares-1"
    assert shard.tracks["face-1"].detected.sum() >= 75 // FACES.every


@pytest.mark.usefixtures("squares")
def test_people_of_a_later_span_count_on(tmp_path: Path) -> None:
    film = films.film(tmp_path / "a.mp4", seconds=5, size=(128, 96), draw=scene)
    shard, report = prepared(
        tmp_path, Recording.of(film), FACES, spans=[(0.0, 0.6), (3.0, 3.6), (4.0, 4.08)]
    )
    assert report.people == len(shard.tracks) == 5
    where = {name: shard.tracks[name].positions.tolist() for name in shard.tracks}
    assert where["face-1"] == list(range(15))
    assert where["face-2"] == where["face-3"] == list(range(75, 90))
    assert where["face-4"] == where["face-5"] == [100, 101]  # all there is of a short span


@pytest.mark.usefixtures("squares")
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    def peak(seconds: int) -> int:
        film = films.film(
            tmp_path / f"{seconds}.mp4",
            seconds=seconds,
            size=(128, 96),
            draw=scene,
            audio=films.tone(seconds),
        )
        tracemalloc.start()
        prepared(tmp_path, Recording.of(film), FACES)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(2)  # whatever is made once
    assert peak(24) < peak(6) + 2**20


# -- what is wrong ---------------------------------------------------------------------------------


def test_nothing_is_left_of_what_cannot_be_read(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(os.urandom(20_000))
    with pytest.raises(DataError, match="noise"):
        prepare_source(Recording.of(noise), ALL, WHOLE, tmp_path / "out" / "a.shard")
    assert not list((tmp_path / "out").glob("*"))


def test_damage_is_passed_over_and_told(tmp_path: Path, talk: Path) -> None:
    spoiled = films.remuxed(
        tmp_path / "spoiled.mkv",
        talk,
        lambda kind, index, packet: (
            films.spoiled(packet) if kind == "video" and 40 <= index < 60 else packet
        ),
    )
    shard, report = prepared(tmp_path, Recording.of(spoiled))
    assert report.notes
    assert sum(shard.facts["damage"].values()) > 0
    assert [films.number(crop) for crop in shard.frames(FRAME, range(30))] == list(range(30))


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path, talk: Path) -> None:
    copy = Path(shutil.copy(talk, tmp_path / "a.mkv"))
    recording = Recording.of(copy)
    with copy.open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match="changed"):
        prepare_source(recording, ALL, WHOLE, tmp_path / "out" / "a.shard")
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    "wrong", [{"faces": "both"}, {"fps": 0}, {"fps": math.nan}, {"every": 0}, {"quality": 101}]
)
def test_a_recipe_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        dataclasses.replace(WHOLE, **wrong)  # type: ignore[arg-type]


# -- addresses -------------------------------------------------------------------------------------


def test_the_same_source_makes_the_same_bytes(tmp_path: Path, talk: Path) -> None:
    one, _ = prepared(tmp_path / "one", Recording.of(talk))
    two, _ = prepared(tmp_path / "two", Recording.of(talk))
    assert one.path.read_bytes() == two.path.read_bytes()


@pytest.mark.usefixtures("squares")
def test_an_address_is_of_the_content_and_of_all_that_changes_it(
    tmp_path: Path, talk: Path
) -> None:
    def address(recording: Recording, recipe: Recipe = FACES, spans: Sequence[Span] = ALL) -> str:
        return recording.address(spans, recipe.to_dict())

    recording = Recording.of(talk)
    known = address(recording)
    assert known == address(Recording.of(Path(shutil.copy(talk, tmp_path / "copy.mkv"))))
    assert known == address(recording, dataclasses.replace(FACES, faces="all"))
    changed = [
        address(recording, dataclasses.replace(FACES, faces="none")),
        address(recording, dataclasses.replace(FACES, fps=30.0)),
        address(recording, dataclasses.replace(FACES, every=4)),
        address(recording, dataclasses.replace(FACES, crop=CropRecipe(size=64))),
        address(recording, spans=[(0.0, 3.0)]),
        address(Recording.of(talk, films.wav(tmp_path / "a.wav", films.tone(0.5)))),
        address(Recording.of(audio=talk)),
    ]
    assert len({known, *changed}) == 8
    assert FACES.digest() != WHOLE.digest()


def test_a_folder_is_known_by_its_numbers_and_images(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 2):
        cv2.imwrite(str(folder / f"{number}.png"), films.picture_of(number))
    known, before = digest(folder), state(folder)
    (folder / "notes.txt").write_text("not an image")
    assert (digest(folder), state(folder)) == (known, before)
    (folder / "2.png").rename(folder / "0003.png")
    assert digest(folder) != known
    assert state(folder) != before
    with pytest.raises(DataError, match="no such file"):
        digest(tmp_path / "gone.mp4")


# -- spans -----------------------------------------------------------------------------------------

SECONDS = st.floats(0, 10_000, allow_subnormal=False)
WANTED = st.lists(
    st.tuples(SECONDS, st.one_of(st.none(), st.floats(0.01, 500))).map(
        lambda pair: (pair[0], None if pair[1] is None else pair[0] + pair[1])
    ),
    max_size=12,
)


@given(wanted=WANTED, fps=st.sampled_from([25.0, 29.97, 10.0]))
@settings(deadline=None)
def test_merged_spans_hold_all_that_is_wanted_and_little_else(
    wanted: list[Span], fps: float
) -> None:
    found = merged(wanted, fps)
    for start, end in wanted:
        assert any(
            a <= max(0, start - MARGIN) + 1e-9
            and (b is None or (end is not None and b >= end + MARGIN - 1e-9))
            for a, b in found
        )
    for (_, before), (after, _) in pairwise(found):
        assert before is not None
        assert after > before
    for start, end in found:
        assert any(abs(start - max(0, s - MARGIN)) <= 1 / fps for s, _ in wanted)
        assert abs(start * fps - round(start * fps)) < 1e-6
        assert end is None or abs(end * fps - round(end * fps)) < 1e-6
    assert merged(wanted[::-1], fps) == found
    assert merged([(start, end) for start, end in found], fps, margin=0.0) == found
