"""A few pictures and the sound of a clip, as the bytes of JPEG and WAV files."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from mien.data import frames, media, sound, stills
from mien.data.frames import Pixels
from mien.errors import DataError

RATE = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a row is about: files, and seconds of them."""

    video: Path | None
    audio: Path | None
    start: float = 0.0
    end: float | None = None
    fps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How much of a clip is shown.

    Args:
        pictures: how many, evenly apart; 0: none.
        side: pixels of the longer side; smaller ones stay as they are.
        quality: of the JPEG files, to 100.
        sound: whether it is heard.
        seconds: how much of a clip is shown and heard at most, from its start.
    """

    pictures: int = 6
    side: int = 512
    quality: int = 90
    sound: bool = False
    seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """What was shown and heard.

    Args:
        jpegs: files.
        times: when each was, in seconds of the source.
        size: width and height of the pictures they were made of.
        wav: a file; None: no sound.
        span: from when to when, in seconds of the source.
    """

    jpegs: tuple[bytes, ...] = field(default=(), repr=False)
    times: tuple[float, ...] = ()
    size: tuple[int, int] | None = None
    wav: bytes | None = field(default=None, repr=False)
    span: tuple[float, float] = (0.0, 0.0)

    def __bool__(self) -> bool:
        return bool(self.jpegs) or self.wav is not None


def look(view: View, source: Source) -> Glimpse:
    """Pictures in the middle of equal stretches of a clip, and its sound.

    What a clip lacks, or what nobody asked for, is left out.

    Raises:
        DataError: a file cannot be read, or is not what it says.
    """
    seen = heard = None
    if source.video is not None and (view.pictures or (view.sound and source.audio is None)):
        seen = _length(source)
    if view.sound and (source.audio or source.video) is not None:
        path = source.audio or source.video
        heard = path if path is not None and not path.is_dir() and _sounds(path) else None
    ends = [source.start + view.seconds]
    ends += [end for end in (source.end, seen if heard is None else None) if end is not None]
    span = (source.start, max(source.start, min(ends)))
    shown: list[tuple[float, Pixels]] = []
    if seen is not None and view.pictures:
        shown = _pictures(source, view, (span[0], min(span[1], seen)))
    wav = _wav(heard, span) if heard is not None else None
    return Glimpse(
        jpegs=tuple(_jpeg(pixels, view) for _, pixels in shown),
        times=tuple(round(time, 3) for time, _ in shown),
        size=(shown[0][1].shape[1], shown[0][1].shape[0]) if shown else None,
        wav=wav,
        span=(round(span[0], 3), round(span[1], 3)),
    )


def _length(source: Source) -> float | None:
    """When the picture of a source ends; None where it has none."""
    assert source.video is not None
    if source.video.is_dir():
        numbers = stills.numbered(source.video)
        if source.fps is None:
            raise DataError("a folder of images has no frame rate of its own", fix="fps in its row")
        first = 0 if 0 in numbers else 1
        return (max(numbers) + 1 - first) / source.fps
    facts = media.probe(source.video).video
    return None if facts is None else facts.start + facts.duration


def _sounds(path: Path) -> bool:
    return stills.kind(path) is None and media.probe(path).audio is not None


def _pictures(source: Source, view: View, span: tuple[float, float]) -> list[tuple[float, Pixels]]:
    assert source.video is not None
    length = span[1] - span[0]
    if length <= 0:
        return []
    count, first = view.pictures, span[0] + length / view.pictures / 2
    if not source.video.is_dir() and stills.kind(source.video):
        count, first = 1, 0.0  # an image is shown at 0 only
    taken = frames.sampled(
        source.video, count / length, start=first, end=span[1], folder_fps=source.fps
    )
    shown = []
    for frame, _ in zip(taken, range(count), strict=False):
        if frame.pixels is not None:
            shown.append((frame.time, frame.pixels.copy()))
    return shown


def _jpeg(pixels: Pixels, view: View) -> bytes:
    height, width = pixels.shape[:2]
    share = view.side / max(height, width)
    if share < 1:
        size = max(1, round(width * share)), max(1, round(height * share))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, content = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, view.quality]
    )
    if not done:
        raise DataError("a picture of this size cannot be kept as JPEG")
    return content.tobytes()


def _wav(path: Path, span: tuple[float, float]) -> bytes | None:
    """16 bits, mono; None where nothing was recorded in this span."""
    samples, there = sound.waveform(path, RATE, start=span[0], end=span[1])
    if not there.any():
        return None
    last = int(np.flatnonzero(there)[-1]) + 1  # beyond it the file is at its end
    whole = np.clip(np.round(samples[:last] * 32767), -32768, 32767).astype("<i2")
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(whole.tobytes())
    return held.getvalue()
