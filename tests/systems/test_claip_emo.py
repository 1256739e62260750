"""CLAIP-Emo: sizes, towers, absences, and everything that happens only in training."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mien import config, registry
from mien.config import TrainConfig
from mien.errors import ConfigError
from mien.parts import adapters, keys, towers
from mien.parts.audio import ClapNative, OfficialFbank
from mien.parts.model import Model
from mien.parts.views import mean_answer
from mien.parts.vision import CLIP_MEAN, IMAGENET_STD
from mien.run import optimizer
from mien.systems import claip_emo
from mien.types import Batch, Output, Problem, Resolution, TaskSpec

SPECS = {
    "emotion": TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("calm", "glad", "sad")),
    "mood": TaskSpec(
        name="mood", problem=Problem.REGRESSION, labels=("valence",), ranges=((-1.0, 1.0),)
    ),
}
PRESETS = sorted(registry.system("claip-emo").presets)


def _settings(preset: str = "tiny", *words: str) -> claip_emo.Config:
    settings = config.resolve("claip-emo", preset=preset, overrides=words).model
    assert isinstance(settings, claip_emo.Config)
    return settings


def _model(preset: str = "tiny", *words: str) -> Model:
    torch.manual_seed(0)
    model = claip_emo.build(_settings(preset, *words), SPECS)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # starts at zero
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def _batch(*lengths: tuple[int, int], frames: int = 24, samples: int = 9000) -> Batch:
    """Clips of so many frames and samples; 0 is absent, and padding is filled with noise."""
    torch.manual_seed(1)
    video = torch.randint(0, 256, (len(lengths), frames, 32, 32, 3), dtype=torch.uint8)
    audio = torch.rand(len(lengths), samples) - 0.5
    counts = torch.tensor(lengths)
    mask = {
        "video": torch.arange(frames) < counts[:, :1],
        "audio": torch.arange(samples) < counts[:, 1:],
    }
    present = torch.stack([mask["audio"].any(1), mask["video"].any(1)], 1)
    return Batch(inputs={"video": video, "audio": audio}, mask=mask, present=present)


def _alone(batch: Batch, row: int, *modalities: str) -> Batch:
    """One clip by itself, without padding, of these modalities."""
    inputs, mask = {}, {}
    for name in modalities:
        there = batch.mask[name][row]
        length = max(1, int(there.sum()))
        inputs[name] = batch.inputs[name][row : row + 1, :length]
        mask[name] = there[None, :length]
    present = torch.stack([mask[name].any(1) for name in sorted(mask)], 1)
    return Batch(inputs=inputs, mask=mask, present=present)


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_every_weight_has_a_name_of_ours_and_back(preset: str) -> None:
    words = ["feature_dims={video: 35, audio: 259}"] if preset == "features" else []
    with towers.blueprint():
        model = claip_emo.build(_settings(preset, *words), SPECS)
    names = [*dict(model.named_parameters()), *dict(model.named_buffers())]
    translated = [keys.ours(name) for name in names]
    assert len(set(translated)) == len(names)
    assert [keys.theirs(name) for name in translated] == names


# -- absences --------------------------------------------------------------------------------------


def _equal(one: Output, row: int, other: Output) -> None:
    for name, logits in one.logits.items():
        torch.testing.assert_close(logits[row : row + 1], other.logits[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("words", [(), ("views=2", "frames=4"), ("temporal=mean", "long=fusion")])
def test_a_clip_gets_the_same_answer_in_any_batch(words: tuple[str, ...]) -> None:
    model = _model("tiny", *words)
    batch = _batch((24, 9000), (10, 4000), (7, 0), (0, 5000))
    with torch.no_grad():
        together = model(batch)
        _equal(together, 0, model(_alone(batch, 0, "audio", "video")))
        _equal(together, 1, model(_alone(batch, 1, "audio", "video")))
        _equal(together, 2, model(_alone(batch, 2, "video")))
        _equal(together, 2, model(_alone(batch, 2, "audio", "video")))
        _equal(together, 3, model(_alone(batch, 3, "audio")))
    assert all(value.isfinite().all() for value in together.logits.values())


def test_what_stands_in_the_padding_changes_nothing() -> None:
    model, batch = _model(), _batch((24, 9000), (10, 4000), (7, 0))
    with torch.no_grad():
        before = model(batch)
        for name, mask in batch.mask.items():
            batch.inputs[name][~mask] = 1
        after = model(batch)
    for task, logits in before.logits.items():
        assert torch.equal(logits, after.logits[task])


@pytest.mark.parametrize("subset", [m for n in (1, 2) for m in combinations(("audio", "video"), n)])
def test_any_subset_can_be_trained_alone(subset: tuple[str, ...]) -> None:
    model = _model("tiny", f"modalities={list(subset)}")
    assert {name.rpartition(".")[2] for name in towers.of(model)} == set(subset)
    batch = _batch((24, 9000), (10, 4000))
    output = model(_alone(batch, 0, *subset))
    assert set(output.features) == {*subset, "fused"}
    assert output.features["fused"].shape[1] == sum(
        output.features[name].shape[1] for name in subset
    )
    both = model(batch)  # what it does not read is left aside
    _equal(both, 0, output)


def test_without_any_input_it_says_what_it_reads() -> None:
    model = _model("tiny", "modalities=[video]")
    with pytest.raises(ConfigError, match="no input for any of video: got audio"):
        model(_alone(_batch((24, 9000)), 0, "audio"))


def test_masks_may_be_left_out_where_everything_is_there() -> None:
    model, batch = _model(), _batch((24, 9000), (20, 8000))
    with torch.no_grad():
        inputs, mask = model.front_end(batch.inputs, batch.mask)
        plain = model.network(**inputs)
        full = model.network(**inputs, mask=mask, present=batch.present)
        video = model.network(video=inputs["video"])
        hidden = batch.present.clone()
        hidden[:, 0] = False
        masked = model.network(**inputs, mask=mask, present=hidden)
    assert torch.equal(plain.logits["emotion"], full.logits["emotion"])
    torch.testing.assert_close(video.logits["emotion"], masked.logits["emotion"])


def test_features_are_named_vectors() -> None:
    output = _model()(_batch((24, 9000), (7, 0)))
    shapes = {name: tuple(value.shape) for name, value in output.features.items()}
    assert shapes == {"audio": (2, 128), "video": (2, 32), "fused": (2, 160)}
    assert output.features["fused"][1, :128].abs().sum() == 0


# -- views -----------------------------------------------------------------------------------------


def test_scores_of_views_are_averaged() -> None:
    logits = torch.randn(4, 3, 5)
    spec = TaskSpec(name="t", problem=Problem.ONE_OF_N, labels=tuple("abcde"))
    one = mean_answer(logits, spec).softmax(-1)
    torch.testing.assert_close(one, logits.softmax(-1).mean(1))
    many = TaskSpec(name="t", problem=Problem.MANY_OF_N, labels=tuple("abcde"))
    torch.testing.assert_close(mean_answer(logits, many).sigmoid(), logits.sigmoid().mean(1))
    number = TaskSpec(name="t", problem=Problem.REGRESSION, labels=tuple("abcde"))
    torch.testing.assert_close(mean_answer(logits, number), logits.mean(1))
    assert torch.equal(mean_answer(logits[:, :1], spec), logits[:, 0])


def test_two_views_of_a_long_clip_are_its_windows_answered_apart() -> None:
    model = _model("tiny", "views=2", "frames=4", "stride=1")
    batch = _batch((8, 9000), frames=8)
    halves = []
    for start in (0, 4):
        half = _batch((8, 9000), frames=8)
        half.inputs["video"] = half.inputs["video"][:, start : start + 4]
        half.mask["video"] = half.mask["video"][:, start : start + 4]
        halves.append(half)
    with torch.no_grad():
        scores = model(batch).logits["emotion"].softmax(-1)
        expected = [model(half).logits["emotion"].softmax(-1) for half in halves]
    torch.testing.assert_close(scores, torch.stack(expected).mean(0))


# -- training --------------------------------------------------------------------------------------


def _step(model: Model, batch: Batch) -> None:
    learner = optimizer.build(model, TrainConfig.model_validate({"lr": 1e-2}))
    model.train()
    output = model(batch)
    losses = [logits.square().sum() for logits in output.logits.values()]
    torch.autograd.backward(torch.stack(losses).sum())
    learner.step()


def test_only_what_is_listed_learns_and_frozen_weights_keep_every_bit() -> None:
    model, batch = _model(), _batch((24, 9000), (10, 4000))
    before = {name: p.clone() for name, p in model.named_parameters()}
    _step(model, batch)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    listed = {n for n in before if adapters.is_adapter(n) or "temporal" in n or "heads" in n}
    assert {name for name, p in model.named_parameters() if p.requires_grad} == listed
    assert moved <= listed
    assert {n for n in listed if "lora_A" in n or "heads" in n} <= moved


def test_absent_everywhere_is_no_reason_to_stop() -> None:
    model, batch = _model(), _batch((24, 0), (10, 0))
    _step(model, batch)
    grads = {name for name, p in model.named_parameters() if p.grad is not None}
    assert any("video" in name for name in grads)
    assert not any("encoders.audio" in name for name in grads)


@pytest.mark.parametrize("mode", ["adapt", "freeze"])
def test_the_first_norm_follows_the_data_only_where_asked(mode: str) -> None:
    model = _model("tiny", f"audio_bn={mode}")
    before = {name: b.clone() for name, b in model.named_buffers() if "running" in name}
    model.train()(_batch((24, 9000), (10, 4000)))
    buffers = dict(model.named_buffers())
    moved = {keys.ours(name) for name in before if not torch.equal(buffers[name], before[name])}
    norm = "network.encoders.audio.clap.norm_in.running_"
    assert moved == ({norm + "mean", norm + "var"} if mode == "adapt" else set())


def _varies(model: Model, batch: Batch) -> bool:
    """Whether two passes over the same log-mels differ."""
    inputs, mask = model.front_end.eval()(batch.inputs, batch.mask)
    one, other = (
        model.network(audio=inputs["audio"], mask=mask, present=batch.present[:, :1])
        for _ in range(2)
    )
    return not torch.equal(one.logits["emotion"], other.logits["emotion"])


@pytest.mark.parametrize("noise", ["dropout=0.5", "drop_path=0.9", "spec_augment=true"])
def test_each_noise_is_there_in_training_only(noise: str) -> None:
    quiet = ("dropout=0", "drop_path=0", "spec_augment=false", "audio_bn=freeze")
    batch = _batch((24, 9000), (10, 4000), (5, 8000))
    model = _model("tiny", *quiet, noise)
    assert _varies(model.train(), batch)
    assert not _varies(model.eval(), batch)
    still = _model("tiny", *quiet)
    assert not _varies(still.train(), batch)


def _groups(model: Model, settings: TrainConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    for group in optimizer.parameter_groups(model, settings):
        for name in group["names"]:
            yield name, group


def test_class_token_and_positions_are_decayed_only_the_official_way() -> None:
    model = _model()
    names = ["network.temporal.video.class_token", "network.temporal.video.positions"]
    for decay_all in (False, True):
        values = {"decay_all": decay_all, "weight_decay": 0.1}
        groups = dict(_groups(model, TrainConfig.model_validate(values)))
        assert [groups[name]["weight_decay"] for name in names] == [0.1 * decay_all] * 2
        head = groups["network.heads.emotion.weight"]
        assert head["weight_decay"] == 0.1


def test_layer_decay_grows_towards_the_input_of_both_towers() -> None:
    groups = dict(_groups(_model(), TrainConfig.model_validate({"layer_decay": 0.5})))
    scales = {name: group["scale"] for name, group in groups.items()}
    found = {
        part: {scale for name, scale in scales.items() if part in name}
        for part in (
            "video.clip.encoder.layers.0",
            "video.clip.encoder.layers.1",
            "heads",
            "temporal",
        )
    }
    assert found == {
        "video.clip.encoder.layers.0": {0.25},
        "video.clip.encoder.layers.1": {0.5},
        "heads": {1.0},
        "temporal": {1.0},
    }
    assert scales[
        "network.encoders.audio.clap.audio_encoder.patch_embed.proj.lora_A.default.weight"
    ] == (0.5**5)


# -- settings --------------------------------------------------------------------------------------


def test_the_front_end_takes_the_named_official_ways() -> None:
    ours, official = (claip_emo.front_end(_settings(name)) for name in ("vit-b16", "official-b16"))
    assert type(ours.audio) is ClapNative
    assert type(official.audio) is OfficialFbank
    assert ours.video.mean.flatten().tolist() == pytest.approx(CLIP_MEAN)
    assert official.video.std.flatten().tolist() == pytest.approx(IMAGENET_STD)


def test_the_official_front_end_runs() -> None:
    model = _model("tiny", "audio_front=official_fbank", "normalisation=imagenet")
    assert model(_batch((24, 9000))).logits["emotion"].isfinite().all()


def test_a_task_with_an_answer_a_frame_is_refused() -> None:
    spec = TaskSpec(
        name="au", problem=Problem.MANY_OF_N, labels=("1", "2"), resolution=Resolution.FRAME
    )
    with pytest.raises(ConfigError, match="once a clip, 'au' asks once a frame"):
        claip_emo.build(_settings(), {"au": spec})


def test_more_frames_than_the_temporal_module_was_made_for() -> None:
    model = _model("tiny", "frames=4")
    with pytest.raises(ConfigError, match="5 time steps are more than the 4"):
        model.network(video=torch.zeros(1, 3, 5, 32, 32))


def test_towers_are_kept_and_opened_with_the_run(tmp_path: Any) -> None:
    model = _model()
    records = towers.store(model, tmp_path)
    assert sorted(records) == ["network.encoders.audio", "network.encoders.video"]
    with towers.using(records, tmp_path):
        again = claip_emo.build(_settings(), SPECS)
    for path, tower in towers.of(again).items():
        assert towers.fingerprint(tower) == records[path]["sha256"]


# -- features --------------------------------------------------------------------------------------


def _vectors(present: Tensor, length: int = 3) -> Batch:
    torch.manual_seed(2)
    inputs = {"audio": torch.randn(4, length, 6), "video": torch.randn(4, length, 5)}
    mask = {
        name: present[:, i, None].expand(4, length).clone() for i, name in enumerate(sorted(inputs))
    }
    return Batch(inputs=inputs, mask=mask, present=present)


@pytest.mark.parametrize("temporal", ["mean", "transformer"])
def test_feature_vectors_take_the_place_of_media(temporal: str) -> None:
    words = ("feature_dims={audio: 6, video: 5}", f"temporal={temporal}", "frames=4")
    model = _model("features", *words)
    assert not towers.of(model)
    present = torch.tensor([[True, True], [True, False], [False, True], [True, True]])
    batch = _vectors(present)
    batch.inputs["audio"][0, 0, 0] = float("nan")
    model.front_end.fit([batch])
    with torch.no_grad():
        together = model(batch)
        for row, names in enumerate([("audio", "video"), ("audio",), ("video",)]):
            _equal(together, row, model(_alone(batch, row, *names)))
    before = {name: p.clone() for name, p in model.named_parameters()}
    _step(model, batch)
    still = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert not still


def test_feature_vectors_longer_than_the_positions_are_no_views() -> None:
    words = ("feature_dims={audio: 6, video: 5}", "temporal=transformer", "frames=4")
    model, present = _model("features", *words), torch.ones(4, 2, dtype=torch.bool)
    with pytest.raises(ConfigError, match="8 time steps are more than the 4"):
        model(_vectors(present, length=8))


def test_unknown_widths_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="how wide") as error:
        claip_emo.build(_settings("features"), SPECS)
    assert "model.feature_dims.video=35" in str(error.value)
