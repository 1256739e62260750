"""Answers of windows as one a position."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mien.data.windows import SampleWindows, starts
from mien.parts.model import FrontEnd, Model
from mien.run import infer
from mien.run.overlap import Overlap
from mien.tasks.affect import ABAW_AFFECT
from mien.types import Output, Sample, Windows


def test_each_position_is_the_mean_of_its_answers() -> None:
    """Also when what is final is taken out on the way: that is how nothing piles up."""
    windows = Windows(length=7, stride=3)
    answers = {first: torch.randn(7, 2) for first in starts(30, windows)}
    sums, counts = np.zeros((30, 2)), np.zeros(30)
    for first, given in answers.items():
        sums[first : first + 7] += given.numpy()
        counts[first : first + 7] += 1
    whole, parts = Overlap(), list[Tensor]()
    for first, given in answers.items():
        parts.append(whole.take(until=first)["a"] if first else torch.zeros(0, 2))
        whole.add(first, {"a": given})
        assert whole.last - whole.first <= 7
    parts.append(whole.take()["a"])
    np.testing.assert_allclose(torch.cat(parts).numpy(), sums / counts[:, None], atol=1e-6)
    assert whole.first == whole.last == 30


class _FrameWise(nn.Module):
    """Answers to each frame by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, face: Tensor, **_: object) -> Output:
        return Output(logits={"affect": self.head(face).tanh()})


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (5, 2), (9, 9), (10, 7), (400, 400)])
def test_a_frame_wise_model_answers_the_same_under_any_windows(length: int, stride: int) -> None:
    model = Model(FrontEnd(), _FrameWise())
    random = np.random.default_rng(0)
    samples = [
        Sample(id=str(n), inputs={"face": random.normal(size=(n, 3)).astype(np.float32)})
        for n in (1, 4, 31, 60)
    ]
    windows = Windows(length=length, stride=stride)
    found = infer.predict(model, SampleWindows(samples, windows), {"affect": ABAW_AFFECT})
    assert found.ids == ["1", "4", "31", "60"]
    for sample, scores in zip(samples, found.tasks["affect"].scores, strict=True):
        with torch.no_grad():
            direct = model.network(torch.from_numpy(sample.inputs["face"])).logits["affect"]
        assert scores.shape == direct.shape, "one answer a frame, no more and no fewer"
        np.testing.assert_allclose(scores, direct.numpy(), atol=1e-6)


def test_answers_are_smoothed_over_the_whole_row() -> None:
    model = Model(FrontEnd(), _FrameWise())
    face = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    sample = Sample(id="a", inputs={"face": face})
    specs = {"affect": ABAW_AFFECT}
    plain = infer.predict(model, SampleWindows([sample], Windows(length=6, stride=4)), specs)
    smooth = Windows(length=6, stride=4, smooth="mean", around=2)
    found = infer.predict(model, SampleWindows([sample], smooth), specs)
    scores = plain.tasks["affect"].scores[0]
    np.testing.assert_allclose(found.tasks["affect"].scores[0][7], scores[5:10].mean(0), atol=1e-9)
