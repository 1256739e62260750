"""Files of pretrained models: in a local folder, in mien-pocket, in the cache, or on the hub.

Only configurations (JSON) and tensors (safetensors) are ever read. A repository that has nothing
but PyTorch pickles is converted once, with PyTorch's loader that refuses code, into mien's cache:
``MIEN_CACHE``, or ``~/.cache/mien``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mien.errors import TowerError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
GET_POCKET = 'in a checkout of mien: pip install ./pocket (once it is published: "mien[pocket]")'
_SAFE = (WEIGHTS, "model-[0-9]*-of-[0-9]*.safetensors")
_POCKET = {
    "pocket/face": "network.opinions.video.tower",
    "pocket/voice": "network.opinions.audio.tower",
}
_PICKLED = ("pytorch_model.bin", "pytorch_model-[0-9]*-of-[0-9]*.bin")


@dataclass(frozen=True, slots=True)
class TowerSource:
    """Which tower is meant.

    Args:
        kind: a name in ``KINDS``: ``clip-vision`` or ``clap-audio``.
        name: hub name, local folder, or configuration values for random weights.
        revision: commit on the hub; None is the one we know, else the newest.
        sha256: fingerprint that the weights must have, if known.
    """

    kind: str
    name: str | Mapping[str, Any]
    revision: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        return self.name if isinstance(self.name, str) else f"random {self.kind}"


@dataclass(frozen=True, slots=True)
class Located:
    """Where a model lies; ``revision`` is the commit where it came from the hub."""

    folder: Path
    revision: str | None = None


def cache_folder() -> Path:
    """Where mien keeps what it made of downloads."""
    return Path(os.environ.get("MIEN_CACHE") or Path.home() / ".cache" / "mien")


def pocket() -> Path:
    """The run of the distribution mien-pocket.

    Raises:
        TowerError: it is not installed.
    """
    found = util.find_spec("mien_pocket")
    run = Path(found.origin).parent / "run" if found is not None and found.origin else None
    if run is None or not run.is_dir():
        raise TowerError("mien-pocket is not installed", fix=GET_POCKET)
    return run


def local_folder(name: str) -> Path | None:
    """The folder that a name means on this machine; ``pocket/face`` is one of mien-pocket's."""
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if name in _POCKET:
        return pocket() / "towers" / _POCKET[name]
    return None


def locate(name: str, revision: str | None) -> Located:
    """Find a model: a local folder, mien-pocket, else the user's cache, else the hub."""
    local = local_folder(name)
    if local is not None:
        if not (local / CONFIG).is_file() or not _weights(local):
            raise TowerError(
                f"this folder holds no model: {CONFIG} and {WEIGHTS} are needed", where=str(local)
            )
        return Located(local)
    folder = _cached(name, revision) or _fetched(name, revision)
    return Located(folder, revision=folder.name)


def snapshot(name: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """A folder with files of a model on the hub: those in the cache, else fetched."""
    from huggingface_hub import snapshot_download

    for offline in (True, False):
        try:
            folder = Path(
                snapshot_download(
                    name, revision=revision, allow_patterns=list(patterns), local_files_only=offline
                )
            )
            if not offline or any(True for pattern in patterns for _ in folder.glob(pattern)):
                return folder
        except (OSError, ValueError) as error:
            if not offline:
                raise TowerError(
                    f"{name!r} is no folder, not in the cache, and cannot be fetched: "
                    f"{str(error).splitlines()[0]}",
                    fix=f"hf download {name}   (where there is a network), or give a folder",
                ) from error
    raise AssertionError("the second attempt returns or raises")


def fetch_command(name: str, revision: str | None, *, weights: str = WEIGHTS) -> str:
    """What to type to get a model into the cache."""
    pinned = f" --revision {revision}" if revision else ""
    return f"hf download {name} {CONFIG} {weights}{pinned}"


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a model."""
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TowerError(f"cannot read {CONFIG}: {error}", where=str(folder)) from error
    if not isinstance(values, dict):
        raise TowerError(f"{CONFIG} is no JSON object", where=str(folder))
    return values


def read_tensors(folder: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The tensors whose names are wanted, as float32 where they are real numbers."""
    tensors: dict[str, Tensor] = {}
    for path in _safe_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                tensors |= {name: file.get_tensor(name) for name in file.keys() if wanted(name)}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise TowerError(f"cannot read {path.name}: {error}", where=str(folder)) from error
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def write(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a model as transformers reads it; each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_tensors(folder / WEIGHTS, tensors)
    unfinished = folder / f".{CONFIG}.{os.getpid()}"
    unfinished.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(folder / CONFIG)


@contextmanager
def silent() -> Iterator[None]:
    """Within: transformers shows no bars of its own."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _weights(folder: Path) -> list[Path]:
    """Safetensors where there are any, else pickles."""
    for patterns in (_SAFE, _PICKLED):
        found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
        if found:
            return found
    return []


def _cached(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, CONFIG, revision=revision)
    except HFValidationError as error:
        raise TowerError(
            f"there is no folder {name!r}, and it is no name on the hub",
            fix="give a folder, or OWNER/NAME as in openai/clip-vit-base-patch16",
        ) from error
    if isinstance(config, str) and _weights(Path(config).parent):
        return Path(config).parent
    return None


def _fetched(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        for patterns in (_SAFE, _PICKLED):
            folder = Path(
                snapshot_download(name, revision=revision, allow_patterns=[CONFIG, *patterns])
            )
            if (folder / CONFIG).is_file() and _weights(folder):
                return folder
    except (OSError, ValueError) as error:
        raise TowerError(
            f"{name!r} is not in the cache and cannot be fetched: {str(error).splitlines()[0]}",
            fix=f"{fetch_command(name, revision)}   (where there is a network; "
            "pytorch_model.bin in place of model.safetensors if it has no other)",
        ) from error
    raise TowerError(f"{name!r} holds no {CONFIG} with weights in PyTorch's format")


def _safe_files(folder: Path) -> list[Path]:
    files = _weights(folder)
    if not files:
        raise TowerError(f"there is no {WEIGHTS}", where=str(folder))
    return [_converted(files)] if files[0].suffix == ".bin" else files


def _converted(pickles: list[Path]) -> Path:
    """Pickled weights as safetensors, made once for the same content."""
    digest = hashlib.sha256()
    for path in pickles:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    made = cache_folder() / "converted" / f"{digest.hexdigest()[:32]}.safetensors"
    if made.exists():
        return made
    tensors: dict[str, Tensor] = {}
    for path in pickles:
        try:
            tensors |= torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a pickle can fail in any way
            raise TowerError(
                f"{path.name} holds more than tensors, or is damaged; it is not loaded: {error}",
                where=str(path.parent),
                fix="use a repository with model.safetensors",
            ) from error
    made.parent.mkdir(parents=True, exist_ok=True)
    _write_tensors(made, tensors)
    return made


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    # Clones: safetensors refuses tensors that share memory, and tied weights do.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(plain, unfinished, metadata={"format": "pt"})
    unfinished.replace(path)
