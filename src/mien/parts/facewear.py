"""Wear of faces: what cameras, light, hands, networks and detectors do to a picture of one.

A small net that was trained on clean crops meets other ones: dark, blurred, far away, compressed,
half hidden, cut a little off. Each clip gets its own wear, the same in all its frames; only the
noise is new in each. The order is that of nature: light falls on a face that something hides, a
camera sees it blurred, small and noisy, a codec rounds that, and what a detector found is cut out
of it. The resolution of the recording, its noise and its blocks thereby have one size, and the
crop is sampled from them once, as mien's own crops are.

Whatever is decided is drawn on the CPU from torch's global generator, so that a seeded step repeats
itself on every device; only the noise is drawn where the pixels are.

Shapes: B clips, T frames, C = 1 or 3 colours, n clips that a step has chosen, values in 0..1.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.parts.jpeg import LUMA, jpeg

Range = tuple[float, float]

STEPS = (
    "mirror", "jitter", "light", "occlusion", "blur", "motion", "shrink", "noise", "compression",
    "grey", "cast",
)  # fmt: skip
"""The steps of `FaceWear`, each called like its probability."""

_SAMPLINGS = (("bilinear", 0.75), ("bicubic", 0.9), ("nearest", 1.0))
"""How a worn clip is enlarged again, with the running sum of the shares of clips."""


class FaceWear(nn.Module):
    """Random wear of faces; outside training nothing happens.

    The crops vary by default as those of YuNet do when one face is found again in copies of its
    picture that are shifted, turned, scaled, lighter or darker, noisy and compressed. Over 234
    faces (benchmarks/crop_jitter.py) the standard deviations were 0.015 and 0.013 of the crop's
    side across and down, 0.040 of the logarithm of the scale, and 2.1 degrees; Haar's were 0.008,
    0.008 and 0.040, and it does not follow a turn. These cuts do not stretch; that they are
    stretched a little here is our choice, as are the other defaults.

    Args:
        mirror: share of clips that are mirrored.
        jitter: share of clips that are cut a little differently, each number by a normal draw.
        shift: standard deviation of the shift along each axis, in sides of the crop.
        zoom: standard deviation of the logarithm of the scale.
        turn: standard deviation of the turn, in degrees.
        stretch: standard deviation of the logarithm of width to height.
        light: share of clips in another light: all of the next four together.
        gamma: smallest and largest exponent.
        contrast: smallest and largest factor of the distance from the clip's mean.
        brightness: smallest and largest addition.
        gradient: most that the light falls off from the middle to an edge, as a share.
        occlusion: share of clips with something in front: a box, an ellipse or a straight edge,
            which is of one colour, noisy, another clip of the batch upside down, or a shadow.
        area: smallest and largest share of the picture that a box or an ellipse has. A part of it
            may lie outside.
        others: whether clips of the batch hide each other.
        blur: share of clips that are out of focus.
        sigma: smallest and largest deviation of the Gaussian, in sides of the picture.
        motion: share of clips that are smeared along a line.
        streak: shortest and longest line, in sides.
        shrink: share of clips that were recorded with fewer pixels.
        side: fewest and most pixels of the shorter side; never more than there are.
        noise: share of clips with noise.
        deviation: smallest and largest standard deviation of the noise, in 0..1.
        compression: share of clips that were a JPEG.
        quality: worst and best quality, as in libjpeg.
        grey: share of clips without colours.
        cast: share of clips with a cast of colour; it gives grey ones some.
        warmth: smallest and largest logarithm of red to blue. Skin and lamps are warm.
        tint: standard deviation of the logarithm of each colour's gain, besides.
        replicated: whether all colours of the clips that come in are equal. Then one is worked on,
            which takes a third of the time; the answer is the same in kind. None looks.
    """

    def __init__(
        self,
        *,
        mirror: float = 0.5,
        jitter: float = 0.8,
        shift: float = 0.015,
        zoom: float = 0.04,
        turn: float = 2.1,
        stretch: float = 0.02,
        light: float = 0.5,
        gamma: Range = (0.6, 1.5),
        contrast: Range = (0.5, 1.3),
        brightness: Range = (-0.15, 0.15),
        gradient: float = 0.5,
        occlusion: float = 0.2,
        area: Range = (0.02, 0.2),
        others: bool = True,
        blur: float = 0.25,
        sigma: Range = (0.005, 0.03),
        motion: float = 0.1,
        streak: Range = (0.03, 0.12),
        shrink: float = 0.35,
        side: Range = (16, 64),
        noise: float = 0.3,
        deviation: Range = (0.005, 0.06),
        compression: float = 0.35,
        quality: Range = (10, 90),
        grey: float = 0.2,
        cast: float = 0.5,
        warmth: Range = (-0.2, 0.5),
        tint: float = 0.04,
        replicated: bool | None = None,
    ) -> None:
        super().__init__()
        self.share = dict(
            zip(
                STEPS,
                (mirror, jitter, light, occlusion, blur, motion, shrink, noise, compression, grey,
                 cast),
                strict=True,
            )
        )  # fmt: skip
        self.shift, self.zoom, self.turn, self.stretch = shift, zoom, turn, stretch
        self.gamma, self.contrast, self.brightness = gamma, contrast, brightness
        self.gradient, self.area, self.others = gradient, area, others
        self.sigma, self.streak, self.side = sigma, streak, side
        self.deviation, self.quality = deviation, quality
        self.warmth, self.tint, self.replicated = warmth, tint, replicated

    @classmethod
    def only(cls, **settings: Any) -> Self:
        """No step but those whose share is named, to measure what one of them does."""
        return cls(**(dict.fromkeys(STEPS, 0.0) | settings))

    @classmethod
    def mild(cls) -> Self:
        """Mirror images, cuts a little different, other light; nothing is damaged."""
        return cls.only(mirror=0.5, jitter=0.8, light=0.5)

    def forward(self, video: Tensor) -> Tensor:
        """Wear of (B, T, 3, H, W), or (B, T, 1, H, W) if replicated, to (B, T, 3, H, W)."""
        if not self.training or not video.numel():
            return video
        one = self.replicated
        if one is None:
            one = bool((video == video[:, :, :1]).all())
        picture = video[:, :, :1] if one else video  # (B, T, C, H, W)
        picture = picture.clone()
        self._light(picture)
        self._hide(picture)
        return self._colour(self._cut(picture))

    def _chosen(self, step: str, count: int) -> Tensor:
        """Which of the clips a step falls on, (n) of their places."""
        return (torch.rand(count) < self.share[step]).nonzero()[:, 0]

    # -- before the camera -------------------------------------------------------------------------

    def _light(self, picture: Tensor) -> None:
        """Light from a side, tone curve, contrast and brightness."""
        rows = self._chosen("light", len(picture))
        count = len(rows)
        gamma, contrast, brightness, slope = (
            _column(_uniform(count, range_), picture)
            for range_ in (self.gamma, self.contrast, self.brightness, (0.0, self.gradient))
        )
        way = _column(_uniform(count, (0.0, 2 * math.pi)), picture)
        across, down = _axes(picture)
        lit = picture[rows] * (1 + slope * (way.cos() * across + way.sin() * down))
        lit = lit.clamp_(0, 1).pow_(gamma)
        middle = lit.mean((1, 2, 3, 4), keepdim=True)
        lit.sub_(middle).mul_(contrast).add_(middle + brightness)
        picture[rows] = lit.clamp_(0, 1)

    def _hide(self, picture: Tensor) -> None:
        """Something in front of the face, or its shadow."""
        total, colours = len(picture), picture.shape[2]
        rows = self._chosen("occlusion", total)
        count = len(rows)
        behind = picture[rows]
        kind = _column(torch.randint(4 if self.others else 3, (count,)), picture)
        flat = torch.rand(count, 1, colours, 1, 1).to(picture)
        dark = behind * _column(_uniform(count, (0.1, 0.6)), picture)
        front = torch.where(kind == 0, flat, dark)
        noisy = (flat + 0.2 * torch.randn_like(behind)).clamp_(0, 1)
        front = torch.where(kind == 1, noisy, front)
        if self.others:
            other = (rows + torch.randint(1, max(total, 2), (count,))) % total
            front = torch.where(kind == 3, picture[other].flip(-2), front)
        cover = _shapes(count, self.area, picture)
        picture[rows] = behind + cover * (front - behind)

    # -- the camera --------------------------------------------------------------------------------

    def _cut(self, picture: Tensor) -> Tensor:
        """What the camera recorded, and the crop that a detector led to."""
        count = len(picture)
        view = self._views(count, picture.shape[-1] / picture.shape[-2])  # (B, 2, 3)
        luck = torch.rand(count)
        recorded, seen = self._recorded(picture, view)
        made = torch.empty_like(picture)
        plain = torch.ones(count, dtype=torch.bool)
        plain[recorded] = False
        rest = plain.nonzero()[:, 0]
        made[rest] = _sampled(picture[rest], view[rest], picture, "bilinear")
        start = 0.0
        for name, stop in _SAMPLINGS if len(recorded) else ():
            among = ((start <= luck[recorded]) & (luck[recorded] < stop)).nonzero()[:, 0]
            part = recorded[among]
            made[part] = _sampled(seen[among], view[part], picture, name)
            start = stop
        return made

    def _views(self, count: int, aspect: float) -> Tensor:
        """Where each crop looks, (B, 2, 3): from -1..1 of the crop to -1..1 of the picture."""
        matrix = torch.eye(2).repeat(count, 1, 1)
        shift = torch.zeros(count, 2)
        rows = self._chosen("jitter", count)
        luck = torch.randn(5, len(rows))
        angle = math.radians(self.turn) * luck[0]
        wide, tall = self.zoom * luck[1] + self.stretch * luck[2] * torch.tensor([[0.5], [-0.5]])
        cosine, sine = angle.cos(), angle.sin()
        across = torch.stack([cosine * wide.exp(), -sine * tall.exp() / aspect], 1)
        down = torch.stack([sine * wide.exp() * aspect, cosine * tall.exp()], 1)
        matrix[rows] = torch.stack([across, down], 1)
        shift[rows] = 2 * self.shift * luck[3:].T
        matrix[self._chosen("mirror", count), :, 0] *= -1
        return torch.cat([matrix, shift[..., None]], 2)

    def _recorded(self, picture: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
        """Blur, fewer pixels, noise and compression.

        Each picture lies somewhere on a slightly larger canvas, whose edges continue it: so the
        blocks of the JPEG begin anywhere. ``view`` is turned to where it lies.

        Returns:
            Which clips (n) were recorded so, and their canvases (n, T, C, H', W').
        """
        total, shape = len(picture), picture.shape[-2:]
        falls = {
            step: torch.rand(total) < self.share[step]
            for step in ("blur", "motion", "shrink", "noise", "compression")
        }
        rows = torch.stack(list(falls.values())).any(0).nonzero()[:, 0]
        count = len(rows)
        if not count:
            return rows, picture[rows]
        falls = {step: chosen[rows] for step, chosen in falls.items()}
        seen = picture[rows]
        self._smear(seen, falls["motion"].nonzero()[:, 0])
        sigma = torch.where(falls["blur"], _uniform(count, self.sigma) * min(shape), 0.0)
        fewest, most = (math.log(min(1.0, side / min(shape))) for side in self.side)
        side = torch.where(falls["shrink"], _uniform(count, (fewest, most)).exp(), 1.0)
        coarse = 8 if picture.shape[2] == 1 else 16
        for axis, length in ((1, shape[0]), (0, shape[1])):  # of x and y, the picture's last two
            canvas = -(-(length + 7) // coarse) * coarse
            pixels = (side * length).round().clamp(min=1)
            begin = torch.randint(8, (count,))
            weights = _shrinking(length, canvas, pixels, sigma, begin).to(seen)[:, None, None]
            seen = weights @ seen if axis else seen @ weights.mT
            scale = pixels / canvas
            view[rows, axis] *= scale[:, None]
            view[rows, axis, 2] += scale + 2 * begin / canvas - 1
        self._grain(seen, falls["noise"].nonzero()[:, 0])
        self._code(seen, falls["compression"].nonzero()[:, 0])
        return rows, seen

    def _smear(self, seen: Tensor, rows: Tensor) -> None:
        """Motion along a straight line."""
        count, frames, colours, height, width = seen[rows].shape
        length = _uniform(count, self.streak) * min(height, width)
        way = _uniform(count, (0.0, math.pi))[:, None, None]
        if not count:
            return
        reach = math.ceil(self.streak[1] * min(height, width) / 2)
        place = torch.arange(-reach, reach + 1.0)
        along = way.cos() * place + way.sin() * place[:, None]  # (n, k, k)
        beside = way.cos() * place[:, None] - way.sin() * place
        weights = (1 - beside.abs()).clamp(min=0)
        weights = weights * (length[:, None, None] / 2 + 0.5 - along.abs()).clamp(0, 1)
        weights = weights / weights.sum((1, 2), keepdim=True)
        planes = seen[rows].flatten(1, 2).transpose(0, 1)  # (T*C, n, H, W): one kernel a clip
        planes = F.pad(planes, (reach,) * 4, mode="replicate")
        planes = F.conv2d(planes, weights[:, None].to(planes), groups=count)
        seen[rows] = planes.transpose(0, 1).reshape(count, frames, colours, height, width)

    def _grain(self, seen: Tensor, rows: Tensor) -> None:
        """Noise, new in every pixel of every frame."""
        deviation = _column(_uniform(len(rows), self.deviation), seen)
        grainy = seen[rows]
        seen[rows] = grainy.addcmul_(torch.randn_like(grainy), deviation).clamp_(0, 1)

    def _code(self, seen: Tensor, rows: Tensor) -> None:
        """The rounding of a JPEG."""
        quality = _uniform(len(rows), self.quality).to(seen)
        if len(rows):
            coded = seen[rows]
            quality = quality.repeat_interleave(coded.shape[1])
            seen[rows] = jpeg(coded.flatten(0, 1), quality).view_as(coded)

    # -- colours -----------------------------------------------------------------------------------

    def _colour(self, picture: Tensor) -> Tensor:
        """Three colours of one, grey ones and casts."""
        count = len(picture)
        grey = self._chosen("grey", count)
        if picture.shape[2] == 1:
            picture = picture.repeat(1, 1, 3, 1, 1)
        else:
            luma = picture.new_tensor(LUMA).view(3, 1, 1)
            picture[grey] = (picture[grey] * luma).sum(2, keepdim=True).expand_as(picture[grey])
        rows = self._chosen("cast", count)
        warm = _uniform(len(rows), self.warmth)[:, None] * torch.tensor([0.5, 0.0, -0.5])
        gain = (warm + self.tint * torch.randn(len(rows), 3)).exp()
        gain = gain / (gain * torch.tensor(LUMA)).sum(1, keepdim=True)  # as bright as before
        slope = self.tint * torch.randn(2, len(rows), 3)  # two lamps differ
        across, down = _axes(picture)
        gain, wide, tall = (x.to(picture)[:, None, :, None, None] for x in (gain, *slope))
        picture[rows] = (picture[rows] * (gain + wide * across + tall * down)).clamp_(0, 1)
        return picture


def _uniform(count: int, range_: Range) -> Tensor:
    """(count) draws between two numbers."""
    return range_[0] + (range_[1] - range_[0]) * torch.rand(count)


def _column(values: Tensor, like: Tensor) -> Tensor:
    """One number a clip, (n) to (n, 1, 1, 1, 1)."""
    return values.to(like).view(-1, 1, 1, 1, 1)


def _axes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Middles of the pixels in -1..1: across (1, W) and down (H, 1)."""
    across, down = (
        (2 * torch.arange(n, device=picture.device, dtype=picture.dtype) + 1) / n - 1
        for n in (picture.shape[-1], picture.shape[-2])
    )
    return across[None], down[:, None]


def _shapes(count: int, area: Range, like: Tensor) -> Tensor:
    """How much of each pixel something covers, (n, 1, 1, H, W): a box, an ellipse or an edge."""
    size = _uniform(count, area)
    ratio = _uniform(count, (-0.5 * math.log(3), 0.5 * math.log(3))).exp()
    x, y = _uniform(count, (-1.0, 1.0)), _uniform(count, (-1.0, 1.0))
    way, away = _uniform(count, (0.0, 2 * math.pi)), _uniform(count, (0.2, 0.9))
    sharp = _uniform(count, (math.log(3), math.log(40))).exp()
    kind = torch.randint(3, (count,))
    size = torch.where(kind == 1, size * 4 / math.pi, size)  # an ellipse fills less of its box
    wide, tall = size.sqrt() * ratio, size.sqrt() / ratio
    numbers = (x, y, way, away, sharp, kind, wide, tall)
    x, y, way, away, sharp, kind, wide, tall = (_column(number, like) for number in numbers)
    across, down = _axes(like)
    along = (way.cos() * (across - x) + way.sin() * (down - y)).abs() / wide
    beside = (way.cos() * (down - y) - way.sin() * (across - x)).abs() / tall
    near = torch.where(kind == 0, torch.maximum(along, beside), torch.hypot(along, beside))
    edge = 1 + away - (way.cos() * across + way.sin() * down)
    near = torch.where(kind == 2, edge, near)  # 1 at the outline of each
    return ((1 - near) * sharp + 0.5).clamp_(0, 1)


def _shrinking(length: int, canvas: int, pixels: Tensor, sigma: Tensor, begin: Tensor) -> Tensor:
    """Weights (n, canvas, length) that blur and shrink one axis.

    Args:
        length: pixels that there are.
        canvas: places for the pixels that are made; those without one repeat the nearest.
        pixels: (n) wanted.
        sigma: (n) deviation of the blur, in pixels that there are.
        begin: (n) place of the first made pixel.
    """
    step = (length / pixels)[:, None, None]
    place = torch.arange(canvas)[:, None] - begin[:, None, None]  # (n, canvas, 1)
    place = place.clamp(min=0).minimum(pixels[:, None, None] - 1)
    weights = torch.arange(length) - ((place + 0.5) * step - 0.5)  # (n, canvas, length): how far
    blurred = (sigma > 0).nonzero()[:, 0]
    # As wide as triangle and Gaussian one after the other.
    wide = sigma[blurred, None, None].square() + (step[blurred].square() - 1) / 6
    smooth = weights[blurred].square_().div_(-2 * wide).exp_()
    # A triangle, which shrinks without aliases and leaves alone what is not shrunk.
    weights.abs_().div_(-step).add_(1).clamp_(min=0)
    weights[blurred] = smooth
    return weights.div_(weights.sum(2, keepdim=True))


def _sampled(seen: Tensor, view: Tensor, like: Tensor, mode: str) -> Tensor:
    """What is seen (n, T, C, H', W') at the places of a view (n, 2, 3), sized like a picture."""
    count, height, width = len(seen), like.shape[-2], like.shape[-1]
    if not count:
        return seen.new_empty(0, *like.shape[1:])
    across, down = _axes(like)
    numbers = view.to(like)[..., None, None]  # (n, 2, 3, 1, 1)
    grid = like.new_empty(count, height, width, 2)
    for axis in (0, 1):
        one, two, shift = numbers[:, axis].unbind(1)
        grid[..., axis] = one * across + (two * down + shift)
    planes = F.grid_sample(
        seen.flatten(1, 2), grid, mode=mode, padding_mode="border", align_corners=False
    )
    return planes.clamp_(0, 1).view(count, *like.shape[1:])
