"""Texts to tokens: tokenizers as one JSON file, and the front end that uses one.

A tokenizer comes from the files beside a model and is kept as ``tokens.json``, the format of the
tokenizers library, which holds tables and no code. A model of random weights reads bytes. A text
is what somebody said or wrote: names of special tokens in it are letters like any others.

Shapes: B texts, N bytes of the longest, L tokens of the longest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from mien.errors import DataError, TowerError
from mien.parts import hub
from mien.parts.model import FrontEnd, Tensors

FILE = "tokens.json"
FILES = (
    "tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json"
)  # fmt: skip

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
BYTES = len(SPECIAL) + 256
"""Tokens of a tokenizer of bytes: a model that reads them has at least this ``vocab_size``."""

_TABLES = ("tokenizer.json", "vocab*", "*.model")  # one of them holds the words
_BESIDE = "save it beside the model: tokenizer.json and tokenizer_config.json"
_LARGEST = 64 << 20  # bytes of a tokenizer's file; the largest known have 33 million
_LETTERS = 64  # of a text for each token that is read; what stands behind them is not looked at


class Tokens:
    """A tokenizer.

    Args:
        content: of its file.
        where: that is, for errors.
    """

    def __init__(self, content: bytes, where: str = FILE) -> None:
        from tokenizers import Tokenizer

        try:
            self._made: Any = Tokenizer.from_str(content.decode())
        except Exception as error:  # the library raises nothing more special
            what = f"this is no tokenizer: {str(error)[:200]}"
            raise TowerError(what, where=where) from error
        self.content = content
        self._made.no_padding()
        self._made.no_truncation()
        self._made.encode_special_tokens = True

    @classmethod
    def of_bytes(cls) -> Self:
        """One that knows bytes alone, so any text in any language."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {name: index for index, name in enumerate([*SPECIAL, *letters])}
        made: Any = Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.decoder = decoders.ByteLevel()
        made.add_special_tokens(list(SPECIAL))
        ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=ends
        )
        return cls(made.to_str().encode())

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """The tokenizer that lies in a folder.

        Raises:
            TowerError: there is none, or it is none that can be kept without code.
        """
        kept = folder / FILE
        if kept.is_file():
            if kept.stat().st_size > _LARGEST:
                raise TowerError("this tokenizer is too large", where=str(kept))
            return cls(kept.read_bytes(), str(kept))
        if not any(True for pattern in _TABLES for _ in folder.glob(pattern)):
            # transformers would make one that knows no word.
            raise TowerError("there is no tokenizer", where=str(folder), fix=_BESIDE)
        from transformers import AutoTokenizer

        try:
            found: Any = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            made = found.backend_tokenizer.to_str()
        except Exception as error:  # a tokenizer can fail in any way
            raise TowerError(
                f"there is no tokenizer that can be read: {str(error).splitlines()[0][:200]}",
                where=str(folder),
                fix=_BESIDE,
            ) from error
        return cls(made.encode(), str(folder))

    @property
    def sha256(self) -> str:
        """Of its file."""
        return hashlib.sha256(self.content).hexdigest()

    def encode(self, texts: Sequence[str], longest: int, *, framed: bool = True) -> list[list[int]]:
        """The tokens of each text, no more than ``longest``.

        Args:
            texts: any.
            longest: tokens of a text that are read, from its start.
            framed: whether special tokens stand around them.
        """
        self._made.enable_truncation(longest)
        cut = [text[: _LETTERS * longest] for text in texts]
        found = self._made.encode_batch(cut, add_special_tokens=framed)
        return [one.ids for one in found]

    def marks(self) -> tuple[list[int], list[int], list[int]]:
        """The special tokens before a text, between two, and behind the last.

        Raises:
            TowerError: a text has none at its beginning or at its end.
        """
        self._made.no_truncation()
        alone, pair = self._made.encode("").ids, self._made.encode("", "").ids
        if len(alone) < 2:
            raise TowerError("the tokenizer marks neither the beginning nor the end of a text")
        return alone[:1], pair[1:-1] or alone[-1:], alone[-1:]

    def __len__(self) -> int:
        return int(self._made.get_vocab_size())

    def __getstate__(self) -> bytes:
        return self.content

    def __setstate__(self, content: bytes) -> None:
        self.__init__(content)  # type: ignore[misc]


def beside(name: str | Mapping[str, Any], revision: str | None, folder: Path | None) -> Tokens:
    """The tokenizer of a model: in its folder, else on the hub; that of random weights is bytes.

    Args:
        name: of the model.
        revision: on the hub.
        folder: where the model's files were found.
    """
    files = (FILE, *FILES) if folder is not None else ()
    lies_here = folder and any(True for pattern in files for _ in folder.glob(pattern))
    if not isinstance(name, str) and not lies_here:
        return Tokens.of_bytes()
    if folder is not None and (lies_here or hub.local_folder(str(name)) is not None):
        return Tokens.of_folder(folder)
    return Tokens.of_folder(hub.snapshot(str(name), revision, FILES))


class TextFrontEnd(FrontEnd):
    """The UTF-8 bytes of texts to tokens.

    Args:
        tokens: whose.
        longest: tokens of a text that are read.
        pad: the token behind the end of shorter ones.
    """

    def __init__(self, tokens: Tokens, longest: int, pad: int) -> None:
        super().__init__()
        self.tokens, self.longest, self.pad = tokens, longest, pad

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """``text`` (B, N) of bytes to ``text`` (B, L) of tokens, and their masks.

        A text without any byte has no token: it is absent.
        """
        del chosen
        texts = said(inputs["text"], mask["text"])
        found = self.tokens.encode(texts, self.longest)
        rows = [ids if text else [] for text, ids in zip(texts, found, strict=True)]
        device = inputs["text"].device
        seen = padded([[True] * len(ids) for ids in rows], False)
        return {"text": padded(rows, self.pad).to(device)}, {"text": seen.to(device)}


def said(given: Tensor, there: Tensor) -> list[str]:
    """The texts whose UTF-8 bytes (B, N) these are, as far as they are there (B, N)."""
    if given.ndim != 2 or given.is_floating_point():
        raise DataError(
            f"a text is its UTF-8 bytes, not {given.dtype} of {tuple(given.shape[1:])}",
            fix='"text" in the rows of the manifest',
        )
    rows = [row[seen] for row, seen in zip(given.cpu(), there.cpu(), strict=True)]
    if any(len(row) and (row.min() < 0 or row.max() > 255) for row in rows):
        raise DataError("a text is its UTF-8 bytes, which are numbers from 0 to 255")
    return [bytes(row.tolist()).decode("utf-8", "replace") for row in rows]


def padded(rows: Sequence[Sequence[int]], rest: int) -> Tensor:
    """Rows of any lengths as (B, L), L at least 1; ``rest``, a number or False, behind each."""
    made = torch.full((len(rows), max([1, *map(len, rows)])), rest)
    for given, row in zip(made, rows, strict=True):
        given[: len(row)] = torch.tensor(row, dtype=made.dtype)
    return made
