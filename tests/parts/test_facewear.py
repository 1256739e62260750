from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mien.parts import facewear
from mien.parts.facewear import STEPS, FaceWear

# Where the mildest of what is drawn could not be told from nothing.
CLEAR: dict[str, dict[str, Any]] = {"blur": {"sigma": (0.04, 0.05)}, "shrink": {"side": (8, 16)}}

every_step = pytest.mark.parametrize("step", STEPS)


def clips(count: int = 6, frames: int = 2, size: int = 40, seed: int = 0) -> Tensor:
    """Soft shapes in colours, another in each clip, the same in its frames: (B, T, 3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    fine = F.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    return (0.1 + 0.8 * fine)[:, None].repeat(1, frames, 1, 1, 1)


def greys(count: int = 6, frames: int = 1, size: int = 40) -> Tensor:
    return clips(count, frames, size)[:, :, :1].repeat(1, 1, 3, 1, 1)


def worn(video: Tensor, **settings: Any) -> Tensor:
    """What nothing but the named steps make of it."""
    torch.manual_seed(0)
    found = FaceWear.only(**settings)(video)
    assert isinstance(found, Tensor)
    return found


# -- what holds for every step ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [(48, 48), (33, 50)])
@pytest.mark.parametrize("replicated", [False, True])
def test_pictures_stay_pictures(size: tuple[int, int], replicated: bool) -> None:
    video = torch.rand(40, 2, 3, *size)
    before = video.clone()
    after = FaceWear(replicated=replicated)(video)
    assert after.shape == video.shape
    assert after.isfinite().all()
    assert after.min() >= 0
    assert after.max() <= 1
    assert torch.equal(video, before)  # what came in is not written to


@every_step
def test_each_step_changes_pictures_and_frames_alike(step: str) -> None:
    before = greys(6, 2) if step == "cast" else clips()
    after = worn(before, **{step: 1.0} | CLEAR.get(step, {}))
    changed = (after - before).abs().flatten(1).amax(1)
    assert (changed > 0.01).all()
    if step != "noise":
        torch.testing.assert_close(after[:, 0], after[:, -1])
    assert not torch.allclose(after[0] - before[0], after[1] - before[1], atol=1e-3)


@every_step
def test_each_step_falls_on_its_share(step: str) -> None:
    before = (greys if step == "cast" else clips)(300, 1, 24)
    after = worn(before, **{step: 0.3} | CLEAR.get(step, {}))
    changed = (after - before).abs().flatten(1).amax(1) > 2e-3
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.09)


def test_without_steps_nothing_changes() -> None:
    torch.testing.assert_close(worn(clips()), clips(), atol=1e-5, rtol=0)


def test_nothing_happens_outside_training() -> None:
    video, state = clips(), torch.get_rng_state()
    assert FaceWear().eval()(video) is video
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_decides() -> None:
    wear = FaceWear()
    torch.manual_seed(4)
    first = wear(clips(20))
    torch.manual_seed(4)
    assert torch.equal(wear(clips(20)), first)
    assert not torch.equal(wear(clips(20)), first)


def test_other_clips_matter_only_where_they_hide_one() -> None:
    one, two = clips(12), clips(12, seed=1)
    two[3] = one[3]
    for others in (False, True):
        wear = FaceWear(others=others, occlusion=1.0, area=(0.2, 0.2))
        same = []
        for seed in range(8):
            torch.manual_seed(seed)
            first = wear(one)[3]
            torch.manual_seed(seed)
            same.append(torch.allclose(wear(two)[3], first, atol=1e-5))
        assert all(same) is not others


def test_no_clips_and_one_clip() -> None:
    assert FaceWear()(torch.zeros(0, 2, 3, 8, 8)).shape == (0, 2, 3, 8, 8)
    assert FaceWear(occlusion=1.0)(clips(1)).shape == clips(1).shape
    assert FaceWear()(torch.rand(5, 1, 3, 1, 1)).shape == (5, 1, 3, 1, 1)


def test_a_step_that_is_not_there_is_no_setting() -> None:
    with pytest.raises(TypeError, match="jiter"):
        FaceWear.only(jiter=1.0)


def test_one_colour_is_enough_of_equal_ones() -> None:
    video = greys(20)
    for step in ("light", "blur", "motion", "jitter", "mirror", "shrink"):
        settings: dict[str, Any] = {step: 1.0}
        one, three = worn(video[:, :, :1], replicated=True, **settings), worn(video, **settings)
        torch.testing.assert_close(one, three, atol=1e-5, rtol=0)


# -- the steps -------------------------------------------------------------------------------------


def test_mirrored_clips_are_mirrored() -> None:
    torch.testing.assert_close(worn(clips(), mirror=1.0), clips().flip(-1), atol=1e-5, rtol=0)


def test_crops_vary_as_asked() -> None:
    torch.manual_seed(0)
    wear = FaceWear.only(jitter=1.0, shift=0.02, zoom=0.05, turn=3.0, stretch=0.04)
    view = wear._views(20_000, 1.0)
    turn = torch.atan2(view[:, 1, 0], view[:, 0, 0])
    wide, tall = (view[:, :, axis].norm(dim=1).log() for axis in (0, 1))
    for values, expected in (
        (view[:, 0, 2] / 2, 0.02),  # of -1..1 into sides
        (view[:, 1, 2] / 2, 0.02),
        ((wide + tall) / 2, 0.05),
        (wide - tall, 0.04),
        (turn.rad2deg(), 3.0),
    ):
        assert float(values.std()) == pytest.approx(expected, rel=0.03)
        assert float(values.mean()) == pytest.approx(0, abs=0.05 * expected)


@pytest.mark.parametrize("size", [(41, 41), (31, 61)])
def test_a_jittered_crop_moves_what_it_shows(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spot comes to lie where the matrix says, also for clips that a camera made smaller."""
    height, width = size
    wear = FaceWear.only(jitter=1.0, shift=0.03, zoom=0.1, turn=10.0, stretch=0.1, shrink=0.5,
                         side=(28, 30))  # fmt: skip
    view = wear._views(60, width / height)
    monkeypatch.setattr(wear, "_views", lambda *_: view.clone())
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    spot = torch.exp(-((down - 12) ** 2 + (across - 25) ** 2) / 18.0)
    after = wear(spot.repeat(60, 1, 3, 1, 1))[:, 0, 0]
    weight = after / after.sum((1, 2), keepdim=True)
    found = torch.stack([(weight * across).sum((1, 2)), (weight * down).sum((1, 2))], 1)
    scale = torch.tensor([2 / width, 2 / height])
    seen = (view[..., :2] @ ((found + 0.5) * scale - 1)[..., None])[..., 0] + view[..., 2]
    expected = torch.tensor([[25.0, 12.0]]).repeat(60, 1)
    torch.testing.assert_close((seen + 1) / scale - 0.5, expected, atol=0.25, rtol=0)


def test_light_is_gamma_contrast_and_brightness() -> None:
    before = clips(1)
    after = worn(before, light=1.0, gamma=(2, 2), contrast=(0.5, 0.5), brightness=(0.1, 0.1),
                 gradient=0.0)  # fmt: skip
    curve = before**2
    middle = curve.mean((1, 2, 3, 4), keepdim=True)
    expected = (middle + 0.5 * (curve - middle) + 0.1).clamp(0, 1)
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=0)


def test_light_comes_from_a_side() -> None:
    plain = {"gamma": (1, 1), "contrast": (1, 1), "brightness": (0, 0)}
    flat = torch.full((50, 1, 3, 21, 21), 0.5)
    after = worn(flat, light=1.0, gradient=0.4, **plain)
    torch.testing.assert_close(after[..., 10, 10], flat[..., 10, 10])
    assert (after.flatten(1).std(1) > 0).all()
    assert float(after.max()) < 0.5 * (1 + 0.4 * math.sqrt(2))
    assert after[..., 0, 10].std() > 0.03  # from other sides in other clips


def test_what_hides_has_its_area() -> None:
    torch.manual_seed(1)
    cover = facewear._shapes(600, (0.1, 0.1), torch.zeros(1, 1, 1, 60, 60))
    assert cover.min() >= 0
    assert cover.max() <= 1
    share = cover.mean((1, 2, 3, 4))
    assert share.max() < 0.45  # an edge hides at most so much
    half = ((share > 0.095) & (share < 0.105)).float().mean()
    assert half > 0.2  # boxes and ellipses that lie inside
    assert float(share.median()) < 0.12


def test_what_is_not_hidden_stays() -> None:
    before = clips(200, 1, 32)
    after = worn(before, occlusion=1.0, area=(0.1, 0.1))
    same = ((after - before).abs() < 1e-5).all(2).float().mean((1, 2, 3))
    assert same.min() > 0.4
    assert (same < 0.97).float().mean() > 0.95
    darker = (after <= before + 1e-5).flatten(1).all(1).float().mean()
    assert darker > 0.15  # every fourth is a shadow


def test_blur_is_a_gaussian() -> None:
    spot = torch.zeros(4, 1, 3, 41, 41)
    spot[..., 20, 20] = 1
    after = worn(spot, blur=1.0, sigma=(0.05, 0.05))[:, 0, 0]
    place = torch.arange(41) - 20.0
    for axis in (1, 2):
        spread = (after.sum(axis) * place.square()).sum(1) / after.sum((1, 2))
        torch.testing.assert_close(spread.sqrt(), torch.full((4,), 0.05 * 41), atol=0.03, rtol=0)


def test_motion_smears_along_one_line() -> None:
    spot = torch.zeros(30, 1, 3, 61, 61)
    spot[..., 30, 30] = 1
    after = worn(spot, motion=1.0, streak=(0.2, 0.2))[:, 0, 0]
    torch.testing.assert_close(after.sum((1, 2)), torch.ones(30))
    down, across = torch.meshgrid(*[torch.arange(61) - 30.0] * 2, indexing="ij")
    places = torch.stack([across, down]).flatten(1)
    spread = (after.flatten(1)[:, None, None] * places * places[:, None]).sum(-1)  # (30, 2, 2)
    small, large = torch.linalg.eigvalsh(spread).sqrt().T
    # A line of 12 pixels has a deviation of 12 / sqrt(12).
    torch.testing.assert_close(large, torch.full((30,), 12.2 / math.sqrt(12)), atol=0.25, rtol=0)
    assert small.max() < 0.75


def test_fewer_pixels_hold_no_detail() -> None:
    noise = torch.rand(40, 1, 3, 64, 64)
    for side in (16, 32):
        after = worn(noise, shrink=1.0, side=(side, side))
        assert after.shape == noise.shape
        # A mean of n pixels varies by 1 / sqrt(n); interpolation takes some more.
        expected = noise.std() * side / 64
        assert 0.4 * expected < after.std() < 1.1 * expected
    torch.testing.assert_close(worn(noise, shrink=1.0, side=(99, 99)), noise, atol=1e-4, rtol=0)


def test_a_smooth_picture_survives_fewer_pixels() -> None:
    before = clips(30, 1, 64)
    after = worn(before, shrink=1.0, side=(48, 48))
    assert (after - before).abs().mean() < 0.02  # nothing is moved


def test_noise_is_as_strong_as_asked_and_new_in_each_frame() -> None:
    flat = torch.full((20, 3, 3, 32, 32), 0.5)
    after = worn(flat, noise=1.0, deviation=(0.05, 0.05)) - flat
    assert float(after.std()) < 0.0501
    assert not torch.allclose(after[:, 0], after[:, 1])
    canvas = flat.clone()
    FaceWear.only(deviation=(0.05, 0.05))._grain(canvas, torch.arange(20))
    assert float((canvas - flat).std()) == pytest.approx(0.05, rel=0.02)


def test_compression_is_that_of_its_quality() -> None:
    before = (255 * clips(8, 1, 48)).round() / 255
    errors = [
        float((worn(before, compression=1.0, quality=(q, q)) - before).square().mean().sqrt())
        for q in (10, 40, 90)
    ]
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]
    assert errors[2] < 0.02


def test_blocks_begin_anywhere() -> None:
    ramp = torch.linspace(0, 1, 48).expand(60, 1, 3, 48, 48).contiguous()
    after = worn(ramp, compression=1.0, quality=(5, 5))[:, 0, 0, 24]
    jumps = after.diff(dim=1).abs().argmax(1) % 8
    assert len(set(jumps.tolist())) > 4


def test_grey_clips_keep_their_luminance() -> None:
    before = clips()
    after = worn(before, grey=1.0)
    luma = 0.299 * before[:, :, 0] + 0.587 * before[:, :, 1] + 0.114 * before[:, :, 2]
    for colour in range(3):
        torch.testing.assert_close(after[:, :, colour], luma, atol=1e-5, rtol=0)


def test_a_cast_gives_grey_clips_a_colour_and_keeps_them_as_bright() -> None:
    before = torch.full((400, 1, 3, 9, 9), 0.5)
    after = worn(before, cast=1.0, warmth=(0.3, 0.3), tint=0.02)
    middle = after[..., 4, 4][:, 0]
    weights = torch.tensor([0.299, 0.587, 0.114])
    torch.testing.assert_close(middle @ weights, torch.full((400,), 0.5), atol=1e-4, rtol=0)
    warm = (middle[:, 0] / middle[:, 2]).log()
    assert float(warm.mean()) == pytest.approx(0.3, abs=0.01)
    assert float(warm.std()) == pytest.approx(0.02 * math.sqrt(2), rel=0.15)
