"""Systems as text: what `mien systems` prints. Reads TOML only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mien.registry import System


def as_dict(system: System) -> dict[str, Any]:
    """Card and preset names of a system, for JSON."""
    return {
        "name": system.name,
        "card": system.card,
        "presets": system.presets,
        "default_preset": system.preset(None)[0],
    }


def listing(systems: Sequence[System]) -> str:
    """One line a system, and what to type next."""
    width = max((len(system.name) for system in systems), default=0)
    lines = []
    for system in systems:
        default = system.preset(None)[0]
        presets = ", ".join(f"{p}*" if p == default else p for p in system.presets)
        lines.append(f"{system.name:<{width}}  {system.card.get('paper', '')}")
        lines.append(f"{'':<{width}}  presets: {presets}")
    return "\n".join([*lines, "", "* default.  mien systems NAME shows one; --measure counts it."])


def page(system: System) -> str:
    """A system's whole card."""
    card = dict(system.card)
    lines = [system.name, "=" * len(system.name), "", str(card.pop("paper", ""))]
    for key, value in card.items():
        lines += ["", key.replace("_", " ").capitalize()]
        lines += [f"  {line}" for line in _lines(value)]
    lines += ["", "Presets"]
    for name, settings in system.presets.items():
        lines += [f"  {name}: {settings.get('about', '')}".rstrip(": ")]
    return "\n".join(
        [*lines, "", f"try: mien train {system.name} --preset {name} --data M --out RUN"]
    )


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}: {item}" for key, item in value.items()]
    if isinstance(value, list):
        return [f"- {item}" for item in value]
    return [str(value)]
