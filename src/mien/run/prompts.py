"""What a model is asked about a clip, from a template; and the form that its answer has."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from mien.config import Settings
from mien.data.glimpse import Glimpse
from mien.errors import ConfigError
from mien.language.talk import Message, Part, Picture, Sound

WORDS = 60
"""That a caption may have."""

_LETTERS = 700  # of a caption; a word may be long, sixty of them are not

Name = Literal[
    "neutral", "calm", "content", "happy", "amused", "proud", "tender", "interested", "surprised",
    "confused", "anxious", "afraid", "embarrassed", "ashamed", "guilty", "sad", "disappointed",
    "helpless", "desperate", "in pain", "frustrated", "angry", "contemptuous", "disgusted", "bored",
    "tired",
]  # fmt: skip
"""Words for emotions. A closed list, our choice, so that two models can be compared."""

Share = Annotated[float, Field(ge=0, le=1)]


class Cue(Settings):
    """Something that is seen or heard, and when."""

    when: Literal["throughout", "beginning", "middle", "end"]
    cue: str = Field(min_length=1, max_length=300)


class Feeling(Settings):
    """An emotion that may be expressed."""

    name: Name
    intensity: Share
    uncertainty: Share
    cues: list[Annotated[str, Field(min_length=1, max_length=300)]] = Field(
        min_length=1, max_length=8
    )


class Answer(Settings):
    """The whole answer: the way to the captions first, so that it is gone first."""

    visual_cues: list[Cue] = Field(max_length=16)
    vocal_cues: list[Cue] = Field(max_length=16)
    agreement: Literal["agree", "conflict", "one channel"]
    agreement_why: str = Field(max_length=500)
    emotions: list[Feeling] = Field(min_length=1, max_length=3)
    visual_caption: str
    audio_caption: str
    joint_caption: str

    @field_validator("visual_caption", "audio_caption", "joint_caption")
    @classmethod
    def _caption(cls, text: str, info: ValidationInfo) -> str:
        """Short, and there where its channel is, and only there."""
        text = " ".join(text.split())
        words = len(text.split())
        if words > WORDS or len(text) > _LETTERS:
            raise ValueError(f"a caption has at most {WORDS} words, this one has {words}")
        channel = str(info.field_name).removesuffix("_caption")
        there = (info.context or {}).get(channel, True)
        if there and not text:
            raise ValueError("this caption is empty")
        if text and not there:
            raise ValueError("nothing of this was given, so this caption is empty")
        return text

    def reasoning(self) -> dict[str, Any]:
        """All but the captions."""
        return self.model_dump(
            mode="json", exclude={"visual_caption", "audio_caption", "joint_caption"}
        )


class Prompt(Settings):
    """A template; see ``describe.toml`` beside this file."""

    name: str = Field(min_length=1, max_length=100)
    system: str
    shown: str
    heard: str
    place: str
    steps: str
    silent: str
    blind: str
    complaint: str

    @classmethod
    def read(cls, path: Path | None = None) -> Prompt:
        """The template of a file; None: mien's own.

        Raises:
            ConfigError: it is none.
        """
        here = resources.files("mien.run").joinpath("describe.toml") if path is None else path
        try:
            return cls.model_validate(tomllib.loads(here.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            why = error.errors()[0] if isinstance(error, ValidationError) else None
            said = f"{'.'.join(map(str, why['loc']))}: {why['msg']}" if why else str(error)
            raise ConfigError(f"this is no prompt: {said}", where=str(path)) from error

    @property
    def digest(self) -> str:
        """Of the template and of the form of the answer."""
        held = json.dumps([self.model_dump(), Answer.model_json_schema()], sort_keys=True)
        return hashlib.sha256(held.encode()).hexdigest()[:16]

    def messages(
        self, glimpse: Glimpse, box: tuple[float, float, float, float] | None = None
    ) -> list[Message]:
        """What is said about a clip. Nothing of its row goes in: no name, no label, no text.

        Args:
            glimpse: what is shown and heard.
            box: of the person meant: left, top, width, height in pixels.
        """
        parts: list[Part] = []
        if glimpse.jpegs:
            moments = ", ".join(f"{time - glimpse.span[0]:.1f}" for time in glimpse.times)
            parts.append(filled(self.shown, pictures=len(glimpse.jpegs), moments=moments))
            parts += map(Picture, glimpse.jpegs)
        if glimpse.wav is not None:
            parts.append(filled(self.heard, seconds=f"{glimpse.span[1] - glimpse.span[0]:.1f}"))
            parts.append(Sound(glimpse.wav))
        if box is not None and glimpse.size is not None:
            parts.append(filled(self.place, box=_placed(box, glimpse.size)))
        parts.append(self.task(seen=bool(glimpse.jpegs), heard=glimpse.wav is not None))
        return [Message("system", (self.system.strip(),)), Message("user", tuple(parts))]

    def task(self, *, seen: bool, heard: bool) -> str:
        """The steps, and what there is not."""
        found = [self.steps] + ([] if heard else [self.silent]) + ([] if seen else [self.blind])
        return filled("\n".join(map(str.strip, found)), emotions=", ".join(get_args(Name)))

    def text(self, *, pictures: int, sound: bool) -> str:
        """The same for people, with names in place of what differs from clip to clip."""
        lines = [f"[system]\n{self.system.strip()}", "[user]"]
        if pictures:
            lines += [self.shown, f"<{pictures} JPEG pictures>"]
        if sound:
            lines += [self.heard, "<a WAV file>"]
        return "\n".join([*lines, self.task(seen=pictures > 0, heard=sound)])


def filled(template: str, /, **values: object) -> str:
    """A template with values in its places; braces that name nothing stay."""
    return re.sub(r"\{(\w+)\}", lambda m: str(values.get(m[1], m[0])), template)


def _placed(box: tuple[float, float, float, float], size: tuple[int, int]) -> str:
    """Where a box is, in words that no size of a picture changes."""
    left, top, width, height = box
    across = 100 * (left + width / 2) / size[0]
    down = 100 * (top + height / 2) / size[1]
    return (
        f"whose middle is {across:.0f} % from the left and {down:.0f} % from the top, "
        f"and who takes {100 * width / size[0]:.0f} % of the width"
    )
