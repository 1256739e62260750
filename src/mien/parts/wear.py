"""Wear with other shares and measures than its own, by their names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TypeVar

from torch import nn

from mien.errors import ConfigError, did_you_mean

_Wear = TypeVar("_Wear", bound=nn.Module)

Change = float | tuple[float, float]
"""A share or a measure, or the least and the most of one."""


def worn(kind: type[_Wear], changes: Mapping[str, Change]) -> _Wear:
    """The usual wear but for these shares, measures and ranges.

    Args:
        kind: FaceWear or VoiceWear.
        changes: by the names of its arguments.

    Raises:
        ConfigError: there is no such number, or it cannot be this one.
    """
    defaults = inspect.signature(kind).parameters
    usual = {
        name: value
        for name, value in ((name, parameter.default) for name, parameter in defaults.items())
        if type(value) is float or (isinstance(value, tuple) and type(value[0]) is float)
    }
    for name, value in changes.items():
        if name not in usual:
            raise ConfigError(f"there is no wear {name!r}: {did_you_mean(name, usual)}")
        single = type(usual[name]) is float
        if single != isinstance(value, int | float):
            what = "one number" if single else "two numbers, the least and the most"
            raise ConfigError(f"wear {name!r} is {what}, not {value}")
    made = kind(**changes)
    for name, share in made.share.items():  # type: ignore[union-attr, operator]
        if not 0 <= share <= 1:
            raise ConfigError(f"wear {name!r} is a share of clips, from 0 to 1, not {share}")
    return made
