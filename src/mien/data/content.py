"""Which rows hold the same recording, found by content.

Files are told apart by size, then by both ends, and only then by all of their bytes, so that most
of a corpus is never read.
"""

from __future__ import annotations

import hashlib
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mien.data import features
from mien.data.places import Place
from mien.data.prepared import is_shard
from mien.data.rows import FeatureRef, Inline, Row
from mien.errors import DataError

_END = 1 << 16  # bytes looked at on either side of a file
_CONSTANT = "constant"


def keys(rows: Sequence[Row], place: Place | None = None) -> list[str | None]:
    """The content of each row as a short text, equal where rows hold the same.

    Rows are the same when all of their media (with start, end and the face that is meant) and all
    of their features are. A row without any, with a file missing, or whose features are all
    constant (zeros for "no face found") has no key. Texts alone make no duplicate: people say
    "yes" in many recordings.

    Args:
        rows: rows to compare.
        place: where paths start for rows that were not read from a file; without it only
            values within the rows are compared.
    """
    paths = [{name: _path(name, row, place) for name in _files(row)} for row in rows]
    tokens = _tokens({path for named in paths for path in named.values() if path is not None})
    return [
        _key(row, row.place or place, {n: tokens.get(p) if p else None for n, p in named.items()})
        for row, named in zip(rows, paths, strict=True)
    ]


def _files(row: Row) -> list[str]:
    refs = [ref for ref in row.features.values() if isinstance(ref, str) and "::" not in ref]
    return [name for name in (row.video, row.audio, *refs) if name]


def _path(name: str, row: Row, place: Place | None) -> str | None:
    where = row.place or place
    try:
        return str(where.find(name)) if where is not None else None
    except DataError:
        return None


def _key(row: Row, place: Place | None, tokens: dict[str, str | None]) -> str | None:
    parts: list[str] = []
    for kind, name in (("video", row.video), ("audio", row.audio)):
        if name:
            if (token := tokens[name]) is None:
                return None
            parts.append(f"{kind} {token} {row.start} {row.end} {row.person} {row.box}")
    constant = not parts
    for name, ref in sorted(row.features.items()):
        token = tokens[ref] if isinstance(ref, str) and ref in tokens else _values(ref, row, place)
        if token is None:
            return None
        constant = constant and token == _CONSTANT
        parts.append(f"{name} {token}")
    return None if constant else _digest("\n".join(parts).encode())


def _values(ref: FeatureRef, row: Row, place: Place | None) -> str | None:
    """What stands for values in a row or in a file of many; None where they cannot be read."""
    if isinstance(ref, str) and is_shard(ref):  # which is called by its content
        return f"{ref.rpartition('/')[2]} {row.start} {row.end}"
    if place is None and not isinstance(ref, Inline):
        return None
    try:
        array = features.load(ref, place or Path())
    except DataError:
        return None
    return _CONSTANT if _same_throughout(array) else _digest(array.tobytes())


def _same_throughout(array: features.Array) -> bool:
    return not array.size or bool((array == array.flat[0]).all())


# -- files -----------------------------------------------------------------------------------------


def _tokens(paths: Iterable[str]) -> dict[str, str]:
    """A token for each file or folder that is there; equal where the content is."""
    tokens: dict[str, str] = {}
    alike: list[tuple[str, tuple[str, ...]]] = []
    for path in sorted(paths):
        try:
            facts = Path(path).stat()
        except OSError:
            continue
        if stat.S_ISDIR(facts.st_mode):
            tokens[path] = _folder(Path(path))
        elif stat.S_ISREG(facts.st_mode):
            alike.append((path, (str(facts.st_size),)))
    for look in (_both_ends, _all_bytes):
        many = Counter(known for _, known in alike)
        # What nothing else is like needs no closer look: its own name will do.
        tokens |= {path: f"only {path}" for path, known in alike if many[known] == 1}
        alike = [(path, (*known, look(Path(path)))) for path, known in alike if many[known] > 1]
    return tokens | {path: _CONSTANT if _constant(path) else " ".join(k) for path, k in alike}


def _both_ends(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(_END)
        file.seek(max(0, path.stat().st_size - _END))
        return _digest(start + file.read(_END))


def _all_bytes(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _new).hexdigest()


def _constant(name: str) -> bool:
    path = Path(name)
    if path.suffix.lower() != ".npy":
        return False
    try:
        return _same_throughout(features.load(path.name, path.parent))
    except DataError:
        return False


def _folder(path: Path) -> str:
    """A folder of frames: the names and sizes of all, the bytes of the first."""
    files = sorted(file for file in path.iterdir() if file.is_file())
    listing = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
    first = _all_bytes(files[0]) if files else ""
    return _digest(f"{listing}\n{first}".encode())


def _digest(data: bytes) -> str:
    return _new(data).hexdigest()


_new: Callable[..., hashlib._Hash] = hashlib.sha256
