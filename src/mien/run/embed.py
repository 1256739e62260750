"""`mien data embed`: captions to vectors beside a manifest, each text encoded once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mien.data import descriptions
from mien.data.descriptions import CAPTIONS, Description, clip_hash
from mien.data.manifest import Manifest
from mien.data.rows import Row
from mien.errors import DataError
from mien.parts import hub
from mien.parts.sentences import SentenceEncoder
from mien.run.progress import Bar

Vectors = dict[str, NDArray[np.float32]]
"""Hash of a text -> its vector (D)."""

FEATURE = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What came of it.

    Args:
        manifest: that was written.
        vectors: the file beside it.
        rows: of the manifest.
        described: rows that have captions.
        changed: rows whose description is of another clip; left out.
        unknown: descriptions of rows that the manifest does not have.
        texts: different captions.
        encoded: of them, those that no earlier call had encoded.
        dim: width of the vectors.
    """

    manifest: Path
    vectors: Path
    rows: int
    described: int
    changed: int
    unknown: int
    texts: int
    encoded: int
    dim: int

    @property
    def text(self) -> str:
        """For a person."""
        lines = [
            f"{self.manifest}: {self.described:,} of {self.rows:,} rows have features.{FEATURE}, "
            f"{len(CAPTIONS)} x {self.dim}",
            f"  {self.texts:,} different captions, {self.encoded:,} of them encoded now",
        ]
        if self.changed:
            lines.append(f"  {self.changed:,} rows mean another clip than was described: left out")
        if self.unknown:
            lines.append(f"  {self.unknown:,} descriptions are of rows that are not here")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self).items()
        }


def embed(
    path: str | Path,
    manifest: str | Path,
    encoder: str,
    out: str | Path,
    *,
    root: str | Path | None = None,
    revision: str | None = None,
    quiet: bool = False,
) -> Embedded:
    """Give each described row its captions as vectors: (3, D), as `CAPTIONS` orders them.

    A caption that a clip does not have is zeros. What a row has besides stays.

    Args:
        path: descriptions.
        manifest: whose rows they are about.
        encoder: a folder, or a name on the hub.
        out: the new manifest; the vectors lie beside it, in ``NAME.text.safetensors``.
        root: the folder that paths may not leave.
        revision: commit on the hub.
        quiet: no progress.

    Raises:
        DataError: nothing is described, or a row has such a feature already.
        TowerError: there is no such encoder.
    """
    rows, goal = Manifest.read(manifest, root=root), Path(out)
    told = descriptions.latest(descriptions.read(Path(path)))
    usable = {line.id: line for line in descriptions.usable(told)}
    fitting = {row.id: usable[row.id] for row in rows.rows if row.id in usable}
    kept = {row.id: fitting[row.id] for row in rows.rows
            if row.id in fitting and fitting[row.id].clip == clip_hash(row)}  # fmt: skip
    _check(rows, goal, kept, Path(path))
    opened = SentenceEncoder.open(encoder, revision)
    texts = sorted({text for line in kept.values() for text in _texts(line)})
    vectors, encoded = _encoded(opened, texts, quiet=quiet)
    beside = goal.with_name(f"{goal.stem}.{FEATURE}.safetensors")
    _write(beside, kept, vectors, opened, rows)
    made = [_with(row, rows, beside) if row.id in kept else row for row in rows.rows]
    rows.only(made).write(goal)
    return Embedded(
        manifest=goal, vectors=beside, rows=len(made), described=len(kept),
        changed=len(fitting) - len(kept), unknown=len(usable) - len(fitting),
        texts=len(texts), encoded=encoded, dim=opened.dim,
    )  # fmt: skip


def _check(rows: Manifest, goal: Path, kept: dict[str, Description], path: Path) -> None:
    """What would be wrong at the end is said at the beginning."""
    if not kept:
        raise DataError(
            "no row of the manifest has a description of just its clip",
            where=str(path),
            fix="the manifest that was described, or one that was prepared from it",
        )
    taken = next((row.id for row in rows.rows if FEATURE in row.features), None)
    if taken is not None:
        raise DataError(f"the row {taken!r} has features.{FEATURE} already", where=str(rows.path))
    if goal.absolute() == rows.path.absolute():
        raise DataError("the new manifest would replace the one it is made of", where=str(goal))


def _texts(line: Description) -> Iterator[str]:
    assert line.captions is not None
    return (text for text in line.captions.in_order() if text is not None)


def _with(row: Row, manifest: Manifest, beside: Path) -> Row:
    place = row.place or manifest.place
    ref = f"{place.relative(beside)}::{_key(row.id)}"
    return dataclasses.replace(row, features={**row.features, FEATURE: ref})


def _key(name: str) -> str:
    return f"{name}/{FEATURE}"


# -- vectors ---------------------------------------------------------------------------------------


def _encoded(encoder: SentenceEncoder, texts: Sequence[str], *, quiet: bool) -> tuple[Vectors, int]:
    """Vectors of all texts, those of earlier calls from the cache."""
    file = hub.cache_folder() / "sentences" / f"{encoder.fingerprint[:32]}.safetensors"
    known = _cached(file, encoder.dim)
    names = {text: hashlib.sha256(text.encode()).hexdigest() for text in texts}
    new = [text for text in texts if names[text] not in known]
    began = time.monotonic()
    with Bar("encoding", len(new), unit="captions", quiet=quiet) as bar:
        for done, (text, vector) in enumerate(zip(new, encoder.encode(new), strict=True), 1):
            known[names[text]] = vector.numpy().astype(np.float32)
            bar.advance("", rate=done / max(1e-9, time.monotonic() - began))
    if new:
        _save(file, known, {})
    return {text: known[name] for text, name in names.items()}, len(new)


def _cached(file: Path, dim: int) -> Vectors:
    """What earlier calls encoded; a file that is damaged counts as none."""
    try:
        found = load_file(file) if file.is_file() else {}
    except (OSError, SafetensorError, ValueError):
        return {}
    good = {name: v for name, v in found.items() if v.shape == (dim,) and np.isfinite(v).all()}
    return {name: vector.astype(np.float32) for name, vector in good.items()}


def _write(
    beside: Path,
    kept: dict[str, Description],
    vectors: Vectors,
    encoder: SentenceEncoder,
    manifest: Manifest,
) -> None:
    arrays: Vectors = {}
    for name, line in kept.items():
        assert line.captions is not None
        matrix = np.zeros((len(CAPTIONS), encoder.dim), np.float32)  # (3, D)
        for i, text in enumerate(line.captions.in_order()):
            if text is not None:
                matrix[i] = vectors[text]
        arrays[_key(name)] = matrix
    origins = sorted({f"{line.by.model} {line.by.prompt}" for line in kept.values()})
    card = {
        "encoder": encoder.fingerprint, "pooling": "mean", "captions": json.dumps(CAPTIONS),
        "described by": json.dumps(origins), "manifest": manifest.fingerprint(),
    }  # fmt: skip
    _save(beside, arrays, card)


def _save(file: Path, arrays: Vectors, card: dict[str, str]) -> None:
    """A file that is whole or not there."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(file.name + ".unfinished")
        save_file(arrays, unfinished, metadata=card)
        unfinished.replace(file)
    except OSError as error:
        raise DataError(f"cannot write here: {error.strerror}", where=str(file)) from error
