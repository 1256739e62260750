"""Pictures at known times: from films of many kinds, single images, and folders with gaps."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import films
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data import frames
from mien.data.frames import Frame, recorded, sampled
from mien.data.media import Damage, Limits, probe
from mien.errors import DataError

CLIPS = Path(__file__).parents[2] / ".." / "shared" / "data" / "clips"


def numbers(found: list[Frame]) -> list[int | None]:
    return [None if frame.pixels is None else films.number(frame.pixels) for frame in found]


def same(a: list[Frame], b: list[Frame]) -> bool:
    """Whether frames have the same pixels at the same times."""
    return len(a) == len(b) and all(
        abs(x.time - y.time) < 1e-9
        and (
            x.pixels is y.pixels
            or (x.pixels is not None and y.pixels is not None and (x.pixels == y.pixels).all())
        )
        for x, y in zip(a, b, strict=True)
    )


# -- films -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.mp4", {"options": {"bf": "3", "g": "12"}}),
        ("h264.mkv", {}),
        ("h264.ts", {}),
        ("hevc.mov", {"codec": "libx265"}),
        ("ten_bits.mkv", {"codec": "libx265", "pixel_format": "yuv420p10le"}),
        ("vp8.webm", {"codec": "libvpx"}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("mpeg2.mpg", {"codec": "mpeg2video"}),
        ("flash.flv", {"codec": "flv"}),
        ("windows.wmv", {"codec": "wmv2"}),
        ("odd.mkv", {"codec": "ffv1", "size": (63, 47)}),
        ("full_range.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
        ("grey.mkv", {"codec": "ffv1", "pixel_format": "gray"}),
        ("alpha.mov", {"codec": "qtrle", "pixel_format": "argb"}),
        ("palette.gif", {"codec": "gif", "pixel_format": "rgb8"}),
        ("raw.y4m", {"codec": "wrapped_avframe"}),
        ("no_clock.h264", {}),
    ],
)
def test_every_frame_of_every_kind(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path, damage = films.film(tmp_path / name, **options), Damage()
    found = list(recorded(path, damage=damage))
    assert numbers(found) == list(range(25))
    steps = [frame.time - found[0].time for frame in found]
    assert steps == pytest.approx([k / 25 for k in range(25)], abs=1e-3)
    assert found[0].time == pytest.approx(0, abs=1e-3)
    assert not damage
    width, height = options.get("size", (64, 48))
    for frame in found:
        assert frame.pixels is not None
        assert frame.pixels.shape == (height, width, 3)
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("limited.mp4", {}),
        ("full.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
        ("alpha.mov", {"codec": "qtrle", "pixel_format": "argb"}),
        ("ten_bits.mkv", {"codec": "libx265", "pixel_format": "yuv420p10le"}),
    ],
)
def test_colours_are_the_same_in_every_kind(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = films.film(tmp_path / name, seconds=0.2, **options)
    pixels = next(recorded(path)).pixels
    assert pixels is not None
    drawn = films.picture_of(0)
    for part in (np.s_[4:12, 8:24], np.s_[38:46, 8:56], np.s_[20:28, 8:56]):
        assert np.abs(pixels[part].mean((0, 1)) - drawn[part].mean((0, 1))).max() < 8


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pictures_are_upright(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    def stored(index: int, time: float) -> films.Pixels:  # turned back, as a camera holds it
        upright = films.picture_of(index, (96, 48))
        upright = upright[:, ::-1] if mirrored else upright
        return np.rot90(upright, rotation // 90)  # counterclockwise

    path = films.film(
        tmp_path / "turned.mp4",
        seconds=0.4,
        size=(96, 48) if rotation % 180 == 0 else (48, 96),
        draw=stored,
        rotation=rotation,
        mirrored=mirrored,
    )
    found = list(recorded(path))
    assert numbers(found) == list(range(10))
    pixels = found[0].pixels
    assert pixels is not None
    assert pixels.shape == (48, 96, 3)
    red, blue = pixels[4:12, 8:40].mean((0, 1)), pixels[38:46].mean((0, 1))
    assert red[0] > 180 > red[2]
    assert blue[2] > 180 > blue[0]
    video = probe(path).video
    assert video is not None
    assert (video.width, video.height) == (96, 48)
    assert mirrored or video.rotation == rotation


def test_pixels_become_square(tmp_path: Path) -> None:
    wide = films.film(tmp_path / "wide.mp4", seconds=0.2, aspect=Fraction(3, 2))
    assert next(recorded(wide)).pixels.shape == (48, 96, 3)  # type: ignore[union-attr]
    nonsense = films.film(tmp_path / "nonsense.mp4", seconds=0.2, aspect=Fraction(50))
    assert next(recorded(nonsense)).pixels.shape == (48, 64, 3)  # type: ignore[union-attr]


def test_a_frame_is_shown_until_the_next(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.5, 0.501, 1.0]
    path = films.film(tmp_path / "uneven.mp4", times=times)
    found = list(recorded(path))
    assert [frame.time for frame in found] == pytest.approx(times, abs=1e-4)
    grid = list(sampled(path, 10, end=1.05))
    assert [frame.time for frame in grid] == pytest.approx([k / 10 for k in range(11)])
    # 0.501 is within a millisecond of 0.5.
    assert numbers(grid) == [0, 1, 1, 1, 1, 3, 3, 3, 3, 3, 4]
    assert grid[1].pixels is grid[2].pixels is grid[4].pixels
    assert grid[4].pixels is not grid[5].pixels


def test_a_frame_is_not_held_for_ever(tmp_path: Path) -> None:
    path = films.film(tmp_path / "pause.mkv", times=[0.0, 0.1, 14.1, 14.2])
    grid = list(sampled(path, 2))
    assert numbers(grid) == [0] + [1] * 20 + [None] * 8
    short = list(sampled(path, 2, limits=Limits(held=3)))
    assert numbers(short) == [0] + [1] * 6 + [None] * 22


def test_nothing_is_shown_before_and_after(tmp_path: Path) -> None:
    path = films.film(tmp_path / "late.mp4", video_start=0.5, audio=films.tone(3))
    grid = list(sampled(path, 10, end=2.0))
    assert numbers(grid)[:5] == [None] * 5
    assert numbers(grid)[5:15] == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]
    assert numbers(grid)[15:] == [None] * 5
    assert len(list(sampled(path, 10))) == 15  # the picture ends before the sound


def test_positions_lie_on_the_grid(tmp_path: Path) -> None:
    path = films.film(tmp_path / "a.mp4", fps=30000 / 1001, seconds=1.001)
    found = list(sampled(path, 30000 / 1001))
    assert numbers(found) == list(range(30))
    assert [frame.time for frame in found] == pytest.approx([k * 1001 / 30000 for k in range(30)])
    assert len(list(sampled(path, 7.3, start=0.2, end=0.9))) == 6
    assert list(sampled(path, 25, start=5)) == []
    assert numbers(list(sampled(path, 25, start=5, end=5.1))) == [None] * 3


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[Frame]]]:
    """Six seconds with few key frames and many frames that lean on later ones."""
    folder, found = tmp_path_factory.mktemp("long"), {}
    for name in ("a.mp4", "a.mkv", "a.ts"):
        options = {"bf": "3", "g": "40", "x264-params": "open-gop=1"}
        path = films.film(folder / name, seconds=6, options=options, audio=films.tone(6))
        found[name] = path, list(recorded(path))
    return found


@settings(max_examples=15, deadline=None)
@given(data=st.data(), name=st.sampled_from(["a.mp4", "a.mkv", "a.ts"]))
def test_parts_are_what_the_whole_has_there(
    long_film: dict[str, tuple[Path, list[Frame]]], data: st.DataObject, name: str
) -> None:
    path, whole = long_film[name]
    assert len(whole) == 150
    start = data.draw(st.floats(0, 6))
    end = data.draw(st.floats(start, 6.5))
    part = list(recorded(path, start=start, end=end))
    assert same(part, [f for f in whole if start - 1e-3 <= f.time < end - 1e-3])
    after = list(recorded(path, start=end))
    assert same(part + after, [f for f in whole if f.time >= start - 1e-3])
    grid = list(sampled(path, 10, start=start, end=end))
    for frame in grid:
        shown = [f for f in whole if f.time <= frame.time + 1e-3]
        if shown and frame.time < whole[-1].time + 0.038:
            assert same([frame], [Frame(frame.time, shown[-1].pixels)])


def test_only_what_is_asked_for_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = []
    convert = frames._Converter.__call__

    def counted(self: frames._Converter, frame: av.VideoFrame) -> frames.Pixels:
        converted.append(frame)
        return convert(self, frame)

    monkeypatch.setattr(frames._Converter, "__call__", counted)
    path = films.film(tmp_path / "a.mp4", seconds=4)
    assert len(list(sampled(path, 5, start=1, end=3))) == 10
    assert len(converted) == 10


def test_a_picture_that_changes_its_size_keeps_the_first(tmp_path: Path) -> None:
    small = films.film(tmp_path / "small.ts", size=(32, 32)).read_bytes()
    large = films.film(tmp_path / "large.ts").read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(large + small)
    damage = Damage()
    found = list(recorded(path, damage=damage))
    assert {f.pixels.shape for f in found if f.pixels is not None} == {(48, 64, 3)}
    assert len(found) == 50
    assert all(a.time < b.time for a, b in itertools.pairwise(found))
    assert damage.times == 1  # the second recording began at zero again
    path.write_bytes(small + large)
    with pytest.raises(DataError, match="64 x 48 is too large"):
        list(recorded(path, limits=Limits(pixels=40 * 40)))


def test_lies_about_time_are_set_right(tmp_path: Path) -> None:
    good = films.film(tmp_path / "good.mkv", codec="mjpeg", pixel_format="yuvj420p")

    def lie(kind: str, index: int, packet: Any) -> Any:
        if index == 10:
            packet.pts += 3000  # milliseconds
        return packet

    path, damage = films.remuxed(tmp_path / "lying.mkv", good, lie), Damage()
    found = list(recorded(path, damage=damage))
    assert numbers(found) == list(range(25))
    assert [f.time for f in found] == pytest.approx([k / 25 for k in range(25)], abs=2e-3)
    assert damage.times == 1


def test_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    good = films.film(tmp_path / "good.mkv", codec="ffv1", options={"g": "1"})
    path = films.remuxed(
        tmp_path / "bad.mkv",
        good,
        lambda kind, index, packet: films.spoiled(packet) if index in (7, 8) else packet,
    )
    damage = Damage()
    found = list(recorded(path, damage=damage))
    kept = {7, 8} ^ set(range(25))
    assert {n for n in numbers(found) if n is not None} >= kept
    assert damage.packets + damage.frames == 2
    for frame, index in zip(found, numbers(found), strict=True):
        if index in kept:
            assert frame.time == pytest.approx(index / 25, abs=2e-3)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "fast.mp4"])
def test_a_file_cut_short_yields_its_beginning(tmp_path: Path, name: str) -> None:
    index_first = {"movflags": "faststart"} if name.endswith("mp4") else None
    path = films.film(tmp_path / name, seconds=2, size=(320, 240), format_options=index_first)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found = numbers(list(recorded(path)))
    assert 5 < len(found) < 45
    assert found[: len(found) - 4] == list(range(len(found) - 4))


def test_what_cannot_be_decoded_at_all_is_an_error(tmp_path: Path) -> None:
    good = films.film(tmp_path / "good.mkv", codec="ffv1")
    path = films.remuxed(tmp_path / "bad.mkv", good, lambda *args: films.spoiled(args[2]))
    with pytest.raises(DataError, match="nothing of the picture") as error:
        list(recorded(path))
    assert error.value.where == str(path)
    with pytest.raises(DataError, match="nothing"):
        list(sampled(path, 5, limits=Limits(barren=3)))
    sound = films.wav(tmp_path / "a.wav", films.tone(1))
    with pytest.raises(DataError, match="only sound"):
        list(recorded(sound))
    with pytest.raises(DataError, match="longer than"):
        list(recorded(good, limits=Limits(seconds=0.5)))


@pytest.mark.parametrize(("start", "end"), [(-1.0, None), (2.0, 1.0), (float("nan"), None)])
def test_spans_and_rates_are_checked_at_once(start: float, end: float | None) -> None:
    with pytest.raises(DataError, match="no span"):
        recorded(Path("a.mp4"), start=start, end=end)
    for fps in (0.0, -1.0, float("inf"), 1e9):
        with pytest.raises(DataError, match="no frame rate"):
            sampled(Path("a.mp4"), fps)


# -- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_a_single_image_is_shown_at_zero(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    cv2.imwrite(str(path), films.picture_of(77)[..., ::-1])
    assert numbers(list(recorded(path))) == [77]
    assert numbers(list(sampled(path, 50))) == [77]
    assert numbers(list(sampled(path, 10, end=0.3))) == [77, None, None]
    assert list(sampled(path, 10, start=0.1)) == []
    with pytest.raises(DataError, match="64 x 48 is too large"):
        list(recorded(path, limits=Limits(pixels=1000)))
    path.write_bytes(path.read_bytes()[:24])
    with pytest.raises(DataError, match="image"):
        list(recorded(path))


def folder(path: Path, indices: list[int], name: str = "frame_{:04d}.png") -> Path:
    path.mkdir()
    for index in indices:
        picture = films.picture_of(index % 256)
        cv2.imwrite(str(path / name.format(index)), picture[..., ::-1])
    return path


def test_gaps_of_a_folder_are_absences(tmp_path: Path) -> None:
    images = folder(tmp_path / "clip2", [1, 2, 5, 6])
    (images / "notes.txt").write_text("7")
    (images / "cover.png").write_bytes(b"no number")
    found = list(sampled(images, 10, folder_fps=10))
    assert numbers(found) == [1, 2, None, None, 5, 6]
    twice = list(sampled(images, 20, folder_fps=10))
    assert numbers(twice) == [1, 1, 2, 2, None, None, None, None, 5, 5, 6, 6]
    assert twice[0].pixels is twice[1].pixels
    part = list(sampled(images, 10, start=0.4, end=0.8, folder_fps=10))
    assert numbers(part) == [5, 6, None, None]
    assert [frame.time for frame in part] == pytest.approx([0.4, 0.5, 0.6, 0.7])


def test_a_folder_counts_from_zero_if_there_is_one(tmp_path: Path) -> None:
    images = folder(tmp_path / "zero", [0, 1, 3], "take7_{}.jpg")
    assert numbers(list(sampled(images, 5, folder_fps=5))) == [0, 1, None, 3]
    late = folder(tmp_path / "late", [3, 4])
    assert numbers(list(sampled(late, 5, folder_fps=5))) == [None, None, 3, 4]


def test_images_of_a_folder_may_differ_and_be_broken(tmp_path: Path) -> None:
    images = folder(tmp_path / "odd", [1, 2, 4])
    cv2.imwrite(str(images / "0003.jpg"), np.zeros((10, 20), np.uint8))  # grey, smaller
    (images / "frame_0002.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    damage = Damage()
    found = list(sampled(images, 1, folder_fps=1, damage=damage))
    shapes = [None if f.pixels is None else f.pixels.shape for f in found]
    assert shapes == [(48, 64, 3), None, (10, 20, 3), (48, 64, 3)]
    assert damage == Damage(frames=1)
    for path in images.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="none of these images"):
        list(sampled(images, 1, folder_fps=1))


def test_folders_are_refused_with_a_reason(tmp_path: Path) -> None:
    images = folder(tmp_path / "images", [1, 2])
    with pytest.raises(DataError, match="no frame rate of its own"):
        sampled(images, 5)
    with pytest.raises(DataError, match="a folder"):
        list(recorded(images))
    cv2.imwrite(str(images / "1.bmp"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="the same number"):
        list(sampled(images, 5, folder_fps=5))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no numbered images"):
        list(sampled(tmp_path / "empty", 5, folder_fps=5))
    dates = folder(tmp_path / "dates", [20240131])
    with pytest.raises(DataError, match="beyond 24 hours"):
        list(sampled(dates, 5, folder_fps=5))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes")
def test_a_pipe_among_images_is_not_waited_for(tmp_path: Path) -> None:
    images = folder(tmp_path / "images", [1])
    os.mkfifo(images / "2.png")
    assert numbers(list(sampled(images, 1, folder_fps=1))) == [1, None]


# -- real films ------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="there is no ffprobe to compare with")
@pytest.mark.parametrize(
    "name",
    [
        "crowd_1080p.mp4",
        "face_then_no_face.mov",
        "pexels_talking_head.mp4",
        "ravdess_01-01-01-01-01-01-01.mp4",
    ],
)
def test_real_films_have_the_times_of_ffprobe(name: str) -> None:
    path = CLIPS / name
    entries = "frame=pts_time:format=start_time:stream=width,height,duration"
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_frames",
        "-show_entries",
        entries,
    ]
    told = json.loads(subprocess.check_output([*command, "-of", "json", str(path)]))
    zero = float(told["format"]["start_time"])
    times = [float(frame["pts_time"]) - zero for frame in told["frames"]]
    found = [frame.time for frame in recorded(path)]
    assert found == pytest.approx(times, abs=1e-3)
    video = probe(path).video
    assert video is not None
    stream = told["streams"][0]
    assert (video.width, video.height) == (stream["width"], stream["height"])  # none is turned
    assert video.rotation == 0
    assert video.duration == pytest.approx(float(stream["duration"]), abs=1e-3)
    middle = times[len(times) // 2]
    assert [f.time for f in recorded(path, start=middle)] == found[len(times) // 2 :]
