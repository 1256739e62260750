"""From file to tensor to timeline, beside what one would use instead; all in one run.

Each line is measured in a process of its own, so that its peak memory is its own. Rates are of the
fastest of a few repeats; what counts are the ratios within one block.

    python benchmarks/media.py [CLIP] [--face-weights yunet.onnx] [--only faces]

Without a clip one is made, of moving shapes: no face is found in it, so name a real one for faces.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from PIL import Image

import plain
from mien import config, registry, tasks
from mien.data import frames, shards, sound
from mien.data.batch import RowDataset, collate
from mien.data.faces import open_detector
from mien.data.follow import follow
from mien.data.manifest import Manifest
from mien.data.prepare import Recipe
from mien.parts import towers
from mien.parts.audio import ClapNative
from mien.parts.augment import Augment
from mien.parts.model import Model
from mien.parts.vision import VideoFrontEnd
from mien.run import seeing
from mien.run.batches import Seen
from mien.run.load import Run
from mien.run.predict import Predictor
from mien.run.prepare import prepare
from mien.types import Unit

Pixels = NDArray[np.uint8]
SPEC = tasks.NAMED["ravdess"]
CLIPS = 24
PRESET = "vit-b16"


@dataclass(frozen=True)
class Line:
    """One measurement: what, how many of which unit, in how many seconds, at which peak."""

    name: str
    count: float
    unit: str
    seconds: float
    memory: float

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.count / self.seconds


# -- decoding --------------------------------------------------------------------------------------


def every_frame(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """Every recorded frame at its own time."""
    return lambda: sum(1 for _ in frames.recorded(scene.clip)), "frames"


def on_the_grid(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """As training and prediction read it."""
    return lambda: sum(1 for _ in frames.sampled(scene.clip, 25.0)), "frames"


def all_sound(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """One channel at 16 kHz."""

    def run() -> float:
        return sum(len(block.samples) for block in sound.blocks(scene.clip, 16000)) / 16000

    return run, "seconds"


# -- faces -----------------------------------------------------------------------------------------


def followed(kind: Any, every: int) -> plain.Work:
    """Found on some frames, placed on those between."""

    def work(scene: plain.Scene) -> tuple[Callable[[], float], str]:
        detector = open_detector(kind, scene.weights if kind == "yunet" else None)

        def run() -> float:
            shown = frames.recorded(scene.clip)
            return sum(1 for _ in follow(shown, detector, every=every))

        return run, "frames"

    return work


# -- front end -------------------------------------------------------------------------------------


def in_batches(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """The same through the front end."""
    del scene
    clips = torch.from_numpy(plain.random_clips())
    front = VideoFrontEnd(frames=plain.FRAMES, stride=1).eval()
    mask = torch.ones(clips.shape[:2], dtype=torch.bool)

    def run() -> float:
        front(clips, mask)
        return float(clips.shape[0] * clips.shape[1])

    return run, "frames"


def log_mels(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """CLAP's own spectra."""
    del scene
    front = ClapNative(source_rate=16000).eval()
    wave = torch.randn(4, 160_000)
    mask = torch.ones(wave.shape, dtype=torch.bool)

    def run() -> float:
        front(wave, mask)
        return 40.0

    return run, "seconds"


# -- reading for training --------------------------------------------------------------------------


def jpeg_folder(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """Frames as single files, each changed by itself in Python."""
    folder = _as_jpegs(scene)
    files = sorted(folder.glob("*.jpg"))
    random = np.random.default_rng(0)

    def run() -> float:
        for _ in range(CLIPS):
            torch.stack(
                [plain.changed(Image.open(files[i]), random) for i in _window(files, random)]
            )
        return CLIPS

    return run, "clips"


def shard_clips(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """The same frames out of a shard, changed as one clip on the whole tensor."""
    clip = _clip(scene)
    front = VideoFrontEnd(frames=plain.FRAMES, stride=4, augment=Augment()).train()
    there = torch.from_numpy(clip.mask)[None]

    def run() -> float:
        for _ in range(CLIPS):
            at = front.choose(there, training=True)[0].numpy()
            pixels = torch.from_numpy(clip.frames(at))[None]
            front(pixels, torch.ones(1, plain.FRAMES, dtype=torch.bool), chosen=True)
        return CLIPS

    return run, "clips"


def jpeg_reading(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """Sixteen files a clip."""
    folder = _as_jpegs(scene)
    files = sorted(folder.glob("*.jpg"))
    random = np.random.default_rng(0)

    def run() -> float:
        for _ in range(CLIPS):
            np.stack([np.array(Image.open(files[i])) for i in _window(files, random)])
        return CLIPS

    return run, "clips"


def shard_reading(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """The same frames out of one file."""
    clip = _clip(scene)
    there = np.flatnonzero(clip.mask)
    random = np.random.default_rng(0)

    def run() -> float:
        for _ in range(CLIPS):
            clip.frames(there[_window(there, random)])
        return CLIPS

    return run, "clips"


def _window(items: Any, random: np.random.Generator) -> NDArray[np.int64]:
    start = random.integers(0, max(1, len(items) - 4 * plain.FRAMES))
    return np.asarray(
        np.minimum(start + 4 * np.arange(plain.FRAMES), len(items) - 1), dtype=np.int64
    )


def _clip(scene: plain.Scene) -> shards.Clip:
    """Who is seen longest in the prepared clip."""
    (path,) = (scene.folder / "one.shards").rglob("*.shard")
    shard = shards.opened(path)
    return shard.clip(max(shard.tracks, key=lambda name: len(shard.tracks[name])))


def _as_jpegs(scene: plain.Scene) -> Path:
    folder = scene.folder / "jpegs"
    if not folder.is_dir():
        folder.mkdir()
        clip = _clip(scene)
        for at in np.flatnonzero(clip.mask):
            (pixels,) = clip.frames([at])
            Image.fromarray(pixels).save(folder / f"{at:06d}.jpg", quality=95)
    return folder


# -- model -----------------------------------------------------------------------------------------


def training_step(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """Forward, backward and update on one clip out of a shard, reading included."""
    model = _model()
    objective = tasks.objective({SPEC.name: SPEC})
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-4)
    rows = RowDataset(
        _prepared(scene).rows, _prepared(scene), {"video": "video"}, {SPEC.name: SPEC}, Unit.CLIP
    )
    model.train()

    def run() -> float:
        batch = collate([Seen(rows, model.front_end)[0, 1]], {SPEC.name: SPEC})
        batch.targets[SPEC.name] = torch.zeros(1, dtype=torch.long)
        batch.target_mask[SPEC.name] = torch.ones(1, dtype=torch.bool)
        with torch.autocast("cpu", torch.bfloat16):
            output = model(batch)
        torch.autograd.backward(objective(output.map(torch.Tensor.float), batch)["loss"])
        adam.step()
        adam.zero_grad()
        return 1.0

    return run, "clips"


def prediction(scene: plain.Scene) -> tuple[Callable[[], float], str]:
    """A file to a timeline: decoding, faces, voice, front end and towers."""
    settings = config.resolve("claip-emo", preset=PRESET)
    run = Run(scene.folder, settings, {SPEC.name: SPEC}, {}, _model())
    detector = open_detector("yunet" if scene.weights else "auto", scene.weights)
    predictor = Predictor(run, seeing.view_of(run), detector)
    model = run.whole.eval()
    assert model is not None
    return lambda: float(predictor.predict(scene.clip).timeline.duration or 0), "seconds"


def _model() -> Model:
    """The preset's architecture with random weights."""
    known: Any = config.resolve("claip-emo", preset=PRESET).model
    values = {
        part: dict(towers.KNOWN[getattr(known, part)].architecture) for part in ("vision", "audio")
    }
    settings = config.resolve("claip-emo", preset=PRESET, values={"model": values})
    stage = registry.system("claip-emo").load().STAGES["classify"]
    torch.manual_seed(0)
    model = stage.build(settings.model, {SPEC.name: SPEC})
    assert isinstance(model, Model)
    return model


def _prepared(scene: plain.Scene) -> Manifest:
    return Manifest.read(scene.folder / "one.prepared.jsonl")


# -- all of it -------------------------------------------------------------------------------------

BLOCKS: dict[str, dict[str, plain.Work]] = {
    "decoding": {
        "OpenCV, every frame": plain.opencv_decoding,
        "mien, every frame": every_frame,
        "mien, 25 a second": on_the_grid,
        "mien, sound at 16 kHz": all_sound,
    },
    "faces": {
        "Haar cascade, every frame, one by one": plain.haar_one_by_one,
        "YuNet, every frame, one by one": plain.yunet_one_by_one,
        "mien, Haar, followed": followed("haar", 5),
        "mien, YuNet, every frame, followed": followed("yunet", 1),
        "mien, YuNet, every fifth, followed": followed("yunet", 5),
    },
    "front end": {
        "one picture at a time": plain.frame_by_frame,
        "mien, a batch at a time": in_batches,
        "mien, log-mels of sound": log_mels,
    },
    "training data": {
        "JPEG files read by PIL": jpeg_reading,
        "mien, shard": shard_reading,
        "JPEG files, each changed in Python": jpeg_folder,
        "mien, shard, changed as one clip": shard_clips,
    },
    "model": {"training step": training_step, "prediction, whole file": prediction},
}


def measure(block: str, name: str, scene: plain.Scene, repeats: int, answer: Any) -> None:
    """In a process of its own: best time of a few, and the highest memory."""
    torch.set_num_threads(psutil.cpu_count(logical=False) or 1)
    torch.manual_seed(0)
    run, unit = BLOCKS[block][name](scene)
    best, count = float("inf"), 0.0
    for _ in range(repeats):
        begin = time.perf_counter()
        count = run()
        best = min(best, time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send((count, unit, best, peak))


def lines(scene: plain.Scene, only: str | None, repeats: int) -> Iterator[tuple[str, Line]]:
    """Every measurement, block after block."""
    fresh = multiprocessing.get_context("spawn")
    for block, works in BLOCKS.items():
        if only not in (None, block):
            continue
        for name in works:
            if "YuNet" in name and scene.weights is None:
                continue
            here, there = fresh.Pipe(duplex=False)
            process = fresh.Process(
                target=measure, args=(block, name, scene, 1 if block == "model" else repeats, there)
            )
            process.start()
            there.close()
            try:
                yield block, Line(name, *here.recv())
            except EOFError:
                print(f"{name}: failed", file=sys.stderr)
            process.join()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="a video with a face and a voice")
    parser.add_argument("--face-weights", type=Path, help="YuNet's ONNX file")
    parser.add_argument("--only", choices=BLOCKS, help="one block")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = (given.clip or plain.film(folder / "film.mp4")).absolute()
        manifest = folder / "one.jsonl"
        shutil.copy(clip, folder / f"clip{clip.suffix}")
        row = {"id": "clip", "video": f"clip{clip.suffix}", "labels": {SPEC.name: "calm"}}
        manifest.write_text(json.dumps(row) + "\n")
        recipe = Recipe(
            faces="largest" if given.clip else "none",
            detector="yunet" if given.face_weights else "haar",
            weights=given.face_weights,
        )
        prepare(manifest, recipe=recipe, root=folder, quiet=True)
        scene = plain.Scene(clip, given.face_weights, folder)
        found = list(lines(scene, given.only, given.repeats))
    if given.json:
        print(json.dumps([{"block": block, **asdict(line)} for block, line in found], indent=2))
        return
    first: dict[str, Line] = {}
    for block, line in found:
        base = first.setdefault(f"{block}/{line.unit}", line)
        if base is line:
            print(f"\n{block}")
        print(
            f"  {line.name:<40} {line.rate:9.{1 if line.rate >= 10 else 3}f} {line.unit}/s  "
            f"{line.rate / base.rate:6.2f} x  {line.memory:7.0f} MB"
        )


if __name__ == "__main__":
    main()
