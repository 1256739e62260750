"""What an import wrote, and how: remembered beside the manifest, so that nothing else is lost.

``NAME.import.yaml`` holds the corpus, the options and a hash of each file that was written. What
was not written by an import, or was edited since, is not written over unless somebody says so.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from mien.config import Settings, read_yaml
from mien.data import declared
from mien.data.manifest import Manifest
from mien.errors import DataError, MienError
from mien.importers.corpus import Options

Status = Literal["written", "replaced", "unchanged"]

_HEAD = "# Left by mien data import: the same command reads it, and knows what it wrote.\n"


class Record(Settings):
    """How a manifest came about.

    Args:
        corpus: the importer.
        source: the folder it read, relative to the manifest.
        options: what was asked for.
        wrote: file name -> SHA-256 of what was written.
    """

    corpus: str
    source: str
    options: Options = Options()
    wrote: dict[str, str] = Field({})

    @classmethod
    def of(cls, corpus: str, source: Path, manifest: Path, options: Options) -> Record:
        """What is known before anything is written."""
        place = Path(os.path.relpath(source, manifest.parent)).as_posix()
        return cls(corpus=corpus, source=place, options=options)

    def to_yaml(self) -> str:
        """What :func:`read` reads."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return _HEAD + str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def file(manifest: Path) -> Path:
    """Where it is remembered."""
    return manifest.with_name(f"{manifest.stem}.import.yaml")


def read(manifest: Path) -> Record | None:
    """What is remembered of a manifest; None: nothing.

    Raises:
        MienError: somebody wrote something else there.
    """
    path = file(manifest)
    if not path.is_file():
        return None
    try:
        return Record.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DataError(
            f"this is not what an import leaves behind: {key}: {first['msg']}",
            where=str(path),
            fix="take it away, and import again with all options",
        ) from error


def write(manifest: Manifest, made: Record, *, replace: bool) -> Status:
    """Write a manifest, what it declares, and how it came about.

    Raises:
        DataError: a file stands in the way that no import wrote, or that was edited since.
    """
    path, old = manifest.path, read(manifest.path)
    before = _there(manifest)
    same = before is not None and before.fingerprint() == manifest.fingerprint()
    status: Status = "unchanged"
    if before is None or not same or not _declares(before, manifest):
        there = _files(path)
        # An import that was stopped may have left its rows, and nothing else.
        ours = [path] if same else []
        if not replace:
            _guard([other for other in there if other not in ours], old)
        manifest.write(path)
        status = "replaced" if path in there else "written"
    made = made.model_copy(update={"wrote": {name.name: _hash(name) for name in _files(path)}})
    if made != old:
        unfinished = path.with_name(f"{path.stem}.import.unfinished")
        unfinished.write_text(made.to_yaml(), encoding="utf-8")
        unfinished.replace(file(path))
    return status


def _there(manifest: Manifest) -> Manifest | None:
    """What lies in its place."""
    try:
        return Manifest.read(manifest.path, root=manifest.root)
    except MienError:
        return None


def _declares(before: Manifest, manifest: Manifest) -> bool:
    """Whether the same is declared beside both."""
    said = (dict(before.tasks), before.licence)
    return said == (dict(manifest.tasks), manifest.licence)


def _files(path: Path) -> list[Path]:
    """Those of a manifest that are there: itself, and what is declared beside it."""
    return [file for file in (path, *declared.files(path)) if file.exists()]


def _guard(there: list[Path], old: Record | None) -> None:
    known = old.wrote if old is not None else {}
    foreign = [path for path in there if known.get(path.name) != _hash(path)]
    if foreign:
        edited = foreign[0].name in known
        raise DataError(
            "this file was edited since an import wrote it"
            if edited
            else "there is such a file already, and no import wrote it",
            where=str(foreign[0]),
            fix="give another --out, or say --replace to lose it",
        )


def _hash(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
