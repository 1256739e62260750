"""Pictures at known times, from a film, a single image, or a folder of numbered images.

A frame is shown from its own time until the next one's; times are believed to a millisecond. Not
more than a few frames are held at once: the one that is shown, the next, and what the decoder keeps
(up to 16 of them and one for each of its threads, in its own format, by the rules of the codec).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mien.data import stills
from mien.data.media import Upright, upright
from mien.data.streams import (
    LIMITS,
    Damage,
    Limits,
    Source,
    blamed,
    check_size,
    decoded,
    frame_rate,
    leap,
    local_file,
    opened,
    straightened,
)
from mien.errors import DataError

Pixels = NDArray[np.uint8]

TICK = 1e-3
"""Seconds to which times are believed; containers round to it."""

_EXACT = 1e-6  # seconds that arithmetic may be off by
_RUN_UP = (1.0, 10.0)  # seconds before the start to seek to; what follows a key frame may be broken
_SEEKABLE = ("mov", "matroska")  # their indices lead to the frames that reading through would give


@dataclass(slots=True)
class Frame:
    """What is shown at a time.

    Args:
        time: seconds on the clock of the source.
        pixels: (H, W, 3) RGB, upright, square; None: nothing is there at this time.
    """

    time: float
    pixels: Pixels | None


def recorded(
    path: Path,
    *,
    start: float = 0.0,
    end: float | None = None,
    limits: Limits = LIMITS,
    damage: Damage | None = None,
) -> Iterator[Frame]:
    """Every recorded frame from start until before end, at its own time.

    Args:
        path: a media file, or a single image, which lies at 0.
        start: seconds on the clock of the file.
        end: seconds; None: until the picture ends.
        limits: what the file may ask for.
        damage: what is wrong with the file is counted here.

    Raises:
        DataError: the file cannot be read, is beyond the limits, or has no picture.
    """
    check_span(start, end)
    return _recorded(path, start, end, limits, damage if damage is not None else Damage())


def sampled(
    path: Path,
    fps: float,
    *,
    start: float = 0.0,
    end: float | None = None,
    folder_fps: float | None = None,
    limits: Limits = LIMITS,
    damage: Damage | None = None,
) -> Iterator[Frame]:
    """What is shown at start, start + 1/fps, start + 2/fps, ... until before end.

    Nothing is shown before the first frame, after the last one has lasted its time, and where one
    would be held for more than ``Limits.held`` seconds: the pixels are None there. A frame shown
    several times is the same array each time. Every picture of a file has the size of its first;
    those of a folder may differ.

    Args:
        path: a media file; a single image, shown at 0 only; or a folder of numbered images: number
            n is shown from (n - first) / folder_fps, first being 0 if there is a number 0, else 1,
            for one frame. Numbers that are missing are not bridged.
        fps: pictures a second that are wanted.
        start: seconds on the clock of the source.
        end: seconds; None: until the picture ends.
        folder_fps: frames a second of a folder.
        limits: what the file may ask for.
        damage: what is wrong with the file is counted here.

    Raises:
        DataError: the file cannot be read, is beyond the limits, or has no picture.
    """
    check_span(start, end)
    _check_fps("fps", fps)
    damage = damage if damage is not None else Damage()
    if path.is_dir():
        if folder_fps is None:
            raise DataError(
                "a folder of images has no frame rate of its own",
                where=str(path),
                fix="state it: fps in the row, or folder_fps=25",
            )
        _check_fps("folder_fps", folder_fps)
        return _from_folder(path, fps, start, end, folder_fps, limits, damage)
    return _sampled(path, fps, start, end, limits, damage)


def check_span(start: float, end: float | None) -> None:
    """Refuse spans that are none.

    Raises:
        DataError: a time is negative or not finite, or the end is before the start.
    """
    times = [start] if end is None else [start, end]
    if not all(math.isfinite(time) and time >= 0 for time in times) or times != sorted(times):
        raise DataError(f"from {start} to {end} seconds is no span of time")


def _check_fps(name: str, fps: float) -> None:
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise DataError(f"{name}={fps} is no frame rate", fix=f"{name}=25")


# -- films -----------------------------------------------------------------------------------------


class _Shown:
    """A frame of a film, from a time on: converted once, when it is asked for."""

    def __init__(self, time: float, lasting: float, frame: VideoFrame, convert: _Converter) -> None:
        self.time, self.until = time, time + lasting
        self.frame: VideoFrame | None = frame
        self.convert = convert
        self.converted: Pixels | None = None

    @property
    def pixels(self) -> Pixels:
        if self.frame is not None:
            self.converted, self.frame = self.convert(self.frame), None
        assert self.converted is not None
        return self.converted


class _Converter:
    """Decoded frames to upright RGB of one size."""

    def __init__(self, turn: Upright) -> None:
        self.turn, self.reformatter = turn, VideoReformatter()

    def __call__(self, frame: VideoFrame) -> Pixels:
        turn = self.turn
        rgb = self.reformatter.reformat(frame, turn.width, turn.height, format="rgb24", threads=1)
        pixels = np.asarray(rgb.to_ndarray(), dtype=np.uint8)  # (H, W, 3) as stored
        if turn.transposed:
            pixels = np.asarray(cv2.transpose(pixels), dtype=np.uint8)
        if turn.flip_x or turn.flip_y:
            code = {(True, True): -1, (True, False): 1, (False, True): 0}[turn.flip_x, turn.flip_y]
            pixels = np.asarray(cv2.flip(pixels, code), dtype=np.uint8)
        return np.ascontiguousarray(pixels)


def _recorded(
    path: Path, start: float, end: float | None, limits: Limits, damage: Damage
) -> Iterator[Frame]:
    if stills.kind(local_file(path)):
        if start <= 0 and (end is None or end > 0):
            yield Frame(0.0, stills.read(path, limits.pixels))
        return
    for shown in _film(path, start, limits, damage):
        if end is not None and shown.time >= end - TICK:
            return
        if shown.time >= start - TICK:
            yield Frame(shown.time, shown.pixels)


def _sampled(
    path: Path, fps: float, start: float, end: float | None, limits: Limits, damage: Damage
) -> Iterator[Frame]:
    steps = (Frame(start + k / fps, None) for k in count())
    step = next(steps)
    if stills.kind(local_file(path)):
        if start <= 0 and (end is None or end > 0):
            yield Frame(0.0, stills.read(path, limits.pixels))
            step = next(steps)
        end = end or 0.0
    else:
        held: _Shown | None = None
        for shown in _film(path, start, limits, damage):
            while step.time + TICK < shown.time and not _past(step, end):
                yield _at(step, held, limits.held)
                step = next(steps)
            if _past(step, end):
                return
            held = shown
        assert held is not None
        ends = held.until if end is None else end
        while not _past(step, min(ends, held.until - TICK)):
            yield _at(step, held, limits.held)
            step = next(steps)
        end = end or 0.0
    while not _past(step, end):
        yield step
        step = next(steps)


def _past(step: Frame, end: float | None) -> bool:
    return end is not None and step.time >= end - _EXACT


def _at(step: Frame, held: _Shown | None, longest: float) -> Frame:
    if held is None or step.time > held.time + longest + TICK:
        return step
    return Frame(step.time, held.pixels)


def _film(path: Path, start: float, limits: Limits, damage: Damage) -> Iterator[_Shown]:
    """The frames of a film in order, from the one shown at the start, or earlier."""
    with blamed(path), opened(path, limits) as source:
        if source.video is None:
            raise DataError("there is no picture in this file, only sound")
        enters = source.format in _SEEKABLE and start > _RUN_UP[0]
        frames = decoded(source, source.video, Damage() if enters else damage)
        first = next(frames, None)  # the size of this one is the size of all
        if first is None:
            raise DataError("nothing of the picture in this file can be decoded")
        convert = _Converter(upright(source, first))
        near = _near(source, start, damage) if enters else chain([first], frames)
        del first
        if near is not None:
            yield from _timed(source, near, convert, damage, from_start=not enters)
            return
    with blamed(path), opened(path, limits) as source:
        assert source.video is not None
        frames = decoded(source, source.video, damage)
        yield from _timed(source, frames, convert, damage, from_start=True)


def _near(source: Source, start: float, damage: Damage) -> Iterator[VideoFrame] | None:
    """Frames from a little before the start on, if the index of the file leads there."""
    stream = source.video
    assert stream is not None
    for back in _RUN_UP:
        if back >= start or not source.seek(stream, start - back):
            return None
        frames = decoded(source, stream, damage)
        first = next(frames, None)
        time = None if first is None else source.seconds(stream, first.pts)
        if first is not None and time is not None and time <= start:
            return chain([first], frames)
    return None


def _timed(
    source: Source,
    frames: Iterator[VideoFrame],
    convert: _Converter,
    damage: Damage,
    *,
    from_start: bool,
) -> Iterator[_Shown]:
    stream = source.video
    assert stream is not None
    assert stream.time_base is not None
    usual, unit = 1 / frame_rate(stream), float(stream.time_base)

    def stamped() -> Iterator[tuple[float | None, float, VideoFrame]]:
        for frame in frames:
            check_size(frame.width, frame.height, source.limits)
            damage.frames += frame.is_corrupt
            lasting = (frame.duration or 0) * unit
            lasting = lasting if 0 < lasting <= source.limits.held else usual
            yield source.seconds(stream, frame.pts), lasting, frame

    straight = straightened(
        stamped(),
        damage,
        from_start=from_start,
        believed=source.limits.seconds,
        leap=leap(source),
    )
    for time, lasting, frame in straight:
        if time > source.limits.seconds:
            raise DataError(f"this film is longer than {source.limits.seconds / 3600:g} hours")
        yield _Shown(time, lasting, frame, convert)


# -- folders ---------------------------------------------------------------------------------------


def _from_folder(
    path: Path,
    fps: float,
    start: float,
    end: float | None,
    folder_fps: float,
    limits: Limits,
    damage: Damage,
) -> Iterator[Frame]:
    images = stills.numbered(path)
    first = 0 if 0 in images else 1
    last = max(images) - first + 1  # frames in all
    if last / folder_fps > limits.seconds:
        raise DataError(
            f"frame {max(images)} lies beyond {limits.seconds / 3600:g} hours",
            where=str(path),
            fix="number the frames from 0 or 1",
        )
    ends = last / folder_fps - TICK if end is None else end
    place, pixels, good, bad = -1, None, 0, 0
    for k in count():
        step = Frame(start + k / fps, None)
        if _past(step, ends):
            break
        now = math.floor((step.time + TICK) * folder_fps)
        if now != place:
            place, pixels = now, None
            if image := images.get(now + first):
                pixels = _image(image, limits)
                good, bad = good + (pixels is not None), bad + (pixels is None)
                damage.frames += pixels is None
        yield Frame(step.time, pixels)
    if bad and not good:
        raise DataError("none of these images can be read", where=str(path))


def _image(path: Path, limits: Limits) -> Pixels | None:
    try:
        return stills.read(path, limits.pixels)
    except DataError:  # counted by the caller
        return None
