"""`mien convert`: a published checkpoint becomes a run like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien import config as configuration
from mien import registry, tasks
from mien.config import RunConfig
from mien.errors import ConfigError, RunError, did_you_mean
from mien.notice import INTENDED_USE
from mien.parts import keys, towers
from mien.run import archive, assemble, checkpoint, folder
from mien.types import Conversion, Problem, Specs, Stage, TaskSpec

_NETWORK = "network."


def convert(
    system: str,
    weights: str | Path,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    task: str | None = None,
    labels: Sequence[str] = (),
) -> dict[str, Any]:
    """Make a run of a published checkpoint, every one of its tensors accounted for.

    Args:
        system: whose checkpoint it is.
        weights: the file: what ``torch.save`` wrote, or safetensors.
        out: run folder to make.
        overrides: ``key=value`` words, for what no shape tells, such as ``heads=8``.
        task: which published task the head answers, a name in ``mien.tasks.NAMED``.
        labels: else the names of its classes, in the order of its outputs.

    Returns:
        The content of ``card.json``.
    """
    path, place = Path(weights), Path(out)
    found = archive.open_weights(path)
    hook = getattr(registry.system(system).load(), "convert", None)
    if hook is None:
        raise ConfigError(f"{system!r} reads no published checkpoints", fix=f"mien train {system}")
    given = configuration.words(system, overrides).get("model", {})
    conversion: Conversion = hook(found.shapes, given)
    settings = configuration.resolve(
        system,
        preset=conversion.preset,
        overrides=overrides,
        values={"stages": [conversion.stage], "model": dict(conversion.model)},
    )
    specs = _specs(conversion, task, labels)
    names = _names(settings, specs, conversion, found.shapes, path)
    tensors = {ours: _finite(found.read(theirs), theirs, path) for ours, theirs in names.items()}
    origin = {"file": path.name, "sha256": checkpoint.digest(path), "tensors": len(tensors)}
    folder.claim(place, settings, {"converted_from": origin})
    checkpoint.write_tensors(place / folder.MODEL, {keys.ours(n): t for n, t in tensors.items()})
    folder.write_labels(place, specs)
    card = {"converted_from": origin, "answers": list(specs)} | _card(settings, system)
    checkpoint.write_json(place / folder.CARD, card)
    return card


def _specs(conversion: Conversion, task: str | None, labels: Sequence[str]) -> Specs:
    """The task that the head answers: a published one, one of these classes, or numbered ones."""
    width = conversion.outputs
    if width is None:
        if task or labels:
            raise ConfigError("this is a pre-training checkpoint, and answers no task")
        return {}
    if task is not None:
        if task not in tasks.NAMED:
            raise ConfigError(f"there is no task {task!r}: {did_you_mean(task, tasks.NAMED)}")
        spec = tasks.NAMED[task]
    else:
        numbered = labels or [f"class {number}" for number in range(width)]
        spec = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=tuple(numbered))
    if spec.width != width:
        raise ConfigError(f"the head has {width} outputs, and {spec.width} labels were given")
    return {spec.name: spec}


def _names(
    settings: RunConfig,
    specs: Specs,
    conversion: Conversion,
    shapes: Mapping[str, Sequence[int]],
    path: Path,
) -> dict[str, str]:
    """Our name of every tensor that the model keeps to the checkpoint's; one is the other's.

    Raises:
        RunError: a tensor is missing, is not expected, or has another shape; by name.
    """
    final = settings.for_stage(conversion.stage)
    stage: Stage = registry.system(settings.system).load().STAGES[conversion.stage]
    try:
        with towers.blueprint():  # nothing is allocated for sizes that a file only claims
            kept = folder.kept_tensors(assemble.build(stage, final, specs))
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise RunError(f"its shapes make no model: {error}", where=str(path)) from error
    task = next(iter(specs), "")
    rules = [(theirs, ours.replace("{task}", task)) for theirs, ours in conversion.rules]
    theirs = {name: keys.renamed(name.removeprefix(_NETWORK), rules, back=True) for name in kept}
    missing = sorted(set(theirs.values()) - shapes.keys())
    extra = sorted(shapes.keys() - set(theirs.values()))
    if missing or extra:
        hint = did_you_mean(extra[0], missing) if extra and missing else ""
        raise RunError(
            f"not every tensor is accounted for: {len(missing)} missing {missing[:3]}, "
            f"{len(extra)} unexpected {extra[:3]} {hint}".rstrip(),
            where=str(path),
        )
    for ours, tensor in kept.items():
        shape = tuple(shapes[theirs[ours]])
        if shape != tuple(tensor.shape):
            what = f"{theirs[ours]} has the shape {shape}, not {tuple(tensor.shape)}"
            raise RunError(what, where=str(path))
    return theirs


def _finite(tensor: Tensor, name: str, path: Path) -> Tensor:
    if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
        raise RunError(f"{name} holds something that is no finite number", where=str(path))
    return tensor.float()


def _card(settings: RunConfig, system: str) -> dict[str, Any]:
    """What the run says of itself; nobody here chose or scored anything."""
    stage: Stage = registry.system(system).load().STAGES[settings.stages[-1]]
    reads = getattr(settings.model, "modalities", None) or stage.modalities
    return {
        "system": settings.system,
        "preset": settings.preset,
        "seed": settings.seed,
        "fold": None,
        "data": None,
        "versions": folder.versions(),
        "licence": "unknown (that of the official checkpoint)",
        "modalities": sorted(reads),
        "recipes": [],
        "notes": ["Converted from published weights: it was neither trained nor scored here."],
        "towers": {},
        "intended_use": INTENDED_USE,
        "finished": True,
    }
