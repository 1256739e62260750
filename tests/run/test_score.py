"""Scores against scikit-learn, what selects an epoch, and predictions on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from mien.errors import DataError, RunError
from mien.run import score
from mien.run.infer import Answers, Floats, Predictions
from mien.types import Problem, Resolution, Specs, TaskSpec

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("x", "y", "z"))
UNITS = TaskSpec(
    name="au", problem=Problem.MANY_OF_N, labels=("AU1", "AU2"), resolution=Resolution.FRAME
)
AFFECT = TaskSpec(
    name="affect",
    problem=Problem.REGRESSION,
    labels=("valence", "arousal"),
    resolution=Resolution.FRAME,
)
SPECS: Specs = {spec.name: spec for spec in (EMOTION, UNITS, AFFECT)}
CLIPS = 40


def _made(clips: int = CLIPS, speakers: int = 8) -> Predictions:
    """Answers of three tasks; some clips and frames are not annotated."""
    random = np.random.default_rng(1)
    found = Predictions(
        ids=[f"clip{i}" for i in range(clips)], group=[f"p{i % speakers}" for i in range(clips)]
    )
    emotion = found.tasks["emotion"] = Answers()
    units, affect = Answers(), Answers()
    found.tasks |= {"au": units, "affect": affect}
    for i in range(clips):
        length = int(random.integers(1, 6))
        truth = float(random.choice(3, p=[0.6, 0.3, 0.1]))
        scores = random.dirichlet([1, 1, 1], size=1)
        scores[0, int(truth)] += 0.3
        emotion.targets.append(np.array([np.nan if i % 9 == 4 else truth]))
        emotion.scores.append(scores / scores.sum())
        seen = random.random((length, 2))
        units.scores.append(seen)
        units.targets.append(
            np.where(
                random.random((length, 2)) < 0.2,
                np.nan,
                seen + 0.2 * random.normal(size=(length, 2)) > 0.5,
            )
        )
        affect.scores.append(random.normal(size=(length, 2)))
        affect.targets.append(affect.scores[-1] + random.normal(size=(length, 2)))
        if i % 5 == 2:
            affect.targets[-1][:] = np.nan
    return found


def _known(answers: Answers) -> tuple[Floats, Floats]:
    targets, scores = np.concatenate(answers.targets), np.concatenate(answers.scores)
    return targets, scores


# -- a report --------------------------------------------------------------------------------------


def test_scores_of_classes_are_those_of_scikit_learn() -> None:
    found = _made()
    body = score.report(found, SPECS)["emotion"]
    targets, scores = _known(found.tasks["emotion"])
    known = ~np.isnan(targets)
    truth, said = targets[known].astype(int), scores[known].argmax(1)
    assert body["answers"] == body["clips"] == known.sum() < CLIPS
    assert body["groups"] == 8
    wanted = {
        "uar": reference.balanced_accuracy_score(truth, said),
        "war": reference.accuracy_score(truth, said),
        "macro_f1": reference.f1_score(truth, said, average="macro"),
        "weighted_f1": reference.f1_score(truth, said, average="weighted"),
    }
    assert {name: body["scores"][name] for name in wanted} == pytest.approx(wanted)
    np.testing.assert_array_equal(
        body["confusion"]["rows_are_targets"], reference.confusion_matrix(truth, said)
    )
    recalls = [body["per_class"][label]["recall"] for label in EMOTION.labels]
    assert recalls == pytest.approx(reference.recall_score(truth, said, average=None).tolist())


def test_scores_of_frames_leave_out_what_is_not_annotated() -> None:
    found = _made()
    report = score.report(found, SPECS)
    targets, scores = _known(found.tasks["au"])
    by_label = []
    for column in range(2):
        known = ~np.isnan(targets[:, column])
        by_label.append(reference.f1_score(targets[known, column], scores[known, column] >= 0.5))
    assert report["au"]["scores"]["f1"] == pytest.approx(np.mean(by_label))
    targets, scores = _known(found.tasks["affect"])
    known = ~np.isnan(targets[:, 0])
    mae = reference.mean_absolute_error(targets[known], scores[known])
    assert report["affect"]["scores"]["mae"] == pytest.approx(mae)
    assert report["affect"]["clips"] == sum(1 for i in range(CLIPS) if i % 5 != 2)


def test_intervals_are_over_clips_and_over_groups_and_hold_the_score() -> None:
    for name, body in score.report(_made(), SPECS).items():
        assert body["intervals"], name
        for key, drawn in body["intervals"].items():
            assert drawn.keys() == {"clips", "groups"}
            for unit, interval in drawn.items():
                assert interval["over"] == unit
                assert interval["low"] <= interval["value"] <= interval["high"]
                assert interval["value"] == pytest.approx(body["scores"][key])


def test_one_speaker_says_nothing_about_the_next() -> None:
    body = score.report(_made(speakers=1), SPECS)["emotion"]
    assert {unit for drawn in body["intervals"].values() for unit in drawn} == {"clips"}


def test_a_task_nobody_annotated_is_left_out_not_an_error() -> None:
    found = _made()
    found.tasks["affect"].targets = [np.full_like(t, np.nan) for t in found.tasks["affect"].targets]
    found.tasks["au"].targets = []
    assert score.report(found, SPECS).keys() == {"emotion"}


# -- what selects ----------------------------------------------------------------------------------


def test_selection_is_the_mean_over_tasks_of_what_each_field_compares() -> None:
    found = _made()
    report = score.report(found, SPECS)
    value, named = score.selection(found, SPECS, None)
    used = [
        report["emotion"]["scores"]["uar"],
        report["au"]["scores"]["f1"],
        report["affect"]["scores"]["ccc"],
    ]
    assert value == pytest.approx(np.mean(used))
    assert named["emotion/uar"] == pytest.approx(used[0])
    assert {"emotion/war", "au/f1", "affect/ccc", "affect/mae"} <= named.keys()


def test_of_an_error_less_is_better() -> None:
    found = _made()
    value, named = score.selection(found, {"affect": AFFECT}, "mae")
    assert value == -named["affect/mae"] < 0


def test_a_metric_that_a_task_lacks_is_named_with_one_that_it_has() -> None:
    with pytest.raises(DataError, match="task 'emotion' has no score 'ccc'") as error:
        score.selection(_made(), {"emotion": EMOTION}, "ccc")
    assert error.value.fix == "train.metric=uar"


@pytest.mark.parametrize("targets", [[], [np.array([np.nan])] * CLIPS])
def test_nothing_can_be_selected_without_labels(targets: list[Floats]) -> None:
    found = _made()
    found.tasks["emotion"].targets = targets
    with pytest.raises(
        DataError, match="no row of the part that selects has a label of task 'emotion'"
    ):
        score.selection(found, {"emotion": EMOTION}, None)


# -- on the disk -----------------------------------------------------------------------------------


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    found = _made()
    found.tasks["au"].scores[3] = np.zeros((0, 2))  # a clip of which no frame was seen
    found.tasks["au"].targets[3] = np.zeros((0, 2))
    score.write_predictions(tmp_path / "p.parquet", found, fold=2)
    again, folds = score.read_predictions(tmp_path / "p.parquet", SPECS)
    assert (again.ids, again.group, set(folds)) == (found.ids, found.group, {2})
    for name, answers in found.tasks.items():
        for field in ("scores", "targets"):
            pairs = zip(getattr(answers, field), getattr(again.tasks[name], field), strict=True)
            for one, two in pairs:
                assert one.shape == two.shape
                np.testing.assert_array_equal(one, two)
    assert score.report(again, SPECS) == score.report(found, SPECS)


def test_predictions_without_labels_come_back_as_unknown(tmp_path: Path) -> None:
    found = _made(3)
    for answers in found.tasks.values():
        answers.targets = []
    score.write_predictions(tmp_path / "p.parquet", found, fold=None)
    again, folds = score.read_predictions(tmp_path / "p.parquet", SPECS)
    assert folds == [None] * 3
    for name, answers in again.tasks.items():
        assert [len(t) for t in answers.targets] == [len(s) for s in found.tasks[name].scores]
        assert not len(answers.owners())


def test_predictions_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1 of something")
    with pytest.raises(RunError, match=r"cannot read predictions\.parquet"):
        score.read_predictions(tmp_path / "predictions.parquet", SPECS)
