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
        rate=6.2, accent=7.0, fall=0.0, final=5.0, stress=5.0, attack=0.025, breath=0.10,
        tense=0.55, jitter=0.005, shimmer=0.04, pause=0.0, rest=0.1,
    ),
    "soft": Delivery(
        rate=2.8, accent=1.0, fall=0.2, final=-4.0, stress=2.0, attack=0.09, breath=0.3, tense=0.4,
        jitter=0.008, shimmer=0.05, pause=0.04, rest=0.15,
    ),
    "forceful": Delivery(
        rate=4.4, accent=7.0, fall=1.0, final=-2.0, stress=11.0, attack=0.012, breath=0.06,
        tense=0.6, jitter=0.006, shimmer=0.05, pause=0.0, rest=0.1,
    ),
    "halting": Delivery(
        rate=4.8, accent=0.4, fall=0.3, final=0.0, stress=1.0, attack=0.02, breath=0.15, tense=0.5,
        jitter=0.022, shimmer=0.14, pause=0.5, rest=0.26,
    ),
}  # fmt: skip

_NAMES = [field.name for field in fields(Delivery)]
_CALM: Values = np.asarray([getattr(NEUTRAL, name) for name in _NAMES])
_MOVED: Values = (
    np.asarray([[getattr(d, name) for name in _NAMES] for d in DELIVERIES.values()]) - _CALM
)  # (4, P)


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
_STOPS, _LIPS, _SOFT = tuple("tkpqdgb"), tuple("pbm"), tuple("mnlrw")
_NASAL = (280.0, 1300.0, 2400.0, 3400.0)


@dataclass(frozen=True, slots=True)
class Syllable:
    """A consonant and a vowel.

    Args:
        onset: one letter, or nothing.
        vowel: one of a, e, i, o, u.
        stressed: whether it carries its word's stress.
        final: whether a phrase ends with it.
    """

    onset: str
    vowel: str
    stressed: bool
    final: bool


def syllables(words: Sequence[str]) -> list[Syllable]:
    """Words to syllables, roughly, by their letters; a phrase ends at a mark or with the words."""
    found: list[Syllable] = []
    for number, word in enumerate(words):
        letters = re.sub("[^a-z]", "", word.lower())
        letters = re.sub("y(?=[aeiou])", "", letters).replace("y", "i")
        letters = re.sub("e$", "", letters) if len(re.findall("[aeiou]+", letters)) > 1 else letters
        pieces = re.findall("([^aeiou]*)([aeiou]+)", letters) or [(letters, "e")]
        ends = number == len(words) - 1 or word[-1:] in ".,?!;:"
        stress = 0 if len(pieces) < 3 else 1
        for i, (onset, vowel) in enumerate(pieces):
            last = i == len(pieces) - 1
            stressed = i == stress and (len(letters) > 3 or len(words) == 1)
            found.append(Syllable(onset[-1:], vowel[0], stressed, last and ends))
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
    seconds: float | None = None,
    silent: Sequence[tuple[float, float]] = (),
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
        seconds: how long it all lasts. None: to the end of speech, and as long as ``lead``.
        silent: spans of time in which nothing is said.
    """
    queue, time, phrase, n = syllables(words), lead, lead, 0
    spoken: list[_Spoken] = []
    while n < len(queue) if until is None else time < until - _SHORTEST:
        wait = max([end for start, end in silent if start <= time < end], default=None)
        if wait is not None:
            time = phrase = wait
            continue
        one, how = queue[n % len(queue)], delivery(time)
        length = random.lognormal(0, 0.12) / (how.rate * who.pace) * (1.22 if one.stressed else 0.9)
        length = length if until is None else min(length, until - time)
        spoken.append(_Spoken(one, how, time, length, time - phrase))
        time, n = time + length, n + 1
        breaks = random.random() < how.pause
        if breaks or one.final:
            time += how.rest * random.uniform(0.75, 1.3) if breaks else _COMMA
            phrase = time
    lasts = seconds or until or time + lead
    sheet = _Sheet(max(1, round(lasts * CONTROL)), who, random)
    for syllable in spoken:
        sheet.write(syllable)
    return sheet.uttering(tuple(word for word in words if word))


_SHORTEST, _COMMA = 0.12, 0.12  # seconds: of a syllable at the end of time; between two phrases


@dataclass(frozen=True, slots=True)
class _Spoken:
    """A syllable in its time; ``into`` are the seconds since its phrase began."""

    what: Syllable
    how: Delivery
    start: float
    length: float
    into: float


class _Sheet:
    """The tracks of a voice, on which syllables are written."""

    def __init__(self, count: int, who: Voice, random: np.random.Generator) -> None:
        self._who, self._random, self._count = who, random, count
        names = ("level", "breath", "tense", "jitter", "shimmer", "hiss", "opening", "rounding")
        self._tracks = {name: np.zeros(count) for name in names}
        self._tone = np.zeros(count)  # semitones over the speaker's own pitch
        self._formants = np.tile(np.asarray(_VOWELS["e"]) / who.tract, (count, 1))
        self._place = np.full(count, 3000.0)

    def write(self, spoken: _Spoken) -> None:
        """One syllable: a consonant of up to 75 ms, then a vowel."""
        first = round(spoken.start * CONTROL)
        span = slice(first, min(self._count, round((spoken.start + spoken.length) * CONTROL)))
        count = span.stop - span.start
        if count < 4:
            return
        one, how, who = spoken.what, spoken.how, self._who
        onset = min(round(0.075 * CONTROL), count // 3) if one.onset else 0
        offset = how.stress * (0.35 if one.stressed else -0.65) + self._random.normal(0, 1)
        loud = float(10 ** (offset / 20))
        self._sound(span, onset, one, how, loud)
        self._tune(span, spoken)
        for name, value in (
            ("breath", how.breath + who.breath), ("tense", how.tense + who.tense),
            ("jitter", how.jitter), ("shimmer", how.shimmer), ("rounding", _ROUND[one.vowel]),
        ):  # fmt: skip
            self._tracks[name][span] = value
        self._shape(span, onset, one)
        t = np.linspace(0, 1, count)
        wide = 0.75 * _OPEN[one.vowel] * float(np.clip(np.sqrt(loud), 0.6, 1.3))
        shut = 0.0 if one.onset in _LIPS else 0.25
        opening = wide * np.where(np.arange(count) < onset, shut, np.sin(np.pi * t.clip(0.12, 0.9)))
        self._tracks["opening"][span] = opening.clip(0, 1)

    def _sound(self, span: slice, onset: int, one: Syllable, how: Delivery, loud: float) -> None:
        """How loud the voice and the consonant's noise are."""
        n = np.arange(span.stop - span.start)
        rise = ((n - onset) / CONTROL / how.attack).clip(0, 1)
        fade = ((len(n) - n) / (0.035 * CONTROL)).clip(0, 1)
        level = loud * np.sin(np.pi / 2 * rise) * fade * (1 - 0.35 * n / len(n))
        if one.onset in _SOFT:
            level[:onset] = 0.3 * loud
        noise, middle = _HISS.get(one.onset, (0.0, 3000.0))
        begin = round(0.6 * onset) if one.onset in _STOPS else 0
        self._tracks["level"][span] = level
        self._tracks["hiss"][span][begin:onset] = noise * min(loud, 1.2)
        self._place[span][:onset] = middle

    def _tune(self, span: slice, spoken: _Spoken) -> None:
        """Where the pitch goes: accent, the phrase's slow fall, and its end."""
        one, how = spoken.what, spoken.how
        t = np.linspace(0, 1, span.stop - span.start)
        rounded, falling = np.sin(np.pi * (1.1 * t).clip(0, 1)), 1 - 1.5 * t
        accent = how.accent * (1.0 if one.stressed else 0.15)
        tone = accent * ((1 - how.fall) * rounded + how.fall * falling)
        tone += (how.final * t if one.final else 0) - 0.8 * min(spoken.into, 2.0)
        self._tone[span] = tone

    def _shape(self, span: slice, onset: int, one: Syllable) -> None:
        """Where the formants are."""
        formants = self._formants[span]
        if one.onset in _SOFT:
            formants[:onset] = np.asarray(_NASAL) / self._who.tract
        vowel = np.asarray(_VOWELS[one.vowel]) * self._random.normal(1, 0.03)
        formants[onset:] = vowel / self._who.tract

    def uttering(self, said: tuple[str, ...]) -> Uttering:
        """The voice, without the jumps between syllables."""
        knots = np.arange(0, self._count + CONTROL // 5, CONTROL // 5)
        wander = np.interp(np.arange(self._count), knots, self._random.normal(size=len(knots)))
        tone = self._who.range * smooth(self._tone, 5) + 0.25 * wander
        tracks = dict(self._tracks)
        for name in ("opening", "rounding"):
            tracks[name] = smooth(tracks[name], 3)
        for name in ("breath", "tense"):
            tracks[name] = tracks[name].clip(0, 1)
        return Uttering(
            pitch=self._who.pitch * 2 ** (tone / 12),
            formants=np.stack([smooth(track, 7) for track in self._formants.T], axis=1),
            place=self._place,
            said=said,
            **tracks,
        )


def smooth(values: Values, width: int) -> Values:
    """A running mean over an odd number of moments."""
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")


def at_frames(track: Values, fps: float, frames: int) -> Values:
    """A track of moments as it is in the middle of each frame of a film, (F)."""
    times = (np.arange(frames) + 0.5) / fps
    moments = (np.arange(len(track)) + 0.5) / CONTROL
    return np.asarray(np.interp(times, moments, track, right=0.0), np.float64)
