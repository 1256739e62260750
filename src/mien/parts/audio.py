"""Sound to what an audio tower reads: waveforms of one rate and length, then log-mel pictures.

A clip ends with its last valid sample; what is masked before that is silence, and what stands
behind it, or beside it in the batch, changes nothing.

Shapes: B clips, L recorded samples (padded), S samples of the fixed length, T frames, F mel bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import ConfigError, DataError, did_you_mean

# Numbers in the frames that are transformed at once: few enough to stay in a processor's cache,
# and to keep a long recording from filling the memory.
_AT_ONCE = 2**20
_MOST_CHANNELS = 64


# -- waveforms -------------------------------------------------------------------------------------


def to_mono(wave: Tensor) -> Tensor:
    """(B, L), or (B, L, channels) by their mean, to (B, L)."""
    if wave.ndim == 3 and wave.shape[2] > _MOST_CHANNELS:
        raise DataError(
            f"a waveform has {wave.shape[2]} channels: it was taken for a vector, being so short",
            fix="give a short waveform as (S, 1)",
        )
    return wave.mean(2) if wave.ndim == 3 else wave


def resample(wave: Tensor, mask: Tensor, from_rate: int, to_rate: int) -> tuple[Tensor, Tensor]:
    """Bring waveforms to another rate, with a Hann-windowed sinc of six zero crossings a side.

    Args:
        wave: (B, L) float.
        mask: (B, L) bool, True where there is sound.
        from_rate: samples a second now.
        to_rate: samples a second wanted.

    Returns:
        The waveforms (B, ceil(L * to / from)), zero after each clip's end, and their mask: a clip
        of n samples has ceil(n * to / from). Padding does not change what is inside.
    """
    wave = wave.masked_fill(~mask, 0)
    if from_rate == to_rate:
        return wave, mask
    common = math.gcd(from_rate, to_rate)
    old, new = from_rate // common, to_rate // common
    kernel = _sinc(old, new).to(wave)  # (taps, phases)
    count = -(-wave.shape[1] * new // old)
    place = torch.arange(count, device=wave.device)
    before = place * old // new  # the recorded sample at or before each new one
    reach = len(kernel) // 2
    padded = F.pad(wave, (reach - 1, reach))
    made = wave.new_zeros(wave.shape[0], count)
    # Tap by tap and not as one convolution: that would need a kernel of old * new values, and be
    # rounded to ten bits on a GPU that takes the fast path for convolutions.
    for tap, weight in enumerate(kernel):
        weight = weight.repeat(-(-count // new))[:count]
        made.addcmul_(padded[:, tap:].index_select(1, before), weight)
    there = place < -(-lengths(mask) * new // old)
    return made.masked_fill(~there, 0), there


def _sinc(old: int, new: int, crossings: int = 6, rolloff: float = 0.99) -> Tensor:
    """Weights (taps, phases) of the recorded samples around each of ``new`` output positions."""
    cutoff = rolloff * min(1.0, new / old)  # as a share of the recording's band
    reach = math.ceil(crossings / cutoff)
    place = torch.arange(new, device="cpu")
    tap = torch.arange(1 - reach, reach + 1, device="cpu")[:, None]
    # Integers until the last step: the distance in recorded samples, exact at any rate.
    distance = cutoff * ((place * old // new + tap) * new - place * old).double() / new
    window = torch.cos(math.pi / 2 * distance / crossings) ** 2
    return torch.where(distance.abs() < crossings, cutoff * torch.sinc(distance) * window, 0.0)


def fit_length(wave: Tensor, mask: Tensor, samples: int, *, training: bool) -> Tensor:
    """Waveforms (B, L) of any length to (B, S).

    A shorter clip is repeated as often as it fits whole, then silent; of a longer one a part is
    taken, its middle or, in training, any. A clip without sound is silent.
    """
    length = lengths(mask)  # (B, 1)
    spare = (length - samples).clamp(min=0)
    start = spare // 2
    if training:
        luck = torch.rand(spare.shape).to(wave.device)
        start = (luck * (spare + 1)).long().minimum(spare)
    place = torch.arange(samples, device=wave.device)
    whole = (samples // length.clamp(min=1)).clamp(min=1) * length  # samples of whole repetitions
    index = (start + place) % length.clamp(min=1)  # (B, S)
    # One silent sample behind the clip stands for all that is not there.
    index = torch.where(place < whole, index, wave.shape[1])
    return F.pad(wave.masked_fill(~mask, 0), (0, 1)).gather(1, index)


def lengths(mask: Tensor) -> Tensor:
    """(B, 1): where each clip ends, 0 for one without anything."""
    place = torch.arange(mask.shape[1] + 1, device=mask.device)
    return (F.pad(mask, (1, 0)) * place).amax(1, keepdim=True)


def _recorded(wave: Tensor, mask: Tensor, from_rate: int, to_rate: int) -> tuple[Tensor, Tensor]:
    """What a front end is given, checked, as one channel at its rate: wave and mask (B, L)."""
    if wave.ndim not in (2, 3) or not wave.is_floating_point():
        raise DataError(
            f"audio is (clips, samples) or (clips, samples, channels) in floats, "
            f"not {wave.dtype} {tuple(wave.shape)}",
            fix="integers divided by their largest value; one rate for all clips",
        )
    if mask.shape != wave.shape[:2] or mask.dtype != torch.bool:
        raise DataError(
            f"the mask of {tuple(wave.shape[:2])} samples is {mask.dtype} {tuple(mask.shape)}",
            fix="one boolean a sample: (clips, samples)",
        )
    return resample(to_mono(wave.float()), mask, from_rate, to_rate)


# -- spectra ---------------------------------------------------------------------------------------


class OfficialFbank(nn.Module):
    """Kaldi's log filter banks, as published code computes them.

    Frames every 10 ms, all inside the clip; each without its mean, pre-emphasised, under a Hanning
    window; natural logarithm of the power in mel bands from 20 Hz to half the rate. The defaults
    are what CLAIP-Emo's code feeds CLAP's audio tower with.

    Args:
        rate: samples a second of the analysis.
        source_rate: samples a second of what comes in.
        mels: number F of mel bins.
        window: milliseconds of a frame.
        seconds: length of the analysed sound.
        frames: rows of the picture; further ones are cut, missing ones are padded.
        short: a shorter clip is repeated as often as it fits whole, or just ends; of a longer one
            a part is taken as :func:`fit_length` does, or its beginning.
        pad: what the padded rows hold: ``zero``, or the value that ``silence`` has.
        gain: in training, make each clip louder or softer by Beta(10, 10) + 0.5.
        scale: mean and deviation that the picture, padding included, is normalised by.
    """

    LOW, EMPHASIS = 20.0, 0.97
    FLOOR = torch.finfo(torch.float32).eps  # below this power, Kaldi sees silence

    def __init__(
        self,
        *,
        rate: int = 48000,
        source_rate: int = 48000,
        mels: int = 64,
        window: int = 21,
        seconds: float = 10.0,
        frames: int = 1024,
        short: Literal["repeat", "end"] = "repeat",
        # Zero is louder than silence, whose logarithm is -15.9: odd, but it is what the official
        # model learns from, and being the official front end is what this one is for.
        pad: Literal["zero", "silence"] = "zero",
        gain: bool = True,
        scale: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        fills = {"zero": 0.0, "silence": math.log(self.FLOOR)}
        if pad not in fills:
            raise ConfigError(f"no padding is called {pad!r}: {did_you_mean(pad, fills)}")
        self.rate, self.source_rate, self.mels, self.frames = rate, source_rate, mels, frames
        self.fill, self.gain, self.scale, self.repeats = fills[pad], gain, scale, short == "repeat"
        self.samples = round(rate * seconds)
        self.window, self.hop = rate * window // 1000, rate // 100
        self.size = 1 << (self.window - 1).bit_length()  # of the transform
        # The published 128 bands have one, at the bottom, so narrow that it is always silent.
        _check_bands(self._bank(torch.device("cpu")), self.samples, self.window, spare=mels // 20)

    def forward(self, wave: Tensor, mask: Tensor) -> Tensor:
        """``wave`` (B, L) or (B, L, channels) and ``mask`` (B, L) to (B, 1, T, F)."""
        wave, mask = _recorded(wave, mask, self.source_rate, self.rate)
        wave, length = self._fitted(wave, mask)  # (B, S), (B, 1)
        if self.training and self.gain:
            luck = torch.distributions.Beta(10.0, 10.0).sample(torch.Size([len(wave), 1]))
            wave = wave * (luck + 0.5).to(wave)
        bank = self._bank(wave.device)
        hanning = torch.hann_window(self.window, False, dtype=bank.dtype, device=bank.device)

        def power(frames: Tensor) -> Tensor:
            # In single precision as Kaldi does it, so that both round alike.
            frames = frames - frames.mean(2, keepdim=True)
            before = torch.cat([frames[..., :1], frames[..., :-1]], 2)
            return _mel_power((frames - self.EMPHASIS * before) * hanning, self.size, bank)

        mel = _in_parts(power, wave.unfold(1, self.window, self.hop))  # (B, T, F)
        mel = mel.clamp(min=self.FLOOR).log().float()
        ends = torch.arange(mel.shape[1], device=mel.device) * self.hop + self.window
        mel = mel.masked_fill((ends > length)[..., None], self.fill)
        mel = F.pad(mel, (0, 0, 0, self.frames - mel.shape[1]), value=self.fill)[:, None]
        mean, deviation = self.scale
        return (mel - mean) / deviation

    def _fitted(self, wave: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms (B, S) without their mean, and how much of each is sound (B, 1)."""
        if self.repeats:
            wave = fit_length(wave, mask, self.samples, training=self.training)
            return wave - wave.mean(1, keepdim=True), lengths(mask).fill_(self.samples)
        length = lengths(mask).clamp(max=self.samples)
        wave = F.pad(wave.masked_fill(~mask, 0), (0, self.samples - wave.shape[1]))
        inside = torch.arange(self.samples, device=wave.device) < length
        mean = wave.sum(1, keepdim=True) / length.clamp(min=1)
        return (wave - mean).masked_fill(~inside, 0), length

    def _bank(self, device: torch.device) -> Tensor:
        """Kaldi's triangles, which are straight on the mel scale: (bins of the transform, F)."""
        # Single precision again: Kaldi's bands are a few 1e-6 off, each always by the same.
        hertz = _bins(self.size, self.rate, device).float()
        low, high, at = (
            1127 * torch.log(1 + f / 700)
            for f in (hertz.new_tensor(self.LOW), hertz.new_tensor(self.rate / 2), hertz)
        )
        step = (high - low) / (self.mels + 1)
        edges = low + torch.arange(self.mels + 2, device=device) * step
        return _triangles(at, edges).to(_wide(device))


class ClapNative(nn.Module):
    """The log-mels that CLAP was trained on, as ``transformers.ClapFeatureExtractor`` makes them.

    Frames of 1024 samples around every 480th, under a Hann window; decibels of the power in HTK's
    mel bands.

    Args:
        rate: samples a second of the analysis.
        source_rate: samples a second of what comes in.
        mels: number F of mel bins.
        low: lowest frequency in Hz.
        high: highest frequency in Hz.
        seconds: length of the picture.
        long: what becomes of a longer clip: one ``crop``, or ``fusion``: four channels, which are
            the whole clip shrunk and a close-up from each third. Then the channels of a clip that
            is not longer are all the same. Training crops anywhere, evaluation in the middle.
    """

    WINDOW: ClassVar[int] = 1024
    HOP: ClassVar[int] = 480
    SIZE: ClassVar[int] = 1024  # of the transform
    FLOOR = 1e-10  # power of silence

    def __init__(
        self,
        *,
        rate: int = 48000,
        source_rate: int = 48000,
        mels: int = 64,
        low: float = 50.0,
        high: float = 14000.0,
        seconds: float = 10.0,
        long: Literal["crop", "fusion"] = "crop",
    ) -> None:
        super().__init__()
        if long not in (known := ("crop", "fusion")):
            raise ConfigError(f"nothing is done by {long!r}: {did_you_mean(long, known)}")
        self.rate, self.source_rate, self.mels = rate, source_rate, mels
        self.low, self.high, self.fusion = low, high, long == "fusion"
        self.samples = round(rate * seconds)
        _check_bands(self._bank(torch.device("cpu")), self.samples, self.WINDOW)

    @property
    def frames(self) -> int:
        """Rows T of the picture."""
        return self.samples // self.HOP + 1

    def forward(self, wave: Tensor, mask: Tensor) -> Tensor:
        """``wave`` (B, L) or (B, L, channels) and ``mask`` (B, L) to (B, 1 or 4, T, F)."""
        wave, mask = _recorded(wave, mask, self.source_rate, self.rate)
        length = lengths(mask)
        fitted = fit_length(wave, mask, self.samples, training=self.training)
        picture = self._log_mel(fitted, torch.full_like(length, self.samples))[:, None]
        if not self.fusion:
            return picture
        picture = picture.repeat(1, 4, 1, 1)
        rows = (length[:, 0] > self.samples).nonzero()[:, 0]
        if len(rows):
            picture = picture.index_copy(0, rows, self._fused(wave[rows], length[rows]))
        return picture

    def _log_mel(self, wave: Tensor, length: Tensor) -> Tensor:
        """``wave`` (B, L), of ``length`` (B, 1) each, to decibels (B, L // HOP + 1, F)."""
        edge = self.WINDOW // 2
        place = torch.arange(-edge, wave.shape[1] + edge, device=wave.device).abs()
        last = length - 1  # mirrored at both ends of each clip; what comes behind is not looked at
        mirrored = wave.gather(1, (last - (last - place).abs()).clamp(min=0))
        bank = self._bank(wave.device)
        hann = torch.hann_window(self.WINDOW, dtype=bank.dtype, device=bank.device)

        def power(frames: Tensor) -> Tensor:
            return _mel_power(frames * hann, self.SIZE, bank)

        mel = _in_parts(power, mirrored.unfold(1, self.WINDOW, self.HOP))
        return 10 * mel.clamp(min=self.FLOOR).log10().float()

    def _fused(self, wave: Tensor, length: Tensor) -> Tensor:
        """The four channels (B, 4, T, F) of clips longer than the picture."""
        mel = self._log_mel(wave, length)  # (B, frames of the longest, F)
        count = length // self.HOP + 1  # (B, 1) frames of each
        close = self._starts(count)[:, :, None] + torch.arange(self.frames, device=mel.device)
        close_ups = _rows(mel, close.flatten(1)).view(*close.shape, -1)  # (B, 3, T, F)
        return torch.cat([self._shrunk(mel, count)[:, None], close_ups], 1)

    def _starts(self, count: Tensor) -> Tensor:
        """First frames (B, 3) of the close-ups, one from each third of where they can start."""
        places = count - self.frames + 1  # (B, 1), at least 1
        third = torch.arange(3, device=count.device)
        size = (places + 2 - third) // 3  # the first thirds are one larger where it does not divide
        begin = places // 3 * third + (places % 3).minimum(third)
        chosen = size // 2
        if self.training:
            luck = torch.rand(size.shape).to(size.device)
            chosen = (luck * size).long().minimum(size - 1)
        return torch.where(size > 0, begin + chosen, 0)

    def _shrunk(self, mel: Tensor, count: Tensor) -> Tensor:
        """The first ``count`` (B, 1) frames of each clip, interpolated to T frames."""
        # Rounded once, as in the fused arithmetic of torch's own interpolation: rounded twice, a
        # place late in a long clip moves by enough to change the picture by more than 1e-4.
        step = (count.float() / self.frames).to(_wide(mel.device))
        row = torch.arange(self.frames, dtype=step.dtype, device=mel.device)
        place = ((row + 0.5) * step - 0.5).float().clamp(min=0)
        first = place.long()
        share = (place - first)[..., None]
        following = (first + 1).minimum(count - 1)
        return (1 - share) * _rows(mel, first) + share * _rows(mel, following)

    def _bank(self, device: torch.device) -> Tensor:
        """HTK's triangles, which are straight in Hz: (bins of the transform, F)."""
        hertz = _bins(self.SIZE, self.rate, device)
        low, high = math.log1p(self.low / 700), math.log1p(self.high / 700)
        edges = torch.linspace(low, high, self.mels + 2, dtype=hertz.dtype, device=device)
        return _triangles(hertz, 700 * torch.expm1(edges))


# Windows and filters are made when they are used, which takes a fraction of a millisecond. Kept as
# buffers they would be rounded, or lost, with the network's weights.


def _wide(device: torch.device) -> torch.dtype:
    """The precision of spectra: quiet bands lie below what single precision leaves of loud ones."""
    return torch.float32 if device.type == "mps" else torch.float64


def _in_parts(power: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """``power`` of frames (B, T, window), a bounded number at once, to (B, T, F)."""
    size = max(1, _AT_ONCE // max(1, frames.shape[0] * frames.shape[2]))
    return torch.cat([power(part) for part in torch.split(frames, size, 1)], 1)


def _mel_power(frames: Tensor, size: int, bank: Tensor) -> Tensor:
    """Windowed frames (B, T, window) to the power in each band (B, T, F)."""
    spectrum: Tensor = torch.fft.rfft(frames, size)
    power: Tensor = spectrum.real.square() + spectrum.imag.square()
    return power @ bank


def _bins(size: int, rate: int, device: torch.device) -> Tensor:
    """Frequencies in Hz of the bins of a transform."""
    return torch.arange(size // 2 + 1, dtype=_wide(device), device=device) * rate / size


def _triangles(at: Tensor, edges: Tensor) -> Tensor:
    """Filters (bins, F): each rises from one edge to the next and falls to the one after."""
    low, peak, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (at[:, None] - low) / (peak - low), (high - at[:, None]) / (high - peak)
    return torch.minimum(rising, falling).clamp(min=0)


def _check_bands(bank: Tensor, samples: int, window: int, spare: int = 0) -> None:
    """Refuse a bank with more than ``spare`` bands that nothing falls into."""
    if samples < window:
        raise ConfigError(
            f"{samples} samples are less than one frame of {window}", fix="more seconds"
        )
    empty = (bank.amax(0) <= 0).nonzero()[:, 0].tolist()
    if len(empty) > spare:
        raise ConfigError(
            f"mel bins {empty} lie between or above the frequencies of the spectrum",
            fix="fewer mels, a higher rate, or a band that ends below half the rate",
        )


def _rows(mel: Tensor, index: Tensor) -> Tensor:
    """Frames of (B, T, F) at ``index`` (B, N), to (B, N, F)."""
    return mel.gather(1, index[..., None].expand(-1, -1, mel.shape[2]))


# -- augmentation ----------------------------------------------------------------------------------


def spec_augment(
    x: Tensor,
    time_stripes: int = 2,
    time_width: int = 64,
    mel_stripes: int = 2,
    mel_width: int = 8,
) -> Tensor:
    """Silence stripes of (B, C, T, F): the same in all channels, others in each clip.

    Args:
        x: normalised log-mels, in which 0 is the mean.
        time_stripes: stripes over all mel bins.
        time_width: widths are below this, all equally likely.
        mel_stripes: stripes over all frames.
        mel_width: widths are below this.
    """
    batch, _, frames, mels = x.shape
    in_time = _stripes(batch, frames, time_stripes, time_width).to(x.device)
    in_mel = _stripes(batch, mels, mel_stripes, mel_width).to(x.device)
    return x.masked_fill(in_time[:, None, :, None] | in_mel[:, None, None, :], 0)


def _stripes(batch: int, length: int, stripes: int, width: int) -> Tensor:
    """(B, length), True inside one of a clip's stripes; drawn on the CPU."""
    luck = torch.rand(2, batch, stripes, 1)
    wide = (luck[0] * width).long().clamp(max=length)
    start = (luck[1] * (length - wide + 1)).long().minimum(length - wide)
    place = torch.arange(length)
    return ((place >= start) & (place < start + wide)).any(1)
