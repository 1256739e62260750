"""What is said, with what surrounds it, as tokens; and one vector of the tokens of an utterance.

Shapes: B utterances, N bytes of the longest, L tokens of the longest, D the encoder's width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import zip_longest

import torch
from torch import Tensor, nn

from mien.errors import ConfigError
from mien.parts.model import FrontEnd, Tensors
from mien.parts.tokens import Tokens, padded, said
from mien.types import AROUND, SAID, TURN


class Told(FrontEnd):
    """Utterances with their neighbours, as bytes, to tokens with separators between them.

    Args:
        tokens: the tokenizer of the tower that reads them.
        longest: tokens that are read at once.
        pad: the token behind the end of shorter ones.
        speakers: whether each utterance begins with the name of who says it.
    """

    def __init__(
        self, tokens: Tokens, longest: int, pad: int = 0, *, speakers: bool = False
    ) -> None:
        super().__init__()
        self.tokens, self.longest, self.pad, self.speakers = tokens, longest, pad, speakers
        self.head, self.between, self.tail = tokens.marks()

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        mask: Mapping[str, Tensor],
        chosen: Collection[str] = (),
    ) -> tuple[Tensors, Tensors]:
        """Bytes (B, N) to tokens ``text`` (B, L), and which of them are the utterance's ``own``."""
        del chosen
        texts = said(inputs["text"], mask["text"])
        rows = [self.told(text) if text else ([], []) for text in texts]
        made = {
            "text": padded([ids for ids, _ in rows], self.pad),
            "own": padded([own for _, own in rows], False),
        }
        seen = padded([[True] * len(ids) for ids, _ in rows], False)
        device = inputs["text"].device
        return {name: x.to(device) for name, x in made.items()}, {"text": seen.to(device)}

    def told(self, text: str) -> tuple[list[int], list[bool]]:
        """An utterance with its neighbours as tokens, and which of them are its own.

        Neighbours are taken from near to far, before and after in turn, as whole as there is room.

        Args:
            text: as :class:`mien.data.dialogues.Context` tells it, or the utterance alone.
        """
        before, own, after = _sides(text, self.speakers)
        room = self.longest - len(self.head) - len(self.tail)
        mine = self._bare([own])[0][:room]
        room -= len(mine)
        earlier, later = list[int](), list[int]()
        nearest = reversed(self._bare(before)), self._bare(after)
        for near in zip_longest(*nearest, fillvalue=list[int]()):
            for side, more in zip((earlier, later), near, strict=True):
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

    def _bare(self, texts: list[str]) -> list[list[int]]:
        return self.tokens.encode(texts, self.longest, framed=False)


def _sides(text: str, speakers: bool) -> tuple[list[str], str, list[str]]:
    """What was said before, the utterance itself, and what was said after."""
    parts = text.split(AROUND)
    before, own, after = parts if len(parts) == 3 else ("", text, "")
    told = [[_said(turn, speakers) for turn in side.split(TURN)] for side in (before, own, after)]
    return [t for t in told[0] if t], " ".join(told[1]), [t for t in told[2] if t]


def _said(turn: str, speakers: bool) -> str:
    who, mark, words = turn.rpartition(SAID)
    return f"{who.upper()}: {words}" if mark and who and speakers else words


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
