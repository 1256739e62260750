"""Pictures and sound as a film on the disk, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

PART = ".part"
"""Ending of a film that is being written."""


def write(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    samples: NDArray[np.float32],
    *,
    fps: int,
    rate: int,
    quality: int = 23,
) -> None:
    """Encode with H.264 and AAC into an MP4 file.

    It is written under another name and renamed at its end: what has the final name is whole. The
    encoders run on one thread, so that the same pictures give the same film.

    Args:
        path: the file; its folder is there.
        pictures: (H, W, 3) RGB each, all of one size with even sides.
        samples: (S), mono, full scale at 1.
        fps: pictures a second.
        rate: samples a second.
        quality: constant rate factor: the higher, the coarser.
    """
    part = path.with_name(path.name + PART)
    with av.open(str(part), "w", format="mp4") as output:
        output.metadata["comment"] = "made up by mien: nobody was filmed"
        options = {"preset": "ultrafast", "crf": str(quality), "threads": "1"}
        video = output.add_stream("libx264", rate=fps, options=options)
        video.pix_fmt = "yuv420p"
        sound = output.add_stream("aac", rate=rate, layout="mono", options={"aac_coder": "fast"})
        sound.bit_rate = 64_000
        for i, pixels in enumerate(pictures):
            if not i:
                video.height, video.width = pixels.shape[:2]
            planes = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        step = sound.codec_context.frame_size or 1024
        for first in range(0, len(samples), step):
            piece = av.AudioFrame.from_ndarray(samples[None, first : first + step], "fltp", "mono")
            piece.sample_rate, piece.pts, piece.time_base = rate, first, Fraction(1, rate)
            output.mux(sound.encode(piece))
        output.mux(sound.encode(None))
    os.replace(part, path)  # noqa: PTH105
