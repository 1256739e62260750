"""Answers on the disk: there and back, and what others may have written into the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answered import SPECS, made

from mien.errors import RunError
from mien.run import answers, score


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    found = made()
    found.tasks["au"].scores[3] = np.zeros((0, 2))  # a clip of which no frame was seen
    found.tasks["au"].targets[3] = np.zeros((0, 2))
    answers.write(tmp_path / "p.parquet", found, fold=2)
    again, folds = answers.read(tmp_path / "p.parquet", SPECS)
    assert (again.ids, again.group, set(folds)) == (found.ids, found.group, {2})
    for name, own in found.tasks.items():
        for field in ("scores", "targets"):
            pairs = zip(getattr(own, field), getattr(again.tasks[name], field), strict=True)
            for one, two in pairs:
                assert one.shape == two.shape
                np.testing.assert_array_equal(one, two)
    assert score.report(again, SPECS) == score.report(found, SPECS)


def test_predictions_without_labels_come_back_as_unknown(tmp_path: Path) -> None:
    found = made(3)
    for own in found.tasks.values():
        own.targets = []
    answers.write(tmp_path / "p.parquet", found, fold=None)
    again, folds = answers.read(tmp_path / "p.parquet", SPECS)
    assert folds == [None] * 3
    for name, own in again.tasks.items():
        assert [len(t) for t in own.targets] == [len(s) for s in found.tasks[name].scores]
        assert not len(own.owners())


def test_predictions_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1 of something")
    with pytest.raises(RunError, match=r"cannot read predictions\.parquet"):
        answers.read(tmp_path / "predictions.parquet", SPECS)


def test_groups_come_back_as_numbers_or_texts(tmp_path: Path) -> None:
    found = made(3)
    found.groups = {
        "age": [[61], [None], [30.5]],
        "sex": [["f"], ["m"], ["f"]],
        "mixed": [[1], ["two"], [None]],
        "turns": [["a", "b"], ["c"], [None, "d"]],
    }
    answers.write(tmp_path / "p.parquet", found, fold=None)
    again, _ = answers.read(tmp_path / "p.parquet", SPECS)
    assert again.groups == found.groups | {"mixed": [["1"], ["two"], [None]]}
    columns = pq.read_schema(tmp_path / "p.parquet")
    assert columns.field("groups.age").type == pa.float64()
    assert columns.field("groups.sex").type == pa.string()


def test_files_from_before_there_were_groups_are_read(tmp_path: Path) -> None:
    found = made(4)
    answers.write(tmp_path / "p.parquet", found, fold=None)
    assert not [n for n in pq.read_schema(tmp_path / "p.parquet").names if n.startswith("groups")]
    again, _ = answers.read(tmp_path / "p.parquet", SPECS)
    assert again.groups == {}


def test_runs_with_and_without_groups_are_joined(tmp_path: Path) -> None:
    for name in ("a", "b"):
        found = made(2)
        found.groups = {"sex": [["f"], ["m"]]} if name == "a" else {}
        answers.write(tmp_path / name / "predictions.parquet", found, fold=None)
    (tmp_path / "c").mkdir()  # had no test part
    whole, folds = answers.joined([tmp_path / name for name in "abc"], SPECS)
    assert whole.groups == {"sex": [["f"], ["m"], [None], [None]]}
    assert folds == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("id", None, "no column 'id'"),
        ("scores.emotion", None, "no column 'scores.emotion'"),
        ("id", [1, 2, 3], "no text"),
        ("group", ["a", None, "b"], "no text"),
        ("scores.emotion", ["a", "b", "c"], "cannot read"),
        ("scores.emotion", [[[0.1, 0.9]]] * 3, "cannot read"),
        ("scores.emotion", [[[0.1, 0.2, 0.7]] * 2] * 3, "2 scores with 1 targets"),
        ("targets.affect", [[[0.1]]] * 3, "cannot read"),
        ("fold", ["x", "y", "z"], "cannot read"),
        ("groups.sex", [{"a": 1}] * 3, "texts and numbers"),
        ("groups.sex", [[[1]], [[2]], [[3]]], "texts and numbers"),
        ("groups.sex", [True, False, True], "texts and numbers"),
    ],
)
def test_hostile_columns_are_one_error(
    tmp_path: Path, column: str, values: list[object] | None, said: str
) -> None:
    path = tmp_path / "p.parquet"
    answers.write(path, made(3), fold=1)
    columns = pq.read_table(path).to_pydict()
    columns.pop(column, None)
    if values is not None:
        columns[column] = values
    pq.write_table(pa.table(columns), path)
    with pytest.raises(RunError, match=said) as caught:
        answers.read(path, SPECS)
    assert caught.value.where == str(tmp_path)


def test_a_file_that_unfolds_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    many = 30_000_000
    same = pa.DictionaryArray.from_arrays(np.zeros(many, np.int8), pa.array(["x"]))
    pq.write_table(pa.table({"id": same}), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(RunError, match="unfolds to 30,000,000 values"):
        answers.read(path, {})
