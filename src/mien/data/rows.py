"""One row of a manifest: what was recorded, who is in it, and what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.data.places import Place
from mien.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
GROUPED = ("features", "groups", "labels")
"""Fields that hold one value a name: ``labels.emotion``, ``features.au``, ``groups.gender``."""


class Inline:
    """Numbers written into the manifest itself: a vector (D), or positions (L, D).

    Args:
        values: one or two axes of finite numbers.
    """

    __slots__ = ("values",)

    def __init__(self, values: ArrayLike) -> None:
        try:
            given = np.array(values)
        except ValueError as error:
            raise DataError(
                "inline values are a list of numbers, or lists of equal length"
            ) from error
        if given.dtype.kind not in "biuf":
            raise DataError("inline values hold something that is not a number")
        array = given.astype(np.float64)
        if array.ndim not in (1, 2) or not array.size:
            raise DataError(f"inline values have the shape {array.shape}, not (D) or (L, D)")
        if not np.isfinite(array).all():
            raise DataError("inline values hold a number that is not finite")
        array.flags.writeable = False
        self.values: NDArray[np.float64] = array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inline) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.values.shape, self.values.tobytes()))

    def __repr__(self) -> str:
        return f"Inline(shape={self.values.shape})"


@dataclass(frozen=True, slots=True)
class Track:
    """Labels of one recording over time, in a file of their own.

    Args:
        path: ``.npy`` (L) or (L, C), ``file.safetensors::key``, ``.csv`` or ``.parquet`` with one
            line a position, or ``.txt`` as the ABAW challenges annotate.
        column: the column or columns of a table to read; None takes those named like the task's
            labels, else the one named like the task, else all if there are as many as needed.
        fps: positions a second; None: as many as the row's features have.
    """

    path: str
    column: str | tuple[str, ...] | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        # As a file gives it back: 25 and 25.0 are one number, but not one text.
        object.__setattr__(self, "fps", None if self.fps is None else float(self.fps))
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise DataError(f"a track has more than 0 positions a second, not {self.fps}")
        if self.column is not None and not self.column:
            raise DataError("a track's column needs a name", fix="leave it out to take what fits")


FeatureRef: TypeAlias = str | Inline
"""A path to ``.npy``, ``file.safetensors::key``, or the values themselves."""

Label: TypeAlias = str | int | float | list[Any] | dict[str, float | None] | Track
"""A class name or number; labels or values in a list; weights by class; or a track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One clip, window, image or utterance. Paths are relative to the manifest.

    What is empty is absent: empty texts, ``null`` labels and ``null`` groups are left out.

    Args:
        id: unique within the manifest.
        video: a file, or a folder of numbered frames.
        audio: a file; without it the video's sound.
        text: what is said.
        features: arrays prepared before, by name.
        start: first second of the source that belongs to the row; None: its beginning.
        end: where it ends.
        person: which of the people in the picture is meant.
        box: left, top, width and height in pixels of the face that is meant.
        fps: positions a second of numbered frames, or of features.
        speaker: who speaks or is seen.
        source: the recording that the row was cut from (default: its video, else its audio).
        dialogue: the conversation this utterance belongs to.
        turn: its place therein.
        split: ``train``, ``val`` or ``test``.
        fold: number of the fold that the row is tested in.
        labels: by task (see :data:`Label`); ``{class: weight}`` is a soft label.
        groups: anything to compare slices by.
        place: where paths start, known to a row that was read from a file.
    """

    id: str
    video: str | None = None
    audio: str | None = None
    text: str | None = None
    features: dict[str, FeatureRef] = field(default_factory=dict)
    start: float | None = None
    end: float | None = None
    person: str | None = None
    box: tuple[float, float, float, float] | None = None
    fps: float | None = None
    speaker: str | None = None
    source: str | None = None
    dialogue: str | None = None
    turn: int | None = None
    split: Split | None = None
    fold: int | None = None
    labels: dict[str, Label] = field(default_factory=dict)
    groups: dict[str, str | int | float] = field(default_factory=dict)
    place: Place | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.id:
            raise DataError("a row needs an id", fix='give it one, or name a column: "id": "..."')
        for name in TEXTS:
            _set(self, name, getattr(self, name) or None)
        for name in NUMBERS:
            value = getattr(self, name)
            _set(self, name, None if value is None else float(value))
        if self.box is not None:
            _set(self, "box", tuple(map(float, self.box)))
        _set(self, "source", self.source or self.video or self.audio)
        _set(self, "labels", _kept(self.labels, "labels", _label))
        _set(self, "groups", _kept(self.groups, "groups", scalar))
        _set(self, "features", _kept(self.features, "features", _feature))
        self._check()

    def _check(self) -> None:
        if self.split is not None and self.split not in SPLITS:
            raise DataError(
                f"there is no split {self.split!r}", fix="write train, val or test, or leave it out"
            )
        for name in ("start", "end", "fps"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise DataError(f"{name} is a number of at least 0, not {value}")
        if self.fps == 0:
            raise DataError("fps is more than 0")
        if self.end is not None and self.end <= (self.start or 0):
            raise DataError(f"the row ends at {self.end}, before it starts at {self.start or 0}")
        if self.fold is not None and self.fold < 0:
            raise DataError(f"folds count from 0, not {self.fold}")
        if self.box is not None and not (
            all(map(math.isfinite, self.box)) and min(self.box[2:]) > 0
        ):
            raise DataError(f"a box is left, top, width and height, not {list(self.box)}")

    def paths(self) -> list[str]:
        """Every file or folder that the row names, once."""
        named = [self.video, self.audio]
        named += [ref.partition("::")[0] for ref in self.features.values() if isinstance(ref, str)]
        tracks = [label for label in self.labels.values() if isinstance(label, Track)]
        named += [track.path.partition("::")[0] for track in tracks]
        return list(dict.fromkeys(name for name in named if name))


TEXTS = ("video", "audio", "text", "person", "speaker", "source", "dialogue")
NUMBERS = ("start", "end", "fps")
COUNTS = ("turn", "fold")
FIELDS = tuple(f.name for f in fields(Row) if f.name != "place")


def _set(row: Row, name: str, value: object) -> None:
    object.__setattr__(row, name, value)  # a frozen row may still tidy itself up


_Value = TypeVar("_Value")


def _kept(
    given: Mapping[str, Any], what: str, tidy: Callable[[Any], _Value | None]
) -> dict[str, _Value]:
    kept = {}
    for name, value in given.items():
        if not isinstance(name, str) or not name:
            raise DataError(f"{what} go by a name, not {name!r}")
        try:
            clean = tidy(value)
        except DataError as error:
            raise DataError(f"{what}.{name}: {error.what}", fix=error.fix) from error
        if clean is not None:
            kept[name] = clean
    return kept


def _feature(value: Any) -> FeatureRef | None:
    if value is None or isinstance(value, Inline):
        return value
    if isinstance(value, str):
        return value or None
    if isinstance(value, list | tuple | np.ndarray):
        return Inline(value)
    raise DataError(f"a feature is a path or a list of numbers, not {value!r}")


def _label(value: Any) -> Label | None:
    if isinstance(value, Track):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return [_label_entry(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _weight(weight) for name, weight in value.items()}
    return scalar(value)


def _label_entry(value: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return [_label_entry(item) for item in value]
    return scalar(value)


def _weight(value: Any) -> float | None:
    weight = scalar(value)
    if isinstance(weight, str):
        raise DataError(f"the weight of a class is a number, not {value!r}")
    return weight


def _python(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def scalar(value: object) -> str | int | float | None:
    """A text or a number as it means the same in every file format; nothing is None.

    Truth values become ``"true"`` and ``"false"``: they name classes.
    """
    value = _python(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise DataError("a value is not finite")
        return None if math.isnan(value) else value
    if isinstance(value, str):
        return value or None
    if value is None:
        return None
    raise DataError(f"a value is a text or a number, not {type(value).__name__}")
