"""Plain values out of pickles, without unpickling: nothing in them is imported, called or trusted.

A pickle is a program that builds its value on a stack, and may ask for any class or function by
name. Here the program is read instruction by instruction. Only those are known that build plain
values, and a name means what the reader's own table says, or ends the reading.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mien.data.opcodes import instructions
from mien.errors import DataError

MOST = 4 * 2**20
"""Bytes of a pickle that are read: its arrays lie elsewhere, and the rest is small."""

Maker = Callable[..., Any]
"""What stands in the place of a class or function: takes its arguments, gives a plain value."""


class Built:
    """Something that a pickle makes first and fills later."""

    def build(self, state: Any) -> None:
        """Take what the pickle fills it with."""
        raise NotImplementedError


class Attributes(dict[str, Any], Built):
    """What an object was, as a dictionary of its attributes; it begins with none."""

    def __init__(self) -> None:
        super().__init__()

    def build(self, state: Any) -> None:
        """Take the attributes that a pickle sets."""
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise DataError("an object in this pickle has attributes without names")
        self.update(state)


class Mappings(dict[Any, Any], Built):
    """A dictionary of a class of its own, empty at first; what else it carries is left aside."""

    def __init__(self) -> None:
        super().__init__()

    def build(self, state: Any) -> None:
        """Nothing is taken."""


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that a pickle asks for, by its full name; ``make`` stands in for it."""

    full: str
    make: Maker | None


def read(
    data: bytes,
    names: Mapping[str, Maker | None],
    stored: Callable[[Any], Any] | None = None,
) -> Any:
    """The value of a pickle.

    Args:
        data: the whole pickle.
        names: full name of a class or function to what stands in for it; None: it may be named,
            but not called.
        stored: gives what a pickle refers to outside itself; None: it may refer to nothing.

    Raises:
        DataError: it asks for something that is not in the table, is damaged, or is no pickle of
            plain values.
    """
    if len(data) > MOST:
        raise DataError(f"this pickle has {len(data):,} bytes, more than plain values need")
    return run(instructions(io.BytesIO(data), len(data)), names, stored=stored)


def run(
    steps: Iterator[tuple[int, str, Any]],
    names: Mapping[str, Maker | None],
    *,
    stored: Callable[[Any], Any] | None = None,
    most: int = MOST,
) -> Any:
    """The value that instructions build.

    Args:
        steps: where each stands, its name and its argument (:mod:`mien.data.opcodes`).
        names: as :func:`read` takes them.
        stored: the same.
        most: how many instructions there may be of those that take more memory than the file.

    Raises:
        DataError: as of :func:`read`; it names the byte.
    """
    machine = _Machine(names, stored)
    heavy = 0
    for at, name, argument in _whole(steps):
        try:
            heavy += name not in _LIGHT
            if heavy > most:
                raise DataError(f"this pickle has more than {most:,} containers and calls")
            machine.step(name, argument)
        except DataError as error:
            raise DataError(error.what, where=f"byte {at}", fix=error.fix) from error
        except Exception as error:  # bytes of a stranger can fail in any way
            what = f"this pickle is damaged: {error}"
            raise DataError(what, where=f"byte {at}") from error
    if len(machine.stack) != 1:
        raise DataError("this pickle ends without a value")
    return machine.stack[0]


def _whole(steps: Iterator[tuple[int, str, Any]]) -> Iterator[tuple[int, str, Any]]:
    """Instructions; what is wrong with one is wrong with the pickle."""
    try:
        yield from steps
    except DataError as error:
        raise DataError(f"this pickle is damaged: {error.what}", where=error.where) from error


_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
_EMPTY: Mapping[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_KEEP = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_FETCH = frozenset({"GET", "BINGET", "LONG_BINGET"})
_NOTHING = frozenset({"PROTO", "FRAME", "STOP"})
_LIGHT = _VALUES | _FETCH | _NOTHING | {*_CONSTANTS, "APPEND", "APPENDS"}
"""Instructions that take little more memory than the bytes that stand for them."""


@dataclass(slots=True)
class _Machine:
    """The stack, and what was put aside; a mark begins a stack of its own."""

    names: Mapping[str, Maker | None]
    stored: Callable[[Any], Any] | None
    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)
    kept: dict[int, Any] = field(default_factory=dict)

    def step(self, name: str, argument: Any) -> None:
        """One instruction."""
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(self._take(_TUPLES[name])))
        elif name in _KEEP:
            self.kept[argument] = self._top()
        elif name in _FETCH:
            self.stack.append(self.kept[argument])
        elif name not in _NOTHING:
            act = _ACTS.get(name)
            if act is None:
                named = f" {argument[:200]!r}" if isinstance(argument, str) else ""
                raise DataError(f"this pickle does more than hold plain values: {name}{named}")
            act(self, argument)

    # -- the stack --

    def _top(self) -> Any:
        if not self.stack:
            raise DataError("this pickle is damaged: it takes from an empty stack")
        return self.stack[-1]

    def _take(self, count: int) -> list[Any]:
        """The last values, in the order in which they were pushed."""
        if len(self.stack) < count:
            raise DataError("this pickle is damaged: it takes from an empty stack")
        cut = len(self.stack) - count
        taken, self.stack[cut:] = self.stack[cut:], []
        return taken

    def mark(self, _: Any) -> None:
        """Begin a stack of its own."""
        self.below.append(self.stack)
        self.stack = []

    def _marked(self) -> list[Any]:
        """Everything since the mark."""
        if not self.below:
            raise DataError("this pickle is damaged: it goes back to a mark that it never set")
        taken, self.stack = self.stack, self.below.pop()
        return taken

    def memoise(self, _: Any) -> None:
        """Put the last value aside under the next number."""
        self.kept[len(self.kept)] = self._top()

    # -- containers --

    def many(self, kind: Callable[[list[Any]], Any]) -> None:
        """A list or tuple of everything since the mark."""
        made = kind(self._marked())
        self.stack.append(made)

    def dictionary(self, _: Any) -> None:
        """A dictionary of everything since the mark."""
        made: dict[Any, Any] = {}
        _set(made, self._marked())
        self.stack.append(made)

    def append(self, _: Any) -> None:
        """The last value into the list before it."""
        (value,) = self._take(1)
        _extend(self._top(), [value])

    def appends(self, _: Any) -> None:
        """Everything since the mark into the list before it."""
        values = self._marked()
        _extend(self._top(), values)

    def set_item(self, _: Any) -> None:
        """The last two values into the dictionary before them."""
        pair = self._take(2)
        _set(self._top(), pair)

    def set_items(self, _: Any) -> None:
        """Everything since the mark into the dictionary before it."""
        pairs = self._marked()
        _set(self._top(), pairs)

    def empty_set(self, _: Any) -> None:
        """A set, where sets are among the names that the reader knows."""
        self._make("builtins.set", ([],))

    def add_items(self, _: Any) -> None:
        """Everything since the mark into the set before it."""
        values = self._marked()
        into = self._top()
        if not isinstance(into, set):
            raise DataError("this pickle adds items to something that is no set")
        hashed(values)
        into.update(values)

    def frozen_set(self, _: Any) -> None:
        """A set of everything since the mark."""
        self._make("builtins.frozenset", (self._marked(),))

    def _make(self, full: str, arguments: tuple[Any, ...]) -> None:
        make = self.names.get(full)
        if make is None:
            raise DataError(f"this pickle asks for {full!r}, which is no plain value")
        self.stack.append(make(*arguments))

    # -- names --

    def name(self, argument: str) -> None:
        """A class or function, written as its module and its name."""
        self._named(argument.replace(" ", ".", 1))

    def stacked_name(self, _: Any) -> None:
        """The same, from two values."""
        module, name = self._take(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise DataError("this pickle asks for something that has no name")
        self._named(f"{module}.{name}")

    def _named(self, full: str) -> None:
        if full not in self.names:
            raise DataError(f"this pickle asks for {full[:200]!r}, which is no plain value")
        self.stack.append(Name(full, self.names[full]))

    def call(self, _: Any) -> None:
        """What stands in for a class or function, with its arguments."""
        name, arguments = self._take(2)
        if not isinstance(name, Name) or name.make is None or not isinstance(arguments, tuple):
            raise DataError("this pickle calls something that is not to be called")
        self.stack.append(name.make(*arguments))

    def build(self, _: Any) -> None:
        """Attributes of an object."""
        (state,) = self._take(1)
        made = self._top()
        if not isinstance(made, Built):
            raise DataError("this pickle sets attributes of something that has none")
        made.build(state)

    def refer(self, _: Any) -> None:
        """Something outside the pickle."""
        (key,) = self._take(1)
        if self.stored is None:
            raise DataError("this pickle refers to something outside itself")
        self.stack.append(self.stored(key))


def _extend(into: Any, values: list[Any]) -> None:
    if not isinstance(into, list):
        raise DataError("this pickle appends to something that is no list")
    into.extend(values)


def _set(into: Any, pairs: list[Any]) -> None:
    if not isinstance(into, dict) or len(pairs) % 2:
        raise DataError("this pickle sets items of something that is no dictionary")
    hashed(pairs[::2])
    into.update(zip(pairs[::2], pairs[1::2], strict=True))


def hashed(keys: list[Any]) -> None:
    """Refuse keys of other kinds: hashing a deep tuple would overflow the interpreter's stack."""
    for key in keys:
        if not isinstance(key, str | int | float | bytes | None):
            raise DataError(f"a key in this pickle is a {type(key).__name__}")


_ACTS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "MEMOIZE": _Machine.memoise,
    "LIST": lambda machine, _: machine.many(list),
    "TUPLE": lambda machine, _: machine.many(tuple),
    "DICT": _Machine.dictionary,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "EMPTY_SET": _Machine.empty_set,
    "ADDITEMS": _Machine.add_items,
    "FROZENSET": _Machine.frozen_set,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stacked_name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.refer,
}
