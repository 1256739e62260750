"""`mien train` from a manifest to a run: stages alone, runs that start from others, suggestions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import corpora
import pytest
import torch
from safetensors.torch import load_file

import mien
from mien import config, registry
from mien.errors import ConfigError, DataError, MienError, RunError
from mien.run import folder, score
from mien.run.train import train

SHORT = ("epochs=1", "save_seconds=60")


def _train(system: str, data: Path, out: Path, *words: str, **more: Any) -> dict[str, Any]:
    return train(system, data=data, out=out, overrides=[*SHORT, *words], quiet=True, **more)


def _rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _unlabelled(row: dict[str, Any]) -> None:
    row.pop("labels")


def _card(out: Path) -> dict[str, Any]:
    return folder.read_card(out)


def _log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled clips."""
    return corpora.clips(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contrastive stage alone, from clips that nobody labelled and that may not be sold."""
    home = tmp_path_factory.mktemp("pretrained")
    path = _rewritten(corpora.clips(home), _unlabelled)
    (home / "rows.tasks.json").write_text(json.dumps({"licence": "CC-BY-NC-4.0", "tasks": {}}))
    _train("toy-pretrain", path, home / "run", "epochs=3", stage="contrast")
    return home / "run"


# -- stages ----------------------------------------------------------------------------------------


def test_a_stage_without_a_task_selects_by_its_loss_and_scores_nothing(pretrained: Path) -> None:
    metrics = score.evaluate(pretrained)
    assert metrics["tasks"] == {}
    assert score.table(metrics) == "no task was scored"
    losses = [line["held_out/loss"] for line in _log(pretrained)]
    assert len(losses) == 3
    chosen = _card(pretrained)["selection"]
    assert chosen["score"] == -min(losses)
    assert chosen["epoch"] == 1 + losses.index(min(losses))
    assert folder.read_config(pretrained).stages == ["contrast"]


def test_a_run_without_a_task_loads_and_says_what_it_is_good_for(
    pretrained: Path, data: Path
) -> None:
    run = mien.load(pretrained)
    assert run.model(a=torch.zeros(1, 2, 6), b=torch.zeros(1, 1, 4)).features.keys() == {"a", "b"}
    with pytest.raises(RunError, match="this run learned no task") as error:
        run.predict(data)
    assert error.value.fix == f"mien train toy-pretrain --init {pretrained}"
    with pytest.raises(RunError, match="this run learned no task"):
        score.evaluate(pretrained, data=data)


def test_only_the_stages_that_need_no_labels_are_pretraining(tmp_path: Path) -> None:
    path = _rewritten(corpora.clips(tmp_path), _unlabelled)
    _train("toy-pretrain", path, tmp_path / "run", only=lambda stage: not stage.supervised)
    assert {line["stage"] for line in _log(tmp_path / "run")} == {"contrast"}
    with pytest.raises(ConfigError, match="'toy-clip' has no self-supervised stage") as error:
        _train("toy-clip", path, tmp_path / "other", only=lambda stage: not stage.supervised)
    assert error.value.fix == "mien train toy-clip"
    with pytest.raises(DataError, match="no labels to train on"):
        _train("toy-pretrain", path, tmp_path / "other")


def test_pretraining_with_several_seeds_is_a_family_without_scores(
    data: Path, tmp_path: Path
) -> None:
    found = _train("toy-pretrain", data, tmp_path / "runs", stage="contrast", seeds=[0, 1])
    assert found["tasks"] == {}
    assert mien.load(tmp_path / "runs" / "seed-1").settings.seed == 1


def test_a_stage_alone_starts_from_nothing(data: Path, tmp_path: Path) -> None:
    metrics = _train("toy-pretrain", data, tmp_path / "run", stage="classify")
    assert metrics["tasks"].keys() == {"emotion"}
    assert [line.get("started_from") for line in _log(tmp_path / "run")] == [None]
    assert _card(tmp_path / "run")["started_from"] is None


# -- a run that starts from another ----------------------------------------------------------------


def _encoder(out: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(out / "model.safetensors")
    return {name: t for name, t in tensors.items() if name.startswith("network.encoder.")}


STILL = ("lr=1e-12", "weight_decay=0")  # what was received is still there after training


def test_two_runs_are_the_two_stages_of_one(pretrained: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _train("toy-pretrain", data, out, *STILL, stage="classify", init=pretrained)
    assert _encoder(pretrained)
    for name, tensor in _encoder(pretrained).items():
        torch.testing.assert_close(_encoder(out)[name], tensor)
    first = _log(out)[0]
    assert first["new"] == ["network.heads.emotion.bias", "network.heads.emotion.weight"]
    _train("toy-pretrain", data, tmp_path / "fresh", *STILL, stage="classify")
    fresh = _encoder(tmp_path / "fresh")
    assert not any(torch.allclose(fresh[name], t) for name, t in _encoder(pretrained).items())


def test_a_head_of_the_same_classes_goes_on(data: Path, tmp_path: Path) -> None:
    def heads(out: Path) -> dict[str, torch.Tensor]:
        tensors = load_file(out / "model.safetensors")
        return {name: t for name, t in tensors.items() if name.startswith("network.heads.")}

    one = tmp_path / "one"
    _train("toy-pretrain", data, one, stage="classify")
    same = tmp_path / "same"
    _train("toy-pretrain", data, same, "seed=1", *STILL, stage="classify", init=one)
    assert _log(same)[0]["new"] == []
    for name, tensor in heads(one).items():
        torch.testing.assert_close(heads(same)[name], tensor)

    def renamed(row: dict[str, Any]) -> None:
        label = row["labels"]["emotion"]
        soft = isinstance(label, dict)
        row["labels"]["emotion"] = (
            {f"very {name}": share for name, share in label.items()} if soft else f"very {label}"
        )

    shutil.copytree(data.parent, tmp_path / "data")
    path = _rewritten(tmp_path / "data" / data.name, renamed)
    other = tmp_path / "other"
    _train("toy-pretrain", path, other, "seed=1", *STILL, stage="classify", init=one)
    assert _log(other)[0]["new"] == sorted(heads(one))
    assert not any(torch.allclose(heads(other)[name], t) for name, t in heads(one).items())


def test_each_fold_goes_on_from_its_own(data: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    words = ("data.folds=2",)
    _train("toy-pretrain", data, before, *words, "train.select=last", stage="classify", folds=True)
    again = {"stage": "classify", "folds": True, "init": before}
    _train("toy-pretrain", data, after, *words, *STILL, "train.select=last", "seed=0", **again)
    for fold in ("fold-0", "fold-1"):
        for name, tensor in _encoder(before / fold).items():
            torch.testing.assert_close(_encoder(after / fold)[name], tensor)
    one, two = (_encoder(before / fold) for fold in ("fold-0", "fold-1"))
    assert not any(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(RunError, match="holds 2 runs, and none is called fold-2"):
        _train("toy-pretrain", data, tmp_path / "c", "data.folds=3", **again)
    with pytest.raises(RunError, match="holds 2 runs") as error:
        _train("toy-pretrain", data, tmp_path / "d", stage="classify", init=before)
    assert error.value.fix == str(before / "fold-0")


def test_a_run_is_as_restricted_as_the_one_it_starts_from(
    pretrained: Path, data: Path, tmp_path: Path
) -> None:
    assert _card(pretrained)["licence"] == "CC-BY-NC-4.0"
    _train("toy-pretrain", data, tmp_path / "run", stage="classify", init=pretrained)
    assert _card(tmp_path / "run")["licence"] == "CC-BY-NC-4.0"
    _train("toy-pretrain", data, tmp_path / "fresh", stage="classify")
    assert _card(tmp_path / "fresh")["licence"] == "Apache-2.0"


def test_another_start_is_another_run(pretrained: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    wanted = _train("toy-pretrain", data, out, stage="classify", init=pretrained)
    shutil.copytree(pretrained, tmp_path / "moved")
    again = _train("toy-pretrain", data, out, stage="classify", init=tmp_path / "moved")
    assert again == wanted, "the same weights in another place are the same start"
    for init in (None, out):
        with pytest.raises(RunError, match="it differs in started_from"):
            _train("toy-pretrain", data, out, stage="classify", init=init)


def test_what_is_no_finished_run_is_no_start_and_nothing_is_begun(
    pretrained: Path, data: Path, tmp_path: Path
) -> None:
    half = Path(shutil.copytree(pretrained, tmp_path / "half"))
    (half / "card.json").write_text("{}")
    for init, message in ((tmp_path / "nowhere", "cannot read card"), (half, "not finished")):
        with pytest.raises(RunError, match=message):
            _train("toy-pretrain", data, tmp_path / "run", stage="classify", init=init)
    assert not (tmp_path / "run").exists()


def test_a_start_that_cannot_fit_is_refused(pretrained: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'classify' of 'toy-clip' starts from no other weights"):
        _train("toy-clip", data, tmp_path / "one", init=pretrained)
    with pytest.raises(RunError, match="has shape"):
        _train("toy-pretrain", data, tmp_path / "two", "width=5", stage="classify", init=pretrained)
    _train("toy-clip", data, tmp_path / "toy")
    with pytest.raises(RunError, match=r"nothing of .*encoder.* was handed on"):
        _train("toy-pretrain", data, tmp_path / "three", stage="classify", init=tmp_path / "toy")


def test_stages_that_hand_nothing_on_each_start_anew(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = registry.system("toy-pretrain").load().STAGES
    monkeypatch.setitem(stages, "contrast", replace(stages["contrast"], hands_on=()))
    _train("toy-pretrain", data, tmp_path / "run")
    assert not [line for line in _log(tmp_path / "run") if "started_from" in line]
    assert {line["stage"] for line in _log(tmp_path / "run")} == {"contrast", "classify"}


# -- words that are not known ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "words", "more", "message"),
    [
        ("toy-clp", (), {}, "there is no system 'toy-clp': did you mean 'toy-clip'"),
        ("toy-clip", (), {"preset": "tny"}, "no preset 'tny': did you mean 'tiny'"),
        ("toy-clip", (), {"stage": "clasify"}, "no stage 'clasify': did you mean 'classify'"),
        ("toy-clip", ("stages=[clasify]",), {}, "no stage 'clasify': did you mean 'classify'"),
        ("toy-clip", ("stages=[]",), {}, "no stage is asked for"),
        ("toy-clip", ("epoch=3",), {}, "there is no setting 'epoch': did you mean 'epochs'"),
        ("toy-clip", ("epochs",), {}, "'epochs' is not a setting"),
        ("toy-clip", ("epochs=many",), {}, "train.epochs: .*got 'many'"),
        ("toy-clip", ("data.tasks=[emotoin]",), {}, "task 'emotoin': did you mean 'emotion'"),
        ("toy-clip", ("data.inputs.c=a",), {}, "data.inputs names 'c'"),
        ("toy-clip", ("data.inputs.a=x", "data.inputs.b=x"), {}, "no row has any input"),
        ("toy-clip", ("metric=uarr",), {}, "no score 'uarr'"),
        ("toy-clip", (), {"seeds": [-1]}, "a seed is at least 0, not -1"),
        ("toy-clip", (), {"folds": True}, "the manifest names no folds"),
    ],
)
def test_a_word_that_is_not_known_is_answered_with_those_that_are(
    system: str,
    words: tuple[str, ...],
    more: dict[str, Any],
    message: str,
    data: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(MienError, match=message):
        _train(system, data, tmp_path / "run", *words, **more)


def test_a_test_part_is_needed_to_select_on_it(tmp_path: Path) -> None:
    path = _rewritten(corpora.clips(tmp_path), lambda row: row.pop("split"))
    with pytest.raises(DataError, match="there is no test part to select on") as error:
        _train("toy-clip", path, tmp_path / "run", "select=test")
    assert error.value.fix == "train.select=last"


# -- what is chosen and kept -----------------------------------------------------------------------


def test_only_the_tasks_asked_for_are_learned(tmp_path: Path) -> None:
    path = _rewritten(corpora.clips(tmp_path), lambda row: row["labels"].update(mood=0.5))
    _train("toy-clip", path, tmp_path / "one", "data.tasks=[emotion]")
    assert folder.read_labels(tmp_path / "one").keys() == {"emotion"}
    _train("toy-clip", path, tmp_path / "both", "mixup=0")
    assert folder.read_labels(tmp_path / "both").keys() == {"emotion", "mood"}


def test_a_row_marked_for_validation_chooses_and_is_not_trained_on(tmp_path: Path) -> None:
    def validate(row: dict[str, Any]) -> None:
        if row["speaker"] in ("p0", "p5"):
            row["split"] = "val"

    path = _rewritten(corpora.clips(tmp_path), validate)
    _train("toy-clip", path, tmp_path / "run")
    card = _card(tmp_path / "run")
    assert set(card["selection"]["ids"]) == {f"clip{i}" for i in (*range(4), *range(20, 24))}
    assert card["sizes"] == {"train": 28, "held_out": 8, "test": 12}


def test_random_cuts_are_said_in_the_card(data: Path, tmp_path: Path) -> None:
    _train("toy-clip", data, tmp_path / "run", "data.random_split=true")
    (note,) = _card(tmp_path / "run")["notes"]
    assert "by clip, not by speaker" in note


def test_a_finished_run_is_finished(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = _train("toy-clip", data, out)
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert "state" not in times
    assert _train("toy-clip", data, out) == found
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_other_data_in_the_same_place_are_another_run(data: Path, tmp_path: Path) -> None:
    _train("toy-clip", data, tmp_path / "run")
    changed = _rewritten(corpora.clips(tmp_path), lambda row: row.update(speaker="p" + row["id"]))
    with pytest.raises(RunError, match="it differs in data"):
        _train("toy-clip", changed, tmp_path / "run")


def test_a_stages_own_settings_hold_for_it_alone(data: Path, tmp_path: Path) -> None:
    words = ("stage.contrast.train.epochs=3", "stage.contrast.train.batch_size=4")
    _train("toy-pretrain", data, tmp_path / "run", *words)
    epochs = [line["stage"] for line in _log(tmp_path / "run") if "loss" in line]
    assert epochs == ["contrast"] * 3 + ["classify"]


def test_a_word_for_all_stages_is_stronger_than_a_presets_for_one() -> None:
    preset = config.resolve("toy-pretrain")
    assert preset.for_stage("contrast").train.epochs == 3 != preset.train.epochs
    typed = config.resolve("toy-pretrain", overrides=["epochs=7"])
    assert [typed.for_stage(name).train.epochs for name in typed.stages] == [7, 7]
    one = config.resolve("toy-pretrain", overrides=["epochs=7", "stage.contrast.train.epochs=9"])
    assert [one.for_stage(name).train.epochs for name in one.stages] == [9, 7]


def test_claip_emo_goes_on_to_another_corpus_with_new_heads(tmp_path: Path) -> None:
    first = corpora.recordings(tmp_path)
    _train("claip-emo", first, tmp_path / "first", "batch_size=4", preset="tiny")
    names = {"calm": "left", "glad": "right"}
    other = _rewritten(
        first, lambda row: row.update(labels={"side": names[row["labels"]["emotion"]]})
    )
    still = ("batch_size=4", "lr=1e-30", "weight_decay=0")  # what is handed on stays as it was
    _train("claip-emo", other, tmp_path / "other", *still, preset="tiny", init=tmp_path / "first")
    before = load_file(tmp_path / "first/model.safetensors")
    after = load_file(tmp_path / "other/model.safetensors")
    adapters = [name for name in before if "lora" in name or ".temporal." in name]
    assert adapters
    assert all(torch.equal(before[name], after[name]) for name in adapters)
    assert mien.load(tmp_path / "other").specs["side"].labels == ("left", "right")
    assert [n for n in _log(tmp_path / "other")[0]["new"] if "heads." not in n] == []


def test_words_name_columns_whose_fields_have_dots(tmp_path: Path) -> None:
    rows = [f'{i},p{i // 2},{"ab"[i % 2]},"[{i % 2}.0, {i}.5]",x' for i in range(48)]
    data = tmp_path / "foreign.csv"
    data.write_text("\n".join(["key,actor,mood,au,comment", *rows]) + "\n")
    train(
        "claip-emo",
        preset="features",
        data=data,
        out=tmp_path / "run",
        overrides=[
            *("data.columns.id=key", "data.columns.speaker=actor"),
            *("data.columns.labels.emotion=mood", "data.columns.features.video=au"),
            *("data.rename.a=calm", "data.rename.b=glad", "epochs=1", "batch_size=4"),
        ],
        quiet=True,
    )
    run = mien.load(tmp_path / "run")
    assert run.specs["emotion"].labels == ("calm", "glad")
    assert run.settings.data.columns["labels.emotion"] == "mood"
    assert run.settings.data.columns["features.video"] == "au"


# -- two at once -----------------------------------------------------------------------------------


def test_two_trainings_do_not_share_a_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a start that fails")

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("mien.run.loop.Loop.run", broken)
        with pytest.raises(RuntimeError, match="a start that fails"):
            _train("toy-clip", data, out)
    assert not (out / "state").exists(), "a start that fails keeps nothing locked"
    hold = (
        "import sys\nfrom pathlib import Path\nfrom mien.run.alone import alone\n"
        "with alone(Path(sys.argv[1]), lock='state/.lock'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", hold, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process trains in this folder"):
            _train("toy-clip", data, out)
        other.communicate()
    assert _train("toy-clip", data, out)["tasks"]
    assert not (out / "state").exists()
