"""Files that only grow: lines of JSON of one form, each on the disk before the next is paid for.

A line that was only half written, as a kill leaves one, is cut off when the file is opened for
writing again. A file may come from anybody: what is no such line is an error that names it.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, NoReturn, Self, TypeVar

from pydantic import BaseModel, ValidationError

from mien.errors import DataError

if os.name == "posix":
    import fcntl

Line = TypeVar("Line", bound=BaseModel)

_LONGEST = 1 << 20  # letters of a line


@dataclass(frozen=True, slots=True)
class Kind(Generic[Line]):
    """What the lines of a file are.

    Args:
        form: of each.
        name: for people, such as ``description``.
        made: the command that makes such a file.
    """

    form: type[Line]
    name: str
    made: str


def read(path: Path, kind: Kind[Line]) -> list[Line]:
    """Every line of a file, in order; a last line without its end is left out.

    Raises:
        DataError: it is missing, or a line is of another form.
    """
    if not path.is_file():
        raise DataError(f"there is no such file of {kind.name}s", where=str(path), fix=kind.made)
    found = []
    with path.open("rb") as file:
        # Never more than a line may have: a foreign file may be one of gigabytes.
        for number, raw in enumerate(iter(lambda: file.readline(_LONGEST + 1), b""), 1):
            if (raw.endswith(b"\n") or len(raw) > _LONGEST) and raw.strip():
                found.append(_parsed(raw, kind, f"{path}:{number}"))
    return found


def line(entry: BaseModel) -> bytes:
    """As it stands in a file."""
    values = entry.model_dump(mode="json", exclude_none=True)
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"


class Journal(Generic[Line]):
    """A file that grows. Several threads may add to it; one process may.

    Args:
        path: the file; made where there is none.
        kind: what its lines are.

    Raises:
        DataError: somebody else writes to it, or it holds something else.
    """

    def __init__(self, path: Path, kind: Kind[Line]) -> None:
        self.path, self.kind = path, kind
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self.before: list[Line] = []
        self._added: list[Line] = []
        self.mended = False

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise DataError(f"cannot write here: {error.strerror}", where=str(self.path)) from error
        try:
            self._alone()
            self._mend()
            self.before = read(self.path, self.kind)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._file.close()

    def add(self, entry: Line) -> None:
        """Append a line; afterwards it is on the disk."""
        assert self._file is not None
        with self._lock:
            self._file.write(line(entry))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._added.append(entry)

    def lines(self) -> list[Line]:
        """Everything that was ever added."""
        with self._lock:
            return [*self.before, *self._added]

    def _alone(self) -> None:
        assert self._file is not None
        if os.name != "posix":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                "another process is writing to this file", where=str(self.path)
            ) from error

    def _mend(self) -> None:
        """Cut off a last line that was only half written."""
        assert self._file is not None
        size = self._file.seek(0, os.SEEK_END)
        if not size:
            return
        back = min(size, 2 * _LONGEST)
        self._file.seek(size - back)
        end = self._file.read(back)
        if end.endswith(b"\n"):
            return
        keep = end.rfind(b"\n") + 1
        if not keep and back < size:
            raise DataError(f"this is no file of {self.kind.name}s", where=str(self.path))
        self._file.truncate(size - back + keep)
        self._file.seek(0, os.SEEK_END)
        self.mended = True


def _parsed(raw: bytes, kind: Kind[Line], where: str) -> Line:
    def refuse(what: str) -> NoReturn:
        raise DataError(
            f"this line is no {kind.name}: {what}",
            where=where,
            fix="give another --out, or take the line away",
        )

    if len(raw) > _LONGEST:
        refuse("it is too long")
    try:
        return kind.form.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        refuse(f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}")
