"""Texts to tokens: what is kept is what was there, and no text can be more than a text."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from small_readers import tokenizer
from torch import Tensor

from mien.errors import DataError, TowerError
from mien.parts import tokens
from mien.parts.tokens import SPECIAL, TextFrontEnd, Tokens

BYTES = Tokens.of_bytes()


def _given(*texts: str, pad: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Texts as a batch has them, with junk behind their ends."""
    raw = [text.encode() for text in texts]
    longest = max(1, *map(len, raw))
    rows = torch.full((len(raw), longest), pad)
    mask = torch.zeros(rows.shape, dtype=torch.bool)
    for row, content in enumerate(raw):
        rows[row, : len(content)] = torch.tensor(list(content))
        mask[row, : len(content)] = True
    return {"text": rows}, {"text": mask}


@settings(deadline=None)
@given(some.text(max_size=40))
def test_bytes_lose_nothing(text: str) -> None:
    (ids,) = BYTES.encode([text], 1000)
    letters = dict(zip(range(4, tokens.BYTES), _letters(), strict=True))
    assert bytes(letters[i] for i in ids[1:-1]) == text.encode()
    assert [ids[0], ids[-1]] == [SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")]


def _letters() -> list[int]:
    """The byte behind each token: that of GPT-2's table, sorted by its letter."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in plain}
    rest = [byte for byte in range(256) if byte not in plain]
    table |= {chr(256 + n): byte for n, byte in enumerate(rest)}
    return [table[letter] for letter in sorted(table)]


def test_a_kept_tokenizer_says_the_same(tmp_path: Path) -> None:
    own = tokenizer("bert")
    own.save_pretrained(tmp_path / "a")
    first = Tokens.of_folder(tmp_path / "a")
    text = "the voice is high . the zebra is </s>"
    assert first.encode(["the voice is high ."], 50) == [own("the voice is high .")["input_ids"]]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / tokens.FILE).write_bytes(first.content)
    again = Tokens.of_folder(tmp_path / "b")
    assert again.encode([text], 50) == first.encode([text], 50)
    assert again.sha256 == first.sha256
    assert copy.deepcopy(first).encode([text], 50) == first.encode([text], 50)


@pytest.mark.parametrize("word", [*SPECIAL, "<s>", "</s>", "<pad>"])
def test_names_of_special_tokens_in_a_text_are_letters(word: str, tmp_path: Path) -> None:
    own = tokenizer("bert")
    own.save_pretrained(tmp_path)
    for one, special in ((BYTES, range(4)), (Tokens.of_folder(tmp_path), (0, 1, 2))):
        (ids,) = one.encode([f"the {word} face"], 50)
        assert not set(ids[1:-1]) & set(special)


def test_a_text_is_cut_and_what_is_behind_costs_nothing() -> None:
    (one,), (two,) = BYTES.encode(["a" * 50], 8), BYTES.encode(["a" * 10_000_000], 8)
    assert one == two
    assert len(one) == 8


def test_the_front_end_pads_and_masks() -> None:
    front = TextFrontEnd(BYTES, longest=6, pad=0)
    inputs, mask = front(*_given("ab", "", "schön und gut", pad=7))
    assert inputs["text"].shape == (3, 6)
    assert mask["text"].tolist() == [[True] * 4 + [False] * 2, [False] * 6, [True] * 6]
    assert inputs["text"][~mask["text"]].tolist() == [0] * 8


def test_what_is_no_text_is_refused() -> None:
    front = TextFrontEnd(BYTES, longest=6, pad=0)
    seen = {"text": torch.ones(1, 3, dtype=torch.bool)}
    with pytest.raises(DataError, match=r"UTF-8 bytes, not torch\.float32"):
        front({"text": torch.zeros(1, 3)}, seen)
    with pytest.raises(DataError, match="from 0 to 255"):
        front({"text": torch.tensor([[1, 2, 256]])}, seen)
    with pytest.raises(DataError, match="from 0 to 255"):
        front({"text": torch.tensor([[1, -2, 6]])}, seen)


def test_bytes_that_are_no_utf8_are_read_all_the_same() -> None:
    front = TextFrontEnd(BYTES, longest=20, pad=0)
    inputs, mask = front(
        {"text": torch.tensor([[255, 65, 0, 195]])}, {"text": torch.ones(1, 4, dtype=torch.bool)}
    )
    assert mask["text"].all()
    assert inputs["text"].max() < tokens.BYTES


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 100_000, b'{"version": "9"}'])
def test_a_file_that_is_no_tokenizer_is_an_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / tokens.FILE).write_bytes(content)
    with pytest.raises(TowerError, match="no tokenizer"):
        Tokens.of_folder(tmp_path)


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path: Path) -> None:
    """transformers would make one of five special tokens, and read nothing but unknown words."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(TowerError, match="there is no tokenizer"):
        tokens.beside(str(tmp_path), None, tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TowerError, match="no tokenizer that can be read"):
        tokens.beside(str(tmp_path), None, tmp_path)
