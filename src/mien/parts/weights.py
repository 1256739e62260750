"""From a tower's files to a module that has their weights, every name and shape compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mien.errors import ConfigError, TowerError
from mien.parts import hub
from mien.parts.encoders import Tower

_UNSAFE = re.compile(r"auto_map|.*_implementation.*|quantization_config|(torch_)?dtype")


def blank(kind: type[Tower], values: Mapping[str, Any]) -> Any:
    """A module with random weights, from configuration values, which may be a stranger's."""
    try:
        return kind.blank(harmless(values))
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise ConfigError(f"these values make no {kind.kind} tower: {error}") from error


def harmless(values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration, and those in it, without what names code or a precision of weights.

    Attention by a name on the hub would be fetched and run; towers have weights in float32.
    """
    return {
        name: harmless(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if not _UNSAFE.fullmatch(str(name))
    }


def pretrained(kind: type[Tower], folder: Path) -> Any:
    """A module with the weights of a folder, every name and shape checked."""
    values = own_section(kind, folder)
    given = kind.bare(
        hub.read_tensors(folder, lambda name: not name.startswith(kind.others)), values
    )
    with torch.device("meta"):
        empty = blank(kind, values)
    named = {name.removeprefix(kind.prefix): name for name in empty.state_dict()}
    found = fitting(given, {bare: empty.state_dict()[named[bare]] for bare in named}, folder)
    return kind.filled(empty, {named[bare]: tensor for bare, tensor in found.items()})


def own_section(kind: type[Tower], folder: Path) -> dict[str, Any]:
    """The tower's part of a configuration, which may be that of the whole model."""
    values = hub.read_config(folder)
    if kind.owns(values):
        return values
    if kind.section not in values:
        raise TowerError(
            f"a {values.get('model_type')!r} model is no {kind.kind} tower", where=str(folder)
        )
    return dict(values[kind.section])


def fitting(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], folder: Path
) -> dict[str, Tensor]:
    """The tensors that a tower wants; one too many, too few or of another shape is an error."""
    missing = sorted(n for n in wanted.keys() - given.keys() if not n.endswith(_COMPUTED))
    extra = sorted(n for n in given.keys() - wanted.keys() if not n.endswith(_COMPUTED))
    if missing or extra:
        raise TowerError(
            f"these weights do not fit their {hub.CONFIG}: {len(missing)} tensors missing "
            f"{missing[:3]}, {len(extra)} unexpected {extra[:3]}",
            where=str(folder),
            fix="fetch or save the model again",
        )
    for name in wanted.keys() & given.keys():
        if wanted[name].shape != given[name].shape:
            raise TowerError(
                f"{name} has shape {tuple(given[name].shape)}, "
                f"its {hub.CONFIG} says {tuple(wanted[name].shape)}",
                where=str(folder),
            )
    return {name: tensor for name, tensor in given.items() if name in wanted}


# Follow from the architecture, or count batches: old and new versions of transformers differ in
# whether they are saved.
_COMPUTED = ("position_ids", "relative_position_index", "num_batches_tracked")
