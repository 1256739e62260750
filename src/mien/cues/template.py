"""How cues are put in words: rules and words, as a file holds them."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from mien.config import Settings
from mien.errors import ConfigError, did_you_mean

TEMPLATES = ("published", "detailed")
"""Those that come with mien."""

Words = Annotated[str, Field(max_length=200)]


class Rules(Settings):
    """What is told, and from where on. The defaults are those of the published system.

    Args:
        fields: T, V and A in any subset: what is said, what is seen, how it sounds.
        faces: name active units, or units that differ from what is usual for the face.
        unit_threshold: above which an action unit is active.
        emotions: how many expressions of the face are named, the highest first.
        tones: how many tones of the voice are named, the strongest first.
        tone_threshold: above which a tone is high; below it is low.
        once: name each tone once, by its highest score, where several utterances have it.
        around: seconds on either side of a clip from which tones are taken.
        dimensions: arousal, dominance and valence as numbers, or as high and low.
        dimension_threshold: above which a dimension is high.
        levels: standard deviations from which a measure or a unit is unusual, and very unusual.
        usual: also say which measures are as usual.
        degrees: of an active unit also say how strong it is, from which strength on.
    """

    fields: str = Field("TVA", pattern="^[TVA]{1,3}$")
    faces: Literal["active", "levels"] = "active"
    unit_threshold: float = Field(0.5, ge=0, le=1)
    emotions: int = Field(3, ge=0, le=20)
    tones: int = Field(10, ge=0, le=100)
    tone_threshold: float = Field(0.3, ge=0, le=1)
    once: bool = False
    around: float = Field(2.0, ge=0, le=60)
    dimensions: Literal["numbers", "levels"] = "numbers"
    dimension_threshold: float = Field(0.5, ge=0, le=1)
    levels: tuple[float, float] = (0.5, 1.5)
    usual: bool = False
    degrees: dict[str, float] = Field({})

    @field_validator("levels")
    @classmethod
    def _levels(cls, levels: tuple[float, float]) -> tuple[float, float]:
        if not 0 < levels[0] <= levels[1]:
            raise ValueError("levels are two positive numbers, the lower one first")
        return levels


class Labels(Settings):
    """What stands before each part."""

    said: Words
    face: Words
    expression: Words
    voice: Words
    dimensions: Words


class Absent(Settings):
    """What stands there instead of what is not there; four phrases that differ."""

    no_face: Words = Field(min_length=1)
    no_active_unit: Words = Field(min_length=1)
    no_speech: Words = Field(min_length=1)
    no_audio: Words = Field(min_length=1)

    @field_validator("no_audio")
    @classmethod
    def _apart(cls, last: str, info: Any) -> str:
        others = [*info.data.values(), last]
        if len(set(others)) < len(others):
            raise ValueError("two absences must not read the same")
        return last


class Template(Settings):
    """Words and rules; see the TOML files beside this one.

    Args:
        name: what it is called in what is made with it.
        part: one labelled part, with ``{label}`` and ``{content}``.
        between: what stands between parts.
        item: what stands between the items of a list.
        high: an item that is high, with ``{name}``; ``low``, ``usual``, ``very_high`` and
            ``very_low`` alike.
        number: a dimension as a number, with ``{name}`` and ``{value}``.
        more: a unit of which there is more than usual, with ``{name}``; ``less``, ``much_more`` and
            ``much_less`` alike.
        degree: a unit with its strength, with ``{degree}`` and ``{name}``.
        labels: before each part.
        ordinary: of a face or a voice of which nothing is unusual.
        absent: in place of what is not there.
        measures: what measures of the voice are called; one that is not named keeps its name.
        rules: what is told.
    """

    name: str = Field(min_length=1, max_length=100)
    part: Words
    between: Words
    item: Words
    high: Words
    low: Words
    usual: Words
    very_high: Words
    very_low: Words
    number: Words
    degree: Words
    more: Words
    less: Words
    much_more: Words
    much_less: Words
    ordinary: Words
    labels: Labels
    absent: Absent
    measures: dict[str, Words]
    rules: Rules

    @classmethod
    def read(
        cls, named: str | Path = "published", rules: Mapping[str, Any] | None = None
    ) -> Template:
        """A template that comes with mien, by its name, or one of your own, by its file.

        Args:
            named: ``published``, ``detailed``, or the path of a TOML file.
            rules: some of the rules, in place of its own.

        Raises:
            ConfigError: there is none, or it is not one.
        """
        text, where = _text(named)
        try:
            values = tomllib.loads(text)
            values["rules"] = {**values.get("rules", {}), **(rules or {})}
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            said = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
            raise ConfigError(f"these are no words for cues: {said}", where=where) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise ConfigError(f"these are no words for cues: {error}", where=where) from error

    @property
    def digest(self) -> str:
        """Of all words and rules: the same texts come of the same cues."""
        held = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(held.encode()).hexdigest()[:16]


def _text(named: str | Path) -> tuple[str, str]:
    if str(named) in TEMPLATES:
        file = resources.files("mien.cues").joinpath(f"{named}.toml")
        return file.read_text(encoding="utf-8"), str(named)
    path = Path(named)
    if not path.is_file():
        raise ConfigError(
            f"there is no template {str(named)!r}: {did_you_mean(str(named), TEMPLATES)}",
            fix="name one of these, or a TOML file of your own",
        )
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("this template cannot be read", where=str(path)) from error
