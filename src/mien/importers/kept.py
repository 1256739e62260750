"""Vectors that an importer takes out of other people's files: one file for each feature.

They lie in ``NAME.features`` beside the manifest. Until all of it is there, the folder is called
``NAME.features.unfinished``, so that what was imported before is whole until the end.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.findings import Report
from mien.data.tensors import Tensors, writing
from mien.errors import ConfigError, DataError

Floats = NDArray[np.float32]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(slots=True)
class Kept:
    """Where vectors go.

    Args:
        manifest: which names them.
        free: whether a folder that is there may be written over; asked once it is known that there
            are vectors.
    """

    manifest: Path
    free: Callable[[], bool]
    _used: bool = False

    @property
    def folder(self) -> Path:
        """Where they lie in the end."""
        return self.manifest.with_name(f"{self.manifest.stem}.features")

    @contextmanager
    def open(self, feature: str, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Writer]:
        """A file for one feature.

        Args:
            feature: what it is called.
            shapes: of each row that has it, by the row's id, in the order in which they will come.

        Raises:
            ConfigError: no file can be called so.
            DataError: a folder is there already that no import wrote.
        """
        if not _NAME.fullmatch(feature):
            raise ConfigError(f"{feature!r} is no name of a feature", fix="letters, digits and _")
        if not self._used:
            there = next((at for at in (self.folder, self._unfinished) if at.is_symlink()), None)
            if there is None and self.folder.exists() and not self.free():
                there = self.folder
            if there is not None:
                raise DataError(
                    "there is such a folder already, and no import wrote it",
                    where=str(there),
                    fix="give another --out, or say --replace to lose it",
                )
            self._unfinished.mkdir(parents=True)
        self._used = True
        with writing(self._unfinished / f"{feature}.safetensors", shapes) as tensors:
            yield Writer(feature, tensors)

    def ref(self, feature: str, row: str) -> str:
        """How the manifest names a row's vectors."""
        return f"{self.folder.name}/{feature}.safetensors::{row}"

    def finish(self) -> None:
        """Everything is there: it takes the place of what was there before."""
        if self._used:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._unfinished.rename(self.folder)

    def clear(self) -> None:
        """Take away what is unfinished."""
        shutil.rmtree(self._unfinished, ignore_errors=True)

    @property
    def _unfinished(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.unfinished")


@dataclass(slots=True)
class Writer:
    """The vectors of one feature, row by row; what is not finite becomes zero, and is counted."""

    feature: str
    tensors: Tensors
    odd: dict[str, int] = field(default_factory=dict)

    def write(self, row: str, values: NDArray[Any]) -> None:
        """The next row."""
        with np.errstate(over="ignore"):
            made: Floats = np.asarray(values, np.float32)
        bad = int(made.size - np.isfinite(made).sum())
        if bad:
            self.odd[row] = bad
            made = np.nan_to_num(made, nan=0.0, posinf=0.0, neginf=0.0)
        self.tensors.write(row, made)

    def note(self, report: Report) -> None:
        """Say which rows had values that are not finite."""
        if self.odd:
            total = sum(self.odd.values())
            what = f"{self.feature}: {total:,} values are not finite; they are zeros here"
            report.warn("not finite", what, *self.odd)


@contextmanager
def beside(manifest: Path, free: Callable[[], bool]) -> Iterator[Kept]:
    """Where the vectors of a manifest go; what is unfinished in the end is taken away.

    Args:
        manifest: which names them.
        free: see :class:`Kept`.
    """
    kept = Kept(manifest, free)
    kept.clear()  # of an import that was stopped
    try:
        yield kept
    finally:
        kept.clear()
