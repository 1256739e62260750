"""Made-up timelines: one of a talk between two people, and any that a file may have to hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

from hypothesis import strategies as st

from mien.evidence import Cue, Evidence, Moment, Reason, Verdict
from mien.types import Problem, Resolution, TaskSpec, Timeline, Track, Window

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("calm", "happy", "sad"))
AFFECT = TaskSpec(
    name="affect",
    problem=Problem.REGRESSION,
    resolution=Resolution.FRAME,
    labels=("valence", "arousal"),
    ranges=((-1.0, 1.0), (-1.0, 1.0)),
)
UNITS = TaskSpec(name="au", problem=Problem.MANY_OF_N, labels=("AU4", "AU12"))
SPECS = {spec.name: spec for spec in (EMOTION, AFFECT, UNITS)}

_FIRST = [0, 0, 1, 1, 1, 0, 2, 2]  # the best class of each window
_SECOND = [1, 1, 0, 0]


def window(
    start: float, end: float, best: int = 0, *, level: float = 0.0, on: float = 0.1, **more: Any
) -> Window:
    """A window whose best class is this one."""
    scores = dict.fromkeys(EMOTION.labels, 0.1) | {EMOTION.labels[best]: 0.8}
    return Window(
        start=start,
        end=end,
        scores={
            "emotion": scores,
            "affect": {"valence": level, "arousal": -level},
            "au": {"AU4": 0.3, "AU12": on},
        },
        uncertainty={"emotion": 0.58, "au": 0.6},
        present={"audio": True, "video": True},
        **more,
    )


def talk(source: str = "talk.mp4") -> Timeline:
    """Two faces and a voice; windows of four seconds, one every two."""
    levels = [0.0, 0.0, 0.9, 0.9, 0.0, 0.0, -0.1, 0.0]
    first = [
        window(2.0 * i, 2.0 * i + 4, best, level=level, on=level, box=(0.1, 0.2, 0.3, 0.4))
        for i, (best, level) in enumerate(zip(_FIRST, levels, strict=True))
    ]
    second = [
        window(5.5 + 2 * i, 9.5 + 2 * i, best, voice="the only face in view", voice_score=0.75)
        for i, best in enumerate(_SECOND)
    ]
    voice = Window(
        start=0.0,
        end=18.0,
        scores={"emotion": {"calm": 0.2, "happy": 0.3, "sad": 0.5}},
        uncertainty={"emotion": 0.94},
        present={"audio": True, "video": False},
    )
    return Timeline(
        source=source,
        tracks=[
            Track(id="face-1", windows=first, kind="face"),
            Track(id="face-2", windows=second, kind="face"),
            Track(id="voice", windows=[voice], kind="voice"),
        ],
        made_by={"run": "first", "system": "claip-emo", "licence": "CC BY-NC 4.0"},
        duration=20.0,
        notes=("The voice stands apart where two faces are in view.",),
    )


def explained() -> Timeline:
    """A face whose windows say why: carried by one, by both, by nobody in particular."""
    verdicts: list[Verdict] = ["one", "agree", "unclear", "together"]
    windows = []
    for i, verdict in enumerate(verdicts):
        start = 2.0 * i
        moments = tuple(
            Moment(start=start + k, end=start + k + 1, drop=drop, by={"audio": 0.0, "video": drop})
            for k, drop in enumerate((0.5, -0.25, 2.0, 0.0))
        )
        reason = Reason(
            task="emotion",
            label="happy",
            margin=1.5,
            verdict=verdict,
            carried_by="video" if verdict == "one" else "",
            shares={"audio": -0.5, "video": 2.0},
            alone={"audio": -0.75, "video": 1.75},
            drops={"audio": -0.25, "video": 2.25},
            moments=moments,
        )
        cues = (
            Cue(start=start, end=start + 1, of="face", text="cheek raiser"),
            Cue(start=start, end=start + 2, of="voice", text="high pitch"),
        )
        why = Evidence(reasons=(reason,), cues=cues, absent=("no_speech",) if i else ())
        windows.append(window(start, start + 4, 1, evidence=why))
    return Timeline(source="why.mp4", tracks=[Track(id="face-1", windows=windows, kind="face")])


def bits(timelines: Sequence[Timeline]) -> str:
    """Timelines as a text in which every bit shows, -0.0 too; the order of names does not."""
    return json.dumps([timeline.to_dict() for timeline in timelines], sort_keys=True)


def timed(timeline: Timeline) -> bool:
    """Whether it can stand on a time axis: a window has a length, or there is none at all."""
    windows = [window for _, window in timeline]
    return not windows or any(window.end > window.start for window in windows)


_NAMES = st.one_of(
    st.sampled_from(
        ["happy", "top", "uncertainty", "present", "box", "a.b", "\\", "\\.", ".", "", "'", '"',
         "=1+1", "-x", "@x", "'=x", "a,b", "two\nlines", "\r", "-->", "<b>", "left", "voice"]
    ),
    st.text(max_size=6),
)  # fmt: skip
_NUMBERS = st.floats(min_value=-1e100, max_value=1e100)
_TIMES = st.floats(min_value=-1e9, max_value=1e9) | st.integers(-20, 100).map(lambda n: n / 4)
_SHARES = st.floats(min_value=0, max_value=1)


_BY = st.dictionaries(_NAMES, _NUMBERS, max_size=2)
_SPANS = st.tuples(_TIMES, _TIMES).map(lambda pair: {"start": min(pair), "end": max(pair)})
_MOMENTS = st.builds(lambda span, **more: Moment(**span, **more), _SPANS, drop=_NUMBERS, by=_BY)
_REASONS = st.builds(
    Reason,
    task=_NAMES,
    label=_NAMES,
    margin=_NUMBERS,
    verdict=st.sampled_from(get_args(Verdict)),
    carried_by=_NAMES,
    shares=_BY,
    alone=_BY,
    drops=_BY,
    moments=st.lists(_MOMENTS, max_size=2).map(tuple),
)
_CUES = st.builds(lambda span, **more: Cue(**span, **more), _SPANS, of=_NAMES, text=_NAMES)
EVIDENCE = st.builds(
    Evidence,
    reasons=st.lists(_REASONS, max_size=2).map(tuple),
    cues=st.lists(_CUES, max_size=2).map(tuple),
    absent=st.lists(_NAMES, max_size=2).map(tuple),
)
"""Any reasons and cues at all."""


@st.composite
def _windows(draw: st.DrawFn) -> Window:
    start, end = sorted((draw(_TIMES), draw(_TIMES)))
    labels = st.dictionaries(_NAMES, _NUMBERS, min_size=1, max_size=3)
    return Window(
        start=start,
        end=end,
        scores=draw(st.dictionaries(_NAMES, labels, max_size=3)),
        uncertainty=draw(st.dictionaries(_NAMES, _SHARES, max_size=2)),
        present=draw(st.dictionaries(_NAMES, st.booleans(), max_size=2)),
        box=draw(st.none() | st.tuples(_NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS)),
        voice=draw(_NAMES),
        voice_score=draw(st.none() | _NUMBERS),
        evidence=draw(st.none() | EVIDENCE),
    )


_TRACKS = st.builds(
    Track,
    id=_NAMES,
    windows=st.lists(_windows(), max_size=3),
    kind=st.sampled_from(["clip", "face", "voice"]),
)

ANY = st.lists(
    st.builds(
        Timeline,
        source=_NAMES,
        tracks=st.lists(_TRACKS, max_size=3, unique_by=lambda track: track.id),
        made_by=st.dictionaries(_NAMES, _NAMES, max_size=2),
        duration=st.none() | st.floats(min_value=0, max_value=1e9),
        notes=st.lists(_NAMES, max_size=2),
    ),
    max_size=3,
)
"""Any timelines at all."""
