"""One process a folder: two that write into the same would spoil what both do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.errors import RunError
from mien.run import checkpoint

if os.name == "posix":
    import fcntl

_LOCK = ".lock"


@contextmanager
def alone(folder: Path, work: str = "works", *, lock: str = _LOCK) -> Iterator[None]:
    """Within: no other process works in this folder, and what a kill left is swept away.

    Args:
        folder: made where it is not there.
        work: what the other one does, such as ``trains``.
        lock: a file of the folder that is held.

    Raises:
        RunError: another one does.
    """
    held = folder / lock
    held.parent.mkdir(parents=True, exist_ok=True)
    with held.open("a") as file:
        if os.name == "posix":
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process
            except OSError as error:
                raise RunError(
                    f"another process {work} in this folder",
                    where=str(folder),
                    fix="wait for it, or choose another --out",
                ) from error
        checkpoint.sweep(folder)
        yield
