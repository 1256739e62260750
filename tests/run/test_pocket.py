"""mien-pocket as it is found: a package that carries a run, here small and with random weights."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import torch

import mien
from mien.errors import RunError, TowerError
from mien.parts import hub, towers
from mien.run import infer, pocket
from mien.systems.pocket import Network
from mien.types import Window

MEANS = "model.voice_means={calm: calm, glad: glad, nobody: nobody}"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path that holds a package like mien-pocket."""
    home = tmp_path_factory.mktemp("pocket")
    data = corpora.recordings(home)
    torch.set_num_threads(1)
    overrides = [MEANS, "epochs=1"]
    mien.train(
        "pocket", preset="tiny", data=data, out=home / "run", overrides=overrides, quiet=True
    )
    package = home / "site" / "mien_pocket"
    shutil.copytree(home / "run", package / "run")
    (package / "__init__.py").touch()
    return home


@pytest.fixture
def installed(small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(small / "site"))
    return small


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def _clips() -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    return [
        {
            "video": random.integers(0, 255, (8, 20, 20, 3)).astype(np.uint8),
            "audio": random.normal(size=16000).astype(np.float32),
        }
    ]


def test_its_run_is_loaded_by_its_name(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = mien.load("pocket"), mien.load(installed / "run")
    assert one.predict(_clips())[0].tracks == two.predict(_clips())[0].tracks
    assert pocket.folder() == hub.pocket()
    assert one.card["licence"] in capsys.readouterr().err
    pocket.folder(quiet=True)
    assert not capsys.readouterr().err


def test_its_towers_are_opened_by_name(installed: Path) -> None:
    run = mien.load("pocket")
    for name, opened in (
        ("face", towers.vision("pocket/face")),
        ("voice", towers.audio("pocket/voice")),
    ):
        network: Any = run.model
        own = network.opinions["video" if name == "face" else "audio"]
        assert towers.fingerprint(opened) == towers.fingerprint(own.tower)


def test_without_it_both_say_what_to_do(absent: None) -> None:
    with pytest.raises(RunError, match=r"not installed(.|\n)*pip install(.|\n)*--run"):
        pocket.folder()
    with pytest.raises(TowerError, match=r"not installed(.|\n)*pip install"):
        mien.load("pocket")


def test_a_run_that_learned_from_its_towers_needs_it_no_more(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["model.size=16", "model.frames=2", "model.stride=2", "model.audio_seconds=0.5"]
    overrides = [*small, "epochs=1", "batch_size=4", "precision=fp32"]
    (data,) = installed.glob("*.jsonl")
    for name, more in (("tuned", []), ("frozen", ["tune=adapters", "vision_rank=0"])):
        mien.train(
            "claip-emo",
            preset="pocket",
            data=data,
            out=tmp_path / name,
            overrides=[*overrides, *more, *(["audio_rank=0"] if more else [])],
            quiet=True,
        )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name in ("tuned", "frozen"):
        assert mien.load(tmp_path / name).predict(_clips())[0].tracks[0].windows[0].scores


# -- opinions --------------------------------------------------------------------------------------


def test_opinions_are_multiplied_and_what_both_assume_counts_once(small: Path) -> None:
    run = mien.load(small / "run")
    network = run.model
    assert isinstance(network, Network)
    network.prior.copy_(torch.tensor([0.7, 0.3]))
    face = {"video": torch.randn(3, 3, 4, 16, 16)}
    voice = {"audio": torch.randn(3, 1, 50, 64)}
    with torch.no_grad():
        seen, heard, both = (network(**given) for given in (face, voice, face | voice))
        said, _ = network.opinions["audio"](voice["audio"], None)
    chances = [o.logits["emotion"].softmax(-1) for o in (seen, heard, both)]
    prior = network.prior
    speaks = heard.aux["support"]
    torch.testing.assert_close(speaks, 1 - said.exp()[:, 2])
    # Written out: face times voice by as much as somebody speaks, over what was assumed.
    voices = said.exp()[:, :2] / said.exp()[:, :2].sum(1, keepdim=True)
    expected = chances[0] * (voices / prior) ** speaks[:, None]
    expected = expected / expected.sum(1, keepdim=True)
    torch.testing.assert_close(chances[2], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen.aux["support"], torch.ones(3))
    torch.testing.assert_close(both.aux["support"], torch.ones(3))


def test_where_nobody_speaks_and_no_face_is_there_nothing_is_answered(small: Path) -> None:
    run = mien.load(small / "run")
    with torch.no_grad():
        network: Any = run.model
        network.opinions["audio"].head.bias.copy_(torch.tensor([0.0, 0.0, 50.0]))
    (clip,) = _clips()
    (heard,) = run.predict([{"audio": clip["audio"]}])
    (window,) = heard.tracks[0].windows
    assert window.scores == {}
    assert window.uncertainty == {}
    (seen,) = run.predict([clip])
    alone = run.predict([{"video": clip["video"]}])[0]
    named, same = (t.tracks[0].windows[0].scores["emotion"] for t in (seen, alone))
    assert named == pytest.approx(same, abs=1e-5)


def test_an_answer_is_given_from_a_support_of_a_half() -> None:
    found = infer.Predictions(tasks={}, support=[0.49, 0.5])
    spec = mien.TaskSpec(name="e", problem=mien.Problem.ONE_OF_N, labels=("a", "b"))
    found.tasks["e"] = infer.Answers(scores=[np.array([[0.5, 0.5]])] * 2)
    assert found.said(0, 0, {"e": spec}) == ({}, {})
    assert found.said(1, 0, {"e": spec})[0] == {"e": {"a": 0.5, "b": 0.5}}
    assert isinstance(Window(start=0, end=1, scores={}), Window)
