"""Films of coloured squares, the detector that takes them for faces, and a run that watches."""

from __future__ import annotations

from pathlib import Path

import cv2
import films
import numpy as np
import torch
from numpy.typing import NDArray

from mien import config, registry
from mien.data.crops import CropRecipe
from mien.data.faces import Detector
from mien.run import assemble
from mien.run.load import Run
from mien.types import Problem, TaskSpec

Pixels = NDArray[np.uint8]
EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("calm", "glad", "sad"))


class Squares(Detector):
    """Red, green and blue squares are faces."""

    name, note, has_points = "squares-1", "faces are squares", False

    def __init__(self) -> None:
        super().__init__(None)
        self.settings = {}

    def _rows(self, pixels: Pixels) -> NDArray[np.float32]:
        rows = []
        for colour in range(3):
            rest = pixels.astype(int).sum(2) - pixels[..., colour]
            ys, xs = np.nonzero((pixels[..., colour] > 120) & (rest < 120))
            if len(ys) > 50:
                left, top = xs.min(), ys.min()
                wide, high = np.ptp(xs) + 1, np.ptp(ys) + 1
                rows.append((left, top, wide, high, 0.9))
        return np.array(rows, np.float32).reshape(-1, 5)


Span = tuple[float, float]


def scene(
    path: Path,
    *,
    seconds: float = 8.0,
    voice: Span | None = (1.0, 7.0),
    first: Span = (0.0, 1e9),
    second: Span = (3.0, 6.0),
) -> Path:
    """A red square all the time, a green one from 3 to 6 s, a voice from 1 to 7 s."""

    def draw(index: int, time: float) -> Pixels:
        picture = np.full((96, 160, 3), 30, np.uint8)
        left = 10 + index % 20
        if first[0] <= time < first[1]:
            cv2.rectangle(picture, (left, 20), (left + 39, 59), (220, 20, 20), -1)
        if second[0] <= time < second[1]:
            cv2.rectangle(picture, (100, 30), (139, 69), (20, 220, 20), -1)
        return picture

    sound = None if voice is None else speech(seconds, *voice)
    return films.film(
        path, seconds=seconds, size=(160, 96), draw=draw, audio=sound, options={"crf": "12"}
    )


def speech(seconds: float, start: float, end: float, rate: int = 16000) -> NDArray[np.float32]:
    """Something that voice activity takes for a voice: harmonics that come and go, over hiss."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(140 + 20 * np.sin(2 * np.pi * 0.7 * time)) / rate
    tone = sum(np.sin(k * pitch) / k for k in range(1, 20))
    beat = np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    hiss = np.random.default_rng(0).normal(0, 0.001, time.size)
    there = (time >= start) & (time < end)
    return np.asarray(0.15 * tone * beat * there + hiss, np.float32)


def run(folder: Path, *words: str, card: dict[str, object] | None = None) -> Run:
    """A finished run of random weights."""
    settings = config.resolve("claip-emo", preset="tiny", overrides=["frames=4", *words])
    stage = registry.system("claip-emo").load().STAGES["classify"]
    torch.manual_seed(0)
    model = assemble.build(stage, settings, {"emotion": EMOTION})
    for name, parameter in model.named_parameters():  # answers that differ from clip to clip
        if name.startswith("network.heads"):
            torch.nn.init.normal_(parameter, std=1.0)
    recipe = {"fps": 25.0, "every": 5, "crop": CropRecipe(size=32).to_dict()}
    given = {"recipes": [{**recipe, "detector": "squares-1"}], "versions": {"mien": "0"}}
    return Run(folder, settings, {"emotion": EMOTION}, given | (card or {}), model.eval())
