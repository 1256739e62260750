"""Wear of voices: what rooms, neighbours, microphones, telephones and networks do to speech.

Each clip gets its own wear, in the order of nature: someone speaks in a room, something else is
heard there, a microphone overdrives, a line limits the band, a codec rounds, packets are lost.
Whatever is decided is drawn on the CPU from torch's global generator, so that a seeded step repeats
itself on every device; only noises and the tails of rooms are drawn where the samples are. Every
draw has the same size however long the clips are padded, so padding changes nothing.

Shapes: B clips, L samples (padded), n clips that a step has chosen; samples in -1..1.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.parts.acoustics import band_limited, coloured, convolved, hum, impulse_responses
from mien.parts.codec import adaptive, mu_law, transform_coded

Range = tuple[float, float]

STEPS = (
    "polarity", "move", "speed", "room", "noise", "clipping", "band", "codec", "dropout", "gain",
)  # fmt: skip
"""The steps of `VoiceWear`, each called like its probability."""

NOISES = ("white", "pink", "brown", "hum", "babble")
CODECS = ("mu_law", "adaptive", "transform")

_TELEPHONE = (300.0, 3400.0)  # Hz
_VOICES = 3  # that babble together
_GAPS = 4  # most gaps in a clip


class VoiceWear(nn.Module):
    """Random wear of voices; outside training nothing happens.

    The defaults are our choice: mild enough that what is said stays clear in most clips.

    Args:
        rate: samples a second.
        polarity: share of clips that are turned upside down, which nobody hears.
        move: share of clips that begin earlier or later; what leaves at one end is lost.
        seconds: earliest and latest move. Never more than a tenth of the clip.
        speed: share of clips that are faster or slower, and higher or deeper with it.
        pace: slowest and fastest.
        room: share of clips that are said in a room.
        reverberation: shortest and longest reverberation time in seconds.
        direct: least and most energy of the direct sound over that of the room, in dB.
        noise: share of clips with a noise.
        noises: kinds of noise, each as likely; ``babble`` is other clips of the batch.
        ratio: least and most energy of the clip over that of the noise, in dB.
        clipping: share of clips that overdrive.
        ceiling: lowest and highest limit, in peaks of the clip.
        band: share of clips whose band is limited: a telephone's, from below or from above.
        low: lowest and highest lower limit in Hz.
        high: lowest and highest upper limit in Hz.
        codec: share of clips that were coded.
        codecs: kinds of codec, each as likely; see `mien.parts.codec`.
        coarseness: finest and coarsest step of the adaptive codec.
        margin: least and most decibels that a transform codec stays under what is masked. It
            keeps nothing above half to all of the band.
        dropout: share of clips with one to four gaps.
        gap: shortest and longest gap in seconds.
        gain: share of clips that are louder or softer, the last step.
        decibels: least and most gain. What exceeds -1..1 then is cut.
    """

    def __init__(
        self,
        *,
        rate: int = 16_000,
        polarity: float = 0.5,
        move: float = 0.5,
        seconds: Range = (-0.2, 0.2),
        speed: float = 0.25,
        pace: Range = (0.95, 1.05),
        room: float = 0.3,
        reverberation: Range = (0.1, 0.8),
        direct: Range = (-3.0, 15.0),
        noise: float = 0.5,
        noises: tuple[str, ...] = NOISES,
        ratio: Range = (5.0, 35.0),
        clipping: float = 0.1,
        ceiling: Range = (0.2, 0.8),
        band: float = 0.25,
        low: Range = (60.0, 300.0),
        high: Range = (2000.0, 7000.0),
        codec: float = 0.3,
        codecs: tuple[str, ...] = CODECS,
        coarseness: Range = (0.4, 1.5),
        margin: Range = (10.0, 26.0),
        dropout: float = 0.1,
        gap: Range = (0.01, 0.06),
        gain: float = 0.8,
        decibels: Range = (-15.0, 6.0),
    ) -> None:
        super().__init__()
        shares = (polarity, move, speed, room, noise, clipping, band, codec, dropout, gain)
        self.share = dict(zip(STEPS, shares, strict=True))
        self.rate = rate
        self.seconds, self.pace = seconds, pace
        self.reverberation, self.direct = reverberation, direct
        self.noises, self.ratio, self.ceiling = noises, ratio, ceiling
        self.low, self.high = low, high
        self.codecs, self.coarseness, self.margin = codecs, coarseness, margin
        self.gap, self.decibels = gap, decibels

    @classmethod
    def only(cls, **settings: Any) -> Self:
        """No step but those whose share is named, to measure what one of them does."""
        return cls(**(dict.fromkeys(STEPS, 0.0) | settings))

    def forward(self, wave: Tensor, mask: Tensor) -> Tensor:
        """Wear of ``wave`` (B, L) where ``mask`` (B, L) is True; zero elsewhere."""
        if not self.training or not wave.numel():
            return wave
        said = wave.masked_fill(~mask, 0)
        place = torch.arange(1, mask.shape[1] + 1, device=mask.device)
        ends = (mask * place).amax(1)  # (B): samples up to the last that is there
        worn = said.clone()
        self._move(worn, ends)
        self._put_in_a_room(worn)
        self._disturb(worn, said, mask, ends)
        self._overdrive(worn)
        self._narrow(worn)
        self._code(worn)
        self._tear(worn, ends)
        self._amplify(worn)
        return worn.masked_fill_(~mask, 0)

    def _chosen(self, step: str, count: int) -> Tensor:
        """Which of the clips a step falls on, (n) of their places."""
        return (torch.rand(count) < self.share[step]).nonzero()[:, 0]

    def _move(self, wave: Tensor, ends: Tensor) -> None:
        """Begin earlier or later, go faster or slower."""
        count, length = wave.shape
        shift, pace = torch.zeros(count), torch.ones(count)
        moved, paced = self._chosen("move", count), self._chosen("speed", count)
        shift[moved] = _uniform(len(moved), self.seconds) * self.rate
        pace[paced] = _uniform(len(paced), self.pace)
        most = ends // 10
        steps = shift.round().long().to(wave.device).clamp(-most, most)[:, None]
        place = torch.arange(length, device=wave.device)
        silent = F.pad(wave, (2, 2))
        plain = moved[pace[moved] == 1]
        wave[plain] = silent[plain].gather(1, (place - steps[plain] + 2).clamp(0, length + 3))
        # Float32 has no digits left for places late in a long clip.
        at = (place - steps[paced]) * pace[paced, None].double().to(wave.device)
        wave[paced] = _between(silent[paced], at)

    def _put_in_a_room(self, wave: Tensor) -> None:
        """Reflections and reverberation; what rings on after the end is cut."""
        rows = self._chosen("room", len(wave))
        seconds = _uniform(len(rows), self.reverberation).to(wave)
        direct = _uniform(len(rows), self.direct).to(wave)
        if len(rows):
            answer = impulse_responses(seconds, direct, self.rate, self.reverberation[1])
            wave[rows] = convolved(wave[rows], answer)

    def _disturb(self, wave: Tensor, said: Tensor, mask: Tensor, ends: Tensor) -> None:
        """A noise, as loud as the ratio says over all that is there of the clip."""
        rows = self._chosen("noise", len(wave))
        kinds = torch.randint(len(self.noises), (len(rows),))
        ratio = _uniform(len(rows), self.ratio).to(wave)[:, None]
        noise = torch.empty_like(wave[rows])
        for index, kind in enumerate(self.noises):
            among = (kinds == index).nonzero()[:, 0]
            if len(among):
                noise[among] = self._noise(kind, rows[among], said, ends)
        noise.masked_fill_(~mask[rows], 0)
        heard = wave[rows]
        loud, there = (x.masked_fill(~mask[rows], 0).square().sum(1, True) for x in (heard, noise))
        wanted = loud / there.clamp(min=1e-12) * 10 ** (-ratio / 10)
        wave[rows] = heard.addcmul_(noise, wanted.sqrt_())

    def _noise(self, kind: str, rows: Tensor, said: Tensor, ends: Tensor) -> Tensor:
        """Noise (n, L) of one kind, however loud."""
        count, length = len(rows), said.shape[1]
        if kind == "hum":
            return hum(count, length, self.rate, said.device)
        if kind != "babble" or len(said) == 1:
            slope = {"white": 0.0, "brown": 2.0}.get(kind, 1.0)
            return coloured(said.new_full((count,), slope), length, self.rate)
        noise = said.new_zeros(count, length)
        place = torch.arange(length, device=said.device)
        for _ in range(_VOICES):
            other = (rows + torch.randint(1, len(said), (count,))) % len(said)
            last = ends[other, None].clamp(min=1)
            start = (torch.rand(count, 1).to(said) * last).long()
            noise += said[other].gather(1, (start + place) % last)
        return noise

    def _overdrive(self, wave: Tensor) -> None:
        """Peaks cut."""
        rows = self._chosen("clipping", len(wave))
        loud = wave[rows]
        limit = _uniform(len(rows), self.ceiling).to(wave)[:, None] * loud.abs().amax(1, True)
        wave[rows] = loud.clamp_(-limit, limit)

    def _narrow(self, wave: Tensor) -> None:
        """A telephone's band, or a limit on one side."""
        rows = self._chosen("band", len(wave))
        kind = torch.randint(3, (len(rows),))
        low, high = (
            _uniform(len(rows), (math.log(least), math.log(most))).exp()
            for least, most in (self.low, self.high)
        )
        low = torch.where(kind == 0, _TELEPHONE[0], torch.where(kind == 1, low, 0.0)).to(wave)
        high = torch.where(kind == 0, _TELEPHONE[1], torch.where(kind == 2, high, math.inf))
        if len(rows):
            wave[rows] = band_limited(wave[rows], low, high.to(wave), self.rate)

    def _code(self, wave: Tensor) -> None:
        """One of the codecs."""
        rows = self._chosen("codec", len(wave))
        kinds = torch.randint(len(self.codecs), (len(rows),))
        coarseness = _uniform(len(rows), self.coarseness).to(wave)
        margin = _uniform(len(rows), self.margin).to(wave)
        cutoff = _uniform(len(rows), (0.25, 0.5)).to(wave) * self.rate
        for index, kind in enumerate(self.codecs):
            among = (kinds == index).nonzero()[:, 0]
            part = wave[rows[among]]
            if not len(part):
                continue
            if kind == "mu_law":
                part = mu_law(part)
            elif kind == "adaptive":
                part = adaptive(part, coarseness[among])
            else:
                part = transform_coded(part, margin[among], cutoff[among], self.rate)
            wave[rows[among]] = part

    def _tear(self, wave: Tensor, ends: Tensor) -> None:
        """Short gaps, as where packets are lost."""
        rows = self._chosen("dropout", len(wave))
        count = len(rows)
        wide = _uniform(count * _GAPS, self.gap).view(count, _GAPS) * self.rate
        wide *= torch.arange(_GAPS) < torch.randint(1, _GAPS + 1, (count, 1))
        start = torch.rand(count, _GAPS).to(wave) * ends[rows, None]
        stop = (start + wide.to(wave)).round().long()
        place = torch.arange(wave.shape[1], device=wave.device)
        torn = wave[rows]
        for begin, end in zip(start.round().long().T, stop.T, strict=True):
            torn.masked_fill_((place >= begin[:, None]) & (place < end[:, None]), 0)
        wave[rows] = torn

    def _amplify(self, wave: Tensor) -> None:
        """Louder or softer, upside down."""
        count = len(wave)
        factor = torch.ones(count)
        factor[self._chosen("polarity", count)] = -1
        rows = self._chosen("gain", count)
        factor[rows] *= 10 ** (_uniform(len(rows), self.decibels) / 20)
        wave *= factor.to(wave)[:, None]
        wave[rows] = wave[rows].clamp_(-1, 1)


def _uniform(count: int, range_: Range) -> Tensor:
    """(count) draws between two numbers."""
    return range_[0] + (range_[1] - range_[0]) * torch.rand(count)


def _between(silent: Tensor, at: Tensor) -> Tensor:
    """Samples at places between samples, by Catmull and Rom's cubic.

    Args:
        silent: (n, L + 4), the clip between two samples of silence on each side.
        at: (n, L), in samples of the clip; what lies outside is silent.
    """
    before = at.floor()
    share = (at - before).to(silent)
    index = before.long() + 2
    last = silent.shape[1] - 1
    first, one, two, three = (
        silent.gather(1, (index + tap).clamp(0, last)) for tap in (-1, 0, 1, 2)
    )
    # Horner's scheme of the cubic through the two middle ones with the slopes of their neighbours.
    cubic = 3 * (one - two) + three - first
    square = 2 * first - 5 * one + 4 * two - three
    return one + 0.5 * share * (two - first + share * (square + share * cubic))
