"""A manifest: the rows of a corpus, read from JSONL, CSV or Parquet and checked on the way."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mien.data import declared, tables
from mien.data.declared import infer_tasks
from mien.data.places import Place
from mien.data.records import record_of, row_of
from mien.data.rows import FeatureRef, Inline, Label, Row, Split, Track
from mien.errors import DataError
from mien.types import TaskSpec

__all__ = ["FeatureRef", "Inline", "Label", "Manifest", "Row", "Split", "Track", "infer_tasks"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Rows, and the place that their paths start from.

    Args:
        rows: one a clip, window, image or utterance; ids are unique.
        path: the manifest file. Paths in rows are relative to its folder.
        root: the folder that paths may not leave; None: the manifest's own folder.
        tasks: what a file beside the manifest declares (see :func:`infer_tasks`).
        licence: of the data, as that file says.
    """

    rows: Sequence[Row]
    path: Path
    root: Path | None = None
    tasks: Mapping[str, TaskSpec] = field(default_factory=dict)
    licence: str | None = None

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        rename: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Read a manifest and check every row.

        Args:
            path: ``.jsonl``, ``.csv`` or ``.parquet``.
            columns: manifest field -> column of the file, as in ``{"id": "key", "speaker":
                "actor", "labels.emotion": "emotion", "features.au": "au"}``. With any given,
                other columns of a CSV or Parquet file that no field is called like are ignored.
            root: the folder that paths may not leave.
            rename: label as written -> label as meant, also within lists and soft labels.

        Raises:
            DataError: names file, line, row and field of the first thing that is wrong.
        """
        path = Path(path)
        stated = Path(root) if root is not None else None
        rows = _rows(path, columns or {}, rename or {}, Place.of(path, stated))
        tasks, licence = declared.read(path)
        return cls(rows, path, stated, tasks, licence)

    def write(self, path: str | Path) -> Manifest:
        """Write the rows in the format of the file's ending, and beside them what is declared.

        In another folder paths are written anew, so that they name the same files.

        Returns:
            The manifest as it now lies at ``path``.
        """
        path = Path(path)
        place = Place.of(path, self.root)
        rows = [self._moved(row, place) for row in self.rows]
        tables.write(path, rows)
        declared.write(path, self.tasks, self.licence)
        return dataclasses.replace(self, rows=rows, path=path)

    @property
    def place(self) -> Place:
        """Where paths of the rows start, and what they may not leave."""
        return Place.of(self.path, self.root)

    def only(self, rows: Sequence[Row]) -> Manifest:
        """The same manifest with these rows alone."""
        return dataclasses.replace(self, rows=list(rows))

    def fingerprint(self) -> str:
        """A hash of all rows as they are meant: the same in every format, in every place.

        It covers what the manifest says, not the content of the files it names.
        """
        digest = hashlib.sha256()
        for row in self.rows:
            text = json.dumps(record_of(row), sort_keys=True)
            digest.update(text.encode() + b"\n")
        return digest.hexdigest()

    def _moved(self, row: Row, place: Place) -> Row:
        here = row.place or self.place
        if here.folder == place.folder:
            return dataclasses.replace(row, place=place)

        def move(name: str) -> str:
            file, mark, key = name.partition("::")
            return place.relative(here.find(file)) + mark + key

        try:
            return _with_paths(row, move, place)
        except DataError as error:
            raise DataError(
                error.what,
                where=f"row {row.id!r}",
                fix=f"write it into {str(here.folder)!r}, or state a root that holds both",
            ) from error


def _rows(
    path: Path, columns: Mapping[str, str], rename: Mapping[str, str], place: Place
) -> list[Row]:
    rows: list[Row] = []
    lines: dict[str, str] = {}
    for where, record in tables.read(path, columns):
        try:
            row = row_of(record, rename=rename, place=place)
            if row.id in lines:
                raise DataError(
                    f"the id {row.id!r} was given before, in {lines[row.id]}",
                    fix="every row needs an id of its own",
                )
        except DataError as error:
            name = f", row {record['id']!r}" if record.get("id") else ""
            raise DataError(error.what, where=where + name, fix=error.fix) from error
        lines[row.id] = where
        rows.append(row)
    if not rows:
        raise DataError("the manifest has no rows", where=str(path))
    return rows


def _with_paths(row: Row, move: Callable[[str], str], place: Place) -> Row:
    """A row with every path in it changed."""
    features = {k: move(v) if isinstance(v, str) else v for k, v in row.features.items()}
    labels: dict[str, Label] = {}
    for task, label in row.labels.items():
        if isinstance(label, Track):
            label = dataclasses.replace(label, path=move(label.path))
        labels[task] = label
    return dataclasses.replace(
        row,
        video=move(row.video) if row.video else None,
        audio=move(row.audio) if row.audio else None,
        # A source that was only the path of its video is so again.
        source=None if row.source in (row.video, row.audio) else row.source,
        features=features,
        labels=labels,
        place=place,
    )
