"""Copies that are not as they should be: what is left out, what is said, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from copies import brought_in, files, warned

from mien.errors import DataError

GOOD = "03-01-05-01-01-01-01.wav"


def refused(source: Path, name: str = "ravdess") -> str:
    with pytest.raises(DataError) as error:
        brought_in(name, source, source.parent / "out.jsonl")
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("03-01-09-01-01-01-01.wav", "1 names have an emotion or a speaker"),
        ("03-01-05-01-01-01-25.wav", "1 names have an emotion or a speaker"),
        ("03-01-05-01-01-01-00.wav", "1 names have an emotion or a speaker"),
        ("03-02-05-01-01-01-01.wav", "all 1 files belong to another part of the corpus"),
        ("clip.wav", "none of 1 media files fits, such as clip.wav"),
        ("03-01-05-01-01-01-01 (1).wav", "none of 1 media files fits"),
        ("notes.txt", "there is no sound and no film here; 1 other files"),
        (".hidden.wav", "there is no sound and no film here"),
    ],
)
def test_a_wrong_copy_shows_the_pattern_and_an_example(
    name: str, words: str, tmp_path: Path
) -> None:
    text = refused(files(tmp_path / "copy", name))
    assert words in text
    assert "MODALITY-CHANNEL-EMOTION" in text
    assert "03-01-05-02-01-01-12.wav" in text


def test_one_wrong_name_among_good_ones_is_refused(tmp_path: Path) -> None:
    """A label that nobody knows is no partial copy: something is misread."""
    text = refused(files(tmp_path / "copy", GOOD, "x/03-01-09-01-01-01-01.wav"))
    assert "x/03-01-09-01-01-01-01.wav" in text
    text = refused(
        files(tmp_path / "other", "1001_DFA_ANG_XX.wav", "1001_DFA_SUR_XX.wav"), "crema-d"
    )
    assert "1001_DFA_SUR_XX.wav" in text


def test_what_does_not_fit_is_named_and_left_out(tmp_path: Path) -> None:
    files(tmp_path, GOOD, "extra/bonus.mp4", "__MACOSX/._x.wav", ".cache/y.wav", "read.me")
    report, rows = brought_in("ravdess", tmp_path)
    assert len(rows) == 1
    assert warned(report)["unexpected"] == ["extra/bonus.mp4"]


def test_no_folder_and_an_empty_folder(tmp_path: Path) -> None:
    assert "there is no such file or folder" in refused(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "there is no sound and no film here" in refused(tmp_path / "empty")
    assert "a file, not a folder" in refused(files(tmp_path, "corpus.zip") / "corpus.zip")


def test_a_file_that_is_there_twice_is_taken_once(tmp_path: Path) -> None:
    """As in copies that hold the same folders again within a folder of their own."""
    for folder in ("Actor_01", "all/Actor_01"):
        files(tmp_path, f"{folder}/{GOOD}")
        (tmp_path / folder / GOOD).write_bytes(b"the same")
    report, rows = brought_in("ravdess", tmp_path)
    assert [row.audio for row in rows.values()] == [f"Actor_01/{GOOD}"]
    assert warned(report)["twice"] == [f"all/Actor_01/{GOOD}"]
    (tmp_path / "all" / "Actor_01" / GOOD).write_bytes(b"another!")
    assert "are called alike, and hold something else" in refused(tmp_path)


def test_of_two_formats_the_better_is_taken(tmp_path: Path) -> None:
    files(tmp_path, "mp3/03a01Fa.mp3", "wav/03a01Fa.wav")
    report, rows = brought_in("emodb", tmp_path)
    assert rows["03a01Fa"].audio == "wav/03a01Fa.wav"
    assert warned(report)["format"] == ["mp3/03a01Fa.mp3"]


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    outside = files(tmp_path / "outside", "03-01-05-01-01-01-02.wav")
    source = files(tmp_path / "copy", GOOD)
    (source / "03-01-05-01-01-01-03.wav").symlink_to(outside / "03-01-05-01-01-01-02.wav")
    (source / "more").symlink_to(outside)
    (source / "03-01-05-01-01-01-04.wav").symlink_to(GOOD)
    (source / "03-01-05-01-01-01-05.wav").symlink_to("nowhere.wav")
    os.mkfifo(source / "03-01-05-01-01-01-06.wav")
    report, rows = brought_in("ravdess", source)
    assert sorted(str(row.speaker) for row in rows.values()) == ["01", "04"]
    found = warned(report)
    assert sorted(found["link"]) == ["03-01-05-01-01-01-03.wav", "more"]
    assert sorted(found["unread"]) == ["03-01-05-01-01-01-05.wav", "03-01-05-01-01-01-06.wav"]


def test_a_source_behind_a_link_is_read(tmp_path: Path) -> None:
    files(tmp_path / "real" / "copy", GOOD)
    (tmp_path / "copy").symlink_to(tmp_path / "real" / "copy")
    report, rows = brought_in("ravdess", tmp_path / "copy")
    assert len(rows) == 1
    assert report.root is None


def test_hostile_names_survive(tmp_path: Path) -> None:
    """Folders may be called anything; a name that no text can hold is passed over, and said."""
    odd = ["a b", "tab\there", "line\nbreak", "comma, quote\"'", "::key", "\u2028", "é", "-rf"]
    names = [f"{folder}/03-01-05-01-01-01-{n:02d}.wav" for n, folder in enumerate(odd, 1)]
    files(tmp_path, *names)
    files(tmp_path, os.fsdecode(b"\xff\xfe") + "/03-01-05-01-01-01-20.wav")
    report, rows = brought_in("ravdess", tmp_path)
    assert sorted(str(row.audio) for row in rows.values()) == sorted(names)
    assert len(warned(report)["unread"]) == 1
    report.text.encode()
