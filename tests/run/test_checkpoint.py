"""Files that are whole or absent."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mien.errors import RunError
from mien.run import checkpoint


def _tensors(value: float = 1.0) -> dict[str, Tensor]:
    weight = torch.full((3, 2), value)
    return {"weight": weight, "tied": weight.T, "count": torch.tensor(7), "half": weight.half()}


FACTS = {"best": 0.1, "sums": {"loss": 1e-9}, "stopped": False}


# -- states ----------------------------------------------------------------------------------------


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    given = _tensors()
    checkpoint.save_state(tmp_path, 12, given, FACTS)
    kept = checkpoint.load_state(tmp_path)
    assert kept is not None
    step, tensors, facts = kept
    assert (step, facts) == (12, FACTS)
    assert tensors.keys() == given.keys()
    for name, tensor in given.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype


def test_only_the_newest_state_stays(tmp_path: Path) -> None:
    for step in (9, 10, 1000):
        checkpoint.save_state(tmp_path, step, _tensors(step), FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001000"]
    kept = checkpoint.load_state(tmp_path)
    assert kept is not None
    assert kept[1]["weight"][0, 0] == 1000


def test_no_state_is_none(tmp_path: Path) -> None:
    assert checkpoint.load_state(tmp_path / "nowhere") is None
    assert checkpoint.load_state(tmp_path) is None


def _flip(name: str) -> Callable[[Path], None]:
    def damage(state: Path) -> None:
        content = bytearray((state / name).read_bytes())
        content[-3] ^= 1
        (state / name).write_bytes(content)

    return damage


def _lie(state: Path) -> None:
    record = json.loads((state / "facts.json").read_text())
    record["facts"]["best"] = 0.9
    (state / "facts.json").write_text(json.dumps(record))


def _cut(name: str) -> Callable[[Path], None]:
    return lambda state: os.truncate(state / name, 40)


def _lose(name: str) -> Callable[[Path], None]:
    return lambda state: (state / name).unlink()


@pytest.mark.parametrize(
    "damage",
    [
        _flip("tensors.safetensors"),
        _lie,
        _cut("tensors.safetensors"),
        _cut("facts.json"),
        _lose("tensors.safetensors"),
        _lose("facts.json"),
        lambda state: (state / "facts.json").write_text("[]"),
    ],
    ids=["bit", "fact", "cut tensors", "cut facts", "no tensors", "no facts", "no object"],
)
def test_a_damaged_state_is_refused_by_name(damage: Callable[[Path], None], tmp_path: Path) -> None:
    checkpoint.save_state(tmp_path, 3, _tensors(), FACTS)
    state = tmp_path / "step-000000003"
    damage(state)
    with pytest.raises(RunError, match="changed or damaged") as error:
        checkpoint.load_state(tmp_path)
    assert error.value.where == str(state)
    assert f"delete {state}" in str(error.value)


# -- interruptions ---------------------------------------------------------------------------------


class Unplugged(Exception):
    """The machine went off."""


def _fail_at(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, number: int) -> None:
    """Arrange that the call ``number`` of a function is its last."""
    real, calls = getattr(target, name), iter(range(1, 10**6))

    def fatal(*args: Any, **options: Any) -> Any:
        if next(calls) >= number:
            raise Unplugged
        return real(*args, **options)

    monkeypatch.setattr(target, name, fatal)


@pytest.mark.parametrize(("target", "name"), [(os, "fsync"), (Path, "replace")])
def test_a_file_is_the_old_or_the_new_one(
    target: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "card.json"
    checkpoint.write_json(path, {"seed": 1})
    with monkeypatch.context() as patch:
        _fail_at(patch, target, name, 1)
        with pytest.raises(Unplugged):
            checkpoint.write_json(path, {"seed": 2})
    assert checkpoint.read_object(path) == {"seed": 1}
    checkpoint.write_json(path, {"seed": 3})
    assert [file.name for file in tmp_path.iterdir()] == ["card.json"]
    assert checkpoint.read_object(path) == {"seed": 3}


@pytest.mark.parametrize("number", range(1, 6))
def test_a_state_is_the_old_or_the_new_one_wherever_power_fails(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save_state(tmp_path, 1, _tensors(1), FACTS)
    with monkeypatch.context() as patch:
        # Tensors, facts, the new folder, the folder of states: four times to the disk.
        _fail_at(patch, os, "fsync", number)
        if number < 5:
            with pytest.raises(Unplugged):
                checkpoint.save_state(tmp_path, 2, _tensors(2), FACTS)
        else:
            checkpoint.save_state(tmp_path, 2, _tensors(2), FACTS)
    kept = checkpoint.load_state(tmp_path)
    assert kept is not None
    assert kept[0] == (1 if number < 4 else 2)
    assert kept[1]["weight"][0, 0] == kept[0]


def test_what_a_kill_left_half_written_is_swept(tmp_path: Path) -> None:
    checkpoint.save_state(tmp_path / "state", 1, _tensors(), FACTS)
    half = tmp_path / "state" / ".step-000000002.unfinished"
    half.mkdir()
    (half / "tensors.safetensors").write_bytes(b"half")
    lost = tmp_path / "towers" / ".card.json.unfinished"
    lost.parent.mkdir()
    lost.write_text("{")
    mine = tmp_path / ".notes"
    mine.write_text("of the user")

    kept = checkpoint.load_state(tmp_path / "state")
    assert kept is not None
    assert kept[0] == 1
    assert not half.exists()
    checkpoint.sweep(tmp_path)
    assert not lost.exists()
    assert mine.exists()


# -- what is read ----------------------------------------------------------------------------------


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (sprung.touch, ())

    for content in (pickle.dumps({"weight": Trap()}), b"", b"\x08\0\0\0\0\0\0\0{garbage"):
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(RunError, match=r"cannot read model\.safetensors"):
            checkpoint.read_tensors(tmp_path / "model.safetensors")
    assert not sprung.exists()


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5_000, None])
def test_json_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(RunError, match=r"cannot read card\.json") as error:
        checkpoint.read_json(tmp_path / "card.json")
    assert error.value.where == str(tmp_path)


def test_an_object_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    checkpoint.write_json(tmp_path / "card.json", ["a", "list"])
    with pytest.raises(RunError, match=r"card\.json holds no JSON object"):
        checkpoint.read_object(tmp_path / "card.json")


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert checkpoint.digest(tmp_path / "a") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    with pytest.raises(RunError, match="cannot read b"):
        checkpoint.digest(tmp_path / "b")
