"""What people said, as corpora have it: bytes of old code pages, and UTF-8 that was misread."""

from __future__ import annotations

import re
from typing import Any

_ODD = re.compile(r"[\u0080-\u009f]")
_SPACES = re.compile(r"[\s\u00a0]+")


def clean(text: Any) -> str | None:
    """A transcript without what moves a cursor, and with the marks that were meant.

    Bytes that somebody read as Latin-1 are read again: as UTF-8 where they are that, which other
    texts hardly ever are by chance; else letters between 0x80 and 0x9f, which nobody writes, are
    those of Windows' code page 1252.
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if not isinstance(text, str):
        return None
    if not text.isascii():
        text = _meant(text)
    text = _SPACES.sub(" ", text)
    text = "".join(c if c.isprintable() and not 0xD800 <= ord(c) < 0xE000 else "" for c in text)
    return text.strip() or None


def _meant(text: str) -> str:
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return _ODD.sub(lambda found: _mark(found[0]), text)


def _mark(letter: str) -> str:
    return letter.encode("latin-1").decode("cp1252", "replace").replace("\ufffd", "")
