"""Video to what an image tower reads: which frames, at which size, in which numbers.

Shapes: B clips, L recorded frames (padded), T frames a view, V views, S the tower's input size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import DataError
from mien.parts.augment import Augment
from mien.parts.facewear import FaceWear

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Pixels turned into numbers at once: about 200 MB of float32, however large the recording is.
_CHUNK_PIXELS = 2**24


def choose_frames(
    mask: Tensor,
    frames: int,
    stride: int,
    *,
    training: bool,
    views: int = 1,
    spread: bool = True,
) -> Tensor:
    """Positions of the frames that a model sees, among each clip's own valid frames.

    Training takes one view: a random window of ``frames * stride`` valid frames, evenly sampled,
    or all of a shorter clip, its last frame repeated. Evaluation is deterministic: every
    ``stride``-th valid frame, of which one view is the middle ``frames``, two views are the first
    and the last, and more lie evenly between; a short clip repeats its last sampled frame.

    Args:
        mask: (B, L) bool, True where a frame is there; gaps are skipped, not counted.
        frames: frames a view.
        stride: recorded frames from one chosen frame to the next.
        training: whether the window is random.
        views: windows of an evaluated clip; training has one.
        spread: whether frames of training lie evenly over the whole window; else they are every
            ``stride``-th from its first, as in evaluation.

    Returns:
        (B, T) in training, else (B, V*T), view after view. 0 for a clip without any valid frame.
    """
    count = mask.sum(1, keepdim=True)  # (B, 1)
    if training:
        rank = (_random_window if spread else _random_steps)(count, frames, stride)
    else:
        rank = _even_windows(count, frames, stride, views)
    valid_first = torch.argsort(mask.logical_not().to(torch.uint8), dim=1, stable=True)  # (B, L)
    return valid_first.gather(1, rank)


def _random_window(count: Tensor, frames: int, stride: int) -> Tensor:
    """The official training rule of CLAIP-Emo; ranks (B, T) among the valid frames."""
    window = frames * stride
    step = torch.arange(frames, device=count.device)  # (T)
    # The end lies in [window, count): as in the official code, the last frame is never reached.
    luck = torch.rand(count.shape).to(count.device)
    start = (luck * (count - window)).long()
    long = start + (step * window // max(frames - 1, 1)).clamp(max=window - 1)
    # A clip no longer than the window: count // stride frames, evenly spread over all of it.
    own = count // stride
    short = step * count // (own - 1).clamp(min=1)
    short = torch.where(step < own, short, count).minimum(count - 1)
    return torch.where(count > window, long, short).clamp(min=0)


def _random_steps(count: Tensor, frames: int, stride: int) -> Tensor:
    """Every ``stride``-th frame of a random window, ranks (B, T) among the valid frames."""
    spare = (count - frames * stride).clamp(min=0)
    start = (torch.rand(count.shape).to(count.device) * (spare + 1)).long().minimum(spare)
    step = torch.arange(frames, device=count.device)
    # A shorter clip repeats the last frame that a step from its first one reaches.
    reached = ((count - 1 - start) // stride).clamp(min=0)
    return start + step.minimum(reached) * stride


def _even_windows(count: Tensor, frames: int, stride: int, views: int) -> Tensor:
    """Ranks (B, V*T) of evenly placed windows over every ``stride``-th valid frame."""
    sampled = (count + stride - 1) // stride  # (B, 1)
    spare = (sampled - frames).clamp(min=0)
    view = torch.arange(views, device=count.device)  # (V)
    start = spare * view // (views - 1) if views > 1 else spare // 2  # (B, V)
    step = torch.arange(frames, device=count.device)
    place = (start[:, :, None] + step).flatten(1)  # (B, V*T)
    return place.minimum(sampled - 1).clamp(min=0) * stride


class VideoFrontEnd(nn.Module):
    """Chosen frames, resized and normalised.

    In evaluation a clip's answer depends neither on the clips beside it nor on its padding.

    Args:
        frames: frames a view (T).
        stride: recorded frames from one chosen frame to the next.
        size: height and width that the tower reads (S).
        mean: mean of each colour, for values in 0..1.
        std: standard deviation of each colour.
        fit: ``stretch`` resizes the whole frame and loses its aspect ratio, as the official code
            does; ``crop`` takes the largest centred square.
        views: windows of a clip in evaluation; training shows one.
        focus: share of each side that is looked at, around the middle.
        spread: how frames of training lie in their window (see :func:`choose_frames`).
        augment: random changes of training clips.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        frames: int = 16,
        stride: int = 4,
        size: int = 224,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        fit: Literal["stretch", "crop"] = "stretch",
        views: int = 1,
        focus: float = 1.0,
        spread: bool = True,
        augment: Augment | FaceWear | None = None,
    ) -> None:
        super().__init__()
        self.frames, self.stride, self.size, self.views = frames, stride, size, views
        self.square, self.focus, self.spread = fit == "crop", focus, spread
        self.augment = augment
        # Not saved: the configuration says them.
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def choose(self, mask: Tensor, *, training: bool) -> Tensor:
        """Positions (B, T) in training, else (B, V*T), of the frames that the tower will see."""
        return choose_frames(
            mask,
            self.frames,
            self.stride,
            training=training,
            views=self.views,
            spread=self.spread,
        )

    def forward(
        self, video: Tensor, mask: Tensor, *, chosen: bool = False, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Recorded frames to tower input.

        Args:
            video: (B, L, H, W, 3), uint8, or floats in 0..1.
            mask: (B, L) bool, True where a frame is there.
            chosen: whether these are the frames that :meth:`choose` named, and no others.
            index: what :meth:`choose` named, where that is known and all frames are here.

        Returns:
            The pixels (B, 3, V*T, S, S), and their mask (B, V*T). The views of a clip follow one
            another along time: a network takes them apart by its own T and averages its answers.
            The mask is True for every frame of a clip that has any, because a short clip's
            repeated frames are attended to as the official code does; a clip without frames is
            zeros and False.
        """
        _check(video, mask)
        if chosen:  # what stands behind them is padding
            count = min(mask.shape[1], self.frames * (1 if self.training else self.views))
            index = torch.arange(count, device=mask.device).expand(len(mask), count)
        elif index is None:
            index = self.choose(mask, training=self.training)
        pixels = self._pixels(video, index)  # (B, V*T, 3, S, S) in 0..1
        if self.augment is not None:
            pixels = self.augment(pixels)
        pixels = pixels.sub_(self.mean).div_(self.std)  # our own: every pass over it costs
        if isinstance(self.augment, Augment):
            pixels = self.augment.erase(pixels)
        there = mask.any(1)
        if not there.all():
            pixels = pixels.masked_fill(~there.view(-1, 1, 1, 1, 1), 0.0)
        return pixels.transpose(1, 2), there[:, None].repeat(1, index.shape[1])

    def _pixels(self, video: Tensor, index: Tensor) -> Tensor:
        """The frames at ``index`` (B, T) as (B, T, 3, S, S) in 0..1, a bounded number at once."""
        height, width = video.shape[2:4]
        if self.square:
            height = width = min(height, width)
        video = _middle(video, round(self.focus * height), round(self.focus * width))
        batch, count = index.shape
        pixels = torch.empty(batch * count, 3, self.size, self.size, device=video.device)
        row = torch.arange(batch, device=video.device).repeat_interleave(count)
        for part in _chunks(batch * count, video.shape[2] * video.shape[3]):
            # Only the chosen frames are gathered, while they are still bytes.
            _fill(pixels[part], video[row[part], index.flatten()[part]])
        return pixels.view(batch, count, *pixels.shape[1:])


def _middle(video: Tensor, height: int, width: int) -> Tensor:
    """The middle of every frame (B, L, H, W, 3), at least one pixel of it."""
    height, width = max(1, height), max(1, width)
    top, left = (video.shape[2] - height) // 2, (video.shape[3] - width) // 2
    return video[:, :, top : top + height, left : left + width]


def _fill(pixels: Tensor, frames: Tensor) -> None:
    """Frames (N, H, W, 3) as recorded into ``pixels`` (N, 3, S, S) in 0..1, in few passes."""
    planes = frames.permute(0, 3, 1, 2)
    scale = 1 if frames.is_floating_point() else 255
    if planes.shape[2:] == pixels.shape[2:]:
        pixels.copy_(planes).div_(scale)
        return
    planes = planes.to(torch.float32, memory_format=torch.contiguous_format) / scale
    size = (pixels.shape[2], pixels.shape[3])
    pixels.copy_(F.interpolate(planes, size, mode="bilinear", align_corners=False, antialias=True))


def _chunks(count: int, pixels: int) -> Iterator[slice]:
    size = max(1, _CHUNK_PIXELS // pixels)
    for start in range(0, count, size):
        yield slice(start, start + size)


def _check(video: Tensor, mask: Tensor) -> None:
    if video.ndim != 5 or video.shape[4] != 3 or 0 in video.shape:
        raise DataError(
            f"video is (clips, frames, height, width, 3), not {tuple(video.shape)}",
            fix="colours last; mask a clip that has no frames instead of leaving it empty",
        )
    if mask.shape != video.shape[:2] or mask.dtype != torch.bool:
        raise DataError(
            f"the mask of {tuple(video.shape[:2])} frames is {mask.dtype} {tuple(mask.shape)}",
            fix="one boolean a frame: (clips, frames)",
        )
    if video.dtype != torch.uint8 and not video.is_floating_point():
        raise DataError(
            f"pixels are bytes, or floats in 0..1, not {video.dtype}", fix="video.to(torch.uint8)"
        )
