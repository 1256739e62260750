"""People followed through a film: looked for on some frames, placed on those between.

Who is found is matched with who was there by three things: where they would be had they gone on as
before, how large they are, and their colours. Whoever is found only once was no face. Nobody is
placed where they were not found shortly before and after; a cut ends everyone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.data.cuts import Cuts
from mien.data.faces import Box, Detector, Face
from mien.data.frames import Frame
from mien.data.people import shared

Pixels = NDArray[np.uint8]

BRIDGE = 1.0
"""Seconds for which someone may be missed and is still the same person afterwards."""

_MOST = 16  # people at once
_HELD = 2**28  # bytes of frames that wait; larger frames are looked at more often
_HURRY = 2  # frames that are searched after someone new was found: they may be fast
_BLIND = 10  # intervals without any picture after which nobody is waited for
_SAME = 0.5  # share of the smaller of two finds in the other: they are one face
_REACH, _DRIFT = 0.7, 0.6  # sizes of a face that one may be off, and more for each second missed
_GROWN = 0.5  # doublings or halvings of a face's size
_COLOURS = 1.0  # what colours weigh beside one size of distance
_STRANGER = 0.6  # of colours that differ by this much nobody is the same
_KEEP = 0.7  # share of the old in the new, of colours and of speed


@dataclass(frozen=True, slots=True)
class Seen:
    """Someone on one frame: found there, or placed between two finds."""

    face: Face
    detected: bool


@dataclass(slots=True)
class Moment:
    """A frame and who is on it, by name: ``face-1``, ``face-2``, in the order of their coming.

    ``cut`` says that something new begins with it.
    """

    frame: Frame
    faces: dict[str, Seen]
    cut: bool


@dataclass(slots=True, eq=False)
class _Person:
    """Someone who was found, last at index ``at``; without a name until found again."""

    face: Face
    at: int
    time: float
    colours: NDArray[np.float32]
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))  # pixels a second
    name: str = ""

    def expected(self, time: float) -> NDArray[np.float64]:
        """Where the middle of the face would be by now."""
        return _middle(self.face.box) + self.speed * (time - self.time)

    def found(self, face: Face, at: int, time: float, colours: NDArray[np.float32]) -> None:
        """The same person again."""
        went = (_middle(face.box) - _middle(self.face.box)) / max(time - self.time, 1e-3)
        self.speed = _KEEP * self.speed + (1 - _KEEP) * went if self.name else went
        self.colours = _KEEP * self.colours + (1 - _KEEP) * colours
        self.face, self.at, self.time = face, at, time


class Follower:
    """Follows people frame by frame, in memory that does not grow.

    A frame comes back once it is known who is on it: two intervals later.

    Args:
        detector: finds faces.
        every: frames from one search to the next. The first frame after a cut and the last before
            it are searched too, the last of all, and those after one on which somebody was new or
            missing.
        bridge: seconds for which someone may be missed. Found again within two intervals they
            are placed on the frames between, later they are absent from these.
        most: people at once, the largest.
    """

    def __init__(
        self, detector: Detector, *, every: int = 5, bridge: float = BRIDGE, most: int = _MOST
    ) -> None:
        self.detector, self.every, self.bridge, self.most = detector, every, bridge, most
        self._cuts = Cuts()
        self._held: list[Frame] = []  # not given back yet
        self._seen: list[list[tuple[_Person, Seen]]] = []  # on each of them
        self._first = 0  # index of the first that is held
        self._searched: int | None = None  # index of the last search
        self._hurry = 0  # how many of the next frames are searched as well
        self._people: list[_Person] = []
        self._named = 0
        self._begins = False
        self._last: tuple[Pixels, list[Face]] | None = None

    def feed(self, frame: Frame) -> list[Moment]:
        """Take the next frame; gives those about which nothing can change any more."""
        done: list[Moment] = []
        if frame.pixels is not None and self._cuts.before(frame.pixels):
            done = self.finish()
            self._begins = True
        self._held.append(frame)
        self._seen.append([])
        index = self._first + len(self._held) - 1
        if frame.pixels is None and self._searched is None:  # there is nobody to wait for
            return done + self._give(index + 1)
        since = self.every if self._searched is None else index - self._searched
        if frame.pixels is not None:
            calm = min(self.every, max(1, _HELD // (2 * frame.pixels.nbytes)))
            if since >= (1 if self._hurry else calm):
                self._search(index)
            return done + self._give(max(self._first, index - 2 * calm))
        if since > _BLIND * self.every:
            return done + self.finish()
        return done

    def finish(self) -> list[Moment]:
        """What is left; everyone's time ends here."""
        shown = [i for i, frame in enumerate(self._held) if frame.pixels is not None]
        last = self._first + shown[-1] if shown else -1
        if shown and (self._searched is None or last > self._searched):
            self._search(last)
        done = self._give(self._first + len(self._held))
        self._people, self._searched, self._hurry = [], None, 0
        return done

    def _give(self, stop: int) -> list[Moment]:
        """Moments up to an index."""
        count = stop - self._first
        done = []
        for frame, seen in zip(self._held[:count], self._seen[:count], strict=True):
            faces = {person.name: one for person, one in seen if person.name}
            done.append(Moment(frame, faces if frame.pixels is not None else {}, self._begins))
            self._begins = False
        self._held, self._seen = self._held[count:], self._seen[count:]
        self._first = stop
        return done

    # -- one search ----------------------------------------------------------------------------

    def _search(self, index: int) -> None:
        frame = self._held[index - self._first]
        pixels = frame.pixels
        assert pixels is not None
        faces = self._find(pixels)
        colours = [_colours(pixels, face.box) for face in faces]
        self._people = [p for p in self._people if frame.time - p.time <= self.bridge]
        latest = -1 if self._searched is None else self._searched
        pairs = _matched(self._people, faces, colours, frame.time)
        lost = len([p for p in self._people if p.at == latest]) > len(pairs)
        for person, number in pairs:
            if person.at >= self._first:
                self._place(person, faces[number], index)
            person.found(faces[number], index, frame.time, colours[number])
            self._note(index, person, Seen(faces[number], detected=True))
            if not person.name:
                self._named += 1
                person.name = f"face-{self._named}"
        known = {number for _, number in pairs}
        for number, face in enumerate(faces):
            if number not in known:
                person = _Person(face, index, frame.time, colours[number])
                self._people.append(person)
                self._note(index, person, Seen(face, detected=True))
        new = len(faces) > len(pairs)
        self._hurry = max(_HURRY * new, lost, self._hurry - 1)
        self._searched = index

    def _find(self, pixels: Pixels) -> list[Face]:
        """The faces of a picture, each once, the largest first; of one that stays, the same."""
        if self._last is None or self._last[0] is not pixels:
            found: list[Face] = []
            for face in sorted(self.detector.detect([pixels])[0], key=lambda face: -face.score):
                if all(shared(face.box, other.box) < _SAME for other in found):
                    found.append(face)
            self._last = (pixels, sorted(found, key=lambda face: -face.area)[: self.most])
        return self._last[1]

    def _place(self, person: _Person, face: Face, index: int) -> None:
        """Put someone on the frames since they were last found."""
        begin = self._held[person.at - self._first].time
        span = self._held[index - self._first].time - begin
        for at in range(person.at + 1, index):
            share = (self._held[at - self._first].time - begin) / span if span > 0 else 0.0
            self._note(at, person, Seen(_between(person.face, face, share), detected=False))

    def _note(self, index: int, person: _Person, seen: Seen) -> None:
        self._seen[index - self._first].append((person, seen))


def follow(
    frames: Iterable[Frame],
    detector: Detector,
    *,
    every: int = 5,
    bridge: float = BRIDGE,
    most: int = _MOST,
) -> Iterator[Moment]:
    """Frames with who is on them, as soon as it is known: see `Follower`."""
    follower = Follower(detector, every=every, bridge=bridge, most=most)
    for frame in frames:
        yield from follower.feed(frame)
    yield from follower.finish()


# -- who is who ------------------------------------------------------------------------------------


def _matched(
    people: Sequence[_Person],
    faces: Sequence[Face],
    colours: Sequence[NDArray[np.float32]],
    time: float,
) -> list[tuple[_Person, int]]:
    """Pairs of a person and the number of a face, each once.

    Who is known and was found by the last search comes first, then who was found for the first
    time, then who is hidden: none of these may take the place of one before. Among few people the
    likeliest pairs, taken one by one, are the best together.
    """
    pairs: list[tuple[_Person, int]] = []
    taken: set[int] = set()
    latest = max((person.at for person in people), default=0)
    seen, hidden = ([p for p in people if (p.at == latest) == now] for now in (True, False))
    for group in ([p for p in seen if p.name], [p for p in seen if not p.name], hidden):
        costs = [
            (cost, i, number)
            for i, person in enumerate(group)
            for number, face in enumerate(faces)
            if number not in taken
            and (cost := _cost(person, face, colours[number], time)) is not None
        ]
        found: dict[int, int] = {}
        for _, i, number in sorted(costs):
            if i not in found and number not in taken:
                found[i] = number
                taken.add(number)
        pairs += [(group[i], number) for i, number in found.items()]
    return sorted(pairs, key=lambda pair: pair[1])


def _cost(person: _Person, face: Face, colours: NDArray[np.float32], time: float) -> float | None:
    """How unlikely it is that this is the person, in sizes of the face; None: it is not."""
    one, two = (float(np.sqrt(max(it.area, 1e-6))) for it in (person.face, face))
    grown = abs(float(np.log2(two / one)))
    missed = time - person.time
    here = _middle(face.box)
    ahead, back = (
        float(np.hypot(*(here - place))) / min(one, two)
        for place in (person.expected(time), _middle(person.face.box))
    )
    off = min(ahead, back)  # one who went may stand still, and one who stood may go
    unlike = float(1 - np.sqrt(person.colours * colours).sum())  # Bhattacharyya
    if grown > _GROWN * (1 + missed) or off > _REACH + _DRIFT * missed or unlike > _STRANGER:
        return None
    return (ahead + back) / 2 + grown + _COLOURS * unlike


def _middle(box: Box) -> NDArray[np.float64]:
    return np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])


def _colours(pixels: Pixels, box: Box) -> NDArray[np.float32]:
    """Shares of 4 x 4 x 4 colours within a box; alike where it lies outside of the picture."""
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    part = pixels[top : max(0, int(box[1] + box[3])), left : max(0, int(box[0] + box[2]))]
    if not part.size:
        return np.full(64, 1 / 64, np.float32)
    small = cv2.resize(part, (24, 24), interpolation=cv2.INTER_AREA).astype(np.int64) // 64
    counts = np.bincount((small @ np.array([16, 4, 1])).ravel(), minlength=64)
    return np.asarray(counts / counts.sum(), np.float32)


def _between(one: Face, two: Face, share: float) -> Face:
    """A face on its way from one place to another."""
    first, last = np.array(one.box), np.array(two.box)
    left, top, wide, high = ((1 - share) * first + share * last).tolist()
    points = None
    if one.points is not None and two.points is not None:
        points = ((1 - share) * one.points + share * two.points).astype(np.float32)
    return Face((left, top, wide, high), min(one.score, two.score), points)
