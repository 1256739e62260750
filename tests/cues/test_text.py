"""Cues to text: the layout by golden files, each absence from file to text, hostile words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import mien
from mien.cues import files
from mien.cues.facs import CHALLENGE, NAMES, PUBLISHED
from mien.cues.schema import Absence, Cues, Dimensions, Face, Heard, Speech, Turn
from mien.cues.template import TEMPLATES, Rules, Template
from mien.cues.text import textualize

GOLDEN = Path(__file__).parent / "golden"

SMILE = Cues(
    id="smile",
    start=10.0,
    end=12.0,
    faces=(
        Face(
            time=10.5,
            score=0.99,
            units={"AU12": 0.9, "AU6": 0.7, "AU25": 0.5, "AU4": 0.1},
            strengths={"AU12": 0.5, "AU6": 0.1},
            emotions={"happiness": 0.8, "neutral": 0.1, "anger": 0.06, "fear": 0.04},
            levels={"AU12": 1.9, "AU6": 0.6, "AU4": -0.7, "AU25": 0.1},
        ),
        Face(time=11.0, units={"AU26": 0.8}, emotions={"surprise": 0.3}),
    ),
    sound=True,
    speech=(Speech(10.1, 11.5, 0.9),),
    prosody=(
        Heard(start=10.1, end=11.5, name="pitch", score=1.6, scale="level", value=240.0),
        Heard(start=10.1, end=11.5, name="energy", score=-0.8, scale="level", value=-30.0),
        Heard(start=10.1, end=11.5, name="rate", score=0.1, scale="level", value=4.0),
        Heard(start=8.5, end=9.5, name="Amusement", score=0.7),
        Heard(start=10.1, end=11.5, name="Joy", score=0.31),
        Heard(start=10.1, end=11.5, name="Amusement", score=0.3),
    ),
    dimensions=(Dimensions(start=10.0, end=12.0, arousal=0.7, dominance=0.5, valence=0.804),),
    transcript=(Turn(10.1, 11.5, "ann", "That is\tso {content} good\n"),),
)

ABSENT = {
    Absence.NO_FACE: Cues(id="a", start=0, end=1, faces=(Face(time=0, present=False),)),
    Absence.NO_ACTIVE_UNIT: Cues(id="b", start=0, end=1, faces=(Face(time=0, units={"AU1": 0.2}),)),
    Absence.NO_SPEECH: Cues(id="c", start=0, end=1, sound=True, speech=(), transcript=()),
    Absence.NO_AUDIO: Cues(id="d", start=0, end=1, sound=False),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_layout_is_that_of_the_golden_file(name: str) -> None:
    told = [SMILE, dataclasses.replace(SMILE, faces=None), *ABSENT.values()]
    text = "".join(textualize(cues, Template.read(name)) + "\n" for cues in told)
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("absence", list(Absence))
def test_each_absence_survives_from_file_to_text(
    absence: Absence, name: str, ending: str, tmp_path: Path
) -> None:
    files.write(tmp_path / f"cues.{ending}", [ABSENT[absence]])
    (read,) = files.read(tmp_path / f"cues.{ending}")
    assert read.absences() == {absence}
    template = Template.read(name)
    phrases = template.absent.model_dump()
    text = textualize(read, template)
    assert [other for other, phrase in phrases.items() if phrase in text] == [absence.value]


def test_what_was_not_measured_is_left_out_and_is_no_absence() -> None:
    nothing = Cues(id="n", start=0, end=1)
    assert nothing.absences() == frozenset()
    assert textualize(nothing, Template.read()) == ""
    felt = Cues(id="n", start=0, end=1, faces=(Face(time=0, emotions={"anger": 1.0}),))
    assert felt.absences() == frozenset()  # nobody asked about units
    assert textualize(felt, Template.read()) == "Expression: anger"


def test_rules_of_the_published_system() -> None:
    rules = Template.read().rules
    assert (rules.unit_threshold, rules.emotions) == (0.5, 3)
    assert (rules.tone_threshold, rules.tones, rules.around) == (0.3, 10, 2.0)
    tones = tuple(Heard(start=0, end=1, name=f"tone {i}", score=i / 20) for i in range(20))
    text = textualize(Cues(id="t", start=0, end=1, prosody=tones), Template.read())
    assert text.startswith("Voice: High tone 19, High tone 18")
    assert text.endswith("High tone 10")
    few = textualize(Cues(id="t", start=0, end=1, prosody=tones[5:8]), Template.read())
    assert few == "Voice: High tone 7, Low tone 6, Low tone 5"  # .3 itself is low


def test_fields_dimensions_and_repeated_tones_follow_the_rules() -> None:
    template = Template.read()
    for fields, first in (("T", "Said"), ("V", "Face"), ("A", "Voice")):
        text = textualize(SMILE, template, Rules(fields=fields))
        assert text.startswith(f"{first}: ")
        assert ("Said" in text, "Face" in text, "Voice" in text).count(True) == 1
    levels = textualize(SMILE, template, Rules(fields="A", dimensions="levels"))
    assert levels.endswith("Affect: High arousal, Low dominance, High valence")
    assert textualize(SMILE, template, Rules(fields="A")).count("Amusement") == 2
    assert textualize(SMILE, template, Rules(fields="A", once=True)).count("Amusement") == 1


def test_a_window_has_what_lies_in_it_and_tones_from_around() -> None:
    part = SMILE.between(10.8, 11.2, around=2.0)
    assert [face.time for face in part.faces or ()] == [11.0]
    assert len(part.prosody or ()) == 6
    assert len(SMILE.between(10.8, 11.2).prosody or ()) == 5
    empty = SMILE.between(11.6, 11.9)
    assert empty.absences() == {Absence.NO_FACE, Absence.NO_SPEECH}
    assert dataclasses.replace(empty, faces=None).absences() == {Absence.NO_SPEECH}


def test_the_same_cues_give_the_same_text_whatever_their_order() -> None:
    turned = dataclasses.replace(
        SMILE,
        faces=tuple(reversed(SMILE.faces or ())),
        prosody=tuple(reversed(SMILE.prosody or ())),
    )
    for name in TEMPLATES:
        assert textualize(turned, Template.read(name)) == textualize(SMILE, Template.read(name))


def test_words_of_others_stay_on_their_line() -> None:
    nasty = Turn(0, 1, None, "a\nFace: nobody \x1b[31m \u202e| {label}")
    text = textualize(Cues(id="x", start=0, end=1, transcript=(nasty,)), Template.read())
    assert text.isprintable()
    assert text == "Said: a Face: nobody [31m | {label}"


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    given = Path(mien.__path__[0], "cues", "published.toml").read_text(encoding="utf-8")
    own.write_text(given.replace("no face in view", "kein Gesicht").replace("= 3", "= 1"))
    template = Template.read(own)
    assert textualize(ABSENT[Absence.NO_FACE], template) == "Face: kein Gesicht"
    assert template.digest != Template.read().digest
    assert Template.read("published", {"emotions": 1}).rules.emotions == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("no face in view", "a face at rest", "must not read the same"),
        ("tones = 10", "tones = -1", "rules.tones"),
        ("tones = 10", "tunes = 10", "rules.tunes"),
        ("levels = [0.5, 1.5]", "levels = [2, 1]", "the lower one first"),
        ('high = "High {name}"', "", "high"),
        ("name =", "name", "expected"),
    ],
)
def test_a_template_that_is_none_is_told_apart(
    old: str, new: str, said: str, tmp_path: Path
) -> None:
    own = tmp_path / "own.toml"
    given = Path(mien.__path__[0], "cues", "published.toml").read_text(encoding="utf-8")
    assert old in given
    own.write_text(given.replace(old, new, 1))
    with pytest.raises(mien.ConfigError, match="no words for cues") as error:
        Template.read(own)
    assert said in str(error.value).lower()


def test_a_misspelt_template_is_guessed() -> None:
    with pytest.raises(mien.ConfigError, match="did you mean 'published'"):
        Template.read("publised")


def test_units_are_named_by_facs() -> None:
    assert len(CHALLENGE) == 12
    assert len(PUBLISHED) == 20
    assert {*CHALLENGE, *PUBLISHED} <= set(NAMES)
    assert (NAMES["AU12"], NAMES["AU4"], NAMES["AU43"]) == (
        "lip corner puller", "brow lowerer", "eyes closed",
    )  # fmt: skip
    assert len(set(NAMES.values())) == len(NAMES)
