"""Files in which anything may stand anywhere: a manifest that can be read, or an error."""

from __future__ import annotations

import contextlib
import copy
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copies import brought_in
from foreign_pickles import IEMOCAP_PARTS, MELD_PARTS, conversations, mmsa

from mien.errors import MienError
from mien.importers.layouts import LAYOUTS

ODD: tuple[Any, ...] = (
    *(None, True, -1, 1.5, 10**30, float("nan"), float("inf"), "", "x", "a/b\n\x1b[0m", "\ud800"),
    *(b"\xff", [], {}, (), [None], {"a": 1}, {1, 2}, [[1, 2], [3]], [1.5] * 5, np.float32(2)),
    *(np.array(3), np.array([]), np.zeros((0, 5)), np.zeros((3, 0)), np.zeros((2, 2, 2))),
    *(np.array(["a", "b"]), np.array([1, 2, 3]), np.array([None, {}], object)),
)
HOW: dict[str, Callable[[random.Random], Any]] = {
    "mmsa": lambda luck: mmsa(aligned=luck.random() < 0.5),
    "conversations": lambda luck: talks(luck),
}


def talks(luck: random.Random) -> tuple[Any, ...]:
    layout = luck.choice(LAYOUTS)
    parts = MELD_PARTS if layout.meld else IEMOCAP_PARTS
    form = luck.choice(["list", "array", "plain"])
    fields, _ = conversations(layout.fields, parts, classes=6, form=form)
    return copy.deepcopy(tuple(fields))


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield before
    if isinstance(value, dict | list | tuple):
        for key, held in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(held, (*before, key))


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """The value with something else in a place."""
    if not place:
        return new
    held = list(value) if isinstance(value, tuple) else value
    held[place[0]] = put(held[place[0]], place[1:], new)
    return tuple(held) if isinstance(value, tuple) else held


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", HOW)
def test_anything_anywhere_is_a_manifest_or_an_error(name: str, seed: int, tmp_path: Path) -> None:
    luck = random.Random(seed)
    for _ in range(20):
        value = HOW[name](luck)
        for _ in range(luck.choice((1, 1, 2))):
            everywhere = list(places(value))
            shallow = [place for place in everywhere if len(place) <= 2]
            place = luck.choice(luck.choice((everywhere, shallow)))
            value = put(value, place, copy.deepcopy(luck.choice(ODD)))
        path = tmp_path / "x.pkl"
        path.write_bytes(pickle.dumps(value, luck.randrange(6)))
        with contextlib.suppress(MienError):
            report, rows = brought_in(name, path, replace=True, keep_leaks=True)
            assert report.text
            assert rows
    assert not list(tmp_path.glob("*.unfinished"))
