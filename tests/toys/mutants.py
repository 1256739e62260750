"""Media files as a bad disk or an enemy would leave them, made from small real ones.

Every mutant is a function of its number alone.
"""

from __future__ import annotations

import os
import random
import sys
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import films
import forgeries
import numpy as np
from forgeries import Bench, Mutant

# -- real files ------------------------------------------------------------------------------------


_SAME = {"fflags": "+bitexact"}  # no random identifiers


def sources(folder: Path) -> dict[str, Path]:
    """Small real files in many containers and codecs, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    low, high = films.tone(1.0), films.tone(1.0, 48_000)
    both = np.stack([high, -high])
    film = films.film
    made = [
        film(folder / "plain.mp4", audio=low),
        film(folder / "fast.mp4", audio=low, format_options={"movflags": "faststart"}),
        film(
            folder / "pieces.mp4",
            audio=low,
            format_options={"movflags": "frag_keyframe+empty_moov"},
            options={"g": "5"},
        ),
        film(folder / "late.mp4", audio=low, audio_start=0.3, options={"bf": "2"}),
        film(folder / "turned.mov", codec="libx265", audio=low, rotation=90),
        film(
            folder / "vp9.mkv", codec="libvpx-vp9", audio=high, rate=48_000, audio_codec="libopus"
        ),
        film(
            folder / "vp8.webm",
            format_options=_SAME,
            codec="libvpx",
            audio=both,
            rate=48_000,
            audio_codec="libopus",
        ),
        film(folder / "old.avi", codec="mpeg4", audio=high, rate=48_000, audio_codec="libmp3lame"),
        film(folder / "stream.ts", audio=low),
        film(folder / "other.ts", size=(96, 64), audio=low),
        film(folder / "moving.gif", codec="gif", pixel_format="rgb8", fps=10),
        film(folder / "sound.flac", codec=None, audio=low, audio_codec="flac"),
        film(folder / "sound.mp3", codec=None, audio=low, audio_codec="libmp3lame"),
        film(
            folder / "sound.ogg",
            format_options=_SAME,
            codec=None,
            audio=high,
            rate=48_000,
            audio_codec="libopus",
        ),
        film(folder / "sound.m4a", codec=None, audio=low, container="mp4"),
        films.wav(folder / "sound.wav", low),
        _picture(folder / "still.png", "png", "rgb24"),
        _picture(folder / "still.jpg", "mjpeg", "yuvj420p"),
        _picture(folder / "still.bmp", "bmp", "bgr24"),
    ]
    return {path.name: path for path in made}


def _picture(path: Path, codec: str, pixel_format: str) -> Path:
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 64, 48, pixel_format
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(films.picture_of(5), "rgb24").reformat(format=pixel_format)
    packets = [*context.encode(frame), *context.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path


# -- at random -------------------------------------------------------------------------------------


def bits_in_the_header(bench: Bench) -> Mutant:
    name, data = bench.take()
    bench.flip(data, 0, 600)
    return bench.put("bits in the header", name, data)


def bits_in_the_body(bench: Bench) -> Mutant:
    name, data = bench.take()
    bench.flip(data, 400, len(data))
    return bench.put("bits in the body", name, data)


def bits_at_the_end(bench: Bench) -> Mutant:
    name, data = bench.take(".mp4", ".mov", ".m4a", ".mkv", ".webm", ".avi")
    bench.flip(data, len(data) * 3 // 4, len(data))
    return bench.put("bits at the end", name, data)


def truncated(bench: Bench) -> Mutant:
    name, data = bench.take()
    return bench.put("truncated", name, data[: bench.random.randrange(len(data))])


def blanked(bench: Bench) -> Mutant:
    name, data = bench.take()
    begin, end = bench.span(data)
    data[begin:end] = bytes([bench.random.choice([0, 0, 255])]) * len(data[begin:end])
    return bench.put("blanked", name, data)


def swapped(bench: Bench) -> Mutant:
    name, data = bench.take()
    size = bench.random.choice([16, 256, 1024])
    one, two = (bench.random.randrange(max(1, len(data) - size)) for _ in range(2))
    data[one : one + size], data[two : two + size] = (
        data[two : two + size],
        data[one : one + size],
    )
    return bench.put("swapped", name, data)


def cut_out(bench: Bench) -> Mutant:
    name, data = bench.take()
    begin, end = bench.span(data)
    del data[begin:end]
    return bench.put("cut out", name, data)


def repeated(bench: Bench) -> Mutant:
    name, data = bench.take()
    begin, end = bench.span(data)
    data[end:end] = data[begin:end] * bench.random.choice([1, 5, 50])
    return bench.put("repeated", name, data)


def two_in_one(bench: Bench) -> Mutant:
    name, data = bench.take(*bench.random.choice([(), (".ts",), (".mp3", ".ogg")]))
    _, more = bench.take(Path(name).suffix)
    return bench.put("two in one", name, data + more)


def wrong_suffix(bench: Bench) -> Mutant:
    name, data = bench.take()
    suffix = bench.random.choice([".mp4", ".wav", ".png", ".txt", ".m3u8", ".h264", ".pcm", ".mp3"])
    return bench.put("wrong suffix", name, data, suffix)


def noise(bench: Bench) -> Mutant:
    name, data = bench.take()
    kept = bench.random.choice([0, 4, 8, 12, 32, 64])
    content = data[:kept] + bench.random.randbytes(bench.random.choice([1, 100, 10_000, 300_000]))
    return bench.put("noise", name, content)


# -- words that name other places ------------------------------------------------------------------

SECRET = "root:x:0:0:secret-of-this-machine"
_WEB = "http://192.0.2.1:81/a.ts"
LISTS = {
    ".m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{0}\n#EXT-X-ENDLIST\n",
    ".ffconcat": "ffconcat version 1.0\nfile '{0}'\n",
    ".sdp": "v=0\ns=x\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    ".mpd": '<?xml version="1.0"?><MPD type="static" mediaPresentationDuration="PT9S"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{0}'
    "</BaseURL></Representation></AdaptationSet></Period></MPD>\n",
    ".asx": '<asx version="3.0"><entry><ref href="{0}"/></entry></asx>\n',
    ".ram": "{0}\n",
    ".srt": "1\n00:00:00,000 --> 99:59:59,000\n{0}\n",
    ".svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{0}"/></svg>\n',
    ".txt": "{0}\n",
}


def playlists(bench: Bench) -> Mutant:
    """Files that tell a player to open another file, or a host."""
    suffix = bench.random.choice(sorted(LISTS))
    secret = bench.folder / "secret.txt"
    secret.write_text(SECRET * 400, encoding="ascii")
    film = bench.sources["stream.ts"]
    targets = ["/etc/passwd", f"file:{secret}", str(secret), str(film), f"file://{film}", _WEB]
    targets += [f"concat:{film}|{secret}", f"subfile,,start,0,end,99,,:{secret}", "data:,x"]
    content = LISTS[suffix].format(bench.random.choice(targets)).encode()
    shown = bench.random.choice([suffix, suffix, ".mp4", ".avi", ".mp3"])
    return bench.put("playlists", suffix, content, shown)


def not_media(bench: Bench) -> Mutant:
    content = bench.random.choice(
        [b"", b"\n", b"\0", b"hello " * 999, b"{}", b"<html></html>", bytes(100_000), b"%PDF-1.7\n",
         b"PK\x03\x04" + bytes(99), b"\x7fELF" + bytes(99), b"RIFF", b"ID3" + b"\x7f" * 99],
    )  # fmt: skip
    suffix = bench.random.choice([".mp4", ".txt", ".wav", ".png", ".mkv", ""])
    return bench.put("not media", "bytes", content, suffix or ".")


# -- places that are no files ----------------------------------------------------------------------


def no_files(bench: Bench) -> Mutant:
    """Pipes, folders, devices, links in a circle, and a file with more holes than content."""
    how = bench.random.choice(["pipe", "folder", "circle", "nowhere", "zero", "absent", "sparse"])
    path = bench.folder / f"{bench.number:04d}.mp4"
    if how == "pipe" and sys.platform != "win32":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
        (path / "0001.png").write_bytes(bench.take(".png")[1][:40])
    elif how in ("circle", "nowhere", "zero"):
        ends = {"circle": path, "nowhere": bench.folder / "none", "zero": Path("/dev/zero")}
        path.symlink_to(ends[how])
    elif how == "sparse":
        path.write_bytes(bench.take("plain.mp4")[1][:2000])
        os.truncate(path, 2**40)
    return Mutant(path, "no files", how)


def odd_names(bench: Bench) -> Mutant:
    """Sound content under names that FFmpeg or a terminal would read in a way of their own."""
    name, data = bench.take("plain.mp4", "sound.wav", "still.png")
    suffix = Path(name).suffix
    odd = bench.random.choice(
        [
            "-i",
            "a%03d",
            "http:",
            "concat:a|b",
            "pipe:0",
            "a\nb",
            "a\x1b[2Jb",
            "ü 漢 🙂",
            "*?[a]",
            "~",
        ]
    )
    folder = bench.folder / f"{bench.number:04d}"
    folder.mkdir()
    (folder / (odd + suffix)).write_bytes(data)
    return Mutant(folder / (odd + suffix), "odd names", name)


def image_folders(bench: Bench) -> Mutant:
    """Folders of pictures as a face tracker leaves them, one of them not as the others."""
    folder = bench.folder / f"{bench.number:04d}"
    folder.mkdir()
    _, picture = bench.take(".png")
    for index in range(1, 6):
        (folder / f"{index:05d}.png").write_bytes(picture)
    bad = bench.random.choice(["bits", "size", "number", "bomb", "text", "pipe", "link"])
    path = folder / "00003.png"
    path.unlink()
    if bad == "bits":
        bench.flip(picture, 8, len(picture))
        path.write_bytes(picture)
    elif bad == "size":
        path.write_bytes(forgeries.png(3, 2, zlib.compress(bytes(8))))
    elif bad == "number":
        (folder / f"{10 ** bench.random.choice([9, 12, 30])}.png").write_bytes(picture)
    elif bad == "bomb":
        path.write_bytes(forgeries.bomb(16_000))
    elif bad == "text":
        path.write_text("hello")
    elif bad == "pipe" and sys.platform != "win32":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    return Mutant(folder, "image folders", bad)


MUTATIONS: tuple[Callable[[Bench], Mutant], ...] = (
    bits_in_the_header,
    bits_in_the_body,
    bits_at_the_end,
    truncated,
    blanked,
    swapped,
    cut_out,
    repeated,
    two_in_one,
    wrong_suffix,
    noise,
    forgeries.box_sizes,
    forgeries.long_box_sizes,
    forgeries.nested_boxes,
    forgeries.picture_sizes,
    forgeries.codec_headers,
    forgeries.time_scales,
    forgeries.sample_times,
    forgeries.sample_tables,
    forgeries.sound_headers,
    forgeries.rotations,
    forgeries.far_apart,
    forgeries.giant_pictures,
    forgeries.bombs,
    forgeries.large_films,
    forgeries.wav_headers,
    forgeries.flac_headers,
    forgeries.avi_headers,
    forgeries.matroska_elements,
    playlists,
    not_media,
    no_files,
    odd_names,
    image_folders,
)


def make(
    folder: Path, count: int, *, first: int = 0, real: dict[str, Path] | None = None
) -> list[Mutant]:
    """Mutants ``first`` to ``first + count``, every kind in turn.

    Args:
        folder: where they are written; it does not exist yet.
        count: how many.
        first: number of the first one.
        real: more files to make them from, by name; small ones.
    """
    known = sources(folder / "real") | (real or {})
    made = []
    for number in range(first, first + count):
        mutate = MUTATIONS[number % len(MUTATIONS)]
        bench = Bench(random.Random(f"mutant {number}"), known, folder, number)
        made.append(mutate(bench))
    return made
