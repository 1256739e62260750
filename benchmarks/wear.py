"""Simulated wear beside the real thing: what codecs do, and what mien's imitations of them do.

Speech and pictures go through real encoders and back, and through the simulation that training
uses. For sound the log-spectral distance to the clean clip says, band by band, how much is changed;
for pictures it is the signal-to-noise ratio, and how much detail of each fineness is left.

    python benchmarks/wear.py SOUND... --pictures VIDEO...

Frames of sound count that are within 40 dB of the loudest one; levels below -70 dB of a clip's
loudest bin count as -70 dB.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.data.frames import sampled
from mien.data.sound import waveform
from mien.parts.codec import adaptive, mu_law, transform_coded
from mien.parts.jpeg import jpeg

RATE = 16_000
BANDS = ((50, 1000), (1000, 2000), (2000, 4000), (4000, 6000), (6000, 8000))
SIDE = 128
ENCODERS = {
    "aac 32k": ("aac", "adts", 32_000),
    "aac 24k": ("aac", "adts", 24_000),
    "mp3 32k": ("libmp3lame", "mp3", 32_000),
    "mp3 16k": ("libmp3lame", "mp3", 16_000),
    "opus 24k": ("libopus", "ogg", 24_000),
    "opus 16k": ("libopus", "ogg", 16_000),
    "adpcm 4 bit": ("adpcm_ima_wav", "wav", None),
    "mu-law": ("pcm_mulaw", "wav", None),
}
"""Codec, container and bits a second."""

Wave = NDArray[np.float32]
Pixels = NDArray[np.uint8]


# -- sound -----------------------------------------------------------------------------------------


def coded(wave: Wave, codec: str, container: str, bits: int | None) -> Wave:
    """Through an encoder and back, as long as before and in its place."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        if bits is not None:
            stream.bit_rate = bits
        samples = (wave.clip(-1, 1) * 32767).round().astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate, frame.pts = RATE, 0
        formats = stream.codec_context.codec.audio_formats or []
        wanted = "s16" if any(f.name == "s16" for f in formats) else formats[0].name
        for part in av.AudioResampler(wanted, "mono", RATE).resample(frame):
            out.mux(stream.encode(part))
        out.mux(stream.encode())
    file.seek(0)
    back = av.AudioResampler("flt", "mono", RATE)
    with av.open(file, "r") as source:
        pieces = [
            piece.to_ndarray()[0]
            for frame in source.decode(audio=0)
            for piece in back.resample(frame)
        ]
    return placed(np.concatenate(pieces), wave)


def placed(found: Wave, clean: Wave) -> Wave:
    """Without the encoder's delay, by the place where it is most like the clean one."""
    size = 1 << (len(found) + len(clean)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(found, size) * np.fft.rfft(clean, size).conj())
    delay = int(np.argmax(likeness[:4096]))
    return np.asarray(np.pad(found[delay:], (0, len(clean)))[: len(clean)], np.float32)


def spectra(wave: Tensor) -> Tensor:
    """Power in dB (frames, bins) of a clip (L)."""
    window = torch.hann_window(512)
    power = torch.stft(wave, 512, 128, window=window, return_complex=True).abs().square().T
    return 10 * power.clamp(min=1e-7 * float(power.max())).log10()


def distances(clean: Wave, worn: Wave) -> list[float]:
    """Signal to damage in dB, then the log-spectral distance of each band in dB."""
    one, two = torch.from_numpy(clean), torch.from_numpy(worn)
    ratio = 10 * math.log10(float(one.square().sum() / (two - one).square().sum().clamp(min=1e-12)))
    levels, others = spectra(one), spectra(two)
    loud = levels.amax(1) > levels.max() - 40
    apart = (levels - others)[loud].square()
    hertz = torch.arange(apart.shape[1]) * RATE / 512
    found = [ratio]
    for low, high in BANDS:
        found.append(float(apart[:, (hertz >= low) & (hertz < high)].mean(1).sqrt().mean()))
    return found


def simulations(wave: Wave) -> Iterator[tuple[str, Wave]]:
    """Every codec of the simulation at some strengths."""
    clean = torch.from_numpy(wave)[None]
    yield "mu-law", mu_law(clean)[0].numpy()
    for coarseness in (0.5, 1.0, 2.0):
        worn = adaptive(clean, torch.tensor([coarseness]))
        yield f"adaptive, step {coarseness}", worn[0].numpy()
    for margin in (24.0, 20.0, 16.0, 12.0, 8.0):
        worn = transform_coded(clean, torch.tensor([margin]), torch.tensor([7500.0]), RATE)
        yield f"transform, {margin:g} dB", worn[0].numpy()


def sounds(paths: Sequence[Path]) -> None:
    """Print one line a codec, means over clips."""
    real: dict[str, list[list[float]]] = {}
    made: dict[str, list[list[float]]] = {}
    for path in paths:
        wave, _ = waveform(path, rate=RATE)
        wave = np.asarray(wave, np.float32)
        for name, (codec, container, bits) in ENCODERS.items():
            try:
                worn = coded(wave, codec, container, bits)
            except (av.FFmpegError, ValueError) as error:
                print(f"{name}: not in this build of FFmpeg ({error})")
                continue
            real.setdefault(name, []).append(distances(wave, worn))
        for name, worn in simulations(wave):
            made.setdefault(name, []).append(distances(wave, worn))
    bands = "  ".join(f"{low / 1000:g}-{high / 1000:g}k".rjust(7) for low, high in BANDS)
    print(f"\n{len(paths)} sounds{'':14} {'SNR':>6}   log-spectral distance in dB\n{'':32}{bands}")
    for kind, lines in (("real", real), ("made", made)):
        for name, values in lines.items():
            mean = np.mean(values, axis=0)
            rest = "  ".join(f"{value:7.1f}" for value in mean[1:])
            print(f"{kind} {name:<18} {mean[0]:5.1f}  {rest}")


# -- pictures --------------------------------------------------------------------------------------


def filmed(pictures: Sequence[Pixels], quality: int) -> list[Pixels]:
    """Through H.264 at a constant rate factor and back."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", 25, options={"crf": str(quality), "preset": "medium"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as source:
        frames = source.decode(video=0)
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]


def photographed(pictures: Sequence[Pixels], quality: int) -> list[Pixels]:
    """Through OpenCV's JPEG and back, chroma at half resolution."""
    found = []
    for picture in pictures:
        _, content = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        found.append(np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
    return found


def imitated(pictures: Sequence[Pixels], quality: int) -> list[Pixels]:
    """Through the simulation of JPEG."""
    planes = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    worn = jpeg(planes, torch.full((len(planes),), float(quality)))
    return list((worn * 255).round().byte().permute(0, 2, 3, 1).numpy())


def likeness(clean: Sequence[Pixels], worn: Sequence[Pixels]) -> list[float]:
    """PSNR in dB, then the energy left in octaves of luminance's frequency, finest last, in dB."""
    one, two = (np.stack(pictures).astype(np.float64) for pictures in (clean, worn))
    found = [10 * math.log10(255**2 / max(float(np.square(one - two).mean()), 1e-9))]
    down, across = np.meshgrid(*[np.fft.fftfreq(n) for n in one.shape[1:3]], indexing="ij")
    fineness = np.hypot(down, across)
    power = [np.square(np.abs(np.fft.fft2(x @ [0.299, 0.587, 0.114]))).mean(0) for x in (one, two)]
    for low in (1 / 32, 1 / 16, 1 / 8, 1 / 4):
        part = (fineness >= low) & (fineness < 2 * low)
        found.append(10 * math.log10(power[1][part].sum() / power[0][part].sum()))
    return found


def pictures(paths: Sequence[Path]) -> None:
    """Print one line a codec, means over videos."""
    clips = []
    for path in paths:
        frames = [
            cv2.resize(f.pixels[:, : f.pixels.shape[0]], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            for f in islice(sampled(path, fps=25), 50)
            if f.pixels is not None
        ]
        clips.append([np.asarray(frame, np.uint8) for frame in frames])
    print(f"\n{len(clips)} videos, {SIDE} x {SIDE}   PSNR   energy left in dB, periods of pixels")
    print(f"{'':34}   32-16    16-8     8-4     4-2")
    for kind, work, qualities in (
        ("real H.264, crf", filmed, (20, 26, 32, 38, 44)),
        ("real JPEG, quality", photographed, (10, 20, 40, 70, 90)),
        ("made JPEG, quality", imitated, (10, 20, 40, 70, 90)),
    ):
        for quality in qualities:
            mean = np.mean([likeness(clip, work(clip, quality)) for clip in clips], axis=0)
            rest = "  ".join(f"{value:6.2f}" for value in mean[1:])
            print(f"{kind:<20} {quality:3}  {mean[0]:6.1f}   {rest}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sounds", nargs="*", type=Path, help="files with speech")
    parser.add_argument("--pictures", nargs="*", type=Path, default=[], help="videos")
    given = parser.parse_args()
    torch.manual_seed(0)
    if given.sounds:
        sounds(given.sounds)
    if given.pictures:
        pictures(given.pictures)


if __name__ == "__main__":
    main()
