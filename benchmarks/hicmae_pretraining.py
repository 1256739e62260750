"""A masked pre-training step of HiCMAE, beside the same equations as one would write them by hand.

"By hand" is what the paper's description says, word for word: patches by a convolution over the
whole video, attention as a softmax over a matrix of scores, targets of all patches, put together
again for the frame differences. ``all`` also lets the hidden patches through the encoders, with
attention that must not look at them. All give the same loss, which is checked.

Steps are forward, backward and optimizer, taken in turns in one process; the most memory of each
is that of a process of its own. Random weights; a clip is 16 frames of 160 x 160 and 256 x 128
values of sound.

    python benchmarks/hicmae_pretraining.py [--preset s] [--batch 4] [--precision fp32]

On a busy machine: OMP_NUM_THREADS=1 and --clock cpu.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien import config, registry
from mien.parts import masking
from mien.parts.autoencoder import PatchDecoder
from mien.parts.patches import positions
from mien.parts.vision import IMAGENET_MEAN, IMAGENET_STD
from mien.run import optimizer
from mien.types import Batch, Objective, Output
from profile_claip_emo import backward, fastest, matrix_rate

NAMES = ("video", "audio")
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Given = dict[str, Tensor]


# -- by hand ---------------------------------------------------------------------------------------


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, hidden: Tensor | None) -> Tensor:
    """Softmax over scores; keys that are hidden (B, K) get none of it."""
    batch, count, width = query.shape
    query, key, value = (
        x.reshape(batch, -1, heads, width // heads).permute(0, 2, 1, 3) for x in (query, key, value)
    )
    scores = (query * (width // heads) ** -0.5) @ key.transpose(-2, -1)
    if hidden is not None:
        scores = scores.masked_fill(hidden[:, None, None], float("-inf"))
    mixed: Tensor = (scores.softmax(-1) @ value).transpose(1, 2)
    return mixed.reshape(batch, count, width)


def block(
    layer: Any, x: Tensor, context: Tensor | None = None, hidden: Tensor | None = None
) -> Tensor:
    """A block with our weights."""
    if context is not None:
        asked, seen = layer.norm_query(x), layer.norm_context(context)
        cross = layer.cross
        zero = torch.zeros_like(cross.value_bias)
        query = F.linear(asked, cross.query.weight, cross.query_bias)
        pair = F.linear(seen, cross.key_value.weight, torch.cat([zero, cross.value_bias]))
        key, value = pair.chunk(2, 2)
        x = x + cross.output(attend(query, key, value, cross.heads, None))
    own = layer.attention
    bias = torch.cat([own.query_bias, torch.zeros_like(own.query_bias), own.value_bias])
    query, key, value = F.linear(layer.norm1(x), own.qkv.weight, bias).chunk(3, 2)
    x = x + own.output(attend(query, key, value, own.heads, hidden))
    mlp = layer.mlp
    made: Tensor = x + mlp.fc2(F.gelu(mlp.fc1(layer.norm2(x))))
    return made


class ByHand(nn.Module):
    """The whole of pre-training with the weights of ours.

    Args:
        network: ours.
        settings: its configuration.
        everything: whether hidden patches pass the encoders too.
    """

    def __init__(self, network: Any, settings: Any, *, everything: bool) -> None:
        super().__init__()
        self.network, self.settings, self.everything = network, settings, everything

    def forward(self, given: Given) -> Tensor:
        """The loss of (video, audio, video_hidden, audio_hidden)."""
        levels, kept = {}, {}
        for name in NAMES:
            levels[name] = self._encode(name, given[name], given[f"{name}_hidden"])
            kept[name] = levels[name]
            if self.everything:
                visible = ~given[f"{name}_hidden"]
                kept[name] = [x[visible].view(len(x), -1, x.shape[2]) for x in levels[name]]
        streams = {name: kept[name][-1] for name in NAMES}
        fusion = self.network.fusion
        for number in range(fusion.depth):
            video, audio = streams["video"], streams["audio"]
            streams = {
                "video": block(fusion.blocks["video"][number], video, audio),
                "audio": block(fusion.blocks["audio"][number], audio, video),
            }
        loss = self._contrast(kept)
        for name in NAMES:
            mask, fused = given[f"{name}_hidden"], fusion.norms[name](streams[name])
            made = self._decode(self.network.decoders[name], fused, kept[name], mask)
            target = self._target(name, given[name])
            wanted = target[mask].view(len(mask), -1, target.shape[2])
            loss = loss + F.mse_loss(made.float(), wanted)
        return loss

    def _encode(self, name: str, x: Tensor, mask: Tensor) -> list[Tensor]:
        encoder = self.network.encoders[name]
        tokens = encoder.patches.project(x).flatten(2).transpose(1, 2)
        tokens = tokens + positions(tokens.shape[1], tokens.shape[2], tokens)
        if not self.everything:
            tokens = tokens[~mask].view(len(tokens), -1, tokens.shape[2])
        found = []
        for number, layer in enumerate(encoder.blocks, 1):
            tokens = block(layer, tokens, hidden=mask if self.everything else None)
            if number in self.settings.levels:
                found.append(encoder.norm(tokens))
        return found

    def _contrast(self, kept: dict[str, list[Tensor]]) -> Tensor:
        loss = torch.zeros(())
        for pair in zip(*(kept[name] for name in NAMES), strict=True):
            video, audio = (F.normalize(x.mean(1).float(), dim=1) for x in pair)
            logits = video @ audio.T / self.settings.temperature
            own = torch.arange(len(logits))
            both = F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)
            loss = loss + self.settings.contrast * both / 2
        return loss

    def _decode(
        self, decoder: PatchDecoder, fused: Tensor, skips: list[Tensor], mask: Tensor
    ) -> Tensor:
        place = positions(mask.shape[1], decoder.width, fused).expand(len(mask), -1, -1)
        seen = place[~mask].view(len(mask), -1, decoder.width)
        unseen = place[mask].view(len(mask), -1, decoder.width)
        x = torch.cat([decoder.enter(fused) + seen, decoder.mask_token + unseen], 1)
        first, *others = decoder.blocks
        x = block(first, x)
        for layer, skip in zip(others, reversed(skips), strict=True):
            x = block(layer, x, decoder.enter(skip) + seen)
        made: Tensor = decoder.head(decoder.norm(x[:, -unseen.shape[1] :]))
        return made

    @torch.no_grad()
    def _target(self, name: str, x: Tensor) -> Tensor:
        """Of all patches: normalised, put together to frames, subtracted, cut again."""
        if name == "audio":
            return _normalised(_cut(x, self.settings.patch_size[name])).flatten(2)
        mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        size = self.settings.patch_size[name]
        frames = _joined(_normalised(_cut(x * std + mean, size)), size, x.shape)
        pairs = torch.unflatten(frames, 2, (-1, 2))
        changed = torch.stack([pairs[:, :, :, 0], pairs[:, :, :, 1] - pairs[:, :, :, 0]], 3)
        return _cut(changed.reshape(x.shape), size).flatten(2)


def _cut(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """(B, C, ...) to (B, N, values of a channel, C)."""
    batch, channels, *extents = x.shape
    shape = [n for extent, side in zip(extents, size, strict=True) for n in (extent // side, side)]
    axes = range(len(size))
    order = [0, *(2 + 2 * a for a in axes), *(3 + 2 * a for a in axes), 1]
    cut = x.reshape(batch, channels, *shape).permute(order)
    return cut.flatten(1, len(size)).flatten(2, 1 + len(size))


def _normalised(patches: Tensor) -> Tensor:
    mean, std = patches.mean(2, keepdim=True), patches.var(2, keepdim=True).sqrt()
    return (patches - mean) / (std + 1e-6)


def _joined(patches: Tensor, size: tuple[int, ...], shape: torch.Size) -> Tensor:
    """Back to (B, C, ...)."""
    batch, channels, *extents = shape
    grid = [extent // side for extent, side in zip(extents, size, strict=True)]
    axes = range(len(size))
    order = [0, 1 + 2 * len(size), *(n for a in axes for n in (1 + a, 1 + len(size) + a))]
    return patches.reshape(batch, *grid, *size, channels).permute(order).reshape(shape)


# -- measuring -------------------------------------------------------------------------------------


class Scene:
    """A network, a batch and an optimizer; the ways of doing a step."""

    def __init__(self, preset: str, batch: int, precision: str) -> None:
        stages = {"stages": ["pretrain"]}
        settings = config.resolve("hicmae", preset=preset, values=stages).for_stage("pretrain")
        model: Any = settings.model
        self.config = model
        stage = registry.system("hicmae").load().STAGES["pretrain"]
        torch.manual_seed(0)
        built: Any = stage.build(self.config, {})
        self.network = built.network.train()
        self.objective: Objective = stage.objective(self.config, {})
        self.adam = optimizer.build(self.network, settings.train)
        side, frames = self.config.size, self.config.frames
        self.given: Given = {
            "video": torch.randn(batch, 3, frames, side, side),
            "audio": torch.randn(batch, 1, self.config.sound_frames, self.config.mels),
        }
        self.given |= built.front_end.draw(self.given, range(batch))
        self.batch = Batch(inputs={}, mask={}, present=torch.ones(batch, 2, dtype=torch.bool))
        self.precision = precision

    def autocast(self) -> AbstractContextManager[Any]:
        """Within: half precision where it is asked for."""
        return torch.autocast("cpu", torch.bfloat16) if self.precision == "bf16" else nullcontext()

    def ours(self) -> Tensor:
        """The loss as mien has it."""
        with self.autocast():
            output: Output = self.network(**self.given)
        full = output.map(lambda t: t.float() if t.is_floating_point() else t)
        return self.objective(full, self.batch)["loss"]

    def by_hand(self, *, everything: bool) -> Tensor:
        """The loss written by hand."""
        with self.autocast():
            loss: Tensor = ByHand(self.network, self.config, everything=everything)(self.given)
        return loss

    def ways(self) -> dict[str, Callable[[], Tensor]]:
        """The losses by name."""
        return {
            "ours": self.ours,
            "by_hand": lambda: self.by_hand(everything=False),
            "by_hand_all": lambda: self.by_hand(everything=True),
        }

    def step(self, loss: Callable[[], Tensor]) -> None:
        """Forward, backward, optimizer."""
        backward(loss())
        self.adam.step()
        self.adam.zero_grad()

    def multiply_adds(self) -> float:
        """Of matrix products in a forward pass of ours over the batch."""
        c, counts = self.config, {n: masking.parted(self.given[f"{n}_hidden"]) for n in NAMES}
        seen = {name: visible.shape[1] for name, (visible, _) in counts.items()}
        every = {name: sum(x.shape[1] for x in pair) for name, pair in counts.items()}
        total = 0.0
        for name, other in (NAMES, NAMES[::-1]):
            values = self.network.encoders[name].patches.values
            total += seen[name] * values * c.dim + c.depth * _block(seen[name], c.dim)
            total += c.fusion_depth * (
                _block(seen[name], c.dim) + _cross(seen[name], seen[other], c.dim)
            )
            looks = c.decoder_depth - 1
            total += (1 + looks) * (seen[name] * c.dim * c.decoder_dim)
            total += c.decoder_depth * _block(every[name], c.decoder_dim)
            total += looks * _cross(every[name], seen[name], c.decoder_dim)
            total += (every[name] - seen[name]) * c.decoder_dim * values
        return total * len(self.given["video"])


def _block(tokens: int, width: int) -> float:
    return 12 * tokens * width**2 + 2 * tokens**2 * width


def _cross(tokens: int, context: int, width: int) -> float:
    return 2 * (tokens + context) * width**2 + 2 * tokens * context * width


def peak(way: str, given: argparse.Namespace) -> float:
    """MiB that three steps need beyond what the scene does, in a process of its own."""
    words = [sys.executable, __file__, "--only", way, "--preset", given.preset]
    words += ["--batch", str(given.batch), "--precision", given.precision]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _memory(key: str) -> float:
    """MiB of this process: VmRSS now, VmHWM the most there were (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds and MiB of a step each way, and what the forward pass makes of the machine."""
    scene = Scene(given.preset, given.batch, given.precision)
    losses = {name: loss().item() for name, loss in scene.ways().items()}
    first = losses["ours"]
    tolerance = 1e-4 if given.precision == "fp32" else 2e-2
    for name, value in losses.items():
        assert abs(value - first) < tolerance * first, f"{name}: {value} where ours is {first}"
    ways = scene.ways()
    pieces: dict[str, Callable[[], Any]] = {
        name: partial(scene.step, loss) for name, loss in ways.items()
    }
    pieces["ours_forward"] = torch.no_grad()(scene.ours)
    clock = CLOCKS[given.clock]
    best = fastest(pieces, given.repeats, clock)
    rate = matrix_rate(TYPES[given.precision], clock)
    reached = 2 * scene.multiply_adds() / best["ours_forward"]
    return {
        "preset": given.preset, "batch": given.batch, "precision": given.precision,
        "threads": torch.get_num_threads(), "clock": given.clock, "losses": losses, "seconds": best,
        "times_as_fast": {n: best[n] / best["ours"] for n in ways if n != "ours"},
        "peak_mib": {name: peak(name, given) for name in ways},
        "matrix_rate": rate, "forward_rate": reached, "forward_share": reached / rate,
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("--preset", default="s", choices=["t", "s", "b", "laptop", "tiny"])
    words.add_argument("--batch", type=int, default=4)
    words.add_argument("--precision", default="fp32", choices=sorted(TYPES))
    words.add_argument("--repeats", type=int, default=3)
    words.add_argument(
        "--clock",
        default="wall",
        choices=sorted(CLOCKS),
        help="cpu: on one thread of a busy machine",
    )
    words.add_argument("--only", help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.only is None:
        print(json.dumps(measure(given), indent=2))
        return
    scene = Scene(given.preset, given.batch, given.precision)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the most of the imports
    for _ in range(3):
        scene.step(scene.ways()[given.only])
    print(_memory("VmHWM") - before)


if __name__ == "__main__":
    main()
