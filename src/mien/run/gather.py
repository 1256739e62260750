"""One loss over all processes and micro-batches, exact whether or not the loss adds up.

An additive loss is weighted by how much each part counts. Any other (CCC, contrast) needs every
output at once: outputs are gathered over processes with only the own ones attached to the graph;
with accumulation they are computed once without a graph, and each micro-batch is then run again
with the gradient that the whole loss sends to its outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from mien.types import Batch, Objective, Output

Terms = dict[str, Tensor]


def parts_of(objective: Objective) -> Sequence[tuple[str, float, Objective]]:
    """The weighted parts of a combined objective, or the objective alone."""
    return getattr(objective, "parts", None) or [("", 1.0, objective)]


class Share:
    """How much each micro-batch counts in the whole, for one additive objective.

    Args:
        objective: single or combined; all parts additive.
        batches: this process's micro-batches of one step.
        accelerator: sums the weights over processes.
    """

    def __init__(self, objective: Objective, batches: Sequence[Batch], accelerator: Accelerator):
        self.parts = parts_of(objective)
        self.processes = accelerator.num_processes
        local = torch.stack(
            [
                torch.stack([part.weight(b).detach().float() for b in batches]).sum()
                for _, _, part in self.parts
            ]
        )
        self.total = accelerator.reduce(local.clone(), "sum") if self.processes > 1 else local

    def loss(self, output: Output, batch: Batch) -> tuple[Tensor, Terms]:
        """This micro-batch's contribution; contributions of all add up to the whole loss.

        Gradients are averaged over processes afterwards, hence the factor of their number.
        """
        loss, named = torch.zeros((), device=batch.present.device), {}
        for (name, factor, part), total in zip(self.parts, self.total, strict=True):
            terms = part(output, batch)
            share = part.weight(batch).detach() / total.clamp_min(1e-12)
            loss = loss + factor * share * terms["loss"]
            for key, value in terms.items():
                label = f"{name}/{key}" if name else key
                named[label] = value.detach() * share
        named["loss"] = loss.detach()
        return loss * self.processes, named


def whole(output: Output, batch: Batch, accelerator: Accelerator) -> tuple[Output, Batch]:
    """Outputs and targets of all processes in rank order; only the own outputs carry a graph."""
    if accelerator.num_processes == 1:
        return output, batch
    bare = replace(batch, inputs={}, mask={}, times=None, ids=(), group=(), luck=())
    return (
        output.map(lambda tensor: _everyones(tensor, accelerator)),
        bare.map(lambda tensor: _everyones(tensor, accelerator)),
    )


def _everyones(tensor: Tensor, accelerator: Accelerator) -> Tensor:
    """One tensor of all processes along its first axis, the others padded to the longest."""
    if tensor.ndim == 0:
        # A scalar such as a temperature belongs to every process's loss: its gradient would count
        # once for each process, so only a share of it flows here.
        shared: Tensor = tensor.detach() + (tensor - tensor.detach()) / accelerator.num_processes
        return shared
    kind = tensor.dtype
    # Padding would make numbers of truths, on those processes alone that have something to pad.
    padded = tensor.to(torch.uint8) if kind is torch.bool else tensor
    for axis in range(1, tensor.ndim):
        padded = accelerator.pad_across_processes(padded, dim=axis)
    parts = list(accelerator.gather(padded.detach()[None]).unbind(0))
    parts[accelerator.process_index] = padded
    together: Tensor = torch.cat(parts).to(kind)
    return together


def join_outputs(outputs: Sequence[Output]) -> Output:
    """Outputs of several batches as one; sequences are padded to the longest."""
    return Output(
        **{
            field: _join([getattr(output, field) for output in outputs])
            for field in ("logits", "features", "aux")
        }
    )


def join_batches(batches: Sequence[Batch]) -> Batch:
    """What an objective needs of several batches as one: targets and masks, not inputs."""
    return Batch(
        inputs={},
        mask={},
        present=_cat([batch.present for batch in batches]),
        targets=_join([batch.targets for batch in batches]),
        target_mask=_join([batch.target_mask for batch in batches]),
        ids=[name for batch in batches for name in batch.ids],
        group=[name for batch in batches for name in batch.group],
    )


def _join(tables: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: _cat([table[name] for table in tables]) for name in tables[0]}


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    if tensors[0].ndim == 0:  # shared by all, such as a temperature: keep one that has a graph
        return next((t for t in tensors if t.requires_grad), tensors[0])
    longest = [max(t.shape[axis] for t in tensors) for axis in range(1, tensors[0].ndim)]
    return torch.cat([_pad(t, longest) for t in tensors])


def _pad(tensor: Tensor, sizes: Sequence[int]) -> Tensor:
    missing = [size - have for size, have in zip(sizes, tensor.shape[1:], strict=True)]
    if not any(missing):
        return tensor
    return F.pad(tensor, [n for m in reversed(missing) for n in (0, m)])


def backward_whole(
    forward: Callable[[int], Output],
    batches: Sequence[Batch],
    objective: Objective,
    *,
    model: nn.Module,
    accelerator: Accelerator,
    buffers: Callable[[], AbstractContextManager[None]],
) -> Terms:
    """Backpropagate a loss that needs the whole step at once.

    ``forward(i)`` runs micro-batch ``i`` and must repeat itself exactly (the loop seeds it).
    ``buffers()`` is a context that undoes changes to running statistics.
    """
    if len(batches) == 1:
        output, batch = whole(forward(0), batches[0], accelerator)
        terms = objective(output, batch)
        accelerator.backward(terms["loss"] * accelerator.num_processes)
        return {name: value.detach() for name, value in terms.items()}
    with torch.no_grad(), buffers():
        outputs = [forward(i) for i in range(len(batches))]
    leaves = [output.map(_leaf) for output in outputs]
    output, batch = whole(join_outputs(leaves), join_batches(batches), accelerator)
    terms = objective(output, batch)
    (terms["loss"] * accelerator.num_processes).backward()
    for i, leaf in enumerate(leaves):
        with accelerator.no_sync(model) if i + 1 < len(leaves) else nullcontext():
            pairs = zip(_tensors(forward(i)), _tensors(leaf), strict=True)
            sent = [(out * seed.grad).sum() for out, seed in pairs if seed.grad is not None]
            accelerator.backward(torch.stack(sent).sum())
    return {name: value.detach() for name, value in terms.items()}


@contextmanager
def still_buffers(model: nn.Module) -> Iterator[None]:
    """Within: running statistics may change; after it they are as before."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.is_floating_point())


def _tensors(output: Output) -> list[Tensor]:
    return [t for table in (output.logits, output.features, output.aux) for t in table.values()]
