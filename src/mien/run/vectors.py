"""`mien data features` with runs that make one vector of a row: all of them in one table.

A column a run, ``features.text``, ``features.audio`` or ``features.visual``, as its stage says. So
the extractors of a conversation, trained one by one, feed the network that reads whole dialogues.
Vectors that are made are kept every few seconds, until the table is whole.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mien.data.manifest import FeatureRef, Inline, Manifest, Row
from mien.errors import ConfigError, DataError, Interrupted
from mien.run import checkpoint, folder, infer
from mien.run.alone import alone
from mien.run.load import Run, load
from mien.run.progress import Bar
from mien.types import Unit

Vectors = dict[str, NDArray[np.float32]]
"""A vector (D) by row."""

_KEPT_EVERY = 10.0  # seconds


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
    quiet: bool = True,
) -> Gathered:
    """Ask each run for a vector of every row that has what it reads.

    Other features of the rows are kept, unless a run's vectors are called alike: those of sound
    take the place of the sound itself.

    Args:
        path: a manifest.
        runs: whose stages give a vector a row; each gives another one.
        out: the new manifest; None: ``NAME.features.parquet`` beside it. Until it is whole, what is
            made lies in a folder beside it, of its name and ``.parts``.
        batch: rows at once; it changes no vector.
        root: the folder that paths may not leave.
        quiet: no progress.

    Raises:
        ConfigError: two runs give the same column.
        DataError: no row has what a run reads, or the new manifest would lie elsewhere.
        Interrupted: by Ctrl-C; what was made is kept.
        RunError: another process works in the same folder.
    """
    place = Path(path)
    name = place.stem.removesuffix(".features").removesuffix(".prepared")
    goal = Path(out) if out is not None else place.with_name(f"{name}.features.parquet")
    if goal.absolute() == place.absolute():
        raise DataError("the new manifest would replace the one it is made of", where=str(goal))
    manifest = Manifest.read(place, root=root)
    columns = _columns(runs)
    kept = goal.with_name(f"{goal.name}.parts")
    made: dict[str, Vectors] = {}
    licences = [manifest.licence] if manifest.licence else []
    try:
        with alone(kept):
            for column, each in columns.items():
                device = "cuda" if torch.cuda.is_available() else "cpu"
                run = load(each, device=device, merge=True)
                made[column] = _vectors(run, manifest, batch, _Kept(kept, each, place), quiet=quiet)
                licences.append(str(run.card["licence"]))
    except KeyboardInterrupt:
        raise Interrupted(
            "stopped; the vectors that are made are kept",
            where=str(kept),
            fix="the same command goes on from there",
        ) from None
    rows = [_with(row, made) for row in manifest.rows]
    dataclasses.replace(manifest.only(rows), licence=folder.strictest(licences)).write(goal)
    shutil.rmtree(kept, ignore_errors=True)
    return Gathered(
        manifest=goal,
        rows=len(rows),
        columns={column: len(found) for column, found in made.items()},
        widths={c: len(next(iter(found.values()))) for c, found in made.items()},
    )


def _columns(runs: Sequence[str | Path]) -> dict[str, Path]:
    """The runs by the column that each gives."""
    found: dict[str, Path] = {}
    for each in map(Path, runs):
        column = str(_stage(each).gives)
        if column in found:
            raise ConfigError(f"two runs give features.{column}", where=str(each))
        found[column] = each
    return found


class _Kept:
    """What one run made of one manifest so far, in files of many vectors.

    Args:
        home: folder for those of all runs.
        run: whose vectors.
        manifest: whose rows. Another run, or another manifest, begins anew.
    """

    def __init__(self, home: Path, run: Path, manifest: Path) -> None:
        made_of = checkpoint.digest(run / folder.MODEL), checkpoint.digest(manifest)
        self._folder = home / "-".join(digest[:16] for digest in made_of)
        self._waiting: Vectors = {}
        self._last = time.monotonic()

    def read(self) -> Vectors:
        """All of them."""
        files = sorted(self._folder.glob("*.safetensors"))
        return {n: v.numpy() for file in files for n, v in checkpoint.read_tensors(file).items()}

    def add(self, vectors: Vectors) -> None:
        """Keep these, now or a few seconds later."""
        self._waiting |= vectors
        if time.monotonic() - self._last > _KEPT_EVERY:
            self.flush()

    def flush(self) -> None:
        """Keep all that waits."""
        if self._waiting:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = self._folder / f"{len(list(self._folder.glob('*.safetensors'))):06}.safetensors"
            tensors = {name: torch.from_numpy(vector) for name, vector in self._waiting.items()}
            checkpoint.write_tensors(file, tensors)
        self._waiting, self._last = {}, time.monotonic()


@torch.inference_mode()
def _vectors(run: Run, manifest: Manifest, batch: int, kept: _Kept, *, quiet: bool) -> Vectors:
    """A vector (D) of each row that has what a run reads."""
    gives, rows = str(run.stage.gives), _readable(run, manifest)
    found = kept.read()
    left = [row for row in rows if row.id not in found]
    with Bar(gives, len(rows), done=len(found), unit="rows", quiet=quiet) as bar:
        began, done = time.monotonic(), 0
        try:
            read = (
                ()
                if not left
                else infer.batches(run.dataset(manifest, left), {}, batch, run.front_end)
            )
            for some in read:
                output = run.whole(some.to(infer.device_of(run.whole)))
                values = output.features[gives].float().cpu().numpy()
                vectors = dict(zip(some.ids, values, strict=True))
                kept.add(vectors)
                found |= vectors
                done += len(vectors)
                rate = done / max(1e-9, time.monotonic() - began)
                bar.advance("", rate=rate, steps=len(vectors))
        finally:
            kept.flush()
    return found


def _readable(run: Run, manifest: Manifest) -> list[Row]:
    """The rows that have what a run reads."""
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
    return rows


def _with(row: Row, made: Mapping[str, Vectors]) -> Row:
    """A row with its vectors; what one is called like and could not be read is no vector."""
    kept = {name: ref for name, ref in row.features.items() if name not in made}
    vectors: dict[str, FeatureRef] = {
        name: Inline(found[row.id]) for name, found in made.items() if row.id in found
    }
    return dataclasses.replace(row, features=kept | vectors)
