"""Captions of made-up films: what is to be seen and heard in them, measured and put into words.

Only courses that a camera or a microphone could follow are looked at: action units, lids, head,
pitch, level, breath. What is acted (`Acting.course`, a take's emotion, its display and delivery) is
not. All the same these courses were made from it: captions of this kind follow from the label, with
some chance in strength and timing, and tell a reader who knows the ring of emotions which it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.data import takes
from mien.data.acted import ACTION_UNITS, Acting
from mien.data.descriptions import Captions
from mien.data.takes import FPS, Shot
from mien.data.uttered import CONTROL, Uttering

NAME = "measured-1"
"""Of the template; another one is called otherwise."""

Values = NDArray[np.float64]

_UNITS = {
    "AU6": "the cheeks are lifted", "AU7": "the lids are tightened",
    "AU10": "the upper lip is raised", "AU12": "the corners of the mouth are drawn up",
    "AU15": "the corners of the mouth are drawn down", "AU23": "the lips are tightened",
    "AU24": "the lips are pressed together",
}  # fmt: skip
_SEEN = 0.3  # of an action unit at its height; less is the wandering of any face
_DEGREES = ((0.8, "strongly"), (0.55, "clearly"), (0.0, "slightly"))
_HEIGHT = 90  # percentile of frames that counts as the height: a display lasts a third of a clip
_VOICED = 0.05  # of the level
_PAUSE = 0.12  # seconds


@dataclass(frozen=True, slots=True)
class Cue:
    """Something seen or heard, in words, and how much there is of it, 0 to 1."""

    words: str
    much: float


def captions(shot: Shot) -> Captions:
    """What is seen, heard and both, of a film with one swell; None where nothing is there."""
    seen = list(_face(shot.acting, shot.visible)) if shot.visible.any() else []
    heard = list(_voice(shot.uttering)) if (shot.uttering.level > _VOICED).any() else []
    both = [_words(sorted(cues, key=lambda cue: -cue.much)[:2]) for cues in (seen, heard) if cues]
    return Captions(
        visual=f"{_sentence(_words(seen))} {_timing(shot)}" if seen else None,
        audio=_sentence(_words(heard)) if heard else None,
        joint=_sentence(", while ".join(both)) if both else None,
    )


def _words(cues: Sequence[Cue]) -> str:
    return "; ".join(cue.words for cue in cues)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


# -- face ------------------------------------------------------------------------------------------


def _face(acting: Acting, visible: NDArray[np.bool_]) -> Iterator[Cue]:
    """What a face does at its height, from the brows down. Opening of the mouth is speech."""
    high = np.percentile(acting.units[visible], _HEIGHT, axis=0)
    units = dict(zip(ACTION_UNITS, high.tolist(), strict=True))
    yield from _brows(units)
    lids = np.percentile(acting.lids[visible], [30, 85])
    if lids[1] > 1.12:
        yield Cue("the eyes are torn open", min(1.0, 3 * (float(lids[1]) - 1)))
    elif lids[0] < 0.87:
        yield Cue("the lids hang low", min(1.0, 3 * (1 - float(lids[0]))))
    found = [Cue(_graded(words, units[unit]), units[unit])
             for unit, words in _UNITS.items() if units[unit] >= _SEEN]  # fmt: skip
    yield from found
    if max(units[unit] for unit in units if unit not in ("AU25", "AU26")) < _SEEN:
        yield Cue("the face is at rest", 0.1)
    if acting.turn[visible, 0].std() > 0.1:
        yield Cue("the head turns to and fro", 0.2)


def _brows(units: dict[str, float]) -> Iterator[Cue]:
    inner, outer, down = units["AU1"], units["AU2"], units["AU4"]
    if min(inner, outer) >= _SEEN:
        yield Cue(_graded("both brows are raised", min(inner, outer)), min(inner, outer))
    elif inner >= _SEEN:
        yield Cue(_graded("the inner ends of the brows are pulled up", inner), inner)
    if down >= _SEEN:
        yield Cue(_graded("the brows are drawn together and down", down), down)


def _graded(words: str, value: float) -> str:
    """With an adverb after the verb."""
    degree = next(word for least, word in _DEGREES if value >= least)
    return words.replace(" are ", f" are {degree} ", 1).replace(" is ", f" is {degree} ", 1)


def _timing(shot: Shot) -> str:
    """When the face moves most, and how long it stays so."""
    moving = shot.acting.units[:, :-2].max(axis=1) * shot.visible
    strong = np.flatnonzero(moving > 0.6 * moving.max())
    first = strong[0] / len(moving)
    when = "at the beginning" if first < 0.2 else "midway" if first < 0.55 else "towards the end"
    return f"This comes {when} and lasts about {max(0.5, round(2 * len(strong) / FPS) / 2):g} s."


# -- voice -----------------------------------------------------------------------------------------


def _voice(uttering: Uttering) -> Iterator[Cue]:
    """How a voice sounds, whatever is said."""
    voiced = uttering.level > _VOICED
    at = np.flatnonzero(voiced)
    seconds = (at[-1] - at[0] + 1) / CONTROL
    hertz = float(np.median(uttering.pitch[voiced]))
    height = "low" if hertz < 140 else "high" if hertz > 180 else "middling"
    yield Cue(f"a {height} voice of about {10 * round(hertz / 10)} Hz", 0.1)
    yield from _melody(12 * np.log2(uttering.pitch[voiced] / hertz))
    pace = _openings(uttering.opening) / seconds
    if pace > 5.4:
        yield Cue("the speech is quick", min(1.0, pace / 8))
    elif pace < 4.0:
        yield Cue("the speech is slow", min(1.0, 2.4 / pace))
    level = 20 * np.log10(uttering.level[voiced])
    yield from _stress(float(np.percentile(level, 95) - np.median(level)))
    if (pauses := _pauses(voiced[at[0] : at[-1] + 1])) >= 2:
        yield Cue(f"the voice breaks off {pauses} times", min(1.0, 0.4 + 0.15 * pauses))
    if (breath := float(uttering.breath[voiced].mean())) > 0.3:
        yield Cue("the voice is full of breath", min(1.0, 2 * breath))
    if (rough := float(uttering.jitter[voiced].mean())) > 0.013:
        yield Cue("the voice trembles", min(1.0, 40 * rough))


def _melody(semitones: Values) -> Iterator[Cue]:
    moved = float(semitones.std())
    if moved > 1.5:
        yield Cue("the pitch moves far up and down", min(1.0, moved / 3))
    elif moved > 0.6:
        yield Cue("the pitch moves a little", 0.3)
    else:
        yield Cue("the pitch stays flat", 0.6)


def _stress(decibels: float) -> Iterator[Cue]:
    if decibels > 6.7:
        yield Cue("some syllables are much louder than the rest", min(1.0, decibels / 10))
    elif decibels < 4.2:
        yield Cue("the voice is evenly loud", 0.4)


def _openings(opening: Values) -> int:
    """How often the mouth opens: about once a syllable."""
    middle = opening[1:-1]
    return int(np.sum((middle > opening[:-2]) & (middle >= opening[2:]) & (middle > 0.15)))


def _pauses(voiced: NDArray[np.bool_]) -> int:
    """Silences between the first and the last sound."""
    edges = np.flatnonzero(np.diff(voiced.astype(np.int8)))
    return int(np.sum(edges[1::2] - edges[::2] >= _PAUSE * CONTROL))


def described(take: takes.Take) -> Captions:
    """Captions of a take; nothing is drawn for it."""
    return captions(takes.staged(take))
