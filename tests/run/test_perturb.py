"""What training does to a batch on purpose."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import Tensor

from mien.config import TrainConfig
from mien.run.perturb import drop_modalities, mix
from mien.types import Batch, Problem, TaskSpec

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("x", "y", "z"))
MOOD = TaskSpec(name="mood", problem=Problem.REGRESSION, labels=("valence", "arousal"))


def _batch(present: list[list[bool]]) -> Batch:
    there = torch.tensor(present)
    names = [f"m{i}" for i in range(there.shape[1])]
    clips = len(present)
    return Batch(
        inputs={name: torch.randn(clips, 3, 2) for name in names},
        mask={
            name: there[:, i, None] & torch.tensor([True, True, False])
            for i, name in enumerate(names)
        },
        present=there,
        targets={"emotion": torch.arange(clips) % 3},
        target_mask={"emotion": torch.ones(clips, dtype=torch.bool)},
    )


@settings(deadline=None)
@given(
    present=some.integers(1, 4).flatmap(
        lambda m: some.lists(
            some.lists(some.booleans(), min_size=m, max_size=m), min_size=1, max_size=9
        )
    ),
    probability=some.floats(0, 0.99),
    seed=some.integers(0, 1000),
)
def test_no_clip_loses_its_last_modality(
    present: list[list[bool]], probability: float, seed: int
) -> None:
    torch.manual_seed(seed)
    batch = _batch(present)
    dropped = drop_modalities(batch, probability)
    assert not (dropped.present & ~batch.present).any(), "nothing appears"
    assert torch.equal(dropped.present.any(1), batch.present.any(1))
    for column, name in enumerate(batch.modalities):
        wanted = batch.mask[name] & dropped.present[:, column, None]
        assert torch.equal(dropped.mask[name], wanted)
        assert torch.equal(dropped.inputs[name], batch.inputs[name])


def test_a_modality_is_hidden_as_often_as_asked_and_the_survivor_is_random() -> None:
    torch.manual_seed(0)
    batch = _batch([[True, True]] * 20_000)
    kept = drop_modalities(batch, 0.4).present.float()
    # Both would go in 0.16 of the clips: half of these keep the first one after all.
    assert kept.mean(0).tolist() == pytest.approx([0.6 + 0.08] * 2, abs=0.015)
    assert torch.equal(drop_modalities(batch, 0.0).present, batch.present)


def _mixed(batch: Batch, **values: object) -> tuple[Batch, Tensor | None]:
    knobs = TrainConfig.model_validate({"mixup": 0.8} | values)
    specs = {"emotion": EMOTION, "mood": MOOD}
    mixed, mixture = mix(batch, specs, knobs)
    return mixed, None if mixture is None else mixture.partner


def test_targets_of_every_task_are_mixed_like_the_clips() -> None:
    torch.manual_seed(0)
    batch = _batch([[True, True]] * 4)
    batch.targets["mood"] = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
    batch.target_mask["mood"] = torch.ones(4, 2, dtype=torch.bool)
    mixed, partner = _mixed(batch)
    assert partner is not None
    assert partner.tolist() == [3, 2, 1, 0]
    keep = float(mixed.targets["emotion"][1, 1])  # clips 1 and 2 are y and z
    assert 0 < keep < 1
    assert mixed.targets["emotion"][1].tolist() == pytest.approx([0, keep, 1 - keep])
    own = batch.targets["mood"]
    torch.testing.assert_close(mixed.targets["mood"], keep * own + (1 - keep) * own[partner])
    assert torch.equal(mixed.inputs["m0"], batch.inputs["m0"]), (
        "inputs are mixed after the front end"
    )


def test_clips_without_a_label_or_with_other_modalities_stay_as_they_are() -> None:
    torch.manual_seed(0)
    batch = _batch(
        [[True, True], [True, True], [True, False], [True, True], [True, True], [True, True]]
    )
    batch.targets["emotion"][0] = -1
    batch.target_mask["emotion"][0] = False
    mixed, partner = _mixed(batch)
    assert partner is not None
    # 0 has no label, so it and its counterpart 5 stay; 2 lacks what 3 has; 1 and 4 are mixed.
    assert partner.tolist() == [0, 4, 2, 3, 1, 5]
    assert mixed.targets["emotion"][5].tolist() == [0, 0, 1]
    assert mixed.target_mask["emotion"].tolist() == [False, True, True, True, True, True]


def test_a_batch_that_is_not_mixed_is_the_same_object() -> None:
    batch = _batch([[True]] * 4)
    assert _mixed(batch, mix_probability=0.0) == (batch, None)
