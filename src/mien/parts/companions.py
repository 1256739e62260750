"""Small files that a run keeps beside a tower, such as its tokenizer: written, and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mien.errors import TowerError
from mien.parts.encoders import Tower


def keep(tower: Tower, folder: Path) -> dict[str, Any]:
    """Write what belongs to a tower; gives their hashes, for its record."""
    files = tower.companions()
    for name, content in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return {"companions": tower.companion_hashes()} if files else {}


def take_back(tower: Tower, folder: Path, record: Mapping[str, Any]) -> Tower:
    """The tower with the files that a run keeps beside it, if they are those it recorded."""
    names = list(tower.companions())
    for name in names:
        if not (folder / name).is_file():
            raise TowerError(f"the run lacks {name} of a {tower.kind} tower", where=str(folder))
    if names:
        tower.accompany(folder)
        if tower.companion_hashes() != record.get("companions"):
            what = f"{', '.join(names)} is not what the run recorded"
            raise TowerError(what, where=str(folder))
    return tower
