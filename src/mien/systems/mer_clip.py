"""MER-CLIP-style: labels as texts ask each modality in turn, and answers are likeness to labels.

::

    labels --> sentences --> label encoder --> E (C, D) --------------------------+
                                |                                                 |
                              queries Q (C, dim)                                  |
    text    (L, d) -- encoder --> | Q looks at text                               |
    audio   (L, d) -- encoder --> | then at audio          in any order, twice    |
    visual  (L, d) -- encoder --> | then at what is seen                          |
                                Q --> s * cos(P(Q_c), E_c) <----------------------+
                                        one of n: softmax    many of n: sigmoid
                                        a score: the mean of where its labels lie

Re-implemented from the published abstract of Song and Cho, WACV 2025, arXiv 2506.00903: label
encoder, sequential cross-modal decoder and label-guided prediction are theirs; unspecified details
are ours, one setting each.

Shapes: B clips, L positions, C labels, D width of their vectors, dim width of the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts import labels
from mien.parts.aligned import Aligned
from mien.parts.bins import SoftScore, expected
from mien.parts.features import Standardise
from mien.parts.guided import (
    Injection,
    Likeness,
    QueryPool,
    SequenceEncoder,
    SequentialDecoder,
)
from mien.parts.labelled import LabelEncoder, LabelSettings
from mien.parts.labels import LabelSet
from mien.parts.losses import BinaryCrossEntropy, CrossEntropy, MeanAbsoluteError
from mien.parts.model import Model, given_of, known_positions
from mien.parts.temporal import MeanPool
from mien.parts.views import check_once_a_clip
from mien.types import Objective, Output, Problem, Specs, Stage, TaskSpec, Unit

Modality = Literal["text", "audio", "visual"]
MODALITIES: tuple[Modality, ...] = ("text", "audio", "visual")


class Config(LabelSettings):
    """All of it is our choice: the paper's text was not at hand."""

    modalities: tuple[Modality, ...] = Field(MODALITIES, min_length=1)
    order: tuple[Modality, ...] = Field(
        MODALITIES, min_length=1, description="which modality the queries look at first, and then"
    )
    feature_dims: dict[Modality, int] = Field(
        {}, description="width of each modality's vectors; {} asks the data"
    )
    dim: int = Field(512, ge=2, description="width of the tokens")
    heads: int = Field(8, ge=1)
    encoder_depth: int = Field(1, ge=0, description="blocks over each modality by itself")
    depth: int = Field(2, ge=1, description="passes over all modalities")
    dropout: float = Field(0.2, ge=0, lt=1)
    between: bool = Field(True, description="labels look at each other, too")
    reading: Literal["labels", "token", "modality"] = Field(
        "labels",
        description="what the queries are: one a label; a single token, which begins as the mean "
        "of the labels; the modalities' own tokens, which look at the labels",
    )
    answer: Literal["each", "pooled"] = Field(
        "each", description="a label is compared with its own query, or with one of all together"
    )
    head: Literal["labels", "regression"] = Field(
        "labels", description="of a score: the mean of its labels, or a perceptron that knows none"
    )
    temperature: float = Field(0.07, gt=0, description="one over the first factor on cosines")
    classes_weight: float = Field(1.0, ge=0, description="of a score: factor on cross-entropy")
    value_weight: float = Field(1.0, ge=0, description="of a score: factor on absolute error")
    align: float = Field(
        0.0, ge=0, description="factor on each modality's own answer, compared with the labels"
    )

    @model_validator(mode="after")
    def _order_names_each_modality_once(self) -> Self:
        if len(set(self.order)) < len(self.order):
            raise ValueError("order names a modality twice")
        left_out = sorted(set(self.modalities) - set(self.order))
        if left_out:
            raise ValueError(f"order leaves out {', '.join(left_out)}")
        if self.dim % (2 * self.heads):
            raise ValueError(
                f"a width of {self.dim} does not divide over {self.heads} heads, twice"
            )
        if not self.classes_weight + self.value_weight:
            raise ValueError("a score needs classes_weight or value_weight above 0")
        return self

    @property
    def reads(self) -> tuple[Modality, ...]:
        """The modalities that have vectors, in the order in which they are looked at."""
        return tuple(m for m in self.order if m in self.modalities and m in self.feature_dims)


# -- labels ----------------------------------------------------------------------------------------


def label_set(config: Config, spec: TaskSpec) -> LabelSet:
    """The texts of a task's labels, in their order; those of a score in the order of its values."""
    given = config.label_sets.get(spec.name)
    if spec.problem is Problem.REGRESSION:
        return _of_score(labels.named(given or "sentiment7"), spec)
    return labels.of(spec.labels) if given is None else labels.named(given).only(spec.labels)


def _of_score(found: LabelSet, spec: TaskSpec) -> LabelSet:
    if spec.width != 1:
        raise ConfigError(
            f"a score is one value, and task {spec.name!r} has {spec.width}",
            fix="data.tasks=[...] without it",
        )
    if len(found.values) < 2:
        raise ConfigError(
            f"nothing says where the labels of {spec.name!r} lie on its scale",
            where=f"model.label_sets.{spec.name}",
            fix="values: [-3, 0, 3] beside its labels",
        )
    return found.ascending()


def centres(given: LabelSet, spec: TaskSpec) -> Tensor:
    """Where the labels of a score lie, (C); from one end of the task's range to the other."""
    values = torch.tensor(given.values, dtype=torch.float32)
    if not spec.ranges:
        return values
    ((low, high),) = spec.ranges
    return low + (values - values[0]) / (values[-1] - values[0]) * (high - low)


# -- network ---------------------------------------------------------------------------------------


class Network(nn.Module):
    """Labels ask, modalities answer one after the other; see the figure above.

    Args:
        config: sizes, and how the parts are read.
        specs: the tasks.
    """

    def __init__(self, config: Config, specs: Specs) -> None:
        super().__init__()
        self.config, self.specs = config, dict(specs)
        sets = {name: label_set(config, spec) for name, spec in specs.items()}
        self.labels = LabelEncoder(config, sets)
        self.encoders = nn.ModuleDict(
            {
                name: SequenceEncoder(
                    config.feature_dims[name],
                    config.dim,
                    config.encoder_depth,
                    config.heads,
                    config.dropout,
                )
                for name in config.reads
            }
        )
        self.query = nn.Linear(config.label_dim, config.dim)
        between = config.between and config.reading == "labels"
        self.decoder = SequentialDecoder(
            config.reads, config.depth, config.dim, config.heads, config.dropout, between=between
        )
        self.likeness = Likeness(config.dim, config.label_dim, config.temperature)
        pooled = config.answer == "pooled" and config.reading == "labels"
        self.pool = QueryPool(config.dim) if pooled else None
        self.token = self._first_token() if config.reading == "token" else None
        self._add_heads()

    def _first_token(self) -> nn.Parameter:
        with torch.no_grad():
            every = torch.cat([self.query(self.labels(name)) for name in self.specs])
            return nn.Parameter(every.mean(0)[None])  # (1, dim)

    def _add_heads(self) -> None:
        config, dim = self.config, self.config.dim
        for name, spec in self.specs.items():
            if spec.problem is Problem.REGRESSION:
                self.register_buffer(f"{name}_centres", centres(self.labels.sets[name], spec))
        many = [name for name, spec in self.specs.items() if spec.problem is Problem.MANY_OF_N]
        self.bias = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in many})
        scores = [name for name, spec in self.specs.items() if spec.problem is Problem.REGRESSION]
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1))
                for name in scores
                if config.head == "regression"
            }
        )
        aligned = config.reads if config.align else ()
        self.pools = nn.ModuleDict({name: QueryPool(dim) for name in aligned})
        self.alone = nn.ModuleDict(
            {name: Likeness(dim, config.label_dim, config.temperature) for name in aligned}
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
        """Vectors in any subset of modalities to raw answers.

        Args:
            text: (B, L, d).
            audio: (B, L, d).
            visual: (B, L, d).
            mask: (B, L) for each modality; without it everything is there.
            present: (B, M), a column for each given modality in sorted order.

        Returns:
            Logits by task, for a score its value (B, 1) with the logits (B, C) of its labels in
            ``aux["TASK_classes"]``; each modality's own logits in ``aux["TASK_by_MODALITY"]``.
        """
        given = given_of(self.encoders, text=text, audio=audio, visual=visual)
        memories: dict[str, tuple[Tensor, Tensor]] = {}
        for name in [name for name in self.config.reads if name in given]:
            x = given[name]
            seen = known_positions(name, given, mask, present)
            if seen is None:
                seen = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
            memories[name] = self.encoders[name](x, seen.expand(x.shape[:2]))
        output = Output()
        for task in self.specs:
            self._answer(output, task, memories)
        return output

    def _answer(
        self, output: Output, task: str, memories: Mapping[str, tuple[Tensor, Tensor]]
    ) -> None:
        """Add one task's answers."""
        vectors = self.labels(task)  # (C, D)
        queries = self._asked(vectors, memories)  # (B, C or 1, dim)
        logits = self._shifted(task, self.likeness(queries, vectors))
        output.features[task] = queries.mean(1)
        if self.specs[task].problem is Problem.REGRESSION:
            output.aux[f"{task}_classes"] = logits
            logits = expected(logits, getattr(self, f"{task}_centres"))[:, None]
            if task in self.heads:
                logits = self.heads[task](queries.mean(1))
        output.logits[task] = logits
        for modality in [name for name in memories if name in self.pools]:
            own = self.alone[modality](self.pools[modality](*memories[modality]), vectors)
            output.aux[f"{task}_by_{modality}"] = self._shifted(task, own)

    def _asked(self, vectors: Tensor, memories: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """What the labels learned of the modalities, (B, C, dim) or (B, 1, dim)."""
        batch = len(next(iter(memories.values()))[0])
        first = self.query(vectors)[None].expand(batch, -1, -1)  # (B, C, dim)
        if self.config.reading == "modality":
            return self._told(first, memories)
        if self.token is not None:
            first = self.token[None].expand(batch, -1, -1)
        queries: Tensor = self.decoder(first, memories)
        if self.pool is not None:
            queries = self.pool(queries)
        return queries

    def _told(self, asked: Tensor, memories: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """The modalities' tokens after they looked at the labels, as one (B, 1, dim)."""
        everywhere = asked.new_ones(asked.shape[:2], dtype=torch.bool)
        pooled, there = [], []
        for name, (tokens, seen) in memories.items():
            for blocks in self.decoder.passes:
                assert isinstance(blocks, nn.ModuleDict)
                looked: Injection = blocks[name]  # type: ignore[assignment]
                tokens = looked(tokens, asked, everywhere)
            pooled.append(MeanPool()(tokens, seen))
            there.append(seen.any(1))
        mean: Tensor = MeanPool()(torch.stack(pooled, 1), torch.stack(there, 1))
        return mean[:, None]

    def _shifted(self, task: str, logits: Tensor) -> Tensor:
        if task not in self.bias:
            return logits
        moved: Tensor = logits + self.bias[task]
        return moved

    def relabel(self, task: str, given: LabelSet) -> TaskSpec:
        """Answer with these labels from now on; nothing is trained. Gives the task as it is now."""
        spec = self.specs[task]
        if spec.problem is Problem.REGRESSION:
            found = _of_score(given, spec)
            self.labels.put(task, found)
            setattr(self, f"{task}_centres", centres(found, spec))
            return spec
        self.labels.put(task, given)
        self.specs[task] = replace(spec, labels=given.names)
        return self.specs[task]

    # -- for layer decay --

    @property
    def layers(self) -> int:
        """The layer of everything but the text tower: one above its last block."""
        return 1 + (self.labels.tower.depth if self.labels.tower is not None else 0)

    def layer(self, name: str) -> int:
        """How far up a parameter lies."""
        part = "labels.tower."
        if self.labels.tower is None or not name.startswith(part):
            return self.layers
        return self.labels.tower.layer(name.removeprefix(part))


# -- what is minimised -----------------------------------------------------------------------------


def losses(config: Config, specs: Specs) -> dict[str, Objective]:
    """Losses of scores, and those of single modalities; other tasks have their own."""
    found: dict[str, Objective] = {}
    for name, spec in specs.items():
        if spec.problem is Problem.REGRESSION:
            found[name] = _of_value(config, spec)
    for modality in config.reads if config.align else ():
        for name, spec in specs.items():
            own = f"{name}_by_{modality}"
            found[own] = _of_one(config, spec, modality, own)
    return found


def _of_value(config: Config, spec: TaskSpec) -> Objective:
    if config.head == "regression":
        return MeanAbsoluteError(spec.name)
    at = centres(label_set(config, spec), spec)
    classes = f"{spec.name}_classes"
    return SoftScore(spec.name, at, classes, config.classes_weight, config.value_weight)


def _of_one(config: Config, spec: TaskSpec, modality: str, own: str) -> Objective:
    loss: Objective = CrossEntropy(spec.name)
    if spec.problem is Problem.MANY_OF_N:
        loss = BinaryCrossEntropy(spec.name)
    elif spec.problem is Problem.REGRESSION:
        at = centres(label_set(config, spec), spec)
        weights = (config.classes_weight, config.value_weight)
        loss = SoftScore(spec.name, at, own, *weights, value=False)
    return Aligned(spec.name, modality, own, loss, config.align)


# -- building --------------------------------------------------------------------------------------


def build(config: Config, specs: Specs) -> Model:
    """Front end and network for these tasks."""
    check_once_a_clip("mer-clip", specs)
    if not config.reads:
        raise ConfigError(
            "how wide are the vectors of the modalities?",
            where="model.feature_dims",
            fix="model.feature_dims.text=768 model.feature_dims.audio=74",
        )
    dims: dict[str, int] = {name: config.feature_dims[name] for name in config.reads}
    return Model(Standardise(dims), Network(config, specs))


STAGES = {
    "fuse": Stage(
        unit=Unit.CLIP,
        build=build,
        modalities=MODALITIES,
        objective=losses,
        hands_on=("encoders.", "query.", "decoder.", "likeness."),
    )
}
