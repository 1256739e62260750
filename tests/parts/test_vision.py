from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mien.errors import DataError
from mien.parts import vision
from mien.parts.augment import Augment
from mien.parts.vision import VideoFrontEnd, choose_frames

FRAMES, STRIDE = 16, 4


def official_training(count: int, start: int) -> list[int]:
    """The rule as the specification states it, with numpy's own spacing."""
    if count > FRAMES * STRIDE:
        spaced = np.linspace(start, start + 64, FRAMES)
        return [int(i) for i in np.clip(spaced, start, start + 63)]
    spaced = np.linspace(0, count, count // STRIDE)
    chosen = [int(i) for i in np.clip(spaced, 0, count - 1)]
    return chosen + [count - 1] * (FRAMES - len(chosen))


def lengths(*counts: int) -> Tensor:
    """A mask of clips with these numbers of frames."""
    return torch.arange(max(counts))[None] < torch.tensor(counts)[:, None]


def footage(*counts: int, height: int = 12, width: int = 10) -> tuple[Tensor, Tensor]:
    mask = lengths(*counts)
    generator = torch.Generator().manual_seed(3)
    size = (*mask.shape, height, width, 3)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator), mask


def frame_indices(
    count: int, frames: int, stride: int, *, training: bool, views: int = 1, view: int = 0
) -> list[int]:
    """Which frames of a gapless clip of ``count`` frames one view shows (see `choose_frames`)."""
    mask = torch.ones(1, count, dtype=torch.bool)
    chosen = choose_frames(mask, frames, stride, training=training, views=views)
    return [int(index) for index in chosen[0, view * frames : (view + 1) * frames]]


@pytest.mark.parametrize("count", [1, 3, 4, 5, 15, 24, 63, 64, 65, 66, 300])
def test_training_follows_the_official_rule(count: int) -> None:
    chosen = frame_indices(count, FRAMES, STRIDE, training=True)
    assert chosen == official_training(count, chosen[0])
    assert 0 <= min(chosen) <= max(chosen) < count


def test_the_official_rule_holds_for_every_short_clip() -> None:
    counts = range(1, 65)
    chosen = choose_frames(lengths(*counts), FRAMES, STRIDE, training=True)
    assert chosen.tolist() == [official_training(count, 0) for count in counts]


def test_the_training_window_starts_anywhere_the_official_one_does() -> None:
    chosen = choose_frames(lengths(*[67] * 200), FRAMES, STRIDE, training=True)
    assert set(chosen[:, 0].tolist()) == {0, 1, 2}  # ends 64, 65 and 66


@pytest.mark.parametrize(
    ("count", "centre", "first", "last"),
    [
        (1, [0] * 16, [0] * 16, [0] * 16),
        (5, [0] + [4] * 15, [0] + [4] * 15, [0] + [4] * 15),
        (63, range(0, 61, 4), range(0, 61, 4), range(0, 61, 4)),
        (64, range(0, 61, 4), range(0, 61, 4), range(0, 61, 4)),
        (65, range(0, 61, 4), range(0, 61, 4), range(4, 65, 4)),
        (300, range(116, 177, 4), range(0, 61, 4), range(236, 297, 4)),
    ],
)
def test_evaluation_views(count: int, centre: list[int], first: list[int], last: list[int]) -> None:
    assert frame_indices(count, FRAMES, STRIDE, training=False) == list(centre)
    for view, expected in enumerate((first, last)):
        chosen = frame_indices(count, FRAMES, STRIDE, training=False, views=2, view=view)
        assert chosen == list(expected)


@pytest.mark.parametrize("views", [1, 2, 3])
def test_each_clip_chooses_among_its_own_frames(views: int) -> None:
    counts = [1, 5, 63, 64, 65, 300]
    chosen = choose_frames(lengths(*counts), FRAMES, STRIDE, training=False, views=views)
    assert chosen.shape == (6, views * FRAMES)
    for row, count in zip(chosen.tolist(), counts, strict=True):
        alone = [
            index
            for view in range(views)
            for index in frame_indices(
                count, FRAMES, STRIDE, training=False, views=views, view=view
            )
        ]
        assert row == alone


@pytest.mark.parametrize("training", [True, False])
def test_absent_frames_are_skipped(training: bool) -> None:
    mask = torch.zeros(1, 90, dtype=torch.bool)
    valid = torch.arange(3, 83, 2)  # 40 frames, every second one missing
    mask[0, valid] = True
    chosen = choose_frames(mask, FRAMES, STRIDE, training=training)[0]
    expected = frame_indices(40, FRAMES, STRIDE, training=training)
    assert chosen.tolist() == valid[expected].tolist()


def test_a_clip_without_frames_takes_position_zero() -> None:
    mask = torch.zeros(2, 70, dtype=torch.bool)
    mask[0] = True
    for training in (True, False):
        assert choose_frames(mask, FRAMES, STRIDE, training=training)[1].tolist() == [0] * 16


def test_a_single_frame_can_be_chosen() -> None:
    assert frame_indices(9, 1, 1, training=False) == [4]
    assert frame_indices(1, 1, 1, training=True) == [0]


@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("views", [1, 2])
def test_a_clip_alone_gives_what_it_gives_in_a_batch(fit: str, views: int) -> None:
    front_end = VideoFrontEnd(
        frames=4,
        stride=2,
        size=8,
        fit="crop" if fit == "crop" else "stretch",
        views=views,
        augment=Augment(),
    ).eval()
    video, mask = footage(3, 9, 30)
    together, there = front_end(video, mask)
    assert together.shape == (3, 3, views * 4, 8, 8)
    assert there.shape == (3, views * 4)
    for i in range(3):
        count = int(mask[i].sum())
        alone, _ = front_end(video[i : i + 1, :count], mask[i : i + 1, :count])
        assert torch.equal(alone[0], together[i])


def test_what_stands_in_the_padding_does_not_matter() -> None:
    front_end = VideoFrontEnd(frames=4, stride=2, size=8).eval()
    video, mask = footage(3, 9, 30)
    pixels = video.float() / 255
    spoiled = torch.where(mask[:, :, None, None, None], pixels, torch.nan)
    for clean, dirty in zip(front_end(pixels, mask), front_end(spoiled, mask), strict=True):
        assert torch.equal(clean, dirty)


def test_bytes_and_floats_are_the_same_pixels() -> None:
    front_end = VideoFrontEnd(frames=4, stride=2, size=8).eval()
    video, mask = footage(3, 9)
    assert torch.equal(front_end(video, mask)[0], front_end(video.float() / 255, mask)[0])


def test_a_view_of_a_larger_tensor_is_read_like_its_copy() -> None:
    front_end = VideoFrontEnd(frames=4, stride=2, size=8).eval()
    video, mask = footage(9, 9, height=20)
    part = video[:, ::2, 3:15].transpose(2, 3)
    assert not part.is_contiguous()
    expected, _ = front_end(part.contiguous(), mask[:, ::2])
    assert torch.equal(front_end(part, mask[:, ::2])[0], expected)


def test_few_frames_at_once_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    front_end = VideoFrontEnd(frames=4, stride=2, size=8).eval()
    video, mask = footage(3, 9, 30)
    whole, _ = front_end(video, mask)
    monkeypatch.setattr(vision, "_CHUNK_PIXELS", 5 * 12 * 10)
    assert torch.equal(front_end(video, mask)[0], whole)


def test_pixels_are_normalised_and_in_their_place() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    front_end = VideoFrontEnd(frames=2, stride=1, size=4, mean=mean, std=std).eval()
    video = torch.rand(1, 2, 4, 4, 3)
    out, _ = front_end(video, torch.ones(1, 2, dtype=torch.bool))
    expected = (video - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(out, expected.permute(0, 4, 1, 2, 3))


def test_shrinking_does_not_alias() -> None:
    front_end = VideoFrontEnd(frames=1, size=6, mean=(0, 0, 0), std=(1, 1, 1)).eval()
    stripes = torch.zeros(1, 1, 48, 48, 3)
    stripes[:, :, :, ::2] = 1.0
    out, _ = front_end(stripes, torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(out, torch.full_like(out, 0.5), atol=0.05, rtol=0)


def test_crop_keeps_the_aspect_that_stretch_loses() -> None:
    frame = torch.zeros(1, 1, 8, 24, 3)
    frame[:, :, :, 8:16] = 1.0  # a square in the middle of a wide frame
    there = torch.ones(1, 1, dtype=torch.bool)
    plain = {"frames": 1, "size": 8, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    cropped, _ = VideoFrontEnd(fit="crop", **plain).eval()(frame, there)  # type: ignore[arg-type]
    stretched, _ = VideoFrontEnd(fit="stretch", **plain).eval()(frame, there)  # type: ignore[arg-type]
    assert cropped.mean() == 1.0
    assert float(stretched.mean()) == pytest.approx(1 / 3, abs=0.02)


def test_a_clip_without_frames_is_zeros_and_masked() -> None:
    video, mask = footage(9, 9)
    mask[1] = False
    for training in (True, False):
        front_end = VideoFrontEnd(frames=4, stride=2, size=8, augment=Augment(erase=1.0))
        out, there = front_end.train(training)(video, mask)
        assert there.tolist() == [[True] * 4, [False] * 4]
        assert out[0].abs().sum() > 0
        assert not out[1].any()


def test_training_draws_and_evaluation_does_not() -> None:
    front_end = VideoFrontEnd(frames=4, stride=2, size=8, augment=Augment(), views=2)
    video, mask = footage(30, 30)
    torch.manual_seed(1)
    first, _ = front_end.train()(video, mask)
    second, _ = front_end(video, mask)
    assert first.shape == (2, 3, 4, 8, 8)  # one view
    assert first.isfinite().all()
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(front_end(video, mask)[0], first)
    state = torch.get_rng_state()
    assert torch.equal(front_end.eval()(video, mask)[0], front_end(video, mask)[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_is_saved_that_the_configuration_says() -> None:
    assert not VideoFrontEnd(augment=Augment()).state_dict()


@pytest.mark.parametrize(
    ("video", "mask", "message"),
    [
        (torch.zeros(1, 2, 3, 4, 4), torch.ones(1, 2, dtype=torch.bool), "height, width, 3"),
        (torch.zeros(1, 0, 4, 4, 3), torch.ones(1, 0, dtype=torch.bool), "instead of leaving"),
        (torch.zeros(1, 2, 4, 4, 3), torch.ones(1, 3, dtype=torch.bool), "one boolean a frame"),
        (torch.zeros(1, 2, 4, 4, 3), torch.ones(1, 2), "one boolean a frame"),
        (
            torch.zeros(1, 2, 4, 4, 3, dtype=torch.long),
            torch.ones(1, 2, dtype=torch.bool),
            "torch.uint8",
        ),
    ],
)
def test_wrong_tensors_are_refused(video: Tensor, mask: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        VideoFrontEnd()(video, mask)


@pytest.mark.parametrize("count", [1, 5, 61, 63, 64, 65, 200])
def test_every_fourth_frame_of_a_window_is_pretrainings_way(count: int) -> None:
    starts = set()
    for _ in range(40):
        mask = torch.ones(1, count, dtype=torch.bool)
        (found,) = choose_frames(mask, FRAMES, STRIDE, training=True, spread=False).tolist()
        starts.add(found[0])
        last = found[0] + (count - 1 - found[0]) // STRIDE * STRIDE  # the last that is reached
        assert found == [min(found[0] + STRIDE * step, last) for step in range(FRAMES)]
    spare = max(0, count - FRAMES * STRIDE)
    assert starts <= set(range(spare + 1))
    assert len(starts) > min(spare, 10)


def test_frames_that_were_chosen_elsewhere_are_taken() -> None:
    video, mask = footage(30, 20)
    front = VideoFrontEnd(frames=3, stride=2, size=8).train()
    index = torch.tensor([[4, 9, 29], [0, 1, 19]])
    pixels, _ = front(video, mask, index=index)
    for row, places in enumerate(index):
        alone, _ = front(video[row : row + 1, places], mask[row : row + 1, places], chosen=True)
        torch.testing.assert_close(pixels[row : row + 1], alone)
