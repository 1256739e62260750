"""One JSON document sent to an address, and one taken back, by the standard library.

An answer is hostile until it is read: its size and its time are bounded, it is never unpacked, and
no redirect is followed, so a server cannot lead elsewhere or hand a key to somebody else.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mien.errors import ConfigError, LanguageError, printable
from mien.language.patience import retry_after

LARGEST = 8 << 20
"""Bytes of an answer that are read."""

_CHUNK = 1 << 16
_SHOWN = 300  # letters of a foreign message that are shown
_BRACKETS = 100_000  # that an answer may open


class Trouble(LanguageError):
    """No answer. ``again``: another attempt may help, after ``after`` seconds if it was asked."""

    def __init__(
        self,
        what: str,
        *,
        again: bool,
        after: float | None = None,
        status: int | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what, fix=fix)
        self.again = again
        self.after = after
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, such as ``http://127.0.0.1:8000/v1``; without a trailing slash."""

    parts: SplitResult

    @classmethod
    def of(cls, text: str) -> Address:
        """Read an address.

        Raises:
            ConfigError: it is none, or holds what an address should not.
        """
        fix = "--address http://127.0.0.1:8000/v1"
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"this is no address: {error}", fix=fix) from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{printable(text)!r} is no http or https address", fix=fix)
        if parts.username or parts.password or parts.query or parts.fragment:
            # The text is not repeated: it may hold a password.
            raise ConfigError(
                "an address holds no name, password, query or fragment",
                fix="keep a key in an environment variable: --key-from MIEN_KEY",
            )
        if not all(c.isprintable() and c.isascii() and c != " " for c in parts.path):
            raise ConfigError("an address has a plain path", where=printable(text), fix=fix)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        where = host if port is None else f"{host}:{port}"
        return cls(SplitResult(parts.scheme, where, parts.path.rstrip("/"), "", ""))

    def __str__(self) -> str:
        return self.parts.geturl()

    @property
    def private(self) -> bool:
        """Whether nobody on the way can read along: encrypted, or on this machine."""
        if self.parts.scheme == "https":
            return True
        name = self.parts.hostname or ""
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"


@dataclass(frozen=True, slots=True)
class Post:
    """Sends documents to one address.

    Args:
        address: of the server.
        timeout: seconds that one exchange may take, from the first byte to the last.
        key: goes into the Authorization header and nowhere else.
        largest: bytes of an answer.
    """

    address: Address
    timeout: float = 120.0
    key: str | None = field(default=None, repr=False)
    largest: int = LARGEST

    def __post_init__(self) -> None:
        if self.key is not None and not self.address.private:
            raise ConfigError(
                "a key would be sent where others can read along",
                where=str(self.address),
                fix="use an https address",
            )
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise ConfigError("this key holds what no key holds, such as the end of a line")

    def send(self, path: str, document: Mapping[str, Any]) -> Any:
        """The JSON answer to a document.

        Raises:
            Trouble: there is none.
        """
        body = json.dumps(document, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "mien",
        }
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        began = time.monotonic()
        connection = self._connection()
        try:
            connection.connect()
            with _deadline(connection.sock, began + self.timeout):
                connection.request("POST", self.address.parts.path + path, body, headers)
                response = connection.getresponse()
                content = self._body(response)
        except (OSError, http.client.HTTPException, ValueError, Trouble) as error:
            if time.monotonic() - began >= self.timeout:
                raise Trouble(f"no answer within {self.timeout:g} s", again=True) from error
            if isinstance(error, Trouble):
                raise
            raise Trouble(f"the connection broke: {_named(error)}", again=True) from error
        finally:
            connection.close()
        return self._read(response, content)

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self.address.parts.hostname or "", self.address.parts.port
        if self.address.parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)
        return http.client.HTTPConnection(host, port, timeout=self.timeout)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """All of an answer, and no less than it announced."""
        announced, pieces, size = response.length, list[bytes](), 0
        while piece := response.read1(_CHUNK):
            size += len(piece)
            if size > self.largest:
                raise Trouble(f"an answer of more than {self.largest:,} bytes", again=False)
            pieces.append(piece)
        if announced is not None and size < announced:
            raise Trouble(f"the answer ends after {size:,} of {announced:,} bytes", again=True)
        return b"".join(pieces)

    def _read(self, response: http.client.HTTPResponse, content: bytes) -> Any:
        status = response.status
        if 300 <= status < 400:
            raise Trouble("the server points elsewhere; it is not followed", again=False,
                          status=status, fix="give the address that it means")  # fmt: skip
        if not 200 <= status < 300:
            again = status in (408, 409, 425, 429) or status >= 500
            after = retry_after(response.headers.get("Retry-After")) if again else None
            what = f"the server says {status}: {_message(content) or response.reason}"
            raise Trouble(printable(what), again=again, after=after, status=status)
        if (response.headers.get("Content-Encoding") or "identity").lower() != "identity":
            raise Trouble("the answer is packed, which was not asked for", again=False)
        try:
            return parsed(content)
        except ValueError as error:
            raise Trouble(f"the answer is not JSON: {_named(error)}", again=True) from error


def parsed(content: bytes | str) -> Any:
    """JSON of a stranger: no deeper than is sane, and no numbers that are none.

    Raises:
        ValueError: it is not JSON.
    """

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    text = content.decode() if isinstance(content, bytes) else content
    if text.count("[") + text.count("{") > _BRACKETS:
        raise ValueError("too many brackets")
    try:
        value = json.loads(text, parse_constant=refuse)
        if "\\ud" in text.lower():  # half of a pair of escapes is a letter that no file can hold
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError as error:
        raise ValueError("too many brackets within brackets") from error


@contextmanager
def _deadline(sock: socket.socket, end: float) -> Iterator[None]:
    """Within: the connection ends at a time of the clock, also where bytes drip one by one."""

    def cut() -> None:
        with contextlib.suppress(OSError):  # it had ended by itself
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, end - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _message(content: bytes) -> str:
    """What a server says is wrong: the message of its JSON, else the text itself, in short."""
    try:
        found = parsed(content)
    except ValueError:
        return content[:_SHOWN].decode(errors="replace").strip()
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    if isinstance(found, dict) and "message" in found:
        found = found["message"]
    return str(found)[:_SHOWN]


def _named(error: BaseException) -> str:
    return printable((str(error) or type(error).__name__)[:_SHOWN])
