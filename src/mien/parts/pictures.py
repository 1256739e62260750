"""Front ends of extractors that read pictures: sound as a mel picture; scenes and their faces.

Shapes: B clips, L samples or frames, N faces of a clip, T frames of a spectrum, F mel bins,
S the size of pictures.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.parts.audio import ClapNative, to_mono
from mien.parts.model import FrontEnd, Tensors
from mien.parts.vision import IMAGENET_MEAN, IMAGENET_STD
from mien.parts.voicewear import VoiceWear

BOXES = "boxes"


class MelPicture(ClapNative):
    """The logarithm of 128 mel bands of 25 ms every 10 ms, 1 where a clip is loudest, in 3 colours.

    Windows of 400 samples at 16 kHz, as M2FNet has them, in a transform of 1024, so that no band is
    empty. A shorter clip is repeated as often as it fits whole; of a longer one the middle is
    taken, or anything in training.
    """

    WINDOW: ClassVar[int] = 400
    HOP: ClassVar[int] = 160
    SIZE: ClassVar[int] = 1024
    RANGE: ClassVar[float] = 80.0  # decibels from black to white

    def __init__(
        self, *, source_rate: int = 16_000, mels: int = 128, seconds: float = 10.0
    ) -> None:
        super().__init__(
            rate=16_000, source_rate=source_rate, mels=mels, low=50.0, high=8000.0, seconds=seconds
        )

    def forward(self, wave: Tensor, mask: Tensor) -> Tensor:
        """``wave`` (B, L) or (B, L, channels) and ``mask`` (B, L) to (B, 3, T, F) in 0..1."""
        decibels = super().forward(wave, mask)  # (B, 1, T, F)
        low = decibels.amax((2, 3), keepdim=True) - self.RANGE
        return ((decibels - low) / self.RANGE).clamp_min(0).expand(-1, 3, -1, -1)


class Heard(FrontEnd):
    """Sound to mel pictures (B, 3, T, F), one position a clip.

    Args:
        picture: ``(wave, mask)`` to pictures.
        wear: what happens to voices in training, before.
    """

    def __init__(self, picture: MelPicture, wear: VoiceWear | None = None) -> None:
        super().__init__()
        self.picture, self.wear = picture, wear

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """``inputs["audio"]`` (B, L) or (B, L, channels) to pictures."""
        del chosen  # all of it is read
        wave, there = to_mono(inputs["audio"]), mask["audio"]
        if self.wear is not None:
            wave = self.wear(wave, there)
        return {"audio": self.picture(wave, there)}, {"audio": there.any(1, keepdim=True)}


class Scenes(FrontEnd):
    """Whole frames and the faces in them, as bytes, to pixels (B, L or N, 3, S, S).

    Boxes (B, N, 2), the number of a face's frame and its share of the frame's pixels, pass as they
    are.

    Args:
        size: height and width of every picture.
        flip: whether clips of training are mirrored, every second one.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int, *, flip: bool = False) -> None:
        super().__init__()
        self.size, self.flip = size, flip
        # Not saved: the configuration says them.
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """Pictures (B, L, H, W, 3) of bytes, or of floats in 0..1, to normalised pixels."""
        del chosen
        made = dict(inputs)
        names = [name for name in inputs if name != BOXES]
        mirrored: Tensor | None = None
        if self.flip and self.training and names:
            mirrored = torch.rand(len(inputs[names[0]])) < 0.5
        for name in names:
            made[name] = self._pixels(inputs[name], mirrored)
        return made, dict(mask)

    def _pixels(self, pictures: Tensor, mirrored: Tensor | None) -> Tensor:
        scale = 1 if pictures.is_floating_point() else 255
        planes = pictures.flatten(0, 1).permute(0, 3, 1, 2).float() / scale
        if planes.shape[2:] != (self.size, self.size):
            planes = F.interpolate(
                planes, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
            )
        pixels = ((planes - self.mean) / self.std).view(*pictures.shape[:2], *planes.shape[1:])
        if mirrored is None:
            return pixels
        turned = mirrored.to(pixels.device).view(-1, 1, 1, 1, 1)
        return torch.where(turned, pixels.flip(-1), pixels)


class WeightedFaces(nn.Module):
    """One vector a frame of all faces in it, weighted by the area of their boxes.

    Args:
        by: whether areas are shares of the ``sum`` of a frame's, of its largest (``max``), or of
            the whole ``frame``.
    """

    def __init__(self, by: str = "sum") -> None:
        super().__init__()
        self.by = by

    def forward(self, vectors: Tensor, boxes: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (B, N, Z) of faces to one a frame (B, L, Z), and which frames (B, L) have any.

        Args:
            vectors: of each face.
            boxes: (B, N, 2): number of its frame, share of the frame's pixels.
            there: (B, N).
        """
        boxes = torch.where(there[..., None], boxes, 0)
        number = boxes[..., 0].round().long().clamp_min(0)
        frames = int(number.max()) + 1 if number.numel() else 1
        within = F.one_hot(number, frames).to(vectors.dtype) * there[..., None]  # (B, N, L)
        area = boxes[..., 1].to(vectors.dtype).clamp_min(1e-6)[..., None] * within
        if self.by == "sum":
            area = area / area.sum(1, keepdim=True).clamp_min(1e-12)
        elif self.by == "max":
            area = area / area.amax(1, keepdim=True).clamp_min(1e-12)
        return area.transpose(1, 2) @ vectors, within.any(1)


def numbered(there: Tensor) -> Tensor:
    """Boxes (B, N, 2) for faces (B, N) of which nobody says where they are: one a frame, alike."""
    place: Sequence[int] = range(there.shape[1])
    number = torch.tensor(list(place), dtype=torch.float32, device=there.device)
    return torch.stack([number, torch.ones_like(number)], 1).expand(len(there), -1, -1)
