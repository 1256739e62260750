"""Pickles as MMSA has them: text, sound and picture of whole corpora, a sentiment for each clip.

A dictionary of ``train``, ``valid`` and ``test``, each a dictionary of arrays of N clips. Lengths
are those of the arrays; the class labels in the file are not used, because they follow from the
scores or are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data import pickled
from mien.data.findings import Report
from mien.data.rows import Row, Split
from mien.data.stored import Stored
from mien.errors import DataError
from mien.importers import cuts, orders
from mien.importers.corpus import Corpus, Found, Wish
from mien.importers.kept import Kept, Writer
from mien.importers.sayings import clean
from mien.types import TaskSpec

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_PARTS: Mapping[str, Split] = {
    "train": "train", "valid": "val", "val": "val", "dev": "val", "test": "test",
}  # fmt: skip
_FEATURES = {"text": "text", "audio": "audio", "visual": "vision"}
_SCORES = ("regression_labels", "labels")
_ALONE = {"text": "T", "audio": "A", "visual": "V"}
_KNOWN = {
    "CMU-MOSI": (1284, 229, 686),
    "CMU-MOSEI": (16326, 1871, 4659),
    "CMU-MOSEI in the cut of MulT and MISA": (16265, 1869, 4643),
}
_MARK = "$_$"


@dataclass(slots=True)
class _Part:
    """One part of the file.

    Args:
        split: which.
        held: what the file has of it.
        names: ids of its clips.
        scores: name of a task -> a value a clip.
        texts: what is said in each.
        lengths: feature -> how many positions of each clip are there.
    """

    split: Split
    held: Mapping[str, Any]
    names: list[str] = field(default_factory=list)
    scores: dict[str, Floats] = field(default_factory=dict)
    texts: list[str | None] = field(default_factory=list)
    lengths: dict[str, Integers] = field(default_factory=dict)


def read(wish: Wish) -> Found:
    """Rows of all clips, their arrays cut to their lengths and written beside the manifest."""
    assert wish.kept is not None
    report, notes = Report(), list[str]()
    with pickled.opened(wish.source) as value:
        parts = [_part(split, held, report) for split, held in _parts(value)]
        sides = cuts.settle({part.split: part.names for part in parts}, report, "clips")
        features = [name for name, key in _FEATURES.items() if key in parts[0].held]
        for name in features:
            _write(name, parts, sides, wish.kept, report)
    rows = [
        _row(part, index, features, wish.kept)
        for part in parts
        for index, name in enumerate(part.names)
        if sides[name] == part.split
    ]
    notes += _counted(parts)
    notes += _classes(parts)
    return Found(rows=rows, tasks=_tasks(parts), report=report, notes=notes)


def _parts(value: Any) -> Iterator[tuple[Split, Mapping[str, Any]]]:
    """The parts of a file; what else lies beside them, such as a configuration, is left aside."""
    held = value if isinstance(value, dict) else {}
    found = {_PARTS[name]: part for name, part in held.items() if name in _PARTS}
    if not found or not all(isinstance(part, dict) for part in found.values()):
        there = ", ".join(repr(str(name)[:40]) for name in list(held)[:8])
        raise DataError(
            f"this is no pickle of train, valid and test; it has {there or 'no names'}",
            fix="mien data import conversations reads pickles of dialogues",
        )
    yield from found.items()


def _part(split: Split, held: Mapping[str, Any], report: Report) -> _Part:
    key = next((key for key in _SCORES if key in held), None)
    if key is None:
        raise DataError(f"part {split!r} has no regression_labels")
    part = _Part(split, held)
    part.scores["sentiment"] = _values(held[key], key)
    count = len(part.scores["sentiment"])
    for name, letter in _ALONE.items():
        if (alone := held.get(f"regression_labels_{letter}")) is not None:
            part.scores[f"sentiment_{name}"] = _values(alone, f"regression_labels_{letter}")
    part.names = _names(held.get("id"), split, count)
    part.texts = [clean(text) for text in pickled.items(held.get("raw_text")) or [None] * count]
    for name, key in _FEATURES.items():
        if key in held:
            part.lengths[name] = _lengths(name, part, count, report)
    counted = {name: len(values) for name, values in part.scores.items()}
    for what, number in (*counted.items(), ("raw_text", len(part.texts))):
        if number != count:
            raise DataError(f"part {split!r} has {count} scores, and {number} of {what}")
    return part


def _values(value: Any, key: str) -> Floats:
    found = pickled.array(value)
    if found is None or not found.ndim or found.size != len(found):
        raise DataError(f"{key} is not one number a clip")
    return found.reshape(-1).astype(np.float64)


def _names(value: Any, split: Split, count: int) -> list[str]:
    """Ids as the file has them; numbers where it has none that tell clips apart."""
    given = pickled.items(value) or []
    names = [clean(item) if isinstance(item, str | bytes) else None for item in given]
    whole = [name for name in names if name is not None]
    if len(whole) != count or len(set(whole)) != count:
        return [f"{split}-{number}" for number in range(count)]
    return whole


def _lengths(name: str, part: _Part, count: int, report: Report) -> Integers:
    """How many positions each clip has of a feature: (N).

    Where the file says no lengths, sound and picture lie beside the tokens of the text, and
    have as many positions as the text has tokens.
    """
    array = part.held[_FEATURES[name]]
    if not isinstance(array, Stored) or array.dtype.kind not in "biuf" or len(array.shape) < 2:
        raise DataError(f"{_FEATURES[name]!r} of part {part.split!r} is no array of numbers")
    if array.shape[0] != count:
        raise DataError(
            f"part {part.split!r} has {count} scores, and {array.shape[0]} of {_FEATURES[name]!r}"
        )
    most = array.shape[1] if len(array.shape) > 2 else 1
    given = part.held.get(f"{_FEATURES[name]}_lengths")
    said = _tokens(part.held, count) if given is None else _values(given, f"{name} lengths")
    if len(array.shape) == 2 or said is None or len(said) != count:
        return np.full(count, most)
    if given is None and most != _tokens_most(part.held):
        return np.full(count, most)
    odd = ~((said >= 0) & (said <= most))  # also where it is no number
    if odd.any():
        report.warn(
            "length",
            f"lengths of {name} that its array does not have; the array's own is taken",
            *(part.names[index] for index in np.flatnonzero(odd)),
        )
    return np.where(odd, most, said).astype(np.int64)


def _tokens(held: Mapping[str, Any], count: int) -> Floats | None:
    """Tokens of each text, from the mask that goes with it: (N, 3, L), or (N, L, 3)."""
    found = pickled.array(held.get("text_bert"))
    if found is None or found.ndim != 3 or len(found) != count or 3 not in found.shape[1:]:
        return None
    mask = found[:, 1] if found.shape[1] == 3 else found[:, :, 1]
    return mask.sum(1, dtype=np.float64) if np.isin(mask, (0, 1)).all() else None


def _tokens_most(held: Mapping[str, Any]) -> int:
    shape = held["text_bert"].shape if isinstance(held["text_bert"], Stored) else (0, 0, 0)
    return int(shape[2] if shape[1] == 3 else shape[1])


def _write(
    name: str, parts: list[_Part], sides: Mapping[str, Split], kept: Kept, report: Report
) -> None:
    """One feature of all parts, a stretch of clips at a time."""
    shapes = dict[str, tuple[int, ...]]()
    for part in parts:
        array = part.held.get(_FEATURES[name])
        if not isinstance(array, Stored):
            raise DataError(f"part {part.split!r} has no {_FEATURES[name]!r}")
        for row, length in _there(name, part, sides):
            shapes[row] = (length, *array.shape[2:]) if len(array.shape) > 2 else array.shape[1:]
    with kept.open(name, shapes) as out:
        for part in parts:
            _copy(name, part, sides, out)
        out.note(report)


def _there(name: str, part: _Part, sides: Mapping[str, Split]) -> Iterator[tuple[str, int]]:
    for row, length in zip(part.names, part.lengths[name], strict=True):
        if sides[row] == part.split and length:
            yield row, int(length)


def _copy(name: str, part: _Part, sides: Mapping[str, Split], out: Writer) -> None:
    array, at = part.held[_FEATURES[name]], 0
    wanted = dict(_there(name, part, sides))
    for block in array.blocks(np.float32):
        for values in block:
            row = part.names[at]
            at += 1
            if row in wanted:
                out.write(row, values[: wanted[row]] if values.ndim > 1 else values)


def _row(part: _Part, index: int, features: list[str], kept: Kept) -> Row:
    name = part.names[index]
    source, mark, _ = name.partition(_MARK)
    scores = {task: float(values[index]) for task, values in part.scores.items()}
    return Row(
        id=name,
        text=part.texts[index],
        features={f: kept.ref(f, name) for f in features if part.lengths[f][index]},
        source=source if mark else None,
        split=part.split,
        labels={task: score for task, score in scores.items() if np.isfinite(score)},
    )


def _tasks(parts: list[_Part]) -> dict[str, TaskSpec]:
    """A score from -3 to 3, or from -1 to 1 where each modality has one of its own (CH-SIMS)."""
    names = list(dict.fromkeys(name for part in parts for name in part.scores))
    scores = np.concatenate([part.scores["sentiment"] for part in parts])
    within = bool((np.abs(scores[np.isfinite(scores)]) <= 1).all())
    most = 1.0 if len(names) > 1 and within else 3.0
    return {name: orders.score(name, most) for name in names}


def _counted(parts: list[_Part]) -> Iterator[str]:
    counts = tuple(len(part.names) for part in parts)
    known = next((name for name, whole in _KNOWN.items() if whole == counts), None)
    shown = ", ".join(f"{part.split} {len(part.names):,}" for part in parts)
    yield f"{shown}: " + (
        f"as many as {known} has" if known else "not the number of clips that a known corpus has"
    )


def _classes(parts: list[_Part]) -> Iterator[str]:
    """A word on the file's own classes, which are not taken."""
    wrong = total = 0
    for part in parts:
        given = pickled.array(part.held.get("classification_labels"))
        scores = part.scores["sentiment"]
        if given is not None and given.shape[:1] == scores.shape:
            total += len(scores)
            wrong += int((given.reshape(len(scores), -1)[:, 0] != np.sign(scores) + 1).sum())
    if total:
        yield (
            f"classification_labels are not taken: classes follow from the scores"
            f"{f', and {wrong:,} of {total:,} say otherwise' if wrong else ''}"
        )


CORPUS = Corpus(
    name="mmsa",
    title="Pickles of MMSA",
    about="CMU-MOSI, CMU-MOSEI and CH-SIMS as vectors, aligned or not; a sentiment as a number",
    read=read,
    takes=("licence", "keep_leaks"),
    layout="one pickle: a dictionary of train, valid and test, each with raw_text, id, text, "
    "text_bert, audio, vision, regression_labels, and where it is not aligned audio_lengths and "
    "vision_lengths. Nothing in it is executed",
    verified="no real copy: files made up for its tests, with keys and shapes as others report",
    folds="none of its own: the parts of the file, whose videos do not meet",
    apply="the README of MMSA says where its authors keep them",
    cite="Mao and others, ACL 2022 (demonstrations), https://arxiv.org/abs/2203.12441",
    command="aligned_50.pkl",
)
