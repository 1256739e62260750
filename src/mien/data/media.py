"""What is in a media file: its picture and its sound, checked by decoding a first frame of each.

Times are seconds on the clock of the file, whose zero is the earliest start of the streams used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.stream import Stream
from av.video.frame import VideoFrame

from mien.data import stills
from mien.data.streams import (
    LIMITS,
    Damage,
    Limits,
    Source,
    blamed,
    check_size,
    decoded,
    frame_rate,
    has,
    local_file,
    opened,
    packets,
)
from mien.errors import DataError

__all__ = ["LIMITS", "AudioFacts", "Damage", "Facts", "Limits", "VideoFacts", "probe"]

FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".mpg", ".mpeg", ".ts", ".flv")
"""How films are called; a file that is named itself may end as it likes."""

SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".aif", ".aiff", ".wma")
"""How sounds are called."""

STILL_SECONDS = 0.04
"""How long a single image lasts, our choice: one frame of a film of 25 a second."""

SLOWEST = 1_000
"""Samples a second; a slower signal is no sound, and would grow a lot when it is resampled."""

# FFmpeg guesses the length of these from the size of the file, so their packets are counted.
_SOUND = ("mp3", "aac", "loas", "ac3", "eac3", "dts", "dtshd", "truehd", "mlp", "amrnb", "amrwb")
_PICTURE = ("h261", "h263", "h264", "hevc", "m4v", "mpegvideo", "mjpeg", "vc1", "obu", "mpeg")
_UNTIMED = frozenset({*_SOUND, *_PICTURE, "amr"})
_ASPECTS = Fraction(1, 4), Fraction(4)  # of a pixel: wider or narrower ones are nonsense
_AS_IT_IS = np.array([1, 0, 0, 0, 1, 0, 0, 0, 1])  # a display matrix that changes nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """A picture.

    Args:
        width: as shown: turned upright, with square pixels.
        height: as shown.
        rotation: degrees clockwise that stored pictures are turned by (0, 90, 180 or 270).
        fps: frames a second, on average.
        duration: seconds.
        codec: name of the decoder.
        start: seconds on the clock of the file at which it begins.
    """

    width: int
    height: int
    rotation: int
    fps: float
    duration: float
    codec: str
    start: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """A sound: samples a second, channels, seconds, decoder, and when on the clock it begins."""

    rate: int
    channels: int
    duration: float
    codec: str
    start: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is in a file.

    Args:
        path: the file.
        format: short name of the container.
        duration: seconds, as the container announces them; measured where it announces none.
        video: the picture, if there is one.
        audio: the sound, if there is one.
        notes: what there is but cannot be decoded.
    """

    path: Path
    format: str
    duration: float
    video: VideoFacts | None
    audio: AudioFacts | None
    notes: tuple[str, ...] = ()


def probe(path: Path, limits: Limits = LIMITS) -> Facts:
    """What is in a media file; one frame of each stream is decoded to be sure.

    A single image (JPEG, PNG, BMP, WebP) counts as a film of one frame, ``STILL_SECONDS`` long.

    Raises:
        DataError: it is missing, not media, beyond the limits, or nothing of it can be decoded.
    """
    if image := stills.kind(local_file(path)):
        return _still_facts(path, image, limits)
    notes: list[str] = []
    with blamed(path):
        with opened(path, limits) as source:
            name = source.format
            video = _video_facts(source)
            if video is None and has(source.container.streams.video):
                notes.append("the picture cannot be decoded")
        with opened(path, limits) as source:  # from its beginning again
            audio = _audio_facts(source)
            if audio is None and has(source.container.streams.audio):
                notes.append("the sound cannot be decoded")
        ends = [facts.start + facts.duration for facts in (video, audio) if facts is not None]
        if not ends:
            raise DataError("nothing in this file can be decoded")
        if max(ends) > limits.seconds:
            raise DataError(
                f"this file lasts {max(ends) / 3600:.1f} hours; {limits.seconds / 3600:g} are read",
                fix="cut it: ffmpeg -i IN -c copy -f segment -segment_time 3600 part%03d.mkv",
            )
    return Facts(
        path=path, format=name, duration=max(ends), video=video, audio=audio, notes=tuple(notes)
    )


def _still_facts(path: Path, image: str, limits: Limits) -> Facts:
    height, width = stills.read(path, limits.pixels).shape[:2]
    video = VideoFacts(
        width=width,
        height=height,
        rotation=0,
        fps=1 / STILL_SECONDS,
        duration=STILL_SECONDS,
        codec=image,
    )
    return Facts(path=path, format=image, duration=STILL_SECONDS, video=video, audio=None)


# -- picture ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Upright:
    """How stored pictures become upright ones with square pixels: scaled, transposed, flipped.

    Width and height are those after scaling.
    """

    width: int
    height: int
    transposed: bool
    flip_x: bool
    flip_y: bool

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height when upright."""
        return (self.height, self.width) if self.transposed else (self.width, self.height)

    @property
    def rotation(self) -> int:
        """Degrees clockwise."""
        if self.transposed:
            return 90 if self.flip_x else 270
        return 180 if self.flip_x and self.flip_y else 0


def upright(source: Source, frame: VideoFrame) -> Upright:
    """How the pictures of a file become upright, as one of them says.

    Raises:
        DataError: they are too large.
    """
    assert source.video is not None
    aspect = source.video.sample_aspect_ratio or Fraction(1)
    if not _ASPECTS[0] <= aspect <= _ASPECTS[1]:
        aspect = Fraction(1)
    width, height = max(1, round(frame.width * aspect)), frame.height
    check_size(width, height, source.limits)
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    matrix = _AS_IT_IS if data is None else np.frombuffer(bytes(data), np.int32)
    # The point (x, y) is shown at (a x + c y, b x + d y); y goes down.
    a, b, c, d = (int(matrix[i]) for i in (0, 1, 3, 4))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Upright(width, height, False, flip_x=a < 0, flip_y=d < 0)
    return Upright(width, height, True, flip_x=c < 0, flip_y=b < 0)


def _video_facts(source: Source) -> VideoFacts | None:
    stream = source.video
    frame = None if stream is None else next(decoded(source, stream, Damage()), None)
    if stream is None or frame is None:
        return None
    turned, (start, end) = upright(source, frame), _span(source, stream)
    return VideoFacts(
        width=turned.shown[0],
        height=turned.shown[1],
        rotation=turned.rotation,
        fps=frame_rate(stream),
        duration=end - start,
        codec=stream.codec_context.name,
        start=start,
    )


# -- sound -----------------------------------------------------------------------------------------


def check_sound(frame: AudioFrame, limits: Limits) -> tuple[int, int]:
    """Rate and channels of a piece of sound.

    Raises:
        DataError: they are beyond the limits.
    """
    rate, channels = frame.sample_rate, int(frame.layout.nb_channels)
    if not SLOWEST <= rate <= limits.rate:
        raise DataError(
            f"a sound of {rate:,} samples a second; {SLOWEST:,} to {limits.rate:,} are read"
        )
    if not 1 <= channels <= limits.channels:
        raise DataError(f"a sound of {channels} channels; 1 to {limits.channels} are read")
    return rate, channels


def _audio_facts(source: Source) -> AudioFacts | None:
    stream = source.audio
    frame = None if stream is None else next(decoded(source, stream, Damage()), None)
    if stream is None or frame is None:
        return None
    rate, channels = check_sound(frame, source.limits)
    start, end = _span(source, stream)
    return AudioFacts(
        rate=rate,
        channels=channels,
        duration=end - start,
        codec=stream.codec_context.name,
        start=start,
    )


# -- length ----------------------------------------------------------------------------------------


def _span(source: Source, stream: Stream) -> tuple[float, float]:
    """From when to when a stream lasts, as announced; measured where nothing is."""
    start = max(0.0, source.seconds(stream, stream.start_time) or 0.0)
    if stream.duration and stream.time_base:
        end = start + float(stream.duration * stream.time_base)
    else:
        end = (source.container.duration or 0) / av.time_base
    if source.format in _UNTIMED or end <= start:
        return _measured(source.path, source.limits, stream.index)
    return start, end


def _measured(path: Path, limits: Limits, index: int) -> tuple[float, float]:
    """From when to when a stream lasts, by its packets."""
    first, last = math.inf, 0.0
    with opened(path, limits) as source:
        stream: Any = source.container.streams[index]
        usual = 1 / frame_rate(stream) if stream.type == "video" else 0.0
        for packet in packets(source, stream, Damage()):
            if packet is None:
                break
            stamp = packet.pts if packet.pts is not None else packet.dts
            time = source.seconds(stream, stamp)
            time = last if time is None else time
            if time <= limits.seconds:  # else a timestamp is broken
                lasting = float((packet.duration or 0) * stream.time_base) or usual
                first, last = min(first, time), max(last, time + lasting)
    return (max(0.0, first), last) if math.isfinite(first) else (0.0, 0.0)
