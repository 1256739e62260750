"""What a row means by a prepared file: which positions it has, read only where somebody looks.

A reference is ``x.shard::face-1`` (a person's crops), ``x.shard::frame`` (whole frames) or
``x.shard::audio`` (sound), and the row's own start and end say which part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data import features, shards
from mien.data.places import Place
from mien.data.rows import FeatureRef, Row

Array = NDArray[np.generic]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Source:
    """One input of one row, before it is read.

    Args:
        mask: (L) which positions are there.
        read: positions (T) to their values (T, ...).
        lazy: whether positions are chosen before they are read, as of prepared files.
        rate: positions a second, where that is known.
        steps: whether positions are moments that a label could belong to (samples of a sound and
            bytes of a text are not).
    """

    mask: Bools
    read: Callable[[Indices], Array]
    lazy: bool = False
    steps: bool = True
    rate: float | None = None

    @property
    def there(self) -> bool:
        """Whether anything is there at all."""
        return bool(self.mask.any())

    def whole(self) -> Array:
        """All positions."""
        return self.read(np.arange(len(self.mask)))


def is_shard(ref: FeatureRef) -> bool:
    """Whether a feature is part of a prepared file."""
    return isinstance(ref, str) and ref.partition("::")[0].lower().endswith(shards.SUFFIX)


def source(row: Row, name: str, place: Place) -> Source:
    """The feature ``name`` of a row, unread."""
    ref = row.features[name]
    place = row.place or place
    if not isinstance(ref, str) or not is_shard(ref):
        there = features.seen(ref, place, row=row.id)
        if there is not None and isinstance(ref, str):
            return Source(there, lambda at: features.part(ref, place, at, row=row.id))
        return of_array(features.sequence(features.load(ref, place, row=row.id)))
    with features.blamed(ref, row.id):
        shard, track = _opened(ref, place)
        if track == shards.AUDIO:
            samples, there = shard.wave(row.start or 0.0, row.end)
            return Source(
                there,
                lambda positions: _taken(samples, positions),
                lazy=True,
                steps=False,
                rate=shard.rate,
            )
        clip = shard.clip(track, row.start or 0.0, row.end)
        return Source(clip.mask, clip.frames, lazy=True, rate=shard.fps)


def length(row: Row, name: str, place: Place) -> int | None:
    """How many positions a feature of a row has that a label could belong to; None: no such."""
    ref = row.features[name]
    place = row.place or place
    if not isinstance(ref, str) or not is_shard(ref):
        size = features.shape(ref, place, row=row.id)
        return size[0] if len(size) > 1 else None
    with features.blamed(ref, row.id):
        shard, track = _opened(ref, place)
        if track == shards.AUDIO:
            return None
        return len(shard.clip(track, row.start or 0.0, row.end).mask)


def fps(row: Row, name: str, place: Place) -> float | None:
    """Frames a second of a prepared feature; None where it is no such."""
    ref = row.features[name]
    if not isinstance(ref, str) or not is_shard(ref):
        return None
    with features.blamed(ref, row.id):
        shard, track = _opened(ref, row.place or place)
        return None if track == shards.AUDIO else shard.fps


def rate(row: Row, name: str, place: Place) -> int | None:
    """Samples a second of prepared sound; None where a feature is no such."""
    ref = row.features[name]
    if not isinstance(ref, str) or not is_shard(ref):
        return None
    with features.blamed(ref, row.id):
        shard, track = _opened(ref, row.place or place)
        return shard.rate if track == shards.AUDIO else None


def recipe(row: Row, name: str, place: Place) -> dict[str, Any] | None:
    """How a prepared feature was made; None where it is no such, or holds no pictures."""
    ref = row.features[name]
    if not isinstance(ref, str) or not is_shard(ref):
        return None
    with features.blamed(ref, row.id):
        shard, track = _opened(ref, row.place or place)
        made = shard.facts.get("recipe")
    return dict(made) if isinstance(made, dict) and track != shards.AUDIO else None


def of_array(array: Array) -> Source:
    """An array that is in memory or mapped, all of it there."""
    return Source(
        np.ones(len(array), dtype=np.bool_),
        lambda positions: _taken(array, positions),
        steps=array.ndim > 1,
    )


def _taken(array: Array, positions: Indices) -> Array:
    everything = len(positions) == len(array) and np.array_equal(positions, np.arange(len(array)))
    return array if everything else array[positions]


def _opened(ref: str, place: Place) -> tuple[shards.Shard, str]:
    path, track = features.file_of(ref, place, (shards.SUFFIX,))
    return shards.opened(path), track
