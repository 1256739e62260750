"""Frames and the sound of the same moments, chosen before reading or after, alone or together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mien.parts.alignment import AlignedMedia, MaskedMedia
from mien.parts.audio import OfficialFbank
from mien.parts.model import Tensors
from mien.parts.vision import VideoFrontEnd

FPS, RATE = 25, 1000
FRAMES, STRIDE, VIEWS = 4, 5, 2  # a window of 20 frames: 0.8 s
SAMPLES = 900


def front_end(*, spread: bool = False, kind: type[AlignedMedia] = AlignedMedia) -> AlignedMedia:
    video = VideoFrontEnd(
        frames=FRAMES,
        stride=STRIDE,
        size=4,
        views=VIEWS,
        spread=spread,
        mean=(0,) * 3,
        std=(1,) * 3,
    )
    audio = OfficialFbank(
        rate=RATE, source_rate=RATE, mels=4, window=32, seconds=SAMPLES / RATE, frames=100,
        short="end", gain=False,
    )  # fmt: skip
    if kind is MaskedMedia:
        hidden = {"video": ((2, 2, 2), 0.5), "audio": ((10, 2), 0.5)}
        return MaskedMedia(video, audio, seconds=0.8, hidden=hidden)
    return AlignedMedia(video, audio, seconds=0.8)


def there(length: int) -> Tensor:
    return torch.ones(1, length, dtype=torch.bool)


def windows(found: Tensors) -> list[tuple[int, int, int]]:
    """First sample, last sample and number of samples of each view."""
    rows = found["audio"].view(-1, SAMPLES)
    real = [row[row >= 0] for row in rows]
    return [(int(row[0]), int(row[-1]), len(row)) for row in real]


# -- which sound -----------------------------------------------------------------------------------


def test_the_sound_is_that_of_the_frames_by_the_clock() -> None:
    front = front_end()
    rates = {"video": FPS, "audio": RATE}
    mask = {"video": there(100), "audio": there(3500)}  # the sound ends half a second early
    found = front.choose(mask, training=False, rates=rates)
    assert found["video"].tolist() == [[0, 5, 10, 15, 80, 85, 90, 95]]
    assert windows(found) == [(0, 799, 800), (3200, 3499, 300)]


def test_without_rates_both_begin_and_end_together() -> None:
    front = front_end()
    mask = {"video": there(100), "audio": there(3500)}
    for rates in (None, {"video": 25.0}):
        found = front.choose(mask, training=False, rates=rates)
        assert windows(found) == [(0, 699, 700), (2800, 3499, 700)]


def test_a_short_clip_is_heard_whole_in_every_view() -> None:
    found = front_end().choose({"video": there(7), "audio": there(280)}, training=False)
    assert windows(found) == [(0, 279, 280)] * 2


def test_sound_longer_than_the_picture_holds_is_cut() -> None:
    found = front_end().choose({"video": there(20), "audio": there(5000)}, training=False)
    assert windows(found) == [(0, SAMPLES - 1, SAMPLES)] * 2


@pytest.mark.parametrize("spread", [True, False])
def test_a_random_window_takes_its_sound_with_it(spread: bool) -> None:
    front, starts = front_end(spread=spread), set()
    rates = {"video": FPS, "audio": RATE}
    for _ in range(30):
        found = front.choose({"video": there(60), "audio": there(2400)}, training=True, rates=rates)
        first, last = found["video"][0, 0].item(), found["video"][0, -1].item()
        assert last - first == (19 if spread else 15)
        assert windows(found) == [(first * 40, first * 40 + 799, 800)]
        starts.add(first)
    assert len(starts) > 10


def test_sound_alone_is_placed_like_frames() -> None:
    front = front_end()
    assert windows(front.choose({"audio": there(2000)}, training=False)) == [
        (0, 799, 800), (1200, 1999, 800),
    ]  # fmt: skip
    assert windows(front.choose({"audio": there(300)}, training=False)) == [(0, 299, 300)] * 2
    starts = {windows(front.choose({"audio": there(900)}, training=True))[0] for _ in range(60)}
    assert all(last - first == 799 for first, last, _ in starts)
    assert 0 <= min(starts)[0] < 20 < 80 < max(starts)[0] <= 100


def test_gaps_count_as_time() -> None:
    mask = there(40)
    mask[0, 2:22] = False  # nobody is seen for most of a second
    found = front_end().choose(
        {"video": mask, "audio": there(1600)}, training=True, rates={"video": FPS, "audio": RATE}
    )
    ((first, last, count),) = windows(found)
    frames = found["video"][0]
    assert (first, last) == (frames[0].item() * 40, min(first + SAMPLES, 1600) - 1)
    assert count == last - first + 1
    assert frames[-1] - frames[0] > 20


# -- what is made of it ----------------------------------------------------------------------------


def recording() -> Tensors:
    video = torch.randint(0, 256, (2, 60, 4, 4, 3), dtype=torch.uint8)
    return {"video": video, "audio": torch.rand(2, 2400) - 0.5}


def masks(given: Tensors) -> Tensors:
    return {name: torch.ones(x.shape[:2], dtype=torch.bool) for name, x in given.items()}


def test_shapes_are_those_of_views() -> None:
    given = recording()
    made, seen = front_end().eval()(given, masks(given))
    assert made["video"].shape == (2, 3, VIEWS * FRAMES, 4, 4)
    assert made["audio"].shape == (2, VIEWS, 100, 4)
    assert seen["audio"].tolist() == [[True]] * 2
    made, _ = front_end().train()(given, masks(given))
    assert made["video"].shape == (2, 3, FRAMES, 4, 4)
    assert made["audio"].shape == (2, 1, 100, 4)


def chosen_from(given: Tensors, at: Tensors) -> tuple[Tensors, Tensors]:
    """What a data set reads of the positions that were chosen."""
    inputs, mask = {}, {}
    for name, positions in at.items():
        inputs[name] = torch.stack([given[name][row, positions[0]] for row in range(2)])
        mask[name] = (positions >= 0).expand(2, -1)
    return inputs, mask


def test_chosen_before_or_after_reading_is_the_same() -> None:
    front, given = front_end().eval(), recording()
    at = front.choose({"video": there(60), "audio": there(2400)}, training=False)
    inputs, mask = chosen_from(given, at)
    before, _ = front(inputs, mask, chosen={"audio", "video"})
    after, _ = front(given, masks(given))
    for name in given:
        torch.testing.assert_close(before[name], after[name])


def test_a_batch_without_any_sound_has_an_empty_picture_and_says_so() -> None:
    given = recording()
    given["audio"] = torch.zeros(2, 1)
    mask = masks(given)
    mask["audio"][:] = False
    for chosen in ((), ("audio", "video")):
        made, seen = front_end().eval()(given, mask, chosen=chosen)
        assert made["audio"].shape == (2, VIEWS, 100, 4)
        assert not seen["audio"].any()


def test_clips_of_several_lengths_and_lacks_do_not_disturb_each_other() -> None:
    front, given = front_end().eval(), recording()
    mask = masks(given)
    mask["video"][0, 30:], mask["audio"][0, 1200:] = False, False
    mask["video"][1] = False
    given["audio"][0, 1200:] = 9.0
    together, seen = front(given, mask)
    first, _ = front(
        {"video": given["video"][:1, :30], "audio": given["audio"][:1, :1200]},
        {"video": there(30), "audio": there(1200)},
    )
    second, _ = front({"audio": given["audio"][1:]}, {"audio": there(2400)})
    torch.testing.assert_close(together["video"][:1], first["video"])
    torch.testing.assert_close(together["audio"][:1], first["audio"])
    torch.testing.assert_close(together["audio"][1:], second["audio"])
    assert seen["video"].any(1).tolist() == [True, False]


def test_masks_are_drawn_for_what_there_is() -> None:
    front, given = front_end(kind=MaskedMedia).eval(), recording()
    made, _ = front(given, masks(given))
    made["audio"] = made["audio"][:, :1]
    drawn = front.draw(made, [3, 4])
    assert {name: tuple(x.shape) for name, x in drawn.items()} == {
        "video_hidden": (2, 4 * 2 * 2), "audio_hidden": (2, 10 * 2),
    }  # fmt: skip
    assert drawn["video_hidden"].sum(1).tolist() == [8, 8]
    again = front.draw(made, [3, 4])
    assert all(torch.equal(again[name], x) for name, x in drawn.items())
    only = front.draw({"audio": made["audio"]}, [3, 4])
    assert torch.equal(only["audio_hidden"], drawn["audio_hidden"])
    assert front_end().draw(made, []) == {}
