"""What one would use instead: pictures changed one by one in Python, and a film to measure on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps

from mien.parts.vision import CLIP_MEAN, CLIP_STD


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
