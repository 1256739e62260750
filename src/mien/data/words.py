"""Which token of what is said belongs to which frame: by the times of words, or in blocks.

Shapes: n tokens, L frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError

Indices = NDArray[np.int64]

_ROUNDING = 1e-4  # seconds: single precision keeps no more of a time within an hour


def in_blocks(tokens: int, frames: int) -> Indices:
    """The token (L) of each frame, where nobody knows when anything was said.

    Frames are dealt out to the tokens in their order, as evenly as they go; tokens for which there
    is no frame are dropped, from the end.
    """
    kept = min(tokens, frames)
    return np.arange(frames) * kept // max(frames, 1)


def by_times(times: NDArray[Any], frames: int, fps: float) -> Indices:
    """The token (L) of each frame by when its word was said; -1 before the first one.

    A word holds until the next one begins. The tokens of one word, which have the same times, share
    its time evenly.

    Args:
        times: first and last second (n, 2) of each token's word, in their order.
        frames: how many there are.
        fps: frames a second; frame i lies at i / fps.

    Raises:
        DataError: times that run backwards, or are none.
    """
    values = np.asarray(times, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise DataError(f"times of words are (tokens, 2) seconds, not {values.shape}")
    starts, ends = values.T
    if not np.isfinite(values).all() or (values < 0).any() or (ends < starts).any():
        raise DataError("a word has no first and last second", fix="seconds from the row's start")
    if (np.diff(starts) < 0).any():
        raise DataError("words are not in the order in which they were said")
    new = np.append(True, (np.diff(values, axis=0) != 0).any(1))  # which tokens begin a word
    word = np.cumsum(new) - 1
    place = np.arange(len(values)) - np.flatnonzero(new)[word]  # of a token within its word
    begins = starts + (ends - starts) * place / np.bincount(word)[word]
    return np.searchsorted(begins, np.arange(frames) / fps + _ROUNDING, side="right") - 1
