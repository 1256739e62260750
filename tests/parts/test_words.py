"""Texts with their neighbours as tokens, and encoders of transformers that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_sentences import sentence_encoder

from mien.errors import ConfigError, TowerError
from mien.parts import towers
from mien.parts.sentences import SentenceEncoder, pooled
from mien.parts.words import Tokens, Told, UtterancePool
from mien.types import AROUND, SAID, TURN

BYTES: dict[str, Any] = {
    "model_type": "bert", "vocab_size": 260, "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 64,
}  # fmt: skip


def _context(before: str, own: str, after: str) -> str:
    return AROUND.join((before, own, after))


def _read(tokens: Tokens, ids: list[int]) -> str:
    return str(tokens.reader.decode(ids, skip_special_tokens=False))


def test_neighbours_stand_between_separators_and_the_utterance_is_marked(tmp_path: Path) -> None:
    tokens = towers.words(str(sentence_encoder(tmp_path))).tokens
    text = _context(f"x{SAID}a b", f"y{SAID}c", f"x{SAID}d")
    ids, own = tokens.told(text, speakers=False)
    assert _read(tokens, ids) == "[CLS] a b [SEP] c [SEP] d [SEP]"
    assert _read(tokens, [i for i, mine in zip(ids, own, strict=True) if mine]) == "c"
    alone, _ = tokens.told("c", speakers=False)
    assert _read(tokens, alone) == "[CLS] c [SEP]"


def test_names_stand_before_utterances_where_asked() -> None:
    tokens = towers.words(BYTES).tokens
    ids, _ = tokens.told(_context("", f"ann{SAID}hi", ""), speakers=True)
    assert bytes(i - 3 for i in ids[1:-1]) == b"ANN: hi"
    assert tokens.told(_context("", f"{SAID}hi", ""), speakers=True)[0] == [1, 107, 108, 2]


def test_what_is_near_is_read_first_and_never_more_than_there_is_room_for(tmp_path: Path) -> None:
    tokens = towers.words(str(sentence_encoder(tmp_path))).tokens
    text = _context(TURN.join(["a a a", "b"]), "c", TURN.join(["d", "e e e"]))
    for room, wanted in {
        5: "[CLS] b [SEP] c [SEP]",
        8: "[CLS] b [SEP] c [SEP] d [SEP]",
        10: "[CLS] a a a b [SEP] c [SEP] d [SEP]",
    }.items():
        short = Tokens(tokens.reader, tokens.head, tokens.tail, tokens.between, room)
        ids, _ = short.told(text, speakers=False)
        assert _read(tokens, ids) == wanted
        assert len(ids) <= room
    tight = Tokens(tokens.reader, tokens.head, tokens.tail, tokens.between, 4)
    assert len(tight.told("a b c d e f", speakers=False)[0]) == 4


def test_a_tower_reads_as_the_sentence_encoder_of_the_same_folder(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path)
    texts = ["a b c", "the voice is high"]
    tower = towers.words(str(folder))
    front_end = Told(tower.tokens)
    wanted = list(SentenceEncoder.open(str(folder)).encode(texts))
    for text, vector in zip(texts, wanted, strict=True):
        given = torch.tensor(list(text.encode()))[None]
        made, mask = front_end({"text": given}, {"text": torch.ones_like(given).bool()})
        hidden, seen = tower(made["text"], mask["text"])
        torch.testing.assert_close(pooled(hidden, seen)[0], vector)


def test_what_is_not_there_is_zeros_and_changes_nothing() -> None:
    torch.manual_seed(0)
    tower = towers.words(BYTES)
    ids = torch.randint(3, 259, (3, 7))
    mask = torch.ones(3, 7, dtype=torch.bool)
    mask[0, 4:] = mask[1] = False
    hidden, _ = tower(ids, mask)
    assert not hidden[1].any()
    assert not hidden[0, 4:].any()
    torch.testing.assert_close(hidden[:1, :4], tower(ids[:1, :4])[0])


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TowerError, match=r"there is no tokenizer\.json"):
        towers.words(str(folder))
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(TowerError, match="its tokenizer cannot be read"):
        _ = towers.words(str(folder)).tokens


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(TowerError, match=r"config\.json says"):
        towers.words(str(folder))
    with pytest.raises(ConfigError, match="these values make no words tower"):
        towers.words({"model_type": "no-such-model"})


def test_pools_read_what_they_say() -> None:
    tokens = torch.arange(12.0).view(1, 4, 3)
    there = torch.tensor([[True, True, True, False]])
    own = torch.tensor([[False, True, False, False]])
    assert UtterancePool("own")(tokens, there, own).tolist() == [[3, 4, 5]]
    assert UtterancePool("all")(tokens, there, own).tolist() == [[3, 4, 5]]
    assert UtterancePool("first")(tokens, there, own).tolist() == [[0, 1, 2]]
    none = torch.zeros_like(own)
    assert UtterancePool("own")(tokens, there, none).tolist() == [[3, 4, 5]]
    with pytest.raises(ConfigError, match="pooled over own or all"):
        UtterancePool("last")


def test_layers_lie_one_above_the_other() -> None:
    tower = towers.words({**BYTES, "num_hidden_layers": 3})
    found = [tower.layer(name) for name, _ in tower.named_parameters()]
    assert found == sorted(found)
    assert set(found) == {0, 1, 2, 3}
