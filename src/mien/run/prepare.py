"""`mien data prepare`: every file of a manifest decoded once, and a manifest of what was kept.

A shard lies where its content says, so what is finished is never done again: not after an
interruption, not for another manifest, not for a file under a second name.
"""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from pathlib import Path

import numpy as np

from mien import config as configs
from mien.config import DataConfig
from mien.data.manifest import Manifest, Row
from mien.data.people import Presence, choose
from mien.data.prepare import Job, Recipe, ready, work
from mien.data.shards import AUDIO, FRAME, SUFFIX, Shard, opened
from mien.errors import DataError, Interrupted, MienError
from mien.run import plan as plans
from mien.run import workers
from mien.run.alone import alone
from mien.run.plan import Plan
from mien.run.prepared import Loss, PrepareReport, losses_file, write_losses
from mien.run.progress import Bar

FEATURES = ("video", "audio")
"""Features that a prepared row has; a manifest to be prepared leaves these names free."""


def prepare(
    path: str | Path,
    *,
    recipe: Recipe | None = None,
    out: str | Path | None = None,
    jobs: int | None = None,
    seconds: float | None = None,
    memory: int = 2 * 2**30,
    root: str | Path | None = None,
    config: str | Path | None = None,
    verify: bool = False,
    quiet: bool = False,
) -> PrepareReport:
    """Prepare all that a manifest names, and write a manifest of what was kept.

    Rows keep what they have, and get ``features.video`` and ``features.audio``. Those of which
    nothing is left are left out, and listed in a file beside the new manifest.

    Args:
        path: a manifest.
        recipe: how.
        out: the new manifest; None: ``NAME.prepared.jsonl`` beside it. Shards lie in
            ``NAME.shards`` beside the new manifest.
        jobs: processes; None: as many as there are cores.
        seconds: that one file may take; None: by its size, ten times its length and more.
        memory: bytes that one file may take.
        root: the folder that paths may not leave.
        config: a YAML file whose ``data`` part says how to read the manifest.
        verify: also read all of the shards that are there already.
        quiet: no progress.

    Raises:
        DataError: the manifest cannot be prepared, or nothing is left of it.
        Interrupted: by Ctrl-C; what was finished is kept.
        RunError: another process prepares in the same folder.
    """
    began, recipe = time.monotonic(), recipe or Recipe()
    manifest = _read(Path(path), root, config)
    goal = Path(out) if out is not None else _beside(Path(path), ".prepared.jsonl")
    report = PrepareReport(manifest=goal, folder=_beside(goal, ".shards"))
    _check(manifest, goal, report.folder)
    try:
        with alone(report.folder, "prepares"):
            plan = plans.make(manifest, recipe, report.folder, verify=verify, quiet=quiet)
            report.sources = len(plan.jobs) + len(plan.unread)
            report.failed, report.mended = len(plan.unread), plan.mended
            _run(plan, recipe, report, jobs, seconds, memory, quiet=quiet)
            _write(manifest, plan, recipe, report)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped; {report.made} files were prepared, and are kept",
            where=str(report.folder),
            fix="the same command goes on from there",
        ) from None
    report.seconds = time.monotonic() - began
    return report


def _read(path: Path, root: str | Path | None, config: str | Path | None) -> Manifest:
    data = DataConfig() if config is None else configs.data_part(Path(config))
    within = root if root is not None else data.root
    return Manifest.read(path, columns=data.columns, root=within, rename=data.rename)


def _beside(path: Path, ending: str) -> Path:
    """``NAME`` and an ending, for ``NAME.jsonl`` and ``NAME.prepared.jsonl``."""
    return path.with_name(path.stem.removesuffix(".prepared") + ending)


def _check(manifest: Manifest, goal: Path, folder: Path) -> None:
    """What would be wrong at the end is said at the beginning."""
    taken = [row.id for row in manifest.rows if any(name in row.features for name in FEATURES)]
    if taken:
        raise DataError(
            f"{len(taken)} rows have features.video or features.audio, as {taken[0]!r}: "
            "these names are for what is prepared",
            where=str(manifest.path),
            fix="prepare the manifest that this one was made of, or give them other names",
        )
    if goal.absolute() == manifest.path.absolute():
        raise DataError("the new manifest would replace the one it is made of", where=str(goal))
    if goal.absolute().parent != manifest.place.folder and manifest.root is None:
        raise DataError(
            f"{str(goal)!r} lies in another folder than the manifest",
            fix="keep it beside the manifest, or state a root that holds both",
        )
    manifest.place.relative(folder)


# -- decoding --------------------------------------------------------------------------------------


def _run(
    plan: Plan,
    recipe: Recipe,
    report: PrepareReport,
    jobs: int | None,
    seconds: float | None,
    memory: int,
    *,
    quiet: bool,
) -> None:
    """Do what is not done, each file in a process that may fail."""
    began, done, media = time.monotonic(), len(plan.jobs) - len(plan.waiting), 0.0
    results = workers.over(
        partial(work, recipe),
        plan.waiting,
        jobs=jobs,
        seconds=seconds or _allowed,
        memory=memory,
        start=partial(ready, recipe),
        name=lambda job: job.recording.name,
    )
    bar = Bar("preparing", len(plan.jobs), done=done, unit="s of media", quiet=quiet)
    with bar, workers.ended(results):
        for index, result in results:
            job = plan.waiting[index]
            if isinstance(result, MienError):
                plan.failed[job.out] = result
                report.failed += 1
                bar.say(f"{job.recording.name}: {result.what}")
            else:
                report.made += 1
                report.notes += [f"{job.recording.name}: {note}" for note in result.notes]
                media += max(result.looked, result.heard)
            bar.advance("", rate=media / max(1e-9, time.monotonic() - began))
    if media:
        report.speed = media / max(1e-9, time.monotonic() - began)


def _allowed(job: Job) -> float:
    """Seconds that a file may take: ten minutes, and ten times its length."""
    recording, ends = job.recording, [end for _, end in job.spans]
    length = 0.0
    for path, facts in zip(recording.files, recording.state, strict=True):
        pace = (recording.fps or 1.0) if path.is_dir() else 10_000  # a poor film has more bytes
        length = max(length, facts[0] / pace)
    known = [end for end in ends if end is not None]
    return 600 + 10 * (min(length, max(known)) if len(known) == len(ends) else length)


# -- rows ------------------------------------------------------------------------------------------


def _write(manifest: Manifest, plan: Plan, recipe: Recipe, report: PrepareReport) -> None:
    """Write the new manifest, and what its rows lost."""
    rows: list[Row] = []
    for row in manifest.rows:
        found, why = _prepared(row, manifest, plan, recipe)
        if why is not None:
            kept = bool(found)
            files = " + ".join(name for name in (row.video, row.audio) if name)
            report.errors.append(Loss(row.id, files, why.what, why.fix, kept))
        rows += found
    _count(plan, report)
    write_losses(report.manifest, report.errors)
    if not rows:
        raise DataError(
            "nothing is left of any row",
            where=str(manifest.path),
            fix=f"{losses_file(report.manifest)} says why",
        )
    names = [row.id for row in rows]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two rows would be called {twice!r}", where=str(manifest.path))
    manifest.only(rows).write(report.manifest)
    report.rows = len(rows)


def _prepared(
    row: Row, manifest: Manifest, plan: Plan, recipe: Recipe
) -> tuple[list[Row], MienError | None]:
    """What becomes of a row, and what it lost."""
    if not (row.video or row.audio):
        return [row], None
    rest = [row] if row.text or row.features else []
    try:
        job = plan.job(row)
        shard = opened(job.out)
        file = manifest.place.relative(job.out)
    except MienError as error:
        return rest, error
    features = dict(row.features)
    if shard.hears(row.start or 0.0, row.end):
        features["audio"] = f"{file}::{AUDIO}"
        rest = [dataclasses.replace(row, features=features)]
    try:
        tracks = _tracks(row, shard, recipe)
    except DataError as error:
        return rest, error
    found = []
    for track in tracks:
        made = dataclasses.replace(row, features=features | {"video": f"{file}::{track}"})
        if recipe.faces == "all":
            made = dataclasses.replace(made, id=f"{row.id}@{track}", person=track)
        found.append(made)
    if found or "audio" in features:
        return found or rest, None
    return rest, DataError(_nothing(row, shard, recipe))


def _tracks(row: Row, shard: Shard, recipe: Recipe) -> list[str]:
    """Who is meant by a row, of those who are seen in it.

    Raises:
        DataError: someone is named who is not seen there.
    """
    if row.video is None:
        return []
    start, there = row.start or 0.0, []
    for name in shard.tracks:
        clip = shard.clip(name, start, row.end)
        if not clip.mask.any():
            continue
        boxes = clip.boxes[clip.mask].astype(np.float64)  # (n, 4)
        area = float((boxes[:, 2] * boxes[:, 3]).sum())
        left, top, width, height = boxes[0].tolist()
        there.append(
            Presence(
                id=name,
                seconds=len(boxes) / shard.fps,
                area=area,
                first=(left, top, width, height),
            )
        )
    if recipe.faces == "none":
        return [one.id for one in there]
    return choose(there, person=row.person, box=row.box, who=recipe.faces)


def _nothing(row: Row, shard: Shard, recipe: Recipe) -> str:
    """Why a row has neither picture nor sound."""
    if not shard.looked(row.start or 0.0, row.end):
        return "there is neither picture nor sound at its time"
    if FRAME in shard.tracks or recipe.faces == "none":
        return "nothing is shown at its time, and there is no sound"
    if recipe.faces == "named":
        return "it names nobody, and there is no sound"
    return "no face was found at its time, and there is no sound"


def _count(plan: Plan, report: PrepareReport) -> None:
    """What is in the shards, those included that were there before."""
    for job in plan.jobs:
        if job.out in plan.failed:
            continue
        shard = opened(job.out)
        people = [name for name in shard.tracks if name != FRAME]
        report.people += len(people)
        report.seen += shard.seconds_seen / 3600
        report.heard += shard.seconds_heard / 3600
        report.faceless += bool(shard.seconds_seen and not shard.tracks)
    ours = {job.out for job in plan.jobs}
    report.unused = sum(file not in ours for file in report.folder.glob(f"??/*{SUFFIX}"))
