"""From rows to samples, read when they are asked for.

Shapes: L positions, U utterances, C labels of a task, D width of a feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mien.data import prepared, targets, tracks
from mien.data.collate import collate
from mien.data.dialogues import Context, dialogues, stacked
from mien.data.features import WAVEFORM
from mien.data.manifest import Manifest
from mien.data.places import Place
from mien.data.prepared import Bools, Indices, Source
from mien.data.rows import Row, Track
from mien.errors import DataError, did_you_mean
from mien.types import Resolution, Sample, Specs, TaskSpec, Unit

__all__ = ["Bools", "Choose", "Indices", "RowDataset", "collate"]

Array = NDArray[np.generic]
Choose = Callable[[Mapping[str, Bools], Mapping[str, float]], Mapping[str, Indices]]
"""Masks (L) of a sample's inputs, and the positions a second of those of which it is known, to the
positions (T) of some of them that will be seen; -1 is none, a masked one."""

TEXT = "text"


class RowDataset(Dataset[Sample]):
    """Rows of a manifest as samples, read when they are asked for.

    Where the unit is the dialogue, its rows in the order of their turns make one sample: each
    utterance is one position, and one that lacks a feature is masked there. Else a row is one.

    Args:
        rows: what to read.
        manifest: where the rows come from.
        modalities: modality of the model -> feature of the rows. ``text`` means what is said, as
            its UTF-8 bytes, unless rows have a feature of this name.
        specs: tasks whose labels become targets.
        unit: what a sample is; of texts, what is said is read although there are features of it.
        context: utterances before and after each that are told with its text; None: its own alone.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        manifest: Manifest,
        modalities: Mapping[str, str],
        specs: Specs,
        unit: Unit,
        context: int | None = None,
    ) -> None:
        self.modalities, self.specs, self.unit = dict(modalities), dict(specs), unit
        self.place: Place = manifest.place
        self._where = str(manifest.path)
        known = {name for row in manifest.rows for name in row.features}
        self._spoken = unit is Unit.TEXT or TEXT not in known
        # Of a dialogue that was cut, too, everything that was said is at hand: words are no labels.
        self._context = None if context is None else Context(manifest.rows, context)
        self._check_names(known)
        self.items = dialogues(rows) if unit is Unit.DIALOGUE else [[row] for row in rows]
        self._check_rows()
        self._labelled = any(name in row.labels for row in rows for name in specs)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        return self.read(index)

    def read(self, index: int, choose: Choose | None = None) -> Sample:
        """A sample; of prepared files only the positions that are chosen, if somebody chooses.

        Args:
            index: which sample.
            choose: masks (L) of the inputs to positions (T) of some of them.
        """
        rows = self.items[index]  # an IndexError ends an iteration
        if self.unit is Unit.DIALOGUE:
            inputs, mask = self._utterances(rows)
            starts = [np.nan if row.start is None else row.start for row in rows]
            return Sample(
                id=str(rows[0].dialogue),
                inputs=inputs,
                mask=mask,
                targets=self.targets(index),
                times=None if np.isnan(starts).any() else np.array(starts),
                group=rows[0].source or str(rows[0].dialogue),
            )
        (row,) = rows
        sources = self._sources(row)
        chosen = self._positions(sources, choose)
        read = {name: _read(source, chosen.get(name)) for name, source in sources.items()}
        made = self.targets(index)
        return Sample(
            id=row.id,
            inputs={name: values for name, (values, _) in read.items()},
            mask={name: there for name, (_, there) in read.items() if not there.all()},
            targets=made,
            times=self._times(row, sources, made),
            group=group_of(row),
            chosen=frozenset(chosen),
        )

    def targets(self, index: int) -> dict[str, Array]:
        """The targets of one sample by task; no feature is read. Empty if no row has any label.

        A task without a label in this sample has targets that say "not annotated".
        """
        if not self._labelled:
            return {}
        rows = self.items[index]
        if self.unit is Unit.DIALOGUE:
            return {name: self._of_dialogue(rows, spec) for name, spec in self.specs.items()}
        (row,) = rows
        return self._labels(row)

    def length(self, index: int) -> int:
        """How much there is to read of one sample; no feature is read.

        Bytes of its words, positions of its longest feature, or utterances of a dialogue.
        """
        rows = self.items[index]
        if self.unit is Unit.DIALOGUE:
            return len(rows)
        (row,) = rows
        words = [name for name in self.modalities if self._has(row, name) and self._says(name)]
        return max(
            [len(self._source(row, name).mask) for name in words] + self._lengths(row), default=0
        )

    def members(self) -> list[list[str]]:
        """The ids of the rows of each sample: its own, or those of a dialogue's utterances."""
        return [[row.id for row in rows] for rows in self.items]

    def groups(self) -> dict[str, list[list[str | int | float | None]]]:
        """What samples can be compared by: their groups fields and speaker, where rows have any.

        Of each sample one value a row: one for a clip, one an utterance for a dialogue.
        """
        said = [[_compared(row) for row in rows] for rows in self.items]
        names = dict.fromkeys(name for rows in said for row in rows for name in row)
        return {name: [[row.get(name) for row in rows] for rows in said] for name in names}

    def _labels(self, row: Row) -> dict[str, Array]:
        """The targets of one row by task; errors name it."""
        if not self._labelled:
            return {}
        with _blamed(row):
            return self._of_row(row)

    def _of_row(self, row: Row) -> dict[str, Array]:
        frames = [spec for spec in self.specs.values() if spec.resolution is Resolution.FRAME]
        made = self._of_frames(row, frames) if frames else {}
        for name, spec in self.specs.items():
            if name not in made:
                made[name] = targets.of_clip(row.labels.get(name), spec)
        return {name: made[name] for name in self.specs}

    # -- what there is to read -----------------------------------------------------------------

    def _check_names(self, known: set[str]) -> None:
        for modality, name in self.modalities.items():
            if name not in known | {TEXT}:
                raise DataError(
                    f"no row has a feature {name!r} for {modality!r}: {did_you_mean(name, known)}",
                    where=self._where,
                )

    def _check_rows(self) -> None:
        """Every sample has something to read: a model cannot answer to nothing."""
        empty = [
            rows[0]
            for rows in self.items
            if not any(self._has(row, name) for row in rows for name in self.modalities)
        ]
        if not empty:
            return
        wanted = ", ".join(sorted(set(self.modalities.values())))
        names = ", ".join(repr(row.id) for row in empty[:5]) + ", ..." * (len(empty) > 5)
        media = next((row for row in empty if row.video or row.audio), None)
        raise DataError(
            f"{len(empty)} rows have only media, and features are needed: {wanted}"
            if media
            else f"{len(empty)} rows have none of the inputs: {wanted}",
            where=f"{self._where}, rows {names}",
            fix=f"mien data prepare {self._where}"
            if media
            else "give them features, or leave them out",
        )

    def _sources(self, row: Row) -> dict[str, Source]:
        """The inputs that a row has, unread."""
        have = [name for name in self.modalities if self._has(row, name)]
        found = {name: self._source(row, name) for name in have}
        return {name: source for name, source in found.items() if source.there}

    def _positions(
        self, sources: Mapping[str, Source], choose: Choose | None
    ) -> dict[str, Indices]:
        """What is chosen where anything is prepared; all of it where every frame has a label."""
        by_frame = any(spec.resolution is Resolution.FRAME for spec in self.specs.values())
        if choose is None or by_frame or not any(source.lazy for source in sources.values()):
            return {}
        masks = {name: source.mask for name, source in sources.items()}
        rates = {name: source.rate for name, source in sources.items() if source.rate is not None}
        return dict(choose(masks, rates))

    def _has(self, row: Row, modality: str) -> bool:
        return bool(row.text) if self._says(modality) else self.modalities[modality] in row.features

    def _says(self, modality: str) -> bool:
        """Whether a modality is a row's own words."""
        return self.modalities[modality] == TEXT and self._spoken

    def _source(self, row: Row, modality: str) -> Source:
        if self._says(modality):
            words = (row.text or "") if self._context is None else self._context.told(row)
            text = np.frombuffer(words.encode(), dtype=np.uint8)
            return prepared.of_array(text.astype(np.int64))
        return prepared.source(row, self.modalities[modality], self.place)

    # -- dialogues -----------------------------------------------------------------------------

    def _utterances(self, rows: Sequence[Row]) -> tuple[dict[str, Array], dict[str, Array]]:
        """Features (U, D) of a whole dialogue, and which utterances (U) have them."""
        inputs: dict[str, Array] = {}
        mask: dict[str, Array] = {}
        for name in self.modalities:
            found = stacked(rows, name, partial(self._vector, modality=name))
            if found is not None:
                inputs[name], mask[name] = found
        return inputs, mask

    def _vector(self, row: Row, modality: str) -> Array | None:
        source = self._source(row, modality) if self._has(row, modality) else None
        if source is None or not source.there:
            return None
        array = source.whole()
        if array.ndim != 2 or len(array) != 1:
            raise DataError(
                f"a dialogue takes one vector an utterance, {modality!r} has shape {array.shape}",
                where=f"row {row.id!r}",
                fix="mien data features extracts one vector an utterance",
            )
        return np.asarray(array[0])

    def _of_dialogue(self, rows: Sequence[Row], spec: TaskSpec) -> Array:
        made = []
        for row in rows:
            with _blamed(row):
                made.append(targets.of_clip(row.labels.get(spec.name), spec))
        return targets.stacked(made, spec)  # (U), (U, C)

    # -- frames --------------------------------------------------------------------------------

    def _of_frames(self, row: Row, specs: Sequence[TaskSpec]) -> dict[str, Array]:
        """Targets (L) or (L, C) at the positions of the inputs."""
        lengths = self._lengths(row)
        made: dict[str, Array] = {}
        for spec in specs:
            if spec.name in row.labels:
                made[spec.name] = self._frames(row, spec, lengths)
        length = max((len(array) for array in made.values()), default=max(lengths, default=1))
        unlabelled = [spec for spec in specs if spec.name not in made]
        return made | {spec.name: targets.unknown(spec, length) for spec in unlabelled}

    def _frames(self, row: Row, spec: TaskSpec, lengths: Sequence[int]) -> Array:
        label = row.labels[spec.name]
        rate = self._rate(row)
        fps = rate
        if isinstance(label, Track):
            values = tracks.load(label, row.place or self.place, spec, row=row.id)
            fps = label.fps
        elif isinstance(label, list):
            values = label
        elif spec.categorical:  # what is said of a whole row holds at each of its frames
            held = targets.of_clip(label, spec)
            return np.repeat(held[None], max(RowDataset._lengths(self, row), default=1), axis=0)
        else:
            raise DataError(
                f"task {spec.name!r} asks for a label a frame, not {label!r}",
                fix='"path" of a track, or a list with one label a position',
            )
        found = targets.of_frames(values, spec)
        at = tracks.positions(len(found), track_fps=fps, fps=rate, lengths=lengths)
        rest = targets.unknown(spec, 1)
        if found.ndim > rest.ndim:  # soft classes
            rest = np.full((1, spec.width), np.nan, dtype=found.dtype)
        return np.concatenate([found, rest])[at]

    def _lengths(self, row: Row) -> list[int]:
        """How many positions each input has; waveforms and texts count none."""
        names = [name for name in self.modalities.values() if name in row.features]
        lengths = [prepared.length(row, name, self.place) for name in names]
        return [length for length in lengths if length is not None]

    def _rate(self, row: Row) -> float | None:
        """Positions a second: those of its prepared frames, else what the row says.

        A row that names a folder of pictures says how many of those there are a second.
        """
        names = [name for name in self.modalities.values() if name in row.features]
        found = filter(None, (prepared.fps(row, name, self.place) for name in names))
        return next(found, row.fps)

    def _times(
        self, row: Row, sources: Mapping[str, Source], made: Mapping[str, Array]
    ) -> Array | None:
        """Seconds from the row's start, of labelled positions or of the longest input."""
        frames = [
            len(made[name])
            for name, spec in self.specs.items()
            if spec.resolution is Resolution.FRAME and name in made
        ]
        lengths = frames or [len(source.mask) for source in sources.values() if source.steps]
        rate = self._rate(row)
        if rate is None or max(lengths, default=0) < 2:
            return None
        return np.arange(max(lengths)) / rate


def group_of(row: Row) -> str:
    """Whose a row is, for scores by group."""
    return row.speaker or row.source or row.dialogue or ""


def _read(source: Source, positions: Indices | None) -> tuple[Array, Bools]:
    """All of an input, or the positions (T) that were chosen, and which of them are there."""
    if positions is None:
        values, there = source.whole(), source.mask
        if source.lazy and not source.steps and values.ndim == 1:  # sound, or it may seem a vector
            short = max(0, WAVEFORM - len(values))
            return np.pad(values, (0, short)), np.pad(there, (0, short))
        return values, there
    return source.read(positions), source.mask[positions] & (positions >= 0)


@contextmanager
def _blamed(row: Row) -> Iterator[None]:
    """Within: an error that names no place yet names the row."""
    try:
        yield
    except DataError as error:
        where = error.where or f"row {row.id!r}"
        raise DataError(error.what, where=where, fix=error.fix) from error


def _compared(row: Row) -> dict[str, str | int | float]:
    """What a row can be compared by; a groups field called "speaker" is the manifest's own word."""
    return ({} if row.speaker is None else {"speaker": row.speaker}) | row.groups
