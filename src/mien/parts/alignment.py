"""Pictures and the sound of the same moments: one front end that cuts both from a recording.

Shapes: B clips, L recorded positions of a modality (padded), T frames a view, V views, S samples
of a view's sound.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mien.parts import masking
from mien.parts.audio import OfficialFbank, lengths
from mien.parts.model import FrontEnd, Tensors
from mien.parts.patches import grid_of
from mien.parts.vision import VideoFrontEnd


class AlignedMedia(FrontEnd):
    """Frames of a window or more, each with the spectrogram of its own sound.

    Where the rates of frames and samples are known (prepared recordings), a moment is found by its
    seconds. Of plain arrays nobody knows them: the pictures and the sound of a clip then begin and
    end together. A clip without pictures gives windows of ``seconds``, placed like those of frames.

    Args:
        video: chooses frames and makes pixels of them.
        audio: makes a spectrogram of at most S samples.
        seconds: length of a window of sound alone.
    """

    def __init__(self, video: VideoFrontEnd, audio: OfficialFbank, *, seconds: float) -> None:
        super().__init__()
        self.video, self.audio = video, audio
        self.samples = math.ceil(audio.samples * audio.source_rate / audio.rate)
        self.alone = min(self.samples, round(seconds * audio.source_rate))

    def choose(
        self,
        mask: Mapping[str, Tensor],
        *,
        training: bool,
        rates: Mapping[str, float] | None = None,
    ) -> Tensors:
        """Frames (1, V*T), and samples (1, V*S) of the same time, -1 where it has none."""
        made = {}
        if "video" in mask:
            made["video"] = self.video.choose(mask["video"], training=training)
        if "audio" in mask:
            extents = {name: there.new_full((1, 1), there.shape[1], dtype=torch.long)
                       for name, there in mask.items()}  # fmt: skip
            known = rates if rates and {"audio", "video"} <= rates.keys() else None
            scale = known["audio"] / known["video"] if known else None
            made["audio"] = self._sound(mask, extents, made.get("video"), training, scale)
        return made

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """Frames to pixels (B, 3, V*T, H, W), sound to spectrograms (B, V, time, mel)."""
        made, seen = dict(inputs), dict(mask)
        index = None
        if "video" in made:
            if "video" not in chosen:
                index = self.video.choose(mask["video"], training=self.training)
            made["video"], seen["video"] = self.video(
                inputs["video"], mask["video"], chosen="video" in chosen, index=index
            )
        if "audio" in made:
            wave, there = inputs["audio"], mask["audio"]
            if "audio" not in chosen:
                extents = {name: lengths(one) for name, one in mask.items()}
                at = self._sound(mask, extents, index, self.training, None)
                wave, there = _taken(wave, there, at)
            made["audio"] = self._spectrograms(wave, there)
            seen["audio"] = mask["audio"].any(1, keepdim=True)
        return made, seen

    @property
    def _views(self) -> int:
        return 1 if self.training else self.video.views

    def _spectrograms(self, wave: Tensor, there: Tensor) -> Tensor:
        """Sound (B, V*S) or (B, V*S, channels), view after view, to (B, V, time, mel)."""
        views, batch = self._views, len(wave)
        missing = views * self.samples - wave.shape[1]  # below 0: padding behind what was chosen
        wave = F.pad(wave, [0, 0] * (wave.ndim - 2) + [0, missing])
        there = F.pad(there, (0, missing))
        pictures: Tensor = self.audio(
            torch.unflatten(wave, 1, (views, self.samples)).flatten(0, 1),
            torch.unflatten(there, 1, (views, self.samples)).flatten(0, 1),
        )  # (B*V, 1, time, mel)
        return pictures.view(batch, views, *pictures.shape[2:])

    def _sound(
        self,
        mask: Mapping[str, Tensor],
        extents: Mapping[str, Tensor],
        index: Tensor | None,
        training: bool,
        scale: float | None,
    ) -> Tensor:
        """Positions (B, V*S) of the sound of each view, -1 where there is none.

        Args:
            mask: (B, L) by modality.
            extents: (B, 1) by modality, how long each recording is.
            index: (B, V*T) the chosen frames, if there are any.
            training: whether a window of sound alone lies anywhere.
            scale: samples from one frame to the next; None: as many as there are for each.
        """
        views = 1 if training else self.video.views
        extent = extents["audio"]
        start, end = self._alone(extent, views, training)  # (B, V)
        if index is not None:
            step = extent / extents["video"].clamp(min=1) if scale is None else scale
            frame = torch.unflatten(index, 1, (views, -1))  # (B, V, T)
            first, last = frame[..., 0], frame[..., -1]
            until = (last + 1).maximum(first + self.video.frames * self.video.stride)
            seen = mask["video"].any(1, keepdim=True)
            start = torch.where(seen, (first * step).round().long(), start)
            end = torch.where(seen, (until * step).round().long(), end)
        place = start[..., None] + torch.arange(self.samples, device=start.device)  # (B, V, S)
        inside = place < end.minimum(extent)[..., None]
        return torch.where(inside, place, -1).flatten(1)

    def _alone(self, extent: Tensor, views: int, training: bool) -> tuple[Tensor, Tensor]:
        """Where windows (B, V) of sound begin and end that no frames go with."""
        spare = (extent - self.alone).clamp(min=0)
        if training:
            luck = torch.rand(spare.shape).to(spare.device)
            start = (luck * (spare + 1)).long().minimum(spare)
        elif views > 1:
            start = spare * torch.arange(views, device=spare.device) // (views - 1)
        else:
            start = spare // 2
        return start, start + self.alone


class MaskedMedia(AlignedMedia):
    """The same for masked autoencoders: it also draws which patches are hidden.

    Args:
        video: chooses frames and makes pixels of them.
        audio: makes a spectrogram.
        seconds: length of a window of sound alone.
        hidden: by modality the sides of its patches, and the share of them that is hidden: tubes
            of a video, any patches of a sound.
    """

    def __init__(
        self,
        video: VideoFrontEnd,
        audio: OfficialFbank,
        *,
        seconds: float,
        hidden: Mapping[str, tuple[Sequence[int], float]],
    ) -> None:
        super().__init__(video, audio, seconds=seconds)
        self.hidden = dict(hidden)

    def draw(self, inputs: Mapping[str, Tensor], luck: Sequence[int]) -> Tensors:
        """``audio_hidden`` and ``video_hidden`` (B, N), True where a patch is hidden."""
        masks: dict[str, masking.Mask] = {}
        for name in sorted(inputs.keys() & self.hidden.keys()):
            x, (size, ratio) = inputs[name], self.hidden[name]
            kind = masking.tube if name == "video" else masking.anywhere
            masks[f"{name}_hidden"] = kind(grid_of(x.shape, size), ratio)
        some = next(iter(inputs.values()))
        drawn = masking.draw(list(masks.values()), len(some), luck)
        return {name: one.to(some.device) for name, one in zip(masks, drawn, strict=True)}


def _taken(wave: Tensor, there: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """``wave`` (B, L) or (B, L, channels) and its mask at positions (B, N), masked where -1."""
    row = torch.arange(len(wave), device=wave.device)[:, None]
    place = at.clamp(min=0)
    return wave[row, place], there[row, place] & (at >= 0)
