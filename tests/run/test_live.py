"""Answers to frames as they come: those to the whole recording, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import corpora
import numpy as np
import pytest

import mien
from mien.data.windows import SampleWindows
from mien.errors import DataError, RunError
from mien.run import infer
from mien.run.live import Answered, Live
from mien.run.load import Run
from mien.run.train import train
from mien.types import Sample


@pytest.fixture(scope="module", params=["window", "causal"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp(request.param)
    data = corpora.frames(home)
    words = ["epochs=1", f"attention={request.param}"]
    train("clip-sequential", preset="tiny", data=data, out=home / "run", overrides=words)
    return mien.load(home / "run")


def _streamed(live: Live, face: np.ndarray, seen: np.ndarray, sizes: list[int]) -> list[Answered]:
    said, at = [], 0
    for size in sizes:
        said.append(live.feed(face[at : at + size], seen[at : at + size]))
        at += size
    assert at == len(face)
    return [*said, live.finish()]


@pytest.mark.parametrize("count", [1, 5, 6, 7, 43])
@pytest.mark.parametrize("size", [1, 9, 43])
def test_a_stream_gives_the_numbers_of_the_whole(run: Run, count: int, size: int) -> None:
    random = np.random.default_rng(count)
    face = random.normal(size=(count, 5)).astype(np.float32)
    seen = random.random(count) > 0.2
    sizes = [min(size, count - at) for at in range(0, count, size)]
    said = _streamed(run.live(), face, seen, sizes)
    assert run.stage.windows is not None
    windows = run.stage.windows(run.settings.model, False)
    sample = Sample(id="a", inputs={"face": face}, mask={"face": seen})
    whole = infer.predict(run.whole, SampleWindows([sample], windows), run.specs)
    first = 0
    for part in said:
        assert not len(part) or part.first == first
        first += len(part)
    assert first == count, "every frame is answered, and once"
    for name in run.specs:
        found = np.concatenate([part.scores[name] for part in said])
        np.testing.assert_allclose(found, whole.tasks[name].scores[0], atol=1e-5)
    if run.settings.model.attention == "causal":  # type: ignore[attr-defined]
        assert [len(part) for part in said] == [*sizes, 0], "at once"


def test_what_is_kept_does_not_grow(run: Run) -> None:
    live, face = run.live(), np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    held = []
    for _ in range(40):
        live.feed(face)
        held.append(_held(live))
    assert max(held[20:]) <= max(held[:20])


def _held(live: Live) -> int:
    """Numbers that a stream holds."""
    kept = 0 if live._kept is None else live._kept.numel()
    past = live._past
    if past is not None:
        kept += past.seen.numel() + sum(t.numel() for t in past.tcn)
        kept += sum(t.numel() for pair in past.looked_at for t in pair)
    return kept + live._overlap.last - live._overlap.first


def test_frames_that_do_not_fit_are_refused(run: Run) -> None:
    with pytest.raises(DataError, match=r"\(frames, width\)"):
        run.live().feed(np.zeros(5))
    with pytest.raises(DataError, match="who was seen"):
        run.live().feed(np.zeros((3, 5)), [True])
    with pytest.raises(DataError, match="feature"):
        run.live().feed(np.zeros((9, 4)))


def test_a_run_of_clips_has_no_stream(tmp_path: Path) -> None:
    data = corpora.clips(tmp_path)
    train("toy-clip", preset="tiny", data=data, out=tmp_path / "run", overrides=["epochs=1"])
    with pytest.raises(RunError, match="one after another"):
        mien.load(tmp_path / "run").live()
