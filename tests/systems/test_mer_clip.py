"""MER-CLIP-style: what labels as texts promise, modality by modality and reading by reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_clip import DIM, small_clip
from torch import Tensor

import mien
from mien import config as configuration
from mien import importers, tasks
from mien.errors import ConfigError, RunError
from mien.parts import labels
from mien.report import watch
from mien.run.measure import measure
from mien.systems.mer_clip import MODALITIES, STAGES, Config, Network, build, centres, label_set
from mien.tasks.sentiment import MOSI, SIMS
from mien.types import Batch, Objective, Problem, Resolution, TaskSpec

EMOTION = TaskSpec(name="emotion", problem=Problem.ONE_OF_N, labels=("anger", "joy", "fear"))
FELT = TaskSpec(name="felt", problem=Problem.MANY_OF_N, labels=("anger", "joy"))
SPECS = {spec.name: spec for spec in (EMOTION, FELT, MOSI)}
DIMS = {"text": 6, "audio": 4, "visual": 5}
READINGS: list[dict[str, Any]] = [
    {},
    {"answer": "pooled"},
    {"reading": "token"},
    {"reading": "modality"},
    {"between": False, "depth": 1, "encoder_depth": 0, "align": 0.5},
]


def _config(**values: Any) -> Config:
    given = {"encoder": "letters", "label_dim": 16, "dim": 16, "heads": 2, "feature_dims": DIMS}
    return Config.model_validate(given | values)


def _network(specs: Mapping[str, TaskSpec] = SPECS, **values: Any) -> Network:
    torch.manual_seed(0)
    model = build(_config(**values), specs).eval()
    assert isinstance(model.network, Network)
    return model.network


def _inputs(batch: int = 4, length: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {n: torch.randn(batch, length, d, generator=generator) for n, d in DIMS.items()}


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_permuted_labels_permute_the_answers(reading: dict[str, Any]) -> None:
    other = {
        "emotion": TaskSpec(
            name="emotion", problem=Problem.ONE_OF_N, labels=("fear", "anger", "joy")
        ),
        "felt": TaskSpec(name="felt", problem=Problem.MANY_OF_N, labels=("joy", "anger")),
        "sentiment": MOSI,
    }
    one, two = _network(**reading), _network(other, **reading)
    weights = {k: v for k, v in one.state_dict().items() if not k.startswith("labels.")}
    two.load_state_dict(weights, strict=False)
    a, b = one(**_inputs()), two(**_inputs())
    torch.testing.assert_close(b.logits["emotion"], a.logits["emotion"][:, [2, 0, 1]])
    torch.testing.assert_close(b.logits["felt"], a.logits["felt"][:, [1, 0]])
    torch.testing.assert_close(b.logits["sentiment"], a.logits["sentiment"])


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_an_absent_modality_is_one_that_is_left_out(reading: dict[str, Any]) -> None:
    network, inputs = _network(**reading), _inputs()
    for gone in MODALITIES:
        mask = {n: torch.ones(4, 3, dtype=torch.bool) for n in DIMS}
        mask[gone][1] = False
        present = torch.ones(4, 3, dtype=torch.bool)
        junk = dict(inputs)
        junk[gone] = inputs[gone].clone()
        junk[gone][1] = float("nan")
        masked = network(**junk, mask=mask, present=present)
        present[1, sorted(DIMS).index(gone)] = False
        said = network(**junk, present=present)
        left = network(**{n: x for n, x in inputs.items() if n != gone})
        whole = network(**inputs)
        for task in SPECS:
            torch.testing.assert_close(masked.logits[task][1], left.logits[task][1])
            torch.testing.assert_close(said.logits[task][1], left.logits[task][1])
            torch.testing.assert_close(masked.logits[task][2], whole.logits[task][2])


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_padding_changes_nothing(reading: dict[str, Any]) -> None:
    network, inputs = _network(**reading), _inputs()
    padded = {n: torch.cat([x, torch.full_like(x, 1e5)], 1) for n, x in inputs.items()}
    mask = {n: torch.arange(6).expand(4, 6) < 3 for n in DIMS}
    for task, logits in network(**inputs).logits.items():
        torch.testing.assert_close(network(**padded, mask=mask).logits[task], logits)


def test_every_order_of_modalities_works_and_matters() -> None:
    said = []
    for order in permutations(MODALITIES):
        network = _network(order=order)
        assert network.decoder.order == order
        reference = _network()
        network.load_state_dict(reference.state_dict())
        said.append(network(**_inputs()).logits["emotion"])
    for i, one in enumerate(said):
        for other in said[:i]:
            assert not torch.allclose(one, other, atol=1e-5)


def test_a_score_lies_within_its_labels() -> None:
    network = _network({"sentiment": SIMS})
    found = network(**{n: 50 * x for n, x in _inputs().items()})
    assert found.logits["sentiment"].shape == (4, 1)
    assert found.logits["sentiment"].abs().max() <= 1
    chances = found.aux["sentiment_classes"].softmax(-1)
    assert chances.shape == (4, 7)
    torch.testing.assert_close(
        (chances * torch.linspace(-1, 1, 7)).sum(1, keepdim=True), found.logits["sentiment"]
    )
    assert tasks.activation(SIMS)(found.logits["sentiment"]).shape == (4, 1)


def test_the_labels_of_a_score_lie_on_its_scale() -> None:
    def at(spec: TaskSpec, name: str) -> list[float]:
        config = _config(label_sets={"sentiment": name})
        return [round(v, 5) for v in centres(label_set(config, spec), spec).tolist()]

    assert at(MOSI, "sentiment7") == [-3, -2, -1, 0, 1, 2, 3]
    assert at(MOSI, "sentiment2") == [-3, 3]
    assert at(SIMS, "sentiment3") == [-1, 0, 1]
    bare = TaskSpec(name="sentiment", problem=Problem.REGRESSION, labels=("sentiment",))
    assert at(bare, "sentiment3") == [-3, 0, 3]


def test_the_first_query_of_a_token_is_the_mean_of_the_labels() -> None:
    network = _network({"emotion": EMOTION}, reading="token")
    assert network.token is not None
    asked = network.query(network.labels("emotion")).mean(0, keepdim=True)
    torch.testing.assert_close(network.token, asked)


# -- what is minimised -----------------------------------------------------------------------------


def _loss(config: Config, specs: Mapping[str, TaskSpec]) -> Objective:
    own = STAGES["fuse"].objective
    assert own is not None
    found = own(config, specs)
    assert isinstance(found, Mapping)
    return tasks.objective(specs, own=found)


def _batch(inputs: dict[str, Tensor]) -> Batch:
    count = len(next(iter(inputs.values())))
    random = np.random.default_rng(3)
    return Batch(
        inputs=inputs,
        mask={n: torch.ones(x.shape[:2], dtype=torch.bool) for n, x in inputs.items()},
        present=torch.ones(count, len(inputs), dtype=torch.bool),
        targets={
            "emotion": torch.from_numpy(random.integers(0, 3, count)),
            "felt": torch.from_numpy(random.integers(0, 2, (count, 2))).float(),
            "sentiment": torch.from_numpy(random.uniform(-3, 3, (count, 1))).float(),
        },
    )


def _step(network: Network, specs: Mapping[str, TaskSpec], inputs: dict[str, Tensor]) -> Batch:
    """Gradients of one batch."""
    batch = _batch(inputs)
    loss: Any = _loss(network.config, specs)(network(**inputs), batch)["loss"]
    loss.backward()
    return batch


def test_a_frozen_label_encoder_gets_no_gradient(tmp_path: Path) -> None:
    folder = small_clip(tmp_path / "clip")
    frozen: dict[str, Any] = {
        "encoder": str(folder),
        "label_dim": DIM,
        "label_tokens": 10,
        "context": 3,
    }
    for tune, learns in {"frozen": [], "adapter": ["adapter"], "prompt": ["context"]}.items():
        network = _network(**frozen, tune=tune)
        before = [network.labels(task).clone() for task in SPECS]
        _step(network, SPECS, _inputs())
        learned = [
            name for name, p in network.labels.named_parameters()
            if p.grad is not None and p.grad.abs().sum() > 0
        ]  # fmt: skip
        assert {name.split(".")[0] for name in learned} == set(learns)
        assert all(p.grad is None for p in network.labels.parameters() if not p.requires_grad)
        torch.optim.SGD(network.parameters(), lr=0.1).step()
        same = [torch.equal(a, network.labels(t)) for a, t in zip(before, SPECS, strict=True)]
        assert all(same) is (tune == "frozen")


def test_layers_of_a_text_tower_lie_below_all_else(tmp_path: Path) -> None:
    folder = small_clip(tmp_path / "clip")
    network = _network(encoder=str(folder), label_dim=DIM, label_tokens=10, tune="full")
    assert network.layers == 3
    below = {network.layer(n) for n, _ in network.named_parameters() if ".tower." in n}
    above = {network.layer(n) for n, _ in network.named_parameters() if ".tower." not in n}
    assert below == {0, 1, 2}
    assert above == {3}
    assert _network().layers == 1


@pytest.mark.parametrize("reading", [{}, {"reading": "token"}, {"reading": "modality"}], ids=str)
def test_32_clips_are_learned_by_heart(reading: dict[str, Any]) -> None:
    specs: dict[str, TaskSpec] = {"emotion": EMOTION, "sentiment": MOSI}
    network, inputs = _network(specs, **reading, dropout=0, depth=1), _inputs(32, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        batch = _step(network, specs, inputs)
        optimizer.step()
    with torch.no_grad():
        found = network(**inputs)
    assert (found.logits["emotion"].argmax(1) == batch.targets["emotion"]).float().mean() > 0.9
    assert (found.logits["sentiment"] - batch.targets["sentiment"]).abs().mean() < 0.5


def test_a_modality_alone_is_compared_with_the_labels_where_it_is() -> None:
    config = _config(align=0.5)
    network, batch = _network(align=0.5), _batch(_inputs())
    objective = _loss(config, SPECS)
    output = network(**batch.inputs)
    terms = objective(output, batch)
    assert {f"emotion_by_{n}/loss" for n in DIMS} < terms.keys()
    batch.present[:2, sorted(DIMS).index("audio")] = False
    fewer = objective(output, batch)
    wanted = torch.nn.functional.cross_entropy(
        output.aux["emotion_by_audio"][2:], batch.targets["emotion"][2:]
    )
    torch.testing.assert_close(fewer["emotion_by_audio/loss"], 0.5 * wanted)
    torch.testing.assert_close(fewer["emotion_by_text/loss"], terms["emotion_by_text/loss"])


# -- runs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("opinions")
    data = corpora.opinions(folder)
    words = [
        "epochs=2",
        "data.tasks=[emotion]",
        "model.label_sets.emotion={labels: [anger, neutral, joy]}",
    ]
    mien.train(
        "mer-clip", preset="tiny", data=data, out=folder / "run", overrides=words, quiet=True
    )
    return folder / "run", data


def test_other_labels_need_no_training(run: tuple[Path, Path], tmp_path: Path) -> None:
    place, data = run
    plain = mien.load(place)
    before = [t.tracks[0].windows[0].scores["emotion"] for t in plain.predict(data)]
    path = tmp_path / "set.yaml"
    path.write_text("labels: {joy: [joy], anger: [anger], boredom: [bored], neutral: [neutral]}")
    other = mien.load(place, labels=path)
    assert other.specs["emotion"].labels == ("joy", "anger", "boredom", "neutral")
    after = [t.tracks[0].windows[0].scores["emotion"] for t in other.predict(data)]
    assert all(set(scores) == {"joy", "anger", "boredom", "neutral"} for scores in after)
    # The same words in another order are the same answers, by name.
    path.write_text("labels: [joy, neutral, anger]")
    again = [
        t.tracks[0].windows[0].scores["emotion"]
        for t in mien.load(place, labels=path).predict(data)
    ]
    for a, b in zip(before, again, strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    found = mien.evaluate(place, data=data, labels=path)
    plainly = mien.evaluate(place, data=data)["tasks"]["emotion"]["scores"]
    assert found["tasks"]["emotion"]["scores"] == pytest.approx(plainly, abs=1e-6)
    assert "other labels" in found["notes"][-1]


def test_what_cannot_be_relabelled_says_so(run: tuple[Path, Path], tmp_path: Path) -> None:
    place, _ = run
    with pytest.raises(RunError, match="no task 'mood'"):
        mien.load(place, labels={"labels": ["a"], "task": "mood"})
    with pytest.raises(RunError, match="keeps no answers with other labels"):
        mien.evaluate(place, labels="meld7")
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(mien.MienError, match="for manifests of vectors"):
        watch.predict([tmp_path / "film.mp4"], place, labels="meld7")
    toys = corpora.clips(tmp_path)
    mien.train("toy-clip", data=toys, out=tmp_path / "toy", overrides=["epochs=1"], quiet=True)
    with pytest.raises(RunError, match="by number"):
        mien.load(tmp_path / "toy", labels="meld7")


def test_a_run_keeps_the_vectors_of_its_labels_and_no_tower(run: tuple[Path, Path]) -> None:
    place, _ = run
    kept = load_file(place / "model.safetensors")
    assert kept["network.labels.held.emotion.vectors"].shape == (3, 16)
    assert not any("tower" in name for name in kept)
    assert json.loads((place / "card.json").read_text())["towers"] == {}


def test_a_score_answers_with_fewer_labels(tmp_path: Path) -> None:
    data = corpora.opinions(tmp_path)
    words = ["epochs=1", "data.tasks=[sentiment]"]
    mien.train(
        "mer-clip", preset="tiny", data=data, out=tmp_path / "run", overrides=words, quiet=True
    )
    three = mien.load(tmp_path / "run", labels="sentiment3")
    assert three.specs == mien.load(tmp_path / "run").specs
    assert three.model.get_buffer("sentiment_centres").tolist() == [-3, 0, 3]
    assert (
        0
        < mien.evaluate(tmp_path / "run", data=data, labels="sentiment3")["tasks"]["sentiment"][
            "scores"
        ]["mae"]
        < 4
    )
    with pytest.raises(ConfigError, match="nothing says where"):
        mien.load(tmp_path / "run", labels="meld7")


def test_classes_of_iemocap_are_read_by_the_name_of_their_set(tmp_path: Path) -> None:
    """As ``mien data import iemocap-6`` writes and declares them."""
    task = importers.named("iemocap-6").task
    assert task is not None
    data = corpora.opinions(tmp_path)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    for i, row in enumerate(rows):
        row["labels"] = {"emotion": task.labels[i % len(task.labels)]}
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "rows.tasks.json").write_text(json.dumps([task.to_dict()]))
    words = ["epochs=1", "model.label_sets.emotion=iemocap6"]
    mien.train(
        "mer-clip", preset="tiny", data=data, out=tmp_path / "run", overrides=words, quiet=True
    )
    run = mien.load(tmp_path / "run")
    assert run.specs["emotion"].labels == task.labels
    assert set(run.predict(data)[0].tracks[0].windows[0].scores["emotion"]) == set(task.labels)


@pytest.mark.parametrize("tune", ["prompt", "lora", "full"])
def test_a_run_whose_text_tower_learned_is_whole(tmp_path: Path, tune: str) -> None:
    folder, data = small_clip(tmp_path / "clip"), corpora.opinions(tmp_path)
    words = [
        *("epochs=1", "data.tasks=[emotion]", f"tune={tune}", f"encoder={folder}"),
        *(f"label_dim={DIM}", "label_tokens=10", "context=3", "rank=2"),
    ]
    mien.train(
        "mer-clip", preset="tiny", data=data, out=tmp_path / "run", overrides=words, quiet=True
    )
    first = mien.load(tmp_path / "run").predict(data)
    (folder / "tokenizer.json").rename(folder / "gone")
    again = mien.load(tmp_path / "run").predict(data)
    for a, b in zip(first, again, strict=True):
        assert a.tracks[0].windows[0].scores == b.tracks[0].windows[0].scores


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"order": ("text", "text", "audio", "visual")}, "twice"),
        ({"order": ("text", "audio")}, "leaves out visual"),
        ({"heads": 3}, "does not divide"),
        ({"classes_weight": 0, "value_weight": 0}, "above 0"),
        ({"label_sets": {"emotion": "absent.yaml"}}, "cannot read"),
        ({"templates": ("nothing",)}, "in it once"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        _config(**values)


def test_tasks_that_it_cannot_answer_are_refused() -> None:
    frames = TaskSpec(
        name="e", problem=Problem.ONE_OF_N, labels=("a", "b"), resolution=Resolution.FRAME
    )
    with pytest.raises(ConfigError, match="once a clip"):
        build(_config(), {"e": frames})
    affect = TaskSpec(name="a", problem=Problem.REGRESSION, labels=("valence", "arousal"))
    with pytest.raises(ConfigError, match="one value"):
        build(_config(), {"a": affect})
    with pytest.raises(ConfigError, match="no 'anger'"):
        build(_config(label_sets={"emotion": "sentiment3"}), {"emotion": EMOTION})
    with pytest.raises(ConfigError, match="how wide"):
        build(_config(feature_dims={}), SPECS)


def test_presets_resolve() -> None:
    for preset in ("clip-b32", "clip-l14", "sentences", "pocket", "tiny"):
        settings = configuration.resolve("mer-clip", preset=preset)
        assert settings.model.dim % (2 * settings.model.heads) == 0  # type: ignore[attr-defined]
    assert labels.templates(configuration.resolve("mer-clip").model.templates)  # type: ignore[attr-defined]


def test_its_size_is_that_of_its_formulas() -> None:
    widths = {"text": 768, "audio": 74, "visual": 35}
    words = [f"model.feature_dims.{name}={width}" for name, width in widths.items()]
    found = measure("mer-clip", "clip-b32", overrides=words)
    d, label_dim, passes = 512, 512, 2
    look = 4 * d * d + 3 * d  # queries, keys, values, output; no bias of keys
    think = 8 * d * d + 5 * d
    encoder = sum(width * d + d for width in widths.values())
    encoder += 3 * (2 * d + 4 * d * d + d + think + 4 * d)  # norm, attention, perceptron, norms
    decoder = passes * 3 * (2 * look + think + 8 * d)
    ends = label_dim * d + d + d * label_dim + label_dim + 1
    assert found.trainable == found.total == encoder + decoder + ends


def test_words_without_vectors_are_told_apart_from_vectors(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"features": {"audio": [0.5, 1.0]}, "labels": {"emotion": "joy"}, "text": "well"}
    path.write_text("".join(json.dumps({"id": f"r{i}", **row}) + "\n" for i in range(8)))
    with pytest.raises(mien.DataError, match="as they are written") as caught:
        mien.train(
            "mer-clip", preset="tiny", data=path, out=tmp_path / "run", overrides=["select=last"]
        )
    assert "model.modalities without text" in str(caught.value.fix)
