"""Files that a challenge takes: a line a frame, exactly those of the example that it gives.

::

    image_location,valence,arousal          or Neutral,Anger,...        or AU1,AU2,...
    12-24-1920x1080/00001.jpg,0.1,-0.25        NAME/00001.jpg,4            NAME/00001.jpg,0,1,...

One of n classes is its number alone. Rows, their order and the header are the example's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError, did_you_mean
from mien.importers.texts import lines_of
from mien.run import checkpoint, decided, infer
from mien.run.load import load
from mien.tasks import decisions
from mien.types import Problem, TaskSpec

Floats = NDArray[np.float64]

_LOCATION = re.compile(r"(?P<video>[^/,\\]+)/(?P<frame>[0-9]{1,9})\.(?:jpg|jpeg|png)")
_FIRST = "image_location"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What was written.

    Args:
        path: the file.
        rows: lines beside the header.
        videos: how many they are of.
        held: lines behind the last frame of a video that was answered, which repeat its answer.
    """

    path: Path
    rows: int
    videos: int
    held: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "path": str(self.path), "rows": self.rows, "videos": self.videos, "held": self.held,
        }  # fmt: skip

    @property
    def text(self) -> str:
        """The same for a person."""
        held = f"; {self.held:,} lie behind a video's last picture" if self.held else ""
        return (
            f"{self.path}: {self.rows:,} frames of {self.videos:,} videos, as in the example{held}"
        )


def submit(run: str | Path, *, data: str | Path, example: str | Path, out: str | Path) -> Submitted:
    """Answer a challenge with a run, in the format of its example.

    Args:
        run: a run of one task that answers once a frame.
        data: a manifest with a row for each video of the example, called like it.
        example: the file that the challenge gives.
        out: where to write.

    Raises:
        DataError: the example is of another task, names a frame that cannot be, or a video that
            no row is called like.
    """
    loaded = load(run)
    spec = _task(loaded.specs, Path(run))
    asked = {at: place for place, at, _ in _rows(Path(example), decisions.asked(spec))}
    wanted = list(asked)
    manifest = loaded.read(data)
    videos = {video for video, _ in wanted}
    rows = [row for row in manifest.rows if row.id in videos]
    missing = sorted(videos - {row.id for row in rows})
    if missing:
        raise DataError(
            f"no row is called like {len(missing)} of its videos, such as {missing[0]!r}: "
            f"{did_you_mean(missing[0], [row.id for row in manifest.rows])}",
            where=str(data),
            fix=f"mien data import with --split test={example}",
        )
    found = infer.predict(loaded.whole, loaded.dataset(manifest, rows), loaded.specs)
    spec, answers = decided.asked(spec, found.tasks[spec.name])
    scores = dict(zip(found.ids, answers.scores, strict=True))
    _check_lengths(wanted, scores, Path(example))
    lines = [_header(spec), *(_line(asked[at], at[1], scores[at[0]], spec) for at in wanted)]
    checkpoint.write_bytes(Path(out), "".join(f"{line}\n" for line in lines).encode())
    check(Path(out), Path(example), spec)
    return Submitted(
        path=Path(out),
        rows=len(wanted),
        videos=len(videos),
        held=sum(frame > len(scores[video]) for video, frame in wanted),
    )


def _task(specs: Mapping[str, TaskSpec], run: Path) -> TaskSpec:
    if len(specs) != 1:
        raise DataError(
            f"a submission answers one task, this run has {', '.join(specs)}",
            where=str(run),
            fix="train one with data.tasks=[affect]",
        )
    return next(iter(specs.values()))


# -- what there is to answer -----------------------------------------------------------------------


def locations(path: Path, spec: TaskSpec) -> list[tuple[str, int]]:
    """Video and frame, counted from 1, of each line of an example or a submission."""
    return [at for _, at, _ in _rows(path, spec)]


def read(path: Path, spec: TaskSpec) -> dict[tuple[str, int], list[float]]:
    """The answers of a submission: a class number, or a value a label."""
    wide = 1 if spec.categorical else spec.width
    found = {}
    for number, (_, at, cells) in enumerate(_rows(path, spec), 2):
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            values = []
        if len(values) != wide:
            raise DataError(f"{wide} numbers stand here, not {cells}", where=f"{path}:{number}")
        found[at] = values
    return found


def check(path: Path, example: Path, spec: TaskSpec) -> None:
    """Refuse a submission whose frames are not those of the example, each once.

    Raises:
        DataError: the first thing that differs.
    """
    answers, wanted = read(path, spec), locations(example, spec)
    for at in wanted:
        if at not in answers:
            raise DataError(f"frame {at[1]} of {at[0]!r} has no answer", where=str(path))
    if len(answers) > len(wanted):
        extra = min(answers.keys() - set(wanted))
        raise DataError(f"nobody asks for frame {extra[1]} of {extra[0]!r}", where=str(path))


def _rows(path: Path, spec: TaskSpec) -> Iterator[tuple[str, tuple[str, int], list[str]]]:
    """Each line's picture as it is written, what it means, and what stands behind it."""
    lines = lines_of(path)
    header = [name.strip() for name in lines[0].split(",")] if lines else []
    if header != [_FIRST, *spec.labels]:
        raise DataError(
            f"its header is no {_header(spec)[:70]}, as task {spec.name!r} has it", where=str(path)
        )
    known = set[tuple[str, int]]()
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        place, *cells = (cell.strip() for cell in line.split(","))
        match = _LOCATION.fullmatch(place)
        if match is None or int(match["frame"]) < 1:
            raise DataError(
                f"{place[:60]!r} is no frame", where=f"{path}:{number}", fix="NAME/00001.jpg"
            )
        at = match["video"], int(match["frame"])
        if at in known:
            raise DataError(f"{place!r} stands there twice", where=f"{path}:{number}")
        known.add(at)
        yield place, at, cells


def _check_lengths(
    wanted: Sequence[tuple[str, int]], scores: Mapping[str, Floats], example: Path
) -> None:
    """Positions are frames: a video cannot have more of them than its last frame's number."""
    last: dict[str, int] = {}
    for video, frame in wanted:
        last[video] = max(last.get(video, 0), frame)
    for video, frame in last.items():
        if len(scores[video]) > 1.05 * frame + 30:
            raise DataError(
                f"{video!r} has {len(scores[video]):,} positions, and its last frame is {frame:,}",
                where=str(example),
                fix="mien data prepare --fps with the rate that its pictures were imported with",
            )


# -- lines -----------------------------------------------------------------------------------------


def _header(spec: TaskSpec) -> str:
    return ",".join([_FIRST, *spec.labels])


def _line(place: str, frame: int, scores: Floats, spec: TaskSpec) -> str:
    answer = scores[min(frame, len(scores)) - 1]  # behind the last picture its answer holds
    return ",".join([place, *_cells(answer, spec)])


def _cells(answer: Floats, spec: TaskSpec) -> list[str]:
    if spec.categorical:
        return [str(int(answer.argmax()))]
    if spec.problem is Problem.MANY_OF_N:
        return [str(int(value >= spec.threshold)) for value in answer]
    return [f"{value:.6g}" for value in answer]
