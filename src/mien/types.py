"""The words everyone speaks: tasks, samples, batches, outputs, stages, timelines.

Importing this module imports no torch: tensors appear in annotations only.

Axes: B clips of a batch, L positions of a modality (frames, samples, tokens, utterances),
M modalities in sorted order, C outputs of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

from mien.errors import ConfigError
from mien.timeline import Timeline, Track, Window

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    Array = NDArray[np.generic]

__all__ = [
    "Batch",
    "Conversion",
    "Objective",
    "Output",
    "Problem",
    "Resolution",
    "Sample",
    "Specs",
    "Stage",
    "TaskSpec",
    "Timeline",
    "Track",
    "Unit",
    "Window",
    "Windows",
]


AROUND, TURN, SAID = "\x1d", "\x1e", "\x1f"
"""What sets the parts of a told text apart (see :class:`mien.data.dialogues.Context`)."""


class Problem(StrEnum):
    """What kind of answer a task asks for."""

    ONE_OF_N = "one_of_n"
    MANY_OF_N = "many_of_n"
    REGRESSION = "regression"
    ORDINAL = "ordinal"


class Resolution(StrEnum):
    """How often a task asks for an answer."""

    CLIP = "clip"
    FRAME = "frame"
    UTTERANCE = "utterance"


class Unit(StrEnum):
    """What one sample of a stage is."""

    IMAGE = "image"
    CLIP = "clip"
    WINDOW = "window"
    DIALOGUE = "dialogue"
    TEXT = "text"
    TRIPLET = "triplet"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A problem declared. Head width, activation, loss, metrics and decoding follow from it.

    Args:
        name: the key under ``labels`` in a manifest.
        problem: one of n, many of n, regression or ordinal.
        resolution: one answer a clip, a frame or an utterance.
        labels: class or dimension names; their order is the order of the outputs.
        ranges: lowest and highest value of each dimension (regression).
        units: unit of each dimension, for display.
        invalid: label values that mean "not annotated" (such as -1 or -5).
        threshold: score at which one of many labels counts as present.
        aside: classes that are learned, and not asked for: an epoch is chosen without them.
    """

    name: str
    problem: Problem
    labels: tuple[str, ...]
    resolution: Resolution = Resolution.CLIP
    ranges: tuple[tuple[float, float], ...] = ()
    units: tuple[str, ...] = ()
    invalid: tuple[float, ...] = ()
    threshold: float = 0.5
    aside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ConfigError(
                f"task {self.name!r} needs at least one label, each named once",
                where=f"labels={list(self.labels)}",
            )
        for name in ("ranges", "units"):
            given = getattr(self, name)
            if given and len(given) != len(self.labels):
                raise ConfigError(
                    f"task {self.name!r} has {len(self.labels)} labels but {len(given)} {name}"
                )
        if self.aside and (not self.categorical or not set(self.aside) < set(self.labels)):
            what = f"task {self.name!r} sets classes aside that are not some of its own"
            raise ConfigError(what, where=f"aside={list(self.aside)}")

    @property
    def width(self) -> int:
        """Number of outputs a head for this task has."""
        return len(self.labels)

    @property
    def categorical(self) -> bool:
        """Whether an answer is one class index (a target without a class axis)."""
        return self.problem in (Problem.ONE_OF_N, Problem.ORDINAL)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the content of ``labels.json``."""
        return {
            "name": self.name,
            "problem": self.problem.value,
            "resolution": self.resolution.value,
            "labels": list(self.labels),
            "ranges": [list(pair) for pair in self.ranges],
            "units": list(self.units),
            "invalid": list(self.invalid),
            "threshold": self.threshold,
            **({"aside": list(self.aside)} if self.aside else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskSpec:
        """Read what :meth:`to_dict` wrote."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown task keys: {', '.join(sorted(unknown))}")
        try:
            return cls(
                name=str(values["name"]),
                problem=Problem(values["problem"]),
                resolution=Resolution(values.get("resolution", "clip")),
                labels=tuple(str(label) for label in values["labels"]),
                ranges=tuple((float(low), float(high)) for low, high in values.get("ranges", ())),
                units=tuple(str(unit) for unit in values.get("units", ())),
                invalid=tuple(float(value) for value in values.get("invalid", ())),
                threshold=float(values.get("threshold", 0.5)),
                aside=tuple(str(label) for label in values.get("aside", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"a task needs name, problem and labels: {error}", where=repr(dict(values))[:200]
            ) from error


Specs = Mapping[str, TaskSpec]
"""The tasks of a run by name."""


@dataclass(slots=True, kw_only=True)
class Sample:
    """One item before batching: arrays of this sample's own lengths.

    A modality that the sample lacks is left out of ``inputs``: its absence becomes a mask.
    ``mask`` says of single positions (L) whether they are there; without it all of them are.
    Of the modalities in ``chosen`` only what the front end will show the network was read.
    ``luck`` is the seed of what is random in this reading of it; training gives one.
    ``targets`` of a categorical task hold class indices (-1: not annotated) or, for a soft
    label, one weight a class; those of other tasks one value a label (NaN: not annotated).
    """

    id: str
    inputs: dict[str, Array]
    targets: dict[str, Array] = field(default_factory=dict)
    times: Array | None = None
    group: str = ""
    mask: dict[str, Array] = field(default_factory=dict)
    chosen: frozenset[str] = frozenset()
    luck: int | None = None


def _map(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _map(item, change) for key, item in value.items()}
    return value


class _Tensors:
    """Applies one function to every tensor of a record."""

    __slots__ = ()

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same record with ``change`` applied to each tensor in it."""
        known: Any = self  # a dataclass, as are all that share this base
        changed = {f.name: _map(getattr(self, f.name), change) for f in fields(known)}
        made: Self = replace(known, **changed)
        return made

    def pin_memory(self) -> Self:
        """The same record in memory that a GPU can fetch from by itself; a data loader asks."""
        return self.map(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device | str) -> Self:
        """The same record on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(slots=True, kw_only=True)
class Batch(_Tensors):
    """Samples padded to one size. What is absent is masked, never silently zero.

    Shapes:
        inputs[modality]: (B, L, ...); mask[modality]: (B, L) bool
        present: (B, M) bool, modalities in sorted order
        times: (B, L) seconds of the labelled positions, or of the longest modality
        targets[task]: (B), (B, L), (B, C) or (B, L, C); target_mask[task]: (B) or (B, L) bool,
        or with a trailing C where single values can be unannotated

    Of the modalities in ``chosen`` only what the front end named was read. ``luck`` has a seed for
    each clip, or none: what is drawn from it is the same over any number of processes.
    """

    inputs: dict[str, Tensor]
    mask: dict[str, Tensor]
    present: Tensor
    times: Tensor | None = None
    targets: dict[str, Tensor] = field(default_factory=dict)
    target_mask: dict[str, Tensor] = field(default_factory=dict)
    ids: Sequence[str] = ()
    group: Sequence[str] = ()
    chosen: frozenset[str] = frozenset()
    luck: Sequence[int] = ()

    @property
    def modalities(self) -> list[str]:
        """Names in the order of the columns of ``present``."""
        return sorted(self.inputs)

    def __len__(self) -> int:
        return int(self.present.shape[0])


@dataclass(slots=True, kw_only=True)
class Output(_Tensors):
    """What a network answers: raw logits per task, named features, and anything else.

    All tensors have a first axis of B. A number without axes may stand in ``aux`` if it is one
    parameter for all clips, such as a temperature: that of the first micro-batch stands for all.
    ``aux["support"]`` (B), where a network gives it, says how far it stands behind its answers,
    in 0..1; a timeline leaves out those below a half.
    """

    logits: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    aux: dict[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Objective(Protocol):
    """What a stage minimises.

    ``additive`` says whether the loss of a batch is the weighted mean of the losses of its
    parts. Where it is not (CCC, contrast), the loop gathers the outputs of all processes and
    accumulated micro-batches first, so that the loss is that of the whole batch.
    """

    additive: bool

    def __call__(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """``{"loss": scalar, ...named terms}`` for one batch."""
        ...

    def weight(self, batch: Batch) -> Tensor:
        """How much this batch counts in a mean over batches (such as its annotated targets)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How long rows are read: in windows, whose answers are averaged to one a position.

    Args:
        length: positions of a window.
        stride: from the start of one to that of the next.
        gaps: whether they may leave positions out, as those that are only learned from may.
        smooth: what is done with the answers of a row (see :mod:`mien.tasks.smoothing`).
        around: positions on each side that smoothing looks at.
    """

    length: int
    stride: int
    gaps: bool = False
    smooth: Literal["none", "mean", "median", "mode"] = "none"
    around: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One training of a system: what it reads, builds, minimises and hands on.

    Args:
        unit: what a sample is.
        build: ``(config, specs) -> mien.parts.model.Model``; no specs in a self-supervised stage.
        modalities: which inputs the stage reads, in any subset.
        objective: ``(config, specs) -> Objective``, or losses in the place of some tasks' own
            and terms beside them, by name; None takes the tasks' own losses.
        supervised: whether the stage needs labels.
        sampler: ``shuffled``, or ``balanced`` over the classes of the first task.
        hands_on: prefixes of the network's state that the next stage starts from.
        beside: inputs that it reads in any case, whichever modalities the settings name.
        takes: ``config -> prefixes`` of what the stage before hands on, where this stage's own
            settings may want less than all of it; None takes all.
        windows: ``(config, training) -> Windows`` where rows are cut; None reads them whole.
        context: ``config -> number`` of utterances on each side that a text is told with.
        gives: a feature (B, D) of its output that becomes a feature of the rows, where asked for.
        spread: whether classes of clips are learned at each frame, and answered there.
    """

    unit: Unit
    build: Callable[[Any, Specs], nn.Module]
    modalities: tuple[str, ...]
    objective: Callable[[Any, Specs], Objective | Mapping[str, Objective]] | None = None
    supervised: bool = True
    sampler: str = "shuffled"
    hands_on: tuple[str, ...] = ()
    takes: Callable[[Any], tuple[str, ...]] | None = None
    beside: tuple[str, ...] = ()
    windows: Callable[[Any, bool], Windows] | None = None
    context: Callable[[Any], int] | None = None
    gives: str | None = None
    spread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What a system says of a published checkpoint, so that a run can be made of it.

    Args:
        stage: which stage's network its weights are those of.
        model: the system's settings that follow from their shapes.
        rules: what segments of a weight's name are called there and in our network; ``{task}``
            stands for the name of the task.
        preset: whose other settings fit; None: the default one's.
        outputs: width of the head; None where the stage learns no task.
    """

    stage: str
    model: Mapping[str, Any]
    rules: Sequence[tuple[str, str]]
    preset: str | None = None
    outputs: int | None = None
