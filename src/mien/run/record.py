"""What an import wrote, and how: remembered beside the manifest, so that nothing else is lost.

``NAME.import.yaml`` holds the corpus, the options and a hash of each file that was written. What
was not written by an import, or was edited since, is not written over unless somebody says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from mien.config import read_yaml
from mien.data import declared
from mien.data.manifest import Manifest
from mien.errors import DataError, MienError
from mien.importers.corpus import Options

Status = Literal["written", "replaced", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How a manifest came about.

    Args:
        corpus: the importer.
        source: the folder it read, relative to the manifest.
        options: what was asked for.
        wrote: file name -> SHA-256 of what was written.
    """

    corpus: str
    source: str
    options: dict[str, Any] = field(default_factory=dict)
    wrote: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, corpus: str, source: Path, manifest: Path, options: Options) -> Record:
        """What is known before anything is written."""
        return cls(
            corpus=corpus,
            source=Path(os.path.relpath(source, manifest.parent)).as_posix(),
            options=options.model_dump(mode="json", exclude_defaults=True),
        )

    def asked(self) -> dict[str, Any]:
        """The options, checked.

        Raises:
            DataError: somebody wrote something else there.
        """
        try:
            return Options.model_validate(self.options).model_dump(exclude_defaults=True)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise DataError(
                f"options.{key}: {first['msg']}", where=f"what is remembered of {self.corpus}"
            ) from error


def file(manifest: Path) -> Path:
    """Where it is remembered."""
    return manifest.with_name(f"{manifest.stem}.import.yaml")


def read(manifest: Path) -> Record | None:
    """What is remembered of a manifest; None: nothing."""
    path = file(manifest)
    if not path.is_file():
        return None
    values = read_yaml(path)
    known = {f.name for f in dataclasses.fields(Record)}
    try:
        if set(values) - known or not isinstance(values.get("options", {}), dict):
            raise TypeError
        return Record(**values)
    except TypeError as error:
        raise DataError(
            "this is not what an import leaves behind",
            where=str(path),
            fix="take it away, and import again with all options",
        ) from error


def write(manifest: Manifest, record: Record, *, replace: bool) -> Status:
    """Write a manifest, what it declares, and how it came about.

    Raises:
        DataError: a file stands in the way that no import wrote, or that was edited since.
    """
    path = manifest.path
    if _same(manifest):
        status: Status = "unchanged"
    else:
        there = _files(path)
        if not replace:
            _guard(there, path)
        manifest.write(path)
        status = "replaced" if path in there else "written"
    wrote = {made.name: _hash(made) for made in _files(path)}
    record = dataclasses.replace(record, wrote=wrote)
    text = yaml.safe_dump(dataclasses.asdict(record), sort_keys=False, allow_unicode=True)
    head = "# Left by mien data import: the same command reads it, and knows what it wrote.\n"
    if status != "unchanged" or not file(path).is_file():
        file(path).write_text(head + text, encoding="utf-8")
    return status


def _same(manifest: Manifest) -> bool:
    """Whether what lies there says exactly this."""
    try:
        old = Manifest.read(manifest.path, root=manifest.root)
    except MienError:
        return False
    said = (old.fingerprint(), dict(old.tasks), old.licence)
    return said == (manifest.fingerprint(), dict(manifest.tasks), manifest.licence)


def _files(path: Path) -> list[Path]:
    """Those of a manifest that are there: itself, and what is declared beside it."""
    return [file for file in (path, *declared.files(path)) if file.exists()]


def _guard(there: list[Path], manifest: Path) -> None:
    old = read(manifest)
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
