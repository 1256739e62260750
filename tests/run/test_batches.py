"""Batches for training: always whole, shared out exactly, classes weighed by how rare they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import corpora
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from sklearn.utils.class_weight import compute_class_weight

from mien import config, registry, tasks
from mien.config import RunConfig, TrainConfig
from mien.data.batch import RowDataset, collate
from mien.data.manifest import Manifest, infer_tasks
from mien.data.order import BatchOrder
from mien.errors import ConfigError, RunError
from mien.parts.losses import CrossEntropy
from mien.parts.model import FrontEnd, Model
from mien.run import assemble
from mien.run.batches import Collate, Plan
from mien.types import Problem, Specs, Stage, TaskSpec, Unit


def _read(
    system: str, corpus: Callable[[Path], Path], home: Path, *words: str
) -> tuple[RowDataset, Specs, Stage, RunConfig]:
    manifest = Manifest.read(corpus(home))
    specs = infer_tasks(manifest, tasks.NAMED)
    chosen = config.resolve(system, overrides=words)
    stage: Stage = list(registry.system(system).load().STAGES.values())[-1]
    return assemble.dataset(manifest, manifest.rows, chosen, stage, specs), specs, stage, chosen


# -- whole batches ---------------------------------------------------------------------------------


def test_a_modality_that_a_whole_batch_lacks_is_one_masked_position(tmp_path: Path) -> None:
    rows, specs, *_ = _read("toy-clip", corpora.clips, tmp_path)
    without = [rows[i] for i in range(len(rows)) if "a" not in rows[i].inputs]
    assert len(without) > 2
    plain, batch = collate(without, specs), Collate(rows, specs)(without)
    assert plain.modalities == ["b"]
    assert batch.modalities == ["a", "b"]
    assert batch.inputs["a"].shape == (len(without), 1, 6)
    assert not batch.inputs["a"].any()
    assert not batch.mask["a"].any()
    assert batch.present.tolist() == [[False, True]] * len(without)
    assert torch.equal(batch.inputs["b"], plain.inputs["b"])
    assert torch.equal(batch.targets["emotion"], plain.targets["emotion"])


def test_a_batch_that_lacks_nothing_stays_as_it_is(tmp_path: Path) -> None:
    rows, specs, *_ = _read("toy-clip", corpora.clips, tmp_path)
    samples = [rows[i] for i in range(6)]
    batch, plain = Collate(rows, specs)(samples), collate(samples, specs)
    assert torch.equal(batch.present, plain.present)
    assert batch.inputs.keys() == plain.inputs.keys()


# -- sharing out -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    processes=some.integers(1, 3),
    accumulate=some.integers(1, 3),
    each=some.integers(1, 3),
    rest=some.integers(0, 5),
    seed=some.integers(0, 5),
)
def test_processes_and_micro_batches_share_a_batch_without_loss_or_double(
    processes: int, accumulate: int, each: int, rest: int, seed: int
) -> None:
    whole = processes * accumulate * each
    knobs = TrainConfig(epochs=2, batch_size=whole, accumulate=accumulate)
    order = BatchOrder(3 * whole + rest, whole, seed, shuffle=True, drop_last=True)
    plans = [list(Plan(order, knobs, 0, here, processes)) for here in range(processes)]
    batches = order.epoch(0) + order.epoch(1)
    for step, batch in enumerate(batches):
        parts = [plan[step * accumulate : (step + 1) * accumulate] for plan in plans]
        assert {len(part) for plan in parts for part in plan} == {each}
        dealt = [index for plan in parts for part in plan for index, _ in part]
        seeds = {seed for plan in parts for part in plan for _, seed in part}
        assert len(seeds) == whole
        assert sorted(dealt) == sorted(batch)
        assert len(set(dealt)) == whole
    assert all(len(plan) == accumulate * len(batches) for plan in plans)


@pytest.mark.parametrize("step", [0, 1, 4, 5, 9, 10])
def test_a_plan_begins_anywhere_as_if_it_had_come_there(step: int) -> None:
    order = BatchOrder(21, 4, 7, shuffle=True, drop_last=True)
    knobs = TrainConfig(epochs=2, batch_size=4, accumulate=2)
    assert list(Plan(order, knobs, step, 0, 1)) == list(Plan(order, knobs, 0, 0, 1))[2 * step :]


# -- classes ---------------------------------------------------------------------------------------


def _hard(rows: RowDataset) -> list[int]:
    return [i for i in range(len(rows)) if rows.targets(i)["emotion"].ndim == 0]


def test_class_weights_are_those_of_scikit_learn(tmp_path: Path) -> None:
    rows, specs, stage, chosen = _read(
        "toy-clip", corpora.clips, tmp_path, "class_weights=balanced"
    )
    rows.items = [rows.items[i] for i in _hard(rows)][:-7]
    objective = assemble.make_objective(stage, chosen, specs, rows)
    labels = np.array([int(rows.targets(i)["emotion"]) for i in range(len(rows))])
    assert isinstance(objective, CrossEntropy)
    assert objective.class_weights is not None
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert len(set(wanted)) > 1
    np.testing.assert_allclose(objective.class_weights.numpy(), wanted, rtol=1e-6)
    chosen = chosen.model_copy(update={"train": TrainConfig()})
    plain = assemble.make_objective(stage, chosen, specs, rows)
    assert isinstance(plain, CrossEntropy)
    assert plain.class_weights is None


def test_soft_labels_count_in_parts_and_an_absent_class_weighs_nothing(tmp_path: Path) -> None:
    rows, specs, stage, chosen = _read(
        "toy-clip", corpora.clips, tmp_path, "class_weights=balanced"
    )
    soft = [items for items in rows.items if isinstance(items[0].labels["emotion"], dict)]
    assert soft[0][0].labels["emotion"] == {"x": 0.5, "y": 0.5}
    rows.items = [items for items in rows.items if items[0].labels["emotion"] == "x"][:3] + soft[:1]
    objective = assemble.make_objective(stage, chosen, specs, rows)
    assert isinstance(objective, CrossEntropy)
    assert objective.class_weights is not None
    # 3.5 clips of x, half a one of y: 4 / (2 * 3.5), and y counts at most as one whole clip.
    assert objective.class_weights.tolist() == pytest.approx([4 / 7, 2.0, 0.0])


def test_balanced_drawing_meets_every_class_alike_often(tmp_path: Path) -> None:
    rows, specs, *_ = _read("toy-clip", corpora.clips, tmp_path)
    kept = [i for i in _hard(rows) if i % 3 or i < 9]  # three clips of x, many of y and z
    rows.items = [rows.items[i] for i in kept]
    classes = assemble.classes(rows, specs)
    assert classes == [int(rows.targets(i)["emotion"]) for i in range(len(rows))]
    order = BatchOrder(len(rows), 4, 0, shuffle=True, drop_last=False, balanced_labels=classes)
    assert Counter(classes)[0] == 3
    for epoch in range(2):
        drawn = Counter(classes[i] for batch in order.epoch(epoch) for i in batch)
        assert max(drawn.values()) - min(drawn.values()) <= 1


def test_the_class_of_a_soft_or_unlabelled_clip(tmp_path: Path) -> None:
    rows, specs, *_ = _read("toy-clip", corpora.clips, tmp_path)
    soft = next(items[0] for items in rows.items if isinstance(items[0].labels["emotion"], dict))
    soft.labels["emotion"] = {"x": 0.2, "z": 0.8}
    blank = rows.items[0][0]
    blank.labels["emotion"] = None  # type: ignore[assignment]
    rows.items = [[soft], [blank]]
    assert assemble.classes(rows, specs) == [2, -1]


def test_the_class_of_a_dialogue_is_its_commonest(tmp_path: Path) -> None:
    rows, specs, *_ = _read("toy-dialogues", corpora.dialogues, tmp_path)
    found = assemble.classes(rows, specs)
    assert found is not None
    for index, label in enumerate(found):
        counted = Counter(int(t) for t in rows.targets(index)["emotion"] if t >= 0)
        assert counted[label] == max(counted.values())
    assert set(found) == {0, 1, 2}


def test_a_task_without_classes_has_none_to_balance(tmp_path: Path) -> None:
    rows, specs, *_ = _read("toy-frames", corpora.frames, tmp_path)
    assert assemble.classes(rows, specs) is None


# -- what is put together --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.b", "", "keys", "training", "forward"])
def test_a_task_needs_a_name_that_a_head_can_have(name: str) -> None:
    spec = TaskSpec(name=name, problem=Problem.ONE_OF_N, labels=("x", "y"))
    stage = registry.system("toy-clip").load().STAGES["classify"]
    with pytest.raises(ConfigError, match="no task can be called"):
        assemble.build(stage, config.resolve("toy-clip"), {name: spec})


def test_what_a_system_builds_is_a_model() -> None:
    stage = Stage(unit=Unit.CLIP, build=lambda config, specs: FrontEnd(), modalities=("a",))
    with pytest.raises(ConfigError, match="gave FrontEnd, not a Model"):
        assemble.build(stage, config.resolve("toy-clip"), {})


def _model(width: int = 8, stage: str = "classify", specs: Sequence[str] = ("emotion",)) -> Model:
    chosen = config.resolve("toy-pretrain", overrides=[f"width={width}"])
    built = {n: TaskSpec(name=n, problem=Problem.ONE_OF_N, labels=("x", "y")) for n in specs}
    declared = registry.system("toy-pretrain").load().STAGES[stage]
    return assemble.build(declared, chosen, built)


def test_a_stage_receives_what_is_handed_on_and_starts_the_rest_anew() -> None:
    earlier, later = _model(stage="contrast", specs=()), _model()
    handed = dict(earlier.named_parameters())
    heads = {n: p.clone() for n, p in later.named_parameters() if ".heads." in n}
    new = assemble.receive(later, handed, ("encoder.",))
    assert new == sorted(heads)
    for name, parameter in later.named_parameters():
        wanted = handed[name] if ".encoder." in name else heads[name]
        assert torch.equal(parameter, wanted)


def test_a_handover_that_does_not_fit_is_refused() -> None:
    handed = dict(_model(width=4, stage="contrast", specs=()).named_parameters())
    with pytest.raises(RunError, match=r"has shape \(4, 6\), not \(8, 6\)"):
        assemble.receive(_model(), handed, ("encoder.",))
    with pytest.raises(RunError, match=r"nothing of \['decoder\.'\] was handed on"):
        assemble.receive(_model(), handed, ("decoder.",))
