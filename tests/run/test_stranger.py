"""A stranger's run: whatever its files say, an error of ours, and nothing read outside of it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpora
import pytest
import torch
from safetensors.torch import load_file

import mien
from mien.errors import ConfigError, MienError, RunError, TowerError
from mien.run.train import train


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the toy system, beside the corpus it learned from."""
    home = tmp_path_factory.mktemp("toy")
    train(
        "toy-clip", data=corpora.clips(home), out=home / "run", overrides=["epochs=1"], quiet=True
    )
    return home / "run"


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over two small towers."""
    home = tmp_path_factory.mktemp("adapted")
    words = ["epochs=1", "batch_size=4"]
    data = corpora.recordings(home)
    train("claip-emo", preset="tiny", data=data, out=home / "run", overrides=words, quiet=True)
    return home / "run"


@pytest.fixture
def run(toy: Path, tmp_path: Path) -> Path:
    """A copy of the toy run, to be spoilt."""
    return Path(shutil.copytree(toy, tmp_path / "run"))


@pytest.fixture
def towered(adapted: Path, tmp_path: Path) -> Path:
    """A copy of the run over towers, to be spoilt."""
    return Path(shutil.copytree(adapted, tmp_path / "towered"))


def _edit(path: Path, **changes: Any) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("system: toy-clp", "there is no system 'toy-clp': did you mean 'toy-clip'"),
        ("system: [1, 2]", "there is no system"),
        ("{}", "there is no system 'None'"),
        ("[]", "a configuration is a mapping"),
        ("\0", "cannot read this configuration"),
        ("{system: toy-clip, preset: tiny, stages: [classify], model: {wdth: 3}}", "did you mean"),
        ("{system: toy-clip, preset: tiny, stages: []}", "has no stages"),
        ("{system: toy-clip, preset: tiny, stages: [nowhere]}", "has no stages"),
        ("{system: toy-clip, preset: tiny, stages: [classify], stage: {a: {}}}", "is not run"),
        ("{system: toy-clip, preset: tiny, stages: [classify], model: {width: 9}}", "has shape"),
        (
            "{system: toy-clip, preset: tiny, stages: [classify], model: {width: -9}}",
            "make no toy-clip",
        ),
        ("!!python/object/apply:os.mkdir [sprung]", "cannot read this configuration"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_an_error_of_ours(
    text: str, message: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run)
    (run / "config.yaml").write_text(text)
    with pytest.raises(MienError, match=message):
        mien.load(run)
    assert not (run / "sprung").exists()


@pytest.mark.parametrize("text", ["[]", "{", "null", "{}", '{"finished": true}'])
def test_a_card_that_makes_no_sense_is_an_error_of_ours(text: str, run: Path) -> None:
    (run / "card.json").write_text(text)
    with pytest.raises(RunError):
        mien.load(run)


@pytest.mark.parametrize("records", [[], {"network": 3}, {"network": "/etc"}, None, "towers"])
def test_a_card_with_senseless_towers_is_refused(records: Any, towered: Path) -> None:
    _edit(towered / "card.json", towers=records)
    with pytest.raises(RunError, match="does not say which towers"):
        mien.load(towered)


@pytest.mark.parametrize("text", ["{}", "[3]", "null", '[{"name": "emotion"}]', "[", '"emotion"'])
def test_labels_that_make_no_sense_are_an_error_of_ours(text: str, run: Path) -> None:
    (run / "labels.json").write_text(text)
    with pytest.raises(MienError):
        mien.load(run)


def test_labels_of_another_shape_do_not_fit_the_weights(run: Path) -> None:
    (task,) = json.loads((run / "labels.json").read_text())
    (run / "labels.json").write_text(json.dumps([task | {"labels": ["x", "y"]}]))
    with pytest.raises(RunError, match="has shape"):
        mien.load(run)
    (run / "labels.json").write_text(json.dumps([task | {"name": "../x"}]))
    with pytest.raises(ConfigError, match="no task can be called"):
        mien.load(run)


def _trap(sprung: Path) -> bytes:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (sprung.touch, ())

    return pickle.dumps({"weight": Trap()})


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_cut_weights_are_refused(share: float, run: Path) -> None:
    path = run / "model.safetensors"
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(RunError, match=r"cannot read model\.safetensors"):
        mien.load(run)


def test_no_pickle_in_the_place_of_the_weights_is_opened(run: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    (run / "model.safetensors").write_bytes(_trap(sprung))
    with pytest.raises(RunError, match=r"cannot read model\.safetensors"):
        mien.load(run)
    assert not sprung.exists()


def test_no_pickle_in_the_place_of_a_tower_is_opened(towered: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    for folder in (towered / "towers").iterdir():
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(TowerError, match=r"the run lacks model\.safetensors of network\.encoders"):
        mien.load(towered)
    for folder in (towered / "towers").iterdir():
        (folder / "pytorch_model.bin").write_bytes(_trap(sprung))
    with pytest.raises(TowerError, match=r"the run lacks model\.safetensors"):
        mien.load(towered)
    assert not sprung.exists()


def _renamed(run: Path, name: Callable[[str], str]) -> None:
    """Let the card say that its towers lie elsewhere."""
    records = json.loads((run / "card.json").read_text())["towers"]
    _edit(run / "card.json", towers={name(path): record for path, record in records.items()})


@pytest.mark.parametrize("how", ["up", "absolute", "link", "self", "below"])
def test_a_tower_outside_of_the_run_is_not_read(how: str, towered: Path, tmp_path: Path) -> None:
    """The very towers lie out there: only the rule keeps them from being loaded."""
    outside = Path(shutil.move(towered / "towers", tmp_path / "outside"))
    inside = towered / "towers"
    inside.mkdir()
    if how == "up":
        _renamed(towered, lambda path: f"../../outside/{path}")
    elif how == "absolute":
        _renamed(towered, lambda path: str(outside / path))
    elif how == "link":
        for folder in outside.iterdir():
            (inside / folder.name).symlink_to(folder)
    elif how == "self":
        _renamed(towered, lambda path: "." if "video" in path else path)
    else:
        shutil.copytree(outside, inside / "a")
        _renamed(towered, lambda path: f"a/{path}")
    with pytest.raises(TowerError, match="is no tower of this run"):
        mien.load(towered)


@pytest.mark.parametrize("revision", [None, "main", 3])
def test_a_run_cannot_send_us_to_a_folder_of_this_machine(
    revision: Any, towered: Path, tmp_path: Path
) -> None:
    outside = Path(shutil.move(towered / "towers", tmp_path / "outside"))
    config = (towered / "config.yaml").read_text()
    head, tail = config.index("  vision:"), config.index("  vision_revision")
    folder = str(outside / "network.encoders.video")
    (towered / "config.yaml").write_text(f"{config[:head]}  vision: {folder}\n{config[tail:]}")
    records = json.loads((towered / "card.json").read_text())["towers"]
    away = {"name": folder, "stored": False, "revision": revision}
    records["network.encoders.video"] |= away
    _edit(towered / "card.json", towers=records)
    with pytest.raises(TowerError, match="is no commit on the hub"):
        mien.load(towered)


def test_a_tower_without_a_fingerprint_is_not_trusted(towered: Path) -> None:
    records = json.loads((towered / "card.json").read_text())["towers"]
    for sha in (None, 7):
        for record in records.values():
            record["sha256"] = sha
        _edit(towered / "card.json", towers=records)
        with pytest.raises(TowerError, match="has no fingerprint"):
            mien.load(towered)


def test_the_spoilt_runs_above_were_good_before(run: Path, towered: Path) -> None:
    assert mien.load(run).specs.keys() == mien.load(towered).specs.keys() == {"emotion"}
