"""Which patches are hidden: how many, where, and from whose luck."""

from __future__ import annotations

import pytest
import torch

from mien.errors import DataError
from mien.parts import masking


def test_as_many_are_hidden_as_published() -> None:
    masks = [masking.tube((8, 10, 10), 0.9), masking.anywhere((16, 8), 0.8)]
    video, audio = masking.draw(masks, 5)
    assert video.shape == (5, 800)
    assert audio.shape == (5, 128)
    assert (~video).sum(1).tolist() == [80] * 5
    assert (~audio).sum(1).tolist() == [26] * 5


def test_a_tube_hides_the_same_places_of_every_frame() -> None:
    (video,) = masking.draw([masking.tube((4, 5, 6), 0.5)], 3)
    by_frame = video.view(3, 4, 30)
    assert (by_frame == by_frame[:, :1]).all()
    assert by_frame[:, 0].sum(1).tolist() == [15] * 3
    assert len({tuple(row) for row in by_frame[:, 0].tolist()}) == 3  # each clip its own


def test_every_patch_is_hidden_as_often_as_any_other() -> None:
    (found,) = masking.draw([masking.anywhere((3, 4), 0.5)], 2000)
    assert found.float().mean(0).sub(0.5).abs().max() < 0.06


def test_a_clips_masks_come_from_its_own_luck() -> None:
    masks = [masking.anywhere((4, 4), 0.5), masking.tube((2, 3, 3), 0.5)]
    together = masking.draw(masks, 3, [7, 2**62 + 1, 9])
    torch.manual_seed(123)
    for clip, seed in enumerate((7, 2**62 + 1, 9)):
        alone = masking.draw(masks, 1, [seed])
        for all_, one in zip(together, alone, strict=True):
            assert torch.equal(all_[clip], one[0])
    state = torch.get_rng_state()
    masking.draw(masks, 3, [1, 2, 3])
    assert torch.equal(state, torch.get_rng_state())
    masking.draw(masks, 3)
    assert not torch.equal(state, torch.get_rng_state())


def test_visible_and_hidden_places_keep_their_order() -> None:
    mask = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 1, 1, 0]], dtype=torch.uint8)
    visible, hidden = masking.parted(mask)
    assert visible.tolist() == [[1, 3, 4], [0, 1, 4]]
    assert hidden.tolist() == [[0, 2], [2, 3]]


@pytest.mark.parametrize("mask", [[[1, 0], [1, 1]], [[1, 1], [1, 1]], [[0, 0], [0, 0]]])
def test_clips_of_a_batch_hide_equally_many(mask: list[list[int]]) -> None:
    with pytest.raises(DataError, match="of 2 patches"):
        masking.parted(torch.tensor(mask))
