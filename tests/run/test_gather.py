"""One loss over micro-batches: the same gradient as in one go, whatever the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mien.parts.losses import (
    BinaryCrossEntropy,
    Combined,
    ConcordanceLoss,
    Contrast,
    CrossEntropy,
)
from mien.run import gather, processes
from mien.types import Batch, Objective, Output

CLIPS, FRAMES = 8, 5


class Network(nn.Module):
    """Answers of every kind: a class a clip, labels and values a frame, two features to compare."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.frame = nn.Linear(3, 4)
        self.clip = nn.Linear(3, 3)
        self.left, self.right = nn.Linear(3, 2), nn.Linear(3, 2)
        self.temperature = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor, norm: bool = False) -> Output:
        if norm:
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        frames, mean = self.frame(x).tanh(), x.mean(1)
        return Output(
            logits={"emotion": self.clip(mean), "au": frames[..., :2], "affect": frames[..., 2:]},
            features={"a": self.left(mean), "b": self.right(mean)},
            aux={"temperature": self.temperature, "a_present": mean[:, 0] > -0.5},
        )


def _whole() -> Batch:
    """Eight clips; how many answers are annotated differs from clip to clip."""
    torch.manual_seed(3)
    emotion = torch.randint(0, 3, (CLIPS,))
    emotion[2] = -1
    valid = torch.rand(CLIPS, FRAMES) < torch.linspace(0.1, 1, CLIPS)[:, None]
    valid[0] = False
    return Batch(
        inputs={"x": torch.randn(CLIPS, FRAMES, 3)},
        mask={"x": torch.ones(CLIPS, FRAMES, dtype=torch.bool)},
        present=torch.ones(CLIPS, 1, dtype=torch.bool),
        targets={
            "emotion": emotion,
            "au": (torch.rand(CLIPS, FRAMES, 2) > 0.5).float(),
            "affect": torch.randn(CLIPS, FRAMES, 2),
        },
        target_mask={
            "emotion": emotion >= 0,
            "au": valid[..., None].expand(-1, -1, 2),
            "affect": valid[..., None].expand(-1, -1, 2),
        },
        ids=[f"clip{i}" for i in range(CLIPS)],
        group=[""] * CLIPS,
    )


def _parts(batch: Batch, sizes: Sequence[int]) -> list[Batch]:
    """Consecutive clips; each part is only as long as its longest clip."""
    found, start = [], 0
    for size in sizes:
        rows = slice(start, start := start + size)
        cut = batch.map(lambda tensor, rows=rows: tensor[rows])  # type: ignore[misc]
        found.append(replace(cut, ids=batch.ids[rows], group=batch.group[rows]))
    return found


def _weighted() -> CrossEntropy:
    return CrossEntropy("emotion", 0.1, torch.tensor([0.2, 1.0, 3.0]))


ADDITIVE: dict[str, Callable[[], Objective]] = {
    "class weights": _weighted,
    "frames": lambda: BinaryCrossEntropy("au"),
    "both": lambda: Combined(
        [("emotion", 1.0, _weighted()), ("au", 0.3, BinaryCrossEntropy("au"))]
    ),
}
WHOLE: dict[str, Callable[[], Objective]] = {
    "ccc": lambda: ConcordanceLoss("affect"),
    "contrast": lambda: Contrast("a", "b", "temperature"),
    "bce and ccc": lambda: Combined(
        [("au", 0.5, BinaryCrossEntropy("au")), ("affect", 2.0, ConcordanceLoss("affect"))]
    ),
    "contrast and class": lambda: Combined(
        [("pairs", 1.0, Contrast("a", "b", "temperature")), ("emotion", 1.0, _weighted())]
    ),
}
CUTS = [(4, 4), (1, 7), (3, 3, 2), (1,) * 8]


@pytest.fixture(scope="module")
def alone() -> Accelerator:
    return processes.accelerator("fp32")


@dataclass(frozen=True)
class Step:
    """What a step leaves behind."""

    terms: dict[str, Tensor]
    gradients: dict[str, Tensor | None]


def _at_once(network: Network, objective: Objective) -> Step:
    batch = _whole()
    terms = objective(network(batch.inputs["x"]), batch)
    torch.autograd.backward(terms["loss"])
    return _done(network, terms)


def _done(network: Network, terms: dict[str, Tensor]) -> Step:
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    network.zero_grad()
    return Step({name: value.detach() for name, value in terms.items()}, found)


def _assert_alike(found: Step, wanted: Step) -> None:
    assert found.terms.keys() == wanted.terms.keys()
    for name, value in wanted.terms.items():
        torch.testing.assert_close(found.terms[name], value)
    learned = 0
    for name, gradient in wanted.gradients.items():
        if gradient is None or not gradient.any():
            other = found.gradients[name]
            assert other is None or not other.any(), name
        else:
            torch.testing.assert_close(found.gradients[name], gradient, msg=name)
            learned += 1
    assert learned, "nothing was learned: the comparison says nothing"


# -- losses that add up ----------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", CUTS, ids=str)
@pytest.mark.parametrize("name", ADDITIVE)
def test_shares_of_an_additive_loss_add_up_to_the_whole(
    name: str, sizes: Sequence[int], alone: Accelerator
) -> None:
    network, objective = Network(), ADDITIVE[name]()
    wanted = _at_once(network, objective)
    batches = _parts(_whole(), sizes)
    share = gather.Share(objective, batches, alone)
    sums: dict[str, Tensor] = {}
    for batch in batches:
        loss, terms = share.loss(network(batch.inputs["x"]), batch)
        torch.autograd.backward(loss)
        for key, value in terms.items():
            assert not value.requires_grad
            sums[key] = sums.get(key, torch.zeros(())) + value
    _assert_alike(_done(network, sums), wanted)


def test_a_step_without_any_label_has_no_loss_and_no_gradient(alone: Accelerator) -> None:
    network, objective = Network(), _weighted()
    blank = {"emotion": torch.full((CLIPS,), -1)}
    batches = _parts(replace(_whole(), targets=blank, target_mask={}), (4, 4))
    share = gather.Share(objective, batches, alone)
    for batch in batches:
        loss, _ = share.loss(network(batch.inputs["x"]), batch)
        assert loss == 0
        torch.autograd.backward(loss)
    assert not any(p.grad is not None and p.grad.any() for p in network.parameters())


# -- losses of the whole ---------------------------------------------------------------------------


def _accumulated(
    network: Network,
    objective: Objective,
    batches: Sequence[Batch],
    accelerator: Accelerator,
    *,
    norm: bool = False,
) -> Step:
    terms = gather.backward_whole(
        lambda i: network(batches[i].inputs["x"], norm),
        batches,
        objective,
        model=network,
        accelerator=accelerator,
        buffers=lambda: gather.still_buffers(network),
    )
    return _done(network, terms)


@pytest.mark.parametrize("sizes", [(8,), *CUTS], ids=str)
@pytest.mark.parametrize("name", WHOLE)
def test_a_loss_of_the_whole_is_exact_over_micro_batches(
    name: str, sizes: Sequence[int], alone: Accelerator
) -> None:
    network, objective = Network(), WHOLE[name]()
    assert not objective.additive
    wanted = _at_once(network, objective)
    if "contrast" in name:
        assert wanted.gradients["temperature"], "the learned temperature takes part"
    found = _accumulated(network, objective, _parts(_whole(), sizes), alone)
    _assert_alike(found, wanted)
    assert not any(value.requires_grad for value in found.terms.values())


def test_micro_batches_of_other_lengths_are_padded_behind_their_mask(alone: Accelerator) -> None:
    """Four clips of five frames and four of three, padded by no more than they need."""
    network, objective = Network(), WHOLE["bce and ccc"]()
    long, short = _parts(_whole(), (4, 4))
    valid = {
        name: m & (torch.arange(FRAMES) < 3)[:, None]
        for name, m in short.target_mask.items()
        if m.ndim > 1
    }
    padded = replace(short, target_mask=short.target_mask | valid)
    wanted = _accumulated(network, objective, [long, padded], alone)
    cut = replace(
        padded,
        inputs={"x": padded.inputs["x"][:, :3]},
        targets={n: t[:, :3] if t.ndim > 1 else t for n, t in padded.targets.items()},
        target_mask={n: m[:, :3] if m.ndim > 1 else m for n, m in padded.target_mask.items()},
    )
    _assert_alike(_accumulated(network, objective, [long, cut], alone), wanted)


def test_running_statistics_move_once_a_micro_batch(alone: Accelerator) -> None:
    network, twin = Network(), Network()
    twin.load_state_dict(network.state_dict())
    batches = _parts(_whole(), (3, 3, 2))
    _accumulated(network, WHOLE["contrast"](), batches, alone, norm=True)
    for batch in batches:
        twin(batch.inputs["x"], norm=True)
    assert network.norm.num_batches_tracked == 3
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(buffer, twin.get_buffer(name), rtol=0, atol=0)


def test_still_buffers_are_put_back_even_after_an_error() -> None:
    network = Network()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with pytest.raises(IndexError), torch.no_grad(), gather.still_buffers(network):
        network(torch.randn(4, 3, 3), norm=True).logits["emotion"][99]
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, before[name])


# -- joining ---------------------------------------------------------------------------------------


def test_joined_batches_keep_order_ids_and_targets() -> None:
    batch = _whole()
    joined = gather.join_batches(_parts(batch, (3, 5)))
    assert list(joined.ids) == list(batch.ids)
    for name, target in batch.targets.items():
        assert torch.equal(joined.targets[name], target)
        assert torch.equal(joined.target_mask[name], batch.target_mask[name])


def test_parts_of_an_objective_are_itself_or_those_it_sums() -> None:
    single = _weighted()
    assert gather.parts_of(single) == [("", 1.0, single)]
    both = ADDITIVE["both"]()
    assert [(name, factor) for name, factor, _ in gather.parts_of(both)] == [
        ("emotion", 1.0),
        ("au", 0.3),
    ]
