"""Timelines as ELAN documents (EAF 3.0), to be looked at and corrected beside the recording.

A tier for each track and task, called ``task@track``. Windows that follow on each other with the
same answer are one annotation, whose value is the answer alone, so that ELAN can search and count
it. How strong and how unsure it is stands on a tier below, one note for each annotation.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree as Xml

from mien.timelines import answers
from mien.timelines.segments import Stretch, mean_answer, stretches
from mien.types import Problem, Specs, TaskSpec, Timeline, Track

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_LOCATION = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
_MIMES = {
    ".wav": "audio/x-wav",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".avi": "video/x-msvideo",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}
_ALONE, _NOTE = "answer", "strength"
_CONSTRAINT = "Symbolic_Association"
_LATEST = 2**32 - 1  # milliseconds in the schema's unsigned integers: 49 days


class _Annotation(NamedTuple):
    start: int
    end: int
    value: str
    note: str


def eaf(timeline: Timeline, specs: Specs, beside: Path) -> bytes:
    """An EAF document.

    Args:
        timeline: one source.
        specs: the tasks by name.
        beside: folder that the document will stand in: from there it names the recording.
    """
    root = Xml.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "mien",
            "DATE": datetime.now().astimezone().isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            _LOCATION: _SCHEMA,
        },
    )
    tiers = list(_tiers(timeline, specs))
    count = sum(len(found) for *_, found in tiers)
    _header(root, timeline, beside, count)
    slots = _slots(root, [found for *_, found in tiers])
    number = 0
    names: set[str] = set()
    for (track, task, found), marks in zip(tiers, slots, strict=True):
        number = _tier(root, track, task, found, marks, names, number)
    _types(root)
    Xml.indent(root)
    return bytes(Xml.tostring(root, encoding="UTF-8", xml_declaration=True)) + b"\n"


# -- what is said ----------------------------------------------------------------------------------


def _tiers(timeline: Timeline, specs: Specs) -> Iterator[tuple[Track, str, list[_Annotation]]]:
    for track in timeline.tracks:
        for task, spec in specs.items():
            found = [_annotation(s, task, spec) for s in stretches(track, task, spec)]
            timed = [annotation for annotation in found if annotation.end > annotation.start]
            if timed:
                yield track, task, timed


def _annotation(stretch: Stretch, task: str, spec: TaskSpec) -> _Annotation:
    scores, unsure = mean_answer(stretch.steps, task)
    numbers = " ".join(f"{label} {scores[label]:.2f}" for label in stretch.answer)
    note = numbers if unsure is None else f"{numbers} (uncertainty {unsure:.2f})".strip()
    value = " + ".join(stretch.answer) or "none"
    if spec.problem is Problem.REGRESSION:
        value = answers.answer(scores, spec)
    start, end = (min(max(0, round(t * 1000)), _LATEST) for t in (stretch.start, stretch.end))
    return _Annotation(start, end, answers.clean(value), answers.clean(note))


# -- the document ----------------------------------------------------------------------------------


def _header(root: Xml.Element, timeline: Timeline, beside: Path, count: int) -> None:
    header = Xml.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    source = Path(timeline.source)
    if source.suffix.lower() in _MIMES:
        place, relative = _places(source, beside)
        media = {"MEDIA_URL": place, "MIME_TYPE": _MIMES[source.suffix.lower()]}
        Xml.SubElement(header, "MEDIA_DESCRIPTOR", media | {"RELATIVE_MEDIA_URL": relative})
    about = {"source": timeline.source, **timeline.made_by}
    facts = {f"mien.{name}": value for name, value in about.items() if value}
    facts |= {f"mien.note.{n}": note for n, note in enumerate(timeline.notes, 1)}
    for name, value in (facts | {"lastUsedAnnotationId": str(2 * count)}).items():
        Xml.SubElement(header, "PROPERTY", {"NAME": answers.clean(name)}).text = answers.clean(
            value
        )


def _places(source: Path, beside: Path) -> tuple[str, str]:
    """Where the recording is, and where it is from the document's folder, as URLs."""
    try:
        if source.exists():
            there = source.resolve()
            relative = os.path.relpath(there, beside.resolve())
            return there.as_uri(), _url(Path(relative))
    except (OSError, ValueError):  # another disk, or no name that a disk could have
        pass
    return _url(Path(source.name)), _url(Path(source.name))


def _url(path: Path) -> str:
    return "./" + quote(os.fsencode(path.as_posix()))


def _slots(
    root: Xml.Element, tiers: Sequence[Sequence[_Annotation]]
) -> list[list[tuple[str, str]]]:
    """Two slots of time for each annotation, numbered in the order of time."""
    order = Xml.SubElement(root, "TIME_ORDER")
    edges = [
        (time, begins, tier, index)
        for tier, annotations in enumerate(tiers)
        for index, annotation in enumerate(annotations)
        for time, begins in ((annotation.start, True), (annotation.end, False))
    ]
    names: dict[tuple[int, int, bool], str] = {}
    for number, (time, begins, tier, index) in enumerate(sorted(edges), 1):
        names[tier, index, begins] = f"ts{number}"
        slot = {"TIME_SLOT_ID": f"ts{number}", "TIME_VALUE": str(time)}
        Xml.SubElement(order, "TIME_SLOT", slot)
    return [
        [(names[tier, index, True], names[tier, index, False]) for index in range(len(annotations))]
        for tier, annotations in enumerate(tiers)
    ]


def _tier(
    root: Xml.Element,
    track: Track,
    task: str,
    annotations: Sequence[_Annotation],
    marks: Sequence[tuple[str, str]],
    names: set[str],
    number: int,
) -> int:
    """Both tiers of a task; gives the number of the last annotation."""
    name = _unused(answers.clean(f"{task}@{track.id}"), names)
    below = _unused(answers.clean(f"{task} {_NOTE}@{track.id}"), names)
    shared = {"PARTICIPANT": answers.clean(track.id), "ANNOTATOR": "mien"}
    upper = Xml.SubElement(root, "TIER", {"TIER_ID": name, "LINGUISTIC_TYPE_REF": _ALONE, **shared})
    lower = Xml.SubElement(
        root,
        "TIER",
        {"TIER_ID": below, "LINGUISTIC_TYPE_REF": _NOTE, "PARENT_REF": name, **shared},
    )
    for annotation, (start, end) in zip(annotations, marks, strict=True):
        key, number = f"a{number + 1}", number + 2
        aligned = {"ANNOTATION_ID": key, "TIME_SLOT_REF1": start, "TIME_SLOT_REF2": end}
        _value(upper, "ALIGNABLE_ANNOTATION", aligned, annotation.value)
        refers = {"ANNOTATION_ID": f"a{number}", "ANNOTATION_REF": key}
        _value(lower, "REF_ANNOTATION", refers, annotation.note)
    return number


def _value(tier: Xml.Element, kind: str, facts: dict[str, str], text: str) -> None:
    held = Xml.SubElement(Xml.SubElement(tier, "ANNOTATION"), kind, facts)
    Xml.SubElement(held, "ANNOTATION_VALUE").text = text


def _types(root: Xml.Element) -> None:
    plain = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": _ALONE, "TIME_ALIGNABLE": "true"}
    Xml.SubElement(root, "LINGUISTIC_TYPE", plain)
    noted = {"LINGUISTIC_TYPE_ID": _NOTE, "TIME_ALIGNABLE": "false", "CONSTRAINTS": _CONSTRAINT}
    Xml.SubElement(root, "LINGUISTIC_TYPE", plain | noted)
    rule = {"DESCRIPTION": "1-1 association with a parent annotation", "STEREOTYPE": _CONSTRAINT}
    Xml.SubElement(root, "CONSTRAINT", rule)


def _unused(name: str, names: set[str]) -> str:
    wanted, number = name, 2
    while name in names:
        name, number = f"{wanted} ({number})", number + 1
    names.add(name)
    return name
