"""Scores against scikit-learn, what selects an epoch, and predictions on the disk."""

from __future__ import annotations

import numpy as np
import pytest
from answered import AFFECT, CLIPS, EMOTION, SPECS, made
from sklearn import metrics as reference

from mien.errors import DataError
from mien.run import score
from mien.run.infer import Answers, Floats


def _known(answers: Answers) -> tuple[Floats, Floats]:
    targets, scores = np.concatenate(answers.targets), np.concatenate(answers.scores)
    return targets, scores


# -- a report --------------------------------------------------------------------------------------


def test_scores_of_classes_are_those_of_scikit_learn() -> None:
    found = made()
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
    found = made()
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
    for name, body in score.report(made(), SPECS).items():
        assert body["intervals"], name
        for key, drawn in body["intervals"].items():
            assert drawn.keys() == {"clips", "groups"}
            for unit, interval in drawn.items():
                assert interval["over"] == unit
                assert interval["low"] <= interval["value"] <= interval["high"]
                assert interval["value"] == pytest.approx(body["scores"][key])


def test_one_speaker_says_nothing_about_the_next() -> None:
    body = score.report(made(speakers=1), SPECS)["emotion"]
    assert {unit for drawn in body["intervals"].values() for unit in drawn} == {"clips"}


def test_a_task_nobody_annotated_is_left_out_not_an_error() -> None:
    found = made()
    found.tasks["affect"].targets = [np.full_like(t, np.nan) for t in found.tasks["affect"].targets]
    found.tasks["au"].targets = []
    assert score.report(found, SPECS).keys() == {"emotion"}


# -- what selects ----------------------------------------------------------------------------------


def test_selection_is_the_mean_over_tasks_of_what_each_field_compares() -> None:
    found = made()
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
    found = made()
    value, named = score.selection(found, {"affect": AFFECT}, "mae")
    assert value == -named["affect/mae"] < 0


def test_a_metric_that_a_task_lacks_is_named_with_one_that_it_has() -> None:
    with pytest.raises(DataError, match="task 'emotion' has no score 'ccc'") as error:
        score.selection(made(), {"emotion": EMOTION}, "ccc")
    assert error.value.fix == "train.metric=uar"


@pytest.mark.parametrize("targets", [[], [np.array([np.nan])] * CLIPS])
def test_nothing_can_be_selected_without_labels(targets: list[Floats]) -> None:
    found = made()
    found.tasks["emotion"].targets = targets
    with pytest.raises(
        DataError, match="no row of the part that selects has a label of task 'emotion'"
    ):
        score.selection(found, {"emotion": EMOTION}, None)
