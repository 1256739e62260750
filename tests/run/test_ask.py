"""`mien ask` from a manifest to answers that are told like a run's, against bad servers too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import Act, Script, Server, completion, serving
from typer.testing import CliRunner

from mien.cli import app
from mien.data.manifest import Manifest
from mien.errors import ConfigError, DataError, LanguageError
from mien.run import ask as verb
from mien.run import compare, question, score, talkers
from mien.run.ask import ANSWERS, Asked
from mien.run.question import Question

LABELS = ("joy", "anger", "fear")
SECRET = "name-that-nobody-may-see"


def rows(count: int = 12) -> list[dict[str, Any]]:
    """Two rows of each text, with the right label in it."""
    return [
        {"id": f"{SECRET}{n}", "speaker": f"p{n % 4}", "groups": {"x": SECRET},
         "text": f"text {n // 2}: {LABELS[n // 2 % 3]} {{labels}} {SECRET[:0]}",
         "labels": {"emotion": LABELS[n // 2 % 3]}}
        for n in range(count)
    ]  # fmt: skip


def written(folder: Path, lines: list[dict[str, Any]], name: str = "clips.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def said(document: dict[str, Any]) -> str:
    """What is asked about, behind all examples; complaints may have followed."""
    told = [m["content"] for m in document["messages"] if m["role"] == "user"]
    asked = [str(part["text"]) for content in told for part in content]
    return [text for text in asked if "Text:" in text][-1]


def right(document: dict[str, Any], number: int) -> Act:
    text = said(document).partition("Text:")[2]
    return completion({"label": next(label for label in LABELS if label in text)})


def run(data: Path, out: Path, server: Server, **given: Any) -> Asked:
    own = {name: given.pop(name) for name in list(given) if name in talkers.Asked.__slots__}
    asked = talkers.Asked(address=server.address, model="m", timeout=5.0, wait=0.01, **own)
    callers = talkers.call(asked, environment={"MIEN_KEY": "hush"}, quiet=True)
    asked_of = given.pop("question", Question(LABELS))
    return verb.ask(Manifest.read(data), out, asked_of, callers, quiet=True, **given)


def test_each_text_is_asked_once_and_told_like_a_run(tmp_path: Path) -> None:
    data, out = written(tmp_path, rows()), tmp_path / "asked"
    with serving(right) as server:
        tally = run(data, out, server, jobs=3)
        again = run(data, out, server)
    assert len(server.requests) == 6
    assert (tally.counts, tally.texts, tally.left) == ({"answered": 12}, 6, 0)
    assert (again.asked, again.spent, again.counts) == (0, 6 * 120, {"answered": 12})
    assert score.evaluate(out)["tasks"]["emotion"]["scores"]["war"] == 1.0
    assert tally.metrics["tasks"] == again.metrics["tasks"]
    assert not compare.compare(out, [out])["pairs"][0]["tasks"]["emotion"]["scores"]["war"]["value"]


def test_nothing_but_the_text_is_sent_and_no_key_is_kept(tmp_path: Path) -> None:
    data, out = written(tmp_path, rows()), tmp_path / "asked"
    with serving(right) as server:
        run(data, out, server)
    assert SECRET not in json.dumps(server.requests)
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer hush"}
    assert not any("hush" in path.read_text(errors="replace") for path in out.iterdir())
    # Braces in a text are letters.
    assert "{labels}" in said(server.requests[0])


def test_answers_are_held_to_the_labels(tmp_path: Path) -> None:
    with serving(right) as server:
        run(written(tmp_path, rows(2)), tmp_path / "asked", server)
    form = server.requests[0]["response_format"]["json_schema"]["schema"]
    assert form["properties"]["label"]["enum"] == list(LABELS)
    assert (form["required"], form["additionalProperties"]) == (["label"], False)


def misbehaving(*acts: Act) -> Script:
    """Each of these once, then good answers."""
    return lambda document, number: acts[number] if number < len(acts) else right(document, number)


def test_bad_servers_lose_nothing(tmp_path: Path) -> None:
    acts = (
        Act(429, headers={"Retry-After": "0"}), Act(500, b"boom"), Act(hang_up=True),
        Act(body=b"{", announced=50), completion("no JSON"), completion({"label": "Joy!"}),
        completion({"label": ["joy"]}), completion({"label": "joy", "more": 1}),
    )  # fmt: skip
    with serving(misbehaving(*acts)) as server:
        tally = run(written(tmp_path, rows()), tmp_path / "asked", server, jobs=1)
    assert tally.counts == {"answered": 10, "malformed": 2}
    assert tally.metrics["tasks"]["emotion"]["scores"]["war"] == pytest.approx(10 / 12)
    assert tally.metrics["notes"] == ["2 rows that were asked about in vain count as wrong."]


def test_refusals_are_counted_and_not_paid_twice(tmp_path: Path) -> None:
    data, out = written(tmp_path, rows()), tmp_path / "asked"
    acts = [completion("I'm sorry, I can't help with that."), completion(None, refusal="no")]
    with serving(misbehaving(*acts)) as server:
        tally = run(data, out, server)
        run(data, out, server)
        assert len(server.requests) == 6
        better = run(data, out, server, again=True)
    assert tally.counts == {"answered": 8, "refused": 4}
    assert (better.asked, better.counts) == (2, {"answered": 12})


def test_a_limit_of_tokens_holds_over_calls(tmp_path: Path) -> None:
    data, out = written(tmp_path, rows()), tmp_path / "asked"
    with serving(right) as server:
        one = run(data, out, server, most_tokens=400, longest=100, jobs=1)
        two = run(data, out, server, most_tokens=400, longest=100, jobs=1)
        rest = run(data, out, server, longest=100)
    assert one.stopped
    assert one.spent == two.spent <= 400
    assert 0 < one.left == 12 - 2 * one.asked
    assert "not answered yet" in one.metrics["notes"][0]
    assert rest.counts == {"answered": 12}
    assert len(server.requests) == 6


def test_a_server_that_is_gone_ends_it(tmp_path: Path) -> None:
    with serving(lambda d, n: Act(401, b"{}")) as server:
        with pytest.raises(LanguageError):
            run(written(tmp_path, rows()), tmp_path / "asked", server, jobs=1)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"question": Question(("joy", "anger", "fear", "awe"))},
        {"question": Question(LABELS, examples=(("a", "joy"),))},
        {"longest": 50},
    ],
)
def test_answers_to_two_questions_are_not_mixed(other: dict[str, Any], tmp_path: Path) -> None:
    data, out = written(tmp_path, rows(2)), tmp_path / "asked"
    with serving(right) as server:
        run(data, out, server)
        with pytest.raises(DataError, match="made otherwise"):
            run(data, out, server, **other)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "asked"
    out.mkdir()
    (out / ANSWERS).write_text('{"id": 1}\n')
    with serving(right) as server, pytest.raises(DataError, match="this line is no answer"):
        run(written(tmp_path, rows(2)), out, server)


def test_examples_are_drawn_alike_of_each_class_and_of_train_alone() -> None:
    made = [row | {"split": "train" if n < 12 else "test"} for n, row in enumerate(rows(24))]
    chosen: Callable[..., Any] = question.examples_of
    read = [_row(row) for row in made]
    told = chosen(read, "emotion", LABELS, 2, 0)
    assert sorted(label for _, label in told) == sorted(LABELS * 2)
    assert len({text for text, _ in told}) == 6
    assert {text for text, _ in told} <= {row["text"] for row in made[:12]}
    assert all(label in text for text, label in told)
    assert told == chosen(read, "emotion", LABELS, 2, 0) != chosen(read, "emotion", LABELS, 2, 1)
    with pytest.raises(DataError, match="2 different texts of 'joy'"):
        chosen(read, "emotion", LABELS, 3, 0)


def _row(values: dict[str, Any]) -> Any:
    from mien.data.rows import Row

    return Row(**values)


def test_examples_are_told_as_a_talk() -> None:
    asked = Question(LABELS, examples=(("so glad", "joy"), ("so cross", "anger")))
    roles = [message.role for message in asked.messages("what now")]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert asked.messages("x")[2].parts == ('{"label": "joy"}',)
    assert asked.digest != Question(LABELS).digest


@pytest.mark.parametrize("labels", [(), ("one",), ("a", "a")])
def test_a_question_needs_labels(labels: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="two labels or more"):
        Question(labels)


def test_a_label_that_cannot_be_answered_is_an_error(tmp_path: Path) -> None:
    data = written(tmp_path, [row | {"labels": {"emotion": "bliss"}} for row in rows(2)])
    with serving(right) as server, pytest.raises(DataError, match="none of those"):
        run(data, tmp_path / "asked", server)
    assert not server.requests


def test_rows_without_labels_are_answered_and_not_scored(tmp_path: Path) -> None:
    bare = [{"id": row["id"], "text": row["text"]} for row in rows()]
    with serving(right) as server:
        tally = run(written(tmp_path, [*bare, {"id": "silent"}]), tmp_path / "asked", server)
    assert (tally.counts, tally.wordless) == ({"answered": 12}, 1)
    assert tally.metrics["tasks"] == {}


def test_as_it_is_typed(tmp_path: Path) -> None:
    data, out = written(tmp_path, rows()), tmp_path / "asked"
    words = ["ask", str(data), "--labels", "joy, anger,fear", "--out", str(out), "-q"]
    dry = CliRunner().invoke(app, [*words, "--dry-run"])
    assert "12 rows with 6 texts; nobody was asked" in dry.output
    assert not out.exists()
    with serving(right) as server:
        more = [
            "--address",
            server.address,
            "--model",
            "m",
            "--examples",
            str(data),
            "--shots",
            "1",
        ]
        found = CliRunner().invoke(app, [*words, *more])
    assert found.exit_code == 0, found.output
    assert "12 answered" in found.output
    assert "weighted_f1  1.000" in found.output
    assert len(server.requests[0]["messages"]) == 2 + 2 * 3
