"""The recipe of mien-pocket, step by step on made-up data, to a run that answers."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import mien
from mien import config
from mien.parts import towers
from mien.parts.small import SmallConfig

RECIPES = Path(__file__).parents[2] / "recipes" / "pocket"


@pytest.fixture(autouse=True)
def _neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps import each other, as they do where a shell starts them."""
    monkeypatch.syspath_prepend(str(RECIPES))


def _step(name: str) -> dict[str, Any]:
    return runpy.run_path(str(RECIPES / f"{name}.py"))


def _table(path: Path, pictures: list[tuple[str, str, np.ndarray]]) -> Path:
    packed = [cv2.imencode(".png", picture)[1].tobytes() for _, _, picture in pictures]
    names, labels = [name for name, _, _ in pictures], [label for _, label, _ in pictures]
    pq.write_table(pa.table({"id": names, "label": labels, "jpg": packed}), path)
    return path


def _faces(folder: Path) -> Path:
    """24 pictures to train on, of which one is tested as well and one stands twice."""
    random = np.random.default_rng(0)
    labels = _step("faces")["LABELS"]
    train = [
        (f"t{i % 20}", labels[i % 7], random.integers(0, 255, (48, 48)).astype(np.uint8))
        for i in range(24)
    ]
    train.append(("again", "sad", train[3][2]))
    tested = [
        (f"v{i}", labels[i], random.integers(0, 255, (48, 48)).astype(np.uint8)) for i in range(7)
    ]
    tested[2] = ("seen", "fear", train[5][2])
    tables = (_table(folder / "t.parquet", train), _table(folder / "v.parquet", tested))
    manifest: Path = _step("faces")["write"](*tables, folder / "faces")
    return manifest


def _voices(folder: Path, clips: int = 12) -> Path:
    """A prepared manifest of twelve noises that stand for actors, and the recipe's own sounds."""
    random = np.random.default_rng(1)
    labels = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    lines = []
    for i in range(24):
        np.save(folder / f"{i}.npy", random.normal(size=16000).astype(np.float32))
        row = {
            "id": f"a{i}",
            "speaker": f"actor{i // 4}",
            "fold": i // 4,
            "features": {"audio": f"{i}.npy"},
            "labels": {"emotion": labels[i % 8]},
        }
        lines.append(json.dumps(row))
    prepared = folder / "ravdess.prepared.jsonl"
    prepared.write_text("\n".join(lines) + "\n")
    manifest: Path = _step("voices")["write"](prepared, clips=clips)
    return manifest


def test_pictures_that_leak_or_stand_twice_are_left_out(tmp_path: Path) -> None:
    rows = mien.Manifest.read(_faces(tmp_path)).rows
    parts = {part: [row for row in rows if row.split == part] for part in ("train", "test")}
    assert (len(parts["train"]), len(parts["test"])) == (23, 7)
    assert [row.groups["seen"] for row in parts["test"]].count("true") == 1


def test_made_up_sounds_are_of_every_kind_and_repeat(tmp_path: Path) -> None:
    step = _step("voices")
    one, two = step["made_up"](10, 3), step["made_up"](10, 3)
    assert all(torch.equal(wave, two[name]) for name, wave in one.items())
    assert {name.split("-")[0] for name in one} == set(step["KINDS"])
    assert all(wave.abs().max() <= 1 and torch.isfinite(wave).all() for wave in one.values())
    rows = mien.Manifest.read(_voices(tmp_path, clips=36)).rows
    nobody = [row for row in rows if row.labels["emotion"] == "nobody"]
    met = {(row.id.split("-")[0], row.fold) for row in nobody}
    assert met == {(kind, fold) for kind in step["KINDS"] for fold in range(6)}


@pytest.mark.parametrize(("name", "modality"), [("face", "vision"), ("voice", "audio")])
def test_recipes_make_the_towers_that_are_counted_by_name(name: str, modality: str) -> None:
    settings = config.resolve("claip-emo", file=RECIPES / f"{name}.yaml")
    made = SmallConfig.from_dict(settings.model.model_dump()[modality])
    known = SmallConfig.from_dict(dict(towers.POCKET[f"pocket/{name}"]))
    assert replace(made, dropout=0) == replace(known, dropout=0)


def test_temperatures_are_those_of_the_best_likelihood() -> None:
    torch.manual_seed(0)
    targets = torch.randint(5, (4000,))
    logits = torch.randn(4000, 5)
    logits[torch.arange(4000), targets] += 1.5
    targets = torch.multinomial(logits.softmax(1), 1)[:, 0]  # calibrated as they are
    fit = _step("assemble")["fit_temperature"]
    assert fit(logits.softmax(1), targets) == pytest.approx(1, abs=0.05)
    assert fit((3 * logits).softmax(1), targets) == pytest.approx(3, abs=0.15)


def test_one_clip_of_a_hundred_is_lost_to_doubt() -> None:
    torch.manual_seed(0)
    silent = torch.cat([torch.rand(1000) * 0.4, torch.rand(100) * 0.2 + 0.8])
    scores = torch.stack([1 - silent, silent], 1)
    targets = torch.tensor([0] * 1000 + [1] * 100)
    doubt = _step("assemble")["fit_doubt"](scores, targets, 1.0, 1)
    speaks = 1 - silent
    stands = speaks / (speaks + doubt * (1 - speaks))
    assert (stands[:1000] < 0.5).float().mean() == pytest.approx(0.01, abs=2e-3)
    assert (stands[1000:] < 0.5).all()


def test_the_whole_recipe_ends_with_a_run_that_answers(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    faces, voices = _faces(tmp_path), _voices(tmp_path)
    small = ["epochs=1", "batch_size=8", "precision=fp32"]
    for name, data, words, folds in (
        ("face", faces, ["model.vision.widths=[4, 8]", "model.vision.depths=[1, 1]"], False),
        ("voice", voices, ["select=last"], False),
        ("voice", voices, ["data.held_out=0.3"], True),
    ):
        if name == "voice":
            words = [*words, "model.audio.widths=[4, 8]", "model.audio.depths=[1, 1]"]
        mien.train(
            "claip-emo",
            config=RECIPES / f"{name}.yaml",
            data=data,
            out=tmp_path / (f"{name}-folds" if folds else name),
            folds=folds,
            overrides=[*small, *words],
            quiet=True,
        )
    out = tmp_path / "run"
    fitted = _step("assemble")["assemble"](
        tmp_path / "face", faces, tmp_path / "voice", tmp_path / "voice-folds", out
    )
    assert set(fitted) == {"audio", "video", "doubt"}
    run = mien.load(out)
    assert run.card["licence"] == "CC-BY-NC-SA-4.0"
    clip = {"video": np.zeros((4, 96, 96, 3), np.uint8), "audio": np.zeros(32000, np.float32)}
    (timeline,) = run.predict([clip])
    scores = timeline.tracks[0].windows[0].scores["emotion"]
    assert list(scores) == list(_step("assemble")["LABELS"])
    _measured(tmp_path, out, faces, voices)


def _measured(home: Path, run: Path, faces: Path, voices: Path) -> None:
    """All that the card says can be measured of such runs."""
    measure = _step("measure")
    seen = measure["faces"](run, faces, None)["pocket"]
    assert sorted(part["clips"] for part in seen["slices"]["seen"]["slices"]) == [1, 6]
    heard = measure["voices"](home / "voice-folds")["0"]
    assert len(heard["confusion"]["labels"]) == 8
    assert heard["clips"] == 24
    clean = measure["wear"](home / "voice-folds", voices)["clean"]
    assert clean["uar"] == pytest.approx(heard["scores"]["uar"])
    said = measure["nobody"](run, voices, clips=6)
    kinds = {*_step("voices")["KINDS"], *measure["UNHEARD"]}
    assert set(said) == kinds | {"nobody", "ravdess"}


def test_two_opinions_that_err_apart_are_better_together(tmp_path: Path) -> None:
    joined = _step("measure")["together"]
    random = np.random.default_rng(0)
    targets = random.integers(8, size=2000)
    logits = random.normal(size=(2, 2000, 8)) * 2
    logits[:, np.arange(2000), targets] += 2
    scores = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    parts = np.arange(2000) % 4
    found = joined([scores[0], scores[1]], targets, parts)
    right = [(one.argmax(1) == targets).mean() for one in (*scores, found)]
    assert right[2] > max(right[:2]) + 0.1
    np.testing.assert_allclose(found.sum(1), 1)


def test_actors_move_on_and_never_meet_themselves() -> None:
    rows = [{"id": f"{a}-{i}", "speaker": f"{a:02}"} for a in range(1, 25) for i in range(5)]
    rows += [{"id": "hum", "speaker": "nobody-3"}]
    step = _step("adapt")
    turns = list(step["ravdess"](rows))
    tested: list[str] = []
    for turn in turns:
        before, own, test = (
            {row["speaker"] for row in part} for part in (turn.before, turn.own, turn.test)
        )
        assert (len(before - {"nobody-3"}), len(own), len(test)) == (12, 8, 4)
        assert not before & (own | test)
        assert not own & test
        tested += sorted(test)
    assert len(tested) == len(set(tested)) == 12
    fifth = list(step["_some"](turns[0].own, 0.2))
    assert len(fifth) == 8
    assert fifth == list(step["_some"](turns[0].own, 0.2))
