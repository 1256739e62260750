"""Who belongs to a conversation, and what was said around an utterance."""

from __future__ import annotations

from mien.data.dialogues import Context, dialogues
from mien.data.rows import Row
from mien.types import AROUND, SAID, TURN


def _row(talk: str | None, turn: int, text: str | None, speaker: str | None = None) -> Row:
    return Row(id=f"{talk}{turn}", dialogue=talk, turn=turn, text=text, speaker=speaker)


ROWS = [
    _row("d", 3, "three", "ann"),
    _row("d", 0, "zero", "bob"),
    _row("e", 0, "other"),
    _row("d", 1, None, "ann"),
    _row(None, 9, "alone", "eve"),
]


def test_neighbours_are_told_in_the_order_in_which_they_were_said() -> None:
    talks = Context(ROWS, 1)
    assert talks.told(ROWS[0]) == AROUND.join([f"ann{SAID}", f"ann{SAID}three", ""])
    wide = Context(ROWS, 2)
    assert wide.told(ROWS[0]).split(AROUND)[0].split(TURN) == [f"bob{SAID}zero", f"ann{SAID}"]
    assert wide.told(ROWS[1]).split(AROUND)[2].split(TURN) == [f"ann{SAID}", f"ann{SAID}three"]


def test_no_dialogue_and_no_reach_stand_alone() -> None:
    assert Context(ROWS, 1).told(ROWS[2]) == f"{AROUND}{SAID}other{AROUND}"
    assert Context(ROWS, 1).told(ROWS[4]) == f"{AROUND}eve{SAID}alone{AROUND}"
    assert Context(ROWS, 0).told(ROWS[0]) == f"{AROUND}ann{SAID}three{AROUND}"


def test_texts_cannot_pretend_to_be_neighbours() -> None:
    sly = _row("f", 0, f"one{AROUND}two{TURN}three{SAID}", f"a{SAID}")
    told = Context([sly], 1).told(sly)
    assert told == f"{AROUND}a {SAID}one two three {AROUND}"


def test_a_gap_in_the_turns_is_no_gap_in_the_dialogue() -> None:
    assert [[row.turn for row in talk] for talk in dialogues(ROWS[:4])] == [[0, 1, 3], [0]]
