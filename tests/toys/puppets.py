"""Puppets whose way is known: rectangles on a stage, and the detector that knows where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien.data.faces import Detector, Face
from mien.data.frames import Frame

Pixels = NDArray[np.uint8]
Way = Callable[[float], tuple[float, float] | None]
"""Seconds to the middle of a face; None while it is away."""

WIDE, HIGH = 320, 180
COLOURS = ((200, 60, 60), (60, 200, 60), (60, 60, 200), (200, 200, 60))


@dataclass
class Stage(Detector):
    """A play of some seconds, and a detector that may err.

    Args:
        ways: puppet to its way.
        seconds: length of the play.
        fps: frames a second.
        cuts: at which seconds the scenery changes.
        size: side of a face.
        jitter: deviation of a found box, in sizes.
        misses: share of the faces that are not found.
        ghosts: share of the frames on which something is found that is no face.
        hidden: whether a puppet that is behind another is not found.
    """

    ways: Mapping[str, Way]
    seconds: float = 4.0
    fps: float = 25.0
    cuts: Sequence[float] = ()
    size: float = 30.0
    jitter: float = 0.0
    misses: float = 0.0
    ghosts: float = 0.0
    hidden: bool = True
    seed: int = 0
    asked: int = 0
    name: str = "puppets-1"
    note: str = ""
    has_points: bool = False
    settings: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(None)
        self._random = np.random.default_rng(self.seed)

    def truth(self, time: float) -> dict[str, tuple[float, float]]:
        """Who is to be seen, and where; who stands behind another is not."""
        there = {name: at for name, way in self.ways.items() if (at := way(time)) is not None}
        seen: dict[str, tuple[float, float]] = {}
        for name, at in there.items():  # the first stands in front
            gaps = (max(abs(at[0] - x), abs(at[1] - y)) for x, y in seen.values())
            if not self.hidden or min(gaps, default=self.size) > self.size / 2:
                seen[name] = at
        return seen

    def frames(self) -> Iterator[Frame]:
        """The play. Its first pixels say which frame it is."""
        scenery = 0
        for index in range(round(self.seconds * self.fps)):
            time = index / self.fps
            scenery = sum(time >= cut for cut in self.cuts)
            yield Frame(time, self._draw(index, time, scenery))

    def _draw(self, index: int, time: float, scenery: int) -> Pixels:
        random = np.random.default_rng(100 + scenery)
        blocks = random.integers(20, 120, (6, 8, 3)).astype(np.uint8)
        picture = blocks.repeat(HIGH // 6, 0).repeat(WIDE // 8, 1)
        for name, (x, y) in reversed(list(self.truth(time).items())):
            half = int(self.size / 2)
            top, left = max(0, int(y) - half), max(0, int(x) - half)
            colour = COLOURS[sorted(self.ways).index(name) % len(COLOURS)]
            picture[top : int(y) + half, left : int(x) + half] = colour
        picture[0, :2, 0] = divmod(index, 256)
        return picture

    def _rows(self, pixels: Pixels) -> NDArray[np.float32]:
        raise NotImplementedError

    def detect(self, frames: Sequence[Pixels]) -> list[list[Face]]:
        return [self._found(frame) for frame in frames]

    def _found(self, frame: Pixels) -> list[Face]:
        self.asked += 1
        index = int(frame[0, 0, 0]) * 256 + int(frame[0, 1, 0])
        faces = []
        for x, y in self.truth(index / self.fps).values():
            if self._random.random() < self.misses:
                continue
            x, y, size = np.array([x, y, self.size]) + self._random.normal(
                0, self.jitter * self.size + 1e-9, 3
            )
            faces.append(Face((x - size / 2, y - size / 2, size, size), 0.9))
        if self._random.random() < self.ghosts:
            left, top = self._random.uniform(0, 280), self._random.uniform(0, 150)
            faces.append(Face((left, top, 30.0, 30.0), 0.72))
        return sorted(faces, key=lambda face: -face.area)


def straight(
    start: tuple[float, float], end: tuple[float, float], begin: float, stop: float
) -> Way:
    """From one place to another between two seconds; away before and after."""

    def way(time: float) -> tuple[float, float] | None:
        if not begin <= time < stop:
            return None
        share = (time - begin) / (stop - begin)
        return (
            start[0] + share * (end[0] - start[0]),
            start[1] + share * (end[1] - start[1]),
        )

    return way


def standing(x: float, y: float, begin: float = 0.0, stop: float = 1e9) -> Way:
    """At one place."""
    return straight((x, y), (x, y), begin, stop)
