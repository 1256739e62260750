"""How the bytes of a shard are laid out: header, blobs, index, footer; and what an index may claim.

The index is a length, JSON of that length, and columns one after the other. The JSON says how
many of what there are, and from that follows where every column lies.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.errors import DataError

VERSION = 1
TRACKS = 100_000  # of a shard
_MAGIC = b"mienshrd"
HEADER_BYTES = struct.pack("<8sII", _MAGIC, VERSION, 0)
START = len(HEADER_BYTES)
"""Where the first blob lies."""
_FOOTER = struct.Struct("<QQI")  # offset, length and checksum of the index
_END = struct.Struct("<I8s")  # checksum of the footer, magic
_TAIL = _FOOTER.size + _END.size
_LENGTH = struct.Struct("<I")
_INDEX, _TEXT = 1 << 28, 1 << 22  # bytes of an index, and of the JSON in it
_MOST = 1 << 40  # of anything that is counted: sums of such numbers fit into 64 bits
_POSITIONS = 1 << 23  # of the grid: almost four days at 25 a second
_BLOB = 1 << 24  # bytes of one picture, or of a second of sound
_SIDE = 2048  # pixels of a crop
_WORDS = 200  # letters of a name

Columns = dict[str, NDArray[Any]]
Laid = list[tuple[str, str, tuple[int, ...]]]


def pack(head: Mapping[str, Any], columns: Mapping[str, ArrayLike], *, offset: int) -> bytes:
    """Index and footer of a shard whose blobs end at ``offset``.

    Args:
        head: ``fps``, ``rate``, ``size``, ``spans``, ``facts``, ``tracks`` (name and length of
            each), ``counts`` (of blobs, grid, pieces and runs).
        columns: what :func:`laid` names.
        offset: bytes before the index.
    """
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-(len(text) + _LENGTH.size) % 8)  # columns of 8 bytes come first
    packed = [np.asarray(columns[name]).astype(kind).tobytes() for name, kind, _ in laid(head)]
    index = b"".join([_LENGTH.pack(len(text)), text, *packed])
    if len(text) > _TEXT or len(index) > _INDEX or len(head["tracks"]) > TRACKS:
        raise DataError(
            f"{len(head['tracks'])} tracks need an index of {len(index):,} bytes, which is too much"
        )
    parsed(index, offset)  # what is written can be read, or it is not written
    footer = _FOOTER.pack(offset, len(index), zlib.crc32(index))
    return index + footer + _END.pack(zlib.crc32(footer), _MAGIC)


def laid(head: Mapping[str, Any]) -> Laid:
    """Name, type and shape of every column, in their order."""
    blobs, grid, pieces, runs = head["counts"]
    found: Laid = [
        ("grid", "<i8", (grid, 2)),
        ("pieces", "<i8", (pieces, 2)),
        ("runs", "<i8", (runs, 2)),
        ("lengths", "<u4", (blobs,)),
        ("sums", "<u4", (blobs,)),
    ]
    for i, (_, n) in enumerate(head["tracks"]):
        found += [
            (f"{i}.positions", "<u4", (n,)),
            (f"{i}.blobs", "<u4", (n,)),
            (f"{i}.boxes", "<f4", (n, 4)),
            (f"{i}.scores", "<f4", (n,)),
        ]
    return found + [(f"{i}.detected", "|u1", (n,)) for i, (_, n) in enumerate(head["tracks"])]


def read(file: BinaryIO) -> tuple[dict[str, Any], Columns]:
    """Head and columns of a shard, checked. No more is read than the file holds.

    Raises:
        DataError: it is no shard, or not as it was written.
    """
    return parsed(*_index(file))


def parsed(index: bytes, offset: int) -> tuple[dict[str, Any], Columns]:
    """Head and columns of an index that lies at ``offset``, checked."""
    (length,) = _LENGTH.unpack_from(index) if len(index) >= _LENGTH.size else (0,)
    start = _LENGTH.size + length
    if not 0 < length <= min(_TEXT, len(index) - _LENGTH.size):
        raise DataError("the index of this shard is cut off")
    try:
        head = json.loads(index[_LENGTH.size : start], parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DataError("the index of this shard is not JSON") from error
    _check_head(head)
    columns: Columns = {}
    for name, kind, shape in laid(head):
        size = math.prod(shape) * np.dtype(kind).itemsize  # Python's integers do not overflow
        if start + size > len(index):
            raise DataError("the index of this shard announces more than it holds")
        column = np.frombuffer(index, kind, math.prod(shape), start)
        columns[name] = column.reshape(shape)
        start += size
    if start != len(index):
        raise DataError("the index of this shard holds more than it announces")
    _check_columns(head, columns, offset - START)
    return head, columns


def _index(file: BinaryIO) -> tuple[bytes, int]:
    """The bytes of the index, and where they lie."""
    size = file.seek(0, os.SEEK_END)
    if size < START + _TAIL:
        raise DataError("this is not a shard: it is too short")
    file.seek(0)
    header = file.read(START)
    file.seek(size - _TAIL)
    tail = file.read(_TAIL)
    if header != HEADER_BYTES or len(tail) != _TAIL:
        ours = header[:8] == _MAGIC
        raise DataError("this is a shard of another version" if ours else "this is not a shard")
    footer, (checksum, magic) = tail[: _FOOTER.size], _END.unpack(tail[_FOOTER.size :])
    offset, length, wanted = _FOOTER.unpack(footer)
    if magic != _MAGIC or checksum != zlib.crc32(footer) or offset + length + _TAIL != size:
        raise DataError("this shard is cut off or damaged at its end")
    if offset < START or length > _INDEX:
        raise DataError(f"this shard claims an index of {length:,} bytes")
    file.seek(offset)
    index = file.read(length)
    if len(index) != length or zlib.crc32(index) != wanted:
        raise DataError("the index of this shard is damaged")
    return index, offset


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON value")


# -- what an index may claim -----------------------------------------------------------------------


def _check_head(head: Any) -> None:
    keys = {"fps", "rate", "size", "spans", "facts", "tracks", "counts"}
    if not isinstance(head, dict) or set(head) != keys:
        raise DataError("the index of this shard lacks what every shard has")
    right = (
        _is_number(head["fps"], 1e-3, 1000.0)
        and _is_count(head["rate"], 1, 768_000)
        and _is_count(head["size"], 1, _SIDE)
        and isinstance(head["facts"], dict)
        and _is_list(head["counts"], 4, 4)
        and all(_is_count(count, 0, _MOST) for count in head["counts"])
        and _is_list(head["spans"], 0, _MOST)
        and all(_is_span(span) for span in head["spans"])
        and _is_list(head["tracks"], 0, TRACKS)
        and all(_is_track(track) for track in head["tracks"])
        and len({name for name, _ in head["tracks"]}) == len(head["tracks"])
    )
    if not right:
        raise DataError("the index of this shard holds something that no shard can have")


def _is_number(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and value is not True and least <= value <= most


def _is_count(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_list(value: Any, least: int, most: int) -> bool:
    return isinstance(value, list) and least <= len(value) <= most


def _is_span(span: Any) -> bool:
    if not _is_list(span, 2, 2) or not _is_number(span[0], 0.0, 1e9):
        return False
    return span[1] is None or _is_number(span[1], span[0], 1e9)


def _is_track(track: Any) -> bool:
    if not _is_list(track, 2, 2) or not isinstance(track[0], str):
        return False
    return 0 < len(track[0]) <= _WORDS and _is_count(track[1], 1, _MOST)


def _check_columns(head: Mapping[str, Any], columns: Columns, blobs: int) -> None:
    """Compare what the columns claim with each other, and with the bytes that the blobs take."""
    lengths, pieces, grid = columns["lengths"], columns["pieces"], columns["grid"]
    if int(lengths.sum(dtype=np.int64)) != blobs or lengths.max(initial=0) > _BLOB:
        raise DataError("the blobs of this shard have other lengths than its index says")
    names = [f"{i}." for i in range(len(head["tracks"]))]
    right = _rise(grid) and _rise(columns["runs"]) and _is_sound(pieces, lengths)
    right = right and int((grid[:, 1] - grid[:, 0]).sum()) <= _POSITIONS
    right = right and all(_is_course(name, columns, len(lengths)) for name in names)
    if not right:
        raise DataError("the index of this shard contradicts itself")


def _rise(ranges: NDArray[Any]) -> bool:
    """Whether ranges (n, 2) hold something each and follow one another."""
    edges = ranges.reshape(-1)
    within = not edges.size or bool(edges.min() >= 0 and edges.max() <= _MOST)
    follow = bool((ranges[1:, 0] >= ranges[:-1, 1]).all())
    return within and follow and bool((ranges[:, 1] > ranges[:, 0]).all())


def _is_sound(pieces: NDArray[Any], lengths: NDArray[Any]) -> bool:
    """Whether pieces (n, 2), a first sample and a blob each, are there and do not overlap."""
    blobs = pieces[:, 1]
    if not ((blobs >= 0) & (blobs < len(lengths))).all() or (lengths[blobs] % 2).any():
        return False
    return _rise(np.stack([pieces[:, 0], pieces[:, 0] + lengths[blobs] // 2], axis=1))


def _is_course(name: str, columns: Columns, blobs: int) -> bool:
    """Whether the sightings of a track are in order, and of pictures that are there."""
    positions = columns[name + "positions"]
    boxes, scores = columns[name + "boxes"], columns[name + "scores"]
    return bool(
        (positions[1:] > positions[:-1]).all()
        and (columns[name + "blobs"] < blobs).all()
        and np.isfinite(boxes).all()
        and np.isfinite(scores).all()
        and (columns[name + "detected"] < 2).all()
    )


def together(ranges: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """All numbers in some ranges (from, up to), one after the other."""
    parts = [np.arange(start, stop, dtype=np.int64) for start, stop in ranges]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
