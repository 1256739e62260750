"""What is in a media file: facts that hold, hostile files that are refused, clocks that run on."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import films
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.data.media import Damage, Limits, probe
from mien.data.streams import straightened
from mien.errors import DataError

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\ngood.ts\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet><Representation id="1" bandwidth="1"><BaseURL>good.mp4</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"


# -- facts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "container"),
    [
        ("film.mp4", {}, "mov"),
        ("film.mkv", {"codec": "libx265"}, "matroska"),
        ("film.webm", {"codec": "libvpx", "audio_codec": "libopus"}, "matroska"),
        ("film.avi", {"codec": "mpeg4", "audio_codec": "libmp3lame"}, "avi"),
        ("film.ts", {}, "mpegts"),
    ],
)
def test_facts_of_films(tmp_path: Path, name: str, options: dict[str, Any], container: str) -> None:
    path = films.film(
        tmp_path / name, seconds=2, audio=films.tone(2, 48_000), rate=48_000, **options
    )
    facts = probe(path)
    assert facts.format == container
    assert facts.video is not None
    assert facts.audio is not None
    assert (facts.video.width, facts.video.height, facts.video.rotation) == (64, 48, 0)
    assert facts.video.fps == 25
    assert (facts.audio.rate, facts.audio.channels) == (48_000, 1)
    assert facts.video.duration == pytest.approx(2, abs=0.05)
    assert facts.audio.duration == pytest.approx(2, abs=0.05)
    assert facts.duration == pytest.approx(2, abs=0.08)
    assert facts.notes == ()


def test_facts_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    turned = films.film(tmp_path / "turned.mov", seconds=0.2, rotation=90, aspect=Fraction(4, 3))
    video = probe(turned).video
    assert video is not None
    assert (video.width, video.height, video.rotation) == (48, 85, 90)  # 64 x 4/3 = 85


@pytest.mark.parametrize(("name", "start"), [("a.mp4", 0.5), ("a.mkv", 0.5)])
def test_streams_begin_on_one_clock(tmp_path: Path, name: str, start: float) -> None:
    path = films.film(tmp_path / name, video_start=start, audio=films.tone(2))
    facts = probe(path)
    assert facts.video is not None
    assert facts.audio is not None
    assert (facts.video.start, facts.audio.start) == (start, 0)
    assert facts.duration == pytest.approx(2, abs=0.08)


@pytest.mark.parametrize(
    ("name", "codec", "seconds"),
    [("a.mp3", "libmp3lame", 3), ("a.aac", "aac", 3), ("a.wav", "pcm_s24le", 3)],
)
def test_sound_alone(tmp_path: Path, name: str, codec: str, seconds: float) -> None:
    stereo = np.stack([films.tone(seconds, 44_100)] * 2)
    path = films.film(tmp_path / name, codec=None, audio=stereo, rate=44_100, audio_codec=codec)
    facts = probe(path)
    assert facts.video is None
    assert facts.audio is not None
    assert facts.audio.channels == 2
    assert facts.duration == pytest.approx(seconds, abs=0.06)


def test_length_is_measured_where_nothing_announces_it(tmp_path: Path) -> None:
    live = films.film(tmp_path / "a.webm", seconds=2, codec="libvpx", format_options={"live": "1"})
    with av.open(str(live)) as container:
        assert container.duration is None  # as browsers record
    assert probe(live).duration == pytest.approx(2, abs=0.01)
    raw = films.film(tmp_path / "a.h264", seconds=2)
    assert probe(raw).duration == pytest.approx(2, abs=0.01)


def test_a_cover_is_no_picture(tmp_path: Path) -> None:
    sound = films.film(
        tmp_path / "a.mp3", codec=None, audio=films.tone(1), audio_codec="libmp3lame"
    )
    image = cv2.imencode(".jpg", films.picture_of(1))[1].tobytes()
    cover = b"\x00image/jpeg\x00\x03\x00" + image  # an ID3v2.3 frame APIC, front cover
    frame = b"APIC" + len(cover).to_bytes(4, "big") + b"\x00\x00" + cover
    size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path = tmp_path / "covered.mp3"
    path.write_bytes(b"ID3\x03\x00\x00" + size + frame + sound.read_bytes())
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    facts = probe(path)
    assert facts.video is None
    assert facts.audio is not None
    assert facts.notes == ()


def test_a_picture_that_cannot_be_decoded_is_noted(tmp_path: Path) -> None:
    path = films.film(tmp_path / "a.mkv", audio=films.tone(1))
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/XXX"))
    facts = probe(path)
    assert facts.video is None
    assert facts.audio is not None
    assert facts.notes == ("the picture cannot be decoded",)


def test_an_image_is_a_film_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "photo 100%d [1].jpg"  # a name that FFmpeg would take for a pattern
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    facts = probe(path)
    assert facts.video is not None
    assert (facts.video.width, facts.video.height, facts.duration) == (30, 20, 0.04)
    assert facts.audio is None


def test_names_are_never_patterns_or_addresses(tmp_path: Path) -> None:
    good = films.film(tmp_path / "good.mp4", seconds=0.2)
    for name in ("a%03d.mp4", "http:b.mp4", "concat:c.mp4", "d|e.mp4", "f*.mp4", "ü ñ.mp4"):
        (tmp_path / name).write_bytes(good.read_bytes())
        assert probe(tmp_path / name).duration == pytest.approx(0.2)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http://example.org/a.mp4", "concat:a.mp4|b.mp4", "pipe:0"])
@pytest.mark.skipif(os.name != "posix", reason="a drive looks like an address")
def test_addresses_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="no addresses"):
        probe(Path(name))


def test_only_files_that_hold_something_are_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file") as missing:
        probe(tmp_path / "missing.mp4")
    assert missing.value.where == str(tmp_path / "missing.mp4")
    with pytest.raises(DataError, match="a folder"):
        probe(tmp_path)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(DataError, match="empty"):
        probe(tmp_path / "empty.mp4")
    with pytest.raises(DataError, match="null"):
        probe(Path("a\0b"))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes and devices")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero")):
        with pytest.raises(DataError, match="not a regular file"):
            probe(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", HLS),
        ("list.mp4", HLS),
        ("list.ffconcat", "ffconcat version 1.0\nfile good.mp4\n"),
        ("list.mp4", "ffconcat version 1.0\nfile good.mp4\n"),
        ("list.mpd", DASH),
        ("list.sdp", SDP),
    ],
)
def test_playlists_open_no_other_file(tmp_path: Path, name: str, text: str) -> None:
    films.film(tmp_path / "good.mp4", seconds=0.2)
    films.film(tmp_path / "good.ts", seconds=0.2)
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as refused:
        probe(tmp_path / name)
    assert refused.value.where is not None
    assert refused.value.fix is not None


def test_noise_is_no_medium(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    for seed in range(8):
        path.write_bytes(np.random.default_rng(seed).bytes(20_000))
        with pytest.raises(DataError, match=r"noise\.mp4"):
            probe(path)


def test_limits_hold_whatever_is_claimed(tmp_path: Path) -> None:
    stereo = np.stack([films.tone(2)] * 2)
    path = films.film(tmp_path / "a.mkv", seconds=2, audio=stereo)
    probe(path, Limits(pixels=64 * 48, seconds=2.1, channels=2, rate=16_000, streams=2))
    refused: dict[str, Limits] = {
        "too large": Limits(pixels=64 * 48 - 1),
        "hours": Limits(seconds=1.5),
        "2 channels": Limits(channels=1),
        "16,000 samples": Limits(rate=8_000),
        "metadata": Limits(metadata=3),
    }
    for what, limits in refused.items():
        with pytest.raises(DataError, match=what) as error:
            probe(path, limits)
        assert error.value.where == str(path)
    with pytest.raises(DataError, match="2 streams"):
        probe(path, Limits(streams=1))


def test_a_size_in_a_header_costs_no_memory(tmp_path: Path) -> None:
    path = films.film(tmp_path / "a.gif", seconds=0.2, codec="gif", pixel_format="rgb8")
    content = bytearray(path.read_bytes())
    content[6:10] = b"\xff\xff\xff\xff"  # 65,535 x 65,535
    path.write_bytes(content)
    with pytest.raises(DataError):
        probe(path)
    image = tmp_path / "a.png"
    cv2.imwrite(str(image), np.zeros((4, 4, 3), np.uint8))
    content = bytearray(image.read_bytes())
    content[16:24] = (50_000).to_bytes(4, "big") * 2
    image.write_bytes(content)
    with pytest.raises(DataError, match="50000 x 50000 is too large"):
        probe(image)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.wav", "a.mp3", "a.flac"])
def test_cut_and_flipped_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    sound = {"a.wav": "pcm_s16le", "a.mp3": "libmp3lame", "a.flac": "flac"}
    options: dict[str, Any] = {}
    if name in sound:
        options = {"codec": None, "audio_codec": sound[name]}
    elif name == "a.avi":
        options = {"codec": "mpeg4", "audio_codec": "libmp3lame"}
    whole = films.film(tmp_path / name, audio=films.tone(1), **options).read_bytes()
    random = np.random.default_rng(7)
    path = tmp_path / f"bad_{name}"
    for attempt in range(12):
        bad = bytearray(whole)
        if attempt % 2:
            bad = bad[: random.integers(1, len(bad))]
        for place in random.integers(0, len(bad), 20):
            bad[place] ^= 1 << int(random.integers(8))
        path.write_bytes(bad)
        facts, where = None, None
        try:
            facts = probe(path)
        except DataError as error:
            where = error.where
        assert (facts is None) == (where == str(path))
        if facts is not None:
            assert facts.video is not None or facts.audio is not None
            assert 0 <= facts.duration <= 24 * 3600


# -- clocks ----------------------------------------------------------------------------------------


def straight(
    times: list[float | None],
    *,
    lasting: float = 0.1,
    from_start: bool = True,
    believed: float = 3600.0,
    leap: float = float("inf"),
) -> tuple[list[float], Damage]:
    damage = Damage()
    frames = [(time, lasting, index) for index, time in enumerate(times)]
    found = list(straightened(frames, damage, from_start=from_start, believed=believed, leap=leap))
    assert [index for *_, index in found] == list(range(len(times)))
    return [time for time, *_ in found], damage


@given(st.lists(st.floats(0.001, 5), max_size=30), st.floats(0, 100))
def test_times_that_run_forward_are_believed(steps: list[float], start: float) -> None:
    times: list[float | None] = list(itertools.accumulate(steps, initial=start))
    found, damage = straight(times)
    assert found == times
    assert not damage


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=30))
def test_times_always_run_forward(times: list[float | None]) -> None:
    found, _ = straight(times)
    assert all(a < b for a, b in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("times", "expected", "wrong"),
    [
        ([0.0, None, None, 0.3], [0.0, 0.1, 0.2, 0.3], 0),
        ([0.0, 0.1, 500.0, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4], 1),  # one lies
        ([0.0, 0.1, 0.0, 0.3], [0.0, 0.1, 0.2, 0.3], 1),
        ([70.0, 0.1, 0.2], [0.0, 0.1, 0.2], 1),
        ([50.0, 50.1, 0.0, 0.1, 0.2], [50.0, 50.1, 50.2, 50.3, 50.4], 1),  # the clock was set back
        ([0.0, 7.0, 7.1], [0.0, 7.0, 7.1], 0),  # a pause
        ([0.0, 9e9, 9e9 + 0.1], [0.0, 0.1, 0.2], 1),  # too long to be one
    ],
)
def test_clocks_are_set_right(times: list[float | None], expected: list[float], wrong: int) -> None:
    found, damage = straight(times)
    assert found == pytest.approx(expected, abs=1e-5)
    assert damage == Damage(times=wrong)


def test_pauses_are_believed_up_to_a_sum() -> None:
    found, damage = straight([0.0, 60.0, 120.0, 180.0], believed=130.0)
    assert found == pytest.approx([0, 60, 120, 120.1])
    assert damage.times == 1
    found, _ = straight([0.0, 60.0, 60.1], leap=10.0)  # a broadcast does not pause
    assert found == pytest.approx([0, 0.1, 0.2])


def test_a_start_within_the_file_is_believed() -> None:
    found, damage = straight([5000.0, 5000.1], from_start=False, believed=10.0)
    assert found == [5000.0, 5000.1]
    assert not damage


def test_the_toys_say_which_frame_they_are(tmp_path: Path) -> None:
    draw: Callable[[int], films.Pixels] = films.picture_of
    assert [films.number(draw(index)) for index in range(256)] == list(range(256))
