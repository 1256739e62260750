"""Files that are whole or absent: states to resume from, written so that a kill cannot break them.

A state is a folder ``step-NNN`` with tensors (safetensors) and facts (JSON). It is written under
a temporary name, synced to disk and renamed; only then is the older one removed. Nothing here is
ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mien.errors import RunError

_TENSORS, _FACTS = "tensors.safetensors", "facts.json"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, sync it, and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    _write_synced(unfinished, content)
    unfinished.replace(path)
    _sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people can read, whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON, or an error that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"cannot read {path.name}: {error}", where=str(path.parent)) from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object, or an error that names the file."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise RunError(f"{path.name} holds no JSON object", where=str(path.parent))
    return value


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RunError(f"cannot read {path.name}: {error}", where=str(path.parent)) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file, whole or not at all."""
    write_bytes(path, _pack(tensors))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file to the CPU, or an error that names it."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"cannot read {path.name}: {error}", where=str(path.parent)) from error


def save_state(folder: Path, step: int, tensors: Mapping[str, Tensor], facts: Any) -> None:
    """Keep a state; the one before it goes only when this one is safely on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    final, unfinished = folder / f"step-{step:09d}", folder / f".step-{step:09d}.unfinished"
    for path in (unfinished, final):
        if path.exists():
            shutil.rmtree(path)
    unfinished.mkdir()
    packed = _pack(tensors)
    _write_synced(unfinished / _TENSORS, packed)
    record = {"step": step, "facts": facts}
    record["sha256"] = _digest(record, packed)
    _write_synced(unfinished / _FACTS, json.dumps(record).encode())
    _sync(unfinished)
    unfinished.replace(final)
    _sync(folder)
    for older in _states(folder):
        if older != final:
            shutil.rmtree(older)


def load_state(folder: Path) -> tuple[int, dict[str, Tensor], Any] | None:
    """The newest whole state, or None. What a kill left half-written is swept away."""
    if not folder.is_dir():
        return None
    sweep(folder)
    for path in reversed(_states(folder)):
        if not _is_whole(path):
            raise RunError(
                "this state was changed or damaged after it was written",
                where=str(path),
                fix=f"delete {path} to start this training again",
            )
        record = read_object(path / _FACTS)
        return int(record["step"]), read_tensors(path / _TENSORS), record["facts"]
    return None


def _is_whole(state: Path) -> bool:
    """Whether tensors and facts are those that were written."""
    try:
        record, packed = read_object(state / _FACTS), (state / _TENSORS).read_bytes()
    except (RunError, OSError):
        return False
    said = record.pop("sha256", None)
    return bool(said == _digest(record, packed))


def _digest(record: Mapping[str, Any], packed: bytes) -> str:
    facts = json.dumps(record, sort_keys=True).encode()
    return hashlib.sha256(facts + b"\n" + packed).hexdigest()


def has_state(folder: Path) -> bool:
    """Whether there is a whole state to resume from."""
    return bool(_states(folder))


def sweep(folder: Path) -> None:
    """Remove what a kill left half-written, here and below."""
    for unfinished in list(folder.rglob(".*.unfinished")):
        shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink(missing_ok=True)


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    # Clones: safetensors refuses tensors that share memory, and tied weights do.
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    return save(plain)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make a rename durable; file systems without folder sync (Windows) do it themselves."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
