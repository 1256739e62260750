"""What faces show, as others measured it: tables of other tools, vectors, and timelines."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mien.cues import facs
from mien.cues.schema import Dimensions, Face
from mien.errors import DataError, did_you_mean
from mien.types import Timeline, Track, Window

__all__ = ["LAYOUTS", "of_timeline", "of_vectors", "read_faces"]

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""Of py-feat, in its order."""

_FULL = 5.0  # the highest strength that FACS knows, in OpenFace's numbers
_LONGEST = 1 << 20  # letters of a line
_PICTURE = ("video", "face", "visual", "frames")  # how modalities that see are called

Line = Mapping[str, str]


# -- tables ----------------------------------------------------------------------------------------


def read_faces(
    path: str | Path, *, fps: float | None = None, start: float = 0.0, end: float = math.inf
) -> Iterator[Face]:
    """Faces of a CSV file that py-feat or OpenFace wrote, one a frame, in order.

    Where several people are in a picture, the face that the detector was surest of is taken. The
    header says whose table it is: OpenFace has ``AU01_r`` and ``AU01_c``, in its older versions
    with blanks before names and no ``face_id``; py-feat has ``FaceScore`` and ``AU01``.

    Args:
        path: the file.
        fps: pictures a second, needed where frames are only numbered, as py-feat does.
        start: seconds; faces before are left out.
        end: seconds from which on faces are left out.

    Raises:
        DataError: names the line that is not what it should be, or the second at which time goes
            back.
    """
    path, latest = Path(path), -math.inf
    if not path.is_file():
        raise DataError("there is no such table of faces", where=str(path))
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = csv.reader(_bounded(file, path))
        header = [name.strip() for name in next(lines, [])]
        reader = _reader(header, fps, path)
        known = (dict(zip(header, line, strict=False)) for line in lines if line)
        for _, same in groupby(_placed(known, reader, path), key=lambda face: face.time):
            best = max(same, key=lambda face: (face.present, face.score or 0.0))
            if best.time < latest:
                raise DataError(
                    f"frames are not in order: {best.time:g} s comes after {latest:g} s",
                    where=str(path),
                    fix="sort the table by time",
                )
            latest = best.time
            if start <= best.time < end:
                yield best


def _bounded(file: Iterable[str], path: Path) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        if len(line) > _LONGEST or "\0" in line:
            raise DataError("this is no table of faces", where=f"{path}:{number}")
        yield line


def _placed(lines: Iterable[Line], reader: Callable[[Line], Face], path: Path) -> Iterator[Face]:
    for number, line in enumerate(lines, 2):
        try:
            yield reader(line)
        except (KeyError, ValueError, DataError) as error:
            what = (
                error.what if isinstance(error, DataError) else f"{error} is missing or no number"
            )
            raise DataError(f"a face cannot be read: {what}", where=f"{path}:{number}") from error


def _reader(header: Sequence[str], fps: float | None, path: Path) -> Callable[[Line], Face]:
    if any(name.endswith(("_r", "_c")) and name.startswith("AU") for name in header):
        return lambda line: _openface(line, fps)
    if "FaceScore" in header and any(name.startswith("AU") for name in header):
        if fps is None:
            raise DataError(
                "py-feat numbers frames and does not say when they were",
                where=str(path),
                fix="give the row its fps: pictures a second",
            )
        rate = fps
        return lambda line: _pyfeat(line, rate)
    raise DataError(
        "neither py-feat nor OpenFace wrote this table",
        where=str(path),
        fix="a CSV file with columns AU01_r and AU01_c, or FaceScore and AU01",
    )


def _openface(line: Line, fps: float | None) -> Face:
    if line.get("timestamp"):
        time = float(line["timestamp"])
    elif fps:  # numbered from 1 on
        time = (float(line["frame"]) - 1) / fps
    else:
        raise DataError("there is no timestamp", fix="give the row its fps")
    score = _number(line.get("confidence"))
    if not _number(line.get("success", "1")):
        return Face(time=time, present=False, score=score)
    units = {facs.unit(n[:-2]): v for n, v in _scores(line, "_c").items()}
    strengths = {facs.unit(n[:-2]): v / _FULL for n, v in _scores(line, "_r").items()}
    return Face(time=time, score=score, units=_shares(units), strengths=_shares(strengths))


def _scores(line: Line, ending: str) -> dict[str, float]:
    named = {n: _number(v) for n, v in line.items() if n.startswith("AU") and n.endswith(ending)}
    return {name: value for name, value in named.items() if value is not None}


def _pyfeat(line: Line, fps: float) -> Face:
    time = float(line["frame"]) / fps
    score = _number(line["FaceScore"])
    if score is None:
        return Face(time=time, present=False)
    units = {n: _number(v) for n, v in line.items() if n.startswith("AU") and n[2:].isdigit()}
    known = {facs.unit(name): value for name, value in units.items() if value is not None}
    felt = {name: _number(line.get(name)) for name in EMOTIONS}
    emotions = {name: value for name, value in felt.items() if value is not None}
    return Face(time=time, score=score, units=_shares(known), emotions=_shares(emotions))


def _number(text: str | None) -> float | None:
    """A number; None for an empty cell and for NaN."""
    value = float(text) if text and text.strip() else math.nan
    return value if math.isfinite(value) else None


def _shares(values: Mapping[str, float]) -> dict[str, float]:
    return {name: min(1.0, max(0.0, value)) for name, value in values.items()}


# -- vectors ---------------------------------------------------------------------------------------

_SEEN = tuple(facs.in_order([*facs.OPENFACE, "AU28"]))

LAYOUTS: Mapping[str, tuple[str, ...]] = {
    "openface": (*(f"{name}_r" for name in facs.OPENFACE), *(f"{name}_c" for name in _SEEN)),
    "challenge": facs.CHALLENGE,
    "published": (*facs.PUBLISHED, *EMOTIONS),
}
"""What the values of a vector are, in their order. Of ``openface`` the first 17 are strengths in
0..5 and the other 18 say whether a unit is active: of one frame, or means over a clip."""


def of_vectors(
    values: ArrayLike, layout: str, *, start: float = 0.0, fps: float | None = None
) -> Iterator[Face]:
    """Faces from numbers whose order is known, one after the other.

    A vector of zeros alone is what tools write where no face was found.

    Args:
        values: (D), of a whole clip, or (L, D), of its frames.
        layout: one of `LAYOUTS`.
        start: second of the first frame.
        fps: frames a second; of a single vector not needed.

    Raises:
        DataError: another number of values, or several frames without a rate.
    """
    if layout not in LAYOUTS:
        raise DataError(f"no layout is called {layout!r}: {did_you_mean(layout, LAYOUTS)}")
    names, rows = LAYOUTS[layout], np.atleast_2d(np.asarray(values, np.float64))  # (L, D)
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise DataError(
            f"{layout} has {len(names)} values a face, not {rows.shape[-1]}",
            fix=f"layouts: {', '.join(f'{k} ({len(v)})' for k, v in LAYOUTS.items())}",
        )
    if len(rows) > 1 and not fps:
        raise DataError("several frames without a rate", fix="give the row its fps")
    return (_face(row, names, start + (i / fps if fps else 0)) for i, row in enumerate(rows))


def _face(
    row: np.ndarray[tuple[int], np.dtype[np.float64]], names: Sequence[str], t: float
) -> Face:
    if not row.any():
        return Face(time=t, present=False)
    units, strengths, emotions = {}, {}, {}
    for name, value in zip(names, row.tolist(), strict=True):
        if name.endswith("_r"):
            strengths[name[:-2]] = value / _FULL
        elif name.startswith("AU"):
            units[name.removesuffix("_c")] = value
        else:
            emotions[name] = value
    return Face(
        time=t, units=_shares(units), strengths=_shares(strengths), emotions=_shares(emotions)
    )


# -- answers of a run ------------------------------------------------------------------------------


def of_timeline(
    timeline: Timeline, track: str | None = None
) -> tuple[tuple[Face, ...], tuple[Dimensions, ...]]:
    """What a run saw in a face, window by window; and the dimensions that it gave.

    A task whose labels are action units gives units; one whose scores add up to one gives
    expressions; valence, arousal and dominance of -1 to 1 become 0 to 1.

    Args:
        timeline: as ``mien predict`` writes it.
        track: whose; None: the only one, or the first face.

    Raises:
        DataError: there is no such track.
    """
    chosen = _track(timeline, track)
    faces = tuple(face for w in chosen.windows if (face := _watched(w)) is not None)
    found = (d for w in chosen.windows for s in w.scores.values() for d in _dimensions(w, s))
    return faces, tuple(found)


def _track(timeline: Timeline, name: str | None) -> Track:
    tracks = {track.id: track for track in timeline.tracks}
    if name is None:
        faces = [track for track in timeline.tracks if track.kind == "face"]
        found = next(iter([*faces, *timeline.tracks]), None)
    else:
        found = tracks.get(name)
    if found is None:
        what = "this timeline has no tracks" if name is None else f"nobody is called {name!r} here"
        raise DataError(what, where=timeline.source)
    return found


def _watched(window: Window) -> Face | None:
    """A face; None where the run was not asked about one."""
    units: dict[str, float] = {}
    emotions: dict[str, float] = {}
    for scores in window.scores.values():
        if all(name.startswith("AU") for name in scores):
            units |= {facs.unit(name): value for name, value in scores.items()}
        elif abs(sum(scores.values()) - 1) < 0.02 and min(scores.values()) >= 0:
            emotions |= scores
    told = [there for name, there in window.present.items() if name in _PICTURE]
    present = any(told) if told else True
    if not (units or emotions or told):
        return None
    time = (window.start + window.end) / 2
    if not present:
        return Face(time=time, present=False)
    return Face(time=time, units=_shares(units), emotions=_shares(emotions))


def _dimensions(window: Window, scores: Mapping[str, float]) -> Iterator[Dimensions]:
    if scores and set(scores) <= {"arousal", "dominance", "valence"}:
        half = {name: (min(1.0, max(-1.0, value)) + 1) / 2 for name, value in scores.items()}
        yield Dimensions(start=window.start, end=window.end, **half)
