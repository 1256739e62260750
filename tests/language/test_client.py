"""A client against servers that keep it waiting, talk nonsense, or refuse."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import Any

import pytest
from servers import Act, Script, Server, completion, serving

from mien.language import patience
from mien.language.client import Client
from mien.language.exchange import Address, Post, Trouble
from mien.language.patience import Backoff
from mien.language.talk import Message, Picture, Reply, Sound, Usage

TALK = (Message("system", ("be brief",)), Message("user", ("what?", Picture(b"J"), Sound(b"W"))))
SCHEMA = {"type": "object"}
QUICK = Backoff(attempts=4, first=0.01)


def client(server: Server, **given: Any) -> Client:
    post = Post(Address.of(server.address), given.pop("timeout", 5.0))
    return Client(post=post, model="m", **{"backoff": QUICK, **given})


def said(script: Script, **given: Any) -> tuple[Reply, Server]:
    with serving(script) as server:
        return client(server, **given).say(TALK, SCHEMA), server


def test_what_is_sent_is_the_protocol() -> None:
    reply, server = said(lambda _, __: completion("yes"), longest=77, seed=3)
    assert reply == Reply("yes", Usage(100, 20))
    (sent,) = server.requests
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["seed"]) == ("m", 77, 0, 3)
    assert sent["stream"] is False
    assert sent["response_format"]["json_schema"]["schema"] == SCHEMA
    system, user = sent["messages"]
    assert system == {"role": "system", "content": "be brief"}
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url", "input_audio"]
    url = user["content"][1]["image_url"]["url"]
    assert url == "data:image/jpeg;base64," + base64.b64encode(b"J").decode()
    assert user["content"][2]["input_audio"] == {"data": "Vw==", "format": "wav"}


def test_a_server_without_schemas_is_asked_without() -> None:
    _, server = said(lambda _, __: completion("yes"), structured=False, temperature=None)
    assert not {"response_format", "temperature", "seed"} & set(server.requests[0])


def in_turn(*acts: Act) -> Script:
    return lambda _, number: acts[min(number, len(acts) - 1)]


@pytest.mark.parametrize(
    "bad",
    [
        Act(500),
        Act(429, headers={"Retry-After": "0"}),
        Act(hang_up=True),
        Act(body=b"{", announced=99),
        Act(body=b"half", chunks=True, broken=True),
        Act(body=b"[]"),
        Act(body=b'{"choices": []}'),
        Act(body=b'{"choices": {"message": 1}}'),
        Act(body=b'{"choices": [{"message": {"content": 7}}]}'),
        Act(body=b'{"choices": [{"message": {"content": null}}]}'),
    ],
)
def test_what_may_go_well_next_time_is_tried_again(bad: Act) -> None:
    reply, server = said(in_turn(bad, bad, completion("yes")))
    assert reply.text == "yes"
    assert len(server.requests) == 3


def test_a_timeout_is_tried_again() -> None:
    reply, server = said(in_turn(Act(delay=1), completion("yes")), timeout=0.2)
    assert (reply.text, len(server.requests)) == ("yes", 2)


def test_attempts_come_to_an_end() -> None:
    with serving(lambda _, __: Act(503, b"busy")) as server:
        with pytest.raises(Trouble, match="503: busy"):
            client(server).say(TALK, SCHEMA)
        assert len(server.requests) == QUICK.attempts


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_will_never_go_well_is_not_tried_again(status: int) -> None:
    with serving(lambda _, __: Act(status)) as server:
        with pytest.raises(Trouble):
            client(server).say(TALK, SCHEMA)
        assert len(server.requests) == 1


def test_a_server_may_ask_for_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "luck", lambda: 0.0)
    _, server = said(in_turn(Act(429, headers={"Retry-After": "1"}), completion("yes")))
    assert 1.0 <= server.times[1] - server.times[0] < 1.6


def test_waiting_ends_when_somebody_says_so() -> None:
    stopped, began = threading.Event(), time.monotonic()
    threading.Timer(0.2, stopped.set).start()
    slow = Act(429, headers={"Retry-After": "300"})
    with serving(lambda _, __: slow) as server, pytest.raises(Trouble):
        client(server, stopped=stopped).say(TALK, SCHEMA)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (completion(None, refusal="I would rather not"), "I would rather not"),
        (completion("", finish="content_filter"), "stopped by the server's filter"),
        (completion(None, refusal="\x1b[2J" + "x" * 999), r"\x1b[2J" + "x" * 296),
    ],
)
def test_refusals_are_answers(act: Act, why: str) -> None:
    reply, server = said(lambda _, __: act)
    assert reply.refused == why
    assert len(server.requests) == 1


def test_an_answer_that_was_cut_says_so() -> None:
    reply, _ = said(lambda _, __: completion('{"a": ', finish="length"))
    assert reply.cut


def test_parts_of_a_text_are_joined() -> None:
    parts = [{"type": "text", "text": "ye"}, {"type": "other"}, {"type": "text", "text": "s"}]
    body = json.dumps({"choices": [{"message": {"content": parts}}]}).encode()
    assert said(lambda _, __: Act(body=body))[0].text == "yes"


@pytest.mark.parametrize(
    "usage", [None, 5, {}, {"prompt_tokens": -1, "completion_tokens": 1}, {"prompt_tokens": 1},
              {"prompt_tokens": True, "completion_tokens": 1},
              {"prompt_tokens": 10**12, "completion_tokens": 1}]
)  # fmt: skip
def test_counts_that_are_none_are_not_believed(usage: Any) -> None:
    body = json.dumps({"choices": [{"message": {"content": "yes"}}], "usage": usage}).encode()
    assert said(lambda _, __: Act(body=body))[0].usage == Usage(known=False)


def test_what_is_tried_again_is_told() -> None:
    told = list[str]()
    said(in_turn(Act(500, b"boom"), completion("yes")), tell=told.append)
    assert told == ["the server says 500: boom; once more in 0 s"]
