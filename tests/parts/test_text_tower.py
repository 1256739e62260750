"""Text towers against transformers' own classifiers, and what their files may hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_readers import SIZES, WORDS, classifier
from torch import Tensor

from mien.errors import ConfigError, TowerError
from mien.parts import adapters, text, towers
from mien.parts.text import pooled
from mien.parts.tokens import TextFrontEnd

TEXTS = ["the voice is high", "sad", "brows up . the face is glad the voice is low . up down sad"]
every_kind = pytest.mark.parametrize("kind", SIZES)


def _read(tower: towers.TextTower, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Texts as a run's front end gives them to a tower."""
    longest = max(len(t.encode()) for t in texts)
    raw = torch.zeros(len(texts), longest, dtype=torch.long)
    mask = torch.zeros(raw.shape, dtype=torch.bool)
    for row, said in enumerate(texts):
        content = said.encode()
        raw[row, : len(content)], mask[row, : len(content)] = torch.tensor(list(content)), True
    front = TextFrontEnd(tower.tokens, tower.longest(64), tower.pad)
    inputs, masks = front({"text": raw}, {"text": mask})
    found, there = tower(inputs["text"], masks["text"])
    return found, there


@every_kind
def test_a_tower_is_the_classifiers_own(kind: str, tmp_path: Path) -> None:
    """The same tokens and vectors as transformers gives, one text at a time without padding."""
    from transformers import AutoTokenizer

    own = classifier(tmp_path, kind)
    tower = towers.texts(str(tmp_path))
    split = AutoTokenizer.from_pretrained(tmp_path)
    found, mask = _read(tower, TEXTS)
    for row, said in enumerate(TEXTS):
        ids = split(said, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected = own.base_model(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(found[row][mask[row]], expected, atol=1e-5, rtol=1e-5)


def test_a_decoders_answer_is_that_of_its_last_token(tmp_path: Path) -> None:
    own = classifier(tmp_path, "llama")
    tower = towers.texts(str(tmp_path))
    assert tower.looks_back
    found, mask = _read(tower, TEXTS)
    answers = pooled(found, mask, "last") @ own.score.weight.T
    from transformers import AutoTokenizer

    split = AutoTokenizer.from_pretrained(tmp_path)
    for row, said in enumerate(TEXTS):
        with torch.no_grad():
            expected = own(**split(said, return_tensors="pt")).logits[0]
        torch.testing.assert_close(answers[row], expected, atol=1e-5, rtol=1e-5)


@every_kind
def test_what_stands_behind_a_text_changes_nothing(kind: str, tmp_path: Path) -> None:
    classifier(tmp_path, kind)
    tower = towers.texts(str(tmp_path))
    together, mask = _read(tower, TEXTS)
    for row, said in enumerate(TEXTS):
        alone, there = _read(tower, [said])
        torch.testing.assert_close(together[row][mask[row]], alone[there], atol=1e-5, rtol=1e-5)
    ids = torch.randint(4, 4 + len(WORDS), mask.shape)
    junk = torch.where(mask, ids, 3)
    torch.testing.assert_close(tower(ids, mask)[0][mask], tower(junk, mask)[0][mask])


def test_an_absent_text_is_zeros(tmp_path: Path) -> None:
    classifier(tmp_path, "bert")
    tower = towers.texts(str(tmp_path))
    mask = torch.tensor([[True, True], [False, False]])
    found, there = tower(torch.tensor([[0, 5], [9, 9]]), mask)
    assert not found[1].any()
    for how in ("first", "last", "mean"):
        assert not pooled(found + 1, there, how)[1].any()
    nobody, _ = tower(torch.tensor([[0, 5]]), torch.tensor([[False, False]]))
    assert nobody.dtype is torch.float32
    assert not nobody.any()


def test_pooling_by_hand() -> None:
    found = torch.arange(24.0).view(2, 4, 3)
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    assert pooled(found, mask, "first").tolist() == [[0, 1, 2], [12, 13, 14]]
    assert pooled(found, mask, "last").tolist() == [[6, 7, 8], [12, 13, 14]]
    assert pooled(found, mask, "mean").tolist() == [[3, 4, 5], [12, 13, 14]]


@every_kind
def test_low_rank_updates_go_to_the_usual_layers(kind: str, tmp_path: Path) -> None:
    classifier(tmp_path, kind)
    tower = towers.texts(str(tmp_path))
    adapters.lora(tower, tower.targets(), rank=2, alpha=8)
    learned = [n for n, p in tower.named_parameters() if p.requires_grad]
    assert len(learned) == 2 * 2 * 2  # two blocks, queries and values, A and B
    assert {tower.layer(name) for name in learned} == {1, 2}


@every_kind
def test_layers_lie_one_above_the_other(kind: str, tmp_path: Path) -> None:
    classifier(tmp_path, kind)
    tower = towers.texts(str(tmp_path))
    found = [tower.layer(name) for name, _ in tower.named_parameters()]
    assert found == sorted(found)
    assert set(found) == set(range(tower.depth + 1))


def test_old_names_of_norms_are_known(tmp_path: Path) -> None:
    own = classifier(tmp_path, "bert")
    old = {}
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        old[name.replace("LayerNorm.bias", "LayerNorm.beta")] = tensor
    save_file(old, tmp_path / "model.safetensors", metadata={"format": "pt"})
    tower = towers.texts(str(tmp_path))
    state = own.bert.state_dict()
    for name, tensor in tower.reader.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    classifier(tmp_path, "llama")
    good = load_file(tmp_path / "model.safetensors")
    lost = {n: t for n, t in good.items() if n != "model.layers.1.mlp.up_proj.weight"}
    for tensors in (lost, good | {"model.stranger": torch.zeros(1)}):
        save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(TowerError, match="do not fit"):
            towers.texts(str(tmp_path))


def test_what_is_no_single_reader_is_refused() -> None:
    with pytest.raises(ConfigError, match="an encoder and a decoder"):
        towers.texts({"model_type": "t5"})
    with pytest.raises(ConfigError, match="no model of type 'nonsense'"):
        towers.texts({"model_type": "nonsense"})
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with pytest.raises(TowerError, match="knows 260 tokens, the model 100"):
        towers.texts({"model_type": "bert", "vocab_size": 100, **small})


def test_known_architectures_are_those_of_their_names() -> None:
    """Parameters by the sizes that are published: of BERT base and LLaMA 3 without their heads."""
    for name, count in (
        ("google-bert/bert-base-uncased", 109_482_240 - 768 * 769),
        ("meta-llama/Meta-Llama-3-8B", 8_030_261_248 - 128_256 * 4096),
        ("sentence-transformers/all-MiniLM-L6-v2", 22_713_216 - 384 * 385),
    ):
        assert name in text.KNOWN
        with towers.blueprint():
            assert sum(p.numel() for p in towers.texts(name).parameters()) == count
