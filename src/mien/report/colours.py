"""Which colour stands for which label.

Twelve colours, chosen so that they stay apart for the common kinds of colour blindness; the style
sheet holds one set for light pages and one for dark ones. A feeling keeps its colour from run to
run: anger is red whether a corpus calls it "anger" or "angry".
"""

from __future__ import annotations

from mien.types import Problem, TaskSpec

SLOTS = 12
RAMP = 7

# What a label begins with, and its colour; in the order in which labels are tried.
_FEELINGS = {
    "neutral": 0,
    "happ": 1,
    "joy": 1,
    "sad": 2,
    "ang": 3,
    "disg": 4,
    "fear": 5,
    "surpris": 6,
    "calm": 7,
    "anxi": 8,
    "contempt": 9,
    "disappoint": 10,
    "helpless": 11,
    "other": 11,
}
_REST = (2, 6, 4, 8, 1, 5, 3, 7, 10, 9, 11, 0)  # neighbours in this order look least alike


def names(spec: TaskSpec) -> tuple[str, ...]:
    """The style sheet's name for the colour of each label, in their order.

    Classes that stand in an order get steps of one ramp. More classes than colours share some:
    the page writes labels out wherever they fit.
    """
    if spec.problem is Problem.ORDINAL:
        last = max(spec.width - 1, 1)
        return tuple(f"o{round(i * (RAMP - 1) / last)}" for i in range(spec.width))
    if spec.problem is not Problem.ONE_OF_N:
        return ("k2",) * spec.width
    given: dict[str, int] = {}
    for label in spec.labels:
        for stem, slot in _FEELINGS.items():
            if label.lower().startswith(stem) and slot not in given.values():
                given[label] = slot
                break
    free = [slot for slot in _REST if slot not in given.values()] or list(_REST)
    unnamed = [label for label in spec.labels if label not in given]
    given |= {label: free[i] if i < len(free) else i % SLOTS for i, label in enumerate(unnamed)}
    return tuple(f"k{given[label]}" for label in spec.labels)
