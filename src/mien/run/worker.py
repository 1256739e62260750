"""One worker's side: what is said on its pipes, and its life."""

from __future__ import annotations

import copyreg
import io
import logging
import os
import queue
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import IO, Any, Literal

from mien.errors import DataError, MienError, RunError
from mien.run import limits

_log = logging.getLogger(__name__)

MODULE = "define the function in a module that can be imported, not in the script or notebook"

_LENGTH = struct.Struct(">Q")
_LONGEST = 300  # letters of a message that somebody else wrote
# How libraries say that memory ran out, where it is not a MemoryError.
_SHORTAGES = ("DefaultCPUAllocator: can't allocate", "OutOfMemoryError", "Insufficient memory")


class Lost(DataError):
    """An item whose process died, or had to be ended.

    Args:
        what: what happened, in one sentence.
        why: it died by itself, took too long, or took too much memory.
        where: the item.
    """

    def __init__(
        self, what: str, *, why: Literal["died", "time", "memory"], where: str | None = None
    ) -> None:
        super().__init__(what, where=where)
        self.why = why

    @classmethod
    def hungry(cls, memory: int, where: str) -> Lost:
        """It needed more than this many bytes, or more than there were."""
        much = f"more than {memory / 2**30:.3g} GB" if memory else "too much"
        return cls(f"needed {much} of memory", why="memory", where=where)


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is started for."""

    task: Callable[[Any], Any]
    start: Callable[[], None] | None
    memory: int
    threads: int
    largest: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A value, or what it takes to make an error again: not every error survives pickling."""

    value: Any = None
    error: type[MienError] | None = None
    what: str = ""
    where: str | None = None
    fix: str | None = None
    trace: str = ""
    exhausted: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Reply:
        """What was raised, in a line."""
        if isinstance(error, MienError):
            return cls(error=type(error), what=error.what, where=error.where, fix=error.fix)
        trace = "".join(traceback.format_exception(error))
        if _is_shortage(error):
            return cls(error=DataError, trace=trace, exhausted=True)
        kind, said = type(error).__name__, _line(str(error))
        return cls(error=DataError, what=f"{kind}: {said}" if said else kind, trace=trace)

    def read(self, item: str, memory: int = 0) -> Any:
        """The value, or the error; that names the item, if it named no place."""
        if self.trace:
            _log.debug("%s\n%s", item, self.trace)
        if self.error is None:
            return self.value
        if self.exhausted:
            return Lost.hungry(memory, item)
        again = self.error.__new__(self.error)
        MienError.__init__(again, self.what, where=self.where or item, fix=self.fix)
        return again


def _is_shortage(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in _SHORTAGES)


def _line(text: str) -> str:
    """One line without control characters, which would reach a terminal."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text[: 9 * _LONGEST]).split())
    return plain if len(plain) <= _LONGEST else plain[:_LONGEST] + " ..."


# -- frames ----------------------------------------------------------------------------------------


class _Copying(ForkingPickler):
    """Pickles by value: with torch imported, tensors would else go through shared memory."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, -1)
        self.dispatch_table = copyreg.dispatch_table.copy()


def packed(value: Any) -> bytes:
    """A value as bytes.

    Raises:
        Exception: whatever its class raises when it cannot be pickled.
    """
    file = io.BytesIO()
    _Copying(file).dump(value)
    return file.getvalue()


def unpacked(frame: bytes) -> Any:
    """The value again. Only for what a process of ours sent."""
    return ForkingPickler.loads(frame)


def write(stream: IO[bytes], frame: bytes) -> None:
    """Send one frame."""
    stream.write(_LENGTH.pack(len(frame)))
    stream.write(frame)
    stream.flush()


def read(stream: IO[bytes], largest: int = sys.maxsize) -> bytes | None:
    """Receive one frame. None at the end of the stream, and for what is no frame."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > largest:
        return None
    frame = stream.read(length)
    return frame if len(frame) == length else None


# -- life ------------------------------------------------------------------------------------------


def serve() -> None:
    """The life of a worker: an order, then items, until the parent is gone."""
    limits.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    orders, answers = _channel()
    # Reading never stops: the end of this pipe is how a worker learns that its parent is gone.
    threading.Thread(target=_listen, args=(orders, inbox), daemon=True).start()
    order = _begin(inbox.get())
    write(answers, packed(order if isinstance(order, Reply) else Reply()))
    while isinstance(order, Order):
        answer = _answer(order, inbox.get())
        limits.tidy()  # before it is judged by what it holds
        write(answers, answer)


def _begin(frame: bytes) -> Order | Reply:
    """The order, once everything is ready for its items; a reply that says why it is not."""
    try:
        order: Order = unpacked(frame)
    except BaseException as error:
        what = f"a worker does not find this task: {Reply.of(error).what}"
        return Reply(error=RunError, what=what, fix=MODULE)
    try:
        if order.start is not None:
            order.start()
        limits.settle()
        limits.keep_to(order.threads)
        limits.confine(order.memory)
    except MienError as error:
        return Reply.of(error)
    except BaseException as error:
        return replace(Reply.of(error), error=RunError)
    return order


def _channel() -> tuple[IO[bytes], IO[bytes]]:
    """The pipes from and to the parent, out of reach of whatever reads stdin or prints."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return orders, answers


def _listen(orders: IO[bytes], inbox: queue.SimpleQueue[bytes]) -> None:
    while (frame := read(orders)) is not None:
        inbox.put(frame)
    os._exit(0)  # nobody waits any more for what is being done


def _answer(order: Order, frame: bytes) -> bytes:
    try:
        reply = Reply(order.task(unpacked(frame)))
    except BaseException as error:  # a task that exits ends itself, not its worker
        return packed(Reply.of(error))
    try:
        answer = packed(reply)
    except Exception as error:
        what = f"its result cannot be sent: {Reply.of(error).what}"
        return packed(Reply(error=DataError, what=what))
    if len(answer) <= order.largest:
        return answer
    mega = 2**20
    what = f"its result is too large: {len(answer) / mega:.0f} MB of {order.largest / mega:.0f} MB"
    return packed(Reply(error=DataError, what=what))
