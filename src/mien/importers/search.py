"""Files that a list or table names, found below the folder that somebody has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mien.data.places import Place
from mien.errors import DataError
from mien.importers.corpus import Wish


@dataclass(slots=True)
class Search:
    """Finds what was named on another machine, and keeps what is not there.

    Args:
        base: where paths start; nothing outside of it is taken.
        forms: patterns of a path that a bare name may stand for, such as ``data/{:0>5}``.
        missing: names that are not there.
        outside: names that lead out of the base.
        notes: what paths began with that is not here.
    """

    base: Path
    forms: Sequence[str] = ()
    missing: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _cut: dict[str, int] = field(default_factory=dict)
    _place: Place = field(init=False)

    def __post_init__(self) -> None:
        self._place = Place(self.base, self.base)

    @classmethod
    def of(cls, wish: Wish, forms: Sequence[str] = ()) -> Search:
        """Where the paths of a wish start.

        Raises:
            DataError: there is no such folder.
        """
        source = wish.source if wish.source.is_dir() else wish.source.parent
        base = source
        if wish.options.media is not None:
            given = Path(wish.options.media)
            base = source / given if (source / given).is_dir() else given
        if not base.is_dir():
            raise DataError("there is no such folder", where=str(base), fix="--media FOLDER")
        return cls(base.resolve(), forms)

    def find(self, name: str) -> Path | None:
        """The file or folder that a name means; None where it is not there, which is kept."""
        found = self.there(name)
        if found is None:
            self.missing.append(name)
            return None
        try:
            self._place.find(found.relative_to(self.base).as_posix() or ".")
        except (DataError, ValueError):
            self.outside.append(name)
            return None
        return found

    def there(self, name: str) -> Path | None:
        """The same without a word about it: the longest end of the path that is there."""
        if "\0" in name or not name.strip():
            return None
        path = PurePosixPath(name if "/" in name else name.replace("\\", "/"))
        parts = [part for part in path.parts if part not in ("/", ".")]
        if len(parts) == 1:
            for form in self.forms:
                if (made := self.base / form.format(parts[0])).exists():
                    return made
        if path.is_absolute() and path.is_relative_to(self.base):
            parts = list(path.relative_to(self.base).parts)
        folder = "/".join(parts[:-1])
        known = self._cut.get(folder)
        for cut in range(len(parts)) if known is None else (known,):
            found = self.base.joinpath(*parts[cut:])
            if self._exists(found):
                self._keep(folder, parts[:cut], cut)
                return found
        return None

    def _exists(self, path: Path) -> bool:
        try:
            return path.exists()
        except (OSError, ValueError):  # a name too long for any file
            return False

    def _keep(self, folder: str, gone: Sequence[str], cut: int) -> None:
        if folder not in self._cut:
            self._cut[folder] = cut
            note = f"paths that begin with {'/'.join(gone)} are looked for here without it"
            if cut and note not in self.notes:
                self.notes.append(note)

    def nothing(self) -> DataError:
        """An error for lists of which no file is there."""
        if self.outside:
            what = f"all {len(self.outside):,} files lie outside of the folder, by a link or by .."
            return DataError(
                f"{what}, such as {self.outside[0]!r}",
                where=str(self.base),
                fix="say where they lie: --media FOLDER",
            )
        return DataError(
            f"none of {len(self.missing):,} named files is here, such as {self.missing[0]!r}",
            where=str(self.base),
            fix="say where they lie: --media FOLDER",
        )
