"""Names to systems, lazily: listing reads TOML cards, only loading imports torch.

A system is a pair of files, ``NAME.py`` (``Config`` and ``STAGES``) and ``NAME.toml`` (card and
presets). Ours stand in ``mien/systems``; a plug-in announces its module under the entry-point
group ``mien.systems``.
"""

from __future__ import annotations

import importlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any

from mien.errors import ConfigError, did_you_mean

ENTRY_POINTS = "mien.systems"
_HOME = Path(__file__).parent / "systems"


@dataclass(frozen=True, slots=True)
class System:
    """A system that is known by name; its module is imported when asked for."""

    name: str
    module: str
    toml: Path

    @property
    def table(self) -> dict[str, Any]:
        """Card and presets as they stand in the TOML file."""
        try:
            with self.toml.open("rb") as file:
                return tomllib.load(file)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(
                f"system {self.name!r} has no readable card: {error}", where=str(self.toml)
            ) from error

    @property
    def card(self) -> dict[str, Any]:
        """Paper, reported numbers, deviations, our choices."""
        return dict(self.table.get("card", {}))

    @property
    def presets(self) -> dict[str, dict[str, Any]]:
        """Preset name to nested configuration values."""
        return dict(self.table.get("presets", {}))

    def preset(self, name: str | None) -> tuple[str, dict[str, Any]]:
        """The named preset, or the card's default one."""
        presets = self.presets
        chosen = name or str(self.table.get("default_preset", next(iter(presets), "")))
        if chosen not in presets:
            raise ConfigError(
                f"system {self.name!r} has no preset {chosen!r}: {did_you_mean(chosen, presets)}",
                fix=f"mien systems {self.name}",
            )
        return chosen, presets[chosen]

    def load(self) -> ModuleType:
        """Import the system's module (this is what brings torch in) and check its contract."""
        module = importlib.import_module(self.module)
        missing = [name for name in ("Config", "STAGES") if not hasattr(module, name)]
        if missing or not module.STAGES:
            raise ConfigError(
                f"system {self.name!r} declares no {' and no '.join(missing or ['stage'])}",
                where=self.module,
                fix="see 'Add a system' in CONTRIBUTING.md",
            )
        return module


@cache
def systems() -> dict[str, System]:
    """Every known system by name, built in first, then plug-ins."""
    found = {}
    for toml in sorted(_HOME.glob("*.toml")):
        name = toml.stem.replace("_", "-")
        found[name] = System(name, f"mien.systems.{toml.stem}", toml)
    for point in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda p: p.name):
        if point.name in found and found[point.name].module != point.module:
            raise ConfigError(
                f"two systems are called {point.name!r}",
                where=f"{found[point.name].module} and {point.module}",
                fix="uninstall one of them",
            )
        spec = util.find_spec(point.module)
        if spec is None or spec.origin is None:
            raise ConfigError(f"plug-in system {point.name!r} has no module", where=point.value)
        found[point.name] = System(point.name, point.module, Path(spec.origin).with_suffix(".toml"))
    return found


def system(name: str) -> System:
    """The system of that name, underscores and capitals forgiven."""
    known = systems()
    key = name.strip().lower().replace("_", "-")
    if key not in known:
        raise ConfigError(
            f"there is no system {name!r}: {did_you_mean(key, known)}", fix="mien systems"
        )
    return known[key]
