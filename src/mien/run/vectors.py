"""`mien data features` with runs that make one vector of a row: all of them in one table.

A column a run, ``features.text``, ``features.audio`` or ``features.visual``, as its stage says. So
the extractors of a conversation, trained one by one, feed the network that reads whole dialogues.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mien.data.manifest import FeatureRef, Inline, Manifest, Row
from mien.errors import ConfigError, DataError
from mien.run import folder, infer
from mien.run.load import Run, load
from mien.types import Unit


@dataclass(slots=True, kw_only=True)
class Gathered:
    """What came of a manifest.

    Attributes:
        manifest: the new one.
        rows: in it.
        columns: by name how many rows have one.
        widths: by name how many values it has.
    """

    manifest: Path
    rows: int
    columns: dict[str, int] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self) | {"manifest": str(self.manifest)}

    @property
    def text(self) -> str:
        """The same for a person."""
        lines = [f"{self.manifest}: {self.rows} rows"]
        lines += [
            f"  features.{name}: {self.widths[name]} values, in {count} of them"
            for name, count in self.columns.items()
        ]
        return "\n".join(lines)


def whole_rows(runs: Sequence[Path]) -> bool:
    """Whether these runs make one vector of a row; a single one may make one a frame instead."""
    if not runs:
        raise ConfigError("no run was named", fix="--run runs/text")
    gives = [_stage(path).gives is not None for path in runs]
    if len(runs) > 1 and not all(gives):
        raise ConfigError(
            "this run gives no vector of a whole row, so it goes alone",
            where=str(runs[gives.index(False)]),
            fix=f"mien data features MANIFEST --run {runs[gives.index(False)]}",
        )
    return all(gives)


def _stage(path: Path) -> Any:
    from mien import registry

    settings = folder.read_config(path)
    return registry.system(settings.system).load().STAGES[settings.stages[-1]]


def gather(
    path: str | Path,
    *,
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    batch: int = 32,
    root: str | Path | None = None,
) -> Gathered:
    """Ask each run for a vector of every row that has what it reads.

    Other features of the rows are kept, unless a run's vectors are called alike: those of sound
    take the place of the sound itself.

    Args:
        path: a manifest.
        runs: whose stages give a vector a row; each gives another one.
        out: the new manifest; None: ``NAME.features.parquet`` beside it.
        batch: rows at once; it changes no vector.
        root: the folder that paths may not leave.

    Raises:
        ConfigError: two runs give the same column.
        DataError: no row has what a run reads, or the new manifest would lie elsewhere.
    """
    place = Path(path)
    name = place.stem.removesuffix(".features").removesuffix(".prepared")
    goal = Path(out) if out is not None else place.with_name(f"{name}.features.parquet")
    if goal.absolute() == place.absolute():
        raise DataError("the new manifest would replace the one it is made of", where=str(goal))
    manifest = Manifest.read(place, root=root)
    made: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    licences = [manifest.licence] if manifest.licence else []
    for each in runs:
        run = load(each, device="cuda" if torch.cuda.is_available() else "cpu", merge=True)
        column = str(run.stage.gives)
        if column in made:
            raise ConfigError(f"two runs give features.{column}", where=str(each))
        made[column] = _vectors(run, manifest, batch)
        licences.append(str(run.card["licence"]))
    rows = [_with(row, made) for row in manifest.rows]
    dataclasses.replace(manifest.only(rows), licence=folder.strictest(licences)).write(goal)
    return Gathered(
        manifest=goal,
        rows=len(rows),
        columns={column: len(found) for column, found in made.items()},
        widths={c: len(next(iter(found.values()))) for c, found in made.items()},
    )


@torch.inference_mode()
def _vectors(run: Run, manifest: Manifest, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    """A vector (D) by row, of the rows that have what a run reads."""
    inputs = run.settings.data.inputs
    reads = [inputs.get(name, name) for name in run.stage.modalities]
    said = run.stage.unit is Unit.TEXT
    rows = [
        row
        for row in manifest.rows
        if (bool(row.text) if said else any(name in row.features for name in reads))
    ]
    if not rows:
        raise DataError(
            f"no row has what this run reads: {', '.join(reads)}",
            where=str(manifest.path),
            fix=f"mien data prepare {manifest.path}" if not said else "text in its rows",
        )
    found: dict[str, np.ndarray[Any, Any]] = {}
    for some in infer.batches(run.dataset(manifest, rows), {}, batch, run.front_end):
        output = run.whole(some.to(infer.device_of(run.whole)))
        values = output.features[str(run.stage.gives)].float().cpu().numpy()
        found |= dict(zip(some.ids, values, strict=True))
    return found


def _with(row: Row, made: dict[str, dict[str, np.ndarray[Any, Any]]]) -> Row:
    """A row with its vectors; what one is called like and could not be read is no vector."""
    kept = {name: ref for name, ref in row.features.items() if name not in made}
    vectors: dict[str, FeatureRef] = {
        name: Inline(found[row.id]) for name, found in made.items() if row.id in found
    }
    return dataclasses.replace(row, features=kept | vectors)
