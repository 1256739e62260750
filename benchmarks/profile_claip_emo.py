"""Where a training step of CLAIP-Emo goes: towers, data, the rest; and against plain modules.

Random weights of the real architectures; a sample is 16 frames of 224 x 224 and 10 s of sound.
Everything is measured side by side in one run, and the ratios are what counts. On a GPU also clips
a second, peak memory, and the share of the card's own measured bf16 matrix rate.

    python benchmarks/profile_claip_emo.py [--preset vit-b16] [--set model.checkpointing=false]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien import config, registry, tasks
from mien.config import RunConfig
from mien.data.batch import RowDataset
from mien.data.manifest import Manifest
from mien.parts import towers
from mien.parts.model import Model
from mien.run import infer, optimizer, perturb
from mien.types import Unit

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SPEC = tasks.NAMED["dfew"]
SPECS = {SPEC.name: SPEC}
# Multiply-accumulates of one clip's forward pass: CLIP over 16 frames, HTSAT, temporal layer.
MACS = {"vit-b32": 76.5e9, "vit-b16": 287e9, "vit-l14": 1302e9}


def built(preset: str, words: Sequence[str]) -> tuple[Model, RunConfig]:
    """The preset's model on the device, with random weights, and its settings."""
    known = config.resolve("claip-emo", preset=preset)
    names = {part: getattr(known.model, part) for part in ("vision", "audio")}
    values = {part: dict(towers.KNOWN[name].architecture) for part, name in names.items()}
    settings = config.resolve("claip-emo", preset=preset, values={"model": values}, overrides=words)
    stage = registry.system("claip-emo").load().STAGES[settings.stages[-1]]
    torch.manual_seed(0)
    model = stage.build(settings.model, SPECS)
    assert isinstance(model, Model)
    return model.to(DEVICE).train(), settings


def clips(folder: Path, size: int, rate: int) -> RowDataset:
    """Clips on the disk: bytes of 24 frames, 10 s of sound, one class each."""
    random = np.random.default_rng(1)
    rows = []
    for i in range(size):
        frames = random.integers(0, 256, (24, 224, 224, 3), dtype=np.uint8)
        np.save(folder / f"video{i}.npy", frames)
        np.save(folder / f"audio{i}.npy", random.normal(0, 0.1, 10 * rate).astype(np.float32))
        names = {"video": f"video{i}.npy", "audio": f"audio{i}.npy"}
        rows.append({"id": str(i), "features": names, "labels": {SPEC.name: SPEC.labels[i % 7]}})
    path = folder / "clips.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = Manifest.read(path)
    same = {"video": "video", "audio": "audio"}
    return RowDataset(manifest.rows, manifest, same, SPECS, Unit.CLIP)


def fastest(
    pieces: dict[str, Callable[[], Any]],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Best seconds of each piece of work, taken in turns, after all have run once to warm up."""
    best = dict.fromkeys(pieces, float("inf"))
    for turn in range(repeats + 1):
        for name, work in pieces.items():
            _sync()
            begin = clock()
            work()
            _sync()
            if turn:
                best[name] = min(best[name], clock() - begin)
    return best


def _sync() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def matrix_rate(
    kind: torch.dtype = torch.bfloat16, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Operations a second of a large matrix product: what this device can do."""
    size = 8192 if DEVICE.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=DEVICE).to(kind) for _ in range(2))
    return 2 * size**3 / fastest({"mm": lambda: torch.mm(a, b)}, 10, clock)["mm"]


def backward(loss: Tensor) -> None:
    """Gradients of everything that learns."""
    torch.autograd.backward(loss)


class Plain(nn.Module):
    """The same modules called one after the other, as one would write it by hand."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        network: Any = model.network
        self.vision, self.sound = network.encoders["video"].base, network.encoders["audio"].base
        self.temporal, self.head = network.temporal["video"], network.heads[SPEC.name]

    def forward(self, video: Tensor, audio: Tensor) -> Tensor:
        """Pixels (B, 3, T, H, W) and log-mels (B, 1, time, 64) to logits (B, C)."""
        frames = video.transpose(1, 2).flatten(0, 1)
        seen = self.vision(pixel_values=frames).pooler_output
        seen = seen.view(len(video), video.shape[2], -1)
        longer = torch.zeros(len(audio), 1, dtype=torch.bool, device=audio.device)
        heard = self.sound(audio, is_longer=longer).pooler_output
        seen = self.temporal(seen, None)
        logits: Tensor = self.head(torch.cat([heard, seen], 1))
        return logits


def profile(
    preset: str, size: int, repeats: int, folder: Path, words: Sequence[str]
) -> dict[str, Any]:
    """One preset's step in pieces, beside the plain one."""
    model, settings = built(preset, words)
    train = settings.train
    objective = tasks.objective(SPECS, label_smoothing=train.label_smoothing)
    adam = optimizer.build(model, train)
    rows = clips(folder, size, settings.model.audio_source_rate)  # type: ignore[attr-defined]
    (batch,) = infer.batches(rows, SPECS, size, model.front_end)
    autocast = torch.autocast(DEVICE.type, torch.bfloat16)
    moved = batch.to(DEVICE)
    ready, mask = model.front_end(moved.inputs, moved.mask)
    ready = {name: tensor.detach() for name, tensor in ready.items()}

    def network() -> Tensor:
        with autocast:
            output = model.network(**ready, mask=mask, present=moved.present)
        loss: Tensor = objective(output.map(Tensor.float), moved)["loss"]
        return loss

    def step() -> None:
        here, mixture = perturb.mix(batch.to(DEVICE), SPECS, train)
        with autocast:
            output = model(here, mixture)
        backward(objective(output.map(Tensor.float), here)["loss"])
        adam.step()
        adam.zero_grad()

    plain = Plain(model)

    def plain_step() -> None:
        with autocast:
            logits = plain(**ready)
        loss = nn.functional.cross_entropy(
            logits.float(), moved.targets[SPEC.name], label_smoothing=train.label_smoothing
        )
        backward(loss)
        adam.step()
        adam.zero_grad()

    pieces: dict[str, Callable[[], Any]] = {
        "step_s": step,
        "plain_step_s": plain_step,
        "towers_and_head_s": lambda: backward(network()),
        "front_end_s": lambda: model.front_end(moved.inputs, moved.mask),
        "data_s": lambda: list(infer.batches(rows, SPECS, size, model.front_end)),
    }
    found: dict[str, Any] = {"preset": preset, "batch": size, "set": list(words)} | fastest(
        pieces, repeats
    )
    whole = found["step_s"]
    found["rest_s"] = whole - found["towers_and_head_s"] - found["front_end_s"]
    found["clips_per_second"] = size / whole
    # Forward, then backward through activations: frozen weights need no gradient of their own.
    found["operations_per_second"] = size * MACS[preset] * 2 * 2 / whole
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        step()
        found["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return found


def main() -> None:
    """Profile and print."""
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("--preset", action="append", choices=sorted(MACS))
    words.add_argument("--batch", type=int, default=32 if DEVICE.type == "cuda" else 1)
    words.add_argument("--repeats", type=int, default=5 if DEVICE.type == "cuda" else 1)
    words.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    words.add_argument("--json", type=Path, help="also write the figures here")
    given = words.parse_args()
    rate = matrix_rate()
    rows = []
    for preset in given.preset or ["vit-b16", "vit-l14"]:
        with tempfile.TemporaryDirectory() as folder:
            row = profile(preset, given.batch, given.repeats, Path(folder), given.set)
        row["share_of_matrix_rate"] = row["operations_per_second"] / rate
        row["plain_over_ours"] = row["plain_step_s"] / row["step_s"]
        rows.append(row)
        print(json.dumps(row, indent=2))
    body = {"device": str(DEVICE), "threads": torch.get_num_threads(), "matrix_rate": rate}
    if given.json:
        given.json.write_text(json.dumps(body | {"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
