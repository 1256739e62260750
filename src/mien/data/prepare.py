"""One recording to one shard: decoded once, people followed, their faces cut, the sound kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import cv2

from mien.data import shards
from mien.data.crops import CropRecipe
from mien.data.faces import Detector, open_detector
from mien.data.follow import Follower, Moment
from mien.data.frames import Frame, sampled
from mien.data.media import Damage, probe
from mien.data.recordings import Recording
from mien.data.shards import Span
from mien.data.sieve import Sieve, Sight
from mien.data.sound import blocks
from mien.data.writer import Writer
from mien.errors import ConfigError, DataError

Faces: TypeAlias = Literal["largest", "named", "all", "none"]
FACES: tuple[Faces, ...] = ("largest", "named", "all", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How recordings are prepared. Everything that changes a shard is part of its address.

    Args:
        fps: positions a second.
        rate: samples a second.
        crop: how a face is cut, and the size of the crop.
        faces: whom a row means, where it names nobody: the largest face; ``named``: only who is
            named; ``all``: everyone, a row each; ``none``: whole frames, no faces are looked for.
        detector: ``auto``, ``yunet`` or ``haar``.
        weights: the detector's file.
        smallest: pixels that a face is wide at least; None: the detector's own choice.
        every: frames from one detection to the next.
        quality: of the JPEGs.
    """

    fps: float = 25.0
    rate: int = 16_000
    crop: CropRecipe = field(default_factory=CropRecipe)
    faces: Faces = "largest"
    detector: Literal["auto", "yunet", "haar"] = "auto"
    weights: Path | None = None
    smallest: int | None = None
    every: int = 5
    quality: int = 95

    def __post_init__(self) -> None:
        if self.faces not in FACES:
            raise ConfigError(f"faces are {', '.join(FACES)}, not {self.faces!r}")
        bounds = {
            "fps": (0.1, 1000.0), "rate": (1000, 768_000), "every": (1, 1000), "quality": (1, 100),
        }  # fmt: skip
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name} is between {least:g} and {most:g}", where=f"{name}=")

    def open_detector(self) -> Detector | None:
        """The detector, opened once in a process; None where no faces are looked for."""
        if self.faces == "none":
            return None
        return _detector(self.detector, self.weights, self.smallest)

    def to_dict(self) -> dict[str, Any]:
        """Plain values of all that changes what is written; the detector by its full name.

        Whom rows mean is chosen later, so that another choice needs no decoding.
        """
        found: dict[str, Any] = {
            "fps": self.fps, "rate": self.rate, "quality": self.quality,
            "crop": self.crop.to_dict(), "detector": None,
        }  # fmt: skip
        detector = self.open_detector()
        if detector is None:
            found["crop"]["by"] = "whole"
        else:
            found |= {"detector": detector.name, "smallest": self.smallest, "every": self.every}
        return found

    def digest(self) -> str:
        """A hash of what :meth:`to_dict` gives."""
        return shards.address(self.to_dict())


@lru_cache(maxsize=2)
def _detector(
    kind: Literal["auto", "yunet", "haar"], weights: Path | None, smallest: int | None
) -> Detector:
    return open_detector(kind, weights, smallest=smallest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of one recording.

    Args:
        people: how many are seen.
        pictures: positions at which someone is, over all people.
        looked: seconds of picture that were decoded.
        heard: seconds of sound.
        size: bytes of the shard.
        notes: what was wrong, a sentence each.
    """

    people: int = 0
    pictures: int = 0
    looked: float = 0.0
    heard: float = 0.0
    size: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One recording to be prepared: what :func:`work` sends to :func:`prepare_source`."""

    recording: Recording
    spans: tuple[Span, ...]
    out: Path


def work(recipe: Recipe, job: Job) -> Report:
    """Do a job; for worker processes."""
    return prepare_source(job.recording, job.spans, recipe, job.out)


def ready(recipe: Recipe) -> None:
    """Load what every job needs; for worker processes."""
    recipe.open_detector()


def prepare_source(
    recording: Recording, spans: Sequence[Span], recipe: Recipe, out: Path
) -> Report:
    """Write the shard of a recording.

    Everyone who is seen within the spans is kept, and all sound there is. What is not there (no
    picture, no sound, no face) is absent from the shard, and no error. Memory stays bounded,
    however long the recording is.

    Args:
        recording: its files.
        spans: what to decode, as :func:`recordings.merged` gives it.
        recipe: how.
        out: where the shard will lie.

    Raises:
        DataError: a file cannot be read, or was changed meanwhile.
    """
    damage = Damage()
    before = recording.state or recording.now()
    files = _Files.of(recording)
    heard = silent = 0
    with Writer(
        out, fps=recipe.fps, rate=recipe.rate, size=recipe.crop.size, spans=spans
    ) as writer:
        eyes = _Eyes(writer, recipe, damage)
        for span in spans:
            if files.picture is not None:
                eyes.look(files.picture, recording.fps, span)
        for span in spans:
            if files.sound is not None:
                there, absent = _listen(writer, files.sound, span, damage)
                heard, silent = heard + there, silent + absent
        if recording.now() != before:
            raise DataError(
                "it was changed while it was being prepared",
                where=recording.name,
                fix="the same command again, once nothing writes to it any more",
            )
        lost = {**asdict(damage), "dark": eyes.dark, "silent": silent}
        writer.finish(_facts(recording, recipe, files, eyes) | {"damage": lost})
    return Report(
        people=len(eyes.people),
        pictures=eyes.pictures,
        looked=eyes.looked / recipe.fps,
        heard=heard / recipe.rate,
        size=out.stat().st_size,
        notes=(*files.notes, *damage.notes()),
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """Which file shows something, and which one sounds."""

    picture: Path | None
    sound: Path | None
    duration: float | None
    notes: tuple[str, ...]

    @classmethod
    def of(cls, recording: Recording) -> _Files:
        picture, sound, facts, notes = recording.video, recording.audio, [], list[str]()
        if picture is not None and not picture.is_dir():
            inside = probe(picture)
            facts.append(inside)
            if sound is None and inside.audio is not None:
                sound = picture
            if inside.video is None:
                picture = None
        if recording.audio is not None:
            apart = probe(recording.audio)
            facts.append(apart)
            if apart.audio is None:
                sound = None
                notes.append(f"there is no sound in {recording.audio.name}")
        for found in facts:
            notes += found.notes
        return cls(picture, sound, max((f.duration for f in facts), default=None), tuple(notes))


def _facts(recording: Recording, recipe: Recipe, files: _Files, eyes: _Eyes) -> dict[str, Any]:
    """What a shard says of its source; nothing in it depends on when or where it was made."""
    made = recipe.to_dict()
    return {
        "source": recording.name,
        "sha256": {"video": recording.video_hash, "audio": recording.audio_hash},
        "duration": files.duration,
        "width": eyes.size and eyes.size[0],
        "height": eyes.size and eyes.size[1],
        "detector": made["detector"],
        "recipe": made,
        "notes": list(files.notes),
        "versions": {name: version(name) for name in ("mien", "av", "numpy")}
        | {"opencv": cv2.__version__},
    }


def _listen(writer: Writer, path: Path, span: Span, damage: Damage) -> tuple[int, int]:
    """Write the sound of a span; how many samples there are, and how many are lacking."""
    rate, there, absent = writer.rate, 0, 0
    at, stop = round(span[0] * rate), math.inf if span[1] is None else round(span[1] * rate)
    # A row may claim to end in a thousand years: the source says where it ends.
    for block in blocks(path, rate, start=at / rate, damage=damage):
        count = int(min(len(block.samples), stop - at))
        writer.heard(at, block.samples[:count], block.there[:count])
        at += count
        there += int(block.there[:count].sum())
        absent += count - int(block.there[:count].sum())
        if at >= stop:
            break
    return there, absent


class _Eyes:
    """The picture of a recording, on its way into a shard."""

    def __init__(self, writer: Writer, recipe: Recipe, damage: Damage) -> None:
        self.writer, self.recipe, self.damage = writer, recipe, damage
        self.detector = recipe.open_detector()
        self.size: tuple[int, int] | None = None  # width, height
        self.people: set[str] = set()
        self.known = 0  # people of earlier spans, seen long enough or not
        self.pictures = self.looked = self.dark = 0

    def look(self, video: Path, folder_fps: float | None, span: Span) -> None:
        """Keep everyone who is seen in a span of a file or folder."""
        fps = self.recipe.fps
        first = stop = round(span[0] * fps)
        most = None if span[1] is None else round(span[1] * fps) - first
        sieve = Sieve(self.writer, self.recipe.fps, self.recipe.quality)
        frames = sampled(video, fps, start=span[0], folder_fps=folder_fps, damage=self.damage)
        for frame, sights in self._sights(islice(frames, most)):
            if frame.pixels is None:
                self.dark += 1
            elif self.size is None:
                self.size = (frame.pixels.shape[1], frame.pixels.shape[0])
            for name, sight in sights.items():
                sieve.add(name, stop, sight)
            stop += 1
        sieve.finish(stop - first)
        self.writer.looked(first, stop)
        self.looked += stop - first
        self.people |= sieve.kept
        self.pictures += sieve.written

    def _sights(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, dict[str, Sight]]]:
        """Frames, and who is in them: everyone, or the frame itself where nobody is looked for."""
        if self.detector is None:
            yield from self._frames(frames)
            return
        follower, newest = Follower(self.detector, every=self.recipe.every), 0
        for frame in frames:
            for moment in follower.feed(frame):
                newest = max(newest, *map(_number, moment.faces), 0)
                yield moment.frame, self._people(moment)
        for moment in follower.finish():
            newest = max(newest, *map(_number, moment.faces), 0)
            yield moment.frame, self._people(moment)
        self.known += newest

    def _people(self, moment: Moment) -> dict[str, Sight]:
        """Crops by name; a later span counts on from the people of those before."""
        pixels, found = moment.frame.pixels, {}
        if pixels is None:
            return {}
        for name, seen in moment.faces.items():
            try:
                crop = self.recipe.crop.crop(pixels, seen.face)
            except DataError:
                continue  # followed out of the picture
            sight = Sight(crop, seen.face.box, seen.face.score, seen.detected)
            found[f"face-{self.known + _number(name)}"] = sight
        return found

    def _frames(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, dict[str, Sight]]]:
        shown, sight = None, None
        for frame in frames:
            if frame.pixels is None:
                yield frame, {}
                continue
            if sight is None or frame.pixels is not shown:
                shown = frame.pixels
                height, width = shown.shape[:2]
                box = (0.0, 0.0, float(width), float(height))
                sight = Sight(self.recipe.crop.whole(shown), box, 1.0, True)
            yield frame, {shards.FRAME: sight}


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
