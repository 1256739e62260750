"""Films watched by two runs: one makes a vector of each frame, the other reads them over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien import tasks
from mien.data.faces import Detector
from mien.errors import RunError
from mien.run import extractor, seeing
from mien.run.live import Answered, Live
from mien.run.load import Run, load
from mien.run.predict import Predictor
from mien.run.windows import Piece, View, Windows
from mien.tasks.smoothing import smoothed
from mien.types import Window

Bools = NDArray[np.bool_]
_MOST = 4096  # frames without a face that are taken at once


class SequencePredictor(Predictor):
    """A run that reads vectors of frames, and the one that makes them.

    Each person is followed from their first frame to their last, frames without them included, as
    a row of `mien data features` is; the answers are those that it would get.

    Args:
        run: reads vectors over time, as stage ``sequence`` of clip-sequential does.
        frames: makes them, as its stage ``frames`` does.
        view: how films are looked at, as :func:`view_of` says that those it learned from were.
        detector: finds faces.
        batch_size: frames that are looked at together; it changes no answer.
    """

    def __init__(
        self,
        run: Run,
        frames: Run,
        view: View,
        detector: Detector | None,
        *,
        batch_size: int = 64,
    ) -> None:
        extractor.check(frames)
        made = run.card.get("vectors") or {}
        if made.get("by") not in (None, extractor.identity(frames.path)):
            raise RunError(
                f"its vectors were made by {made.get('run')!r}, and {frames.path.name!r} is "
                "another run",
                where=str(run.path),
                fix="--frames with the run that `mien data features --run` was given",
            )
        view = replace(view, modalities=frozenset({"video"}), hop=view.window, apart=True)
        super().__init__(frames, view, detector, batch_size=batch_size)
        self.sequence = run
        self.specs = run.specs

    def stream(self, windows: Windows) -> Iterator[tuple[Piece, list[Window]]]:
        """Each piece, and with a last one of each person all that is said of them.

        Args:
            windows: an iteration over a file that nobody else advances.
        """
        people: dict[str, _Person] = {}
        for pieces in windows:
            for piece in pieces:
                if piece.track not in people:
                    people[piece.track] = _Person(self, piece)
                people[piece.track].feed(piece)
                yield piece, []
        for person in people.values():
            yield replace(person.first, video=None), person.finish()

    def made_by(self) -> dict[str, str]:
        """What a timeline says of its origin."""
        made = {**super().made_by(), **self.sequence.made_by()}
        made.pop("window")
        return made | {"frames": self.run.path.name}


class _Person:
    """One person of a film: vectors in, answers out.

    Args:
        predictor: whose runs are asked.
        first: where they are first seen.
    """

    def __init__(self, predictor: SequencePredictor, first: Piece) -> None:
        self.predictor, self.first, self.fps = predictor, first, predictor.view.fps
        self._live = Live(predictor.sequence)
        self._start = self._next = round(first.start * self.fps)  # positions of the film
        self._said: list[Answered] = []
        self._seen: list[Bools] = []

    def feed(self, piece: Piece) -> None:
        """The frames of a piece; windows are apart, so none came before."""
        assert piece.video is not None
        assert piece.seen is not None
        start = round(piece.start * self.fps)
        self._absent(start - self._next)
        run, pictures = self.predictor.run, piece.video
        made = extractor.vectors_at(
            run, lambda at: pictures[at], piece.seen, self.predictor.batch_size
        )
        self._take(made, piece.seen)

    def finish(self) -> list[Window]:
        """Everything that is said of the person, a window each frame in which they are seen."""
        self._said.append(self._live.finish())
        seen = np.concatenate(self._seen)
        scores = {}
        for name, spec in self.predictor.specs.items():
            raw = np.concatenate([part.scores[name] for part in self._said])
            how = self._live.windows
            scores[name] = smoothed(raw, spec, how.smooth, how.around)
        return [self._window(int(at), scores) for at in np.flatnonzero(seen)]

    def _absent(self, count: int) -> None:
        """Frames in which the person is not seen."""
        for first in range(0, count, _MOST):
            some = min(_MOST, count - first)
            self._take(np.zeros((some, self._width), np.float32), np.zeros(some, np.bool_))

    def _take(self, vectors: NDArray[np.float32], seen: Bools) -> None:
        self._width = vectors.shape[1]
        self._said.append(self._live.feed(vectors, seen))
        self._seen.append(seen)
        self._next += len(seen)

    def _window(self, at: int, scores: dict[str, NDArray[np.float64]]) -> Window:
        start, end = ((self._start + at + more) / self.fps for more in (0, 1))
        said: dict[str, dict[str, float]] = {}
        unsure: dict[str, float] = {}
        for name, spec in self.predictor.specs.items():
            said[name], doubt = tasks.decode(spec, scores[name][at])
            if doubt is not None:
                unsure[name] = doubt
        return Window(
            start=start, end=end, scores=said, uncertainty=unsure, present={"video": True}
        )


def frames_of(run: Run, path: Path | None) -> Run:
    """The run that makes the vectors which a run reads.

    Args:
        run: what reads them.
        path: its folder, if one was given.
    """
    if path is None:
        made = (run.card.get("vectors") or {}).get("run")
        raise RunError(
            "this run reads vectors of frames" + (f", those that {made!r} makes" if made else ""),
            where=str(run.path),
            fix=f"--frames {made or 'RUN'}, the run that `mien data features` was given",
        )
    return load(path, merge=True)


def view_of(run: Run, frames: Run) -> View:
    """How the frames of the vectors that a run learned from were cut out."""
    recipe = (run.card.get("vectors") or {}).get("recipe")
    return seeing.view_of(frames, [recipe] if recipe else None)


def needed(run: Run) -> bool:
    """Whether a run reads vectors of frames, and so needs one that makes them."""
    kinds = list((run.card.get("inputs") or {}).values())
    return run.stage.windows is not None and kinds == [seeing.VECTORS]
