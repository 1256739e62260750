"""Pretrained towers: where they come from, how they are checked, and what a run keeps of them.

A tower is opened from a :class:`TowerSource`: a name on the hub or a local folder, or the values
of a configuration for random weights. What a run needs to open the same towers again is written
by :func:`store` and used by :func:`using`; :func:`blueprint` builds architectures without weights.

Shapes: B clips, T frames, L tokens, D the tower's width, F mel bins.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from mien.errors import ConfigError, TowerError, did_you_mean
from mien.parts import companions, hub, keys, text, weights
from mien.parts.adapters import is_adapter
from mien.parts.cliptext import ClipText
from mien.parts.encoders import ClapAudio, ClipVision, Tower
from mien.parts.hub import TowerSource
from mien.parts.quantised import FourBitText, check_means, check_source
from mien.parts.small import FaceTower, VoiceTower
from mien.parts.text import TextTower

__all__ = [
    "KINDS",
    "KNOWN",
    "SMALL",
    "ClapAudio",
    "ClipVision",
    "FaceTower",
    "Known",
    "TextTower",
    "Tower",
    "TowerSource",
    "VoiceTower",
    "audio",
    "blueprint",
    "clap_audio",
    "clip_vision",
    "fingerprint",
    "load_tower",
    "of",
    "open_tower",
    "save_tower",
    "store",
    "texts",
    "using",
    "vision",
]

KINDS: dict[str, type[Tower]] = {
    cls.kind: cls
    for cls in (
        *(ClipVision, ClipText, ClapAudio, TextTower, FourBitText),
        *(FaceTower, VoiceTower),
    )
}

_SHELVES = "towers"  # folder of a run

SMALL = 50_000_000
"""Bytes under which a run keeps a tower whole, wherever it came from."""


@dataclass(frozen=True, slots=True)
class Known:
    """A tower on the hub that presets name.

    Args:
        revision: the commit that is meant where a name is given without one.
        licence: of the weights.
        architecture: what differs from transformers' defaults; enough to build it without weights.
    """

    revision: str
    licence: str
    architecture: Mapping[str, Any]


KNOWN: Mapping[str, Known] = {
    "openai/clip-vit-base-patch32": Known(
        "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268", "MIT", {"patch_size": 32}
    ),
    "openai/clip-vit-base-patch16": Known(
        "57c216476eefef5ab752ec549e440a49ae4ae5f3", "MIT", {"patch_size": 16}
    ),
    "openai/clip-vit-large-patch14": Known(
        "32bd64288804d66eefd0ccbe215aa642df71cc41",
        "MIT",
        {
            "patch_size": 14,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
    ),
    "laion/clap-htsat-fused": Known(
        "cca9e288ab447cee67d9ada1f85ddb46500f1401", "Apache-2.0", {"enable_fusion": True}
    ),
    **{name: Known(*what) for name, what in text.KNOWN.items()},
}

POCKET: Mapping[str, Mapping[str, Any]] = {
    "pocket/face": {
        "model_type": FaceTower.kind,
        "widths": (32, 64, 128, 256),
        "depths": (1, 2, 2, 1),
        "stride": 2,
        "mirrored": True,
    },
    "pocket/voice": {"model_type": VoiceTower.kind, "widths": (16, 32, 64, 128), "stride": 2},
}
"""The architectures of mien-pocket's towers, so that they can be counted where it is absent."""


# -- opening ---------------------------------------------------------------------------------------


def open_tower(source: TowerSource) -> Tower:
    """A tower with its weights, frozen.

    Inside :func:`using` it is the one that the run recorded, inside :func:`blueprint` one without
    weights; else random where the source is a configuration, or read from a folder, cache or hub.
    """
    kind = _kind(source.kind)
    if isinstance(source.name, str) and source.revision is None:
        known = KNOWN.get(source.name)
        source = replace(source, revision=known.revision if known else None)
    if _BLUEPRINT.get():
        return kind(source, weights.blank(kind, _architecture(source)))
    shelf = _SHELF.get()
    if shelf is not None:
        return shelf.open(source)
    if not isinstance(source.name, str):
        tower = kind(source, weights.blank(kind, source.name))
        tower.accompany(None)
        return _checked(tower, source.sha256, source)
    found = hub.locate(source.name, source.revision)
    tower = kind(replace(source, revision=found.revision), weights.pretrained(kind, found.folder))
    tower.accompany(found.folder)
    return _checked(tower, source.sha256, source)


def clip_vision(name: str | Mapping[str, Any], revision: str | None = None) -> ClipVision:
    """CLIP's image tower of that name, or of those configuration values."""
    return cast("ClipVision", open_tower(TowerSource(ClipVision.kind, name, revision)))


def clap_audio(name: str | Mapping[str, Any], revision: str | None = None) -> ClapAudio:
    """CLAP's sound tower of that name, or of those configuration values."""
    return cast("ClapAudio", open_tower(TowerSource(ClapAudio.kind, name, revision)))


def vision(name: str | Mapping[str, Any], revision: str | None = None) -> Tower:
    """An image tower: CLIP's, unless the values or the folder's configuration say another."""
    return open_tower(TowerSource(_said(name) or ClipVision.kind, name, revision))


def audio(name: str | Mapping[str, Any], revision: str | None = None) -> Tower:
    """A sound tower: CLAP's, unless the values or the folder's configuration say another."""
    return open_tower(TowerSource(_said(name) or ClapAudio.kind, name, revision))


def texts(
    name: str | Mapping[str, Any], revision: str | None = None, *, quantised: bool = False
) -> TextTower:
    """A text tower of that name, or of those configuration values; its weights in four bits?"""
    kind = FourBitText if quantised else TextTower
    known = KNOWN.get(name) if isinstance(name, str) else None
    source = TowerSource(kind.kind, name, revision or (known.revision if known else None))
    if quantised and not _BLUEPRINT.get():
        check_source(source)
        check_means()
    return cast("TextTower", open_tower(source))


def _said(name: str | Mapping[str, Any]) -> str | None:
    """The kind that a configuration says, where it is one of mien's own."""
    values: Mapping[str, Any] = {}
    shelf = _SHELF.get()
    if not isinstance(name, str):
        values = name
    elif name in POCKET:
        values = POCKET[name]
    elif shelf is not None:  # the folder may be gone, and is not looked at
        values = {"model_type": shelf.kind(name)}
    elif (folder := hub.local_folder(name)) is not None and (folder / hub.CONFIG).is_file():
        values = hub.read_config(folder)
    said = values.get("model_type")
    return said if said in KINDS else None


def load_tower(kind: str, folder: Path) -> Tower:
    """A tower from a local folder of transformers' files, or of :func:`save_tower`."""
    return open_tower(TowerSource(kind, str(folder)))


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and values of a module's parameters.

    Adapters do not count, nor does wrapping in them change the names; running statistics do not
    either, for they may move while the tower stands still.
    """
    found = {
        keys.ours(name).replace(".base_layer.", "."): parameter
        for name, parameter in module.named_parameters()
        if not is_adapter(name)
    }
    digest = hashlib.sha256()
    for name, parameter in sorted(found.items()):
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}\n".encode())
        plain = parameter.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _kind(name: str) -> type[Tower]:
    if name not in KINDS:
        raise ConfigError(f"there is no kind of tower {name!r}: {did_you_mean(name, KINDS)}")
    return KINDS[name]


def _checked(tower: Tower, sha256: str | None, source: TowerSource) -> Tower:
    """The tower, with its fingerprint, if that is the one expected."""
    tower.sha256 = fingerprint(tower)
    if sha256 is not None and tower.sha256 != sha256:
        raise TowerError(
            f"{source} is not the tower that was meant: its weights have another fingerprint",
            where=f"found {tower.sha256[:16]}..., expected {sha256[:16]}...",
            fix=hub.fetch_command(source.name, source.revision) + " --force-download"
            if isinstance(source.name, str) and source.revision
            else "bring back the original weights, or train again",
        )
    return tower


# -- what a run keeps ------------------------------------------------------------------------------


def of(module: nn.Module) -> dict[str, Tower]:
    """The towers in a module by their dotted path."""
    return {name: part for name, part in module.named_modules() if isinstance(part, Tower)}


def save_tower(tower: Tower, folder: Path) -> None:
    """Write a tower without its adapters, as transformers saves and reads it."""
    state = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in tower.base.state_dict().items()
        if not is_adapter(name)
    }
    hub.write(folder, tower.described(), state)


def store(module: nn.Module, folder: Path, *, self_contained: bool = False) -> dict[str, Any]:
    """Keep what is needed to open a module's towers again; gives JSON records by dotted path.

    A tower under 50 MB, or one without a revision on the hub, is written below ``folder / towers``;
    a larger one is recorded by name, revision and fingerprint. ``self_contained`` writes all. Of
    one that was trained as a whole only the architecture is recorded: a run keeps its weights.
    """
    records: dict[str, Any] = {}
    for path, tower in of(module).items():
        source, kept = tower.source, companions.keep(tower, folder / _SHELVES / path)
        if tower.tuned:  # its weights are the run's own, beside those of the heads
            records[path] = _tuned_record(tower) | kept
            continue
        size = sum(p.numel() * p.element_size() for p in tower.base.parameters())
        stored = self_contained or source.revision is None or size < SMALL
        if stored and not tower.whole:
            if self_contained:
                what = f"weights of a {tower.kind} tower are not stored"
                raise TowerError(what, where=str(source), fix="leave out --self-contained")
            stored = False
        if stored:
            save_tower(tower, folder / _SHELVES / path)
        records[path] = {
            "kind": source.kind,
            "name": source.name if isinstance(source.name, str) else dict(source.name),
            "revision": source.revision,
            "sha256": fingerprint(tower) if stored else tower.sha256,
            "stored": stored,
            "licence": _licence(tower),
            **kept,
        }
    return records


def _tuned_record(tower: Tower) -> dict[str, Any]:
    return {
        "kind": tower.source.kind,
        "name": tower.source.name
        if isinstance(tower.source.name, str)
        else dict(tower.source.name),
        "tuned": True,
        "architecture": tower.described(),
        "licence": _licence(tower),
    }


def _licence(tower: Tower) -> str:
    """What the tower's own configuration says, or what is known; random weights are ours."""
    said = getattr(tower.config, "licence", None)
    if said is not None:
        return str(said)
    if not isinstance(tower.source.name, str):
        return "Apache-2.0"
    known = KNOWN.get(tower.source.name)
    return known.licence if known else f"unknown (that of {tower.source.name})"


@contextmanager
def using(records: Mapping[str, Any], folder: Path) -> Iterator[None]:
    """Inside, :func:`open_tower` gives the towers that :func:`store` recorded, all verified."""
    token = _SHELF.set(_Shelf(records, folder))
    try:
        yield
    finally:
        _SHELF.reset(token)


class _Shelf:
    """Recorded towers, handed out once each in the order in which they were recorded."""

    def __init__(self, records: Mapping[str, Any], folder: Path) -> None:
        self.left = dict(records)
        self.folder = folder

    def kind(self, name: str) -> str | None:
        """The kind of the first recorded tower of that name."""
        return next((r.get("kind") for r in self.left.values() if r.get("name") == name), None)

    def open(self, source: TowerSource) -> Tower:
        """The recorded tower that this source means."""
        meant = (source.kind, source.name)
        paths = [p for p, r in self.left.items() if (r.get("kind"), r.get("name")) == meant]
        if not paths:
            raise TowerError(
                f"the run recorded no {source.kind} tower {source}",
                where=str(self.folder),
                fix="load it with its own config.yaml",
            )
        record = self.left.pop(path := paths[0])
        if record.get("tuned") is True:  # the run's own weights are to be filled in
            kind, values = KINDS[source.kind], record.get("architecture")
            if not isinstance(values, dict):
                raise TowerError(
                    f"the run does not say how {path} is built", where=str(self.folder)
                )
            tuned = kind(source, weights.blank(kind, values)).tune()
            return companions.take_back(tuned, self._inside(path), record)
        source = replace(source, revision=record.get("revision"))
        if not isinstance(record.get("sha256"), str):
            raise TowerError(f"the run has no fingerprint of {path}", where=str(self.folder))
        found = self._stored(path) if record.get("stored") else self._fetched(source)
        tower = KINDS[source.kind](source, weights.pretrained(KINDS[source.kind], found))
        companions.take_back(tower, self._inside(path), record)
        return _checked(tower, record["sha256"], source)

    def _inside(self, path: str) -> Path:
        """A tower's folder in the run. A run may come from a stranger: it names nothing outside."""
        home = (self.folder / _SHELVES).resolve()
        found = (home / path).resolve()
        if found.parent != home:
            raise TowerError(f"{path!r} is no tower of this run", where=str(self.folder))
        return found

    def _stored(self, path: str) -> Path:
        """A folder in the run with a tower's weights."""
        found = self._inside(path)
        if not (found / hub.WEIGHTS).is_file():  # nor is a pickle in its place ever opened
            raise TowerError(f"the run lacks {hub.WEIGHTS} of {path}", where=str(found))
        return found

    def _fetched(self, source: TowerSource) -> Path:
        """A tower's folder in the cache, at the commit the run recorded; never a local folder."""
        name, revision = str(source.name), source.revision
        if not isinstance(revision, str) or not _ON_HUB.fullmatch(name):
            raise TowerError(f"{source} is no commit on the hub", where=str(self.folder))
        return hub.locate(name, revision).folder


_ON_HUB = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
_SHELF: ContextVar[_Shelf | None] = ContextVar("_SHELF", default=None)


# -- without weights -------------------------------------------------------------------------------


@contextmanager
def blueprint() -> Iterator[None]:
    """Inside, all is built on the meta device: shapes and counts, no weights, no downloads."""
    token = _BLUEPRINT.set(True)
    try:
        with torch.device("meta"):
            yield
    finally:
        _BLUEPRINT.reset(token)


_BLUEPRINT: ContextVar[bool] = ContextVar("_BLUEPRINT", default=False)


def filled_later() -> bool:
    """Whether what is built gets its values from a run's files, or none at all."""
    return _BLUEPRINT.get() or _SHELF.get() is not None


def _architecture(source: TowerSource) -> Mapping[str, Any]:
    if not isinstance(source.name, str):
        return source.name
    if source.name in KNOWN:
        return KNOWN[source.name].architecture
    if source.name in POCKET:
        return POCKET[source.name]
    if (folder := hub.local_folder(source.name)) is not None:
        return weights.own_section(KINDS[source.kind], folder)
    raise TowerError(
        f"the architecture of {source.name!r} is not known without its files: "
        f"{did_you_mean(source.name, KNOWN)}"
    )
