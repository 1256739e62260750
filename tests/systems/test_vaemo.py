"""VAEmo-style: sizes, both objectives from their formulas, absence, and what stages hand on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import corpora
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mien import config, registry, tasks
from mien.config import TrainConfig
from mien.errors import ConfigError, DataError
from mien.parts import keys, masking, towers
from mien.parts.alignment import AlignedMedia, MaskedMedia
from mien.parts.model import Model
from mien.run import assemble, folder, optimizer
from mien.run.measure import measure
from mien.run.train import train
from mien.systems import vaemo
from mien.types import Batch, Objective, Output, Problem, Resolution, TaskSpec

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=tuple("abcdef"))
PRESETS = sorted(registry.system("vaemo").presets)


def _settings(*words: str, preset: str = "tiny") -> vaemo.Config:
    settings = config.resolve("vaemo", preset=preset, overrides=words).model
    assert isinstance(settings, vaemo.Config)
    return settings


def _model(stage: str, *words: str, preset: str = "tiny") -> Model:
    torch.manual_seed(0)
    specs = {"emotion": EMOTION} if stage == "finetune" else {}
    model = vaemo.STAGES[stage].build(_settings(*words, preset=preset), specs)
    assert isinstance(model, Model)
    return model


def _learning(stage: str, *words: str) -> Model:
    """A network in training, of which nothing is random but the masks."""
    model = _model(stage, "drop_path=0", *words).train()
    model.front_end.eval()
    return model


def _batch(clips: int = 4, *, text: bool = False) -> Batch:
    torch.manual_seed(1)
    inputs = {
        "audio": torch.rand(clips, 6000) - 0.5,
        "video": torch.randint(0, 256, (clips, 9, 32, 32, 3), dtype=torch.uint8),
    }
    if text:
        inputs["text"] = torch.randn(clips, 3, 8)
    return Batch(
        inputs=inputs,
        mask={name: torch.ones(x.shape[:2], dtype=torch.bool) for name, x in inputs.items()},
        present=torch.ones(clips, len(inputs), dtype=torch.bool),
        targets={"emotion": torch.arange(clips)},
        target_mask={"emotion": torch.ones(clips, dtype=torch.bool)},
        luck=list(range(10, 10 + clips)),
    )


def _objective(stage: str, *words: str) -> Objective:
    if stage == "finetune":
        return tasks.objective({"emotion": EMOTION})
    objective = vaemo.STAGES[stage].objective
    assert objective is not None
    made = objective(_settings(*words), {})
    assert isinstance(made, Objective)
    return made


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "planned", "exact"),
    [
        ("xs", 9.93, 9_935_360),
        ("small", 21.98, 21_980_928),
        ("base", 38.74, 38_745_088),
        ("base-10", 32.44, 32_441_344),
        ("vit-b", 86.43, 86_429_184),
    ],
)
def test_an_encoder_has_as_many_parameters_as_planned(
    preset: str, planned: float, exact: int
) -> None:
    """The plan's millions count one last norm; the default has three."""
    found = measure("vaemo", preset, 6)
    assert found.components["encoder"].total == exact
    one = measure("vaemo", preset, 6, ["separate_norms=false"]).components["encoder"].total
    assert one == exact - 2 * 2 * _settings(preset=preset).dim
    assert round(one / 1e6, 2) == planned
    width = 3 * _settings(preset=preset).dim
    assert found.trainable == found.total == exact + 2 * width + 6 * width + 6


@pytest.mark.parametrize("preset", PRESETS)
def test_our_names_are_the_same_in_a_run(preset: str) -> None:
    with towers.blueprint():
        for stage in vaemo.STAGES:
            names = dict(_model(stage, preset=preset).named_parameters())
            assert [keys.ours(name) for name in names] == list(names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alpha=0", "beta=0"), "needs a path"),
        (("mu=1", "inject_hidden=0.5"), "with its own masks"),
        (("size=33",), "do not divide"),
    ],
)
def test_settings_that_do_not_fit_are_said_before_anything_runs(
    words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        _settings(*words)


def test_both_are_needed_to_be_contrasted_and_answers_are_once_a_clip() -> None:
    for stage in ("pretrain", "inject"):
        with pytest.raises(ConfigError, match="needs both"):
            _model(stage, "modalities=[audio]")
    frames = replace(EMOTION, resolution=Resolution.FRAME)
    with pytest.raises(ConfigError, match="vaemo answers once a clip, 'emotion' asks once a frame"):
        vaemo.build(_settings(), {"emotion": frames})


# -- every stage learns ----------------------------------------------------------------------------


@pytest.mark.parametrize("stage", list(vaemo.STAGES))
def test_a_step_on_random_tensors_makes_the_loss_smaller(stage: str) -> None:
    words = ("dim=64", "mu=0.5", "gamma=1", "learn_temperature=true", "level_pool=true")
    model, batch = _learning(stage, *words), _batch(text=stage == "inject")
    objective = _objective(stage, *words)
    learner = optimizer.build(model, TrainConfig(weight_decay=0.0))
    optimizer.set_rate(learner, 1e-3)
    losses = []
    for _ in range(2):
        loss = objective(model(batch), batch)["loss"]
        learner.zero_grad()
        torch.autograd.backward(loss)
        learner.step()
        losses.append(float(loss.detach()))
    assert losses[1] < losses[0]
    assert all(p.grad is not None and p.grad.any() for p in model.parameters()), "everything learns"


def test_layers_decay_from_the_heads_down() -> None:
    model = _model("finetune")
    scales = {
        name.removeprefix("network."): group["scale"]
        for group in optimizer.parameter_groups(model, TrainConfig(layer_decay=0.5))
        for name in group["names"]
    }
    assert scales["encoder.stems.audio.project.bias"] == scales["encoder.embeddings.video"] == 1 / 8
    assert scales["encoder.blocks.0.mlp.fc1.weight"] == 1 / 4
    assert scales["encoder.blocks.1.mlp.fc1.weight"] == 1 / 2
    assert scales["encoder.norms.both.weight"] == scales["heads.emotion.weight"] == 1


# -- stage 1 ---------------------------------------------------------------------------------------


def _nce(left: Tensor, right: Tensor, tau: float) -> Tensor:
    """Both directions from their formula."""
    scores = torch.exp(F.normalize(left) @ F.normalize(right).T / tau)
    own = scores.diagonal()
    return -((own / scores.sum(1)).log() + (own / scores.sum(0)).log()).mean() / 2


def test_pretraining_minimises_reconstruction_and_contrast() -> None:
    model, batch = _model("pretrain").eval(), _batch()
    with torch.no_grad():
        output = model(batch)
        terms = _objective("pretrain")(output, batch)
    assert {name.partition("/")[0] for name in terms} == {"loss", "video", "audio", "contrast"}
    contrast = _nce(output.features["video_2"], output.features["audio_2"], 0.07)
    errors = output.aux["video_error"].mean() + output.aux["audio_error"].mean()
    torch.testing.assert_close(terms["loss"], errors + 0.0025 * contrast)
    bare = _objective("pretrain", "contrast=0")
    assert bare.additive
    assert set(bare(output, batch)) == {"loss", "video/loss", "audio/loss"}


def test_what_is_contrasted_may_be_the_means_themselves() -> None:
    output = _model("pretrain", "projection=0").train()(_batch())
    assert output.features["video_2"].shape == (4, 32)
    assert _model("pretrain").train()(_batch()).features["video_2"].shape == (4, 16)
    sizes = [t.numel() for table in (output.features, output.aux) for t in table.values()]
    assert max(sizes) == 4 * 32, "in training a vector a clip travels, and no more"


# -- stage 2 ---------------------------------------------------------------------------------------


def _prepared(model: Model, batch: Batch) -> dict[str, Any]:
    inputs, mask = model.front_end(batch.inputs, batch.mask)
    return {**inputs, **model.front_end.draw(inputs, batch.luck), "mask": mask}


def test_each_path_is_set_against_the_description_that_its_setting_names() -> None:
    words = ("gamma=1", "video_caption=joint", "audio_caption=visual", "alpha=2")
    model = _model("inject", *words).eval()
    network: Any = model.network
    batch = _batch(text=True)
    given = _prepared(model, batch)
    output = network(**given)
    tokens = {name: network.encoder.tokens(name, given[name]) for name in ("video", "audio")}
    means = {name: network.encoder(x, name)[0].mean(1) for name, x in tokens.items()}
    means["both"] = network.encoder(torch.cat(list(tokens.values()), 1), "both")[0].mean(1)
    read = {"video": 2, "audio": 0, "both": 2}
    expected = torch.zeros(())
    for name, factor in (("video", 2.0), ("audio", 1.0), ("both", 1.0)):
        path = network.paths[name](means[name])
        caption = network.text(batch.inputs["text"][:, read[name]])
        torch.testing.assert_close(output.features[f"{name}_path"], path)
        torch.testing.assert_close(output.features[f"{name}_caption"], caption)
        expected = expected + factor * _nce(path, caption, 0.07)
    terms = _objective("inject", *words)(output, batch)
    torch.testing.assert_close(terms["loss"], expected)
    assert not any(name.startswith("pretraining") for name in terms)


@pytest.mark.parametrize("width", [256, 4096])
def test_at_the_start_a_path_costs_the_logarithm_of_the_batch(width: int) -> None:
    """Plus half the variance of the scores: that of cosines of random vectors is 1/D."""
    objective, clips = _objective("inject", "beta=0"), 64
    found = []
    for seed in range(8):
        torch.manual_seed(seed)
        random = {f"video_{word}": torch.randn(clips, width) for word in ("path", "caption")}
        found.append(float(objective(Output(features=random), _batch(1))["loss"]))
    expected = math.log(clips) + 1 / (2 * width * 0.07**2)
    assert sum(found) / len(found) == pytest.approx(expected, abs=0.05)


def test_the_order_of_clips_changes_nothing() -> None:
    words = ("mu=1", "gamma=1", "soft_targets=true")
    model, batch = _learning("inject", *words), _batch(text=True)
    order = [2, 0, 3, 1]
    turned = replace(batch.map(lambda x: x[order]), luck=[batch.luck[i] for i in order])
    with torch.no_grad():
        one, other = model(batch), model(turned)
    for name, feature in one.features.items():
        torch.testing.assert_close(other.features[name], feature[order])
    objective = _objective("inject", *words)
    torch.testing.assert_close(objective(other, turned)["loss"], objective(one, batch)["loss"])


def test_absent_descriptions_change_nothing() -> None:
    """A row of zeros, a clip without any, and a clip that is not there: out of the loss."""
    model, batch = _learning("inject", "gamma=1"), _batch(5, text=True)
    objective = _objective("inject", "gamma=1")
    text = batch.inputs["text"]
    text[1, 0] = 0  # no visual one
    text[2] = float("nan")  # whatever stands where nothing is
    batch.mask["text"][2] = False
    batch.present[2, 1] = False
    batch.present[3, 2] = False  # no video
    batch.mask["video"][3] = False
    output = model(batch)
    terms = objective(output, batch)
    for name, rows in (("video", [0, 4]), ("audio", [0, 1, 3, 4]), ("both", [0, 1, 4])):
        path, caption = (output.features[f"{name}_{word}"][rows] for word in ("path", "caption"))
        torch.testing.assert_close(terms[f"{name}/loss"], _nce(path, caption, 0.07))
    torch.autograd.backward(terms["loss"])
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    blank = {"text": torch.zeros(5, 1, 8), **{k: batch.inputs[k] for k in ("audio", "video")}}
    nobody = replace(batch, inputs=blank, mask=batch.mask | {"text": torch.zeros(5, 1).bool()},
                     present=torch.tensor([[True, False, True]] * 5))  # fmt: skip
    assert objective(model(nobody), nobody)["loss"] == 0


def test_what_pretraining_minimised_can_be_kept() -> None:
    model, batch = _learning("inject", "mu=0.5"), _batch(text=True)
    with torch.no_grad():
        terms = _objective("inject", "mu=0.5")(model(batch), batch)
    kept = _learning("pretrain")
    theirs, ours = kept.network.state_dict(), model.network.state_dict()
    kept.network.load_state_dict({name: ours[name] for name in theirs})
    plain = _batch()
    with torch.no_grad():
        alone = _objective("pretrain")(kept(plain), plain)["loss"]
    expected = terms["video/loss"] + terms["audio/loss"] + 0.5 * alone
    torch.testing.assert_close(terms["loss"], expected)
    assert terms["pretraining/video/loss"] != terms["video/loss"]


def test_a_part_of_a_clip_may_be_hidden_in_training() -> None:
    model, batch = _learning("inject", "inject_hidden=0.5"), _batch(text=True)
    assert isinstance(model.front_end, MaskedMedia)
    network: Any = model.network
    given = _prepared(model, batch)
    found = network(**given).features["audio_path"]
    visible, _ = masking.parted(given["audio_hidden"])
    assert visible.shape == (4, 4)  # of eight
    tokens = network.encoder.tokens("audio", given["audio"], visible)
    expected = network.paths["audio"](network.encoder(tokens, "audio")[0].mean(1))
    torch.testing.assert_close(found, expected)
    whole = network.eval()(**given).features["audio_path"]
    assert not torch.allclose(found, whole), "an evaluated clip is seen whole"
    assert not isinstance(_model("inject").front_end, MaskedMedia)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (torch.randn(4, 3, 5), r"5 wide, not 8.*model\.text_dim=5"),
        (torch.randn(4, 2, 8), "has 2 descriptions"),
        (torch.ones(4, 9, dtype=torch.int64), r"torch\.int64 of \(9,\)"),
        (None, "no description"),
    ],
)
def test_other_texts_are_refused(text: Tensor | None, said: str) -> None:
    network = _model("inject").network
    given = {"video": torch.randn(4, 3, 4, 32, 32), "audio": torch.randn(4, 1, 64, 32)}
    with pytest.raises(DataError, match=f"(?s){said}"):
        network(**given, text=text)


def test_a_corpus_without_descriptions_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    data = corpora.prepared(tmp_path)
    with pytest.raises(DataError, match="no row has 'text', which stage 'inject' learns from"):
        train("vaemo", preset="tiny", data=data, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


# -- fine-tuning -----------------------------------------------------------------------------------


def test_the_head_reads_three_means() -> None:
    model = _model("finetune").eval()
    network: Any = model.network
    video, audio = torch.randn(3, 3, 4, 32, 32), torch.randn(3, 1, 64, 32)
    output = network(video=video, audio=audio)
    tokens = [network.encoder.tokens("video", video), network.encoder.tokens("audio", audio)]
    passes = zip(("video", "audio", "both"), (*tokens, torch.cat(tokens, 1)), strict=True)
    means = {name: network.encoder(x, name)[0].mean(1) for name, x in passes}
    joined = F.layer_norm(torch.cat(list(means.values()), 1), (96,), eps=1e-6)
    torch.testing.assert_close(output.features["fused"], joined)
    torch.testing.assert_close(output.logits["emotion"], network.heads["emotion"](joined))
    for name, mean in means.items():
        torch.testing.assert_close(output.features[name], mean)


@pytest.mark.parametrize("name", ["video", "audio"])
def test_a_missing_modality_leaves_the_pass_of_the_other_alone(name: str) -> None:
    network: Any = _model("finetune").eval().network
    given = {"video": torch.randn(2, 3, 4, 32, 32), "audio": torch.randn(2, 1, 64, 32)}
    alone = network(**{name: given[name]})
    own = network.encoder(network.encoder.tokens(name, given[name]), name)[0].mean(1)
    torch.testing.assert_close(alone.features[name], own)
    assert not any(alone.features[other].any() for other in {"video", "audio", "both"} - {name})
    given["audio" if name == "video" else "video"][1] = float("nan")
    present = torch.tensor([[True, True], [name == "audio", name == "video"]])
    mixed = network(**given, present=present)
    torch.testing.assert_close(mixed.logits["emotion"][1], alone.logits["emotion"][1])
    both = network(**{key: x[:1] for key, x in given.items()})
    torch.testing.assert_close(mixed.logits["emotion"][:1], both.logits["emotion"])


def test_a_network_of_one_modality_is_as_wide_as_its_pass() -> None:
    model = _model("finetune", "modalities=[audio]", "level_pool=true").eval()
    output = model(_batch())
    assert set(output.features) == {"audio", "fused"}
    assert output.features["fused"].shape == (4, 32)
    assert isinstance(model.front_end, AlignedMedia)


# -- what stages hand on ---------------------------------------------------------------------------


def _new(stage: str, handed: Model, *words: str) -> set[str]:
    """Names of the tensors that start anew in a stage; all else is what was handed on."""
    model, declared = _model(stage, *words), vaemo.STAGES[stage]
    assert declared.takes is not None
    given = folder.kept_tensors(handed)
    new = assemble.receive(model, given, declared.takes(_settings(*words)))
    for name, tensor in folder.kept_tensors(model).items():
        assert name in new or torch.equal(tensor, given[name])
    return {name.removeprefix("network.").rpartition(".")[0] or name for name in new}


def test_stages_go_on_with_what_was_learned_and_name_what_is_new() -> None:
    torch.manual_seed(5)
    pretrained, injected = _model("pretrain"), _model("inject")
    for parameter in (*pretrained.parameters(), *injected.parameters()):
        parameter.data.normal_()
    projections = {"paths.audio", "paths.video", "text.0", "text.1"}
    heads = {"feature_norm", "heads.emotion"}
    assert _new("inject", pretrained) == projections
    assert _new("inject", pretrained, "mu=1") == projections
    assert _new("finetune", injected) == heads
    assert _new("finetune", pretrained) == heads
    assert _new("finetune", injected, "modalities=[audio]") == heads
    pools = {f"pools.{name}" for name in ("video", "audio", "both")}
    assert _new("finetune", injected, "level_pool=true") == heads | pools
    one_norm = _model("inject", "separate_norms=false")
    words = ("separate_norms=false", "modalities=[video]")
    assert _new("finetune", one_norm, *words) == heads
    learned = _model("pretrain", "learn_temperature=true")
    words = ("learn_temperature=true", "mu=1")
    assert _new("inject", learned, *words) == projections | {"network.path_scale"}


def test_pretraining_can_be_continued() -> None:
    stage = vaemo.STAGES["pretrain"]
    words = ("learn_temperature=true",)
    one, other = _model("pretrain", *words), _model("pretrain", *words)
    assert not assemble.receive(other, folder.kept_tensors(one), stage.hands_on)
