"""Files of the CMU-MultimodalSDK: for each video, intervals of time and what holds in each.

A file may name another file, or a program that fills it in; none of that is followed.

Shapes: n intervals of a video, D values in each.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, MissingExtra
from mien.importers.sayings import clean

Array = NDArray[Any]

_BYTES = 2**28  # of what one video has


@dataclass(frozen=True, slots=True)
class Sequence:
    """One file, open.

    Args:
        name: what it calls itself, such as ``COVAREP``.
        path: of it.
        videos: in the order of the file.
        data: videos, as h5py has them.
    """

    name: str
    path: Path
    videos: tuple[str, ...]
    data: Any

    def of(self, video: str) -> tuple[NDArray[np.float64], Array]:
        """Seconds of the intervals (n, 2), and what holds in each (n, D).

        Raises:
            DataError: it has none, or other than numbers and texts.
        """
        try:
            group = _inner(self.data, video)
            times, values = (_array(_inner(group, name)) for name in ("intervals", "features"))
        except (DataError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            what = error.what if isinstance(error, DataError) else str(error)
            raise DataError(f"{video!r} cannot be read: {what}", where=str(self.path)) from error
        if times.ndim != 2 or times.shape[1] != 2 or values.ndim != 2 or len(times) != len(values):
            raise DataError(
                f"{video!r} has intervals of {times.shape} and features of {values.shape}",
                where=str(self.path),
            )
        return times.astype(np.float64), values


@contextmanager
def opened(path: Path) -> Iterator[Sequence]:
    """A file of the SDK.

    Raises:
        MissingExtra: h5py is not installed.
        DataError: it is none of the SDK.
    """
    try:
        h5py: Any = importlib.import_module("h5py")
    except ImportError as error:
        raise MissingExtra("h5py", "hdf5") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"this is not an HDF5 file: {error}", where=str(path)) from error
    with file:
        names = list(file)
        try:
            data = _inner(_inner(file, names[0]), "data") if len(names) == 1 else None
        except (DataError, OSError, KeyError, RuntimeError) as error:
            raise DataError(f"this is no file of the SDK: {error}", where=str(path)) from error
        if data is None or not hasattr(data, "keys"):
            raise DataError(f"this is no file of the SDK: it has {names[:5]}", where=str(path))
        odd = next((video for video in data if clean(video) != video), None)
        if odd is not None:
            raise DataError(f"a video is called {odd[:50]!a}", where=str(path))
        yield Sequence(str(names[0]), path, tuple(map(str, data)), data)


def _inner(group: Any, name: str) -> Any:
    """What lies in a group itself; a link out of it, or to another file, is refused."""
    link = group.get(name, getlink=True)
    if type(link).__name__ != "HardLink":
        raise DataError(f"{name!r} is not in this file itself")
    return group[name]


def _array(data: Any) -> Array:
    if not hasattr(data, "shape") or not hasattr(data, "dtype"):
        raise DataError("a folder stands where an array should")
    if data.is_virtual or data.external:
        raise DataError("its numbers lie in another file")
    if data.dtype.kind not in "biufS":
        raise DataError(f"it holds {data.dtype}, neither numbers nor texts")
    if data.size * data.dtype.itemsize > _BYTES:
        raise DataError(f"it claims {data.size:,} values")
    found: Array = np.asarray(data[()])
    return found
