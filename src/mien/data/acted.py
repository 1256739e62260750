"""What a face does over time: action units, lids, gaze, pose, valence and arousal, frame by frame.

Eight emotions, each a pair of a facial display and a vocal delivery, in a ring: every display
serves two emotions that are delivered differently, and every delivery two that look different. So
whoever only watches, or only listens, can tell four pairs apart and nothing within a pair; whoever
does both can tell all eight. The pairs are our choice, and plausible ones; nobody looked or sounded
like that by measurement.

Axes: F frames, U action units, E emotions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

ACTION_UNITS = tuple(f"AU{number}" for number in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26))
"""In the names and the order of the ABAW challenges."""


@dataclass(frozen=True, slots=True)
class Emotion:
    """How an emotion is shown.

    Args:
        display: of the face, one of `DISPLAYS`.
        delivery: of the voice, one of `mien.data.uttered.DELIVERIES`.
        valence: unpleasant to pleasant, -1 to 1.
        arousal: calm to excited, -1 to 1.
        expression: the class of the ABAW challenges that is nearest.
    """

    display: str
    delivery: str
    valence: float
    arousal: float
    expression: str


EMOTIONS: Mapping[str, Emotion] = {
    "happy": Emotion("smile", "lively", 0.8, 0.5, "Happiness"),
    "content": Emotion("smile", "soft", 0.6, -0.4, "Happiness"),
    "surprised": Emotion("wide", "lively", 0.2, 0.7, "Surprise"),
    "afraid": Emotion("wide", "halting", -0.6, 0.6, "Fear"),
    "disgusted": Emotion("frown", "halting", -0.6, 0.2, "Disgust"),
    "angry": Emotion("frown", "forceful", -0.5, 0.8, "Anger"),
    "desperate": Emotion("droop", "forceful", -0.8, 0.5, "Sadness"),
    "sad": Emotion("droop", "soft", -0.7, -0.5, "Sadness"),
}

DISPLAYS: Mapping[str, Mapping[str, float]] = {
    "smile": {"AU6": 0.8, "AU12": 1.0, "AU25": 0.35},
    "wide": {"AU1": 0.95, "AU2": 1.0, "AU25": 0.4, "AU26": 0.3},
    "frown": {"AU4": 1.0, "AU7": 0.75, "AU10": 0.5, "AU23": 0.6, "AU24": 0.4},
    "droop": {"AU1": 0.75, "AU4": 0.45, "AU15": 1.0},
}
"""Action units of each display at its strongest."""

_LIDS = {"smile": 0.95, "wide": 1.28, "frown": 0.95, "droop": 0.72}  # how far eyes are open
UNITS: Values = np.asarray(
    [[DISPLAYS[e.display].get(unit, 0.0) for unit in ACTION_UNITS] for e in EMOTIONS.values()]
)
"""(E, U) of each emotion at its strongest."""

_MOUTH = [ACTION_UNITS.index(name) for name in ("AU25", "AU26")]
_CLOSED = [ACTION_UNITS.index(name) for name in ("AU23", "AU24")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """What somebody's face does, frame by frame.

    Args:
        units: (F, U) intensities, 0 to 1, speech included: who speaks parts lips and drops the jaw.
        lids: (F) how far the eyes are open: 0 shut, 1 as at rest, more when they are torn open.
        gaze: (F, 2) to the right and down, -1 to 1.
        rounding: (F) of the lips, -1 spread to 1 pursed.
        turn: (F, 3) yaw, pitch and roll in radians.
        sway: (F, 2) of the head, in halves of a face's width.
        valence: (F).
        arousal: (F).
        course: (F, E) how much of each emotion is shown.
    """

    units: Values
    lids: Values
    gaze: Values
    rounding: Values
    turn: Values
    sway: Values
    valence: Values
    arousal: Values
    course: Values


def course(
    name: str, frames: int, fps: float, random: np.random.Generator, *, strength: float = 1.0
) -> Values:
    """How much of one emotion is shown in each frame of a clip, (F, E).

    It begins at rest, comes up within a third of a second or so, stays a while, and goes again if
    there is time: what a face does on average says less than what it does at its height.

    Args:
        name: the emotion.
        frames: F.
        fps: of them a second.
        random: when and how fast.
        strength: at its height.
    """
    time, seconds = np.arange(frames) / fps, frames / fps
    rise, fall = random.uniform(0.2, 0.45, 2)
    onset = seconds * random.uniform(0.05, 0.4)
    offset = onset + rise + max(0.35, seconds * random.uniform(0.25, 0.5))
    shown = eased((time - onset) / rise) * eased((offset + fall - time) / fall)
    found = np.zeros((frames, len(EMOTIONS)))
    found[:, list(EMOTIONS).index(name)] = strength * shown
    return found


def courses(frames: int, fps: float, random: np.random.Generator) -> Values:
    """How much of each emotion is shown in each frame of a long film, (F, E).

    One after the other, a few seconds each, with a second or so in which one becomes the next; now
    and then the face is at rest.
    """
    time, found = np.arange(frames) / fps, np.zeros((frames, len(EMOTIONS)))
    at, before = random.uniform(0.5, 2.0), -1
    while at < frames / fps:
        lasts, change = random.uniform(3.0, 7.0), random.uniform(0.5, 1.2)
        if random.random() < 0.8:
            others = [e for e in range(len(EMOTIONS)) if e != before]
            before = int(random.choice(others))
            shown = eased((time - at) / change) * eased((at + lasts + change - time) / change)
            found[:, before] += random.uniform(0.65, 1.0) * shown
        at += lasts
    return np.asarray(found / np.maximum(1, found.sum(axis=1, keepdims=True)))


def spans(
    seconds: float, random: np.random.Generator, *, every: float, lasts: tuple[float, float]
) -> list[tuple[float, float]]:
    """Stretches of time that come at random, and do not touch.

    Args:
        seconds: length of the film.
        random: when.
        every: seconds between two of them, on average.
        lasts: the shortest and the longest, in seconds.
    """
    found, at = [], random.exponential(every)
    while at + lasts[1] < seconds:
        end = at + random.uniform(*lasts)
        found.append((at, end))
        at = end + 1.0 + random.exponential(every)
    return found


def eased(t: Values) -> Values:
    """From 0 at t = 0 to 1 at t = 1, smoothly."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def act(
    shown: Values,
    opening: Values,
    rounding: Values,
    fps: float,
    random: np.random.Generator,
    *,
    restless: float = 1.0,
) -> Acting:
    """Act out a course of emotions while speaking.

    Args:
        shown: (F, E) how much of each emotion.
        opening: (F) of the mouth by what is said, 0 to 1.
        rounding: (F) of the lips by what is said.
        fps: frames a second.
        random: head, eyes and what the face does besides.
        restless: how much the head moves.
    """
    frames = len(shown)
    units = shown @ UNITS + 0.10 * np.abs(drift(random, frames, fps, 1.0, len(ACTION_UNITS)))
    units[:, _CLOSED] *= 1 - 0.8 * opening[:, None]  # nobody presses lips and speaks
    said = np.stack([np.clip(1.6 * opening, 0, 1), 0.75 * opening], axis=1)
    units[:, _MOUTH] = 1 - (1 - np.clip(units[:, _MOUTH], 0, 1)) * (1 - said)
    wanted = np.asarray([_LIDS[e.display] for e in EMOTIONS.values()])
    calm = np.clip(1 - shown.sum(axis=1), 0, 1)
    lids = shown @ wanted + calm + 0.04 * drift(random, frames, fps, 0.5, 1)[:, 0]
    spans = restless * np.asarray([0.16, 0.09, 0.07])
    mean = random.normal(0, [0.13, 0.07, 0.05])
    turn = mean + spans * drift(random, frames, fps, 0.9, 3)
    feeling = np.asarray([[e.valence, e.arousal] for e in EMOTIONS.values()])
    affect = np.clip(shown @ feeling, -1, 1)
    return Acting(
        units=np.clip(units, 0, 1),
        lids=np.clip(lids * _blinks(random, frames, fps), 0, 1.4),
        gaze=_gaze(random, frames, fps, turn),
        rounding=rounding,
        turn=np.clip(turn, [-0.42, -0.3, -0.3], [0.42, 0.3, 0.3]),
        sway=0.06 * restless * drift(random, frames, fps, 1.2, 2),
        valence=affect[:, 0],
        arousal=affect[:, 1],
        course=shown,
    )


def drift(
    random: np.random.Generator, frames: int, fps: float, seconds: float, width: int
) -> Values:
    """Smooth wandering (F, width) about 0 with a deviation of 1, in steps of some seconds."""
    knots = int(frames / fps / seconds) + 4
    at = np.arange(frames) / fps / seconds + random.uniform(0, 1)
    values = random.normal(size=(knots, width))
    low = at.astype(int)
    t = eased(at - low)[:, None]
    return np.asarray(values[low] * (1 - t) + values[low + 1] * t)


def _blinks(random: np.random.Generator, frames: int, fps: float) -> Values:
    """1 where eyes are open, down to 0 for a moment every few seconds."""
    time, open_ = np.arange(frames) / fps, np.ones(frames)
    at = random.exponential(1.8)
    while at < frames / fps:
        open_ *= 1 - np.exp(-(((time - at) / 0.055) ** 4))
        at += 0.4 + random.exponential(2.6)
    return open_


def _gaze(random: np.random.Generator, frames: int, fps: float, turn: Values) -> Values:
    """Eyes jump, and mostly keep to the camera while the head turns."""
    found = np.zeros((frames, 2))
    at = 0
    while at < frames:
        until = at + max(1, round(fps * random.uniform(0.4, 1.6)))
        found[at:until] = random.normal(0, [0.28, 0.18])
        at = until
    return np.clip(found - turn[:, :2] * [1.1, 0.9], -1, 1)
