"""DFEW, MAFW and MER2023 by lists made up from the counts of their specifications."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from copies import DFEW, MAFW, brought_in, files, folds, text, warned

from mien import importers
from mien.data.manifest import Manifest
from mien.tasks import NAMED

LISTS = {"{}": "set_{}_train.csv,set_{}_test.csv"}
# Train and test clips of each fold, as the specification has them.
SIZES = {
    "dfew": ((9356, 2341), (9356, 2341), (9357, 2340), (9358, 2339), (9361, 2336)),
    "mafw": ((7320, 1836), (7323, 1833), (7329, 1827), (7327, 1829), (7325, 1831)),
}


@pytest.mark.parametrize(("name", "counts"), [("dfew", DFEW), ("mafw", MAFW)])
def test_what_is_expected_is_what_the_specification_counts(
    name: str, counts: tuple[tuple[int, ...], ...]
) -> None:
    corpus = importers.named(name)
    assert corpus.task == NAMED[name]
    assert corpus.expected is not None
    assert tuple(corpus.expected.folds) == counts
    tested = [corpus.expected.of_fold(fold) or 0 for fold in range(5)]
    assert [(corpus.expected.rows - test, test) for test in tested] == list(SIZES[name])
    by_class = [sum(fold[index] for fold in counts) for index in range(len(counts[0]))]
    assert list(corpus.expected.classes.values()) == by_class


def test_a_whole_copy_agrees_with_the_tables(tmp_path: Path) -> None:
    names = folds(tmp_path, DFEW, 1, head="/elsewhere/them/dfew/")
    report, rows = brought_in("dfew", tmp_path, fold=LISTS)
    assert len(rows) == len(names) == 11_697
    assert not report.warnings, report.text
    labels = Counter((row.fold, row.labels["emotion"]) for row in rows.values())
    task = Manifest.read(report.manifest).tasks["emotion"]
    for fold, wanted in enumerate(DFEW):
        assert tuple(labels[fold, label] for label in task.labels) == wanted
    assert task.labels == NAMED["dfew"].labels
    assert any("nobody can tell" in note for note in report.notes)


def test_another_copy_is_told_from_a_whole_one(tmp_path: Path) -> None:
    few = tuple(tuple(min(count, 2) for count in fold) for fold in MAFW)
    folds(tmp_path, few)
    report, rows = brought_in("mafw", tmp_path, fold=LISTS)
    found = warned(report)
    assert len(rows) == 110
    assert "110 of 9,156" in report.text
    assert found["folds"][0] == "fold 0 22 of 1,836"
    assert found["classes"][0] == "anger 10 of 1,388"
    assert found["classes of folds"][0] == "fold 0 anger 2 of 277"


def test_dfew_by_the_lists_of_its_authors(tmp_path: Path) -> None:
    """Names and labels in a CSV with a header; frames in folders of five digits."""
    files(tmp_path, *(f"data/0000{n}/0000{n}_00001.jpg" for n in (1, 2)))
    lines = {1: "1,7", 2: "2,1"}
    for fold, other in ((1, 2), (2, 1)):
        text(tmp_path / "label" / f"single_trainset_{fold}.csv", "video_name,label", lines[other])
        text(tmp_path / "label" / f"single_testset_{fold}.csv", "video_name,label", lines[fold])
    report, rows = brought_in("dfew", tmp_path, fps=30)
    first = rows["data/00001"]
    assert (first.video, first.fps, first.fold) == ("data/00001", 30, 0)
    assert first.labels == {"emotion": "fear"}
    assert rows["data/00002"].labels == {"emotion": "happiness"}
    assert "partial copy" in warned(report)


def test_compound_classes_have_numbers_until_somebody_names_them(tmp_path: Path) -> None:
    folds(tmp_path, [[1] * 43, [1] * 43])
    report, rows = brought_in("mafw-43", tmp_path, fold=LISTS)
    assert len(rows) == 86
    tasks = Manifest.read(report.manifest).tasks
    assert tasks["compound"].labels == tuple(map(str, range(43)))
    assert any("--labels gives them names" in note for note in report.notes)
    assert report.counts["rows"]["expected"] == 8996
    names = [f"emotion {number}" for number in range(43)]
    file = text(tmp_path / "names.txt", *names)
    report, rows = brought_in(
        "mafw-43", tmp_path, tmp_path / "named.jsonl", fold=LISTS, labels=str(file)
    )
    assert Manifest.read(report.manifest).tasks["compound"].labels == tuple(names)


def test_mer2023_by_two_lists(tmp_path: Path) -> None:
    files(tmp_path, "a.mp4", "b.mp4")
    text(tmp_path / "train.txt", "a.mp4 worried")
    text(tmp_path / "multi.txt", "b.mp4 angry")
    report, rows = brought_in(
        "mer2023", tmp_path, split={"train": "train.txt", "test": "multi.txt"}
    )
    assert {name: (row.split, row.labels["emotion"]) for name, row in rows.items()} == {
        "a": ("train", "worried"),
        "b": ("test", "angry"),
    }
    assert Manifest.read(report.manifest).tasks["emotion"].labels == NAMED["mer2023"].labels
