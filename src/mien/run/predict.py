"""From any file to a timeline: who is there, what a run says of them, window after window."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mien.data.faces import Detector, open_detector
from mien.data.turns import Turn
from mien.data.writer import encode
from mien.errors import RunError
from mien.evidence import Evidence
from mien.run import infer, seeing
from mien.run.batches import choose
from mien.run.explain import Explained, How, explain
from mien.run.hiding import Given
from mien.run.load import Run
from mien.run.windows import Piece, View, Windows
from mien.types import Resolution, Sample, Timeline, Track, Window

_MOST, _SIDE, _QUALITY = 8, 96, 70  # thumbnails of a person


class Thumbnail(NamedTuple):
    """A small picture of a person, at a second on the clock of the source, as JPEG."""

    time: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Watched:
    """What became of a file: the answers, and small pictures of who they are about, by track."""

    timeline: Timeline
    thumbnails: Mapping[str, Sequence[Thumbnail]] = field(default_factory=dict)


class Predictor:
    """A run that watches files.

    Args:
        run: what answers.
        view: how files are looked at; :func:`mien.run.seeing.view_of` says how the run was taught.
        detector: finds faces; None where the view or the run wants none.
        batch_size: windows that are answered together; it changes no answer.
        how: how answers are explained; None: they are not.
    """

    def __init__(
        self,
        run: Run,
        view: View,
        detector: Detector | None,
        *,
        batch_size: int = 8,
        how: How | None = None,
    ) -> None:
        if not run.specs:
            raise RunError("this run learned no task, so it has nothing to say of a file")
        seeing.check(run)
        self.run, self.detector, self.batch_size, self.how = run, detector, batch_size, how
        self._asked = 0  # answers that it took to explain a window, at most
        reads = view.modalities & set(run.stage.modalities)
        if not reads:
            raise RunError(
                f"{run.settings.system!r} reads neither pictures nor sound",
                where=str(run.path),
                fix="mien predict MANIFEST with what it does read",
            )
        self._by_frame = any(s.resolution is Resolution.FRAME for s in run.specs.values())
        if self._by_frame:
            view = replace(view, hop=view.window, apart=True)  # every frame is answered once
        self.view = replace(view, modalities=frozenset(reads))

    @classmethod
    def of(cls, run: Run, *, batch_size: int = 8, how: How | None = None) -> Self:
        """Watching as the run was taught, with the best detector at hand."""
        view = seeing.view_of(run)
        looks = "video" in view.modalities and not view.whole
        return cls(run, view, open_detector() if looks else None, batch_size=batch_size, how=how)

    def predict(
        self,
        path: str | Path,
        *,
        turns: Sequence[Turn] = (),
        who: Mapping[str, str] | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Watched:
        """Everything the run says of a file.

        Args:
            path: video, sound or picture.
            turns: who speaks when, if somebody said.
            who: speaker of a turn to face, such as ``anna`` to ``face-2``.
            progress: called with the seconds that are behind us.
        """
        view = replace(self.view, turns=turns, who=who or {})
        windows = Windows(Path(path), view, self.detector, progress)
        tracks: dict[str, list[Window]] = {}
        kinds: dict[str, Track] = {}
        small: dict[str, _Few] = {}
        for piece, answers in self.stream(windows):
            tracks.setdefault(piece.track, []).extend(answers)
            kinds.setdefault(piece.track, Track(id=piece.track, kind=piece.kind, windows=()))
            if piece.video is not None:
                small.setdefault(piece.track, _Few()).offer(piece)
        timeline = Timeline(
            source=os.fsencode(Path(path).name).decode("utf-8", "replace"),
            tracks=[replace(kinds[name], windows=tracks[name]) for name in tracks],
            made_by=self.made_by(),
            duration=windows.duration,
            notes=[*self._notes(), *windows.notes(), *_unanswered(tracks)],
        )
        return Watched(timeline, {name: few.pictures() for name, few in small.items()})

    def stream(self, windows: Windows) -> Iterator[tuple[Piece, list[Window]]]:
        """Pieces with their answers, as soon as there are enough for a batch.

        Args:
            windows: an iteration over a file that nobody else advances.
        """
        waiting: list[Piece] = []
        for pieces in windows:
            waiting += pieces
            while len(waiting) >= self.batch_size:
                yield from self._answered(waiting[: self.batch_size])
                del waiting[: self.batch_size]
        yield from self._answered(waiting)

    def made_by(self) -> dict[str, str]:
        """What a timeline says of its origin."""
        view = self.view
        made = self.run.made_by() | {"window": f"{view.window:g} s every {view.hop:g} s"}
        if "video" in view.modalities:
            made["detector"] = self.detector.name if self.detector is not None else "none"
            made["crop"] = view.crop.name
        if self.how is not None:
            made |= self.how.made_by(self._asked)
        return made

    def _notes(self) -> list[str]:
        notes = seeing.mismatches(self.run, self.view, self.detector)
        if self.detector is not None and self.detector.note:
            notes.append(self.detector.note)
        return notes

    # -- answers -------------------------------------------------------------------------------

    def _answered(self, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, list[Window]]]:
        if not pieces:
            return
        recorded = [_recorded(piece) for piece in pieces]
        samples = [self._chosen(sample) for sample in recorded]
        found = infer.predict(
            self.run.whole, _Samples(samples), self.run.specs, batch_size=self.batch_size
        )
        reasons = self._reasons(pieces, recorded, found)
        for index, (piece, sample) in enumerate(zip(pieces, samples, strict=True)):
            yield piece, self._windows(piece, sample, found, index, reasons.get(index))

    def _reasons(
        self, pieces: Sequence[Piece], recorded: Sequence[Sample], found: infer.Predictions
    ) -> dict[int, Explained]:
        """Why each piece has its answers, where somebody asks."""
        if self.how is None:
            return {}
        explained = explain(
            self.run.whole,
            Given(recorded, self._chosen),
            found,
            self.run.specs,
            [piece.end - piece.start for piece in pieces],
            self.how,
            batch_size=4 * self.batch_size,
        )
        self._asked = max(self._asked, *(one.asked for one in explained))
        return dict(enumerate(explained))

    def _chosen(self, sample: Sample) -> Sample:
        """A sample as the model reads it: of its pictures only those that will be looked at."""
        if self._by_frame:
            return sample
        rates = {"video": self.view.fps, "audio": float(self.view.rate)}
        inputs = dict(sample.inputs)
        mask = {name: np.asarray(there, np.bool_) for name, there in sample.mask.items()}
        chosen = choose(self.run.front_end, mask, rates, training=False)
        for name, positions in chosen.items():
            inputs[name] = inputs[name][positions]
            mask[name] = mask[name][positions] & (positions >= 0)
        return replace(sample, inputs=inputs, mask={**mask}, chosen=frozenset(chosen))

    def _windows(
        self,
        piece: Piece,
        sample: Sample,
        found: infer.Predictions,
        index: int,
        why: Explained | None,
    ) -> list[Window]:
        """One window for a piece, or one for every position that was answered."""
        count = max(len(task.scores[index]) for task in found.tasks.values())
        present = {name: name in sample.inputs for name in sorted(self.view.modalities)}
        windows = []
        for position in range(count):
            start, end = piece.start, piece.end
            if self._by_frame:
                if piece.seen is not None and not piece.seen[position]:
                    continue
                start, end = (piece.start + (position + more) / self.view.fps for more in (0, 1))
            scores, unsure = found.said(index, position, self.run.specs)
            windows.append(
                Window(
                    start=start,
                    end=end,
                    scores=scores,
                    uncertainty=unsure,
                    present=present,
                    box=piece.box,
                    voice=piece.voice,
                    voice_score=piece.voice_score,
                    evidence=self._evidence(piece, position, why) if scores else None,
                )
            )
        return windows

    def _evidence(self, piece: Piece, position: int, why: Explained | None) -> Evidence | None:
        if why is None or self.how is None:
            return None
        return why.evidence(position, piece.start, piece.end, self.how, few=self._by_frame)


def _recorded(piece: Piece) -> Sample:
    """A piece as a sample, of which nothing is chosen yet."""
    there = {"video": (piece.video, piece.seen), "audio": (piece.audio, piece.heard)}
    inputs: dict[str, NDArray[Any]] = {}
    mask: dict[str, NDArray[Any]] = {}
    for name, (array, seen) in there.items():
        if array is not None and seen is not None and seen.any():
            inputs[name], mask[name] = array, seen
    return Sample(id=piece.track, inputs=inputs, mask=mask)


def _unanswered(tracks: Mapping[str, Sequence[Window]]) -> list[str]:
    """That the run gave no answer in some windows, if so."""
    count = sum(not window.scores for windows in tracks.values() for window in windows)
    if not count:
        return []
    windows = "one window" if count == 1 else f"{count} windows"
    return [f"In {windows} what is seen and heard supports no answer, and none is given."]


class _Samples(Dataset[Sample]):
    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


class _Few:
    """A handful of pictures of one person, spread over a time whose length nobody knows yet."""

    def __init__(self) -> None:
        self._kept: list[Thumbnail] = []
        self._offered, self._step = 0, 1

    def offer(self, piece: Piece) -> None:
        """Take the middle picture of a piece, or not."""
        if piece.video is None or piece.seen is None:
            return
        if self._offered % self._step == 0:
            at = np.flatnonzero(piece.seen)
            middle = int(at[len(at) // 2])
            share = middle / len(piece.seen)
            small = cv2.resize(piece.video[middle], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
            time = piece.start + share * (piece.end - piece.start)
            self._kept.append(Thumbnail(time, encode(small, _QUALITY)))
        self._offered += 1
        if len(self._kept) > _MOST:
            self._kept = self._kept[::2]
            self._step *= 2

    def pictures(self) -> list[Thumbnail]:
        """Those that were kept, in order."""
        return self._kept
