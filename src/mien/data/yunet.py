"""YuNet, a small convolutional face detector: its ONNX file to boxes and five points.

The file is run by OpenCV's own reader, so nothing else has to be installed. What the network puts
out is decoded here rather than by ``cv2.FaceDetectorYN``: that one reads the outputs without asking
for their shapes, and a file may come from anywhere.

Wu, Peng and Yu: YuNet: A Tiny Millisecond-level Face Detector (2023).
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import TowerError

Rows = NDArray[np.float32]  # (N, 15): left, top, width, height, five points, score

REPOSITORY, REVISION = "opencv/face_detection_yunet", "3cc26e7f1014a5ee5d74a42acee58bafc9d0a310"
FILE = "face_detection_yunet_2023mar.onnx"
FETCH = f"hf download {REPOSITORY} {FILE}"

PATIENCE = 5.0
"""Seconds that the hub may take, once in a process."""

STRIDES = (8, 16, 32)
_WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
OUTPUTS = tuple(f"{kind}_{stride}" for kind in _WIDTHS for stride in STRIDES)

LARGEST_FILE = 20_000_000
"""Bytes of an ONNX file that is opened at all; the published ones have a third of a million."""

SURE = 0.7
"""Least score of a face."""

OVERLAP = 0.3
"""Of two boxes that overlap by more than this (intersection over union) the surer one stays."""

CANDIDATES = 1000
"""Boxes that are compared with each other; the surest, should there be more."""


class Yunet:
    """The network, opened and tried.

    Args:
        path: the ONNX file, with any fixed input size: the network runs at any other as well.

    Attributes:
        digest: SHA-256 of the file.

    Raises:
        TowerError: a file that cannot be read, or holds another network.
    """

    def __init__(self, path: Path) -> None:
        self._where = str(path)
        content = _content(path)
        self.digest = hashlib.sha256(content).hexdigest()
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
            names = set(self._net.getUnconnectedOutLayersNames())
        except cv2.error as error:
            raise self._refusal(f"OpenCV cannot read it: {_reason(error)}") from error
        if not names.issuperset(OUTPUTS):
            missing = sorted(set(OUTPUTS) - names)
            raise self._refusal(f"the network has no output {missing[0]!r}")
        self.rows(np.zeros((32, 64, 3), np.uint8))

    def rows(self, pixels: NDArray[np.uint8]) -> Rows:
        """Faces in a frame as it is, the surest first.

        Args:
            pixels: (H, W, 3) RGB.

        Returns:
            (N, 15): left, top, width, height, five points (x, y), score.

        Raises:
            TowerError: the network cannot be run, or puts out something else than YuNet does.
        """
        height, width = pixels.shape[:2]
        tall, wide = _padded(height), _padded(width)
        image = np.zeros((1, 3, tall, wide), np.float32)
        for channel, plane in enumerate(cv2.split(pixels)[::-1]):  # the network reads BGR
            image[0, channel, :height, :width] = plane
        try:
            self._net.setInput(image)
            values = [np.asarray(array, np.float32) for array in self._net.forward(OUTPUTS)]
        except cv2.error as error:
            raise self._refusal(f"OpenCV cannot run it: {_reason(error)}") from error
        outputs = dict(zip(OUTPUTS, values, strict=True))
        for name, array in outputs.items():
            kind, stride = name.split("_")
            cells = (tall // int(stride)) * (wide // int(stride))
            if array.size != cells * _WIDTHS[kind]:
                raise self._refusal(f"its output {name!r} has the shape {array.shape}")
        return suppressed(decoded(outputs, wide))

    def _refusal(self, why: str) -> TowerError:
        return TowerError(
            f"this is not YuNet: {why}",
            where=self._where,
            fix=f"give {FILE} of the OpenCV zoo: {FETCH}",
        )


def decoded(outputs: dict[str, NDArray[np.float32]], wide: int, sure: float = SURE) -> Rows:
    """What the network puts out as faces in pixels, many of them several times.

    Args:
        outputs: ``cls_8`` and the like, each one row of values a cell of the grid of its stride.
        wide: width of the image that went in, a multiple of 32.
        sure: least score.

    Returns:
        (N, 15), the surest first, at most ``CANDIDATES``.
    """
    rows = np.concatenate([_of_stride(outputs, stride, wide // stride, sure) for stride in STRIDES])
    rows = rows[np.isfinite(rows).all(axis=1)]
    surest = np.argsort(-rows[:, 14], kind="stable")[:CANDIDATES]
    return np.asarray(rows[surest], np.float32)


def _of_stride(
    outputs: dict[str, NDArray[np.float32]], stride: int, columns: int, sure: float
) -> Rows:
    kinds = {kind: outputs[f"{kind}_{stride}"].reshape(-1, n) for kind, n in _WIDTHS.items()}
    score = np.sqrt(kinds["cls"].clip(0, 1) * kinds["obj"].clip(0, 1))[:, 0]  # (cells)
    at = np.flatnonzero(score >= sure)
    corner = np.stack([at % columns, at // columns], axis=1).astype(np.float32)  # (N, 2) x and y
    boxes, points = kinds["bbox"][at], kinds["kps"][at]
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is dropped after
        size = np.exp(boxes[:, 2:])
        start = corner + boxes[:, :2] - size / 2
        points = points + np.tile(corner, 5)
        cells = np.concatenate([start, size, points], axis=1) * np.float32(stride)
    return np.concatenate([cells, score[at, None]], axis=1).astype(np.float32)


def suppressed(rows: Rows, overlap: float = OVERLAP) -> Rows:
    """Each face once: of boxes that overlap, the surest.

    Args:
        rows: (N, 15), the surest first.
        overlap: intersection over union above which two boxes are one face.
    """
    left, top, width, height = rows[:, :4].T.astype(np.float64)
    right, bottom, area = left + width, top + height, width * height
    rest, kept = np.arange(len(rows)), []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(best)
        across = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        down = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        both = across.clip(0) * down.clip(0)
        rest = rest[both <= overlap * (area[best] + area[rest] - both)]
    return rows[np.asarray(kept, dtype=np.intp)]


def _padded(length: int) -> int:
    """The next multiple of the coarsest stride."""
    return -(-length // STRIDES[-1]) * STRIDES[-1]


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():  # also a pipe, which would wait for ever
            raise TowerError("this is no file", where=str(path), fix=f"give {FILE}: {FETCH}")
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise TowerError(
                f"YuNet's file has at most {LARGEST_FILE:,} bytes, this one {size:,}",
                where=str(path),
                fix=f"give {FILE} of the OpenCV zoo: {FETCH}",
            )
        return path.read_bytes()
    except OSError as error:
        raise TowerError(
            f"cannot read YuNet's file: {error}",
            where=str(path),
            fix=f"give a file that can be read: {FETCH}",
        ) from error


def _reason(error: cv2.error) -> str:
    return str(error).strip().splitlines()[0]


# -- where the file is -----------------------------------------------------------------------------


def found(weights: Path | None) -> Path | None:
    """YuNet's file: what is given, else the first of the places where it may be.

    These are the environment variable ``MIEN_FACES`` (a file or a folder), mien's folder in the
    user's cache, the hub's cache, and the hub itself, unless there is no network.

    Raises:
        TowerError: what is given, or named by the variable, is no such file and holds none.
    """
    named = weights or os.environ.get("MIEN_FACES")
    if named:
        path = Path(named).expanduser()
        file = path if path.is_file() else _within(path)
        if file is None:
            raise TowerError(
                "YuNet's file is not there",
                where=str(path) if weights else f"MIEN_FACES={path}",
                fix=f"give the file or its folder; where there is a network: {FETCH}",
            )
        return file
    return _within(_cache_folder()) or _cached() or _fetched()


def _within(folder: Path) -> Path | None:
    """The file in a folder: the one of the OpenCV zoo, else any that is named after YuNet."""
    try:
        files = sorted(path for path in folder.glob("*.onnx") if "yunet" in path.name.lower())
    except OSError:
        return None
    return min(files, key=lambda path: path.name != FILE, default=None)


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("MIEN_CACHE") or Path(cache) / "mien")


def _cached() -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for revision in (REVISION, None):
        path = try_to_load_from_cache(REPOSITORY, FILE, revision=revision)
        if isinstance(path, str):
            return Path(path)
    return None


@cache
def _fetched() -> Path | None:
    """The file from the hub, or None: where there is no network nobody should wait for it."""
    from huggingface_hub import constants, hf_hub_download

    if constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT):
        return None
    paths: list[Path] = []

    def fetch() -> None:
        try:
            path = hf_hub_download(REPOSITORY, FILE, revision=REVISION, etag_timeout=PATIENCE)
        except Exception:  # a network fails in every way, and each means: not at hand
            return
        paths.append(Path(path))

    thread = threading.Thread(target=fetch, daemon=True)  # a slow one does not hold up the exit
    thread.start()
    thread.join(PATIENCE)
    return paths[0] if paths else None


def _reachable(address: str) -> bool:
    """Whether anyone answers there: the hub's own client tries for long, and says so each time."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return True  # who asks on our behalf may see more than we do
    place = urlsplit(address)
    try:
        socket.create_connection((place.hostname or "", place.port or 443), PATIENCE / 2).close()
    except OSError:
        return False
    return True
