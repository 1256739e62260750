"""Pickles of conversations: which field is which, told by their number and by what is in each.

Such files are a tuple of dictionaries, dialogue -> a list with something for each utterance, and of
lists of dialogues. Nothing in them says what is what; the code that reads them knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mien.data import pickled
from mien.data.stored import Stored
from mien.errors import DataError

_LAYERS = ("text", "text2", "text3", "text4")
FEATURES = (*_LAYERS, "audio", "visual")
"""Fields that are vectors of utterances."""

_KINDS = {
    "ids": ("texts", "numbers", "vectors"),
    "speakers": ("texts", "vectors", "numbers"),
    "emotion": ("numbers",),
    "sentiment": ("numbers",),
    "sentence": ("texts",),
    "train": ("list",),
    "val": ("list",),
    "test": ("list",),
    "other": ("texts", "numbers", "vectors", "list", "else"),
    **dict.fromkeys(FEATURES, ("vectors",)),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """A kind of file.

    Args:
        name: whose code reads it.
        fields: in their order.
        meld: whether only MELD comes so.
    """

    name: str
    fields: tuple[str, ...]
    meld: bool = False


LAYOUTS = (
    Layout(
        "conv-emotion's MELD",
        ("ids", "speakers", "emotion", "text", "audio", "sentence", "train", "test", "sentiment"),
        meld=True,
    ),
    Layout(
        "MMGCN's MELD",
        (
            *("ids", "speakers", "emotion", "text", "audio", "visual", "sentence", "train"),
            *("test", "sentiment"),
        ),
        meld=True,
    ),
    Layout(
        "DialogueRNN's and MMGCN's IEMOCAP",
        ("ids", "speakers", "emotion", "text", "audio", "visual", "sentence", "train", "test"),
    ),
    Layout(
        "COSMIC's MELD",
        ("speakers", "emotion", "sentiment", *_LAYERS, "sentence", "train", "test", "val"),
        meld=True,
    ),
    Layout(
        "COSMIC's IEMOCAP, EmoryNLP and DailyDialog",
        ("speakers", "emotion", *_LAYERS, "sentence", "train", "test", "val"),
    ),
    Layout(
        "SDT's IEMOCAP",
        (
            *("ids", "speakers", "emotion", *_LAYERS, "audio", "visual", "sentence", "train"),
            "test",
        ),
    ),
    Layout(
        "SDT's MELD",
        (
            *("ids", "speakers", "emotion", *_LAYERS, "audio", "visual", "sentence", "train"),
            *("test", "other"),
        ),
        meld=True,
    ),
)


def fitting(value: Any) -> tuple[Layout, dict[str, Any]]:
    """The layout that a pickle has, and its fields.

    Raises:
        DataError: it has none that is known; the message says what was found.
    """
    fields = list(value) if isinstance(value, list | tuple) else []
    kinds = [_kind(field) for field in fields]
    for layout in LAYOUTS:
        if len(layout.fields) == len(kinds) and all(
            kind in _KINDS[name] for name, kind in zip(layout.fields, kinds, strict=True)
        ):
            return layout, dict(zip(layout.fields, fields, strict=True))
    shown = ", ".join(kinds) if kinds else f"a {type(value).__name__}"
    raise DataError(
        f"this is no pickle of conversations that is known here: {len(kinds)} fields, {shown}",
        fix="mien data import conversations says which fields are looked for",
    )


def _kind(field: Any) -> str:
    """What a field looks like, by its first dialogue that has anything."""
    if not isinstance(field, dict):
        return "list" if isinstance(field, list | tuple | set | Stored) else "else"
    first = next((held for held in field.values() if _length(held)), None)
    if isinstance(first, Stored):
        if first.dtype.kind in "US":
            return "texts"
        return "vectors" if len(first.shape) == 2 else "numbers"
    if not isinstance(first, list | tuple):
        return "else"
    item = first[0]
    if isinstance(item, str | bytes):
        return "texts"
    if isinstance(item, Stored | list | tuple):
        return "vectors"
    return "numbers" if isinstance(item, int | float) else "else"


def _length(held: Any) -> int:
    if isinstance(held, Stored):
        return held.shape[0] if held.shape else 0
    return len(held) if isinstance(held, list | tuple) else 0


def utterances(field: Any, dialogue: Any, name: str) -> Sequence[Any]:
    """What a field has of each utterance of a dialogue: texts, numbers, or vectors unread.

    Raises:
        DataError: it has nothing of it.
    """
    held = field.get(dialogue) if isinstance(field, dict) else None
    if isinstance(held, Stored) and len(held.shape) == 2:
        return list(held.read())
    found = pickled.items(held)
    if found is None:
        raise DataError(f"field {name!r} has nothing of dialogue {str(dialogue)[:80]!r}")
    return found
