"""What a voice does over time: words to syllables, and those to pitch, level, formants and breath.

A delivery is told by relations and by movement: how fast syllables come, how far pitch moves and
which way, how much stress stands out, how long one pauses. How high, how loud and how bright a
voice is on average belongs to the speaker, the room and the microphone, and gives little away.

Axes: N moments at `CONTROL` a second, K formants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CONTROL = 200
"""Moments a second at which a voice is described."""

PAUSED = ""
"""A word that is none: a short silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How something is said.

    Args:
        rate: syllables a second.
        accent: semitones by which pitch moves on a stressed syllable.
        fall: 0 to 1: whether it rises and falls there, or begins high and falls.
        final: semitones by which pitch rises (or falls, below 0) towards the end of a phrase.
        stress: decibels by which stressed syllables stand out.
        attack: seconds in which a syllable becomes loud.
        breath: noise of air in the voice, 0 to 1.
        tense: brightness of the source, 0 to 1.
        jitter: irregularity of the pitch, in shares of a period.
        shimmer: irregularity of the level, in shares.
        pause: how likely a pause follows a syllable.
        rest: seconds that such a pause lasts.
    """

    rate: float
    accent: float
    fall: float
    final: float
    stress: float
    attack: float
    breath: float
    tense: float
    jitter: float
    shimmer: float
    pause: float
    rest: float


NEUTRAL = Delivery(
    rate=4.3, accent=2.0, fall=0.3, final=-1.5, stress=4.0, attack=0.03, breath=0.12, tense=0.5,
    jitter=0.006, shimmer=0.04, pause=0.05, rest=0.15,
)  # fmt: skip

DELIVERIES: Mapping[str, Delivery] = {
    "lively": Delivery(
        rate=6.2, accent=7.0, fall=0.0, final=5.0, stress=5.0, attack=0.025, breath=0.10, tense=0.55,
        jitter=0.005, shimmer=0.04, pause=0.0, rest=0.1,
    ),
    "soft": Delivery(
        rate=2.9, accent=1.0, fall=0.2, final=-4.0, stress=2.0, attack=0.09, breath=0.5, tense=0.3,
        jitter=0.008, shimmer=0.05, pause=0.04, rest=0.15,
    ),
    "forceful": Delivery(
        rate=4.4, accent=7.0, fall=1.0, final=-2.0, stress=13.0, attack=0.012, breath=0.05, tense=0.7,
        jitter=0.006, shimmer=0.05, pause=0.0, rest=0.1,
    ),
    "halting": Delivery(
        rate=4.8, accent=0.4, fall=0.3, final=0.0, stress=1.0, attack=0.02, breath=0.18, tense=0.5,
        jitter=0.022, shimmer=0.14, pause=0.6, rest=0.30,
    ),
}  # fmt: skip

_NAMES = [field.name for field in fields(Delivery)]
_CALM: Values = np.asarray([getattr(NEUTRAL, name) for name in _NAMES])
_MOVED: Values = np.asarray(
    [[getattr(d, name) for name in _NAMES] for d in DELIVERIES.values()]
) - _CALM  # (4, P)


def mixed(weights: Values) -> Delivery:
    """A delivery between the neutral one and the four others.

    Args:
        weights: (4) share of each of `DELIVERIES`.
    """
    values = _CALM + weights @ _MOVED
    return Delivery(**dict(zip(_NAMES, values.tolist(), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Whose voice it is.

    Args:
        pitch: Hz, when calm.
        tract: length of the vocal tract, 1 for a man; formants are divided by it.
        range: how far pitch moves, about 1.
        pace: about 1.
        breath: added to that of a delivery.
        tense: the same.
    """

    pitch: float
    tract: float
    range: float
    pace: float
    breath: float
    tense: float


def voice(random: np.random.Generator, *, high: bool | None = None) -> Voice:
    """Somebody's. The same generator state gives the same voice.

    Args:
        random: who.
        high: a short vocal tract and a high pitch, or not; None: either.
    """
    high = bool(random.random() < 0.5) if high is None else high
    return Voice(
        pitch=float((196 if high else 112) * np.exp(random.normal(0, 0.11))),
        tract=float((0.86 if high else 1.0) * np.exp(random.normal(0, 0.035))),
        range=float(np.exp(random.normal(0, 0.12))),
        pace=float(np.exp(random.normal(0, 0.06))),
        breath=float(random.uniform(0, 0.15)),
        tense=float(random.normal(0, 0.1)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Uttering:
    """A voice, moment by moment; (N) each, and (N, K) formants.

    Args:
        pitch: Hz, also where the voice is silent.
        level: of the voiced part; 1 for a loud vowel.
        formants: Hz.
        breath: noise of air, as a share of the level.
        tense: brightness of the source, 0 to 1.
        jitter: shares of a period.
        shimmer: shares of the level.
        hiss: level of the noise of consonants.
        place: Hz where that noise is strongest.
        opening: of the mouth, 0 to 1.
        rounding: of the lips, -1 spread to 1 pursed.
        said: the words that were said, in order.
    """

    pitch: Values
    level: Values
    formants: Values
    breath: Values
    tense: Values
    jitter: Values
    shimmer: Values
    hiss: Values
    place: Values
    opening: Values
    rounding: Values
    said: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.pitch) / CONTROL


# -- words to syllables ----------------------------------------------------------------------------

_VOWELS = {
    "a": (740.0, 1250.0, 2550.0, 3500.0), "e": (520.0, 1800.0, 2500.0, 3500.0),
    "i": (300.0, 2250.0, 2950.0, 3600.0), "o": (480.0, 880.0, 2450.0, 3400.0),
    "u": (330.0, 860.0, 2350.0, 3350.0),
}  # fmt: skip
_OPEN = {"a": 1.0, "e": 0.6, "i": 0.35, "o": 0.62, "u": 0.3}
_ROUND = {"a": 0.0, "e": -0.35, "i": -0.6, "o": 0.6, "u": 0.9}
_HISS = {"s": (0.5, 5600.0), "z": (0.4, 5400.0), "c": (0.4, 4500.0), "x": (0.45, 5200.0),
         "f": (0.22, 4200.0), "v": (0.15, 3800.0), "h": (0.18, 1500.0), "j": (0.35, 3000.0),
         "t": (0.4, 4200.0), "k": (0.4, 2000.0), "p": (0.3, 900.0), "q": (0.4, 1900.0),
         "d": (0.2, 3800.0), "g": (0.2, 1900.0), "b": (0.15, 800.0)}  # fmt: skip
_STOPS, _LIPS, _SOFT = "tkpqdgb", "pbm", "mnlrw"


@dataclass(frozen=True, slots=True)
class Syllable:
    """A consonant and a vowel.

    Args:
        onset: one letter, or nothing.
        vowel: one of a, e, i, o, u.
        stressed: whether it carries its word's stress.
        last: whether its word ends with it.
        final: whether a phrase ends with it.
    """

    onset: str
    vowel: str
    stressed: bool
    last: bool
    final: bool


def syllables(words: Sequence[str]) -> list[Syllable]:
    """Words to syllables, roughly, by their letters; a phrase ends at a mark or with the words."""
    found: list[Syllable] = []
    for number, word in enumerate(words):
        letters = re.sub("[^a-z]", "", word.lower()).replace("y", "i")
        letters = re.sub("e$", "", letters) if len(re.findall("[aeiou]+", letters)) > 1 else letters
        pieces = re.findall("([^aeiou]*)([aeiou]+)", letters) or [(letters, "e")]
        ends = number == len(words) - 1 or word[-1:] in ".,?!;:"
        stress = 0 if len(pieces) < 3 else 1
        for i, (onset, vowel) in enumerate(pieces):
            last = i == len(pieces) - 1
            stressed = i == stress and (len(letters) > 3 or len(words) == 1)
            found.append(Syllable(onset[-1:], vowel[0], stressed, last, last and ends))
    return found


# -- syllables to moments --------------------------------------------------------------------------


def utter(
    words: Sequence[str],
    who: Voice,
    delivery: Callable[[float], Delivery],
    random: np.random.Generator,
    *,
    lead: float = 0.1,
    until: float | None = None,
) -> Uttering:
    """Say words.

    Args:
        words: what to say.
        who: whose voice.
        delivery: how, at each second.
        random: no two syllables are alike.
        lead: seconds of silence before the first word.
        until: how long to speak, in seconds: words begin anew when they are at their end, and stop
            where time is over. None: until all are said once.
    """
    queue, time, n = syllables(words), lead, 0
    planned: list[tuple[float, float, Syllable, Delivery]] = []
    phrase = 0.0  # where the phrase began
    spans: list[float] = []
    while n < len(queue) if until is None else time < until - 0.12:
        one = queue[n % len(queue)]
        how = delivery(time)
        length = random.lognormal(0, 0.12) / (how.rate * who.pace)
        length *= 1.22 if one.stressed else 0.9
        if until is not None:
            length = min(length, until - time)
        planned.append((time, length, one, how))
        spans.append(phrase)
        time += length
        n += 1
        if random.random() < how.pause or (one.final and n < len(queue)):
            time += how.rest * random.uniform(0.75, 1.3) if random.random() < how.pause or how.pause > 0.3 else 0.12
            phrase = time
    total = until if until is not None else time + lead
    spoken = " ".join(words).split()
    return _moments(planned, spans, who, random, total, tuple(spoken))


def _moments(
    planned: Sequence[tuple[float, float, Syllable, Delivery]],
    spans: Sequence[float],
    who: Voice,
    random: np.random.Generator,
    seconds: float,
    said: tuple[str, ...],
) -> Uttering:
    count = max(1, round(seconds * CONTROL))
    tracks = {name: np.zeros(count) for name in (
        "level", "breath", "tense", "jitter", "shimmer", "hiss", "opening", "rounding", "tone")}  # fmt: skip
    formants = np.tile(np.asarray(_VOWELS["e"]) / who.tract, (count, 1))
    place = np.full(count, 3000.0)
    for (start, length, one, how), phrase in zip(planned, spans, strict=True):
        a, b = round(start * CONTROL), min(count, round((start + length) * CONTROL))
        if b - a < 4:
            continue
        _syllable(tracks, formants, place, slice(a, b), one, how, who, random, start - phrase)
    tone = smooth(tracks.pop("tone"), 5)
    wander = 0.25 * np.interp(np.arange(count), np.arange(0, count + 40, 40), random.normal(size=len(range(0, count + 40, 40))))
    spread = {name: smooth(track, 3) for name, track in tracks.items() if name in ("opening", "rounding")}
    return Uttering(
        pitch=who.pitch * 2 ** ((tone * who.range + wander) / 12),
        formants=np.stack([smooth(f, 7) for f in formants.T], axis=1),
        place=place, said=said, **(tracks | spread),
    )  # fmt: skip


def _syllable(
    tracks: dict[str, Values],
    formants: Values,
    place: Values,
    span: slice,
    one: Syllable,
    how: Delivery,
    who: Voice,
    random: np.random.Generator,
    into: float,
) -> None:
    """Write one syllable into the tracks."""
    count = span.stop - span.start
    onset = min(round(0.075 * CONTROL), count // 3) if one.onset else 0
    t = np.linspace(0, 1, count)
    seconds = np.arange(count) / CONTROL
    loud = 10 ** ((how.stress * (0.35 if one.stressed else -0.65) + random.normal(0, 1)) / 20)
    body = seconds - onset / CONTROL
    rise = np.clip(body / how.attack, 0, 1)
    fade = np.clip((count - np.arange(count)) / (0.035 * CONTROL), 0, 1)
    level = loud * np.sin(np.pi / 2 * rise) * fade * (1 - 0.35 * t)
    hiss = np.zeros(count)
    if one.onset:
        if one.onset in _SOFT:
            level[:onset] = 0.3 * loud
        noise, middle = _HISS.get(one.onset, (0.0, 3000.0))
        begin = round(0.6 * onset) if one.onset in _STOPS else 0
        hiss[begin:onset] = noise * min(loud, 1.2)
        place[span.start : span.start + onset] = middle
    voiced = level > 0
    tone = how.accent * (1.0 if one.stressed else 0.15)
    shape = (1 - how.fall) * np.sin(np.pi * np.clip(t * 1.1, 0, 1)) + how.fall * (1 - 1.5 * t)
    tracks["tone"][span] = tone * shape - 0.8 * min(into, 2.0) + how.final * (t if one.final else 0)
    tracks["level"][span], tracks["hiss"][span] = level * voiced, hiss
    tracks["breath"][span] = np.clip(how.breath + who.breath, 0, 1)
    tracks["tense"][span] = np.clip(how.tense + who.tense, 0, 1)
    tracks["jitter"][span], tracks["shimmer"][span] = how.jitter, how.shimmer
    target = np.asarray(_VOWELS[one.vowel]) * random.normal(1, 0.03) / who.tract
    if one.onset in _SOFT:
        formants[span][:onset] = [280 / who.tract, 1300 / who.tract, 2400 / who.tract, 3400 / who.tract]
    formants[span][onset:] = target
    wide = _OPEN[one.vowel] * np.clip(np.sqrt(loud), 0.6, 1.3) * 0.75
    shut = 0.0 if one.onset in _LIPS and one.onset else 0.25
    tracks["opening"][span] = np.clip(np.where(np.arange(count) < onset, shut * wide, wide * np.sin(np.pi * np.clip(t, 0.12, 0.9))), 0, 1)
    tracks["rounding"][span] = _ROUND[one.vowel]


def smooth(values: Values, width: int) -> Values:
    """A running mean over an odd number of moments."""
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")


def at_frames(track: Values, fps: float, frames: int) -> Values:
    """A track of moments as it is in the middle of each frame of a film, (F)."""
    times = (np.arange(frames) + 0.5) / fps
    return np.interp(times, (np.arange(len(track)) + 0.5) / CONTROL, track, right=0.0)
