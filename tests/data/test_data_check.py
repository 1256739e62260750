"""What is planted in a corpus, a check finds, and says whose it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.data.check import Report, check
from mien.data.manifest import Inline, Manifest, Row, Track
from mien.types import Problem, Resolution, TaskSpec


def corpus(*, speakers: int = 8, clips: int = 6) -> list[dict[str, Any]]:
    """Nothing is wrong with it."""
    random = np.random.default_rng(0)
    return [
        {
            "id": f"s{speaker}-{clip}",
            "speaker": f"s{speaker}",
            "source": f"film {speaker}",
            "split": "test" if speaker >= speakers - 2 else "train",
            "features": {"au": Inline(random.normal(size=4))},
            "labels": {"emotion": ("happy", "sad", "neutral")[clip % 3]},
        }
        for speaker in range(speakers)
        for clip in range(clips)
    ]


def report(folder: Path, rows: list[dict[str, Any]], **how: Any) -> Report:
    manifest = Manifest([Row(**row) for row in rows], folder / "rows.jsonl")
    return check(manifest, **how)


def kinds(found: Report) -> dict[str, list[str]]:
    """Everything found, by kind."""
    named: dict[str, list[str]] = {}
    for finding in [*found.errors, *found.warnings]:
        named.setdefault(finding.kind, []).extend(finding.found)
    return named


def test_a_clean_corpus_has_no_findings(tmp_path: Path) -> None:
    found = report(tmp_path, corpus())
    assert found.lines() == []
    assert found.ok
    assert found.counts["splits"] == {"test": 12, "train": 36}
    assert found.counts["groups"] == 8
    assert found.counts["features"] == {"au": {"rows": 48, "shape": [4]}}
    assert found.counts["labels"]["emotion"]["train"] == {"happy": 12, "neutral": 12, "sad": 12}


# -- leaks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["split", "fold"])
@pytest.mark.parametrize("link", ["speaker", "source", "dialogue", "duplicate"])
def test_a_planted_leak_is_found(part: str, link: str, tmp_path: Path) -> None:
    rows = corpus()
    if part == "fold":
        for row in rows:
            row["fold"] = int(row["split"] == "test")
            del row["split"]
    train, test = rows[0], rows[-1]
    if link == "duplicate":
        test["features"] = dict(train["features"])
        expected = "s0-0 = s7-5"
    else:
        train[link] = test[link] = "both"
        expected = "both"
    named = kinds(report(tmp_path, rows))
    assert named[f"{link} leak"] == [expected]
    assert set(named) == {f"{link} leak"} | ({"duplicate"} if link == "duplicate" else set())


def test_a_file_copied_under_another_name_is_a_leak(tmp_path: Path) -> None:
    rows = corpus()
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.arange(4.0))
    rows[0]["features"], rows[-1]["features"] = {"au": "a.npy"}, {"au": "b.npy"}
    assert kinds(report(tmp_path, rows))["duplicate leak"] == ["s0-0 = s7-5"]
    np.save(tmp_path / "b.npy", np.arange(4.0) + 1)
    assert not kinds(report(tmp_path, rows))


def test_a_report_names_the_sides_and_counts_all(tmp_path: Path) -> None:
    rows = corpus(speakers=40, clips=3)
    for row in rows:
        row["split"] = "train" if row["id"].endswith("0") else "val"
        row["source"] = row["id"]
    (finding,) = [f for f in report(tmp_path, rows).errors if f.kind == "speaker leak"]
    assert finding.what == "a speaker is in train and val"
    assert len(finding.found) == 40
    assert finding.line(3).startswith("a speaker is in train and val: s0, s1, s10, and 37 more")
    made = finding.to_dict(3)
    assert (made["count"], made["found"]) == (40, ["s0", "s1", "s10"])


# -- files -------------------------------------------------------------------------------------


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    rows = corpus()
    np.save(tmp_path / "torn.npy", np.arange(4.0))
    (tmp_path / "torn.npy").write_bytes((tmp_path / "torn.npy").read_bytes()[:-3])
    np.save(tmp_path / "nan.npy", np.array([1, np.nan]))
    np.save(tmp_path / "none.npy", np.zeros((0, 4)))
    np.save(tmp_path / "wide.npy", np.arange(5.0))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "frames").mkdir()
    for index, ref in enumerate(("gone.npy", "torn.npy", "nan.npy", "none.npy", "wide.npy")):
        rows[index]["features"] = {"au": ref}
    rows[5] |= {"video": "gone.mp4"}
    rows[6] |= {"video": "empty.mp4", "audio": "gone.wav"}
    rows[7] |= {"video": "frames"}
    rows[8] |= {"features": {}, "audio": "../gone.wav"}
    rows[9] |= {"features": {}}
    found = report(tmp_path, rows)
    named = kinds(found)
    assert not found.ok
    assert named["missing file"] == ["s0-0 (gone.npy)", "s0-5 (gone.mp4)", "s1-0 (gone.wav)"]
    assert [text.partition(":")[0] for text in named["broken file"]] == [
        "s0-1 (torn.npy)",
        "s0-2 (nan.npy)",
        "s1-0 (empty.mp4)",
        "s1-1 (frames)",
    ]
    assert named["no fps"] == ["s1-1"]
    assert named["empty feature"] == ["s0-3 (none.npy)"]
    assert named["feature shape"] == ["s0-4"]
    assert named["path"] == ["s1-2"]
    assert named["no inputs"] == ["s1-2", "s1-3"]


def test_a_span_shorter_than_a_frame_is_named(tmp_path: Path) -> None:
    rows = corpus()
    rows[0] |= {"start": 1.0, "end": 1.01, "fps": 25}
    rows[1] |= {"start": 1.0, "end": 1.1, "fps": 25}
    assert kinds(report(tmp_path, rows)) == {"empty span": ["s0-0"]}


# -- labels ------------------------------------------------------------------------------------


def test_typos_are_found_with_what_was_meant(tmp_path: Path) -> None:
    rows = corpus()
    for index, typo in enumerate(("hapy", "Sad ", "neutrall", "awe")):
        rows[index]["labels"] = {"emotion": typo}
    named = kinds(report(tmp_path, rows))
    assert named["typo"] == [
        "'Sad ' (1) for 'sad' (15)",
        "'hapy' (1) for 'happy' (14)",
        "'neutrall' (1) for 'neutral' (15)",
    ]


def test_words_that_are_alike_but_often_used_are_no_typos(tmp_path: Path) -> None:
    rows = corpus()
    for index in range(3):
        rows[index]["labels"] = {"emotion": "happily"}
    assert "typo" not in kinds(report(tmp_path, rows))
    rows[2]["labels"] = {"emotion": "happy"}
    assert kinds(report(tmp_path, rows))["typo"] == ["'happily' (2) for 'happy' (16)"]


def test_labels_outside_a_task_are_errors(tmp_path: Path) -> None:
    spec = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("happy", "sad", "neutral"))
    rows = corpus()
    for index in (0, 3):
        rows[index]["labels"] = {"emotion": "hapy"}
    found = report(tmp_path, rows, specs={"emotion": spec})
    (finding,) = found.errors
    assert finding.what == "task 'emotion' has no label 'hapy': did you mean 'happy'?"
    assert finding.found == ["s0-0", "s0-3"]


def test_ranges_codes_and_unused_tasks_are_noted(tmp_path: Path) -> None:
    rows = corpus()
    for index, row in enumerate(rows):
        row["labels"] = {"v": 0.5 if index else 3.5, "code": index % 4}
    specs = {
        "v": TaskSpec(name="v", problem=Problem.REGRESSION, labels=("v",), ranges=((-1, 1),)),
        "code": TaskSpec(name="code", problem=Problem.REGRESSION, labels=("code",)),
        "other": TaskSpec(name="other", problem=Problem.ONE_OF_N, labels=("x", "y")),
    }
    named = kinds(report(tmp_path, rows, specs=specs))
    assert named == {"range": ["s0-0"], "codes": ["0", "1", "2", "3"], "no labels": []}


def test_classes_that_cannot_be_learned_are_named(tmp_path: Path) -> None:
    rows = corpus(clips=30)
    rows[-1]["labels"] = {"emotion": "fear"}
    for row in rows[:-1]:
        rare = row["id"] == "s0-1"
        row["labels"] = {"emotion": "sad" if rare else "happy"}
    found = report(tmp_path, rows)
    named = kinds(found)
    assert named["unlearned class"] == ["fear but in another split (1 rows)"]
    assert named["imbalance"] == ["happy 179", "sad 1"]
    assert found.counts["labels"]["emotion"]["test"] == {"fear": 1, "happy": 59}


def test_tracks_are_read_and_compared_with_the_features(tmp_path: Path) -> None:
    spec = TaskSpec(
        name="au", problem=Problem.MANY_OF_N, labels=("AU1", "AU2"), resolution=Resolution.FRAME
    )
    np.save(tmp_path / "good.npy", np.zeros((5, 2)))
    np.save(tmp_path / "long.npy", np.zeros((90, 2)))
    np.save(tmp_path / "wide.npy", np.zeros((5, 3)))
    rows = [
        {"id": name, "features": {"face": Inline(np.eye(5))}, "labels": {"au": label}}
        for name, label in {
            "good": Track("good.npy"),
            "long": Track("long.npy"),
            "wide": Track("wide.npy"),
            "gone": Track("gone.npy"),
            "word": "AU1",
        }.items()
    ]
    for index, row in enumerate(rows):
        row["features"] = {"face": Inline(np.eye(5) + index)}
    named = kinds(report(tmp_path, rows, specs={"au": spec}))
    assert named["track length"] == ["long (90, features [5])"]
    assert named["label"] == ["wide", "gone", "word"]


def test_an_undeclared_task_is_an_error_not_an_end(tmp_path: Path) -> None:
    rows = corpus()
    rows[0]["labels"] = {"mood": [0.1, 0.2]}
    rows[1]["features"] = {"au": "gone.npy"}
    named = kinds(report(tmp_path, rows))
    assert set(named) == {"undeclared task", "missing file"}


# -- the report itself -------------------------------------------------------------------------


def test_a_report_is_plain_json_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    rows = corpus()
    rows[0]["features"] = {"au": "gone.npy"}
    found = report(tmp_path, rows, limit=1, progress=lambda done, all_: told.append((done, all_)))
    assert told == [(i, 48) for i in range(1, 49)]
    read = json.loads(json.dumps(found.to_dict()))
    assert read["ok"] is False
    assert read["errors"][0] == {
        "kind": "missing file",
        "what": "a feature file is not there",
        "fix": None,
        "count": 1,
        "found": ["s0-0 (gone.npy)"],
    }
    assert found.lines() == ["error: a feature file is not there: s0-0 (gone.npy)"]


def test_looking_at_data_imports_no_torch() -> None:
    code = (
        "import sys, mien.data.check, mien.data.split, mien.data.manifest, mien.data.order\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
