"""Files of weights by others: what is in them, and single tensors out of them.

Two kinds are read: safetensors, and what ``torch.save`` writes (a zip of one pickle and the bytes
of its tensors). The pickle is never unpickled (:mod:`mien.data.pickles`): it only says which bytes
belong to which name. Nothing is read before its size was compared with the file.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from mien.data import pickles
from mien.errors import DataError, RunError

_TYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_MANY = 2**40  # numbers, more than any file here holds
_STATES = ("model", "module")  # where training code keeps the weights among other things


@dataclass(frozen=True, slots=True)
class Weights:
    """What a file holds, unread.

    Args:
        path: the file.
        shapes: of its tensors by name.
        get: gives one of them.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    get: Callable[[str], Tensor]

    def read(self, name: str) -> Tensor:
        """One of the tensors."""
        with _blamed(self.path):
            return self.get(name)


def open_weights(path: Path) -> Weights:
    """The weights in a file.

    Raises:
        RunError: it is not there, damaged, or holds anything but tensors and plain values.
    """
    if not path.is_file():
        raise RunError("there is no such file", where=str(path))
    with _blamed(path):
        return _safetensors(path) if path.suffix == ".safetensors" else _Archive(path).weights()


@contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """Within: whatever goes wrong is said of the file."""
    try:
        yield
    except Exception as error:  # bytes of a stranger can fail in any way
        what = error.what if isinstance(error, DataError) else str(error)
        raise RunError(f"these weights cannot be read: {what}", where=str(path)) from error


def _safetensors(path: Path) -> Weights:
    file: Any = safe_open(path, framework="pt")
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return Weights(path, shapes, file.get_tensor)


# -- what torch.save writes ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Storage:
    """So many numbers of one type, in a file of the archive."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True, slots=True)
class _Described:
    """A tensor, unread: which numbers of a storage it is."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> _Described:
    """In the place of torch's own function: a description, checked to lie within its storage."""
    del rest  # whether it learned, and hooks, of which there are none
    if not isinstance(storage, _Storage):
        raise DataError("a tensor has no storage")
    numbers = [offset, *_whole(shape), *_whole(stride)]
    if len(shape) != len(stride) or not all(type(n) is int and 0 <= n < _MANY for n in numbers):
        raise DataError("a tensor has a shape that is none")
    made = _Described(storage, offset, tuple(shape), tuple(stride))
    size, last = 1, offset
    for extent, step in zip(made.shape, made.stride, strict=True):
        size *= extent
        last += (extent - 1) * step
    if size and (last >= storage.count or size > storage.count):
        raise DataError(f"a tensor of the shape {made.shape} has {storage.count} numbers")
    return made


def _whole(numbers: Any) -> tuple[Any, ...]:
    if not isinstance(numbers, tuple) or len(numbers) > 16:
        raise DataError("a tensor has a shape that is none")
    return numbers


_NAMES: Mapping[str, pickles.Maker | None] = {
    "argparse.Namespace": pickles.Attributes,
    "collections.OrderedDict": pickles.Mappings,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    **dict.fromkeys(_TYPES),
}


class _Archive:
    """A zip that ``torch.save`` wrote, its pickle read and its tensors described."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not zipfile.is_zipfile(path):
            raise DataError("it is neither safetensors nor what torch.save writes since torch 1.6")
        with zipfile.ZipFile(path) as archive:
            self.members = {info.filename: info for info in archive.infolist()}
            roots = [name for name in self.members if name.endswith("/data.pkl")]
            if len(roots) != 1:
                raise DataError("this archive is none of torch.save: it has no pickle of its own")
            self.root = roots[0].removesuffix("data.pkl")
            order = f"{self.root}byteorder"
            if order in self.members and self._bytes(archive, order, 16) != b"little":
                raise DataError("its numbers are written from the other end")
            program = self._bytes(archive, roots[0], pickles.MOST)
        self.value = pickles.read(program, _NAMES, self._stored)

    def weights(self) -> Weights:
        """The tensors of the model, which may stand among other things."""
        found = self.value
        for name in _STATES:
            if isinstance(self.value, dict) and isinstance(self.value.get(name), dict):
                found = self.value[name]
                break
        if not isinstance(found, dict) or not found:
            raise DataError("it holds no weights by name")
        for name, tensor in found.items():
            if not isinstance(name, str) or not isinstance(tensor, _Described):
                raise DataError(f"{str(name)[:200]!r} is no tensor")
        shapes = {name: tensor.shape for name, tensor in found.items()}
        return Weights(self.path, shapes, lambda name: self._read(found[name]))

    def _stored(self, key: Any) -> _Storage:
        """What the pickle says of some bytes of the archive: (storage, type, key, place, count)."""
        parts = key if isinstance(key, tuple) and len(key) == 5 else (None,) * 5
        word, kind, name, _, count = parts
        dtype = _TYPES.get(kind.full) if isinstance(kind, pickles.Name) else None
        if word != "storage" or dtype is None or type(count) is not int:
            raise DataError("it refers to something that is no storage of a tensor")
        if not isinstance(name, str) or not re.fullmatch(r"[0-9]{1,9}", name):
            raise DataError("a storage has no number")
        info = self.members.get(f"{self.root}data/{name}")
        if info is None or info.file_size != count * dtype.itemsize:
            raise DataError(f"storage {name} is not there, or not as long as it is said to be")
        return _Storage(name, dtype, count)

    def _read(self, tensor: _Described) -> Tensor:
        storage = tensor.storage
        if not storage.count:
            return torch.zeros(tensor.shape, dtype=storage.dtype)
        with zipfile.ZipFile(self.path) as archive:
            name = f"{self.root}data/{storage.key}"
            data = self._bytes(archive, name, storage.count * storage.dtype.itemsize)
        numbers = torch.frombuffer(bytearray(data), dtype=storage.dtype)
        return numbers.as_strided(tensor.shape, tensor.stride, tensor.offset).clone()

    def _bytes(self, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
        """A file of the archive, stored as it is: a compressed one could be of any size."""
        info = self.members[name]
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise DataError(f"{name!r} is compressed or encrypted, as torch.save does not do it")
        if info.file_size > min(most, self.path.stat().st_size):
            raise DataError(f"{name!r} claims {info.file_size:,} bytes")
        return archive.read(info)
