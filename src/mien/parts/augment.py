"""Random changes of training clips: every frame of a clip is changed in the same way.

Three steps, as in CLAIP-Emo: a RandAugment policy, a random resized crop with a flip, and random
erasing. Whatever is decided is drawn on the CPU from torch's global generator, so a seeded step
repeats itself and chooses the same on every device; only the noise is drawn where the pixels are.

Shapes: B clips, T frames; a clip is (T, 3, H, W) with values in 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Op = Callable[[Tensor, float], Tensor]
"""A clip and a signed level in -1..1, to the changed clip; 0 changes least."""

Range = tuple[float, float]

_GREY = 128 / 255  # what appears where a moved frame has no pixels
_LUMA = (0.299, 0.587, 0.114)


class Augment(nn.Module):
    """A clip-consistent policy, crop, flip and erasing; outside training nothing happens.

    The defaults are CLAIP-Emo's: ``rand-m7-n4-mstd0.5-inc1``, crops of 8-100 % of the area,
    flips of every second clip, and one erased box in every fourth.

    Args:
        operations: operations drawn for a clip, each then applied to every second one.
        magnitude: strength of the operations, 0..10.
        magnitude_std: its standard deviation from operation to operation.
        crop_area: smallest and largest share of a frame that a crop keeps.
        crop_ratio: narrowest and widest crop, width to height.
        flip: share of clips that are mirrored.
        erase: share of clips in which a box is replaced by noise.
        erase_area: smallest and largest share of a frame that is erased.
        erase_ratio: narrowest and widest erased box, width to height.
    """

    def __init__(
        self,
        *,
        operations: int = 4,
        magnitude: float = 7.0,
        magnitude_std: float = 0.5,
        crop_area: Range = (0.08, 1.0),
        crop_ratio: Range = (3 / 4, 4 / 3),
        flip: float = 0.5,
        erase: float = 0.25,
        erase_area: Range = (0.02, 1 / 3),
        erase_ratio: Range = (0.3, 1 / 0.3),
    ) -> None:
        super().__init__()
        self.operations, self.magnitude, self.magnitude_std = operations, magnitude, magnitude_std
        self.crop_area, self.crop_ratio, self.flip = crop_area, crop_ratio, flip
        self.erase_share, self.erase_area, self.erase_ratio = erase, erase_area, erase_ratio

    def forward(self, video: Tensor) -> Tensor:
        """Policy, crop and flip of (B, T, 3, H, W) with values in 0..1, which stay there."""
        if not self.training:
            return video
        return self._crop(self._policy(video))

    def erase(self, video: Tensor) -> Tensor:
        """Noise in one box of some clips of (B, T, 3, H, W), which is already normalised.

        The box is the same in all frames of a clip; the noise, of mean 0 and variance 1, is new
        for every pixel.
        """
        if not self.training:
            return video
        chosen = (torch.rand(len(video)) < self.erase_share).nonzero().flatten().tolist()
        boxes = draw_boxes(len(video), self.erase_area, self.erase_ratio).tolist()
        video = video.clone() if chosen else video
        for i in chosen:
            rows, columns = _whole_pixels(boxes[i], *video.shape[-2:])
            video[i, ..., rows, columns].normal_()
        return video

    def _policy(self, video: Tensor) -> Tensor:
        """Each clip through its own operations."""
        size = (len(video), self.operations)
        which = torch.randint(len(OPERATIONS), size).tolist()
        applied = (torch.rand(size) < 0.5).tolist()
        levels = (self.magnitude + self.magnitude_std * torch.randn(size)).clamp(0, 10) / 10
        signed = torch.where(torch.rand(size) < 0.5, -levels, levels).tolist()
        operations = list(OPERATIONS.values())
        clips = []
        for clip, row in zip(video, zip(which, applied, signed, strict=True), strict=True):
            for name, wanted, level in zip(*row, strict=True):
                clip = operations[name](clip, level) if wanted else clip
            clips.append(clip)
        return torch.stack(clips)

    def _boxes(self, count: int) -> Tensor:
        """What crops keep, as shares of a frame: (count, 4) top, left, height, width."""
        return draw_boxes(count, self.crop_area, self.crop_ratio)

    def _crop(self, video: Tensor) -> Tensor:
        """Crop, mirror and resize in one resampling. A crop is never larger, so nothing aliases."""
        top, left, height, width = self._boxes(len(video)).T
        side = torch.where(torch.rand(len(video)) < self.flip, -1.0, 1.0)
        zero = torch.zeros_like(top)
        # In affine_grid's -1..1: the centre of the box is 2 * (left + width / 2) - 1.
        across = torch.stack([width * side, zero, 2 * left + width - 1], 1)
        down = torch.stack([zero, height, 2 * top + height - 1], 1)
        matrix = torch.stack([across, down], 1).to(video)  # (B, 2, 3)
        planes = video.flatten(1, 2)  # (B, T*3, H, W): one grid moves all frames of a clip
        grid = F.affine_grid(matrix, list(planes.shape), align_corners=False)
        cropped: Tensor = F.grid_sample(
            planes, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        return cropped.view_as(video)


class ScaleCrop(Augment):
    """A crop of one of a few sizes at one of 13 places, and nothing else: HiCMAE's pre-training.

    Height and width are drawn from neighbouring scales, so that a crop is nearly square. It lies
    in the middle, in a corner, at the middle of an edge, or halfway from a corner to the middle.

    Args:
        scales: shares of a frame's side, falling.
    """

    def __init__(self, scales: Sequence[float] = (1.0, 0.875, 0.75, 0.66)) -> None:
        super().__init__(operations=0, flip=0.0, erase=0.0)
        numbers = range(len(scales))
        self.pairs = [(scales[i], scales[j]) for i in numbers for j in numbers if abs(i - j) <= 1]

    def forward(self, video: Tensor) -> Tensor:
        """Crops of (B, T, 3, H, W), resized to what they were cut from."""
        return self._crop(video) if self.training else video

    def _boxes(self, count: int) -> Tensor:
        sides = torch.tensor(self.pairs)[torch.randint(len(self.pairs), (count,))]  # (count, 2)
        place = torch.tensor(_PLACES)[torch.randint(len(_PLACES), (count,))] / 4
        return torch.cat([place * (1 - sides), sides], 1)


# Quarters of the way down and across: corners, edges and the middle, then between.
_PLACES = [(i, j) for i in (0, 2, 4) for j in (0, 2, 4)] + [(i, j) for i in (1, 3) for j in (1, 3)]


def draw_boxes(count: int, area: Range, ratio: Range) -> Tensor:
    """Random boxes inside a square frame: (count, 4) top, left, height, width as shares of it.

    The area is uniform, the logarithm of width to height is uniform over what fits that area
    (the original draws again until the box fits, which favours smaller boxes a little).
    """
    luck = torch.rand(4, count)
    size = area[0] + (area[1] - area[0]) * luck[0]
    low = size.log().clamp(min=math.log(ratio[0]))
    high = (-size.log()).clamp(max=math.log(ratio[1]))
    shape = (low + (high - low) * luck[1]).exp()
    height, width = (size / shape).sqrt().clamp(max=1), (size * shape).sqrt().clamp(max=1)
    return torch.stack([luck[2] * (1 - height), luck[3] * (1 - width), height, width], 1)


def _whole_pixels(box: list[float], height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns of a box, at least one of each."""
    top, left, tall, wide = box
    rows, columns = max(1, round(tall * height)), max(1, round(wide * width))
    first, start = min(int(top * height), height - rows), min(int(left * width), width - columns)
    return slice(first, first + rows), slice(start, start + columns)


# -- the operations ----------------------------------------------------------------------------
# Statistics (histogram, extremes, mean) are those of the whole clip, so that all frames get the
# same tone curve and a change of light within the clip stays visible; the original measures each
# frame by itself.


def auto_contrast(clip: Tensor, _level: float) -> Tensor:
    """Stretch each colour to its full range."""
    low, high = clip.amin((0, 2, 3), keepdim=True), clip.amax((0, 2, 3), keepdim=True)
    span = high - low
    worth = span * 255 >= 1  # less than one grey value is no contrast
    return torch.where(worth, (clip - low) / span.clamp(min=1 / 255), clip).clamp(0, 1)


def equalize(clip: Tensor, _level: float) -> Tensor:
    """Flatten the histogram of each colour."""
    values = (clip * 255).round().long().transpose(0, 1).flatten(1)  # (3, T*H*W)
    counts = torch.zeros(3, 256, dtype=torch.long, device=clip.device)
    counts = counts.scatter_add_(1, values, torch.ones_like(values))
    below = counts.cumsum(1)
    total = below[:, -1:]
    lowest = torch.where(counts > 0, below, total).amin(1, keepdim=True)
    curve = (below - lowest) / (total - lowest).clamp(min=1)  # (3, 256)
    even = curve.gather(1, values).to(clip).view_as(clip.transpose(0, 1)).transpose(0, 1)
    return torch.where((total > lowest).view(1, 3, 1, 1), even, clip)


def invert(clip: Tensor, _level: float) -> Tensor:
    """The negative."""
    return 1 - clip


def posterize(clip: Tensor, level: float) -> Tensor:
    """Keep the 4 to 1 highest bits of each value."""
    width = 1 << (8 - max(1, 4 - int(abs(level) * 4)))
    return (clip * 255 / width).floor() * width / 255


def solarize(clip: Tensor, level: float) -> Tensor:
    """The negative of bright values: the higher the level, the more of them."""
    return torch.where(clip * 255 >= 256 * (1 - abs(level)), 1 - clip, clip)


def solarize_add(clip: Tensor, level: float) -> Tensor:
    """Lighten dark values."""
    return torch.where(clip < 0.5, clip + abs(level) * 110 / 255, clip).clamp(max=1)


def colour(clip: Tensor, level: float) -> Tensor:
    """Less or more saturation."""
    return _away_from(_grey(clip), clip, level)


def contrast(clip: Tensor, level: float) -> Tensor:
    """Less or more distance from the clip's mean grey."""
    return _away_from(_grey(clip).mean(), clip, level)


def brightness(clip: Tensor, level: float) -> Tensor:
    """Darker or lighter."""
    return _away_from(clip.new_zeros(()), clip, level)


def sharpness(clip: Tensor, level: float) -> Tensor:
    """Softer or sharper."""
    planes = F.pad(clip, (1, 1, 1, 1), mode="replicate")  # (T, 3, H + 2, W + 2)
    # A kernel of ones with a 5 in its middle, over 13: sums take a fifth of a convolution's time.
    across = planes[..., :-2] + planes[..., 1:-1] + planes[..., 2:]
    around = across[..., :-2, :] + across[..., 1:-1, :] + across[..., 2:, :]
    return _away_from((around + 4 * clip) / 13, clip, level)


def rotate(clip: Tensor, level: float) -> Tensor:
    """Up to 30 degrees about the centre."""
    angle, (height, width) = math.radians(30 * level), clip.shape[-2:]
    cosine, sine = math.cos(angle), math.sin(angle)
    across = [cosine, -sine * height / width, 0.0]
    return _moved(clip, across, [sine * width / height, cosine, 0.0])


def shear_x(clip: Tensor, level: float) -> Tensor:
    """Slant columns by up to 0.3; the upper edge stays."""
    slant = 0.3 * level * clip.shape[-2] / clip.shape[-1]
    return _moved(clip, [1.0, slant, slant], [0.0, 1.0, 0.0])


def shear_y(clip: Tensor, level: float) -> Tensor:
    """Slant rows by up to 0.3; the left edge stays."""
    slant = 0.3 * level * clip.shape[-1] / clip.shape[-2]
    return _moved(clip, [1.0, 0.0, 0.0], [slant, 1.0, slant])


def translate_x(clip: Tensor, level: float) -> Tensor:
    """Move sideways by up to 45 % of the width."""
    return _moved(clip, [1.0, 0.0, 0.9 * level], [0.0, 1.0, 0.0])


def translate_y(clip: Tensor, level: float) -> Tensor:
    """Move up or down by up to 45 % of the height."""
    return _moved(clip, [1.0, 0.0, 0.0], [0.0, 1.0, 0.9 * level])


OPERATIONS: dict[str, Op] = {
    "auto_contrast": auto_contrast,
    "equalize": equalize,
    "invert": invert,
    "rotate": rotate,
    "posterize": posterize,
    "solarize": solarize,
    "solarize_add": solarize_add,
    "colour": colour,
    "contrast": contrast,
    "brightness": brightness,
    "sharpness": sharpness,
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
}
"""The fifteen operations of the policy, each as likely as another; none of them does nothing."""


def _away_from(plain: Tensor, clip: Tensor, level: float) -> Tensor:
    """Move a clip towards (level < 0) or away from (level > 0) its plain version."""
    return (plain + (1 + 0.9 * level) * (clip - plain)).clamp(0, 1)


def _grey(clip: Tensor) -> Tensor:
    """Luminance (T, 1, H, W)."""
    return (clip * clip.new_tensor(_LUMA).view(3, 1, 1)).sum(1, keepdim=True)


def _moved(clip: Tensor, across: list[float], down: list[float]) -> Tensor:
    """Resample every frame where two rows of an affine matrix say, in -1..1 coordinates.

    Bicubic as in the official recipe, with torch's kernel (a = -0.75, where Pillow has -0.5).
    """
    planes = clip.flatten(0, 1)[None] - _GREY  # (1, T*3, H, W), so that padding with 0 is grey
    grid = F.affine_grid(
        planes.new_tensor([[across, down]]), list(planes.shape), align_corners=False
    )
    moved = F.grid_sample(planes, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    return (moved + _GREY).clamp(0, 1).view_as(clip)
