"""A folder for each class: films, sounds, pictures, parts, speakers; and what is no such folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from copies import brought_in, files, warned

from mien.data.manifest import Manifest
from mien.errors import DataError
from mien.tasks import NAMED


def refused(source: Path, **words: object) -> str:
    with pytest.raises(DataError) as error:
        brought_in("folders", source, **words)  # type: ignore[arg-type]
    return str(error.value)


def test_classes_are_folders(tmp_path: Path) -> None:
    files(tmp_path, "happy/a.mp4", "happy/deep/b.wav", "sad/a.mp4", "sad/c.png", "sad/notes.txt")
    report, rows = brought_in("folders", tmp_path)
    assert {name: (row.video, row.audio, row.labels["emotion"]) for name, row in rows.items()} == {
        "happy/a": ("happy/a.mp4", None, "happy"),
        "happy/deep/b": (None, "happy/deep/b.wav", "happy"),
        "sad/a": ("sad/a.mp4", None, "sad"),
        "sad/c": ("sad/c.png", None, "sad"),
    }
    assert Manifest.read(report.manifest).tasks["emotion"].labels == ("happy", "sad")
    assert any("cuts keep recordings and dialogues whole, not people" in n for n in report.notes)
    assert any("1 pictures are a row each" in note for note in report.notes)


def test_classes_of_a_published_task_have_its_order(tmp_path: Path) -> None:
    files(tmp_path, *(f"{label}/a.mp4" for label in NAMED["mafw"].labels))
    report, _ = brought_in("folders", tmp_path)
    assert Manifest.read(report.manifest).tasks == {"emotion": NAMED["mafw"]}


def test_a_film_and_a_sound_that_are_called_alike_are_one_clip(tmp_path: Path) -> None:
    files(tmp_path, "x/a.mp4", "x/a.wav", "x/a.jpg", "x/b.mov", "x/b.mp4", "y/a.wav")
    report, rows = brought_in("folders", tmp_path)
    assert {name: (row.video, row.audio) for name, row in rows.items()} == {
        "x/a": ("x/a.mp4", "x/a.wav"),
        "x/b": ("x/b.mp4", None),
        "y/a": (None, "y/a.wav"),
    }
    assert sorted(warned(report)["format"]) == ["x/a.jpg", "x/b.mov"]


def test_folders_of_pictures_are_clips_where_somebody_says_how_fast(tmp_path: Path) -> None:
    files(tmp_path, *(f"x/{clip}/{n}.png" for clip in "ab" for n in range(3)), "y/c.mp4")
    _, rows = brought_in("folders", tmp_path, fps=10)
    assert {name: (row.video, row.fps) for name, row in rows.items()} == {
        "x/a": ("x/a", 10), "x/b": ("x/b", 10), "y/c": ("y/c.mp4", None),
    }  # fmt: skip
    files(tmp_path, "y/0.png")
    assert "pictures lie in the folder of a class itself" in refused(tmp_path, fps=10)


@pytest.mark.parametrize("words", [("train", "val", "test"), ("Train", "validation", "TEST")])
def test_parts_may_stand_above_classes(words: tuple[str, ...], tmp_path: Path) -> None:
    files(tmp_path, *(f"{word}/{c}/{word}.mp4" for word in words for c in ("x", "y")))
    report, rows = brought_in("folders", tmp_path)
    assert [rows[f"{word}/x/{word}"].split for word in words] == ["train", "val", "test"]
    assert {str(row.labels["emotion"]) for row in rows.values()} == {"x", "y"}
    assert any("nobody can tell whether somebody is on both sides" in n for n in report.notes)


def test_parts_beside_classes_are_refused(tmp_path: Path) -> None:
    files(tmp_path, "train/x/a.mp4", "happy/b.mp4")
    assert "folder 'train' is called like a part, folder 'happy' is not" in refused(tmp_path)


def test_a_class_may_be_called_like_a_part(tmp_path: Path) -> None:
    files(tmp_path, "test/a.mp4", "train/b.mp4")
    _, rows = brought_in("folders", tmp_path)
    assert {name: row.labels["emotion"] for name, row in rows.items()} == {
        "test/a": "test", "train/b": "train",
    }  # fmt: skip


def test_speakers_by_a_pattern(tmp_path: Path) -> None:
    files(tmp_path, "x/ann_1.wav", "x/bob_1.wav", "y/ann_2.wav", "y/nobody.wav")
    report, rows = brought_in("folders", tmp_path, speaker=r"/(?P<speaker>[a-z]+)_(\d)")
    assert {name: row.speaker for name, row in rows.items()} == {
        "x/ann_1": "ann", "x/bob_1": "bob", "y/ann_2": "ann", "y/nobody": None,
    }  # fmt: skip
    assert warned(report)["speaker"] == ["y/nobody.wav"]
    assert any("1 of 4 rows name no speaker" in note for note in report.notes)


def test_labels_may_be_renamed(tmp_path: Path) -> None:
    files(tmp_path, "01/a.wav", "02/b.wav")
    report, rows = brought_in("folders", tmp_path, rename={"01": "calm"}, task="mood")
    assert [row.labels for row in rows.values()] == [{"mood": "calm"}, {"mood": "02"}]
    assert list(Manifest.read(report.manifest).tasks) == ["mood"]


def test_what_lies_in_no_class_is_said(tmp_path: Path) -> None:
    files(tmp_path, "intro.mp4", "x/a.mp4")
    report, rows = brought_in("folders", tmp_path)
    assert list(rows) == ["x/a"]
    assert warned(report)["unexpected"] == ["intro.mp4"]


def test_folders_that_are_no_such(tmp_path: Path) -> None:
    assert "no film, sound or picture here" in refused(tmp_path)
    assert "all files lie in no folder of a class" in refused(files(tmp_path, "a.mp4"))


def test_links_within_are_files_and_links_out_are_not(tmp_path: Path) -> None:
    """Classes made of links into one pool are common."""
    source = files(tmp_path / "copy", "pool/1.wav", "pool/2.wav")
    files(tmp_path, "outside.wav")
    for label, number in (("x", 1), ("y", 2)):
        (source / label).mkdir()
        (source / label / "clip.wav").symlink_to(f"../pool/{number}.wav")
    (source / "x" / "out.wav").symlink_to("../../outside.wav")
    report, rows = brought_in("folders", source)
    assert sorted(rows) == ["pool/1", "pool/2", "x/clip", "y/clip"]
    assert warned(report)["link"] == ["x/out.wav"]


def test_endings_tell_clips_apart_that_share_a_name(tmp_path: Path) -> None:
    files(tmp_path, "x/a.b.mp4", "x/a.mp4", "x/A.mp4")
    _, rows = brought_in("folders", tmp_path)
    assert sorted(rows) == ["x/A", "x/a", "x/a.b"]
