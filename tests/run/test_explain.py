"""Who carried an answer, and when: of networks whose every contribution is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import squares
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import mien
from mien.data.windows import SampleWindows
from mien.errors import ConfigError, DataError
from mien.evidence import Reason
from mien.parts.model import FrontEnd, Model
from mien.run import infer, seeing
from mien.run.explain import Explained, How, explain, subjects_of
from mien.run.predict import Predictor
from mien.run.train import train
from mien.types import Output, Problem, Resolution, Sample, TaskSpec, Windows

TWO = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("calm", "glad"))
FRAMES = replace(TWO, resolution=Resolution.FRAME)
SPECS = {"emotion": TWO}


class Weighed(nn.Module):
    """Votes for ``glad``: what each modality holds where it is there, by its mean or its sum.

    It also checks that nothing was filled in: where something is masked, the batch holds padding,
    which it would not see, and what it sees is what was recorded.
    """

    def __init__(self, how: str = "mean", *, by_frame: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.how, self.by_frame = how, by_frame
        self.sizes: list[int] = []

    def forward(
        self, *, mask: Mapping[str, Tensor], present: Tensor | None = None, **inputs: Tensor
    ) -> Output:
        votes = torch.zeros(())
        for name, x in inputs.items():
            there = mask[name][..., None]
            own = (x * there).sum(1) if self.how == "sum" else _mean(x, there)  # (B, 1)
            votes = votes + own
        assert votes.ndim == 2
        self.sizes.append(len(votes))
        logits = self.scale * torch.cat([0 * votes, votes], 1)  # (B, 2)
        if self.by_frame:
            logits = logits[:, None].expand(-1, max(x.shape[1] for x in inputs.values()), -1)
        return Output(logits={"emotion": logits})


def _mean(x: Tensor, there: Tensor) -> Tensor:
    return (x * there).sum(1) / there.sum(1).clamp_min(1)


class Listed(Dataset[Sample]):
    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def sample(length: int = 8, /, **votes: float) -> Sample:
    """Modalities that hold the same at every position."""
    inputs = {name: np.full((length, 1), value, np.float32) for name, value in votes.items()}
    return Sample(id="clip", inputs={**inputs})


def explained(
    network: Weighed,
    samples: Sequence[Sample],
    how: How | None = None,
    *,
    seconds: float = 4.0,
    batch_size: int = 32,
) -> list[Explained]:
    model, dataset = Model(FrontEnd(), network).eval(), Listed(samples)
    found = infer.predict(model, dataset, SPECS, batch_size=batch_size)
    subjects = subjects_of(dataset, model.front_end)
    lasts = [seconds] * len(samples)
    return explain(model, subjects, found, SPECS, lasts, how or How(), batch_size=batch_size)


def reason(of: Explained, position: int = 0, **more: Any) -> Reason:
    (found,) = of.evidence(position, 10.0, 14.0, How(), **more).reasons
    return found


# -- who -------------------------------------------------------------------------------------------


def test_known_contributions_are_found_to_the_last_digit() -> None:
    votes = {"audio": 2.0, "text": -0.75, "video": 0.25, "pulse": 0.0}
    found = reason(explained(Weighed(), [sample(**votes)])[0])
    assert found.label == "glad"
    assert found.shares == pytest.approx(votes, abs=1e-5)
    assert found.alone == pytest.approx(votes, abs=1e-5)
    assert found.drops == pytest.approx(votes, abs=1e-5)
    assert found.margin == pytest.approx(sum(votes.values()), abs=1e-5)


def test_the_one_that_is_needed_and_enough_is_named() -> None:
    clips = [sample(audio=3.0, video=-1.0), sample(audio=2.0, video=2.0), sample(video=2.0)]
    said = [reason(one) for one in explained(Weighed(), clips)]
    assert [(r.verdict, r.carried_by) for r in said] == [
        ("one", "audio"),
        ("agree", ""),
        ("only", "video"),
    ]
    assert said[0].told == "carried by audio"
    assert said[1].told == "audio and video agree"


def test_who_is_named_carries_the_moments_and_not_what_is_there_all_along() -> None:
    """A voice that hums along is no reason for what a face showed once."""
    hums, shows = sample(64, audio=0.05, video=0.0), sample(64, audio=0.0, video=0.0)
    hums.inputs["video"][40:48] = 1.0
    for name in ("audio", "video"):
        shows.inputs[name][40:48] = 1.0
    one, both = (reason(found) for found in explained(Weighed("sum"), [hums, shows]))
    assert one.alone == pytest.approx({"audio": 3.2, "video": 8.0}, abs=1e-4)
    assert (one.verdict, one.carried_by) == ("one", "video")
    assert (both.verdict, both.carried_by) == ("agree", "")


def test_what_is_absent_is_never_blamed() -> None:
    masked = Sample(
        id="masked",
        inputs={"audio": np.ones((4, 1), np.float32), "video": np.full((4, 1), 9, np.float32)},
        mask={"video": np.zeros(4, np.bool_)},
    )
    for one in explained(Weighed(), [masked, sample(audio=1.0), sample(audio=1.0, video=2.0)])[:2]:
        found = reason(one)
        assert set(found.shares) == set(found.drops) == set(found.alone) == {"audio"}
        assert (found.verdict, found.carried_by) == ("only", "audio")
        assert all(not moment.by for moment in found.moments)


def test_layers_of_one_text_are_one_source() -> None:
    clip = sample(text=1.0, text2=1.0, text3=1.0, audio=-1.0)
    found = reason(explained(Weighed(), [clip])[0])
    assert found.shares == pytest.approx({"audio": -1.0, "text": 3.0}, abs=1e-5)


def test_too_many_modalities_are_refused() -> None:
    with pytest.raises(DataError, match="at most 6 modalities"):
        explained(Weighed(), [sample(**dict.fromkeys("abcdefg", 1.0))])
    with pytest.raises(ConfigError, match="stretches"):
        How(stretch=0)


# -- when ------------------------------------------------------------------------------------------


def test_the_strongest_stretch_is_the_only_one_that_says_anything() -> None:
    clip = sample(64, audio=0.0, video=0.0)
    clip.inputs["video"][40:48] = 1.0
    found = reason(explained(Weighed("sum"), [clip])[0])
    assert len(found.moments) == 8  # of 4 s, half a second each
    assert [moment.drop for moment in found.moments] == pytest.approx([0] * 5 + [8] + [0] * 2)
    most = found.strongest
    assert most is not None
    assert (most.start, most.end) == (12.5, 13.0)
    assert most.by == pytest.approx({"audio": 0.0, "video": 8.0})


def test_what_is_hidden_is_masked_and_not_filled_in() -> None:
    """A mean over what is there stays what it is; with zeros in their place it would fall."""
    found = reason(explained(Weighed("mean"), [sample(64, video=2.0, audio=1.0)])[0])
    assert [moment.drop for moment in found.moments] == pytest.approx([0.0] * 8, abs=1e-6)
    assert found.strongest is None or found.strongest.drop < 1e-6


def test_modalities_without_time_keep_their_place() -> None:
    clip = Sample(id="a", inputs={"text": np.array([3.0], np.float32), **sample(6).inputs})
    clip.inputs["video"] = np.ones((6, 1), np.float32)
    found = reason(explained(Weighed(), [clip])[0])
    assert len(found.moments) == 6
    assert all(moment.by["text"] == 0 for moment in found.moments)
    lonely = Sample(id="b", inputs={"text": np.array([3.0], np.float32)})
    assert reason(explained(Weighed(), [lonely])[0]).moments == ()


def test_a_clip_of_unknown_length_has_no_moments() -> None:
    (one,) = explained(Weighed(), [sample(audio=1.0)], seconds=0.0)
    assert one.evidence(0, 3.0, 3.0, How()).reasons[0].moments == ()


# -- batches ---------------------------------------------------------------------------------------


def test_alone_and_in_any_batch_the_reasons_are_the_same() -> None:
    random = np.random.default_rng(0)
    clips = [
        Sample(
            id=str(i),
            inputs={
                name: random.normal(size=(5 + 3 * i, 1)).astype(np.float32)
                for name in ("audio", "video")[: 1 + i % 2]
            },
        )
        for i in range(5)
    ]
    network = Weighed()
    together = [reason(one) for one in explained(network, clips)]
    assert max(network.sizes) == 32
    assert [reason(one) for one in explained(network, clips)] == together, "nothing is drawn"
    for batch_size in (1, 7):
        for one, other in zip(
            explained(network, clips, batch_size=batch_size), together, strict=True
        ):
            assert _numbers(reason(one)) == pytest.approx(_numbers(other), abs=1e-5)
    for clip, other in zip(clips, together, strict=True):
        assert _numbers(reason(explained(network, [clip])[0])) == pytest.approx(
            _numbers(other), abs=1e-5
        )


def _numbers(found: Reason) -> list[float]:
    moments = [value for moment in found.moments for value in (moment.drop, *moment.by.values())]
    return [found.margin, *found.shares.values(), *found.alone.values(), *moments]


# -- frames and windows ----------------------------------------------------------------------------


def test_every_frame_gets_reasons_and_what_is_hidden_at_the_end_is_still_a_frame() -> None:
    specs = {"emotion": FRAMES}
    model = Model(FrontEnd(), Weighed("sum", by_frame=True)).eval()
    clip = sample(8, video=0.0)
    clip.inputs["video"][6:] = 1.0
    for dataset in (Listed([clip]), SampleWindows([clip], Windows(length=8, stride=8))):
        found = infer.predict(model, dataset, specs)
        subjects = subjects_of(dataset, model.front_end)
        (one,) = explain(model, subjects, found, specs, [4.0], How())
        said = one.evidence(7, 0.0, 4.0, How(), few=True).reasons[0]
        assert said.margin == pytest.approx(2.0, abs=1e-5)
        assert said.shares == pytest.approx({"video": 2.0}, abs=1e-5)
        assert len(said.moments) == 1, "of frames the strongest stretch only"
        assert said.moments[0].drop == pytest.approx(1.0, abs=1e-5)
        assert said.moments[0].start in (3.0, 3.5)


def test_windows_that_overlap_are_hidden_from_alike() -> None:
    """A stretch is one of the row's, not one of each window's."""
    specs = {"emotion": FRAMES}
    model = Model(FrontEnd(), Weighed("sum", by_frame=True)).eval()
    clip = sample(16, video=0.0)
    clip.inputs["video"][9] = 1.0
    dataset = SampleWindows([clip], Windows(length=8, stride=4))
    found = infer.predict(model, dataset, specs)
    (one,) = explain(model, subjects_of(dataset, FrontEnd()), found, specs, [8.0], How())
    drops = [moment.drop for moment in reason(one, 9).moments]
    assert np.flatnonzero(np.array(drops) > 0.5).tolist() == [9]


# -- runs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("explained")
    words = ["epochs=1", "batch_size=4", "frames=4", "stride=2"]
    data = corpora.prepared(home)
    train("claip-emo", preset="tiny", data=data, out=home / "run", overrides=words, quiet=True)
    return home / "run", data


def test_prepared_rows_are_explained_as_the_same_arrays_are(prepared: tuple[Path, Path]) -> None:
    run, manifest = mien.load(prepared[0]), mien.Manifest.read(prepared[1])
    manifest = manifest.only(manifest.rows[:2])
    rows = run.dataset(manifest, manifest.rows)
    clips = [
        {n: a if n not in s.mask else a[s.mask[n].astype(bool)] for n, a in s.inputs.items()}
        for s in (rows[i] for i in range(len(rows)))
    ]
    how = How(stretches=0)
    by_row = [w.evidence for t in run.predict(manifest, explain=how) for _, w in t]
    by_array = [w.evidence for t in run.predict(clips, explain=how) for _, w in t]
    for one, other in zip(by_row, by_array, strict=True):
        assert one is not None
        assert other is not None
        for left, right in zip(one.reasons, other.reasons, strict=True):
            assert left.label == right.label
            assert left.shares == pytest.approx(right.shares, abs=1e-3)


def test_explaining_changes_no_answer(prepared: tuple[Path, Path]) -> None:
    run, manifest = mien.load(prepared[0]), mien.Manifest.read(prepared[1])
    manifest = manifest.only(manifest.rows[:2])
    plain, why = run.predict(manifest), run.predict(manifest, explain=How(stretches=2))
    for one, other in zip(plain, why, strict=True):
        bare = [replace(w, evidence=None) for _, w in other]
        assert bare == [w for _, w in one]
        assert "explained" in other.made_by
        for _, window in other:
            assert window.evidence is not None
            for found in window.evidence.reasons:
                assert set(found.shares) == {n for n, there in window.present.items() if there}


def test_what_is_watched_is_explained_window_by_window(tmp_path: Path) -> None:
    run = squares.run(tmp_path / "run")
    film = squares.scene(tmp_path / "film.mp4", seconds=3, voice=(0.5, 2.5), second=(9.0, 9.1))
    view = replace(seeing.view_of(run), window=2.0, hop=1.0)
    made = [
        Predictor(run, view, squares.Squares(), batch_size=size, how=How(stretches=2))
        .predict(film)
        .timeline
        for size in (1, 8)
    ]
    for (track, one), (_, other) in zip(made[0], made[1], strict=True):
        assert one.evidence is not None
        assert other.evidence is not None
        left, right = one.evidence.reasons[0], other.evidence.reasons[0]
        assert set(left.shares) == {n for n, there in one.present.items() if there}
        assert track.kind == "face"
        assert left.moments[0].start == one.start
        assert left.moments[-1].end == pytest.approx(one.end)
        assert _numbers(left) == pytest.approx(_numbers(right), abs=1e-3)
    assert "further answers" in made[0].made_by["explained"]
