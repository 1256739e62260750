"""A run, back in memory: what it answers, and what it needs in another place."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import corpora
import huggingface_hub
import numpy as np
import pytest
import torch
from small_towers import VISION, spread
from transformers import CLIPVisionConfig, CLIPVisionModel

import mien
from mien.errors import DataError, TowerError
from mien.parts import towers
from mien.run import checkpoint
from mien.run.train import train
from mien.timelines import formats
from mien.types import Timeline


def _rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the toy system, beside the corpus it learned from."""
    home = tmp_path_factory.mktemp("toy")
    train(
        "toy-clip", data=corpora.clips(home), out=home / "run", overrides=["epochs=1"], quiet=True
    )
    return home / "run"


def _scores(timelines: list[Timeline]) -> list[Any]:
    return [[window.scores for _, window in timeline] for timeline in timelines]


# -- answers ---------------------------------------------------------------------------------------


def test_rows_and_arrays_of_the_same_clip_get_the_same_answer(toy: Path) -> None:
    run = mien.load(toy)
    manifest = run.read(toy.parent / "rows.jsonl")
    rows = run.dataset(manifest, manifest.rows)
    clips = [rows[i].inputs for i in range(len(manifest.rows))]
    for one, two in zip(run.predict(manifest), run.predict(clips), strict=True):
        assert one.made_by == two.made_by
        for a, b in zip(one, two, strict=True):
            assert a[1].scores["emotion"] == pytest.approx(b[1].scores["emotion"], abs=1e-6)
            assert a[1].present == b[1].present


def test_a_model_answers_to_tensors_alone(toy: Path) -> None:
    run = mien.load(toy)
    output = run.model(b=torch.zeros(2, 1, 4))
    assert output.logits["emotion"].shape == (2, 3)
    assert not run.model.training


def test_a_timeline_says_who_made_it(toy: Path) -> None:
    made_by = mien.load(toy).predict([{"b": np.zeros(4)}])[0].made_by
    assert made_by == {
        "run": "run",
        "system": "toy-clip",
        "preset": "tiny",
        "mien": mien.__version__,
        "licence": "Apache-2.0",
    }


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({"c": np.zeros(4)}, r"there is no modality 'c'"),
        ({}, "there is nothing in this clip"),
        ({"a": np.zeros((0, 6)), "b": np.zeros((0, 4))}, "there is nothing in this clip"),
    ],
)
def test_a_clip_that_cannot_be_read_is_named(clip: dict[str, Any], message: str, toy: Path) -> None:
    with pytest.raises(DataError, match=message) as error:
        mien.load(toy).predict([{"b": np.zeros(4)}, clip])
    assert error.value.where == "clip 1"


def test_an_empty_array_is_an_absent_modality(toy: Path) -> None:
    run, vector = mien.load(toy), np.ones(4)
    (empty,) = run.predict([{"a": np.zeros((0, 6)), "b": vector}])
    (absent,) = run.predict([{"b": vector}])
    assert empty.to_dict() == absent.to_dict()
    assert run.predict([]) == []


# -- windows ---------------------------------------------------------------------------------------


def _edges(timeline: Timeline) -> list[tuple[float, float]]:
    return [(round(window.start, 4), round(window.end, 4)) for _, window in timeline]


def test_a_clip_is_one_window_from_its_start_to_its_end(toy: Path, tmp_path: Path) -> None:
    run = mien.load(toy)
    np.save(tmp_path / "three.npy", np.zeros((3, 6), np.float32))
    np.save(tmp_path / "six.npy", np.zeros((6, 6), np.float32))
    rows: list[dict[str, Any]] = [
        {"id": "known", "start": 2.0, "end": 3.5, "features": {"a": "three.npy"}},
        {"id": "frames", "fps": 4, "features": {"a": "three.npy"}},
        {"id": "later", "fps": 4, "start": 10.0, "features": {"a": "six.npy"}},
        {"id": "nothing", "features": {"b": [0.0] * 4}},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {timeline.source: _edges(timeline) for timeline in run.predict(path)}
    assert found == {
        "known": [(2.0, 3.5)],
        "frames": [(0.0, 0.75)],
        "later": [(10.0, 11.5)],
        "nothing": [(0.0, 0.0)],
    }


def test_frames_are_windows_that_touch(tmp_path: Path) -> None:
    data = corpora.frames(tmp_path)
    train("toy-frames", data=data, out=tmp_path / "run", overrides=["epochs=1"], quiet=True)
    run = mien.load(tmp_path / "run")
    timelines = run.predict(data)
    for index, timeline in enumerate(timelines):
        edges = _edges(timeline)
        assert len(edges) == 5 + index % 6
        assert edges[0][0] == 0
        assert all(a[1] == b[0] for a, b in pairwise(edges))
        assert edges[-1][1] == pytest.approx(len(edges) / 5)
    assert {tuple(window.scores) for _, window in timelines[0]} == {("au", "affect")}
    formats.write(tmp_path / "said.jsonl", timelines)
    lines = (tmp_path / "said.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [timeline.to_dict() for timeline in timelines]


def test_utterances_without_times_are_numbered(tmp_path: Path) -> None:
    data = corpora.dialogues(tmp_path)
    train("toy-dialogues", data=data, out=tmp_path / "run", overrides=["epochs=1"], quiet=True)
    timelines = mien.load(tmp_path / "run").predict(data)
    assert timelines[2].source == "d2"
    assert _edges(timelines[2]) == [(0, 1), (1, 2), (2, 3), (3, 4)]


# -- another place ---------------------------------------------------------------------------------


def test_the_root_of_the_training_data_binds_no_other_manifest(tmp_path: Path) -> None:
    """A run learned from one disk reads manifests on another."""
    here, there = tmp_path / "here" / "rows", tmp_path / "there"
    here.mkdir(parents=True)
    there.mkdir()
    words = ["epochs=1", f"data.root={here.parent}"]
    data, out = corpora.clips(here), tmp_path / "run"
    train("toy-clip", data=data, out=out, overrides=words, quiet=True)
    run = mien.load(out)
    assert _scores(run.predict(corpora.clips(there))) == _scores(run.predict(data))
    outside = _rewritten(there / "rows.jsonl", lambda row: row.update(features={"a": "../x.npy"}))
    np.save(tmp_path / "x.npy", np.zeros((2, 6)))
    with pytest.raises(DataError, match="leaves the folder"):
        run.predict(outside)


def _cached(cache: Path, name: str) -> None:
    """A small image tower in the hub's cache, as the hub's client lays it there."""
    home = cache / f"models--{name.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("abc123")
    spread(CLIPVisionModel(CLIPVisionConfig(**VISION))).save_pretrained(home / "snapshots/abc123")


def test_a_run_without_its_large_towers_says_what_fetches_them_and_one_with_them_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(towers, "SMALL", 0)
    _cached(tmp_path / "hub", "someone/clip")
    data = corpora.recordings(tmp_path)
    rows = [line for line in data.read_text().splitlines() if '"video"' in line]
    data.write_text("\n".join(rows))
    words = ["model.vision=someone/clip", "modalities=[video]", "size=16", "epochs=1"]
    words += ["batch_size=4", "model.temporal=mean"]
    for name, contained in (("lean", False), ("whole", True)):
        out = tmp_path / name
        train("claip-emo", preset="tiny", data=data, out=out, overrides=words, quiet=True,
              self_contained=contained)  # fmt: skip
        (record,) = checkpoint.read_object(out / "card.json")["towers"].values()
        assert (record["name"], record["revision"]) == ("someone/clip", "abc123")
        assert record["stored"] is contained is (out / "towers").exists()
    wanted = _scores(mien.load(tmp_path / "lean").predict(data))

    # On another machine, which has never seen the tower and reaches no hub:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    (tmp_path / "moved").mkdir()
    for name in ("lean", "whole"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    with pytest.raises(TowerError, match="'someone/clip' is not in the cache") as error:
        mien.load(tmp_path / "moved" / "lean")
    assert str(error.value.fix).startswith("hf download someone/clip config.json ")
    assert "--revision abc123" in str(error.value.fix)
    assert _scores(mien.load(tmp_path / "moved" / "whole").predict(data)) == wanted
