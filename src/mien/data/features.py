"""Arrays that a manifest names: ``.npy``, one key of a safetensors file, or numbers in the row.

Files come from anywhere, so nothing is unpickled, and what a header announces is compared with the
file before a byte is read or memory taken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from mien.data.places import Place
from mien.data.rows import FeatureRef, Inline
from mien.errors import DataError, did_you_mean

Array = NDArray[np.generic]

WAVEFORM = 8000
"""A list of floats this long (half a second at 16 kHz) is a waveform; a shorter one a vector."""

SEEN = ".seen"
"""Ending of the key that says which positions of a tensor are there."""

ORIGIN = "origin"
"""Where the header of a safetensors file says, as JSON, what its tensors were made of and how."""

_AT_ONCE = 2**22  # values that are looked at together
_NUMBERS = "biuf"  # kinds of numpy: truth values, integers, unsigned integers, floats
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def load(ref: FeatureRef, root: Path | Place, *, row: str = "", finite: bool = True) -> Array:
    """The values of a feature: not copied where a file can be mapped, and read-only.

    Args:
        ref: ``x.npy``, ``x.safetensors::key``, or values.
        root: folder that a path starts from and may not leave.
        row: id, to be named in errors.
        finite: refuse values that are not (tracks use NaN for what is not annotated).

    Returns:
        At least one axis, of numbers. The first axis may be empty: nothing was found.

    Raises:
        DataError: a file that is missing, broken, not numbers, or not within the root.
    """
    if isinstance(ref, Inline):
        return ref.values
    with blamed(ref, row):
        path, key = file_of(ref, root)
        array = _tensor(path, key) if key else _npy(path)
        if array.ndim == 0 or 0 in array.shape[1:]:
            raise DataError(f"an array of the shape {array.shape} holds no positions")
        if finite:
            _check_finite(array)
    return array


def _check_finite(array: Array) -> None:
    """Refuse values that are not, a stretch at a time: a mapped file may be larger than memory."""
    if array.dtype.kind != "f":
        return
    step = max(1, _AT_ONCE // max(1, array[:1].size))
    for first in range(0, len(array), step):
        bad = np.argwhere(~np.isfinite(array[first : first + step]))
        if len(bad):
            bad[:, 0] += first
            raise DataError(
                f"{len(bad)} values are not finite, the first at {bad[0].tolist()}",
                fix="leave the feature out of rows that lack it: absence is masked, NaN is not",
            )


def seen(ref: FeatureRef, root: Path | Place, *, row: str = "") -> NDArray[np.bool_] | None:
    """Which positions (L) of a feature are there, where its file says so; None: all of them.

    Beside a tensor ``KEY`` of a safetensors file there may be a ``KEY.seen`` that is 0 where
    nothing was to be seen.
    """
    if not isinstance(ref, str) or "::" not in ref:
        return None
    with blamed(ref, row):
        path, key = file_of(ref, root)
        if key + SEEN not in _opened(path).names:
            return None
        mask = _tensor(path, key + SEEN)
        if mask.shape != tuple(_slice(path, key).get_shape())[:1]:
            raise DataError(f"{key + SEEN!r} does not say one thing a position: {mask.shape}")
    return np.asarray(mask != 0)


def origin(ref: FeatureRef, root: Path | Place, *, row: str = "") -> dict[str, Any]:
    """What a safetensors file says of how its tensors were made; nothing where it says nothing."""
    if not isinstance(ref, str) or ".safetensors::" not in ref:
        return {}
    with blamed(ref, row):
        path, _ = file_of(ref, root)
        try:
            said = json.loads((_opened(path).file.metadata() or {}).get(ORIGIN, "{}"))
        except ValueError:
            return {}  # somebody else's header
    return said if isinstance(said, dict) else {}


def part(ref: str, root: Path | Place, positions: NDArray[np.int64], *, row: str = "") -> Array:
    """Some positions (T) of one tensor of a safetensors file; only what lies between is read."""
    with blamed(ref, row):
        path, key = file_of(ref, root)
        low, high = (int(positions.min()), int(positions.max()) + 1) if len(positions) else (0, 0)
        try:
            array: Array = _slice(path, key)[low:high]
        except (SafetensorError, TypeError, ValueError) as error:
            raise DataError(f"{key!r} cannot be read: {_first_line(error)}") from error
        if array.dtype.kind not in _NUMBERS:
            raise DataError(f"an array of {array.dtype} holds something else than plain numbers")
        _check_finite(array)
    in_order = np.array_equal(positions, np.arange(low, high))
    return array if in_order else array[positions - low]


def shape(ref: FeatureRef, root: Path | Place, *, row: str = "") -> tuple[int, ...]:
    """The shape of a feature, from its header."""
    if isinstance(ref, Inline):
        return ref.values.shape
    with blamed(ref, row):
        path, key = file_of(ref, root)
        found = _slice(path, key).get_shape() if key else _npy(path).shape
    return tuple(int(n) for n in found)


def sequence(array: Array) -> Array:
    """An array with its positions first: a vector (D) becomes one position, (1, D).

    A single axis of integers (bytes of a text, samples of a sound) and one of 8,000 floats or more
    (a waveform) are positions already.
    """
    if array.ndim == 1 and array.dtype.kind == "f" and len(array) < WAVEFORM:
        return array[None]
    return array


@contextmanager
def blamed(ref: str, row: str) -> Iterator[None]:
    """Within: every error names the row and the file."""
    try:
        yield
    except DataError as error:
        where = f"row {row!r}, {ref}" if row else ref
        raise DataError(error.what, where=where, fix=error.fix) from error


def file_of(
    ref: str, root: Path | Place, containers: tuple[str, ...] = (".safetensors",)
) -> tuple[Path, str]:
    """The file that a reference names, and what of it: ``""`` where it is one array.

    Args:
        ref: ``x.npy``, or ``FILE::KEY`` where the file ends in one of ``containers``.
        root: where paths start.
        containers: endings of files that hold several arrays.
    """
    name, mark, key = ref.partition("::")
    place = root if isinstance(root, Place) else Place(root.absolute(), root.absolute())
    path = place.find(name)
    wanted = containers if mark else (".npy",)
    if path.suffix.lower() not in wanted or bool(mark) != bool(key):
        fix = f"name what to read: {name}::KEY" if path.suffix.lower() in containers else None
        raise DataError(
            "a feature is X.npy, X.safetensors::KEY or X.shard::TRACK; nothing else is opened",
            fix=fix,
        )
    if not path.is_file():  # also a pipe, which would wait for ever
        raise DataError("there is no such file", fix="mien data check names all that are missing")
    return path, key


# -- npy -------------------------------------------------------------------------------------------


def _npy(path: Path) -> Array:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in _HEADERS:
                raise DataError(f"npy files of version {version} hold no plain numbers")
            size, fortran, dtype = _HEADERS[version](file)
            start = file.tell()
    except (OSError, ValueError, EOFError, SyntaxError, RecursionError, MemoryError) as error:
        raise DataError(f"this is not an npy file: {_first_line(error)}") from error
    if dtype.kind not in _NUMBERS:
        raise DataError(f"an array of {dtype} holds something else than numbers")
    if any(n < 0 for n in size):
        raise DataError(f"an array cannot have the shape {size}")
    there = path.stat().st_size - start
    announced = math.prod(size) * dtype.itemsize  # Python's integers do not overflow
    if there != announced:
        raise DataError(f"the header announces {announced:,} bytes, the file holds {there:,}")
    if not announced:
        return np.zeros(size, dtype)
    order: Any = "F" if fortran else "C"
    return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=size, order=order)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


# -- safetensors -----------------------------------------------------------------------------------


def _tensor(path: Path, key: str) -> Array:
    _slice(path, key)
    try:
        array: Array = _opened(path).file.get_tensor(key)
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise DataError(f"{key!r} cannot be read: {_first_line(error)}") from error
    if array.dtype.kind not in _NUMBERS:
        raise DataError(f"an array of {array.dtype} holds something else than plain numbers")
    return array


def _slice(path: Path, key: str) -> Any:
    opened = _opened(path)
    try:
        return opened.file.get_slice(key)
    except (SafetensorError, TypeError, ValueError) as error:
        hint = did_you_mean(key, opened.names)
        raise DataError(f"there is no {key!r} in this file: {hint}") from error


class _Opened(NamedTuple):
    """An open file, and what it holds: listing thousands of names for every row takes long."""

    file: Any
    names: frozenset[str]


def _opened(path: Path) -> _Opened:
    try:
        facts = path.stat()
        return _open(str(path), facts.st_mtime_ns, facts.st_size)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"this is not a safetensors file: {_first_line(error)}") from error


@lru_cache(maxsize=16)
def _open(path: str, changed: int, size: int) -> _Opened:
    """An open file. Rows often share one, and its header may name thousands of tensors."""
    del changed, size  # part of the key: a file that was written anew is opened anew
    file: Any = safe_open(path, framework="numpy")  # of which mypy knows nothing
    return _Opened(file, frozenset(file.keys()))
