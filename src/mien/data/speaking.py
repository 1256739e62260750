"""Whose voice it is: a face's only where that is known, and else nobody's.

In this order: somebody said so (a file of turns whose speaker is a face); one face is to be seen
and no other; a mouth moves as the voice does, where that rule is asked for. Else face and voice
stand apart, and say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mien.data.turns import Turn

GIVEN, ALONE, MOUTH = "given", "one face", "mouth motion"
"""Why a voice is a face's."""

_THERE, _OTHERS = 0.5, 0.1  # share of a window: of the face that is alone, of any other at most
_SPEAKS = 0.5  # share of the spoken time that one speaker has at least
_MOVES, _LEAD = 0.3, 0.15  # least score of a mouth, and how far it leads the next
_MOUTH = (0.55, 0.90, 0.28, 0.72)  # of an aligned crop: top, bottom, left, right
_BROW = (0.10, 0.42, 0.20, 0.80)
_LAG = 3  # frames by which sound and picture may be apart
_HEARD = 0.5  # seconds that are not digital silence


@dataclass(frozen=True, slots=True)
class Joined:
    """Whose face a voice belongs to.

    Args:
        face: the name of the face; None: nobody knows.
        why: how that is known, one of the three words above.
        score: how well the mouth fits, where it decided.
        apart: why nobody knows, in words.
    """

    face: str | None
    why: str = ""
    score: float | None = None
    apart: str = ""


def join(
    faces: Mapping[str, float],
    turns: Sequence[Turn] = (),
    who: Mapping[str, str] | None = None,
    motion: Mapping[str, float] | None = None,
) -> Joined:
    """Whose the voice of a window is.

    Args:
        faces: the share of the window in which each face is to be seen.
        turns: what a file says of the window, cut to it.
        who: speaker to face; a speaker called like a face is that face.
        motion: how well each mouth moves with the voice, where that may decide.
    """
    named = speaker_of(turns)
    if named is not None:
        face = (who or {}).get(named, named)
        if face in faces:
            return Joined(face, GIVEN)
        if face.startswith("face-") or (who and named in who):
            return Joined(None, apart=f"{named} speaks, whose face is not to be seen")
        if who:
            return Joined(None, apart=f"nobody said whose face {named} has")
    there = [face for face, share in faces.items() if share >= _THERE]
    others = [face for face, share in faces.items() if share > _OTHERS and face not in there]
    if len(there) == 1 and not others:
        return Joined(there[0], ALONE)
    if motion:
        best, *rest = sorted(motion, key=lambda face: -motion[face])
        lead = motion[best] - max((motion[face] for face in rest), default=-1.0)
        if motion[best] >= _MOVES and lead >= _LEAD:
            return Joined(best, MOUTH, motion[best])
    return Joined(None, apart="several faces" if len(faces) > 1 else "no face for long enough")


def speaker_of(turns: Sequence[Turn]) -> str | None:
    """Who has most of the spoken time, if anyone has; nobody where two share it."""
    spoken: dict[str, float] = {}
    for turn in turns:
        if turn.speaker is not None:
            spoken[turn.speaker] = spoken.get(turn.speaker, 0.0) + turn.end - turn.start
    total = sum(spoken.values())
    best = max(spoken, key=lambda name: spoken[name], default=None)
    return best if best is not None and spoken[best] > _SPEAKS * total else None


def within(turns: Sequence[Turn], start: float, end: float) -> list[Turn]:
    """The turns that touch [start, end), cut to it."""
    return [
        Turn(max(turn.start, start), min(turn.end, end), turn.speaker, turn.text)
        for turn in turns
        if turn.end > start and turn.start < end
    ]


def mouth_motion(
    crops: NDArray[np.uint8], seen: NDArray[np.bool_], wave: NDArray[np.float32], fps: float,
    rate: int, there: NDArray[np.bool_] | None = None,
) -> float:  # fmt: skip
    """How well a mouth moves with a voice, -1..1; 0 where too little is to be seen or heard.

    The changes of the mouth from frame to frame, less those of the brows (a head that moves, moves
    both), are compared with the loudness of the sound.

    Args:
        crops: (L, S, S, 3), aligned.
        seen: (L), where the face is there.
        wave: (N) samples of the same time.
        fps: crops a second.
        rate: samples a second.
        there: (N) which samples were recorded; all, where not given.
    """
    both = seen[1:] & seen[:-1]
    if both.sum() < fps:
        return 0.0
    grey = crops.mean(3, dtype=np.float32)  # (L, S, S)
    moves = _changes(grey, _MOUTH) - _changes(grey, _BROW)  # (L - 1)
    step = rate / fps
    edges = np.minimum((np.arange(len(crops) + 1) * step).astype(np.int64), len(wave))
    loud = np.full(len(moves) + 2 * _LAG, np.nan)  # not a number: nothing is known
    for at, (a, b) in enumerate(pairwise(edges[1:].tolist()), _LAG):
        if b > a and (there is None or there[a:b].all()):
            loud[at] = np.sqrt(np.mean(np.square(wave[a:b], dtype=np.float64)))
    scores = []
    for lag in range(2 * _LAG + 1):
        heard = loud[lag : lag + len(moves)]
        used = both & np.isfinite(heard)
        # A sound that only begins as the face goes would fit whatever the face did last.
        if used.sum() >= fps - _LAG and (heard[used] > 0).sum() >= _HEARD * fps:
            scores.append(_correlation(moves[used], heard[used]))
    return max(scores, default=0.0)


def _changes(
    grey: NDArray[np.float32], region: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    top, bottom, left, right = (round(share * grey.shape[1]) for share in region)
    part = grey[:, top:bottom, left:right]
    return np.asarray(np.abs(np.diff(part, axis=0)).mean((1, 2)), np.float32)


def _correlation(one: NDArray[np.generic], two: NDArray[np.generic]) -> float:
    a, b = np.asarray(one, np.float64), np.asarray(two, np.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 1e-9 else 0.0
