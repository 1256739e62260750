"""Tokens at frames: by the times of words, in blocks, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from mien.cli import app
from mien.data import features, words
from mien.data.manifest import Manifest
from mien.errors import DataError
from mien.run.align import align


def test_a_word_holds_until_the_next_one_begins() -> None:
    times = np.array([[0.2, 0.4], [0.5, 0.6], [1.0, 1.2]])
    at = words.by_times(times, 12, 10)
    assert at.tolist() == [-1, -1, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2]


def test_the_tokens_of_a_word_share_its_time() -> None:
    times = np.array([[0.0, 0.8], [0.0, 0.8], [0.0, 0.8], [0.0, 0.8], [0.8, 0.9]])
    assert words.by_times(times, 10, 10).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_without_times_frames_are_dealt_out_in_contiguous_blocks() -> None:
    for tokens, frames in ((1, 7), (3, 7), (5, 5), (9, 4), (4, 1)):
        at = words.in_blocks(tokens, frames)
        assert len(at) == frames
        assert at.tolist() == sorted(at)
        counts = np.bincount(at)
        assert len(counts) == min(tokens, frames), "extra tokens are dropped, no other"
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("times", "what"),
    [
        ([[0.5, 0.6], [0.1, 0.2]], "not in the order"),
        ([[0.5, 0.4]], "first and last second"),
        ([[-1.0, 0.4]], "first and last second"),
        ([[0.5, np.inf]], "first and last second"),
        ([0.5, 0.4], "times of words are"),
    ],
)
def test_times_that_cannot_be_are_refused(times: Any, what: str) -> None:
    with pytest.raises(DataError, match=what):
        words.by_times(np.array(times), 5, 10)


def _rows(folder: Path, **changes: Any) -> Path:
    random = np.random.default_rng(0)
    rows = []
    for i in range(3):
        np.save(folder / f"visual{i}.npy", random.normal(size=(8 + i, 4)).astype(np.float32))
        tokens = random.normal(size=(5 if i else 20, 3)).astype(np.float32)
        np.save(folder / f"text{i}.npy", tokens)
        row = {
            "id": f"r{i}",
            "fps": 10,
            "features": {"visual": f"visual{i}.npy", "text": f"text{i}.npy"},
        }
        rows.append(row)
    rows[1]["features"]["word_times"] = [[0.1, 0.2], [0.2, 0.3], [0.3, 0.4], [0.4, 0.5], [0.5, 0.6]]  # type: ignore[index]
    rows.append({"id": "silent", "fps": 10, "features": {"visual": "visual0.npy"}})
    rows[1] |= changes
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_manifest_gets_one_vector_a_frame(tmp_path: Path) -> None:
    path = _rows(tmp_path)
    found = CliRunner().invoke(app, ["data", "align", str(path), "--json"])
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert (said["rows"], said["timed"], said["dealt"], said["dropped"]) == (4, 1, 2, 12)
    manifest = Manifest.read(tmp_path / "rows.aligned.jsonl")
    rows = {row.id: row for row in manifest.rows}
    assert "text" not in rows["silent"].features
    assert "word_times" not in rows["r1"].features
    text = np.load(tmp_path / "text1.npy")
    made = features.load(rows["r1"].features["text"], manifest.place)
    there = features.seen(rows["r1"].features["text"], manifest.place)
    assert there is not None
    assert there.tolist() == [False] + [True] * 8
    np.testing.assert_array_equal(made[1:], text[[0, 1, 2, 3, 4, 4, 4, 4]])
    dealt = features.load(rows["r2"].features["text"], manifest.place)
    np.testing.assert_array_equal(dealt, np.load(tmp_path / "text2.npy").repeat(2, 0))


def test_what_does_not_fit_is_told_by_row(tmp_path: Path) -> None:
    path = _rows(tmp_path, fps=None)
    with pytest.raises(DataError, match="words have times") as caught:
        align(path)
    assert "r1" in str(caught.value.where)
    short = {"visual": "visual1.npy", "text": "text1.npy", "word_times": [[0.1, 0.2]]}
    with pytest.raises(DataError, match="1 words for 5 tokens"):
        align(_rows(tmp_path, features=short))
    with pytest.raises(DataError, match="no other feature over time"):
        align(_rows(tmp_path, features={"text": "text1.npy"}))
    with pytest.raises(DataError, match=r"no row has features\.words"):
        align(_rows(tmp_path), feature="words")
    with pytest.raises(DataError, match="would replace"):
        align(path, out=path)
