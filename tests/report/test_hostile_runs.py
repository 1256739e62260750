"""Run folders of strangers: a clear error, or a text that is shown and does nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import kept_runs
import pytest
from pages import Read

from mien.errors import MienError, RunError
from mien.report import folders
from mien.report.runs import report
from mien.run.infer import Predictions
from mien.types import Problem, TaskSpec

EVIL = (
    '<script>alert(1)</script>"\' onload=alert(1) x="',
    "</style></title></svg></table><img src=x onerror=alert(1)>",
    "\u202egnp.exe\u202c \u2066left\u2069 a\x00b\x1b[31md\x7fe\r\nf\u2028g\ud800i",
    "<" * 400,
)
WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    math.nan,
    math.inf,
    10**400,
    "",
    "text",
    EVIL[0],
    [],
    [[[]]],
    [1, None, "x", math.nan],
    {},
    {"": {"a": []}},
    {"part": 7, "ids": "x", "epoch": "1", "score": [], "train": "many", "mien": 3},
    ["x"] * 5000,
    {str(i): i for i in range(5000)},
)


def few(**groups: Any) -> Predictions:
    return kept_runs.answered(12, 3, **groups)


def shown(place: Path) -> Read:
    page = Read(report([place]).path.read_text(encoding="utf-8"))
    assert not page.slips
    assert not page.all("script")
    return page


def rewritten(place: Path, file: str, change: Callable[[Any], Any]) -> None:
    path = place / file
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


# -- names -----------------------------------------------------------------------------------------


def named(place: Path, text: str) -> Path:
    """A run in which every name and text is this one, wherever there is one."""
    spec = TaskSpec(
        name=f"{text}t", problem=Problem.ONE_OF_N, labels=tuple(f"{i}{text}" for i in "abc")
    )
    units = replace(spec, name=f"{text}u", problem=Problem.MANY_OF_N)
    found = kept_runs.answered(30, 5, spec=spec)
    found.groups = {f"{text}g": [[f"{text}{i % 2}"] for i in range(30)]}
    own = found.tasks[spec.name]
    found.tasks[units.name] = type(own)(own.scores, [(s > 0.5).astype(float) for s in own.scores])
    found.ids = [f"{text}{name}" for name in found.ids]
    found.group = [f"{text}{name}" for name in found.group]
    lines = kept_runs.log(stage=f"{text}s", more={f"held_out/{text}": 0.5, f"{text}l": 1.0})
    return kept_runs.run(
        place,
        found,
        {spec.name: spec, units.name: units},
        lines=lines,
        part=text,
        config=json.dumps({f"{text}k": {f"{text}j": text}}),
        system=text,
        preset=text,
        data=text,
        licence=text,
        modalities=[text, text],
        versions={text: text},
        notes=[text],
        selection={"part": text, "ids": [text], "epoch": 2},
    )


@pytest.mark.parametrize("text", EVIL, ids=range(len(EVIL)))
def test_whatever_names_say_the_page_has_the_same_elements(tmp_path: Path, text: str) -> None:
    # Surrogates cannot stand in Parquet, so nobody can bring one in there.
    clean = text.replace("\ud800", "")
    plain, evil = shown(named(tmp_path / "run", "plain")), shown(named(tmp_path / "evil", clean))
    assert [tag for tag, _ in evil.elements] == [tag for tag, _ in plain.elements]
    for one, two in zip(plain.elements, evil.elements, strict=True):
        assert one[1].keys() == two[1].keys()
    assert not any("\u202e" in said or "\x1b" in said for _, said in evil.texts)


def test_a_folders_name_is_escaped_too(tmp_path: Path) -> None:
    place = kept_runs.run(tmp_path / "<img src=x>&", few())
    page = shown(place)
    assert "<img src=x>&" in page.text
    assert not page.all("img")


# -- cards, logs, families -------------------------------------------------------------------------


def test_a_card_of_other_types_is_read_as_far_as_it_is_right(tmp_path: Path) -> None:
    place = kept_runs.run(tmp_path / "run", few())
    (place / "predictions.parquet").unlink()  # answers are none of its business here
    right = json.loads((place / "card.json").read_text())
    opened = folders.opened(place, "run")
    for key in right:
        for value in WRONG:
            card = right | {key: value}
            (place / "card.json").write_text(json.dumps(card))
            try:
                found = folders.opened(place, "run")
            except MienError:
                assert key in ("seed", "finished")
                continue
            assert found.members == opened.members
    (place / "card.json").write_text(json.dumps(dict.fromkeys(right, WRONG[14]) | {"seed": 1}))
    assert "not said" in shown(place).text


@pytest.mark.parametrize("value", WRONG, ids=range(len(WRONG)))
def test_every_entry_of_a_card_may_be_wrong_at_once(tmp_path: Path, value: Any) -> None:
    place = kept_runs.run(tmp_path / "run", few())
    rewritten(
        place, "card.json", lambda card: dict.fromkeys(card, value) | {"seed": 0, "finished": True}
    )
    shown(place)
    summary = json.loads((place / "report.json").read_text())
    said = value[:300] if isinstance(value, str) and value else None
    assert summary["runs"][0]["system"] == summary["runs"][0]["licence"] == said


def test_lines_of_a_log_may_be_anything(tmp_path: Path) -> None:
    place = kept_runs.run(tmp_path / "run", few())
    good = kept_runs.log()[1:]
    odd = [json.dumps({**good[0], "loss": v, "lr": v, "held_out/emotion/uar": v}) for v in WRONG]
    odd += [json.dumps({**good[1], key: v}) for v in WRONG for key in ("epoch", "stage", "step")]
    odd += ["", "null", "[]", "7", '{"stage": ', "[" * 100_000, '{"a": ' * 100_000, "\x00"]
    whole = "\n".join([*odd, *map(json.dumps, good)]).encode() + b'\xff\xfe\n{"half'
    (place / "log.jsonl").write_bytes(whole)
    page = shown(place)
    assert "Learning curves" in page.text
    curves = json.loads((place / "report.json").read_text())["runs"][0]["curves"]
    for curve in curves:
        for values in [*curve["train"].values(), *curve["held_out"].values()]:
            assert all(v is None or math.isfinite(v) for v in values)


@pytest.mark.parametrize(
    "members",
    [None, [], "seed-0", [7], [None], ["../other"], ["/etc"], ["nothing"], ["a/../../other"]],
    ids=str,
)
def test_a_family_names_runs_in_itself_only(tmp_path: Path, members: Any) -> None:
    kept_runs.run(tmp_path / "other", few())
    place = tmp_path / "family"
    kept_runs.run(place / "seed-0", few())
    (place / "family.json").write_text(json.dumps({"members": members}))
    with pytest.raises(RunError, match=r"family\.json"):
        report([place])


@pytest.mark.parametrize("file", ["card.json", "labels.json", "metrics.json", "family.json"])
@pytest.mark.parametrize("content", ["", "null", "[1]", "{", "[" * 100_000, '{"a": NaN}', "\xff"])
def test_broken_files_are_one_error_or_count_for_nothing(
    tmp_path: Path, file: str, content: str
) -> None:
    place = kept_runs.run(tmp_path / "run", few())
    (place / file).write_text(content, encoding="latin-1")
    harmless = file == "metrics.json" and content in ("null", "[1]", '{"a": NaN}')
    if harmless:
        shown(place)
        return
    with pytest.raises(MienError) as error:
        report([place])
    assert str(place) in str(error.value)
    assert not (place / "report.html").exists()


def test_labels_that_do_not_fit_the_answers_are_one_error(tmp_path: Path) -> None:
    place = kept_runs.run(tmp_path / "run", few())
    for change in (
        lambda listed: [{**listed[0], "labels": ["a", "b"]}],
        lambda listed: [{**listed[0], "name": "other"}],
        lambda listed: [{**listed[0], "problem": "regression"}],
        lambda listed: [{**listed[0], "labels": listed[0]["labels"][:1] * 2}],
        lambda listed: listed * 2,
    ):
        right = (place / "labels.json").read_text()
        rewritten(place, "labels.json", change)
        with pytest.raises(MienError):
            report([place])
        (place / "labels.json").write_text(right)


def test_answers_that_are_no_numbers_are_one_error(tmp_path: Path) -> None:
    for name, value in (("nan", math.nan), ("inf", math.inf)):
        found = few()
        found.tasks["emotion"].scores[3][:] = value
        with pytest.raises(MienError, match="not a finite number"):
            report([kept_runs.run(tmp_path / name, found)])
    found = few()
    found.tasks["emotion"].targets[3][:] = 17
    with pytest.raises(MienError, match="class index 17"):
        report([kept_runs.run(tmp_path / "class", found)])


def test_a_file_without_measure_is_not_read(tmp_path: Path) -> None:
    place = kept_runs.run(tmp_path / "run", few())
    with (place / "log.jsonl").open("wb") as file:
        file.truncate(2**30)  # sparse: a gigabyte that takes no room
    with pytest.raises(RunError, match=r"log\.jsonl has 1,073,741,824 bytes"):
        report([place])
