"""Labels as numbers, and tracks at the positions of the inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mien.data import targets, tracks
from mien.data.places import Place
from mien.data.rows import Track
from mien.errors import DataError
from mien.types import Problem, Resolution, TaskSpec

NAN = float("nan")
ONE = TaskSpec(name="e", problem=Problem.ONE_OF_N, labels=("sad", "glad", "calm"), invalid=(-1,))
CODED = TaskSpec(name="e", problem=Problem.ORDINAL, labels=("1", "2", "3"))
MANY = TaskSpec(name="au", problem=Problem.MANY_OF_N, labels=("AU1", "AU2"), invalid=(-1,))
AFFECT = TaskSpec(
    name="va", problem=Problem.REGRESSION, labels=("valence", "arousal"), invalid=(-5,)
)
SCORE = TaskSpec(name="s", problem=Problem.REGRESSION, labels=("s",))


@pytest.mark.parametrize(
    ("spec", "label", "expected"),
    [
        (ONE, "glad", 1),
        (ONE, 2, 2),
        (ONE, 2.0, 2),
        (ONE, -1, -1),
        (ONE, None, -1),
        (ONE, {"sad": 1, "calm": 3}, [0.25, 0, 0.75]),
        (CODED, 3, 2),
        (CODED, "3", 2),
        (CODED, {"1": 1}, [1, 0, 0]),
        (MANY, ["AU2"], [0, 1]),
        (MANY, [], [0, 0]),
        (MANY, "AU1", [1, 0]),
        (MANY, [1, -1], [1, NAN]),
        (MANY, [None, 1], [NAN, 1]),
        (MANY, {"AU2": 0.5}, [0, 0.5]),
        (MANY, {"AU2": None}, [0, NAN]),
        (MANY, None, [NAN, NAN]),
        (AFFECT, [0.5, -5], [0.5, NAN]),
        (AFFECT, {"arousal": 0.25}, [NAN, 0.25]),
        (SCORE, 3, [3]),
    ],
)
def test_a_label_becomes_a_target(spec: TaskSpec, label: Any, expected: Any) -> None:
    found = targets.of_clip(label, spec)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == (np.float32 if np.ndim(expected) else np.int64)


@pytest.mark.parametrize(
    ("spec", "label", "words"),
    [
        (ONE, "gladd", "did you mean 'glad'"),
        (ONE, 3, "classes 0 to 2, not 3"),
        (ONE, 0.5, "classes 0 to 2"),
        (ONE, ["sad"], "asks for one class"),
        (ONE, {"sad": 0}, "needs a class with a weight"),
        (ONE, {"sad": -1}, "weights are at least 0"),
        (ONE, {"sad": None}, "weights are at least 0"),
        (ONE, {"bad": 1}, "did you mean 'sad'"),
        (ONE, Track("x.npy"), "its label is a track"),
        (CODED, 0, "has no label '0'"),
        (MANY, ["AU3"], "did you mean 'AU2' or 'AU1'"),
        (MANY, [1, 0, 1], "2 values, the label 3"),
        (AFFECT, 0.5, "2 values, the label 1"),
        (AFFECT, ["a", "b"], "asks for numbers"),
        (AFFECT, {"dominance": 1}, "has no label 'dominance'"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(spec: TaskSpec, label: Any, words: str) -> None:
    with pytest.raises(DataError) as error:
        targets.of_clip(label, spec)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("spec", "values", "expected"),
    [
        (ONE, np.array([0, 2, -1, NAN]), [0, 2, -1, -1]),
        (ONE, np.array([[1], [0]]), [1, 0]),
        (ONE, ["glad", None, 0], [1, -1, 0]),
        (ONE, ["glad", {"sad": 1, "calm": 1}], [[0, 1, 0], [0.5, 0, 0.5]]),
        (ONE, np.array([[1, 1, 0], [0, 0, 0]]), [[0.5, 0.5, 0], [NAN, NAN, NAN]]),
        (CODED, np.array([3, 1]), [2, 0]),
        (MANY, np.array([[1, -1], [0, 1]]), [[1, NAN], [0, 1]]),
        (MANY, [["AU1"], []], [[1, 0], [0, 0]]),
        (SCORE, np.array([0.5, NAN]), [[0.5], [NAN]]),
        (SCORE, [0.5, None], [[0.5], [NAN]]),
        (AFFECT, [], np.zeros((0, 2))),
    ],
)
def test_many_labels_become_targets(spec: TaskSpec, values: Any, expected: Any) -> None:
    found = targets.of_frames(values, spec).astype(np.float64)
    np.testing.assert_allclose(found, expected)


def test_many_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="2 labels, the track 3 columns"):
        targets.of_frames(np.zeros((4, 3)), MANY)
    with pytest.raises(DataError, match="classes 0 to 2, not 7"):
        targets.of_frames(np.array([0.0, 7.0]), ONE)
    with pytest.raises(DataError, match="not finite"):
        targets.of_frames(np.array([np.inf]), SCORE)
    with pytest.raises(DataError, match="at least 0"):
        targets.of_frames(np.array([[-2.0, 1, 0]]), ONE)


# -- tracks ------------------------------------------------------------------------------------

FRAMES = {
    "e": TaskSpec(
        name="e", problem=Problem.ONE_OF_N, labels=("sad", "glad"), resolution=Resolution.FRAME
    ),
    "va": TaskSpec(
        name="va",
        problem=Problem.REGRESSION,
        labels=("valence", "arousal"),
        resolution=Resolution.FRAME,
    ),
}


def place(folder: Path) -> Place:
    return Place.of(folder / "rows.jsonl")


def track(folder: Path, label: Track, task: str) -> Any:
    return tracks.load(label, place(folder), FRAMES[task], row="r7")


def test_a_track_is_read_from_every_kind_of_file(tmp_path: Path) -> None:
    values = np.array([[0.1, 0.2], [NAN, 0.4], [0.5, 0.6]])
    np.save(tmp_path / "t.npy", values)
    save_file({"t": values}, tmp_path / "t.safetensors")
    (tmp_path / "t.csv").write_text(
        "frame, arousal, valence,e\n1,0.2,0.1,sad\n2,0.4,,\n3,0.6,0.5,glad\n"
    )
    table = {"v": values[:, 0], "a": values[:, 1], "e": [0, 1, 1]}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    for label in (
        Track("t.npy"),
        Track("t.safetensors::t"),
        Track("t.csv"),
        Track("t.parquet", ("v", "a")),
    ):
        np.testing.assert_array_equal(track(tmp_path, label, "va"), values)
        assert tracks.width(label, place(tmp_path)) == (4 if label.path == "t.csv" else 2)
    assert track(tmp_path, Track("t.csv"), "e") == ["sad", None, "glad"]
    np.testing.assert_array_equal(track(tmp_path, Track("t.parquet"), "e"), [0, 1, 1])
    np.testing.assert_array_equal(track(tmp_path, Track("t.parquet", "v"), "e"), values[:, 0])


@pytest.mark.parametrize(
    ("label", "task", "words"),
    [
        (Track("t.csv", "valance"), "va", "did you mean 'valence'"),
        (Track("t.csv", "valence"), "va", "needs 2 columns, not 1: valence"),
        (Track("words.csv"), "va", "a track holds numbers"),
        (Track("t.csv"), "e", "needs 1 or 2 columns, not 3"),
        (Track("t.npy", "x"), "va", "only columns of a .csv or .parquet"),
        (Track("deep.npy"), "va", "shape (L) or (L, C), not (1, 2, 3)"),
        (Track("none.csv"), "va", "there is no such file"),
        (Track("../t.csv"), "va", "leaves the folder"),
        (Track("torn.parquet"), "va", "not a table"),
        (Track("ragged.csv"), "va", "not a table"),
        (Track("empty.csv"), "va", "not a table"),
        (Track("t.mat"), "va", "nothing else is opened"),
    ],
)
def test_a_bad_track_is_refused(label: Track, task: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("valence,arousal,third\n0,0,0\n")
    (tmp_path / "words.csv").write_text("valence,arousal\nhigh,low\n")
    (tmp_path / "ragged.csv").write_text("valence,arousal\n0\n1,2\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    np.save(tmp_path / "t.npy", np.zeros((3, 2)))
    np.save(tmp_path / "deep.npy", np.zeros((1, 2, 3)))
    with pytest.raises(DataError) as error:
        track(tmp_path, label, task)
    assert words in str(error.value)
    assert "row 'r7'" in str(error.value)


@pytest.mark.parametrize(
    ("count", "rates", "lengths", "expected"),
    [
        (4, (None, None), [4], [0, 1, 2, 3]),
        (4, (None, None), [], [0, 1, 2, 3]),
        (4, (None, None), [6], [0, 1, 2, 3, -1, -1]),
        (4, (None, None), [3, 50], [0, 1, 2]),
        (4, (None, None), [50], [0, 1, 2, 3]),
        (4, (10, 5), [2], [0, 2]),
        (2, (5, 10), [4], [0, 0, 1, 1]),
        (6, (30, 25), [5], [0, 1, 2, 3, 4]),
        (0, (None, None), [2], [-1, -1]),
    ],
)
def test_a_track_is_laid_over_the_inputs(
    count: int,
    rates: tuple[float | None, float | None],
    lengths: list[int],
    expected: list[int],
) -> None:
    found = tracks.positions(count, track_fps=rates[0], fps=rates[1], lengths=lengths)
    assert found.tolist() == expected


@given(st.integers(1, 400), st.floats(1, 100), st.floats(1, 100))
def test_a_position_is_labelled_by_its_own_moment(count: int, one: float, other: float) -> None:
    at = tracks.positions(count, track_fps=one, fps=other, lengths=[])
    moments = np.arange(len(at)) / other
    known = at >= 0
    assert (at[known] / one <= moments[known] + 1e-3).all()
    assert ((at[known] + 1) / one > moments[known] - 1e-3).all()
    assert abs(len(at) / other - count / one) <= 1 / other + 1e-9
