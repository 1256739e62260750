"""IEMOCAP as conversations: six emotions, turns by time, the fifth session apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from copies import brought_in, files, text, warned

from mien.errors import DataError
from mien.importers import orders


def copy(folder: Path, session: int = 1) -> Path:
    """A dialogue in which he is interrupted; one sentence has no text, one no sound."""
    here, name = folder / f"Session{session}", f"Ses0{session}F_impro01"
    said = (
        ("M000", 1.5, "fru"), ("F000", 0.25, "hap"), ("M001", 4.0, "xxx"), ("F001", 6.75, "exc"),
        ("M002", 9.0, "neu"),
    )  # fmt: skip
    lines = [
        f"[{at:.4f} - {at + 1:.4f}]\t{name}_{who}\t{e}\t[2.5, 2.5, 2.5]" for who, at, e in said
    ]
    text(here / f"dialog/EmoEvaluation/{name}.txt", "% [START_TIME - END_TIME] NAME", *lines)
    spoken = [f"{name}_{who} [{at:08.4f}-{at + 1:08.4f}]: I said {who}." for who, at, _ in said[:4]]
    text(here / f"dialog/transcriptions/{name}.txt", *spoken, "M: (...)")
    sounds = (f"sentences/wav/{name}/{name}_{who}.wav" for who, _, _ in (*said[:3], said[4]))
    files(here, *sounds)
    return folder


def test_turns_are_in_the_order_of_time(tmp_path: Path) -> None:
    report, rows = brought_in("iemocap-6", copy(copy(tmp_path), 5))
    first = [row for row in rows.values() if row.dialogue == "Ses01F_impro01"]
    shown = [(row.id[-4:], row.turn, row.labels["emotion"], row.speaker) for row in first]
    assert shown == [
        ("F000", 0, "happy", "Ses01F"),
        ("M000", 1, "frustrated", "Ses01M"),
        ("F001", 3, "excited", "Ses01F"),  # what nobody agreed on is a gap
        ("M002", 4, "neutral", "Ses01M"),
    ]
    assert [row.text for row in first] == ["I said F000.", "I said M000.", "I said F001.", None]
    assert [row.audio is not None for row in first] == [True, True, False, True]
    assert {row.split for row in first} == {"train"}
    assert rows["Ses05F_impro01_F000"].split == "test"
    assert len(warned(report)["missing"]) == 2
    assert "other emotions are left out: 2 xxx" in report.notes
    assert report.corpus.task is not None
    assert report.corpus.task.labels == orders.IEMOCAP.order


def test_a_folder_without_sounds_and_texts_is_an_error(tmp_path: Path) -> None:
    line = "[0.5 - 1.5]\tSes01F_impro01_F000\thap\t[2.5, 2.5, 2.5]"
    text(tmp_path / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", line)
    with pytest.raises(DataError, match="none has a sound or a text"):
        brought_in("iemocap-6", tmp_path)
