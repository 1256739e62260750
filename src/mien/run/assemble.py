"""From a configuration to the objects a loop needs: model, rows, objective, handed-on weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien import registry, tasks
from mien.config import RunConfig
from mien.data import prepared, split
from mien.data.batch import RowDataset
from mien.data.manifest import Manifest, Row
from mien.data.windows import WindowDataset
from mien.errors import ConfigError, DataError, RunError, did_you_mean
from mien.parts import towers
from mien.parts.model import Model
from mien.run import folder
from mien.types import Objective, Specs, Stage, Unit


def build(stage: Stage, settings: RunConfig, specs: Specs) -> Model:
    """A stage's model, checked to be one."""
    for name in specs:
        if not name or "." in name or hasattr(nn.ModuleDict(), name):
            raise ConfigError(
                f"no task can be called {name!r}: heads are found by the name of their task",
                fix="another name under labels in the manifest",
            )
    model = stage.build(settings.model, specs)
    if not isinstance(model, Model):
        raise ConfigError(f"{settings.system}: build() gave {type(model).__name__}, not a Model")
    return model


def folded(manifest: Manifest, settings: RunConfig) -> list[Row]:
    """Rows with their own folds, or with grouped ones made here."""
    if settings.data.folds is None:
        if all(row.fold is None for row in manifest.rows):
            raise DataError(
                "the manifest names no folds",
                where=str(manifest.path),
                fix="data.folds=5 makes five, whole speakers apart",
            )
        return list(manifest.rows)
    made = split.make_folds(
        manifest.rows,
        settings.data.folds,
        seed=0,  # folds belong to the data: every seed of a run meets the same ones
        random_split=settings.data.random_split,
    )
    return [replace(row, fold=made[row.id]) for row in manifest.rows]


def dataset(
    manifest: Manifest,
    rows: Sequence[Row],
    settings: RunConfig,
    stage: Stage,
    specs: Specs,
    *,
    training: bool = False,
) -> RowDataset:
    """Rows as a stage reads them: the modalities it knows, wants, and the rows have.

    Where the stage cuts rows into windows, ``training`` says for what they are cut.
    """
    chosen = getattr(settings.model, "modalities", None) or ()
    # Of the modalities that are wanted, a stage may read some, or others that these are made of.
    reads = [name for name in chosen if name in stage.modalities] or stage.modalities
    wanted = [*reads, *stage.beside]
    stages: Mapping[str, Stage] = registry.system(settings.system).load().STAGES
    known = sorted({n for each in stages.values() for n in (*each.modalities, *each.beside)})
    unknown = [name for name in settings.data.inputs if name not in known]
    if unknown:
        raise ConfigError(f"data.inputs names {unknown[0]!r}: {did_you_mean(unknown[0], known)}")
    have = {name for row in manifest.rows for name in row.features}
    # The bytes of a text are no moments that windows could be cut from, nor vectors of a dialogue.
    if stage.windows is None and stage.unit is not Unit.DIALOGUE:
        have |= {"text"} if any(row.text for row in manifest.rows) else set()
    inputs = {name: settings.data.inputs.get(name, name) for name in wanted}
    found = {name: source for name, source in inputs.items() if source in have}
    if not found:
        raise DataError(
            f"no row has any input of {settings.system!r} ({', '.join(sorted(inputs.values()))})",
            where=str(manifest.path),
            fix=f"data.inputs.{wanted[0]}=FEATURE, one of: {', '.join(sorted(have)) or 'none'}",
        )
    for name in stage.beside:
        if name not in found:
            raise DataError(
                f"no row has {inputs[name]!r}, which stage {settings.stages[0]!r} learns from",
                where=str(manifest.path),
                fix=f"features.{inputs[name]} in its rows, or other stages: stages=[...]",
            )
    if stage.windows is None:
        context = None if stage.context is None else stage.context(settings.model)
        made = RowDataset(rows, manifest, found, specs, stage.unit, context)
    else:
        windows = stage.windows(settings.model, training)
        made = WindowDataset(rows, manifest, found, specs, windows, training=training)
    _check_rates(made, getattr(settings.model, "audio_source_rate", None))
    return made


def _check_rates(rows: RowDataset, expected: int | None) -> None:
    """Prepared sound has the rate that the model takes it for."""
    if expected is None:
        return
    for row in (row for members in rows.items for row in members):
        for name in set(rows.modalities.values()) & row.features.keys():
            rate = prepared.rate(row, name, rows.place)
            if rate not in (None, expected):
                raise ConfigError(
                    f"its sound was prepared at {rate} samples a second, not {expected}",
                    where=f"row {row.id!r}, {name}",
                    fix=f"model.audio_source_rate={rate}, or mien data prepare --rate {expected}",
                )


def with_dims(settings: RunConfig, rows: RowDataset) -> RunConfig:
    """Fill in the widths of feature vectors, for systems that read some, from the data."""
    if getattr(settings.model, "feature_dims", None) != {}:
        return settings
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(len(rows)):
        shapes |= {name: array.shape for name, array in rows[index].inputs.items()}
        if len(shapes) == len(rows.modalities):
            break
    # A text and a sound have no width.
    dims = {name: shape[-1] for name, shape in shapes.items() if len(shape) > 1}
    model = settings.model.model_copy(update={"feature_dims": dims})
    return settings.model_copy(update={"model": model})


def make_objective(stage: Stage, settings: RunConfig, specs: Specs, rows: RowDataset) -> Objective:
    """The stage's own objective, or what follows from its tasks."""
    own = None if stage.objective is None else stage.objective(settings.model, specs)
    if own is not None and not isinstance(own, Mapping):
        return own
    weights = None
    if settings.train.class_weights == "balanced":
        weights = {
            name: _balance(_class_counts(rows, name, spec.width).sum(0))
            for name, spec in specs.items()
            if spec.categorical
        }
    return tasks.objective(
        specs,
        label_smoothing=settings.train.label_smoothing,
        class_weights=weights,
        regression=settings.train.regression,
        own=own,
    )


def receive(model: Model, handed: Mapping[str, Tensor], prefixes: Sequence[str]) -> list[str]:
    """Load what an earlier stage hands on, strictly; returns the keys that start anew."""
    chosen = {
        n: t for n, t in handed.items() if n.startswith(tuple(f"network.{p}" for p in prefixes))
    }
    wanted = folder.kept_tensors(model)
    taken = {name: tensor for name, tensor in wanted.items() if name in chosen}
    if not chosen:
        raise RunError(f"nothing of {list(prefixes)} was handed on", fix="train the earlier stage")
    folder.fill({**dict.fromkeys(chosen, torch.empty(0)), **taken}, chosen, where="stage handover")
    return sorted(wanted.keys() - chosen.keys())


def fitting(model: Model, handed: Mapping[str, Tensor], names: Sequence[str]) -> tuple[str, ...]:
    """The prefixes of those tasks' heads that another run has as they are here, all of a head."""
    wanted = folder.kept_tensors(model)
    found = []
    for prefix in (f"heads.{name}." for name in names):
        shapes = [
            {n: t.shape for n, t in tensors.items() if n.startswith(f"network.{prefix}")}
            for tensors in (wanted, handed)
        ]
        if shapes[0] and shapes[0] == shapes[1]:
            found.append(prefix)
    return tuple(found)


def left_behind(handed: Mapping[str, Tensor], prefixes: Sequence[str]) -> list[str]:
    """What of an earlier stage or another run is not taken, such as the head of other labels."""
    return sorted(n for n in handed if not n.startswith(tuple(f"network.{p}" for p in prefixes)))


def check_ground(model: Model, card: Mapping[str, Any]) -> None:
    """Refuse weights that were learned upon another tower, or with another tokenizer.

    Args:
        model: that goes on with them.
        card: of the run that learned them.
    """
    records = card.get("towers")
    for path, tower in towers.of(model).items():
        record = records.get(path) if isinstance(records, dict) else None
        if not isinstance(record, dict):
            continue
        same = record.get("sha256") in (None, tower.sha256) or tower.tuned
        if not same or record.get("companions", {}) != tower.companion_hashes():
            raise RunError(
                f"that run learned upon {record.get('name')!r:.80}, which is another {tower.kind} "
                f"tower than {tower.source}",
                where=path,
                fix="the same tower, from the same files or (of random weights) the same seed",
            )


def classes(rows: RowDataset, specs: Specs) -> list[int] | None:
    """The class of each sample for the first categorical task; -1 where it has none."""
    name = next((name for name, spec in specs.items() if spec.categorical), None)
    if name is None:
        return None
    counts = _class_counts(rows, name, specs[name].width)  # of many positions the commonest counts
    return torch.where(counts.sum(1) > 0, counts.argmax(1), -1).tolist()


def _class_counts(rows: RowDataset, task: str, width: int) -> Tensor:
    """How often each sample has each class, (N, C): 1 for a clip, more for frames."""
    counts = torch.zeros(len(rows), width)
    for index in range(len(rows)):
        target = rows.targets(index).get(task)
        if target is not None:
            counts[index] = _counted(target, width)
    return counts


def _counted(target: NDArray[np.generic], width: int) -> Tensor:
    if target.dtype.kind == "f":  # one weight a class, NaN where nobody knows
        weights = torch.as_tensor(np.nan_to_num(target), dtype=torch.float32)
        return weights.reshape(-1, width).sum(0)
    known = torch.as_tensor(target.astype(np.int64)).reshape(-1)
    return torch.bincount(known[known >= 0], minlength=width)


def _balance(counts: Tensor) -> Tensor:
    """Weights that let every class count alike; one that never occurs weighs nothing."""
    seen = counts > 0
    return torch.where(seen, counts.sum() / (seen.sum() * counts.clamp_min(1)), torch.zeros(()))
