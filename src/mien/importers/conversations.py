"""Pickles of conversations, as the code of DialogueRNN, MMGCN, COSMIC and SDT reads them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data import pickled
from mien.data.findings import Report
from mien.data.rows import FeatureRef, Row, Split
from mien.errors import DataError
from mien.importers import cuts, orders
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.kept import Kept
from mien.importers.layouts import FEATURES, Layout, fitting, utterances
from mien.importers.sayings import clean

_SESSION = re.compile(r"(?P<session>Ses0[1-5])[FM]_\w+")
_LISTS: tuple[Split, ...] = ("train", "val", "test")
_WIDE = 2**16  # numbers of a vector
_MOST = 10_000  # utterances of a dialogue

# MELD as COSMIC numbers its dialogues; 60 is not there. Files whose train holds val count alike.
_MELD = {"train": (0, 1038), "val": (1039, 1152), "test": (1153, 1432)}
_MELD_GONE = 60


@dataclass(slots=True)
class _File:
    """A pickle of conversations.

    Args:
        layout: of it.
        held: its fields by name.
        known: the corpus that it is probably of.
        keys: of the dialogues that a part names, in their order, and the part.
        called: key of a dialogue -> its name.
        numbers: key of a dialogue -> numbers of its utterances, where the file has such.
    """

    layout: Layout
    held: Mapping[str, Any]
    known: orders.Known | None = None
    keys: dict[Any, Split] = field(default_factory=dict)
    called: dict[Any, str] = field(default_factory=dict)
    numbers: dict[Any, list[int]] = field(default_factory=dict)


def read(wish: Wish) -> Found:
    """Rows of all utterances of the dialogues that a part names."""
    assert wish.kept is not None
    report, notes = Report(), list[str]()
    with pickled.opened(wish.source) as value:
        layout, held = fitting(value)
        file = _File(layout, held)
        notes.append(f"read as {layout.name}: {', '.join(layout.fields)}")
        _dialogues(file, report, notes)
        labels = _order(file, wish, notes)
        rows = _rows(file, labels, wish)
        notes += _written(file, rows, wish.kept, report)
    rows = [_featured(row, file, wish.kept) for row in rows]
    tasks = {"emotion": orders.task("emotion", labels)}
    if any("polarity" in row.labels for row in rows):
        tasks["polarity"] = orders.task("polarity", orders.POLARITY)
    if file.known is not None:
        tested = [str(row.labels.get("emotion")) for row in rows if row.split == "test"]
        said = orders.judge(file.known, tested, report)
        notes += [said] if said else []
    return Found(rows=rows, tasks=tasks, report=report, notes=notes)


# -- dialogues and parts ---------------------------------------------------------------------------


def _dialogues(file: _File, report: Report, notes: list[str]) -> None:
    """Which dialogues there are, and in which part each is."""
    lists = {split: pickled.items(file.held[split]) or [] for split in _LISTS if split in file.held}
    there = file.held["emotion"]
    for split, keys in lists.items():
        absent = [
            str(key)[:80] for key in keys if not isinstance(key, str | int) or key not in there
        ]
        if absent:
            report.warn("missing", f"dialogues that {split} names, and that are not here", *absent)
        lists[split] = [key for key in keys if isinstance(key, str | int) and key in there]
    names = {key: _name(key) for keys in lists.values() for key in keys}
    if len(set(names.values())) < len(names):
        raise DataError("two dialogues of this file are called alike")
    parts = {split: [names[key] for key in keys] for split, keys in lists.items()}
    sides = cuts.settle(parts, report, "dialogues")
    file.called = names
    file.keys = {key: sides[name] for key, name in names.items()}
    if not file.keys:
        raise DataError("no part of this file names a dialogue that is in it")
    if aside := [str(key)[:80] for key in there if key not in names]:
        report.warn("in no part", "dialogues that neither part names; left out", *aside)
    sessions = all(isinstance(key, str) and _SESSION.fullmatch(key) for key in file.keys)
    if sessions:
        file.known = orders.IEMOCAP
    elif file.layout.meld:
        file.known = orders.MELD
    notes += _held_out(file)
    _as_tables_call_them(file)


def _held_out(file: _File) -> Iterator[str]:
    """MELD's held-out part, where the file counts it as train; of others none is known."""
    if "val" in file.keys.values():
        return
    wanted = {
        number: split
        for split, (first, last) in _MELD.items()
        for number in range(first, last + 1)
        if number != _MELD_GONE
    }
    merged = {n: "test" if split == "test" else "train" for n, split in wanted.items()}
    if file.known is orders.MELD and dict(file.keys) == merged:
        first, last = _MELD["val"]
        file.keys |= dict.fromkeys(range(first, last + 1), "val")
        yield f"this file counts MELD's held-out part as train: dialogues {first} to {last} are val"
    else:
        yield (
            "this file has no held-out part, or counts it as train: a training holds dialogues of "
            "train out for that, never of test"
        )


def _as_tables_call_them(file: _File) -> None:
    """MELD's own names, part and number within it, where the utterances have their own numbers too.

    So vectors of such a file, rows of its tables and files of MERTools can be told to be the same.
    """
    numbered = {n for first, last in _MELD.values() for n in range(first, last + 1)} - {_MELD_GONE}
    if file.known is orders.MELD and "ids" in file.held and set(file.keys) == numbered:
        for part, (first, last) in _MELD.items():
            word = "dev" if part == "val" else part
            for number in numbered & {*range(first, last + 1)}:
                file.called[number] = f"{word}_dia{number - first}"


def _name(key: str | int) -> str:
    return (clean(key[:200]) or "dialogue") if isinstance(key, str) else f"dia{key}"


def _order(file: _File, wish: Wish, notes: list[str]) -> tuple[str, ...]:
    """The classes in the order of their numbers: as somebody said, else as such files have them."""
    if wish.options.labels:
        return wish.options.labels
    if file.known is None:
        raise DataError(
            "nothing in this file says which emotion a number means",
            fix="--labels A,B,C names them in the order of their numbers",
        )
    order = file.known.order
    notes.append(
        f"emotions as files of {file.known.corpus} count them: {', '.join(order)}; --labels says "
        "otherwise"
    )
    return order


# -- rows ------------------------------------------------------------------------------------------


def _rows(file: _File, labels: Sequence[str], wish: Wish) -> list[Row]:
    rows: list[Row] = []
    given = _ids(file)
    for number, (key, split) in enumerate(file.keys.items(), 1):
        if wish.progress is not None and number % 10 == 0:
            wish.progress(number)
        said = {
            name: utterances(file.held[name], key, name)
            for name in ("emotion", "sentiment", "sentence", "speakers")
            if name in file.held
        }
        lengths = {name: len(values) for name, values in said.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"dialogue {file.called[key]!r} has {_shown(lengths)}")
        if len(file.numbers.get(key, ())) != lengths["emotion"]:
            file.numbers.pop(key, None)
        for turn in range(lengths["emotion"]):
            one = {name: values[turn] for name, values in said.items()}
            try:
                rows.append(_row(file, key, turn, one, labels, split, given))
            except DataError as error:
                raise DataError(
                    error.what, where=f"dialogue {file.called[key]!r}, {turn}", fix=error.fix
                ) from error
    return rows


def _shown(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in lengths.items())


def _row(
    file: _File,
    key: Any,
    turn: int,
    said: Mapping[str, Any],
    labels: Sequence[str],
    split: Split,
    given: Mapping[tuple[Any, int], str],
) -> Row:
    dialogue = file.called[key]
    found = {"emotion": _class(said["emotion"], labels)}
    if "sentiment" in said:
        found["polarity"] = _class(said["sentiment"], orders.POLARITY)
    return Row(
        id=given.get((key, turn)) or f"{dialogue}_utt{_number(file, key, turn)}",
        text=clean(said["sentence"]),
        speaker=_speaker(said["speakers"], dialogue),
        dialogue=dialogue,
        turn=_number(file, key, turn),
        split=split,
        labels={task: label for task, label in found.items() if label is not None},
    )


def _number(file: _File, key: Any, turn: int) -> int:
    """The number of an utterance in its dialogue: its own, where it has one, else its place."""
    return file.numbers[key][turn] if key in file.numbers else turn


def _class(value: Any, names: Sequence[str]) -> str | None:
    """The class of a number; None for a negative one, which is no annotation."""
    if not isinstance(value, int | float) or not float(value).is_integer():
        raise DataError(f"a label is a {type(value).__name__}, no class number")
    if value < 0:
        return None
    if value >= len(names):
        raise DataError(
            f"there is no class {int(value)}: {len(names)} are named",
            fix="--labels A,B,C names the classes in the order of their numbers",
        )
    return names[int(value)]


def _speaker(value: Any, dialogue: str) -> str | None:
    """Who speaks: a name; M or F of a session; which of a row of zeros is one."""
    if isinstance(value, str | bytes):
        name = clean(value)
        session = _SESSION.fullmatch(dialogue)
        if name in ("M", "F"):
            return f"{session['session'] if session else f'{dialogue}-'}{name}"
        return name
    marks = pickled.array(value.tolist() if isinstance(value, np.ndarray) else value)
    if marks is None or marks.ndim > 1 or marks.size > _WIDE:
        raise DataError("a speaker is neither a name nor a row of zeros and a one")
    if marks.ndim == 0:
        return f"speaker-{marks}"
    ones = np.flatnonzero(marks)
    return f"speaker-{ones[0]}" if len(ones) == 1 else None


def _ids(file: _File) -> dict[tuple[Any, int], str]:
    """Ids of utterances as the file has them, where they are texts that tell them apart."""
    if "ids" not in file.held:
        return {}
    found: dict[tuple[Any, int], str] = {}
    for key in file.keys:
        names = pickled.items(file.held["ids"].get(key)) or []
        whole = all(type(name) is int and 0 <= name < _MOST for name in names)
        if whole and names == sorted(set(names)):
            file.numbers[key] = names
        found |= {(key, n): text for n, name in enumerate(names) if (text := clean(name))}
    return found if len(set(found.values())) == len(found) else {}


# -- features --------------------------------------------------------------------------------------


def _written(file: _File, rows: Sequence[Row], kept: Kept, report: Report) -> Iterator[str]:
    """Each feature into a file of its own, a dialogue at a time."""
    of: dict[str, list[str]] = {}
    for row in rows:
        of.setdefault(str(row.dialogue), []).append(row.id)
    widths = dict[str, int]()
    for name in (name for name in FEATURES if name in file.held):
        first = next((row for key in file.keys for row in _vectors(file, name, key)), ())
        widths[name] = len(first)
        shapes = {row.id: (widths[name],) for row in rows}
        with kept.open(name, shapes) as out:
            for key in file.keys:
                ids, vectors = of.get(file.called[key], []), _vectors(file, name, key)
                if len(vectors) != len(ids):
                    raise DataError(
                        f"dialogue {file.called[key]!r} has {len(ids)} of emotion, and "
                        f"{len(vectors)} of {name}"
                    )
                for one, vector in zip(ids, vectors, strict=True):
                    out.write(one, vector)
            out.note(report)
    yield "widths: " + ", ".join(f"{name} {width}" for name, width in widths.items())


def _vectors(file: _File, name: str, key: Any) -> list[NDArray[Any]]:
    found = []
    for item in utterances(file.held[name], key, name):
        vector = item if isinstance(item, np.ndarray) else pickled.array(item)
        if vector is None or vector.ndim != 1 or not 0 < vector.size <= _WIDE:
            raise DataError(f"{name} of dialogue {file.called[key]!r} is not a vector an utterance")
        found.append(vector)
    return found


def _featured(row: Row, file: _File, kept: Kept) -> Row:
    refs: dict[str, FeatureRef] = {
        name: kept.ref(name, row.id) for name in FEATURES if name in file.held
    }
    return dataclasses.replace(row, features=refs)


CORPUS = Corpus(
    name="conversations",
    title="Pickles of conversations",
    about="MELD, IEMOCAP and others as vectors of utterances, as code for conversations reads them",
    read=read,
    takes=("labels", "licence", "keep_leaks"),
    layout="one pickle: a tuple of dictionaries, dialogue -> a list with something for each "
    "utterance, in the order of conv-emotion's, DialogueRNN's, MMGCN's, COSMIC's or SDT's files. "
    "Which it is follows from the number of fields and from what is in each. Nothing in it is "
    "executed",
    verified="no real copy: files made up for its tests, with fields as these programs read them",
    folds="none of its own: the parts of the file; where it has no held-out part, a training takes "
    "dialogues of train",
    apply="the repositories of these programs say where their authors keep them",
    command="MELD_features_raw1.pkl --keep-leaks",
)
