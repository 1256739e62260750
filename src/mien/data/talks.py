"""Dialogues of two: who says what when, and how an emotion answers the one before.

What somebody feels in a turn follows in part from what the other has just shown, in part from what
they felt themselves, and in part from nothing; what is said follows in part from what is felt. So
face and voice tell most, and words and context help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mien.data.acted import EMOTIONS
from mien.data.takes import Take

TURNS = (8, 12)
"""The fewest and the most turns of a dialogue."""

ANSWERED, KEPT, MOODY = 0.6, 0.2, 0.6
"""How often an emotion answers the other's, how often somebody's own one stays, and how often words
are those of a mood; else all emotions, and all words, are equally likely."""

ANSWERS: Mapping[str, str] = {
    "happy": "surprised",
    "surprised": "afraid",
    "afraid": "disgusted",
    "disgusted": "angry",
    "angry": "desperate",
    "desperate": "sad",
    "sad": "content",
    "content": "happy",
}
"""What the other's emotion calls for: a ring, so that all emotions stay equally frequent."""

MOODS: Mapping[str, tuple[str, ...]] = {
    "smile": (
        "that is good news, really.", "i am so glad you came.", "we had a lovely day together.",
        "thank you, it is beautiful.",
    ),
    "wide": (
        "did you hear that noise?", "what is happening over there?", "look, behind you!",
        "nobody told me anything.",
    ),
    "frown": (
        "i do not like this at all.", "you said so yesterday.", "take it away from here.",
        "that is not what we agreed.",
    ),
    "droop": (
        "there is nothing left to do.", "i miss them every day.", "it will not come back.",
        "i have lost everything.",
    ),
}  # fmt: skip
"""Words that go with what a face displays."""

PLAIN = (
    "the train leaves at seven.", "the keys are on the table.", "it is the second door.",
    "we still need bread and milk.", "the window in the kitchen is open.",
    "somebody called this morning.", "they moved to another town.", "the paper is in the drawer.",
)  # fmt: skip
"""Words that go with anything."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: a film, and its place in a dialogue."""

    take: Take
    dialogue: str
    number: int


def turns(speakers: int, dialogues: int, seed: int) -> list[Turn]:
    """All turns of all dialogues, in order.

    Args:
        speakers: an even number of people; the first two talk, the next two, and so on.
        dialogues: of each pair.
        seed: same numbers, same dialogues.
    """
    found = []
    for pair in range(speakers // 2):
        for dialogue in range(dialogues):
            found += _dialogue(pair, dialogue, seed)
    return found


def _dialogue(pair: int, dialogue: int, seed: int) -> list[Turn]:
    random = np.random.default_rng([seed, 5, pair, dialogue])
    name = f"d{pair:02d}-{dialogue:02d}"
    first, felt, found = int(random.integers(2)), list[str](), list[Turn]()
    for number in range(int(random.integers(TURNS[0], TURNS[1] + 1))):
        emotion = _next(felt, random)
        felt.append(emotion)
        take = Take(
            id=f"{name}-t{number:02d}",
            seed=seed,
            speaker=2 * pair + (first + number) % 2,
            number=100 * dialogue + number,
            emotion=emotion,
            seconds=None,
            words=tuple(_words(emotion, random).split()),
        )
        found.append(Turn(take, name, number))
    return found


def _next(felt: list[str], random: np.random.Generator) -> str:
    """What is felt after all that was felt before."""
    chance = random.random()
    if felt and chance < ANSWERED:
        return ANSWERS[felt[-1]]
    if len(felt) > 1 and chance < ANSWERED + KEPT:
        return felt[-2]
    return str(random.choice(list(EMOTIONS)))


def _words(emotion: str, random: np.random.Generator) -> str:
    moody = random.random() < MOODY
    return str(random.choice(MOODS[EMOTIONS[emotion].display] if moody else PLAIN))
