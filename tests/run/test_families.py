"""Scores of runs: one alone, folds and seeds together, and what is said of how they came about."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
from sklearn import metrics as reference

import mien
from mien.errors import DataError, RunError
from mien.run import answers, folder, score
from mien.run.train import train


@dataclass(frozen=True)
class Made:
    """A run or a family of them, and what it learned from."""

    data: Path
    out: Path
    metrics: dict[str, Any]


SHORT = ("epochs=1", "save_seconds=60")


def _rewritten(home: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The corpus of clips with every row changed."""
    path = corpora.clips(home)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _train(data: Path, out: Path, *words: str, **more: Any) -> Made:
    metrics = train("toy-clip", data=data, out=out, overrides=[*SHORT, *words], quiet=True, **more)
    return Made(data, out, metrics)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of which no row is in any part."""
    return _rewritten(tmp_path_factory.mktemp("whole"), lambda row: row.pop("split"))


@pytest.fixture(scope="module")
def family(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three folds made for the data."""
    out = tmp_path_factory.mktemp("family") / "runs"
    return _train(whole, out, "data.folds=3", folds=True)


def _members(made: Made) -> list[Path]:
    return [
        made.out / name for name in json.loads((made.out / "family.json").read_text())["members"]
    ]


def test_folds_keep_whole_speakers_apart_and_test_every_clip_once(family: Made) -> None:
    members = _members(family)
    assert [member.name for member in members] == ["fold-0", "fold-1", "fold-2"]
    speakers: dict[str, set[str]] = defaultdict(set)
    tested: list[str] = []
    for member in members:
        found, folds = answers.read(member / "predictions.parquet", {})
        tested += found.ids
        assert {f"fold-{fold}" for fold in folds} == {member.name}
        for speaker in found.group:
            speakers[speaker].add(member.name)
        card = json.loads((member / "card.json").read_text())
        rows = {row.id: row.speaker for row in mien.load(member).read(family.data).rows}
        held = {rows[name] for name in card["selection"]["ids"]}
        assert held
        assert not held & set(found.group), "selection looks at no speaker of the test fold"
        assert sum(card["sizes"].values()) == 48
    assert all(len(places) == 1 for places in speakers.values())
    assert sorted(tested) == sorted(f"clip{i}" for i in range(48))


def test_a_family_has_the_mean_over_folds_and_the_pooled_score(family: Made) -> None:
    body = family.metrics["tasks"]["emotion"]
    specs = folder.read_labels(_members(family)[0])
    uars, truth, said = [], [], []
    for member in _members(family):
        uars.append(_own_scores(member)["uar"])
        found, _ = answers.read(member / "predictions.parquet", specs)
        truth += [int(t[0]) for t in found.tasks["emotion"].targets]
        said += [int(s.argmax()) for s in found.tasks["emotion"].scores]
    folds = body["folds"]["uar"]
    assert folds["mean"] == pytest.approx(np.mean(uars))
    assert folds["std"] == pytest.approx(np.std(uars, ddof=1))
    assert list(folds["folds"].values()) == pytest.approx(uars)
    pooled = reference.balanced_accuracy_score(truth, said)
    assert body["scores"]["uar"] == folds["pooled"] == pytest.approx(pooled)
    assert family.metrics["part"] == "test"
    assert family.metrics["folds"] == [0, 1, 2]
    assert f"folds {folds['mean']:.3f} ± {folds['std']:.3f}" in score.table(family.metrics)


def _own_scores(run: Path) -> dict[str, float]:
    """The scores that a run wrote down."""
    scores: dict[str, float] = score.evaluate(run)["tasks"]["emotion"]["scores"]
    return scores


def test_a_run_of_a_made_fold_is_scored_on_the_fold_it_left_out(family: Made) -> None:
    for number, member in enumerate(_members(family)):
        again = score.evaluate(member, data=family.data)
        assert (again["part"], again["notes"]) == (f"fold {number}", [])
        assert again["tasks"]["emotion"]["scores"] == pytest.approx(_own_scores(member))


def test_a_family_is_no_run_and_names_one(family: Made) -> None:
    with pytest.raises(RunError, match="this folder holds 3 runs") as error:
        mien.load(family.out)
    assert error.value.fix == f"{family.out}/fold-0"
    assert score.evaluate(family.out) == family.metrics
    # The same call again finds everything done.
    assert _train(family.data, family.out, "data.folds=3", folds=True).metrics == family.metrics


def test_folds_need_a_manifest_with_folds_or_a_number(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the manifest names no folds") as error:
        _train(whole, tmp_path / "run", folds=True)
    assert "data.folds=5" in str(error.value.fix)


def test_seeds_give_a_mean_and_a_deviation(tmp_path: Path) -> None:
    made = _train(corpora.clips(tmp_path), tmp_path / "runs", seeds=[3, 5, 3])
    assert [member.name for member in _members(made)] == ["seed-3", "seed-5"]
    uars = [_own_scores(member)["uar"] for member in _members(made)]
    over = made.metrics["over_seeds"]["emotion"]["uar"]
    assert over["mean"] == pytest.approx(np.mean(uars))
    assert over["std"] == pytest.approx(np.std(uars, ddof=1))
    assert made.metrics["by_seed"]["5"]["emotion"]["scores"]["uar"] == pytest.approx(uars[1])
    assert "emotion over 2 seeds" in score.table(made.metrics)


def test_without_a_test_part_the_table_says_what_was_scored(whole: Path, tmp_path: Path) -> None:
    single = _train(whole, tmp_path / "one")
    several = _train(whole, tmp_path / "two", seeds=[0, 1])
    assert single.metrics["part"] == several.metrics["part"] == "held_out"
    assert "held-out part, which also chose the epoch" in score.table(several.metrics)


def test_rows_that_were_trained_on_are_never_scored_as_if_held_out(
    whole: Path, tmp_path: Path
) -> None:
    made = _train(whole, tmp_path / "run", "select=last")
    assert made.metrics["tasks"] == {}
    assert not (made.out / "predictions.parquet").exists()
    card = json.loads((made.out / "card.json").read_text())
    assert card["sizes"] == {"train": 48, "held_out": 0, "test": 0}
    again = score.evaluate(made.out, data=whole)
    assert (again["part"], again["notes"]) == (
        "all",
        ["These rows include those it was trained on."],
    )
    assert "note: These rows include those it was trained on." in score.table(again)


def test_a_validation_part_that_was_trained_on_is_not_scored_either(tmp_path: Path) -> None:
    def validate(row: dict[str, Any]) -> None:
        row["split"] = "val" if row["split"] == "test" else "train"

    data = _rewritten(tmp_path, validate)
    assert _train(data, tmp_path / "last", "select=last").metrics["tasks"] == {}
    held = _train(data, tmp_path / "held").metrics
    assert (held["part"], held["tasks"]["emotion"]["clips"]) == ("held_out", 12)


def test_choosing_on_the_test_part_is_said_everywhere(tmp_path: Path) -> None:
    data = corpora.clips(tmp_path)
    made = _train(data, tmp_path / "run", "select=test")
    card = json.loads((made.out / "card.json").read_text())
    said = ["The epoch was chosen on the test part: its scores are optimistic."]
    assert card["notes"] == made.metrics["notes"] == said
    assert score.evaluate(made.out, data=data)["notes"] == said
    assert f"note: {said[0]}" in score.table(made.metrics)
    rows = {row.id: row.split for row in mien.load(made.out).read(data).rows}
    assert {rows[name] for name in card["selection"]["ids"]} == {"test"}
    assert card["sizes"] == {"train": 36, "held_out": 0, "test": 12}


def test_one_speaker_is_enough_where_nothing_is_held_out(tmp_path: Path) -> None:
    def alone(row: dict[str, Any]) -> None:
        row["speaker"] = "p" if row["split"] == "train" else "q"

    data = _rewritten(tmp_path, alone)
    with pytest.raises(DataError, match="the rows form 1 group"):
        _train(data, tmp_path / "held")
    assert _train(data, tmp_path / "last", "select=last").metrics["part"] == "test"


def test_a_test_part_without_labels_of_one_task_is_scored_on_the_others(tmp_path: Path) -> None:
    def second_task(row: dict[str, Any]) -> None:
        if row["split"] == "train":
            row["labels"]["mood"] = float(len(row["id"]))

    made = _train(_rewritten(tmp_path, second_task), tmp_path / "run", "mixup=0", seeds=[0, 1])
    assert made.metrics["tasks"].keys() == made.metrics["over_seeds"].keys() == {"emotion"}
    assert folder.read_labels(_members(made)[0]).keys() == {"emotion", "mood"}


def test_evaluation_says_what_it_lacks(family: Made, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no scores") as error:
        score.evaluate(tmp_path)
    assert error.value.fix == f"mien evaluate {tmp_path} --data MANIFEST"
    data = _rewritten(tmp_path, lambda row: row.pop("labels"))
    with pytest.raises(DataError, match="no row has labels of this run's tasks"):
        score.evaluate(_members(family)[0], data=data)


def test_an_evaluation_can_be_written_down(family: Made, tmp_path: Path) -> None:
    found = score.evaluate(family.out, out=tmp_path / "new" / "scores.json")
    assert json.loads((tmp_path / "new" / "scores.json").read_text()) == found
