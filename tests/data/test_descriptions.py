"""A file of descriptions: it grows, it is mended, and foreign ones are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mien.data import descriptions
from mien.data.descriptions import Captions, Description, Journal, Origin
from mien.errors import DataError

BY = Origin(kind="model", model="m", prompt="p")


def line(name: str, **given: Any) -> Description:
    held = {"clip": "c", "status": "described", "captions": Captions(joint="both"), "by": BY}
    return Description(id=name, **(held | given))


def written(path: Path, *lines: Description) -> Path:
    with Journal(path) as journal:
        for one in lines:
            journal.add(one)
    return path


def test_lines_come_back_and_the_last_word_holds(tmp_path: Path) -> None:
    first = line("a", captions=Captions(visual="\u00fc \u2028 \"'"), spent=3)
    path = written(tmp_path / "new" / "d.jsonl", first, line("b", status="refused", captions=None))
    written(path, line("a", captions=Captions(audio="new")))
    found = descriptions.read(path)
    assert found[0] == first
    known = descriptions.latest(found)
    assert known["a"].captions == Captions(audio="new")
    assert [one.id for one in descriptions.usable(known)] == ["a"]
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_half_written_line_is_cut_off(cut: int, tmp_path: Path) -> None:
    path = written(tmp_path / "d.jsonl", line("a"), line("b"))
    path.write_bytes(path.read_bytes()[:-cut])
    assert [one.id for one in descriptions.read(path)] == ["a"]
    with Journal(path) as journal:
        assert journal.mended
        assert [one.id for one in journal.before] == ["a"]
        journal.add(line("c"))
    assert [one.id for one in descriptions.read(path)] == ["a", "c"]


def test_nothing_but_half_a_line_is_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": "a", "cl')
    with Journal(path) as journal:
        assert (journal.before, journal.mended) == ([], True)
    assert path.read_bytes() == b""


def test_a_whole_file_needs_no_mending(tmp_path: Path) -> None:
    path = written(tmp_path / "d.jsonl", line("a"))
    before = path.read_bytes()
    with Journal(path) as journal:
        assert not journal.mended
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "a"}\n', "d.jsonl:2"),
        ("[]\n", "no description"),
        ("\x00\x01\n", "no description"),
        ('{"id": "a", "clip": "c", "status": "odd", "by": {}}\n', "status"),
        ("x" * (2 << 20) + "\n", "too long"),
    ],
)
def test_other_lines_are_refused(text: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path / "d.jsonl", line("a"))
    path.write_text(path.read_text() + text)
    with pytest.raises(DataError, match=said):
        descriptions.read(path)
    with pytest.raises(DataError, match=said), Journal(path):
        pass
    assert path.read_text().endswith(text[-10:])  # and left as they are


def test_a_file_of_another_kind_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"\x00" * (3 << 20))
    with pytest.raises(DataError, match="no file of descriptions"), Journal(path):
        pass
    assert path.stat().st_size == 3 << 20


@pytest.mark.skipif(os.name != "posix", reason="files are not locked here")
def test_two_do_not_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    with Journal(path), pytest.raises(DataError, match="another process"), Journal(path):
        pass


def test_nowhere_to_write_and_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"), Journal(tmp_path / "file" / "d.jsonl"):
        pass
    with pytest.raises(DataError, match="no such file"):
        descriptions.read(tmp_path / "none.jsonl")


def test_what_is_kept_is_plain_json(tmp_path: Path) -> None:
    path = written(tmp_path / "d.jsonl", line("a", reasoning={"emotions": []}))
    held = json.loads(path.read_text())
    assert held["captions"] == {"joint": "both"}
    assert held["by"] == {"kind": "model", "model": "m", "prompt": "p", "settings": {},
                          "times": [], "attempts": 1}  # fmt: skip
