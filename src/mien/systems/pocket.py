"""Pocket: a small face tower and a small voice tower, each sure of itself by a known measure.

::

    16 frames -- FaceNet --> 16 vectors --> Linear --> mean -- / temperature --+
                                                                              product --> 7
    3 s of sound -- VoiceNet --> mean --> Linear -- / temperature -- calm is neutral --+

Each tower gives calibrated probabilities of its own classes; those of the voice are brought to the
seven of the face. Two opinions about one person are multiplied, and what both took from how often
a class occurs is counted once. One class of the voice is that nobody speaks: it takes the voice's
opinion away, and where no face is there either, the answer's support.

No paper: this is what `mien predict` answers with when it is given no run.

Shapes: B clips, L frames or tokens, D width of a tower, C the seven classes, K those of the voice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mien.config import Settings
from mien.errors import ConfigError
from mien.parts import towers
from mien.parts.audio import OfficialFbank
from mien.parts.media import MediaFrontEnd
from mien.parts.model import Model, known_positions
from mien.parts.temporal import MeanPool
from mien.parts.vision import VideoFrontEnd
from mien.types import Output, Problem, Resolution, Specs, Stage, TaskSpec, Unit

Modality = Literal["audio", "video"]

NOBODY = "nobody"
"""The class of sounds in which nobody speaks."""


class Config(Settings):
    """Two towers, and what their classes mean."""

    modalities: tuple[Modality, ...] = Field(("audio", "video"), min_length=1)
    vision: str | dict[str, Any] = Field("pocket/face", description="face tower: name or values")
    audio: str | dict[str, Any] = Field("pocket/voice", description="voice tower: name or values")
    voice_means: dict[str, str] = Field(
        {
            "neutral": "neutral", "calm": "neutral", "happy": "happy", "sad": "sad",
            "angry": "angry", "fearful": "fear", "disgust": "disgust", "surprised": "surprise",
            NOBODY: NOBODY,
        },
        description="each class of the voice, in its order: which class of the task it is, or "
        "'nobody' where nobody speaks",
    )  # fmt: skip

    frames: int = Field(16, ge=1, description="frames of a window")
    stride: int = Field(6, ge=1, description="recorded frames from one to the next")
    size: int = Field(48, ge=8, description="height and width that the face tower reads")
    focus: float = Field(
        0.765, gt=0, le=1, description="share of a crop's sides that the face tower looks at"
    )
    audio_source_rate: int = Field(16000, ge=1, description="samples a second of the waveforms")
    audio_seconds: float = Field(3.0, gt=0, le=60, description="length of sound that is read")


def _front_end(config: Config) -> MediaFrontEnd:
    """Frames to small pictures (B, 3, T, S, S), sound to filter banks (B, 1, time, 64)."""
    rate, seconds = config.audio_source_rate, config.audio_seconds
    return MediaFrontEnd(
        VideoFrontEnd(
            frames=config.frames, stride=config.stride, size=config.size, focus=config.focus
        ),
        OfficialFbank(
            rate=rate, source_rate=rate, seconds=seconds, frames=round(100 * seconds), pad="silence"
        ),
    )


class Opinion(nn.Module):
    """A tower, a Linear over its tokens, their mean, and a temperature learned afterwards.

    Args:
        tower: ``(x, mask) -> (tokens (B, L, D), mask)``.
        classes: how many.
    """

    temperature: Tensor

    def __init__(self, tower: towers.Tower, classes: int) -> None:
        super().__init__()
        self.tower, self.pool = tower, MeanPool()
        self.head = nn.Linear(tower.dim, classes)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, classes) and the mean vector (B, D)."""
        tokens, mask = self.tower(x, mask)
        vector: Tensor = self.pool(tokens, mask)  # a Linear of the mean is the mean of a Linear
        return (self.head(vector).float() / self.temperature).log_softmax(-1), vector


class Network(nn.Module):
    """Opinions, multiplied.

    Args:
        opinions: by modality.
        spec: the task.
        means: (K, C), 1 where a class of the voice is one of the task.
        nobody: (K), 1 for the class of the voice that is none.
    """

    means: Tensor
    nobody: Tensor
    prior: Tensor
    doubt: Tensor

    def __init__(
        self, opinions: Mapping[str, Opinion], spec: TaskSpec, means: Tensor, nobody: Tensor
    ) -> None:
        super().__init__()
        self.spec = spec
        self.opinions = nn.ModuleDict(opinions)
        self.register_buffer("means", means, persistent=False)
        self.register_buffer("nobody", nobody, persistent=False)
        # How often each class occurs where the opinions come from; as long as nobody says, alike.
        self.register_buffer("prior", torch.full((spec.width,), 1 / spec.width))
        # How many times likelier than in training it is that nobody speaks, before one has heard.
        self.register_buffer("doubt", torch.ones(()))

    def forward(
        self,
        video: Tensor | None = None,
        audio: Tensor | None = None,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """What the front end made, in any subset, to one answer a clip.

        Args:
            video: faces (B, 3, T, S, S).
            audio: filter banks (B, 1, time, F).
            mask: (B, L) for each modality; without it everything is there.
            present: (B, M), a column for each given modality in sorted order.
        """
        given = {n: x for n, x in (("audio", audio), ("video", video)) if x is not None}
        known = [name for name in given if name in self.opinions]
        if not known:
            raise ConfigError(f"no input for any of {', '.join(self.opinions)}")
        batch = len(given[known[0]])
        total = self.prior.log().expand(batch, -1)  # (B, C)
        support = torch.zeros(batch, device=total.device)
        features: dict[str, Tensor] = {}
        for name in known:
            seen = known_positions(name, given, mask, present)
            said, features[name] = self.opinions[name](given[name], seen)
            weight = torch.ones_like(support) if seen is None else seen.any(1).float()
            stands = weight
            if name == "audio":
                said, speaks = self._of_the_voice(said)
                stands = weight * speaks / (speaks + self.doubt * (1 - speaks))
                weight = weight * speaks
            total = total + weight[:, None] * (said - self.prior.log())
            support = torch.maximum(support, stands)
        return Output(logits={self.spec.name: total}, features=features, aux={"support": support})

    def _of_the_voice(self, said: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, K) as those of the task (B, C), and how likely somebody speaks."""
        chances = said.exp()
        speaks = 1 - (chances * self.nobody).sum(1)
        told = chances @ self.means + 1e-8  # a class that no voice means is never quite impossible
        return told.log() - told.sum(1, keepdim=True).log(), speaks


def build(config: Config, specs: Specs) -> Model:
    """Front end and network for the one task."""
    spec = _task(config, specs)
    opinions: dict[str, Opinion] = {}
    if "video" in config.modalities:
        opinions["video"] = Opinion(towers.vision(config.vision), spec.width)
    if "audio" in config.modalities:
        opinions["audio"] = Opinion(towers.audio(config.audio), len(config.voice_means))
    place = {label: index for index, label in enumerate(spec.labels)}
    means = torch.zeros(len(config.voice_means), spec.width)
    for row, meant in enumerate(config.voice_means.values()):
        if meant in place:
            means[row, place[meant]] = 1
    nobody = torch.tensor([float(meant == NOBODY) for meant in config.voice_means.values()])
    return Model(_front_end(config), Network(opinions, spec, means, nobody))


def _task(config: Config, specs: Specs) -> TaskSpec:
    """The task, whose classes are those that the towers have opinions about."""
    spec = next(iter(specs.values()))
    meant = set(config.voice_means.values()) - {NOBODY}
    fits = spec.problem is Problem.ONE_OF_N and spec.resolution is not Resolution.FRAME
    if len(specs) != 1 or not fits or not meant <= set(spec.labels):
        raise ConfigError(
            f"pocket answers one of {', '.join(sorted(meant))} a clip, and nothing else",
            where=", ".join(specs),
            fix="mien train claip-emo --preset pocket learns your classes from the same towers",
        )
    return spec


STAGES = {
    "heads": Stage(
        unit=Unit.CLIP, build=build, modalities=("audio", "video"), hands_on=("opinions.",)
    )
}
