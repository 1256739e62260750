"""Targets against loops over pixels; errors; who counts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mien.errors import ConfigError, DataError
from mien.parts import pretext
from mien.types import Batch, Output

SIZE = (2, 2, 2)
HIDDEN = torch.tensor([[0, 3, 5, 7], [1, 2, 3, 6]])


def clip() -> Tensor:
    return torch.rand(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(5))


def normalised(video: Tensor) -> Tensor:
    """Every patch of every colour without its mean, over its deviation, value by value."""
    made = video.clone()
    for b in range(len(video)):
        for c in range(3):
            for t in range(0, 4, 2):
                for h in range(0, 4, 2):
                    for w in range(0, 4, 2):
                        box = (b, c, slice(t, t + 2), slice(h, h + 2), slice(w, w + 2))
                        values = [float(v) for v in video[box].flatten()]
                        mean = sum(values) / 8
                        deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / 7)
                        made[box] = (video[box] - mean) / (deviation + 1e-6)
    return made


def flattened(video: Tensor) -> Tensor:
    """All patches (B, 8, 24): frame, row, column, and the colour fastest."""
    rows = []
    for t in range(0, 4, 2):
        for h in range(0, 4, 2):
            for w in range(0, 4, 2):
                values = [
                    video[:, c, t + i, h + j, w + k]
                    for i in range(2) for j in range(2) for k in range(2) for c in range(3)
                ]  # fmt: skip
                rows.append(torch.stack(values, 1))
    return torch.stack(rows, 1)


def at(patches: Tensor) -> Tensor:
    return torch.stack([patches[row, places] for row, places in enumerate(HIDDEN)])


def test_a_target_is_a_patch_without_its_mean_and_deviation() -> None:
    found = pretext.patch_targets(clip(), SIZE, HIDDEN)
    torch.testing.assert_close(found, at(flattened(normalised(clip()))))


def test_every_second_frame_becomes_its_difference_to_the_one_before() -> None:
    frames = normalised(clip())
    for pair in range(0, 4, 2):
        for b in range(2):
            for c in range(3):
                frames[b, c, pair + 1] = frames[b, c, pair + 1] - frames[b, c, pair]
    found = pretext.patch_targets(clip(), SIZE, HIDDEN, frame_difference=True)
    torch.testing.assert_close(found, at(flattened(frames)))


def test_longer_patches_have_several_pairs() -> None:
    video, which = clip(), torch.tensor([[0], [3]])
    found = pretext.patch_targets(video, (4, 2, 2), which, frame_difference=True)
    plain = pretext.patch_targets(video, (4, 2, 2), which)
    plain, found = (x.view(2, 4, -1) for x in (plain, found))  # by frame
    torch.testing.assert_close(found[:, ::2], plain[:, ::2])
    torch.testing.assert_close(found[:, 1::2], plain[:, 1::2] - plain[:, ::2])
    with pytest.raises(ConfigError, match="in pairs"):
        pretext.patch_targets(video, (1, 2, 2), which, frame_difference=True)


def test_a_patch_of_one_value_has_the_target_zero() -> None:
    silent = torch.full((1, 1, 4, 4), 0.467)
    target = pretext.patch_targets(silent, (2, 2), torch.tensor([[0, 1]]))
    assert target.abs().max() < 0.1
    assert target.isfinite().all()


def test_an_error_is_the_mean_of_a_clips_hidden_values() -> None:
    made, target = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    expected = [float(((made[b] - target[b]) ** 2).sum()) / 12 for b in range(2)]
    assert pretext.patch_error(made, target).tolist() == pytest.approx(expected)
    with pytest.raises(DataError, match="was rebuilt where"):
        pretext.patch_error(made, target[:, :2])


def test_clips_without_a_modality_count_neither_in_its_loss_nor_in_its_weight() -> None:
    error = torch.tensor([1.0, 5.0, 3.0], requires_grad=True)
    there = torch.tensor([True, False, True])
    output = Output(aux={"video_error": error, "video_present": there})
    present = torch.stack([torch.ones(3, dtype=torch.bool), there], 1)
    inputs = {"audio": torch.zeros(3, 1), "video": torch.zeros(3, 1)}
    batch = Batch(inputs=inputs, mask={}, present=present)
    objective = pretext.Reconstruction("video")
    loss = objective(output, batch)["loss"]
    assert loss.item() == 2
    assert float(objective.weight(batch)) == 2
    torch.autograd.backward(loss)
    assert error.grad is not None
    assert error.grad.tolist() == [0.5, 0, 0.5]
    output.aux["video_present"] = torch.zeros(3, dtype=torch.bool)
    assert objective(output, batch)["loss"].item() == 0


def test_similarities_are_cosines_of_every_video_to_every_sound() -> None:
    features = {"video_2": torch.randn(3, 5), "audio_2": torch.randn(3, 5)}
    found = pretext.similarities(Output(features=features), [2], 0.5)["logits_2"]
    for i in range(3):
        for j in range(3):
            v, a = features["video_2"][i], features["audio_2"][j]
            expected = float((v * a).sum() / (v.norm() * a.norm())) / 0.5
            assert float(found[i, j]) == pytest.approx(expected, abs=1e-5)


# -- put back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("difference", [False, True])
def test_a_target_put_back_is_the_original(difference: bool) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    target = pretext.PatchTarget(SIZE, frame_difference=difference, mean=mean, std=std)
    middle, scale = (torch.tensor(v).view(3, 1, 1, 1) for v in (mean, std))
    normal = (clip() - middle) / scale
    torch.testing.assert_close(target.shown(normal), clip())
    torch.testing.assert_close(target.rebuilt(normal, target(normal, HIDDEN), HIDDEN), clip())


@pytest.mark.parametrize("difference", [False, True])
def test_what_was_made_stands_in_the_hidden_patches_alone(difference: bool) -> None:
    """Value by value: what was made, with the deviation and the mean of the original patch."""
    video = clip()
    made = torch.randn(2, 4, 24, generator=torch.Generator().manual_seed(1))
    found = pretext.PatchTarget(SIZE, frame_difference=difference).rebuilt(video, made, HIDDEN)
    expected = video.clone()
    for b, places in enumerate(HIDDEN.tolist()):
        for m, place in enumerate(places):
            t, h, w = 2 * (place // 4), 2 * (place // 2 % 2), 2 * (place % 2)
            for c in range(3):
                box = (b, c, slice(t, t + 2), slice(h, h + 2), slice(w, w + 2))
                values = made[b, m].view(2, 2, 2, 3)[..., c].clone()
                if difference:
                    values[1] = values[0] + values[1]
                expected[box] = values * (video[box].std() + 1e-6) + video[box].mean()
    torch.testing.assert_close(found, expected)


def test_a_patch_of_one_value_stays_so_whatever_was_made_of_it() -> None:
    silent, where = torch.zeros(1, 1, 2, 4), torch.tensor([[0, 1]])
    found = pretext.PatchTarget((2, 2)).rebuilt(silent, torch.randn(1, 2, 4), where)
    assert found.abs().max() < 1e-5
