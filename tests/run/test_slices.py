"""Scores of slices: who is in which, what is too small, and what the scores are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
from answered import CLIPS, SPECS, made
from sklearn import metrics as reference

from mien.data.batch import RowDataset
from mien.data.manifest import Manifest, infer_tasks
from mien.run import answers, score
from mien.run.infer import Answers, Predictions, Value
from mien.run.slices import FEW_CLIPS, FEW_GROUPS, MOST, slices
from mien.types import Problem, TaskSpec, Unit

ONE = TaskSpec(name="one", problem=Problem.ONE_OF_N, labels=("x", "y", "z"))
WANTED = ("war", "uar")


def answered(clips: int, speakers: int, **groups: list[Value]) -> Predictions:
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, clips)
    scores = random.dirichlet(np.ones(3), clips)
    scores[np.arange(clips), truth] += random.random(clips)
    return Predictions(
        ids=[f"c{i}" for i in range(clips)],
        group=[f"p{i % speakers}" for i in range(clips)],
        tasks={"one": Answers(list(scores[:, None]), list(truth[:, None].astype(float)))},
        groups={name: [[value] for value in values] for name, values in groups.items()},
    )


def cut(found: Predictions) -> dict[str, list[dict[str, Any]]]:
    made = slices(found, "one", {"one": ONE}, WANTED)
    return {name: field["slices"] for name, field in made.items()}


def test_each_slice_has_the_scores_of_its_own_clips() -> None:
    sexes: list[Value] = ["female" if i % 3 else "male" for i in range(90)]
    found = answered(90, 30, sex=sexes)
    truth = np.concatenate(found.tasks["one"].targets)
    said = np.concatenate(found.tasks["one"].scores).argmax(1)
    parts = cut(found)["sex"]
    assert [part["value"] for part in parts] == ["female", "male"]  # the larger one first
    for part in parts:
        inside = np.array(sexes) == part["value"]
        assert part["clips"] == part["answers"] == inside.sum()
        assert part["scores"]["war"] == pytest.approx((truth == said)[inside].mean())
        uar = reference.balanced_accuracy_score(truth[inside], said[inside])
        assert part["scores"]["uar"] == pytest.approx(uar)
        for drawn in part["intervals"]["uar"].values():
            assert drawn["low"] <= drawn["value"] <= drawn["high"]
            assert drawn["value"] == part["scores"]["uar"]


def test_few_clips_get_no_number_and_few_groups_no_interval_over_groups() -> None:
    rooms: list[Value] = []
    rooms += ["few"] * (FEW_CLIPS - 1) + ["some"] * FEW_CLIPS + ["many"] * 60
    found = answered(len(rooms), 100, room=rooms)
    found.group = [f"p{i % (FEW_GROUPS - 1)}" for i in range(len(rooms))]
    found.group[-30:] = [f"q{i}" for i in range(30)]
    many, some, few = cut(found)["room"]
    assert few == {
        "value": "few",
        "answers": FEW_CLIPS - 1,
        "clips": FEW_CLIPS - 1,
        "groups": FEW_GROUPS - 1,
        "classes": few["classes"],
        "too_small": True,
    }
    assert (some["clips"], some["intervals"]["war"].keys()) == (FEW_CLIPS, {"clips"})
    assert many["intervals"]["war"].keys() == {"clips", "groups"}


def test_many_numbers_are_cut_into_quarters_and_few_stay() -> None:
    ages: list[Value] = [20.0 + i for i in range(80)]
    ages[0] = None
    takes: list[Value] = [float(1 + i % 2) for i in range(80)]
    found = cut(answered(80, 40, age=ages, take=takes))
    assert [part["value"] for part in found["take"]] == ["1", "2"]
    *known, unknown = found["age"]
    assert sum(part["clips"] for part in known) == 79
    assert {part["clips"] for part in known} <= {19, 20}
    assert sorted(part["value"] for part in known)[0] == "21 to 40"
    assert (unknown["value"], unknown["clips"], unknown["too_small"]) == (None, 1, True)


def test_a_field_that_is_the_same_everywhere_is_no_slice_and_many_are_cut_off() -> None:
    clips = 2 * MOST + 10
    found = answered(clips, 5, same=["x"] * clips, each=[f"v{i // 2}" for i in range(clips)])
    fields = slices(found, "one", {"one": ONE}, WANTED)
    assert fields.keys() == {"each"}
    assert len(fields["each"]["slices"]) == MOST
    assert fields["each"]["left_out"] == 5


def test_frames_count_by_their_own_clip_and_unknown_ones_nowhere() -> None:
    found = made()
    found.groups = {"half": [["a" if i < CLIPS // 2 else "b"] for i in range(CLIPS)]}
    body = score.report(found, SPECS)["affect"]
    halves = body["slices"]["half"]["slices"]
    assert sum(part["answers"] for part in halves) == body["answers"]
    assert sum(part["clips"] for part in halves) == body["clips"]
    own = found.tasks["affect"]
    for part, ends in zip(halves, ((0, 20), (20, 40)), strict=True):
        targets, scores = (np.concatenate(x[slice(*ends)]) for x in (own.targets, own.scores))
        kept = ~np.isnan(targets).all(1)
        assert part["answers"] == kept.sum()
        error = np.abs(targets - scores)[kept].mean()
        assert part["scores"]["mae"] == pytest.approx(error)


def test_rows_of_a_dialogue_bring_a_value_each(tmp_path: Path) -> None:
    manifest = Manifest.read(corpora.dialogues(tmp_path))
    specs = infer_tasks(manifest, {})
    rows = RowDataset(manifest.rows, manifest, {"words": "words"}, specs, Unit.DIALOGUE)
    speakers = rows.groups()["speaker"]
    assert speakers[0] == ["d0-0", "d0-1"]
    assert [len(s) for s in speakers] == [2 + talk % 4 for talk in range(20)]
    random = np.random.default_rng(0)
    raw = [rows.targets(i)["emotion"].astype(float) for i in range(20)]
    targets = [np.where(t < 0, np.nan, t) for t in raw]
    found = Predictions(
        ids=[f"d{i}" for i in range(20)],
        group=[f"d{i}" for i in range(20)],
        tasks={"emotion": Answers([random.random((len(t), 3)) for t in targets], targets)},
        groups={"turn": [[f"{i % 2}" for i in range(len(t))] for t in targets]},
    )
    answers.write(tmp_path / "p.parquet", found, fold=None)
    again, _ = answers.read(tmp_path / "p.parquet", specs)
    assert again.groups == found.groups
    first, second = slices(again, "emotion", specs, ("war",))["turn"]["slices"]
    even = np.concatenate([t[::2] for t in targets])
    assert first["answers"] == (~np.isnan(even)).sum() > second["answers"]


def test_the_table_names_slices_or_the_ends_of_many() -> None:
    groups: dict[str, list[Value]] = {
        "sex": ["f" if i % 3 else "m" for i in range(300)],
        "speaker": [f"p{i % 20}" for i in range(300)],
        "place": ["here" if i < 296 else "there" for i in range(300)],
    }
    found = answered(300, 20, **groups)
    text = score.table({"part": "test", "tasks": score.report(found, {"one": ONE})})
    parts = {part["value"]: part["scores"]["uar"] for part in cut(found)["sex"]}
    assert f"m {parts['m']:.2f}" in text
    assert "by speaker: uar 20 of them, from p" in text
    assert "; 1 with too few clips for a score" in text
