"""Samples, batches and their order: nothing absent is taken for something that is there."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mien.data.batch import RowDataset, collate
from mien.data.manifest import Inline, Manifest, Row, Track
from mien.data.order import BatchOrder
from mien.errors import DataError
from mien.types import Batch, Problem, Resolution, Sample, TaskSpec, Unit

NAN = float("nan")
EMOTION = TaskSpec(name="e", problem=Problem.ONE_OF_N, labels=("sad", "glad", "calm"))
UNITS = TaskSpec(
    name="au",
    problem=Problem.MANY_OF_N,
    labels=("AU1", "AU2"),
    resolution=Resolution.FRAME,
    invalid=(-1,),
)
EXPRESSION = TaskSpec(
    name="x", problem=Problem.ONE_OF_N, labels=("sad", "glad"), resolution=Resolution.FRAME
)
AFFECT = TaskSpec(name="va", problem=Problem.REGRESSION, labels=("valence", "arousal"))


def dataset(
    folder: Path,
    rows: list[Row],
    modalities: dict[str, str],
    *specs: TaskSpec,
    unit: Unit = Unit.CLIP,
) -> RowDataset:
    manifest = Manifest(rows, folder / "rows.jsonl")
    return RowDataset(rows, manifest, modalities, {spec.name: spec for spec in specs}, unit)


def saved(folder: Path, name: str, array: np.ndarray) -> str:
    np.save(folder / f"{name}.npy", array)
    return f"{name}.npy"


# -- samples -----------------------------------------------------------------------------------


def test_a_row_becomes_a_sample(tmp_path: Path) -> None:
    row = Row(
        id="a",
        text="né",
        speaker="p1",
        fps=5,
        features={
            "au": Inline([1, 2, 3]),
            "face": saved(tmp_path, "face", np.ones((4, 6))),
            "none": saved(tmp_path, "none", np.ones((0, 6))),
        },
        labels={"e": "glad"},
    )
    modalities = {"video": "face", "units": "au", "text": "text", "absent": "none"}
    rows = dataset(tmp_path, [row], modalities, EMOTION, AFFECT)
    sample = rows[0]
    assert {name: array.shape for name, array in sample.inputs.items()} == {
        "video": (4, 6),
        "units": (1, 3),
        "text": (3,),
    }
    assert sample.inputs["text"].tolist() == list("né".encode())
    assert (sample.id, sample.group) == ("a", "p1")
    assert int(sample.targets["e"]) == 1
    assert np.isnan(np.asarray(sample.targets["va"], float)).all()
    assert sample.times is not None
    np.testing.assert_allclose(np.asarray(sample.times, float), [0, 0.2, 0.4, 0.6])


def test_a_feature_called_text_comes_before_what_is_said(tmp_path: Path) -> None:
    rows = [Row(id="a", text="hi", features={"text": Inline([1, 2])}), Row(id="b", text="hi",
            features={"au": Inline([1])})]  # fmt: skip
    samples = dataset(tmp_path, rows, {"text": "text", "au": "au"})
    assert samples[0].inputs["text"].shape == (1, 2)
    assert set(samples[1].inputs) == {"au"}, "bytes and vectors do not go together"


def test_rows_with_nothing_to_read_are_refused_at_once(tmp_path: Path) -> None:
    ready = Row(id="ready", features={"au": Inline([1])})
    with pytest.raises(
        DataError, match=r"1 rows have only media, and features are needed: au"
    ) as e:
        dataset(tmp_path, [ready, Row(id="raw", video="x.mp4")], {"video": "au"})
    assert "'raw'" in str(e.value)
    with pytest.raises(DataError, match="1 rows have none of the inputs"):
        dataset(tmp_path, [ready, Row(id="bare", text="hi")], {"video": "au"})
    with pytest.raises(DataError, match="did you mean 'au'"):
        dataset(tmp_path, [ready], {"video": "aus"})


def test_without_any_label_there_are_no_targets(tmp_path: Path) -> None:
    rows = [Row(id=name, features={"au": Inline([1])}) for name in "ab"]
    samples = dataset(tmp_path, rows, {"au": "au"}, EMOTION)
    batch = collate([samples[0], samples[1]], {"e": EMOTION})
    assert not batch.targets
    assert not batch.target_mask


def test_errors_name_the_row(tmp_path: Path) -> None:
    rows = [
        Row(id="typo", features={"au": Inline([1])}, labels={"e": "gladd"}),
        Row(id="nan", features={"au": saved(tmp_path, "nan", np.array([[NAN]]))}),
    ]
    samples = dataset(tmp_path, rows, {"au": "au"}, EMOTION)
    for index, name in enumerate(("typo", "nan")):
        with pytest.raises(DataError, match=f"row '{name}'"):
            samples[index]


def test_targets_need_no_features(tmp_path: Path) -> None:
    row = Row(id="a", features={"au": "gone.npy"}, labels={"e": {"sad": 1, "glad": 3}})
    found = dataset(tmp_path, [row], {"au": "au"}, EMOTION).targets(0)
    np.testing.assert_allclose(np.asarray(found["e"], float), [0.25, 0.75, 0])


# -- frames ------------------------------------------------------------------------------------


def test_tracks_are_laid_over_the_features(tmp_path: Path) -> None:
    units = np.array([[1, 0], [-1, 1], [0, 0], [1, 1], [0, 1], [1, 0]], np.float32)
    rows = [
        Row(
            id="half",  # a track of twice the rate
            fps=5,
            features={"face": saved(tmp_path, "f3", np.zeros((3, 2)))},
            labels={"au": Track(saved(tmp_path, "au", units), fps=10), "x": ["sad", None, "glad"]},
        ),
        Row(id="bare", fps=5, features={"face": saved(tmp_path, "f5", np.zeros((5, 2)))}),
        Row(
            id="short",  # a track that ends a little earlier
            fps=5,
            features={"face": saved(tmp_path, "f4", np.zeros((4, 2)))},
            labels={"au": Track(saved(tmp_path, "au2", units[:3])), "x": [1, 0]},
        ),
    ]
    specs = {"au": UNITS, "x": EXPRESSION}
    samples = dataset(tmp_path, rows, {"face": "face"}, *specs.values(), unit=Unit.WINDOW)
    batch = collate([samples[i] for i in range(3)], specs)
    assert batch.inputs["face"].shape == (3, 5, 2)
    assert batch.targets["au"].shape == batch.target_mask["au"].shape == (3, 5, 2)
    assert batch.targets["au"][0, :3].tolist() == units[[0, 2, 4]].tolist()
    assert batch.target_mask["au"][0].tolist() == [[True, True]] * 3 + [[False, False]] * 2
    assert not batch.target_mask["au"][1].any()
    assert batch.target_mask["au"][2, :, 0].tolist() == [True, False, True, False, False]
    assert batch.targets["x"].tolist() == [[0, -1, 1, -1, -1], [-1] * 5, [1, 0, -1, -1, -1]]
    assert (batch.target_mask["x"] == (batch.targets["x"] >= 0)).all()
    assert batch.times is not None
    assert batch.times[1].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert batch.times[0, 3:].isnan().all()


def test_a_class_of_a_row_holds_at_each_frame_and_a_value_does_not(tmp_path: Path) -> None:
    face: dict[str, Any] = {"face": Inline([[1], [2], [3]])}
    rows = [Row(id="a", features=face, labels={"x": "sad"}), Row(id="b", features=face)]
    data = dataset(tmp_path, rows, {"face": "face"}, EXPRESSION)
    assert data[0].targets["x"].tolist() == [EXPRESSION.labels.index("sad")] * 3
    assert data[1].targets["x"].tolist() == [-1] * 3
    value = replace(EXPRESSION, problem=Problem.REGRESSION, labels=("x",))
    row = Row(id="a", features=face, labels={"x": 0.5})
    with pytest.raises(DataError, match=r"asks for a label a frame(.|\n)*row 'a'"):
        dataset(tmp_path, [row], {"face": "face"}, value)[0]


# -- dialogues ---------------------------------------------------------------------------------


def utterance(talk: str, turn: int, words: list[float] | None, label: Any, **more: Any) -> Row:
    return Row(
        id=f"{talk}{turn}",
        dialogue=talk,
        turn=turn,
        features={"words": Inline(words)} if words else {"other": Inline([1])},
        labels={"e": label} if label else {},
        **more,
    )


def test_a_dialogue_is_one_sample_in_the_order_of_turns(tmp_path: Path) -> None:
    rows = [
        utterance("d", 7, [3, 4], "glad", start=2.5),
        utterance("c", 0, [9, 9], "calm"),
        utterance("d", 1, [1, 2], "sad", start=0.5),
        utterance("d", 4, None, {"sad": 1, "calm": 1}, start=1.0),
        utterance("c", 1, [8, 8], None),
    ]
    samples = dataset(tmp_path, rows, {"words": "words"}, EMOTION, unit=Unit.DIALOGUE)
    assert len(samples) == 2
    batch = collate([samples[0], samples[1]], {"e": EMOTION})
    assert batch.ids == ["d", "c"]
    assert batch.inputs["words"].tolist() == [[[1, 2], [0, 0], [3, 4]], [[9, 9], [8, 8], [0, 0]]]
    assert batch.mask["words"].tolist() == [[True, False, True], [True, True, False]]
    assert batch.targets["e"].shape == (2, 3, 3), "hard labels beside soft ones become weights"
    assert batch.targets["e"][0].tolist() == [[1, 0, 0], [0.5, 0, 0.5], [0, 1, 0]]
    assert batch.target_mask["e"].tolist() == [[True, True, True], [True, False, False]]
    assert batch.times is not None
    assert batch.times[0].tolist() == [0.5, 1.0, 2.5]
    assert collate([samples[1]], {"e": EMOTION}).targets["e"].tolist() == [[2, -1]]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([Row(id="a", features={"words": Inline([1])})], "belongs to none"),
        ([utterance("d", 0, [1], None), Row(id="x", dialogue="d")], "turns of a dialogue"),
        ([utterance("d", 0, [1], None), utterance("d", 0, [1], None)], "turns of a dialogue"),
        ([utterance("d", 0, [1], None), utterance("d", 1, [1, 2], None)], "has the shapes"),
        (
            [Row(id="a", dialogue="d", features={"words": Inline([[1], [2]])})],
            "one vector an utterance",
        ),
    ],
)
def test_a_bad_dialogue_is_refused(rows: list[Row], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        dataset(tmp_path, rows, {"words": "words"}, unit=Unit.DIALOGUE)[0]


# -- batches -----------------------------------------------------------------------------------


def sample(name: str, targets: dict[str, Any] | None = None, **inputs: Any) -> Sample:
    arrays = {key: np.asarray(value) for key, value in inputs.items()}
    made = {key: np.asarray(value) for key, value in (targets or {}).items()}
    return Sample(id=name, inputs=arrays, targets=made)


def test_absence_is_a_mask() -> None:
    batch = collate(
        [
            sample("a", b=np.ones((2, 3)), c=[1.0, 2.0]),
            sample("b", b=np.ones((4, 3))),
            sample("c", a=np.array([7, 8]), c=[3.0, 4.0]),
        ],
        {},
    )
    assert batch.modalities == ["a", "b", "c"]
    assert batch.present.tolist() == [
        [False, True, True],
        [False, True, False],
        [True, False, True],
    ]
    assert batch.inputs["b"].shape == (3, 4, 3)
    assert batch.mask["b"].tolist() == [[True] * 2 + [False] * 2, [True] * 4, [False] * 4]
    assert not batch.inputs["b"][~batch.mask["b"]].any()
    assert batch.inputs["c"].shape == (3, 1, 2), "a vector is one position"
    assert batch.inputs["a"].dtype == torch.int64
    assert batch.times is None


def test_masked_positions_hold_nothing() -> None:
    one = sample("a", v=np.array([[1.0], [NAN], [3.0]]))
    one.mask["v"] = np.array([True, False, True])
    batch = collate([one, sample("b", v=np.ones((4, 1)))], {})
    assert batch.inputs["v"][0, :, 0].tolist() == [1, 0, 3, 0]
    assert batch.mask["v"][0].tolist() == [True, False, True, False]
    one.mask["v"][:] = False
    assert collate([one], {}).present.tolist() == [[False]]


def test_kinds_of_numbers_stay() -> None:
    for kind, expected in (("uint8", torch.uint8), ("int16", torch.int64), ("bool", torch.float32),
                           ("float16", torch.float32), ("float64", torch.float32)):  # fmt: skip
        batch = collate([sample("a", v=np.ones((2, 2), kind))], {})
        assert batch.inputs["v"].dtype == expected


def test_shapes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(35,\) in 'a' and \(36,\) in 'b'"):
        collate([sample("a", v=np.ones((1, 35))), sample("b", v=np.ones((1, 36)))], {})
    with pytest.raises(DataError, match="single number"):
        collate([sample("a", v=1.0)], {})
    pair = [sample("a", {"e": 1}, v=[[1]]), sample("b", {"e": [1, 0]}, v=[[1]])]
    with pytest.raises(DataError, match="do not go together"):
        collate(pair, {"e": EMOTION})
    wrong = sample("a", v=[[1], [2]])
    wrong.mask["v"] = np.array([True])
    with pytest.raises(DataError, match=r"the mask of 'v' has the shape \(1,\)"):
        collate([wrong], {})


def test_targets_of_every_task_are_there_or_masked() -> None:
    specs = {"e": EMOTION, "va": AFFECT, "au": UNITS}
    batch = collate(
        [
            sample("a", {"e": 2, "va": [0.5, NAN]}, v=np.ones((2, 1))),
            sample("b", {"e": -1}, v=np.ones((3, 1))),
        ],
        specs,
    )
    assert batch.targets["e"].tolist() == [2, -1]
    assert batch.target_mask["e"].tolist() == [True, False]
    assert batch.targets["va"].tolist() == [[0.5, 0], [0, 0]]
    assert batch.target_mask["va"].tolist() == [[True, False], [False, False]]
    assert batch.targets["au"].shape == (2, 3, 2)
    assert not batch.target_mask["au"].any()


def test_hard_labels_beside_soft_ones_become_weights() -> None:
    batch = collate(
        [
            sample("a", {"e": [0.25, 0.75, 0]}, v=[[1]]),
            sample("b", {"e": 2}, v=[[1]]),
            sample("c", {"e": -1}, v=[[1]]),
        ],
        {"e": EMOTION},
    )
    assert batch.targets["e"].tolist() == [[0.25, 0.75, 0], [0, 0, 1], [0, 0, 0]]
    assert batch.target_mask["e"].tolist() == [True, True, False]


shapes = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 4), st.booleans()), min_size=1, max_size=5
)


@settings(max_examples=60, deadline=None)
@given(shapes)
def test_a_batch_holds_each_sample_as_it_is_alone(made: list[tuple[int, int, bool]]) -> None:
    random = np.random.default_rng(0)
    samples = []
    for index, (long, short, labelled) in enumerate(made):
        inputs = {"a": random.normal(size=(long, 3)), "b": random.integers(1, 9, size=short)}
        found = {name: array for name, array in inputs.items() if len(array)}
        labels = {"au": random.integers(0, 2, size=(long, 2)).astype(np.float32)}
        samples.append(sample(str(index), labels if labelled and long else None, **found))
    together = collate(samples, {"au": UNITS})
    for index, one in enumerate(samples):
        alone = collate([one], {"au": UNITS})
        _same(_part(together.inputs, together.mask, index), _part(alone.inputs, alone.mask, 0))
        if alone.targets:
            _same(_part(together.targets, together.target_mask, index),
                  _part(alone.targets, alone.target_mask, 0))  # fmt: skip


def _part(
    values: dict[str, torch.Tensor], mask: dict[str, torch.Tensor], index: int
) -> dict[str, torch.Tensor]:
    found = {name: values[name][index][mask[name][index]] for name in values}
    return {name: tensor for name, tensor in found.items() if len(tensor)}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert set(one) == set(other)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)


def test_worker_processes_read_the_same(tmp_path: Path) -> None:
    rows = [
        Row(id=str(i), features={"a": saved(tmp_path, f"a{i}", np.full((i + 1, 2), i))},
            labels={"e": "glad"}) for i in range(6)
    ]  # fmt: skip
    samples = dataset(tmp_path, rows, {"a": "a"}, EMOTION)
    samples = pickle.loads(pickle.dumps(samples))  # as a worker that is spawned gets them
    for workers in (0, 1):
        loader: DataLoader[Sample] = DataLoader(
            samples, batch_size=4, num_workers=workers, collate_fn=_collate
        )
        found: list[Batch] = list(loader)
        assert [batch.inputs["a"].shape for batch in found] == [(4, 4, 2), (2, 6, 2)]
        assert [name for batch in found for name in batch.ids] == list("012345")


def _collate(samples: list[Sample]) -> Batch:
    return collate(samples, {"e": EMOTION})


# -- order -------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 20), st.booleans(), st.integers(0, 5))
def test_an_epoch_shows_every_sample_once(size: int, batch: int, drop: bool, epoch: int) -> None:
    order = BatchOrder(size, batch, 3, shuffle=True, drop_last=drop)
    found = order.epoch(epoch)
    flat = [index for indices in found for index in indices]
    assert found == BatchOrder(size, batch, 3, shuffle=True, drop_last=drop).epoch(epoch)
    assert len(set(flat)) == len(flat)
    dropped = size % batch if drop and size >= batch else 0
    assert len(flat) == size - dropped
    assert all(len(indices) == batch for indices in found[:-1])


def test_orders_differ_by_epoch_and_seed() -> None:
    orders = [
        BatchOrder(50, 10, seed, shuffle=True, drop_last=False).epoch(epoch)
        for seed in (0, 1, 2**63)
        for epoch in (0, 1)
    ]
    assert len({str(order) for order in orders}) == 6
    plain = BatchOrder(5, 2, 0, shuffle=False, drop_last=False)
    assert plain.epoch(0) == plain.epoch(1) == [[0, 1], [2, 3], [4]]
    assert BatchOrder(0, 4, 0, shuffle=True, drop_last=True).epoch(0) == []


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40), st.integers(0, 3))
def test_balanced_classes_are_drawn_alike_often(labels: list[int], epoch: int) -> None:
    if max(labels) < 0:
        with pytest.raises(DataError, match="no sample has a class"):
            BatchOrder(len(labels), 4, 0, shuffle=True, drop_last=False, balanced_labels=labels)
        return
    order = BatchOrder(len(labels), 4, 0, shuffle=True, drop_last=False, balanced_labels=labels)
    flat = [index for indices in order.epoch(epoch) for index in indices]
    drawn = Counter(labels[index] for index in flat)
    assert len(flat) == len(labels)
    assert -1 not in drawn
    quotas = [drawn[label] for label in set(labels) - {-1}]
    assert max(quotas) - min(quotas) <= 1
    for label in set(labels) - {-1}:  # all of a class before any of it again
        times = Counter(index for index in flat if labels[index] == label)
        every = [times[index] for index in range(len(labels)) if labels[index] == label]
        assert max(every) - min(every) <= 1


@given(st.lists(st.integers(1, 90), min_size=1, max_size=300), st.integers(1, 4), st.booleans())
def test_alike_samples_come_together_and_each_still_once(
    lengths: list[int], batch: int, drop: bool
) -> None:
    order = BatchOrder(len(lengths), batch, 3, shuffle=True, drop_last=drop, lengths=lengths)
    found = order.epoch(1)
    flat = [index for indices in found for index in indices]
    assert len(set(flat)) == len(flat)
    plain = BatchOrder(len(lengths), batch, 3, shuffle=True, drop_last=drop).epoch(1)
    assert Counter(flat) == Counter(i for indices in plain for i in indices)
    assert [len(indices) for indices in found] == [len(indices) for indices in plain]

    def read(batches: list[list[int]]) -> int:
        return sum(len(one) * max(lengths[i] for i in one) for one in batches)

    assert len(lengths) % batch or read(found) <= read(plain)


def test_batches_of_alike_samples_come_in_no_order_of_length() -> None:
    lengths = list(range(400))
    order = BatchOrder(400, 4, 0, shuffle=True, drop_last=True, lengths=lengths)
    means = np.array([np.mean(indices) for indices in order.epoch(0)])
    assert max(np.ptp(indices) for indices in order.epoch(0)) < 40
    assert abs(np.corrcoef(means, np.arange(100))[0, 1]) < 0.3
    assert order.epoch(0) != order.epoch(1)
    with pytest.raises(DataError, match="4 samples have 3 lengths"):
        BatchOrder(4, 2, 0, shuffle=True, drop_last=True, lengths=[1, 2, 3])


def test_how_much_there_is_to_read(tmp_path: Path) -> None:
    rows = [
        Row(id="a", text="glad", features={"face": saved(tmp_path, "a", np.zeros((7, 2)))}),
        Row(id="b", text="schön"),
        Row(id="c", features={"face": Inline([1.0, 2.0])}),
    ]
    both = dataset(tmp_path, rows, {"words": "text", "face": "face"})
    assert [both.length(index) for index in range(3)] == [7, 6, 0]
    talks = dataset(
        tmp_path,
        [utterance("d", turn, [1], None) for turn in range(3)],
        {"words": "words"},
        unit=Unit.DIALOGUE,
    )
    assert talks.length(0) == 3
