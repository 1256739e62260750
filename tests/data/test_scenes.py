"""A few frames of a clip, and all faces in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import film, number, picture_of, tone
from numpy.typing import NDArray

from mien.data.faces import Detector
from mien.data.scenes import look
from mien.errors import DataError


class Bright(Detector):
    """Sees two faces where a picture's number is odd, and none elsewhere."""

    name, note, has_points = "bright", "", False
    settings: dict[str, Any] = {}  # noqa: RUF012 (as every detector has)

    def _rows(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = pixels.shape[:2]
        if number(pixels) % 2 == 0:
            return np.zeros((0, 5), np.float32)
        half, quarter = (0, 0, width / 2, height / 2, 1), (0, 0, width / 4, height / 4, 1)
        return np.array([half, quarter], np.float32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "film.mp4"
    draw = lambda index, _: picture_of(index, (128, 96))  # noqa: E731
    return film(path, seconds=2.0, fps=10, size=(128, 96), draw=draw)


def test_frames_lie_at_even_times_and_faces_know_theirs(clip: Path) -> None:
    seen = look(clip, Bright(None), frames=5, size=32)
    assert seen.frames.shape == (5, 32, 32, 3)
    shown = [number(frame) for frame in seen.frames]
    assert shown == [2, 6, 10, 14, 18], "the middle of each fifth of 20 pictures"
    assert seen.faces.shape == (0, 32, 32, 3)
    later = look(clip, Bright(None), start=0.5, end=1.4, frames=3, size=32)
    odd = [i for i, frame in enumerate(later.frames) if number(frame) % 2]
    assert [number(frame) for frame in later.frames] == [6, 9, 12]
    assert odd == [1]
    assert later.boxes[:, 0].tolist() == [i for i in odd for _ in range(2)]
    assert later.boxes[:2, 1].tolist() == pytest.approx([1 / 4, 1 / 16])


def test_a_film_without_pictures_is_said(tmp_path: Path) -> None:
    path = film(tmp_path / "sound.mp4", codec=None, audio=tone(0.5))
    with pytest.raises(DataError):
        look(path, Bright(None))
