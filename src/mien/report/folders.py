"""What a run folder says of itself, checked: it may come from anybody.

What is not of the kind that it should be counts as not said, and what is not there is said to be
missing; only a folder that is no finished run is an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien import config
from mien.errors import ConfigError, RunError
from mien.run import answers, checkpoint, folder
from mien.run.answers import Kept
from mien.run.log import Log

Json = dict[str, Any]

_LARGEST = 64 * 2**20
"""Bytes that a log, card or list of scores may have."""
_MOST = 200
"""Entries of a list or mapping that are looked at."""


@dataclass(slots=True, kw_only=True)
class Opened:
    """A run, or a family of folds and seeds, as a report reads it.

    Args:
        name: what the report calls it.
        members: its runs by name; a run alone is the only one, called like the whole.
        cards: what each of them says of itself.
        logs: the lines of each one's log.
        settings: the configuration, resolved.
        part: which part was scored.
        kept: its answers; None where none are kept.
        missing: what the folder lacks, a sentence each.
    """

    name: str
    members: Mapping[str, Path]
    cards: Sequence[Json]
    logs: Sequence[list[Json]]
    settings: Json
    part: str | None
    kept: Kept | None
    missing: list[str] = field(default_factory=list)

    @property
    def family(self) -> bool:
        """Whether it has folds or seeds."""
        return list(self.members) != [self.name]


def opened(place: Path, name: str) -> Opened:
    """Read a finished run, or the runs of a family.

    Args:
        place: its folder.
        name: what to call it.
    """
    if not place.is_dir():
        raise RunError(
            "there is no such run", where=str(place), fix="mien train ... --out RUN makes one"
        )
    _bounded(place / folder.FAMILY, place / folder.LABELS, place / folder.METRICS)
    paths = folder.members(place)
    for path in paths:
        _bounded(*(path / file for file in (folder.CARD, folder.CONFIG, folder.LOG, folder.LABELS)))
        if not (path / folder.CARD).is_file():
            raise RunError(
                f"this is not a run folder: it has no {folder.CARD}",
                where=str(path),
                fix="mien train SYSTEM --data MANIFEST --out RUN makes one",
            )
    cards = [folder.read_card(path) for path in paths]
    found = Opened(
        name=name,
        members={_called(path, place, name): path for path in paths},
        cards=cards,
        logs=[Log(path / folder.LOG).lines() for path in paths],
        settings=_settings(paths[0]),
        part=None,
        kept=None,
    )
    _find_answers(found, place)
    if not all(found.logs):
        found.missing.append("Not every training left a log: its curves cannot be drawn.")
    if not found.settings:
        found.missing.append("Its settings (config.yaml) cannot be read.")
    return found


def _called(path: Path, place: Path, name: str) -> str:
    return name if path == place else path.relative_to(place).as_posix()


def _bounded(*files: Path) -> None:
    for file in files:
        if file.is_file() and file.stat().st_size > _LARGEST:
            size = file.stat().st_size
            raise RunError(
                f"{file.name} has {size:,} bytes: no run of ours", where=str(file.parent)
            )


def _settings(place: Path) -> Json:
    try:
        return config.read_yaml(place / folder.CONFIG)
    except ConfigError:
        return {}


def _find_answers(found: Opened, place: Path) -> None:
    """The kept answers, and which part they are answers to."""
    paths = list(found.members.values())
    own = place if (place / folder.METRICS).is_file() else paths[0]
    metrics = checkpoint.read_json(own / folder.METRICS) if (own / folder.METRICS).is_file() else {}
    found.part = text(metrics.get("part") if isinstance(metrics, dict) else None)
    without = [name for name, path in found.members.items() if not _kept(path)]
    if not folder.read_labels(paths[0]):
        return  # it learned no task, and nothing is missing
    if len(without) < len(paths):
        found.kept = answers.kept(place)
    if without and len(paths) > 1:
        found.missing.append(f"No answers are kept of {len(without)} of its {len(paths)} runs.")
    elif without:
        found.missing.append(
            "No answers are kept, so nothing can be scored: it had no test part and nothing was "
            "held out, or the file was taken away. mien evaluate scores it on a manifest."
        )


def _kept(path: Path) -> bool:
    return (path / folder.PREDICTIONS).is_file()


# -- values of the kind that they should be --------------------------------------------------------


def text(value: Any, most: int = 300) -> str | None:
    """A text, cut off where it is very long; None for anything else."""
    return value[:most] if isinstance(value, str) and value else None


def number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: Any) -> int | None:
    """A whole number of a usual size; None for anything else."""
    fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return value if fits else None


def texts(value: Any, most: int = _MOST) -> list[str]:
    """The texts of a list, as far as they are some."""
    listed = value[:most] if isinstance(value, list) else []
    return [item for item in map(text, listed) if item is not None]


def mapping(value: Any, most: int = _MOST) -> Json:
    """The entries of an object that go by a name; empty for anything else."""
    if not isinstance(value, dict):
        return {}
    return {key[:most]: item for key, item in list(value.items())[:most] if isinstance(key, str)}


def named_texts(value: Any) -> dict[str, str]:
    """Texts by name."""
    found = {key: text(item) for key, item in mapping(value).items()}
    return {key: item for key, item in found.items() if item is not None}


def named_numbers(value: Any) -> dict[str, float]:
    """Finite numbers by name."""
    found = {key: number(item) for key, item in mapping(value).items()}
    return {key: item for key, item in found.items() if item is not None}
