"""Arrays of a pickle, still in its file: numpy's own functions are played, none is called.

What numpy writes of an array is the name of a function, a shape, a type and the bytes. The names
are taken from a table, the rest is compared with each other, and the bytes stay where they lie
until somebody reads them, a stretch at a time.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mien.data.opcodes import Payload
from mien.data.pickles import Built, Maker, Mappings, Name, hashed
from mien.errors import DataError

Array = NDArray[Any]

_KIND = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f[248]|[US][0-9]{1,8}|O8?|O4)")
_MANY = 2**40  # numbers along an axis, more than any file here has
_EMPTY = 2**20  # rows of an array that has nothing in them
_AT_ONCE = 2**22  # bytes of a block
_WHOLE = 2**28  # bytes of an array that is read whole
_LATIN = ("latin1", "latin-1", "latin_1", "iso-8859-1")


@dataclass(frozen=True, slots=True)
class Stored:
    """An array that has not been read.

    Args:
        dtype: of its numbers or texts.
        shape: of it.
        fortran: whether its first axis is the fastest.
        source: its bytes, or where they lie.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    source: Payload | bytes

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, dtype: DTypeLike | None = None) -> Array:
        """All of it.

        Raises:
            DataError: it is too large for that, or the file has other bytes than it says.
        """
        if self.size > _WHOLE:
            raise DataError(f"an array of {self.size:,} bytes, where a small one should be")
        if not self.shape:
            return replace(self, shape=(1,)).read(dtype).reshape(())
        made: Array = np.empty(self.shape, self.dtype if dtype is None else dtype)
        at = 0
        for block in self.blocks(dtype):
            made[at : at + len(block)] = block
            at += len(block)
        return made

    def blocks(self, dtype: DTypeLike | None = None, *, at_once: int = _AT_ONCE) -> Iterator[Array]:
        """Stretches of its first axis, in order; never more than one is held.

        Args:
            dtype: of what is given; None: its own.
            at_once: bytes of a block, unless a single row has more.

        Raises:
            DataError: the file has other bytes than the shape says.
        """
        wide = math.prod(self.shape[1:]) * self.dtype.itemsize
        if not wide or not self.shape[0]:
            yield np.zeros(self.shape, self.dtype if dtype is None else dtype)
            return
        count = max(1, at_once // wide)
        fast_first = self.fortran and sum(n > 1 for n in self.shape) > 1
        found = self._across(count) if fast_first else self._along(count, wide)
        for block in found:
            with np.errstate(over="ignore"):  # what becomes infinite is seen by whoever takes it
                yield block if dtype is None else block.astype(dtype, copy=False)

    def _pieces(self) -> Iterator[bytes]:
        if isinstance(self.source, bytes):
            yield self.source
        else:
            yield from self.source.pieces()

    def _along(self, count: int, wide: int) -> Iterator[Array]:
        """Rows one after the other, as they lie."""
        held, left = bytearray(), self.size
        for piece in self._pieces():
            held += piece
            left -= len(piece)
            if left < 0:
                break
            while len(held) >= count * wide:
                yield self._rows(bytes(held[: count * wide]))
                del held[: count * wide]
        if left:
            raise DataError(
                f"an array of the shape {self.shape} has other than {self.size:,} bytes"
            )
        if held:
            yield self._rows(bytes(held))

    def _rows(self, data: bytes) -> Array:
        return np.frombuffer(data, self.dtype).reshape(-1, *self.shape[1:])

    def _across(self, count: int) -> Iterator[Array]:
        """Rows whose numbers lie far apart: the file is mapped. Slow, and rare."""
        if isinstance(self.source, bytes):
            whole: Array = np.frombuffer(self.source, self.dtype).reshape(self.shape, order="F")
            yield whole
            return
        with tempfile.TemporaryFile() as spool:
            file: BinaryIO | Any = spool
            offset, written = 0, self.size
            if self.source.plain:
                file, offset = self.source.file, self.source.offset
            else:
                written = sum(spool.write(piece) for piece in self._pieces())
                spool.flush()
            if written != self.size:
                raise DataError(
                    f"an array of the shape {self.shape} has other than {self.size:,} bytes"
                )
            mapped = np.memmap(file, self.dtype, "r", offset, self.shape, "F")
            for first in range(0, self.shape[0], count):
                yield np.array(mapped[first : first + count])


# -- what stands in the place of numpy -------------------------------------------------------------


class Kind(Built):
    """A type of numbers."""

    def __init__(self, name: Any = None, *_: Any) -> None:
        word = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        if not isinstance(word, str) or not _KIND.fullmatch(word):
            raise DataError(f"an array in this pickle is of {str(word)[:50]!r}: no plain numbers")
        self.dtype = np.dtype("O" if "O" in word else word)
        if not self.dtype.itemsize:
            raise DataError("an array in this pickle has texts without letters")

    def build(self, state: Any) -> None:
        """Take the order of the bytes; names of fields and dates are no plain numbers."""
        if not isinstance(state, tuple) or len(state) < 5:
            raise DataError("a type of numbers in this pickle is damaged")
        order, parts = state[1], state[2:5]
        if order not in ("<", ">", "=", "|") or any(part is not None for part in parts):
            raise DataError("an array in this pickle has fields: no plain numbers")
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder("S" if self._swapped(order) else "=")

    def _swapped(self, order: str) -> bool:
        return np.dtype(f"{order}i4") != np.dtype("i4")


class Numbers(Built):
    """An array: first without anything, then with all of it.

    Args:
        value: what it is in the end.
    """

    def __init__(self, value: Stored | list[Any] | None = None) -> None:
        self.value = value
        self.shape: tuple[int, ...] = ()

    def build(self, state: Any) -> None:
        """Take shape, type, order and bytes."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise DataError("an array in this pickle is damaged")
        shape, kind, fortran, data = state[-4:]
        self.value = stored(shape, kind, fortran=bool(fortran), data=data)
        self.shape = _shape(shape)


def nested(items: list[Any], shape: tuple[int, ...]) -> Any:
    """The items of an array of objects, as lists within lists."""
    made = np.empty(len(items), object)
    for index, item in enumerate(items):
        made[index] = item
    return made.reshape(shape).tolist()


def stored(shape: Any, kind: Any, *, fortran: bool, data: Any) -> Stored | list[Any]:
    """An array of what a pickle says of it; of objects a list.

    Raises:
        DataError: shape, type and bytes do not fit each other.
    """
    dims = _shape(shape)
    if not isinstance(kind, Kind):
        raise DataError("an array in this pickle has no type")
    count = math.prod(dims)
    if kind.dtype.hasobject:
        if not isinstance(data, list) or len(data) != count or (fortran and len(dims) > 1):
            raise DataError(f"an array of objects of the shape {dims} has other objects")
        return data
    if isinstance(data, str):
        data = data.encode("latin-1")
    size = count * kind.dtype.itemsize
    if isinstance(data, Payload):
        # Escapes make a text longer than what it means, and nothing makes it shorter.
        low, high = (size, size) if data.plain else (size, 6 * size)
        fits = low <= data.length <= high
    else:
        fits = isinstance(data, bytes) and len(data) == size
    if not fits:
        raise DataError(f"an array of the shape {dims} has other than {size:,} bytes")
    return Stored(kind.dtype, dims, fortran, data)


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > 8:
        raise DataError("an array in this pickle has a shape that is none")
    if not all(type(n) is int and 0 <= n < _MANY for n in shape):
        raise DataError("an array in this pickle has a shape that is none")
    if math.prod(n for n in shape if n) > _MANY:
        raise DataError("an array in this pickle has a shape that is none")
    if 0 in shape and max(shape) > _EMPTY:  # whoever walks its rows would never end
        raise DataError(f"an array in this pickle has nothing in {max(shape):,} rows")
    return shape


def _empty(kind: Any = None, *_: Any) -> Numbers:
    if not isinstance(kind, Name) or kind.full != "numpy.ndarray":
        raise DataError("an array in this pickle is of a class of its own")
    return Numbers()


def _of_buffer(data: Any, kind: Any, shape: Any, order: Any, *rest: Any) -> Numbers:
    if order not in ("C", "F") or any(part is not None for part in rest):
        raise DataError("an array in this pickle has its axes in another order")
    made = Numbers()
    made.build((shape, kind, order == "F", data))
    return made


def _scalar(kind: Any = None, data: Any = b"", *_: Any) -> Any:
    found = stored((), kind, fortran=False, data=data)
    if isinstance(found, list):
        raise DataError("an object stands where a number should")
    return found.read().item()


def _bytes_of(text: Any = None, encoding: Any = None, *_: Any) -> bytes | Payload:
    """Bytes as old protocols have them: letters of Latin-1."""
    if encoding not in _LATIN or not isinstance(text, str | Payload):
        raise DataError("this pickle encodes something that are no bytes")
    return text.encode("latin-1") if isinstance(text, str) else replace(text, data=True)


def _no_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise DataError("this pickle makes bytes of something")
    return b""


def _set(values: Any = (), *_: Any) -> set[Any]:
    found = list(values) if isinstance(values, list | tuple) else [values]
    hashed(found)
    return set(found)


def _mapping(*arguments: Any) -> Mappings:
    made = Mappings()
    if arguments and isinstance(arguments[0], list):  # pairs, as Python 2 has them
        pairs = arguments[0]
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise DataError("a dictionary in this pickle has no pairs")
        hashed([pair[0] for pair in pairs])
        made.update({pair[0]: pair[1] for pair in pairs})
    return made


NAMES: Mapping[str, Maker | None] = {
    "numpy.ndarray": None,
    "numpy.dtype": Kind,
    **{
        f"numpy.{core}.multiarray.{name}": make
        for core in ("core", "_core")
        for name, make in (("_reconstruct", _empty), ("scalar", _scalar))
    },
    "numpy.core.numeric._frombuffer": _of_buffer,
    "numpy._core.numeric._frombuffer": _of_buffer,
    "_codecs.encode": _bytes_of,
    **dict.fromkeys(("builtins.bytes", "__builtin__.bytes"), _no_bytes),
    **dict.fromkeys(("builtins.set", "__builtin__.set"), _set),
    **dict.fromkeys(("builtins.frozenset", "__builtin__.frozenset"), _set),
    **dict.fromkeys(("collections.OrderedDict", "collections.defaultdict"), _mapping),
    **dict.fromkeys(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("list", "dict", "int", "float")
    ),
}
"""Names that may stand in a pickle of arrays; those with None may be named, but not called."""
