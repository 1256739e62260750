"""`mien data align`: vectors of what is said as one a frame, beside a manifest."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mien.data import features, prepared, words
from mien.data.manifest import Manifest
from mien.data.rows import Row
from mien.errors import DataError

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligned:
    """What came of it.

    Args:
        manifest: that was written.
        rows: of it.
        timed: rows whose tokens were placed by the times of words.
        dealt: rows whose tokens were dealt out in blocks.
        dropped: tokens for which there was no frame.
    """

    manifest: Path
    rows: int
    timed: int
    dealt: int
    dropped: int

    @property
    def text(self) -> str:
        """For a person."""
        lines = [
            f"{self.manifest}: {self.rows:,} rows, {self.timed + self.dealt:,} with a vector a "
            f"frame: {self.timed:,} by the times of words, {self.dealt:,} in blocks"
        ]
        if self.dropped:
            lines.append(f"  {self.dropped:,} tokens without a frame were dropped")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self) | {"manifest": str(self.manifest)}


def align(
    path: str | Path,
    *,
    out: str | Path | None = None,
    feature: str = "text",
    times: str = "word_times",
    root: str | Path | None = None,
) -> Aligned:
    """Give each row with vectors of tokens (n, D) one vector a frame (L, D) in their place.

    Frames are those of the longest of the row's other features. Vectors lie beside the new
    manifest, in ``NAME.FEATURE.safetensors``.

    Args:
        path: a manifest.
        out: the new one; None: ``NAME.aligned.jsonl`` beside it.
        feature: which feature holds vectors of tokens.
        times: which holds the first and last second (n, 2) of each token's word, where any does.
        root: the folder that paths may not leave.

    Raises:
        DataError: nothing can be aligned, or times do not fit.
    """
    manifest = Manifest.read(path, root=root)
    goal = (
        Path(out) if out is not None else Path(path).with_name(f"{Path(path).stem}.aligned.jsonl")
    )
    if goal.absolute() == manifest.path.absolute():
        raise DataError("the new manifest would replace the one it is made of", where=str(goal))
    arrays: dict[str, NDArray[Any]] = {}
    beside = goal.with_name(f"{goal.stem}.{feature}.safetensors")
    rows, timed, dropped = list[Row](), 0, 0
    for row in manifest.rows:
        if feature not in row.features:
            rows.append(row)
            continue
        with features.blamed(feature, row.id):
            at, count = _places(row, feature, times, manifest)
            tokens = _loaded(row, feature, manifest)
        arrays[f"{row.id}/{feature}"] = np.ascontiguousarray(tokens[np.maximum(at, 0)])
        arrays[f"{row.id}/{feature}{features.SEEN}"] = (at >= 0).astype(np.uint8)
        timed += times in row.features
        dropped += count - len(np.unique(at[at >= 0]))
        rows.append(_with(row, manifest, beside, feature, times))
    if not arrays:
        raise DataError(
            f"no row has features.{feature}",
            where=str(path),
            fix="vectors of tokens (n, width) of each clip",
        )
    _save(beside, arrays)
    manifest.only(rows).write(goal)
    dealt = len(arrays) // 2 - timed
    return Aligned(manifest=goal, rows=len(rows), timed=timed, dealt=dealt, dropped=dropped)


def _places(row: Row, feature: str, times: str, manifest: Manifest) -> tuple[words.Indices, int]:
    """The token of each frame of a row, -1 for none, and how many tokens it has."""
    place = row.place or manifest.place
    others = [name for name in row.features if name not in (feature, times)]
    lengths = [prepared.length(row, name, place) for name in others]
    frames = max((length for length in lengths if length is not None), default=0)
    if not frames:
        raise DataError("it has no other feature over time, so nobody knows its frames")
    count = len(_loaded(row, feature, manifest))
    if times not in row.features:
        return words.in_blocks(count, frames), count
    known = _loaded(row, times, manifest)
    if len(known) != count:
        raise DataError(f"features.{times} has {len(known)} words for {count} tokens")
    rate = next(filter(None, (prepared.fps(row, name, place) for name in others)), row.fps)
    if rate is None:
        raise DataError("words have times, and frames have none", fix="fps of the row")
    return words.by_times(known, frames, rate), count


def _loaded(row: Row, name: str, manifest: Manifest) -> Floats:
    """A feature (n, D) of a row."""
    array = features.load(row.features[name], row.place or manifest.place, row=row.id)
    if array.ndim != 2:
        raise DataError(f"features.{name} is (tokens, width), not {array.shape}")
    return np.asarray(array, dtype=np.float32)


def _with(row: Row, manifest: Manifest, beside: Path, feature: str, times: str) -> Row:
    place = row.place or manifest.place
    kept = {name: ref for name, ref in row.features.items() if name != times}
    ref = f"{place.relative(beside)}::{row.id}/{feature}"
    return dataclasses.replace(row, features=kept | {feature: ref})


def _save(file: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """A file that is whole or not there."""
    try:
        unfinished = file.with_name(file.name + ".unfinished")
        save_file(arrays, unfinished)
        unfinished.replace(file)
    except OSError as error:
        raise DataError(f"cannot write here: {error.strerror}", where=str(file)) from error
