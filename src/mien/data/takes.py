"""One recording of somebody who acts: who, what is felt and said, and how it comes to a film.

Everything follows from the numbers of a take, so a film can be made anywhere, in any order, and
again.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.data import acted, camera, drawn, filmed, head, spoken, uttered
from mien.data.acted import ACTION_UNITS, EMOTIONS, Acting
from mien.data.canvas import Pixels
from mien.data.head import Looks, Pose
from mien.data.uttered import DELIVERIES, Uttering, Voice

FPS = 25
SIZE = (208, 176)
PRESENT = 0.3
"""Intensity from which an action unit counts as present."""

_TEXT = (
    "the little river runs behind a yellow house and nobody opened seven windows today "
    "we moved the table over to the other side while they were looking for a paper bag "
    "on monday morning somebody left a basket with apples near the station"
)
WORDS = tuple(_TEXT.split())
"""What is said in clips, whatever is felt: words give nothing away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One clip of one person who shows one emotion.

    Args:
        id: name of the film.
        seed: of the corpus.
        speaker: number of the person.
        number: of the clip among the person's.
        emotion: one of `EMOTIONS`.
        seconds: how long it lasts.
    """

    id: str
    seed: int
    speaker: int
    number: int
    emotion: str
    seconds: float


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
    """What a film was made of, for those who compare.

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


def staged(take: Take) -> Shot:
    """Decide all that is seen and heard, before anything is drawn."""
    random = _random(take, 1)
    who = person(take.seed, take.speaker)
    frames = round(take.seconds * FPS)
    weights = np.zeros(len(DELIVERIES))
    weights[list(DELIVERIES).index(EMOTIONS[take.emotion].delivery)] = random.uniform(0.7, 1.0)
    delivery = uttered.mixed(weights)
    first = int(random.integers(len(WORDS)))
    uttering = uttered.utter(
        WORDS[first:] + WORDS[:first], who.voice, lambda _: delivery, random,
        lead=take.seconds * random.uniform(0.02, 0.2),
        until=take.seconds * random.uniform(0.85, 1.0), seconds=take.seconds,
    )  # fmt: skip
    shown = acted.course(take.emotion, frames, FPS, random, strength=random.uniform(0.65, 1.0))
    opening, rounding = (
        uttered.at_frames(track, FPS, frames) for track in (uttering.opening, uttering.rounding)
    )
    acting = acted.act(shown, opening, rounding, FPS, random)
    return Shot(uttering, acting, _pose(acting, random), *place(take))


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


def pictures(take: Take, shot: Shot) -> list[Pixels]:
    """The frames of a take, (H, W, 3) each."""
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
    """What is shown in each frame, as CSV."""
    acting, frames = shot.acting, len(shot.acting.units)
    speaking = uttered.at_frames(shot.uttering.level + shot.uttering.hiss, FPS, frames) > 0.02
    names = list(EMOTIONS)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        [*ACTION_UNITS, "valence", "arousal", "expression", "speaking"]
        + [f"{unit}.intensity" for unit in ACTION_UNITS]
    )
    for i in range(frames):
        felt = names[int(acting.course[i].argmax())]
        calm = acting.course[i].sum() < PRESENT
        table.writerow(
            [int(value >= PRESENT) for value in acting.units[i]]
            + [round(float(acting.valence[i]), 3), round(float(acting.arousal[i]), 3)]
            + ["Neutral" if calm else EMOTIONS[felt].expression, int(speaking[i])]
            + [round(float(value), 3) for value in acting.units[i]]
        )
    return text.getvalue()
