"""CLIP-sequential: published sizes, what marks no label, windows, and answers one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mien import config, tasks
from mien.data import targets
from mien.data.collate import collate
from mien.errors import ConfigError, DataError
from mien.parts import towers
from mien.parts.model import Model
from mien.run.measure import count, measure
from mien.systems import clip_sequential as system
from mien.systems.clip_sequential import Past, SequenceNetwork
from mien.tasks.action_units import ABAW_ACTION_UNITS
from mien.tasks.affect import ABAW_AFFECT, ABAW_EXPRESSION
from mien.types import Batch, Problem, Sample, TaskSpec

SPECS = {spec.name: spec for spec in (ABAW_AFFECT, ABAW_EXPRESSION, ABAW_ACTION_UNITS)}
SMALL = ("model.feature_dims.face=6", "standardise=false", "dropout=0", "head_norm=layer")


def _model(stage: str, *words: str, preset: str = "tiny", specs: Any = None) -> Model:
    torch.manual_seed(0)
    settings = config.resolve("clip-sequential", preset=preset, overrides=words).model
    specs = {"affect": ABAW_AFFECT} if specs is None else specs
    model = system.STAGES[stage].build(settings, specs)
    assert isinstance(model, Model)
    return model.eval()


def _network(*words: str, specs: Any = None) -> SequenceNetwork:
    network = _model("sequence", *SMALL, *words, specs=specs).network
    assert isinstance(network, SequenceNetwork)
    for name, parameter in network.named_parameters():
        if "direction" in name:  # as they begin, a TCN says nearly nothing
            parameter.data *= 50
    return network


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "last"),
    [(ABAW_AFFECT, 514), (ABAW_EXPRESSION, 2_056), (ABAW_ACTION_UNITS, 3_084)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_sequence_model_is_exactly_as_large_as_specified(spec: TaskSpec, last: int) -> None:
    """Item by item: convolutions with weight norm, PReLU, ways around; attention, MLP, norms."""

    def conv(inputs: int, outputs: int) -> int:
        return outputs * inputs * 5 + 2 * outputs  # directions, then a length and a bias each

    around = {256: 768 * 256 + 256, 128: 256 * 128 + 128}
    tcn = sum(
        conv(inputs, outputs) + conv(outputs, outputs) + 3 + around.get(outputs, 0)
        for inputs, outputs in ((768, 768), (768, 256), (256, 128))
    )
    project = 128 * 512 + 512
    attention = 4 * (512 * 512 + 512)
    block = attention + 2 * (512 * 512 + 512) + 2 * 2 * 512
    head = (512 * 256 + 256) + 2 * 256 + last
    found = measure("clip-sequential", "vit-b16", {spec.name: spec})
    parts = {name: counted.total for name, counted in found.components.items()}
    assert parts == {
        "tcn": tcn,
        "project": project,
        "transformer": 8 * block,
        f"heads.{spec.name}": head,
    }
    assert (tcn, 8 * block) == (7_689_097, 12_623_872)
    assert found.total == found.trainable == tcn + project + 8 * block + head
    assert found.total == {514: 20_511_371, 2_056: 20_512_913, 3_084: 20_513_941}[last]


@pytest.mark.parametrize(
    ("preset", "frozen"), [("vit-b16", 0), ("vit-l14", 303_179_776), ("pocket", 0)]
)
def test_frames_are_learned_by_all_of_the_tower_or_by_low_rank_updates(
    preset: str, frozen: int
) -> None:
    with towers.blueprint():
        model = _model("frames", preset=preset, specs={"expression": ABAW_EXPRESSION})
    counted = count(model)
    assert counted.total - counted.trainable == frozen
    assert counted.trainable > 8 * system.Config().head


def test_lower_layers_learn_more_slowly() -> None:
    network: Any = _model("frames").network
    heights = {name: network.layer(name) for name, _ in network.named_parameters()}
    assert network.layers == 3
    assert {h for name, h in heights.items() if name.startswith("heads.")} == {3}
    assert heights["tower.clip.embeddings.class_embedding"] == 0
    blocks = [h for name, h in heights.items() if ".encoder.layers.1." in name]
    assert set(blocks) == {2}


# -- labels that are none --------------------------------------------------------------------------

MARKS = {"affect": -5.0, "expression": -1.0, "action_units": -1.0}


def _labels(name: str, marked: np.ndarray, width: int) -> np.ndarray:
    random = np.random.default_rng(1)
    values: np.ndarray = {
        "affect": random.uniform(-1, 1, (len(marked), 2)),
        "expression": random.integers(0, 8, len(marked)).astype(float),
        "action_units": random.integers(0, 2, (len(marked), width)).astype(float),
    }[name]
    values[marked] = MARKS[name]
    return values


def _batch(name: str, marked: np.ndarray) -> Batch:
    """Three windows of six frames; of the last, every label is marked."""
    spec = SPECS[name]
    made = targets.of_frames(_labels(name, marked.reshape(-1), spec.width), spec)
    face = np.random.default_rng(0).normal(size=(18, 6)).astype(np.float32)
    samples = [
        Sample(
            id=str(i),
            inputs={"face": face[6 * i : 6 * i + 6]},
            targets={name: made[6 * i : 6 * i + 6]},
        )
        for i in range(3)
    ]
    return collate(samples, {name: spec})


def _gradients(network: SequenceNetwork, name: str, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    network.zero_grad()
    output = network(**batch.inputs, mask=batch.mask, present=batch.present)
    loss = tasks.objective({name: SPECS[name]})(output, batch)["loss"]
    torch.autograd.backward(loss)
    return loss.detach(), [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", sorted(MARKS))
def test_changing_a_marked_label_changes_no_gradient(name: str) -> None:
    network = _network(specs={name: SPECS[name]}).train()
    marked = np.random.default_rng(2).random((3, 6)) < 0.4
    marked[2] = True
    batch = _batch(name, marked)
    loss, gradients = _gradients(network, name, batch)
    assert any(bool(gradient.any()) for gradient in gradients)
    hidden = ~batch.target_mask[name]
    wild = batch.targets[name].clone()
    wild[hidden] = torch.randint(0, 2, (int(hidden.sum()),)).to(wild.dtype)
    again, others = _gradients(network, name, replace(batch, targets={name: wild}))
    assert torch.equal(loss, again)
    assert all(torch.equal(a, b) for a, b in zip(gradients, others, strict=True))


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("name", sorted(MARKS))
def test_a_batch_of_which_nothing_is_annotated_is_harmless(name: str, norm: str) -> None:
    network = _network(f"head_norm={norm}", specs={name: SPECS[name]}).train()
    loss, gradients = _gradients(network, name, _batch(name, np.ones((3, 6), bool)))
    assert float(loss) == 0
    assert not any(bool(gradient.any()) for gradient in gradients)


# -- frames without a face -------------------------------------------------------------------------


def test_a_frame_without_a_face_is_read_as_the_last_one_before_it() -> None:
    network = _network()
    face, mask = torch.randn(1, 8, 6), torch.ones(1, 8, dtype=torch.bool)
    mask[0, 3:5] = False
    filled = face.clone()
    filled[0, 3:5] = face[0, 2]
    found = network(face, mask={"face": mask}).logits["affect"]
    torch.testing.assert_close(found, network(filled).logits["affect"])


def test_behind_the_last_face_its_answer_holds_and_padding_changes_nothing() -> None:
    network = _network()
    face, mask = torch.randn(2, 8, 6), torch.ones(2, 8, dtype=torch.bool)
    mask[0, 5:] = False
    mask[1, :] = False  # nobody at all
    found = network(face, mask={"face": mask}).logits["affect"]
    alone = network(face[:1, :5]).logits["affect"]
    torch.testing.assert_close(found[:1, :5], alone, atol=1e-6, rtol=0)
    assert torch.equal(found[0, 5:], found[0, 4].expand(3, 2))
    assert bool(found.isfinite().all())


def test_a_single_frame_of_a_batch_can_be_learned_from() -> None:
    network = _network("head_norm=batch").train()
    network(torch.randn(1, 1, 6)).logits["affect"].sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)


# -- looking back only -----------------------------------------------------------------------------


def test_one_that_looks_back_answers_frame_by_frame_what_it_answers_to_the_whole() -> None:
    network = _network("attention=causal", "head_norm=batch")
    face, seen = torch.randn(2, 300, 6), torch.rand(2, 300) > 0.2
    with torch.no_grad():
        whole = network(face, mask={"face": seen}).logits["affect"]
        past, parts = Past(), list[Tensor]()
        for at in range(300):
            logits, past = network.follow(face[:, at : at + 1], seen[:, at : at + 1], past)
            parts.append(logits["affect"])
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)
    changed = face.clone()
    changed[:, 200] += 1
    seen[:, 200] = True
    with torch.no_grad():
        moved = network(changed, mask={"face": seen}).logits["affect"]
        same = network(face, mask={"face": seen}).logits["affect"]
    assert torch.equal(moved[:, :200], same[:, :200]), "the past knows nothing of the future"
    assert not torch.equal(moved[:, 200], same[:, 200])


def test_one_that_looks_at_windows_cannot_answer_at_once() -> None:
    with pytest.raises(ConfigError, match="attention=causal"):
        _network().follow(torch.randn(1, 1, 6), torch.ones(1, 1, dtype=torch.bool))


# -- settings --------------------------------------------------------------------------------------


def test_parts_can_be_left_out_and_values_bounded() -> None:
    frame_wise = _network("parts=[]")
    face = torch.randn(1, 5, 6)
    one = frame_wise(face[:, 2:3]).logits["affect"]
    torch.testing.assert_close(frame_wise(face).logits["affect"][:, 2:3], one)
    network = _network("bounded=true", "parts=[tcn]")
    state = network.state_dict()
    state["heads.affect.2.bias"] += 100
    assert float(network(face).logits["affect"].detach().abs().max()) <= 1


def test_windows_follow_the_settings() -> None:
    settings = config.resolve("clip-sequential").model
    windows = system.STAGES["sequence"].windows
    frames = system.STAGES["frames"].windows
    assert windows is not None
    assert frames is not None
    assert (windows(settings, True).length, windows(settings, False).stride) == (300, 200)
    assert (frames(settings, True).length, frames(settings, True).stride) == (1, 10)
    assert frames(settings, False).stride == frames(settings, False).length
    causal = config.resolve("clip-sequential", overrides=["attention=causal"]).model
    assert windows(causal, False).length > 10**8


def test_what_does_not_fit_is_said() -> None:
    clip = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("a", "b"))
    with pytest.raises(ConfigError, match="once a frame"):
        _model("sequence", *SMALL, specs={"emotion": clip})
    with pytest.raises(ConfigError, match="commonest"):
        _model("sequence", *SMALL, "smooth=mode")
    with pytest.raises(ConfigError, match="gaps"):
        config.resolve("clip-sequential", overrides=["stride=400"])
    with pytest.raises(ConfigError, match="how wide"):
        _model("sequence")
    with pytest.raises(DataError, match=r"feature_dims\.face=5"):
        _network()(torch.randn(1, 3, 5))
