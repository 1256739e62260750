"""Texts that are the same are read once: neighbouring frames often say the same in words.

A frame's answer then follows from its text alone: two frames with one text have the same answer to
the bit, which batches of different lengths would not give.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Subset

from mien.data.batch import RowDataset
from mien.parts.model import FrontEnd
from mien.run.batches import Seen
from mien.types import Batch, Output, Sample, Unit


@dataclass(frozen=True, slots=True)
class Repeats:
    """Which samples of a dataset are the same.

    Args:
        firsts: of each text the first sample that has it, in order.
        meant: for each sample its place among these.
    """

    firsts: Sequence[int]
    meant: Sequence[int]

    @classmethod
    def of(cls, rows: object, front_end: FrontEnd) -> Repeats | None:
        """Those of a dataset of texts; None where nothing can be the same, or nothing is."""
        if not isinstance(rows, RowDataset) or rows.unit is not Unit.TEXT:
            return None
        if type(front_end).draw is not FrontEnd.draw:  # what is drawn for each is its own
            return None
        places: dict[bytes, int] = {}
        firsts, meant = list[int](), list[int]()
        for index in range(len(rows)):
            place = places.setdefault(_content(rows, index), len(firsts))
            if place == len(firsts):
                firsts.append(index)
            meant.append(place)
        return cls(firsts, meant) if len(firsts) < len(meant) else None

    def samples(self, rows: RowDataset, front_end: FrontEnd) -> Subset[Sample]:
        """The samples that are read."""
        return Subset(Seen(rows, front_end), self.firsts)

    def spread(
        self, batches: Iterable[Batch], answer: Callable[[Batch], Output]
    ) -> Callable[[int, int], Output]:
        """Answers to the samples that are read, handed out to all that are the same.

        Args:
            batches: of :meth:`samples`.
            answer: what the model says of one.

        Returns:
            The answers to the samples from one index up to another.
        """
        outputs = [answer(batch) for batch in batches]

        def among(first: int, last: int) -> Output:
            at = torch.tensor(self.meant[first:last])
            return Output(
                logits={name: whole[at] for name, whole in logits.items()},
                aux={name: whole[at] for name, whole in aux.items()},
            )

        logits = _joined([output.logits for output in outputs])
        aux = _joined(
            [{"support": output.aux["support"]} for output in outputs if "support" in output.aux]
        )
        return among


def _joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    names = parts[0] if parts else {}
    return {name: torch.cat([part[name] for part in parts]) for name in names}


def _content(rows: RowDataset, index: int) -> bytes:
    """A hash of all that a network is given of a sample."""
    sample = rows[index]
    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(sample.inputs.items()):
        mask = sample.mask.get(name)
        head = f"{name} {array.dtype} {array.shape} {mask is None}\n"
        digest.update(head.encode() + array.tobytes())
        digest.update(b"" if mask is None else mask.tobytes())
    return digest.digest()
