"""Voice activity among noises of many kinds: edges, false alarms, streams, real clips."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray
from squares import speech

from mien.data.sound import waveform
from mien.data.voice import Speech, VoiceActivity, share
from mien.errors import DataError

RATE = 16_000
Sound = NDArray[np.float32]
Mask = NDArray[np.bool_]


def heard(sound: Sound, rate: int = RATE, there: Mask | None = None) -> list[Speech]:
    voices = VoiceActivity(rate)
    return voices.feed(sound, there) + voices.finish()


def clock(seconds: float, rate: int = RATE) -> NDArray[np.float64]:
    return np.arange(round(seconds * rate)) / rate


def spoken(
    seconds: float, pitch: float = 140, beat: float = 3.5, seed: int = 0, rate: int = RATE
) -> Sound:
    """A voice of mean square 1: a gliding tone with harmonics up to 3.8 kHz, in syllables."""
    random = np.random.default_rng(seed)
    time = clock(seconds, rate)
    # The phase in closed form, so that every rate samples the same sound.
    glide, at = 2 * np.pi * 0.8, random.uniform(0, 6)
    turns = time - 0.12 / glide * (np.cos(glide * time + at) - np.cos(at))
    tone = np.zeros(len(time))
    for k in range(1, int(3800 / (1.12 * pitch)) + 1):
        tone += np.sin(2 * np.pi * k * pitch * turns + random.uniform(0, 6)) / k
    syllables = 0.25 + 0.75 * np.abs(np.sin(np.pi * beat * time))
    sound = tone * syllables * np.clip(np.minimum(time, seconds - time) / 0.02, 0, 1)
    return np.asarray(sound / np.sqrt(np.square(sound).mean()), np.float32)


def coloured(seconds: float, power: float, seed: int = 0) -> Sound:
    """Noise whose power falls with a power of its frequency: 0 white, 1 pink, 2 brown."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    spectrum *= np.where(hertz > 20, np.maximum(hertz, 20.0) ** (-power / 2), 0)
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(0.05 * noise / noise.std(), np.float32)


# -- edges -----------------------------------------------------------------------------------------

PITCHES, BEATS = (85, 120, 180, 220, 320), (2, 3, 5)
START, LASTS = 1.3, 2.1


def voices_in_noise(decibels: float) -> Iterator[list[Speech]]:
    for number, (pitch, beat) in enumerate(itertools.product(PITCHES, BEATS)):
        sound = np.random.default_rng(number).normal(0, 0.05 / 10 ** (decibels / 20), 5 * RATE)
        first = round(START * RATE)
        sound[first : first + round(LASTS * RATE)] += 0.05 * spoken(LASTS, pitch, beat, number)
        yield heard(sound.astype(np.float32))


@pytest.mark.parametrize("decibels", [40, 20, 10, 5])
def test_men_women_and_children_are_found_in_noise_where_they_speak(decibels: int) -> None:
    for found in voices_in_noise(decibels):
        assert len(found) == 1
        assert found[0].start == pytest.approx(START, abs=0.12)
        assert found[0].end == pytest.approx(START + LASTS, abs=0.18)  # its softest part may drown


def test_in_noise_as_loud_as_the_voice_most_are_found_and_nothing_else() -> None:
    found = list(voices_in_noise(0))
    assert sum(len(one) > 0 for one in found) >= 0.8 * len(found)
    for speech_ in itertools.chain(*found):
        assert START - 0.15 < speech_.start < speech_.end < START + LASTS + 0.15


def test_the_voice_of_the_toy_films_is_found() -> None:
    found = heard(speech(8, 1, 7))
    assert found[0].start == pytest.approx(1, abs=0.15)
    assert found[-1].end == pytest.approx(7, abs=0.3)  # its last syllable ends before
    assert share(found, 1, 6.8) > 0.97


def test_speech_from_the_first_sample_needs_nothing_before_it() -> None:
    for pitch in PITCHES:
        sound = np.concatenate([0.1 * spoken(1.5, pitch), np.zeros(RATE, np.float32)])
        first, *rest = heard(sound)
        assert first.start < 0.05
        assert first.end == pytest.approx(1.5, abs=0.15)
        assert rest == []


@pytest.mark.parametrize("level", [1.0, 0.01, 0.003])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_neither_level_nor_an_offset_matters(level: float, offset: float) -> None:
    sound = np.pad(spoken(2.0), RATE) * np.float32(level / 5) + np.float32(offset)
    found = heard(sound)
    assert len(found) == 1
    assert found[0].start == pytest.approx(1, abs=0.12)
    assert found[0].end == pytest.approx(3, abs=0.15)


def test_rates_agree() -> None:
    """Also rates whose window only just needs a longer transform, or whose hop is no whole one."""
    expected = None
    for rate in (16_000, 8_000, 8_001, 11_025, 16_032, 22_050, 44_100, 48_000):
        voice = np.pad(0.1 * spoken(1.7, 150, rate=rate), (rate, rate))
        hiss = np.random.default_rng(rate).normal(0, 0.0005, len(voice))
        (found,) = heard((voice + hiss).astype(np.float32), rate)
        expected = expected or found
        assert found.start == pytest.approx(expected.start, abs=0.04), rate
        assert found.end == pytest.approx(expected.end, abs=0.06), rate
        assert found.confidence == pytest.approx(expected.confidence, abs=0.1), rate


# -- false alarms ----------------------------------------------------------------------------------


def buzz(seconds: float, pitch: float) -> Sound:
    waves = [np.sin(2 * np.pi * pitch * k * clock(seconds)) / k for k in range(1, 12)]
    return np.asarray(0.05 * np.sum(waves, axis=0), np.float32)


def rain(seconds: float) -> Sound:
    random, sound = np.random.default_rng(3), np.zeros(round(seconds * RATE), np.float32)
    drops = random.integers(0, len(sound), round(seconds * 2000))
    sound[drops] = random.normal(0, 0.05, len(drops))
    return sound


def knocks(seconds: float, every: float) -> Sound:
    random, sound = np.random.default_rng(4), np.zeros(round(seconds * RATE), np.float32)
    for first in range(RATE // 10, len(sound) - 1600, round(every * RATE)):
        sound[first : first + 1600] += 0.3 * random.normal(0, 1, 1600) * np.exp(-clock(0.1) * 100)
    return sound


def bursts(seconds: float, level: float = 1.0) -> Sound:
    """Noise in the rhythm of syllables, as of hands that clap or a brush."""
    rhythm = np.clip(np.sin(2 * np.pi * 3 * clock(seconds)), 0, 1)
    return np.asarray(level * coloured(seconds, 0, 5) * rhythm, np.float32)


NO_VOICE = {
    "digital zero": np.zeros(30 * RATE, np.float32),
    "one bit": np.random.default_rng(0).integers(-1, 2, 30 * RATE) / 32768,
    "an offset that jumps": np.repeat([0.0, 0.5, 0.0, -0.5], RATE),
    "white noise": coloured(60, 0),
    "pink noise": coloured(60, 1),
    "brown noise": coloured(60, 2),
    "blue noise": coloured(60, -1),
    "hum of 50 Hz": buzz(30, 50),
    "hum of 60 Hz": buzz(30, 60),
    "a buzz": buzz(30, 120),
    "a buzz for ten seconds": np.pad(buzz(10, 120), 5 * RATE),
    "rain": rain(30),
    "knocks": knocks(30, 0.25),
    "one click": np.eye(1, 5 * RATE, 2 * RATE)[0],
    "bursts": bursts(30),
}


@pytest.mark.parametrize("name", NO_VOICE)
def test_no_noise_is_a_voice(name: str) -> None:
    assert heard(NO_VOICE[name].astype(np.float32)) == []


def test_noise_that_swells_is_hardly_ever_a_voice_and_never_surely() -> None:
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * 0.3 * clock(60))
    found = heard((coloured(60, 1, 2) * swell).astype(np.float32))
    assert share(found, 0, 60) < 0.04
    assert all(speech_.confidence < 0.2 for speech_ in found)


def test_a_voice_goes_on_for_as_long_as_it_is_one() -> None:
    """What follows a piece needs less proof, but what claps on after a speech is no speech."""
    found = heard(np.concatenate([0.1 * spoken(33), bursts(25, 2)]).astype(np.float32))
    assert share(found, 0.1, 32.9) == pytest.approx(1)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    assert found[-1].end < 36


# -- holes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "parts"), [(0.04, 1), (0.3, 2), (3.0, 2)])
def test_a_long_hole_ends_a_voice_and_a_short_one_is_bridged(lost: float, parts: int) -> None:
    sound, there = 0.1 * spoken(4.5), np.ones(round(4.5 * RATE), np.bool_)
    there[RATE : round((1 + lost) * RATE)] = False
    found = heard(sound, there=there)
    assert len(found) == parts
    assert found[0].start < 0.05
    assert found[-1].end == pytest.approx(4.5, abs=0.15)
    if parts == 2:
        assert 0.85 < found[0].end <= 1
        assert 1 + lost <= found[1].start < 1 + lost + 0.1


# -- streams of anything ---------------------------------------------------------------------------

KINDS = ("voice", "silence", "noise", "bursts", "hole", "short hole")
PARTS = some.lists(
    some.tuples(some.sampled_from(KINDS), some.floats(0.05, 3.0), some.integers(0, 9)),
    min_size=1, max_size=6,
)  # fmt: skip


def piece(kind: str, seconds: float, seed: int) -> Sound:
    if kind == "voice":
        return 0.1 * spoken(seconds, 90 + 20 * seed, seed=seed)
    if kind == "bursts":
        return bursts(seconds)
    level = 0.0 if kind == "silence" else 0.01  # also in holes: whatever stands there
    noise = np.random.default_rng(seed).normal(0, level, round(seconds * RATE))
    return noise.astype(np.float32)


def mixture(parts: list[tuple[str, float, int]]) -> tuple[Sound, Mask]:
    sounds, masks = [], []
    for kind, seconds, seed in parts:
        sounds.append(piece(kind, 0.06 if kind == "short hole" else seconds, seed))
        masks.append(np.full(len(sounds[-1]), not kind.endswith("hole")))
    return np.concatenate(sounds), np.concatenate(masks)


@settings(max_examples=60, deadline=None)
@given(parts=PARTS, cuts=some.lists(some.floats(0, 1), max_size=30))
def test_a_stream_gives_what_the_whole_gives_and_settled_is_true(
    parts: list[tuple[str, float, int]], cuts: list[float]
) -> None:
    sound, there = mixture(parts)
    expected, lasts = heard(sound, there=there), len(sound) / RATE
    voices, settled = VoiceActivity(RATE), 0.0
    found: list[Speech] = []
    edges = [0, *sorted(round(cut * len(sound)) for cut in cuts), len(sound)]
    for first, end in itertools.pairwise(edges):
        new = voices.feed(sound[first:end], there[first:end])
        assert all(speech_.start >= settled for speech_ in new)
        assert settled <= voices.settled <= end / RATE + 0.032
        assert voices.settled > end / RATE - VoiceActivity.DELAY - 5.1
        found, settled = found + new, voices.settled
    last = voices.finish()
    assert all(speech_.start >= settled for speech_ in last)
    assert found + last == expected

    assert all(0 <= one.start < one.end <= lasts and one.end - one.start < 5.1 for one in expected)
    assert all(one.end <= other.start for one, other in itertools.pairwise(expected))
    assert all(0 <= one.confidence <= 1 for one in expected)
    # Whatever stands where nothing was recorded changes nothing.
    loud = np.where(there, sound, np.random.default_rng(1).normal(0, 0.5, len(sound)))
    assert heard(loud.astype(np.float32), there=there) == expected


def held(thing: object) -> int:
    """Bytes of all arrays, and the number of all list entries, that an object holds."""
    if isinstance(thing, np.ndarray):
        return int(thing.nbytes) if thing.base is None else held(thing.base)
    if isinstance(thing, (list, tuple)):
        return len(thing) + sum(held(one) for one in thing)
    if isinstance(thing, dict):
        return len(thing) + sum(held(one) for one in thing.values())
    names = [*getattr(thing, "__dict__", ()), *getattr(type(thing), "__slots__", ())]
    return sum(held(getattr(thing, name)) for name in names) if names else 0


def test_an_hour_of_sound_is_held_in_less_than_a_megabyte() -> None:
    rate = 8_000
    minute = np.concatenate([0.1 * spoken(27, rate=rate), np.zeros(33 * rate, np.float32)])
    minute += np.random.default_rng(0).normal(0, 0.001, len(minute)).astype(np.float32)
    there = np.ones(len(minute), np.bool_)
    there[40 * rate : 47 * rate] = False
    voices, sizes, seconds = VoiceActivity(rate), [], 0.0
    for at in range(0, 3600, 5):
        part = slice(at % 60 * rate, (at % 60 + 5) * rate)
        seconds += sum(s.end - s.start for s in voices.feed(minute[part], there[part]))
        sizes.append(held(voices))
    again = 96  # pieces: after eight minutes, blocks and minutes begin together again
    assert sizes[6 * again : 7 * again] == sizes[again : 2 * again]
    assert max(sizes) < 1_000_000  # a minute of sound has 1,920,000
    assert seconds == pytest.approx(60 * 27, rel=0.02)


@pytest.mark.parametrize(
    ("samples", "there"),
    [
        (np.array([0, np.nan], np.float32), None),
        (np.array([0, -np.inf], np.float32), None),
        (np.zeros((2, 8), np.float32), None),
        (np.float32(0.5), None),
        (np.zeros(8, np.float32), np.ones(7, np.bool_)),
        (np.zeros(8, np.float32), np.ones(8, np.uint8)),  # ~1 is not False
        (np.zeros(8, np.int16), None),  # of what full scale?
        (np.zeros(8, np.complex64), None),
    ],
)
def test_what_is_no_sound_is_refused_and_leaves_no_trace(samples: Sound, there: Mask) -> None:
    voices = VoiceActivity(RATE)
    sound = np.pad(0.1 * spoken(1.5), RATE)
    found = voices.feed(sound[:RATE])
    with pytest.raises(DataError):
        voices.feed(samples, there)
    assert found + voices.feed(sound[RATE:]) + voices.finish() == heard(sound)


# -- real speech -----------------------------------------------------------------------------------


def energetic(sound: Sound) -> tuple[int, int]:
    """The clip's middle, in hundredths: first to last of what is within 25 dB of the loudest."""
    frames = sound[: len(sound) // 160 * 160].reshape(-1, 160).astype(np.float64)
    power = np.convolve(np.square(frames).mean(axis=1), np.ones(5) / 5, "same")
    loud = np.flatnonzero(power > power.max() * 10**-2.5)
    return int(loud[0]), int(loud[-1]) + 1


@pytest.mark.shared
@pytest.mark.parametrize(
    ("decibels", "least"), [(None, 0.95), (20, 0.95), (10, 0.94), (5, 0.92), (0, 0.88)]
)
def test_one_clip_of_each_actor_is_found(shared: Path, decibels: int | None, least: float) -> None:
    """Measured: 0.968, 0.966, 0.956, 0.944 and 0.922 of the speech, no false alarm."""
    actors = sorted((shared / "data" / "ravdess_speech").glob("Actor_*"))
    assert len(actors) == 24
    hits = spoken_ = false = quiet = 0
    for number, actor in enumerate(actors):
        clips = sorted(actor.glob("*.flac"))
        sound, _ = waveform(clips[7 * number % len(clips)], RATE)
        first, end = energetic(sound)
        if decibels is not None:
            power = float(np.square(sound[first * 160 : end * 160].astype(np.float64)).mean())
            random = np.random.default_rng(number)
            noise = random.normal(0, np.sqrt(power / 10 ** (decibels / 10)), len(sound))
            sound = sound + noise.astype(np.float32)
        found = np.zeros(len(sound) // 160, np.bool_)
        for one in heard(sound):
            found[round(one.start * 100) : round(one.end * 100)] = True
        assert found[first:end].mean() > 0.6, actor.name
        hits, spoken_ = hits + int(found[first:end].sum()), spoken_ + end - first
        around = np.r_[: max(0, first - 30), min(len(found), end + 30) : len(found)]
        false, quiet = false + int(found[around].sum()), quiet + len(around)
    assert hits / spoken_ > least
    assert false / quiet < 0.005
