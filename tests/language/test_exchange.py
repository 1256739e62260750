"""One exchange with a server that behaves well, badly, or as an enemy would."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from servers import Act, serving

from mien.errors import ConfigError
from mien.language.exchange import Address, Post, Trouble, parsed


def sent(act: Act, timeout: float = 5.0, largest: int = 10_000) -> object:
    with serving(lambda _, __: act) as server:
        return Post(Address.of(server.address), timeout, largest=largest).send("/x", {"a": "ü"})


def trouble(act: Act, timeout: float = 5.0) -> Trouble:
    with pytest.raises(Trouble) as caught:
        sent(act, timeout)
    return caught.value


@pytest.mark.parametrize("chunks", [False, True])
def test_an_answer_comes_back(chunks: bool) -> None:
    assert sent(Act(body='{"b": ["é"]}'.encode(), chunks=chunks)) == {"b": ["é"]}


@pytest.mark.parametrize(
    ("act", "said", "again"),
    [
        (Act(hang_up=True), "the connection broke", True),
        (Act(body=b'{"a": 1}', announced=500), "ends after 8 of 500 bytes", True),
        (Act(body=b'{"a": 1}' * 40, chunks=True, broken=True), "the connection broke", True),
        (Act(body=b"<html>"), "is not JSON", True),
        (Act(body=b"\xff\xfe"), "is not JSON", True),
        (Act(body=b'{"a": NaN}'), "NaN is not JSON", True),
        (Act(body=b'{"a": "\\ud800"}'), "is not JSON", True),
        (Act(body=b"[" * 9000), "is not JSON", True),
        (Act(body=b" " * 10_001), "more than 10,000 bytes", False),
        (Act(body=b"[]", headers={"Content-Encoding": "gzip"}), "packed", False),
        (Act(302, headers={"Location": "file:///etc/passwd"}), "points elsewhere", False),
        (Act(307, headers={"Location": "http://127.0.0.1:1/"}), "points elsewhere", False),
        (Act(500, b"boom"), "says 500: boom", True),
        (Act(503, b'{"error": {"message": "busy"}}'), "says 503: busy", True),
        (Act(429, b'{"detail": "slow down"}'), "says 429: slow down", True),
        (Act(400, b'{"error": "no pictures"}'), "says 400: no pictures", False),
        (Act(401, b'{"error": {"message": "who?"}}'), "says 401: who?", False),
    ],
)
def test_no_answer_says_why_and_whether_to_ask_again(act: Act, said: str, again: bool) -> None:
    found = trouble(act)
    assert said in found.what
    assert found.again is again


def test_a_redirect_is_never_followed() -> None:
    with serving(lambda _, __: Act(body=b"{}")) as other:
        found = trouble(Act(308, headers={"Location": f"{other.address}/x"}))
        assert (found.status, other.requests) == (308, [])


@pytest.mark.parametrize("act", [Act(delay=2), Act(body=b" " * 100, drip=0.05)])
def test_silence_and_dripping_end_at_the_timeout(act: Act) -> None:
    began = time.monotonic()
    found = trouble(act, timeout=0.3)
    assert found.what == "no answer within 0.3 s"
    assert found.again
    assert time.monotonic() - began < 1.5


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Trouble, match="the connection broke") as caught:
        Post(Address.of(f"http://127.0.0.1:{port}"), 1.0).send("/x", {})
    assert caught.value.again


def test_a_server_moves_no_cursor() -> None:
    found = trouble(Act(400, b'{"error": "\\u001b[2J\\u0007\\nred"}'))
    assert "\x1b" not in found.what
    assert "\n" not in found.what
    assert r"\x1b[2J\x07\nred" in found.what
    assert len(trouble(Act(500, b"x" * 9000)).what) < 400


def test_a_retry_after_is_told_only_where_it_matters() -> None:
    assert trouble(Act(429, headers={"Retry-After": "7"})).after == 7
    assert trouble(Act(400, headers={"Retry-After": "7"})).after is None


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("file:///etc/passwd", "no http or https"),
        ("ftp://host/v1", "no http or https"),
        ("127.0.0.1:8000", "no http or https"),
        ("http://", "no http or https"),
        ("http://host:port/v1", "no address"),
        ("http://host:99999/v1", "no address"),
        ("http://ann:secret@host/v1", "no name, password"),
        ("http://host/v1?key=secret", "no name, password"),
        ("http://host/a b", "plain path"),
        ("http://host/é", "plain path"),
    ],
)
def test_what_is_no_address(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Address.of(address)
    assert "secret" not in str(caught.value)


def test_addresses_are_kept_as_they_are_meant() -> None:
    assert str(Address.of(" https://host/v1/ ")) == "https://host/v1"
    assert str(Address.of("http://[::1]:8000")) == "http://[::1]:8000"


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("https://example.org/v1", True),
        ("http://localhost:1/v1", True),
        ("http://127.9.9.9/v1", True),
        ("http://[::1]/v1", True),
        ("http://example.org/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://localhost.example.org/v1", False),
    ],
)
def test_a_key_goes_only_where_nobody_reads_along(address: str, private: bool) -> None:
    where = Address.of(address)
    assert where.private is private
    if private:
        assert "hush" not in repr(Post(where, key="hush"))
    else:
        with pytest.raises(ConfigError, match="read along"):
            Post(where, key="hush")


def test_a_key_cannot_smuggle_headers() -> None:
    with pytest.raises(ConfigError, match="what no key holds") as caught:
        Post(Address.of("https://host"), key="hush\r\nX-More: 1")
    assert "hush" not in str(caught.value)


def test_a_key_is_sent_as_a_bearer() -> None:
    with serving(lambda _, __: Act(body=b"{}")) as server:
        Post(Address.of(server.address), 5.0, "hush").send("/chat", {})
        Post(Address.of(server.address), 5.0).send("/chat", {})
    assert server.headers[0]["Authorization"] == "Bearer hush"
    assert "Authorization" not in server.headers[1]


def test_deep_and_wide_json_is_refused() -> None:
    for text in ("[" * 200_000, "[" * 50_000 + "]" * 50_000):
        with pytest.raises(ValueError, match="brackets"):
            parsed(text)


def test_no_timer_is_left_behind() -> None:
    sent(Act(body=b"{}"), timeout=60)
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(2)
    assert not [timer for timer in timers if timer.is_alive()]
