"""M2FNet: published sizes, the fusion by hand, what is absent, and the order of what is said."""

from __future__ import annotations

import json
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import f1_score
from small_sentences import sentence_encoder
from torch import Tensor

import mien
from mien import config, tasks
from mien.errors import ConfigError, DataError, TowerError
from mien.parts.conversation import FusionAttention
from mien.parts.model import Model
from mien.run.measure import count, measure
from mien.run.train import train
from mien.systems import m2fnet as system
from mien.systems.m2fnet import FusionNetwork
from mien.tasks.conversation import IEMOCAP_DIALOGUES, MELD
from mien.types import Batch, Output, Problem, Resolution, TaskSpec

DIMS = {"text": 6, "audio": 4, "visual": 5}
PUBLISHED = {"text": 1024, "audio": 300, "visual": 600}


def _words(dims: dict[str, int]) -> list[str]:
    return [f"model.feature_dims.{name}={width}" for name, width in dims.items()]


def _network(*words: str, dims: dict[str, int] = DIMS, preset: str = "tiny") -> FusionNetwork:
    torch.manual_seed(0)
    settings = config.resolve("m2fnet", preset=preset, overrides=[*_words(dims), *words]).model
    model = system.STAGES["fusion"].build(settings, {"emotion": MELD})
    assert isinstance(model, Model)
    network = model.eval().network
    assert isinstance(network, FusionNetwork)
    return network


def _talks(number: int = 2, length: int = 5, **dims: int) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {name: torch.randn(number, length, width) for name, width in (dims or DIMS).items()}


@torch.no_grad()
def _said(network: FusionNetwork, **given: Any) -> Tensor:
    output: Output = network(**given)
    return output.logits["emotion"]


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "spec"), [("meld", MELD), ("iemocap", IEMOCAP_DIALOGUES)])
def test_presets_are_exactly_as_large_as_specified(preset: str, spec: TaskSpec) -> None:
    """Item by item: layers of each modality, attention with keys of other widths, and the end."""

    def linear(inputs: int, outputs: int) -> int:
        return inputs * outputs + outputs

    def layer(dim: int) -> int:
        attention = linear(dim, 3 * dim) + linear(dim, dim)
        return attention + linear(dim, 4 * dim) + linear(4 * dim, dim) + 2 * 2 * dim

    text, audio, visual = PUBLISHED.values()
    layers = {"meld": 1, "iemocap": 5}[preset] * sum(map(layer, PUBLISHED.values()))

    def looking(keys: int) -> int:  # query and value of the text's own width, three biases
        return 2 * text * text + text * keys + 3 * text + linear(text, text)

    fusions = 5 * (looking(audio) + looking(visual) + linear(3 * text, text))
    end = linear(text + audio + visual, text) + linear(text, spec.width)
    found = measure("m2fnet", preset, {"emotion": spec}, _words(PUBLISHED))
    assert found.trainable == layers + fusions + end


def test_a_width_that_no_number_of_heads_divides_is_refused_or_projected() -> None:
    with pytest.raises(ConfigError, match=r"342 does not divide over 4 heads(.|\n)*widths"):
        _network(dims={"text": 1024, "visual": 342}, preset="meld")
    network = _network("model.widths.visual=256", dims={"text": 8, "visual": 342}, preset="meld")
    assert count(network.project).total == 342 * 256 + 256


# -- fusion ----------------------------------------------------------------------------------------


def test_the_fusion_is_that_of_the_formula() -> None:
    """Softmax over keys of another modality, values of the query's own, then one Linear."""
    torch.manual_seed(0)
    fusion = FusionAttention(8, {"audio": 4}, heads=2, dropout=0.0).eval()
    x, keys = torch.randn(1, 3, 8), torch.randn(1, 3, 4)
    mha: Any = fusion.attention["audio"]
    weights = [mha.q_proj_weight, mha.k_proj_weight, mha.v_proj_weight]
    biases = mha.in_proj_bias.chunk(3)
    made = [a @ w.T + b for a, w, b in zip((x, keys, x), weights, biases, strict=True)]
    q, k, v = (part.view(1, 3, 2, 4).transpose(1, 2) for part in made)
    looked = ((q @ k.transpose(2, 3)) / 2).softmax(-1) @ v
    a = mha.out_proj(looked.transpose(1, 2).reshape(1, 3, 8))
    wanted = fusion.join(torch.cat([x, a], 2))
    there = {"audio": torch.ones(1, 3, dtype=torch.bool)}
    torch.testing.assert_close(fusion(x, {"audio": keys}, there), wanted)


def test_text_is_the_query_and_sound_where_there_is_none() -> None:
    assert _network().query == "text"
    assert _network(dims={"visual": 5, "audio": 4}).query == "audio"
    alone = _network(dims={"visual": 5})
    assert alone.query == "visual"
    assert len(alone.fusions) == 0, "alone, nothing is fused"


def test_what_is_absent_changes_nothing_however_it_is_filled() -> None:
    network, talks = _network(), _talks()
    masks = {name: torch.ones(2, 5, dtype=torch.bool) for name in DIMS}
    masks["audio"][:, 2] = masks["visual"][0] = masks["text"][1, 3:] = False
    one = _said(network, **talks, mask=masks)
    filled = {n: x.masked_fill(~masks[n][..., None], float("nan")) for n, x in talks.items()}
    torch.testing.assert_close(_said(network, **filled, mask=masks), one)
    assert one.isfinite().all()
    assert not torch.allclose(one, _said(network, **talks))


def test_a_modality_that_a_dialogue_lacks_may_as_well_be_left_out() -> None:
    network, talks = _network(), _talks()
    for lacking in DIMS:
        rest = {name: x for name, x in talks.items() if name != lacking}
        masks = {n: torch.full((2, 5), n != lacking) for n in DIMS}
        found = _said(network, **talks, mask=masks)
        torch.testing.assert_close(found, _said(network, **rest))


def test_an_utterance_without_words_is_answered_from_the_others() -> None:
    network, talks = _network(), _talks()
    masks = {name: torch.ones(2, 5, dtype=torch.bool) for name in DIMS}
    masks["text"][:, 1] = False
    one = _said(network, **talks, mask=masks)
    talks["visual"] = talks["visual"].clone()
    talks["visual"][:, 1] += 1
    assert not torch.allclose(one[:, 1], _said(network, **talks, mask=masks)[:, 1])


def test_the_order_of_a_dialogue_matters() -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    talks = _talks()
    mixed = {name: x[:, order] for name, x in talks.items()}
    network = _network()
    assert not torch.allclose(_said(network, **mixed), _said(network, **talks)[:, order], atol=1e-3)
    deaf = _network("model.positions=false")  # as the paper may have it: a set of utterances
    torch.testing.assert_close(_said(deaf, **mixed), _said(deaf, **talks)[:, order])


def test_an_utterance_is_understood_from_what_surrounds_it() -> None:
    network, talks = _network("model.modalities=[text]"), _talks(text=6)
    one = _said(network, **talks)
    other = talks["text"].clone()
    other[:, 4] += 1
    moved = (_said(network, text=other) - one).abs().amax((0, 2))
    assert (moved > 1e-4).all(), "both directions: what comes later counts, too"


# -- scores and answers ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("m2fnet")
    data = corpora.conversations(home)
    train("m2fnet", preset="tiny", data=data, out=home / "run", overrides=["epochs=3"], quiet=True)
    return data, home / "run"


def test_weighted_f1_is_that_of_all_utterances_together(made: tuple[Path, Path]) -> None:
    data, out = made
    found = mien.evaluate(out, data=data)["tasks"]["emotion"]
    assert found["by"] == "weighted_f1"
    table = pq.read_table(out / "predictions.parquet").to_pydict()
    truth = np.concatenate([np.ravel(t) for t in table["targets.emotion"]])
    said = np.concatenate([np.argmax(s, axis=1) for s in table["scores.emotion"]])
    known = ~np.isnan(truth)
    wanted = f1_score(truth[known], said[known], average="weighted")
    assert found["scores"]["weighted_f1"] == pytest.approx(wanted)
    assert found["answers"] == known.sum() > found["clips"] == len(table["id"])
    assert set(found["intervals"]["weighted_f1"]) == {"clips", "groups"}, "drawn are dialogues"


def test_every_utterance_has_exactly_one_answer(made: tuple[Path, Path]) -> None:
    data, out = made
    run = mien.load(out)
    manifest = run.read(data)
    timelines = run.predict(data)
    sizes = {row.dialogue: 0 for row in manifest.rows}
    for row in manifest.rows:
        sizes[row.dialogue] += 1
    assert {t.source: len(list(t)) for t in timelines} == sizes
    empty = next(t for t in timelines if t.source == "d5").tracks[0].windows[1]
    assert not any(empty.present.values()), (
        "nothing is known of it, and it is answered all the same"
    )
    assert empty.scores["emotion"]
    table = pq.read_table(out / "predictions.parquet").to_pydict()
    for members, scores in zip(table["rows"], table["scores.emotion"], strict=True):
        assert len(members) == len(scores)
    test = [row.id for row in manifest.rows if row.split == "test"]
    assert sorted(chain(*table["rows"])) == sorted(test)


def test_utterances_stand_where_their_rows_say(tmp_path: Path, made: tuple[Path, Path]) -> None:
    run = mien.load(made[1])
    rows = [
        {"id": f"u{i}", "dialogue": "d", "turn": i, "start": s, "end": e,
         "features": {"text": [0.1] * 6}} for i, (s, e) in enumerate([(0.5, 1.0), (2.0, 2.5)])
    ]  # fmt: skip
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    windows = run.predict(path)[0].tracks[0].windows
    assert [(w.start, w.end) for w in windows] == [(0.5, 1.0), (2.0, 2.5)]


def test_a_dialogue_run_watches_no_film(made: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(mien.RunError, match=r"as vectors|reads neither"):
        mien.load(made[1]).predict(tmp_path / "film.mp4")


def test_words_alone_are_not_read_by_the_fusion(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    row = '{"id": "ID", "dialogue": "ID", "text": "hm", "labels": {"emotion": "x"}}\n'
    path.write_text("".join(row.replace("ID", name) for name in "abcd"))
    with pytest.raises(DataError, match="no row has any input of 'm2fnet'"):
        train("m2fnet", preset="tiny", data=path, out=tmp_path / "run", quiet=True)


def test_what_is_asked_of_clips_is_asked_of_utterances(made: tuple[Path, Path]) -> None:
    spec = mien.load(made[1]).specs["emotion"]  # declared nowhere
    assert (spec.resolution, spec.labels) == (Resolution.UTTERANCE, ("x", "y", "z"))
    assert tasks.default_metric(spec) == tasks.default_metric(MELD) == "weighted_f1"


# -- extractors ------------------------------------------------------------------------------------


def _visual(*words: str) -> Any:
    torch.manual_seed(0)
    settings = config.resolve("m2fnet", preset="tiny", overrides=["stages=[visual]", *words]).model
    return system.STAGES["visual"].build(settings, {"emotion": MELD}).eval()


def _seen(number: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(1)
    faces = torch.randint(0, 256, (number, 3, 32, 32, 3), dtype=torch.uint8)
    scene = torch.randint(0, 256, (number, 2, 32, 32, 3), dtype=torch.uint8)
    boxes = torch.tensor([[0, 0.2], [0, 0.1], [1, 0.1]]).expand(number, -1, -1).clone()
    return {"scene": scene, "faces": faces, "boxes": boxes}


@torch.no_grad()
def _vector(model: Any, seen: dict[str, Tensor]) -> Tensor:
    batch = Batch(
        inputs=seen,
        mask={n: torch.ones(x.shape[:2], dtype=torch.bool) for n, x in seen.items()},
        present=torch.ones(len(next(iter(seen.values()))), len(seen), dtype=torch.bool),
    )
    output: Output = model(batch)
    return output.features["visual"]


def test_the_visual_vector_follows_the_area_of_boxes() -> None:
    model, seen = _visual(), _seen()
    one = _vector(model, seen)
    swapped = {**seen, "boxes": torch.tensor([[[0, 0.1], [0, 0.2], [1, 0.1]]])}
    other = _vector(model, swapped)
    assert not torch.allclose(one[:, 8:], other[:, 8:], atol=1e-5)
    torch.testing.assert_close(one[:, :8], other[:, :8])  # the scene is as it was
    alike = {**seen, "boxes": seen["boxes"] * torch.tensor([1, 0.5])}
    torch.testing.assert_close(_vector(model, alike), one)  # shares of a frame's sum


def test_the_visual_vector_follows_the_scene() -> None:
    model, seen = _visual(), _seen()
    one = _vector(model, seen)
    other = _vector(model, {**seen, "scene": 255 - seen["scene"]})
    assert not torch.allclose(one[:, :8], other[:, :8], atol=1e-5)
    torch.testing.assert_close(one[:, 8:], other[:, 8:])


def test_frames_without_faces_are_left_out_of_the_maximum() -> None:
    model, seen = _visual(), _seen()
    one = _vector(model, seen)
    later = {**seen, "boxes": torch.tensor([[[0, 0.2], [0, 0.1], [9, 0.1]]])}
    torch.testing.assert_close(_vector(model, later), one)
    nobody = _vector(model, {"scene": seen["scene"]})
    torch.testing.assert_close(nobody[:, :8], one[:, :8])
    assert not nobody[:, 8:].any()
    assert not _vector(model, {"boxes": seen["boxes"]}).any()


def test_published_extractors_have_the_published_widths() -> None:
    found = measure("m2fnet", "meld", {"emotion": MELD}, ["stages=[audio]"])
    one = 11_176_512 + 512 * 300 + 300
    assert found.trainable == one + 300 * 7 + 7
    both = measure("m2fnet", "meld", {"emotion": MELD}, ["stages=[visual]"])
    assert both.trainable == 2 * one + 600 * 7 + 7


def test_extractors_want_classes() -> None:
    moods = TaskSpec(name="mood", problem=Problem.REGRESSION, labels=("mood",))
    settings = config.resolve("m2fnet", preset="tiny").model
    with pytest.raises(ConfigError, match="triplets are made of classes"):
        system.STAGES["audio"].build(settings, {"mood": moods})


@pytest.mark.parametrize("tune", ["true", "false"])
def test_a_run_keeps_its_words_and_how_they_are_read(tune: str, tmp_path: Path) -> None:
    """Weights and tokenizer come from the run alone; a frozen encoder is as it was."""
    data, folder = corpora.sayings(tmp_path), sentence_encoder(tmp_path / "encoder")
    words = ["stages=[text]", "epochs=1", f"model.words={folder}", f"tune={tune}", "speakers=true"]
    train("m2fnet", preset="tiny", data=data, out=tmp_path / "run", overrides=words, quiet=True)
    before = load_file(folder / "model.safetensors")
    shutil.rmtree(folder)
    run = mien.load(tmp_path / "run")
    assert run.predict(data)[0].tracks[0].windows[0].scores["emotion"]
    tower = run.model.get_submodule("tower")
    name = "encoder.layer.0.output.dense.weight"
    moved = not torch.equal(tower.get_parameter(f"reader.{name}"), before[name])
    assert moved == (tune == "true")
    (kept,) = (tmp_path / "run").rglob("tokens.json")
    kept.write_text(kept.read_text().replace('"voice"', '"vocal"'))
    with pytest.raises(TowerError, match=r"tokens\.json is not what the run recorded"):
        mien.load(tmp_path / "run")


def test_words_are_read_by_what_sees_both_sides() -> None:
    values = ["model.words.model_type=llama", "stages=[text]"]
    settings = config.resolve("m2fnet", preset="tiny", overrides=values).model
    with pytest.raises(ConfigError, match=r"a llama model sees nothing(.|\n)*model\.words"):
        system.STAGES["text"].build(settings, {"emotion": MELD})
