"""Faces where they are, for frames of every shape: decoded as published, the same in a batch."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import red_faces
from numpy.typing import NDArray

from mien.data import yunet
from mien.data.faces import LARGEST_LOOK, Detector, Face, open_detector, shrunk
from mien.data.frames import sampled
from mien.data.haar import upright
from mien.errors import ConfigError, DataError

REAL = "yunet_n_640_640.onnx"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "my_YuNet.onnx"
    path.write_bytes(red_faces.onnx())
    return path


def same(one: list[list[Face]], other: list[list[Face]]) -> bool:
    """Whether faces are the same, bit for bit."""

    def values(faces: list[Face]) -> list[Any]:
        points = [None if face.points is None else face.points.tolist() for face in faces]
        return [(f.box, f.score, p) for f, p in zip(faces, points, strict=True)]

    return [values(faces) for faces in one] == [values(faces) for faces in other]


# -- what the network puts out ---------------------------------------------------------------------


def made_up(seed: int, tall: int, wide: int) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    outputs = {}
    for name in yunet.OUTPUTS:
        kind, stride = name.split("_")
        cells = (tall // int(stride)) * (wide // int(stride))
        values = random.normal(0, 1, (1, cells, len(red_faces.BIASES[kind])))
        if kind in ("cls", "obj"):
            values = random.uniform(-0.1, 1.1, values.shape)  # also outside of what is a share
        outputs[name] = values.astype(np.float32)
    return outputs


def one_by_one(outputs: dict[str, NDArray[np.float32]], wide: int) -> list[list[float]]:
    """All faces of all cells, as the paper's code has them, in the plainest words."""
    rows = []
    for stride in (8, 16, 32):
        cls, obj, box, points = (
            outputs[f"{kind}_{stride}"][0].tolist() for kind in ("cls", "obj", "bbox", "kps")
        )
        for cell in range(len(cls)):
            row, column = divmod(cell, wide // stride)
            sure = [min(max(value, 0.0), 1.0) for value in (cls[cell][0], obj[cell][0])]
            score = math.sqrt(sure[0] * sure[1])
            if score < yunet.SURE:
                continue
            dx, dy, log_width, log_height = box[cell]
            width, height = math.exp(log_width) * stride, math.exp(log_height) * stride
            middle = (column + dx) * stride, (row + dy) * stride
            found = [middle[0] - width / 2, middle[1] - height / 2, width, height]
            for k in range(5):
                found.append((points[cell][2 * k] + column) * stride)
                found.append((points[cell][2 * k + 1] + row) * stride)
            rows.append([*found, score])
    return sorted(rows, key=lambda values: -values[14])


def each_once(rows: list[list[float]], overlap: float) -> list[int]:
    """Which rows no surer one that stays overlaps."""
    kept: list[int] = []
    for number, (x, y, w, h, *_) in enumerate(rows):
        for other in kept:
            a, b, c, d = rows[other][:4]
            both = max(0.0, min(x + w, a + c) - max(x, a)) * max(0.0, min(y + h, b + d) - max(y, b))
            if both / (w * h + c * d - both) > overlap:
                break
        else:
            kept.append(number)
    return kept


@pytest.mark.parametrize(("seed", "tall", "wide"), [(0, 64, 96), (1, 32, 224), (2, 192, 32)])
def test_outputs_are_decoded_cell_by_cell_as_published(seed: int, tall: int, wide: int) -> None:
    outputs = made_up(seed, tall, wide)
    found, expected = yunet.decoded(outputs, wide), one_by_one(outputs, wide)
    assert len(found) == len(expected) > 10
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.3, 0.5])
def test_of_boxes_that_overlap_the_surest_stays(overlap: float) -> None:
    rows = yunet.decoded(made_up(3, 128, 128), 128)
    again = rows.copy()  # many faces are found twice, and not quite in the same place
    again[:, :4] *= np.random.default_rng(0).uniform(0.8, 1.2, (len(rows), 4))
    rows = np.concatenate([rows, again])
    rows = rows[np.argsort(-rows[:, 14], kind="stable")]
    kept = each_once(rows.tolist(), overlap)
    assert 1 < len(kept) < len(rows)
    np.testing.assert_array_equal(yunet.suppressed(rows, overlap), rows[kept])


def test_as_many_boxes_are_compared_as_are_allowed_and_the_surest_are_among_them() -> None:
    outputs = made_up(4, 640, 640)
    found, expected = yunet.decoded(outputs, 640), one_by_one(outputs, 640)
    assert len(expected) > yunet.CANDIDATES == len(found)
    np.testing.assert_allclose(found[:, 14], [row[14] for row in expected[: len(found)]], rtol=1e-5)


def test_what_is_no_number_is_no_face() -> None:
    outputs = made_up(5, 32, 32)
    for array, bad in zip(outputs.values(), [np.nan, np.inf, -np.inf, 1e38] * 3, strict=True):
        array.reshape(-1)[::2] = bad
    rows = yunet.decoded(outputs, 32)
    assert np.isfinite(rows).all()
    nothing = {name: np.full_like(array, np.nan) for name, array in outputs.items()}
    assert yunet.suppressed(yunet.decoded(nothing, 32)).shape == (0, 15)


# -- from frames to faces --------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(96, 160), (100, 170), (90, 70)])
def test_faces_lie_where_the_network_sees_them(network: Path, height: int, width: int) -> None:
    detector = open_detector("yunet", network, smallest=16)  # as it is: nothing is shrunk
    red = [(1, 2), (5, 8)]
    faces = detector.detect([red_faces.frame_with(red, height, width)])[0]
    assert len(faces) == 2
    for face in faces:
        column, row = min(red, key=lambda at: abs(at[0] * 8 - face.box[0]))
        box = (column * 8 - 8, row * 8 - 12, 24, 32)
        np.testing.assert_allclose(face.box, box, atol=1e-3)
        expected = 8 * np.add(np.reshape(red_faces.POINTS, (5, 2)), (column, row))
        assert face.points is not None
        np.testing.assert_allclose(face.points, expected, atol=1e-3)
        assert face.points.dtype == np.float32
        assert face.score == pytest.approx(1, abs=1e-3)


class Told(Detector):
    """Finds what it is told to."""

    name, note, has_points = "told-1", "", False

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__(16)
        self.told = np.asarray(rows, np.float32)

    def _rows(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.told


def test_the_largest_face_comes_first_not_the_surest() -> None:
    told = Told([[0, 0, 10, 10, 0.9], [5, 5, 30, 20, 0.7], [9, 9, 12, 40, 0.8]])
    (faces,) = told.detect([np.zeros((60, 60, 3), np.uint8)])
    assert [face.area for face in faces] == [600, 480, 100]
    assert [face.box[0] for face in faces] == [5, 9, 0]
    assert [round(face.score, 3) for face in faces] == [0.7, 0.8, 0.9]
    assert all(face.points is None for face in faces)


def test_what_is_shrunk_is_scaled_back(network: Path) -> None:
    detector = open_detector("yunet", network, smallest=32)
    assert detector.look(161, 320) == (80, 160)  # not quite by a half: each side by its own scale
    (face,) = detector.detect([red_faces.frame_with([(6, 3)], 161, 320, cell=16)])[0]
    np.testing.assert_allclose(face.box, (80, 12 * 161 / 80, 48, 32 * 161 / 80), atol=1e-3)


@pytest.mark.parametrize("kind", ["yunet", "haar"])
def test_a_batch_and_threads_find_what_single_frames_have(network: Path, kind: Any) -> None:
    detector = open_detector(kind, network if kind == "yunet" else None, smallest=16)
    random = np.random.default_rng(0)
    frames = [red_faces.frame_with([(k, k)], 64 + 5 * k, 200 - 9 * k) for k in range(6)]
    frames.append(random.integers(0, 256, (70, 90, 3), np.uint8))
    before = [frame.copy() for frame in frames]
    alone = [detector.detect([frame])[0] for frame in frames]
    assert same(detector.detect(frames), alone)
    assert same(detector.detect(frames[::-1]), alone[::-1])
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda k: detector.detect([frames[k % 7]])[0], range(28)))
    assert same(many, alone * 4)
    assert all(np.array_equal(a, b) for a, b in zip(frames, before, strict=True))
    assert detector.detect([]) == []
    assert detector.has_points == (kind == "yunet")


@pytest.mark.parametrize("kind", ["yunet", "haar"])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 40_000), (40_000, 1), (7, 3), (19, 21), (33, 31), (4320, 7680)]
)
def test_frames_of_every_shape_can_be_looked_at(
    network: Path, kind: Any, shape: tuple[int, int]
) -> None:
    detector = open_detector(kind, network if kind == "yunet" else None)
    assert detector.detect([np.full((*shape, 3), 128, np.uint8)]) == [[]]


@pytest.mark.parametrize("smallest", [None, 1, 16, 40, 5000])
def test_what_is_looked_at_stays_small(smallest: int | None) -> None:
    detector = open_detector("haar", smallest=smallest)
    for height, width in [(1, 1), (4320, 7680), (1, 33_000_000), (9_000_000, 2), (360, 640)]:
        tall, wide = detector.look(height, width)
        assert 1 <= tall <= height
        assert 1 <= wide <= width
        assert (-(-tall // 32) * 32) * (-(-wide // 32) * 32) <= LARGEST_LOOK
    wanted = {None: 0.4, 1: 1, 16: 1, 40: 0.4, 5000: 0.0032}[smallest]
    assert detector.look(1000, 1000)[0] == round(1000 * wanted)


def test_a_large_frame_is_looked_at_whole(network: Path) -> None:
    pixels = red_faces.frame_with([(100, 50)], 4320, 7680, cell=64)
    (face,) = open_detector("yunet", network, smallest=128).detect([pixels])[0]
    np.testing.assert_allclose(face.box, (6336, 3104, 192, 256), atol=0.5)


@pytest.mark.parametrize("height", [50, 64, 100, 127, 199])
def test_shrinking_skips_nothing(height: int) -> None:
    lines = np.zeros((200, 200, 3), np.uint8)
    lines[::2] = 255
    small = shrunk(lines, height, height)
    assert small.shape == (height, height, 3)
    assert abs(float(small.mean()) - 127.5) < 2
    if height <= 100:
        assert np.ptp(small) <= 2


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 1), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
        np.zeros((9, 9, 3), np.float32),
        np.zeros((9, 9, 3), np.int16),
        np.zeros((2, 9, 9, 3), np.uint8),
        None,
    ],
    ids=["grey", "RGBA", "one", "none", "float", "int16", "film", "None"],
)
def test_what_is_no_frame_is_said(bad: Any) -> None:
    detector = open_detector("haar")
    with pytest.raises(DataError, match="a frame is"):
        detector.detect([np.zeros((9, 9, 3), np.uint8), bad])


def test_views_of_frames_are_frames(network: Path) -> None:
    detector = open_detector("yunet", network, smallest=16)
    turned = red_faces.frame_with([(3, 4)], 96, 96)[:, ::-1]
    assert not turned.flags.c_contiguous
    assert same(detector.detect([turned]), detector.detect([turned.copy()]))
    assert len(detector.detect([turned])[0]) == 1


def test_a_square_of_the_cascade_becomes_a_face_around_the_same_middle() -> None:
    squares = np.asarray([[10, 20, 100, 100], [0, 0, 50, 50]], np.float32)
    boxes = upright(squares)
    assert np.all(boxes[:, 3] > boxes[:, 2])
    middles = boxes[:, :2] + boxes[:, 2:] / 2 - (squares[:, :2] + squares[:, 2:] / 2)
    assert np.all(abs(middles) < 0.05 * squares[:, 2:])
    np.testing.assert_allclose(boxes[0, 2:], 2 * boxes[1, 2:])


def test_wrong_words_are_said() -> None:
    with pytest.raises(ConfigError, match=r"no detector 'yunett'.*\n.*did you mean 'yunet'"):
        open_detector("yunett")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="takes no weights"):
        open_detector("haar", Path("x.onnx"))
    for smallest in (0, -4):
        with pytest.raises(ConfigError, match="a face cannot be as wide as"):
            open_detector("haar", smallest=smallest)


# -- real clips ------------------------------------------------------------------------------------

CLIPS = {"crowd_1080p.mp4": 4, "pexels_talking_head.mp4": 1, "face_then_no_face.mov": 0}


@pytest.mark.shared
@pytest.mark.parametrize("name", CLIPS)
def test_yunet_finds_what_opencv_finds_with_it(shared: Path, name: str) -> None:
    weights = shared / "weights" / REAL
    detector = open_detector("yunet", weights)
    theirs = cv2.FaceDetectorYN.create(
        str(weights), "", (1, 1), yunet.SURE, yunet.OVERLAP, yunet.CANDIDATES
    )
    for frame in sampled(shared / "data" / "clips" / name, 1, end=4):
        assert frame.pixels is not None
        height, width = frame.pixels.shape[:2]
        tall, wide = detector.look(height, width)
        small = cv2.resize(frame.pixels, (wide, tall), interpolation=cv2.INTER_AREA)
        theirs.setInputSize((wide, tall))
        rows = theirs.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        expected = np.zeros((0, 15)) if rows is None else np.asarray(rows, np.float64)
        expected[:, :14] *= np.resize([width / wide, height / tall], 14)
        faces = detector.detect([frame.pixels])[0]
        assert [face.area for face in faces] == sorted((f.area for f in faces), reverse=True)
        assert sum(face.score > 0.8 for face in faces) >= CLIPS[name]
        for mine, other in ((faces, expected), (expected, faces)):
            sure = [a for a in mine if (a.score if isinstance(a, Face) else a[14]) > 0.75]
            for one in sure:  # the two shrink differently: the least sure may differ
                assert min(distance(one, another) for another in other) < 0.1


def distance(one: Any, other: Any) -> float:
    """How far box and points lie apart at most, in widths of the box; faces or rows."""

    def values(face: Any) -> NDArray[np.float64]:
        if not isinstance(face, Face):
            return np.asarray(face[:14], np.float64)
        assert face.points is not None
        return np.concatenate([face.box, face.points.reshape(-1)])

    a, b = values(one), values(other)
    return float(abs(a - b).max() / a[2])


@pytest.mark.shared
@pytest.mark.parametrize("name", ["pexels_talking_head.mp4", "ravdess_01-01-01-01-01-01-01.mp4"])
def test_haar_finds_the_face_that_yunet_finds(shared: Path, name: str) -> None:
    haar, better = open_detector("haar"), open_detector("yunet", shared / "weights" / REAL)
    for frame in sampled(shared / "data" / "clips" / name, 1, end=4):
        assert frame.pixels is not None
        (mine,), (other,) = haar.detect([frame.pixels])[0], better.detect([frame.pixels])[0]
        assert mine.points is None
        # Widths fit crops over many people; the boxes of these two are 0.15 and 0.18 apart.
        assert np.abs(np.subtract(mine.box, other.box)).max() < 0.2 * other.box[2]
        assert 0.5 <= mine.score <= 1
