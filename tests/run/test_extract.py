"""One vector a frame: made once, kept with who was seen, never made again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import corpora
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from typer.testing import CliRunner

import mien
from mien.cli.verbs import app
from mien.data.manifest import Manifest
from mien.data.shards import opened
from mien.errors import DataError, RunError
from mien.run import folder
from mien.run.extract import extract
from mien.run.load import load
from mien.run.train import train

SMALL = (
    "stages=[frames]",
    "model.vision={model_type: face-net, widths: [4, 8], depths: [1, 1]}",
    "size=16",
    "epochs=1",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of eight people, and a run whose tower looked at single frames of them."""
    folder = tmp_path_factory.mktemp("films")
    data = corpora.watched(folder)
    train(
        "clip-sequential",
        preset="tiny",
        data=data,
        out=folder / "run",
        overrides=SMALL,
        quiet=True,
    )
    return folder


def _vectors(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")}


def test_every_frame_has_the_vector_that_the_run_makes_of_it_alone(home: Path) -> None:
    report = extract(home / "rows.jsonl", run=home / "run", jobs=0, batch=5, quiet=True)
    assert (report.rows, report.made, report.before, report.errors) == (8, 8, 0, [])
    made = Manifest.read(report.manifest)
    run = load(home / "run")
    for row in made.rows[:2]:
        ref = row.features["face"]
        assert isinstance(ref, str)
        assert row.fps == 25
        kept = load_file(home / ref.partition("::")[0])
        clip = opened(home / str(row.features["video"]).partition("::")[0]).clip("face-1")
        assert kept["face.seen"].tolist() == clip.mask.tolist()
        assert kept["face"].shape == (len(clip.mask), 8)
        assert not kept["face"][~clip.mask].any()
        for at in np.flatnonzero(clip.mask)[::5].tolist():
            pixels = {"video": torch.from_numpy(clip.frames([at])[None])}
            mask = {"video": torch.ones(1, 1, dtype=torch.bool)}
            with torch.no_grad():
                inputs, _ = run.front_end(pixels, mask)
                alone = run.model(**inputs).features["frames"][0, 0]
            np.testing.assert_allclose(kept["face"][at], alone.numpy(), atol=1e-5)
        with safe_open(home / ref.partition("::")[0], "numpy") as file:
            origin = json.loads(file.metadata()["origin"])
        assert (origin["row"], origin["fps"], origin["run"]) == (row.id, 25.0, "run")
        assert origin["recipe"]["crop"]["size"] > 0


def test_what_is_done_is_not_done_again_and_another_way_is_another_file(home: Path) -> None:
    extract(home / "rows.jsonl", run=home / "run", jobs=0, quiet=True)
    before = _vectors(home / "rows.vectors")
    report = extract(home / "rows.jsonl", run=home / "run", jobs=0, quiet=True)
    assert (report.made, report.before) == (0, 8)
    assert _vectors(home / "rows.vectors") == before
    report = extract(home / "rows.jsonl", run=home / "run", jobs=0, half=True, quiet=True)
    assert report.made == 8
    ref = str(Manifest.read(report.manifest).rows[0].features["face"])
    assert load_file(home / ref.partition("::")[0])["face"].dtype == np.float16


def test_vectors_are_read_over_time(home: Path) -> None:
    report = extract(home / "rows.jsonl", run=home / "run", jobs=0, quiet=True)
    metrics = train(
        "clip-sequential",
        preset="tiny",
        data=report.manifest,
        out=home / "over-time",
        overrides=["epochs=1"],
        quiet=True,
    )
    assert metrics["tasks"]["expression"]["answers"] == sum(
        int((np.load(home / f"x{i}.npy") >= 0).sum()) for i in (3, 7)
    )
    timeline = mien.load(home / "over-time").predict(report.manifest)[0]
    windows = timeline.tracks[0].windows
    assert len(windows) == 14, "frames without a face are answered, too"
    clip = opened(home / "0.shard").clip("face-1")
    assert [window.present["face"] for window in windows] == clip.mask.tolist()


SCRIPT = """
import sys
from mien.run.extract import extract
extract(sys.argv[1], run=sys.argv[2], out=sys.argv[3], jobs=1, batch=1, quiet=True)
"""


def test_a_kill_costs_only_what_was_unfinished(home: Path) -> None:
    out = home / "killed.jsonl"
    paths = [str(home / "rows.jsonl"), str(home / "run"), str(out)]
    command = [sys.executable, "-c", SCRIPT, *paths]
    process = subprocess.Popen(command, start_new_session=True)
    while not _vectors(home / "killed.vectors") and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    before = _vectors(home / "killed.vectors")
    assert before, "it was killed after the first was finished"
    assert not out.exists()
    report = extract(home / "rows.jsonl", run=home / "run", out=out, jobs=0, quiet=True)
    assert report.before >= len(before)
    assert report.before + report.made == 8
    after = _vectors(home / "killed.vectors")
    assert {name: after[name] for name in before} == before
    assert not list((home / "killed.vectors").rglob(".*.unfinished"))


def test_a_row_of_which_nothing_comes_is_a_line_and_the_rest_goes_on(home: Path) -> None:
    lines = (home / "rows.jsonl").read_text().splitlines()
    (home / "broken.shard").write_bytes((home / "1.shard").read_bytes()[:-40])
    lines[1] = lines[1].replace('"1.shard::', '"broken.shard::')
    lines.append('{"id": "said", "text": "hello", "split": "train"}')
    (home / "some.jsonl").write_text("\n".join(lines))
    (home / "some.tasks.json").write_text((home / "rows.tasks.json").read_text())
    words = ["data", "features", str(home / "some.jsonl"), "--run", str(home / "run"), "--json"]
    result = CliRunner().invoke(app, [*words, "--jobs", "0"])
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["rows"] == 7
    assert sorted(loss["row"] for loss in said["errors"]) == ["said", "w1"]
    assert "face" in Manifest.read(said["manifest"]).rows[0].features


def test_what_cannot_be_extracted_is_said_first(home: Path, tmp_path: Path) -> None:
    report = extract(home / "rows.jsonl", run=home / "run", jobs=0, quiet=True)
    with pytest.raises(DataError, match="already"):
        extract(report.manifest, run=home / "run", out=home / "again.jsonl", quiet=True)
    with pytest.raises(DataError, match="replace"):
        extract(home / "rows.jsonl", run=home / "run", out=home / "rows.jsonl", quiet=True)
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "text": "no frames"}')
    with pytest.raises(DataError, match=r"features\.video"):
        extract(tmp_path / "rows.jsonl", run=home / "run", quiet=True)
    train(
        "clip-sequential",
        preset="tiny",
        data=report.manifest,
        out=home / "no-frames",
        overrides=["epochs=1"],
        quiet=True,
    )
    with pytest.raises(RunError, match="stage frames"):
        extract(home / "rows.jsonl", run=home / "no-frames", out=home / "b.jsonl", jobs=0)


def test_the_stricter_licence_is_inherited(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = folder.read_card(home / "run")
    monkeypatch.setattr(folder, "read_card", lambda _: card | {"licence": "CC-BY-NC-SA-4.0"})
    out = home / "strict.jsonl"
    report = extract(home / "rows.jsonl", run=home / "run", out=out, jobs=0, quiet=True)
    assert Manifest.read(report.manifest).licence == "CC-BY-NC-SA-4.0"
