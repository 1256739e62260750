"""Reports of runs: what stands on the page, in the JSON, and in what shape."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import answered
import corpora
import kept_runs
import numpy as np
import pytest
from pages import Read

from mien.errors import RunError
from mien.report import runs
from mien.report.runs import LIMIT, report
from mien.run import compare, score
from mien.run.infer import Answers, Predictions, Value
from mien.run.train import train
from mien.types import Problem, Resolution, TaskSpec


def made(places: list[Path], out: Path | None = None) -> tuple[Read, dict[str, Any]]:
    """A report, its page taken apart and checked for what holds of every page."""
    found = report(places, out)
    html = found.path.read_text(encoding="utf-8")
    assert len(html.encode()) <= LIMIT
    page = Read(html)
    assert not page.slips
    assert json.loads(found.path.with_suffix(".json").read_text()) == found.summary
    json.dumps(found.summary, allow_nan=False)
    _reads_without_script(page, html)
    _can_be_read_aloud(page)
    return page, found.summary


def _reads_without_script(page: Read, html: str) -> None:
    """Nothing runs, nothing is fetched, nothing is styled but by the sheet within."""
    assert not page.all("script")
    (style,) = page.inside["style"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert "url(" not in style
    assert "@import" not in style
    for _, attributes in page.elements:
        assert not {"src", "style", "onclick", "onload"} & attributes.keys()
        assert attributes.get("href", "#").startswith("#")
    assert not re.search(r"https?://", html)


def _can_be_read_aloud(page: Read) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.all("a")} <= set(ids)
    drawings = [a for a in page.all("svg") if a.get("role") == "img"]
    assert len(drawings) + len([a for a in page.all("svg") if "aria-hidden" in a]) == len(
        page.all("svg")
    )
    assert len(page.all("title")) == len(drawings) + 1
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 2 for a, b in pairwise(levels))


# -- one run ---------------------------------------------------------------------------------------


def test_a_run_is_told_with_all_that_its_scores_came_from(tmp_path: Path) -> None:
    sexes: list[Value] = ["f" if i % 3 else "m" for i in range(120)]
    place = kept_runs.run(tmp_path / "mine", kept_runs.answered(sex=sexes))
    page, summary = made([place])
    assert (place / "report.html").is_file()
    (one,) = summary["runs"]
    body = one["tasks"]["emotion"]
    own = score.report(kept_runs.answered(sex=sexes), {"emotion": kept_runs.EMOTION})["emotion"]
    assert {key: body[key] for key in own} == json.loads(json.dumps(own))
    for said in (
        "mine",
        "toy-clip",
        "CC-BY-4.0",
        "0123456789abcdef",
        "2 rows held out of train chose the epoch; the test part was looked at once, at the end",
        "90 train · 30 held out · 120 test",
        "One of 4 classes, once a clip. 120 clips of 12 groups.",
        "not facts about what they feel",
        f"{own['scores']['uar']:.3f}",
        "{low:.3f} to {high:.3f}".format(**own["intervals"]["uar"]["groups"]),
        "{low:.3f} to {high:.3f}".format(**own["intervals"]["uar"]["clips"]),
        "train.epochs",
        "UAR by sex",
    ):
        assert said in page.text, said
    assert "Beware" not in page.text
    cells = [text for tag, text in page.texts if tag in ("td", "small")]
    for row in body["confusion"]["rows_are_targets"]:
        assert all(str(count) in cells for count in row if count)


def test_three_kinds_of_tasks_each_get_what_they_need(tmp_path: Path) -> None:
    place = kept_runs.run(tmp_path / "mine", answered.made(), answered.SPECS)
    page, summary = made([place])
    tasks = summary["runs"][0]["tasks"]
    assert tasks["emotion"]["reliability"]
    assert tasks["au"]["thresholds"]["labels"].keys() == {"AU1", "AU2"}
    assert tasks["affect"]["joint"].keys() == {"valence", "arousal"}
    for said in ("Calibration", "Thresholds", "Dimensions", "Values", "Largest errors", "Position"):
        assert said in page.text
    for name, label in (("au", "AU1"), ("affect", "arousal")):
        rows = tasks[name].get("per_class") or tasks[name]["per_dimension"]
        assert f"{next(iter(rows[label].values())):.3f}" in page.text
    assert "no such fields or speakers" in page.text  # these answers name no groups


def test_answers_to_frames_are_counted_by_clip_and_without_what_is_set_aside(
    tmp_path: Path,
) -> None:
    spec = TaskSpec(
        name="compound",
        problem=Problem.ONE_OF_N,
        resolution=Resolution.FRAME,
        labels=("Happily_Surprised", "Sadly_Angry", "Other"),
        aside=("Other",),
    )
    random, made_up = np.random.default_rng(0), Answers()
    for i in range(24):
        made_up.scores.append(random.dirichlet(np.ones(3), size=4))
        made_up.targets.append(np.full(4, float(i % 3)))
    names = [f"c{i}" for i in range(24)]
    found = Predictions(names, [f"v{i // 3}" for i in range(24)], tasks={"compound": made_up})
    page, summary = made([kept_runs.run(tmp_path / "mine", found, {"compound": spec})])
    body = summary["runs"][0]["tasks"]["compound"]
    rows = [text for tag, text in page.texts if tag == "th"]
    assert "2 classes that are asked for" in rows
    for part, of in ((body, ""), (body["asked"], ", 2 classes that are asked for")):
        assert f"Clips by the most frequent class of their frames{of}" in rows
        for way in ("vote", "logits", "probabilities"):
            held = part["decided"][way]
            assert f"{held['scores']['war']:.3f}" in page.text
            assert "{low:.3f} to {high:.3f}".format(**held["intervals"]["war"]["groups"]) in (
                page.text
            )
    said = f"F1 {body['asked']['basics']['scores']['f1']:.3f}."
    assert f"Basic emotions behind those that are asked for: {said}" in page.text


def test_what_makes_scores_optimistic_stands_on_top(tmp_path: Path) -> None:
    """Said by the card, or only by what the run was made with: either is enough."""
    cut = kept_runs.run(tmp_path / "cut", config="data: {random_split: true}\n")
    selection = {"part": "test", "ids": ["t1"], "epoch": 2}
    chosen = kept_runs.run(tmp_path / "chosen", selection=selection)
    without = kept_runs.run(tmp_path / "without", part="held_out")
    told = kept_runs.run(tmp_path / "told", notes=["Ask me what happened to actor 7."])
    page, summary = made([cut, chosen, without, told], tmp_path / "all.html")
    notes = [run["notes"] for run in summary["runs"]]
    assert notes[0] == [score.CUT_BY_CLIP]
    assert notes[1] == [score.CHOSEN_ON_TEST]
    assert "held-out part, which also chose the epoch" in notes[2][0]
    before, _, _ = page.text.partition("Side by side")
    for note in (n for few in notes for n in few):
        assert note in before
    assert "the test part chose the epoch: its scores are optimistic" in page.text


def test_a_random_split_happens_by_name_only_and_is_marked(tmp_path: Path) -> None:
    data = corpora.clips(tmp_path)
    for name, words in (("plain", []), ("cut", ["data.random_split=true"])):
        train(
            "toy-clip", data=data, out=tmp_path / name, overrides=["epochs=2", *words], quiet=True
        )
    plain, _ = made([tmp_path / "plain"])
    cut, summary = made([tmp_path / "cut"])
    assert score.CUT_BY_CLIP not in plain.text
    assert score.CUT_BY_CLIP in cut.text
    assert summary["runs"][0]["notes"] == [score.CUT_BY_CLIP]
    assert [c["epochs"] for c in summary["runs"][0]["curves"]] == [[1, 2]]


def test_curves_mark_the_epoch_that_was_kept(tmp_path: Path) -> None:
    page, summary = made([kept_runs.run(tmp_path / "mine")])
    (curve,) = summary["runs"][0]["curves"]
    assert curve["train"] == {"loss": [1.5, 0.75, 0.5, 0.375]}
    assert curve["held_out"] == {"emotion/uar": [0.3, 0.5, 0.3, 0.3]}
    assert curve["chosen"] == 2
    assert len([a for a in page.all("circle") if a["class"].startswith("ring")]) == 1
    assert "emotion: UAR" in page.text


def test_a_run_without_tasks_shows_its_losses(tmp_path: Path) -> None:
    lines = kept_runs.log(stage="contrast", more={"held_out/loss": 2.0})
    page, summary = made([kept_runs.run(tmp_path / "pre", specs={}, lines=lines)])
    assert summary["runs"][0]["tasks"] == {}
    assert "It learned no task, so there is nothing to score" in page.text
    assert "loss (held out)" in page.text
    assert "looked at once" not in page.text


# -- what is not there -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("predictions.parquet", "No answers are kept, so nothing can be scored"),
        ("log.jsonl", "its curves cannot be drawn"),
        ("config.yaml", "Its settings (config.yaml) cannot be read."),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, file: str, said: str) -> None:
    place = kept_runs.run(tmp_path / "mine")
    (place / file).unlink()
    page, summary = made([place])
    assert any(said in text for text in summary["runs"][0]["missing"])
    assert said in page.text


def test_without_metrics_the_part_is_not_made_up(tmp_path: Path) -> None:
    place = kept_runs.run(tmp_path / "mine")
    (place / "metrics.json").unlink()
    page, summary = made([place])
    assert summary["runs"][0]["part"] is None
    assert "a part that it does not name" in page.text


def test_what_is_no_finished_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run"):
        report([tmp_path / "nothing"])
    place = kept_runs.run(tmp_path / "half", finished=False)
    with pytest.raises(RunError, match="not finished"):
        report([place])
    with pytest.raises(RunError, match="1 to 24 runs, not 0"):
        report([])
    assert not list(tmp_path.rglob("report.*"))


# -- where it goes ---------------------------------------------------------------------------------


def test_a_report_lies_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = kept_runs.answered(12, 3)
    a, b = (kept_runs.run(tmp_path / name, few) for name in "ab")
    monkeypatch.chdir(tmp_path)
    assert report([a]).path == a / "report.html"
    assert report([a, b]).path == Path("report.html")
    assert report([a], tmp_path).path == tmp_path / "report.html"
    assert report([a], "new/page.html").path == Path("new/page.html")
    assert (tmp_path / "new" / "page.json").is_file()
    with pytest.raises(RunError, match=r"ends in \.html, not '\.pdf'") as error:
        report([a], "page.pdf")
    assert error.value.fix == "--out page.html"


def test_a_report_is_written_over_a_report_and_over_nothing_else(tmp_path: Path) -> None:
    place = kept_runs.run(tmp_path / "run", kept_runs.answered(12, 3))
    before = (place / "metrics.json").read_bytes()
    assert report([place]).path == report([place]).path
    for name in ("metrics", "card", "labels"):
        with pytest.raises(RunError, match=rf"would be written over {name}\.json"):
            report([place], place / f"{name}.html")
        assert not (place / f"{name}.html").exists()
    assert (place / "metrics.json").read_bytes() == before


def test_a_place_on_a_machine_is_told_by_its_last_part(tmp_path: Path) -> None:
    config = f"data: {{root: {tmp_path / 'secret' / 'corpus'}, held_out: 0.2}}\n"
    page, _ = made([kept_runs.run(tmp_path / "run", kept_runs.answered(12, 3), config=config)])
    assert ".../corpus" in page.text
    assert "secret" not in page.text


# -- families and several runs ---------------------------------------------------------------------


def test_a_family_is_one_run_with_its_folds_and_seeds(tmp_path: Path) -> None:
    place = kept_runs.family(tmp_path / "folds")
    page, summary = made([place])
    (one,) = summary["runs"]
    written = score.evaluate(place)
    assert (one["seeds"], one["folds"], one["scored_seed"]) == ([0, 1], [0, 1, 2], 0)
    body = one["tasks"]["emotion"]
    assert body["scores"] == written["tasks"]["emotion"]["scores"]
    assert body["folds"] == written["tasks"]["emotion"]["folds"]
    assert one["over_seeds"] == written["over_seeds"]
    assert (
        one["by_seed"]["1"]["emotion"]["scores"]["uar"]
        == (written["by_seed"]["1"]["emotion"]["scores"]["uar"])
    )
    for name, value in body["folds"]["uar"]["folds"].items():
        assert name in page.text
        assert f"{value:.3f}" in page.text
    seeds = one["over_seeds"]["emotion"]["uar"]
    assert f"{seeds['mean']:.3f} ± {seeds['std']:.3f}" in page.text
    assert "The scores are those of seed 0." in page.text
    assert len(one["curves"]) == 6
    assert "Thin: each training; thick: their mean." in page.text


def test_runs_are_compared_on_the_same_clips(tmp_path: Path) -> None:
    places = [
        kept_runs.run(tmp_path / name, kept_runs.answered(skill=skill, seed=i))
        for i, (name, skill) in enumerate((("good", 2.0), ("fair", 0.6), ("poor", 0.0)))
    ]
    page, summary = made(places, tmp_path / "three.html")
    pairs = summary["comparison"]["pairs"]
    assert [(p["run"], p["other"]) for p in pairs] == [
        ("good", "fair"),
        ("good", "poor"),
        ("fair", "poor"),
    ]
    (alone,) = compare.compare(places[0], [places[2]])["pairs"]
    found = pairs[1]["tasks"]["emotion"]
    for key, one in alone["tasks"]["emotion"]["scores"].items():
        assert found["scores"][key]["value"] == one["value"]
        test = found["scores"][key]["test"]
        assert test == one["test"] | {"p_holm": test["p_holm"]}
        assert test["p_holm"] >= test["p"]
        assert f"{one['value']:+.3f}".replace("-", "\u2212") in page.text
    assert found["mcnemar"] == alone["tasks"]["emotion"]["mcnemar"]
    assert compare.p_value(found["scores"]["uar"]["test"]["p_holm"]) in page.text
    assert summary["comparison"]["left_out"] == []


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    one = kept_runs.run(tmp_path / "one")
    other = kept_runs.run(tmp_path / "other", kept_runs.answered(clips=90))
    bare = kept_runs.run(tmp_path / "bare")
    (bare / "predictions.parquet").unlink()
    page, summary = made([one, other, bare], tmp_path / "r.html")
    assert summary["comparison"]["pairs"] == []
    assert summary["comparison"]["left_out"] == [
        "one and other: the runs were not tested on the same clips",
        "one and bare: bare keeps no answers",
        "other and bare: bare keeps no answers",
    ]
    assert all(why in page.text for why in summary["comparison"]["left_out"])


def test_runs_of_one_name_are_told_apart_and_one_given_twice_is_one(tmp_path: Path) -> None:
    few = kept_runs.answered(12, 3)
    a, b = (kept_runs.run(tmp_path / home / "run", few) for home in ("x", "y"))
    _, summary = made([a, b, a, tmp_path / "y" / ".." / "x" / "run"], tmp_path / "r.html")
    assert [run["name"] for run in summary["runs"]] == ["x/run", "y/run"]


# -- how large it gets -----------------------------------------------------------------------------


def test_many_classes_speakers_and_epochs_stay_below_a_megabyte(tmp_path: Path) -> None:
    spec = TaskSpec(
        name="compound",
        problem=Problem.ONE_OF_N,
        labels=tuple(f"happily surprised {i}" for i in range(43)),
    )
    places: list[Value] = [f"place {i % 90}" for i in range(2700)]
    found = kept_runs.answered(2700, 30, spec=spec, skill=3.0, place=places)
    lines = kept_runs.log(3000, more={f"term {i}": float(i) for i in range(30)})
    run = kept_runs.run(tmp_path / "large", found, {"compound": spec}, lines=lines)
    page, summary = made([run])
    assert len(summary["runs"][0]["curves"][0]["epochs"]) <= 502
    assert Counter(tag for tag, _ in page.elements)["td"] > 43 * 43
    assert "slices with fewer clips are left out" in page.text


def test_hundreds_of_labels_without_measure_are_cut_and_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    spec = TaskSpec(
        name="many", problem=Problem.MANY_OF_N, labels=tuple(f"{'&' * 60}{i}" for i in range(250))
    )
    found = kept_runs.answered(60, 6)
    own = found.tasks.pop("emotion")
    own.scores = list(rng.random((60, 1, 250)))
    own.targets = list((rng.random((60, 1, 250)) < 0.1).astype(float))
    whole = Predictions(ids=found.ids, group=found.group, tasks={"many": own})
    page, _ = made([kept_runs.run(tmp_path / "wide", whole, {"many": spec})])
    assert "labels are left out" in page.text


def test_a_report_too_large_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = kept_runs.run(tmp_path / "mine")
    monkeypatch.setattr(runs, "LIMIT", 9_000)
    with pytest.raises(RunError, match="does not fit") as error:
        report([place])
    assert error.value.fix == "fewer runs"
