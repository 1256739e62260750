"""`mien data cues`: what is seen and heard in clips, measured, kept, and put in words.

First every row is listened to, part by part, in constant memory; what was measured is kept as it
comes. When all is heard, each voice is known well enough to say what is usual for it, and prompts
are written.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from mien.cues import files
from mien.cues.faces import LAYOUTS
from mien.cues.schema import Cues
from mien.cues.template import Rules
from mien.cues.text import textualize
from mien.data.manifest import Label, Manifest, Row, Track
from mien.data.prepared import is_shard
from mien.errors import ConfigError, DataError, Interrupted, MienError, did_you_mean
from mien.run.alone import alone
from mien.run.cued import CueReport
from mien.run.gathering import Asked, Gathering, Parts
from mien.run.heard import Ears, Journal, listen
from mien.run.hearing import Recogniser, finder
from mien.run.prepared import Loss, losses_file, write_losses
from mien.run.progress import Bar

Form = Literal["jsonl", "parquet"]

_HEARD = "heard.jsonl"


def cue(
    path: str | Path,
    asked: Asked,
    *,
    out: str | Path | None = None,
    form: Form = "jsonl",
    root: str | Path | None = None,
    quiet: bool = False,
) -> CueReport:
    """Measure every row of a manifest, and write a manifest whose ``text`` says what there is.

    Args:
        path: a manifest.
        asked: what is measured, and how it is told.
        out: the new manifest; None: ``NAME.cues.jsonl`` beside it. What was measured lies in the
            folder ``NAME.cues`` beside the new manifest: ``heard.jsonl``, which is gone on with,
            and ``cues.jsonl`` or ``cues.parquet``.
        form: of the file of cues.
        root: the folder that paths may not leave.
        quiet: no progress.

    Raises:
        DataError: nothing came of any row, or the new manifest would replace the old one.
        Interrupted: by Ctrl-C; what was heard is kept.
        RunError: another process works in the same folder.
    """
    began, manifest = time.monotonic(), Manifest.read(path, root=root)
    goal = Path(out) if out is not None else Path(path).with_name(f"{Path(path).stem}.cues.jsonl")
    if goal.absolute() == manifest.path.absolute():
        raise DataError("the new manifest would replace the one it is made of", where=str(goal))
    folder = goal.with_name(goal.name.removesuffix(goal.suffix))
    report = CueReport(manifest=goal, cues=folder / f"cues.{form}")
    heard: dict[str, Parts] = {}
    try:
        with alone(folder):
            if asked.ears is not None:
                heard = _listen(manifest, asked.ears, folder, report, quiet=quiet)
            _write(manifest, asked, heard, report)
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped; {report.listened} rows were listened to, and that is kept",
            where=str(folder),
            fix="the same command goes on from there",
        ) from None
    report.seconds = time.monotonic() - began
    return report


# -- as it is typed --------------------------------------------------------------------------------


def ears(voice: str, asr: str | None = None) -> Ears:
    """Who listens, by names."""
    recogniser = None if asr is None else Recogniser(asr)
    if recogniser is None:
        return Ears(voice, finder(voice))
    return Ears(f"{voice}, {recogniser.name}", finder(voice), recogniser.written)


def layout_of(words: str | None) -> tuple[str, str] | None:
    """``FEATURE=LAYOUT`` as a pair."""
    if words is None:
        return None
    feature, _, layout = words.partition("=")
    if not feature or layout not in LAYOUTS:
        raise ConfigError(
            f"{words!r} is no feature with a layout: {did_you_mean(layout, LAYOUTS)}",
            fix="--face-values au=openface",
        )
    return feature, layout


def rules_of(words: Mapping[str, str]) -> dict[str, Any]:
    """Rules as values: numbers and lists as YAML has them, all else as it stands."""
    found: dict[str, Any] = {}
    for name, word in words.items():
        if name not in Rules.model_fields:
            raise ConfigError(
                f"there is no rule {name!r}: {did_you_mean(name, Rules.model_fields)}"
            )
        try:
            found[name] = yaml.safe_load(word)
        except yaml.YAMLError:
            found[name] = word
    return found


# -- listening -------------------------------------------------------------------------------------


def _listen(
    manifest: Manifest, ears: Ears, folder: Path, report: CueReport, *, quiet: bool
) -> dict[str, Parts]:
    """Parts by number of each row that has a recording."""
    journal = Journal(folder / _HEARD, ears.name)
    rows = [row for row in manifest.rows if _recorded(row)]
    todo = [row for row in rows if not journal.whole(row)]
    report.before, began = len(rows) - len(todo), time.monotonic()
    with Bar("listening", len(rows), done=report.before, unit="s", quiet=quiet) as bar:
        for row in todo:
            try:
                for part in listen(row, manifest.place, ears, journal.of(row)):
                    journal.add(part)
                    report.heard += part.end - part.start if part.sound else 0.0
                    bar.advance("", rate=report.heard / _since(began), steps=0)
                report.listened += 1
            except MienError as error:
                source = row.audio or row.video or "features.audio"
                report.errors.append(Loss(row.id, source, error.what, error.fix))
                bar.say(f"{row.id}: {error.what}")
            bar.advance("", rate=report.heard / _since(began))
    return {row.id: journal.of(row) for row in rows if journal.whole(row)}


def _recorded(row: Row) -> bool:
    prepared_sound = row.features.get("audio")
    return bool(row.audio or row.video) or (prepared_sound is not None and is_shard(prepared_sound))


def _since(began: float) -> float:
    return max(1e-9, time.monotonic() - began)


# -- writing ---------------------------------------------------------------------------------------


def _write(manifest: Manifest, asked: Asked, heard: Mapping[str, Parts], report: CueReport) -> None:
    """The file of cues, the new manifest, and the list of rows of which nothing came."""
    made: list[Row] = []
    told = _told(manifest, Gathering(manifest, asked, heard), asked, report, made)
    files.write(report.cues, told)
    write_losses(report.manifest, report.errors)
    if not made:
        raise DataError(
            "nothing came of any row",
            where=str(manifest.path),
            fix=f"{losses_file(report.manifest)} says why",
        )
    dropped = any(isinstance(v, Track) for row in manifest.rows for v in row.labels.values())
    if asked.window is not None and dropped:
        report.notes.append("labels over time are left out: a window has one text")
    manifest.only(made).write(report.manifest)
    report.rows, report.texts = len(made), len({row.text for row in made if row.text})
    report.silent = sum(row.text is None for row in made)


def _told(
    manifest: Manifest, gathering: Gathering, asked: Asked, report: CueReport, made: list[Row]
) -> Iterator[Cues]:
    """Cues of each row or window, whose rows with their prompts are added to those made."""
    rules, failed = asked.template.rules, {loss.row for loss in report.errors}
    for row in manifest.rows:
        if row.id in failed:
            continue
        try:
            for cues in gathering.of(row):
                text = textualize(cues, asked.template)
                report.absences.update(a.value for a in cues.absences(rules.unit_threshold))
                made.append(_row(row, cues, text, asked))
                yield cues
        except MienError as error:
            where = error.where or row.audio or row.video or ""
            report.errors.append(Loss(row.id, where, error.what, error.fix))


def _row(row: Row, cues: Cues, text: str, asked: Asked) -> Row:
    if asked.window is None:
        return dataclasses.replace(row, text=text or None)
    labels: dict[str, Label] = {
        name: value for name, value in row.labels.items() if not isinstance(value, Track)
    }
    return dataclasses.replace(
        row, id=cues.id, start=cues.start, end=cues.end if cues.end > cues.start else None,
        text=text or None, labels=labels,
    )  # fmt: skip
