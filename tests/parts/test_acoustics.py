from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import butter, fftconvolve, sosfreqz
from torch import Tensor

from mien.parts.acoustics import (
    PERIOD,
    band_limited,
    coloured,
    convolved,
    hum,
    impulse_responses,
    quick,
)

RATE = 16_000


def octaves(noise: Tensor, lowest: float = 100.0, count: int = 6) -> Tensor:
    """Decibels of the mean power in octaves from a frequency up, over all clips."""
    power = torch.fft.rfft(noise).abs().square().mean(0)
    hertz = torch.arange(len(power)) * RATE / noise.shape[1]
    bands = [
        power[(hertz >= lowest * 2**k) & (hertz < lowest * 2 ** (k + 1))].mean()
        for k in range(count)
    ]
    return 10 * torch.stack(bands).log10()


# -- rooms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "tail"), [(1, 1), (500, 90), (90, 500), (4097, 1000)])
def test_convolution_is_scipys(length: int, tail: int) -> None:
    wave, answer = torch.randn(3, length).double(), torch.randn(3, tail).double()
    expected = fftconvolve(wave.numpy(), answer.numpy(), axes=1)[:, :length]
    np.testing.assert_allclose(convolved(wave, answer).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.8])
def test_a_room_falls_by_sixty_decibels_in_its_time(seconds: float) -> None:
    answers = impulse_responses(torch.full((20,), seconds), torch.zeros(20), RATE, 0.8)
    assert answers.shape == (20, 12_800)
    energy = answers.square().mean(0)
    # Schroeder's backward integral, between 5 and 25 dB below the tail's beginning.
    tail = energy[round(0.06 * RATE) :].flip(0).cumsum(0).flip(0)
    fallen = 10 * (tail / tail[0]).log10()
    at = [int((fallen > -level).sum()) for level in (5, 25)]
    assert 3 * (at[1] - at[0]) / RATE == pytest.approx(seconds, rel=0.15)


@pytest.mark.parametrize("direct", [-5.0, 0.0, 12.0])
def test_the_direct_sound_is_as_loud_as_asked(direct: float) -> None:
    answers = impulse_responses(torch.full((4,), 0.4), torch.full((4,), direct), RATE, 0.5)
    torch.testing.assert_close(answers.norm(dim=1), torch.ones(4))
    energy = answers.square()
    measured = 10 * (energy[:, 0] / energy[:, 1:].sum(1)).log10()
    torch.testing.assert_close(measured, torch.full((4,), direct), atol=1e-3, rtol=0)
    assert not answers[:, 1 : round(0.002 * RATE)].any()


def test_high_tones_die_earlier() -> None:
    answers = impulse_responses(torch.full((50,), 0.8), torch.zeros(50), RATE, 0.8)
    early, late = octaves(answers[:, 1000:3000], 500, 4), octaves(answers[:, 8000:10000], 500, 4)
    assert early[3] - early[0] > late[3] - late[0] + 6


# -- filters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(300.0, 3400.0), (0.0, 2500.0), (150.0, math.inf)])
def test_a_band_has_butterworths_slopes(low: float, high: float) -> None:
    click = torch.zeros(1, 20_001)
    click[0, 10_000] = 1
    answer = band_limited(click, torch.tensor([low]), torch.tensor([high]), RATE)
    found = torch.fft.rfft(answer[0].double()).abs().numpy()
    hertz = np.arange(len(found)) * RATE / click.shape[1]
    expected = np.ones_like(found)
    for edge, kind in ((low, "highpass"), (high, "lowpass")):
        if 0 < edge < math.inf:
            # An analogue filter in effect: at a rate at which the bilinear map bends nothing.
            filter_ = butter(8, edge, kind, fs=64 * RATE, output="sos")
            expected *= np.abs(sosfreqz(filter_, hertz, fs=64 * RATE)[1])
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_no_limits_change_nothing() -> None:
    wave = torch.randn(2, 3000)
    same = band_limited(wave, torch.zeros(2), torch.full((2,), math.inf), RATE)
    torch.testing.assert_close(same, wave, atol=1e-5, rtol=0)


# -- noises ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_falls_with_its_slope(slope: float) -> None:
    noise = coloured(torch.full((8,), slope), PERIOD, RATE)
    assert octaves(noise).diff().mean() == pytest.approx(-3.01 * slope, abs=0.15)
    assert float(noise.mean().abs()) < 1e-6  # no constant
    assert not torch.allclose(noise[0], noise[1])


def test_draws_do_not_depend_on_the_length() -> None:
    torch.manual_seed(3)
    long = coloured(torch.ones(2), PERIOD + 500, RATE)
    torch.manual_seed(3)
    torch.testing.assert_close(coloured(torch.ones(2), 800, RATE), long[:, :800])
    assert torch.equal(long[:, :500], long[:, PERIOD:])


def test_hum_has_the_tones_of_the_mains() -> None:
    sound = hum(30, RATE, RATE, torch.device("cpu"))  # one second: a bin for each Hz
    power = torch.fft.rfft(sound.double()).abs().square()
    for one in power:
        strong = set((one > 1e-6 * one.max()).nonzero()[:, 0].tolist())
        assert any(strong <= {base * k for k in range(1, 9)} for base in (50, 60))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 1000, 65_536, 65_537, 123_457])
def test_quick_lengths_are_long_enough_and_hardly_longer(length: int) -> None:
    assert length <= quick(length) <= max(2, length * 1.13 + 1)
