"""Differences of two runs on the same clips."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest

from mien.errors import RunError
from mien.run import answers, compare, score
from mien.run.train import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two families of folds and seeds, and one run on a test part of its own."""
    home = tmp_path_factory.mktemp("runs")
    data = corpora.clips(home)
    folds = ["epochs=1", "data.folds=3", "save_seconds=60"]
    for name, more in (("one", []), ("two", ["lr=0.05", "epochs=4"])):
        train(
            "toy-clip",
            data=data,
            out=home / name,
            overrides=[*folds, *more],
            folds=True,
            seeds=[0, 1],
            quiet=True,
        )
    train("toy-clip", data=data, out=home / "single", overrides=["epochs=1"], quiet=True)
    return home


def test_a_difference_is_that_of_the_scores(runs: Path) -> None:
    found = compare.compare(runs / "two", [runs / "one"])
    one, two = (score.evaluate(runs / name)["by_seed"] for name in ("one", "two"))
    (pair,) = found["pairs"]
    body = pair["tasks"]["emotion"]
    assert (pair["run"], pair["other"], pair["seeds"]) == ("two", "one", [0, 1])
    apart: dict[str, list[float]] = {}
    for seed in ("0", "1"):
        for key, drawn in body["by_seed"][seed].items():
            wanted = two[seed]["emotion"]["scores"][key] - one[seed]["emotion"]["scores"][key]
            assert drawn["value"] == drawn["test"]["difference"] == pytest.approx(wanted)
            apart.setdefault(key, []).append(wanted)
    for key, drawn in body["scores"].items():
        assert drawn["value"] == pytest.approx(np.mean(apart[key]))
        assert drawn["low"] <= drawn["value"] <= drawn["high"]
        assert drawn["over"] == drawn["test"]["over"] == "groups"
        assert drawn["test"]["units"] == body["groups"] == 12
        assert "p_holm" not in drawn["test"]
    text = compare.table(found)
    assert "emotion: two minus one, mean of seeds 0, 1" in text
    assert f"p {compare.p_value(body['scores']['uar']['test']['p'])}" in text


def test_mcnemar_counts_the_clips_that_one_alone_has_right(runs: Path) -> None:
    (pair,) = compare.compare(runs / "two", [runs / "one"])["pairs"]
    right = []
    for name in ("two", "one"):
        kept = answers.kept(runs / name)
        own = kept.seeds[1].tasks["emotion"]
        rows = zip(kept.seeds[1].ids, own.targets, own.scores, strict=True)
        right.append({clip for clip, truth, said in rows if said.argmax() == truth[0]})
    test = pair["tasks"]["emotion"]["mcnemar"]["1"]
    assert test["only_first"] == len(right[0] - right[1])
    assert test["only_second"] == len(right[1] - right[0])


def test_several_others_are_corrected_for_how_many_they_are(runs: Path) -> None:
    found = compare.compare(runs / "two", [runs / "one", runs / "two"])
    first, second = (pair["tasks"]["emotion"]["scores"]["uar"]["test"] for pair in found["pairs"])
    assert second["p"] == second["p_holm"] == 1
    assert first["p_holm"] == pytest.approx(min(1, 2 * first["p"]))
    assert "after Holm" in compare.table(found)


def test_a_run_does_not_differ_from_itself(runs: Path) -> None:
    (pair,) = compare.compare(runs / "one", [runs / "one"])["pairs"]
    for scores in pair["tasks"]["emotion"]["by_seed"].values():
        assert {(i["low"], i["high"], i["test"]["p"]) for i in scores.values()} == {(0, 0, 1)}


def test_other_clips_are_no_comparison(runs: Path) -> None:
    with pytest.raises(RunError, match="not tested on the same clips"):
        compare.compare(runs / "one", [runs / "single"])


def changed(runs: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    """The single run with other tasks in its labels."""
    place = tmp_path / "changed"
    shutil.copytree(runs / "single", place)
    listed = json.loads((place / "labels.json").read_text())
    change(listed)
    (place / "labels.json").write_text(json.dumps(listed))
    return place


def test_other_tasks_are_no_comparison(runs: Path, tmp_path: Path) -> None:
    def widen(listed: list[dict[str, Any]]) -> None:
        listed[0]["threshold"] = 0.7

    with pytest.raises(RunError, match="learned different tasks"):
        compare.compare(runs / "single", [changed(runs, tmp_path, widen)])


def test_other_seeds_are_no_comparison(runs: Path, tmp_path: Path) -> None:
    place = changed(runs, tmp_path, lambda listed: None)
    card = json.loads((place / "card.json").read_text())
    (place / "card.json").write_text(json.dumps(card | {"seed": 9}))
    with pytest.raises(RunError, match=r"share no seed: \[0\] and \[9\]"):
        compare.compare(runs / "single", [place])
    (place / "card.json").write_text(json.dumps(card | {"seed": [1]}))
    with pytest.raises(RunError, match="names no seed"):
        compare.compare(runs / "single", [place])


def test_p_values_are_never_written_as_0() -> None:
    assert [compare.p_value(p) for p in (0.0004, 0.001, 0.0449, 1.0)] == [
        "< 0.001",
        "0.001",
        "0.045",
        "1.000",
    ]
