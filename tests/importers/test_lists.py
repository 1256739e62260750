"""Lists of clips: how a line is read, where its files are, what its label means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from copies import brought_in, files, text, warned

from mien.data.manifest import Manifest
from mien.errors import ConfigError, DataError, MienError
from mien.importers import lists

FRAMES = ("00001.jpg", "00002.jpg")


def clips(folder: Path, *names: str) -> Path:
    """Folders of two pictures and a sound each, as the field's lists name them."""
    for name in names:
        files(folder, *(f"frames/{name}/{frame}" for frame in FRAMES), f"wav/{name}.wav")
    return folder


def refused(source: Path, name: str = "lists", **words: object) -> str:
    with pytest.raises(MienError) as error:
        brought_in(name, source, **words)  # type: ignore[arg-type]
    return str(error.value)


# -- lines -----------------------------------------------------------------------------------------


def test_frames_sound_and_label(tmp_path: Path) -> None:
    clips(tmp_path, "a", "b")
    text(tmp_path / "all.txt", "frames/a wav/a.wav 1", "", "frames/b  wav/b.wav\t0")
    report, rows = brought_in("lists", tmp_path / "all.txt", labels="angry,happy")
    assert report.manifest == tmp_path / "all.jsonl"
    assert list(rows) == ["frames/a", "frames/b"]
    first = rows["frames/a"]
    assert (first.video, first.audio, first.fps) == ("frames/a", "wav/a.wav", lists.FPS)
    assert {name: row.labels for name, row in rows.items()} == {
        "frames/a": {"emotion": "happy"},
        "frames/b": {"emotion": "angry"},
    }
    assert any("25 a second, our choice" in note for note in report.notes)
    assert Manifest.read(report.manifest).tasks["emotion"].labels == ("angry", "happy")


@pytest.mark.parametrize(
    ("line", "seen", "heard"),
    [
        ("my frames/a b wav/a b.wav 0", "my frames/a b", "wav/a b.wav"),
        ("my frames/a b\twav/a b.wav\t0", "my frames/a b", "wav/a b.wav"),
        ("my frames/a b,wav/a b.wav,0", "my frames/a b", "wav/a b.wav"),
        ("films/x y.mp4 0", "films/x y.mp4", None),
        ("wav/a b.wav 0", None, "wav/a b.wav"),
        ("films/x y.mp4 wav/a b.wav 0", "films/x y.mp4", "wav/a b.wav"),
        ("my frames/a, b wav/a b.wav 0", "my frames/a, b", "wav/a b.wav"),
        ("my frames\\a b wav\\a b.wav 0", "my frames/a b", "wav/a b.wav"),
    ],
)
def test_blanks_in_paths(line: str, seen: str | None, heard: str | None, tmp_path: Path) -> None:
    files(tmp_path, "my frames/a b/1.jpg", "my frames/a, b/1.jpg", "wav/a b.wav", "films/x y.mp4")
    text(tmp_path / "all.txt", line)
    _, rows = brought_in("lists", tmp_path / "all.txt", labels="x,y", fps=30)
    (row,) = rows.values()
    assert (row.video, row.audio) == (seen, heard)
    assert row.fps == (30 if seen and not seen.endswith(".mp4") else None)


def test_odd_letters_end_no_line(tmp_path: Path) -> None:
    names = ["a\u2028b", "c\x0bd", "e\x85f"]
    files(tmp_path, *(f"{name}.wav" for name in names))
    text(tmp_path / "all.txt", *(f"{name}.wav\tx" for name in names))
    _, rows = brought_in("lists", tmp_path / "all.txt")
    assert sorted(rows) == sorted(names)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "this list is empty"),
        (b"a.wav\n", "this line has no label"),
        (b"a.wav\tb.wav\tc.wav\t1\n", "blanks within the paths leave several ways"),
        (b"a.wav,1\na.wav,1\n", "'a.wav' is in this list twice"),
        (b"a.wav,1\nb.wav,x\n", "labels are names and numbers at once, such as 'x' and 1"),
        (b"a.wav,caf\xe9\n", "not UTF-8, but perhaps latin-1"),
        ("a.wav,1\n".encode("utf-16"), "not UTF-8, but perhaps utf-16"),
        (b"PK\x03\x04\xff", "this is a spreadsheet"),
        (b"none.wav,1\n", "none of 1 named files is here, such as 'none.wav'"),
        (b"a\0b.wav,1\n", "none of 1 named files is here"),
        (b"a" * 5000 + b".wav,1\n", "none of 1 named files is here"),
        (b"a " * 10_000 + b"1\n", "no line of a list is so long"),
    ],
)
def test_a_bad_list_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    files(tmp_path, "a.wav", "b.wav")
    (tmp_path / "all.txt").write_bytes(content)
    assert words in refused(tmp_path / "all.txt")


# -- files -----------------------------------------------------------------------------------------


def test_paths_of_another_machine_are_found_by_their_end(tmp_path: Path) -> None:
    clips(tmp_path, "a", "b")
    text(
        tmp_path / "all.csv",
        "/elsewhere/somebody/DFEW/frames/a /elsewhere/somebody/DFEW/wav/a.wav 0",
        "/elsewhere/somebody/DFEW/frames/b /elsewhere/somebody/DFEW/wav/b.wav 1",
    )
    report, rows = brought_in("lists", tmp_path / "all.csv", labels="x,y")
    assert [(row.video, row.audio) for row in rows.values()] == [
        ("frames/a", "wav/a.wav"),
        ("frames/b", "wav/b.wav"),
    ]
    assert (
        "paths that begin with elsewhere/somebody/DFEW are looked for here without it"
        in report.text
    )


def test_media_may_lie_elsewhere(tmp_path: Path) -> None:
    files(tmp_path / "clips", "a.wav")
    text(tmp_path / "lists" / "all.txt", "a.wav 0")
    assert "--media FOLDER" in refused(tmp_path / "lists" / "all.txt", labels="x,y")
    report, rows = brought_in("lists", tmp_path / "lists" / "all.txt", labels="x", media="../clips")
    assert report.root == tmp_path
    assert rows["a"].audio == "../clips/a.wav"
    assert f"--root {tmp_path}" in report.next[0]


def test_what_is_not_there_is_counted(tmp_path: Path) -> None:
    clips(tmp_path, "a", "b")
    (tmp_path / "wav" / "b.wav").unlink()
    text(tmp_path / "all.txt", *(f"frames/{n} wav/{n}.wav 0" for n in "abc"))
    report, rows = brought_in("lists", tmp_path / "all.txt", labels="x")
    assert warned(report)["missing"] == ["wav/b.wav", "frames/c", "wav/c.wav"]
    assert [row.audio for row in rows.values()] == ["wav/a.wav", None]


def test_no_path_leaves_the_folder(tmp_path: Path) -> None:
    files(tmp_path, "secret.wav")
    source = files(tmp_path / "copy", "a.wav")
    (source / "link.wav").symlink_to("../secret.wav")
    outside = ["../secret.wav", "link.wav", str(tmp_path / "secret.wav")]
    text(source / "all.txt", "a.wav x", *(f"{name} x" for name in outside))
    report, rows = brought_in("lists", source / "all.txt", tmp_path / "out.jsonl")
    assert list(rows) == ["a"]
    found = warned(report)
    assert sorted([*found["link"], *found.get("missing", [])]) == sorted(outside)
    text(source / "all.txt", "link.wav x")
    assert "outside of the folder" in refused(source / "all.txt")


# -- labels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "words", "named"),
    [
        ("0 1 2", {"labels": "a,b,c"}, ["a", "b", "c"]),
        ("1 2 3", {"labels": "a,b,c"}, ["a", "b", "c"]),
        ("1 2 2", {"labels": "a,b,c", "first_label": 1}, ["a", "b", "b"]),
        ("1 2 2", {"labels": "a,b,c", "first_label": 0}, ["b", "c", "c"]),
        ("0 0 -1", {"labels": "a,b,c"}, ["a", "a", None]),
        ("1.0 2.0 3.0", {"labels": "a,b,c"}, ["a", "b", "c"]),
        ("b a b", {"labels": "b,a"}, ["b", "a", "b"]),
        ("b a b", {}, ["b", "a", "b"]),
        ("0 2 1", {}, ["0", "2", "1"]),
    ],
)
def test_labels_are_names_or_numbers(
    labels: str, words: dict[str, Any], named: list[str | None], tmp_path: Path
) -> None:
    files(tmp_path, *(f"{n}.wav" for n in range(3)))
    text(tmp_path / "all.txt", *(f"{n}.wav {word}" for n, word in enumerate(labels.split())))
    report, rows = brought_in("lists", tmp_path / "all.txt", **words)
    assert [row.labels.get("emotion") for row in rows.values()] == named
    if labels == "1 2 3":
        assert "labels run from 1 to 3: class 1 is the first" in report.notes


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("1 2 1", "they may count from 0 or from 1"),
        ("0 1 3", "there is no class 3: 3 classes count from 0"),
        ("0 1 9", "there is no class 9"),
        ("a b d", "there is no class 'd'"),
    ],
)
def test_a_label_that_nobody_knows_is_refused(labels: str, said: str, tmp_path: Path) -> None:
    files(tmp_path, *(f"{n}.wav" for n in range(3)))
    text(tmp_path / "all.txt", *(f"{n}.wav {word}" for n, word in enumerate(labels.split())))
    assert said in refused(tmp_path / "all.txt", labels="a,b,c")


def test_names_of_classes_from_a_file(tmp_path: Path) -> None:
    files(tmp_path, "0.wav", "1.wav")
    text(tmp_path / "all.txt", "0.wav 0", "1.wav 1")
    names = text(tmp_path / "names.txt", "anger", "anger and disgust")
    _, rows = brought_in("lists", tmp_path / "all.txt", labels=str(names), task="compound")
    assert rows["1"].labels == {"compound": "anger and disgust"}


# -- parts and folds -------------------------------------------------------------------------------


def test_parts_by_lists_of_their_own(tmp_path: Path) -> None:
    files(tmp_path, *(f"{n}.wav" for n in "abc"))
    for n, name in zip("abc", ("train", "dev", "test"), strict=True):
        text(tmp_path / f"{name}.txt", f"{n}.wav x")
    _, rows = brought_in(
        "lists", tmp_path / "train.txt", split={"dev": "dev.txt", "test": "test.txt"}
    )
    assert {name: row.split for name, row in rows.items()} == {
        "a": "train", "b": "val", "c": "test",
    }  # fmt: skip


def test_folds_count_from_0_and_test_each_clip_once(tmp_path: Path) -> None:
    files(tmp_path, *(f"{n}.wav" for n in "abc"))
    for number, n in enumerate("abc", 1):
        text(tmp_path / f"test{number}.txt", f"{n}.wav x")
        text(tmp_path / f"train{number}.txt", *(f"{m}.wav x" for m in "abc" if m != n))
    report, rows = brought_in("lists", tmp_path, fold={"{}": "train{}.txt,test{}.txt"})
    assert [row.fold for row in rows.values()] == [1, 2, 0]  # in the order of the lists
    assert {name: row.fold for name, row in rows.items()} == {"a": 0, "b": 1, "c": 2}
    assert not report.warnings
    two = {"1": "train1.txt,test1.txt", "2": "train2.txt,test2.txt"}
    _, rows = brought_in("lists", tmp_path, tmp_path / "two.jsonl", fold=two)
    assert {name: row.fold for name, row in rows.items()} == {"a": 0, "b": 1, "c": None}
    one = {"3": "train3.txt,test3.txt"}
    _, rows = brought_in("lists", tmp_path, tmp_path / "one.jsonl", fold=one)
    assert {name: row.split for name, row in rows.items()} == {
        "a": "train", "b": "train", "c": "test",
    }  # fmt: skip


def test_a_train_list_that_leaves_clips_out_is_said(tmp_path: Path) -> None:
    files(tmp_path, *(f"{n}.wav" for n in "abc"))
    text(tmp_path / "train1.txt", "b.wav x")
    text(tmp_path / "test1.txt", "a.wav x")
    text(tmp_path / "train2.txt", "a.wav x", "c.wav x")
    text(tmp_path / "test2.txt", "b.wav x")
    report, _ = brought_in("lists", tmp_path, fold={"{}": "train{}.txt,test{}.txt"})
    assert warned(report)["untrained"] == ["c.wav"]
    assert "in neither list of fold 0" in report.text


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ({"train1": "ab", "test1": "b"}, "on both sides"),
        ({"train1": "b", "test1": "a", "train2": "b", "test2": "a"}, "on both sides"),
        ({"train1": "bb", "test1": "a"}, "is in this list twice"),
    ],
)
def test_a_clip_on_both_sides_is_refused(lines: dict[str, str], said: str, tmp_path: Path) -> None:
    files(tmp_path, "a.wav", "b.wav")
    for name, held in lines.items():
        text(tmp_path / f"{name}.txt", *(f"{n}.wav x" for n in held))
    assert said in refused(tmp_path, fold={"{}": "train{}.txt,test{}.txt"})


def test_two_labels_of_a_clip_are_refused(tmp_path: Path) -> None:
    files(tmp_path, "a.wav", "b.wav")
    text(tmp_path / "train.txt", "a.wav x", "b.wav y")
    text(tmp_path / "test.txt", "a.wav y")
    assert "'a.wav' is y here, and x in" in refused(
        tmp_path / "train.txt", split={"test": "test.txt"}
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "which lists?; here are test.txt, train.txt"),
        ({"fold": {"{}": "no{}.txt,none{}.txt"}}, "there are no lists no1.txt and none1.txt"),
        ({"fold": {"1": "train.txt,none.txt"}}, "there is no such list"),
        ({"fold": {"one": "train.txt,test.txt"}}, "'one' is no fold"),
        ({"fold": {"1": "train.txt"}}, "--fold"),
        ({"split": {"trian": "train.txt"}}, "there is no part 'trian'"),
        ({"split": {"train": "train.txt", "training": "test.txt"}}, "two lists are the same part"),
        ({"split": {"test": "test.txt"}, "fold": {"1": "train.txt,test.txt"}}, "two ways to cut"),
        ({"speaker": "(", "split": {"train": "train.txt"}}, "is not a pattern"),
        ({"speaker": "a", "split": {"train": "train.txt"}}, "has 0 groups"),
        ({"speaker": "(z)", "split": {"train": "train.txt"}}, "is found in no path, such as 'a'"),
        ({"modality": "audio"}, "lists takes no --modality"),
    ],
)
def test_a_wish_that_cannot_be_met(words: dict[str, Any], said: str, tmp_path: Path) -> None:
    files(tmp_path, "a.wav", "b.wav")
    text(tmp_path / "train.txt", "a.wav x")
    text(tmp_path / "test.txt", "b.wav x")
    assert said in refused(tmp_path, **words)


def test_errors_are_of_the_right_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'lists'"):
        brought_in("list", tmp_path)
    with pytest.raises(DataError, match="there is no such file or folder"):
        brought_in("lists", tmp_path / "none.txt")
