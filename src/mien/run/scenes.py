"""`mien data scenes`: a few whole frames of each row and all faces in them, kept beside a manifest.

A file lies where its content says (the film, the stretch of it, how it was looked at), so what is
finished is never done again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from safetensors.numpy import save_file

from mien.data.faces import Detector, open_detector
from mien.data.manifest import FeatureRef, Manifest, Row
from mien.data.recordings import digest
from mien.data.scenes import FRAMES, look
from mien.errors import ConfigError, DataError, Interrupted, MienError
from mien.run import workers
from mien.run.alone import alone
from mien.run.prepared import Loss, losses_file, write_losses
from mien.run.progress import Bar

KEYS = ("scene", "faces", "boxes")
_VERSION = 1  # of the files; another one makes them anew


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How clips are looked at.

    Args:
        frames: of a clip, at even times.
        size: side of frames and faces in pixels.
        detector: ``auto``, ``yunet`` or ``haar``.
        weights: the detector's file.
    """

    frames: int = FRAMES
    size: int = 112
    detector: Literal["auto", "yunet", "haar"] = "auto"
    weights: Path | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A row whose film is to be looked at, the film, and the file to make."""

    row: Row
    film: Path
    out: Path


@dataclass(slots=True, kw_only=True)
class SceneReport:
    """What came of a manifest: the new one, its rows, how many were made now, and what failed."""

    manifest: Path
    folder: Path
    rows: int = 0
    made: int = 0
    faces: int = 0
    errors: list[Loss] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = dataclasses.asdict(self)
        return values | {"manifest": str(self.manifest), "folder": str(self.folder)}

    @property
    def text(self) -> str:
        """The same for a person."""
        lines = [
            f"{self.manifest}: {self.rows} rows, each with features.scene",
            f"  made: {self.made}, {self.faces} faces in them",
        ]
        if self.errors:
            lines.append(f"left as they were: {len(self.errors)}, {losses_file(self.manifest)}")
            lines += [f"  {loss.row}: {loss.what}" for loss in self.errors[:5]]
        return "\n".join(lines)


def scenes(
    path: str | Path,
    *,
    out: str | Path | None = None,
    how: How | None = None,
    jobs: int | None = None,
    root: str | Path | None = None,
    quiet: bool = False,
) -> SceneReport:
    """Look at the film of every row, and write a manifest that names what was seen.

    Rows keep what they have; those without a film, or whose film cannot be read, get nothing more,
    and are listed in a file beside the new manifest.

    Args:
        path: a manifest whose rows name films.
        out: the new manifest; None: ``NAME.scenes.jsonl`` beside it.
        how: how clips are looked at.
        jobs: processes; None: as many as there are cores.
        root: the folder that paths may not leave.
        quiet: no progress.

    Raises:
        DataError: no row has a film.
        Interrupted: by Ctrl-C; what was finished is kept.
    """
    how = how or How()
    if not 1 <= how.frames <= 1000 or not 16 <= how.size <= 1024:
        raise ConfigError(f"{how.frames} frames of {how.size} pixels are nothing to look at")
    manifest = Manifest.read(path, root=root)
    name = Path(path).stem.removesuffix(".prepared")
    goal = Path(out) if out is not None else Path(path).with_name(f"{name}.scenes.jsonl")
    if goal.absolute() == manifest.path.absolute():
        raise DataError("the new manifest would replace the one it is made of", where=str(goal))
    report = SceneReport(manifest=goal, folder=goal.with_suffix(""))
    try:
        with alone(report.folder):
            todo = _jobs(manifest, how, report)
            _run(todo, how, report, jobs, quiet=quiet)
            _write(manifest, todo, report)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped; {report.made} rows are done, and kept",
            where=str(report.folder),
            fix="the same command goes on from there",
        ) from None
    return report


def _jobs(manifest: Manifest, how: How, report: SceneReport) -> dict[str, Job]:
    """A job for each row that has a film, by its id."""
    finder = open_detector(how.detector, how.weights)
    looks = [how.frames, how.size, finder.name, _VERSION]
    content = lru_cache(maxsize=None)(digest)
    found: dict[str, Job] = {}
    for row in manifest.rows:
        if row.video is None:
            continue
        try:
            film = (row.place or manifest.place).find(row.video)
            said = [*looks, row.fps, row.start, row.end, content(film)]
        except (MienError, OSError) as error:
            what = error.what if isinstance(error, MienError) else str(error)
            report.errors.append(Loss(row.id, str(row.video), what))
            continue
        name = hashlib.sha256(json.dumps(said).encode()).hexdigest()
        found[row.id] = Job(row, film, report.folder / name[:2] / f"{name}.safetensors")
    if not found:
        raise DataError("no row has a film that can be read", where=str(manifest.path))
    return found


def _run(
    todo: dict[str, Job], how: How, report: SceneReport, jobs: int | None, *, quiet: bool
) -> None:
    alike = {job.out: job for job in todo.values()}
    waiting = [job for job in alike.values() if not job.out.exists()]
    results = workers.over(
        partial(work, how), waiting, jobs=jobs, name=lambda job: f"row {job.row.id!r}"
    )
    began = time.monotonic()
    bar = Bar("looking", len(alike), done=len(alike) - len(waiting), unit="rows", quiet=quiet)
    with bar, workers.ended(results):
        for index, result in results:
            if isinstance(result, MienError):
                row = waiting[index].row
                report.errors.append(Loss(row.id, str(row.video), result.what, result.fix))
            else:
                report.made += 1
                report.faces += result
            done = report.made + len(report.errors)
            bar.advance("", rate=done / max(1e-9, time.monotonic() - began))


def work(how: How, job: Job) -> int:
    """Look at one film and keep what is seen; gives the number of faces. For worker processes."""
    row = job.row
    seen = look(
        job.film,
        _detector(how.detector, how.weights),
        start=row.start or 0.0,
        end=row.end,
        folder_fps=row.fps,
        frames=how.frames,
        size=how.size,
    )
    job.out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = job.out.with_name(f".{job.out.name}.unfinished")
    save_file(
        dict(zip(KEYS, (seen.frames, seen.faces, seen.boxes), strict=True)),
        unfinished,
        metadata={"row": row.id},
    )
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(job.out)
    return len(seen.faces)


@lru_cache(maxsize=1)
def _detector(kind: Literal["auto", "yunet", "haar"], weights: Path | None) -> Detector:
    return open_detector(kind, weights)


def _write(manifest: Manifest, todo: dict[str, Job], report: SceneReport) -> None:
    write_losses(report.manifest, report.errors)
    rows = []
    for row in manifest.rows:
        job = todo.get(row.id)
        if job is not None and job.out.is_file():
            file = manifest.place.relative(job.out)
            seen: dict[str, FeatureRef] = {key: f"{file}::{key}" for key in KEYS}
            row = dataclasses.replace(row, features=row.features | seen)
            report.rows += 1
        rows.append(row)
    if not report.rows:
        raise DataError(
            "nothing came of any row",
            where=str(manifest.path),
            fix=f"{losses_file(report.manifest)} says why",
        )
    manifest.only(rows).write(report.manifest)
