"""A voice says what it was asked to: its pitch, its rate, its pauses; and it is heard as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.data import spoken, uttered
from mien.data.acted import EMOTIONS
from mien.data.spoken import RATE
from mien.data.uttered import CONTROL, DELIVERIES, NEUTRAL, Delivery, Uttering, Voice
from mien.data.voice import VoiceActivity, share

TEXT = "the little river runs behind a yellow house, and nobody opened seven windows"
WORDS = TEXT.split()
Sound = NDArray[np.float32]


def said(name: str, seed: int = 0, seconds: float = 3.0) -> Uttering:
    """Somebody says something in one delivery."""
    random = np.random.default_rng([seed, 9])
    weights = np.asarray([float(other == name) for other in DELIVERIES])
    how = uttered.mixed(weights)
    return uttered.utter(WORDS, uttered.voice(random), lambda _: how, random, until=seconds)


def vowel(pitch: float, seconds: float = 1.0, **given: float) -> Uttering:
    """One long a, level and clear."""
    count = round(seconds * CONTROL)
    flat = {
        "pitch": pitch, "level": 1.0, "breath": 0.0, "tense": 0.5, "jitter": 0.0, "shimmer": 0.0,
        "hiss": 0.0, "place": 3000.0, "opening": 1.0, "rounding": 0.0,
    } | given  # fmt: skip
    return Uttering(
        formants=np.tile([740.0, 1250.0, 2550.0, 3500.0], (count, 1)),
        said=("a",),
        **{name: np.full(count, value) for name, value in flat.items()},
    )


def pitch_of(sound: Sound) -> float:
    """Hz, from the first high peak of an autocorrelation, between samples by a parabola."""
    sound = sound - sound.mean()
    size = 1 << (2 * len(sound)).bit_length()
    likeness = np.fft.irfft(np.abs(np.fft.rfft(sound, size)) ** 2)[: RATE // 60]
    first, last = RATE // 500, RATE // 65
    lags = np.arange(first - 1, last + 1)
    near = likeness[lags] / (1 - lags / len(sound))  # fewer samples meet at longer lags
    peaks = (near[1:-1] > near[:-2]) & (near[1:-1] >= near[2:]) & (near[1:-1] > 0.85 * near.max())
    at = first + int(np.flatnonzero(peaks)[0])
    below, top, above = likeness[at - 1 : at + 2]
    return float(RATE / (at + 0.5 * (below - above) / (below - 2 * top + above)))


@pytest.mark.parametrize("pitch", [85.0, 120.0, 173.0, 226.0, 310.0])
def test_pitch_is_what_was_asked_for(pitch: float) -> None:
    sound = spoken.speak(vowel(pitch), np.random.default_rng(0))
    assert pitch_of(sound[2000:12000]) == pytest.approx(pitch, rel=0.01)


@pytest.mark.parametrize("name", list(DELIVERIES))
def test_pitch_follows_its_contour_through_speech(name: str) -> None:
    """Where voice is loud for 50 ms, its period is that of the contour within 3 %."""
    what = said(name, seconds=3.0)
    sound = spoken.speak(what, np.random.default_rng(0))
    errors = []
    for first in range(0, len(what.pitch) - 10, 5):
        near = slice(first, first + 10)
        steady = np.ptp(what.pitch[near]) < 0.1 * what.pitch[near].mean()
        if what.level[near].min() > 0.2 and steady:
            piece = sound[first * RATE // CONTROL : (first + 10) * RATE // CONTROL]
            errors.append(abs(pitch_of(piece) / what.pitch[near].mean() - 1))
    assert len(errors) > 5
    assert np.median(errors) < 0.03


def test_jitter_and_shimmer_are_heard() -> None:
    def spread(**given: float) -> float:
        """How much the peaks of successive periods differ."""
        sound = spoken.speak(vowel(100.0, **given), np.random.default_rng(0))[1600:14400]
        peaks = np.abs(sound).reshape(-1, RATE // 100).max(axis=1)
        return float(peaks.std() / peaks.mean())

    assert spread() < 0.02
    assert spread(shimmer=0.15) > 0.08
    clean, rough = (
        spoken.speak(vowel(100.0, jitter=value), np.random.default_rng(0)) for value in (0, 0.02)
    )
    like = [np.corrcoef(s[3200:8000], s[3360:8160])[0, 1] for s in (clean, rough)]
    assert like[0] > 0.99 > like[1] + 0.02


def test_formants_stand_out_of_a_whispered_vowel() -> None:
    sound = spoken.speak(vowel(120.0, level=0.8, breath=1.0), np.random.default_rng(0))
    power = np.abs(np.fft.rfft(sound[:16000])) ** 2  # bins of 1 Hz
    near = [power[hertz - 150 : hertz + 150].mean() for hertz in (740, 1900, 2550)]
    assert near[0] > 5 * near[1]
    assert near[2] > 1.2 * near[1]


def test_tense_voices_are_brighter() -> None:
    def bright(tense: float) -> float:
        sound = spoken.speak(vowel(120.0, tense=tense), np.random.default_rng(0))
        power = np.abs(np.fft.rfft(sound[:16000])) ** 2
        return float(power[1500:5000].sum() / power[:1000].sum())

    assert bright(0.2) < bright(0.5) < bright(0.8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", list(DELIVERIES))
def test_it_is_heard_as_speech(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    sound = spoken.record(spoken.speak(said(name, seed), random), spoken.microphone(random), random)
    assert np.abs(sound).max() <= 0.9  # and so finite
    voices = VoiceActivity(RATE)
    heard = voices.feed(sound) + voices.finish()
    assert share(heard, 0.1, 2.9) > 0.75


def test_deliveries_differ_in_what_they_say_they_do() -> None:
    rates = {name: len(said(name, seconds=8.0).level) for name in DELIVERIES}
    assert set(rates.values()) == {8 * CONTROL}

    def onsets(name: str) -> int:
        level = said(name, seconds=8.0).level > 0.05
        return int((level[1:] & ~level[:-1]).sum())

    def quiet(name: str) -> float:
        what = said(name, seconds=8.0)
        return float((what.level + what.hiss < 0.01).mean())

    def swing(name: str) -> float:
        what = said(name, seconds=8.0)
        return float(np.std(np.log2(what.pitch[what.level > 0.2])))

    def loudness(name: str) -> float:
        level = said(name, seconds=8.0).level
        return float(np.std(20 * np.log10(level[level > 0.05])))

    assert onsets("lively") > 1.6 * onsets("soft")
    assert quiet("halting") > max(quiet(name) for name in DELIVERIES if name != "halting") + 0.1
    assert min(swing("lively"), swing("forceful")) > 1.5 * max(swing("soft"), swing("halting"))
    assert loudness("forceful") > loudness("soft")


def test_deliveries_are_mixed_between() -> None:
    assert uttered.mixed(np.zeros(4)) == NEUTRAL
    half = uttered.mixed(np.asarray([0.5, 0, 0, 0]))
    assert half.rate == pytest.approx((NEUTRAL.rate + DELIVERIES["lively"].rate) / 2)
    assert set(DELIVERIES) == {emotion.delivery for emotion in EMOTIONS.values()}


@pytest.mark.parametrize(
    ("word", "vowels"),
    [
        ("river", "ie"),
        ("yellow", "eo"),
        ("house", "o"),
        ("the", "e"),
        ("nobody", "ooi"),
        ("m", "e"),
        ("yes", "e"),
    ],
)
def test_words_have_syllables(word: str, vowels: str) -> None:
    assert "".join(s.vowel for s in uttered.syllables([word])) == vowels


def test_a_phrase_ends_at_a_mark() -> None:
    found = uttered.syllables(["seven,", "windows"])
    assert [s.final for s in found] == [False, True, False, True]


def test_lips_close_for_b_and_open_for_a() -> None:
    voice, random = uttered.voice(np.random.default_rng(0)), np.random.default_rng(0)
    what = uttered.utter(["baba"], voice, lambda _: NEUTRAL, random)
    loud = what.level > 0.5
    assert what.opening[loud].max() > 0.5
    closed = np.flatnonzero(what.hiss > 0)
    assert what.opening[closed].min() < 0.05


def test_all_words_are_said_and_nothing_in_silence() -> None:
    voice, random = uttered.voice(np.random.default_rng(0)), np.random.default_rng(0)
    what = uttered.utter(WORDS, voice, lambda _: NEUTRAL, random, silent=[(1.0, 2.0)])
    level = what.level + what.hiss
    assert level[int(1.35 * CONTROL) : 2 * CONTROL].max() == 0  # what was begun is finished
    assert level[2 * CONTROL :].max() > 0.5
    assert what.said == tuple(WORDS)


def test_microphones_colour_and_add_noise() -> None:
    voice = spoken.speak(vowel(120.0), np.random.default_rng(0))
    plain: dict[str, Any] = {
        "gain": 0.0,
        "tilt": 0.0,
        "colour": (0.0, 0.0, 0.0),
        "echo": 0.1,
        "wet": 0.0,
    }

    def heard(**given: Any) -> Sound:
        where = spoken.Microphone(**(plain | {"noise": -80.0} | given))
        return spoken.record(voice, where, np.random.default_rng(0))

    def bright(sound: Sound) -> float:
        power = np.abs(np.fft.rfft(sound)) ** 2
        return float(power[2000:6000].sum() / power[200:1500].sum())

    assert bright(heard(tilt=3.0)) > 2 * bright(heard()) > 4 * bright(heard(tilt=-3.0))
    quiet = float(heard(gain=-12.0).std() / heard().std())
    assert 20 * np.log10(quiet) == pytest.approx(-12, abs=0.5)
    silence = spoken.record(
        np.zeros(RATE, np.float32),
        spoken.Microphone(**plain, noise=-20.0),
        np.random.default_rng(0),
    )
    assert np.isfinite(silence).all()


def test_voices_differ_by_who_and_repeat_by_seed() -> None:
    def one(seed: int) -> Voice:
        return uttered.voice(np.random.default_rng(seed))

    assert one(1) == one(1) != one(2)
    assert all(60 < one(seed).pitch < 300 for seed in range(50))
    assert isinstance(NEUTRAL, Delivery)
