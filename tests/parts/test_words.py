"""Texts with their neighbours as tokens, and one vector of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_readers import classifier
from small_sentences import sentence_encoder

from mien.errors import ConfigError, DataError, TowerError
from mien.parts import towers
from mien.parts.sentences import SentenceEncoder, pooled
from mien.parts.tokens import Tokens
from mien.parts.words import Told, UtterancePool
from mien.types import AROUND, SAID, TURN

BYTES = Tokens.of_bytes()


def _context(before: str, own: str, after: str) -> str:
    return AROUND.join((before, own, after))


def _read(tokens: Tokens, ids: list[int]) -> str:
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(tokens.content.decode())
    return str(made.decode(ids, skip_special_tokens=False))


def test_neighbours_stand_between_separators_and_the_utterance_is_marked(tmp_path: Path) -> None:
    tokens = Tokens.of_folder(sentence_encoder(tmp_path))
    text = _context(f"x{SAID}a b", f"y{SAID}c", f"x{SAID}d")
    ids, own = Told(tokens, 24).told(text)
    assert _read(tokens, ids) == "[CLS] a b [SEP] c [SEP] d [SEP]"
    assert _read(tokens, [i for i, mine in zip(ids, own, strict=True) if mine]) == "c"
    alone, _ = Told(tokens, 24).told("c")
    assert _read(tokens, alone) == "[CLS] c [SEP]"


def test_separators_are_those_of_the_tokenizer() -> None:
    """Two stand between texts in RoBERTa's; a tokenizer without an end has no place for them."""
    from tokenizers import Tokenizer, processors

    made = Tokenizer.from_str(BYTES.content.decode())
    ends = [("[CLS]", 1), ("[SEP]", 2)]
    made.post_processor = processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1))
    assert Tokens(made.to_str().encode()).marks() == ([1], [2, 2], [2])
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=ends)
    with pytest.raises(TowerError, match="neither the beginning nor the end"):
        Told(Tokens(made.to_str().encode()), 24)
    assert BYTES.marks() == ([1], [2], [2])


def test_names_stand_before_utterances_where_asked() -> None:
    named = Told(BYTES, 24, speakers=True)
    (wanted,) = BYTES.encode(["ANN: hi"], 24)
    assert named.told(_context("", f"ann{SAID}hi", ""))[0] == wanted
    (wanted,) = BYTES.encode(["hi"], 24)
    assert named.told(_context("", f"{SAID}hi", ""))[0] == wanted


def test_what_is_near_is_read_first_and_never_more_than_there_is_room_for(tmp_path: Path) -> None:
    tokens = Tokens.of_folder(sentence_encoder(tmp_path))
    text = _context(TURN.join(["a a a", "b"]), "c", TURN.join(["d", "e e e"]))
    for room, wanted in {
        5: "[CLS] b [SEP] c [SEP]",
        8: "[CLS] b [SEP] c [SEP] d [SEP]",
        10: "[CLS] a a a b [SEP] c [SEP] d [SEP]",
    }.items():
        ids, _ = Told(tokens, room).told(text)
        assert _read(tokens, ids) == wanted
        assert len(ids) <= room
    assert len(Told(tokens, 4).told("a b c d e f")[0]) == 4


def test_a_neighbour_without_end_takes_no_room() -> None:
    told = Told(BYTES, 24)
    assert told.told(_context("a" * 10_000_000, "b", "c")) == told.told(_context("", "b", "c"))


def test_names_of_special_tokens_in_an_utterance_are_letters() -> None:
    ids, own = Told(BYTES, 64).told(_context("[SEP]", "[CLS] b [SEP]", "[PAD]"))
    assert [i for i in ids if i < 4] == [1, 2, 2, 2]
    assert sum(own) == len("[CLS] b [SEP]")


def test_utterances_are_padded_and_an_empty_one_is_absent() -> None:
    raw = torch.tensor([[98, 99], [98, 7], [7, 7]])
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    inputs, seen = Told(BYTES, 24, pad=9)({"text": raw}, {"text": mask})
    assert seen["text"].sum(1).tolist() == [4, 3, 0]
    assert inputs["own"].sum(1).tolist() == [2, 1, 0]
    assert set(inputs["text"][~seen["text"]].tolist()) == {9}
    with pytest.raises(DataError, match="UTF-8 bytes"):
        Told(BYTES, 24)({"text": raw.float()}, {"text": mask})


def test_a_tower_reads_as_the_sentence_encoder_of_the_same_folder(tmp_path: Path) -> None:
    folder = sentence_encoder(tmp_path)
    texts = ["a b c", "the voice is high"]
    tower = towers.texts(str(folder))
    front_end = Told(tower.tokens, tower.longest(24), tower.pad)
    wanted = list(SentenceEncoder.open(str(folder)).encode(texts))
    for text, vector in zip(texts, wanted, strict=True):
        given = torch.tensor(list(text.encode()))[None]
        made, mask = front_end({"text": given}, {"text": torch.ones_like(given).bool()})
        hidden, seen = tower(made["text"], mask["text"])
        torch.testing.assert_close(pooled(hidden, seen)[0], vector)


def test_pairs_are_told_as_transformers_tells_them(tmp_path: Path) -> None:
    """An utterance and the one behind it, as two texts of the tokenizer itself."""
    from transformers import AutoTokenizer

    classifier(tmp_path, "roberta")
    tokens = Tokens.of_folder(tmp_path)
    ids, _ = Told(tokens, 30).told(_context("", "the voice", "is high"))
    own = AutoTokenizer.from_pretrained(tmp_path)
    first, second = own("the voice")["input_ids"], own("is high")["input_ids"]
    assert ids == [*first, *second[1:]]


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
