"""What columns are probably meant to be, by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mien.errors import DataError
from mien.importers.sheets import Cells
from mien.importers.walk import MEDIA

FILE = "media"
"""A column of files, each of which is a sound or a film by its ending."""

_NAMES = {
    "id": ("id", "key", "clipid", "sampleid", "segmentid", "uid"),
    "video": ("video", "videopath", "videofile", "framedir", "frames"),
    "audio": ("audio", "audiopath", "audiofile", "wav", "wavpath"),
    FILE: ("file", "filename", "filepath", "path", "clip", "clipname", "media"),
    "label": ("label", "emotion", "class", "emotionlabel", "category", "target"),
    "speaker": ("speaker", "speakerid", "actor", "actorid", "subject", "subjectid", "participant"),
    "start": ("start", "starttime", "begin", "onset"),
    "end": ("end", "endtime", "stop", "offset"),
    "text": ("text", "transcript", "transcription", "utterance", "sentence"),
    "split": ("split", "partition", "subset"),
    "fold": ("fold",),
    "dialogue": ("dialogue", "dialogueid", "dialog", "conversation", "conversationid"),
    "turn": ("turn",),
}
_TIMES = ("start", "end")  # of what, where no file is named?


def guess(
    names: Sequence[str], first: Sequence[Cells], given: Mapping[str, str], task: str
) -> tuple[dict[str, str], list[str]]:
    """Fields that nobody named, by columns that only one reading fits.

    Args:
        names: of the columns.
        first: some rows.
        given: field -> column, as somebody said.
        task: what labels are called.

    Returns:
        Field -> column, and what to say about columns that could be the same field.
    """
    found, notes = dict[str, str](), list[str]()
    for kind, words in _NAMES.items():
        field = f"labels.{task}" if kind == "label" else kind
        if field in given or (kind == "label" and any(k.startswith("labels.") for k in given)):
            continue
        fitting = [n for n in names if _bare(n) in words and n not in given.values()]
        if len(fitting) > 1:
            notes.append(f"{' or '.join(fitting)} may be {field}: say --column {field}=...")
        elif fitting:
            found[field] = fitting[0]
    return _settled(found, first, given), notes


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _settled(
    found: dict[str, str], first: Sequence[Cells], given: Mapping[str, str]
) -> dict[str, str]:
    """Guesses that agree with each other, and with what stands in the columns."""
    shown = {**found, **given}
    if FILE in found and ("video" in shown or "audio" in shown):
        del found[FILE]
    for field in ("video", "audio", FILE):
        name = found.get(field)
        if name is not None and not _files(name, first, folders=field == "video"):
            del found[field]
    if not {"video", "audio", FILE} & {*found, *given}:
        found = {field: name for field, name in found.items() if field not in _TIMES}
    return found


def _files(name: str, first: Sequence[Cells], *, folders: bool) -> bool:
    """Whether the cells of a column look like files."""
    cells = [row[name] for row in first if row[name]]
    return bool(cells) and all(
        cell.lower().endswith(MEDIA) or (folders and "/" in cell) for cell in cells
    )


def unmapped(names: Sequence[str], where: str) -> DataError:
    """An error for a table in which no label was recognised."""
    return DataError(
        f"which column holds the label? There are {', '.join(map(repr, names))}",
        where=where,
        fix="--column labels.emotion=COLUMN --column media=COLUMN --column speaker=COLUMN",
    )
