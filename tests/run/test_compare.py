"""Differences of two runs on the same clips."""

from __future__ import annotations

from pathlib import Path

import corpora
import pytest

from mien.errors import RunError
from mien.run import compare, score
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
    found = compare.compare(runs / "two", runs / "one")
    one, two = (score.evaluate(runs / name)["by_seed"] for name in ("one", "two"))
    for seed in ("0", "1"):
        for key, drawn in found[seed]["emotion"].items():
            wanted = two[seed]["emotion"]["scores"][key] - one[seed]["emotion"]["scores"][key]
            assert drawn["value"] == pytest.approx(wanted)
            assert drawn["low"] <= drawn["high"]
            assert drawn["over"] == "groups"
    assert "emotion, seed 1" in compare.table(found)


def test_a_run_does_not_differ_from_itself(runs: Path) -> None:
    for body in compare.compare(runs / "one", runs / "one").values():
        assert {(i["low"], i["high"]) for i in body["emotion"].values()} == {(0.0, 0.0)}


def test_other_clips_are_no_comparison(runs: Path) -> None:
    with pytest.raises(RunError, match="not tested on the same clips"):
        compare.compare(runs / "one", runs / "single")
