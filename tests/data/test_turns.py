"""Who speaks when, as RTTM, SubRip and WebVTT say it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from mien.data.turns import Turn, beside, read_turns
from mien.errors import DataError

SRT = """\
1
00:00:01,000 --> 00:00:02,500
ANNA: Hello &amp; welcome.

2
00:00:03,000 --> 00:00:04,000 X1:10
[Bob] <i>Hi.</i>

3
00:00:05,000 --> 00:00:06,000
- ANNA: You?
- BOB: Me.

4
01:00:00,000 --> 01:00:01,000
Nobody is named
in two lines.
"""


def file(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_rttm_names_speakers(tmp_path: Path) -> None:
    text = (
        ";; a comment\nSPKR-INFO x 1 <NA> <NA> <NA> unknown anna <NA>\n"
        "SPEAKER x 1 2.50 1.25 <NA> <NA> bob <NA> <NA>\n"
        "SPEAKER x 1 0.00 3 <NA> <NA> face-1 <NA>\nSPEAKER x 1 9 1 <NA> <NA> <NA> <NA>\n\n"
    )
    assert read_turns(file(tmp_path, "a.rttm", text)) == [
        Turn(0.0, 3.0, "face-1"), Turn(2.5, 3.75, "bob"), Turn(9.0, 10.0, None),
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_subtitles_in_any_encoding(tmp_path: Path, encoding: str, ends: str) -> None:
    text = SRT.replace("welcome", "willkommen, Zoë").replace("\n", ends)
    assert read_turns(file(tmp_path, "a.srt", text, encoding)) == [
        Turn(1.0, 2.5, "ANNA", "Hello & willkommen, Zoë."),
        Turn(3.0, 4.0, "Bob", "Hi."),
        Turn(5.0, 6.0, "ANNA", "You?"),
        Turn(5.0, 6.0, "BOB", "Me."),
        Turn(3600.0, 3601.0, None, "Nobody is named in two lines."),
    ]


def test_webvtt_has_voices(tmp_path: Path) -> None:
    text = (
        "WEBVTT\n\nNOTE 00:01.000 --> 00:02.000 is no cue\n\nSTYLE\n::cue { color: red }\n\n"
        "one\n00:01.000 --> 00:02.000 align:start\n<v.loud Anna Berg>Oh <b>no</b></v>\n\n"
        "00:00.500 --> 00:00.900\nface-2: Yes\n"
    )
    assert read_turns(file(tmp_path, "a.vtt", text)) == [
        Turn(0.5, 0.9, "face-2", "Yes"), Turn(1.0, 2.0, "Anna Berg", "Oh no"),
    ]  # fmt: skip


def test_subtitles_without_empty_lines_between_them(tmp_path: Path) -> None:
    text = "1\n00:00:01,0 --> 00:00:02,0\nA\n2\n00:00:03,0 --> 00:00:04,0\nB\n"
    found = read_turns(file(tmp_path, "a.srt", text))
    assert [turn.text for turn in found] == ["A", "B"]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.rttm", "SPEAKER x 1 one 2 <NA> <NA> a\n", ":1:"),
        ("a.rttm", "\nSPEAKER x 1 1\n", ":2:"),
        ("a.rttm", "SPEAKER x 1 5 -2 <NA> <NA> a\n", ":1:"),
        ("a.rttm", "SPEAKER x 1 nan 2 <NA> <NA> a\n", ":1:"),
        ("a.rttm", "SPEAKER x 1 1 1e300 <NA> <NA> a\n", ":1:"),
        ("a.srt", "1\n00:00:01,000 --> later\nA\n", ":2:"),
        ("a.srt", "1\n00:00:03,000 --> 00:00:02,000\nA\n", ":2:"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(
    tmp_path: Path, name: str, text: str, line: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_turns(file(tmp_path, name, text))
    assert f"{name}{line}" in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.rttm, \.srt and \.vtt"):
        read_turns(file(tmp_path, "a.txt", ""))
    with pytest.raises(DataError, match="no such file"):
        read_turns(tmp_path / "b.srt")
    with pytest.raises(DataError, match="no such file"):
        read_turns(tmp_path / "c.rttm")


def test_what_lies_beside_a_film_is_found(tmp_path: Path) -> None:
    assert beside(tmp_path / "film.mp4") is None
    file(tmp_path, "film.vtt", "WEBVTT\n")
    assert beside(tmp_path / "film.mp4") == tmp_path / "film.vtt"
    file(tmp_path, "film.rttm", "")
    assert beside(tmp_path / "film.mp4") == tmp_path / "film.rttm"


@settings(max_examples=200, deadline=None)
@given(content=some.binary(max_size=400), ending=some.sampled_from([".rttm", ".srt", ".vtt"]))
def test_any_bytes_are_turns_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, ending: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{ending}"
    path.write_bytes(content)
    try:
        found = read_turns(path)
    except DataError:
        return
    assert all(0 <= turn.start <= turn.end for turn in found)


@pytest.mark.parametrize(
    "said", ["<" * 300_000, "<v " * 100_000, "<v" + " " * 300_000 + "x", "-" * 300_000]
)
@pytest.mark.parametrize("where", ["said", "timed"])
def test_a_line_as_long_as_the_file_is_read_in_its_length(
    tmp_path: Path, said: str, where: str
) -> None:
    """Patterns that go back would take hours."""
    lines = f"00:00:01,000 --> 00:00:02,000\n{said}\n" if where == "said" else f"a{said}b-->\n"
    began = time.process_time()
    try:
        read_turns(file(tmp_path, "a.srt", lines))
    except DataError:
        assert where == "timed"
    assert time.process_time() - began < 2
