"""Servers on this machine that speak as OpenAI's do, well or badly, as a test scripts them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Act:
    """One answer of a server: what it says, and how badly.

    Args:
        status: of HTTP.
        body: as it is sent.
        headers: beside the usual ones.
        announced: bytes that it claims to send; None: as many as it does.
        chunks: send it in chunks, and end before the last where ``broken``.
        broken: end in the middle of the chunks.
        delay: seconds before it.
        drip: seconds between single bytes.
        hang_up: close the connection without a word.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    announced: int | None = None
    chunks: bool = False
    broken: bool = False
    delay: float = 0.0
    drip: float = 0.0
    hang_up: bool = False


Script = Callable[[dict[str, Any], int], Act]
"""From a request and its number, from 0, to an answer."""


@dataclass
class Server:
    """A server that runs.

    Attributes:
        address: of its API.
        requests: documents that came.
        headers: that came with each.
        times: when each came.
    """

    address: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most_at_once: int = 0
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, document: dict[str, Any], headers: dict[str, str]) -> int:
        with self._lock:
            self.requests.append(document)
            self.headers.append(headers)
            self.times.append(time.monotonic())
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
            return len(self.requests) - 1

    def ended(self) -> None:
        with self._lock:
            self._open -= 1


@contextmanager
def serving(script: Script) -> Iterator[Server]:
    """A server that follows a script, on a port of its own."""
    server: Server

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            document = json.loads(self.rfile.read(length))
            number = server.note(document, dict(self.headers))
            try:
                self._act(script(document, number))
            except (BrokenPipeError, ConnectionResetError):
                pass  # who asked had waited long enough
            finally:
                server.ended()
                self.close_connection = True

        def _act(self, act: Act) -> None:
            time.sleep(act.delay)
            if act.hang_up:
                return
            self.send_response(act.status)
            for name, value in act.headers.items():
                self.send_header(name, value)
            if act.chunks:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                half = len(act.body) // 2
                for piece in (act.body[:half], act.body[half:])[: 1 if act.broken else 2]:
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                if not act.broken:
                    self.wfile.write(b"0\r\n\r\n")
                return
            size = len(act.body) if act.announced is None else act.announced
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if act.drip:
                for byte in act.body:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(act.drip)
                return
            self.wfile.write(act.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            del format, args

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.block_on_close = False
    server = Server(f"http://127.0.0.1:{httpd.server_address[1]}/v1")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def completion(
    content: Any,
    *,
    finish: str = "stop",
    usage: tuple[int, int] | None = (100, 20),
    refusal: str | None = None,
) -> Act:
    """An answer in the shape of a chat completion."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    message = {"role": "assistant", "content": text, "refusal": refusal}
    document: dict[str, Any] = {"choices": [{"message": message, "finish_reason": finish}]}
    if usage is not None:
        document["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return Act(body=json.dumps(document).encode())


def described(*emotions: str, sound: bool = False, **changes: Any) -> dict[str, Any]:
    """A good answer to `mien describe`."""
    cues = ["the corners of the mouth go up"]
    return {
        "visual_cues": [{"when": "middle", "cue": cues[0]}],
        "vocal_cues": [{"when": "end", "cue": "pitch rises"}] if sound else [],
        "agreement": "agree" if sound else "one channel",
        "agreement_why": "both are lively",
        "emotions": [
            {"name": name, "intensity": 0.6, "uncertainty": 0.3, "cues": cues}
            for name in emotions or ("happy",)
        ],
        "visual_caption": "The person smiles.",
        "audio_caption": "The voice rises." if sound else "",
        "joint_caption": "A smile, which seems glad.",
    } | changes
