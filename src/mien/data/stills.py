"""Single images, and folders of numbered ones: the size is read before anything is decoded."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

_FILE_BYTES = 256 << 20  # larger than any image within the limits that is worth reading
_HEAD_BYTES = 1 << 20  # a photo's previews and colour profile may stand before its size
_MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n\x1a\n": "png", b"BM": "bmp", b"RIFF": "webp"}
_MOVING = (".mjpeg", ".mjpg")  # JPEG after JPEG: a film without a container
_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of frames, not of tables
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment


def kind(path: Path) -> str | None:
    """What sort of image a file is (``jpeg``, ``png``, ``bmp``, ``webp``), or None."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return None
    found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if found == "webp" and head[8:12] != b"WEBP":
        return None
    if found == "bmp" and path.suffix.lower() != ".bmp":  # two letters prove nothing
        return None
    return None if path.suffix.lower() in _MOVING else found


def read(path: Path, pixels: int) -> NDArray[np.uint8]:
    """An image, upright, as (H, W, 3) RGB: grey, palette, 16-bit and transparent ones too.

    Args:
        path: a JPEG, PNG, BMP or WebP file. Of a moving one the first picture is read.
        pixels: how many it may have.

    Raises:
        DataError: it is missing, broken, no image, or too large.
    """
    try:
        if not path.is_file():  # also a pipe, which would wait for ever
            raise DataError("there is no such file", where=str(path))
        if path.stat().st_size > _FILE_BYTES:
            raise DataError(f"an image of more than {_FILE_BYTES >> 20} MiB", where=str(path))
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read it: {error.strerror}", where=str(path)) from error
    width, height = _size(content[:_HEAD_BYTES], path)
    if width * height > pixels:
        raise DataError(f"an image of {width} x {height} is too large", where=str(path))
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        raise DataError("this image cannot be decoded", where=str(path)) from error
    if image is None:
        raise DataError("this image cannot be decoded", where=str(path))
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def numbered(folder: Path) -> dict[int, Path]:
    """The images of a folder by their number, the last run of digits of their names, in order.

    Files without a number, of other kinds, and hidden ones are left alone.

    Raises:
        DataError: there are none, or two have the same number.
    """
    found: dict[int, Path] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot read it: {error.strerror}", where=str(folder)) from error
    for path in paths:
        digits = re.findall(r"[0-9]+", path.stem)
        if path.suffix.lower() not in SUFFIXES or not digits or path.name.startswith("."):
            continue
        number = int(digits[-1][-18:])  # no name has more digits that mean something
        if number in found:
            raise DataError(
                f"{found[number].name} and {path.name} have the same number",
                where=str(folder),
                fix="keep the frames of one recording in a folder of their own",
            )
        found[number] = path
    if not found:
        raise DataError(
            "there are no numbered images in this folder",
            where=str(folder),
            fix="name them by frame, 0001.jpg, 0002.jpg, ...: " + ", ".join(SUFFIXES),
        )
    return dict(sorted(found.items()))


# -- sizes, from headers ---------------------------------------------------------------------------


def _size(head: bytes, path: Path) -> tuple[int, int]:
    """Width and height that an image claims, before it is decoded."""
    size = None
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
            size = struct.unpack(">II", head[16:24])
        elif head.startswith(b"\xff\xd8"):
            size = _jpeg_size(head)
        elif head.startswith(b"BM"):
            size = _bmp_size(head)
        elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            size = _webp_size(head)
    except (struct.error, IndexError):
        size = None
    if size is None or min(size) < 1:
        raise DataError("this is not a JPEG, PNG, BMP or WebP image", where=str(path))
    return size[0], size[1]


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at < len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + int(struct.unpack(">H", head[at + 2 : at + 4])[0])
    return None


def _bmp_size(head: bytes) -> tuple[int, int]:
    if struct.unpack("<I", head[14:18])[0] == 12:  # the oldest header
        width, height = struct.unpack("<HH", head[18:22])
    else:
        width, height = struct.unpack("<ii", head[18:26])
    return abs(width), abs(height)  # a negative height: rows from top to bottom


def _webp_size(head: bytes) -> tuple[int, int] | None:
    chunk = head[12:16]
    if chunk == b"VP8X":
        width = int.from_bytes(head[24:27], "little") + 1
        return width, int.from_bytes(head[27:30], "little") + 1
    if chunk == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L" and head[20] == 0x2F:
        bits = struct.unpack("<I", head[21:25])[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
