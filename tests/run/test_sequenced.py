"""Films watched by a run that reads vectors over time, and the one that makes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import corpora
import numpy as np
import pytest
import squares
from typer.testing import CliRunner

from mien.cli.verbs import app
from mien.errors import RunError
from mien.run import extractor, sequenced
from mien.run.extract import extract
from mien.run.load import load
from mien.run.predict import Predictor
from mien.run.sequenced import SequencePredictor
from mien.run.train import train
from mien.run.windows import View, Windows

SMALL = (
    "model.vision={model_type: face-net, widths: [4, 8], depths: [1, 1]}",
    "size=16",
    "epochs=1",
)
SHORT = ("epochs=1", "model.window=10", "model.stride=7", "model.smooth=mean", "model.around=2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that makes vectors, one that reads them, and a film of two people."""
    folder = tmp_path_factory.mktemp("films")
    data = corpora.watched(folder)
    for name, seed in (("frames", 0), ("other", 1)):
        words = ["stages=[frames]", *SMALL, f"seed={seed}"]
        train("clip-sequential", preset="tiny", data=data, out=folder / name, overrides=words,
              quiet=True)  # fmt: skip
    made = extract(data, run=folder / "frames", jobs=0, quiet=True)
    for name, more in (("over-time", []), ("causal", ["attention=causal"])):
        train("clip-sequential", preset="tiny", data=made.manifest, out=folder / name,
              overrides=[*SHORT, *more], quiet=True)  # fmt: skip
    squares.scene(folder / "film.mp4", second=(1.2, 3.1), seconds=4.0)
    return folder


def predictor(home: Path, name: str, *, window: float = 0.4) -> SequencePredictor:
    run, frames = load(home / name), load(home / "frames")
    view = replace(sequenced.view_of(run, frames), window=window)
    return SequencePredictor(run, frames, view, squares.Squares(), batch_size=7)


@pytest.mark.parametrize("name", ["over-time", "causal"])
def test_a_film_gets_the_answers_of_its_vectors(home: Path, name: str) -> None:
    watched = predictor(home, name)
    timeline = watched.predict(home / "film.mp4").timeline
    view = replace(watched.view, window=60.0)
    pieces = [p for many in Windows(home / "film.mp4", view, squares.Squares()) for p in many]
    assert [track.id for track in timeline.tracks] == [piece.track for piece in pieces]
    assert len(pieces) == 2
    for track, piece in zip(timeline.tracks, pieces, strict=True):
        assert piece.video is not None
        assert piece.seen is not None
        vectors = extractor.vectors_at(watched.run, piece.video.__getitem__, piece.seen, 64)
        (whole,) = watched.sequence.predict([{"face": vectors}])
        assert len(track.windows) == int(piece.seen.sum())
        for window in track.windows:
            at = round((window.start - piece.start) * watched.view.fps)
            wanted = whole.tracks[0].windows[at].scores["expression"]
            np.testing.assert_allclose(
                list(window.scores["expression"].values()), list(wanted.values()), atol=1e-5
            )


def test_how_it_is_cut_into_pieces_changes_nothing(home: Path) -> None:
    few, many = (
        predictor(home, "over-time", window=window).predict(home / "film.mp4").timeline
        for window in (60.0, 0.4)
    )
    for one, other in zip(few.tracks, many.tracks, strict=True):
        starts = [window.start for window in one.windows]
        assert starts == [window.start for window in other.windows]
        assert len(set(starts)) == len(starts), "a frame is answered once"


def test_a_run_that_answers_by_frame_answers_each_once(home: Path) -> None:
    run = load(home / "frames")
    view = replace(sequenced.view_of(load(home / "over-time"), run), window=2.3)
    timeline = Predictor(run, view, squares.Squares()).predict(home / "film.mp4").timeline
    for track in timeline.tracks:
        starts = [window.start for window in track.windows]
        assert len(set(starts)) == len(starts)


def test_who_is_gone_for_a_while_is_followed_over_the_gap(home: Path, tmp_path: Path) -> None:
    squares.scene(tmp_path / "gone.mp4", first=(0.0, 1.0), second=(0.5, 4.0), voice=None, seconds=4)
    timeline = predictor(home, "causal").predict(tmp_path / "gone.mp4").timeline
    last = {track.id: track.windows[-1].end for track in timeline.tracks}
    assert last["face-1"] == pytest.approx(1.0, abs=0.25)
    assert last["face-2"] == pytest.approx(4.0, abs=0.05)


def test_the_card_says_who_made_the_vectors_and_another_is_refused(home: Path) -> None:
    run = load(home / "over-time")
    assert run.card["vectors"]["run"] == "frames"
    assert run.card["vectors"]["recipe"]["crop"]["size"] == 32
    with pytest.raises(RunError, match="'other' is another run") as caught:
        SequencePredictor(run, load(home / "other"), View(), None)
    assert "--frames" in str(caught.value)
    with pytest.raises(RunError, match="not the frames of a face alone"):
        SequencePredictor(run, run, View(), None)


def test_the_verb_asks_for_it_and_leaves_a_page(home: Path, tmp_path: Path) -> None:
    film, words = str(home / "film.mp4"), ["--run", str(home / "over-time"), "--detector", "haar"]
    missing = CliRunner().invoke(app, ["predict", film, *words])
    assert missing.exit_code == 1
    assert "--frames frames" in missing.output
    alone = ["predict", film, "--run", str(home / "frames"), "--frames", str(home / "frames")]
    assert "leave out --frames" in CliRunner().invoke(app, alone).output
    both = [*words, "--frames", str(home / "frames"), "--out", str(tmp_path / "looked")]
    done = CliRunner().invoke(app, ["predict", film, *both, "-q"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "looked" / "film.html").is_file()
