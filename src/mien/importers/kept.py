"""Vectors that an importer takes out of other people's files: one file for each feature.

They lie in ``NAME.features`` beside the manifest. Until all of it is there, the folder is called
``NAME.features.unfinished``, so that what was imported before is whole until the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mien.data.findings import Report
from mien.data.tensors import Tensors
from mien.errors import DataError

Floats = NDArray[np.float32]


@dataclass(slots=True)
class Kept:
    """Where vectors go.

    Args:
        manifest: which names them.
        free: whether a folder that is there may be written over; asked once it is known that there
            are vectors.
    """

    manifest: Path
    free: Callable[[], bool] = lambda: True
    _used: bool = False

    @property
    def folder(self) -> Path:
        """Where they lie in the end."""
        return self.manifest.with_name(f"{self.manifest.stem}.features")

    def open(self, feature: str, shapes: Mapping[str, tuple[int, ...]]) -> Writer:
        """A file for one feature.

        Args:
            feature: what it is called.
            shapes: of each row that has it, by the row's id, in the order in which they will come.

        Raises:
            DataError: a folder is there already that no import wrote.
        """
        if not self._used and self.folder.exists() and not self.free():
            raise DataError(
                "there is such a folder already, and no import wrote it",
                where=str(self.folder),
                fix="give another --out, or say --replace to lose it",
            )
        self._used = True
        self._unfinished.mkdir(parents=True, exist_ok=True)
        return Writer(feature, Tensors(self._unfinished / f"{feature}.safetensors", shapes))

    def ref(self, feature: str, row: str) -> str:
        """How the manifest names a row's vectors."""
        return f"{self.folder.name}/{feature}.safetensors::{row}"

    def finish(self) -> None:
        """Everything is there: it takes the place of what was there before."""
        if self._used:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._unfinished.rename(self.folder)
            self._used = False

    @property
    def _unfinished(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.unfinished")

    def __enter__(self) -> Self:
        shutil.rmtree(self._unfinished, ignore_errors=True)  # of an import that was stopped
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._used:
            shutil.rmtree(self._unfinished, ignore_errors=True)


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

    def __enter__(self) -> Self:
        self.tensors.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.tensors.__exit__(kind, error, trace)
