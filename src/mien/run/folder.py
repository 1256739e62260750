"""A run on the disk: what was trained, from what, on which rows, and under which licence.

::

    config.yaml         everything resolved
    model.safetensors   what was trained, with the buffers that move, under our own key names
    towers/             towers that cannot be had again by name and revision
    labels.json         the tasks
    card.json           versions, seed, selection, data fingerprint, licence
    metrics.json        scores with intervals
    predictions.parquet what the scores were made of
    log.jsonl           one line an epoch
    state/STAGE/        to resume exactly
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mien.config import RunConfig, load
from mien.errors import RunError, did_you_mean
from mien.parts import keys, towers
from mien.run import checkpoint
from mien.types import Specs, TaskSpec

CONFIG, MODEL, LABELS, CARD = "config.yaml", "model.safetensors", "labels.json", "card.json"
METRICS, PREDICTIONS, LOG = "metrics.json", "predictions.parquet", "log.jsonl"
FAMILY = "family.json"
_MOST_MEMBERS = 10_000

# From free to strict. A run inherits the strictest licence among its data and ancestors.
LICENCES = ("Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0")


def strictest(licences: Iterable[str]) -> str:
    """The strictest of several licences; one that is not known is stricter than all known."""
    found = list(licences)
    unknown = [licence for licence in found if licence not in LICENCES]
    if unknown:
        return unknown[0]
    return max(found, key=LICENCES.index, default=LICENCES[0])


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    names = ("mien", "torch", "transformers", "peft", "accelerate", "numpy")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


# -- which tensors a run keeps ---------------------------------------------------------------------


def kept_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Trained parameters, everything outside towers, and buffers of towers that can move.

    A frozen tower's weights come back from its source; its running statistics do not, because a
    normalisation layer may have gone on adapting while the weights stood still. Integer tables
    (positions, window indices) follow from the architecture.
    """
    inside = tuple(f"{prefix}." for prefix in towers.of(model))
    kept = {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad or not name.startswith(inside)
    }
    fixed = _not_persistent(model)
    for name, buffer in model.named_buffers():
        moves = buffer.is_floating_point() or buffer.ndim == 0
        if name not in fixed and (moves or not name.startswith(inside)):
            kept[name] = buffer
    return kept


def _not_persistent(model: nn.Module) -> set[str]:
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules()
        for name in module._non_persistent_buffers_set
    }


def write_model(path: Path, model: nn.Module) -> None:
    """Write what :func:`kept_tensors` names, under our own key names."""
    checkpoint.write_tensors(path, {keys.ours(n): t for n, t in kept_tensors(model).items()})


def read_model(path: Path, model: nn.Module) -> None:
    """Load strictly: a key too many, too few or of another shape is an error."""
    given = {keys.theirs(name): tensor for name, tensor in checkpoint.read_tensors(path).items()}
    fill(kept_tensors(model), given, where=str(path))


def fill(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], *, where: str) -> None:
    """Copy tensors by name; both sides must have the same names and shapes."""
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or extra:
        hint = did_you_mean(extra[0], missing) if extra and missing else ""
        raise RunError(
            f"weights do not fit the model: {len(missing)} keys missing {missing[:3]}, "
            f"{len(extra)} unexpected {extra[:3]} {hint}".rstrip(),
            where=where,
            fix="load them with the configuration and mien version of their run",
        )
    for name, tensor in wanted.items():
        if tensor.shape != given[name].shape:
            raise RunError(
                f"{name} has shape {tuple(given[name].shape)}, not {tuple(tensor.shape)}",
                where=where,
            )
        with torch.no_grad():
            tensor.copy_(given[name])


# -- the small files -------------------------------------------------------------------------------


def write_labels(folder: Path, specs: Specs) -> None:
    """Write the tasks of a run."""
    checkpoint.write_json(folder / LABELS, [spec.to_dict() for spec in specs.values()])


def read_labels(folder: Path) -> dict[str, TaskSpec]:
    """The tasks of a run by name."""
    listed = checkpoint.read_json(folder / LABELS)
    if not isinstance(listed, list) or not all(isinstance(values, dict) for values in listed):
        raise RunError(f"{LABELS} holds no list of tasks", where=str(folder))
    specs = {spec.name: spec for spec in map(TaskSpec.from_dict, listed)}
    if len(specs) < len(listed):
        raise RunError(f"{LABELS} names a task twice", where=str(folder))
    return specs


def read_config(folder: Path) -> RunConfig:
    """A run's configuration, or an error for a folder that is no run."""
    if not (folder / CONFIG).is_file():
        raise RunError(
            "this is not a run folder: it has no config.yaml",
            where=str(folder),
            fix="mien train SYSTEM --data MANIFEST --out RUN makes one",
        )
    return load(folder / CONFIG)


def read_card(folder: Path) -> dict[str, Any]:
    """What a finished run says of itself."""
    card = checkpoint.read_object(folder / CARD)
    if not card.get("finished"):
        raise RunError(
            "this run is not finished",
            where=str(folder),
            fix="the mien train command that began it",
        )
    return card


def seed_of(folder: Path) -> int:
    """The seed that a finished run started from."""
    seed = read_card(folder).get("seed")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise RunError(f"its card names no seed but {seed!r:.60}", where=str(folder))
    return seed


def members(folder: Path) -> list[Path]:
    """The runs of a family of folds and seeds; a run alone is the only one of its own."""
    if not (folder / FAMILY).is_file():
        return [folder]
    names = checkpoint.read_object(folder / FAMILY).get("members")
    if not isinstance(names, list) or not 0 < len(names) <= _MOST_MEMBERS:
        raise RunError(f"{FAMILY} lists no runs", where=str(folder))
    for name in names:
        inside = (
            isinstance(name, str) and not Path(name).is_absolute() and ".." not in Path(name).parts
        )
        if not inside or not (folder / name).is_dir():
            raise RunError(f"{FAMILY} names {name!r:.80}, which is no run in it", where=str(folder))
    return [folder / name for name in names]


def member(path: str | Path, name: str) -> Path:
    """A run, or of a family of runs the one of this name.

    Args:
        path: a run's folder, or that of a family.
        name: such as ``fold-3`` or ``seed-0/fold-3``; empty where a single run is wanted.
    """
    path = Path(path)
    runs = members(path)
    if runs == [path]:
        return path
    if name and path / name in runs:
        return path / name
    other = f", and none is called {name}" if name else ""
    raise RunError(f"this folder holds {len(runs)} runs{other}", where=str(path), fix=str(runs[0]))


def claim(folder: Path, config: RunConfig, facts: Mapping[str, Any]) -> bool:
    """Take a folder for this configuration and data; True where the same run already began in it.

    Another run in the same place is an error, never overwritten and never silently continued.
    """
    begun = folder / CONFIG
    text = config.to_yaml()
    if begun.exists() and not _is_free(folder):  # a start that failed at once claims nothing
        before = _flat(load(begun).model_dump(mode="json"))
        now = _flat(config.model_dump(mode="json"))
        changed = [key for key in now | before if before.get(key) != now.get(key)]
        card = checkpoint.read_object(folder / CARD)
        changed += [key for key, value in facts.items() if card.get(key) != value]
        if changed:
            raise RunError(
                f"another run lives here; it differs in {', '.join(changed[:5])}",
                where=str(folder),
                fix="choose another --out, or give the same settings to go on with this one",
            )
        return True
    if folder.exists() and not _is_free(folder):
        raise RunError(
            "this folder is not empty and holds no run",
            where=str(folder),
            fix="choose another --out",
        )
    checkpoint.write_json(folder / CARD, dict(facts))
    checkpoint.write_bytes(begun, text.encode())
    return False


def _is_free(folder: Path) -> bool:
    """Whether a folder holds nothing, or no more than a claim that nothing came of."""
    claim = {name for file in (CARD, CONFIG) for name in (file, f".{file}.unfinished")}
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    # The card is written first: a configuration alone is somebody's own.
    return names <= claim and (CARD in names or CONFIG not in names)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
