"""What there is to prepare: the recordings of a manifest, by content, and which are done."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from mien.data import shards
from mien.data.manifest import Manifest, Row
from mien.data.prepare import Job, Recipe
from mien.data.recordings import Recording, digest, merged, state
from mien.data.shards import Shard, Span
from mien.errors import DataError, MienError
from mien.run import limits
from mien.run.progress import Bar

Source = tuple[str | None, str | None, float | None]
"""Video, audio and frame rate, as rows name them."""

_HASHES = "sources.jsonl"


@dataclass(slots=True)
class Plan:
    """Jobs in the order of the rows.

    Args:
        jobs: one a recording, by content.
        waiting: those that are not done.
        failed: shard -> why there is none.
        unread: source -> why it could not even be looked at.
        mended: shards that were damaged, and have to be made again.
    """

    jobs: list[Job] = field(default_factory=list)
    waiting: list[Job] = field(default_factory=list)
    failed: dict[Path, MienError] = field(default_factory=dict)
    unread: dict[Source, MienError] = field(default_factory=dict)
    mended: int = 0
    by_source: dict[Source, Job] = field(default_factory=dict)

    def job(self, row: Row) -> Job:
        """What was done for a row.

        Raises:
            MienError: why it could not be done.
        """
        source = source_of(row)
        if source in self.unread:
            raise self.unread[source]
        job = self.by_source[source]
        if job.out in self.failed:
            raise self.failed[job.out]
        return job


def source_of(row: Row) -> Source:
    """What a row is cut from."""
    return row.video, row.audio, row.fps


def make(
    manifest: Manifest, recipe: Recipe, folder: Path, *, verify: bool = False, quiet: bool = False
) -> Plan:
    """Look at all files, and find out which shards there are to be.

    Args:
        manifest: whose rows are to be prepared.
        recipe: how.
        folder: where shards lie.
        verify: read all of what is there, not only its index.
        quiet: no progress.
    """
    wanted: dict[Source, list[Span]] = {}
    for row in manifest.rows:
        if row.video or row.audio:
            wanted.setdefault(source_of(row), []).append((row.start or 0.0, row.end))
    plan, settings = Plan(), recipe.to_dict()
    recordings = _recordings(manifest, list(wanted), folder, plan, quiet=quiet)
    alike: dict[tuple[object, ...], list[Source]] = {}
    for source, recording in recordings.items():
        content = (recording.video_hash, recording.audio_hash, recording.fps)
        alike.setdefault(content, []).append(source)
    for sources in alike.values():
        spans = merged([span for source in sources for span in wanted[source]], recipe.fps)
        recording = recordings[sources[0]]
        out = shards.file_of(folder, recording.address(spans, settings))
        job = Job(recording, tuple(spans), out)
        plan.jobs.append(job)
        plan.by_source |= dict.fromkeys(sources, job)
    _skip(plan, verify=verify, quiet=quiet)
    return plan


def _skip(plan: Plan, *, verify: bool, quiet: bool) -> None:
    """Leave out what is done. A damaged shard goes, and is made again."""
    with Bar("looking", len(plan.jobs), unit="shards", quiet=quiet) as bar:
        began = time.monotonic()
        for done, job in enumerate(plan.jobs, 1):
            if job.out.exists():
                try:
                    shard = Shard.open(job.out)
                    if verify:
                        shard.verify()
                except DataError as error:
                    bar.say(f"{job.recording.name} is prepared again: {error.what}")
                    job.out.unlink()
                    plan.mended += 1
            if not job.out.exists():
                plan.waiting.append(job)
            bar.advance("", rate=done / max(1e-9, time.monotonic() - began))


def _recordings(
    manifest: Manifest, sources: Sequence[Source], folder: Path, plan: Plan, *, quiet: bool
) -> dict[Source, Recording]:
    """Every source with the hashes of its files; threads read them, as hashing leaves Python."""
    hashes, found = _Hashes(folder), {}

    def look(source: Source) -> Recording | MienError:
        video, audio, fps = source
        try:
            return Recording.of(
                manifest.place.find(video) if video else None,
                manifest.place.find(audio) if audio else None,
                fps,
                known=hashes,
            )
        except MienError as error:
            return error

    began, pool = time.monotonic(), ThreadPoolExecutor(limits.cores())
    try:
        with Bar("hashing", len(sources), unit="files", quiet=quiet) as bar:
            for source, seen in zip(sources, pool.map(look, sources), strict=True):
                if isinstance(seen, MienError):
                    plan.unread[source] = seen
                else:
                    found[source] = seen
                bar.advance("", rate=(len(found) or 1) / max(1e-9, time.monotonic() - began))
    finally:
        pool.shutdown(cancel_futures=True)
    return found


class _Hashes:
    """Hashes of files, kept so that ten thousand of them need not be read again.

    A file counts as the same while its path, size, time and node are. The list only grows, a line
    at a time: a kill costs the last one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / _HASHES
        self._lock = Lock()
        self._known: dict[str, tuple[list[int], str]] = {}
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        for line in lines:
            try:
                name, facts, found = json.loads(line)
                self._known[str(name)] = list(facts), str(found)
            except (ValueError, TypeError, RecursionError):
                continue

    def __call__(self, path: Path) -> str:
        name, facts = os.path.relpath(path, self.folder), list(state(path))
        if (known := self._known.get(name)) is not None and known[0] == facts:
            return known[1]
        found = digest(path)
        line = json.dumps([name, facts, found])
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")  # on a line of its own, whatever a kill left before
            self._known[name] = facts, found
        return found
