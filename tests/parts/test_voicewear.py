from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mien.parts import voicewear
from mien.parts.codec import mu_law
from mien.parts.voicewear import NOISES, STEPS, VoiceWear

RATE = 16_000
LENGTHS = (9000, 16_000, 4000, 12_345, 16_000, 700)

every_step = pytest.mark.parametrize("step", STEPS)


def voices(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Harmonics under a swell, another pitch in each clip, as a padded batch."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    wave, mask = torch.zeros(len(lengths), longest), torch.zeros(len(lengths), longest).bool()
    time = torch.arange(longest) / RATE
    for row, length in enumerate(lengths):
        pitch = 90 + 160 * torch.rand(1, generator=generator)
        phase = 6 * torch.rand(20, 1, generator=generator)
        number = torch.arange(1, 21)[:, None]
        tones = torch.sin(2 * math.pi * pitch * number * time[:length] + phase) / number
        wave[row, :length] = 0.15 * tones.sum(0) * (1 + torch.sin(20 * time[:length]))
        mask[row, :length] = True
    return wave, mask


def worn(wave: Tensor, mask: Tensor, **settings: Any) -> Tensor:
    """What nothing but the named steps make of it."""
    torch.manual_seed(0)
    found = VoiceWear.only(**settings)(wave, mask)
    assert isinstance(found, Tensor)
    return found


def energy(wave: Tensor) -> Tensor:
    return wave.square().sum(1)


# -- what holds for every step ---------------------------------------------------------------------


@every_step
def test_each_step_changes_clips_and_leaves_padding_silent(step: str) -> None:
    wave, mask = voices()
    before = wave.clone()
    after = worn(wave, mask, **{step: 1.0})
    assert after.shape == wave.shape
    assert after.isfinite().all()
    assert not after[~mask].any()
    assert ((after - wave).abs().amax(1) > 1e-4).all()
    assert torch.equal(wave, before)  # what came in is not written to


@every_step
def test_padding_changes_nothing(step: str) -> None:
    wave, mask = voices()
    filled = torch.cat([wave.masked_fill(~mask, 7.0), torch.full((6, 5000), -3.0)], 1)
    longer = torch.cat([mask, torch.zeros(6, 5000).bool()], 1)
    short, long = worn(wave, mask, **{step: 1.0}), worn(filled, longer, **{step: 1.0})
    torch.testing.assert_close(long[:, : wave.shape[1]], short, atol=2e-4, rtol=0)
    assert not long[:, wave.shape[1] :].any()


def test_gaps_in_a_clip_stay_silent_and_what_is_in_them_does_not_matter() -> None:
    wave, mask = voices((8000, 8000))
    mask[:, 3000:4000] = False
    loud = wave.masked_fill(~mask, 9.0)
    torch.manual_seed(1)
    first = VoiceWear()(wave, mask)
    torch.manual_seed(1)
    assert torch.equal(VoiceWear()(loud, mask), first)
    assert not first[:, 3000:4000].any()


@every_step
def test_each_step_falls_on_its_share(step: str) -> None:
    wave, mask = voices((600,) * 300)
    changed = (worn(wave, mask, **{step: 0.3}) - wave).abs().amax(1) > 1e-6
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.09)


def test_nothing_happens_outside_training() -> None:
    wave, mask = voices()
    state = torch.get_rng_state()
    assert VoiceWear().eval()(wave, mask) is wave
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(worn(wave, mask), wave)


def test_the_seed_decides() -> None:
    wear, (wave, mask) = VoiceWear(), voices()
    torch.manual_seed(2)
    first = wear(wave, mask)
    torch.manual_seed(2)
    assert torch.equal(wear(wave, mask), first)
    assert not torch.equal(wear(wave, mask), first)


@pytest.mark.parametrize("kinds", [NOISES[:-1], ("babble",)])
def test_other_clips_matter_only_where_they_babble(kinds: tuple[str, ...]) -> None:
    (one, mask), (two, _) = voices(), voices(seed=1)
    two[1] = one[1]
    wear = VoiceWear(noise=1.0, noises=kinds)
    same = []
    for seed in range(5):
        torch.manual_seed(seed)
        first = wear(one, mask)[1]
        torch.manual_seed(seed)
        same.append(torch.allclose(wear(two, mask)[1], first, atol=1e-5))
    assert all(same) is (kinds != ("babble",))


def test_silence_and_clips_that_are_not_there() -> None:
    silent, mask = torch.zeros(4, 900), torch.ones(4, 900).bool()
    mask[1] = False
    after = VoiceWear.only(**dict.fromkeys(STEPS, 1.0))(silent, mask)
    assert not after.any()  # a noise as loud as nothing is nothing
    assert VoiceWear()(torch.zeros(0, 50), torch.zeros(0, 50).bool()).shape == (0, 50)
    assert VoiceWear()(torch.zeros(2, 0), torch.zeros(2, 0).bool()).shape == (2, 0)
    one = VoiceWear.only(**dict.fromkeys(STEPS, 1.0))(*voices((500,)))
    assert one.any()


# -- the steps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.0, 20.0])
@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_as_loud_as_asked(kind: str, ratio: float) -> None:
    wave, mask = voices()
    noise = worn(wave, mask, noise=1.0, noises=(kind,), ratio=(ratio, ratio)) - wave
    measured = 10 * (energy(wave) / energy(noise)).log10()
    torch.testing.assert_close(measured, torch.full((6,), ratio), atol=0.01, rtol=0)


def test_babble_is_three_other_voices() -> None:
    wave, mask = voices((4000,) * 5)
    for row in range(5):  # a tone of its own for each
        wave[row] = torch.sin(2 * math.pi * 400 * (row + 1) * torch.arange(4000) / RATE)
    noise = worn(wave, mask, noise=1.0, noises=("babble",), ratio=(0.0, 0.0)) - wave
    power = torch.fft.rfft(noise).abs().square()
    loud = power[:, 100:501:100] / power.sum(1, keepdim=True)  # bins of 4 Hz
    assert loud.diagonal().max() < 0.01
    torch.testing.assert_close(loud.sum(1), torch.ones(5), atol=0.02, rtol=0)


def test_gain_and_polarity() -> None:
    wave, mask = voices()
    quiet = worn(wave, mask, gain=1.0, decibels=(-20.0, -20.0))
    torch.testing.assert_close(quiet, 0.1 * wave)
    torch.testing.assert_close(worn(wave, mask, polarity=1.0), -wave)
    assert worn(wave, mask, gain=1.0, decibels=(40.0, 40.0)).abs().max() == 1


@pytest.mark.parametrize("seconds", [-0.01, 0.02])
def test_a_moved_clip_begins_later(seconds: float) -> None:
    wave, mask = voices((9000, 8000))
    after, by = worn(wave, mask, move=1.0, seconds=(seconds, seconds)), round(seconds * RATE)
    expected = torch.zeros_like(wave)
    if by > 0:
        expected[:, by:] = wave[:, :-by]
    else:
        expected[:, :by] = wave[:, -by:]
    torch.testing.assert_close(after, expected.masked_fill(~mask, 0))


def test_a_clip_moves_by_a_tenth_at_most() -> None:
    wave, mask = voices((700,))
    after = worn(wave, mask, move=1.0, seconds=(0.2, 0.2))
    torch.testing.assert_close(after[:, 70:], wave[:, :-70])


@pytest.mark.parametrize("pace", [0.95, 1.04])
def test_a_faster_voice_is_higher(pace: float) -> None:
    time = torch.arange(16_000, dtype=torch.float64) / RATE
    wave = torch.sin(2 * math.pi * 500 * time).float()[None]
    mask = torch.ones_like(wave).bool()
    after = worn(wave, mask, speed=1.0, pace=(pace, pace))
    expected = torch.sin(2 * math.pi * 500 * pace * time).float()[None]
    end = min(16_000, int(16_000 / pace) - 2)
    torch.testing.assert_close(after[:, 2:end], expected[:, 2:end], atol=2e-3, rtol=0)
    assert not after[:, end + 4 :].any()


def test_a_room_keeps_the_level_and_rings_on() -> None:
    wave, mask = voices((16_000,) * 8)
    wave[:, 8000:] = 0
    after = worn(wave, mask, room=1.0, reverberation=(0.6, 0.6), direct=(0.0, 0.0))
    change = 10 * (energy(after) / energy(wave)).log10()
    assert change.abs().max() < 4
    late = energy(after[:, 8000:10_000]) / energy(after[:, 14_000:])
    assert (late > 100).all()
    assert (energy(after[:, 8000:9000]) > 1e-3 * energy(after)).all()


def test_peaks_are_cut() -> None:
    wave, mask = voices()
    after = worn(wave, mask, clipping=1.0, ceiling=(0.5, 0.5))
    peak = wave.abs().amax(1, keepdim=True)
    torch.testing.assert_close(after, wave.clamp(-peak / 2, peak / 2))


def test_bands_are_limited() -> None:
    noise, mask = torch.randn(60, 8000), torch.ones(60, 8000).bool()
    after = worn(noise, mask, band=1.0, low=(200.0, 200.0), high=(3000.0, 3000.0))
    power = torch.fft.rfft(after).abs().square()
    hertz = torch.arange(power.shape[1]) * RATE / 8000

    def loss(low: float, high: float) -> Tensor:
        inside = (hertz >= low) & (hertz < high)
        level: Tensor = 10 * (power[:, inside].mean(1) / 8000).log10()
        return level

    below, above = loss(20, 120) < -25, loss(5000, 8000) < -25
    assert (loss(600, 2000).abs() < 1.5).all()
    kinds = torch.stack([below & above, below & ~above, ~below & above]).float().mean(1)
    assert (kinds > 0.2).all()  # telephone, from below, from above
    assert float(kinds.sum()) == pytest.approx(1)


def test_codecs_are_the_ones_named() -> None:
    wave, mask = voices()
    torch.testing.assert_close(worn(wave, mask, codec=1.0, codecs=("mu_law",)), mu_law(wave))
    fine, coarse = (
        energy(worn(wave, mask, codec=1.0, codecs=("adaptive",), coarseness=(c, c)) - wave)
        for c in (0.25, 2.0)
    )
    assert (coarse > 10 * fine).all()
    high, low = (
        energy(worn(wave, mask, codec=1.0, codecs=("transform",), margin=(m, m)) - wave)
        for m in (20.0, 4.0)
    )
    assert (low > 4 * high).all()


def test_gaps_are_short_and_few() -> None:
    wave, mask = torch.ones(200, 8000), torch.ones(200, 8000).bool()
    after = worn(wave, mask, dropout=1.0, gap=(0.01, 0.01))
    gone = after == 0
    starts = (gone & ~gone.roll(1, 1)).sum(1)
    assert starts.max() <= 4
    assert starts.float().mean() == pytest.approx(2.5, abs=0.3)
    length = gone.sum(1) / RATE
    assert length.max() <= 0.0401
    assert length.median() == pytest.approx(0.025, abs=0.006)


def test_draws_between_samples_follow_a_cubic() -> None:
    place = torch.arange(20.0)
    wave = torch.stack([place.square(), place])
    at = torch.tensor([[3.25, 7.5, 10.0]] * 2, dtype=torch.float64)
    silent = torch.nn.functional.pad(wave, (2, 2))
    torch.testing.assert_close(
        voicewear._between(silent, at), torch.stack([at[0].square(), at[1]]).float()
    )
