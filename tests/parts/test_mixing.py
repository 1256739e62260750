from __future__ import annotations

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts.mixing import Draw, Mixture, draw
from mien.parts.model import FrontEnd, Model
from mien.types import Batch, Output

Draws = Literal["shared", "official"]
MODALITIES = ["audio", "pose", "vector", "video"]


def everyone(clips: int, modalities: int = 4) -> Tensor:
    return torch.ones(clips, modalities, dtype=torch.bool)


def drawn(
    clips: int = 4,
    *,
    mixup: float = 0.8,
    cutmix: float = 1.0,
    draws: Draws = "shared",
    present: Tensor | None = None,
    mixable: Tensor | None = None,
    seed: int = 0,
) -> Mixture:
    torch.manual_seed(seed)
    mixture = draw(
        present=everyone(clips) if present is None else present,
        modalities=MODALITIES,
        mixable=mixable,
        mixup=mixup,
        cutmix=cutmix,
        draws=draws,
    )
    assert mixture is not None
    return mixture


def clips_of(values: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs in which every number of clip i is ``values[i]``, so that its share can be read."""
    shapes = {"audio": (1, 50, 16), "pose": (11, 5), "vector": (1, 6), "video": (3, 4, 14, 22)}
    inputs = {
        name: values.view(-1, *[1] * len(shape)).repeat(1, *shape) for name, shape in shapes.items()
    }
    lengths = {"audio": 50, "pose": 11, "vector": 1, "video": 4}
    clips = len(values)
    mask = {name: torch.ones(clips, n, dtype=torch.bool) for name, n in lengths.items()}
    return inputs, mask


def kept(mixture: Mixture, clips: int = 4) -> dict[str, Tensor]:
    """The share of its own content that each clip keeps (B), for each modality."""
    shares: dict[str, Tensor] = {name: torch.zeros(clips) for name in MODALITIES}
    for i in range(clips):
        values = torch.zeros(clips)
        values[i] = 1.0
        mixed, _ = mixture.inputs(*clips_of(values))
        for name, tensor in mixed.items():
            shares[name][i] = tensor[i].mean()
    return shares


def label_kept(mixture: Mixture, clips: int = 4) -> Tensor:
    """The share of its own label that each clip keeps, (B)."""
    own = torch.arange(clips)
    there = torch.ones(clips, dtype=torch.bool)
    soft, _ = mixture.targets(own, there, classes=clips, categorical=True)
    return soft.diagonal()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_one_share_in_every_modality_and_in_the_label(
    mixup: float, cutmix: float, seed: int
) -> None:
    mixture = drawn(mixup=mixup, cutmix=cutmix, seed=seed)
    label = label_kept(mixture)
    assert 0 < label.min() < 1
    for share in kept(mixture).values():
        torch.testing.assert_close(share, label, atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_official_draws_differ_and_the_label_follows_the_video(seed: int) -> None:
    mixture = drawn(draws="official", seed=seed)
    shares, label = kept(mixture), label_kept(mixture)
    torch.testing.assert_close(shares["video"], label, atol=1e-5, rtol=0)
    assert (shares["audio"] - label).abs().min() > 1e-3


def test_official_draws_need_a_video() -> None:
    with pytest.raises(ConfigError, match=r"train\.mix_draws=shared"):
        draw(present=everyone(4, 1), modalities=["audio"], mixup=0.8, cutmix=0.0, draws="official")


def test_partners_come_from_the_reversed_batch() -> None:
    mixture = drawn(5, cutmix=0.0)
    assert mixture.partner.tolist() == [4, 3, 2, 1, 0]
    values = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    mixed, _ = mixture.inputs(*clips_of(values))
    expected = values * mixture.label + values.flip(0) * (1 - mixture.label)
    torch.testing.assert_close(mixed["vector"].mean((1, 2)), expected)


@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_the_middle_of_an_odd_batch_and_a_batch_of_one_stay_as_they_are(cutmix: float) -> None:
    for clips, middle in ((3, 1), (1, 0)):
        mixture = drawn(clips, mixup=1.0 - cutmix, cutmix=cutmix)
        values = torch.rand(clips)
        inputs, mask = clips_of(values)
        mixed, masks = mixture.inputs(inputs, mask)
        for name in MODALITIES:
            assert torch.equal(mixed[name][middle], inputs[name][middle])
            assert torch.equal(masks[name][middle], mask[name][middle])
        assert label_kept(mixture, clips)[middle] == 1


def test_clips_with_other_modalities_or_without_labels_are_not_mixed() -> None:
    present = everyone(6)
    present[0, 1] = False  # its partner is the last clip
    mixable = torch.tensor([True, False, True, True, True, True])  # the partner of 1 is 4
    mixture = drawn(6, present=present, mixable=mixable)
    assert mixture.partner.tolist() == [0, 1, 3, 2, 4, 5]
    label = label_kept(mixture, 6)
    assert label[[0, 1, 4, 5]].tolist() == [1.0] * 4
    assert label[2] == label[3] < 1
    for share in kept(mixture, 6).values():
        torch.testing.assert_close(share, label, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("alpha", "probability"), [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_is_drawn_where_mixing_is_off(alpha: float, probability: float) -> None:
    mixture = draw(
        present=everyone(2),
        modalities=MODALITIES,
        mixup=alpha,
        cutmix=alpha,
        probability=probability,
    )
    assert mixture is None


@pytest.mark.parametrize(("switch", "cut"), [(0.0, False), (1.0, True)])
def test_switch_chooses_between_the_two(switch: float, cut: bool) -> None:
    mixture = draw(present=everyone(2), modalities=MODALITIES, mixup=1.0, cutmix=1.0, switch=switch)
    assert mixture is not None
    assert {how.cut for how in mixture.draws.values()} == {cut}


def test_the_seed_decides() -> None:
    assert drawn(seed=7).draws == drawn(seed=7).draws
    assert drawn(seed=7).draws != drawn(seed=8).draws


def test_a_cut_is_one_box_shared_by_frames_and_channels() -> None:
    mixture = drawn(2, mixup=0.0, seed=3)
    mixed, _ = mixture.inputs(*clips_of(torch.tensor([0.0, 1.0])))
    cover = mixed["video"][0]  # (3, T, H, W), 1 where the partner is
    assert torch.equal(cover, cover[:1, :1].expand_as(cover))
    box = cover[0, 0]
    rows, columns = box.amax(1), box.amax(0)
    torch.testing.assert_close(box, rows[:, None] * columns / box.max())
    for edge in (rows, columns):
        inside = (edge > 0).nonzero().flatten()
        assert torch.equal(inside, torch.arange(int(inside[0]), int(inside[-1]) + 1))
        assert (edge[inside[1:-1]] == box.max()).all()  # only the edges are blended


def test_a_span_takes_consecutive_positions() -> None:
    mixture = drawn(2, mixup=0.0, seed=3)
    mixed, _ = mixture.inputs(*clips_of(torch.tensor([0.0, 1.0])))
    cover = mixed["pose"][0, :, 0]
    inside = (cover > 0).nonzero().flatten()
    assert torch.equal(inside, torch.arange(int(inside[0]), int(inside[-1]) + 1))
    assert (cover[inside[1:-1]] == 1).all()


def padded() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two sequences of 3 and 8 positions; the padding is not a number."""
    mask = torch.arange(10)[None] < torch.tensor([[3], [8]])
    pose = torch.tensor([1.0, 2.0]).view(2, 1, 1).repeat(1, 10, 4)
    return {"pose": pose.masked_fill(~mask[..., None], torch.nan)}, {"pose": mask}


def pose_mixture(*, cut: bool, seed: int) -> Mixture:
    torch.manual_seed(seed)
    mixture = draw(
        present=everyone(2, 1), modalities=["pose"], mixup=float(not cut), cutmix=float(cut)
    )
    assert mixture is not None
    return mixture


def test_mixup_lasts_as_long_as_the_longer_clip() -> None:
    mixture = pose_mixture(cut=False, seed=0)
    mixed, mask = mixture.inputs(*padded())
    keep = mixture.label
    assert mask["pose"].tolist() == [[True] * 8 + [False] * 2] * 2
    first = mixed["pose"][0, :, 0]
    torch.testing.assert_close(first[:3], torch.full((3,), keep + 2 * (1 - keep)))
    torch.testing.assert_close(first[3:8], torch.full((5,), 2 * (1 - keep)))
    assert mixed["pose"].isfinite().all()


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_position_is_there_where_the_clip_it_comes_from_is(seed: int) -> None:
    inputs, mask = padded()
    mixture = pose_mixture(cut=True, seed=seed)
    mixed, mixed_mask = mixture.inputs(inputs, mask)
    assert mixed["pose"].isfinite().all()
    for i in range(2):
        values, there = mixed["pose"][i, :, 0], mixed_mask["pose"][i]
        assert there.any()
        assert not there[8:].any()  # the span lies within the longer clip
        assert (values[~there] == 0).all()
        own = inputs["pose"][i, 0, 0]
        untouched = there & (values == own)
        assert torch.equal(untouched, untouched & mask["pose"][i])


@pytest.mark.parametrize("cut", [True, False])
def test_padding_does_not_move_or_shorten_a_span(cut: bool) -> None:
    pose, mask = torch.rand(2, 8, 3), torch.ones(2, 8, dtype=torch.bool)
    longer = {"pose": F.pad(pose, (0, 0, 0, 40))}, {"pose": F.pad(mask, (0, 40))}
    mixture = pose_mixture(cut=cut, seed=2)
    short, _ = mixture.inputs({"pose": pose}, {"pose": mask})
    long, long_mask = mixture.inputs(*longer)
    assert torch.equal(long["pose"][:, :8], short["pose"])
    assert torch.equal(long_mask["pose"], longer[1]["pose"])


def test_a_cut_that_would_leave_nothing_is_an_average() -> None:
    mask = torch.zeros(2, 10, dtype=torch.bool)
    mask[0, 3], mask[1, [0, 9]] = True, True
    # Half of ten positions, in the middle: all that the first has, nothing of the second.
    how = Draw(cut=True, keep=0.5, place=(0.5, 0.0))
    mixture = Mixture(partner=torch.tensor([1, 0]), draws={"pose": how}, label=0.5)
    pose = torch.tensor([1.0, 2.0]).view(2, 1, 1).repeat(1, 10, 1)
    mixed, there = mixture.inputs({"pose": pose}, {"pose": mask})
    assert there["pose"][0].nonzero().flatten().tolist() == [0, 3, 9]
    assert mixed["pose"][0, [0, 3, 9], 0].tolist() == [1.0, 0.5, 1.0]
    # The other way round the cut leaves the ends and brings in the middle.
    assert there["pose"][1].nonzero().flatten().tolist() == [0, 3, 9]
    assert mixed["pose"][1, [0, 3, 9], 0].tolist() == [2.0, 1.0, 2.0]


@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_pictures_are_there_where_either_clip_is(cutmix: float) -> None:
    mixture = drawn(2, mixup=1 - cutmix, cutmix=cutmix)
    inputs, mask = clips_of(torch.tensor([0.0, 1.0]))
    mask["audio"][0, 20:] = False
    _, mixed = mixture.inputs(inputs, mask)
    assert mixed["audio"].all()


class Means(nn.Module):
    """A network that answers the mean of its video."""

    def forward(self, video: Tensor, *, mask: dict[str, Tensor], present: Tensor) -> Output:
        return Output(logits={"mean": video.flatten(1).mean(1)})


def test_a_model_mixes_between_its_front_end_and_its_network() -> None:
    inputs, mask = clips_of(torch.tensor([0.0, 1.0]))
    batch = Batch(
        inputs={"video": inputs["video"]}, mask={"video": mask["video"]}, present=everyone(2, 1)
    )
    torch.manual_seed(0)
    mixture = draw(present=batch.present, modalities=batch.modalities, mixup=1.0, cutmix=0.0)
    assert mixture is not None
    model = Model(FrontEnd(), Means())
    assert model(batch).logits["mean"].tolist() == [0.0, 1.0]
    expected = torch.tensor([1 - mixture.label, mixture.label])
    torch.testing.assert_close(model(batch, mixture).logits["mean"], expected)


def test_codes_cannot_be_mixed() -> None:
    torch.manual_seed(0)
    mixture = draw(present=everyone(2, 1), modalities=["text"], mixup=1.0, cutmix=0.0)
    assert mixture is not None
    tokens = {"text": torch.ones(2, 5, dtype=torch.long)}
    with pytest.raises(ConfigError, match=r"train\.mixup=0"):
        mixture.inputs(tokens, {"text": torch.ones(2, 5, dtype=torch.bool)})


@pytest.mark.parametrize(
    ("targets", "categorical"),
    [
        (torch.zeros(4, 7, dtype=torch.long), True),  # (B, L) class indices
        (torch.zeros(4, 7, 3), True),  # (B, L, C) weights
        (torch.zeros(4, 7, 3), False),  # (B, L, C) values
    ],
)
def test_answers_within_a_clip_cannot_be_mixed(targets: Tensor, categorical: bool) -> None:
    mask = torch.ones(4, 7, dtype=torch.bool)
    with pytest.raises(ConfigError, match=r"train\.mixup=0"):
        drawn().targets(targets, mask, classes=3, categorical=categorical)


def test_values_are_averaged_and_stay_masked_where_one_is_unknown() -> None:
    mixture = drawn(2)
    values = torch.tensor([[1.0, torch.nan], [3.0, 5.0]])
    mixed, mask = mixture.targets(values, values.isfinite(), classes=2, categorical=False)
    keep = mixture.label
    torch.testing.assert_close(mixed[:, 0], torch.tensor([3 - 2 * keep, 1 + 2 * keep]))
    assert mask.tolist() == [[True, False], [True, False]]


def test_soft_labels_are_mixed_like_hard_ones() -> None:
    mixture = drawn(4)
    hard = torch.tensor([0, 2, 1, 1])
    there = torch.ones(4, dtype=torch.bool)
    from_hard, _ = mixture.targets(hard, there, classes=3, categorical=True)
    soft = F.one_hot(hard, 3).float()
    from_soft, _ = mixture.targets(soft, there, classes=3, categorical=True)
    assert torch.equal(from_hard, from_soft)


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.integers(-1, 4), min_size=1, max_size=9),
    official=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_soft_targets_sum_to_one(labels: list[int], official: bool, seed: int) -> None:
    targets = torch.tensor(labels)
    there = targets >= 0
    draws: Draws = "official" if official else "shared"
    mixture = drawn(len(labels), mixable=there, draws=draws, seed=seed)
    soft, mask = mixture.targets(targets, there, classes=5, categorical=True)
    assert torch.equal(mask, there)
    assert soft.min() >= 0
    torch.testing.assert_close(soft.sum(1), torch.ones(len(labels)))
    unmixed = soft[there].amax(1) == 1
    assert torch.equal(soft[there].argmax(1)[unmixed], targets[there][unmixed])
