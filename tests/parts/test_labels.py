"""Label sets as data, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mien import importers
from mien.errors import ConfigError
from mien.importers import cmu_mosei
from mien.parts import labels
from mien.tasks import classification, conversation


def _imported(name: str) -> tuple[str, ...]:
    task = importers.named(name).task
    assert task is not None
    return task.labels


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("sentiment7", 7),
        ("sentiment3", 3),
        ("sentiment2", 2),
        ("emotion6_mosei", 6),
        ("iemocap4", 4),
        ("iemocap6", 6),
        ("meld7", 7),
        ("meld7_adjectives", 7),
        ("meld7_paraphrased", 7),
    ],
)
def test_known_sets_are_there(name: str, count: int) -> None:
    found = labels.named(name)
    assert len(found.names) == count
    if name.startswith("sentiment"):
        assert (found.values[0], found.values[-1]) == (-3, 3)
        assert found == found.ascending()
    said = labels.sentences(found)
    assert len(said) == count
    assert all(sentence.startswith("the speaker feels ") for some in said for sentence in some)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("iemocap4", classification.IEMOCAP.labels),
        ("iemocap4", _imported("iemocap")),
        ("iemocap6", conversation.IEMOCAP_DIALOGUES.labels),
        ("iemocap6", _imported("iemocap-6")),
        ("meld7", conversation.MELD.labels),
        ("meld7", _imported("meld")),
        ("meld7_adjectives", conversation.MELD.labels),
        ("meld7_paraphrased", conversation.MELD.labels),
        ("emotion6_mosei", cmu_mosei.EMOTIONS),
    ],
)
def test_a_set_has_the_names_that_its_corpus_has(name: str, published: tuple[str, ...]) -> None:
    assert labels.named(name).names == published


def test_iemocaps_adjectives_are_read_as_nouns() -> None:
    said = labels.sentences(labels.named("iemocap6").only(["excited", "sad"]))
    assert said == (("the speaker feels excitement",), ("the speaker feels sadness",))


def test_the_paraphrases_are_of_the_same_labels_in_no_same_word() -> None:
    plain, other = labels.named("meld7"), labels.named("meld7_paraphrased")
    assert plain.names == other.names
    assert not {t for some in plain.labels.values() for t in some} & {
        t for some in other.labels.values() for t in some
    }


def test_every_text_is_put_into_every_template() -> None:
    given = labels.named({"labels": {"joy": ["happy", "glad"], "none": "nothing"}})
    assert labels.sentences(given, ("I am {label}", "so {label}!")) == (
        ("I am happy", "I am glad", "so happy!", "so glad!"),
        ("I am nothing", "so nothing!"),
    )
    own = labels.named({"labels": ["Very_Happy"], "templates": ["<{label}>"]})
    assert labels.sentences(own) == (("<very happy>",),)


@pytest.mark.parametrize("ending", ["yaml", "toml"])
def test_a_set_is_read_from_a_file(tmp_path: Path, ending: str) -> None:
    text = {
        "yaml": "labels: {joy: [happy], anger: angry}\nvalues: [1, -1]\ntask: mood\n",
        "toml": 'values = [1, -1]\ntask = "mood"\n[labels]\njoy = ["happy"]\nanger = "angry"\n',
    }
    path = tmp_path / f"set.{ending}"
    path.write_text(text[ending])
    found = labels.named(path)
    assert found.labels == {"joy": ("happy",), "anger": ("angry",)}
    assert found.task == "mood"
    assert found.ascending().names == ("anger", "joy")
    assert found.ascending().values == (-1, 1)
    assert found.only(["anger"]).names == ("anger",)
    with pytest.raises(ConfigError, match=r"no 'angr'.*did you mean 'anger'"):
        found.only(["angr"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"labels": []}, "labels"),
        ({"labels": ["a", "a"]}, "twice"),
        ({"labels": {"a": []}}, "nothing stands for the label 'a'"),
        ({"labels": {"a": " "}}, "nothing stands for"),
        ({"labels": {"a": "b" * 400}}, "longer than 300"),
        ({"labels": ["a", "b"], "values": [1]}, "2 labels have 1 values"),
        ({"labels": ["a", "b"], "values": [1, 1]}, "same value"),
        ({"labels": ["a"], "templates": ["no place"]}, "has {label} in it once"),
        ({"labels": ["a"], "templates": ["{label} {label}"]}, "has {label} in it once"),
        ({"labels": ["a"], "colour": 1}, "colour"),
        ({"labels": "a"}, "labels"),
        ({}, "labels"),
    ],
)
def test_a_set_that_says_nothing_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        labels.named(values)
    assert words in str(caught.value)


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'meld7'"):
        labels.named("mled7")
    with pytest.raises(ConfigError, match="cannot read this label set"):
        labels.named(tmp_path / "absent.yaml")
    for name, text in {"bad.yaml": "{", "list.yaml": "- 1", "bad.toml": "="}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError) as caught:
            labels.named(tmp_path / name)
        assert name in str(caught.value.where)
    with pytest.raises(ConfigError, match="did you mean 'default'"):
        labels.templates("defualt")
