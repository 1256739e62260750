"""Other people's weights: read exactly, or refused; nothing in a file is ever run."""

from __future__ import annotations

import argparse
import io
import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mien.errors import RunError
from mien.run.archive import open_weights

TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32]
TYPES += [torch.int16, torch.int8, torch.uint8, torch.bool]


def _saved(path: Path, value: Any, protocol: int = 2) -> Path:
    torch.save(value, path, pickle_protocol=protocol)
    return path


def _same(path: Path, wanted: dict[str, Tensor]) -> None:
    found = open_weights(path)
    assert dict(found.shapes) == {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    for name, tensor in wanted.items():
        got = found.read(name)
        assert got.dtype == tensor.dtype
        assert torch.equal(got, tensor)


# -- what is read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 4])
def test_every_tensor_comes_out_as_it_was_saved(tmp_path: Path, protocol: int) -> None:
    whole = torch.randn(6, 5)
    state = {str(kind): torch.randn(3, 2).mul(9).to(kind) for kind in TYPES}
    state |= {"view": whole[1:4, ::2], "turned": whole.T, "shared": whole, "number": whole[2, 3]}
    state |= {"none": torch.zeros(0, 4), "learned": nn.Parameter(torch.randn(2))}
    _same(_saved(tmp_path / "w.pth", state, protocol), {n: t.detach() for n, t in state.items()})


def test_the_weights_may_stand_among_other_things(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    learner = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    learner.step()
    for key in ("model", "module"):
        checkpoint = {
            key: model.state_dict(),
            "optimizer": learner.state_dict(),
            "epoch": "best",
            "scaler": {"scale": 65536.0, "growth_interval": 2000},
            "args": argparse.Namespace(lr=1e-3, betas=[0.9, 0.95], resume="", window=(8, 10, 10)),
        }
        _same(_saved(tmp_path / "w.pth", checkpoint), model.state_dict())
    _same(_saved(tmp_path / "w.pth", model.state_dict()), model.state_dict())


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    state = {"a": torch.randn(2, 3), "b": torch.arange(3)}
    save_file(state, tmp_path / "w.safetensors")
    _same(tmp_path / "w.safetensors", state)


# -- what is refused -------------------------------------------------------------------------------


class Calls:
    def __init__(self, *what: Any) -> None:
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return self.what


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"model": {"a": torch.zeros(1)}, "args": Calls(os.system, ("touch pwned",))}, "system"),
        ({"model": {"a": torch.zeros(1)}, "args": pathlib.PurePosixPath("x")}, "PurePosixPath"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"model": {"a": 3}}, "'a' is no tensor"),
        ({"model": {"a": {"b": torch.zeros(1)}}}, "'a' is no tensor"),
        ({1: torch.zeros(1)}, "'1' is no tensor"),
        ({}, "no weights"),
        (torch.zeros(3), "no weights"),
        ([torch.zeros(3)], "no weights"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "ComplexFloatStorage"),
        ({"a": torch.zeros(2).to_sparse()}, "sparse"),
    ],
)
def test_anything_but_weights_and_plain_values_is_refused(
    value: Any, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = _saved(tmp_path / "w.pth", value)
    with pytest.raises(RunError, match=word) as error:
        open_weights(path)
    assert str(path) in str(error.value)
    assert [one.name for one in tmp_path.iterdir()] == ["w.pth"]


def _forged(
    path: Path, claim: dict[str, Any], *, stored: int = 4, key: Any = "0", kind: Any = None
) -> Path:
    """An archive of one tensor, which says of it what it likes."""
    counted = claim.pop("count", stored)
    arguments = {"offset": 0, "size": (4,), "stride": (1,)} | claim

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            if obj is not Pickler:
                return None
            return ("storage", kind or torch.FloatStorage, key, "cpu", counted)

    made = io.BytesIO()
    rebuilt = Calls(
        torch._utils._rebuild_tensor_v2,
        (Pickler, arguments["offset"], arguments["size"], arguments["stride"], False, {}),
    )
    Pickler(made, 2).dump({"a": rebuilt})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", made.getvalue())
        archive.writestr("w/data/0", bytes(4 * stored))
    return path


def test_the_forgery_itself_is_read(tmp_path: Path) -> None:
    _same(_forged(tmp_path / "w.pth", {}), {"a": torch.zeros(4)})
    _same(_forged(tmp_path / "w.pth", {"size": (2, 2), "stride": (1, 2)}), {"a": torch.zeros(2, 2)})


@pytest.mark.parametrize(
    "claim",
    [
        {"size": (5,)},
        {"size": (2, 3), "stride": (3, 1)},
        {"offset": 1},
        {"offset": -1},
        {"size": (-4,)},
        {"stride": (-1,)},
        {"size": (10**9, 10**9), "stride": (0, 0)},  # one number, seen everywhere
        {"size": (2**70,), "stride": (0,)},
        {"size": (1,) * 99, "stride": (1,) * 99},
        {"size": (4, 1)},
        {"size": 4},
        {"size": ("4",)},
        {"size": (4.0,)},
        {"size": (True,)},
        {"count": 5},
        {"count": 2**62},
        {"count": "4"},
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_refused(
    claim: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        open_weights(_forged(tmp_path / "w.pth", claim))


@pytest.mark.parametrize("key", ["1", "../data.pkl", "0/../0", "", 0, ("0",), "\u0660"])
def test_a_storage_is_a_number_in_the_archive(key: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="storage"):
        open_weights(_forged(tmp_path / "w.pth", {}, key=key))


Members = dict[str, bytes]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(bytes(16)) + 3] ^= 1  # within the numbers
    path.write_bytes(data)


def _with(change: Callable[[Members], Members], kind: int = zipfile.ZIP_STORED) -> Any:
    """The same archive with other files in it."""

    def work(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in change(members).items():
                archive.writestr(name, data, kind)

    return work


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "cut off": _cut,
    "a flipped bit": _flipped,
    "no zip": lambda path: path.write_bytes(pickle.dumps({"a": 1})),
    "empty": lambda path: path.write_bytes(b""),
    "compressed": _with(lambda files: files, zipfile.ZIP_DEFLATED),
    "two pickles": _with(lambda files: files | {"x/data.pkl": files["w/data.pkl"]}),
    "no pickle": _with(lambda files: {"w/data/0": files["w/data/0"]}),
    "other end": _with(lambda files: files | {"w/byteorder": b"big"}),
    "a large pickle": _with(lambda files: files | {"w/data.pkl": bytes(5 * 2**20)}),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_archive_is_refused(kind: str, tmp_path: Path) -> None:
    path = _forged(tmp_path / "w.pth", {})
    DAMAGE[kind](path)
    with pytest.raises(RunError, match="cannot be read"):
        open_weights(path).read("a")


def test_a_file_that_is_not_there_is_no_traceback(tmp_path: Path) -> None:
    for name in ("none.pth", "none.safetensors"):
        with pytest.raises(RunError, match="no such file"):
            open_weights(tmp_path / name)
    (tmp_path / "w.safetensors").write_bytes(b"not at all")
    with pytest.raises(RunError, match="cannot be read"):
        open_weights(tmp_path / "w.safetensors")
