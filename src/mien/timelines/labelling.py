"""Timelines as predictions for Label Studio, in which people listen, look and correct.

Boxes are left out: Label Studio places them by the number of a frame, which no timeline knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple
from xml.etree import ElementTree as Xml

from mien.timelines import answers
from mien.timelines.segments import Stretch, mean_answer, stretches
from mien.types import Problem, Specs, TaskSpec, Timeline

_SOUND = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac")
_MEDIA, _TRACK = "media", "track"


class _Control(NamedTuple):
    """What people answer with: a choice of labels, or one number."""

    name: str
    task: str
    label: str  # of a number
    spec: TaskSpec


def tasks(timelines: Sequence[Timeline], specs: Specs) -> bytes:
    """Label Studio tasks with predictions, to be imported under :func:`interface`.

    A region for each stretch of time in which a track answers a task alike, labelled with the
    track; within it the answer as a choice, several choices, or numbers.
    """
    controls = _controls(specs)
    tasks = [
        {
            "data": {_MEDIA: answers.clean(timeline.source)},
            "predictions": [_prediction(timeline, controls, specs)],
        }
        for timeline in timelines
    ]
    return (json.dumps(tasks, indent=1, ensure_ascii=False) + "\n").encode()


def interface(timelines: Sequence[Timeline], specs: Specs) -> bytes:
    """The labelling interface that such tasks need (Settings, Labeling Interface, Code)."""
    view = Xml.Element("View")
    tracks = Xml.SubElement(view, "Labels", {"name": _TRACK, "toName": _MEDIA})
    for name in dict.fromkeys(answers.clean(t.id) for line in timelines for t in line.tracks):
        Xml.SubElement(tracks, "Label", {"value": name})
    sound = {"name": _MEDIA, "value": f"${_MEDIA}"}
    if not all(PurePath(t.source).suffix.lower() in _SOUND for t in timelines):
        Xml.SubElement(view, "Video", {"name": "video", "value": f"${_MEDIA}", "sync": _MEDIA})
        sound["sync"] = "video"
    Xml.SubElement(view, "Audio", sound)
    for control in _controls(specs):
        _tag(view, control)
    Xml.indent(view)
    return bytes(Xml.tostring(view, encoding="utf-8")) + b"\n"


def _tag(view: Xml.Element, control: _Control) -> None:
    spec = control.spec
    of = f"{control.task} {control.label}" if control.label else control.task
    Xml.SubElement(view, "Header", {"value": answers.clean(of)})
    facts = {"name": control.name, "toName": _MEDIA, "perRegion": "true"}
    if control.label:
        if spec.ranges and control.label in spec.labels:
            low, high = spec.ranges[spec.labels.index(control.label)]
            facts |= {"min": str(low), "max": str(high)}
        Xml.SubElement(view, "Number", facts | {"step": "0.01"})
        return
    kind = "multiple" if spec.problem is Problem.MANY_OF_N else "single"
    choices = Xml.SubElement(view, "Choices", facts | {"choice": kind})
    for label in spec.labels:
        Xml.SubElement(choices, "Choice", {"value": answers.clean(label)})


def _controls(specs: Specs) -> list[_Control]:
    """Each with a name of plain letters that no other has."""
    used = {_MEDIA, _TRACK, "video"}
    found = []
    for task, spec in specs.items():
        for label in spec.labels if spec.problem is Problem.REGRESSION else ("",):
            wanted = re.sub(r"\W+", "_", f"{task} {label}".strip(), flags=re.ASCII) or "_"
            name, number = wanted, 2
            while name in used:
                name, number = f"{wanted}_{number}", number + 1
            used.add(name)
            found.append(_Control(name, task, label, spec))
    return found


def _prediction(timeline: Timeline, controls: Sequence[_Control], specs: Specs) -> dict[str, Any]:
    results: list[dict[str, Any]] = []
    number = 0
    for track in timeline.tracks:
        for task, spec in specs.items():
            own = [control for control in controls if control.task == task]
            for stretch in stretches(track, task, spec):
                span = {"start": round(max(0.0, stretch.start), 3), "end": round(stretch.end, 3)}
                if span["end"] > span["start"]:
                    number += 1
                    results += _region(f"r{number}", span, answers.clean(track.id), stretch, own)
    made_by = timeline.made_by
    named = [made_by[name] for name in ("run", "system", "preset") if made_by.get(name)]
    prediction = {"model_version": answers.clean(" ".join(named)) or "mien", "result": results}
    scores = [result["score"] for result in results if "score" in result]
    return prediction | ({"score": sum(scores) / len(scores)} if scores else {})


def _region(
    key: str,
    span: Mapping[str, float],
    track: str,
    stretch: Stretch,
    controls: Sequence[_Control],
) -> Iterator[dict[str, Any]]:
    def result(control: str, kind: str, held: Any) -> dict[str, Any]:
        place = {"id": key, "from_name": control, "to_name": _MEDIA, "type": kind}
        return place | {"value": {**span, "channel": 0, kind: held}}

    yield result(_TRACK, "labels", [track])
    for control in controls:
        scores, _ = mean_answer(stretch.steps, control.task)
        if control.label:
            if control.label in scores:
                yield result(control.name, "number", scores[control.label])
        elif stretch.answer:
            named = [answers.clean(label) for label in stretch.answer]
            score = sum(scores[label] for label in stretch.answer) / len(stretch.answer)
            yield result(control.name, "choices", named) | {"score": score}
