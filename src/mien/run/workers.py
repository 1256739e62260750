"""Work in processes that may crash, hang or swell without harm to the one that leads.

Libraries that read media are written in C, and files come from anywhere. So each item is worked on
in another process: started afresh (no fork, and the caller's script is not imported again), watched
from outside, replaced when it is lost. That is a fence against accidents, not against a file that
takes over the process that reads it: a worker has the rights of its parent, and the parent
unpickles what it sends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Generic, Literal, TypeVar, cast

import psutil

from mien.errors import ConfigError, DataError, MienError, RunError
from mien.run import limits, worker
from mien.run.worker import Lost, Order, Reply

__all__ = ["Lost", "ended", "over"]

Item = TypeVar("Item")
Value = TypeVar("Value")

_log = logging.getLogger(__name__)

_TICK = 0.05  # seconds between two looks at the workers
_START_SECONDS = 600.0
_STARTS = 3  # workers that may die one after another while they start
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from mien.run.worker import serve; serve()"
)


def over(
    task: Callable[[Item], Value],
    items: Sequence[Item],
    *,
    jobs: int | None = None,
    seconds: float | Callable[[Item], float] = 600.0,
    memory: int = 2 * 2**30,
    start: Callable[[], None] | None = None,
    name: Callable[[Item], str] = str,
    largest: int = 2**28,
) -> Iterator[tuple[int, Value | MienError]]:
    """Do a task for every item, in worker processes; each gives a value or an error.

    Workers end with the iterator: at its end, when it is closed, when its consumer raises (Ctrl-C
    included), and when this process is killed. They print nothing: stdout and stderr are kept from
    the terminal. Scripts need no ``if __name__ == "__main__"``, as they are not imported again.

    Args:
        task: a function of a module, or a `functools.partial` of one; not of the script itself.
        items: what it is done for; each is pickled on its way to a worker.
        jobs: worker processes. None: as many as there are cores, if half of their ``memory`` is
            free. 1: one worker, apart from this process. 0: here, without limits or protection.
        seconds: how long one item may take; a function of the item where they differ.
        memory: bytes that one item may take beyond what a worker holds once it has started.
        start: called once in each worker before its first item; it may load a model.
        name: how errors name an item.
        largest: bytes of the largest result that is taken.

    Yields:
        The position of an item, and its value or error: what the task raised if that is a
        MienError, a DataError for everything else, `Lost` where the process was lost. As they
        finish; few wait if the consumer is slow.

    Raises:
        ConfigError: when ``jobs``, ``seconds`` or ``memory`` make no sense.
        MienError: raised by ``start``.
        RunError: if the task cannot be sent to a worker, or no worker starts.
    """
    if not callable(seconds) and not seconds > 0:
        raise ConfigError(f"nothing can be done in {seconds:g} seconds", fix="seconds=600")
    jobs = _jobs(jobs, len(items), memory)
    allowed = seconds if callable(seconds) else lambda _: seconds
    if not items:
        return iter(())
    if jobs == 0:
        return _here(task, items, start, name)
    order = Order(task, start, memory, limits.cores() // jobs or 1, largest)
    return _Pool(order, items, allowed, name).results(jobs)


@contextlib.contextmanager
def ended(results: Iterator[object]) -> Iterator[None]:
    """Afterwards no worker is left, also where the loop over results was left in the middle."""
    try:
        yield
    finally:
        if isinstance(results, Generator):
            results.close()


def _jobs(jobs: int | None, items: int, memory: int) -> int:
    if jobs is not None and jobs < 0:
        raise ConfigError(f"there cannot be {jobs} worker processes", fix="jobs=1")
    if memory <= 0:
        raise ConfigError(f"nothing can be done in {memory} bytes of memory", fix="memory=2**31")
    if jobs is None:
        jobs = max(1, min(limits.cores(), limits.free_memory() // (memory // 2 or 1)))
    return min(jobs, items)


def _here(
    task: Callable[[Item], Value],
    items: Sequence[Item],
    start: Callable[[], None] | None,
    name: Callable[[Item], str],
) -> Iterator[tuple[int, Value | MienError]]:
    """The same without workers: whatever happens to one item happens to this process."""
    if start is not None:
        start()
    for index, item in enumerate(items):
        try:
            value: Value | MienError = task(item)
        except Exception as error:
            value = Reply.of(error).read(name(item))
        yield index, value


# -- one worker, seen from outside -------------------------------------------------------------


class _Worker:
    """One process and what is known about it. One thread asks it, another one watches it."""

    def __init__(self, order: Order) -> None:
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        self._process = subprocess.Popen(
            [sys.executable, *flags, "-c", _BOOT, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=limits.environment(order.threads),
            start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
        )
        self._facts = psutil.Process(self._process.pid)
        self._memory, self._largest = order.memory, order.largest
        self._lock = threading.Lock()
        self._left: float | None = None  # seconds, while it is asked something
        self._base: int | None = None  # bytes that it holds once it has started
        self._spent = False  # memory ran out in it, and who knows where
        self._verdict: Literal["time", "memory"] | None = None
        self._said: deque[bytes] = deque(maxlen=16)
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    def begin(self, order: bytes) -> Reply | None:
        """Have it start. None if it died of that."""
        reply = self.ask(order, _START_SECONDS)
        self._base = self._used()
        return reply

    def ask(self, frame: bytes, seconds: float) -> Reply | None:
        """Send something and wait for the reply. None if there will be none."""
        channel = self._process
        assert channel.stdin is not None
        assert channel.stdout is not None
        self._left = seconds
        try:
            worker.write(channel.stdin, frame)
            # A frame of the largest size has a few words around the value.
            answer = worker.read(channel.stdout, self._largest + 2**20)
        except OSError:
            answer = None
        with self._lock:
            self._left = None
        if answer is None:
            return None
        try:
            reply = cast(Reply, worker.unpacked(answer))
        except Exception as error:
            return Reply(error=DataError, what=f"its result cannot be read: {Reply.of(error).what}")
        self._spent = reply.exhausted
        return reply

    def look(self, passed: float) -> None:
        """End the process if it has taken too much; ``passed`` seconds went by."""
        with self._lock:
            if self._left is None or self._verdict is not None:
                return
            self._left -= passed
            if self._left < 0:
                self._verdict = "time"
            elif self._base is not None and self._used() - self._base > self._memory:
                self._verdict = "memory"
            else:
                return
        self.kill()

    def is_fit(self) -> bool:
        """Whether another item would find what the first one found."""
        if self._spent or self._verdict is not None or self._process.poll() is not None:
            return False
        return self._used() - (self._base or 0) <= self._memory // 2

    def loss(self, item: str, seconds: float) -> Lost:
        """What became of it, when it does not answer any more."""
        if self._verdict is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0)  # for its own end, not ours
        fate = self._fate()
        self.close()
        if self._verdict == "time":
            return Lost(f"took longer than {seconds:g} s", why="time", where=item)
        if self._verdict == "memory":
            return Lost.hungry(self._memory, item)
        _log.debug("%s\n%s", item, self.last_words())
        return Lost(f"the process that read it died ({fate})", why="died", where=item)

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        return b"".join(self._said).decode(errors="replace").strip()

    def close(self) -> None:
        """End the process, and wait until it has."""
        self.kill()
        self._process.wait()
        self._ear.join(1.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            if stream is self._process.stderr and self._ear.is_alive():
                continue  # what the worker started holds it open, and is still heard
            with contextlib.suppress(OSError):  # something was still to be written
                stream.close()

    def kill(self) -> None:
        """End the process now, with whatever it started itself."""
        if os.name == "posix" and self._process.poll() is None:
            with contextlib.suppress(OSError):  # it has just ended
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def _fate(self) -> str:
        code = self._process.poll()
        if code is None:
            return "it closed its pipe"
        if code >= 0:
            return f"exit status {code}"
        return f"signal {-code}" + (", perhaps for want of memory" if code == -9 else "")

    def _used(self) -> int:
        try:
            return limits.resident(self._facts)
        except psutil.Error:
            return 0  # it ended a moment ago

    def _listen(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        while words := os.read(stream.fileno(), 1024):
            self._said.append(words)


# -- all of them -----------------------------------------------------------------------------------


class _Pool(Generic[Item]):
    """Threads that each lead one worker from item to item, and one thread that watches them all."""

    def __init__(
        self,
        order: Order,
        items: Sequence[Item],
        seconds: Callable[[Item], float],
        name: Callable[[Item], str],
    ) -> None:
        self._order, self._items, self._seconds, self._name = order, items, seconds, name
        self._waiting = iter(range(len(items)))
        self._done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._live: set[_Worker] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def results(self, jobs: int) -> Iterator[tuple[int, Any]]:
        """Start, and give results until there are no more."""
        try:
            self._hello = worker.packed(self._order)
        except Exception as error:
            raise RunError(
                f"this task cannot be sent to a worker: {error}", fix=worker.MODULE
            ) from error
        self._room = threading.Semaphore(2 * jobs)  # results that wait for a slow consumer
        threads = [threading.Thread(target=self._watch, daemon=True)]
        # A worker dies with the thread that started it (see limits.die_with_parent): it leads it.
        threads += [threading.Thread(target=self._lead, daemon=True) for _ in range(jobs)]
        try:
            for thread in threads:
                thread.start()
            for _ in self._items:
                yield self._next()
                self._room.release()
        finally:
            self._stop(jobs)
            for thread in threads:
                # Ctrl-C may have come before it was started; at the very end of this process, when
                # a generator that nobody closed is, threads do not run any more.
                if thread.ident is not None and not sys.is_finalizing():
                    thread.join()

    def _next(self) -> tuple[int, Any]:
        while True:
            try:
                index, value = self._done.get(timeout=0.5)  # Windows hears Ctrl-C in between only
            except queue.Empty:
                continue
            if index < 0:
                raise value
            return index, value

    def _stop(self, jobs: int) -> None:
        with self._lock:
            self._stopped.set()
            for one in self._live:
                one.kill()
        for _ in range(jobs):
            self._room.release()

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._stopped.wait(_TICK):
            now = time.monotonic()
            passed = min(now - before, 1.0)  # more only if this process was stopped itself
            before = now
            with self._lock:
                live = list(self._live)
            for one in live:
                one.look(passed)

    def _lead(self) -> None:
        one: _Worker | None = None
        try:
            while self._room.acquire() and (index := self._take()) is not None:
                one = self._ready(one)
                if one is None:
                    return
                self._done.put((index, self._value(one, self._items[index])))
        except BaseException as error:
            self._done.put((-1, error))
        finally:
            self._end(one)

    def _take(self) -> int | None:
        with self._lock:
            return None if self._stopped.is_set() else next(self._waiting, None)

    def _value(self, one: _Worker, item: Item) -> Any:
        name, seconds = self._name(item), self._seconds(item)
        try:
            frame = worker.packed(item)
        except Exception as error:
            return DataError(f"it cannot be sent to a worker: {Reply.of(error).what}", where=name)
        reply = one.ask(frame, seconds)
        if reply is None:
            return one.loss(name, seconds)
        return reply.read(name, self._order.memory)

    def _ready(self, one: _Worker | None) -> _Worker | None:
        """The worker if it is as good as new, else a new one; None when all is to end."""
        if one is not None and one.is_fit():
            return one
        self._end(one)
        for _ in range(_STARTS):
            with self._lock:
                if self._stopped.is_set():
                    return None
                one = _Worker(self._order)
                self._live.add(one)
            reply = one.begin(self._hello)
            if reply is not None and reply.error is None:
                return one
            self._end(one)
            if reply is not None:
                raise reply.read("a worker, before its first item")
            words = one.last_words()
        *_, last = "", *words.splitlines()
        raise RunError(
            "worker processes end before they have started" + (f": {last}" if last else ""),
            fix="jobs=0 to see how, without the protection that workers give",
        )

    def _end(self, one: _Worker | None) -> None:
        if one is None:
            return
        with self._lock:
            self._live.discard(one)
        one.close()
