"""Captions of made-up films: what was put in comes out in words, and nothing else does."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from mien.data import captioned, takes
from mien.data.acted import ACTION_UNITS, DISPLAYS, EMOTIONS
from mien.data.takes import Take
from mien.data.uttered import DELIVERIES

WORDS = {*EMOTIONS, *DISPLAYS, *DELIVERIES, *(e.expression.lower() for e in EMOTIONS.values())}


def take(emotion: str, speaker: int = 0, seed: int = 0) -> Take:
    number = list(EMOTIONS).index(emotion)
    return Take(id="x", seed=seed, speaker=speaker, number=number, emotion=emotion, seconds=2.0)


@pytest.mark.parametrize("emotion", list(EMOTIONS))
def test_no_caption_names_what_is_acted(emotion: str) -> None:
    for speaker in range(3):
        found = captioned.described(take(emotion, speaker))
        for caption in found.in_order():
            assert caption is not None
            assert not WORDS & set(re.findall("[a-z]+", caption.lower()))
            assert len(caption.split()) <= 60


def test_captions_read_only_what_can_be_followed() -> None:
    """What is acted, valence and arousal may be anything: nobody looks at them."""
    shot = takes.staged(take("angry"))
    other = dataclasses.replace(
        shot.acting,
        course=np.roll(shot.acting.course, 3, axis=1),
        valence=-shot.acting.valence,
        arousal=-shot.acting.arousal,
    )
    assert captioned.captions(dataclasses.replace(shot, acting=other)) == captioned.captions(shot)


@pytest.mark.parametrize(
    ("unit", "value", "said"),
    [
        ("AU12", 0.9, "the corners of the mouth are strongly drawn up"),
        ("AU12", 0.6, "the corners of the mouth are clearly drawn up"),
        ("AU12", 0.4, "the corners of the mouth are slightly drawn up"),
        ("AU15", 0.9, "the corners of the mouth are strongly drawn down"),
        ("AU4", 0.7, "the brows are clearly drawn together and down"),
        ("AU1", 0.7, "the inner ends of the brows are clearly pulled up"),
        ("AU12", 0.2, "the face is at rest"),
    ],
)
def test_each_unit_has_its_words(unit: str, value: float, said: str) -> None:
    shot = takes.staged(take("happy"))
    units = np.zeros_like(shot.acting.units)
    units[10:30, ACTION_UNITS.index(unit)] = value
    acting = dataclasses.replace(shot.acting, units=units, lids=np.ones(len(units)))
    found = captioned.captions(dataclasses.replace(shot, acting=acting))
    assert found.visual is not None
    assert said in found.visual.lower()


def test_displays_and_deliveries_are_told_apart() -> None:
    """Of many people: each display's own cue is there and nobody else's; of voices, mostly."""
    seen = {"smile": "mouth are (strongly|clearly) drawn up", "wide": "both brows are",
            "frown": "lids are", "droop": "drawn down"}  # fmt: skip
    heard = {"lively": "quick", "soft": "full of breath", "halting": "trembles",
             "forceful": "some syllables are much louder"}  # fmt: skip
    right = [0, 0]
    for name, emotion in EMOTIONS.items():
        for speaker in range(6):
            found = captioned.described(take(name, speaker, seed=5))
            for display, pattern in seen.items():
                there = re.search(pattern, (found.visual or "").lower()) is not None
                assert there == (display == emotion.display), (name, found.visual)
            right[0] += re.search(heard[emotion.delivery], (found.audio or "").lower()) is not None
            right[1] += 1
    assert right[0] / right[1] > 0.7


def test_who_is_out_of_the_picture_or_silent_has_no_caption() -> None:
    shot = takes.staged(take("sad"))
    away = dataclasses.replace(shot.pose, yaw=np.full_like(shot.pose.yaw, 1.5))
    found = captioned.captions(dataclasses.replace(shot, pose=away))
    assert found.visual is None
    assert found.audio is not None
    assert found.joint is not None
    quiet = dataclasses.replace(shot.uttering, level=np.zeros_like(shot.uttering.level))
    found = captioned.captions(dataclasses.replace(shot, pose=away, uttering=quiet))
    assert found.in_order() == (None, None, None)
