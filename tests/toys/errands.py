"""Tasks for workers: some do what they are asked, and each of the others fails in its own way."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import ConfigError, DataError, MissingExtra, RunError

_started: list[int] = []
_kept: list[Any] = []


def begin() -> None:
    _started.append(os.getpid())


def fail_to_begin() -> None:
    raise RunError("there is no model", where="runs/none", fix="mien train")


def die_at_the_beginning() -> None:
    os.write(2, b"no more of this\n")
    os._exit(7)


def begins(_: int) -> list[int]:
    return list(_started)


def double(number: int) -> int:
    return 2 * number


def whoami(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def rest(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def freeze(folder: Path, _: int) -> None:
    """Hold the interpreter itself, so that no Python thread of this process runs any more."""
    (folder / str(os.getpid())).touch()
    ctypes.PyDLL(None).sleep(60)


def doze(folder: Path, _: int) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(60)


def note(folder: Path, number: int) -> int:
    (folder / str(number)).touch()
    return number


def turn_over(data: bytes) -> bytes:
    return data[::-1]


def leak(_: int) -> int:
    _kept.append(np.ones(60 * 2**17))  # 60 MB
    return os.getpid()


def tangle(_: int) -> int:
    """Leave memory behind that only a search for cycles gives back."""
    knot: list[Any] = [np.ones(60 * 2**17)]  # 60 MB
    knot.append(knot)
    return os.getpid()


def swell(_: int) -> None:
    """Take memory page by page, without a limit of its own."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    while True:
        _kept.append(np.ones(2**20))
        time.sleep(0.005)


def run_out(number: int) -> int:
    """Run out of memory on odd numbers."""
    if number % 2:
        raise MemoryError
    return os.getpid()


def setting(name: str) -> str | None:
    return os.environ.get(name)


def threads_of_opencv(_: int) -> int:
    import cv2

    return int(cv2.getNumThreads())


def load_torch() -> None:
    import torch

    _kept.append(torch.nn.Linear(512, 512))


def infer(batch: int) -> Any:
    import torch

    with torch.inference_mode():
        return _kept[0](torch.ones(batch, 512)).sum(1)


def spawn_a_child(folder: Path, _: int) -> None:
    import subprocess

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (folder / str(child.pid)).touch()
    (folder / str(os.getpid())).touch()
    time.sleep(60)


class Unreadable:
    """Pickles, and fails when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return int, ("none",)


class Unsendable:
    """Cannot be pickled."""

    def __reduce__(self) -> str:
        raise TypeError("not this one")


def misbehave(how: str) -> Any:
    """Do the thing of this name."""
    return _DEEDS[how]()


def _print_much() -> str:
    sys.stdout.write("stdout " * 100_000)
    os.write(1, b"fd 1 " * 100_000)
    os.write(2, b"fd 2 " * 100_000)
    warnings.warn("of no use", stacklevel=1)
    return "printed " + sys.stdin.read()


def _close_pipes() -> None:
    os.closerange(3, 64)
    time.sleep(60)


def _ignore() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "ignored"


def _raise(error: BaseException) -> Any:
    raise error


_DEEDS: dict[str, Callable[[], Any]] = {
    "well": lambda: "well",
    "segfault": lambda: signal.raise_signal(signal.SIGSEGV),
    "abort": os.abort,
    "kill": lambda: signal.raise_signal(signal.SIGKILL),
    "exit at once": lambda: os._exit(3),
    "close the pipe": _close_pipes,
    "ignore a signal": _ignore,
    "sys.exit": lambda: sys.exit(4),
    "sleep": lambda: time.sleep(60),
    "freeze": lambda: ctypes.PyDLL(None).sleep(60),
    "want too much": lambda: float(np.ones(2**29).sum()),  # 4 GB
    "ask for too much": lambda: len(np.empty(2**29)),  # of which nothing is touched
    "MemoryError": lambda: _raise(MemoryError()),
    "ValueError": lambda: _raise(ValueError("one\n\x1b[31mtwo" + "." * 10_000)),
    "DataError": lambda: _raise(DataError("no film", where="a.mp4", fix="another one")),
    "ConfigError": lambda: _raise(ConfigError("no such size")),
    "MissingExtra": lambda: _raise(MissingExtra("cv2", "video")),
    "no pickle": Unsendable,
    "no unpickling": Unreadable,
    "too large": lambda: bytes(2**26),
    "print": _print_much,
}
