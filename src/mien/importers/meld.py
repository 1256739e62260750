"""MELD as its authors give it: tables of what is said in a television series, and clips of it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from mien.data.findings import Report
from mien.data.rows import Label, Row, Split
from mien.errors import DataError
from mien.importers import orders
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.counts import Expected
from mien.importers.parts import WORDS
from mien.importers.sayings import clean
from mien.importers.search import Search
from mien.importers.voxceleb2 import broken
from mien.importers.walk import walk

_TABLE = re.compile(r"(train|dev|test)_sent_emo\.csv")
_CLIP = re.compile(r"dia([0-9]{1,4})_utt([0-9]{1,3})\.mp4")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2}):([0-9]{2})[,.]([0-9]{1,3})")
_NEEDED = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
_BYTES = 1 << 26  # of a table

Key = tuple[Split, int, int]
"""Part, dialogue, utterance: dialogues are numbered anew in each part."""


def read(wish: Wish) -> Found:
    """Rows of all utterances of the tables; of clips, those that are there and whole."""
    report, notes = Report(), list[str]()
    tables = _tables(wish)
    base = Search.of(wish).base
    tree = walk(base, (".mp4",), wish.progress)
    tree.note(report)
    clips = _clips(tree.files, base, report)
    rows = [
        row
        for split, table in tables.items()
        for row in sorted(_rows(split, table, clips, wish, report), key=_place)
    ]
    named = {(row.split, *_numbers(row)) for row in rows}
    if clips:
        absent = [row.id for row in rows if (row.split, *_numbers(row)) not in clips]
        if absent:
            report.warn("missing", "clips that are not here; what is said in them is", *absent)
        if extra := sorted(str(path.name) for key, path in clips.items() if key not in named):
            report.warn("unexpected", "clips that no table names; left out", *extra)
    else:
        notes.append("no clips here, as in train_splits/dia0_utt0.mp4: rows are text alone")
    notes += _gaps(rows)
    notes.append("labels.polarity is the table's Sentiment, in three classes")
    absent_parts = sorted({"train", "val", "test"} - set(tables))
    if absent_parts:
        report.warn("absent part", "tables that are not here", *absent_parts)
    tasks = {
        "emotion": orders.task("emotion", orders.MELD.order),
        "polarity": orders.task("polarity", orders.POLARITY),
    }
    return Found(rows=rows, tasks=tasks, report=report, notes=notes)


def _tables(wish: Wish) -> dict[Split, Path]:
    found: dict[Split, Path] = {}
    for path in walk(wish.source, (".csv",)).files:
        match = _TABLE.fullmatch(path.name)
        if match is None:
            continue
        split = WORDS[match[1]]
        if split in found:
            raise DataError(f"there are two tables {path.name}", where=str(wish.source))
        found[split] = path
    if not found:
        raise DataError(
            "there is no train_sent_emo.csv here, nor dev_ or test_",
            where=str(wish.source),
            fix="the folder that holds MELD's tables; --media FOLDER where its clips lie elsewhere",
        )
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def _clips(files: list[Path], base: Path, report: Report) -> dict[Key, Path]:
    """Clips by part, dialogue and utterance; the folders that they lie in say which part."""
    found: dict[Key, Path] = {}
    for path in files:
        match = _CLIP.fullmatch(path.name)
        split = _part(path.relative_to(base).parts[:-1])
        if match is None or split is None:
            continue
        if why := broken(path):
            report.warn("broken", f"{why}; what is said in it is kept", f"{split}/{path.name}")
            continue
        key = (split, int(match[1]), int(match[2]))
        if key in found:
            report.warn("twice", "a clip of this name is there twice", f"{split}/{path.name}")
        found.setdefault(key, path)
    return found


def _part(folders: tuple[str, ...]) -> Split | None:
    """The part that the nearest folder names: ``output_repeated_splits_test`` is test."""
    for folder in reversed(folders):
        for word in re.split(r"[^a-z]+", folder.lower()):
            if word in WORDS:
                return WORDS[word]
    return None


def _rows(
    split: Split, table: Path, clips: Mapping[Key, Path], wish: Wish, report: Report
) -> Iterator[Row]:
    seen: set[tuple[int, int]] = set()
    for where, cells in _lines(table):
        dialogue, turn = (_number(cells[name], where) for name in ("Dialogue_ID", "Utterance_ID"))
        if (dialogue, turn) in seen:
            raise DataError(f"dialogue {dialogue} has two utterances {turn}", where=where)
        seen.add((dialogue, turn))
        path = clips.get((split, dialogue, turn))
        named = f"{'dev' if split == 'val' else split}_dia{dialogue}"
        begins, ends = (_seconds(cells.get(name)) for name in ("StartTime", "EndTime"))
        if begins is not None and ends is not None and ends <= begins:
            report.warn("times", "utterances that end before they begin", f"{named}_utt{turn}")
        groups: dict[str, str | int | float] = {
            **{name.lower(): cells[name] for name in ("Season", "Episode") if cells.get(name)},
            **({} if begins is None else {"begins": begins}),
            **({} if ends is None else {"ends": ends}),
        }
        yield Row(
            id=f"{named}_utt{turn}",
            video=None if path is None else wish.place.relative(path),
            text=clean(cells["Utterance"]),
            speaker=clean(cells["Speaker"]),
            dialogue=named,
            source=named,
            turn=turn,
            split=split,
            labels=_labels(cells, where),
            groups=groups,
        )


def _lines(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each line stands, and its cells by the names of their columns."""
    if table.stat().st_size > _BYTES:
        raise DataError("no table of MELD is so large", where=str(table))
    content = table.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # bytes of another code page: sayings.clean knows them
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        names = [name.strip() for name in next(lines, [])]
        if lacking := [name for name in _NEEDED if name not in names]:
            raise DataError(f"this table has no column {lacking[0]!r}", where=str(table))
        for cells in lines:
            if not any(cells):
                continue
            if len(cells) != len(names):
                raise DataError(
                    f"this line has {len(cells)} cells, the header {len(names)}",
                    where=f"{table}:{lines.line_num}",
                )
            yield f"{table}:{lines.line_num}", dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"this is not a table: {error}", where=str(table)) from error


def _number(cell: str, where: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", cell.strip()):
        raise DataError(f"{cell[:50]!r} is no number of a dialogue or utterance", where=where)
    return int(cell)


def _seconds(cell: str | None) -> float | None:
    """Seconds of a clock such as 00:16:16,059; None where there is none."""
    match = _CLOCK.fullmatch((cell or "").strip())
    if match is None:
        return None
    hours, minutes, seconds, rest = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(rest.ljust(3, "0")) / 1000


def _labels(cells: Mapping[str, str], where: str) -> dict[str, Label]:
    found = dict[str, Label]()
    for task, column, names in (
        ("emotion", "Emotion", orders.MELD.order),
        ("polarity", "Sentiment", orders.POLARITY),
    ):
        word = cells.get(column, "").strip().lower()
        if word and word not in names:
            raise DataError(f"the corpus has no {column.lower()} {word[:50]!r}", where=where)
        if word:
            found[task] = word
    return found


def _numbers(row: Row) -> tuple[int, int]:
    assert row.dialogue is not None
    assert row.turn is not None
    return int(row.dialogue.rpartition("dia")[2]), row.turn


def _place(row: Row) -> tuple[int, int]:
    return _numbers(row)


def _gaps(rows: list[Row]) -> Iterator[str]:
    """A word on dialogues whose utterances are not numbered one after the other."""
    turns: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        assert row.turn is not None
        turns.setdefault((str(row.split), str(row.dialogue)), []).append(row.turn)
    odd = Counter(split for (split, _), held in turns.items() if max(held) >= len(held))
    if odd:
        shown = ", ".join(f"{split} {count:,}" for split, count in odd.items())
        yield f"dialogues with gaps in Utterance_ID: {shown}; turns are in its order"


CORPUS = Corpus(
    name="meld",
    title="Multimodal EmotionLines Dataset",
    about="13,708 utterances of 1,432 dialogues of a television series; 7 emotions, 3 sentiments",
    read=read,
    takes=("media", "keep_leaks"),
    layout="train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv; clips, if any, as "
    "train_splits/dia0_utt0.mp4, dev_splits_complete and output_repeated_splits_test. A clip "
    "that is missing or cut off is named, and its text kept",
    verified="the three tables, whole; clips made up for its tests",
    task=orders.task("emotion", orders.MELD.order),
    expected=Expected(
        rows=13_708,
        source="its three tables",
        classes={
            "neutral": 6436, "surprise": 1636, "fear": 358, "sadness": 1002, "joy": 2308,
            "disgust": 361, "anger": 1607,
        },
    ),
    folds="none of its own: the parts of its tables, which share their speakers",
    licence="GPL-3.0 (its repository); the clips belong to their makers (as commonly known)",
    apply="free, its repository on GitHub",
    cite="Poria and others, ACL 2019, https://arxiv.org/abs/1810.02508",
    command="MELD --keep-leaks",
)  # fmt: skip
