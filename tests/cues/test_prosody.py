"""Stretches of speech: what is measured of them, and how that differs from what is usual."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from vowels import RATE, Sound, silence, syllables, talk, voice

from mien.cues.measures import MEASURES, measured
from mien.cues.pitch import track
from mien.cues.prosody import Listener, Utterance
from mien.cues.schema import Face
from mien.cues.usual import Usual
from mien.data.voice import Speech


def of(sound: Sound) -> dict[str, float]:
    return measured(track(sound), sound, RATE, 0.0)


def shaken(period: float, loud: float, seed: int = 0) -> Sound:
    """Periods whose lengths and amplitudes differ by known shares, each from the next."""
    rng = np.random.default_rng(seed)
    lasts = RATE / 120 * (1 + period * rng.standard_normal(150))
    at = np.cumsum(lasts)
    time = np.arange(int(at[-1]))
    sound = np.zeros(len(time))
    for begin, size in zip(at, 1 + loud * rng.standard_normal(150), strict=True):
        later = time - begin
        ring = np.exp(-np.clip(later, 0, None) / 60) * np.sin(2 * np.pi * 600 / RATE * later)
        sound += np.where(later >= 0, size * ring, 0)
    return (0.2 * sound).astype(np.float32)


def test_pitch_energy_and_range() -> None:
    low, high = of(voice(110, 2)), of(voice(220, 2))
    assert low["pitch"] == pytest.approx(110, rel=0.01)
    assert high["pitch"] == pytest.approx(220, rel=0.01)
    assert low["energy"] == pytest.approx(-20, abs=0.5)
    assert of(0.5 * voice(110, 2))["energy"] == pytest.approx(-26, abs=0.5)
    wide = of(voice(110 * 2 ** np.linspace(0, 1, 2 * RATE), 2))
    assert wide["pitch_range"] == pytest.approx(0.8 * 12, abs=0.8)
    assert low["pitch_range"] < 0.5


def test_rate_counts_syllables() -> None:
    for seconds in (0.15, 0.25):
        found = of(syllables(140, 10, seconds))["rate"]
        assert found == pytest.approx(1 / seconds, rel=0.15)


def test_pauses_are_within_and_before() -> None:
    broken = np.concatenate([voice(120, 1), silence(1), voice(120, 1)])
    assert of(broken)["pauses"] == pytest.approx(1 / 3, abs=0.05)
    assert of(voice(120, 2))["pauses"] == 0
    frames = track(voice(120, 2))
    assert measured(frames, voice(120, 2), RATE, 0, waited=2)["pauses"] == pytest.approx(
        0.5, abs=0.02
    )


def test_noise_lowers_harmonicity() -> None:
    clear, hoarse = of(voice(150, 1, noise=30)), of(voice(150, 1, noise=6))
    assert clear["harmonicity"] > 20
    assert hoarse["harmonicity"] == pytest.approx(6, abs=2)


@pytest.mark.parametrize("share", [0.005, 0.01, 0.02])
def test_jitter_and_shimmer_grow_as_they_should(share: float) -> None:
    """Neighbours of n independent draws differ by 2 / sqrt(pi) of their deviation."""
    expected = 2 / np.sqrt(np.pi) * share
    steady, uneven = of(shaken(0, 0)), of(shaken(share, 0))
    assert steady["jitter"] < 0.001
    assert uneven["jitter"] == pytest.approx(expected, rel=0.35)
    loud = of(shaken(0, 5 * share))
    assert steady["shimmer"] < 0.01
    assert loud["shimmer"] == pytest.approx(5 * expected, rel=0.35)


def test_of_a_whisper_nothing_is_said_of_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32)
    assert set(of(noise)) == {"energy", "energy_range", "pauses"}
    assert measured(track(np.zeros(10, np.float32)), np.zeros(10, np.float32), RATE, 0) == {}


# -- listening -------------------------------------------------------------------------------------


def test_stretches_are_found_and_measured() -> None:
    listener = Listener(start=100.0)
    first, second = listener.feed(talk()) + listener.finish()
    assert first.speech.start == pytest.approx(101.5, abs=0.15)
    assert second.speech.end == pytest.approx(106.2, abs=0.15)
    assert first.values["pitch"] == pytest.approx(120, rel=0.1)
    assert second.values["pitch"] == pytest.approx(240, rel=0.1)
    assert second.values["pauses"] == pytest.approx(1.5 / 3.1, abs=0.1)
    assert first.values["pauses"] < 0.1  # nothing is known of what was before
    assert list(first.values) == list(MEASURES)


def test_however_sound_is_cut_the_same_is_heard() -> None:
    sound = np.concatenate([talk(), talk(), talk()])
    whole = Listener()
    expected = whole.feed(sound) + whole.finish()
    assert len(expected) == 6
    for size in (1600, 50_001):
        listener = Listener()
        found = [
            u for at in range(0, len(sound), size) for u in listener.feed(sound[at : at + size])
        ]
        assert found + listener.finish() == expected


def test_nothing_of_what_was_measured_is_kept() -> None:
    listener, sound, held = Listener(), talk(), 0
    for _ in range(8):  # over a minute
        for at in range(0, len(sound), RATE):
            listener.feed(sound[at : at + RATE])
            held = max(held, len(listener._samples) + len(listener._frames))
    assert held < 20 * RATE


# -- against what is usual -------------------------------------------------------------------------


def utterance(pitch: float, at: float = 0.0, seconds: float = 1.0) -> Utterance:
    return Utterance(Speech(at, at + seconds, 1.0), {"pitch": pitch, "energy": -30.0})


def test_levels_are_deviations_from_what_is_usual() -> None:
    usual = Usual()
    usual.hear(utterance(hertz) for hertz in (100, 200, 100, 200, 100, 200))
    levels = {h.name: h for h in usual.heard(utterance(200))}
    assert levels["pitch"].score == pytest.approx(1.0)  # of logarithms: an octave is two deviations
    assert (levels["pitch"].value, levels["pitch"].scale) == (200.0, "level")
    assert levels["energy"].score is None  # it never differed
    assert next(usual.heard(utterance(100 * 2**0.5))).score == pytest.approx(0, abs=1e-9)
    assert next(usual.heard(utterance(1e9))).score == 9


def test_of_a_voice_that_is_hardly_known_no_level_is_told() -> None:
    usual = Usual()
    usual.hear(utterance(hertz) for hertz in (100, 200, 150, 170))
    assert [heard.score for heard in usual.heard(utterance(100))] == [None, None]


def test_longer_stretches_count_more() -> None:
    usual = Usual()
    usual.hear([utterance(100, seconds=9), *(utterance(400, seconds=0.25) for _ in range(4))])
    found = next(usual.heard(utterance(100))).score
    values = np.log([100, 400])
    mean = 0.9 * values[0] + 0.1 * values[1]
    spread = np.sqrt(0.9 * (values[0] - mean) ** 2 + 0.1 * (values[1] - mean) ** 2)
    assert found == pytest.approx((values[0] - mean) / spread)


def test_faces_have_levels_of_strengths_before_presence() -> None:
    usual = Usual()
    seen = [
        Face(time=t, units={"AU1": 1.0, "AU2": t / 10}, strengths={"AU1": t / 20}) for t in range(9)
    ]
    usual.see(seen)
    levels = usual.seen(seen[-1]).levels
    assert levels["AU1"] == pytest.approx(levels["AU2"]) == pytest.approx(np.sqrt(12 / 80) * 4)
    assert usual.seen(Face(time=0, present=False)) == Face(time=0, present=False)
    assert dataclasses.replace(usual.seen(seen[0]), levels={}) == seen[0]
