"""HiCMAE: published sizes, what learns how fast, a step by hand, and both objectives."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mien import config, registry
from mien.config import TrainConfig
from mien.errors import ConfigError, DataError
from mien.parts import clips, keys, towers
from mien.parts.alignment import AlignedMedia, MaskedMedia
from mien.parts.model import Model
from mien.parts.vision import IMAGENET_MEAN, IMAGENET_STD
from mien.run import gather, optimizer, processes
from mien.run.measure import count, measure
from mien.systems import hicmae, hicmae_official
from mien.types import Batch, Objective, Output, Problem, Resolution, TaskSpec

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=tuple("abcdef"))
AFFECT = TaskSpec(name="affect", problem=Problem.REGRESSION, labels=("arousal", "valence"))
PRESETS = sorted(registry.system("hicmae").presets)


def _settings(preset: str = "tiny", *words: str) -> hicmae.Config:
    settings = config.resolve("hicmae", preset=preset, overrides=words).model
    assert isinstance(settings, hicmae.Config)
    return settings


def _model(stage: str, *words: str, preset: str = "tiny") -> Model:
    torch.manual_seed(0)
    specs = {} if stage == "pretrain" else {"emotion": EMOTION, "affect": AFFECT}
    model = hicmae.STAGES[stage].build(_settings(preset, *words), specs)
    assert isinstance(model, Model)
    return model


def _batch(clips: int = 4) -> Batch:
    torch.manual_seed(1)
    video = torch.randint(0, 256, (clips, 9, 32, 32, 3), dtype=torch.uint8)
    audio = torch.rand(clips, 6000) - 0.5
    inputs = {"audio": audio, "video": video}
    mask = {name: torch.ones(x.shape[:2], dtype=torch.bool) for name, x in inputs.items()}
    return Batch(
        inputs=inputs,
        mask=mask,
        present=torch.ones(clips, 2, dtype=torch.bool),
        targets={"emotion": torch.arange(clips), "affect": torch.rand(clips, 2)},
        target_mask={"emotion": torch.ones(clips).bool(), "affect": torch.ones(clips, 2).bool()},
        luck=list(range(10, 10 + clips)),
    )


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "whole", "pretraining", "audio"),
    [
        ("t", 20_473_370, None, 7_961_344),
        ("s", 45_652_250, 50_584_576, 17_840_256),
        ("b", 80_792_602, 99_609_344, 31_651_328),
    ],
)
def test_it_is_exactly_as_large_as_published(
    preset: str, whole: int, pretraining: int | None, audio: int
) -> None:
    found = measure("hicmae", preset, 6)
    assert found.total == found.trainable == whole
    assert found.components["encoders.audio"].total == audio
    with towers.blueprint():
        network = _model("pretrain", preset=preset).network
    assert pretraining in (None, count(network).total)


def _official_names(network: torch.nn.Module) -> set[str]:
    rules = [(a, b.replace("{task}", "emotion")) for a, b in hicmae_official.RULES]
    return {keys.renamed(name, rules, back=True) for name in network.state_dict()}


def test_as_many_tensors_as_the_official_checkpoints_have() -> None:
    with towers.blueprint():
        pretrained = _official_names(_model("pretrain", preset="b").network)
        built = hicmae.STAGES["finetune"].build(_settings("b"), {"emotion": EMOTION})
        finetuned = _official_names(built.network)  # type: ignore[arg-type]
    assert (len(pretrained), len(finetuned), len(pretrained & finetuned)) == (540, 370, 364)
    assert finetuned - pretrained == {
        "fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias",
        "video_layer_weights", "audio_layer_weights",
    }  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_our_names_are_the_same_in_a_run(preset: str) -> None:
    with towers.blueprint():
        for stage in hicmae.STAGES:
            names = dict(_model(stage, preset=preset).named_parameters())
            assert [keys.ours(name) for name in names] == list(names)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("levels=[1,2]",), "4 decoder blocks look back at 3 levels"),
        (("levels=[1,3,2]",), "levels rise"),
        (("levels=[0,2,3]",), "levels rise"),
        (("depth=4",), "to the last of 4 blocks"),
        (("tubelet=1",), "tubelet=2"),
        (("size=33",), "do not divide"),
        (("sound_frames=60",), "do not divide"),
        (("heads=3",), None),
    ],
)
def test_sizes_that_do_not_fit_are_said_before_anything_runs(
    words: tuple[str, ...], said: str | None
) -> None:
    if said is None:
        with pytest.raises(ConfigError, match="cannot be shared by 3 attention heads"):
            _model("finetune", *words)
        return
    with pytest.raises(ConfigError, match=said):
        _settings("tiny", *words)


def test_pretraining_needs_both_and_answers_are_once_a_clip() -> None:
    with pytest.raises(ConfigError, match="needs both"):
        _model("pretrain", "modalities=[audio]")
    frames = replace(EMOTION, resolution=Resolution.FRAME)
    with pytest.raises(ConfigError, match="answers once a clip, 'emotion' asks once a frame"):
        hicmae.build(_settings(), {"emotion": frames})


# -- fine-tuning -----------------------------------------------------------------------------------


def _layers(config_: hicmae.Config) -> dict[str, int]:
    """Layers of the specification: patches 0, block i of an encoder i + 1, of the fusion after."""
    network = hicmae.Network(config_, {"emotion": EMOTION})
    top = config_.depth + config_.fusion_depth + 1
    expected = {}
    for name in dict(network.named_parameters()):
        words = name.split(".")
        if "patches" in words:
            expected[name] = 0
        elif words[0] == "encoders" and "blocks" in words:
            expected[name] = int(words[3]) + 1
        elif words[0] == "fusion" and "blocks" in words:
            expected[name] = config_.depth + int(words[3]) + 1
        else:
            expected[name] = top
    return expected


def test_layers_decay_by_name_as_published() -> None:
    settings = _settings("tiny", "fusion_depth=2")
    model = Model(
        hicmae.build(settings, {}).front_end, hicmae.Network(settings, {"emotion": EMOTION})
    )
    knobs = TrainConfig(layer_decay=0.75, weight_decay=0.05)
    expected, seen = _layers(settings), {}
    for group in optimizer.parameter_groups(model, knobs):
        for name, parameter in zip(group["names"], group["params"], strict=True):
            seen[name.removeprefix("network.")] = group["scale"]
            plain = parameter.ndim == 1
            assert group["weight_decay"] == (0 if plain else 0.05), name
    top = settings.depth + settings.fusion_depth + 1
    assert seen == pytest.approx({name: 0.75 ** (top - n) for name, n in expected.items()})
    assert seen["encoders.video.patches.project.weight"] == pytest.approx(0.75**top)
    assert seen["encoders.audio.norm.weight"] == seen["pools.video.weights"] == 1
    full = _settings("b")
    with towers.blueprint():
        network = hicmae.Network(full, {"emotion": EMOTION})
    assert network.layers == 13
    assert network.layer("fusion.blocks.audio.1.norm1.bias") == 12
    assert network.layer("encoders.video.blocks.9.mlp.fc1.weight") == 10


def _adamw(
    before: Tensor, gradient: Tensor, *, rate: float, decay: float, knobs: TrainConfig
) -> Tensor:
    """The first step of AdamW from its formula, in double precision."""
    first, second = (1 - b for b in knobs.betas)
    g = gradient.double()
    moment, square = first * g / first, second * g**2 / second  # corrected for the start at 0
    return before.double() * (1 - rate * decay) - rate * moment / (square.sqrt() + 1e-8)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_step_is_the_reference_step(stage: str) -> None:
    model, batch = _model(stage, "augment=false", "drop_path=0").train(), _batch()
    settings = config.resolve("hicmae", preset="tiny")
    knobs = settings.for_stage(stage).train.model_copy(update={"weight_decay": 0.05})
    objective = _objective(stage)
    learner = optimizer.build(model, knobs)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer.set_rate(learner, 1e-3)
    torch.autograd.backward(objective(model(batch), batch)["loss"])
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    learner.step()
    assert gradients.keys() == before.keys(), "everything learns"
    layers = _layers(_settings()) if stage == "finetune" else {}
    top = _settings().depth + _settings().fusion_depth + 1
    for name, parameter in model.named_parameters():
        plain = parameter.ndim == 1 or "mask_token" in name
        layer = layers.get(name.removeprefix("network."), top)  # heads, or no layers at all
        expected = _adamw(
            before[name],
            gradients[name],
            rate=1e-3 * knobs.layer_decay ** (top - layer),
            decay=0 if plain else 0.05,
            knobs=knobs,
        )
        torch.testing.assert_close(parameter.detach().double(), expected, atol=2e-7, rtol=1e-5)


def _objective(stage: str) -> Objective:
    if stage == "pretrain":
        return hicmae.rebuild_and_contrast(_settings(), {})
    from mien import tasks

    return tasks.objective({"emotion": EMOTION, "affect": AFFECT}, label_smoothing=0.1)


def test_the_head_reads_all_levels_and_what_the_fusion_makes_of_the_last() -> None:
    model = _model("finetune").eval()
    network: Any = model.network
    inputs, _ = model.front_end(_batch().inputs, _batch().mask)
    inputs = {"video": inputs["video"][:, :, :4], "audio": inputs["audio"][:, :1]}
    levels = {name: network.encoders[name](x) for name, x in inputs.items()}
    fused = network.fusion({name: own[-1] for name, own in levels.items()}, {})
    parts = [sum(t.mean(1) for t in levels[n]) / 3 for n in ("video", "audio")]  # weights are alike
    parts += [fused[name].mean(1) for name in ("video", "audio")]
    joined = torch.cat(parts, 1)
    normed = (joined - joined.mean(1, keepdim=True)) / (
        joined.var(1, keepdim=True, unbiased=False) + 1e-6
    ).sqrt()
    output = network(**inputs)
    torch.testing.assert_close(output.features["fused"], normed)
    torch.testing.assert_close(output.logits["emotion"], network.heads["emotion"](normed))
    torch.testing.assert_close(output.features["video"], parts[0])
    assert output.features["fused"].shape == (4, 4 * 32)


@pytest.mark.parametrize("name", ["audio", "video"])
def test_one_modality_has_half_the_width_and_no_fusion(name: str) -> None:
    model = _model("finetune", f"modalities=[{name}]").eval()
    network: Any = model.network
    assert set(network.encoders) == {name}
    assert network.fusion is None
    output = model(_batch())  # the other is left aside
    assert output.features["fused"].shape == (4, 2 * 32)
    assert set(output.features) == {name, "fused"}
    assert network.layers == 4


def test_views_are_answered_apart_and_their_scores_averaged() -> None:
    model = _model("finetune").eval()
    inputs, mask = model.front_end(_batch().inputs, _batch().mask)
    whole = model.network(**inputs, mask=mask)
    parts = zip(inputs["video"].split(4, 2), inputs["audio"].split(1, 1), strict=True)
    views = [model.network(video=video, audio=audio) for video, audio in parts]
    scores = torch.stack([view.logits["emotion"].softmax(1) for view in views]).mean(0)
    torch.testing.assert_close(whole.logits["emotion"].softmax(1), scores)
    same = model.network(video=inputs["video"], audio=inputs["audio"][:, :1])  # one sound for both
    assert same.logits["emotion"].shape == (4, 6)
    with pytest.raises(DataError, match="2 views where another modality has 3"):
        model.network(video=inputs["video"], audio=inputs["audio"][:, [0, 0, 1]])


def test_absent_clips_are_zeros_at_the_head_whatever_stands_there() -> None:
    model = _model("finetune").eval()
    network: Any = model.network
    inputs, _ = model.front_end(_batch().inputs, _batch().mask)
    inputs["video"][1], inputs["audio"][2] = float("nan"), float("nan")
    present = torch.tensor([[True, True], [True, False], [False, True], [True, True]])
    mixed = network(**inputs, present=present)
    for row, name in ((1, "audio"), (2, "video")):
        alone = network(**{name: inputs[name][row : row + 1]})
        torch.testing.assert_close(mixed.logits["emotion"][row], alone.logits["emotion"][0])
    assert not mixed.features["video"][1].any()
    with pytest.raises(ConfigError, match="no input for any of video, audio: got none"):
        network()


# -- pre-training ----------------------------------------------------------------------------------


def test_what_is_minimised_is_the_sum_of_the_paper() -> None:
    model, batch = _model("pretrain").eval(), _batch()
    with torch.no_grad():
        output = model(batch)
        terms = _objective("pretrain")(output, batch)
    total = output.aux["video_error"].mean() + output.aux["audio_error"].mean()
    for level in (1, 2, 3):
        logits = output.aux[f"logits_{level}"]
        log_p = logits - logits.exp().sum(1, keepdim=True).log()
        back = logits - logits.exp().sum(0, keepdim=True).log()
        total = total - 0.0025 * (log_p.diagonal().mean() + back.diagonal().mean()) / 2
    torch.testing.assert_close(terms["loss"], total)
    assert {name.partition("/")[0] for name in terms} == {
        "loss", "video", "audio", "contrast_1", "contrast_2", "contrast_3",
    }  # fmt: skip
    bare = hicmae.rebuild_and_contrast(_settings("tiny", "contrast=0"), {})
    assert set(bare(output, batch)) == {"loss", "video/loss", "audio/loss"}
    assert bare.additive


def test_local_negatives_are_those_of_a_micro_batch() -> None:
    """The official way: the loss of each part by itself, and nothing is gathered."""
    model, batch = _model("pretrain", "augment=false").train(), _batch()
    objective = hicmae.rebuild_and_contrast(_settings("tiny", "negatives=local"), {})
    assert objective.additive
    assert not _objective("pretrain").additive
    halves = [_half(batch, 0), _half(batch, 2)]
    with torch.no_grad():
        outputs = [model(half) for half in halves]
    share = gather.Share(objective, halves, processes.accelerator("fp32"))
    found = sum(share.loss(o, b)[0] for o, b in zip(outputs, halves, strict=True))
    expected = torch.stack(
        [objective(o, b)["loss"] for o, b in zip(outputs, halves, strict=True)]
    ).mean()
    torch.testing.assert_close(found, expected)


def _half(batch: Batch, start: int) -> Batch:
    part = batch.map(lambda tensor: tensor[start : start + 2])
    return replace(part, luck=batch.luck[start : start + 2])


def test_a_clips_masks_do_not_depend_on_the_clips_beside_it() -> None:
    model, batch = _model("pretrain", "augment=false").eval(), _batch()
    with torch.no_grad():
        together, apart = model(batch), model(_half(batch, 2))
        fresh = model(replace(batch, luck=()))
    for name in ("video", "audio"):
        error = together.aux[f"{name}_error"]
        torch.testing.assert_close(apart.aux[f"{name}_error"], error[2:])
        assert not torch.allclose(fresh.aux[f"{name}_error"], error)


def test_the_target_of_a_colour_is_that_of_its_pixels() -> None:
    """Normalised colours and pixels in 0..1 differ by the 1e-6 that is added to a deviation."""
    model = _model("pretrain", "augment=false").eval()
    network: Any = model.network
    faint = torch.rand(1, 3, 4, 32, 32) * 1e-5 + 0.5
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    found = network.targets["video"]((faint - mean) / std, torch.tensor([[0]]))
    corner = faint[0, :, :2, :8, :8].double()
    centred = corner - corner.mean((1, 2, 3), keepdim=True)
    scaled = centred / (corner.flatten(1).std(1).view(3, 1, 1, 1) + 1e-6)
    expected = torch.stack([scaled[:, 0], scaled[:, 1] - scaled[:, 0]], 1)  # (C, 2, 8, 8)
    wanted = expected.permute(1, 2, 3, 0).flatten()
    assert found.shape == (1, 1, 2 * 8 * 8 * 3)
    assert (found[0, 0] - wanted).abs().mean() < 0.05
    assert math.isclose(float(found[0, 0].abs().mean()), float(wanted.abs().mean()), rel_tol=0.02)


def test_training_and_evaluation_front_ends_differ_as_published() -> None:
    pretraining, finetuning = (_model(stage).front_end for stage in ("pretrain", "finetune"))
    assert isinstance(pretraining, MaskedMedia)
    assert isinstance(finetuning, AlignedMedia)
    assert not isinstance(finetuning, MaskedMedia)
    assert (pretraining.video.spread, finetuning.video.spread) == (False, True)
    assert (pretraining.video.views, finetuning.video.views) == (1, 2)
    official = clips.front_end(_settings("b"), answering=True)
    assert (official.audio.window, official.audio.hop, official.audio.samples) == (400, 160, 41200)
    assert official.alone == 40960  # 2.56 s


def test_a_pretraining_output_is_small_enough_to_travel() -> None:
    output: Output = _model("pretrain").train()(_batch())
    sizes = [t.numel() for table in (output.features, output.aux) for t in table.values()]
    assert max(sizes) == 4 * 32  # a vector a clip
