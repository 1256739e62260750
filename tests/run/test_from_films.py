"""`mien data scenes`, and from films to answers: three extractors, then the dialogue network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import film, tone
from typer.testing import CliRunner

import mien
from mien.cli import app
from mien.data.crops import CropRecipe
from mien.data.manifest import Manifest
from mien.data.prepare import Recipe
from mien.errors import DataError
from mien.run.prepare import prepare
from mien.run.scenes import How, scenes

SMALL = How(frames=3, size=32, detector="haar")


def _talks(folder: Path, number: int = 8) -> Path:
    """Films of dialogues of two: bright and high where glad; nobody is seen in them."""
    rows = []
    for talk in range(number):
        for turn in range(2):
            glad = (talk + turn) % 2
            name = f"d{talk}u{turn}.mp4"
            shade = np.full((48, 64, 3), 60 + 120 * glad + talk, np.uint8)
            film(
                folder / name, seconds=0.4, fps=10, draw=lambda *_, s=shade: s,
                audio=tone(0.4, hertz=300 + 500 * glad),
            )  # fmt: skip
            rows.append(
                {
                    "id": f"d{talk}u{turn}", "dialogue": f"d{talk}", "turn": turn,
                    "speaker": f"d{talk}s{turn}", "video": name, "audio": name,
                    "text": ["oh no", "oh yes"][glad],
                    "split": ["train", "train", "val", "test"][talk % 4],
                    "labels": {"emotion": ["sad", "glad"][glad]},
                }
            )  # fmt: skip
    path = folder / "talks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _talks(tmp_path_factory.mktemp("talks"))


def _typed(*words: Any) -> str:
    said = CliRunner().invoke(app, [str(word) for word in words])
    assert said.exit_code == 0, said.output
    return said.output


def test_from_films_to_answers_about_whole_dialogues(talks: Path) -> None:
    home = talks.parent
    recipe = Recipe(faces="none", fps=5, crop=CropRecipe(by="whole", size=32))
    prepare(talks, recipe=recipe, jobs=0, quiet=True)
    report = scenes(home / "talks.prepared.jsonl", how=SMALL, jobs=0, quiet=True)
    assert (report.rows, report.errors) == (16, [])
    assert 0 < report.made <= 16, "films of the same content are looked at once"
    again = scenes(home / "talks.prepared.jsonl", how=SMALL, jobs=0, quiet=True)
    assert (again.rows, again.made) == (16, 0), "what is finished is not done again"
    data = home / "talks.scenes.jsonl"
    for stage in ("text", "audio", "visual"):
        _typed("train", "m2fnet", "--preset", "tiny", "--stage", stage, "--data", data,
               "--out", home / stage, "-q", "epochs=1", "batch_size=8")  # fmt: skip
    runs = [word for stage in ("text", "audio", "visual") for word in ("--run", home / stage)]
    said = _typed("data", "features", data, *runs)
    assert "features.visual: 16 values, in 16 of them" in said
    table = home / "talks.scenes.features.parquet"
    found = Manifest.read(table)
    assert {"text", "audio", "visual"} <= found.rows[0].features.keys()
    _typed("train", "m2fnet", "--preset", "tiny", "--data", table, "--out", home / "fused", "-q",
           "epochs=1")  # fmt: skip
    timelines = mien.load(home / "fused").predict(table)
    assert [len(list(timeline)) for timeline in timelines] == [2] * 8
    assert all(all(window.present.values()) for t in timelines for _, window in t)


def test_a_film_that_cannot_be_read_is_one_line(talks: Path, tmp_path: Path) -> None:
    (tmp_path / "good.mp4").write_bytes((talks.parent / "d0u0.mp4").read_bytes())
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    rows = [{"id": name, "video": f"{name}.mp4"} for name in ("good", "bad", "gone")]
    path = tmp_path / "clips.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": "mute", "text": "a"}]))
    report = scenes(path, how=SMALL, jobs=0, quiet=True)
    assert sorted(loss.row for loss in report.errors) == ["bad", "gone"]
    found = {row.id: set(row.features) for row in Manifest.read(report.manifest).rows}
    assert found == {"good": {"scene", "faces", "boxes"}, "bad": set(), "gone": set(),
                     "mute": set()}  # fmt: skip
    path.write_text('{"id": "mute", "text": "a"}\n')
    with pytest.raises(DataError, match="no row has a film"):
        scenes(path, how=SMALL, jobs=0, quiet=True)
