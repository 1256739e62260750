"""Answers taken apart into clips, without padding and with their targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mien import config, registry, tasks
from mien.data.batch import RowDataset, collate
from mien.data.manifest import Manifest, infer_tasks
from mien.parts.model import FrontEnd, Model
from mien.run import assemble, infer
from mien.run.infer import Answers, Predictions
from mien.types import Batch, Output, Problem, Resolution, Sample, Specs, TaskSpec

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("x", "y", "z"))
UNITS = TaskSpec(
    name="au", problem=Problem.MANY_OF_N, labels=("AU1", "AU2"), resolution=Resolution.FRAME
)


def _built(
    system: str, corpus: Callable[[Path], Path], home: Path
) -> tuple[Model, RowDataset, Specs]:
    manifest = Manifest.read(corpus(home))
    specs = infer_tasks(manifest, tasks.NAMED)
    settings = config.resolve(system)
    stage = next(iter(registry.system(system).load().STAGES.values()))
    rows = assemble.dataset(manifest, manifest.rows, settings, stage, specs)
    torch.manual_seed(0)
    return assemble.build(stage, settings, specs), rows, specs


def _sample(name: str, length: int, target: Any = None, **more: Any) -> Sample:
    targets: dict[str, Any] = {}
    if target is not None:
        targets["au"] = np.asarray(target, dtype=np.float32)
    inputs: dict[str, Any] = {"face": np.zeros((length, 2), np.float32)}
    return Sample(id=name, inputs=inputs, targets=targets, **more)


def _collected(batch: Batch, logits: dict[str, Tensor], specs: Specs) -> Predictions:
    found = Predictions(tasks={name: Answers() for name in specs})
    infer.collect(found, batch, Output(logits=logits), specs)
    return found


# -- taking a batch apart --------------------------------------------------------------------------


def test_frames_behind_a_clips_end_are_no_answers() -> None:
    one, two = [[1, 0]] * 2, [[np.nan, 1], [0, np.nan], [np.nan, np.nan], [1, 1]]
    batch = collate([_sample("short", 2, one), _sample("long", 4, two)], {"au": UNITS})
    logits = torch.randn(2, 4, 2)
    found = _collected(batch, {"au": logits}, {"au": UNITS})
    short, long = found.tasks["au"].scores
    np.testing.assert_allclose(short, logits[0, :2].sigmoid(), rtol=1e-6)
    np.testing.assert_allclose(long, logits[1].sigmoid(), rtol=1e-6)
    np.testing.assert_array_equal(found.tasks["au"].targets[0], one)
    np.testing.assert_array_equal(found.tasks["au"].targets[1], two)


def test_a_gap_inside_a_clip_keeps_its_place() -> None:
    hole = _sample("hole", 3, mask={"face": np.array([True, False, True])})
    batch = collate([hole, _sample("whole", 5)], {"au": UNITS})
    found = _collected(batch, {"au": torch.zeros(2, 5, 2)}, {"au": UNITS})
    assert [len(scores) for scores in found.tasks["au"].scores] == [3, 5]
    assert found.tasks["au"].targets == []


def test_pooled_answers_are_the_annotated_ones_and_know_their_clip() -> None:
    two = [[np.nan, 1], [0, np.nan], [np.nan, np.nan], [1, 1]]
    nothing = [[np.nan, np.nan]] * 3
    samples = [_sample("a", 2, [[1, 0]] * 2), _sample("none", 3, nothing), _sample("b", 4, two)]
    batch = collate(samples, {"au": UNITS})
    answers = _collected(batch, {"au": torch.randn(3, 4, 2)}, {"au": UNITS}).tasks["au"]
    targets, scores = answers.pooled()
    assert answers.owners().tolist() == [0, 0, 2, 2, 2]
    np.testing.assert_array_equal(targets, [[1, 0], [1, 0], [np.nan, 1], [0, np.nan], [1, 1]])
    np.testing.assert_array_equal(scores[3], answers.scores[2][1])
    assert Answers([np.zeros((2, 2))], [np.full((2, 2), np.nan)]).owners().tolist() == []


def test_of_a_soft_label_the_largest_share_is_the_answer_and_none_is_unknown() -> None:
    shares = np.array([0.2, 0.7, 0.1], np.float32)
    given = [np.array(2), shares, np.array(-1)]
    inputs: dict[str, Any] = {"a": np.zeros((1, 2), np.float32)}
    samples = [
        Sample(id=str(i), inputs=inputs, targets={"emotion": t}) for i, t in enumerate(given)
    ]
    batch = collate(samples, {"emotion": EMOTION})
    logits = torch.randn(3, 3)
    answers = _collected(batch, {"emotion": logits}, {"emotion": EMOTION}).tasks["emotion"]
    np.testing.assert_array_equal(np.concatenate(answers.targets), [2, 1, np.nan])
    np.testing.assert_allclose(np.concatenate(answers.scores), logits.softmax(-1), rtol=1e-6)
    assert {scores.shape for scores in answers.scores} == {(1, 3)}


def test_who_was_there_and_when_is_kept() -> None:
    with_times = Sample(
        id="a",
        inputs={"a": np.zeros((2, 1)), "b": np.zeros(1)},
        times=np.array([0, 0.5]),
        group="p1",
    )
    batch = collate([with_times, Sample(id="b", inputs={"b": np.zeros(1)})], {})
    found = _collected(batch, {}, {})
    assert (found.ids, found.group) == (["a", "b"], ["p1", ""])
    assert found.present == [{"a": True, "b": True}, {"a": False, "b": True}]
    assert found.times[0] is not None
    assert found.times[1] is not None
    assert found.times[0].tolist() == [0, 0.5]
    assert np.isnan(found.times[1]).all()


# -- running a model -------------------------------------------------------------------------------


def test_prediction_is_in_evaluation_and_in_the_order_of_the_rows(tmp_path: Path) -> None:
    model, rows, specs = _built("toy-clip", corpora.clips, tmp_path)
    model.train()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    first = infer.predict(model, rows, specs, batch_size=7)
    again = infer.predict(model, rows, specs, batch_size=7)
    assert first.ids == [items[0].id for items in rows.items]
    np.testing.assert_array_equal(
        np.concatenate(first.tasks["emotion"].scores), np.concatenate(again.tasks["emotion"].scores)
    )
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    assert not any(scores.sum() != pytest.approx(1) for scores in first.tasks["emotion"].scores)


def test_rows_without_any_label_have_scores_and_no_targets(tmp_path: Path) -> None:
    model, rows, specs = _built("toy-clip", corpora.clips, tmp_path)
    manifest = Manifest.read(tmp_path / "rows.jsonl")
    bare = [replace(row, labels={}) for row in manifest.rows]
    unlabelled = RowDataset(bare, manifest, rows.modalities, specs, rows.unit)
    answers = infer.predict(model, unlabelled, specs).tasks["emotion"]
    assert len(answers.scores) == len(rows)
    assert answers.targets == []
    assert answers.owners().tolist() == []


class Mean(nn.Module):
    """Answers with the mean of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, a: Tensor, **rest: object) -> Output:
        return Output(features={"mean": a.mean((1, 2))})


class Size:
    """A loss that is the mean over clips of what the network says."""

    additive = True

    def __call__(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        mean = output.features["mean"].mean()
        return {"loss": mean, "twice": 2 * mean}

    def weight(self, batch: Batch) -> Tensor:
        return torch.tensor(float(len(batch)))


def test_terms_over_a_part_do_not_depend_on_its_batches(tmp_path: Path) -> None:
    _, rows, _ = _built("toy-clip", corpora.clips, tmp_path)
    rows.modalities.pop("b")
    # Clips of one length, for the network looks at padding too.
    rows.items = [items for items in rows.items if "a" in items[0].features]
    rows.items = [rows.items[i] for i in range(len(rows)) if len(rows[i].inputs["a"]) == 4]
    assert len(rows) > 5
    model = Model(FrontEnd(), Mean())
    found = [infer.mean_terms(model, rows, Size(), {}, batch_size=n) for n in (2, 5, 100)]
    wanted = np.mean([rows[i].inputs["a"].astype(np.float64).mean() for i in range(len(rows))])
    for terms in found:
        assert terms == pytest.approx({"loss": wanted, "twice": 2 * wanted}, rel=1e-4)
