"""Media files opened within limits, and their packets decoded one by one.

A file is hostile until it is read: only local regular files are opened, only as formats that hold
their own content (no playlists, no patterns of names, no addresses), and what it claims is compared
with ``Limits`` before it costs memory. Players forgive damage, and so do we: a packet that cannot
be decoded is skipped and counted, a time that cannot be true is replaced by the one that the rate
suggests.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from mien.errors import DataError, MienError

T = TypeVar("T")

# Formats that hold what they show; playlists, lists of files and devices are not among them.
_FORMATS = (
    "mov mp4 m4a 3gp 3g2 mj2 matroska webm avi flv asf mpegts mpeg mpegvideo m4v h261 h263 h264"
    " hevc av1 obu ivf vc1 dv mxf gxf nut rm wtv gif apng mjpeg yuv4mpegpipe"
    " ogg wav w64 aiff au caf mp3 aac loas ac3 eac3 dts dtshd truehd mlp flac amr amrnb amrwb ape"
    " wv tta tak mpc mpc8 voc sox nistsphere ircam avr spx g722 gsm oma dsf"
)
_STEADY = ("mpegts", "mpeg")  # a clock that jumps is a fault of the cut here, not a pause
_FAULTS = (OSError, ValueError, ArithmeticError, LookupError, MemoryError, av.FFmpegError)
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")
_INSTANT = 1e-6  # seconds; two frames do not lie closer
_JITTER = 0.1  # seconds by which timestamps differ without meaning a gap
_STUMBLES = 32  # places of a file that cannot be read, before its reading ends
_RATES = Fraction(1, 100), 240  # frames a second that a file may claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a file may ask for, whatever it claims.

    Args:
        pixels: width times height of a picture.
        seconds: length.
        channels: of the sound.
        rate: samples a second.
        streams: how many.
        metadata: characters of title, comments and such.
        barren: packets in a row of which none gives a frame.
        gaps: seconds without sound, in all, that timestamps may claim.
        held: seconds that one picture is shown without a next; after that there is none.
        threads: of the decoder.
    """

    pixels: int = 7680 * 4320
    seconds: float = 24 * 3600.0
    channels: int = 64
    rate: int = 768_000
    streams: int = 64
    metadata: int = 4 << 20
    barren: int = 5_000
    gaps: float = 3600.0
    held: float = 10.0
    threads: int = 4


LIMITS = Limits()


@dataclass(slots=True)
class Damage:
    """What was wrong with a file that could be read all the same; what reads it adds to this.

    Args:
        packets: that could not be decoded, and were skipped.
        frames: pictures that the decoder had to patch, or images that could not be read.
        times: timestamps that were not believed.
    """

    packets: int = 0
    frames: int = 0
    times: int = 0

    def __bool__(self) -> bool:
        return bool(self.packets or self.frames or self.times)

    def notes(self) -> list[str]:
        """What was damaged, a sentence each."""
        counts = (
            (self.packets, "pieces could not be decoded"),
            (self.frames, "pictures were damaged"),
            (self.times, "timestamps could not be true"),
        )
        return [f"{count} {words}" for count, words in counts if count]


@dataclass(frozen=True, slots=True)
class Source:
    """An open file: the streams that are used, and the zero of its clock in seconds."""

    path: Path
    limits: Limits
    container: InputContainer
    video: VideoStream | None
    audio: AudioStream | None
    zero: Fraction

    @property
    def format(self) -> str:
        """Short name of the container."""
        return self.container.format.name.split(",")[0]

    def seconds(self, stream: Stream, stamp: int | None) -> float | None:
        """A timestamp of a stream on the clock of the file."""
        if stamp is None or not stream.time_base:
            return None
        return float(stamp * stream.time_base - self.zero)

    def seek(self, stream: Stream, time: float) -> bool:
        """Go to the last point at or before a time from which a stream can be decoded."""
        assert stream.time_base is not None
        try:
            target = math.floor((self.zero + Fraction(time)) / stream.time_base)
            self.container.seek(target, stream=stream, backward=True)
        except (av.FFmpegError, ValueError, OverflowError):
            return False
        return True


# -- opening ---------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path, limits: Limits = LIMITS) -> Iterator[Source]:
    """A media file, open: its best picture and sound, all other streams switched off.

    Raises:
        DataError: it cannot be opened, or claims more than the limits.
    """
    local_file(path)
    bounds, options = _options(limits)
    address = "file:" + os.path.abspath(path)  # noqa: PTH100 (links stay as they are)
    try:
        container = av.open(address, "r", options=options, metadata_errors="replace")
    except av.error.ArgumentError as error:
        raise DataError(
            "this is a playlist, or of a format that is not opened",
            where=str(path),
            fix="name the media files themselves",
        ) from error
    except _FAULTS as error:
        raise _unreadable(path, error) from error
    with container:
        _check(container, limits)
        video, audio = _best(container.streams.video), _best(container.streams.audio)
        if video is None and audio is None:
            raise DataError("there is neither picture nor sound in this file", where=str(path))
        for stream in container.streams:
            if stream not in (video, audio):
                stream.discard = Discard.all
        for used in (video, audio):
            if used is not None:
                used.codec_context.options = dict(bounds)
        if video is not None:
            check_size(video.codec_context.width, video.codec_context.height, limits)
            video.codec_context.thread_type = "AUTO"
            video.codec_context.thread_count = min(limits.threads, os.cpu_count() or 1)
        yield Source(path, limits, container, video, audio, _zero(container, video, audio))


def _options(limits: Limits) -> tuple[dict[str, str], dict[str, str]]:
    """Limits in FFmpeg's words: for decoders, and for opening."""
    # Decoders round sizes up to their blocks; what they give is held to the limit itself.
    pixels = limits.pixels * 5 // 4 + (1 << 16)
    bounds = {"max_pixels": str(pixels), "max_samples": str(1 << 20)}
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(_FORMATS.split()),
        "max_streams": str(limits.streams + 1),  # with as many, the rest would be lost unseen
        **bounds,
    }
    return bounds, options


def local_file(path: Path) -> Path:
    """The path, if it is a regular file on this machine that holds something.

    Raises:
        DataError: it is an address, a folder, a pipe or a device, is missing or empty.
    """
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        if _SCHEME.match(str(path)) and os.name == "posix":
            what, fix = "only files on this machine are read, no addresses", "download it first"
            raise DataError(what, where=str(path), fix=fix) from error
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise DataError(f"cannot read it: {reason}", where=str(path)) from error
    if stat.S_ISDIR(facts.st_mode):
        raise DataError(
            "this is a folder, not a media file",
            where=str(path),
            fix="state its fps to read a folder of numbered images",
        )
    if not stat.S_ISREG(facts.st_mode):  # a pipe would be waited for, for ever
        raise DataError("this is not a regular file", where=str(path))
    if not facts.st_size:
        raise DataError("this file is empty", where=str(path))
    return path


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse pictures beyond the limits.

    Raises:
        DataError: there are too many pixels.
    """
    if width * height > limits.pixels:
        raise DataError(
            f"a picture of {width} x {height} is too large; {limits.pixels:,} pixels are read"
        )


@contextmanager
def blamed(path: Path) -> Iterator[None]:
    """Within: whatever goes wrong with a file becomes a DataError that names it."""
    try:
        yield
    except DataError as error:
        if error.where is not None:
            raise
        raise DataError(error.what, where=str(path), fix=error.fix) from error
    except MienError:
        raise
    except _FAULTS as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> DataError:
    if isinstance(error, MemoryError):
        return DataError("there is not enough memory to decode this file", where=str(path))
    reason = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return DataError(
        f"this is no media file that can be read: {reason.partition(chr(10))[0].lower()}",
        where=str(path),
        fix=f"ffmpeg -i {path.name} {path.stem}.repaired.mkv (if a player can show it)",
    )


def _check(container: InputContainer, limits: Limits) -> None:
    if len(container.streams) > limits.streams:
        raise DataError(f"{len(container.streams)} streams in one file; {limits.streams} are read")
    dictionaries = [container.metadata, *(stream.metadata for stream in container.streams)]
    length = sum(len(key) + len(text) for words in dictionaries for key, text in words.items())
    if length > limits.metadata:
        raise DataError(f"{length:,} characters of metadata; {limits.metadata:,} are read")


def has(streams: Iterable[Stream]) -> bool:
    """Whether one of these streams is more than the picture of a cover."""
    return any(not stream.disposition & Disposition.attached_pic for stream in streams)


def _best(streams: Iterable[Any]) -> Any:
    """The stream that a player would choose: no cover, none that cannot be decoded here."""
    usable = [stream for stream in streams if has([stream]) and stream.codec_context is not None]
    usable.sort(key=lambda stream: not stream.disposition & Disposition.default)  # stable
    return usable[0] if usable else None


def _zero(container: InputContainer, *used: Stream | None) -> Fraction:
    starts = [
        stream.start_time * stream.time_base
        for stream in used
        if stream is not None and stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts) if starts else Fraction(container.start_time or 0, av.time_base)


# -- decoding --------------------------------------------------------------------------------------


def decoded(source: Source, stream: Stream, damage: Damage) -> Iterator[Any]:
    """Every frame of a stream from where the file stands, in order; what is damaged is left out."""
    barren = 0
    for packet in packets(source, stream, damage):
        frames: list[Any] = []
        try:
            frames = stream.codec_context.decode(packet)  # type: ignore[attr-defined]
        except EOFError:
            return
        except av.FFmpegError:  # also memory that a broken packet asks for
            damage.packets += 1
        barren = 0 if frames else barren + 1
        if barren > source.limits.barren:
            return
        yield from frames


def packets(source: Source, stream: Stream, damage: Damage) -> Iterator[Packet[Any] | None]:
    """The packets of a stream; at the end None, which asks a decoder for what it still holds."""
    for _ in range(_STUMBLES):
        try:
            for packet in source.container.demux(stream):
                if packet.size:  # an empty one in the middle would end the decoding
                    yield packet
            break
        except IndexError:  # PyAV stumbles at the end over streams that appeared on the way
            break
        except av.FFmpegError:
            damage.packets += 1
    yield None


def frame_rate(stream: VideoStream) -> float:
    """Frames a second, on average; 25 where a file gives none that can be true."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate is not None and _RATES[0] <= rate <= _RATES[1]:
            return float(rate)
    return 25.0


def leap(source: Source) -> float:
    """Seconds by which the clock of a file may jump ahead and be believed."""
    return 10.0 if source.format in _STEADY else math.inf


def straightened(
    frames: Iterable[tuple[float | None, float, T]],
    damage: Damage,
    *,
    from_start: bool,
    believed: float,
    leap: float,
) -> Iterator[tuple[float, float, T]]:
    """Frames at times that run forward, each looked at together with the next.

    A time that its neighbours contradict is replaced. Where the clock itself jumps back, or too far
    ahead, the times after it are shifted so that they go on.

    Args:
        frames: time (None: unknown), how long it lasts, frame.
        damage: times that were not believed are counted here.
        from_start: whether the first of them is the first of the file.
        believed: seconds of gaps, in all, that are taken for gaps.
        leap: seconds; a longer gap is taken for a fault of the clock.

    Yields:
        Time, how long it lasts, frame.
    """
    shift, last, expected = 0.0, -math.inf, 0.0
    anchored = from_start
    for (raw, lasting, frame), following in _with_next(frames):
        if raw is None and not anchored:  # somewhere in the file: nobody knows where
            continue
        time = expected if raw is None else raw + shift
        later = math.nan if following is None or following[0] is None else following[0] + shift
        gap = time - expected if anchored else 0.0
        least = last + _INSTANT
        if later > least + _INSTANT and not least <= time <= later:  # this one alone is wrong
            time = later - lasting if later - lasting > least else (last + later) / 2
            damage.times += 1
        elif time < least or gap > min(leap, believed):  # the clock has jumped
            shift, time = shift + expected - time, expected
            damage.times += 1
        elif gap > _JITTER:
            believed -= gap
        last, expected, anchored = time, time + lasting, True
        yield time, lasting, frame


def _with_next(items: Iterable[T]) -> Iterator[tuple[T, T | None]]:
    iterator = iter(items)
    for current in iterator:
        for following in iterator:
            yield current, following
            current = following
        yield current, None
