"""A pickle of arrays and plain containers: read without executing it, its arrays left in the file.

Allowed are numpy's arrays, scalars and types, dictionaries, lists, tuples, sets, texts, bytes and
numbers, of all protocols and of Python 2. Anything else is refused by its name, and the place where
it stands. A short pickle may mean an endless value (a list of the same list of the same list), so
what comes out is walked once, and has a size.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from mien.data import pickles
from mien.data.opcodes import Payload, instructions
from mien.data.stored import NAMES, Array, Numbers, Stored, nested
from mien.errors import DataError

APART = 1024
"""Bytes of a text or array that stay in the file."""

_STEPS = 2**22  # containers and calls: an array takes some ten
_ITEMS = 2**22  # of a list that is kept as an array
_DEEP = 40  # containers within each other
_TEXT = 2**20  # bytes of a text
_TEXTS = 2**28  # of all long texts
_SHORT = 256  # letters of a text that counts as one value
_PLAIN = frozenset({float, int, bool, type(None)})
_SPARE = 100_000  # values that may be the same one, beside those that the file holds

_FIX = "mien opens pickles of numpy arrays and plain containers alone; it executes nothing"


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The value of a pickle. Its arrays are :class:`Stored`; they can be read within.

    Raises:
        DataError: it is not there, is damaged, or asks for anything but arrays and plain values.
    """
    if not path.is_file():
        raise DataError("there is no such file", where=str(path))
    with path.open("rb") as file:
        try:
            yield read(file, os.fstat(file.fileno()).st_size)
        except DataError as error:
            if error.where is not None and Path(error.where).is_absolute():
                raise  # another file
            where = f"{path}, {error.where}" if error.where else str(path)
            raise DataError(error.what, where=where, fix=error.fix) from error


def read(file: BinaryIO, size: int) -> Any:
    """The value of a pickle in an open file, from where the file stands.

    Args:
        file: seekable; arrays are read from it later.
        size: of the whole file.

    Raises:
        DataError: names the instruction and the byte at which it stands.
    """
    try:
        steps = instructions(file, size, apart=APART)
        value = pickles.run(steps, NAMES, most=_STEPS)
        return _Settled().of(value, 0)[0]
    except DataError as error:
        raise DataError(error.what, where=error.where, fix=error.fix or _FIX) from error


@dataclass(slots=True)
class _Settled:
    """Walks a value once: texts are read, arrays of objects become lists, and everything ends.

    Args:
        done: what each container became, and how many values it is when written out.
        within: containers that are being walked.
        values: how many there are, each counted once.
        texts: bytes of long texts so far.
    """

    done: dict[int, tuple[Any, int, Any]] = field(default_factory=dict)
    within: set[int] = field(default_factory=set)
    values: int = 0
    texts: int = 0

    def of(self, value: Any, depth: int) -> tuple[Any, int]:
        """What a value is in the end, and how many values that are."""
        if (known := self.done.get(id(value))) is not None:
            return known[0], known[1]
        if isinstance(value, Payload):
            return self._large(value, text := self._text(value), len(text))
        if isinstance(value, str | bytes):
            return self._large(value, value, len(value)) if len(value) > _SHORT else (value, 1)
        if isinstance(value, Numbers) and isinstance(value.value, Stored):
            return self._large(value, value.value, value.value.size)
        if isinstance(value, Numbers) and value.value is None:
            raise DataError("an array in this pickle has nothing in it")
        if isinstance(value, pickles.Name | pickles.Built) and not isinstance(
            value, Numbers | dict
        ):
            raise DataError("this pickle holds a class or a type, which is no value")
        if not isinstance(value, list | tuple | dict | Numbers):
            return value, 1
        if id(value) in self.within:
            raise DataError("a container in this pickle holds itself")
        if depth > _DEEP:
            raise DataError(f"more than {_DEEP} containers lie within each other in this pickle")
        self.within.add(id(value))
        made, size = self._container(value, depth + 1)
        self.within.discard(id(value))
        # The container is kept too: else another could be made at its place in memory.
        self.done[id(value)] = made, size, value
        return made, size

    def _container(self, value: Any, depth: int) -> tuple[Any, int]:
        inner: Any = value.value if isinstance(value, Numbers) else value
        items = list(inner.values()) if isinstance(inner, dict) else inner
        if not isinstance(value, Numbers) and all(type(item) in _PLAIN for item in items):
            self.values += 1 + len(items)  # most of all: long lists of numbers
            return value, 1 + len(items)
        found = [self.of(item, depth) for item in items]
        self.values += 1 + len(found)
        size = 1 + sum(size for _, size in found)
        if size > 8 * self.values + _SPARE:
            raise DataError(f"a small pickle that means more than {size:,} values")
        settled = [item for item, _ in found]
        if isinstance(value, Numbers):
            return nested(settled, value.shape), size
        if isinstance(value, dict):
            value.update(zip(list(value), settled, strict=True))
            return value, size
        if isinstance(value, tuple):
            return tuple(settled), size
        value[:] = settled
        return value, size

    def _large(self, value: Any, made: Any, length: int) -> tuple[Any, int]:
        """An array or a long text, which counts as much as it is: it too may be named often."""
        size = 1 + length // 8
        self.values += size
        self.done[id(value)] = made, size, value
        return made, size

    def _text(self, value: Payload) -> str | bytes:
        self.texts += value.length
        if self.texts > _TEXTS:
            raise DataError(f"this pickle has more than {_TEXTS:,} bytes of long texts")
        return value.value(_TEXT)


# -- what readers ask of it ------------------------------------------------------------------------


def array(value: Any) -> Array | None:
    """Numbers that are an array, or lists of numbers; None: something else."""
    import numpy as np

    if isinstance(value, Stored):
        return value.read() if value.dtype.kind in "biuf" else None
    if isinstance(value, list | tuple):
        try:
            made = np.array(value)
        except ValueError:
            return None
        return made if made.dtype.kind in "biuf" else None
    return np.array(value) if isinstance(value, int | float) else None


def items(value: Any) -> list[Any] | None:
    """The items of a list, of a set or of an array; None: something else."""
    if isinstance(value, Stored) and value.shape:
        if math.prod(value.shape) > _ITEMS:
            raise DataError(f"an array of the shape {value.shape}, where a list should be")
        try:
            return [item for block in value.blocks() for item in block.tolist()]
        except ValueError as error:  # letters that no text can hold
            raise DataError(f"a list of texts is damaged: {error}") from error
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return list(value) if isinstance(value, list | tuple) else None
