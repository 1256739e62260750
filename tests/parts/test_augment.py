from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mien.parts.augment import OPERATIONS, Augment, ScaleCrop, draw_boxes

GREY = 128 / 255


def clip(frames: int = 3, size: int = 20) -> Tensor:
    """Soft shapes with some of every value, as (T, 3, H, W)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(frames, 3, 5, 5, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    return 0.1 + 0.7 * fine


def still(size: int = 20) -> Tensor:
    """A clip of equal frames."""
    return clip(1, size).repeat(4, 1, 1, 1)


@pytest.mark.parametrize("level", [-1.0, -0.7, 0.7, 1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_changes_all_frames_alike_and_stays_in_range(name: str, level: float) -> None:
    before = still()
    after = OPERATIONS[name](before, level)
    assert after.shape == before.shape
    assert after.isfinite().all()
    assert after.min() >= 0
    assert after.max() <= 1
    assert all(torch.equal(frame, after[0]) for frame in after)
    assert (after - before).abs().max() > 0.02


@pytest.mark.parametrize(
    "name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y", "solarize",
             "solarize_add", "colour", "contrast", "brightness", "sharpness"]
)  # fmt: skip
def test_level_zero_changes_nothing(name: str) -> None:
    torch.testing.assert_close(OPERATIONS[name](clip(), 0.0), clip(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["auto_contrast", "equalize"])
def test_a_flat_clip_has_no_contrast_to_stretch(name: str) -> None:
    flat = torch.full((2, 3, 4, 4), 0.3)
    assert torch.equal(OPERATIONS[name](flat, 0.7), flat)


def test_auto_contrast_uses_the_full_range_of_each_colour() -> None:
    after = OPERATIONS["auto_contrast"](clip(), 0.7)
    torch.testing.assert_close(after.amin((0, 2, 3)), torch.zeros(3))
    torch.testing.assert_close(after.amax((0, 2, 3)), torch.ones(3))


def test_equalize_spreads_values_evenly() -> None:
    after = OPERATIONS["equalize"](clip(size=64) ** 3, 0.7)
    shares = torch.histc(after[:, 0], bins=4, min=0, max=1) / after[:, 0].numel()
    assert (shares - 0.25).abs().max() < 0.05


def test_tone_curves_are_one_for_the_clip() -> None:
    video = torch.stack([torch.full((3, 8, 8), 0.2), torch.full((3, 8, 8), 0.6)])
    after = OPERATIONS["auto_contrast"](video, 0.7)
    assert after[0].max() == 0  # the darker frame stays the darker one
    assert after[1].min() == 1


def test_posterize_keeps_as_many_values_as_its_bits_say() -> None:
    assert len(set(OPERATIONS["posterize"](clip(), 0.7).flatten().tolist())) == 4
    assert len(set(OPERATIONS["posterize"](clip(), 1.0).flatten().tolist())) == 2


def test_solarize_inverts_only_bright_values() -> None:
    before = clip()
    after = OPERATIONS["solarize"](before, 0.5)
    bright = before * 255 >= 128
    assert torch.equal(after[bright], 1 - before[bright])
    assert torch.equal(after[~bright], before[~bright])


def test_solarize_add_lightens_only_dark_values() -> None:
    before = clip()
    after = OPERATIONS["solarize_add"](before, -0.5)
    torch.testing.assert_close(after, torch.where(before < 0.5, before + 55 / 255, before))


def test_invert_and_brightness_are_exact() -> None:
    assert torch.equal(OPERATIONS["invert"](clip(), 0.7), 1 - clip())
    torch.testing.assert_close(OPERATIONS["brightness"](clip(), -0.5), clip() * 0.55)


def test_less_colour_brings_the_colours_together() -> None:
    before = clip()
    spread = before.std(1).mean()
    assert OPERATIONS["colour"](before, -1.0).std(1).mean() < 0.2 * spread
    assert OPERATIONS["colour"](before, 0.5).std(1).mean() > 1.1 * spread


def test_translation_moves_whole_pixels_and_leaves_grey() -> None:
    before = clip(size=20)
    after = OPERATIONS["translate_x"](before, 1.0)  # 45 % of 20 pixels
    torch.testing.assert_close(after[..., :11], before[..., 9:], atol=1e-4, rtol=0)
    torch.testing.assert_close(after[..., 12:], torch.full_like(after[..., 12:], GREY))
    down = OPERATIONS["translate_y"](before.mT, 1.0)
    torch.testing.assert_close(down, after.mT)


def test_shear_leaves_its_edge_and_moves_the_other() -> None:
    before = clip(size=40)
    after = OPERATIONS["shear_x"](before, 1.0)
    torch.testing.assert_close(after[:, :, 0, 1:-1], before[:, :, 0, 1:-1], atol=0.05, rtol=0)
    assert (after[:, :, -1] - before[:, :, -1]).abs().mean() > 0.05
    torch.testing.assert_close(OPERATIONS["shear_y"](before.mT, 1.0), after.mT)


def test_rotation_turns_rigidly_about_the_centre() -> None:
    wide = torch.zeros(1, 3, 41, 61)
    wide[:, :, 20, 40] = 1.0  # ten pixels right of the centre
    after = OPERATIONS["rotate"](wide, 1.0)[0, 0]
    inside = after[8:33, 18:43]  # away from the grey corners
    row, column = divmod(int(inside.argmax()), inside.shape[1])
    away = torch.tensor([row + 8 - 20.0, column + 18 - 30.0])
    assert float(away.norm()) == pytest.approx(10, abs=0.8)
    assert abs(float(away[0])) == pytest.approx(5, abs=0.8)  # 10 * sin 30 degrees


def batch(clips: int = 6) -> Tensor:
    return still()[None].repeat(clips, 1, 1, 1, 1)  # (B, T, 3, H, W)


def test_frames_of_a_clip_are_treated_alike_and_clips_are_not() -> None:
    torch.manual_seed(0)
    after = Augment()(batch())
    assert after.shape == batch().shape
    assert after.isfinite().all()
    assert after.min() >= 0
    assert after.max() <= 1
    for one in after:
        assert all(torch.equal(frame, one[0]) for frame in one)
    for i in range(1, 6):
        assert not torch.allclose(after[0], after[i])


def test_the_seed_decides() -> None:
    augment = Augment(erase=1.0)
    torch.manual_seed(5)
    first = augment.erase(augment(batch()))
    torch.manual_seed(5)
    assert torch.equal(augment.erase(augment(batch())), first)


def test_nothing_happens_outside_training() -> None:
    augment = Augment(erase=1.0).eval()
    video = batch()
    state = torch.get_rng_state()
    assert augment(video) is video
    assert augment.erase(video) is video
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_crop_of_everything_only_mirrors(flip: float) -> None:
    after = Augment(operations=0, crop_area=(1.0, 1.0), flip=flip)(batch(2))
    expected = batch(2).flip(-1) if flip else batch(2)
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=0)


def test_a_crop_shows_its_part_of_the_frame() -> None:
    ramp = torch.linspace(0, 1, 40).expand(60, 1, 3, 40, 40)
    torch.manual_seed(2)
    quarter = Augment(operations=0, crop_area=(0.25, 0.25), crop_ratio=(1.0, 1.0), flip=0.0)
    for shown in (quarter(ramp)[:, 0, 0, 20], quarter(ramp.mT)[:, 0, 0, :, 20]):  # (clips, 40)
        width = shown[:, -1] - shown[:, 0]
        torch.testing.assert_close(width, torch.full((60,), 0.5), atol=0.03, rtol=0)
        assert shown[:, 0].min() < 0.05
        assert shown[:, -1].max() > 0.95


def test_each_operation_is_applied_to_every_second_clip() -> None:
    torch.manual_seed(0)
    video = still(12)[None].repeat(400, 1, 1, 1, 1)
    after = Augment(operations=1, crop_area=(1.0, 1.0), flip=0.0)(video)
    changed = (after - video).abs().flatten(1).amax(1) > 1e-3
    assert float(changed.float().mean()) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("area", "ratio"), [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.02, 1 / 3), (0.3, 1 / 0.3))]
)
def test_boxes_have_their_area_and_shape_and_lie_inside(
    area: tuple[float, float], ratio: tuple[float, float]
) -> None:
    torch.manual_seed(0)
    top, left, height, width = draw_boxes(2000, area, ratio).T
    size, shape = height * width, width / height
    assert area[0] - 1e-5 <= size.min() < area[0] + 0.02
    assert area[1] - 0.02 < size.max() <= area[1] + 1e-5
    assert ratio[0] - 1e-4 <= shape.min() < ratio[0] * 1.1
    assert ratio[1] / 1.1 < shape.max() <= ratio[1] + 1e-4
    assert min(top.min(), left.min()) >= 0
    assert max((top + height).max(), (left + width).max()) <= 1 + 1e-6


def test_erasing_puts_noise_into_one_box_of_all_frames() -> None:
    torch.manual_seed(0)
    video = torch.zeros(50, 4, 3, 32, 32)
    after = Augment(erase=1.0).erase(video)
    assert not video.any()
    for erased in after:
        gone = erased[0, 0] != 0
        rows, columns = gone.any(1), gone.any(0)
        assert torch.equal(gone, rows[:, None] & columns)
        assert rows.nonzero().diff(dim=0).eq(1).all()  # one box, no gap
        assert columns.nonzero().diff(dim=0).eq(1).all()
        assert torch.equal(erased != 0, gone.expand_as(erased))
        # A side is rounded to a pixel: by 7 % where a box of 2 % is as narrow as it can be.
        assert 0.02 * 0.8 <= gone.float().mean() <= 1 / 3 * 1.1
        assert not torch.equal(erased[0], erased[1])
    noise = after[after != 0]
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.std()) == pytest.approx(1, abs=0.01)


def test_every_fourth_clip_is_erased() -> None:
    torch.manual_seed(0)
    after = Augment().erase(torch.zeros(800, 1, 1, 4, 4))
    assert float(after.flatten(1).any(1).float().mean()) == pytest.approx(0.25, abs=0.05)
    assert not Augment(erase=0.0).erase(torch.zeros(20, 1, 1, 4, 4)).any()


def test_a_crop_of_a_few_scales_lies_at_one_of_thirteen_places() -> None:
    crop = ScaleCrop()
    boxes = crop._boxes(4000)
    sides = [(round(h, 3), round(w, 3)) for _, _, h, w in boxes.tolist()]
    scales = [1.0, 0.875, 0.75, 0.66]
    near = {(a, b) for i, a in enumerate(scales) for j, b in enumerate(scales) if abs(i - j) <= 1}
    assert set(sides) == near
    room = 1 - boxes[:, 2:]
    free = (room > 0).all(1)
    places = {(round(y, 3), round(x, 3)) for y, x in (boxes[:, :2] / room)[free].tolist()}
    corners, between = (0, 0.5, 1), (0.25, 0.75)
    assert places == {(a, b) for a in corners for b in corners} | {
        (a, b) for a in between for b in between
    }
    assert (boxes[:, :2] + boxes[:, 2:] <= 1 + 1e-6).all()


def test_a_scaled_crop_changes_nothing_else() -> None:
    video = torch.full((3, 2, 3, 8, 8), 0.25)
    crop = ScaleCrop().train()
    torch.testing.assert_close(crop(video), video)
    assert crop.erase(video) is video
    noise = torch.rand(3, 2, 3, 8, 8)
    assert not torch.equal(crop(noise), noise)
    assert crop.eval()(noise) is noise
