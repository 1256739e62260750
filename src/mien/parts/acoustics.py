"""Rooms, noises and filters for waveforms: random, and as long as they have to be.

What is drawn has one size whatever the clips' lengths are, so that padding changes no draw.

Shapes: n clips, L samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

PERIOD = 2**16
"""Samples after which a noise repeats itself: 4.1 s at 16 kHz."""

_REFLECTIONS = 8
_FIRST, _LAST = 0.002, 0.05  # seconds after the direct sound in which single reflections come
_GUARD = 2**13  # samples of silence behind a clip, in which filters ring out


def impulse_responses(seconds: Tensor, direct: Tensor, rate: int, longest: float) -> Tensor:
    """What made-up rooms answer to a click.

    The direct sound, some single reflections, and a tail of noise that falls by 60 dB in the
    reverberation time; what lies above about half the band falls twice as fast, as in air and on
    curtains.

    Args:
        seconds: (n) reverberation times, RT60.
        direct: (n) energy of the direct sound over that of all that follows, in dB.
        rate: samples a second.
        longest: seconds of the answer.

    Returns:
        (n, longest * rate), each with the energy 1, so that what is heard stays as loud.
    """
    count, length = len(seconds), max(2, round(longest * rate))
    time = torch.arange(length, device=seconds.device) / rate
    fall = torch.exp(-math.log(1000) * time / seconds[:, None])
    noise = torch.randn(count, length, device=seconds.device)
    low = noise / 2 + (noise.roll(1, 1) + noise.roll(-1, 1)) / 4  # 6 dB less at half the band
    answer = low * fall + (noise - low) * fall.square()
    answer *= time >= _FIRST
    luck = torch.rand(2, count, _REFLECTIONS).to(seconds)
    delay = (_FIRST + (_LAST - _FIRST) * luck[0]) * rate
    place = delay.long().clamp(max=length - 1)
    height = 8 * (luck[1] - 0.5) * fall.gather(1, place)
    answer.scatter_add_(1, place, height)
    answer[:, 0] = 0
    answer /= answer.norm(dim=1, keepdim=True).clamp(min=1e-9)
    answer *= 10 ** (-direct[:, None] / 20)
    answer[:, 0] = 1
    return answer.div_(answer.norm(dim=1, keepdim=True))


def convolved(wave: Tensor, answer: Tensor) -> Tensor:
    """``wave`` (n, L) through ``answer`` (n, K), cut to (n, L)."""
    size = quick(wave.shape[1] + answer.shape[1] - 1)
    spectrum = torch.fft.rfft(wave, size).mul_(torch.fft.rfft(answer, size))
    heard: Tensor = torch.fft.irfft(spectrum, size)[:, : wave.shape[1]]
    return heard


def band_limited(wave: Tensor, low: Tensor, high: Tensor, rate: int, order: int = 8) -> Tensor:
    """Only what lies between two frequencies, by Butterworth's curve and without delay.

    Args:
        wave: (n, L).
        low: (n) Hz at which 3 dB are lost; 0 for no limit.
        high: (n) the same above; infinite for no limit.
        rate: samples a second.
        order: of each slope, 6 dB an octave each.
    """
    size = quick(wave.shape[1] + _GUARD)
    hertz = torch.arange(size // 2 + 1, device=wave.device) * (rate / size)
    power = 1 + (hertz / high[:, None]) ** (2 * order)
    power += (low[:, None] / hertz.clamp(min=1e-3)).clamp(max=1e2) ** (2 * order)
    spectrum = torch.fft.rfft(wave, size).mul_(power.rsqrt_())
    heard: Tensor = torch.fft.irfft(spectrum, size)[:, : wave.shape[1]]
    return heard


def coloured(slope: Tensor, length: int, rate: int, lowest: float = 20.0) -> Tensor:
    """Noise (n, L) whose power falls with a slope over frequency.

    Args:
        slope: (n) 0 for white, 1 for pink, 2 for brown noise: 3 dB an octave each.
        length: samples; beyond ``PERIOD`` they repeat.
        rate: samples a second.
        lowest: Hz below which there is nothing.
    """
    bins = PERIOD // 2 + 1
    hertz = torch.arange(bins, device=slope.device) * (rate / PERIOD)
    loud = torch.where(hertz < lowest, 0.0, hertz.clamp(min=lowest) ** (-slope[:, None] / 2))
    real = torch.randn(len(slope), bins, 2, device=slope.device).mul_(loud[..., None])
    noise: Tensor = torch.fft.irfft(torch.view_as_complex(real), PERIOD)
    return noise.repeat(1, -(-length // PERIOD))[:, :length]


def hum(count: int, length: int, rate: int, device: torch.device) -> Tensor:
    """The hum of the mains and its harmonics (n, L), at 50 or 60 Hz."""
    base = torch.where(torch.rand(count, 1) < 0.5, 50.0, 60.0)
    harmonic = torch.arange(1, 9)
    strength = torch.randn(count, 8) / harmonic
    phase = 2 * math.pi * torch.rand(count, 8)
    # Exact to the sample however long: a period of both is a tenth of a second.
    time = torch.arange(max(1, rate // 10)) / rate
    angle = 2 * math.pi * base[..., None] * harmonic[:, None] * time + phase[..., None]
    period = (strength[..., None] * angle.sin()).sum(1)
    return period.repeat(1, -(-length // period.shape[1]))[:, :length].to(device)


def quick(length: int) -> int:
    """The next length whose Fourier transform is quick: a multiple of a large power of two."""
    step = max(2, 1 << max(0, length.bit_length() - 4))
    return -(-length // step) * step
