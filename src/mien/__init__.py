"""mien: seven published systems for multimodal emotion recognition.

Names are resolved when first used, so that importing mien imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.data.manifest import Manifest
    from mien.errors import ConfigError, DataError, MienError, MissingExtra, RunError, TowerError
    from mien.run.load import Run, load
    from mien.run.score import evaluate
    from mien.run.train import train
    from mien.timeline import Timeline, Track, Window
    from mien.types import (
        Batch,
        Objective,
        Output,
        Problem,
        Resolution,
        Sample,
        Stage,
        TaskSpec,
        Unit,
    )

__version__ = version("mien")

_HOMES = {
    "mien.data.manifest": ("Manifest",),
    "mien.errors": (
        "ConfigError",
        "DataError",
        "MienError",
        "MissingExtra",
        "RunError",
        "TowerError",
    ),
    "mien.run.load": ("Run", "load"),
    "mien.run.score": ("evaluate",),
    "mien.run.train": ("train",),
    "mien.timeline": ("Timeline", "Track", "Window"),
    "mien.types": (
        "Batch",
        "Objective",
        "Output",
        "Problem",
        "Resolution",
        "Sample",
        "Stage",
        "TaskSpec",
        "Unit",
    ),
}

__all__ = [
    "Batch",
    "ConfigError",
    "DataError",
    "Manifest",
    "MienError",
    "MissingExtra",
    "Objective",
    "Output",
    "Problem",
    "Resolution",
    "Run",
    "RunError",
    "Sample",
    "Stage",
    "TaskSpec",
    "Timeline",
    "TowerError",
    "Track",
    "Unit",
    "Window",
    "__version__",
    "evaluate",
    "load",
    "train",
]

_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
