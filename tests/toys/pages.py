"""Timelines to put on a page, and pages taken apart."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, Literal

import numpy as np

from mien.report.page import LIMIT, page
from mien.types import Problem, Resolution, TaskSpec, Timeline, Track, Window

Kind = Literal["clip", "face", "voice"]

VOID = {"meta", "img", "path", "circle"}
SEVEN = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=SEVEN)
AFFECT = TaskSpec(
    name="affect",
    problem=Problem.REGRESSION,
    labels=("valence", "arousal"),
    ranges=((-1, 1), (-1, 1)),
    units=("", "dB"),
    resolution=Resolution.FRAME,
)
UNITS = TaskSpec(
    name="units",
    problem=Problem.MANY_OF_N,
    labels=tuple(f"AU{i}" for i in range(12)),
    resolution=Resolution.FRAME,
)
LEVEL = TaskSpec(name="level", problem=Problem.ORDINAL, labels=("low", "middle", "high"))
JPEG = b"\xff\xd8\xff\xe0" + bytes(600)


class Read(HTMLParser):
    """A page taken apart, with every slip of nesting."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.slips: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.slips += [f"left open: {tag}" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len(dict(attrs)) < len(attrs):
            self.slips.append(f"attribute twice: {tag} {attrs}")
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag in self.inside:
            self.inside[tag].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.slips.append(f"closed at once: {tag}")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.slips.append(f"closed in the wrong place: {tag}")

    def handle_data(self, data: str) -> None:
        within = self._open[-1] if self._open else ""
        if within in self.inside:
            self.inside[within][-1] += data
        else:
            self.texts.append((within, data))

    def handle_comment(self, data: str) -> None:
        self.slips.append(f"comment: {data}")

    @property
    def text(self) -> str:
        return "".join(text for _, text in self.texts)

    @property
    def numbers(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.inside["script"][0])
        return found

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]

    def rows(self, kind: str) -> int:
        return sum(a.get("class") == f"row {kind}" for a in self.all("div"))

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every element with its attributes' names, but for captions: those depend on room."""
        captions = {"label", "gap", "why"}
        return [
            (tag, tuple(attrs))
            for tag, attrs in self.elements
            if tag != "text" and not (tag == "svg" and attrs.get("class") in captions)
        ]


def read(timeline: Timeline, *specs: TaskSpec, **options: Any) -> Read:
    html = page(timeline, {spec.name: spec for spec in specs}, **options)
    assert len(html.encode()) <= LIMIT == 300_000
    found = Read(html)
    assert not found.slips
    return found


def shares(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    made = np.exp(rng.normal(size=(count, width)).cumsum(0) * 0.5 % 5)
    return np.asarray(made / made.sum(1, keepdims=True))


def windows(
    spec: TaskSpec, count: int, *, hop: float = 2.0, length: float = 4.0, seed: int = 0, **more: Any
) -> list[Window]:
    rows = shares(np.random.default_rng(seed), count, spec.width)
    return [
        Window(
            start=hop * i,
            end=hop * i + length,
            scores={spec.name: dict(zip(spec.labels, row.tolist(), strict=True))},
            uncertainty={spec.name: float(1 - row.max())},
            present={"video": True, "audio": i % 9 < 6},
            **more,
        )
        for i, row in enumerate(rows)
    ]


def timeline(*tracks: Track, **more: Any) -> Timeline:
    given: dict[str, Any] = {"source": "films/a.mp4", "made_by": {"run": "r1"}, **more}
    return Timeline(tracks=tracks, **given)


def face(found: list[Window], name: str = "face-1", kind: Kind = "face") -> Track:
    return Track(id=name, windows=found, kind=kind)


def decoded(text: str) -> np.ndarray:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    codes = np.array([letters.index(letter) for letter in text]).reshape(-1, 2)
    whole = codes @ (64, 1)
    return np.where(whole == 4095, math.nan, whole / 4094)


def spoken(text: str) -> tuple[Timeline, tuple[TaskSpec, ...], dict[str, Any]]:
    """A timeline in which every text is this one, in every place there is."""
    one = TaskSpec(
        name=f"{text}1", problem=Problem.ONE_OF_N, labels=tuple(f"{i}{text}" for i in "abc")
    )
    many = replace(one, name=f"{text}2", problem=Problem.MANY_OF_N)
    line = replace(one, name=f"{text}3", problem=Problem.REGRESSION, units=(text,) * 3)
    order = replace(one, name=f"{text}4", problem=Problem.ORDINAL)
    specs = (one, many, line, order)
    own = []
    for i in range(6):
        scores = dict(zip(one.labels, (0.6, 0.1 * i, 0.3 - 0.05 * i), strict=True))
        own.append(
            Window(
                start=3.0 * i,
                end=3.0 * i + 2,
                scores={spec.name: scores for spec in specs},
                uncertainty={spec.name: 0.5 for spec in specs},
                present={text: i > 2, "video": True},
                box=(0.1, 0.1, 0.2, 0.2),
                voice=text if i % 2 else "",
                voice_score=0.5,
            )
        )
    tracks = [Track(id=text, windows=own, kind=kind) for kind in ("face", "voice")]
    source = text.replace("/", "|").replace("\\", "|")
    made = Timeline(
        source=f"folder/{source}", tracks=tracks, made_by={f"k{text}": text}, notes=[text, text]
    )
    options = {
        "media": "plays.mp4",
        "thumbnails": {text: [(1.0, JPEG)]},
        "notice": f"{text}. {text}",
    }
    return made, specs, options
