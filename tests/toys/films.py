"""Small media files for tests, odd ones included: pictures that say which frame they are."""

from __future__ import annotations

import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Draw = Callable[[int, float], Pixels]

_CLOCK = Fraction(1, 60_000)  # holds 24, 25, 29.97 and 30 a second; MPEG-4 takes no finer one
_BITS = 8


def film(
    path: Path,
    *,
    seconds: float = 1.0,
    fps: float = 25,
    size: tuple[int, int] = (64, 48),
    draw: Draw | None = None,
    times: Sequence[float] | None = None,
    audio: NDArray[Any] | None = None,
    rate: int = 16_000,
    codec: str | None = "libx264",
    audio_codec: str = "aac",
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    mirrored: bool = False,
    aspect: Fraction | None = None,
    video_start: float = 0.0,
    audio_start: float = 0.0,
    options: dict[str, str] | None = None,
    audio_options: dict[str, str] | None = None,
    format_options: dict[str, str] | None = None,
    container: str | None = None,
) -> Path:
    """Encode a small film.

    Args:
        path: the file to write; its suffix says the container, unless ``container`` does.
        seconds: length of the picture.
        fps: frames a second.
        size: width and height as stored, before rotation.
        draw: ``draw(index, time)`` gives (H, W, 3) RGB; by default pictures that ``number`` reads.
        times: when each frame is shown, for variable rates; in place of ``seconds`` and ``fps``.
        audio: a waveform (S) or (C, S) in -1..1; None: no sound.
        rate: samples a second of the waveform.
        codec: encoder of the picture; None: no picture.
        audio_codec: encoder of the sound.
        pixel_format: of the encoder.
        rotation: degrees clockwise that a player must turn the picture by.
        mirrored: a player must mirror it, left to right, after it was turned.
        aspect: width of a pixel over its height.
        video_start: seconds before the first frame.
        audio_start: seconds before the first sample.
        options: of the encoder of the picture (``{"bf": "2", "g": "12"}``).
        audio_options: of the encoder of the sound (``{"aac_pns": "0"}``: noise as it was).
        format_options: of the container (``{"movflags": "faststart"}``).
        container: name of the container, where the suffix is not it.

    Returns:
        The path.
    """
    if times is None:
        steady = not video_start  # MPEG-2 knows no other
        clock = 1 / Fraction(fps).limit_denominator(1001) if steady else _CLOCK
        times = [k / fps for k in range(round(seconds * fps))]
    else:
        clock = _CLOCK
    with av.open(str(path), "w", format=container, options=format_options or {}) as output:
        picture = sound = None
        if codec is not None:
            picture = _picture(output, codec, fps, clock, size, pixel_format, options)
            if aspect is not None:
                picture.codec_context.sample_aspect_ratio = aspect
            if rotation or mirrored:
                picture.set_display_rotation(-rotation, hflip=mirrored)
        if audio is not None:
            sound = _sound(output, audio_codec, rate, _layout(audio), audio_options)
        if picture is not None:
            shown = [time + video_start for time in times]
            _encode_frames(output, picture, shown, draw or (lambda i, _: picture_of(i, size)))
        if audio is not None:
            _encode_samples(output, sound, audio, round(audio_start * rate))
    return path


def _picture(
    output: Any,
    codec: str,
    fps: float,
    clock: Fraction,
    size: tuple[int, int],
    pixel_format: str,
    options: dict[str, str] | None,
) -> Any:
    stream = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
    stream.width, stream.height = size
    stream.pix_fmt = pixel_format
    stream.codec_context.time_base = clock
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    stream.options = {"threads": "1", **quiet, **(options or {})}
    return stream


def _sound(output: Any, codec: str, rate: int, layout: str, options: dict[str, str] | None) -> Any:
    stream = output.add_stream(codec, rate=rate, layout=layout)
    stream.codec_context.time_base = Fraction(1, rate)
    stream.options = options or {}
    return stream


def _layout(waves: NDArray[Any]) -> str:
    channels = len(np.atleast_2d(waves))
    return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(channels, f"{channels}c")


def _encode_frames(output: Any, stream: Any, times: Sequence[float], draw: Draw) -> None:
    clock = stream.codec_context.time_base
    for index, time in enumerate(times):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(draw(index, time)), "rgb24")
        frame.pts, frame.time_base = round(time / clock), clock
        output.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
    output.mux(stream.encode(None))


def _encode_samples(output: Any, stream: Any, audio: NDArray[Any], offset: int) -> None:
    waves, layout = np.atleast_2d(audio), _layout(audio)  # (C, S)
    rate = stream.codec_context.sample_rate
    resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
    step = stream.codec_context.frame_size or 1024
    for first in range(0, waves.shape[1], step):
        part = np.ascontiguousarray(waves[:, first : first + step], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, offset + first, Fraction(1, rate)
        for ready in resampler.resample(frame):
            output.mux(stream.encode(ready))
    output.mux(stream.encode(None))


def remuxed(
    path: Path,
    source: Path,
    change: Callable[[str, int, Any], Any],
    *,
    format_options: dict[str, str] | None = None,
) -> Path:
    """Copy a film packet by packet, changed on the way.

    Args:
        path: the file to write.
        source: the film.
        change: ``change(kind, index, packet)`` with kind ``video`` or ``audio`` and the number of
            the packet in its stream; gives the packet, changed or not, or None to leave it out.
        format_options: of the container.

    Returns:
        The path.
    """
    with (
        av.open(str(source)) as film_in,
        av.open(str(path), "w", options=format_options or {}) as output,
    ):
        streams = {s.index: output.add_stream_from_template(s) for s in film_in.streams}
        seen = dict.fromkeys(streams, 0)
        for packet in film_in.demux():
            index = packet.stream.index
            if packet.size:
                changed = change(packet.stream.type, seen[index], packet)
                seen[index] += 1
                if changed is not None:
                    changed.stream = streams[index]
                    output.mux(changed)
    return path


def spoiled(packet: Any) -> Any:
    """A packet of the same time and length that no decoder makes sense of."""
    ruin = av.Packet(bytes(255 - byte for byte in bytes(packet)))
    ruin.pts, ruin.dts, ruin.time_base = packet.pts, packet.dts, packet.time_base
    ruin.duration = packet.duration
    return ruin


# -- pictures that say which frame they are --------------------------------------------------------


def picture_of(index: int, size: tuple[int, int] = (64, 48)) -> Pixels:
    """A picture (H, W, 3) with its number in 8 bars, red at its top left and blue at the bottom.

    ``number`` reads the bars back after any codec; the colours show how it was turned.
    """
    width, height = size
    pixels = np.full((height, width, 3), 60, np.uint8)
    edges = np.linspace(0, width, _BITS + 1).round().astype(int)
    middle = slice(height // 3, 2 * height // 3)
    for bit in range(_BITS):
        pixels[middle, edges[bit] : edges[bit + 1]] = 230 if index >> bit & 1 else 20
    pixels[: height // 3, : width // 2] = (220, 30, 30)
    pixels[2 * height // 3 :] = (30, 30, 220)
    return pixels


def number(pixels: Pixels) -> int:
    """The number that ``picture_of`` drew into an upright picture (modulo 256)."""
    height, width = pixels.shape[:2]
    edges = np.linspace(0, width, _BITS + 1)
    row = pixels[height // 2 - 1 : height // 2 + 1].mean((0, 2))  # (W,)
    bars = [row[round((edges[b] + edges[b + 1]) / 2)] for b in range(_BITS)]
    return sum(1 << bit for bit, grey in enumerate(bars) if grey > 125)


# -- sounds ---------------------------------------------------------------------------------------


def tone(
    seconds: float, rate: int = 16_000, hertz: float = 440.0, loud: float = 0.5
) -> NDArray[np.float64]:
    """A sine (S) that starts at phase 0."""
    return loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def wav(path: Path, samples: NDArray[Any], rate: int = 16_000) -> Path:
    """16-bit samples (S) or (C, S) in -1..1 as a WAV file, written without FFmpeg."""
    waves = np.atleast_2d(samples)
    packed = np.round(np.clip(waves, -1, 1) * 32767).astype("<i2").T.tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(waves))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(packed)
    return path
