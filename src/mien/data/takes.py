"""One recording of somebody who acts: who, what is felt and said, and how it comes to a film.

Everything follows from the numbers of a take, so a film can be made anywhere, in any order, and
again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.data import acted, camera, drawn, filmed, head, spoken, uttered
from mien.data.acted import ACTION_UNITS, EMOTIONS, Acting, Values
from mien.data.canvas import Pixels
from mien.data.head import Looks, Pose
from mien.data.uttered import DELIVERIES, Uttering, Voice

FPS = 25
SIZE = (208, 176)
"""Width and height of a film."""

PRESENT = 0.3
"""Intensity from which an action unit counts as present, and an emotion as shown."""

TURNED = 0.7
"""Radians of yaw from which a face counts as turned away."""

_TEXT = (
    "the little river runs behind a yellow house, and nobody opened seven windows today. "
    "we moved the table over to the other side, while they were looking for a paper bag. "
    "on monday morning somebody left a basket, with apples, near the station."
)
WORDS = tuple(_TEXT.split())
"""What is said in clips, whatever is felt: words give nothing away."""

_DELIVERED = np.asarray([[e.delivery == name for name in DELIVERIES] for e in EMOTIONS.values()])
"""(E, 4) the delivery of each emotion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Where alone what is felt is to be seen or heard; else face and voice are at rest.

    Args:
        carried_by: the face, the voice, or both of them.
        start: first second.
        end: where it ends.
    """

    carried_by: Literal["face", "voice", "both"]
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One film of one person.

    Args:
        id: name of the film.
        seed: of the corpus.
        speaker: number of the person.
        number: of the film among the person's.
        emotion: one of `EMOTIONS`, shown in a single swell; None: several in turn, with pauses
            in which nobody speaks, and moments in which the face is turned away or gone.
        seconds: how long it lasts; None: as long as it takes to say the words.
        words: what is said; without any, `WORDS` over and over.
        planted: where alone the emotion shows; None: in face and voice, all along.
    """

    id: str
    seed: int
    speaker: int
    number: int
    emotion: str | None
    seconds: float | None
    words: tuple[str, ...] = ()
    planted: Planted | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody: looks and a voice."""

    looks: Looks
    voice: Voice


def person(seed: int, speaker: int) -> Person:
    """Whoever has this number in this corpus."""
    random = np.random.default_rng([seed, 0, speaker])
    man = bool(random.random() < 0.5)
    return Person(head.looks(random, man), uttered.voice(random, high=not man))


@dataclass(frozen=True, slots=True)
class Shot:
    """What a film is made of.

    Args:
        uttering: the voice.
        acting: the face.
        pose: where the head is.
        scene: light, clothes and walls.
        how: the camera.
    """

    uttering: Uttering
    acting: Acting
    pose: Pose
    scene: drawn.Scene
    how: camera.Camera

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Whether the face is to be seen: turned to the camera, and in the picture; (F)."""
        inside = (self.pose.x > 0.08 * SIZE[0]) & (self.pose.x < 0.92 * SIZE[0])
        return np.asarray(inside & (np.abs(self.pose.yaw) < TURNED))

    @property
    def speaking(self) -> NDArray[np.bool_]:
        """Whether something is said, (F)."""
        heard = self.uttering.level + self.uttering.hiss
        return uttered.at_frames(heard, FPS, len(self.pose.x)) > 0.02


def staged(take: Take) -> Shot:
    """Decide all that is seen and heard, before anything is drawn."""
    random = _random(take, 1)
    voice = person(take.seed, take.speaker).voice
    if take.emotion is None:
        uttering, shown = _changing(take, voice, random)
    elif take.planted is not None:
        uttering, shown = _planted(take, take.planted, take.emotion, voice, random)
    else:
        uttering, shown = _single(take, take.emotion, voice, random)
    opening, rounding = (
        uttered.at_frames(track, FPS, len(shown)) for track in (uttering.opening, uttering.rounding)
    )
    acting = acted.act(shown, opening, rounding, FPS, random)
    pose = _pose(acting, random)
    if take.emotion is None:
        pose = _absent(pose, random)
    return Shot(uttering, acting, pose, *place(take))


def _single(
    take: Take, emotion: str, voice: Voice, random: np.random.Generator
) -> tuple[Uttering, Values]:
    """One emotion: how it is said, and how much of it is shown, (F, E)."""
    seconds, first = take.seconds, int(random.integers(len(WORDS)))
    share = random.uniform(0.7, 1.0) * _DELIVERED[list(EMOTIONS).index(emotion)]
    delivery = uttered.mixed(share)
    lead, until = random.uniform(0.02, 0.2), random.uniform(0.85, 1.0)
    uttering = uttered.utter(
        take.words or WORDS[first:] + WORDS[:first], voice, lambda _: delivery, random,
        lead=lead * (seconds or 1.0), until=until * seconds if seconds else None, seconds=seconds,
    )  # fmt: skip
    frames, strength = round(uttering.seconds * FPS), random.uniform(0.7, 1.0)
    return uttering, acted.course(emotion, frames, FPS, random, strength=strength)


def _planted(
    take: Take, planted: Planted, emotion: str, voice: Voice, random: np.random.Generator
) -> tuple[Uttering, Values]:
    """One emotion for a moment, in one modality or both: how it is said, and shown, (F, E)."""
    seconds, first = take.seconds or 6.0, int(random.integers(len(WORDS)))
    share, strength = random.uniform(0.85, 1.0, 2)
    spread = share * _DELIVERED[list(EMOTIONS).index(emotion)]
    calm, moved = uttered.mixed(0 * spread), uttered.mixed(spread)
    voiced, shows = planted.carried_by != "face", planted.carried_by != "voice"
    uttering = uttered.utter(
        WORDS[first:] + WORDS[:first], voice,
        lambda t: moved if voiced and planted.start <= t < planted.end else calm,
        random, lead=0.1, until=seconds - 0.1, seconds=seconds,
    )  # fmt: skip
    time = np.arange(round(seconds * FPS)) / FPS
    there = acted.eased((time - planted.start) / 0.3) * acted.eased((planted.end - time) / 0.3)
    shown = np.zeros((len(time), len(EMOTIONS)))
    shown[:, list(EMOTIONS).index(emotion)] = strength * there * shows
    return uttering, shown


def _changing(take: Take, voice: Voice, random: np.random.Generator) -> tuple[Uttering, Values]:
    """Several emotions in turn: how each is said, and how much of it is shown, (F, E)."""
    seconds = take.seconds or 60.0
    shown = acted.courses(round(seconds * FPS), FPS, random)
    spread = shown @ _DELIVERED  # (F, 4)
    silent = acted.spans(seconds, random, every=14.0, lasts=(1.5, 4.0))
    uttering = uttered.utter(
        WORDS, voice, lambda t: uttered.mixed(spread[min(int(t * FPS), len(spread) - 1)]), random,
        until=seconds, seconds=seconds, silent=silent,
    )  # fmt: skip
    return uttering, shown


def _absent(pose: Pose, random: np.random.Generator) -> Pose:
    """The same, but now and then the face is turned away, or leaves the picture."""
    seconds = len(pose.x) / FPS
    time = np.arange(len(pose.x)) / FPS
    yaw, x = pose.yaw.copy(), pose.x.copy()
    for start, end in acted.spans(seconds, random, every=18.0, lasts=(1.2, 3.5)):
        gone = acted.eased((time - start) / 0.4) * acted.eased((end - time) / 0.4)
        side = random.choice([-1, 1])
        if random.random() < 0.6:
            yaw = yaw * (1 - gone) + side * 1.5 * gone
        else:
            x = x + side * gone * 0.95 * SIZE[0]
    return replace(pose, yaw=yaw, x=x)


def place(take: Take) -> tuple[drawn.Scene, camera.Camera]:
    """Where a take is recorded, and by which camera."""
    random = _random(take, 4)
    return drawn.scene(random), camera.camera(random)


def _pose(acting: Acting, random: np.random.Generator) -> Pose:
    width, height = SIZE
    scale = height * 0.262 * random.uniform(0.9, 1.1)
    away = random.normal(0, [0.10, 0.035]).clip([-0.22, -0.07], [0.22, 0.07]) * [width, height]
    at = acting.sway * scale + away + [width * 0.5, height * 0.46]
    return Pose(
        yaw=acting.turn[:, 0], pitch=acting.turn[:, 1], roll=acting.turn[:, 2],
        x=at[:, 0], y=at[:, 1], scale=np.full(len(at), scale),
    )  # fmt: skip


def pictures(take: Take, shot: Shot) -> Iterator[Pixels]:
    """The frames of a take, (H, W, 3) each, one after the other."""
    random = _random(take, 2)
    looks = person(take.seed, take.speaker).looks
    painted = drawn.Painter(looks, shot.scene, SIZE, random).paint(shot.acting, shot.pose)
    lit = shot.scene.colour * shot.scene.level
    skin, hair = looks.skin * lit, looks.hair * lit
    return camera.taken(painted, shot.how, shot.pose, skin, hair, FPS, random)


def sound(take: Take, shot: Shot) -> spoken.Samples:
    """The sound of a take, at `spoken.RATE`."""
    random = _random(take, 3)
    return spoken.record(spoken.speak(shot.uttering, random), spoken.microphone(random), random)


def _random(take: Take, use: int) -> np.random.Generator:
    return np.random.default_rng([take.seed, use, take.speaker, take.number])


def film(folder: Path, take: Take) -> None:
    """Make the truth and the film of a take, ``tracks/ID.csv`` and ``clips/ID.mp4``.

    The film comes last: where it is, all is.
    """
    shot = staged(take)
    truth = folder / "tracks" / f"{take.id}.csv"
    truth.write_text(_table(shot), encoding="utf-8")
    filmed.write(
        folder / "clips" / f"{take.id}.mp4", pictures(take, shot), sound(take, shot),
        fps=FPS, rate=spoken.RATE, quality=shot.how.quality,
    )  # fmt: skip


def _table(shot: Shot) -> str:
    """What is shown in each frame, as CSV; cells of a face that is not to be seen are empty."""
    acting, names = shot.acting, list(EMOTIONS)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        [*ACTION_UNITS, "valence", "arousal", "expression", "emotion", "speaking", "visible"]
        + [f"{unit}.intensity" for unit in ACTION_UNITS]
    )
    visible, speaking = shot.visible, shot.speaking
    for i, (units, course) in enumerate(zip(acting.units, acting.course, strict=True)):
        emotion = names[int(course.argmax())] if course.sum() >= PRESENT else "neutral"
        expression = EMOTIONS[emotion].expression if emotion in EMOTIONS else "Neutral"
        seen = bool(visible[i])
        table.writerow(
            [int(value >= PRESENT) if seen else "" for value in units]
            + [round(float(acting.valence[i]), 3), round(float(acting.arousal[i]), 3)]
            + [expression if seen else "", emotion, int(speaking[i]), int(seen)]
            + [round(float(value), 3) if seen else "" for value in units]
        )
    return text.getvalue()
