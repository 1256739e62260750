"""Arrays from files that anybody may have made."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from mien.data import features
from mien.data.places import Place
from mien.data.rows import Inline
from mien.errors import DataError

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def header(shape: object, dtype: str = "<f4", *, fortran: bool = False) -> bytes:
    """The beginning of an npy file, whatever it announces."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def refused(folder: Path, ref: str) -> str:
    with pytest.raises(DataError) as error:
        features.load(ref, folder, row="r7")
    assert "row 'r7'" in str(error.value), "the row is named"
    return error.value.what


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int16", "bool"])
def test_files_and_values_load(dtype: str, tmp_path: Path) -> None:
    values = VALUES.astype(dtype)
    np.save(tmp_path / "c.npy", values)
    np.save(tmp_path / "f.npy", np.asfortranarray(values))
    save_file({"a": values, "b": VALUES[:1]}, tmp_path / "s.safetensors")
    for ref in ("c.npy", "f.npy", "s.safetensors::a"):
        found = features.load(ref, tmp_path)
        np.testing.assert_array_equal(found, values)
        assert found.dtype == values.dtype
        assert features.shape(ref, tmp_path) == (4, 3)
    inline = Inline(values)
    np.testing.assert_array_equal(features.load(inline, tmp_path), values)
    assert features.shape(inline, tmp_path) == (4, 3)


def test_a_file_is_mapped_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "big.npy", VALUES)
    found = features.load("big.npy", Place.of(tmp_path / "rows.jsonl"))
    assert isinstance(found, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_no_positions_are_an_array_of_length_zero(tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 5)))
    assert features.load("none.npy", tmp_path).shape == (0, 5)


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    mark = tmp_path / "run"
    np.save(tmp_path / "trap.npy", np.array([Trap(mark)], dtype=object), allow_pickle=True)
    assert "something else than numbers" in refused(tmp_path, "trap.npy")
    for name in ("trap.pkl", "trap.pt", "trap.npz"):
        (tmp_path / name).write_bytes((tmp_path / "trap.npy").read_bytes())
        assert "nothing else is opened" in refused(tmp_path, name)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff", "not an npy file"),
        (b"not numpy at all", "not an npy file"),
        (b"\x93NUMPY\x09\x00" + bytes(64), "version (9, 0)"),
        (header((4, 3))[:-20], "not an npy file"),
        (header((4, 3)) + bytes(47), "announces 48 bytes, the file holds 47"),
        (header((4, 3)) + bytes(49), "announces 48 bytes, the file holds 49"),
        (header((2**40, 2**40)) + bytes(48), "the file holds 48"),
        (header((2**62, 4, 4)) + bytes(48), "the file holds 48"),
        (header((-4, -3)) + bytes(48), "cannot have the shape (-4, -3)"),
        (header("__import__('os').getcwd()") + bytes(48), "not an npy file"),
        (header((3,), "<U4") + bytes(48), "something else than numbers"),
        (header((3,), "<c16") + bytes(48), "something else than numbers"),
        (header((3,), "|V16") + bytes(48), "something else than numbers"),
        (header((6,), "<M8[s]") + bytes(48), "something else than numbers"),
        (header(()) + bytes(4), "holds no positions"),
        (header((5, 0)), "holds no positions"),
        (header("(" * 500 + ")" * 500), "not an npy file"),
    ],
)
def test_a_broken_npy_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    assert words in refused(tmp_path, "x.npy")


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[2, 1], values[3, 0] = np.nan, np.inf
    np.save(tmp_path / "x.npy", values)
    save_file({"a": values}, tmp_path / "x.safetensors")
    for ref in ("x.npy", "x.safetensors::a"):
        assert "2 values are not finite, the first at [2, 1]" in refused(tmp_path, ref)
        assert np.isnan(features.load(ref, tmp_path, finite=False)).sum() == 1
    with pytest.raises(DataError, match="not finite"):
        Inline([1.0, float("nan")])
    with pytest.raises(DataError, match="not a number"):
        Inline(["1"])


def tensors(entries: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a safetensors file"),
        (b"\xff" * 64, "not a safetensors file"),
        (struct.pack("<Q", 2**60) + b"{}", "not a safetensors file"),
        (
            tensors({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(15)),
            "not a safetensors file",
        ),
        (
            tensors({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 16]}}, bytes(16)),
            "not a safetensors file",
        ),
        (
            tensors({"b": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(16)),
            "there is no 'a' in this file: known: b",
        ),
        (
            tensors({"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}, bytes(8)),
            "'a' cannot be read",
        ),
    ],
)
def test_broken_safetensors_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    assert words in refused(tmp_path, "x.safetensors::a")


def test_a_file_that_was_written_anew_is_opened_anew(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        save_file({"a": np.full(3, value)}, tmp_path / "x.safetensors")
        os.utime(tmp_path / "x.safetensors", ns=(int(value), int(value)))
        assert features.load("x.safetensors::a", tmp_path)[0] == value


def test_only_files_within_the_root_are_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    np.save(tmp_path / "x.npy", VALUES)
    (root / "link.npy").symlink_to(tmp_path / "x.npy")
    (root / "up").symlink_to(tmp_path)
    for ref in ("../x.npy", "link.npy", "up/x.npy", f"{tmp_path}/x.npy", "a\0.npy", ""):
        assert refused(root, ref)
    assert features.load("x.npy", Place(tmp_path, tmp_path)).shape == (4, 3)
    assert features.load("../x.npy", Place(root, tmp_path)).shape == (4, 3)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "folder.npy").mkdir()
    for ref in ("pipe.npy", "folder.npy", "none.npy", "none.safetensors::a"):
        assert "there is no such file" in refused(tmp_path, ref)
    assert "nothing else is opened" in refused(tmp_path, "x.safetensors")
    assert "nothing else is opened" in refused(tmp_path, "x.npy::a")


def test_a_vector_is_one_position_and_a_waveform_many() -> None:
    assert features.sequence(np.zeros(768, np.float32)).shape == (1, 768)
    assert features.sequence(np.zeros(6373)).shape == (1, 6373)  # the largest common feature set
    assert features.sequence(np.zeros(8000, np.float32)).shape == (8000,)
    assert features.sequence(np.zeros(12, np.int64)).shape == (12,)
    assert features.sequence(np.zeros((3, 5))).shape == (3, 5)
