"""A few whole frames of a clip and every face in them, for networks that look at both.

Shapes: L frames, N faces of all frames, S the side of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.data import media
from mien.data.crops import CropRecipe
from mien.data.faces import Detector
from mien.data.frames import Pixels, sampled
from mien.errors import DataError

FRAMES = 15
_MOST = 16  # faces of one frame that are kept, the largest


@dataclass(frozen=True, slots=True)
class Scene:
    """What is seen of a clip.

    Args:
        frames: (L, S, S, 3) whole frames, squeezed to a square.
        faces: (N, S, S, 3).
        boxes: (N, 2): number of a face's frame, and the share of that frame within its box.
    """

    frames: NDArray[np.uint8]
    faces: NDArray[np.uint8]
    boxes: NDArray[np.float32]


def look(
    path: Path,
    detector: Detector,
    *,
    start: float = 0.0,
    end: float | None = None,
    folder_fps: float | None = None,
    frames: int = FRAMES,
    size: int = 112,
) -> Scene:
    """Frames at even times over a clip, each in the middle of its share, and the faces in them.

    Args:
        path: a film, a picture, or a folder of numbered ones.
        detector: finds faces.
        start: seconds on the clock of the source.
        end: where the clip ends; None: where the film does.
        folder_fps: pictures a second of a folder.
        frames: at most so many.
        size: side S of frames and faces.

    Raises:
        DataError: the file cannot be read, or shows nothing.
    """
    length = _length(path, folder_fps) if end is None else end
    step = max(length - start, 1e-3) / frames
    recipe = CropRecipe(by="points", size=size)
    shown: list[Pixels] = []
    faces: list[Pixels] = []
    boxes: list[tuple[float, float]] = []
    begin = start + step / 2
    stop = None if end is None else end
    for frame in sampled(path, 1 / step, start=begin, end=stop, folder_fps=folder_fps):
        if frame.pixels is None:
            continue
        for face in detector.detect([frame.pixels])[0][:_MOST]:
            share = face.area / (frame.pixels.shape[0] * frame.pixels.shape[1])
            faces.append(recipe.crop(frame.pixels, face))
            boxes.append((float(len(shown)), min(1.0, float(share))))
        shown.append(_squeezed(frame.pixels, size))
        if len(shown) == frames:
            break
    if not shown:
        raise DataError("nothing is shown in this clip", where=str(path))
    blank = np.zeros((0, size, size, 3), np.uint8)
    return Scene(
        np.stack(shown),
        np.stack(faces) if faces else blank,
        np.array(boxes, np.float32).reshape(-1, 2),
    )


def _length(path: Path, folder_fps: float | None) -> float:
    """Seconds of the pictures of a source."""
    facts = media.probe(path).video if not path.is_dir() else None
    if facts is not None:
        return facts.start + facts.duration
    count = sum(1 for _ in path.iterdir()) if path.is_dir() else 1
    return count / (folder_fps or 25.0)


def _squeezed(pixels: Pixels, size: int) -> Pixels:
    import cv2

    made = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(made, dtype=np.uint8)
