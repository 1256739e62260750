"""Systems as text: what `mien systems` prints. Reads TOML only."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from mien.registry import System

_WIDEST = 100


def as_dict(system: System) -> dict[str, Any]:
    """Card and preset names of a system, for JSON."""
    return {
        "name": system.name,
        "card": system.card,
        "presets": system.presets,
        "default_preset": system.preset(None)[0],
    }


def listing(systems: Sequence[System]) -> str:
    """Each system's paper and presets, and what to type next."""
    lines = []
    for system in systems:
        default = system.preset(None)[0]
        presets = [f"{name} (default)" if name == default else name for name in system.presets]
        lines += [system.name, *wrapped(system.card.get("paper", ""))]
        lines += [*wrapped(f"presets: {', '.join(presets)}"), ""]
    return "\n".join([*lines, "mien systems NAME shows one; mien systems --measure counts them."])


def page(system: System) -> str:
    """A system's whole card: what it is, its presets, then everything that was decided about it."""
    card = system.card
    lines = [system.name, *wrapped(card.pop("paper", ""))]
    if "task" in card:
        lines += ["", "Task", *wrapped(card.pop("task"))]
    about = {name: settings.get("about", "") for name, settings in system.presets.items()}
    lines += ["", "Presets", *lines_of(about)]
    for key, value in card.items():
        lines += ["", key.replace("_", " ").capitalize(), *lines_of(value)]
    default = system.preset(None)[0]
    return "\n".join(
        [
            *lines,
            "",
            f"train it:      mien train {system.name} --preset {default} --data M --out RUN",
            f"all settings:  mien systems {system.name} --schema",
        ]
    )


def lines_of(value: Any) -> list[str]:
    """Indented lines of a text, of a list's items, or of a mapping's names and values."""
    if isinstance(value, Mapping):
        width = max((len(str(key)) for key in value), default=0)
        return [line for key, item in value.items() for line in wrapped(item, f"{key:<{width}}  ")]
    if isinstance(value, list):
        return [line for item in value for line in wrapped(item, "- ")]
    return wrapped(value)


def wrapped(text: object, start: str = "") -> list[str]:
    """Indented lines as wide as the terminal; what follows ``start`` hangs below its text."""
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    hang = "  " + " " * len(start)
    return textwrap.wrap(
        str(text),
        max(width, len(hang) + 20),
        initial_indent=f"  {start}",
        subsequent_indent=hang,
        break_on_hyphens=False,
    ) or [f"  {start}".rstrip()]
