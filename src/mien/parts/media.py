"""Frames and sound to what towers read, each by itself.

Shapes: B clips, T frames a view, V views, S the picture tower's input size, F mel bins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from mien.parts.audio import to_mono
from mien.parts.model import FrontEnd, Tensors
from mien.parts.vision import VideoFrontEnd
from mien.parts.voicewear import VoiceWear


class MediaFrontEnd(FrontEnd):
    """Frames to normalised pixels (B, 3, V*T, S, S), sound to log-mels (B, channels, time, F).

    Args:
        video: chooses frames and makes pixels of them.
        audio: ``(wave, mask)`` to log-mels.
        wear: what happens to voices in training, before.
    """

    def __init__(
        self, video: VideoFrontEnd, audio: nn.Module, wear: VoiceWear | None = None
    ) -> None:
        super().__init__()
        self.video, self.audio, self.wear = video, audio, wear

    def choose(
        self,
        mask: Mapping[str, Tensor],
        *,
        training: bool,
        rates: Mapping[str, float] | None = None,
    ) -> Tensors:
        """The frames of a view or more; of sound everything."""
        del rates
        return {
            name: self.video.choose(there, training=training)
            for name, there in mask.items()
            if name == "video"
        }

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """Recorded tensors to the towers' tensors; sound becomes one position a clip."""
        made, seen = dict(inputs), dict(mask)
        if "video" in made:
            made["video"], seen["video"] = self.video(
                made["video"], seen["video"], chosen="video" in chosen
            )
        if "audio" in made:
            wave = to_mono(made["audio"])
            if self.wear is not None:
                wave = self.wear(wave, seen["audio"])
            made["audio"] = self.audio(wave, seen["audio"])
            seen["audio"] = seen["audio"].any(1, keepdim=True)
        return made, seen


class FrameMedia(FrontEnd):
    """Every frame to normalised pixels (B, 3, L, S, S), for answers a frame.

    Args:
        video: makes pixels of frames.
    """

    def __init__(self, video: VideoFrontEnd) -> None:
        super().__init__()
        self.video = video

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """``inputs["video"]`` (B, L, H, W, 3) to pixels; masks (B, L) as they are."""
        del chosen  # every frame is read
        video, seen = inputs["video"], mask["video"]
        every = torch.arange(video.shape[1], device=video.device).expand(video.shape[:2])
        pixels, _ = self.video(video, seen, index=every)
        return {"video": pixels}, {"video": seen}
