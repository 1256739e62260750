"""What batches of texts about as long save: the same steps with and without `train.alike`.

    python benchmarks/alike.py --data ../shared/data/meld_text --model MINILM

MELD's training transcripts through the textualized system, all of its encoder tuned. Padding is
counted over an epoch; time is that of the processor for some steps, both ways in one process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from mien import config, registry, tasks
from mien.data.manifest import Manifest, infer_tasks
from mien.data.order import BatchOrder
from mien.run import assemble, optimizer
from mien.run.batches import Collate, Seen
from profile_claip_emo import backward
from textualized import utterances, write


def measured(data: Path, model: str, context: int, steps: int) -> dict[str, Any]:
    """Positions of an epoch and seconds of some steps, alike and not."""
    with tempfile.TemporaryDirectory() as home:
        path = write(Path(home) / "meld.jsonl", utterances(data, context))
        manifest = Manifest.read(path)
        rows = [row for row in manifest.rows if row.split == "train"]
        words = [f"text={model}", f"longest={64 if context else 32}"]
        settings = config.resolve("textualized", preset="encoder", overrides=words)
        stage = registry.system("textualized").load().STAGES["classify"]
        specs = infer_tasks(manifest, tasks.NAMED)
        read = assemble.dataset(manifest, rows, settings, stage, specs)
        net = assemble.build(stage, settings, specs).train()
    objective = assemble.make_objective(stage, settings, specs, read)
    adam = optimizer.build(net, settings.train)
    seen, together = Seen(read, net.front_end), Collate(read, specs)
    lengths = [read.length(index) for index in range(len(read))]
    size, found = settings.train.batch_size, dict[str, Any]()
    for name, known in (("as drawn", None), ("alike", lengths)):
        order = BatchOrder(len(read), size, 0, shuffle=True, drop_last=True, lengths=known)
        batches = order.epoch(0)
        padded = sum(size * max(lengths[i] for i in batch) for batch in batches)
        began = time.process_time()
        for batch in batches[:steps]:
            given = together([seen[index, index] for index in batch])
            output = net(given).map(lambda t: t.float() if t.is_floating_point() else t)
            backward(objective(output, given)["loss"])
            adam.step()
            adam.zero_grad()
        spent = time.process_time() - began
        found[name] = {"letters": padded, "seconds a step": spent / steps}
    one, two = found["as drawn"], found["alike"]
    return found | {
        key: one[k] / two[k] for key, k in (("less", "letters"), ("faster", "seconds a step"))
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of MELD's tables")
    parser.add_argument("--model", required=True, help="a text encoder: folder or name")
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, context in (("alone", 0), ("context", 3)):
        found = measured(given.data, given.model, context, given.steps)
        print(name, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
