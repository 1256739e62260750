"""Sentence encoders: the mean of what is there, whatever a text stands beside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_sentences import sentence_encoder
from transformers import AutoModel, AutoTokenizer

from mien.errors import TowerError
from mien.parts.sentences import SentenceEncoder, pooled


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sentence_encoder(tmp_path_factory.mktemp("encoder"))


TEXTS = ["the voice is high", "a", "brows mouth low it comes the face is a b c d", "zzz ?"]


def test_the_mean_of_a_text_alone(folder: Path) -> None:
    """One text at a time, without padding, summed by hand."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    found = list(SentenceEncoder.open(str(folder)).encode(TEXTS))
    for text, vector in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = sum(hidden) / len(hidden)
        torch.testing.assert_close(vector, mean / mean.norm(), atol=1e-6, rtol=1e-5)
        assert vector.norm() == pytest.approx(1, abs=1e-5)


def test_what_stands_beside_a_text_changes_nothing(folder: Path) -> None:
    encoder = SentenceEncoder.open(str(folder))
    together = torch.stack(list(encoder.encode(TEXTS, batch=4)))
    apart = torch.stack(list(encoder.encode(TEXTS, batch=1)))
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=1e-5)
    assert encoder.dim == together.shape[1] == 16


def test_masked_positions_may_hold_anything() -> None:
    hidden, mask = torch.randn(3, 5, 4), torch.tensor([[1, 1, 0, 0, 0], [1] * 5, [0] * 5])
    other = torch.where(mask.bool()[..., None], hidden, torch.full_like(hidden, 1e6))
    torch.testing.assert_close(pooled(hidden, mask), pooled(other, mask))
    assert pooled(hidden, mask)[2].tolist() == [0, 0, 0, 0]


def test_a_text_that_is_too_long_is_cut(folder: Path) -> None:
    encoder = SentenceEncoder.open(str(folder))
    assert encoder.longest == 24
    one, two = encoder.encode(["a b c " * 50, "a b c " * 60])
    torch.testing.assert_close(one, two)


def test_the_fingerprint_is_that_of_everything(folder: Path, tmp_path: Path) -> None:
    first = SentenceEncoder.open(str(folder)).fingerprint
    assert SentenceEncoder.open(str(sentence_encoder(tmp_path / "a"))).fingerprint == first
    other = sentence_encoder(tmp_path / "b", seed=1)
    assert SentenceEncoder.open(str(other)).fingerprint != first
    words = tmp_path / "a" / "tokenizer.json"
    words.write_text(words.read_text().replace('"voice"', '"noise"'))
    assert SentenceEncoder.open(str(tmp_path / "a")).fingerprint != first


def test_what_is_no_encoder(tmp_path: Path, empty_cache: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(TowerError, match=r"config\.json is needed"):
        SentenceEncoder.open(str(tmp_path / "none"))
    with pytest.raises(TowerError, match="not in the cache"):
        SentenceEncoder.open("nobody/nothing")
    bare = sentence_encoder(tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    with pytest.raises(TowerError, match="no sentence encoder"):
        SentenceEncoder.open(str(bare))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "a")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TowerError, match="1 are missing"):
        SentenceEncoder.open(str(folder))


def test_code_of_a_repository_is_never_run(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "a")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "evil"
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(TowerError):
        SentenceEncoder.open(str(folder))
