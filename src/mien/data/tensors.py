"""A safetensors file that is written as its tensors come: never more than one of them is held."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError

_HEADER = 100_000_000  # bytes; the format allows no more


class Tensors:
    """Float32 tensors in one file, written in the order in which they were announced.

    Args:
        path: the file.
        shapes: of each tensor by its key.

    Raises:
        DataError: there are too many for one file.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.path = path
        self._left = [(key, tuple(shape)) for key, shape in shapes.items()][::-1]
        entries, end = dict[str, Any](), 0
        for key, shape in shapes.items():
            begin, end = end, end + 4 * math.prod(shape)
            entries[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
        header = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        if len(header) > _HEADER:
            raise DataError(f"{len(shapes):,} tensors are too many for one file", where=str(path))
        self._file = path.open("wb")
        self._file.write(struct.pack("<Q", len(header)) + header)

    def write(self, key: str, values: NDArray[Any]) -> None:
        """The next tensor.

        Raises:
            DataError: another one was announced.
        """
        wanted, shape = self._left.pop() if self._left else ("nothing", ())
        if (key, values.shape) != (wanted, shape):
            raise DataError(
                f"{key!r} of {values.shape} comes where {wanted!r} of {shape} was to come",
                where=str(self.path),
            )
        self._file.write(np.ascontiguousarray(values, "<f4").data)

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()

    def finish(self) -> None:
        """All of them have come.

        Raises:
            DataError: not all.
        """
        if self._left:
            raise DataError(f"{len(self._left):,} tensors did not come", where=str(self.path))


@contextmanager
def writing(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Tensors]:
    """A file of tensors; within, they are written."""
    made = Tensors(path, shapes)
    try:
        yield made
    finally:
        made.close()
    made.finish()
