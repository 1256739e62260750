"""Pitch against voices whose pitch is known, and against another implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vowels import RATE, silence, voice

from mien.cues.pitch import HOP, PitchTracker, track
from mien.data.sound import waveform


@pytest.mark.parametrize("hertz", [80, 97, 123, 160, 211, 275, 330, 400])
def test_pitch_is_within_two_percent_in_noise_of_20_db(hertz: int) -> None:
    frames = track(voice(hertz, noise=20.0, seed=hertz))
    inside = frames.pitch[3:-3]
    assert (inside > 0).mean() > 0.99
    assert np.abs(inside[inside > 0] / hertz - 1).max() < 0.02


def test_pitch_follows_a_glide() -> None:
    glide = 110 * 2 ** np.linspace(0, 1.5, 2 * RATE)  # an octave and a half in two seconds
    frames = track(voice(glide, 2.0, noise=20.0))
    truth = np.interp(frames.times, np.arange(len(glide)) / RATE, glide)
    voiced = frames.pitch > 0
    assert voiced.mean() > 0.97
    assert np.abs(frames.pitch[voiced] / truth[voiced] - 1).max() < 0.02


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_any_rate_will_do(rate: int) -> None:
    frames = track(voice(150, rate=rate), rate)
    assert abs(float(np.median(frames.pitch)) / 150 - 1) < 0.005
    assert np.allclose(np.diff(frames.times), round(HOP * rate) / rate)


def test_noise_silence_and_nothing_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    assert (track(noise).pitch > 0).mean() < 0.02
    assert not track(np.zeros(RATE, np.float32)).pitch.any()
    assert len(track(np.zeros(100, np.float32))) == 0
    both = track(np.concatenate([silence(0.5), voice(120, 0.5), silence(0.5)]))
    outside = (both.times < 0.47) | (both.times > 1.03)
    assert not (both.pitch[outside] > 0).any()
    assert (both.pitch[(both.times > 0.54) & (both.times < 0.96)] > 0).all()


def test_however_it_is_cut_the_answer_is_the_same() -> None:
    sound = np.concatenate([voice(100, 7.3), silence(0.4), voice(230, 6.1), silence(3)])
    whole = track(sound, start=2.5)
    tracker = PitchTracker(RATE, start=2.5)
    given = [tracker.feed(sound[at : at + 7777]) for at in range(0, len(sound), 7777)]
    parts = [*given, tracker.finish()]
    for name in ("times", "pitch", "periodic", "energy", "tilt"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(whole, name)), name
    assert whole.times[0] == pytest.approx(2.52, abs=1e-3)


def test_a_path_that_is_settled_early_is_the_best_path() -> None:
    """What is given out block by block is what one look at everything gives."""
    rng = np.random.default_rng(3)
    hertz = 140 * 2 ** np.cumsum(rng.normal(0, 0.0004, 12 * RATE))
    sound = voice(hertz, 12.0, noise=3.0)
    early, late = PitchTracker(), PitchTracker()
    late._path.settled = lambda held: np.zeros(0, np.intp)  # type: ignore[method-assign]
    settled = early.feed(sound)
    late.feed(sound)
    del late._path.settled
    assert len(settled) > 800
    assert np.array_equal(late.finish().pitch[: len(settled)], settled.pitch)


def test_energy_and_tilt_are_in_decibels() -> None:
    time = np.arange(RATE) / RATE
    low = (0.5 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    high = (0.05 * np.sin(2 * np.pi * 2000 * time)).astype(np.float32)
    frames = track(low + high)
    assert np.allclose(frames.energy, 10 * np.log10(0.5**2 / 2 + 0.05**2 / 2), atol=0.1)
    assert np.allclose(frames.tilt, -20, atol=0.2)
    assert np.allclose(track(np.zeros(RATE, np.float32)).energy, -100)


@pytest.mark.shared
def test_pitch_and_energy_agree_with_praat(shared: Path) -> None:
    parselmouth = pytest.importorskip("parselmouth", reason="pip install praat-parselmouth")
    errors, agreed, pitch, energy = [], [], [], []
    for file in sorted((shared / "data" / "ravdess_speech").glob("*/*.flac"))[::131]:
        samples, _ = waveform(file, RATE)
        frames = track(samples)
        sound = parselmouth.Sound(samples.astype(np.float64), RATE)
        heard = sound.to_pitch_ac(time_step=HOP)
        theirs = np.array([heard.get_value_at_time(t) for t in frames.times])
        ours = np.where(frames.pitch > 0, frames.pitch, np.nan)
        both = np.isfinite(theirs) & np.isfinite(ours)
        agreed.append((np.isfinite(theirs) == np.isfinite(ours)).mean())
        errors.append(np.median(np.abs(ours[both] / theirs[both] - 1)))
        pitch.append(np.corrcoef(ours[both], theirs[both])[0, 1])
        loud = sound.to_intensity(minimum_pitch=75, time_step=HOP)
        level = np.array([loud.get_value(t) for t in frames.times])
        known = np.isfinite(level)
        level = np.maximum(level[known], -6)  # 100 dB under full scale, as ours
        energy.append(np.corrcoef(frames.energy[known], level)[0, 1])
    assert np.median(errors) < 0.005
    assert np.median(agreed) > 0.95
    assert np.median(pitch) > 0.95
    assert np.median(energy) > 0.95
