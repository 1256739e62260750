"""One recording's frames to one vector each, by a run; the side of the workers.

Shapes: L positions of a row, n of a batch, D width of the vectors.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mien.data import prepared
from mien.data.features import SEEN
from mien.data.places import Place
from mien.data.rows import Row
from mien.errors import DataError, RunError
from mien.parts.model import FRAMES
from mien.run import infer
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
    vectors: NDArray[Any] | None = None
    for at in _batches(np.flatnonzero(seen), how.batch):
        made = _vectors(run, source.read(at))
        if vectors is None:
            kind = np.float16 if how.half else np.float32
            vectors = np.zeros((len(seen), made.shape[1]), kind)
        vectors[at] = made
    if vectors is None:
        raise DataError("there is no face in any of its frames", where=f"row {job.row.id!r}")
    if not np.isfinite(vectors).all():
        raise DataError("a vector is not finite", where=f"row {job.row.id!r}")
    _write(job, vectors, seen, source.rate or job.row.fps)
    return Made(len(seen), int(seen.sum()))


@lru_cache(maxsize=1)
def _loaded(path: Path) -> Run:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    run = load(path, device=device, merge=True)
    if run.stage.modalities != ("video",):
        raise RunError(
            f"this run reads {', '.join(run.stage.modalities)}, not the frames of a face alone",
            where=str(path),
            fix="mien train clip-sequential --stage frames makes one that does",
        )
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


def _write(job: Job, vectors: NDArray[Any], seen: NDArray[np.bool_], rate: float | None) -> None:
    """A file that is whole or not there."""
    job.out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = job.out.with_name(f".{job.out.name}.unfinished")
    tensors = {KEY: vectors, KEY + SEEN: seen.astype(np.uint8)}
    save_file(tensors, unfinished, metadata={"row": job.row.id, "fps": json.dumps(rate)})
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(job.out)
