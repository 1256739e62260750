"""`mien data import`: a copy of a corpus, or one's own files, to a manifest."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mien import importers
from mien.data import tables
from mien.data.manifest import Manifest, infer_tasks
from mien.data.places import Place
from mien.data.rows import Row
from mien.errors import ConfigError, DataError
from mien.importers import sides
from mien.importers.corpus import Corpus, Options, Wish
from mien.importers.counts import compare
from mien.importers.kept import beside
from mien.importers.texts import lines_of
from mien.run import record
from mien.run.imported import ImportReport
from mien.run.progress import Bar
from mien.tasks import NAMED


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
    corpus, source = importers.named(name), Path(source)
    goal = Path(out) if out is not None else _default(corpus, source)
    real, within = _real(goal), _folder(source)
    wanted, remembered = _options(corpus, real, options or Options())
    wanted = _lasting(wanted, within)
    root = _root(real.parent, within, within / (wanted.media or ""))
    with (
        Bar("looking", None, unit="files", quiet=quiet) as bar,
        beside(real, lambda: replace or _ours(corpus, real)) as kept,
    ):
        place, progress = Place.of(real, root), _counted(bar)
        found = corpus.read(Wish(source, place, wanted, corpus.task, progress, kept))
        rows = sides.apart(found.rows, found.report, keep=wanted.keep_leaks)
        root = root if any(_leads_out(row) for row in rows) else None
        licence = corpus.licence or wanted.licence
        manifest = _declared(Manifest(rows, real, root, found.tasks, licence))
        first = next(iter(manifest.tasks.values()), None)
        counts = compare(rows, first, corpus.expected, found.report)
        made = record.Record.of(corpus.name, within, real, found.options or wanted)
        status = record.write(manifest, made, replace=replace)
        kept.finish()
    return ImportReport(
        corpus=corpus,
        manifest=goal,
        source=source,
        root=root,
        status=status,
        licence=licence,
        rows=rows,
        counts=counts,
        notes=[*remembered, *found.notes, *sides.unknown(rows), *_wide(root)],
        warnings=found.report.warnings,
    )


def _ours(corpus: Corpus, manifest: Path) -> bool:
    """Whether an earlier import of the corpus wrote the manifest, and so the vectors beside it."""
    old = record.read(manifest)
    return old is not None and old.corpus == corpus.name


def _declared(manifest: Manifest) -> Manifest:
    """The same manifest with every task that its rows have labels of."""
    tasks = dict(manifest.tasks) | infer_tasks(manifest, NAMED)
    return dataclasses.replace(manifest, tasks=tasks)


def asked(*, labels: str | None = None, fold: Mapping[str, str], **given: Any) -> Options:
    """Options of the words of a command line.

    Args:
        labels: classes with commas between, or a file with one a line.
        fold: number -> its list of train and of test clips, with a comma between.
        given: the others, as :class:`Options` has them; None: not given.

    Raises:
        ConfigError: a word that does not fit.
    """
    values = {name: value for name, value in given.items() if value is not None}
    if labels is not None:
        path = Path(labels)
        found = lines_of(path) if path.is_file() else labels.split(",")
        values["labels"] = [name.strip() for name in found if name.strip()]
    values["fold"] = {number: pair.split(",") for number, pair in fold.items()}
    try:
        return Options.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise ConfigError(f"--{name}: {first['msg']}", where=str(first["input"])) from error


def _options(corpus: Corpus, manifest: Path, given: Options) -> tuple[Options, list[str]]:
    """What was asked now, over what was asked the last time, and what to say about it."""
    corpus.check(given)
    old = record.read(manifest)
    if old is None or old.corpus != corpus.name:
        return given, []
    now = given.model_dump(exclude_defaults=True)
    # A cut with somebody on both sides is asked for by name each time.
    last = old.options.model_dump(exclude_defaults=True)
    before = {k: v for k, v in last.items() if k not in now and k != "keep_leaks"}
    if not before:
        return given, []
    options = Options.model_validate({**before, **now})
    corpus.check(options)
    said = ", ".join(f"--{name.replace('_', '-')}" for name in before)
    return options, [f"as the last time: {said} (in {record.file(manifest).name})"]


def _counted(bar: Bar) -> Callable[[int], None]:
    """Tells a bar how many files have been looked at."""
    began, before = time.monotonic(), [0]

    def note(seen: int) -> None:
        rate = seen / max(1e-9, time.monotonic() - began)
        bar.advance("", rate=rate, steps=seen - before[0])
        before[0] = seen

    return note


def _default(corpus: Corpus, source: Path) -> Path:
    folder = _folder(source)
    if not os.access(folder, os.W_OK):
        raise DataError(
            "nothing can be written into this folder",
            where=str(source),
            fix=f"say where the manifest shall lie: --out {corpus.name}.jsonl",
        )
    name = corpus.name if source.is_dir() else source.stem
    return folder / f"{name}.jsonl" if source.is_file() else source / f"{name}.jsonl"


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


def _root(folder: Path, *others: Path) -> Path | None:
    """What holds all; None where the manifest's own folder does."""
    real = [other.resolve() for other in others]
    if all(other.is_relative_to(folder) for other in real):
        return None
    return Path(os.path.commonpath([folder, *real]))


def _leads_out(row: Row) -> bool:
    """Whether a row names something outside the manifest's own folder."""
    return any(name.startswith("..") for name in row.paths())


def _lasting(options: Options, source: Path) -> Options:
    """Lists and folders that were named from here, as they are named from the source."""

    def lasting(name: str) -> str:
        here = any(Path(name.replace("{}", number)).exists() for number in "01")
        real = Path(name).parent.resolve() / Path(name).name
        return Path(os.path.relpath(real, source)).as_posix() if here else name

    return options.model_copy(
        update={
            "split": {part: lasting(name) for part, name in options.split.items()},
            "fold": {number: tuple(map(lasting, pair)) for number, pair in options.fold.items()},
            "media": options.media and lasting(options.media),
        }
    )


def _wide(root: Path | None) -> Iterator[str]:
    """A word on a root that keeps nothing out."""
    if root is not None and root == Path(root.anchor):
        yield f"only {root} holds the copy and the manifest: put --out nearer to the copy"
