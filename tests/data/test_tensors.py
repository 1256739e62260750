"""Tensors written one after the other are the file that safetensors itself would write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mien.data import features
from mien.data.tensors import writing
from mien.errors import DataError


def test_what_is_written_is_read_by_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = {f"a/{n}": rng.normal(size=(n, 3)) for n in range(4)} | {"ü": np.arange(5)}
    path = tmp_path / "x.safetensors"
    with writing(path, {key: values.shape for key, values in made.items()}) as out:
        for key, values in made.items():
            out.write(key, values)
    found = load_file(path)
    assert list(found) == sorted(made)
    for key, values in made.items():
        assert found[key].dtype == np.float32
        assert np.array_equal(found[key], values.astype(np.float32))
    assert features.load("x.safetensors::a/2", tmp_path).shape == (2, 3)


def test_only_what_was_announced_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(DataError, match="was to come"), writing(path, {"a": (2,)}) as out:
        out.write("a", np.zeros(3))
    with pytest.raises(DataError, match="was to come"), writing(path, {"a": (2,)}) as out:
        out.write("b", np.zeros(2))
    with pytest.raises(DataError, match="1 tensors did not come"), writing(path, {"a": (2,)}):
        pass
