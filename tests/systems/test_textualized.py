"""Textualized: what it counts, what it keeps, how it goes on, and what a text cannot do."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_readers import classifier
from torch import nn

import mien
from mien import config, registry
from mien.errors import ConfigError, RunError, TowerError
from mien.parts import tokens, towers
from mien.parts.model import Model
from mien.run import folder, measure
from mien.run.train import train
from mien.systems import textualized
from mien.types import Problem, Resolution, TaskSpec

SPECS = {"emotion": TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("sad", "glad"))}
BASIC = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
COMPOUND = ("fearfully surprised", "happily surprised", "sadly angry")


def _train(data: Path, out: Path, *words: str, **more: Any) -> dict[str, Any]:
    shared = ("epochs=1", "batch_size=8", *words)
    return train(
        "textualized", data=data, out=out, overrides=shared, quiet=True,
        **({"preset": "tiny"} | more),
    )  # fmt: skip


def _corpus(folder: Path, labels: tuple[str, ...]) -> Path:
    folder.mkdir()
    rows = [
        {"id": f"r{n}", "speaker": f"p{n // 6}", "split": ["train", "train", "test"][n // 6 % 3],
         "text": f"said it {labels[n % len(labels)][::-1]} {n % 4}",
         "labels": {"emotion": labels[n % len(labels)]}}
        for n in range(54)
    ]  # fmt: skip
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def _model(specs: dict[str, TaskSpec], **settings: Any) -> tuple[textualized.Network, Model]:
    small = config.resolve("textualized", preset="tiny").model.model_dump()
    model = textualized.build(textualized.Config(**(small | settings)), specs)
    assert isinstance(model.network, textualized.Network)
    return model.network, model


# -- sizes -----------------------------------------------------------------------------------------


def test_the_presets_count_what_is_published() -> None:
    """Low-rank updates of LLaMA 3 8B: 32 blocks, rank 8, queries 4096 wide and values 1024."""
    found = measure.measure("textualized", "published")
    updates = 32 * 8 * ((4096 + 4096) + (4096 + 1024))
    assert updates == 3_407_872
    assert found.trainable == updates + 7 * (4096 + 1)
    bert = measure.measure("textualized", "bert")
    assert bert.trainable == bert.total == 109_482_240 - 768 * 769 + 7 * (768 + 1)


def test_the_official_recipe() -> None:
    for preset in ("published", "bert"):
        settings = config.resolve("textualized", preset=preset).train
        assert (settings.optimizer, settings.momentum) == ("sgd", 0)
        assert (settings.lr, settings.min_lr) == (3e-3, 1e-7)
        assert (settings.schedule, settings.step_factor, settings.step_epochs) == ("step", 0.5, 18)
        assert (settings.clip_norm, settings.batch_size, settings.patience) == (0.3, 4, 50)
    model = config.resolve("textualized", preset="published").model.model_dump()
    assert (model["rank"], model["alpha"], model["adapter_dropout"]) == (8, 8, 0.05)
    assert model["stabilised"]


def test_updates_are_scaled_as_the_settings_say() -> None:
    for stabilised, scale in ((True, 6 / math.sqrt(2)), (False, 6 / 2)):
        own = {"tune": "adapters", "rank": 2, "alpha": 6, "stabilised": stabilised}
        _, model = _model(SPECS, **own)
        layers: list[Any] = [part for part in model.modules() if hasattr(part, "lora_A")]
        assert [part.scaling["default"] for part in layers] == pytest.approx([scale] * 4)


def test_the_head_alone() -> None:
    _, model = _model(SPECS, tune="adapters", rank=0)
    learned = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learned == {"network.heads.emotion.weight", "network.heads.emotion.bias"}


def test_heads_begin_as_xavier_says() -> None:
    labels = tuple("abcdefgh")
    network, _ = _model({"x": TaskSpec(name="x", problem=Problem.ONE_OF_N, labels=labels)})
    head = network.heads["x"].requires_grad_(False)
    assert isinstance(head, nn.Linear)
    bound = math.sqrt(6 / (32 + 8))
    assert head.weight.abs().max() <= bound
    assert float(head.weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.15)
    assert not head.bias.any()


def test_frames_are_rows() -> None:
    spec = TaskSpec(
        name="emotion", problem=Problem.ONE_OF_N, labels=("a", "b"), resolution=Resolution.FRAME
    )
    with pytest.raises(ConfigError, match="answers once a clip"):
        _model({"emotion": spec})


# -- what a run keeps ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize("tune", ["all", "adapters"])
def test_a_run_needs_its_tower_and_tokenizer_no_longer(
    kind: str, tune: str, tmp_path: Path
) -> None:
    """The folder that they came from may be gone, or hold something else."""
    classifier(tmp_path / "reader", kind)
    data, out = _corpus(tmp_path / "data", ("glad", "sad")), tmp_path / "run"
    _train(data, out, f"text={tmp_path / 'reader'}", f"tune={tune}", "rank=2", preset="bert")
    before = [w.scores for t in mien.load(out).predict(data) for _, w in t]
    shutil.rmtree(tmp_path / "reader")
    shutil.move(out, tmp_path / "moved")
    run = mien.load(tmp_path / "moved")
    assert [w.scores for t in run.predict(data) for _, w in t] == before
    assert (tmp_path / "moved/towers/network.tower" / tokens.FILE).is_file()
    network = run.model
    assert isinstance(network, textualized.Network)
    assert network.pooling == ("last" if kind == "llama" else "first")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trained")
    _train(corpora.texts(home), home / "run")
    return home / "run"


def test_a_run_with_another_tokenizer_is_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    kept = tmp_path / "run/towers/network.tower" / tokens.FILE
    content = kept.read_bytes()
    kept.write_bytes(content.replace(b"[SEP]", b"[XYZ]"))
    with pytest.raises(TowerError, match="not what the run recorded"):
        mien.load(tmp_path / "run")
    kept.unlink()
    with pytest.raises(TowerError, match=r"lacks tokens\.json"):
        mien.load(tmp_path / "run")


def test_the_network_is_called_by_name(trained: Path) -> None:
    run = mien.load(trained)
    ids = torch.tensor([[1, 70, 71, 2], [1, 80, 2, 0]])
    mask = {"text": torch.tensor([[True] * 4, [True] * 3 + [False]])}
    both = run.model(text=ids, mask=mask).logits["emotion"]
    alone = run.model(text=ids[1:, :3]).logits["emotion"]
    torch.testing.assert_close(both[1:], alone, atol=1e-6, rtol=1e-5)


# -- from one set of labels to another -------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("tune=adapters", "rank=2")], ids=["all", "adapters"])
def test_it_goes_on_from_basic_to_compound_emotions(words: tuple[str, ...], tmp_path: Path) -> None:
    basic, compound = _corpus(tmp_path / "b", BASIC), _corpus(tmp_path / "c", COMPOUND)
    _train(basic, tmp_path / "basic", *words)
    still = ("lr=1e-30", "weight_decay=0")  # what is handed on stays as it was
    _train(compound, tmp_path / "compound", *words, *still, init=tmp_path / "basic")
    before = load_file(tmp_path / "basic/model.safetensors")
    after = load_file(tmp_path / "compound/model.safetensors")
    heads = {"network.heads.emotion.weight", "network.heads.emotion.bias"}
    assert before.keys() == after.keys() > heads
    assert all(torch.equal(before[name], after[name]) for name in before.keys() - heads)
    assert after["network.heads.emotion.weight"].shape == (3, 32)
    first = _log(tmp_path / "compound")[0]
    assert set(first["new"]) == set(first["left"]) == heads
    assert set(mien.load(tmp_path / "compound").specs["emotion"].labels) == set(COMPOUND)


def test_a_class_that_nobody_asks_for_is_learned_and_not_scored(tmp_path: Path) -> None:
    """As C-EXPR-DB declares its task: of frames, with Other aside. Rows are moments."""
    data = _corpus(tmp_path / "c", (*COMPOUND, "Other"))
    (tmp_path / "c/rows.tasks.yaml").write_text(
        "- {name: emotion, problem: one_of_n, resolution: frame, aside: [Other], "
        f"labels: [{', '.join([*COMPOUND, 'Other'])}]}}\n"
    )
    found = _train(data, tmp_path / "run")["tasks"]["emotion"]
    network = mien.load(tmp_path / "run").model
    assert isinstance(network, textualized.Network)
    assert network.heads["emotion"].weight.shape == (4, 32)
    assert found["clips"] == 18
    assert 0 < found["asked"]["clips"] < 18


def test_updates_do_not_go_to_another_tower(tmp_path: Path) -> None:
    data = _corpus(tmp_path / "b", BASIC)
    words = ("tune=adapters", "rank=2")
    _train(data, tmp_path / "one", *words)
    with pytest.raises(RunError, match="another text tower"):
        _train(data, tmp_path / "two", *words, seeds=[7], init=tmp_path / "one")


# -- texts of anybody ------------------------------------------------------------------------------

HOSTILE = [
    "", " ", "\x00", "\x1b[2J\x07", "[SEP]" * 50, "[PAD] [CLS] [UNK]", "\u202egnirts", "\ufeff",
    "a" * 1_000_000, "\U0001f600" * 1000, "{text}", "%s%n", "<script>alert(1)</script>",
    "\ud7ff\ue000", "e\u0301" * 500, "\n\n\r\t",
]  # fmt: skip


def test_a_text_may_hold_anything(trained: Path, tmp_path: Path) -> None:
    run = mien.load(trained)
    rows = [{"id": f"h{n}", "text": text} for n, text in enumerate(HOSTILE) if text]
    path = tmp_path / "hostile.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run.predict(path)
    assert len(found) == len(HOSTILE) - 1
    for timeline in found:
        for _, window in timeline:
            assert sum(window.scores["emotion"].values()) == pytest.approx(1)
    with pytest.raises(mien.DataError, match="nothing in this clip"):
        run.predict([{"text": np.zeros(0, np.int64)}])
    with pytest.raises(mien.DataError, match="UTF-8"):
        run.predict([{"text": np.zeros((4, 2), np.float32)}])


def test_a_special_token_in_a_text_ends_nothing(trained: Path) -> None:
    """What is said behind a written separator is read like any other word."""
    run = mien.load(trained)
    front = run.front_end
    texts = ["glad [SEP]", "glad [SEP] sad"]
    raw = [torch.tensor(list(text.encode())) for text in texts]
    ids = [
        front({"text": row[None]}, {"text": torch.ones(1, len(row), dtype=torch.bool)})[0]["text"]
        for row in raw
    ]
    assert [int((row == tokens.SPECIAL.index("[SEP]")).sum()) for row in ids] == [1, 1]
    assert ids[1].shape[1] > ids[0].shape[1]


def test_mixing_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="codes, which have no mean"):
        _train(corpora.texts(tmp_path), tmp_path / "run", "mixup=0.4")


def test_it_is_listed_with_what_it_deviates_in() -> None:
    card = registry.system("textualized").card
    assert any("read once" in line for line in card["deviations"])
    assert folder.strictest([towers.KNOWN["meta-llama/Meta-Llama-3-8B"].licence]).startswith(
        "Llama"
    )
