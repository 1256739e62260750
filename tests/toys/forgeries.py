"""Media files whose headers lie: sizes, times and rates that nobody recorded.

The boxes of MP4, the chunks of PNG and the headers of sounds are changed where they announce
something; what follows stays as it was.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import films
import numpy as np


@dataclass(frozen=True, slots=True)
class Mutant:
    """One hostile file: what was done to which file."""

    path: Path
    kind: str
    source: str


@dataclass(slots=True)
class Bench:
    """What a mutation works with: its own random numbers, the real files, and where it writes."""

    random: random.Random
    sources: dict[str, Path]
    folder: Path
    number: int

    def take(self, *suffixes: str) -> tuple[str, bytearray]:
        """A real file, of one of these suffixes if any are given: its name and its content."""
        names = [n for n in sorted(self.sources) if not suffixes or n.endswith(suffixes)]
        name = self.random.choice(names)
        return name, bytearray(self.sources[name].read_bytes())

    def put(self, kind: str, source: str, content: bytes | bytearray, suffix: str = "") -> Mutant:
        """Write a mutant."""
        path = self.folder / f"{self.number:04d}{suffix or Path(source).suffix}"
        path.write_bytes(content)
        return Mutant(path, kind, source)

    def flip(self, data: bytearray, low: int, high: int) -> None:
        """Turn over a few bits between two places."""
        for _ in range(self.random.choice([1, 3, 20, 200])):
            at = self.random.randrange(min(low, len(data) // 2), min(high, len(data)))
            data[at] ^= 1 << self.random.randrange(8)

    def span(self, data: bytes | bytearray, low: int = 0) -> tuple[int, int]:
        """A stretch of the content, short or long."""
        begin = self.random.randrange(low, max(low + 1, len(data)))
        return begin, begin + self.random.choice([1, 7, 64, 512, 4096, len(data) // 3])


# -- MP4 -------------------------------------------------------------------------------------------

_HOLD = b"moov trak mdia minf stbl edts dinf udta mvex moof traf".split()
_HUGE = (0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def boxes(
    data: bytes | bytearray, begin: int = 0, end: int = -1
) -> Iterator[tuple[int, int, bytes]]:
    """Position, size and kind of every box, and of those inside it."""
    end = len(data) if end < 0 else end
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        if size < 8 or begin + size > end:
            return
        yield begin, size, kind
        if kind in _HOLD:
            yield from boxes(data, begin + 8, begin + size)
        elif kind == b"stsd":
            yield from boxes(data, begin + 16, begin + size)
        begin += size


def _film(bench: Bench, *kinds: bytes) -> tuple[str, bytearray, list[tuple[int, int, bytes]]]:
    """An MP4 that has such boxes, and where they are."""
    while True:
        name, data = bench.take(".mp4", ".mov", ".m4a")
        found = [box for box in boxes(data) if not kinds or box[2] in kinds]
        if found:
            return name, data, found


def _words(bench: Bench, kind: str, fields: Mapping[bytes, tuple[int, ...]], form: str) -> Mutant:
    """Huge or senseless numbers at these places of these boxes."""
    name, data, found = _film(bench, *fields)
    for at, size, box in bench.random.sample(found, min(len(found), 2)):
        offset = bench.random.choice(fields[box])
        width = struct.calcsize(form)
        if offset + width <= size:
            value = bench.random.choice(_HUGE) & (256**width - 1)
            struct.pack_into(form, data, at + offset, value)
    return bench.put(kind, name, data)


def box_sizes(bench: Bench) -> Mutant:
    name, data, found = _film(bench)
    at, size, _ = bench.random.choice(found)
    wrong = bench.random.choice([*_HUGE, 7, 8, size - 1, size + 1, size * 1000])
    struct.pack_into(">I", data, at, wrong & 0xFFFFFFFF)
    return bench.put("box sizes", name, data)


def long_box_sizes(bench: Bench) -> Mutant:
    name, data, found = _film(bench)
    at, _, _ = bench.random.choice(found)
    struct.pack_into(">I", data, at, 1)  # a size of 64 bits follows the kind
    data[at + 8 : at + 8] = struct.pack(">Q", bench.random.choice([0, 15, 2**40, 2**63, 2**64 - 1]))
    return bench.put("long box sizes", name, data)


def nested_boxes(bench: Bench) -> Mutant:
    name, data, _ = _film(bench)
    kind = bench.random.choice([b"moov", b"trak", b"udta", b"meta", b"moof"])
    inside = b""
    for _ in range(bench.random.choice([50, 2_000, 20_000])):
        inside = (
            struct.pack(">I4s", len(inside) + 8, kind) + inside if len(inside) < 2**17 else inside
        )
    return bench.put("nested boxes", name, data[:32] + inside + data[32:])


def picture_sizes(bench: Bench) -> Mutant:
    fields = {b"tkhd": (84, 88), b"avc1": (32, 34), b"hvc1": (32, 34), b"hev1": (32, 34)}
    return _words(bench, "picture sizes", fields, bench.random.choice([">H", ">I"]))


def codec_headers(bench: Bench) -> Mutant:
    """Bits of the parameter sets: sizes, reference frames, profiles, rates."""
    name, data, found = _film(bench, b"avc1", b"hvc1", b"hev1", b"mp4a")
    at, size, _ = bench.random.choice(found)
    for _ in range(bench.random.choice([1, 2, 5])):
        data[at + bench.random.randrange(36, size)] ^= 1 << bench.random.randrange(8)
    return bench.put("codec headers", name, data)


def time_scales(bench: Bench) -> Mutant:
    return _words(bench, "time scales", {b"mvhd": (20, 24), b"mdhd": (20, 24)}, ">I")


def sample_times(bench: Bench) -> Mutant:
    fields = {b"stts": (12, 16, 20), b"ctts": (12, 16, 20), b"elst": (12, 16, 20, 24)}
    return _words(bench, "sample times", fields, ">I")


def sample_tables(bench: Bench) -> Mutant:
    fields = {
        b"stsz": (12, 16, 20, 24),
        b"stco": (12, 16),
        b"stsc": (12, 16, 20),
        b"stss": (12, 16),
    }
    return _words(bench, "sample tables", fields, ">I")


def sound_headers(bench: Bench) -> Mutant:
    return _words(bench, "sound headers", {b"mp4a": (24, 26, 32, 34)}, ">H")


def rotations(bench: Bench) -> Mutant:
    fields = {b"tkhd": (48, 52, 60, 64, 72), b"mvhd": (44, 48, 56, 60)}
    return _words(bench, "rotations", fields, ">I")


def far_apart(bench: Bench) -> Mutant:
    """Few frames over hours or years: a small file that is long."""
    name, data, found = _film(bench, b"stts")
    for at, _, _ in found:
        struct.pack_into(">I", data, at + 20, bench.random.choice([2**16, 2**24, 2**31 - 1]))
    return bench.put("far apart", name, data)


# -- pictures --------------------------------------------------------------------------------------


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(width: int, height: int, body: bytes, colours: int = 0) -> bytes:
    """A PNG of 8 bits a channel that announces this size."""
    head = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head)
    return start + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def giant_pictures(bench: Bench) -> Mutant:
    """Sizes that are announced, and nothing behind them."""
    side = bench.random.choice([30_000, 65_000, 100_000, 2**31 - 1])
    suffix = bench.random.choice([".png", ".gif", ".bmp", ".jpg"])
    if suffix == ".png":
        return bench.put(
            "giant pictures", "png", png(side, side, zlib.compress(bytes(9999))), suffix
        )
    name, data = bench.take(suffix)
    if suffix == ".gif":
        struct.pack_into("<HH", data, 6, 65535, 65535)
        at = data.find(b"\x2c", 13)  # the first picture within the screen
        if at > 0 and bench.random.random() < 0.5:
            struct.pack_into("<HH", data, at + 5, 65535, 65535)
    elif suffix == ".bmp":
        struct.pack_into("<ii", data, 18, side, bench.random.choice([side, -side]))
    else:
        at = data.find(b"\xff\xc0")
        struct.pack_into(">HH", data, at + 5, 65500, 65500)
    return bench.put("giant pictures", name, data)


def bombs(bench: Bench) -> Mutant:
    """A real picture, of one colour: hundreds of megabytes from a small file."""
    side = bench.random.choice([8_000, 16_000, 24_000])
    return bench.put("bombs", "png", bomb(side), ".png")


def bomb(side: int) -> bytes:
    """A black PNG of so many pixels squared; made of one block of zeros, again and again."""
    packer = zlib.compressobj(9, wbits=-15)
    row = packer.compress(bytes(1 + side)) + packer.flush(zlib.Z_FULL_FLUSH)
    check = (side * (1 + side) % 65521 << 16) | 1  # Adler's sum of zeros
    body = b"\x78\xda" + row * side + b"\x03\x00" + struct.pack(">I", check)
    return png(side, side, body)


def large_films(bench: Bench) -> Mutant:
    """Honest, and at or beyond what anyone records."""
    size = bench.random.choice([(16_384, 64), (64, 8_192), (7_680, 4_320), (9_216, 4_608)])
    path = bench.folder / f"{bench.number:04d}.avi"
    films.film(
        path, size=size, fps=5, seconds=0.4, codec="mpeg4" if max(size) < 8_000 else "mjpeg",
        pixel_format="yuv420p" if max(size) < 8_000 else "yuvj420p",
        draw=lambda i, _: np.full((size[1], size[0], 3), 40 * i, np.uint8),
    )  # fmt: skip
    return Mutant(path, "large films", "{}x{}".format(*size))


# -- sounds ----------------------------------------------------------------------------------------


def wav_headers(bench: Bench) -> Mutant:
    name, data = bench.take(".wav")
    fields = [(4, "<I"), (16, "<I"), (20, "<H"), (22, "<H"), (24, "<I"), (28, "<I"), (32, "<H")]
    fields += [(34, "<H"), (40, "<I")]
    for at, form in bench.random.sample(fields, bench.random.choice([1, 1, 2])):
        value = bench.random.choice([*_HUGE, 3, 255, 1_000_000])
        struct.pack_into(form, data, at, value & (256 ** struct.calcsize(form) - 1))
    return bench.put("wav headers", name, data)


def flac_headers(bench: Bench) -> Mutant:
    name, data = bench.take(".flac")
    for at in bench.random.sample(range(8, 26), 3):  # block sizes, rate, channels, samples in all
        data[at] = bench.random.choice([0, 1, 0x7F, 0xFF])
    return bench.put("flac headers", name, data)


def avi_headers(bench: Bench) -> Mutant:
    name, data = bench.take(".avi")
    header = data.find(bench.random.choice([b"avih", b"strh", b"strf"]))
    at = header + 8 + 4 * bench.random.randrange(12)
    struct.pack_into("<I", data, at, bench.random.choice(_HUGE))
    return bench.put("avi headers", name, data)


def matroska_elements(bench: Bench) -> Mutant:
    """Time scale, duration, default duration, sizes, rate, channels: by their identifiers."""
    name, data = bench.take(".mkv", ".webm")
    known = [b"\x2a\xd7\xb1", b"\x44\x89", b"\x23\xe3\x83", b"\xb0", b"\xba", b"\xb5", b"\x9f"]
    places = [at for at in (data.find(key) for key in known) if at > 0]
    at = bench.random.choice(places) + bench.random.choice([1, 2, 3, 4])
    content = bench.random.choice([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\x01" * 8])
    data[at : at + len(content)] = content
    return bench.put("matroska elements", name, data)
