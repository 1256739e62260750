"""Sound on a grid: every sample format and rate, exact parts, gaps that are known as such."""

from __future__ import annotations

import itertools
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import av
import films
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.data.media import Damage, Limits
from mien.data.sound import Block, blocks, waveform
from mien.errors import DataError

CLIPS = Path(__file__).parents[2] / ".." / "shared" / "data" / "clips"


def packets(
    path: Path,
    parts: list[tuple[float, NDArray[Any]]],
    rate: int = 16_000,
    layout: str = "mono",
    codec: str = "pcm_f32le",
) -> Path:
    """A file of raw sound: each part (C, S) from its own time on, whatever lies between."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=rate, layout=layout)
        for start, part in parts:
            for first in range(0, part.shape[1], 512):
                some = np.ascontiguousarray(part[:, first : first + 512].T.reshape(1, -1))
                frame = av.AudioFrame.from_ndarray(some.astype(np.float32), "flt", layout)
                frame.sample_rate, frame.pts = rate, round(start * rate) + first
                output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def joined(found: list[Block]) -> NDArray[np.float32]:
    return np.concatenate([block.samples for block in found])


# -- kinds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "name", "step"),
    [
        ("pcm_u8", "a.wav", 1 / 128),
        ("pcm_s16le", "a.wav", 1 / 32768),
        ("pcm_s16be", "a.aiff", 1 / 32768),
        ("pcm_s24le", "a.wav", 2.0**-23),
        ("pcm_s32le", "a.wav", 2.0**-24),
        ("pcm_s64le", "a.wav", 2.0**-24),
        ("pcm_f32le", "a.wav", 2.0**-24),
        ("pcm_f64le", "a.wav", 2.0**-24),
        ("flac", "a.flac", 1 / 32768),
        ("alac", "a.m4a", 1 / 32768),
        ("pcm_s16le", "a.mkv", 1 / 32768),
        ("pcm_alaw", "a.wav", 0.02),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_sample_format_means_the_same(
    tmp_path: Path, codec: str, name: str, step: float, channels: int
) -> None:
    waves = np.stack([films.tone(1.3, hertz=300), films.tone(1.3, hertz=500, loud=0.2)])[:channels]
    path = films.film(tmp_path / name, codec=None, audio=waves, audio_codec=codec)
    samples, there = waveform(path, 16_000)
    assert samples.dtype == np.float32
    assert samples.shape == there.shape == (20_800,)
    assert there.all()
    assert np.abs(samples - waves.mean(0)).max() <= step


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp3", {"codec": None, "audio_codec": "libmp3lame"}),
        ("a.m4a", {"codec": None}),
        ("a.opus", {"codec": None, "audio_codec": "libopus"}),
        ("a.mp4", {}),
        ("a.webm", {"codec": "libvpx", "audio_codec": "libopus"}),
    ],
)
def test_lossy_sound_lies_where_it_was(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    tones = [films.tone(2, 48_000, hertz, 0.1) for hertz in (400, 1_130, 2_770)]
    wave = np.sum(tones, 0)
    path = films.film(tmp_path / name, seconds=2, audio=wave, rate=48_000, **options)
    samples, there = waveform(path, 48_000, end=2)
    assert there[1_000:].all()
    inner = slice(2_000, 90_000)
    errors = [np.abs(np.roll(samples, shift) - wave)[inner].mean() for shift in range(-3, 4)]
    assert np.argmin(errors) == 3  # not one sample early or late
    assert errors[3] < 0.03


@pytest.mark.parametrize(("layout", "channels"), [("5.1", 6), ("7.1", 8), ("7.1.4", 12)])
def test_channels_are_averaged_not_mixed_for_the_ear(
    tmp_path: Path, layout: str, channels: int
) -> None:
    waves = np.random.default_rng(3).uniform(-1, 1, (channels, 3_000)).astype(np.float32)
    path = packets(tmp_path / "a.wav", [(0, waves)], layout=layout)
    samples, _ = waveform(path, 16_000)
    assert np.abs(samples - waves.mean(0)).max() < 1e-6


def test_planes_of_eight_channels(tmp_path: Path) -> None:
    waves = np.random.default_rng(3).uniform(-1, 1, (8, 4_096)).astype(np.float32)
    path = tmp_path / "a.wv"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("wavpack", rate=16_000, layout="7.1")
        stream.format = av.AudioFormat("fltp")
        packed = np.ascontiguousarray(waves.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(packed, "flt", "7.1")
        frame.sample_rate = 16_000
        for planar in av.AudioResampler(format="fltp", layout="7.1").resample(frame):
            output.mux(stream.encode(planar))
        output.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert next(container.decode(audio=0)).format.is_planar
    samples, _ = waveform(path, 16_000)
    assert np.abs(samples - waves.mean(0)).max() < 1e-6


@pytest.mark.parametrize(
    ("rate", "wanted"),
    [(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (22_050, 44_100), (44_101, 16_000)],
)
def test_other_rates_keep_pitch_place_and_loudness(tmp_path: Path, rate: int, wanted: int) -> None:
    path = films.wav(tmp_path / "a.wav", films.tone(1.5, rate, 440), rate)
    samples, there = waveform(path, wanted)
    expected = films.tone(1.5, wanted, 440)
    assert abs(len(samples) - len(expected)) <= 1
    assert there.all()
    inner = slice(100, len(expected) - 100)
    assert np.abs(samples[: len(expected)] - expected[: len(samples)])[inner].max() < 1e-4


def test_what_the_wanted_rate_cannot_hold_is_filtered_out(tmp_path: Path) -> None:
    path = films.wav(tmp_path / "a.wav", films.tone(1, 48_000, 11_000), 48_000)
    samples, _ = waveform(path, 16_000)
    assert np.abs(samples[100:-100]).max() < 1e-3  # it would be heard at 5,000 Hz


# -- parts -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("long")
    random = np.random.default_rng(1)
    wave = np.convolve(random.normal(size=6 * 44_100), np.ones(8) / 8, "same") * 0.3
    kinds: dict[str, dict[str, Any]] = {
        "a.wav": {"codec": None, "audio_codec": "pcm_s16le"},
        # Without noise that the decoder draws anew, differently after a seek.
        "a.mp4": {"seconds": 6, "fps": 5, "audio_options": {"aac_pns": "0"}},
        "a.m4a": {"codec": None, "audio_options": {"aac_pns": "0"}},
        "a.mkv": {"codec": None},
        "a.mp3": {"codec": None, "audio_codec": "libmp3lame"},
        "a.flac": {"codec": None, "audio_codec": "flac"},
        "a.ts": {"codec": None},
    }
    return {
        name: films.film(folder / name, audio=wave, rate=44_100, **options)
        for name, options in kinds.items()
    }


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_parts_of_sound_are_what_the_whole_has_there(
    long_sounds: dict[str, Path], data: st.DataObject
) -> None:
    path = long_sounds[data.draw(st.sampled_from(sorted(long_sounds)))]
    rate = data.draw(st.sampled_from([16_000, 44_100, 22_050, 48_000]))
    start = data.draw(st.floats(0, 5.9))
    end = data.draw(st.one_of(st.none(), st.floats(start, 7)))
    whole, known = waveform(path, rate)
    part, there = waveform(path, rate, start=start, end=end)
    first, last = round(start * rate), None if end is None else round(end * rate)
    assert len(part) == (len(whole) if last is None else last) - first
    inside = whole[first:last]
    assert np.abs(part[: len(inside)] - inside).max(initial=0) < 1e-3
    assert (there[: len(inside)] == known[first:last]).all()
    assert not there[len(inside) :].any()
    assert not part[len(inside) :].any()


def test_blocks_are_seconds_one_after_the_other(long_sounds: dict[str, Path]) -> None:
    for path in long_sounds.values():
        found = list(blocks(path, 16_000, start=0.7))
        assert [block.time for block in found] == pytest.approx(
            [0.7 + k for k in range(len(found))]
        )
        assert {len(block.samples) for block in found[:-1]} == {16_000}
        assert 0 < len(found[-1].samples) <= 16_000
        assert (joined(found) == waveform(path, 16_000, start=0.7)[0]).all()


# -- gaps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [16_000, 8_000, 44_100])
def test_gaps_are_not_there(tmp_path: Path, wanted: int) -> None:
    ones = np.ones((1, 16_000))
    path = packets(tmp_path / "a.mkv", [(0.0, ones), (2.5, ones)])
    samples, there = waveform(path, wanted)
    times = np.arange(len(samples)) / wanted
    expected = (times < 1 - 1e-9) | (times >= 2.5 - 1e-9)
    assert (there == expected).all()
    assert not samples[~there].any()
    away = (np.abs(times - 1) > 0.01) & (np.abs(times - 2.5) > 0.01) & (times > 0.01)
    kept = samples[expected & away & (times < 3.49)]
    assert np.abs(kept - 1).max() < 1e-3


def test_overlaps_are_trimmed(tmp_path: Path) -> None:
    quiet, loud = np.full((1, 16_384), 0.25), np.full((1, 16_384), 0.5)
    path = packets(tmp_path / "a.mkv", [(0.0, quiet), (1.024, loud)])

    def earlier(kind: str, index: int, packet: Any) -> Any:
        if index >= 32:  # packets of 512 samples: the second part
            packet.pts, packet.dts = packet.pts - 20, packet.dts - 20  # milliseconds
        return packet

    samples, there = waveform(films.remuxed(tmp_path / "b.mkv", path, earlier), 16_000)
    assert there.all()
    assert (samples[:16_384] == 0.25).all()
    assert (samples[16_384:] == 0.5).all()
    assert len(samples) == 2 * 16_384 - 320


def test_sound_that_begins_late(tmp_path: Path) -> None:
    path = films.film(tmp_path / "a.mp4", seconds=2, audio=films.tone(1), audio_start=0.5)
    samples, there = waveform(path, 16_000)
    assert np.flatnonzero(there)[0] / 16_000 == pytest.approx(0.5, abs=0.07)  # AAC leads in
    assert not samples[~there].any()
    assert len(samples) == pytest.approx(1.5 * 16_000, abs=1_100)


def test_a_pause_of_days_costs_nothing(tmp_path: Path) -> None:
    ones = np.ones((1, 1_600))
    path = packets(tmp_path / "a.mkv", [(0.0, ones), (80_000.0, ones)])
    damage = Damage()
    samples, there = waveform(path, 16_000, damage=damage)
    assert len(samples) == 3_200
    assert there.all()
    assert damage == Damage(times=1)
    first = next(blocks(path, 16_000, limits=Limits(gaps=86_000)))
    assert first.there.sum() == 1_600
    assert not first.there[1_600:].any()


@pytest.mark.parametrize("wanted", [16_000, 8_000, 48_000])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_no_numbers_are_not_there(tmp_path: Path, wanted: int, bad: float) -> None:
    wave = np.full((1, 16_000), 0.5)
    wave[0, 4_000:4_010] = bad
    path = packets(tmp_path / "a.wav", [(0.0, wave)])
    samples, there = waveform(path, wanted)
    assert np.isfinite(samples).all()
    absent = np.flatnonzero(~there) / wanted
    assert absent.min() == pytest.approx(0.25, abs=2.1 / min(wanted, 16_000))
    assert absent.max() == pytest.approx(0.25 + 10 / 16_000, abs=2.1 / min(wanted, 16_000))
    assert not samples[~there].any()
    assert (np.diff(np.flatnonzero(~there)) == 1).all()
    nothing = packets(tmp_path / "b.wav", [(0.0, np.full((1, 4_000), bad))])
    assert not waveform(nothing, wanted)[1].any()


def test_lost_packets_leave_a_gap_where_they_were(tmp_path: Path) -> None:
    wave, exact = films.tone(2, 48_000, 400), {"aac_pns": "0"}
    path = tmp_path / "good.m4a"
    good = films.film(path, codec=None, audio=wave, rate=48_000, audio_options=exact)
    lost = films.remuxed(
        tmp_path / "lost.m4a",
        good,
        lambda kind, index, packet: None if index in (30, 31, 32) else packet,
    )
    whole, _ = waveform(good, 48_000)
    samples, there = waveform(lost, 48_000)
    assert len(samples) == len(whole)
    absent = np.flatnonzero(~there)
    assert len(absent) == 3 * 1_024
    assert (np.diff(absent) == 1).all()
    kept = there.copy()
    kept[absent[0] - 2_048 : absent[-1] + 4_097] = False  # AAC overlaps its frames
    assert np.abs(samples - whole)[kept].max() < 1e-3


# -- what is refused -------------------------------------------------------------------------------


def test_sound_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    silent = films.film(tmp_path / "silent.mp4", seconds=0.2)
    with pytest.raises(DataError, match="no sound") as error:
        waveform(silent, 16_000)
    assert error.value.where == str(silent)
    good = films.film(tmp_path / "good.mkv", codec=None, audio=films.tone(1), audio_codec="flac")
    bad = films.remuxed(tmp_path / "bad.mkv", good, lambda *args: films.spoiled(args[2]))
    with pytest.raises(DataError, match="nothing of the sound"):
        waveform(bad, 16_000)
    for rate in (0, -5, 10**7):
        with pytest.raises(DataError, match="a rate of"):
            blocks(good, rate)
    with pytest.raises(DataError, match="no span"):
        blocks(good, 16_000, start=2, end=1)
    with pytest.raises(DataError, match="seconds of sound"):
        blocks(good, 16_000, end=1e9)
    with pytest.raises(DataError, match="longer than"):
        waveform(good, 16_000, limits=Limits(seconds=0.01))
    with pytest.raises(DataError, match="16,000 samples"):
        waveform(good, 8_000, limits=Limits(rate=8_000))


@pytest.mark.parametrize("rate", [0, 1, 999, 2_000_000_000])
def test_rates_in_a_header_are_checked(tmp_path: Path, rate: int) -> None:
    path = films.wav(tmp_path / "a.wav", films.tone(0.5))
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    with pytest.raises(DataError):
        waveform(path, 16_000)


def test_cut_and_flipped_sound_is_read_or_refused(
    long_sounds: dict[str, Path], tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    for name, source in long_sounds.items():
        whole = source.read_bytes()
        path = tmp_path / name
        for attempt in range(3):
            bad = bytearray(whole[: int(len(whole) * (0.4, 0.8, 1)[attempt])])
            for place in random.integers(0, len(bad), 30 * (attempt % 2)):
                bad[place] ^= 1 << int(random.integers(8))
            path.write_bytes(bad)
            where = None
            samples, there = np.zeros(0, np.float32), np.zeros(0, np.bool_)
            try:
                samples, there = waveform(path, 16_000)
            except DataError as error:
                where = error.where
            assert where in (None, str(path))
            assert np.isfinite(samples).all()
            assert not samples[~there].any()
            assert len(samples) <= 3_700 * 16_000


# -- real sounds -----------------------------------------------------------------------------------


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
def test_real_films_have_the_samples_of_ffprobe(name: str) -> None:
    path = CLIPS / name
    entries = "frame=pts_time,nb_samples:format=start_time:stream=sample_rate"
    command = ["ffprobe", "-v", "error", "-select_streams", "a", "-show_entries", entries]
    told = json.loads(subprocess.check_output([*command, "-of", "json", str(path)]))
    rate = int(told["streams"][0]["sample_rate"])
    begins = float(told["frames"][0]["pts_time"]) - float(told["format"]["start_time"])
    samples, there = waveform(path, rate)
    assert there.sum() == sum(frame["nb_samples"] for frame in told["frames"])
    assert np.flatnonzero(there)[0] == pytest.approx(begins * rate, abs=1)
    assert name.startswith("pexels") or np.abs(samples).max() > 1e-3  # that one is silent
    for start, end in itertools.pairwise([0.0, 1.1, 2.7, 3.1]):
        part, _ = waveform(path, rate, start=start, end=end)
        assert (part == samples[round(start * rate) : round(end * rate)]).all()
