"""A recording as windows: who is to be seen and heard in each, streamed in constant memory.

Two clocks run side by side, pictures at some a second and samples at some a second, each read just
so far as the next window needs. What lies before the last window that was given is forgotten.

Shapes: L positions of a window, S side of a crop, N samples of a window.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.data import frames, media, sound, speaking, voice
from mien.data.crops import CropRecipe
from mien.data.faces import Box, Detector, Face
from mien.data.follow import Moment, follow
from mien.data.turns import Turn
from mien.errors import DataError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

VOICE = "voice"
CLIP = "clip"
_SEEN = 0.2
"""Share of a window in which a face has to be visible to be asked about."""
_SPOKEN = 0.1
"""Share of a window in which somebody has to speak for its sound to be asked about."""
_SHORTEST = 0.1
"""Seconds a last window has to add to be worth asking about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a recording is looked at.

    Args:
        modalities: which of ``video`` and ``audio`` the model reads.
        fps: pictures a second.
        rate: samples a second.
        window: seconds that are answered at once.
        hop: seconds from one window to the next.
        apart: windows share nothing: the last one is shorter, and does not reach back.
        crop: how a face is cut out.
        faces: who is asked about.
        person: the only one who is asked about, by name (``face-2``).
        every: pictures from one search for faces to the next.
        mouth: whether a voice may join the face whose mouth moves with it.
        turns: who speaks when, if somebody said.
        who: speaker of a turn to face.
    """

    modalities: frozenset[str] = frozenset(("audio", "video"))
    fps: float = 25.0
    rate: int = 16000
    window: float = 4.0
    hop: float = 2.0
    apart: bool = False
    crop: CropRecipe = field(default_factory=CropRecipe)
    faces: Literal["all", "largest"] = "all"
    person: str | None = None
    every: int = 5
    mouth: bool = False
    turns: Sequence[Turn] = ()
    who: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether the picture is asked about, and nobody in it."""
        return self.crop.by == "whole"


@dataclass(slots=True, kw_only=True)
class Piece:
    """What one person or voice shows in one window.

    Args:
        track: whose it is.
        kind: of the track.
        start: first second.
        end: where it ends.
        video: crops (L, S, S, 3), if any.
        seen: (L) at which positions the face is there.
        audio: samples (N), if any.
        heard: (N) which of them were recorded.
        box: the face in the middle of the window, as shares of the picture.
        voice: why the voice is this person's.
        voice_score: how strongly that is believed.
    """

    track: str
    kind: Literal["clip", "face", "voice"]
    start: float
    end: float
    video: Pixels | None = None
    seen: Bools | None = None
    audio: Floats | None = None
    heard: Bools | None = None
    box: Box | None = None
    voice: str = ""
    voice_score: float | None = None


class Windows:
    """The windows of one file, in order.

    Args:
        path: a media file.
        view: how it is looked at.
        detector: finds faces; not needed where none are wanted or there is no picture.
        progress: called with the seconds that are behind us.
    """

    def __init__(
        self,
        path: Path,
        view: View,
        detector: Detector | None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.view, self.progress = view, progress
        self.facts = media.probe(path)
        wants_video = "video" in view.modalities and self.facts.video is not None
        wants_audio = "audio" in view.modalities and self.facts.audio is not None
        self.damage = media.Damage()
        self.sight = _Sight(path, view, detector, self.damage) if wants_video else None
        self.sound = _Sound(path, view, self.damage) if wants_audio else None
        self._apart = 0  # windows in which it is not known whose voice it is

    def __iter__(self) -> Iterator[list[Piece]]:
        """The pieces of each window; a window in which nobody is there has none."""
        length, hop = round(self.view.window * self.view.fps), round(self.view.hop * self.view.fps)
        covered = 0
        for start in itertools.count(0, hop):
            self._advance(start + length)
            if self._over(start + length):
                break
            yield self._pieces(start, start + length)
            covered = start + length
            self._forget(start)
        end = self._end()
        start = covered if self.view.apart else max(0, end - length)
        shortest = 0 if self.view.apart else _SHORTEST * self.view.fps
        if end - covered > shortest or not covered:
            yield self._pieces(start, end)

    @property
    def duration(self) -> float:
        """Seconds that were read so far; of a finished recording all of it."""
        return self._end() / self.view.fps

    # -- both clocks ---------------------------------------------------------------------------

    def _advance(self, position: int) -> None:
        if self.sight is not None:
            self.sight.advance(position)
        if self.sound is not None:
            self.sound.advance(position / self.view.fps)
        if self.progress is not None:
            self.progress(min(position / self.view.fps, self.duration))

    def _over(self, position: int) -> bool:
        """Whether the recording ends before this position."""
        return self._end() < position

    def _end(self) -> int:
        """Positions that are known to be there."""
        seen = self.sight.count if self.sight is not None else 0
        heard = round(self.sound.seconds * self.view.fps) if self.sound is not None else 0
        return max(seen, heard)

    def _forget(self, position: int) -> None:
        if self.sight is not None:
            self.sight.forget(position)
        if self.sound is not None:
            self.sound.forget(position / self.view.fps)

    # -- one window ----------------------------------------------------------------------------

    def _pieces(self, first: int, last: int) -> list[Piece]:
        start, end = first / self.view.fps, last / self.view.fps
        if last <= first:
            return []
        faces = self.sight.pieces(first, last) if self.sight is not None else []
        if self.sound is None:
            return faces
        if self.view.whole and faces:
            for piece in faces:
                piece.audio, piece.heard = self._wave(piece.start, piece.end)
            return faces
        if not self._speaks(start, end):
            return faces
        seen = self.sight.visible(first, last) if self.sight is not None else {}
        return self._joined(faces, seen, start, end)

    def _joined(
        self, faces: list[Piece], seen: Mapping[str, float], start: float, end: float
    ) -> list[Piece]:
        """The voice goes to a face, or stands for itself; whoever is seen could have spoken."""
        turns = speaking.within(self.view.turns, start, end)
        motion = self._motion(faces) if self.view.mouth and len(faces) > 1 else None
        joined = speaking.join(seen, turns, self.view.who, motion)
        for piece in faces:
            if piece.track == joined.face and self._speaks(piece.start, piece.end):
                piece.audio, piece.heard = self._wave(piece.start, piece.end)
                piece.voice, piece.voice_score = joined.why, joined.score
                return faces
        self._apart += len(seen) > 1
        wave, there = self._wave(start, end)
        named = speaking.speaker_of(turns)
        track = f"{VOICE} {named}" if named else VOICE
        voiced = Piece(track=track, kind="voice", start=start, end=end, audio=wave, heard=there)
        return [*faces, voiced]

    def _speaks(self, start: float, end: float) -> bool:
        """Whether somebody speaks for long enough in [start, end), and it was recorded."""
        assert self.sound is not None
        turns = speaking.within(self.view.turns, start, end)
        said = sum(turn.end - turn.start for turn in turns) / (end - start)
        heard = self.sound.speaks(start, end)
        return max(said, heard) >= _SPOKEN and bool(self._wave(start, end)[1].any())

    def _motion(self, faces: list[Piece]) -> dict[str, float]:
        """How well each mouth moves with the voice."""
        found = {}
        for piece in faces:
            if piece.video is not None and piece.seen is not None:
                wave, there = self._wave(piece.start, piece.end)
                found[piece.track] = speaking.mouth_motion(
                    piece.video, piece.seen, wave, self.view.fps, self.view.rate, there
                )
        return found

    def _wave(self, start: float, end: float) -> tuple[Floats, Bools]:
        assert self.sound is not None
        return self.sound.wave(start, end)

    def notes(self) -> list[str]:
        """What a reader should know of the file, once it was read."""
        notes = [*self.facts.notes, *self.damage.notes()]
        if self._apart:
            windows = "one window" if self._apart == 1 else f"{self._apart} windows"
            notes.append(
                f"In {windows} somebody speaks and it is not known whose face that is: face and "
                "voice stand apart there. A file of turns (RTTM, SRT, VTT) would say it."
            )
        return notes


# -- pictures --------------------------------------------------------------------------------------


class _Sight:
    """The people in the pictures, as far as they were read.

    Attributes:
        count: positions that were read.
    """

    def __init__(
        self, path: Path, view: View, detector: Detector | None, damage: media.Damage
    ) -> None:
        shown = frames.sampled(path, view.fps, damage=damage)
        self._moments: Iterator[Moment]
        self.view, self.count = view, 0
        self._whole = view.whole
        if self._whole or detector is None:
            self._moments = (Moment(frame, {}, cut=False) for frame in shown)
        else:
            self._moments = follow(shown, detector, every=view.every)
        self._crops: dict[str, dict[int, Pixels]] = {}
        self._boxes: dict[str, dict[int, Box]] = {}  # as shares of the picture

    def advance(self, position: int) -> None:
        """Read on until this position is known, or everything."""
        while self.count < position:
            moment = next(self._moments, None)
            if moment is None:
                return
            self._keep(moment, self.count)
            self.count += 1

    def _keep(self, moment: Moment, position: int) -> None:
        pixels = moment.frame.pixels
        if pixels is None:
            return
        if self._whole:
            self._crops.setdefault(CLIP, {})[position] = self.view.crop.whole(pixels)
        height, width = pixels.shape[:2]
        for name, seen in moment.faces.items():
            try:
                crop = self.view.crop.crop(pixels, seen.face)
            except DataError:  # it was placed outside of the picture
                continue
            self._crops.setdefault(name, {})[position] = crop
            self._boxes.setdefault(name, {})[position] = _shares(seen.face, width, height)

    def forget(self, position: int) -> None:
        """Let go of everything before a position."""
        self._crops = _since(self._crops, position)
        self._boxes = _since(self._boxes, position)

    def visible(self, first: int, last: int) -> dict[str, float]:
        """The share of [first, last) in which each person is to be seen."""
        return {
            name: share
            for name, kept in self._crops.items()
            if (share := sum(first <= at < last for at in kept) / (last - first))
        }

    def pieces(self, first: int, last: int) -> list[Piece]:
        """Who is there long enough in [first, last), in the order of their names."""
        there = [name for name, share in self.visible(first, last).items() if share >= _SEEN]
        if self.view.person is not None:
            there = [name for name in there if name == self.view.person]
        elif self.view.faces == "largest" and there:
            there = [max(there, key=lambda name: self._area(name, first, last))]
        return [self._piece(name, first, last) for name in sorted(there, key=_number)]

    def _area(self, name: str, first: int, last: int) -> float:
        return sum(
            box[2] * box[3] for at, box in self._boxes.get(name, {}).items() if first <= at < last
        )

    def _piece(self, name: str, first: int, last: int) -> Piece:
        own = {at: crop for at, crop in self._crops[name].items() if first <= at < last}
        low, high = min(own), max(own) + 1  # nothing is said of the time before and after
        size = self.view.crop.size
        video = np.zeros((high - low, size, size, 3), np.uint8)
        seen = np.zeros(high - low, np.bool_)
        for at, crop in own.items():
            video[at - low], seen[at - low] = crop, True
        return Piece(
            track=name,
            kind="clip" if self._whole else "face",
            start=low / self.view.fps,
            end=high / self.view.fps,
            video=video,
            seen=seen,
            box=self._boxes.get(name, {}).get(sorted(own)[len(own) // 2]),
        )


_Kept = TypeVar("_Kept")


def _since(kept: Mapping[str, dict[int, _Kept]], position: int) -> dict[str, dict[int, _Kept]]:
    """What was kept of everyone from a position on; who has nothing left is gone."""
    left = {name: {k: v for k, v in own.items() if k >= position} for name, own in kept.items()}
    return {name: own for name, own in left.items() if own}


def _shares(face: Face, width: int, height: int) -> Box:
    """A box as shares of the picture, cut at its edges."""
    left, top, wide, high = face.box
    right, bottom = min(left + wide, width), min(top + high, height)
    left, top = max(left, 0.0), max(top, 0.0)
    return (
        left / width,
        top / height,
        max(right - left, 0.0) / width,
        max(bottom - top, 0.0) / height,
    )


def _number(name: str) -> tuple[int, str]:
    """``face-2`` before ``face-10``."""
    end = name.rpartition("-")[2]
    return (int(end) if end.isdigit() else 0, name)


# -- sound -----------------------------------------------------------------------------------------


class _Sound:
    """Samples, and when somebody speaks, as far as they were read.

    Attributes:
        seconds: how much was read.
    """

    def __init__(self, path: Path, view: View, damage: media.Damage) -> None:
        self.view, self.seconds = view, 0.0
        self._blocks = sound.blocks(path, view.rate, damage=damage)
        self._activity = voice.VoiceActivity(view.rate)
        self._speech: list[voice.Speech] = []
        self._first = self._count = 0  # samples that are kept: from, and how many were read
        self._kept: list[tuple[Floats, Bools]] = []

    def advance(self, seconds: float) -> None:
        """Read on until it is known who speaks before this second, or everything."""
        while self.seconds < seconds or self._activity.settled < seconds:
            block = next(self._blocks, None)
            if block is None:
                self._speech += self._activity.finish()
                return
            self._kept.append((block.samples, block.there))
            self._speech += self._activity.feed(block.samples, block.there)
            self._count += len(block.samples)
            self.seconds = self._count / self.view.rate

    def forget(self, seconds: float) -> None:
        """Let go of everything before a second."""
        while self._kept and self._first + len(self._kept[0][0]) <= seconds * self.view.rate:
            self._first += len(self._kept.pop(0)[0])
        self._speech = [speech for speech in self._speech if speech.end > seconds]

    def speaks(self, start: float, end: float) -> float:
        """The share of [start, end) in which somebody speaks."""
        return voice.share(self._speech, start, end)

    def wave(self, start: float, end: float) -> tuple[Floats, Bools]:
        """Samples (N) and which of them were recorded (N); shorter where the sound ends before."""
        low, high = (round(second * self.view.rate) - self._first for second in (start, end))
        samples = np.concatenate([np.zeros(0, np.float32), *(kept[0] for kept in self._kept)])
        there = np.concatenate([np.zeros(0, np.bool_), *(kept[1] for kept in self._kept)])
        return samples[low:high], there[low:high]
