"""Groups of parameters, and how fast each learns when."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import Tensor, nn

from mien.config import TrainConfig
from mien.errors import ConfigError
from mien.parts import towers
from mien.parts.model import FrontEnd, Model
from mien.run import optimizer
from mien.systems import claip_emo
from mien.types import Problem, TaskSpec


class Reader(nn.Module):
    """Matrices, vectors, and a class token that is neither."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.frozen = nn.Parameter(torch.zeros(4, 4), requires_grad=False)
        self.mix = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)

    def undecayed(self) -> set[str]:
        return {"token"}


class Deep(nn.Module):
    """Says in which of its three layers a parameter lives."""

    layers = 2

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

    def layer(self, name: str) -> int:
        return int(name.split(".")[1])


def _config(**values: object) -> TrainConfig:
    return TrainConfig.model_validate(values)


def _by_name(network: nn.Module, config: TrainConfig) -> dict[str, tuple[float, float]]:
    found = {}
    for group in optimizer.parameter_groups(network, config):
        assert len(group["names"]) == len(group["params"])
        for name, parameter in zip(group["names"], group["params"], strict=True):
            assert dict(network.named_parameters())[name] is parameter
            found[name] = (group["weight_decay"], group["scale"])
    return found


# -- groups ----------------------------------------------------------------------------------------


def test_vectors_and_what_a_module_names_are_not_decayed() -> None:
    found = _by_name(nn.ModuleDict({"reader": Reader()}), _config(weight_decay=0.3))
    assert found == {
        "reader.token": (0.0, 1.0),
        "reader.mix.weight": (0.3, 1.0),
        "reader.mix.bias": (0.0, 1.0),
        "reader.norm.weight": (0.0, 1.0),
        "reader.norm.bias": (0.0, 1.0),
    }


def test_the_official_way_decays_what_a_module_names_but_no_vectors() -> None:
    found = _by_name(Reader(), _config(weight_decay=0.3, decay_all=True))
    assert {name for name, (decay, _) in found.items() if decay} == {"token", "mix.weight"}


def test_a_network_that_learns_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing in this model is trainable"):
        optimizer.build(Reader().requires_grad_(False), _config())


def test_layer_decay_shrinks_the_rate_once_a_layer_down() -> None:
    model = Model(FrontEnd(), Deep())
    model.front_end.scale = nn.Parameter(torch.ones(()))
    found = _by_name(model, _config(layer_decay=0.5, weight_decay=0.1))
    assert {name: scale for name, (_, scale) in found.items()} == {
        "front_end.scale": 1.0,
        **{f"network.blocks.{i}.{part}": 0.5 ** (2 - i) for i in range(3) for part in WB},
    }
    assert {decay for name, (decay, _) in found.items() if name.endswith("weight")} == {0.1}


WB = ("weight", "bias")


def test_layer_decay_is_refused_where_layers_have_no_order() -> None:
    with pytest.raises(ConfigError, match="how its layers are ordered") as error:
        optimizer.parameter_groups(Model(FrontEnd(), Reader()), _config(layer_decay=0.9))
    assert error.value.fix == "train.layer_decay=1"


def test_towers_of_a_real_system_learn_slower_the_deeper_they_lie() -> None:
    spec = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("calm", "glad"))
    config = claip_emo.Config.model_validate(
        {
            "vision": {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2},
            "audio": {"depths": [1, 1, 2, 1], "num_attention_heads": [1, 2, 4, 8]},
        }
    )
    with towers.blueprint():
        model = claip_emo.build(config, {"emotion": spec})
    network = model.network
    assert isinstance(network, claip_emo.Network)
    scales: dict[tuple[str, int], set[float]] = {}
    for name, (_, scale) in _by_name(model, _config(layer_decay=0.5)).items():
        where = name.split(".")
        for tower, depth in (("video", 3), ("audio", 5)):
            if where[1:3] == ["encoders", tower]:
                level = network.layer(name.removeprefix("network.")) - (5 - depth)
                scales.setdefault((tower, level), set()).add(scale)
        if where[1] in ("heads", "temporal"):
            assert scale == 1.0
    # Both towers end just below the heads; the longer one reaches further down.
    assert scales == {
        **{("video", level): {0.5 ** (4 - level)} for level in (1, 2, 3)},
        **{("audio", level): {0.5 ** (6 - level)} for level in (0, 1, 2, 3, 4, 5)},
    }


# -- schedule --------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    steps=some.integers(1, 300),
    share=some.floats(0, 1.2),
    lr=some.floats(1e-6, 1.0),
    least=some.floats(0, 1.0),
)
def test_the_rate_follows_its_formula(steps: int, share: float, lr: float, least: float) -> None:
    warmup, low = round(share * steps), least * lr
    config = _config(lr=lr, min_lr=low)

    def rate(step: int) -> float:
        return optimizer.rate(step, steps=steps, warmup=warmup, config=config)

    for step in range(steps + 1):
        if step < warmup:
            assert rate(step) == pytest.approx(lr * step / warmup)
        elif steps > warmup:
            turn = math.pi * (step - warmup) / (steps - warmup)
            assert rate(step) == pytest.approx(low + (lr - low) * (1 + math.cos(turn)) / 2)
    if warmup < steps:
        assert rate(warmup) == pytest.approx(lr)
        assert rate(steps) == rate(steps + 5) == pytest.approx(low)


def test_a_warm_up_begins_at_zero() -> None:
    config = _config(lr=1.0, min_lr=0.25)
    rates = [optimizer.rate(step, steps=8, warmup=4, config=config) for step in range(9)]
    assert rates == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0.890165, 0.625, 0.359835, 0.25])


def test_steps_go_down_by_a_factor_every_few_epochs_to_a_floor() -> None:
    config = _config(lr=0.8, min_lr=0.15, epochs=7, schedule="step", step_factor=0.5, step_epochs=2)
    rates = [optimizer.rate(step, steps=21, warmup=0, config=config) for step in range(1, 22)]
    assert rates == pytest.approx([0.8] * 6 + [0.4] * 6 + [0.2] * 6 + [0.15] * 3)


def test_every_group_gets_its_share_of_the_rate() -> None:
    learner = optimizer.build(Model(FrontEnd(), Deep()), _config(layer_decay=0.5, lr=1.0))
    optimizer.set_rate(learner, 0.2)
    rates = {name: g["lr"] for g in learner.param_groups for name in g["names"]}
    assert rates["network.blocks.2.weight"] == pytest.approx(0.2)
    assert rates["network.blocks.0.bias"] == pytest.approx(0.05)


# -- memory ----------------------------------------------------------------------------------------


def _step(network: nn.Module, learner: torch.optim.Optimizer, x: Tensor) -> None:
    learner.zero_grad()
    network(x).square().sum().backward()
    learner.step()


KINDS: list[tuple[dict[str, object], set[str]]] = [
    ({}, {"step", "exp_avg", "exp_avg_sq"}),
    ({"optimizer": "sgd", "momentum": 0.0}, set()),
    ({"optimizer": "sgd"}, {"momentum_buffer"}),
]


@pytest.mark.parametrize(("kind", "memory"), KINDS, ids=["adamw", "sgd", "nesterov"])
def test_a_restored_optimizer_goes_on_bit_by_bit(kind: dict[str, object], memory: set[str]) -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(5, 3)
    learner = optimizer.build(network, _config(lr=0.1, **kind))
    for _ in range(3):
        _step(network, learner, x)
    kept = {name: tensor.clone() for name, tensor in optimizer.state(learner).items()}
    assert {name.rpartition("/")[2] for name in kept} == memory
    named = set(dict(network.named_parameters()))
    assert {name.rpartition("/")[0] for name in kept} == (named if memory else set())

    twin = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    twin.load_state_dict(network.state_dict())
    fresh = optimizer.build(twin, _config(lr=0.1, **kind))
    optimizer.restore(fresh, kept)
    for _ in range(2):
        _step(network, learner, x)
        _step(twin, fresh, x)
    for a, b in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


def test_sgd_without_momentum_is_a_step_down_the_gradient_with_decay() -> None:
    network = nn.Linear(3, 2)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    learner = optimizer.build(
        network, _config(lr=0.1, optimizer="sgd", momentum=0, weight_decay=0.5)
    )
    _step(network, learner, torch.randn(4, 3))
    for name, p in network.named_parameters():
        assert p.grad is not None
        decayed = p.grad + (0.5 if p.ndim > 1 else 0.0) * before[name]
        torch.testing.assert_close(p.detach(), before[name] - 0.1 * decayed)


def test_what_never_got_a_gradient_has_no_memory() -> None:
    network = nn.ModuleDict({"used": nn.Linear(2, 1), "idle": nn.Linear(2, 1)})
    learner = optimizer.build(network, _config())
    network["used"](torch.ones(1, 2)).sum().backward()
    learner.step()
    assert {name.split(".")[0] for name in optimizer.state(learner)} == {"used"}
