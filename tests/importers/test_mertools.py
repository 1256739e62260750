"""Labels and vectors of MERTools: parts, orders, sentiments, files that are missing."""

from __future__ import annotations

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copies import brought_in, warned

from mien.data import features
from mien.errors import ConfigError, DataError
from mien.importers import mertools, orders

MELD = orders.MELD.others["MERTools"]


def labels(path: Path, **parts: dict[str, dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{f"{name}_corpus": part for name, part in parts.items()})  # type: ignore[arg-type]
    return path


def meld(folder: Path) -> Path:
    """MELD as MERTools has it: three parts, emotions as numbers."""
    parts = {
        part: {
            f"{part}_dia{d}_utt{u}": {"emo": (d + u) % 7, "val": -10} for d in range(3)
            for u in range(2)
        }
        for part in ("train", "val", "test")
    }  # fmt: skip
    for part in parts.values():
        for name in part:
            for width, kind in ((5, "roberta"), (3, "hubert")):
                file = folder / f"features/{kind}/{name}.npy"
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(file, np.full(width, len(name), np.float32))
    (folder / "features/hubert/test_dia0_utt0.npy").unlink()
    return labels(folder / "label.npz", **parts)


def test_labels_parts_and_vectors(tmp_path: Path) -> None:
    column = {"features.text": "features/roberta", "features.audio": "features/hubert"}
    meld(tmp_path)
    report, rows = brought_in("mertools", tmp_path, column=column)
    assert len(rows) == 18
    row = rows["val_dia2_utt1"]
    assert (row.dialogue, row.turn, row.split) == ("val_dia2", 1, "val")
    assert row.labels == {"emotion": MELD[3]}
    assert row.features["text"] == "features/roberta/val_dia2_utt1.npy"
    assert features.load(row.features["audio"], tmp_path).shape == (3,)
    assert set(rows["test_dia0_utt0"].features) == {"text"}
    assert warned(report)["missing"] == ["test_dia0_utt0"]
    assert any("as MERTools counts MELD's" in note for note in report.notes)


def test_folders_are_named(tmp_path: Path) -> None:
    meld(tmp_path)
    report, rows = brought_in("mertools", tmp_path)
    assert any("here are features, hubert, roberta" in note for note in report.notes)
    assert not rows["val_dia2_utt1"].features
    with pytest.raises(ConfigError, match="a folder of vectors is a feature"):
        brought_in("mertools", tmp_path, column={"text": "features/roberta"})
    with pytest.raises(DataError, match="no such folder"):
        brought_in("mertools", tmp_path, column={"features.text": "features/none"})


def test_a_sentiment_where_there_is_one(tmp_path: Path) -> None:
    part = {f"v{n}_{n}": {"emo": 0, "val": n / 2 - 1} for n in range(5)}
    _, rows = brought_in("mertools", labels(tmp_path / "label.npz", train=part, test={}))
    assert (rows["v4_4"].labels, rows["v4_4"].source) == ({"sentiment": 1.0}, "v4")
    _, rows = brought_in("mertools", labels(tmp_path / "all.npz", whole=part))
    assert {row.split for row in rows.values()} == {None}


def test_sessions_of_iemocap_are_folds(tmp_path: Path) -> None:
    part = {f"Ses0{n}F_impro01_M000": {"emo": "xy"[n % 2], "val": 0} for n in (1, 2, 5)}
    _, rows = brought_in("mertools", labels(tmp_path / "label.npz", whole=part))
    row = rows["Ses05F_impro01_M000"]
    assert (row.speaker, row.dialogue, row.fold) == ("Ses05M", "Ses05F_impro01", 4)


def test_names_are_names_and_numbers_need_some(tmp_path: Path) -> None:
    named = {f"a{n}": {"emo": word, "val": 0} for n, word in enumerate(("happy", "sad"))}
    _, rows = brought_in("mertools", labels(tmp_path / "n.npz", train=named))
    assert rows["a1"].labels == {"emotion": "sad"}
    part = {f"a{n}": {"emo": n, "val": 0} for n in range(2)}
    path = labels(tmp_path / "l.npz", train=part)
    with pytest.raises(DataError, match="which emotion a number means"):
        brought_in("mertools", path)
    _, rows = brought_in("mertools", path, labels="x,y")
    assert rows["a1"].labels == {"emotion": "y"}


def test_a_held_out_part_that_is_the_test_part_is_reported(tmp_path: Path) -> None:
    part = {f"a{n}": {"emo": "xy"[n], "val": 0} for n in range(2)}
    path = labels(tmp_path / "l.npz", train={"b": {"emo": "x"}}, val=part, test=part)
    report, rows = brought_in("mertools", path)
    assert "val is test" in warned(report)
    assert {name: row.split for name, row in rows.items()} == {
        "b": "train", "a0": "test", "a1": "test",
    }  # fmt: skip


class Calls:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


def test_hostile_labels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bad: Any = {"a": {"emo": Calls()}}
    with pytest.raises(DataError, match="system"):
        brought_in("mertools", labels(tmp_path / "l.npz", train=bad))
    for value, said in (
        ({"a": 1}, "something else than labels"),
        ({"a": {"emo": [1]}}, "no class"),
        ([1], "of the shape"),
        ({}, "none of train_corpus"),
    ):
        with pytest.raises(DataError, match=said):
            brought_in("mertools", labels(tmp_path / "l.npz", train=value))  # type: ignore[arg-type]
    whole = labels(tmp_path / "l.npz", train={"a": {"emo": "x"}}).read_bytes()
    for at in range(0, len(whole), 5):  # a damaged byte is a value or an error
        (tmp_path / "l.npz").write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        with contextlib.suppress(DataError):
            brought_in("mertools", tmp_path / "l.npz", replace=True)
    (tmp_path / "l.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="not an npz"):
        brought_in("mertools", tmp_path / "l.npz")
    monkeypatch.setattr(mertools, "_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "l.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train_corpus.npy", bytes(2**20 + 1))
    with pytest.raises(DataError, match="larger than"):
        brought_in("mertools", tmp_path / "l.npz")
    assert not (tmp_path / "pwned").exists()
