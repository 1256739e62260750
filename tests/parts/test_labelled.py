"""Label encoders: CLIP's text tower against transformers, sentences, the cache, and what learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_clip import DIM, small_clip
from small_sentences import sentence_encoder
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPTextModelWithProjection

from mien.errors import ConfigError
from mien.parts import cliptext, labels, meanings, towers
from mien.parts.labelled import LabelEncoder, LabelSettings
from mien.parts.sentences import SentenceEncoder

WORDS = labels.named({"labels": {"anger": ["anger", "angry"], "joy": ["joy"], "fear": ["fear"]}})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _encoder(clip: Path, tune: str, **more: object) -> LabelEncoder:
    settings = LabelSettings.model_validate(
        {"encoder": str(clip), "label_dim": DIM, "tune": tune, "label_tokens": 10, "context": 3}
        | more
    )
    torch.manual_seed(0)
    return LabelEncoder(settings, {"emotion": WORDS}).eval()


def _reference(folder: Path, sentences: list[str]) -> Tensor:
    model = CLIPTextModelWithProjection.from_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        found: Tensor = model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).text_embeds
    return found


def test_the_text_tower_equals_transformers(clip: Path) -> None:
    said = ["the speaker feels joy", "fear", "the speaker feels very very very negative"]
    ids, mask = cliptext.tokens(clip, said, 12)
    tower = meanings.text_tower(str(clip), None)
    with torch.no_grad():
        found = tower(ids, mask)[0][:, 0]
    torch.testing.assert_close(found, _reference(clip, said), atol=1e-5, rtol=1e-4)
    assert tower.dim == DIM
    assert {tower.layer(n) for n, _ in tower.named_parameters()} == {0, 1, 2}


@pytest.mark.parametrize("tune", ["frozen", "adapter", "lora", "full"])
def test_every_way_begins_with_the_same_vectors(clip: Path, tune: str) -> None:
    every = labels.sentences(WORDS)
    by_hand = []
    for some in every:
        vectors = F.normalize(_reference(clip, list(some)), dim=-1)
        by_hand.append(vectors.mean(0))
    found = _encoder(clip, tune)("emotion")
    expected = F.normalize(torch.stack(by_hand), dim=-1)
    torch.testing.assert_close(found.detach(), expected, atol=1e-5, rtol=1e-4)


def test_learned_context_stands_before_the_words(clip: Path) -> None:
    encoder = _encoder(clip, "prompt")
    assert encoder.context is not None
    plain = _encoder(clip, "frozen")("emotion")
    found = encoder("emotion")
    assert not torch.allclose(found, plain, atol=1e-3)
    learned = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert learned == {"context"}
    (gradient,) = torch.autograd.grad(found[:, 0].sum(), encoder.context)
    assert gradient.abs().sum() > 0


def test_what_learns_is_what_was_asked_for(clip: Path) -> None:
    assert not list(_encoder(clip, "frozen").parameters())
    assert {n.split(".")[0] for n, _ in _encoder(clip, "adapter").named_parameters()} == {"adapter"}
    full = dict(_encoder(clip, "full").named_parameters())
    assert all(p.requires_grad for p in full.values())
    lora = _encoder(clip, "lora")
    learned = {n for n, p in lora.named_parameters() if p.requires_grad}
    assert learned
    assert all(".lora_" in name for name in learned)
    lora("emotion").square()[:, 0].sum().backward()
    assert all(p.grad is None for n, p in lora.named_parameters() if n not in learned)


def test_an_adapter_begins_as_nothing_and_moves(clip: Path) -> None:
    encoder = _encoder(clip, "adapter")
    assert encoder.adapter is not None
    torch.testing.assert_close(encoder("emotion"), _encoder(clip, "frozen")("emotion"))
    with torch.no_grad():
        encoder.adapter.fc2.weight.normal_()
    moved = encoder("emotion")
    assert not torch.allclose(moved, _encoder(clip, "frozen")("emotion"), atol=1e-2)
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(3))


def test_labels_through_a_sentence_encoder(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path / "sentences")
    given = labels.named({"labels": {"high": ["the voice is high"], "low": ["it is low", "low"]}})
    found = meanings.vectors(str(folder), None, given, "bare", 16)
    opened = SentenceEncoder.open(str(folder))
    high, *low = opened.encode(["the voice is high", "it is low", "low"])
    torch.testing.assert_close(found[0], high)
    torch.testing.assert_close(found[1], F.normalize(torch.stack(low).mean(0), dim=0))
    with pytest.raises(ConfigError, match="vectors of 16, not 512") as caught:
        meanings.vectors(str(folder), None, given, "bare", 512)
    assert caught.value.fix == "model.label_dim=16"


def test_vectors_are_kept_by_encoder_labels_and_template(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = sentence_encoder(tmp_path / "a"), sentence_encoder(tmp_path / "b", seed=1)
    given = labels.named({"labels": ["voice", "face"]})

    def kept() -> int:
        return len(list((own_cache / "labels").glob("*.safetensors")))

    first = meanings.vectors(str(one), None, given, "bare", 16)
    assert kept() == 1
    meanings.vectors(str(other), None, given, "bare", 16)
    meanings.vectors(str(one), None, given, ("the {label}",), 16)
    meanings.vectors(str(one), None, given.only(["face", "voice"]), "bare", 16)
    assert kept() == 4
    monkeypatch.setattr(SentenceEncoder, "open", _not_again)
    before = torch.random.get_rng_state()
    again = meanings.vectors(str(one), None, given, "bare", 16)
    assert torch.equal(again, first)
    assert torch.equal(torch.random.get_rng_state(), before)
    monkeypatch.undo()


def _not_again(*_: object) -> None:
    raise AssertionError("the encoder was opened although its vectors are kept")


def test_encoding_draws_nothing_and_a_damaged_cache_counts_as_none(
    tmp_path: Path, own_cache: Path
) -> None:
    folder = sentence_encoder(tmp_path / "a")
    given = labels.named({"labels": ["voice", "face"]})
    before = torch.random.get_rng_state()
    first = meanings.vectors(str(folder), None, given, "bare", 16)
    assert torch.equal(torch.random.get_rng_state(), before), "a training would start otherwise"
    (file,) = (own_cache / "labels").glob("*.safetensors")
    file.write_bytes(b"half")
    assert torch.equal(meanings.vectors(str(folder), None, given, "bare", 16), first)
    save_file({"vectors": torch.full((2, 16), float("nan"))}, file)
    assert torch.equal(meanings.vectors(str(folder), None, given, "bare", 16), first)


def test_encoders_without_weights_are_the_same_everywhere() -> None:
    given = labels.named({"labels": ["happy", "happiness", "anger"]})
    spelled = meanings.vectors("letters", None, given, "default", 256)
    again = meanings.vectors("letters", None, given.only(["anger"]), "bare", 256)
    assert torch.equal(spelled[2], again[0])
    alike = spelled @ spelled.T
    assert alike[0, 1] > 0.2 > abs(alike[0, 2])
    noise = meanings.vectors("random", None, given, "default", 256)
    assert np.abs((noise @ noise.T - torch.eye(3)).numpy()).max() < 0.2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tune": "lora", "encoder": "letters"}, "no weights that could learn"),
        ({"tune": "frozen", "encoder": {"hidden_size": 8}}, "kept nowhere"),
        ({"tune": "full", "label_dim": 99}, "vectors of 12, not 99"),
        ({"tune": "prompt", "label_tokens": 14}, "reads 16 tokens, not 17"),
        ({"tune": "full", "label_tokens": 4}, "more than 4"),
    ],
)
def test_what_cannot_be_is_refused(clip: Path, values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        _encoder(clip, **{"tune": "frozen", **values})  # type: ignore[arg-type]


def test_nothing_is_opened_where_values_come_later(clip: Path) -> None:
    with towers.using({}, clip):
        settings = LabelSettings(encoder="/nowhere", label_dim=DIM)
        made = LabelEncoder(settings, {"emotion": WORDS})
    assert made.held["emotion"].get_buffer("vectors").shape == (3, DIM)


def test_a_file_of_labels_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    path.write_text("labels: {joy: [happy]}")
    settings = LabelSettings.model_validate({"label_sets": {"emotion": str(path)}})
    path.unlink()
    again = LabelSettings.model_validate(settings.model_dump(mode="json"))
    assert labels.named(again.label_sets["emotion"]).labels == {"joy": ("happy",)}


def test_a_tower_of_random_weights_reads_letters() -> None:
    values = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "vocab_size": 60, "max_position_embeddings": 40,
              "projection_dim": DIM}  # fmt: skip
    settings = LabelSettings.model_validate(
        {"encoder": values, "label_dim": DIM, "tune": "full", "label_tokens": 30}
    )
    encoder = LabelEncoder(settings, {"emotion": WORDS}).eval()
    found = encoder("emotion")
    assert found.shape == (3, DIM)
    assert not torch.allclose(found[0], found[1], atol=1e-4)
    encoder.put("emotion", WORDS.only(["joy", "anger", "fear"]))
    torch.testing.assert_close(encoder("emotion"), found[[1, 0, 2]])
