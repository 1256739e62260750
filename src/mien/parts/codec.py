"""What codecs of sound leave of a waveform, all clips at once.

Three kinds: companded samples (G.711), an adaptive step that follows the signal (as in ADPCM), and
the coefficients of a lapped transform, rounded as coarsely as louder neighbours hide it (as in MP3
and AAC). The last two imitate the damage, not the bits of any one format; benchmarks/wear.py
compares it with that of real encoders, band by band.

Shapes: n clips, L samples, K coefficients a frame.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

HOP = 512
"""Samples from one transformed frame to the next, and coefficients of each."""

_PACE = 16  # samples after which the adaptive step changes
_BANDS = 21  # of about one Bark each
_BELOW, _ABOVE = 25.0, 10.0  # decibels a band that masking falls off towards low and high bands
_TILT = 12.0  # decibels that less care is taken of the highest band than of the lowest
_QUIET = -75.0  # decibels under the loudest band of a clip, below which nothing is heard


def mu_law(wave: Tensor, levels: int = 256, mu: float = 255.0) -> Tensor:
    """Samples in -1..1 rounded to companded ones: fine where it is quiet. Silence stays silence.

    Args:
        wave: (n, L).
        levels: of the companded samples, one of them unused so that 0 is one.
        mu: strength of the companding.
    """
    most = levels // 2 - 1
    companded = torch.log1p(mu * wave.abs().clamp(max=1)) / math.log1p(mu)
    companded = (companded * most).round() / most
    return wave.sign() * torch.expm1(companded * math.log1p(mu)) / mu


def adaptive(wave: Tensor, coarseness: Tensor) -> Tensor:
    """Samples rounded to multiples of a step that grows with how fast the signal moves there.

    Args:
        wave: (n, L).
        coarseness: (n), the step in mean differences between neighbours over 4 ms at 16 kHz;
            0.5 to 1 damages speech about as much as ADPCM of four bits.
    """
    length = wave.shape[1]
    moved = F.pad(wave, (1, _PACE - length % _PACE)).diff(dim=1).abs()
    near = F.avg_pool1d(F.pad(moved[:, None], (_PACE, 2 * _PACE)), 4 * _PACE, _PACE)[:, 0]
    step = (near * coarseness[:, None]).clamp(min=1e-5).repeat_interleave(_PACE, 1)[:, :length]
    return (wave / step).round_().mul_(step)


def transform_coded(wave: Tensor, margin: Tensor, cutoff: Tensor, rate: int) -> Tensor:
    """Coefficients of a lapped cosine transform (MDCT), rounded as far as they mask it.

    Each band of each frame masks its neighbours, towards higher bands further than towards lower
    ones. Where a coefficient is smaller than half the step that this allows, it is gone: so quiet
    bands get holes that come and go, which is what a low bit rate sounds like.

    Args:
        wave: (n, L).
        margin: (n), decibels that the noise stays under what masks it in the lowest band; less in
            higher ones. Measured on speech, 24 damages about as much as MP3 at 32 kbit/s or Opus at
            24, 20 as AAC at 32, 16 as AAC at 24, and 12 as MP3 at 16.
        cutoff: (n), Hz above which nothing is kept.
        rate: samples a second.
    """
    length = wave.shape[1]
    spectrum = mdct(wave)  # (n, frames, K)
    bands = _bands(rate).to(wave)  # (K, bands)
    energy = (spectrum.square() @ bands) / bands.sum(0)  # mean of each band
    quiet = energy.amax((1, 2), keepdim=True) * 10 ** (_QUIET / 10)
    height = torch.linspace(0, 1, bands.shape[1]).to(wave)
    below = margin.view(-1, 1, 1) - _TILT * height
    masking = energy @ _spreading(wave) * 10 ** (-below / 10)
    # Rounding to steps of s makes an error of s * s / 12.
    step = (12 * torch.maximum(masking, quiet)).sqrt_().clamp_(min=1e-9) @ bands.T
    spectrum = (spectrum / step).round_().mul_(step)
    hertz = (torch.arange(HOP, device=wave.device) + 0.5) * rate / (2 * HOP)
    spectrum *= hertz < cutoff[:, None, None]
    return imdct(spectrum)[:, :length]


def mdct(wave: Tensor) -> Tensor:
    """(n, L) to coefficients (n, frames, K) of frames of 2 K samples under a sine window."""
    frames = -(-wave.shape[1] // HOP) + 1
    wave = F.pad(wave, (HOP, frames * HOP - wave.shape[1]))
    rising = _rising(wave)
    halves = wave.view(len(wave), frames + 1, HOP)
    before = halves[:, :-1] * rising
    after = halves[:, 1:] * rising.flip(0)
    # Folded about the middles of both halves: (a, b, c, d) to (-c_r - d, a - b_r).
    quarter = HOP // 2
    a, b = before[..., :quarter], before[..., quarter:]
    c, d = after[..., :quarter], after[..., quarter:]
    return _cosines(torch.cat([-c.flip(-1) - d, a - b.flip(-1)], 2))


def imdct(spectrum: Tensor) -> Tensor:
    """The waveforms (n, (frames - 1) * K) of coefficients (n, frames, K)."""
    quarter = HOP // 2
    folded = _cosines(spectrum)
    first, second = folded[..., :quarter], folded[..., quarter:]
    rising = _rising(spectrum)
    before = torch.cat([second, -second.flip(-1)], 2) * rising
    after = torch.cat([-first.flip(-1), -first], 2) * rising.flip(0)
    return (before[:, 1:] + after[:, :-1]).flatten(1)


def _rising(like: Tensor) -> Tensor:
    """First half (K) of the sine window."""
    place = torch.arange(HOP, device=like.device, dtype=like.dtype)
    return torch.sin(math.pi / (2 * HOP) * (place + 0.5))


def _cosines(values: Tensor) -> Tensor:
    """The orthonormal cosine transform of type IV, which is its own inverse.

    By a complex Fourier transform of half its length, between two turns.
    """
    half = values.shape[-1] // 2
    place = torch.arange(half, device=values.device, dtype=values.dtype)
    angle = -math.pi / (2 * half) * (place + 0.125)
    turn = torch.polar(torch.ones_like(angle), angle)
    paired = torch.complex(values[..., ::2].contiguous(), values.flip(-1)[..., ::2].contiguous())
    turned = torch.fft.fft(paired * turn) * (turn / math.sqrt(half))
    return torch.stack([turned.real, -turned.imag.flip(-1)], -1).flatten(-2)


@lru_cache(maxsize=8)
def _bands(rate: int) -> Tensor:
    """Which coefficient belongs to which band (K, bands), 0 or 1; about a Bark each."""
    hertz = (torch.arange(HOP) + 0.5) * rate / (2 * HOP)
    bark = 13 * torch.atan(0.00076 * hertz) + 3.5 * torch.atan((hertz / 7500) ** 2)
    top = bark[-1] + 1e-3
    index = (bark / top * _BANDS).long()
    found = torch.zeros(HOP, _BANDS).scatter_(1, index[:, None], 1.0)
    return found[:, found.any(0)]


def _spreading(like: Tensor) -> Tensor:
    """How much of each band's energy hides noise in another, (bands, bands)."""
    place = torch.arange(_BANDS, device=like.device, dtype=like.dtype)
    away = place - place[:, None]  # from a masking band (row) up to a masked one
    decibels = torch.where(away > 0, -_ABOVE * away, _BELOW * away)
    return 10 ** (decibels / 10)
