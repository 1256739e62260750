"""`mien ask`: texts sorted into classes by a language model, each text once, and never paid twice.

::

    answers.jsonl         what was answered, a line a text; it only grows
    labels.json, card.json, metrics.json, predictions.parquet
                          the same as a run keeps them, so that it is told and compared like one
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from mien.config import Settings
from mien.data import subset
from mien.data.batch import group_of
from mien.data.journal import Journal, Kind
from mien.data.manifest import Manifest
from mien.data.rows import Row
from mien.errors import DataError, printable
from mien.language import asking
from mien.language.asking import Unanswered
from mien.language.patience import Spent
from mien.run import outside, score
from mien.run.desk import Call, Desk
from mien.run.infer import Answers, Floats, Predictions
from mien.run.progress import Bar
from mien.run.question import Question
from mien.run.talkers import Callers
from mien.types import Problem, TaskSpec

ANSWERS = "answers.jsonl"

Status = Literal["answered", "refused", "malformed", "failed"]
"""``failed``: nobody answered, and it is asked again."""


class Line(Settings):
    """What became of a text.

    Args:
        id: of the first row that has it.
        text: its hash.
        status: whether there is a label.
        label: the answer.
        model: who was asked.
        prompt: hash of what was asked.
        settings: of the request.
        why: why there is no label.
        attempts: how often it was asked.
        spent: tokens, failed attempts included.
    """

    id: str
    text: str
    status: Status
    label: str | None = None
    model: str
    prompt: str
    settings: dict[str, Any] = Field({})
    why: str | None = None
    attempts: int = 1
    spent: int = Field(0, ge=0)


KIND = Kind(Line, "answer", "mien ask --help")


@dataclass(slots=True, kw_only=True)
class Asked:
    """What came of it.

    Args:
        out: the folder.
        rows: that were wanted.
        texts: different ones among them.
        wordless: rows without a text, which are left out.
        counts: rows by what became of them, of all calls.
        asked: texts that were asked about now.
        spent: tokens, of all calls.
        stopped: why it ended early.
        metrics: scores, where rows have labels.
    """

    out: Path
    rows: int
    texts: int
    wordless: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    spent: int = 0
    stopped: str | None = None
    seconds: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Rows that the same command would ask about again."""
        return self.rows - sum(n for status, n in self.counts.items() if status != "failed")

    @property
    def text(self) -> str:
        """For a person."""
        counts = ", ".join(f"{n:,} {status}" for status, n in sorted(self.counts.items()))
        lines = [
            f"{self.out}: {counts or 'nothing'}, of {self.rows:,} rows with {self.texts:,} texts",
            f"  {self.asked:,} texts were asked about now, in {self.seconds:.0f} s; "
            f"{self.spent:,} tokens in all",
        ]
        if self.wordless:
            lines.append(f"  {self.wordless:,} rows have no text")
        if self.stopped:
            lines.append(f"stopped: {printable(self.stopped)}")
        if self.left:
            lines.append(f"{self.left:,} are left: the same command goes on with them")
        if self.metrics.get("tasks"):
            lines += ["", score.table(self.metrics)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "out": str(self.out), "rows": self.rows, "texts": self.texts,
            "wordless": self.wordless, "counts": self.counts, "asked": self.asked,
            "spent": self.spent, "left": self.left, "stopped": self.stopped,
            "seconds": round(self.seconds, 2), "metrics": self.metrics,
        }  # fmt: skip


def ask(
    manifest: Manifest,
    out: Path,
    question: Question,
    callers: Callers,
    *,
    task: str = "emotion",
    num_samples: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    again: bool = False,
    quiet: bool = False,
) -> Asked:
    """Have every text of a manifest sorted; what an earlier call was told is kept.

    Args:
        manifest: of its rows the text is told, and nothing else.
        out: a folder.
        question: and the labels that may answer it.
        callers: who is asked.
        task: whose labels in the manifest are right.
        num_samples: so many rows, of each speaker as many; None: all.
        seed: which.
        jobs: questions at once.
        again: ask again about what was refused or malformed.
        quiet: no progress.

    Raises:
        DataError: the folder holds answers to another question.
        LanguageError: nobody answers.
        Interrupted: by Ctrl-C; all that was paid for is kept.
    """
    rows = wanted(manifest, num_samples, seed)
    firsts: dict[str, Row] = {}
    for row in rows:
        firsts.setdefault(hash_of(row), row)
    tally = Asked(out=out, rows=len(rows), texts=len(firsts))
    tally.wordless = 0 if num_samples is not None else len(manifest.rows) - len(rows)
    spec = TaskSpec(name=task, problem=Problem.ONE_OF_N, labels=question.labels)
    for row in rows:
        _target(row, spec)  # what cannot be right is known before anything is paid for
    with Journal(out / ANSWERS, KIND) as journal:
        work = _Work(question, callers, journal, tally)
        work.same()
        known = latest(journal.before)
        waiting = {t: row for t, row in firsts.items() if _is_open(known.get(t), again=again)}
        bar = Bar("asking", len(firsts), done=len(firsts) - len(waiting), unit="texts", quiet=quiet)
        desk = Desk(journal.path, work.note, partial(work.advance, bar), bar.say)
        try:
            with bar:
                tally.stopped = desk.work(work.calls(waiting), jobs, callers.stop)
        finally:
            known = work.count(rows)
    tally.metrics = _kept(out, rows, known, spec, tally, work.blank)
    return tally


def _is_open(line: Line | None, *, again: bool) -> bool:
    """Whether a text is to be asked about."""
    return line is None or line.status == "failed" or (again and line.status != "answered")


def wanted(manifest: Manifest, num_samples: int | None, seed: int) -> list[Row]:
    """The rows that are asked about: those of the test part, where there is one, with a text."""
    test = [row for row in manifest.rows if row.split == "test"]
    rows = [row for row in test or manifest.rows if row.text]
    if not rows:
        raise DataError(
            "no row has a text to ask about", where=str(manifest.path), fix='"text": "..."'
        )
    return rows if num_samples is None else subset.by_speaker(rows, num_samples, seed)


def hash_of(row: Row) -> str:
    """Of what a row says."""
    return hashlib.sha256((row.text or "").encode()).hexdigest()[:24]


def latest(lines: Sequence[Line]) -> dict[str, Line]:
    """The last word on each text, by its hash."""
    return {line.text: line for line in lines}


@dataclass(slots=True)
class _Work:
    """The texts that are asked about, and what came of them."""

    question: Question
    callers: Callers
    journal: Journal[Line]
    tally: Asked
    began: float = field(default_factory=time.monotonic)

    @property
    def blank(self) -> Line:
        """A line of which only the question is known."""
        return Line(
            id="",
            text="",
            status="failed",
            model=self.callers.first.name,
            prompt=self.question.digest,
            settings=self.callers.settings,
        )

    def same(self) -> None:
        """Refuse to put answers to two questions into one file; what it holds was paid for."""
        self.callers.purse.spent = sum(line.spent for line in self.journal.before)
        mine = self.blank
        for line in self.journal.before:
            for name in ("model", "prompt", "settings"):
                was, now = getattr(line, name), getattr(mine, name)
                if was != now:
                    raise DataError(
                        f"these answers were made otherwise: {name} {printable(str(was))} "
                        f"and not {printable(str(now))}",
                        where=str(self.journal.path),
                        fix="give another --out, or what it was begun with",
                    )

    def calls(self, texts: Mapping[str, Row]) -> Generator[Call, None, None]:
        """A question for each text."""
        for text, row in texts.items():
            line = self.blank.model_copy(update={"id": row.id, "text": text})
            yield row.id, partial(self._answered, line, row.text or "")

    def _answered(self, line: Line, text: str) -> None:
        """Ask about a text, and keep what was answered as soon as it is paid for."""
        try:
            answer = asking.ask(
                self.callers.first,
                self.question.messages(text),
                self.question.form,
                complaint=self.question.wording.complaint.strip(),
            )
        except Unanswered as error:
            if not isinstance(error.trouble, Spent) or error.usage.total:
                told = {"why": error.what, "spent": error.usage.total}
                self.journal.add(line.model_copy(update=told))
            raise
        status: Status = "answered" if answer.form is not None else "malformed"
        made = {
            "status": "refused" if answer.refused is not None else status,
            "label": answer.form.label if answer.form is not None else None,
            "why": answer.refused or answer.wrong,
            "attempts": answer.attempts,
            "spent": answer.usage.total,
        }
        self.journal.add(line.model_copy(update=made))

    def note(self) -> None:
        """One was answered about."""
        self.tally.asked += 1

    def advance(self, bar: Bar) -> None:
        """One is done with."""
        bar.advance("", rate=self.tally.asked / max(1e-9, time.monotonic() - self.began))

    def count(self, rows: Sequence[Row]) -> dict[str, Line]:
        """What is in the file now, by text, of the rows that were wanted."""
        lines = self.journal.lines()
        known = latest(lines)
        found = [known.get(hash_of(row)) for row in rows]
        self.tally.counts = dict(Counter(str(line.status) for line in found if line is not None))
        self.tally.spent = sum(line.spent for line in lines)
        self.tally.seconds = time.monotonic() - self.began
        return known


# -- as a run keeps it -----------------------------------------------------------------------------


def _kept(
    out: Path,
    rows: Sequence[Row],
    known: Mapping[str, Line],
    spec: TaskSpec,
    tally: Asked,
    made_by: Line,
) -> dict[str, Any]:
    """Answers with the labels of their rows. A row that was asked about in vain counts as wrong."""
    found, vain = Predictions(groups={"speaker": []}), 0
    scores, targets = list[Floats](), list[Floats]()
    for row in rows:
        line, target = known.get(hash_of(row)), _target(row, spec)
        if line is None or line.status == "failed" or (line.label is None and target is None):
            continue
        if line.label is not None:
            place = spec.labels.index(line.label)
        else:  # wrong in any case, whatever the right one is
            place, vain = (int(target or 0) + 1) % spec.width, vain + 1
        found.ids.append(row.id)
        found.group.append(group_of(row))
        found.groups["speaker"].append([row.speaker])
        scores.append(np.eye(spec.width)[[place]])
        targets.append(np.array([np.nan if target is None else float(target)]))
    if not found.ids:
        return {}
    labelled = any(not np.isnan(target).any() for target in targets)
    found.tasks[spec.name] = Answers(scores, targets if labelled else [])
    notes = [f"{vain} rows that were asked about in vain count as wrong."] if vain else []
    if tally.left:
        notes.append(f"{tally.left} rows are not answered yet and are left out.")
    facts = {"model": made_by.model, "prompt": made_by.prompt, "counts": tally.counts}
    return outside.keep(out, found, {spec.name: spec}, system="ask", notes=notes, facts=facts)


def _target(row: Row, spec: TaskSpec) -> int | None:
    label = row.labels.get(spec.name)
    if label is None:
        return None
    if label not in spec.labels:
        raise DataError(
            f"its label {str(label)!r:.80} is none of those that may be answered",
            where=f"row {row.id!r}",
            fix=f"--labels with it, or --task with another than {spec.name}",
        )
    return spec.labels.index(str(label))
