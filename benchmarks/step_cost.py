"""What a training step costs: matrix products counted, time of the processor measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mien import config, registry, tasks
from mien.data.manifest import Manifest, infer_tasks
from mien.parts.model import Model
from mien.run import assemble, optimizer
from mien.run.batches import Collate, Seen, seed_for
from mien.types import Batch, Objective
from profile_claip_emo import backward


@dataclass(frozen=True)
class Cost:
    """Of one clip, once.

    Args:
        flops: of the matrix products of a training step.
        seconds: of the processor, for a training step with all that belongs to it.
        answering: the same for an evaluation.
        batch: clips of a step.
    """

    flops: float
    seconds: float
    answering: float
    batch: int

    def clips(self, rows: int) -> int:
        """How many of so many rows an epoch trains on: whole batches."""
        size = min(self.batch, rows)
        return rows // size * size


def cost(
    system: str, preset: str, stage: str, data: Path, root: Path, words: Sequence[str]
) -> Cost:
    """Count and time a few steps on real clips.

    Args:
        system: its name.
        preset: of its settings.
        stage: which of its trainings.
        data: manifest; what it trains on is looked at.
        root: folder that its paths may not leave.
        words: further settings.
    """
    settings = config.resolve(
        system, preset=preset, overrides=words, values={"stages": [stage]}
    ).for_stage(stage)
    declared = registry.system(system).load().STAGES[stage]
    manifest = Manifest.read(data, root=root)
    rows = [row for row in manifest.rows if row.split in (None, "train")]
    specs = infer_tasks(manifest, tasks.NAMED) if declared.supervised else {}
    read = assemble.dataset(manifest, rows, settings, declared, specs)
    torch.manual_seed(0)
    model = assemble.build(declared, settings, specs)
    objective = assemble.make_objective(declared, settings, specs, read)
    adam = optimizer.build(model, settings.train)
    size = min(settings.train.batch_size, len(rows))
    seen, together = Seen(read, model.front_end), Collate(read, specs)

    def step() -> None:
        batch = together([seen[index, seed_for(index)] for index in range(size)])
        backward(_loss(model.train(), objective, batch))
        adam.step()
        adam.zero_grad()

    def answer() -> None:
        with torch.no_grad():
            model.eval()(together([seen[index] for index in range(size)]))

    # The fused kernel does the same products, but is not counted.
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH):
        step()
    return Cost(
        flops=counted.get_total_flops() / size,
        seconds=_fastest(step) / size,
        answering=_fastest(answer) / size,
        batch=settings.train.batch_size,
    )


def _loss(model: Model, objective: Objective, batch: Batch) -> Tensor:
    output = model(batch).map(lambda t: t.float() if t.is_floating_point() else t)
    return objective(output, batch)["loss"]


def _fastest(work: Callable[[], None], times: int = 3) -> float:
    """Seconds of the processor; other work on the machine is not counted."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)
