"""What one would use instead of mien, and a film to measure on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from mien.data import frames, media
from mien.parts.vision import CLIP_MEAN, CLIP_STD

Pixels = NDArray[np.uint8]
FRAMES = 16


@dataclass(frozen=True)
class Scene:
    """What is measured on."""

    clip: Path
    weights: Path | None
    folder: Path


Work = Callable[[Scene], tuple[Callable[[], float], str]]
"""Sets a scene up and gives what is timed: a function that returns how much it did, and of what."""


def changed(image: Image.Image, random: np.random.Generator) -> torch.Tensor:
    """Four operations, a crop, a flip: picture by picture, as published loaders do."""
    operations: tuple[Callable[[Image.Image], Image.Image], ...] = (
        ImageOps.autocontrast,
        ImageOps.equalize,
        lambda i: ImageEnhance.Color(i).enhance(1.4),
        lambda i: ImageEnhance.Sharpness(i).enhance(1.4),
        lambda i: i.rotate(10, Image.Resampling.BICUBIC),
        lambda i: i.transform(i.size, Image.Transform.AFFINE, (1, 0.1, 0, 0, 1, 0)),
    )
    for index in random.integers(0, len(operations), 4):
        if random.random() < 0.5:
            image = operations[index](image)
    side = int(224 * np.sqrt(random.uniform(0.08, 1)))
    left, top = random.integers(0, 225 - side, 2)
    image = image.crop((left, top, left + side, top + side))
    image = image.resize((224, 224), Image.Resampling.BILINEAR)
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    return (tensor - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)


def film(path: Path) -> Path:
    """Ten seconds of moving shapes with a tone."""
    with av.open(str(path), "w") as out:
        video, tone = out.add_stream("libx264", 25), out.add_stream("aac", 16000)
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        for i in range(250):
            picture = np.full((360, 640, 3), 90, np.uint8)
            cv2.circle(picture, (80 + 2 * i, 180), 60, (200, 160, 120), -1)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
        wave = np.sin(np.arange(160_000) * 0.1).astype(np.float32)[None] * 0.2
        sound = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        sound.sample_rate = 16000
        out.mux(tone.encode(sound))
        out.mux(video.encode())
        out.mux(tone.encode())
    return path


def opencv_decoding(scene: Scene) -> tuple[Callable[[], float], str]:
    """What most programs use."""

    def run() -> float:
        film, count = cv2.VideoCapture(str(scene.clip)), 0
        while film.read()[0]:
            count += 1
        return count

    return run, "frames"


def haar_one_by_one(scene: Scene) -> tuple[Callable[[], float], str]:
    """As `fer` and many others do it."""
    folder: str = cv2.data.haarcascades  # type: ignore[attr-defined]
    cascade = cv2.CascadeClassifier(f"{folder}haarcascade_frontalface_default.xml")

    def run() -> float:
        count = 0
        for frame in frames.recorded(scene.clip):
            assert frame.pixels is not None
            grey = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)
            cascade.detectMultiScale(grey, 1.1, 5, minSize=(50, 50))
            count += 1
        return count

    return run, "frames"


def yunet_one_by_one(scene: Scene) -> tuple[Callable[[], float], str]:
    """The full picture, frame after frame."""
    facts = media.probe(scene.clip).video
    assert facts is not None
    size = (facts.width, facts.height)
    detector = cv2.FaceDetectorYN.create(str(scene.weights), "", size, 0.7)

    def run() -> float:
        count = 0
        for frame in frames.recorded(scene.clip):
            assert frame.pixels is not None
            detector.detect(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
            count += 1
        return count

    return run, "frames"


def frame_by_frame(scene: Scene) -> tuple[Callable[[], float], str]:
    """Resized by PIL, normalised, one after the other."""
    del scene
    clips = random_clips()

    def run() -> float:
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CLIP_MEAN, CLIP_STD))
        for clip in clips:
            for pixels in clip:
                small = Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR)
                (torch.from_numpy(np.array(small)).permute(2, 0, 1) / 255 - mean) / std
        return float(clips.shape[0] * clips.shape[1])

    return run, "frames"


def random_clips() -> Pixels:
    """Four clips of sixteen pictures."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (4, FRAMES, 224, 224, 3), dtype=np.uint8)
