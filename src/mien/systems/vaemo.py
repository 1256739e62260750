"""VAEmo-style: one encoder for faces and voices, taught by clips, then by descriptions, then tasks.

::

    pretrain   10 % of a video -- stem --+--> U --> mean --+
                                         |                 |  contrasted
               20 % of a sound -- stem --+--> U --> mean --+
                                         |
                         both, one after the other --> U --> decoders --> what was hidden

    inject     video --> U --> mean --> Linear ----+
                                                   |  contrasted, a path each; so may be "both"
               description --> embedding --> Linear, norm

    finetune   video --> U --> mean (C) --+
               sound --> U --> mean (C) --+ concat --> norm --> Linear
               both ---> U --> mean (C) --+

U is the same in all places. Reconstructed from the abstract of Hao Cheng, Zhiwei Zhao, Yichao He,
Zhenzhen Hu, Jia Li, Meng Wang, Richang Hong, ACM Multimedia 2025, arXiv 2505.02331: two stages and
their objectives are theirs, and everything else here is our choice.

Shapes: B clips, V views, N patches, C width of the encoder, P width of what is contrasted,
D width of an embedded description.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from mien.errors import DataError
from mien.parts import clips, masking
from mien.parts.autoencoder import LevelPool
from mien.parts.clips import BOTH, ClipSettings
from mien.parts.losses import Combined, Contrast
from mien.parts.model import Model, blank, clips_with, given_of, known_positions
from mien.parts.pretext import flags
from mien.parts.unified import (
    SHARED,
    TOGETHER,
    AroundUnified,
    LastPool,
    UnifiedAutoencoder,
    UnifiedEncoder,
    having,
)
from mien.parts.views import Described, ViewedNetwork, check_once_a_clip
from mien.types import Objective, Output, Specs, Stage, Unit

Caption = Literal["visual", "audio", "joint"]
CAPTIONS: tuple[Caption, ...] = ("visual", "audio", "joint")  # rows of a clip's ``text`` (3, D)
_WANTED = "mien describe, then mien data embed, write \"features\": {\"text\": ...}, (3, D)"


class Config(ClipSettings):
    """Inputs are HiCMAE's, so that the two compare; sizes and factors are our choice."""

    depth: int = Field(12, ge=1, description="blocks of the encoder")
    separate_norms: bool = Field(True, description="a last norm for each pass, or one for all")
    level_pool: bool = Field(
        False, description="the head reads a learned mean of all blocks, not the last one alone"
    )
    learn_temperature: bool = Field(False, description="start from temperature and tau, and learn")
    projection: int = Field(
        256, ge=0, description="width of what is contrasted; 0 contrasts the encoder's own means"
    )
    frame_difference: bool = Field(
        False, description="rebuild each second frame as its difference to the one before"
    )

    alpha: float = Field(1.0, ge=0, description="injection: factor on the path of the video")
    beta: float = Field(1.0, ge=0, description="the same for the sound")
    gamma: float = Field(0.0, ge=0, description="the same for both together")
    mu: float = Field(0.0, ge=0, description="factor on pre-training's own loss, kept beside them")
    tau: float = Field(0.07, gt=0, description="temperature between clips and descriptions")
    soft_targets: bool = Field(False, description="descriptions that are alike share their clips")
    tau_t: float = Field(0.07, gt=0, description="temperature between descriptions, for that")
    video_caption: Caption = Field("visual", description="which description the video's path reads")
    audio_caption: Caption = Field("audio", description="the same for the sound")
    joint_caption: Caption = Field("joint", description="the same for both together")
    text_dim: int = Field(384, ge=1, description="width of the embeddings of descriptions")
    inject_hidden: float = Field(
        0.0, ge=0, lt=1, description="share of patches that injection hides, as augmentation"
    )

    @property
    def paths(self) -> dict[str, tuple[float, Caption]]:
        """Factor and description of each path that counts."""
        every = {
            "video": (self.alpha, self.video_caption),
            "audio": (self.beta, self.audio_caption),
            TOGETHER: (self.gamma, self.joint_caption),
        }
        return {name: path for name, path in every.items() if path[0]}

    @model_validator(mode="after")
    def _injection_fits(self) -> Self:
        """There is a path, and one set of masks."""
        if not self.paths:
            raise ValueError("injection needs a path: alpha, beta or gamma above 0")
        if self.mu and self.inject_hidden:
            raise ValueError("mu keeps pre-training with its own masks: inject_hidden=0")
        return self


# -- parts of all three networks -------------------------------------------------------------------


def _encoder(config: Config, drop_path: float = 0.0) -> UnifiedEncoder:
    return UnifiedEncoder(
        {name: clips.patches(config, name, config.dim) for name in config.reads},
        dim=config.dim,
        depth=config.depth,
        heads=config.heads,
        separate_norms=config.separate_norms,
        drop_path=drop_path,
    )


def _projection(config: Config) -> nn.Module:
    return nn.Linear(config.dim, config.projection) if config.projection else nn.Identity()


# -- stage 1: masked reconstruction, and contrast of the two modalities ----------------------------


class Pretraining(UnifiedAutoencoder):
    """Rebuilds from the pass of both, and contrasts the means of the other two.

    Args:
        config: sizes.
        rebuilds: whether it does; injection may go on without.
    """

    def __init__(self, config: Config, *, rebuilds: bool = True) -> None:
        encoder = _encoder(config)
        super().__init__(
            encoder,
            clips.decoders(config) if rebuilds else {},
            {name: _projection(config) for name in BOTH} if rebuilds else {},
            targets=clips.targets(config) if rebuilds else {},
            temperature=config.temperature,
            learned=config.learn_temperature,
        )


def rebuild_and_contrast(config: Config, specs: Specs) -> Combined:
    """Errors of both modalities, and the contrast between them."""
    del specs
    scale = "scale" if config.learn_temperature else config.temperature
    return clips.rebuild_and_contrast(config, {"contrast": config.depth}, scale)


# -- stage 2: knowledge injection ------------------------------------------------------------------


class Injection(Pretraining):
    """Clips and embedded descriptions in one space: each path beside the description it should say.

    With ``mu`` it also goes on with what pre-training did.

    Args:
        config: sizes, and which paths there are.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config, rebuilds=config.mu > 0)
        self.config = config
        self.paths = nn.ModuleDict({name: _projection(config) for name in config.paths})
        width = config.projection or config.dim
        self.text = nn.Sequential(nn.Linear(config.text_dim, width), nn.LayerNorm(width))
        scale = nn.Parameter(torch.tensor(math.log(1 / config.tau)))
        self.path_scale = scale if config.learn_temperature else None

    def forward(
        self,
        video: Tensor | None = None,
        audio: Tensor | None = None,
        text: Tensor | None = None,
        *,
        video_hidden: Tensor | None = None,
        audio_hidden: Tensor | None = None,
        mask: Mapping[str, Tensor] | None = None,
        present: Tensor | None = None,
    ) -> Output:
        """Each path's mean and its description, projected.

        Args:
            video: normalised pixels (B, 3, T, H, W).
            audio: normalised spectrograms (B, 1, time, mel).
            text: (B, 3, D) embeddings of a visual, an audio and a joint description; a row of
                zeros is an absent one.
            video_hidden: (B, N), 1 where a patch is hidden; without it none is.
            audio_hidden: the same for the sound.
            mask: (B, L) for each modality; without it everything is there.
            present: (B, M), a column for each given modality in sorted order.

        Returns:
            Features ``video_path`` and ``video_caption`` (B, P) and so on for each path, and in
            ``aux`` who has them.
        """
        given = given_of(BOTH, video=video, audio=audio, text=text)
        if text is None:
            raise DataError("no description is here to learn from", fix=_WANTED)
        there = {name: clips_with(name, given, mask, present) for name in given}
        media = {name: blank(given[name], there[name]) for name in BOTH if name in given}
        output, visible = Output(), dict[str, Tensor]()
        if self.decoders:
            columns = [flags(there[name], text) for name in sorted(media)]
            output = super().forward(
                media.get("video"),
                media.get("audio"),
                video_hidden=video_hidden,
                audio_hidden=audio_hidden,
                present=torch.stack(columns, 1),
            )
        elif self.training:
            hidden = (("video", video_hidden), ("audio", audio_hidden))
            visible = {n: masking.parted(one)[0] for n, one in hidden if one is not None}
        if self.path_scale is not None:
            output.aux["path_scale"] = self.path_scale
        tokens = {n: self.encoder.tokens(n, x, visible.get(n)) for n, x in media.items()}
        vectors = self.encoder.vectors(tokens, there, dict.fromkeys(self.paths, LastPool()))
        nobody = text.new_zeros(len(text), dtype=torch.bool)
        for name, vector in vectors.items():
            names = BOTH if name == TOGETHER else (name,)
            seen = flags(having(names, there), text) if media.keys() >= set(names) else nobody
            output.features[f"{name}_path"] = self.paths[name](vector)
            output.aux[f"{name}_path_present"] = seen
        self._add_captions(output, text, known_positions("text", given, mask, present))
        return output

    def _add_captions(self, output: Output, text: Tensor, known: Tensor | None) -> None:
        """Descriptions (B, 3, D), of which ``known`` (B, 3) are given, each beside its path."""
        text, known = self._checked(text, known)
        meant = self.text(text)  # (B, 3, P)
        for name, (_, caption) in self.config.paths.items():
            row = CAPTIONS.index(caption)
            output.features[f"{name}_caption"] = meant[:, row]
            output.aux[f"{name}_caption_present"] = known[:, row]
            if self.config.soft_targets:
                output.aux[f"{name}_text"] = text[:, row]

    def _checked(self, text: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
        """Descriptions (B, 3, D), and which of them (B, 3) are there."""
        if text.ndim != 3 or not text.is_floating_point():
            raise DataError(
                f"descriptions are {text.dtype} of {tuple(text.shape[1:])}", fix=_WANTED
            )
        if text.shape[2] != self.config.text_dim:
            raise DataError(
                f"descriptions are {text.shape[2]} wide, not {self.config.text_dim}",
                fix=f"model.text_dim={text.shape[2]}",
            )
        there = text.any(2) if known is None else text.any(2) & known
        text = text.masked_fill(~there[..., None], 0)
        missing = len(CAPTIONS) - text.shape[1]
        if missing and there.any():
            raise DataError(f"a clip has {text.shape[1]} descriptions", fix=_WANTED)
        # A batch without any has one masked position.
        return F.pad(text, (0, 0, 0, missing)), F.pad(there, (0, missing))


def align(config: Config, specs: Specs) -> Combined:
    """Contrast of each path with its descriptions, and pre-training's own loss if it is kept."""
    local = config.negatives == "local"
    scale = "path_scale" if config.learn_temperature else config.tau
    parts: list[tuple[str, float, Objective]] = []
    for name, (factor, _) in config.paths.items():
        alike = (f"{name}_text", config.tau_t) if config.soft_targets else None
        pair = Contrast(f"{name}_path", f"{name}_caption", scale, local=local, alike=alike)
        parts.append((name, factor, pair))
    if config.mu:
        parts.append(("pretraining", config.mu, rebuild_and_contrast(config, specs)))
    return Combined(parts)


# -- stage 3: fine-tuning --------------------------------------------------------------------------


class Network(AroundUnified, ViewedNetwork):
    """The means of all three passes to an answer a task.

    A clip that lacks a modality has the other's pass alone, and zeros for the rest. A network that
    reads one modality has its pass alone.

    Args:
        config: sizes, and which modalities are read.
        specs: the tasks.
    """

    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__(config.reads, config.frames, specs)
        self.encoder = _encoder(config, config.drop_path)
        self.levels = range(1, config.depth + 1) if config.level_pool else None
        passes = (*config.reads, TOGETHER) if len(config.reads) > 1 else config.reads
        self.pools = nn.ModuleDict(
            {name: LevelPool(config.depth) if config.level_pool else LastPool() for name in passes}
        )
        self.answer_from(config.dim * len(passes))

    def described(
        self, inputs: Mapping[str, Tensor], there: Mapping[str, Tensor | None]
    ) -> Described:
        """Features ``video``, ``audio`` and ``both`` (B*V, C), and all of them side by side."""
        tokens = {name: self.encoder.tokens(name, x) for name, x in inputs.items()}
        vectors = self.encoder.vectors(tokens, there, dict(self.pools.items()), self.levels)
        return vectors, torch.cat(list(vectors.values()), 1)


# -- building --------------------------------------------------------------------------------------


def build_pretraining(config: Config, specs: Specs) -> Model:
    """Front end and network that learn from clips without labels."""
    del specs
    clips.need_both(config)
    front_end = clips.front_end(config, answering=False, hidden=config.hidden)
    return Model(front_end, Pretraining(config))


def build_injection(config: Config, specs: Specs) -> Model:
    """Front end and network that learn from descriptions."""
    del specs
    clips.need_both(config)
    hidden = config.hidden if config.mu else None
    if config.inject_hidden:
        hidden = dict.fromkeys(BOTH, config.inject_hidden)
    return Model(clips.front_end(config, answering=False, hidden=hidden), Injection(config))


def build(config: Config, specs: Specs) -> Model:
    """Front end and network for these tasks."""
    check_once_a_clip("vaemo", specs)
    return Model(clips.front_end(config, answering=True), Network(config, specs))


def _of_pretraining(config: Config) -> tuple[str, ...]:
    """What injection goes on with: the encoder, and all else if it goes on with that."""
    return _PRETRAINED if config.mu else ("encoder.",)


def _of_encoder(config: Config) -> tuple[str, ...]:
    """What fine-tuning goes on with: the encoder, or what of it is one modality's."""
    if len(config.reads) > 1:
        return ("encoder.",)
    (name,) = config.reads
    own = (f"stems.{name}.", f"embeddings.{name}", f"norms.{name}.", f"norms.{SHARED}.", "blocks.")
    return tuple(f"encoder.{part}" for part in own)


_PRETRAINED = ("encoder.", "decoders.", "projections.", "scale")

STAGES = {
    "pretrain": Stage(
        unit=Unit.CLIP,
        build=build_pretraining,
        modalities=("audio", "video"),
        objective=rebuild_and_contrast,
        supervised=False,
        hands_on=_PRETRAINED,
    ),
    "inject": Stage(
        unit=Unit.CLIP,
        build=build_injection,
        modalities=("audio", "video"),
        beside=("text",),
        objective=align,
        supervised=False,
        hands_on=("encoder.",),
        takes=_of_pretraining,
    ),
    "finetune": Stage(
        unit=Unit.CLIP, build=build, modalities=("audio", "video"), takes=_of_encoder
    ),
}
