"""Wear by the names of its shares and measures."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from mien import config
from mien.errors import ConfigError
from mien.parts.facewear import FaceWear
from mien.parts.voicewear import VoiceWear
from mien.parts.wear import worn
from mien.systems import claip_emo


def test_what_is_named_changes_and_the_rest_stays() -> None:
    usual, made = VoiceWear(), worn(VoiceWear, {"speed": 0.9, "pace": (0.8, 1.2)})
    assert (made.share["speed"], made.pace) == (0.9, (0.8, 1.2))
    assert made.share | {"speed": usual.share["speed"]} == usual.share
    assert made.decibels == usual.decibels


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        (FaceWear, {"blurr": 0.1}, "did you mean 'blur'"),
        (FaceWear, {"blur": 1.5}, "a share of clips, from 0 to 1, not 1.5"),
        (FaceWear, {"gamma": 0.5}, "two numbers, the least and the most"),
        (VoiceWear, {"room": (0.1, 0.2)}, "one number, not"),
        (VoiceWear, {"rate": 8000}, "there is no wear 'rate'"),
    ],
)
def test_what_cannot_be_is_refused(
    kind: type[nn.Module], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        worn(kind, changes)


def test_wear_that_nobody_asked_for_is_no_setting() -> None:
    words = ["model.augment=mild", "model.face_wear.blur=0.1"]
    settings = config.resolve("claip-emo", preset="laptop", overrides=words)
    with pytest.raises(ConfigError, match="augment=wear"):
        claip_emo.front_end(settings.model)  # type: ignore[arg-type]
