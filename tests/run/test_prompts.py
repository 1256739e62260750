"""What a model is asked about a clip, and what it may answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from servers import described

from mien.data.glimpse import Glimpse
from mien.errors import ConfigError
from mien.language.talk import Picture, Sound
from mien.run import prompts
from mien.run.prompts import Answer, Prompt

PICTURES = Glimpse(jpegs=(b"a", b"b"), times=(2.5, 3.5), size=(200, 100), span=(2.0, 4.0))
BOTH = Glimpse(jpegs=(b"a",), times=(1.0,), size=(9, 9), wav=b"w", span=(0.0, 2.0))
OWN = Path(prompts.__file__).with_name("describe.toml")


def test_pictures_come_in_order_with_their_moments() -> None:
    system, user = Prompt.read().messages(PICTURES)
    assert (system.role, user.role) == ("system", "user")
    said = user.parts
    assert said[1:3] == (Picture(b"a"), Picture(b"b"))
    assert "2 pictures" in str(said[0])
    assert "0.5, 1.5 s" in str(said[0])  # on the clip's clock, not the recording's
    assert "You are given no sound" in str(said[-1])
    assert all(name in str(said[-1]) for name in get_args(prompts.Name))
    assert "{" not in "".join(part for part in said if isinstance(part, str))


def test_sound_is_told_where_there_is_some() -> None:
    _, user = Prompt.read().messages(BOTH)
    assert Sound(b"w") in user.parts
    assert "no sound" not in str(user.parts[-1])
    _, heard = Prompt.read().messages(Glimpse(wav=b"w", span=(0.0, 1.0)))
    assert "no picture" in str(heard.parts[-1])


def test_one_of_several_people_is_pointed_at() -> None:
    _, user = Prompt.read().messages(PICTURES, box=(20, 30, 60, 40))
    (where,) = [part for part in user.parts if isinstance(part, str) and "middle is" in part]
    assert "25 % from the left and 50 % from the top" in where
    assert "30 % of the width" in where


def test_the_hash_is_that_of_what_is_asked(tmp_path: Path) -> None:
    own = Prompt.read()
    text = OWN.read_text(encoding="utf-8")
    (tmp_path / "p.toml").write_text("# another comment\n" + text, encoding="utf-8")
    assert Prompt.read(tmp_path / "p.toml").digest == own.digest
    (tmp_path / "p.toml").write_text(text.replace("likeliest", "best"), encoding="utf-8")
    assert Prompt.read(tmp_path / "p.toml").digest != own.digest


@pytest.mark.parametrize("text", ["name = 3", "x", "name = 'a'\nsurprise = 'b'", "\x00"])
def test_what_is_no_prompt(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(ConfigError, match="this is no prompt"):
        Prompt.read(tmp_path / "p.toml")


def answer(sees: bool = True, hears: bool = False, **changes: Any) -> Answer:
    values = described(sound=hears, **changes)
    return Answer.model_validate(values, context={"visual": sees, "audio": hears})


def test_captions_are_kept_apart_from_the_way_to_them() -> None:
    found = answer(hears=True, visual_caption=" two \n blanks ")
    assert found.visual_caption == "two blanks"
    assert not any("caption" in name for name in found.reasoning())
    assert found.reasoning()["emotions"][0]["name"] == "happy"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"joint_caption": "word " * 61}, "has 61"),
        ({"joint_caption": "x" * 701}, "at most 60 words"),
        ({"joint_caption": " "}, "is empty"),
        ({"visual_caption": ""}, "is empty"),
        ({"audio_caption": "heard, though there was nothing"}, "nothing of this was given"),
        ({"emotions": []}, "at least 1"),
        ({"agreement": "perhaps"}, "agree"),
        ({"more": 1}, "Extra"),
    ],
)
def test_answers_that_do_not_fit(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        answer(**changes)


@pytest.mark.parametrize(
    "feeling",
    [
        {"name": "joyous", "intensity": 0.5, "uncertainty": 0.5, "cues": ["a"]},
        {"name": "happy", "intensity": 1.5, "uncertainty": 0.5, "cues": ["a"]},
        {"name": "happy", "intensity": 0.5, "uncertainty": 0.5, "cues": []},
    ],
)
def test_emotions_are_known_graded_and_founded(feeling: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        answer(emotions=[feeling])
