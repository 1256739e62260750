"""A full reading of a media file, as a task for workers that tells what it cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from mien.data import frames, media, sound
from mien.data.prepare import Recipe, prepare_source
from mien.data.recordings import Recording
from mien.errors import MienError
from mien.run import limits

FPS, RATE = 25, 16_000


@dataclass(slots=True)
class Reading:
    """What came of a file: counts, the errors of the parts that cannot be read, time and memory."""

    frames: int = 0
    samples: int = 0
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak: int = 0  # bytes that were resident at once, at most

    @property
    def is_empty(self) -> bool:
        """Whether nothing was read."""
        return not self.frames and not self.samples


def read(path: Path) -> Reading:
    """Probe a file, and read its picture and its sound from beginning to end.

    All three are called whatever the others say, as a caller might.
    """
    found = Reading()
    begin = time.monotonic()
    _forget_peak()
    parts: list[Callable[[Path, Reading], None]] = [_probe, _watch, _listen]
    for part in parts:
        try:
            part(path, found)
        except MienError as error:
            found.errors.append(str(error))
    found.seconds, found.peak = time.monotonic() - begin, _peak()
    return found


def _probe(path: Path, _: Reading) -> None:
    facts = media.probe(path)
    # What is announced is what a caller would plan with.
    assert 0 <= facts.duration <= media.LIMITS.seconds
    if facts.video is not None:
        assert 0 < facts.video.width * facts.video.height <= media.LIMITS.pixels
        assert 0 <= facts.video.fps < 1e6
    if facts.audio is not None:
        assert 0 < facts.audio.rate <= media.LIMITS.rate
        assert 0 < facts.audio.channels <= media.LIMITS.channels


def _watch(path: Path, found: Reading) -> None:
    for index, frame in enumerate(frames.sampled(path, FPS, folder_fps=FPS)):
        assert abs(frame.time - index / FPS) < 1e-6
        if frame.pixels is not None:
            height, width, colours = frame.pixels.shape
            assert colours == 3
            assert 0 < height * width <= media.LIMITS.pixels
            assert frame.pixels.dtype == np.uint8
            found.frames += 1


def _listen(path: Path, found: Reading) -> None:
    at = 0
    for block in sound.blocks(path, RATE):
        assert abs(block.time - at / RATE) < 1e-6
        assert block.samples.shape == block.there.shape
        assert np.isfinite(block.samples).all()
        at += len(block.samples)
        found.samples += int(block.there.sum())


def prepare(folder: Path, path: Path) -> Reading:
    """Write the shard of a file, as `mien data prepare` does: faces found, followed and cut."""
    found = Reading()
    begin = time.monotonic()
    _forget_peak()
    out = folder / f"{path.parent.name}-{path.name.encode().hex()}.shard"
    recording = Recording(video=path, fps=FPS if path.is_dir() else None)
    try:
        report = prepare_source(recording, [(0.0, None)], Recipe(detector="haar"), out)
        found.frames, found.samples = round(report.looked * FPS), round(report.heard * RATE)
    except MienError as error:
        found.errors.append(str(error))
        assert not out.exists(), "a shard is whole or absent"
    found.seconds, found.peak = time.monotonic() - begin, _peak()
    return found


def unclear(text: str, path: Path) -> bool:
    """Whether an error is not one short line that names its file, and then perhaps what to do."""
    what = text.partition("\n  in: ")[0]
    foreign = what.partition(":")[0].endswith(("Error", "Exception"))
    long = len(text) - text.count(str(path)) * len(str(path)) > 400
    return foreign or long or "\n" in what or path.name not in text


def _forget_peak() -> None:
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    status = Path("/proc/self/status")
    if not status.is_file():
        return limits.resident(psutil.Process())
    lines = status.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
