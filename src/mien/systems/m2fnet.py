"""M2FNet: emotion in conversation, from what is said, heard and seen in each utterance.

::

    text     previous | own | next --> an encoder of words, tuned --> (T) --> Linear   mien data
                                                                                    features
    fusion   text   (U, T) --> N x [x + Transformer] --> F_T --+--> m x fusion attention --+
             audio  (U, D) --> N x [x + Transformer] --> F_A --+    Q = V = T, K = A or V  +--> FC
             visual (U, D) --> N x [x + Transformer] --> F_V --+---------------------------+    FC

Vishal Chudasama, Purbayan Kar, Ashish Gudmalwar, Nirmesh Shah, Pankaj Wasnik, Naoyuki Onoe, CVPR
Workshops 2022, arXiv 2206.02187.

Shapes: B dialogues, U utterances, D width of a modality, T width of the query's, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mien import tasks
from mien.config import Settings
from mien.errors import ConfigError, DataError
from mien.parts import towers
from mien.parts.conversation import DialogueEncoder, FusionAttention, places
from mien.parts.features import Standardise
from mien.parts.losses import Combined
from mien.parts.model import FrontEnd, Model, given_of, known_positions
from mien.parts.pictures import Heard, MelPicture, Scenes, WeightedFaces
from mien.parts.resnet import Extractor
from mien.parts.text import TextTower
from mien.parts.triplets import TripletLoss
from mien.parts.voicewear import VoiceWear
from mien.parts.words import Told, UtterancePool
from mien.systems.m2fnet_extractors import AudioNetwork, VisualNetwork
from mien.types import Objective, Output, Problem, Resolution, Specs, Stage, Unit

Modality = Literal["text", "audio", "visual"]
ALL: tuple[Modality, ...] = ("text", "audio", "visual")


class Config(Settings):
    """Where nothing else is said, defaults are the paper's for MELD, or ours where it is silent."""

    modalities: tuple[Modality, ...] = Field(
        ALL, min_length=1, description="what is read; the first of text, audio, visual is the query"
    )

    # -- stage text --
    words: str | dict[str, Any] = Field(
        "FacebookAI/roberta-large",
        description="text encoder: hub name, local folder, or configuration values (random)",
    )
    words_revision: str | None = Field(None, description="commit on the hub (default: the newest)")
    tune: bool = Field(True, description="whether the text encoder learns, or a Linear behind it")
    neighbours: int = Field(
        1, ge=0, description="utterances before and after each that are read with it"
    )
    speakers: bool = Field(
        False, description="whether utterances begin with the name of who says them, as EmoBERTa's"
    )
    pool: Literal["own", "all", "first"] = Field(
        "own", description="tokens that make the vector: the utterance's own, all, or the first"
    )
    longest: int = Field(512, ge=8, description="tokens that are read, of neighbours the nearest")

    # -- stages audio and visual --
    audio_source_rate: int = Field(16000, ge=1, description="samples a second of the waveforms")
    audio_seconds: float = Field(10.0, gt=0, le=60, description="length of the mel picture")
    audio_wear: bool = Field(True, description="whether voices of training are worn: noise, pace")
    resnet: int = Field(64, ge=4, description="width of the ResNet-18's first stage")
    projection: int = Field(300, ge=1, description="Z, width of a vector")
    size: int = Field(112, ge=16, description="height and width of frames and faces")
    flip: bool = Field(True, description="whether every second clip of training is mirrored")
    area: Literal["sum", "max", "frame"] = Field(
        "sum", description="what the area of a face is a share of, where faces are weighted"
    )
    literal: bool = Field(
        False, description="the loss of the extractors as printed, which cannot be minimised well"
    )

    # -- stage fusion --
    feature_dims: dict[Modality, int] = Field(
        {}, description="width of each modality's vectors; {} asks the data"
    )
    standardise: bool = Field(True, description="each feature to mean 0 and deviation 1")
    widths: dict[Modality, int] = Field(
        {},
        description="widths to which vectors are brought first; the paper takes them as they are",
    )
    positions: bool = Field(True, description="whether the place in the dialogue is told, by sines")
    layers: int = Field(1, ge=0, description="N, Transformer layers of each modality")
    fusions: int = Field(5, ge=0, description="m, fusion attentions one after another")
    heads: int = Field(4, ge=1, description="attention heads; they divide every width")
    mlp: float = Field(4.0, gt=0, description="hidden width of a layer, as a multiple of its own")
    head: int | None = Field(None, ge=1, description="hidden width of the last layers; None: T")
    dropout: float = Field(0.4, ge=0, lt=1)


# -- text ------------------------------------------------------------------------------------------


class TextNetwork(nn.Module):
    """An encoder over an utterance and its neighbours, and one Linear a task.

    Args:
        tower: of text.
        pool: which tokens make the vector.
        dropout: rate on it.
        specs: the tasks.
    """

    def __init__(self, tower: TextTower, pool: str, dropout: float, specs: Specs) -> None:
        super().__init__()
        self.tower, self.pool = tower, UtterancePool(pool)
        self.drop = nn.Dropout(dropout)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(tower.dim, spec.width) for name, spec in specs.items()}
        )

    def forward(
        self,
        text: Tensor,
        own: Tensor,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Tokens (B, L), and which are its own, to raw answers (B, C) and vectors (B, D)."""
        seen = known_positions("text", {"text": text}, mask, present)
        seen = torch.ones_like(own) if seen is None else seen.expand(own.shape)
        tokens, _ = self.tower(text, seen)
        vector = self.pool(tokens, seen, own)
        logits = {name: head(self.drop(vector)) for name, head in self.heads.items()}
        return Output(logits=logits, features={"text": vector})

    # -- for layer decay --

    @property
    def layers(self) -> int:
        """The layer of the heads."""
        return self.tower.depth + 1

    def layer(self, name: str) -> int:
        """How far up a parameter lies."""
        part, _, rest = name.partition(".")
        return self.tower.layer(rest) if part == "tower" else self.layers


def build_text(config: Config, specs: Specs) -> Model:
    """Front end and network that answer to what is said in an utterance and around it."""
    _check(specs)
    tower = towers.texts(config.words, config.words_revision)
    if tower.looks_back:
        raise ConfigError(
            f"a {tower.config.model_type} model sees nothing of what is said after an utterance",
            where="model.words",
            fix="an encoder, such as FacebookAI/roberta-large",
        )
    if config.tune:
        tower.tune()
    longest = tower.longest(config.longest)
    told = Told(tower.tokens, longest, tower.pad, speakers=config.speakers)
    return Model(told, TextNetwork(tower, config.pool, config.dropout, specs))


# -- sound and pictures ----------------------------------------------------------------------------


def _extractor(config: Config) -> Extractor:
    return Extractor(config.resnet, config.projection)


def build_audio(config: Config, specs: Specs) -> Model:
    """Front end and network that make one vector of the sound of an utterance."""
    _classes(specs)
    picture = MelPicture(source_rate=config.audio_source_rate, seconds=config.audio_seconds)
    wear = None
    if config.audio_wear:  # the paper's: white noise, and time a little warped
        wear = VoiceWear.only(
            rate=config.audio_source_rate, noise=0.5, noises=("white",), speed=0.5, pace=(0.8, 1.25)
        )
    return Model(Heard(picture, wear), AudioNetwork(_extractor(config), specs))


def build_visual(config: Config, specs: Specs) -> Model:
    """Front end and network that make one vector of the pictures of an utterance."""
    _classes(specs)
    network = VisualNetwork(
        _extractor(config), _extractor(config), WeightedFaces(config.area), specs
    )
    return Model(Scenes(config.size, flip=config.flip), network)


def apart(*features: str) -> Callable[[Config, Specs], Objective]:
    """Triplets of each of these vectors, and what the Linear behind them is to answer."""

    def objective(config: Config, specs: Specs) -> Objective:
        task = _classes(specs)
        teaching = [(n, 1.0, TripletLoss(n, task, literal=config.literal)) for n in features]
        return Combined([*teaching, ("read", 1.0, tasks.objective(specs))])

    return objective


def _classes(specs: Specs) -> str:
    """The first task of classes: it makes the triplets."""
    _check(specs)
    for name, spec in specs.items():
        if spec.problem is Problem.ONE_OF_N:
            return name
    raise ConfigError(
        "triplets are made of classes, and no task has any", fix="data.tasks=[emotion]"
    )


# -- fusion ----------------------------------------------------------------------------------------


class FusionNetwork(nn.Module):
    """Each utterance among the others of its dialogue, in every modality, and all of them fused.

    Text is the query where it is read, else sound: the paper always has text. An utterance that
    lacks the query's modality has zeros for it, and is answered from the others.

    Args:
        config: sizes.
        specs: the tasks.
    """

    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__()
        self.features = _features(config)
        self.reads = sorted(self.features)
        self.positions = config.positions
        self.query = next(name for name in ALL if name in self.features)
        given: Mapping[str, int] = dict(config.widths.items())
        widths = {name: given.get(name, self.features[name]) for name in self.reads}
        self.project = nn.ModuleDict(
            {n: nn.Linear(self.features[n], widths[n]) for n in self.reads if n in config.widths}
        )
        self.encoders = nn.ModuleDict(
            {
                name: DialogueEncoder(
                    width, config.layers, config.heads, round(config.mlp * width), config.dropout
                )
                for name, width in widths.items()
            }
        )
        others = {name: width for name, width in widths.items() if name != self.query}
        self.fusions = nn.ModuleList(
            FusionAttention(widths[self.query], others, config.heads, config.dropout)
            for _ in range(config.fusions if others else 0)
        )
        self.widths = {self.query: widths[self.query]} | others
        hidden = config.head or widths[self.query]
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    nn.Linear(sum(widths.values()), hidden),
                    nn.GELU(),
                    nn.Dropout(config.dropout),
                    nn.Linear(hidden, spec.width),
                )
                for name, spec in specs.items()
            }
        )

    def forward(
        self,
        text: Tensor | None = None,
        audio: Tensor | None = None,
        visual: Tensor | None = None,
        *,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Vectors (B, U, D) of any of the modalities to raw answers (B, U, C).

        Args:
            text: a vector an utterance.
            audio: likewise.
            visual: likewise.
            mask: ``mask[m]`` (B, U), True where an utterance has one.
            present: (B, M), a column for each given modality in sorted order.
        """
        given = given_of(self.reads, text=text, audio=audio, visual=visual)
        there, encoded = self._encoded(given, mask, present)
        like = next(iter(encoded.values()))
        x = encoded.pop(self.query, like.new_zeros(*like.shape[:2], self.widths[self.query]))
        said = there.get(self.query, torch.zeros(like.shape[:2], dtype=torch.bool, device=x.device))
        both = {name: there[name] & said for name in encoded}
        for fusion in self.fusions:
            x = fusion(x, encoded, both).masked_fill(~said[..., None], 0)
        rest = [
            encoded.get(name, like.new_zeros(*like.shape[:2], width))
            for name, width in self.widths.items()
            if name != self.query
        ]
        whole = torch.cat([x, *rest], 2)  # (B, U, T + D + D)
        logits = {name: head(whole) for name, head in self.heads.items()}
        return Output(logits=logits, features={"fused": whole})

    def _encoded(
        self,
        given: Mapping[str, Tensor],
        mask: Mapping[str, Tensor] | None,
        present: Tensor | None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Which utterances (B, U) have each modality, and what each is among the others."""
        length = max(x.shape[1] for x in given.values())  # a modality nobody has is one position
        there, encoded = {}, {}
        for name in self.reads:
            if name not in given:
                continue
            x = given[name]
            known = known_positions(name, given, mask, present)
            seen = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
            seen = seen if known is None else known.expand(x.shape[:2])
            x, seen = _longer(x, length), _longer(seen, length)
            x = x.masked_fill(~seen[..., None], 0)  # whatever stood there, a NaN too
            if name in self.project:
                x = self.project[name](x)
            if self.positions:
                x = x + places(length, x.shape[2], x)
            there[name], encoded[name] = seen, self.encoders[name](x, seen)
        return there, encoded


def _longer(x: Tensor, length: int) -> Tensor:
    """(B, L, ...) with zeros up to a length."""
    rest = x.new_zeros(x.shape[0], length - x.shape[1], *x.shape[2:])
    return torch.cat([x, rest], 1)


def build_fusion(config: Config, specs: Specs) -> Model:
    """Front end and network that answer to whole dialogues."""
    _check(specs)
    front_end = Standardise(_features(config)) if config.standardise else FrontEnd()
    return Model(front_end, FusionNetwork(config, specs))


def _check(specs: Specs) -> None:
    for spec in specs.values():
        if spec.resolution is Resolution.FRAME:
            raise ConfigError(f"m2fnet answers once an utterance, {spec.name!r} asks once a frame")


def _features(config: Config) -> dict[str, int]:
    """The widths of what is read; at least one is known."""
    found: dict[str, int] = {
        name: width for name, width in config.feature_dims.items() if name in config.modalities
    }
    if not found:
        raise DataError(
            "the width of the vectors is not known",
            where="model.feature_dims",
            fix="model.feature_dims.text=1024",
        )
    return found


STAGES = {
    "text": Stage(
        unit=Unit.TEXT,
        build=build_text,
        modalities=("text",),
        context=lambda config: int(config.neighbours),
        gives="text",
    ),
    "audio": Stage(
        unit=Unit.CLIP,
        build=build_audio,
        modalities=("audio",),
        objective=apart("audio"),
        sampler="balanced",
        gives="audio",
    ),
    "visual": Stage(
        unit=Unit.CLIP,
        build=build_visual,
        modalities=("scene", "faces", "boxes"),
        objective=apart("scene", "faces"),
        sampler="balanced",
        gives="visual",
    ),
    "fusion": Stage(unit=Unit.DIALOGUE, build=build_fusion, modalities=ALL),
}
