"""Compound: published sizes, causality, padding, absence, recipe, and labels of clips at frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import torch
from torch import Tensor

from mien import config
from mien.data.batch import RowDataset
from mien.data.manifest import Manifest
from mien.errors import ConfigError, DataError
from mien.run import assemble, optimizer
from mien.run.measure import measure
from mien.run.train import train
from mien.systems import compound as system
from mien.systems.compound import FrameNetwork
from mien.tasks.affect import ABAW_AFFECT, ABAW_COMPOUND
from mien.types import Resolution, TaskSpec, Unit

SPECS = {"compound": ABAW_COMPOUND}
FUSIONS = ("lfan", "can", "jmt", "mt")


def _network(fusion: str, *words: str, specs: Any = None) -> FrameNetwork:
    torch.manual_seed(0)
    both = "modalities=[visual, audio]"
    more = ["feature_dims={visual: 5, audio: 4, text: 3}", f"fusion={fusion}"]
    more += [both] if fusion in ("jmt", "mt") else []
    settings = config.resolve("compound", preset="tiny", overrides=[*more, *words]).model
    network = system.build(settings, SPECS if specs is None else specs).network  # type: ignore[arg-type]
    assert isinstance(network, FrameNetwork)
    return network.eval()


def _inputs(network: FrameNetwork, batch: int = 2, length: int = 9) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(batch, length, d) for name, d in network.features.items()}


# -- sizes -----------------------------------------------------------------------------------------


def _tcn(inputs: int, channels: tuple[int, ...]) -> int:
    """Two convolutions a block with weight norm (a length and a bias a channel), a way around."""
    count = 0
    for width in channels:
        count += (inputs + width) * width * 5 + 2 * 2 * width
        count += (inputs * width + width) if inputs != width else 0
        inputs = width
    return count


LFAN = {"visual": (512, (256, 256, 128, 128)), "audio": (128, (64, 64, 32, 32)),
        "text": (768, (256, 256, 128, 128))}  # fmt: skip
OTHERS = {"visual": (512, (256, 256, 128, 128, 128)), "audio": (128, (128, 128, 64, 64)),
          "text": (768, (256, 256, 128, 128))}  # fmt: skip


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_preset_is_exactly_as_large_as_specified(fusion: str) -> None:
    sizes = LFAN if fusion == "lfan" else OTHERS
    names = ("visual", "audio") if fusion in ("jmt", "mt") else ("visual", "audio", "text")
    last = {name: sizes[name][1][-1] for name in names}
    attention = 4 * (128 * 128 + 128)
    layer = attention + 2 * (128 * 128 + 128) + 4 * 128
    fused = {
        "lfan": sum(96 * (w + 1) for w in last.values()) + (96 * 96 + 96) + 2 * 96,
        "can": sum(128 * (w + 1) for w in last.values()) + (384 * 384 + 384),
        "jmt": (64 * 128 + 128) + (256 * 128 + 128) + 4 * layer + 7 * attention,
        "mt": (64 * 128 + 128) + 3 * layer + 3 * attention,
    }[fusion]
    width = {"lfan": 224, "can": 384}.get(fusion, 128)
    found = measure("compound", fusion, SPECS)
    parts = {name: counted.total for name, counted in found.components.items()}
    expected = {f"tcns.{name}": _tcn(*sizes[name]) for name in names}
    expected |= {f"norms.{name}": 2 * last[name] for name in names}
    expected |= {"fusion": fused, "heads.compound": 7 * width + 7}
    if fusion != "lfan":
        expected |= {"hidden": width * width + width, "hidden_norm": 2 * width}
    assert parts == expected
    assert found.trainable == sum(expected.values())


def test_the_published_tcns_look_back_over_121_frames() -> None:
    settings = config.resolve("compound").model
    with torch.device("meta"):
        network = system.build(settings, SPECS).network  # type: ignore[arg-type]
    assert isinstance(network, FrameNetwork)
    tcn: Any = network.tcns["visual"]
    assert tcn.reach == 121


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_future_frame_changes_no_answer_before_it_where_nothing_looks_ahead(fusion: str) -> None:
    network = _network(fusion)
    inputs = _inputs(network)
    changed = {name: x.clone() for name, x in inputs.items()}
    for x in changed.values():
        x[:, 5] += 3
    tcn = network.tcns["visual"]
    assert torch.equal(tcn(inputs["visual"])[0][:, :5], tcn(changed["visual"])[0][:, :5])
    plain, moved = (network(**x).logits["compound"] for x in (inputs, changed))
    if fusion in ("lfan", "can"):
        torch.testing.assert_close(moved[:, :5], plain[:, :5], atol=1e-6, rtol=0)
    else:  # as published, their Transformers see all of a window
        assert not torch.allclose(moved[:, :5], plain[:, :5], atol=1e-4)
    assert not torch.allclose(moved[:, 5], plain[:, 5], atol=1e-4)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("literal", [False, True])
def test_padding_changes_nothing(fusion: str, literal: bool) -> None:
    words = ["literal=true"] if literal and fusion in ("jmt", "mt") else []
    network = _network(fusion, *words)
    inputs = _inputs(network)
    plain = network(**inputs).logits["compound"]
    padded = {m: torch.cat([x, torch.full_like(x[:, :4], 9)], 1) for m, x in inputs.items()}
    real = torch.arange(13) < 9
    mask = {m: real.expand(2, 13) for m in inputs}
    found = network(**padded, mask=mask).logits["compound"]
    torch.testing.assert_close(found[:, :9], plain, atol=1e-5, rtol=0)
    held = found[:, 8:9].expand(-1, 4, -1)
    assert torch.equal(found[:, 9:], held), "behind the last frame its answer holds"


@pytest.mark.parametrize("fusion", ["jmt", "mt"])
def test_only_literally_does_an_answer_depend_on_the_batch(fusion: str) -> None:
    for literal in (False, True):
        network = _network(fusion, f"literal={str(literal).lower()}")
        inputs = _inputs(network)
        plain = network(**inputs).logits["compound"]
        inputs["audio"][1] += 2
        changed = network(**inputs).logits["compound"]
        assert torch.equal(changed[0], plain[0]) is not literal
        alone = network(**{m: x[:1] for m, x in inputs.items()}).logits["compound"]
        assert torch.allclose(alone, plain[:1], atol=1e-5) is not literal


def test_frames_without_a_vector_are_read_as_the_last_one() -> None:
    network = _network("lfan")
    inputs = _inputs(network)
    seen = torch.ones(2, 9, dtype=torch.bool)
    seen[:, 4:6] = False
    mask = {m: torch.ones_like(seen) for m in inputs} | {"visual": seen}
    found = network(**inputs, mask=mask).logits["compound"]
    held = inputs["visual"].clone()
    held[:, 4:6] = held[:, 3:4]
    repeated = network(**(inputs | {"visual": held})).logits["compound"]
    torch.testing.assert_close(found, repeated)


def test_values_are_bounded_as_published_and_classes_are_not() -> None:
    network = _network("can", specs=SPECS | {"affect": ABAW_AFFECT})
    network.heads["affect"].bias.data.fill_(50)  # type: ignore[operator]
    network.heads["compound"].bias.data.fill_(50)  # type: ignore[operator]
    with torch.no_grad():
        logits = network(**_inputs(network)).logits
    assert float(logits["affect"].max()) <= 1
    assert float(logits["compound"].min()) > 1


# -- labels of clips, and the recipe ---------------------------------------------------------------


def test_a_class_of_a_clip_is_learned_at_each_of_its_frames(tmp_path: Path) -> None:
    manifest = Manifest.read(corpora.moments(tmp_path))
    labels = ("x", "y", "z")
    spec = replace(ABAW_COMPOUND, name="emotion", labels=labels)
    settings = config.resolve("compound", preset="tiny")
    stage = system.STAGES["frames"]
    rows = assemble.dataset(manifest, manifest.rows, settings, stage, {"emotion": spec})
    for index, (item, first, last) in enumerate(rows.spans):  # type: ignore[attr-defined]
        wanted = labels.index(str(manifest.rows[item].labels["emotion"]))
        assert rows[index].targets["emotion"].tolist() == [wanted] * (last - first)
    whole = RowDataset(manifest.rows, manifest, {"audio": "audio", "visual": "visual"},
                       {"emotion": spec}, Unit.WINDOW)  # fmt: skip
    assert len(whole.targets(1)["emotion"]) == 6, "as many as the longest of them"


def test_the_published_recipe_is_that_of_its_presets() -> None:
    for fusion in FUSIONS:
        settings = config.resolve("compound", preset=fusion, overrides=["epochs=100"])
        made = optimizer.build(torch.nn.Linear(2, 2), settings.train)
        assert isinstance(made, torch.optim.SGD)
        group = made.param_groups[0]
        assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 1e-4)
        rates = [optimizer.rate(step, steps=300, warmup=0, config=settings.train)
                 for step in (1, 150, 151, 300)]  # fmt: skip
        assert rates == pytest.approx([1e-4, 1e-4, 0.9e-4, 0.9e-4]), "three steps an epoch"
        windows = system.STAGES["frames"].windows
        assert windows is not None
        assert (windows(settings.model, True).length, windows(settings.model, True).stride) == (
            300,
            200,
        )
        assert (windows(settings.model, False).length == 300) is (fusion == "lfan")
    low = config.resolve("compound", overrides=["min_lr=5e-5"]).train
    assert optimizer.rate(10_000, steps=10_000, warmup=0, config=low) == 5e-5


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="text is none of them"):
        config.resolve("compound", overrides=["fusion=jmt"])
    with pytest.raises(ConfigError, match="no other published form"):
        config.resolve("compound", overrides=["literal=true"])
    with pytest.raises(ConfigError, match="leave gaps"):
        config.resolve("compound", overrides=["stride=301"])
    with pytest.raises(ConfigError, match=r"channels\.text says nothing"):
        config.resolve("compound", overrides=["model.channels.text=[]"])
    value = TaskSpec.from_dict(ABAW_AFFECT.to_dict() | {"resolution": "clip"})
    assert value.resolution is Resolution.CLIP
    with pytest.raises(ConfigError, match="answers once a frame"):
        _network("lfan", specs={"affect": value})
    with pytest.raises(DataError, match=r"feature_dims\.visual=6"):
        _network("lfan")(visual=torch.zeros(1, 3, 6))
    data = corpora.moments(tmp_path)
    with pytest.raises(DataError, match=r"feature_dims\.\w+="):
        train("compound", data=data, out=tmp_path / "run", overrides=["epochs=1"], quiet=True)


def test_statistics_are_those_of_the_training_part_alone(tmp_path: Path) -> None:
    import mien

    data = corpora.moments(tmp_path)
    words = ["epochs=1", "select=last"]
    train("compound", preset="tiny", data=data, out=tmp_path / "run", overrides=words, quiet=True)
    front_end = mien.load(tmp_path / "run").front_end
    manifest = Manifest.read(data)
    parts = [np.load(tmp_path / str(row.features["audio"])) for row in manifest.rows
             if row.split == "train" and "audio" in row.features]  # fmt: skip
    # Windows of 6 every 4 read the frames where they overlap twice.
    twice = [np.concatenate([p[s : s + 6] for s in [*range(0, max(0, len(p) - 6), 4),
             max(0, len(p) - 6)]]) for p in parts]  # fmt: skip
    mean = np.concatenate(twice).mean(0)
    np.testing.assert_allclose(np.asarray(front_end.audio_mean), mean, atol=1e-5)
