"""Does memory grow with length? One video of a minute and one of an hour, watched to the end.

The hour is the minute's clip sixty times over, with its sound. Each is watched in a process of its
own by a small model, so that what is measured is decoding, faces, voice and bookkeeping.

    python benchmarks/long_video.py CLIP [--minutes 60] [--face-weights yunet.onnx]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import torch

from mien import config, registry
from mien.data.crops import CropRecipe
from mien.data.faces import open_detector
from mien.run import assemble
from mien.run.load import Run
from mien.run.predict import Predictor
from mien.run.windows import View
from mien.tasks import NAMED


def lengthened(clip: Path, seconds: float, out: Path) -> Path:
    """The clip over and over, its packets copied."""
    with av.open(str(out), "w") as written:
        start = 0.0
        streams: dict[str, Any] = {}
        while start < seconds:
            with av.open(str(clip)) as read:
                wanted = (*read.streams.video[:1], *read.streams.audio[:1])
                for stream in wanted:
                    if stream.type not in streams:
                        streams[stream.type] = written.add_stream_from_template(stream)
                for packet in read.demux(*wanted):
                    if packet.dts is None:
                        continue
                    shift = round(start / float(packet.time_base or 1))
                    packet.pts, packet.dts = (packet.pts or 0) + shift, packet.dts + shift
                    packet.stream = streams[packet.stream.type]
                    written.mux(packet)
                start += float(read.duration or 0) / av.time_base
    return out


def watch(path: Path, weights: Path | None, answer: Any) -> None:
    """In a process of its own: seconds of the file, seconds it took, highest memory, windows."""
    settings = config.resolve("claip-emo", preset="tiny")
    stage = registry.system("claip-emo").load().STAGES["classify"]
    spec = NAMED["ravdess"]
    torch.manual_seed(0)
    model = assemble.build(stage, settings, {spec.name: spec}).eval()
    run = Run(path.parent, settings, {spec.name: spec}, {}, model)
    detector = open_detector("yunet" if weights else "auto", weights)
    predictor = Predictor(run, View(crop=CropRecipe(size=224)), detector)
    began = time.perf_counter()
    timeline = predictor.predict(path).timeline
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send((timeline.duration, took, peak, sum(1 for _ in timeline)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--face-weights", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    fresh = multiprocessing.get_context("spawn")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in (1.0, given.minutes):
            film = lengthened(given.clip, 60 * minutes, Path(folder) / f"{minutes:g}.mp4")
            here, there = fresh.Pipe(duplex=False)
            process = fresh.Process(target=watch, args=(film, given.face_weights, there))
            process.start()
            there.close()
            seconds, took, peak, windows = here.recv()
            process.join()
            found.append({
                "minutes": minutes, "seconds": seconds, "took": took, "peak_mb": peak,
                "windows": windows, "times_real_time": seconds / took,
            })  # fmt: skip
            if not given.json:
                print(
                    f"{minutes:5g} min: {seconds:7.1f} s of film in {took:6.1f} s "
                    f"({seconds / took:.1f} times real time), {windows} windows, {peak:.0f} MB",
                    flush=True,
                )
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"memory: {found[1]['peak_mb'] / found[0]['peak_mb']:.3f} of the first")


if __name__ == "__main__":
    main()
