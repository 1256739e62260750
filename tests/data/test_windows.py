"""Rows in windows: every position is in one, and nothing is invented at their edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from mien.data import features, prepared
from mien.data.manifest import Manifest, Row
from mien.data.places import Place
from mien.data.windows import Cut, SampleWindows, WindowDataset, starts
from mien.errors import ConfigError, DataError
from mien.tasks.affect import ABAW_AFFECT, ABAW_EXPRESSION
from mien.types import Sample, Windows


@given(st.integers(0, 900), st.integers(1, 60), st.integers(1, 60))
def test_windows_cover_every_position_tails_and_short_rows_included(
    count: int, length: int, stride: int
) -> None:
    stride = min(stride, length)
    found = starts(count, Windows(length=length, stride=stride))
    covered = np.zeros(count, int)
    for first in found:
        covered[first : first + length] += 1
    assert covered.all()
    assert all(first + length <= max(count, length) for first in found), "none leads out"
    assert found == sorted(set(found))
    assert max(np.diff(found), default=0) <= stride


def test_the_windows_of_the_paper() -> None:
    paper = Windows(length=300, stride=200)
    assert starts(700, paper) == [0, 200, 400]
    assert starts(701, paper) == [0, 200, 400, 401]
    assert starts(300, paper) == starts(7, paper) == [0]
    with pytest.raises(ConfigError, match="gaps"):
        starts(9, Windows(length=3, stride=4))


def _rows(folder: Path) -> Manifest:
    """A long row whose face is gone at times, a short one, and one that nobody annotated."""
    random = np.random.default_rng(0)
    made = []
    for name, count in (("long", 11), ("short", 3), ("bare", 5)):
        seen = np.ones(count, np.uint8)
        if name == "long":
            seen[4:8] = 0
        face = random.normal(size=(count, 2)).astype(np.float32)
        save_file({"face": face, "face.seen": seen}, folder / f"{name}.safetensors")
        lines = "".join(f"{i / 20},{-i / 20}\n" for i in range(13 if name == "long" else count))
        (folder / f"{name}.csv").write_text("valence,arousal\n" + lines)
        labels = {} if name == "bare" else {"affect": {"path": f"{name}.csv"}}
        made.append(
            f'{{"id": "{name}", "fps": 5, "features": {{"face": "{name}.safetensors::face"}},'
            f' "labels": {labels!r}}}'.replace("'", '"')
        )
    (folder / "rows.jsonl").write_text("\n".join(made))
    return Manifest.read(folder / "rows.jsonl")


def _cut(manifest: Manifest, *, training: bool = False, length: int = 4) -> WindowDataset:
    windows = Windows(length=length, stride=min(length, 3))
    specs = {"affect": ABAW_AFFECT}
    return WindowDataset(
        manifest.rows, manifest, {"face": "face"}, specs, windows, training=training
    )


def test_a_window_is_that_part_of_its_row(tmp_path: Path) -> None:
    rows = _cut(_rows(tmp_path))
    assert isinstance(rows, Cut)
    whole = features.load("long.safetensors::face", tmp_path)
    for index, (item, first, last) in enumerate(rows.spans):
        sample = rows[index]
        assert len(sample.inputs["face"]) == last - first == rows.length(index)
        assert sample.targets["affect"].shape == (last - first, 2)
        assert sample.times is not None
        assert sample.times[0] == pytest.approx(first / 5)
        if item == 0:
            there = sample.mask.get("face", np.ones(last - first, bool))
            expected = [i < 11 and not 4 <= i < 8 for i in range(first, last)]
            assert there.tolist() == expected
            known = [i for i in range(first, last) if i < 11]
            np.testing.assert_array_equal(sample.inputs["face"][: len(known)], whole[known])
            np.testing.assert_allclose(
                sample.targets["affect"].astype(np.float64)[:, 0],
                np.arange(first, last) / 20,
                atol=1e-6,
            )
    assert [span for span in rows.spans if span[0] == 1] == [(1, 0, 3)]


def test_a_label_beyond_the_last_picture_is_still_asked_for(tmp_path: Path) -> None:
    rows = _cut(_rows(tmp_path))
    head = rows.head(0)
    assert head.targets["affect"].shape == (13, 2)
    assert max(last for item, _, last in rows.spans if item == 0) == 13
    assert np.isnan(rows.head(2).targets["affect"]).all()


def test_training_leaves_out_windows_without_a_face_or_a_label(tmp_path: Path) -> None:
    manifest = _rows(tmp_path)
    single = _cut(manifest, training=True, length=1)
    assert [first for item, first, _ in single.spans if item == 0] == [0, 1, 2, 3, 8, 9, 10]
    assert {item for item, _, _ in single.spans} == {0, 1}, "nobody annotated the third"
    assert {item for item, _, _ in _cut(manifest).spans} == {0, 1, 2}


def test_vectors_have_no_windows(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "features": {"face": [0.5, 1]}}')
    with pytest.raises(DataError, match="positions over time"):
        _cut(Manifest.read(tmp_path / "rows.jsonl"))


def test_prepared_pictures_know_their_rate_better_than_the_row(tmp_path: Path) -> None:
    """A row that names a folder of 30 a second may have been prepared at 25."""
    import corpora

    manifest = Manifest.read(corpora.prepared(tmp_path))
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text(lines[0].replace('{"id"', '{"fps": 50, "id"', 1))
    row = Manifest.read(tmp_path / "rows.jsonl").rows[0]
    assert row.fps == 50
    windows = Windows(length=5, stride=5)
    cut = WindowDataset([row], manifest, {"video": "video"}, {}, windows, training=False)
    times = cut[1].times
    assert times is not None
    assert times.tolist() == pytest.approx([0.2, 0.24, 0.28, 0.32, 0.36])


def test_samples_in_memory_are_cut_alike() -> None:
    face = np.arange(14, dtype=np.float32).reshape(7, 2)
    sample = Sample(id="a", inputs={"face": face}, mask={"face": face[:, 0] > 3})
    cut = SampleWindows([sample], Windows(length=4, stride=2))
    assert cut.spans == [(0, 0, 4), (0, 2, 6), (0, 3, 7)]
    np.testing.assert_array_equal(cut[2].inputs["face"], face[3:])
    assert cut[1].mask["face"].tolist() == [True] * 4
    ragged = Sample(id="b", inputs={"face": face, "hand": face[:3]})
    with pytest.raises(DataError, match=r"lengths \[3, 7\]"):
        SampleWindows([ragged], Windows(length=4, stride=2))


# -- what a file says was not seen -----------------------------------------------------------------


def test_a_mask_beside_a_tensor_says_what_is_there(tmp_path: Path) -> None:
    face = np.arange(8, dtype=np.float32).reshape(4, 2)
    seen = np.array([1, 0, 1, 1], np.uint8)
    save_file({"face": face, "face.seen": seen, "other": face}, tmp_path / "a.safetensors")
    row = Row(id="a", features={"face": "a.safetensors::face", "other": "a.safetensors::other"})
    source = prepared.source(row, "face", Place(tmp_path, tmp_path))
    assert source.mask.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(source.read(np.array([3, 2])), face[[3, 2]])
    np.testing.assert_array_equal(source.whole(), face)
    assert prepared.source(row, "other", Place(tmp_path, tmp_path)).mask.all()


def test_a_mask_of_another_length_and_values_that_are_not_finite_are_refused(
    tmp_path: Path,
) -> None:
    face = np.ones((4, 2), np.float32)
    save_file({"face": face, "face.seen": np.ones(3, np.uint8)}, tmp_path / "a.safetensors")
    with pytest.raises(DataError, match="one thing a position"):
        features.seen("a.safetensors::face", tmp_path, row="r")
    face[2, 1] = np.nan
    save_file({"face": face, "face.seen": np.ones(4, np.uint8)}, tmp_path / "b.safetensors")
    np.testing.assert_array_equal(
        features.part("b.safetensors::face", tmp_path, np.array([0, 1])), face[:2]
    )
    with pytest.raises(DataError, match=r"not finite, the first at \[1, 1\]"):
        features.part("b.safetensors::face", tmp_path, np.array([1, 2]))


def test_the_expressions_of_a_window_are_classes(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([0, 7, -1, 3]))
    np.save(tmp_path / "face.npy", np.zeros((5, 2), np.float32))
    (tmp_path / "rows.jsonl").write_text(
        '{"id": "a", "features": {"face": "face.npy"}, "labels": {"expression": {"path": "x.npy"}}}'
    )
    manifest = Manifest.read(tmp_path / "rows.jsonl")
    specs = {"expression": ABAW_EXPRESSION}
    windows = Windows(length=3, stride=3)
    cut = WindowDataset(manifest.rows, manifest, {"face": "face"}, specs, windows, training=False)
    assert [cut[i].targets["expression"].tolist() for i in range(2)] == [[0, 7, -1], [-1, 3, -1]]
