"""What follows from a declared task: its loss, activation, scores and the reading of its answers.

Importing this package imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from mien.errors import ConfigError, DataError, did_you_mean
from mien.tasks import metrics
from mien.tasks.action_units import ABAW_ACTION_UNITS
from mien.tasks.affect import ABAW_AFFECT, ABAW_COMPOUND, ABAW_EXPRESSION, C_EXPR_DB
from mien.tasks.classification import CREMA_D, DFEW, EMODB, MAFW, MER2023, MSP_IMPROV, RAVDESS
from mien.tasks.conversation import IEMOCAP_DIALOGUES, MELD
from mien.tasks.sentiment import HEADLINE, MOSI, SIMS, Polarity, protocol
from mien.types import Objective, Problem, Resolution, Specs, TaskSpec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "NAMED",
    "activation",
    "decode",
    "default_metric",
    "headline",
    "objective",
    "scores",
    "statistics",
]

NAMED: Mapping[str, TaskSpec] = {
    "abaw_action_units": ABAW_ACTION_UNITS,
    "abaw_affect": ABAW_AFFECT,
    "abaw_compound": ABAW_COMPOUND,
    "abaw_expression": ABAW_EXPRESSION,
    "c_expr_db": C_EXPR_DB,
    "crema_d": CREMA_D,
    "dfew": DFEW,
    "emodb": EMODB,
    "iemocap_dialogues": IEMOCAP_DIALOGUES,
    "mafw": MAFW,
    "meld": MELD,
    "mer2023": MER2023,
    "mosi": MOSI,
    "msp_improv": MSP_IMPROV,
    "ravdess": RAVDESS,
    "sims": SIMS,
}
"""Published tasks by name. The ``name`` within each is the key under ``labels`` in a manifest."""


def objective(
    specs: Specs,
    *,
    label_smoothing: float = 0.0,
    class_weights: Mapping[str, Tensor] | None = None,
    regression: Literal["usual", "mae", "mse", "ccc"] = "usual",
    own: Mapping[str, Objective] | None = None,
) -> Objective:
    """The tasks' own losses, summed where there are several.

    One of n and ordinal: cross-entropy. Many of n: binary cross-entropy. Regression: concordance
    where a clip has many values (frames), squared error where it has one, absolute error for a
    sentiment score, as its field has it; or one of them for all.

    Args:
        specs: the tasks by name.
        label_smoothing: of the tasks with one answer out of n.
        class_weights: (C) by task: weights of classes, or of the presence of many labels.
        regression: absolute (``mae``) or squared error (``mse``) or concordance (``ccc``), where
            not the usual one.
        own: losses of tasks in the place of these, and further terms by other names.
    """
    from mien.parts.losses import Combined

    if not specs:
        raise ConfigError("there is no task to learn", fix="mien data check")
    weights = dict(class_weights or {})
    for name in weights:
        if name not in specs:
            raise ConfigError(f"no task for class weights {name!r}: {did_you_mean(name, specs)}")
    made = {
        name: _loss(name, spec, label_smoothing, weights.get(name), regression)
        for name, spec in specs.items()
    }
    parts = [(name, 1.0, loss) for name, loss in (made | dict(own or {})).items()]
    return parts[0][2] if len(parts) == 1 else Combined(parts)


def _loss(
    name: str, spec: TaskSpec, label_smoothing: float, weights: Tensor | None, regression: str
) -> Objective:
    from mien.parts import losses

    if weights is not None and tuple(weights.shape) != (spec.width,):
        raise ConfigError(
            f"task {name!r} has {spec.width} labels but weights of the shape {tuple(weights.shape)}"
        )
    if spec.categorical:
        return losses.CrossEntropy(name, label_smoothing, weights)
    if spec.problem is Problem.MANY_OF_N:
        return losses.BinaryCrossEntropy(name, weights)
    if weights is not None:
        raise ConfigError(f"task {name!r} is a regression: it has no classes to weigh")
    usual = "ccc" if spec.resolution is Resolution.FRAME else "mae" if protocol(spec) else "mse"
    made: dict[str, Callable[[str], Objective]] = {
        "ccc": losses.ConcordanceLoss,
        "mae": losses.MeanAbsoluteError,
        "mse": losses.MeanSquaredError,
    }
    return made[usual if regression == "usual" else regression](name)


def activation(spec: TaskSpec) -> Callable[[Tensor], Tensor]:
    """Logits (..., C) to scores: probabilities, or values within the task's ranges."""
    if spec.categorical:
        return lambda logits: logits.float().softmax(-1)
    if spec.problem is Problem.MANY_OF_N:
        return lambda logits: logits.float().sigmoid()
    if not spec.ranges:
        return lambda logits: logits.float()
    lowest, highest = zip(*spec.ranges, strict=True)

    def clamp(logits: Tensor) -> Tensor:
        values = logits.float()
        return values.clamp(values.new_tensor(lowest), values.new_tensor(highest))

    return clamp


def default_metric(spec: TaskSpec) -> str:
    """The score by which the task's field compares systems, or chooses an epoch."""
    if spec.problem is Problem.REGRESSION:
        return "mae" if protocol(spec) else "ccc"
    if spec.problem is Problem.MANY_OF_N:
        return "f1"
    usual = {Resolution.FRAME: "macro_f1", Resolution.UTTERANCE: "weighted_f1"}
    return usual.get(spec.resolution, "uar")


def headline(spec: TaskSpec) -> tuple[str, ...]:
    """The scores of a task that are shown first, and with intervals."""
    if spec.categorical:
        return ("war", "uar", "macro_f1", "weighted_f1", "ece")
    if spec.problem is Problem.MANY_OF_N:
        return ("f1",)
    of = protocol(spec)
    return ("ccc", "mae") if of is None else HEADLINE[of]


def statistics(spec: TaskSpec) -> tuple[metrics.Statistic, ...]:
    """What to count in order to score this task (see :mod:`mien.tasks.intervals`)."""
    if spec.categorical:
        return (
            metrics.Confusion(spec.labels, spec.invalid),
            metrics.Calibration(spec.width, spec.invalid),
        )
    if spec.problem is Problem.MANY_OF_N:
        return (metrics.Detection(spec.labels, spec.threshold, spec.invalid),)
    of, agreement = protocol(spec), metrics.Agreement(spec.labels, spec.invalid)
    return (agreement,) if of is None else (agreement, Polarity(of, spec.invalid))


def scores(spec: TaskSpec, targets: ArrayLike, predictions: ArrayLike) -> dict[str, float]:
    """Every score of the task that is defined, over all annotated answers together.

    Args:
        spec: the task.
        targets: (N) class indices, or (N, C); frames of all clips stand one below the other.
        predictions: (N, C), after the task's :func:`activation`.
    """
    return metrics.score(statistics(spec), targets, predictions)


def decode(
    spec: TaskSpec, values: Sequence[float] | np.ndarray
) -> tuple[dict[str, float], float | None]:
    """One answer (C) after the activation, as named scores and how unsure they are.

    The uncertainty is 0 where one class is certain and 1 where all are alike: the entropy over its
    maximum, or the mean binary entropy of many labels. A regression has none.
    """
    answer = np.asarray(values, dtype=np.float64)
    if answer.shape != (spec.width,):
        raise DataError(
            f"an answer to task {spec.name!r} has the shape {(spec.width,)}, not {answer.shape}"
        )
    named = dict(zip(spec.labels, answer.tolist(), strict=True))
    if spec.problem is Problem.REGRESSION:
        return named, None
    if spec.problem is Problem.MANY_OF_N:
        bits = (_surprise(answer) + _surprise(1 - answer)) / np.log(2)
        return named, float(np.clip(bits.mean(), 0, 1))
    if spec.width == 1:
        return named, 0.0
    return named, float(np.clip(_surprise(answer).sum() / np.log(spec.width), 0, 1))


def _surprise(chances: np.ndarray) -> np.ndarray:
    """-p log p, 0 where p is 0."""
    return -chances * np.log(np.where(chances > 0, chances, 1))
