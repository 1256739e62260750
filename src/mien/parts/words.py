"""What is said, as tokens with what surrounds it, and an encoder of transformers that reads them.

Shapes: B utterances, L bytes or tokens, D the encoder's width.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import ConfigError, TowerError
from mien.parts import hub, weights
from mien.parts.encoders import Tower, where_there
from mien.parts.hub import TOKENIZER
from mien.parts.model import FrontEnd, Tensors
from mien.types import AROUND, SAID, TURN

_KEPT = "tokenizer_json"  # in a configuration; empty for bytes
_HEADS = (
    "cls.",
    "lm_head.",
    "classifier.",
    "pooler.",
    "vocab_",
    "pre_classifier.",
    "discriminator",
)
_BLOCK = re.compile(r"\.(?:layer|layers|h|block|blocks)\.(\d+)\.")


class WordTower(Tower):
    """Any text encoder of transformers, with its tokenizer as part of its configuration.

    What its own model had behind the encoder (a pooler, a head) is left away. Made from
    configuration values without a tokenizer it reads bytes.
    """

    kind, marker = "words", "words"

    words: Any

    def forward(self, text: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens (B, L) of which some are there (B, L) to (B, L, D); zeros where none is."""
        seen = torch.ones_like(text, dtype=torch.bool) if mask is None else mask

        def encode(rows: Tensor) -> Tensor:  # (N, 2, L)
            ids, there = rows.unbind(1)
            found: Tensor = self.words(input_ids=ids, attention_mask=there).last_hidden_state
            return found

        both = torch.stack([text.masked_fill(~seen, 0), seen.long()], 1)
        made = where_there(encode, both, seen.any(1), (text.shape[1], self.dim))
        return made.float().masked_fill(~seen[..., None], 0), seen

    @classmethod
    def blank(cls, values: Mapping[str, Any]) -> Any:
        """The bare encoder with random weights, from configuration values."""
        from transformers import AutoConfig, AutoModel

        given = {_KEPT: "", **values}
        given.pop("auto_map", None)
        kinds: Any = AutoConfig
        models: Any = AutoModel
        config = kinds.for_model(given.pop("model_type", "nothing"), **given)
        model = models.from_config(config, trust_remote_code=False)
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # which reads the first token, and nobody reads it
        return model

    @classmethod
    def filled(cls, blank: Any, state: dict[str, Tensor]) -> Any:
        """The same encoder with these weights."""
        blank.load_state_dict(state, strict=False)  # names were compared
        return blank

    @classmethod
    def opened(cls, folder: Path) -> Any:
        """What lies in a folder, every name and shape checked."""
        values = hub.read_config(folder)
        if (folder / TOKENIZER).is_file():
            values[_KEPT] = (folder / TOKENIZER).read_text(encoding="utf-8")
        elif not isinstance(values.get(_KEPT), str):
            raise TowerError(
                f"there is no {TOKENIZER}, which tells its tokens",
                where=str(folder),
                fix="save the tokenizer beside the model, in its fast form",
            )
        empty = weights.blank(cls, values)
        prefix = f"{empty.base_model_prefix}."
        wanted = empty.state_dict()
        given = hub.read_tensors(folder, bool)
        bare = {name.removeprefix(prefix): tensor for name, tensor in given.items()}
        kept = {n: t for n, t in bare.items() if n in wanted or not n.startswith(_HEADS)}
        return cls.filled(empty, weights.fitting(kept, wanted, folder))

    @classmethod
    def model_type(cls) -> str:
        """Any."""
        return cls.kind

    @classmethod
    def owns(cls, values: Mapping[str, Any]) -> bool:
        """Whether a configuration file is that of a model of transformers."""
        return "model_type" in values

    @property
    def dim(self) -> int:
        """Width D of the tokens."""
        return int(self.config.hidden_size)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return int(self.config.num_hidden_layers)

    def layer(self, name: str) -> int:
        """0 for the embeddings, then the block's number from 1; what follows with the last."""
        found = _BLOCK.search(f".{name}")
        if found is not None:
            return 1 + int(found[1])
        return 0 if "embed" in name else self.depth

    @cached_property
    def tokens(self) -> Tokens:
        """How texts become tokens."""
        places = int(getattr(self.config, "max_position_embeddings", 512))
        if self.config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
            places -= 2  # its positions begin after the padding's
        return Tokens.of(getattr(self.config, _KEPT), min(places, 512))


@dataclass(frozen=True)
class Tokens:
    """Texts to tokens, and what stands around and between them.

    Args:
        reader: of the tokenizers library; None: bytes.
        head: what stands before everything.
        tail: what stands behind everything.
        between: what stands between two parts.
        longest: tokens that can be read at once.
    """

    reader: Any
    head: tuple[int, ...]
    tail: tuple[int, ...]
    between: tuple[int, ...]
    longest: int

    @classmethod
    def of(cls, text: str, longest: int) -> Tokens:
        """From the content of a tokenizer's file; bytes where it is empty."""
        if not text:
            return cls(None, (1,), (2,), (2,), longest)
        from tokenizers import Tokenizer

        try:
            reader = Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing narrower
            raise TowerError(f"its tokenizer cannot be read: {error}") from error
        reader.no_truncation()
        reader.no_padding()
        alone, pair = reader.encode("").ids, reader.encode("", "").ids
        if len(alone) < 2:
            raise TowerError("its tokenizer marks neither the beginning nor the end of a text")
        return cls(
            reader, tuple(alone[:1]), tuple(alone[-1:]), tuple(pair[1:-1] or alone[-1:]), longest
        )

    def encode(self, text: str) -> list[int]:
        """A text as tokens, nothing around them."""
        if self.reader is None:
            return [byte + 3 for byte in text.encode()]
        found: list[int] = self.reader.encode(text, add_special_tokens=False).ids
        return found

    def told(self, text: str, *, speakers: bool) -> tuple[list[int], list[bool]]:
        """An utterance with its neighbours as tokens, and which of them are its own.

        Neighbours are taken from near to far, before and after in turn, as whole as there is room.

        Args:
            text: as :class:`mien.data.dialogues.Context` tells it, or the utterance alone.
            speakers: whether each utterance begins with the name of who says it.
        """
        before, own, after = _sides(text, speakers)
        mine = self.encode(own)[: self.longest - len(self.head) - len(self.tail)]
        room = self.longest - len(self.head) - len(self.tail) - len(mine)
        earlier, later = list[int](), list[int]()
        for near in zip_longest(reversed(before), after):
            for side, said in zip((earlier, later), near, strict=True):
                more = [] if said is None else self.encode(said)
                cost = len(more) + (0 if side else len(self.between))
                if not more or cost > room:
                    continue
                room -= cost
                side[:] = [*more, *side] if side is earlier else [*side, *more]
        parts = [part for part in (earlier, mine, later) if part or part is mine]
        ids, flags = list(self.head), [False] * len(self.head)
        for i, part in enumerate(parts):
            joint = self.between if i else ()
            ids += [*joint, *part]
            flags += [False] * len(joint) + [part is mine] * len(part)
        return [*ids, *self.tail], flags + [False] * len(self.tail)


def _sides(text: str, speakers: bool) -> tuple[list[str], str, list[str]]:
    """What was said before, the utterance itself, and what was said after."""
    parts = text.split(AROUND)
    before, own, after = parts if len(parts) == 3 else ("", text, "")
    told = [[_said(turn, speakers) for turn in side.split(TURN)] for side in (before, own, after)]
    return [t for t in told[0] if t], " ".join(told[1]), [t for t in told[2] if t]


def _said(turn: str, speakers: bool) -> str:
    who, mark, words = turn.rpartition(SAID)
    return f"{who.upper()}: {words}" if mark and who and speakers else words


class Told(FrontEnd):
    """Texts as bytes to tokens, by the tokenizer of the tower that reads them.

    Args:
        tokens: how texts become tokens.
        speakers: whether each utterance begins with the name of who says it.
    """

    def __init__(self, tokens: Tokens, *, speakers: bool = False) -> None:
        super().__init__()
        self.tokens, self.speakers = tokens, speakers

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """Bytes (B, L) to tokens ``text`` (B, L), and which of them are the utterance's ``own``."""
        del chosen
        rows = []
        for given, there in zip(inputs["text"].cpu(), mask["text"].cpu(), strict=True):
            text = bytes(given[there].to(torch.uint8).tolist()).decode("utf-8", "replace")
            rows.append(self.tokens.told(text, speakers=self.speakers) if text else ([], []))
        length = max(1, max(len(ids) for ids, _ in rows))
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        own, seen = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
        for i, (tokens, mine) in enumerate(rows):
            ids[i, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            own[i, : len(tokens)] = torch.tensor(mine, dtype=torch.bool)
            seen[i, : len(tokens)] = True
        device = inputs["text"].device
        made = {"text": ids.to(device), "own": own.to(device)}
        return made, {"text": seen.to(device)}


class UtterancePool(nn.Module):
    """Tokens of an utterance and its neighbours to one vector.

    Args:
        how: the mean of its ``own`` tokens, of ``all`` that are there, or the ``first`` one.
    """

    def __init__(self, how: str) -> None:
        super().__init__()
        if how not in ("own", "all", "first"):
            raise ConfigError(
                f"tokens are pooled over own or all of them, or the first, not {how!r}"
            )
        self.how = how

    def forward(self, tokens: Tensor, there: Tensor, own: Tensor) -> Tensor:
        """Tokens (B, L, D), which are there and which its own (B, L), to (B, D)."""
        if self.how == "first":
            return tokens[:, 0]
        # An utterance of which nothing became a token is read by what stands around it.
        mine = own & there if self.how == "own" else there
        counted = torch.where(mine.any(1, keepdim=True), mine, there)[..., None]
        return tokens.masked_fill(~counted, 0).sum(1) / counted.sum(1).clamp_min(1)
