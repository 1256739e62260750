"""`mien data check` looks into media and prepared files, and `mien data prepare` from the shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import corpora
import films
import pytest

from mien.cli import main
from mien.data.check import Report, check
from mien.data.manifest import Manifest


def written(folder: Path, *rows: dict[str, Any]) -> Manifest:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), **row}) + "\n" for i, row in enumerate(rows)))
    return Manifest.read(path)


def kinds(report: Report) -> dict[str, list[str]]:
    return {finding.kind: list(finding.found) for finding in [*report.errors, *report.warnings]}


def test_media_are_looked_into(tmp_path: Path) -> None:
    films.film(tmp_path / "good.mp4", seconds=2, audio=films.tone(2.0))
    films.film(tmp_path / "mute.mp4", seconds=2)
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "good.mp4").read_bytes()[:300])
    manifest = written(
        tmp_path,
        {"video": "good.mp4", "start": 0.5, "end": 1.5},
        {"video": "broken.mp4"},
        {"video": "good.mp4", "start": 1, "end": 9},
        {"video": "good.mp4", "audio": "mute.mp4"},
    )
    found = kinds(check(manifest))
    assert [text.split(" ")[0] for text in found["broken file"]] == ["1"]
    assert [text.split(" ")[0] for text in found["span"]] == ["2"]
    assert [text.split(" ")[0] for text in found["no sound"]] == ["3"]
    assert found["no inputs"] == ["0", "1", "2", "3"]


def test_prepared_rows_are_whole_and_known_by_their_content(tmp_path: Path) -> None:
    manifest = Manifest.read(corpora.prepared(tmp_path))
    report = check(manifest)
    assert report.ok
    assert report.counts["features"] == {
        "audio": {"rows": 14, "shape": []}, "video": {"rows": 14, "shape": [32, 32, 3]},
    }  # fmt: skip
    # The same stretch of a shard under another id, on the other side of the split, is a leak.
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    twin = {**rows[0], "id": "twin", "speaker": "other", "source": "other", "split": "test"}
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, twin]))
    leaky = check(Manifest.read(tmp_path / "rows.jsonl"))
    assert any("same recording" in finding.what for finding in leaky.errors)
    # A shard that is cut off is broken.
    shard = tmp_path / "0.shard"
    shard.write_bytes(shard.read_bytes()[:-40])
    assert "broken file" in kinds(check(Manifest.read(tmp_path / "rows.jsonl")))


def shell(*words: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["mien", *map(str, words)])
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def test_preparing_from_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(2):
        wave = films.tone(1.0) * (0.5 + 0.2 * i)
        films.film(tmp_path / f"{i}.mp4", seconds=1, size=(64, 48), audio=wave)
    rows = [{"video": f"{i}.mp4", "labels": {"emotion": "calm"}} for i in range(2)]
    manifest = written(tmp_path, *rows, {"video": "missing.mp4"})
    words = ("data", "prepare", manifest.path, "--faces", "none", "--size", 32, "--json")
    assert shell(*words, monkeypatch=monkeypatch) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == 2
    assert [loss["row"] for loss in said["errors"]] == ["2"]
    prepared = Manifest.read(tmp_path / "rows.prepared.jsonl")
    assert [row.id for row in prepared.rows] == ["0", "1"]
    assert all("::frame" in str(row.features["video"]) for row in prepared.rows)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.shard")}
    assert shell(*words[:-1], monkeypatch=monkeypatch) == 1
    assert "missing.mp4" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.shard")}
