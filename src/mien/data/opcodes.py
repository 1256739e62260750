"""Instructions of a pickle, one after the other, from a file; what is long stays where it lies.

Nothing here means anything yet: :mod:`mien.data.pickles` gives them their meaning. A length that
is announced is compared with the file before a byte of it is read.
"""

from __future__ import annotations

import codecs
import pickletools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from mien.errors import DataError

LINE = 4096
"""Bytes of a line that is no text: a number, or the name of a class."""

_BITS = 1000  # of a whole number: one of more is no float either
_AT_ONCE = 1 << 20  # bytes of something long that are held together

_COUNTED: Mapping[str, tuple[str, str]] = {
    "BINBYTES": ("<I", "bytes"),
    "SHORT_BINBYTES": ("<B", "bytes"),
    "BINBYTES8": ("<Q", "bytes"),
    "BYTEARRAY8": ("<Q", "bytes"),
    "BINSTRING": ("<i", "latin-1"),
    "SHORT_BINSTRING": ("<B", "latin-1"),
    "BINUNICODE": ("<I", "utf-8"),
    "SHORT_BINUNICODE": ("<B", "utf-8"),
    "BINUNICODE8": ("<Q", "utf-8"),
}
"""Instructions that announce how many bytes follow: in what form, and what these are."""

_LINES: Mapping[str, str] = {"STRING": "unicode_escape", "UNICODE": "raw_unicode_escape"}
"""Instructions whose text goes on to the end of the line."""

_CODES = {ord(op.code): op for op in pickletools.opcodes}


@dataclass(frozen=True, slots=True)
class Payload:
    """A long text, or many bytes, still in the file.

    Args:
        file: open, and seekable.
        offset: where it begins.
        length: how many bytes it has there.
        form: ``bytes``, or how its text is encoded.
        data: whether the letters of its text stand for bytes.
    """

    file: BinaryIO
    offset: int
    length: int
    form: str
    data: bool = False

    @property
    def plain(self) -> bool:
        """Whether the bytes in the file are those that are meant."""
        return self.form in ("bytes", "latin-1")

    def pieces(self) -> Iterator[bytes]:
        """The bytes that are meant, piece by piece: of a text, its letters as Latin-1.

        Raises:
            DataError: a text has letters that are no bytes, or is damaged.
        """
        decoder = None if self.plain else codecs.getincrementaldecoder(self.form)()
        at, end = self.offset, self.offset + self.length
        while at < end:
            self.file.seek(at)
            data = self.file.read(min(_AT_ONCE, end - at))
            if not data:
                raise DataError("the file was cut off while it was read")
            at += len(data)
            yield data if decoder is None else _latin(decoder, data, final=at == end)

    def value(self, most: int) -> str | bytes:
        """What it is, whole.

        Raises:
            DataError: it is longer than ``most``.
        """
        if self.length > most:
            raise DataError(f"a value of {self.length:,} bytes, which is no text of a corpus")
        if self.data:
            return b"".join(self.pieces())
        self.file.seek(self.offset)
        try:
            return decoded(self.file.read(self.length), self.form)
        except (ValueError, Warning) as error:
            raise DataError(f"a text is damaged: {error}", where=f"byte {self.offset}") from error


def _latin(decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool) -> bytes:
    try:
        return decoder.decode(data, final).encode("latin-1")
    except (UnicodeError, Warning) as error:
        raise DataError(f"a text that should be bytes holds something else: {error}") from error


def decoded(data: bytes, form: str) -> str | bytes:
    """Bytes as they are meant.

    Args:
        data: as they lie in the file.
        form: ``bytes``, or how a text is encoded.
    """
    if form == "bytes":
        return data
    return data.decode(form, "surrogatepass" if form == "utf-8" else "strict")


def instructions(
    file: BinaryIO, size: int, *, apart: int | None = None
) -> Iterator[tuple[int, str, Any]]:
    """Where each instruction stands, its name and its argument, up to the end of the pickle.

    Args:
        file: at the beginning of the pickle.
        size: bytes of the file.
        apart: texts and bytes of so many bytes are left in the file, as a :class:`Payload`; None:
            none is.

    Raises:
        DataError: no such instruction, or the file ends within one.
    """
    tape = _Tape(file, size, size + 1 if apart is None else apart)
    while True:
        at = tape.at
        letter = file.read(1)
        tape.at += 1
        if not letter:
            raise DataError("the file ends before the pickle does", where=f"byte {at}")
        op = _CODES.get(letter[0])
        if op is None:
            raise DataError(f"there is no instruction {letter!r}", where=f"byte {at}")
        try:
            argument = tape.argument(op.name, op.arg)
        except DataError as error:
            raise DataError(f"{op.name}: {error.what}", where=f"byte {at}") from error
        except (ValueError, struct.error, OverflowError) as error:
            raise DataError(f"{op.name}: {error}", where=f"byte {at}") from error
        yield at, op.name, argument
        if op.name == "STOP":
            return


class _Tape:
    """A file that gives no more than it has, and no more at once than makes sense."""

    def __init__(self, file: BinaryIO, size: int, apart: int) -> None:
        self.file, self.size, self.apart = file, size, apart
        self.at = file.tell()  # counted from here on: asking the file each time is slow

    def argument(self, name: str, kind: Any) -> Any:
        """What belongs to the instruction of this name."""
        if name in _COUNTED:
            packed, form = _COUNTED[name]
            (length,) = struct.unpack(packed, self.read(struct.calcsize(packed)))
            if length < 0:
                raise DataError(f"announces {length} bytes")
            return self._long(length, form)
        if name in _LINES:
            return self._text(_LINES[name])
        found = None if kind is None else kind.reader(self)
        if isinstance(found, int) and found.bit_length() > _BITS:
            raise DataError(f"a number of {found.bit_length():,} bits")
        return found

    def read(self, count: int) -> bytes:
        """So many bytes of a number."""
        if count > LINE:
            raise DataError(f"a number of {count:,} bytes")
        data = self.file.read(count)
        self.at += len(data)
        if len(data) < count:
            raise DataError("the file ends here")
        return data

    def readline(self) -> bytes:
        """A line of a number or name."""
        line = self.file.readline(LINE)
        self.at += len(line)
        if not line.endswith(b"\n"):
            raise DataError(f"a line that does not end within {LINE:,} bytes")
        return line

    def _long(self, length: int, form: str) -> Any:
        at = self.at
        if length > self.size - at:
            raise DataError(f"announces {length:,} bytes, the file has {self.size - at:,} left")
        self.at += length
        if length < self.apart:
            return decoded(self.file.read(length), form)
        self.file.seek(at + length)
        return Payload(self.file, at, length, form)

    def _text(self, form: str) -> Any:
        """A text to the end of the line, in quotes where it is one of Python 2."""
        at = self.at
        first = self.file.readline(max(1, min(self.apart, _AT_ONCE)))
        length = len(first)
        while not first.endswith(b"\n"):
            first = self.file.readline(_AT_ONCE)
            length += len(first)
            if not first:
                raise DataError("a line without an end")
        self.at = end = at + length
        low, high = at, end - 1
        if form == "unicode_escape":
            low, high = self._unquoted(low, high)
        self.file.seek(low)
        whole = _whole(self.file, low, high - low, form, self.apart)
        self.file.seek(end)
        return whole

    def _unquoted(self, low: int, high: int) -> tuple[int, int]:
        self.file.seek(low)
        mark = self.file.read(1)
        self.file.seek(max(low, high - 1))
        if high - low < 2 or mark not in (b"'", b'"') or self.file.read(1) != mark:
            raise DataError("a text without quotes")
        return low + 1, high - 1


def _whole(file: BinaryIO, at: int, length: int, form: str, apart: int) -> Any:
    """A text of escapes, or where it lies.

    A text of Python 2 is bytes, so none of its escapes means a letter beyond them.
    """
    if length >= apart:
        return Payload(file, at, length, form)
    data = file.read(length)
    if form == "unicode_escape":
        return codecs.escape_decode(data)[0].decode("latin-1")
    return decoded(data, form)
