"""`mien data features`: one vector a frame, made once by a run, and a manifest of them.

A file lies where its content says (the run, the frames, which of them), so what is finished is
never done again: not after an interruption, and not for another manifest.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from mien.data import prepared
from mien.data.features import file_of
from mien.data.manifest import Manifest, Row
from mien.data.recordings import digest
from mien.data.shards import SUFFIX
from mien.errors import ConfigError, DataError, Interrupted, MienError
from mien.run import folder, workers
from mien.run.alone import alone
from mien.run.extractor import KEY, Extraction, Job, identity, ready, work
from mien.run.prepared import Loss, losses_file, write_losses
from mien.run.progress import Bar

_VERSION = 2  # of the files; another one makes them anew


@dataclass(slots=True, kw_only=True)
class FeatureReport:
    """What came of a manifest.

    Attributes:
        manifest: the new one.
        folder: where the files are.
        rows: of the new manifest.
        made: how many were done by this call.
        before: how many had been done before.
        frames: looked at by this call.
        seconds: that the call took.
        errors: rows of which nothing came.
    """

    manifest: Path
    folder: Path
    rows: int = 0
    made: int = 0
    before: int = 0
    frames: int = 0
    seconds: float = 0.0
    errors: list[Loss] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = dataclasses.asdict(self)
        return values | {"manifest": str(self.manifest), "folder": str(self.folder)}

    @property
    def text(self) -> str:
        """The same for a person."""
        speed = self.frames / max(1e-9, self.seconds)
        lines = [
            f"{self.manifest}: {self.rows} rows, each with features.{KEY}",
            f"  made: {self.made}, and {self.before} before",
        ]
        if self.made:
            lines.append(f"  took: {self.seconds:.0f} s, {speed:,.0f} frames a second")
        if self.errors:
            lines.append(f"left out: {len(self.errors)} rows, see {losses_file(self.manifest)}")
            lines += [f"  {loss.row}: {loss.what}" for loss in self.errors[:5]]
        return "\n".join(lines)


def extract(
    path: str | Path,
    *,
    run: str | Path,
    out: str | Path | None = None,
    batch: int = 64,
    half: bool = False,
    jobs: int | None = None,
    memory: int = 4 * 2**30,
    root: str | Path | None = None,
    quiet: bool = False,
) -> FeatureReport:
    """Look at every frame of a manifest once, and write a manifest of what a run makes of them.

    Rows keep what they have, and get ``features.face``. Those without frames, or in which nobody
    is seen, are left out, and listed in a file beside the new manifest.

    Args:
        path: a manifest of prepared rows.
        run: one that gives a vector a frame, as stage ``frames`` of clip-sequential does.
        out: the new manifest; None: ``NAME.features.jsonl`` beside it. Vectors lie in
            ``NAME.vectors`` beside the new manifest.
        batch: frames that are looked at together.
        half: keep vectors in half precision.
        jobs: processes; None: as many as there are cores.
        memory: bytes that one row may take.
        root: the folder that paths may not leave.
        quiet: no progress.

    Raises:
        ConfigError: nothing can be looked at together.
        DataError: no row has frames, or nothing came of any.
        Interrupted: by Ctrl-C; what was finished is kept.
        RunError: the run gives no vectors, or another process works in the same folder.
    """
    if batch < 1:
        raise ConfigError(f"no vector comes of {batch} frames", fix="--batch 64")
    began, how = time.monotonic(), Extraction(run=Path(run).resolve(), batch=batch, half=half)
    manifest = Manifest.read(path, root=root)
    goal = Path(out) if out is not None else _beside(Path(path), ".features.jsonl")
    report = FeatureReport(manifest=goal, folder=_beside(goal, ".vectors"))
    _check(manifest, goal)
    try:
        with alone(report.folder):
            todo = _jobs(manifest, how, report)
            _run(todo, how, report, jobs, memory, quiet=quiet)
            _write(manifest, todo, how, report)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped; {report.made} rows are done, and kept",
            where=str(report.folder),
            fix="the same command goes on from there",
        ) from None
    report.seconds = time.monotonic() - began
    return report


def _beside(path: Path, ending: str) -> Path:
    """``NAME`` and an ending, for ``NAME.prepared.jsonl`` and ``NAME.features.jsonl``."""
    name = path.stem.removesuffix(".features").removesuffix(".prepared")
    return path.with_name(name + ending)


def _check(manifest: Manifest, goal: Path) -> None:
    """What would be wrong at the end is said at the beginning."""
    if goal.absolute() == manifest.path.absolute():
        raise DataError("the new manifest would replace the one it is made of", where=str(goal))
    taken = [row.id for row in manifest.rows if KEY in row.features]
    if taken:
        raise DataError(
            f"{len(taken)} rows have features.{KEY} already, as {taken[0]!r}",
            where=str(manifest.path),
            fix="use the manifest that these were made of",
        )
    if goal.absolute().parent != manifest.place.folder and manifest.root is None:
        raise DataError(
            f"{str(goal)!r} lies in another folder than the manifest",
            fix="keep it beside the manifest, or state a root that holds both",
        )


# -- what there is to do ---------------------------------------------------------------------------


def _jobs(manifest: Manifest, how: Extraction, report: FeatureReport) -> dict[str, Job]:
    """A job for each row that has frames, by its id."""
    settings = folder.read_config(how.run)
    feature = settings.data.inputs.get("video", "video")
    made_by, content = identity(how.run), lru_cache(maxsize=None)(digest)
    found: dict[str, Job] = {}
    for row in manifest.rows:
        ref = row.features.get(feature)
        if not isinstance(ref, str):
            report.errors.append(Loss(row.id, "", f"it has no features.{feature} in a file"))
            continue
        try:
            place = row.place or manifest.place
            file, key = file_of(ref, place, (".safetensors", SUFFIX))
            said = [made_by, content(file), key, row.start, row.end, how.half, _VERSION]
            name = hashlib.sha256(json.dumps(said).encode()).hexdigest()
            out = report.folder / name[:2] / f"{name}.safetensors"
            found[row.id] = Job(row=row, feature=feature, place=place, out=out)
        except MienError as error:
            report.errors.append(Loss(row.id, ref, error.what, error.fix))
    if not found:
        raise DataError(
            f"no row has frames: features.{feature}",
            where=str(manifest.path),
            fix=f"mien data prepare {manifest.path}",
        )
    return found


def _run(
    todo: dict[str, Job],
    how: Extraction,
    report: FeatureReport,
    jobs: int | None,
    memory: int,
    *,
    quiet: bool,
) -> None:
    """Do what is not done, each row in a process that may fail."""
    alike = {job.out: job for job in todo.values()}
    waiting = [job for job in alike.values() if not job.out.exists()]
    report.before, began = len(alike) - len(waiting), time.monotonic()
    results = workers.over(
        partial(work, how),
        waiting,
        jobs=jobs,
        seconds=_allowed,
        memory=memory,
        start=partial(ready, how),
        name=lambda job: f"row {job.row.id!r}",
    )
    bar = Bar("looking", len(alike), done=report.before, unit="frames", quiet=quiet)
    with bar, workers.ended(results):
        for index, result in results:
            if isinstance(result, MienError):
                row = waiting[index].row
                report.errors.append(
                    Loss(row.id, str(row.features[waiting[index].feature]), result.what, result.fix)
                )
                bar.say(f"{row.id}: {result.what}")
            else:
                report.made += 1
                report.frames += result.seen
            bar.advance("", rate=report.frames / max(1e-9, time.monotonic() - began))


def _allowed(job: Job) -> float:
    """Seconds that a row may take: ten minutes, and two a frame."""
    return 600 + 2.0 * (prepared.length(job.row, job.feature, job.place) or 0)


def _write(
    manifest: Manifest, todo: dict[str, Job], how: Extraction, report: FeatureReport
) -> None:
    """Write the new manifest; what is made by a run inherits its licence."""
    rows = [_with_vectors(row, todo[row.id], manifest) for row in manifest.rows if row.id in todo]
    kept = [row for row in rows if row is not None]
    write_losses(report.manifest, report.errors)
    if not kept:
        raise DataError(
            "nothing came of any row",
            where=str(manifest.path),
            fix=f"{losses_file(report.manifest)} says why",
        )
    licences = [str(folder.read_card(how.run)["licence"]), *filter(None, [manifest.licence])]
    made = dataclasses.replace(manifest.only(kept), licence=folder.strictest(licences))
    made.write(report.manifest)
    report.rows = len(kept)


def _with_vectors(row: Row, job: Job, manifest: Manifest) -> Row | None:
    """A row with its vectors; None where there are none."""
    if not job.out.is_file():
        return None
    file = manifest.place.relative(job.out)
    rate = prepared.fps(row, job.feature, job.place) or row.fps
    return dataclasses.replace(row, features=row.features | {KEY: f"{file}::{KEY}"}, fps=rate)
