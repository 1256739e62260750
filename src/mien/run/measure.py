"""How large a system is, counted on a blueprint: no weights, no downloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from mien import config as configuration
from mien import registry
from mien.parts import towers
from mien.parts.model import Model
from mien.types import Problem, Resolution, Specs, TaskSpec


@dataclass(frozen=True, slots=True)
class Count:
    """Parameters of one part."""

    trainable: int
    total: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Parameters of a preset's last stage.

    Args:
        system: which system.
        preset: which preset.
        trainable: parameters that learn; None where the data decide.
        total: all parameters; None where the data decide.
        components: the same for each part of the network.
    """

    system: str
    preset: str
    trainable: int | None
    total: int | None
    components: dict[str, Count] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def measure(
    name: str,
    preset: str | None = None,
    classes: int | Specs = 7,
    overrides: Sequence[str] = (),
) -> Measurement:
    """Count a preset for one task of so many classes, or for given tasks.

    Args:
        name: the system.
        preset: one of its presets, or its default one.
        classes: number of classes, or the tasks.
        overrides: ``key=value`` words.
    """
    settings = configuration.resolve(name, preset=preset, overrides=overrides)
    last = settings.stages[-1]
    stage = registry.system(name).load().STAGES[last]
    if stage.gives is None and getattr(settings.model, "feature_dims", None) == {}:
        return Measurement(settings.system, settings.preset, None, None)
    specs = classes
    if isinstance(specs, int):  # what is read in windows answers once a frame
        often = Resolution.CLIP if stage.windows is None else Resolution.FRAME
        specs = _one_task(specs, often)
    with towers.blueprint():
        model = stage.build(settings.for_stage(last).model, specs if stage.supervised else {})
    whole = count(model)
    return Measurement(
        settings.system, settings.preset, whole.trainable, whole.total, _components(model)
    )


def measure_all(systems: Sequence[registry.System]) -> list[Measurement]:
    """Every preset of these systems, for one task of seven classes."""
    return [measure(system.name, preset) for system in systems for preset in system.presets]


def count(module: nn.Module) -> Count:
    """Parameters of a module, each counted once."""
    sizes = [(p.requires_grad, p.numel()) for p in module.parameters()]
    return Count(sum(n for learns, n in sizes if learns), sum(n for _, n in sizes))


def table(found: Sequence[Measurement]) -> str:
    """Measurements as aligned text."""
    lines = [f"{'system':<16}{'preset':<16}{'trainable':>14}{'total':>14}{'share':>9}"]
    for item in found:
        line = f"{item.system:<16}{item.preset:<16}"
        if item.trainable is None or item.total is None:
            lines.append(f"{line}{'depends on the width of the features':>37}")
            continue
        share = item.trainable / max(1, item.total)
        lines.append(f"{line}{item.trainable:>14,}{item.total:>14,}{share:>9.2%}")
    return "\n".join([*lines, "", "For one task of seven classes."])


def _components(model: nn.Module) -> dict[str, Count]:
    """The network's direct parts; a container of parts counts as its parts."""
    network = model.network if isinstance(model, Model) else model
    found: dict[str, Count] = {}
    for name, part in network.named_children():
        inner = part.named_children() if isinstance(part, nn.ModuleDict) else [("", part)]
        for key, module in inner:
            counted = count(module)
            if counted.total:
                found[f"{name}.{key}".rstrip(".")] = counted
    return found


def _one_task(classes: int, often: Resolution) -> Specs:
    labels = tuple(f"class {index}" for index in range(classes))
    spec = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=labels, resolution=often)
    return {"emotion": spec}
