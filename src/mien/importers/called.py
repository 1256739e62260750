"""Rows of lists whose paths say more: who is in a clip, and in which fold it is tested."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass

from mien.data.rows import Row
from mien.errors import DataError
from mien.importers.corpus import Found, Wish
from mien.importers.lists import Lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Lists, and what is called how in them.

    Args:
        lists: how they are.
        pattern: found in the id of a row; its groups ``speaker`` and ``source`` become
            fields of the row, where it has them.
        form: the same for people.
        fold: of a match, from 0; None: the folds of the lists are taken as they are.
    """

    lists: Lists
    pattern: re.Pattern[str]
    form: str
    fold: Callable[[re.Match[str]], int] | None = None

    def read(self, wish: Wish) -> Found:
        """Rows of all clips that the lists name and that are there.

        Raises:
            DataError: a path is called otherwise, or a list has a clip in another fold.
        """
        found = self.lists.read(wish)
        found.rows = [self._row(row) for row in found.rows]
        if self.fold is not None:
            found.notes.append("folds follow from the names of the clips")
        return found

    def _row(self, row: Row) -> Row:
        match = self.pattern.search(row.id)
        if match is None:
            raise DataError(
                f"{row.id!r} names nobody", fix=f"clips of this corpus are called {self.form}"
            )
        named, fold = match.groupdict(), row.fold
        if self.fold is not None:
            fold = self.fold(match)
            if row.fold is not None and row.fold != fold:
                raise DataError(
                    f"{row.id!r} is in fold {row.fold} of the lists, and by its name in {fold}",
                    fix="number the lists as the protocol does, or import them as lists",
                )
        return dataclasses.replace(
            row,
            speaker=named.get("speaker", row.speaker),
            source=named.get("source", row.source),
            fold=fold,
            split=row.split if self.fold is None else None,
        )
