"""Answers kept on the disk: what the scores of a run were made of, a row a sample.

::

    id, group, fold     the sample, whose it is, and the fold it was tested in
    rows                the rows that a dialogue is made of, in order; only of dialogues
    groups.NAME         what it can be compared by: speaker, and the manifest's groups
    scores.TASK         (P, C) after the task's activation
    targets.TASK        (P, 1) class indices, or (P, C) values; not annotated: NaN

P positions: 1 for a clip, else frames or utterances. A dialogue's groups are lists, too: one value
an utterance. The file may come from anybody, so everything in it is checked before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mien.errors import RunError
from mien.run import checkpoint, folder
from mien.run.infer import Answers, Floats, Predictions, Value
from mien.types import Specs, TaskSpec

_GROUPS, _MEMBERS = "groups.", "rows"
# How much a file may unfold to: honest answers repeat themselves, too, but not like this.
_VALUES, _FOLD = 10**7, 100


def write(path: Path, found: Predictions, *, fold: int | None) -> None:
    """Keep answers with their targets, whole or not at all."""
    table: dict[str, Any] = {
        "id": found.ids,
        "group": found.group,
        "fold": pa.array([fold] * len(found.ids), pa.int64()),
    }
    if found.members:
        table[_MEMBERS] = found.members
    for name, values in found.groups.items():
        table[_GROUPS + name] = _column(values)
    for name, answers in found.tasks.items():
        table[f"scores.{name}"] = [scores.tolist() for scores in answers.scores]
        if answers.targets:
            table[f"targets.{name}"] = [np.atleast_2d(t.T).T.tolist() for t in answers.targets]
    packed = pa.BufferOutputStream()
    pq.write_table(pa.table(table), packed)
    checkpoint.write_bytes(path, packed.getvalue().to_pybytes())


def _column(values: Sequence[Sequence[Value]]) -> Any:
    """Numbers where all are numbers, else texts; plain where each sample has one."""
    flat = [value for row in values for value in row if value is not None]
    number = all(isinstance(value, (int, float)) for value in flat)
    kind: Any = pa.float64() if number else pa.string()
    told = [[_cell(value, number) for value in row] for row in values]
    if all(len(row) == 1 for row in told):
        return pa.array([row[0] for row in told], kind)
    return pa.array(told, pa.list_(kind))


def _cell(value: Value, number: bool) -> Value:
    if value is None:
        return None
    return float(value) if number else str(value)


def read(path: Path, specs: Specs) -> tuple[Predictions, list[int | None]]:
    """Read what :func:`write` wrote, with the fold of each sample."""
    try:
        columns = _columns(path)
        found = Predictions(ids=_texts(columns, "id"), group=_texts(columns, "group"))
        for name, values in columns.items():
            if name.startswith(_GROUPS):
                found.groups[name.removeprefix(_GROUPS)] = [_compared(v) for v in values]
        for name, spec in specs.items():
            found.tasks[name] = _answers(columns, spec)
        folds = [None if fold is None else int(fold) for fold in columns["fold"]]
    except KeyError as error:
        raise RunError(f"{path.name} has no column {error}", where=str(path.parent)) from error
    except (OSError, pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise RunError(f"cannot read {path.name}: {error}", where=str(path.parent)) from error
    return found, folds


def _columns(path: Path) -> dict[str, list[Any]]:
    with pq.ParquetFile(path) as file:
        chunks = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        values = sum(c.column(i).num_values for c in chunks for i in range(c.num_columns))
        size = sum(c.total_byte_size for c in chunks)
        if max(values, size // 8) > _VALUES + _FOLD * path.stat().st_size:
            raise ValueError(f"it unfolds to {values:,} values of {size:,} bytes")
        columns: dict[str, list[Any]] = file.read().to_pydict()
    return columns


def _texts(columns: dict[str, list[Any]], name: str) -> list[str]:
    if not all(isinstance(text, str) for text in columns[name]):
        raise ValueError(f"column {name!r} holds something that is no text")
    return columns[name]


def _compared(value: Any) -> list[Value]:
    """What a sample is compared by, as a list of values."""
    values = value if isinstance(value, list) else [value]
    return [_known(v) for v in values]


def _known(value: Any) -> Value:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))):
        raise ValueError(f"groups hold texts and numbers, not {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _answers(columns: dict[str, list[Any]], spec: TaskSpec) -> Answers:
    answers = Answers([_rows(s, spec.width) for s in columns[f"scores.{spec.name}"]])
    width = 1 if spec.categorical else spec.width
    unlabelled = [np.full((len(s), width), np.nan) for s in answers.scores]
    for target in columns.get(f"targets.{spec.name}", unlabelled):
        values = _rows(target, width)
        answers.targets.append(values[:, 0] if spec.categorical else values)
    for scores, targets in zip(answers.scores, answers.targets, strict=True):
        if len(scores) != len(targets):
            raise ValueError(f"{len(scores)} scores with {len(targets)} targets of {spec.name!r}")
    return answers


def _rows(values: Any, width: int) -> Floats:
    """Nested lists as (P, C), also where P is 0."""
    return np.asarray(values, dtype=np.float64).reshape(-1, width)


# -- of runs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """The kept answers of a run, or of a family of folds and seeds.

    Args:
        name: its folder's.
        specs: the tasks by name.
        seeds: the answers of all folds together, by seed.
        folds: the fold of each sample of a seed.
    """

    name: str
    specs: Specs
    seeds: Mapping[int, Predictions]
    folds: Mapping[int, Sequence[str]]


def kept(place: Path) -> Kept:
    """Everything that a run, or all runs of a family, answered to their test parts."""
    members = folder.members(place)
    by_seed: dict[int, list[Path]] = {}
    for member in members:
        by_seed.setdefault(folder.seed_of(member), []).append(member)
    specs = folder.read_labels(members[0])
    found = {seed: joined(own, specs) for seed, own in sorted(by_seed.items())}
    return Kept(
        name=place.resolve().name,
        specs=specs,
        seeds={seed: whole for seed, (whole, _) in found.items()},
        folds={seed: folds for seed, (_, folds) in found.items()},
    )


def joined(members: Sequence[Path], specs: Specs) -> tuple[Predictions, list[str]]:
    """The kept answers of several runs as one, and the run of each sample."""
    parts = [
        (member.name, read(member / folder.PREDICTIONS, specs)[0])
        for member in members
        if (member / folder.PREDICTIONS).is_file()  # else it had no test part
    ]
    whole = Predictions(tasks={name: Answers() for name in specs})
    names = dict.fromkeys(name for _, found in parts for name in found.groups)
    whole.groups = {name: [] for name in names}
    for _, found in parts:
        whole.ids += found.ids
        whole.group += found.group
        for name, answers in found.tasks.items():
            whole.tasks[name].scores += answers.scores
            whole.tasks[name].targets += answers.targets
        for name, values in whole.groups.items():
            values += found.groups.get(name) or [[None] for _ in found.ids]
    return whole, [name for name, found in parts for _ in found.ids]
