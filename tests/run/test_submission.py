"""Files for a challenge: the frames of its example, each once, and answers that come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from challenge import TRACKS, copy, pictures
from typer.testing import CliRunner

import mien
from mien.cli.verbs import app
from mien.data.crops import CropRecipe
from mien.data.manifest import Manifest
from mien.data.prepare import Recipe
from mien.errors import DataError
from mien.importers.corpus import Options
from mien.run import submission
from mien.run.extract import extract
from mien.run.importing import take_in
from mien.run.prepare import prepare
from mien.run.train import train
from mien.types import TaskSpec

FRAMES = {"new_left": 12, "new_right": 9, "30-30-1920x1080": 14}


def _example(spec: TaskSpec) -> str:
    """As the challenge gives it: every frame of the raw videos, whether it has a picture or not."""
    cells = ["0"] * (1 if spec.categorical else spec.width)
    lines = [
        ",".join([f"{video}/{frame:05d}.jpg", *cells])
        for video, count in FRAMES.items()
        for frame in range(1, count + 1)
    ]
    return "\n".join([",".join(["image_location", *spec.labels]), *lines]) + "\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Imported, prepared and looked at by a tower once; then a run over time for each task."""
    folder = copy(tmp_path_factory.mktemp("aff"))
    pictures(folder / "cropped_aligned/new_left", 12, {1, 4}, 20)
    pictures(folder / "cropped_aligned/new_right", 9, set(), 21)
    pictures(folder / "cropped_aligned/30-30-1920x1080", 14, {3, 13, 14}, 22)  # ends before
    recipe = Recipe(faces="none", fps=30, crop=CropRecipe(size=24))
    for name, (spec, _) in TRACKS.items():
        (folder / f"{name}.example.txt").write_text(_example(spec))
        options = Options(split={"test": f"{name}.example.txt"})
        take_in(name, folder, options=options, quiet=True)
        prepare(folder / f"{name}.jsonl", recipe=recipe, jobs=0, quiet=True)
    small = ["model.vision={model_type: face-net, widths: [4, 8], depths: [1, 1]}", "size=16"]
    words = ["stages=[frames]", *small, "epochs=1", "every=1", "train.select=last"]
    data = folder / "aff-wild2-expr.prepared.jsonl"
    train("clip-sequential", preset="tiny", data=data, out=folder / "tower", overrides=words)
    for name in TRACKS:
        path = folder / f"{name}.prepared.jsonl"
        report = extract(path, run=folder / "tower", jobs=0, quiet=True)
        words = ["epochs=1", "train.select=last"]
        out = folder / name
        train("clip-sequential", preset="tiny", data=report.manifest, out=out, overrides=words)
    return folder


@pytest.mark.parametrize("name", sorted(TRACKS))
def test_answers_come_back_as_they_were_given(name: str, home: Path) -> None:
    spec, _ = TRACKS[name]
    data, out = home / f"{name}.features.jsonl", home / f"{name}.txt"
    example = home / f"{name}.example.txt"
    words = ["data", "submission", str(home / name), "--data", str(data)]
    result = CliRunner().invoke(app, [*words, "--example", str(example), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "35 frames of 3 videos" in result.output
    assert "2 lie behind a video's last picture" in result.output
    lines, given = out.read_text().split("\n"), example.read_text().split("\n")
    assert lines[0] == given[0]
    assert [line.split(",")[0] for line in lines] == [line.split(",")[0] for line in given]
    found = submission.read(out, spec)
    timelines = mien.load(home / name).predict(data)
    for row, timeline in zip(Manifest.read(data).rows, timelines, strict=True):
        if row.id not in FRAMES:
            continue
        for frame in range(1, FRAMES[row.id] + 1):
            windows = timeline.tracks[0].windows
            scores = windows[min(frame, len(windows)) - 1].scores[spec.name]
            values = np.array(list(scores.values()))
            if spec.categorical:
                values = np.array([values.argmax()])
            elif spec.name == "action_units":
                values = values >= 0.5
            np.testing.assert_allclose(found[row.id, frame], values.astype(float), atol=1e-5)


def test_frames_without_a_picture_are_told_apart_and_answered(home: Path) -> None:
    manifest = Manifest.read(home / "aff-wild2-va.features.jsonl")
    row = next(row for row in manifest.rows if row.id == "new_left")
    run = mien.load(home / "aff-wild2-va")
    sample = run.dataset(manifest, [row])[0]
    assert sample.mask["face"].tolist() == [False, True, True, False, True, True]


def _mended(example: Path, old: str, new: str) -> str:
    text = example.read_text()
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("valence,arousal", "arousal,valence", "its header"),
        ("new_left/00002.jpg", "new_left/00001.jpg", "twice"),
        ("new_left/00002.jpg", "new_left/00000.jpg", "no frame"),
        ("new_left/00002.jpg", "../new_left/2.jpg", "no frame"),
        ("new_left/00002.jpg", "new_front/00002.jpg", "no row is called like 1"),
    ],
)
def test_an_example_that_does_not_fit_is_refused(
    old: str, new: str, what: str, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "example.txt").write_text(_mended(home / "aff-wild2-va.example.txt", old, new))
    with pytest.raises(DataError, match=what):
        submission.submit(
            home / "aff-wild2-va",
            data=home / "aff-wild2-va.features.jsonl",
            example=tmp_path / "example.txt",
            out=tmp_path / "out.txt",
        )
    assert not (tmp_path / "out.txt").exists()


def test_a_file_that_answers_other_frames_is_noticed(home: Path, tmp_path: Path) -> None:
    spec, _ = TRACKS["aff-wild2-expr"]
    example, other = home / "aff-wild2-expr.example.txt", tmp_path / "other.txt"
    submission.check(example, example, spec)
    other.write_text(_mended(example, "new_left/00002.jpg,0\n", ""))
    with pytest.raises(DataError, match="frame 2 of 'new_left' has no answer"):
        submission.check(other, example, spec)
    with pytest.raises(DataError, match="nobody asks for frame 2 of 'new_left'"):
        submission.check(example, other, spec)
    other.write_text(_mended(example, "new_left/00002.jpg,0", "new_left/00002.jpg,happy"))
    with pytest.raises(DataError, match="1 numbers stand here"):
        submission.check(other, example, spec)
