"""All that is known of a row, from whoever measured it, as cues.

A row of hours has a face for each of its frames; these are read when they are told, and not kept.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from mien.cues.schema import Cues, Face, Heard, Speech, Turn
from mien.cues.template import Template
from mien.cues.tones import Tones
from mien.cues.usual import Usual
from mien.cues.windowed import windowed
from mien.data.manifest import Manifest
from mien.data.rows import Row
from mien.errors import ConfigError, MienError
from mien.run.handed import Handed, Seen
from mien.run.heard import Ears, Part

Against = Literal["speaker", "source", "all"]
"""Whose voice says what is usual: the speaker's in all rows, the recording's, or everybody's."""

Parts = dict[int, Part]
"""Of one row, by number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is measured, and how it is told.

    Args:
        template: words and rules.
        handed: what others measured.
        ears: who listens; None: nobody does.
        against: whose voice says what is usual.
        window: seconds of a window; None: a row is one.
        hop: seconds from one window to the next; None: as long as a window.
    """

    template: Template
    handed: Handed
    ears: Ears | None
    against: Against = "speaker"
    window: float | None = None
    hop: float | None = None

    def __post_init__(self) -> None:
        for name in ("window", "hop"):
            value = getattr(self, name)
            if value is not None and not 0.01 <= value < float("inf"):
                raise ConfigError(f"a {name} of {value} seconds", fix=f"--{name} 2")
        if self.hop is not None and self.window is None:
            raise ConfigError("a hop is the step between windows", fix="give --window too")


class Gathering:
    """All that is known of each row, from whoever measured it."""

    def __init__(self, manifest: Manifest, asked: Asked, heard: Mapping[str, Parts]) -> None:
        self._place, self._asked, self._heard = manifest.place, asked, heard
        self._usual: dict[str, Usual] = defaultdict(Usual)
        for row in manifest.rows:
            for part in heard.get(row.id, {}).values():
                self._usual[self._whose(row)].hear(part.utterances)
            if asked.template.rules.faces == "levels":
                self._look(row)

    def _look(self, row: Row) -> None:
        """Take in a row's faces. What cannot be read is told when the row is asked for."""
        with suppress(MienError):
            seen = self._seen(row)
            self._usual[self._whose(row)].see(seen[0] if seen else ())

    def of(self, row: Row) -> Iterator[Cues]:
        """The cues of a row: one, or those of each window. What cannot be read is told first."""
        parts, start = self._parts(row), row.start or 0.0
        ends = parts[-1].end if parts else (row.end or start)
        seen, tones = self._seen(row), self._asked.handed.heard(row)
        sound = None if tones is None else True
        said = self._asked.handed.said(row, (start, ends))
        if said is None:
            said = self._written(parts, tones)
        found = Cues(
            id=row.id, start=start, end=max(start, ends),
            dimensions=None if seen is None else seen[1],
            sound=parts[0].sound if parts else sound, speech=self._speech(parts, tones),
            prosody=self._prosody(row, parts, tones), transcript=said,
            made_by=self._made_by(parts, tones),
        )  # fmt: skip
        # The sound may end before the picture does, and a row may say more than its file has.
        end = max(found.end, _last(found, () if seen is None else seen[0]))
        end = end if row.end is None else min(row.end, end)
        clip = found.between(start, math.nextafter(end, math.inf), around=self._around)
        faces = None if seen is None else self._faces(row, seen[0], start, end)
        return self._cut(dataclasses.replace(clip, end=end), faces)

    def _cut(self, clip: Cues, faces: Iterable[Face] | None) -> Iterator[Cues]:
        length, hop = self._asked.window, self._asked.hop
        if length is None:
            whole = None if faces is None else tuple(faces)
            return iter((dataclasses.replace(clip, faces=whole),))
        return windowed(clip, faces, length=length, step=hop or length, around=self._around)

    @property
    def _around(self) -> float:
        return self._asked.template.rules.around

    def _seen(self, row: Row) -> Seen | None:
        end = math.inf if row.end is None else row.end
        return self._asked.handed.seen(row, self._place, row.start or 0.0, end)

    def _parts(self, row: Row) -> list[Part]:
        return [part for _, part in sorted(self._heard.get(row.id, {}).items())]

    def _faces(self, row: Row, faces: Iterable[Face], start: float, end: float) -> Iterator[Face]:
        """Those of the row, with levels where these are told."""
        own = (face for face in faces if start <= face.time <= end)
        if self._asked.template.rules.faces != "levels":
            return own
        return map(self._usual[self._whose(row)].seen, own)

    def _prosody(
        self, row: Row, parts: Sequence[Part], tones: Tones | None
    ) -> tuple[Heard, ...] | None:
        """Levels of our own measures, then tones that others heard."""
        if tones is None and not (parts and parts[0].sound):
            return None
        usual = self._usual[self._whose(row)]
        own = [heard for part in parts for u in part.utterances for heard in usual.heard(u)]
        return (*own, *(tones.heard if tones is not None else ()))

    def _speech(self, parts: Sequence[Part], tones: Tones | None) -> tuple[Speech, ...] | None:
        if parts and parts[0].sound:
            return tuple(u.speech for part in parts for u in part.utterances)
        return None if tones is None else tones.speech

    def _written(self, parts: Sequence[Part], tones: Tones | None) -> tuple[Turn, ...] | None:
        if parts and all(part.transcript is not None for part in parts):
            return tuple(turn for part in parts for turn in part.transcript or ())
        return None if tones is None else tones.transcript

    def _whose(self, row: Row) -> str:
        """Name of the voice that says what is usual for a row."""
        if self._asked.against == "all":
            return ""
        if self._asked.against == "speaker" and row.speaker:
            return f"speaker {row.speaker}"
        return f"source {row.source or row.id}"

    def _made_by(self, parts: Sequence[Part], tones: Tones | None) -> dict[str, str]:
        found = {"template": f"{self._asked.template.name} {self._asked.template.digest}"}
        if parts:
            found["listening"] = parts[0].by
        return found if tones is None else found | {"tones": "hume"}


def _last(cues: Cues, faces: Iterable[Face]) -> float:
    """The latest second of which anything is known."""
    seen = max((face.time for face in faces), default=cues.start)
    ends = [speech.end for speech in cues.speech or ()]
    ends += [turn.end for turn in cues.transcript or ()]
    return max([cues.start, seen, *ends])
