"""`mien data import`: a copy of a corpus, or one's own files, to a manifest."""

from __future__ import annotations

import os
import time
from pathlib import Path

from mien import importers
from mien.data import tables
from mien.data.manifest import Manifest
from mien.data.places import Place
from mien.errors import DataError
from mien.importers.corpus import Corpus, Options, Wish
from mien.importers.counts import compare
from mien.run import record
from mien.run.imported import ImportReport
from mien.run.progress import Bar


def take_in(
    name: str,
    source: str | Path,
    *,
    out: str | Path | None = None,
    options: Options | None = None,
    replace: bool = False,
    quiet: bool = False,
) -> ImportReport:
    """Read somebody's copy of a corpus, compare it with what is known of it, and write a manifest.

    Args:
        name: a corpus, or a shape of one's own files, as :data:`mien.importers.NAMES` has them.
        source: the folder or file.
        out: the manifest; None: ``NAME.jsonl`` within the source.
        options: what to do differently.
        replace: write over files that an import did not write, or that were edited since.
        quiet: no progress.

    Raises:
        ConfigError: no such corpus, or an option that it does not take.
        DataError: nothing fits, labels or speakers are unknown, or a file stands in the way.
    """
    corpus, options = importers.named(name), options or Options()
    corpus.check(options)
    source = Path(source)
    goal = Path(out) if out is not None else _default(corpus, source)
    real, within = _real(goal), _folder(source)
    root = _root(real.parent, within)
    place = Place.of(real, root)
    with Bar("looking", None, unit="files", quiet=quiet) as bar:
        began, seen = time.monotonic(), 0

        def note(files: int) -> None:
            nonlocal seen
            bar.advance("", rate=files / max(1e-9, time.monotonic() - began), steps=files - seen)
            seen = files

        wish = Wish(source=source, place=place, options=options, progress=note)
        found = corpus.read(corpus, wish)
    counts = compare(found.rows, corpus.task, corpus.expected, found.report)
    manifest = Manifest(found.rows, real, root, dict(found.tasks), corpus.licence)
    made = record.Record.of(corpus.name, within, real, options)
    status = record.write(manifest, made, replace=replace)
    return ImportReport(
        corpus=corpus.name,
        manifest=goal,
        source=source,
        root=root,
        status=status,
        licence=corpus.licence,
        expected=corpus.expected.source if corpus.expected else None,
        folds=corpus.folds,
        counts=counts,
        people=_people(manifest),
        notes=found.notes,
        warnings=found.report.warnings,
        limit=found.report.limit,
    )


def _default(corpus: Corpus, source: Path) -> Path:
    folder = _folder(source)
    if not os.access(folder, os.W_OK):
        raise DataError(
            "nothing can be written into this folder",
            where=str(source),
            fix=f"say where the manifest shall lie: --out {corpus.name}.jsonl",
        )
    return source / f"{corpus.name}.jsonl"


def _folder(source: Path) -> Path:
    """The folder that a source is, or lies in, with links followed."""
    if not source.exists():
        raise DataError("there is no such file or folder", where=str(source))
    return (source if source.is_dir() else source.parent).resolve()


def _real(goal: Path) -> Path:
    """Where a manifest really lies: relative paths start there."""
    if goal.suffix.lower() not in tables.SUFFIXES:
        raise DataError(
            f"a manifest ends in {', '.join(tables.SUFFIXES)}, not {goal.suffix!r}",
            where=str(goal),
        )
    return goal.parent.resolve() / goal.name


def _root(folder: Path, source: Path) -> Path | None:
    """What holds both; None where the manifest's own folder does."""
    if source.is_relative_to(folder):
        return None
    return Path(os.path.commonpath([folder, source]))


def _people(manifest: Manifest) -> dict[str, list[str]]:
    """Who is in each fold and each part."""
    found: dict[str, set[str]] = {}
    for row in manifest.rows:
        for part in (row.split, None if row.fold is None else f"fold {row.fold}"):
            if part is not None and row.speaker is not None:
                found.setdefault(part, set()).add(row.speaker)
    return {part: sorted(names) for part, names in sorted(found.items())}
