"""Conversations under two names, and parts that are the same, are found by what is in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mien.data import repeats
from mien.data.findings import Report
from mien.data.rows import Row, Split

LINES = ("How are you doing today?", "Fine, and how are you?", "As ever, as ever.")


def talk(name: str, split: Split, lines: Sequence[str] = LINES, *, first: int = 0) -> list[Row]:
    return [
        Row(id=f"{name}-{split}-{n}", dialogue=name, turn=n, split=split, text=line)
        for n, line in enumerate(lines, first)
    ]


def found(rows: Sequence[Row], keys: Sequence[str | None] | None = None) -> dict[str, list[str]]:
    report = Report()
    repeats.look(rows, [None] * len(rows) if keys is None else keys, report)
    return {finding.kind: finding.found for finding in report.errors}


def test_a_test_dialogue_in_train_under_another_name_is_found() -> None:
    others = talk("b", "train", ("Something else is said here.",) * 3)
    rows = [*talk("a", "train"), *others, *talk("z", "test", first=5)]
    assert found(rows) == {"dialogue repeated": ["a = z"]}
    assert not found([*talk("a", "train"), *talk("z", "train"), *others])  # all in one part
    assert not found([*talk("a", "train"), *others, *talk("z", "test", LINES[::-1])])


def test_what_people_say_every_day_is_no_repeat() -> None:
    short = ("Hi.", "Hi.", "Hi.", "Hi.")
    other = talk("b", "train", ("Something else is said here.",) * 3)
    assert not found([*talk("a", "train", short), *other, *talk("z", "test", short)])
    assert not found([*talk("a", "train", LINES[:2]), *other, *talk("z", "test", LINES[:2])])


def test_parts_that_are_the_same_are_found_by_texts_and_by_content() -> None:
    train = talk("a", "train", ("Only here is this said.", "And this.", "And this, of course."))
    rows = [*train, *talk("v", "val"), *talk("t", "test")]
    assert found(rows) == {"test is val": []}
    splits: tuple[Split, ...] = ("val", "val", "test", "test")
    bare = [Row(id=str(n), split=split) for n, split in enumerate(splits)]
    assert found(bare, ["x", "y", "y", "x"]) == {"test is val": []}
    assert not found(bare, ["x", "y", "y", "z"])
    assert not found(bare, ["x", None, "x", None])  # nobody can tell
    assert not found(bare)
    videos = [dataclasses.replace(row, video=f"{row.id}.mp4") for row in rows[3:]]
    assert "test is val" not in found(videos)  # said twice, and nobody looked at the films
