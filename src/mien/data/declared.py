"""The tasks of a manifest: declared beside it, known by name, or seen in its labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mien.data import tracks
from mien.data.rows import Label, Row, Track
from mien.errors import ConfigError, DataError
from mien.types import Problem, Resolution, TaskSpec

if TYPE_CHECKING:
    from mien.data.manifest import Manifest

_ENDINGS = (".yaml", ".yml", ".json")


def infer_tasks(manifest: Manifest, named: Mapping[str, TaskSpec]) -> dict[str, TaskSpec]:
    """What each task that has labels in the manifest asks for.

    The first that applies:

    1. The task as declared in ``<stem>.tasks.yaml`` (or ``.json``) beside the manifest: a list of
       tasks as :meth:`TaskSpec.to_dict` gives them, or a mapping of names to them.
    2. A named task that its labels fit: it has the same name and exactly the same classes, or for
       a track the same number of columns (one for the classes of each frame), or for numbers a
       range that holds them all; of several that do the narrowest.
    3. What the labels look like: texts, and weights by class, are one of n; lists of texts many
       of n; both with the classes in alphabetical order; numbers are a regression with one
       dimension, called like the task. The answer is one a clip.

    Args:
        manifest: rows with labels.
        named: published tasks.

    Returns:
        Tasks by name: first the declared ones, then the others in the order of the rows.

    Raises:
        DataError: labels that fit none of these, such as an unknown track; the message shows what
            to declare.
    """
    found: dict[str, list[Row]] = {}
    for row in manifest.rows:
        for task in row.labels:
            found.setdefault(task, []).append(row)
    specs = {task: spec for task, spec in manifest.tasks.items() if task in found}
    for task, rows in found.items():
        if task not in specs:
            specs[task] = _inferred(task, rows, named, manifest)
    return specs


def _inferred(
    task: str, rows: list[Row], named: Mapping[str, TaskSpec], manifest: Manifest
) -> TaskSpec:
    same = [spec for spec in named.values() if spec.name == task]
    kinds: dict[str, Row] = {}
    for row in rows:
        kinds.setdefault(_kind(row.labels[task]), row)
    if set(kinds) == {"text", "weights"}:  # soft labels among hard ones
        kinds = {"text": kinds["text"]}
    if len(kinds) > 1:
        (one, a), (two, b) = list(kinds.items())[:2]
        raise DataError(
            f"task {task!r} has labels of two kinds: {one} in row {a.id!r}, {two} in row {b.id!r}",
            where=str(manifest.path),
        )
    kind, first = next(iter(kinds.items()))
    if kind == "number":
        fitting = [spec for spec in same if _holds(spec, [row.labels[task] for row in rows])]
        if fitting:
            return min(fitting, key=lambda spec: spec.ranges[0][1] - spec.ranges[0][0])
        return TaskSpec(name=task, problem=Problem.REGRESSION, labels=(task,))
    if kind in ("text", "weights", "texts"):
        problem = Problem.MANY_OF_N if kind == "texts" else Problem.ONE_OF_N
        labels = tuple(sorted({word for row in rows for word in _words(row.labels[task])}))
        for spec in same:
            if spec.problem is problem and set(labels) == set(spec.labels):
                return spec
        if labels:
            return TaskSpec(name=task, problem=problem, labels=labels)
    if kind == "track":
        return _of_track(task, first, same, manifest)
    raise _undeclared(task, kind, first, manifest, columns=None)


def _holds(spec: TaskSpec, labels: Iterable[Label | None]) -> bool:
    """Whether a task has one value a clip, in a range that holds all these."""
    if spec.problem is not Problem.REGRESSION or spec.resolution is Resolution.FRAME:
        return False
    if len(spec.ranges) != 1:
        return False
    ((low, high),) = spec.ranges
    return all(not isinstance(label, int | float) or low <= label <= high for label in labels)


def _kind(label: Label) -> str:
    if isinstance(label, Track):
        return "track"
    if isinstance(label, dict):
        return "weights"
    if isinstance(label, list):
        return "texts" if all(isinstance(item, str) for item in label) else "numbers"
    return "text" if isinstance(label, str) else "number"


def _words(label: Label) -> list[str]:
    if isinstance(label, dict | list):
        return list(label)
    return [label] if isinstance(label, str) else []


def _of_track(task: str, row: Row, same: list[TaskSpec], manifest: Manifest) -> TaskSpec:
    label = row.labels[task]
    assert isinstance(label, Track)
    columns = tracks.width(label, row.place or manifest.place, row=row.id)
    for spec in same:
        wanted = 1 if spec.categorical else spec.width
        if spec.resolution is Resolution.FRAME and columns == wanted:
            return spec
    raise _undeclared(task, "track", row, manifest, columns=columns)


def _undeclared(
    task: str, kind: str, row: Row, manifest: Manifest, *, columns: int | None
) -> DataError:
    """An error that shows what to write into the file beside the manifest."""
    what = f"{columns} columns a position" if columns else f"a list of {kind}"
    names = ", ".join(f"NAME{i + 1}" for i in range(min(columns or 2, 3)))
    example = {
        "name": task,
        "problem": "one_of_n" if columns == 1 else "many_of_n, or regression",
        "resolution": "frame",
        "labels": "[CLASS, CLASS, ...]" if columns == 1 else f"[{names}{', ...' * (columns != 2)}]",
        "invalid": "[-1]",
    }
    text = ", ".join(f"{key}: {value}" for key, value in example.items())
    return DataError(
        f"task {task!r} has {what}, and nothing says what they mean",
        where=f"{manifest.path}, row {row.id!r}",
        fix=f"declare it in {manifest.path.stem}.tasks.yaml beside the manifest:\n    - {{{text}}}",
    )


# -- the file beside a manifest --------------------------------------------------------------------


def files(manifest: Path) -> list[Path]:
    """Where the tasks of a manifest may be declared."""
    return [manifest.with_name(f"{manifest.stem}.tasks{ending}") for ending in _ENDINGS]


def read(manifest: Path) -> tuple[dict[str, TaskSpec], str | None]:
    """Tasks by name, and the licence of the data, from the file beside a manifest.

    It holds a list of tasks, a mapping of names to tasks, or ``licence`` and such ``tasks``.
    """
    there = [file for file in files(manifest) if file.is_file()]
    if not there:
        return {}, None
    if len(there) > 1:
        names = " and ".join(file.name for file in there)
        raise DataError(f"tasks are declared twice, in {names}", where=str(manifest.parent))
    try:
        text = there[0].read_text(encoding="utf-8")
        return _declared(json.loads(text) if there[0].suffix == ".json" else yaml.safe_load(text))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"cannot read the declared tasks: {error}", where=str(there[0])) from error
    except (DataError, ConfigError) as error:
        where = f"{there[0]}: {error.where}" if error.where else str(there[0])
        raise DataError(error.what, where=where, fix=error.fix) from error


def _declared(values: Any) -> tuple[dict[str, TaskSpec], str | None]:
    licence = None
    if isinstance(values, Mapping) and isinstance(values.get("licence"), str):
        licence = values["licence"]
        values = values.get("tasks", {})
    elif isinstance(values, Mapping) and isinstance(values.get("tasks"), list):
        values = values["tasks"]
    if isinstance(values, Mapping):
        values = [
            {"name": name, **task} if isinstance(task, Mapping) else task
            for name, task in values.items()
        ]
    if not isinstance(values, list) or not all(isinstance(task, Mapping) for task in values):
        raise DataError("declare a list of tasks, or a mapping of names to tasks")
    specs = [TaskSpec.from_dict(task) for task in values]
    names = [spec.name for spec in specs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"task {twice!r} is declared twice")
    return dict(zip(names, specs, strict=True)), licence


def write(manifest: Path, tasks: Mapping[str, TaskSpec], licence: str | None) -> None:
    """Write what :func:`read` reads; nothing where nothing is declared."""
    if not tasks and licence is None:
        return
    specs = [spec.to_dict() for spec in tasks.values()]
    values = specs if licence is None else {"licence": licence, "tasks": specs}
    for file in files(manifest):
        file.unlink(missing_ok=True)
    text = json.dumps(values, indent=1, ensure_ascii=False)
    manifest.with_name(f"{manifest.stem}.tasks.json").write_text(text + "\n", encoding="utf-8")
