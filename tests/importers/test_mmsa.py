"""Pickles of MMSA become manifests: lengths, minus infinity, labels, parts, and what is odd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copies import brought_in, warned
from foreign_pickles import SIZES, kept, mmsa

from mien.data import features
from mien.data.check import check
from mien.data.manifest import Manifest
from mien.errors import DataError

WORDS = {"train": "train", "valid": "val", "test": "test"}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("aligned", [True, False])
def test_every_clip_is_a_row_with_its_own_positions(
    aligned: bool, protocol: int, tmp_path: Path
) -> None:
    held = mmsa(aligned=aligned)
    report, rows = brought_in("mmsa", kept(tmp_path / "mosi.pkl", held, protocol))
    assert len(rows) == sum(SIZES.values())
    manifest = Manifest.read(tmp_path / "mosi.jsonl")
    for split, part in held.items():
        said = part["text_bert"][:, 1].sum(1).astype(int)
        for n, name in enumerate(part["id"]):
            row = rows[name]
            assert row.split == WORDS[split]
            assert row.source == f"{split}video{n // 2}"
            assert row.text == f"it\u2019s number {n}"
            assert row.labels == {"sentiment": part["regression_labels"][n]}
            for feature, key in (("text", "text"), ("audio", "audio"), ("visual", "vision")):
                length = said[n] if aligned or key == "text" else part[f"{key}_lengths"][n]
                wanted = np.nan_to_num(part[key][n][:length], posinf=0, neginf=0)
                found = features.load(row.features[feature], manifest.place)
                assert np.array_equal(found, wanted.astype(np.float32))
    assert warned(report)["not finite"]
    assert check(manifest).ok
    spec = manifest.tasks["sentiment"]
    assert (spec.problem, spec.ranges) == ("regression", ((-3.0, 3.0),))
    assert any("classification_labels are not taken" in note for note in report.notes)
    zeros = sum(int((part["regression_labels"] == 0).sum()) for part in held.values())
    assert any(f"{zeros} of 13 say otherwise" in note for note in report.notes)


def test_what_is_not_finite_is_said_of_each_feature(tmp_path: Path) -> None:
    report, _ = brought_in("mmsa", kept(tmp_path / "mosi.pkl", mmsa(aligned=True)))
    what = {finding.what.split(":")[0] for finding in report.warnings}
    assert what == {"audio", "visual"}


def test_the_same_again_changes_nothing_and_foreign_folders_stay(tmp_path: Path) -> None:
    path = kept(tmp_path / "mosi.pkl", mmsa(aligned=True))
    brought_in("mmsa", path)
    before = (tmp_path / "mosi.features/text.safetensors").read_bytes()
    report, _ = brought_in("mmsa", path)
    assert report.status == "unchanged"
    assert (tmp_path / "mosi.features/text.safetensors").read_bytes() == before
    assert not list(tmp_path.glob("*.unfinished"))
    (tmp_path / "mine.features").mkdir()
    with pytest.raises(DataError, match="no import wrote it"):
        brought_in("mmsa", path, tmp_path / "mine.jsonl")
    assert not (tmp_path / "mine.jsonl").exists()
    (tmp_path / "linked.features.unfinished").symlink_to(tmp_path / "mine.features")
    with pytest.raises(DataError, match="no import wrote it"):
        brought_in("mmsa", path, tmp_path / "linked.jsonl")
    assert not list((tmp_path / "mine.features").iterdir())


def test_a_manifest_elsewhere_needs_no_root(tmp_path: Path) -> None:
    path = kept(tmp_path / "copy/mosi.pkl", mmsa(aligned=True))
    report, rows = brought_in("mmsa", path, tmp_path / "work/mine.jsonl")
    assert report.root is None
    assert check(Manifest.read(tmp_path / "work/mine.jsonl")).ok
    ref = rows["trainvideo0$_$0"].features["text"]
    assert ref == "mine.features/text.safetensors::trainvideo0$_$0"


def test_a_configuration_beside_the_parts_and_scores_of_each_modality(tmp_path: Path) -> None:
    held = mmsa(aligned=False)
    for part in held.values():
        part["regression_labels"] = part["regression_labels"] / 3
        for letter in "TAV":
            part[f"regression_labels_{letter}"] = part["regression_labels"] / 2
    _, rows = brought_in("mmsa", kept(tmp_path / "sims.pkl", held | {"config": {"seed": 1}}))
    labels = rows["testvideo0$_$1"].labels
    half = held["test"]["regression_labels"][1] / 2
    assert {labels[f"sentiment_{name}"] for name in ("text", "audio", "visual")} == {half}
    spec = Manifest.read(tmp_path / "sims.jsonl").tasks["sentiment"]
    assert spec.ranges == ((-1.0, 1.0),)


def test_tokens_that_stand_the_other_way_round(tmp_path: Path) -> None:
    held = mmsa(aligned=True)
    _, wanted = brought_in("mmsa", kept(tmp_path / "a.pkl", held))
    for part in held.values():
        part["text_bert"] = part["text_bert"].transpose(0, 2, 1)
    _, found = brought_in("mmsa", kept(tmp_path / "b.pkl", held))
    for name, row in wanted.items():
        shapes = [
            features.shape(row.features["text"], tmp_path),
            features.shape(found[name].features["text"], tmp_path),
        ]
        assert shapes[0] == shapes[1]


def test_files_of_older_code_have_fewer_fields(tmp_path: Path) -> None:
    """MulT's: scores (N, 1, 1), three texts as an id, no lengths, nothing said."""
    held = mmsa(aligned=False)
    made = {
        split: {key: part[key] for key in ("text", "audio", "vision")}
        | {
            "labels": part["regression_labels"][:, None, None],
            "id": np.array([[b"video", b"0.5", b"1.5"]] * len(part["id"])),
        }
        for split, part in held.items()
    }
    _, rows = brought_in("mmsa", kept(tmp_path / "mosi.pkl", made, 2))
    row = rows["test-1"]
    assert row.labels["sentiment"] == held["test"]["regression_labels"][1]
    assert (row.text, row.source) == (None, None)
    for feature, key in (("text", "text"), ("audio", "audio"), ("visual", "vision")):
        found = features.load(row.features[feature], tmp_path)
        assert np.array_equal(found, held["test"][key][1].astype(np.float32))


def test_lengths_beyond_the_array_and_clips_without_positions(tmp_path: Path) -> None:
    held = mmsa(aligned=False)
    held["train"]["audio_lengths"][1] = 500
    held["train"]["audio_lengths"][3] = float("nan")
    held["train"]["vision_lengths"][2] = 0
    report, rows = brought_in("mmsa", kept(tmp_path / "mosi.pkl", held))
    assert warned(report)["length"] == ["trainvideo0$_$1", "trainvideo1$_$3"]
    assert features.shape(rows["trainvideo0$_$1"].features["audio"], tmp_path) == (11, 5)
    assert "visual" not in rows["trainvideo1$_$2"].features


def test_test_clips_within_train_and_a_held_out_part_that_is_test(tmp_path: Path) -> None:
    held = mmsa(aligned=True)
    for key, value in held["train"].items():
        both = [*value, held["test"][key][0]]
        held["train"][key] = np.array(both) if isinstance(value, np.ndarray) else both
    report, rows = brought_in("mmsa", kept(tmp_path / "a.pkl", held))
    assert warned(report)["test in train"] == ["testvideo0$_$0"]
    assert rows["testvideo0$_$0"].split == "test"
    held = mmsa(aligned=True)
    report, rows = brought_in("mmsa", kept(tmp_path / "b.pkl", held | {"valid": held["test"]}))
    assert "val is test" in warned(report)
    assert {row.split for row in rows.values()} == {"train", "test"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda held: held["test"].pop("regression_labels"), "no regression_labels"),
        (lambda held: held["test"].update(audio=held["test"]["audio"][1:]), "4 scores, and 3 of"),
        (lambda held: held["test"].update(audio=["x"] * 4), "no array of numbers"),
        (lambda held: held["test"].update(raw_text=["x"]), "4 scores, and 1 of raw_text"),
        (lambda held: held["test"].pop("vision"), "no 'vision'"),
        (lambda held: held["test"].update(regression_labels=np.zeros((4, 2))), "one number a clip"),
        (dict.clear, "no pickle of train, valid and test"),
    ],
)
def test_what_does_not_fit_is_an_error(change: Any, said: str, tmp_path: Path) -> None:
    held = mmsa(aligned=True)
    change(held)
    with pytest.raises(DataError, match=said):
        brought_in("mmsa", kept(tmp_path / "mosi.pkl", held))
    assert [path.name for path in tmp_path.iterdir()] == ["mosi.pkl"]
