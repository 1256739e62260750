"""Voice activity: what is speech, what is not, and the same answer however sound is cut."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mien.data.voice import Speech, VoiceActivity, has_voice, share
from mien.errors import ConfigError, DataError

RATE = 16_000
Sound = NDArray[np.float32]


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), np.float32)


def talk(seconds: float, pitch: float = 120.0, level: float = 0.1) -> Sound:
    """Something like a voice: a gliding harmonic tone under formants, four syllables a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    glide = pitch * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time))
    phase = 2 * np.pi * np.cumsum(glide) / RATE
    weights = {k: np.exp(-(((k * pitch - 500) / 500) ** 2)) + 0.1 for k in range(1, 25)}
    voice = np.sum([weight * np.sin(k * phase) for k, weight in weights.items()], axis=0)
    syllables = np.clip(np.sin(2 * np.pi * 4 * time) + 0.8, 0, None)
    sound = voice * syllables
    return np.asarray(level * sound / np.abs(sound).max(), np.float32)


def noise(seconds: float, level: float, seed: int = 0) -> Sound:
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(round(seconds * RATE))).astype(np.float32)


def hum(seconds: float, level: float = 0.05) -> Sound:
    time = np.arange(round(seconds * RATE)) / RATE
    tones = [np.sin(2 * np.pi * 50 * k * time + k) / k for k in (1, 2, 3, 4, 6, 8)]
    return np.asarray(level * np.sum(tones, axis=0), np.float32)


def joined(*sounds: Sound) -> Sound:
    return np.concatenate(sounds)


def heard(sound: Sound, rate: int = RATE, there: NDArray[np.bool_] | None = None) -> list[Speech]:
    voices = VoiceActivity(rate)
    return voices.feed(sound, there) + voices.finish()


def one(found: list[Speech]) -> Speech:
    assert len(found) == 1
    return found[0]


# -- what is speech --------------------------------------------------------------------------------


def test_a_voice_between_silences_is_found_where_it_is() -> None:
    found = one(heard(joined(silence(1), talk(1.5), silence(1))))
    assert found.start == pytest.approx(1.0, abs=0.1)
    assert found.end == pytest.approx(2.5, abs=0.15)
    assert 0.5 < found.confidence <= 1


@pytest.mark.parametrize("seconds", [0.4, 1.0, 2.0, 4.0])
def test_a_voice_from_the_first_sample_to_the_last_needs_no_noise_before_it(
    seconds: float,
) -> None:
    found = one(heard(talk(seconds)))
    assert found.start < 0.1
    assert found.end > seconds - 0.2


def test_voices_are_found_above_noise_and_less_surely_the_louder_it_is() -> None:
    clean = joined(silence(2), talk(2), silence(2))
    power = float(np.square(talk(2)).mean())
    sure = []
    for decibels in (20, 10, 5):
        found = one(heard(clean + noise(6, np.sqrt(power / 10 ** (decibels / 10)))))
        assert found.start == pytest.approx(2, abs=0.15)
        assert found.end == pytest.approx(4, abs=0.15)
        sure.append(found.confidence)
    assert sure == sorted(sure, reverse=True)


def test_voices_are_found_above_hum() -> None:
    found = one(heard(joined(silence(2), talk(2), silence(2)) + hum(6)))
    assert found.start == pytest.approx(2, abs=0.15)
    assert found.end == pytest.approx(4, abs=0.15)


def test_a_pause_within_a_sentence_is_bridged_and_a_longer_one_is_not() -> None:
    assert len(heard(joined(talk(1), silence(0.1), talk(1)))) == 1
    assert len(heard(joined(talk(1), silence(0.8), talk(1)))) == 2


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_any_rate_gives_the_same_times(rate: int) -> None:
    sound = joined(silence(1), talk(1.5), silence(1))
    times = np.arange(round(len(sound) / RATE * rate)) / rate
    resampled = np.interp(times, np.arange(len(sound)) / RATE, sound).astype(np.float32)
    expected, found = one(heard(sound)), one(heard(resampled, rate))
    assert found.start == pytest.approx(expected.start, abs=0.03)
    assert found.end == pytest.approx(expected.end, abs=0.03)


# -- what is not -----------------------------------------------------------------------------------


def clicks() -> Sound:
    sound = silence(10)
    sound[np.random.default_rng(1).integers(0, len(sound), 30)] = 0.5
    return sound


NO_VOICE = {
    "silence": silence(5),
    "noise": noise(10, 0.03),
    "hum": hum(10),
    "hum that begins": joined(silence(4), hum(8)),
    "noise that begins": joined(noise(4, 0.0005), noise(8, 0.03)),
    "short noise": joined(*(joined(silence(1), noise(0.5, 0.05, seed)) for seed in range(6))),
    "clicks": clicks(),
    "clicks in noise": clicks() + noise(10, 0.001),
    "a tone": (0.1 * np.sin(2 * np.pi * 440 * np.arange(10 * RATE) / RATE)).astype(np.float32),
    "something under the noise of 16 bits": noise(5, 1e-5),
    "nothing": silence(0),
    "less than a frame": talk(0.02),
}


@pytest.mark.parametrize("name", NO_VOICE)
def test_what_is_no_voice_is_not_called_one(name: str) -> None:
    assert heard(NO_VOICE[name]) == []


def test_what_was_not_recorded_is_no_speech_and_no_background() -> None:
    sound = joined(talk(2), silence(2), talk(2))
    there = np.ones(len(sound), np.bool_)
    there[2 * RATE : 4 * RATE] = False
    sound[2 * RATE : 4 * RATE] = 0.3  # whatever stands there
    first, second = heard(sound, there=there)
    assert first.end <= 2
    assert 4 <= second.start < 4.1
    assert heard(sound, there=np.zeros(len(sound), np.bool_)) == []


def test_sound_lost_for_a_moment_does_not_cut_a_voice() -> None:
    there = np.ones(2 * RATE, np.bool_)
    there[RATE : RATE + RATE // 25] = False
    assert len(heard(talk(2), there=there)) == 1


# -- a stream --------------------------------------------------------------------------------------


def speech_among_noise() -> tuple[Sound, NDArray[np.bool_]]:
    parts = [joined(silence(0.7), talk(0.9 + 0.4 * k, pitch=100 + 20 * k)) for k in range(6)]
    sound = joined(*parts, silence(1))
    sound += noise(len(sound) / RATE, 0.002)
    there = np.ones(len(sound), np.bool_)
    there[30_000:36_000] = there[60_000:60_100] = False
    return sound, there


STREAM = speech_among_noise()
EXPECTED = heard(STREAM[0], there=STREAM[1])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(STREAM[0])), max_size=40))
def test_however_sound_is_cut_the_segments_are_the_same(cuts: list[int]) -> None:
    sound, there = STREAM
    assert len(EXPECTED) > 3
    voices, found = VoiceActivity(RATE), []
    edges = [0, *sorted(cuts), len(sound)]
    for start, end in itertools.pairwise(edges):
        found += voices.feed(sound[start:end], there[start:end])
    assert found + voices.finish() == EXPECTED


def test_segments_come_in_order_within_the_promised_delay_and_are_settled_first() -> None:
    sound, there = STREAM
    voices, given_out = VoiceActivity(RATE), 0
    for start in range(0, len(sound), 1600):
        before = voices.settled
        now = min(len(sound), start + 1600) / RATE
        new = voices.feed(sound[start : start + 1600], there[start : start + 1600])
        assert new == EXPECTED[given_out : given_out + len(new)]
        assert all(speech.start >= before for speech in new)
        given_out += len(new)
        assert all(s.end > now - VoiceActivity.DELAY - 0.1 for s in EXPECTED[given_out:])
        assert voices.settled <= min((s.start for s in EXPECTED[given_out:]), default=now)
    voices.finish()
    assert voices.settled == np.inf


def test_times_are_on_the_clock_of_the_source() -> None:
    voices = VoiceActivity(RATE, start=100.0)
    moved = voices.feed(STREAM[0], STREAM[1]) + voices.finish()
    for here, there in zip(moved, EXPECTED, strict=True):
        assert here.start - 100 == pytest.approx(there.start)
        assert here.end - 100 == pytest.approx(there.end)


def test_a_long_speech_comes_in_pieces_that_touch() -> None:
    found = heard(joined(silence(1), talk(17), silence(1)))
    assert len(found) == 4
    assert all(speech.end - speech.start < 5.1 for speech in found)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    assert share(found, 1.1, 17.8) == pytest.approx(1)


def test_memory_does_not_grow_with_the_stream() -> None:
    voices, piece = VoiceActivity(RATE), joined(silence(0.5), talk(1.5)) + noise(2, 0.001)
    for _ in range(10):
        voices.feed(piece)
    tracemalloc.start()
    try:
        for _ in range(5):
            voices.feed(piece)
        early = tracemalloc.get_traced_memory()[0]
        for _ in range(60):
            voices.feed(piece)
        late = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert late < early + 300_000  # two minutes of sound are 7.7 MB


def test_loud_and_broken_sound() -> None:
    assert heard(np.full(RATE, 3e38, np.float32)) == []
    voices = VoiceActivity(RATE)
    with pytest.raises(DataError, match="not finite"):
        voices.feed(np.array([0, np.nan], np.float32))
    with pytest.raises(DataError, match="one channel"):
        voices.feed(np.zeros((10, 2), np.float32))
    with pytest.raises(DataError, match="one channel"):
        voices.feed(np.zeros(10, np.float32), np.ones(9, np.bool_))
    voices.finish()
    assert voices.finish() == []
    with pytest.raises(DataError, match="finished"):
        voices.feed(np.zeros(10, np.float32))


@pytest.mark.parametrize("rate", [0, -1, 4_000, 1_000_000])
def test_rates_that_carry_no_voice_are_refused(rate: int) -> None:
    with pytest.raises(ConfigError, match="samples a second"):
        VoiceActivity(rate)


# -- windows ---------------------------------------------------------------------------------------


def test_the_share_of_a_window_in_which_somebody_speaks() -> None:
    spoken = [Speech(0.0, 1.0, 1.0), Speech(2.0, 4.0, 0.5)]
    assert share(spoken, 0, 4) == pytest.approx(0.75)
    assert share(spoken, 1, 2) == 0
    assert share(spoken, 2.5, 3) == 1
    assert share(spoken, 3, 3) == share(spoken, 3, 2) == share([], 0, 1) == 0
    assert has_voice(spoken, 0.95, 1.45)
    assert not has_voice(spoken, 0.96, 1.46)
    assert has_voice(spoken, 1, 5, least=0.5)


# -- real speech -----------------------------------------------------------------------------------


def read(path: Path) -> Sound:
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
        assert file.streams.audio[0].rate == RATE
    sound = np.concatenate(frames, axis=1)[0]
    scale = np.iinfo(sound.dtype).max if sound.dtype.kind == "i" else 1
    return np.asarray(sound / scale, np.float32)


def loud(sound: Sound) -> NDArray[np.bool_]:
    """By an independent rule: the samples of a clean clip within 28 dB of its loudest 10 ms."""
    hop = RATE // 100
    frames = sound[: len(sound) // hop * hop].reshape(-1, hop)
    power = np.square(frames.astype(np.float64)).mean(axis=1)
    return np.repeat(power > power.max() * 10**-2.8, hop)


@pytest.mark.shared
@pytest.mark.parametrize("decibels", [None, 10, 5])
def test_real_speech_is_found_in_noise(shared: Path, decibels: int | None) -> None:
    clips = sorted((shared / "data" / "ravdess_speech").glob("*/*.flac"))[::120]
    assert len(clips) == 12
    hits = false = spoken = quiet = 0
    for seed, path in enumerate(clips):
        sound = read(path)
        truth = loud(sound)
        if decibels is not None:
            power = float(np.square(sound[: len(truth)][truth]).mean())
            sound = sound + noise(len(sound) / RATE, np.sqrt(power / 10 ** (decibels / 10)), seed)
        found = np.zeros(len(truth), np.bool_)
        for speech in heard(sound):
            found[round(speech.start * RATE) : round(speech.end * RATE)] = True
        reach = np.convolve(truth[::160], np.ones(61), "same").repeat(160)[: len(truth)] > 0
        hits, spoken = hits + int((found & truth).sum()), spoken + int(truth.sum())
        false, quiet = false + int((found & ~reach).sum()), quiet + int((~reach).sum())
    assert hits / spoken > 0.92
    assert false / quiet < 0.02
