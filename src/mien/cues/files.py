"""Cues as files and back: JSONL, a line a clip, and Parquet, a row a clip.

Both hold everything. What was not measured is null, what was measured and is not there is an empty
list. Files come from anywhere, so everything in them is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from mien.cues.schema import Cues
from mien.errors import DataError

__all__ = ["cues_of", "read", "record_of", "write"]

_LONGEST = 1 << 26  # letters of a line: of two hours, a frame 25 times a second, there are fewer
_ROWS = 256  # that are written to Parquet together
_CUES = TypeAdapter(Cues)

_SCORES = pa.map_(pa.string(), pa.float64())
_SPAN = [("start", pa.float64()), ("end", pa.float64())]
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        *_SPAN,
        ("faces", pa.list_(pa.struct([
            ("time", pa.float64()), ("present", pa.bool_()), ("score", pa.float64()),
            ("units", _SCORES), ("strengths", _SCORES), ("emotions", _SCORES),
            ("levels", _SCORES),
        ]))),
        ("sound", pa.bool_()),
        ("speech", pa.list_(pa.struct([*_SPAN, ("confidence", pa.float64())]))),
        ("prosody", pa.list_(pa.struct([
            *_SPAN, ("name", pa.string()), ("score", pa.float64()), ("scale", pa.string()),
            ("value", pa.float64()),
        ]))),
        ("dimensions", pa.list_(pa.struct([
            *_SPAN, ("arousal", pa.float64()), ("dominance", pa.float64()),
            ("valence", pa.float64()),
        ]))),
        ("transcript", pa.list_(pa.struct([
            *_SPAN, ("speaker", pa.string()), ("text", pa.string()),
        ]))),
        ("made_by", pa.map_(pa.string(), pa.string())),
    ]
)  # fmt: skip


def record_of(cues: Cues) -> dict[str, Any]:
    """Plain JSON values of some cues, what :func:`cues_of` reads."""
    found: dict[str, Any] = _CUES.dump_python(cues, mode="json")
    return found


def cues_of(record: Mapping[str, Any]) -> Cues:
    """Cues from plain values, checked.

    Raises:
        DataError: says which value is not what it should be.
    """
    unknown = sorted(set(record) - set(_SCHEMA.names))
    if unknown:
        raise DataError(f"cues have no {unknown[0]!r}")
    try:
        return _CUES.validate_python(dict(record))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise DataError(f"{where}: {first['msg']}", where=str(record.get("id"))) from error


def read(path: str | Path) -> Iterator[Cues]:
    """The cues of a file, one after the other.

    Raises:
        DataError: names file and line of what is wrong.
    """
    path = Path(path)
    reader = {".jsonl": _read_jsonl, ".parquet": _read_parquet}.get(path.suffix.lower())
    if reader is None:
        raise DataError("cues are kept in .jsonl and .parquet files", where=str(path))
    if not path.is_file():
        raise DataError("there is no such file of cues", where=str(path), fix="mien data cues")
    for where, record in reader(path):
        try:
            yield cues_of(record)
        except DataError as error:
            raise DataError(f"these are no cues: {error.what}", where=where) from error


def write(path: str | Path, rows: Iterable[Cues]) -> None:
    """Write cues in the format of the file's ending, whole or not at all; rows may be endless."""
    path = Path(path)
    writer = {".jsonl": _write_jsonl, ".parquet": _write_parquet}.get(path.suffix.lower())
    if writer is None:
        raise DataError("cues are kept in .jsonl and .parquet files", where=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        writer(unfinished, map(record_of, rows))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
            where = f"{path}:{number}"
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError("this line is no JSON", where=where) from error
            if not isinstance(record, dict):
                raise DataError("a line of cues is a JSON object", where=where)
            yield where, record


def _write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def _read_parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(_ROWS):
                for record in batch.to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    yield f"{path}: row {number}", record
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise DataError(f"this file of cues cannot be read: {error}", where=str(path)) from error


def _write_parquet(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with pq.ParquetWriter(path, _SCHEMA) as file:
        waiting: list[dict[str, Any]] = []
        for record in records:
            waiting.append(_paired(record))
            if len(waiting) == _ROWS:
                file.write_table(pa.Table.from_pylist(waiting, schema=_SCHEMA))
                waiting = []
        file.write_table(pa.Table.from_pylist(waiting, schema=_SCHEMA))


def _paired(record: dict[str, Any]) -> dict[str, Any]:
    """With maps as Arrow wants them: pairs."""
    faces = record["faces"]
    if faces is not None:
        names = ("units", "strengths", "emotions", "levels")
        faces = [{**face, **{n: list(face[n].items()) for n in names}} for face in faces]
    return {**record, "faces": faces, "made_by": list(record["made_by"].items())}
