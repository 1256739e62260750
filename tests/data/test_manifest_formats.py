"""One corpus in three formats: the same rows, kinds of values, tasks and targets.

The labels of a task share a column here, so that one column of a table has to hold classes, soft
labels, numbers, lists, tracks and gaps next to each other, and the tracks are real files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.batch import RowDataset
from mien.data.manifest import FeatureRef, Inline, Label, Manifest, Row, Track, infer_tasks
from mien.data.records import record_of
from mien.types import Problem, Resolution, TaskSpec, Unit

FORMATS = ("jsonl", "csv", "parquet")
LENGTH = 6
TASKS = {
    "emotion": TaskSpec(
        name="emotion", problem=Problem.ONE_OF_N, labels=("happy", "sad", "null", "1")
    ),
    "frames": TaskSpec(
        name="frames",
        problem=Problem.ONE_OF_N,
        labels=("x", "y"),
        resolution=Resolution.FRAME,
        invalid=(-1,),
    ),
    "affect": TaskSpec(
        name="affect",
        problem=Problem.REGRESSION,
        labels=("valence", "arousal"),
        resolution=Resolution.FRAME,
        ranges=((-1, 1), (-1, 1)),
        invalid=(-5,),
    ),
    "units": TaskSpec(name="units", problem=Problem.MANY_OF_N, labels=("AU1", "AU2", "[1]")),
}


def tracks(folder: Path) -> None:
    """Labels over time in each kind of file that a track may lie in."""
    values = np.linspace(-1, 1, LENGTH * 2).reshape(LENGTH, 2)
    np.save(folder / "affect.npy", values)
    np.save(folder / "frames.npy", np.arange(LENGTH) % 2)
    columns = {"time": np.arange(LENGTH), "valence": values[:, 0], "arousal": values[:, 1]}
    lines = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    (folder / "tracks.csv").write_text("\n".join([*lines[:-1], ",,", ""]), encoding="utf-8")
    pq.write_table(
        pa.table({k: pa.array(v) for k, v in columns.items()}), folder / "tracks.parquet"
    )
    (folder / "frames.csv").write_text("frames\n" + "0\n1\n-1\n" * (LENGTH // 3), encoding="utf-8")


shares = st.floats(0.125, 5)
soft = st.dictionaries(st.sampled_from(TASKS["emotion"].labels), shares, min_size=1)
affect = st.sampled_from(
    [
        Track("affect.npy"),
        Track("affect.npy", fps=25.0),
        Track("tracks.csv"),
        Track("tracks.csv", ("valence", "arousal"), 25),
        Track("tracks.parquet", ("arousal", "valence")),
    ]
)
frames = st.sampled_from([Track("frames.npy"), Track("frames.csv", "frames"), Track("frames.csv")])
units = st.lists(st.sampled_from(TASKS["units"].labels), unique=True)
labels: dict[str, st.SearchStrategy[Any]] = {
    "emotion": st.none() | st.sampled_from(TASKS["emotion"].labels) | soft,
    "affect": st.none() | affect,
    "frames": st.none() | frames,
    "units": st.none() | units,
}
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
spans = st.tuples(st.integers(0, 9) | st.floats(0, 9), st.integers(10, 99) | st.floats(10, 99))
boxes = st.tuples(*[st.integers(1, 99) | st.floats(1, 99)] * 4)


@st.composite
def corpora(draw: st.DrawFn) -> list[Row]:
    """Rows that have the same columns, with gaps."""
    rows = []
    for name in draw(st.lists(words, min_size=1, max_size=4, unique=True)):
        start, end = draw(st.none() | spans) or (None, None)
        held: dict[str, Label] = {task: draw(kind) for task, kind in labels.items()}
        inside = draw(st.lists(st.floats(-1, 1), min_size=2, max_size=2))
        rows.append(
            Row(
                id=name,
                text=draw(st.none() | words),
                features={"face": Inline(np.full((LENGTH, 2), 0.5)), "voice": Inline(inside)},
                fps=draw(st.sampled_from([None, 25, 25.0])),
                box=draw(st.none() | boxes),
                start=start,
                end=end,
                speaker=draw(st.none() | words),
                split=draw(st.none() | st.sampled_from(["train", "val", "test"])),
                fold=draw(st.none() | st.integers(0, 5)),
                turn=draw(st.none() | st.integers(-3, 3)),
                labels=held,
                groups={"age": draw(st.integers(1, 99) | st.floats(1, 99) | words)},
            )
        )
    return rows


def kinds(value: Any) -> Any:
    """The kinds of all values within a value: Python takes 1 for 1.0, files do not."""
    if isinstance(value, dict):
        return {key: kinds(held) for key, held in value.items()}
    if isinstance(value, list):
        return [kinds(held) for held in value]
    return type(value)


def targets(manifest: Manifest) -> list[dict[str, np.ndarray[Any, Any]]]:
    """What a training would be given for each row, tracks read from their files."""
    specs = infer_tasks(manifest, {})
    rows = [row for row in manifest.rows if row.start is None]  # tracks are as long as the features
    dataset = RowDataset(rows, manifest, {"face": "face"}, specs, Unit.WINDOW)
    return [dict(dataset[index].targets) for index in range(len(rows))]


def same(one: Sequence[dict[str, Any]], two: Sequence[dict[str, Any]]) -> bool:
    return len(one) == len(two) and all(
        a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)
        for a, b in zip(one, two, strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(corpora())
def test_a_corpus_is_the_same_in_all_three(made: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tracks(folder)
        memory = Manifest(made, folder / "memory.jsonl", tasks=TASKS, licence="CC-BY-4.0")
        found = []
        for ending in FORMATS:
            written = memory.write(folder / f"{ending}.{ending}")
            read = Manifest.read(written.path)
            assert list(read.rows) == made, ending
            assert [kinds(record_of(row)) for row in read.rows] == [
                kinds(record_of(row)) for row in made
            ], ending
            assert read.fingerprint() == memory.fingerprint(), ending
            assert (dict(read.tasks), read.licence) == (TASKS, "CC-BY-4.0"), ending
            # From any format to any other, and nothing is lost on the way.
            for other in FORMATS:
                again = read.write(folder / f"{ending}-{other}.{other}")
                assert list(Manifest.read(again.path).rows) == made, (ending, other)
            found.append(targets(read))
        assert same(found[0], found[1])
        assert same(found[0], found[2])


def test_targets_can_differ(tmp_path: Path) -> None:
    """The comparison above sees what it is there to see."""
    tracks(tmp_path)
    face: dict[str, FeatureRef] = {"face": Inline(np.ones((LENGTH, 2)))}
    rows = [
        Row(id="a", features=face, labels={"affect": Track("affect.npy"), "emotion": "sad"}),
        Row(id="a", features=face, labels={"affect": Track("tracks.csv"), "emotion": "sad"}),
        Row(id="a", features=face, labels={"affect": Track("affect.npy"), "emotion": {"sad": 1.0}}),
    ]
    one, two, three = [targets(Manifest([row], tmp_path / "m.jsonl", tasks=TASKS)) for row in rows]
    assert same(one, one)
    assert not same(one, two)
    assert not same(one, three)
    assert kinds({"a": [1]}) != kinds({"a": [1.0]})
