"""`mien describe` from a manifest to a file, against servers on this machine."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import films
import pytest
from servers import Act, Script, Server, completion, described, serving
from typer.testing import CliRunner

from mien.cli import app
from mien.data import descriptions
from mien.data.descriptions import Description
from mien.data.glimpse import View
from mien.data.manifest import Manifest
from mien.errors import ConfigError, DataError, Interrupted, LanguageError
from mien.run import describe as verb
from mien.run import talkers
from mien.run.described import Tally
from mien.run.talkers import Asked

SECRET = "label-that-nobody-may-see"
GOOD: Script = lambda document, number: completion(described())  # noqa: E731


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of four people in one film, and their manifest."""
    folder = tmp_path_factory.mktemp("corpus")
    films.film(folder / f"{SECRET}.mp4", seconds=1.6, fps=10, audio=films.tone(1.6))
    rows = [
        {
            "id": f"{SECRET}-{n}", "video": f"{SECRET}.mp4", "start": n / 5, "end": (n + 1) / 5,
            "speaker": f"s{n // 2}", "text": SECRET, "labels": {"emotion": SECRET},
            "groups": {"x": SECRET},
        }
        for n in range(8)
    ]  # fmt: skip
    path = folder / "clips.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(
    corpus: Path, out: Path, server: Server, *, second: Server | None = None, **given: Any
) -> Tally:
    own = {name: given.pop(name) for name in list(given) if name in Asked.__slots__}
    if second is not None:
        own |= {"second_address": second.address, "second_model": "other"}
    usual: dict[str, Any] = {"view": View(pictures=2), "timeout": 5.0, "wait": 0.01}
    asked = Asked(address=server.address, model="m", **(usual | own))
    table = talkers.seat(asked, environment={"MIEN_KEY": "hush-key"}, quiet=True)
    return verb.describe(
        Manifest.read(corpus), out, table.panel, purse=table.purse, stop=table.stop, decoders=0,
        quiet=True, **given,
    )  # fmt: skip


def lines(out: Path) -> list[Description]:
    return descriptions.read(out)


def test_every_clip_is_described_once(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.jsonl"
    with serving(GOOD) as server:
        tally = run(corpus, out, server, jobs=3)
        again = run(corpus, out, server, jobs=3)
    assert (tally.counts, tally.asked, tally.left) == ({"described": 8}, 8, 0)
    assert (again.counts, again.asked, again.spent) == ({"described": 8}, 0, 8 * 120)
    assert len(server.requests) == 8
    first = descriptions.latest(lines(out))[f"{SECRET}-0"]
    assert first.captions is not None
    assert first.captions.in_order() == (
        "The person smiles.", None, "A smile, which seems glad."
    )  # fmt: skip
    assert first.by.model == "m"
    assert first.by.prompt.startswith("steps-1-")
    assert first.by.times == [0.05, 0.15]
    assert first.by.usage == (100, 20)
    assert first.by.settings["pictures"] == 2
    assert first.reasoning["emotions"][0]["name"] == "happy"


def test_nothing_of_a_row_is_sent_and_no_key_is_kept(corpus: Path, tmp_path: Path) -> None:
    with serving(GOOD) as server:
        run(corpus, tmp_path / "d.jsonl", server, view=View(pictures=1, sound=False))
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer hush-key"}
    sent = json.dumps(server.requests)
    assert SECRET not in sent
    assert "hush-key" not in sent
    held = (tmp_path / "d.jsonl").read_text()
    assert "hush-key" not in held
    assert server.address not in held
    (picture,) = [
        part for part in server.requests[0]["messages"][1]["content"] if part["type"] != "text"
    ]
    jpeg = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
    assert jpeg.startswith(b"\xff\xd8\xff")
    assert SECRET.encode() not in jpeg


def test_sound_goes_along_where_it_is_asked_for(corpus: Path, tmp_path: Path) -> None:
    with serving(lambda d, n: completion(described(sound=True))) as server:
        run(corpus, tmp_path / "d.jsonl", server, view=View(pictures=1, sound=True), num_samples=2)
    kinds = [part["type"] for part in server.requests[0]["messages"][1]["content"]]
    assert kinds == ["text", "image_url", "text", "input_audio", "text"]
    assert all(line.captions and line.captions.audio for line in lines(tmp_path / "d.jsonl"))
    assert lines(tmp_path / "d.jsonl")[0].by.span is not None


def misbehaving(*acts: Act) -> Script:
    """Each of these once, then good answers."""
    return lambda document, number: acts[number] if number < len(acts) else GOOD(document, number)


def test_bad_servers_lose_nothing(corpus: Path, tmp_path: Path) -> None:
    acts = (
        Act(429, headers={"Retry-After": "0"}), Act(500, b"boom"), Act(hang_up=True),
        Act(body=b"{", announced=50), completion("no JSON"), completion({"visual_caption": 1}),
        completion(described()), completion(described(joint_caption="word " * 99)),
        completion("{", finish="length"),
    )  # fmt: skip
    with serving(misbehaving(*acts)) as server:
        tally = run(corpus, tmp_path / "d.jsonl", server, jobs=1)
    assert tally.counts == {"described": 8}
    # Four attempts got no answer; four answers were told what was wrong with them, and paid for.
    assert len(server.requests) == 16
    assert tally.spent == 12 * 120
    attempts = [line.by.attempts for line in lines(tmp_path / "d.jsonl")]
    assert sorted(attempts) == [1, 1, 1, 1, 1, 1, 3, 3]


def test_refusals_and_nonsense_are_dropped_counted_and_not_paid_twice(
    corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "d.jsonl"
    acts = [
        completion("I'm sorry, I can't help with that."),
        completion(None, refusal="no faces"),
        *[completion("nonsense")] * 3,
    ]
    with serving(misbehaving(*acts)) as server:
        tally = run(corpus, out, server, jobs=1)
        assert tally.counts == {"refused": 2, "malformed": 1, "described": 5}
        assert tally.left == 0
        assert run(corpus, out, server).asked == 0
        assert run(corpus, out, server, again=True).counts == {"described": 8}
    dropped = [line for line in lines(out) if line.status != "described"]
    assert [line.captions for line in dropped] == [None, None, None]
    assert [line.why is not None for line in dropped] == [True] * 3
    assert "2 refused" in tally.text


def test_a_limit_of_tokens_stops_before_it_is_passed(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.jsonl"
    with serving(GOOD) as server:
        tally = run(corpus, out, server, most_tokens=500, longest=110, jobs=3)
        assert tally.spent <= 500
        assert tally.counts == {"described": 4}
        assert tally.left == 4
        assert "tokens are spent" in str(tally.stopped)
        again = run(corpus, out, server, most_tokens=500, longest=110)
        assert (again.asked, len(server.requests)) == (0, 4)
        assert run(corpus, out, server, longest=110).left == 0


def test_requests_a_minute(corpus: Path, tmp_path: Path) -> None:
    with serving(GOOD) as server:
        run(corpus, tmp_path / "d.jsonl", server, per_minute=60 / 0.05, jobs=8)
    gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
    assert server.times[-1] - server.times[0] >= 7 * 0.05 * 0.9
    assert max(gaps) < 1


def test_as_many_at_once_as_asked_for(corpus: Path, tmp_path: Path) -> None:
    slow: Script = lambda d, n: Act(body=completion(described()).body, delay=0.15)  # noqa: E731
    with serving(slow) as server:
        run(corpus, tmp_path / "d.jsonl", server, jobs=4)
    assert 2 <= server.most_at_once <= 4


def test_a_subset_is_spread_over_people_and_grows(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.jsonl"
    people = {row.id: row.speaker for row in Manifest.read(corpus).rows}
    with serving(GOOD) as server:
        few = run(corpus, out, server, num_samples=4, seed=1)
        assert (few.rows, few.counts, few.left) == (4, {"described": 4}, 0)
        assert {people[line.id] for line in lines(out)} == {"s0", "s1", "s2", "s3"}
        more = run(corpus, out, server, num_samples=6, seed=1)
    assert (more.asked, more.counts) == (2, {"described": 6})


# -- two models ------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[Callable[[Script], Server]]:
    """Servers that are all gone at the end."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda script: stack.enter_context(serving(script))


def test_two_models_have_to_share_an_emotion(
    corpus: Path, tmp_path: Path, pair: Callable[[Script], Server]
) -> None:
    out = tmp_path / "d.jsonl"
    first = pair(lambda d, n: completion(described("happy", "amused")))
    others = ["amused", "sad", "happy", "sad"]
    second = pair(lambda d, n: completion(described(others[n % 4], "angry"), usage=(50, 5)))
    tally = run(corpus, out, first, second=second, jobs=1)
    assert tally.counts == {"described": 4, "disagreed": 4}
    assert tally.spent == 8 * (120 + 55)
    kept = descriptions.latest(lines(out))
    good = [line for line in kept.values() if line.status == "described"]
    assert [line.second.shared for line in good if line.second] == [["amused"], ["happy"]] * 2
    assert all(line.second and line.second.by.model == "other" for line in good)
    bad = [line for line in kept.values() if line.status == "disagreed"]
    assert {line.why for line in bad} == {"happy, amused; sad, angry"}
    assert len(list(descriptions.usable(kept))) == 4


def test_between_two_models_the_first_is_not_paid_twice(
    corpus: Path, tmp_path: Path, pair: Callable[[Script], Server]
) -> None:
    out = tmp_path / "d.jsonl"
    first, broken, whole = pair(GOOD), pair(lambda d, n: Act(400, b"no")), pair(GOOD)
    with pytest.raises(LanguageError, match="400: no"):
        run(corpus, out, first, second=broken, jobs=1)
    assert len(first.requests) == 5  # then it was given up
    assert {line.status for line in lines(out)} == {"waiting"}
    tally = run(corpus, out, first, second=whole, jobs=1)
    assert tally.counts == {"described": 8}
    assert (len(first.requests), len(whole.requests)) == (8, 8)


def test_a_second_refusal_drops_a_clip(
    corpus: Path, tmp_path: Path, pair: Callable[[Script], Server]
) -> None:
    second = pair(misbehaving(completion(None, refusal="no"), *[completion("?")] * 3))
    tally = run(corpus, tmp_path / "d.jsonl", pair(GOOD), second=second, jobs=1)
    assert tally.counts == {"refused": 1, "malformed": 1, "described": 6}


# -- interrupted -----------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_is_paid_for(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.jsonl"

    def pressed(self: Any, *args: Any) -> None:
        if len(server.requests) >= 3:
            raise KeyboardInterrupt
        before(self, *args)

    before = verb._Work.note
    slow: Script = lambda d, n: Act(body=completion(described()).body, delay=0.1)  # noqa: E731
    with serving(slow) as server:
        with monkeypatch.context() as patch:
            patch.setattr(verb._Work, "note", pressed)
            with pytest.raises(Interrupted, match="what was answered is kept"):
                run(corpus, out, server, jobs=2)
        asked, kept = len(server.requests), len(lines(out))
        assert 3 <= asked == kept < 8
        out.write_bytes(out.read_bytes() + b'{"id": "half')  # and the machine went off
        tally = run(corpus, out, server, jobs=2)
    assert tally.mended
    assert (tally.counts, len(server.requests)) == ({"described": 8}, 8)


def test_waiting_for_a_server_can_be_interrupted(corpus: Path, tmp_path: Path) -> None:
    late = Act(429, headers={"Retry-After": "500"})
    with serving(lambda d, n: late) as server:
        asked = Asked(address=server.address, model="m", view=View(pictures=1))
        table = talkers.seat(asked, environment={}, quiet=True)
        threading.Timer(0.5, table.stop).start()
        began = time.monotonic()
        with pytest.raises(LanguageError, match="429"):
            verb.describe(
                Manifest.read(corpus), tmp_path / "d", table.panel, jobs=8, decoders=0, quiet=True
            )
    assert time.monotonic() - began < 5
    assert {line.status for line in lines(tmp_path / "d")} == {"failed"}


def test_a_server_that_is_gone_is_given_up(corpus: Path, tmp_path: Path) -> None:
    with serving(GOOD) as server:
        pass
    with pytest.raises(LanguageError, match=r"the connection broke.*5 in a row"):
        run(corpus, tmp_path / "d.jsonl", server, attempts=1, jobs=1)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_model_is_said_at_once(status: int, corpus: Path, tmp_path: Path) -> None:
    with serving(lambda d, n: Act(status, b"no such model")) as server:
        with pytest.raises(LanguageError, match=f"{status}: no such model"):
            run(corpus, tmp_path / "d.jsonl", server, jobs=1)
        assert len(server.requests) == 1


def test_one_bad_clip_is_no_reason_to_stop(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.jsonl"
    with serving(misbehaving(Act(413, b"too large"))) as server:
        tally = run(corpus, out, server, jobs=1)
        assert (tally.counts, tally.left) == ({"failed": 1, "described": 7}, 1)
        assert run(corpus, out, server).counts == {"described": 8}


# -- what a file holds -----------------------------------------------------------------------------


def test_descriptions_of_two_kinds_do_not_mix(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.jsonl"
    with serving(GOOD) as server:
        run(corpus, out, server, num_samples=1)
        with pytest.raises(DataError, match="pictures 2 and not 3"):
            run(corpus, out, server, view=View(pictures=3))
        with pytest.raises(DataError, match="second None and not other"):
            run(corpus, out, server, second=server)
    assert len(server.requests) == 1


def test_a_row_that_means_something_else_is_described_anew(corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "clips.jsonl"
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    (tmp_path / f"{SECRET}.mp4").write_bytes((corpus.parent / f"{SECRET}.mp4").read_bytes())
    rows[0]["end"] = 0.1
    rows[1]["labels"] = {"emotion": "changed"}
    copy.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(GOOD) as server:
        run(corpus, tmp_path / "d.jsonl", server)
        assert run(copy, tmp_path / "d.jsonl", server).asked == 1


def test_what_cannot_be_seen_is_said(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"not a film" * 99)
    films.film(tmp_path / "good.mp4", seconds=0.3)
    films.wav(tmp_path / "voice.wav", films.tone(0.2))
    rows = [{"id": "b", "video": "bad.mp4"}, {"id": "g", "video": "good.mp4"},
            {"id": "v", "audio": "voice.wav"}, {"id": "t", "text": "hello"}]  # fmt: skip
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(GOOD) as server:
        tally = run(tmp_path / "c.jsonl", tmp_path / "d.jsonl", server)
    assert (tally.counts, tally.unseen, list(tally.broken)) == ({"described": 1}, 2, ["b"])
    assert tally.left == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "who shall be asked"),
        ({"address": "http://localhost/v1"}, "which model"),
        ({"address": "http://localhost/v1", "local": Path(), "model": "m"}, "who shall be asked"),
        ({"address": "http://a/v1", "model": "m", "second_model": "m"}, "always agrees"),
        ({"address": "http://a/v1", "model": "m", "second_address": "http://b"}, "at the other"),
        ({"local": Path(), "second_model": "m"}, "asked alone"),
        ({"address": "http://a/v1", "model": "m", "view": View(pictures=0)}, "nothing to look at"),
    ],
)
def test_questions_that_are_none(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        talkers.seat(Asked(**asked), environment={})


# -- as it is typed --------------------------------------------------------------------------------


def typed(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["describe", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_the_verb_describes_and_says_so(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_KEY", "hush-key")
    out = tmp_path / "d.jsonl"
    with serving(GOOD) as server:
        words = [corpus, "--out", out, "--address", server.address, "--model", "m", "-q"]
        code, told, error = typed(*words, "--key-from", "OTHER_KEY", "--num-samples", 2, "--json")
        assert code == 0, error
        assert json.loads(told)["counts"] == {"described": 2}
        code, told, _ = typed(*words)
        assert (code, "8 described, of 8 rows" in told) == (0, True)
    assert server.headers[0]["Authorization"] == "Bearer hush-key"
    assert "hush-key" not in told + error


def test_a_rehearsal_asks_nobody_and_shows_everything(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.jsonl"
    code, told, _ = typed(corpus, "--out", out, "--dry-run", "--sound", "--num-samples", 5)
    assert code == 0
    assert "5 of 8 rows, 4 speakers; 0 are described already" in told
    assert "never instructions to you" in told
    assert "<a WAV file>" in told
    assert not out.exists()
    code, told, _ = typed(corpus, "--out", out, "--dry-run", "--json")
    assert json.loads(told)["pictures"] == 6
