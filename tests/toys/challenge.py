"""A made-up copy of Aff-Wild2, as its specification describes it, with a few small pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mien.tasks.action_units import ABAW_ACTION_UNITS
from mien.tasks.affect import ABAW_AFFECT, ABAW_EXPRESSION
from mien.types import TaskSpec

TRACKS = {
    "aff-wild2-va": (ABAW_AFFECT, "VA_Estimation_Challenge"),
    "aff-wild2-expr": (ABAW_EXPRESSION, "EXPR_Recognition_Challenge"),
    "aff-wild2-au": (ABAW_ACTION_UNITS, "AU_Detection_Challenge"),
}
VIDEOS = {  # part, annotated frames, and frames without a picture
    "1-30-1280x720": ("Train_Set", 14, {1, 5}),
    "video7_left": ("Train_Set", 10, {6}),
    "video7_right": ("Train_Set", 10, set[int]()),
    "47-30-654x480": ("Validation_Set", 12, {2, 11, 12}),
}


def annotation(spec: TaskSpec, count: int, seed: int) -> np.ndarray:
    """Frames (L, C), some of them marked as not annotated."""
    random = np.random.default_rng(seed)
    if spec is ABAW_AFFECT:
        values = random.uniform(-1, 1, (count, 2)).round(3)
        values[0] = -5
    elif spec is ABAW_EXPRESSION:
        values = random.integers(-1, 8, (count, 1)).astype(float)
    else:
        values = random.integers(0, 2, (count, 12)).astype(float)
        values[1] = -1
    return values


def _written(values: np.ndarray, spec: TaskSpec) -> str:
    lines = [",".join(f"{value:g}" for value in line) for line in values.tolist()]
    return "\n".join([",".join(spec.labels), *lines]) + "\n"


def copy(folder: Path) -> Path:
    """A copy with all three challenges and pictures, and what a disk has besides."""
    for spec, name in TRACKS.values():
        for number, (video, (part, count, _)) in enumerate(VIDEOS.items()):
            place = folder / "annotations" / name / part
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{video}.txt").write_text(_written(annotation(spec, count, number), spec))
        (folder / "annotations" / name / "Train_Set/.DS_Store").write_bytes(b"\0")
        (folder / "annotations" / name / "Train_Set/readme.txt").write_text("frames\n")
    for number, (video, (_, count, missing)) in enumerate(VIDEOS.items()):
        pictures(folder / "cropped_aligned" / video, count, missing, number)
    return folder


def pictures(folder: Path, count: int, missing: set[int], seed: int) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for frame in range(1, count + 1):
        if frame not in missing:
            image = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{frame:05d}.jpg"), image)
