"""`mien convert`: official checkpoints of HiCMAE become runs, or are refused by name."""

from __future__ import annotations

import argparse
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import corpora
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from typer.testing import CliRunner

import mien
from mien import config
from mien.cli import app
from mien.errors import ConfigError, MienError, RunError
from mien.parts import keys
from mien.run import checkpoint
from mien.run.convert import convert
from mien.run.train import train
from mien.systems import hicmae, hicmae_official
from mien.types import Output, Problem, TaskSpec

State = dict[str, Tensor]
GOLDEN = ("heads=2", "frame_difference=false")  # its losses were taken without differences


def _official(stage: str, *words: str) -> State:
    """Random weights of the tiny preset, named and stored as the official code does it."""
    settings = config.resolve("hicmae", preset="tiny", overrides=words).model
    spec = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("calm", "glad", "sad"))
    torch.manual_seed(1)
    build, specs = hicmae.STAGES[stage].build, {"emotion": spec}
    network = build(settings, specs if stage == "finetune" else {}).network
    rules = [(a, b.replace("{task}", "emotion")) for a, b in hicmae_official.RULES]
    assert isinstance(network, torch.nn.Module)
    named = ((keys.renamed(n, rules, back=True), t) for n, t in network.state_dict().items())
    return {name: tensor + 0.1 * torch.randn_like(tensor) for name, tensor in named}


def _saved(path: Path, state: State) -> Path:
    """A checkpoint as the official code writes it."""
    around = {
        "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.zeros(3)}}, "param_groups": []},
        "epoch": "best",
        "scaler": {"scale": 65536.0},
        "args": argparse.Namespace(lr=1e-3, model="pretrain_hicmae", betas=[0.9, 0.95]),
    }
    torch.save({"model": OrderedDict(state), **around}, path)
    return path


# -- against the official code ---------------------------------------------------------------------


def _golden(shared: Path, kind: str, folder: Path) -> tuple[Any, dict[str, Tensor]]:
    with safe_open(shared / f"golden/public_{kind}.safetensors", "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    weights = {n.removeprefix("weights."): t for n, t in found.items() if n.startswith("weights.")}
    path = _saved(folder / f"{kind}.pth", weights)
    card = convert("hicmae", path, folder / kind, overrides=GOLDEN)
    assert card["converted_from"]["tensors"] == len(weights)
    return mien.load(folder / kind), found


def _equal(ours: Tensor, official: Tensor) -> None:
    torch.testing.assert_close(ours, official, atol=1e-5, rtol=0)


@pytest.mark.shared
def test_a_fine_tuned_checkpoint_answers_as_the_official_code(shared: Path, tmp_path: Path) -> None:
    run, golden = _golden(shared, "finetune", tmp_path)
    with torch.no_grad():
        output = run.model(video=golden["input.video"], audio=golden["input.audio"])
    _equal(output.logits["emotion"], golden["output.logits"])
    _equal(output.features["fused"], golden["output.feature"])


@pytest.mark.shared
def test_a_pretrained_checkpoint_rebuilds_as_the_official_code(
    shared: Path, tmp_path: Path
) -> None:
    run, golden = _golden(shared, "pretrain", tmp_path)
    given = {name: golden[f"input.{name}"] for name in ("video", "audio")}
    masks = {f"{name}_hidden": golden[f"input.{name}_mask"] for name in given}
    with torch.no_grad():
        output: Output = run.model(**given, **masks)
        trained: Output = run.model.train()(**given, **masks)
    for name in given:
        _equal(output.aux[name], golden[f"output.{name}"])
    for place, level in enumerate((2, 3, 4)):
        _equal(output.aux[f"logits_{level}"], golden[f"output.logits_per_video.{place}"])
    objective = hicmae.rebuild_and_contrast(run.settings.model, {})
    for found in (output, trained):
        terms = objective(found, None)  # type: ignore[arg-type]
        contrast = [value for name, value in terms.items() if name.startswith("contrast")]
        _equal(terms["video/loss"], golden["loss.video"])
        _equal(terms["audio/loss"], golden["loss.audio"])
        _equal(torch.stack(contrast).sum(), golden["loss.contrastive"])
        _equal(terms["loss"], golden["loss.total"])


# -- a run like any other --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("pretrained")
    convert("hicmae", _saved(home / "p.pth", _official("pretrain")), home / "run",
            overrides=["heads=2"])  # fmt: skip
    return home / "run"


def test_what_was_converted_is_what_it_was(pretrained: Path) -> None:
    state = _official("pretrain")
    run = mien.load(pretrained)
    rules = hicmae_official.RULES
    ours = {keys.renamed(name, rules): tensor for name, tensor in state.items()}
    found = run.model.state_dict()
    assert found.keys() == ours.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in ours.items())
    sizes = run.settings.model.model_dump()
    assert {name: sizes[name] for name in ("dim", "depth", "heads", "fusion_depth", "patch")} == {
        "dim": 32, "depth": 3, "heads": 2, "fusion_depth": 1, "patch": 8,
    }  # fmt: skip
    assert sizes["levels"] == (1, 2, 3)
    assert (sizes["decoder_dim"], sizes["decoder_depth"], sizes["decoder_heads"]) == (16, 4, 2)


def test_the_card_says_where_it_comes_from(pretrained: Path) -> None:
    card = json.loads((pretrained / "card.json").read_text())
    origin = card["converted_from"]
    assert origin["file"] == "p.pth"
    assert origin["sha256"] == checkpoint.digest(pretrained.parent / "p.pth")
    assert card["licence"] == "unknown (that of the official checkpoint)"
    assert card["finished"]
    assert "neither trained nor scored" in card["notes"][0]


def test_a_pretrained_checkpoint_starts_a_training_which_names_what_is_new(
    pretrained: Path, tmp_path: Path
) -> None:
    words = ["epochs=1", "batch_size=4", "lr=1e-30", "weight_decay=0"]
    data = corpora.prepared(tmp_path)
    rows = data.read_text().splitlines(keepends=True)
    data.write_text("".join(row for row in rows if len(json.loads(row)["features"]) == 2))
    for modalities in (["audio", "video"], ["audio"]):
        out = tmp_path / "-".join(modalities)
        train(
            "hicmae",
            preset="tiny",
            data=data,
            out=out,
            stage="finetune",
            init=pretrained,
            overrides=[*words, f"modalities=[{', '.join(modalities)}]"],
            quiet=True,
        )
        log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        fresh = {"feature_norm", "heads", "pools"}
        assert {name.split(".")[1] for name in log[0]["new"]} == fresh
        before = dict(mien.load(pretrained).model.named_parameters())
        after = dict(mien.load(out).model.named_parameters())
        taken = [name for name in after if name.split(".")[0] not in fresh]
        assert {name.split(".")[1] for name in taken if "encoders" in name} == set(modalities)
        assert any("fusion" in name for name in taken) == (len(modalities) == 2)
        for name in taken:
            torch.testing.assert_close(after[name], before[name])
        licence = json.loads((out / "card.json").read_text())["licence"]
        assert licence.startswith("unknown")  # that of its ancestor


def test_a_fine_tuned_checkpoint_predicts(tmp_path: Path) -> None:
    path = _saved(tmp_path / "f.pth", _official("finetune"))
    words = ["heads=2", "size=32", "frames=4", "stride=2", "mels=32", "sound_frames=64"]
    convert("hicmae", path, tmp_path / "run", overrides=words, labels=["calm", "glad", "sad"])
    run = mien.load(tmp_path / "run")
    timelines = run.predict(corpora.prepared(tmp_path))
    assert len(timelines) == 16
    assert set(timelines[0].tracks[0].windows[0].scores["emotion"]) == {"calm", "glad", "sad"}
    with pytest.raises(RunError, match="holds no scores"):
        mien.evaluate(tmp_path / "run")


def test_the_shell_says_what_to_do_next(tmp_path: Path) -> None:
    path = _saved(tmp_path / "p.pth", _official("pretrain"))
    made = CliRunner().invoke(app, ["convert", "hicmae", str(path), str(tmp_path / "a"), "heads=2"])
    assert made.exit_code == 0, made.output
    assert f"mien train hicmae --preset b --init {tmp_path / 'a'}" in made.output
    words = ["convert", "hicmae", str(path), str(tmp_path / "a"), "heads=2", "--json"]
    again = CliRunner().invoke(app, words)  # the same once more is no harm
    assert json.loads(again.output)["converted_from"]["file"] == "p.pth"
    other = CliRunner().invoke(
        app, ["convert", "hicmae", str(path), str(tmp_path / "a"), "heads=4"]
    )
    assert "another run lives here" in str(other.exception)


# -- refused by name -------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("what", ["missing", "renamed", "reshaped", "one too many"])
def test_whatever_is_wrong_with_a_key_is_said_of_that_key(
    what: str, stage: str, tmp_path: Path
) -> None:
    state = _official(stage)
    for name in [*list(state)[:: len(state) // 4], "encoder.norm.weight"]:
        changed = dict(state)
        tensor = changed.pop(name) if what in ("missing", "renamed") else changed[name]
        if what == "renamed":
            changed[f"{name}_"] = tensor
        elif what == "reshaped":
            changed[name] = tensor[..., None] if tensor.ndim > 1 else tensor[:-1]
        elif what == "one too many":
            changed[name := f"{name}.more"] = torch.zeros(1)
        with pytest.raises(MienError) as error:
            convert("hicmae", _saved(tmp_path / "w.pth", changed), tmp_path / "run",
                    overrides=["heads=2"])  # fmt: skip
        said = str(error.value)
        # A width that all sizes follow from is believed, and then the others do not fit it.
        assert name in said or (what == "reshaped" and name == "encoder.norm.weight"), said
        assert not (tmp_path / "run").exists()


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    state = _official("finetune")
    state["head.bias"][0] = float("nan")
    with pytest.raises(RunError, match=r"head\.bias holds something that is no finite number"):
        convert("hicmae", _saved(tmp_path / "w.pth", state), tmp_path / "run",
                overrides=["heads=2"])  # fmt: skip


def test_sizes_that_only_a_shape_claims_are_not_built(tmp_path: Path) -> None:
    state = _official("finetune")
    state["encoder.norm.weight"] = torch.zeros(2_000_000)
    with pytest.raises(RunError, match="has the shape"):
        convert("hicmae", _saved(tmp_path / "w.pth", state), tmp_path / "run",
                overrides=["heads=2"])  # fmt: skip


def test_what_no_shape_tells_is_asked_for(tmp_path: Path) -> None:
    path = _saved(tmp_path / "w.pth", _official("finetune"))
    with pytest.raises(ConfigError, match="shapes do not say how many attention heads"):
        convert("hicmae", path, tmp_path / "run")
    with pytest.raises(ConfigError, match="the head has 3 outputs, and 2 labels"):
        convert("hicmae", path, tmp_path / "run", overrides=["heads=2"], labels=["a", "b"])
    with pytest.raises(ConfigError, match="the head has 3 outputs, and 11 labels"):
        convert("hicmae", path, tmp_path / "run", overrides=["heads=2"], task="mafw")
    with pytest.raises(ConfigError, match="did you mean 'mafw'"):
        convert("hicmae", path, tmp_path / "run", overrides=["heads=2"], task="maffw")
    path = _saved(tmp_path / "p.pth", _official("pretrain"))
    with pytest.raises(ConfigError, match="answers no task"):
        convert("hicmae", path, tmp_path / "run", overrides=["heads=2"], task="mafw")


def test_something_else_is_no_checkpoint_of_this_system(tmp_path: Path) -> None:
    path = _saved(tmp_path / "w.pth", {"layer.weight": torch.zeros(3, 3)})
    with pytest.raises(ConfigError, match="neither a decoder nor a head"):
        convert("hicmae", path, tmp_path / "run")
    with pytest.raises(ConfigError, match="reads no published checkpoints"):
        convert("claip-emo", path, tmp_path / "run")
