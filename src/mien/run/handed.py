"""What others measured of a row, found by its name: faces, tones and transcripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mien.cues import faces, tones, transcripts
from mien.cues.schema import Dimensions, Face
from mien.cues.tones import Tones
from mien.data import features
from mien.data.places import Place
from mien.data.rows import Row
from mien.data.turns import Turn
from mien.errors import DataError
from mien.types import Timeline

Seen = tuple[Iterable[Face], tuple[Dimensions, ...]]
"""Faces in the order of time, which can be gone through again and again, and dimensions."""


@dataclass(frozen=True, slots=True)
class Again(Iterable[Face]):
    """Faces that are read anew each time, so that nobody has to keep all of them.

    Args:
        read: gives them from the first one on.
    """

    read: Callable[[], Iterator[Face]]

    def __iter__(self) -> Iterator[Face]:
        return self.read()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """Where it lies. A row's files are called like its id, or like its recording.

    Args:
        faces: a folder of CSV files of py-feat or OpenFace.
        vectors: a feature of the manifest and the layout of its values.
        timelines: answers of a run, by the name of their source.
        tones: of the paid service, by the name of the file.
        transcripts: a folder of SRT, VTT, TXT or JSON files.
    """

    faces: Path | None = None
    vectors: tuple[str, str] | None = None
    timelines: Mapping[str, Timeline] = field(default_factory=dict)
    tones: Mapping[str, Tones] | None = None
    transcripts: Path | None = None

    @classmethod
    def read(
        cls,
        *,
        faces: Path | None = None,
        vectors: tuple[str, str] | None = None,
        timelines: Sequence[Timeline] = (),
        tones: Path | None = None,
        transcripts: Path | None = None,
    ) -> Handed:
        """Look whether it is there.

        Raises:
            DataError: it is not.
        """
        for folder in (faces, transcripts):
            if folder is not None and not folder.is_dir():
                raise DataError("there is no such folder", where=str(folder))
        return cls(
            faces=faces,
            vectors=vectors,
            timelines={Path(line.source).stem: line for line in timelines},
            tones=None if tones is None else _tones(tones),
            transcripts=transcripts,
        )

    def seen(self, row: Row, place: Place, start: float, end: float) -> Seen | None:
        """The faces of a row, and dimensions that came with them; None where nobody looked."""
        if self.vectors is not None:
            return self._vectors(row, place, *self.vectors), ()
        line = next((self.timelines[n] for n in names(row) if n in self.timelines), None)
        if line is not None:
            return faces.of_timeline(line, row.person)
        for name in names(row) if self.faces is not None else ():
            assert self.faces is not None
            file = self.faces / f"{name}.csv"
            if file.is_file():
                return Again(partial(faces.read_faces, file, fps=row.fps, start=start, end=end)), ()
        return None

    def _vectors(self, row: Row, place: Place, feature: str, layout: str) -> Iterable[Face]:
        if feature not in row.features:
            return ()  # the row lacks it: nothing was found
        values = features.load(row.features[feature], row.place or place, row=row.id)
        found = partial(faces.of_vectors, values, layout, start=row.start or 0.0, fps=row.fps)
        try:
            found()
        except DataError as error:
            raise DataError(error.what, where=f"features.{feature}", fix=error.fix) from error
        return Again(found)

    def heard(self, row: Row) -> Tones | None:
        """The tones of a row; None where nobody listened."""
        return next((self.tones[n] for n in names(row) if self.tones and n in self.tones), None)

    def said(self, row: Row, span: tuple[float, float]) -> tuple[Turn, ...] | None:
        """What is said: in a file, else in the row itself; None where nobody wrote it down."""
        for name in names(row) if self.transcripts is not None else ():
            assert self.transcripts is not None
            file = transcripts.beside(self.transcripts, name)
            if file is not None:
                return transcripts.read_transcript(file, start=span[0], end=span[1])
        return None if row.text is None else (Turn(*span, row.speaker, row.text),)


def names(row: Row) -> list[str]:
    """What files about a row may be called; never a path."""
    found = [row.id, *(Path(file).stem for file in (row.audio, row.video) if file)]
    return [name for name in dict.fromkeys(found) if name == Path(name).name]


def _tones(path: Path) -> dict[str, Tones]:
    """The tones of one job, or of all in a folder."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    found: dict[str, Tones] = {}
    for file in files:
        for name, heard in tones.read_tones(file).items():
            if Path(name).stem in found:
                raise DataError(f"two jobs heard a file called {name!r}", where=str(file))
            found[Path(name).stem] = heard
    return found
