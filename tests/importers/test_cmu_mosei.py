"""Files of the CMU-MultimodalSDK: stretches, emotions that may be together, links that lead out."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copies import brought_in, text, warned

from mien.data import features
from mien.data.check import check
from mien.data.manifest import Manifest
from mien.errors import DataError, MienError, MissingExtra


@pytest.fixture
def h5py() -> Any:
    return pytest.importorskip("h5py", reason="the extra hdf5 is not installed")


def sequence(path: Path, name: str, videos: dict[str, tuple[Any, Any]], h5py: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.create_group(f"{name}/metadata")
        for video, (times, values) in videos.items():
            group = file.create_group(f"{name}/data/{video}")
            group["intervals"], group["features"] = np.array(times), np.array(values)
    return path


def copy(folder: Path, h5py: Any, count: int = 3) -> Path:
    """Two stretches of each video; the first is happy and afraid, the second nothing."""
    videos = [f"video{n}" for n in range(count)]
    values = [[1.5, 2, 0, 0, 0, 0, 1 / 3], [-0.5, 0, 0, 0, 0, 0, 0]]
    times = np.arange(8.0)[:, None] + (0, 1)
    words = np.array([[b"sp"], *[[f"w{n}".encode()] for n in range(1, 8)]])
    audio = np.arange(32.0).reshape(8, 4)
    audio[0, 0] = -np.inf
    for name, root, made in (
        ("CMU_MOSEI_Labels", "All Labels", ([[0.5, 3.5], [4, 7]], values)),
        ("CMU_MOSEI_COVAREP", "COVAREP", (times, audio)),
        ("CMU_MOSEI_VisualFacet42", "FACET 4.2", (times[:5], np.ones((5, 3)))),
        ("CMU_MOSEI_TimestampedWords", "words", (times, words)),
        ("CMU_MOSEI_Odd", "odd", (times, audio)),
    ):
        sequence(folder / f"{name}.csd", root, dict.fromkeys(videos, made), h5py)
    return folder


def test_rows_of_stretches(h5py: Any, tmp_path: Path) -> None:
    text(copy(tmp_path, h5py) / "train.txt", "video0", "video1")
    text(tmp_path / "test.txt", "video2", "gone")
    split = {"train": "train.txt", "test": "test.txt"}
    report, rows = brought_in("cmu-mosei", tmp_path, split=split)
    first, second = rows["video0[0]"], rows["video0[1]"]
    assert first.labels == {"sentiment": 1.5, "emotion": ["happiness", "fear"]}
    assert second.labels == {"sentiment": -0.5, "emotion": []}
    assert (first.source, first.split, first.start, first.end) == ("video0", "train", 0.5, 3.5)
    assert (first.text, second.text) == ("w1 w2 w3", "w4 w5 w6")
    assert rows["video2[0]"].split == "test"
    found = features.load(first.features["audio"], tmp_path)
    assert found.tolist()[0] == [0, 1, 2, 3]  # minus infinity is nothing
    assert found.shape == (4, 4)
    assert features.shape(second.features["visual"], tmp_path) == (1, 3)
    warnings = warned(report)
    assert warnings["unknown"] == ["CMU_MOSEI_Odd.csd"]
    assert warnings["missing"] == ["gone"]
    manifest = Manifest.read(tmp_path / "cmu-mosei.jsonl")
    assert manifest.tasks["emotion"].problem == "many_of_n"
    kinds = {error.kind for error in check(manifest).errors}
    assert kinds == {"duplicate leak", "test is train"}  # all made-up videos are alike


def test_a_file_is_named_where_two_fit(h5py: Any, tmp_path: Path) -> None:
    copy(tmp_path, h5py)
    times = [[0, 4]]
    sequence(tmp_path / "Face.csd", "OpenFace_2", {"video0": (times, [[9.0]])}, h5py)
    with pytest.raises(DataError, match="are both visual"):
        brought_in("cmu-mosei", tmp_path)
    column = {"features.visual": "Face.csd"}
    report, rows = brought_in("cmu-mosei", tmp_path, column=column)
    assert features.load(rows["video0[0]"].features["visual"], tmp_path).tolist() == [[9]]
    assert "visual" not in rows["video1[0]"].features
    assert len(warned(report)["missing"]) == 5
    with pytest.raises(MienError, match="no name of a feature"):
        brought_in("cmu-mosei", tmp_path, column={"features.../x": "Face.csd"})
    with pytest.raises(MienError, match="names no feature"):
        brought_in("cmu-mosei", tmp_path, column={"features.visual": "none.csd"})


def test_what_leads_out_of_a_file_is_not_followed(h5py: Any, tmp_path: Path) -> None:
    copy(tmp_path, h5py, count=1)
    labels = tmp_path / "CMU_MOSEI_Labels.csd"
    with h5py.File(labels, "a") as file:
        group = file["All Labels/data/video0"]
        del group["features"]
        group["features"] = h5py.ExternalLink("CMU_MOSEI_COVAREP.csd", "/COVAREP")
    with pytest.raises(DataError, match="not in this file itself"):
        brought_in("cmu-mosei", tmp_path)
    with h5py.File(labels, "a") as file:
        group = file["All Labels/data/video0"]
        del group["features"]
        (tmp_path / "secret.bin").write_bytes(bytes(112))
        group.create_dataset(
            "features", (2, 7), "f8", external=[(str(tmp_path / "secret.bin"), 0, 112)]
        )
    with pytest.raises(DataError, match="another file"):
        brought_in("cmu-mosei", tmp_path)
    with h5py.File(labels, "a") as file:
        group = file["All Labels/data/video0"]
        del group["features"]
        group.create_dataset("features", (2**30, 7), "f8", chunks=True, compression="gzip")
    with pytest.raises(DataError, match="claims"):
        brought_in("cmu-mosei", tmp_path)


@pytest.mark.parametrize(
    ("times", "values", "said"),
    [
        ([[0, 1]], [[1.0, 2.0]], "labels of 2 values"),
        ([[0, 1, 2]], [[1.0]], "intervals of"),
        ([[0, 1], [1, 2]], [[1.0]], "intervals of"),
    ],
)
def test_labels_that_do_not_fit(
    times: Any, values: Any, said: str, h5py: Any, tmp_path: Path
) -> None:
    sequence(tmp_path / "L.csd", "All Labels", {"a": (times, values)}, h5py)
    with pytest.raises(DataError, match=said):
        brought_in("cmu-mosei", tmp_path)


def test_a_stretch_that_ends_before_it_begins_is_left_out(h5py: Any, tmp_path: Path) -> None:
    sequence(tmp_path / "L.csd", "Opinion Segment Labels", {"a": ([[2, 1]], [[1.0]])}, h5py)
    with pytest.raises(DataError, match="no stretch"):
        brought_in("cmu-mosei", tmp_path)
    made = {"a": ([[2, 1], [0, 1], [0, np.nan]], [[1.0], [2.0], [3.0]])}
    sequence(tmp_path / "L.csd", "Opinion Segment Labels", made, h5py)
    report, rows = brought_in("cmu-mosei", tmp_path)
    assert {name: row.labels for name, row in rows.items()} == {"a[1]": {"sentiment": 2.0}}
    assert warned(report)["times"] == ["a[0]", "a[2]"]


def test_no_file_of_the_sdk(h5py: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file \.csd"):
        brought_in("cmu-mosei", tmp_path)
    (tmp_path / "x.csd").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not an HDF5 file"):
        brought_in("cmu-mosei", tmp_path)
    with h5py.File(tmp_path / "x.csd", "w") as file:
        file["a"], file["b"] = [1], [2]
    with pytest.raises(DataError, match="no file of the SDK"):
        brought_in("cmu-mosei", tmp_path)


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError):
        importlib.import_module("h5py")
    (tmp_path / "x.csd").write_bytes(b"nothing")
    with pytest.raises(MissingExtra, match=r"mien\[hdf5\]"):
        brought_in("cmu-mosei", tmp_path)
