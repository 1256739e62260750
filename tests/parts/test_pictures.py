"""Mel pictures, scenes, and faces weighted by their area."""

from __future__ import annotations

import math

import pytest
import torch

from mien.parts.pictures import Heard, MelPicture, Scenes, WeightedFaces, numbered


def test_a_mel_picture_has_the_published_measures() -> None:
    picture = MelPicture(seconds=1.0).eval()
    wave = torch.sin(torch.arange(16_000) * 2 * math.pi * 1000 / 16_000)[None]
    made = picture(wave, torch.ones_like(wave, dtype=torch.bool))
    assert made.shape == (1, 3, 101, 128), "10 ms a row"
    assert float(made.amin()) >= 0
    assert float(made.amax()) == 1
    torch.testing.assert_close(made[:, 0], made[:, 2])
    band = int(made[0, 0, 50].argmax())
    mels = torch.linspace(math.log1p(50 / 700), math.log1p(8000 / 700), 130)
    peak = 700 * math.expm1(float(mels[band + 1]))
    assert peak == pytest.approx(1000, rel=0.03)


def test_a_picture_depends_on_its_own_clip_alone() -> None:
    torch.manual_seed(0)
    front = Heard(MelPicture(seconds=0.5)).eval()
    wave, mask = torch.randn(2, 12_000), torch.ones(2, 12_000, dtype=torch.bool)
    mask[0, 5000:] = False
    made, seen = front({"audio": wave}, {"audio": mask})
    alone, _ = front({"audio": wave[:1, :5000]}, {"audio": mask[:1, :5000]})
    torch.testing.assert_close(made["audio"][:1], alone["audio"], atol=1e-6, rtol=0)
    louder, _ = front({"audio": 0.1 * wave}, {"audio": mask})
    torch.testing.assert_close(louder["audio"], made["audio"], atol=1e-4, rtol=0)
    assert seen["audio"].tolist() == [[True], [True]]


def test_pictures_of_a_clip_are_mirrored_together() -> None:
    torch.manual_seed(0)
    front = Scenes(16, flip=True)
    left = torch.zeros(8, 2, 16, 16, 3, dtype=torch.uint8)
    left[:, :, :, :8] = 255
    inputs = {"scene": left, "faces": left, "boxes": torch.ones(8, 2, 2)}
    masks = {name: torch.ones(8, 2, dtype=torch.bool) for name in inputs}
    made, _ = front(inputs, masks)
    bright = made["scene"][..., :8].mean((1, 2, 3, 4)) > made["scene"][..., 8:].mean((1, 2, 3, 4))
    assert 0 < int(bright.sum()) < 8
    torch.testing.assert_close(made["scene"], made["faces"])
    torch.testing.assert_close(made["boxes"], inputs["boxes"])
    still, _ = front.eval()(inputs, masks)
    assert (still["scene"][..., :8].mean() > still["scene"][..., 8:].mean()).all()


VECTORS = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
BOXES = torch.tensor([[[0, 0.3], [0, 0.1], [2, 0.2]]])


@pytest.mark.parametrize(
    ("by", "first"), [("sum", [0.75, 0.25]), ("max", [1, 1 / 3]), ("frame", [0.3, 0.1])]
)
def test_faces_of_a_frame_count_by_their_area(by: str, first: list[float]) -> None:
    there = torch.ones(1, 3, dtype=torch.bool)
    found, seen = WeightedFaces(by)(VECTORS, BOXES, there)
    assert found[0, 0].tolist() == pytest.approx(first)
    assert seen.tolist() == [[True, False, True]], "nobody is in the second frame"


def test_a_face_that_is_not_there_counts_nothing_whatever_its_box() -> None:
    there = torch.tensor([[True, False, True]])
    boxes = BOXES.clone()
    boxes[0, 1] = float("nan")
    found, _ = WeightedFaces()(VECTORS, boxes, there)
    assert found[0, 0].tolist() == [1, 0]
    alone, seen = WeightedFaces()(VECTORS, numbered(there), there)
    assert seen.tolist() == [[True, False, True]]
    assert alone[0, 2].tolist() == [5, 5]
