"""`mien describe`: clips put into words by a language model, a few at once, and never twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mien.data import subset
from mien.data.descriptions import Description, Journal, clip_hash, latest, read
from mien.data.glimpse import Source, View, look
from mien.data.manifest import Manifest
from mien.data.rows import Row
from mien.errors import DataError, MienError, printable
from mien.language.patience import Purse
from mien.run import describing, workers
from mien.run.described import Plan, Tally
from mien.run.describing import Panel
from mien.run.desk import Call, Desk
from mien.run.progress import Bar
from mien.run.prompts import Prompt
from mien.run.talkers import Asked


@dataclass(frozen=True, slots=True)
class _Item:
    """A row to be asked about, what it is about, and what is known of it."""

    row: Row
    source: Source
    before: Description | None


def describe(
    manifest: Manifest,
    out: str | Path,
    panel: Panel,
    *,
    purse: Purse | None = None,
    num_samples: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    decoders: int = 1,
    again: bool = False,
    stop: Callable[[], None] = lambda: None,
    quiet: bool = False,
) -> Tally:
    """Describe the clips of a manifest; what an earlier call was told is kept.

    Args:
        manifest: whose labels, texts and names are told to nobody.
        out: a file of descriptions, which grows.
        panel: who is asked, and how.
        purse: what may be spent, where there is a limit; earlier calls count.
        num_samples: so many rows, of each speaker as many; None: all.
        seed: which.
        jobs: questions at once.
        decoders: processes that read films; 0: this one.
        again: ask again about what was refused or malformed.
        stop: called when no more waiting is wanted.
        quiet: no progress.

    Raises:
        DataError: the file holds descriptions that were made otherwise.
        LanguageError: nobody answers.
        Interrupted: by Ctrl-C; all that was paid for is kept.
    """
    began = time.monotonic()
    rows, unseen = wanted(manifest, panel.view, num_samples, seed)
    with Journal(Path(out)) as journal:
        known = latest(journal.before)
        _same(journal, known, panel)
        if purse is not None:
            purse.spent = sum(line.spent for line in journal.before)
        tally = Tally(out=Path(out), rows=len(rows) + unseen, unseen=unseen, mended=journal.mended)
        waiting = list(_open(rows, manifest, known, again=again))
        bar = Bar("describing", len(rows), done=len(rows) - len(waiting), unit="clips", quiet=quiet)
        work = _Work(panel, journal, tally, bar)
        desk = Desk(journal.path, work.note, work.advance, bar.say)
        try:
            with bar:
                tally.stopped = desk.work(work.calls(waiting, decoders), jobs, stop)
        finally:
            work.count(rows)
            tally.seconds = time.monotonic() - began
    return tally


def wanted(
    manifest: Manifest, view: View, num_samples: int | None, seed: int
) -> tuple[list[Row], int]:
    """Rows to be described, and how many of those that were asked for show nothing."""
    shown = bool(view.pictures)
    rows = [
        row
        for row in manifest.rows
        if (shown and row.video) or (view.sound and (row.audio or row.video))
    ]
    if num_samples is not None:
        return subset.by_speaker(rows, num_samples, seed), 0
    return rows, len(manifest.rows) - len(rows)


def _open(
    rows: Sequence[Row], manifest: Manifest, known: Mapping[str, Description], *, again: bool
) -> Iterator[_Item]:
    """What is still to be asked about."""
    for row in rows:
        before = known.get(row.id)
        if before is not None and before.clip != clip_hash(row):
            before = None  # the row means something else now
        redo = again and before is not None and before.status in ("refused", "malformed")
        if before is None or redo or not before.done:
            yield _Item(row, _source(row, manifest), None if redo else before)


def _source(row: Row, manifest: Manifest) -> Source:
    place = row.place or manifest.place
    return Source(
        video=place.find(row.video) if row.video else None,
        audio=place.find(row.audio) if row.audio else None,
        start=row.start or 0.0,
        end=row.end,
        fps=row.fps,
    )


def _same(journal: Journal, known: Mapping[str, Description], panel: Panel) -> None:
    """Refuse to put descriptions of two kinds into one file."""
    mine = panel.made_by(panel.first)
    for line in known.values():
        theirs = line.by.model_copy(
            update={"times": [], "span": None, "usage": None, "attempts": 1}
        )
        if line.status == "failed" or theirs == mine:
            continue
        pairs: dict[str, tuple[Any, Any]]
        pairs = {"model": (line.by.model, mine.model), "prompt": (line.by.prompt, mine.prompt)}
        names = {*line.by.settings, *mine.settings}
        pairs |= {n: (line.by.settings.get(n), mine.settings.get(n)) for n in sorted(names)}
        said = [f"{n} {was} and not {now}" for n, (was, now) in pairs.items() if was != now]
        raise DataError(
            f"these descriptions were made otherwise: {printable(', '.join(said)) or line.by.kind}",
            where=str(journal.path),
            fix="give another --out, or the settings that it was begun with",
        )


@dataclass(slots=True)
class _Work:
    """The clips that are asked about, and what came of them."""

    panel: Panel
    journal: Journal
    tally: Tally
    bar: Bar
    began: float = field(default_factory=time.monotonic)

    def calls(self, items: Sequence[_Item], decoders: int) -> Generator[Call, None, None]:
        """A question for each item, once it has been looked at."""
        results = workers.over(
            partial(look, self.panel.view),
            [item.source for item in items],
            jobs=decoders,
            name=lambda source: (source.video or source.audio or Path()).name,
        )
        with workers.ended(results):
            for index, glimpse in results:
                item = items[index]
                if isinstance(glimpse, MienError) or not glimpse:
                    why = "nothing is shown or heard at its time"
                    why = glimpse.what if isinstance(glimpse, MienError) else why
                    self.tally.broken[item.row.id] = why
                    self.bar.say(printable(f"{item.row.id}: {why}"))
                    self.advance()
                    continue
                yield item.row.id, partial(
                    describing.describe,
                    self.panel, item.row, glimpse, item.before, self.journal.add,
                )  # fmt: skip

    def note(self) -> None:
        """One was answered about."""
        self.tally.asked += 1

    def advance(self) -> None:
        """One is done with."""
        rate = self.tally.asked / max(1e-9, time.monotonic() - self.began)
        self.bar.advance("", rate=rate)

    def count(self, rows: Sequence[Row]) -> None:
        """What is in the file now, of the rows that were wanted."""
        lines = self.journal.lines()
        self.tally.spent = sum(line.spent for line in lines)
        known, counts = latest(lines), dict[str, int]()
        for row in rows:
            line = known.get(row.id)
            if line is not None and line.clip == clip_hash(row):
                counts[line.status] = counts.get(line.status, 0) + 1
        self.tally.counts = counts


# -- nobody is asked -------------------------------------------------------------------------------


def rehearse(
    manifest: Manifest, out: str | Path, asked: Asked, *, num_samples: int | None, seed: int
) -> Plan:
    """What :func:`describe` would do. No server, no key and no model is needed."""
    prompt, view, path = Prompt.read(asked.prompt), asked.view, Path(out)
    rows, _ = wanted(manifest, view, num_samples, seed)
    known = latest(read(path)) if path.exists() else {}
    return Plan(
        prompt=prompt.text(pictures=view.pictures, sound=view.sound),
        digest=f"{prompt.name}-{prompt.digest}",
        rows=len(manifest.rows),
        chosen=len(rows),
        speakers=len({row.speaker for row in rows if row.speaker}),
        done=len(rows) - len(list(_open(rows, manifest, known, again=False))),
        pictures=view.pictures,
        sound=view.sound,
    )
