from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.fft import dct
from torch import Tensor

from mien.parts import codec
from mien.parts.codec import HOP, adaptive, imdct, mdct, mu_law, transform_coded

RATE = 16_000


def vowel(seconds: float = 1.0, pitch: float = 120.0) -> Tensor:
    """Harmonics that fall off with frequency and swell twice a second, (1, L)."""
    time = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    parts = [torch.sin(2 * math.pi * pitch * k * time + k) / k for k in range(1, 60)]
    swell = 0.55 + 0.45 * torch.sin(4 * math.pi * time)
    return (0.2 * torch.stack(parts).sum(0) * swell).float()[None]


def ratio(clean: Tensor, worn: Tensor) -> float:
    """Signal to damage in dB."""
    damage = (worn - clean).square().sum()
    return 10 * math.log10(float(clean.square().sum() / damage))


# -- companding ------------------------------------------------------------------------------------


def test_mu_law_is_its_formula() -> None:
    wave = torch.linspace(-1, 1, 4001, dtype=torch.float64)[None]
    values = wave[0].numpy()
    code = np.round(np.sign(values) * np.log(1 + 255 * np.abs(values)) / np.log(256) * 127)
    expected = np.sign(code) * (256 ** (np.abs(code) / 127) - 1) / 255
    np.testing.assert_allclose(mu_law(wave)[0].numpy(), expected, atol=1e-12)


def test_mu_law_is_fine_where_it_is_quiet() -> None:
    wave = torch.linspace(-1, 1, 40_001)[None]
    error = (mu_law(wave) - wave).abs()
    assert error.max() < 0.025
    assert error[wave.abs() < 0.01].max() < 0.001
    assert len(set(mu_law(wave)[0].tolist())) == 255
    assert not mu_law(torch.zeros(1, 5)).any()


@pytest.mark.parametrize("level", [0.1, 0.3, 1.0])
def test_companding_has_one_ratio_at_all_levels(level: float) -> None:
    clean = vowel() * level
    assert 34 < ratio(clean, mu_law(clean)) < 41  # G.711 is said to have 38 dB


# -- an adaptive step ------------------------------------------------------------------------------


def test_the_adaptive_step_follows_the_level() -> None:
    clean = torch.cat([vowel(0.5), 0.01 * vowel(0.5)], 1)
    worn = adaptive(clean, torch.ones(1))
    half = clean.shape[1] // 2
    loud = ratio(clean[:, : half - 100], worn[:, : half - 100])
    quiet = ratio(clean[:, half + 100 :], worn[:, half + 100 :])
    assert loud == pytest.approx(quiet, abs=1)
    assert 15 < loud < 35


def test_a_coarser_step_does_more_damage() -> None:
    clean = vowel()
    ratios = [ratio(clean, adaptive(clean, torch.tensor([c]))) for c in (0.5, 1.0, 2.0)]
    # Twice the step is 6 dB less, as long as it is finer than the signal.
    assert np.diff(ratios) == pytest.approx([-6, -6], abs=1)
    assert not adaptive(torch.zeros(2, 40), torch.ones(2)).any()


# -- a lapped transform ----------------------------------------------------------------------------


def test_the_cosine_transform_is_scipys() -> None:
    values = torch.randn(3, 5, HOP, dtype=torch.float64)
    expected = dct(values.numpy(), type=4, norm="ortho")
    np.testing.assert_allclose(codec._cosines(values).numpy(), expected, atol=1e-10)


def test_coefficients_are_those_of_the_definition() -> None:
    wave = torch.randn(1, 3 * HOP, dtype=torch.float64)
    place, bin_ = torch.arange(2.0 * HOP).double(), torch.arange(float(HOP)).double()[:, None]
    basis = torch.cos(math.pi / HOP * (place + 0.5 + HOP / 2) * (bin_ + 0.5))
    window = torch.sin(math.pi / (2 * HOP) * (place + 0.5))
    expected = math.sqrt(2 / HOP) * basis @ (window * wave[0, : 2 * HOP])
    torch.testing.assert_close(mdct(wave)[0, 1], expected)


@pytest.mark.parametrize("length", [1, HOP - 1, HOP, 5 * HOP + 3])
def test_frames_overlap_to_what_they_were(length: int) -> None:
    wave = torch.randn(2, length, dtype=torch.float64)
    torch.testing.assert_close(imdct(mdct(wave))[:, :length], wave)


def test_a_larger_margin_does_less_damage() -> None:
    clean = vowel().repeat(3, 1)
    worn = transform_coded(clean, torch.tensor([3.0, 10.0, 20.0]), torch.full((3,), 7900.0), RATE)
    ratios = [ratio(one[None], two[None]) for one, two in zip(clean, worn, strict=True)]
    assert ratios[0] + 3 < ratios[1] < ratios[2] - 3
    assert 3 < ratios[0] < 15


def test_nothing_is_kept_above_the_cutoff() -> None:
    noise = torch.randn(1, RATE)
    worn = transform_coded(noise, torch.tensor([20.0]), torch.tensor([4000.0]), RATE)
    power = torch.fft.rfft(worn).abs().square()[0]
    hertz = torch.arange(len(power)) * RATE / worn.shape[1]
    assert power[hertz > 4100].sum() < 1e-3 * power[hertz < 3900].sum()
    assert power[(hertz > 2500) & (hertz < 3900)].mean() > 0.5 * power[hertz < 2500].mean()


def test_noise_hides_under_loud_bands() -> None:
    """The damage has the colour of the sound, not that of white noise."""
    clean = vowel()
    damage = transform_coded(clean, torch.tensor([10.0]), torch.tensor([8000.0]), RATE) - clean
    power = torch.fft.rfft(damage).abs().square()[0]
    half = len(power) // 4
    assert power[:half].sum() > 4 * power[half:].sum()  # a third of it, were it white


def test_level_changes_nothing_but_level() -> None:
    clean = vowel()
    settings = (torch.tensor([8.0]), torch.tensor([7000.0]), RATE)
    worn = transform_coded(clean, *settings)
    torch.testing.assert_close(0.01 * worn, transform_coded(0.01 * clean, *settings), atol=2e-5,
                               rtol=0)  # fmt: skip
    assert not transform_coded(torch.zeros(1, 3000), *settings).any()
