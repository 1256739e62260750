"""The page of a timeline: small, closed in itself, and in one piece whatever names say."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
import pages
import pytest
import talks
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import (
    AFFECT,
    EMOTION,
    JPEG,
    UNITS,
    Read,
    decoded,
    face,
    read,
    spoken,
    timeline,
    windows,
)

from mien.report.page import page
from mien.types import Problem, TaskSpec

HOSTILE = (
    '<script>alert(1)</script>"\' onload=alert(1) x="',
    "</script><script>alert(1)</script>",
    "</style><style>*{display:none}</style>",
    "</script x=1 <!-- <script x=1 ",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</title></svg></table><p>& &lt; &#0; &quot;",
    "\u202egnp.exe\u202c \u2066left\u2069 \u200f\u200e\u061c",
    "a\x00b\x07c\x1b[31md\x7fe\r\nf\u2028g\u2029h\ud800i\ufffe",
    "q" * 300,
    "<" * 300,
)


# -- size ------------------------------------------------------------------------------------------


def test_an_hour_of_several_people_with_22_scores_a_window_stays_small() -> None:
    two = TaskSpec(name="others", problem=Problem.MANY_OF_N, labels=tuple(map(str, range(11))))
    one = TaskSpec(name="first", problem=Problem.ONE_OF_N, labels=tuple("abcdefghijk"))
    tracks = []
    for person in range(4):
        box = (0.1 * person, 0.2, 0.1, 0.3)
        first = windows(one, 1800, seed=person, box=box, voice="the only face in view")
        second = windows(two, 1800, seed=99 + person)
        both = [
            replace(
                a, scores={**a.scores, **b.scores}, uncertainty={**a.uncertainty, **b.uncertainty}
            )
            for a, b in zip(first, second, strict=True)
        ]
        tracks.append(face(both, f"face-{person + 1}"))
    pictures = {track.id: [(1.0, JPEG)] * 9 for track in tracks}
    found = read(timeline(*tracks, duration=3600.0), one, two, thumbnails=pictures)
    assert [track["name"] for track in found.numbers["tracks"]] == [t.id for t in tracks]
    assert "Drawn in steps of" in found.text
    assert max(found.numbers["tracks"][0]["steps"]) <= 60_000


def test_25_answers_a_second_over_minutes_stay_small() -> None:
    count = 6 * 60 * 25
    wave = np.sin(np.arange(count) / 300)
    own = [
        replace(w, scores={**w.scores, "affect": {"valence": v, "arousal": -v / 2}})
        for w, v in zip(windows(UNITS, count, hop=0.04, length=0.04), wave.tolist(), strict=True)
    ]
    found = read(timeline(face(own), duration=360.0), AFFECT, UNITS)
    steps = found.numbers["tracks"][0]["steps"]
    assert sum(steps) == 360_000
    assert max(steps) <= 6_000  # a sixtieth of it
    assert found.rows("lines") == 2
    assert found.rows("strip") == 12


def test_a_short_brief_label_is_not_lost_where_windows_are_merged() -> None:
    own = windows(UNITS, 9000, hop=0.04, length=0.04)
    for i, window in enumerate(own):
        own[i] = replace(window, scores={"units": dict.fromkeys(UNITS.labels, float(i == 4321))})
    found = read(timeline(face(own)), UNITS)
    (track,) = found.numbers["tracks"]
    assert len(track["steps"]) < 9000
    values = decoded(track["scores"][0]).reshape(-1, UNITS.width)
    assert (values.max(1) == 1).sum() == 1


def test_many_tracks_leave_the_longest_and_say_so() -> None:
    tracks = [face(windows(EMOTION, 1 + i % 50), f"face-{i}") for i in range(300)]
    found = read(timeline(*tracks, duration=3600.0), EMOTION)
    drawn = [track["name"] for track in found.numbers["tracks"]]
    assert 1 <= len(drawn) <= 24
    assert all(int(name.removeprefix("face-")) % 50 >= 25 for name in drawn)
    assert f"The {len(drawn)} tracks seen longest are drawn, out of 300" in found.text


def test_tasks_without_measure_are_cut_and_said() -> None:
    wide = TaskSpec(
        name="wide",
        problem=Problem.MANY_OF_N,
        labels=tuple(f"<{i}{'&' * 200}" for i in range(400)),
    )
    specs = [replace(wide, name=f"{'<' * 299}{i}") for i in range(9)]
    own = windows(wide, 3)
    for i, window in enumerate(own):
        own[i] = replace(window, scores={spec.name: window.scores["wide"] for spec in specs})
    found = read(timeline(face(own)), *specs)
    assert "Of 9 tasks, 6 are shown." in found.text
    assert [len(task["labels"]) for task in found.numbers["tasks"]] == [6] * 6
    plain = replace(wide, labels=tuple(map(str, range(400))))
    (task,) = read(timeline(face(windows(plain, 3))), plain).numbers["tasks"]
    assert len(task["labels"]) == 32


# -- hostile texts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_an_element_or_an_attribute(text: str) -> None:
    plain, plain_specs, plain_options = spoken("name")
    told, specs, options = spoken(text)
    found = read(told, *specs, **options)
    assert found.shape == read(plain, *plain_specs, **plain_options).shape
    assert not set("<>&") & set(found.inside["script"][0])
    assert not any(name.startswith("on") for _, attrs in found.elements for name in attrs)
    # What is said is the text itself, on one line, and not what escaping made of it.
    told_as = found.numbers["tracks"][0]["name"]
    assert ("h2", told_as) in found.texts or ("bdi", told_as) in found.texts
    assert not set(told_as) & set("\u202e\u2066\x00\x1b\n\ud800\u2028")
    assert len(told_as) <= 60


@settings(max_examples=25, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=()), min_size=1, max_size=12))
def test_any_text_leaves_the_page_in_one_piece(text: str) -> None:
    told, specs, options = spoken(text)
    found = read(told, *specs, **options)
    assert len(found.inside["script"]) == 2
    assert len(found.inside["style"]) == 1
    assert len(found.numbers["tracks"]) == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_no_reason_and_no_cue_becomes_an_element(text: str) -> None:
    (track,) = talks.explained().tracks
    plain, hostile = list(track.windows), []
    for held in plain:
        assert held.evidence is not None
        (reason,) = held.evidence.reasons
        spoiled = replace(
            reason, carried_by=text, shares={text: 1.0, "audio": 0.5}, alone={text: 1.0}
        )
        cues = [replace(cue, text=text, of=text) for cue in held.evidence.cues]
        why = replace(held.evidence, reasons=(spoiled,), cues=cues, absent=(text,))
        hostile.append(replace(held, evidence=why))
    found = read(timeline(replace(track, windows=hostile)), talks.EMOTION)
    usual = read(timeline(track), talks.EMOTION)
    tags = {tag for tag, _ in usual.elements}
    assert {tag for tag, _ in found.elements} <= tags
    names = {name for _, attrs in usual.elements for name in attrs}
    assert {name for _, attrs in found.elements for name in attrs} <= names


def test_a_writing_direction_ends_with_its_name() -> None:
    found = read(timeline(face(windows(EMOTION, 3), "\u202efn")), EMOTION)
    assert "\u202e" not in found.text
    assert ("bdi", found.numbers["tracks"][0]["name"]) in found.texts


# -- closed in itself ------------------------------------------------------------------------------


def test_nothing_is_fetched_and_only_this_style_and_script_run() -> None:
    track = face(windows(EMOTION, 20))
    html = page(
        timeline(track), {"emotion": EMOTION}, media="a.mp4", thumbnails={"face-1": [(1.0, JPEG)]}
    )
    found = Read(html)
    assert not re.search(r"https?:|url\(|@import|\bfetch\(|XMLHttpRequest|WebSocket|eval\(", html)
    for _, attrs in found.elements:
        assert not {"style", "srcset", "action", "integrity"} & set(attrs)
        assert re.fullmatch(
            r"\./a\.mp4|data:image/jpeg;base64,[\w+/=]+", attrs.get("src", "./a.mp4")
        )
        assert re.fullmatch(r"#t=[\d.]+", attrs.get("href", "#t=0"))
    policy = next(a["content"] for a in found.all("meta") if "http-equiv" in a)
    said = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert said["default-src"] == "'none'"
    assert said["img-src"] == "data:"
    assert said["media-src"] == "'self' file:"
    for kind, texts in (("style", found.inside["style"]), ("script", found.inside["script"][1:])):
        (text,) = texts
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert said[f"{kind}-src"] == f"'sha256-{digest}'"


@pytest.mark.parametrize(
    "media",
    [
        "a b.mp4",
        'it\'s "so".mp4',
        "take #3?.mp4",
        "100%25 of %2e.mp4",
        "../other/a.mp4",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)//.mp4",
        "data:text/html,<script>alert(1)</script>",
        "http://elsewhere.example/a.mp4",
        "//elsewhere.example/a.mp4",
        "\\\\elsewhere.example\\a.mp4",
        "/etc/a.wav",
        "Grüße 日本.mp4",
        "bytes \udcff.mp4",
        "line\nbreak\x00.mp4",
    ],
)
def test_a_media_path_is_only_ever_a_path_beside_the_page(media: str) -> None:
    found = read(timeline(face(windows(EMOTION, 3))), EMOTION, media=media)
    (src,) = [attrs["src"] for tag, attrs in found.elements if tag in ("video", "audio")]
    assert re.fullmatch(r"\./[\w./%~-]*", src, flags=re.ASCII)
    assert os.fsdecode(os.fsencode(unquote(src, errors="surrogateescape"))) == f"./{media}"
    whole = urlsplit(urljoin("https://own.example/pages/films/page.html", src))
    assert (whole.scheme, whole.netloc) == ("https", "own.example")
    assert not whole.query
    assert not whole.fragment


def test_sound_gets_a_player_for_sound_and_nothing_gets_none() -> None:
    track = face(windows(EMOTION, 3))
    assert len(read(timeline(track), EMOTION, media="a.wav").all("audio")) == 1
    assert len(read(timeline(track), EMOTION, media="a.mkv").all("video")) == 1
    bare = read(timeline(track), EMOTION)
    assert not bare.all("audio")
    assert not bare.all("video")


def test_the_same_timeline_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    code = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import pages
made, specs, options = pages.spoken("name")
html = pages.page(made, {spec.name: spec for spec in specs}, **options)
sys.stdout.write(hashlib.sha256(html.encode()).hexdigest())
"""
    made, specs, options = spoken("name")
    html = page(made, {spec.name: spec for spec in specs}, **options)
    command = [sys.executable, "-c", code, str(Path(pages.__file__).parent)]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    there = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert there.stdout == hashlib.sha256(html.encode()).hexdigest()


# -- in a browser ----------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no browser here")
def test_a_browser_draws_it_without_complaint(tmp_path: Path) -> None:
    made, specs, options = spoken(HOSTILE[0])
    options.pop("media")
    html = page(made, {spec.name: spec for spec in specs}, **options)
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--enable-logging=stderr", "--virtual-time-budget=2000"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "page.html").as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in seen.stderr
    live = Read(seen.stdout)
    assert live.all("html")[0]["class"] == "live"
    sliders = [a for a in live.all("div") if a.get("role") == "slider"]
    assert len(sliders) == 2
    assert sliders[0]["aria-valuetext"].startswith("0:00.0")
    bars = [text for tag, text in live.texts if tag == "output"]
    assert bars[:2] == ["0.60", "0.00"]
