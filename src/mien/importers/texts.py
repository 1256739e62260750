"""Lists and tables as text: UTF-8, with or without a mark, or an error that says what it is."""

from __future__ import annotations

import io
from pathlib import Path

from mien.errors import DataError

_BYTES = 1 << 30
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"PK": "xlsx", b"\xd0\xcf": "xls"}


def lines_of(file: Path) -> list[str]:
    """The lines of a file with their ends. Only these end a line: names may hold odd letters.

    Raises:
        DataError: it is missing, huge, or not UTF-8.
    """
    if not file.is_file():
        raise DataError("there is no such file", where=str(file))
    if file.stat().st_size > _BYTES:
        raise DataError("no list is so large", where=str(file))
    content = file.read_bytes()
    try:
        return io.StringIO(content.decode("utf-8-sig"), newline="").readlines()
    except UnicodeDecodeError as error:
        kind = next((kind for mark, kind in _MARKS.items() if content.startswith(mark)), None)
        if kind in ("xlsx", "xls"):
            raise DataError(
                "this is a spreadsheet", where=str(file), fix="save it as CSV in UTF-8"
            ) from error
        line = content.count(b"\n", 0, error.start) + 1
        encoding = kind or "latin-1"
        raise DataError(
            f"this is not UTF-8, but perhaps {encoding}",
            where=f"{file}:{line}",
            fix=f"convert a copy of it: iconv -f {encoding} -t utf-8",
        ) from error
