"""Where a manifest's paths start, and the folder that they may not leave."""

# Text, not Path objects: every path of every row passes here, and this is four times as fast.
# ruff: noqa: PTH114, PTH117, PTH118

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from mien.errors import DataError


@dataclass(frozen=True, slots=True)
class Place:
    """The folder paths start from, and the one they may not leave.

    Args:
        folder: the manifest's own folder.
        root: everything a manifest names lies within; by default ``folder``.
    """

    folder: Path
    root: Path
    _parents: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, manifest: Path, root: Path | None = None) -> Place:
        """The place of a manifest file."""
        folder = manifest.absolute().parent
        return cls(folder, root.absolute() if root is not None else folder)

    def find(self, name: str) -> Path:
        """The file that a path in a manifest means.

        Links are followed before looking: one that leads out of the root is refused like ``..``.
        An absolute path needs a root that was stated (a manifest should work wherever it lies).

        Raises:
            DataError: the path leaves the root.
        """
        if not name or "\0" in name:
            raise DataError(f"{name!r} is not a path")
        if os.path.isabs(name) and self.root == self.folder:
            raise DataError(
                f"{name!r} is an absolute path",
                fix="write it relative to the manifest, or state the root that it lies in",
            )
        path = os.path.join(self.folder, name)
        if not self._inside(path):
            raise DataError(
                f"{name!r} leaves the folder {str(self.root)!r}",
                fix="keep files below the manifest, or state a root that holds both: data.root=DIR",
            )
        return Path(path)

    def relative(self, path: Path) -> str:
        """How a manifest in this place names a file.

        Raises:
            DataError: the file lies outside the root.
        """
        name = Path(os.path.relpath(path, self.folder)).as_posix()
        self.find(name)
        return name

    def _inside(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if name in ("", ".", "..") or os.path.islink(path):
            real = os.path.realpath(path)
        else:  # many files share a folder: its links are followed once
            real = os.path.join(self._real(folder), name)
        root = self._real(str(self.root))
        return real == root or real.startswith(root.rstrip(os.sep) + os.sep)

    def _real(self, folder: str) -> str:
        if folder not in self._parents:
            self._parents[folder] = os.path.realpath(folder)
        return self._parents[folder]
