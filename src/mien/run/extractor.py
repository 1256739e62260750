"""One recording's frames to one vector each, by a run; the side of the workers.

Shapes: L positions of a row, n of a batch, D width of the vectors.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mien.data import prepared
from mien.data.features import ORIGIN, SEEN
from mien.data.places import Place
from mien.data.rows import Row
from mien.errors import DataError, RunError
from mien.parts.model import FRAMES
from mien.run import checkpoint, folder, infer
from mien.run.load import Run, load
from mien.types import Batch

KEY = "face"
"""What the tensor of a file is called; beside it lies which frames had a face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """How vectors are made.

    Args:
        run: folder of the run that makes them.
        batch: frames that are looked at together; it changes no vector.
        half: whether they are kept in half precision.
    """

    run: Path
    batch: int = 64
    half: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row whose frames are to be read.

    Args:
        row: the row.
        feature: which of its features.
        place: where its paths start.
        out: the file to make.
    """

    row: Row
    feature: str
    place: Place
    out: Path


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a job: frames in all, and those with a face."""

    frames: int
    seen: int


def ready(how: Extraction) -> None:
    """Load the run; for worker processes."""
    _loaded(how.run)


def work(how: Extraction, job: Job) -> Made:
    """Look at every frame of a row once, and keep what the tower says of it."""
    run = _loaded(how.run)
    source = prepared.source(job.row, job.feature, job.place)
    seen = source.mask
    if not seen.any():
        raise DataError("there is no face in any of its frames", where=f"row {job.row.id!r}")
    vectors = vectors_at(run, source.read, seen, how.batch, np.float16 if how.half else np.float32)
    if not np.isfinite(vectors).all():
        raise DataError("a vector is not finite", where=f"row {job.row.id!r}")
    origin = {
        "row": job.row.id,
        "fps": source.rate or job.row.fps,
        "by": identity(how.run),
        "run": how.run.name,
        "recipe": prepared.recipe(job.row, job.feature, job.place),
    }
    _write(job, vectors, seen, origin)
    return Made(len(seen), int(seen.sum()))


def vectors_at(
    run: Run,
    read: Callable[[NDArray[np.int64]], NDArray[Any]],
    seen: NDArray[np.bool_],
    batch: int,
    kind: type[np.floating[Any]] = np.float32,
) -> NDArray[Any]:
    """Vectors (L, D) of frames, zeros where there is no face.

    Args:
        run: what makes them.
        read: the pictures (n, H, W, 3) at some positions.
        seen: (L), where there is a face; somewhere there is.
        batch: frames that are looked at together.
        kind: of the numbers.
    """
    vectors: NDArray[Any] | None = None
    for at in _batches(np.flatnonzero(seen), batch):
        made = _vectors(run, read(at))
        if vectors is None:
            vectors = np.zeros((len(seen), made.shape[1]), kind)
        vectors[at] = made
    assert vectors is not None
    return vectors


@lru_cache(maxsize=8)
def identity(path: Path) -> str:
    """What a vector depends on beside the picture: the run's weights, towers and settings."""
    card = folder.read_card(path)
    weights = checkpoint.digest(path / folder.MODEL)
    model = folder.read_config(path).model.model_dump(mode="json")
    said = json.dumps([weights, card.get("towers"), model], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def check(run: Run) -> None:
    """Refuse a run that does not look at frames, one by one."""
    if run.stage.modalities != ("video",):
        raise RunError(
            f"this run reads {', '.join(run.stage.modalities)}, not the frames of a face alone",
            where=str(run.path),
            fix="mien train clip-sequential --stage frames makes one that does",
        )


@lru_cache(maxsize=1)
def _loaded(path: Path) -> Run:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = load(path, device=device, merge=True)
    check(run)
    return run


def _batches(at: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [at[first : first + size] for first in range(0, len(at), size)]


@torch.inference_mode()
def _vectors(run: Run, frames: NDArray[Any]) -> NDArray[np.float32]:
    """Pictures (n, H, W, 3) to vectors (n, D)."""
    pictures = torch.from_numpy(np.ascontiguousarray(frames))[None]
    batch = Batch(
        inputs={"video": pictures},
        mask={"video": torch.ones(pictures.shape[:2], dtype=torch.bool)},
        present=torch.ones(1, 1, dtype=torch.bool),
    ).to(infer.device_of(run.whole))
    found = run.whole(batch).features.get(FRAMES)
    if found is None or found.shape[:2] != pictures.shape[:2]:
        raise RunError(
            f"{run.settings.system!r} gives no vector a frame",
            where=str(run.path),
            fix="mien train clip-sequential --stage frames makes a run that does",
        )
    return np.asarray(found[0].float().cpu().numpy(), dtype=np.float32)


def _write(
    job: Job, vectors: NDArray[Any], seen: NDArray[np.bool_], origin: dict[str, Any]
) -> None:
    """A file that is whole or not there."""
    job.out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = job.out.with_name(f".{job.out.name}.unfinished")
    tensors = {KEY: vectors, KEY + SEEN: seen.astype(np.uint8)}
    save_file(tensors, unfinished, metadata={ORIGIN: json.dumps(origin)})
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(job.out)
