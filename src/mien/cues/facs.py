"""Action units by the names that the Facial Action Coding System gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mien.errors import DataError, did_you_mean
from mien.tasks.action_units import ABAW_ACTION_UNITS

__all__ = ["CHALLENGE", "NAMES", "OPENFACE", "PUBLISHED", "in_order", "unit"]

NAMES = {
    "AU1": "inner brow raiser",
    "AU2": "outer brow raiser",
    "AU4": "brow lowerer",
    "AU5": "upper lid raiser",
    "AU6": "cheek raiser",
    "AU7": "lid tightener",
    "AU9": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU11": "nasolabial deepener",
    "AU12": "lip corner puller",
    "AU13": "sharp lip puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU16": "lower lip depressor",
    "AU17": "chin raiser",
    "AU18": "lip pucker",
    "AU20": "lip stretcher",
    "AU22": "lip funneler",
    "AU23": "lip tightener",
    "AU24": "lip pressor",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU27": "mouth stretch",
    "AU28": "lip suck",
    "AU43": "eyes closed",
    "AU45": "blink",
}
"""Every unit that one of the sets below has, and some that other detectors know."""

CHALLENGE = ABAW_ACTION_UNITS.labels
"""The twelve that the ABAW challenges annotate."""

PUBLISHED = tuple(
    f"AU{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43)
)
"""The twenty of the published textualized system, those of py-feat."""

OPENFACE = tuple(f"AU{n}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
"""The seventeen whose strength OpenFace measures; of AU28 it says only whether it is active."""

_WRITTEN = re.compile(r"AU_?0*(\d{1,2})", re.IGNORECASE)


def unit(written: str) -> str:
    """A unit's name here, of one that is written ``AU04``, ``au4`` or ``AU_4``.

    Raises:
        DataError: FACS has no such unit, or none that is named here.
    """
    match = _WRITTEN.fullmatch(written.strip())
    found = f"AU{match[1]}" if match else written
    if found not in NAMES:
        raise DataError(f"no action unit is called {written!r}: {did_you_mean(found, NAMES)}")
    return found


def in_order(units: Iterable[str]) -> list[str]:
    """Units by their numbers, as FACS lists them."""
    return sorted(units, key=lambda name: int(name.removeprefix("AU")))
