"""Cues as files: both formats give back what was written, and say what is wrong with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mien
from mien.cues import files
from mien.cues.schema import Cues, Dimensions, Face, Heard, Speech, Turn

SHARE = st.floats(0, 1)
LEVEL = st.floats(-9, 9)
TIME = st.floats(0, 1e5)
NAME = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable())


def scores(values: st.SearchStrategy[float]) -> st.SearchStrategy[Mapping[str, float]]:
    return st.dictionaries(NAME, values, max_size=3)


def rows(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(of, max_size=2).map(tuple)


FACES = st.builds(
    Face, time=TIME, score=st.none() | SHARE, units=scores(SHARE), strengths=scores(SHARE),
    emotions=scores(SHARE), levels=scores(LEVEL),
) | st.builds(Face, time=TIME, present=st.just(False))  # fmt: skip
HEARD = st.builds(Heard, start=TIME, end=TIME, name=NAME, score=SHARE) | st.builds(
    Heard, start=TIME, end=TIME, name=NAME, score=st.none() | LEVEL, scale=st.just("level"),
    value=st.none() | TIME,
)  # fmt: skip
CUES = st.builds(
    Cues, id=NAME, start=st.just(0.0), end=TIME, faces=rows(FACES),
    sound=st.none() | st.just(True), speech=rows(st.builds(Speech, TIME, TIME, SHARE)),
    prosody=rows(HEARD),
    dimensions=rows(st.builds(Dimensions, start=TIME, end=TIME, arousal=st.none() | SHARE)),
    transcript=rows(st.builds(Turn, TIME, TIME, st.none() | NAME, st.none() | NAME)),
    made_by=st.dictionaries(NAME, NAME, max_size=2),
) | st.builds(Cues, id=NAME, start=st.just(0.0), end=TIME, sound=st.just(False))  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(CUES, max_size=3))
def test_what_was_written_is_read(tmp_path: Path, cues: list[Cues]) -> None:
    for ending in ("jsonl", "parquet"):
        files.write(tmp_path / f"cues.{ending}", cues)
        assert list(files.read(tmp_path / f"cues.{ending}")) == cues


def test_many_rows_are_written_as_they_come(tmp_path: Path) -> None:
    many = (Cues(id=f"{n}", start=n, end=n + 1, sound=True, speech=()) for n in range(600))
    files.write(tmp_path / "cues.parquet", many)
    assert [cues.id for cues in files.read(tmp_path / "cues.parquet")] == [
        str(n) for n in range(600)
    ]


def test_a_file_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    def broken() -> Any:
        yield Cues(id="a", start=0, end=1)
        raise RuntimeError

    for ending in ("jsonl", "parquet"):
        with pytest.raises(RuntimeError):
            files.write(tmp_path / f"cues.{ending}", broken())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": ""}, "have an id"),
        ({"end": -1}, "do not end before they start"),
        ({"start": "soon"}, "start"),
        ({"sound": "loud"}, "sound"),
        ({"tone": 1}, "no 'tone'"),
        ({"faces": [{"time": 0, "units": {"AU1": 2}}]}, "between 0 and 1"),
        ({"faces": [{"time": 0, "present": False, "units": {"AU1": 1}}]}, "was not found"),
        ({"faces": [{"units": {}}]}, "faces.0.time"),
        ({"prosody": [{"start": 0, "end": 1, "name": "x", "score": 3}]}, "between 0 and 1"),
        ({"prosody": [{"start": 0, "end": 1, "name": "x", "score": 1, "scale": "dB"}]}, "scale"),
        ({"dimensions": [{"start": 0, "end": 1, "valence": -1}]}, "between 0 and 1"),
        ({"sound": False, "speech": [{"start": 0, "end": 1, "confidence": 1}]}, "no audio track"),
        ({"speech": [{"start": 0, "end": float("nan"), "confidence": 1}]}, "not finite"),
    ],
)
def test_values_that_are_no_cues_are_refused(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    record = files.record_of(Cues(id="a", start=0, end=1)) | change
    (tmp_path / "cues.jsonl").write_text("\n" + json.dumps(record) + "\n")
    with pytest.raises(mien.DataError, match="no cues") as error:
        list(files.read(tmp_path / "cues.jsonl"))
    assert said in str(error.value)
    assert str(error.value.where).endswith("cues.jsonl:2")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"{"),
        ("a.jsonl", b"[]\n"),
        ("a.jsonl", b"[" * 100_000),
        ("a.parquet", b"PAR1 and no more"),
        ("a.txt", b""),
        ("missing.jsonl", None),
    ],
)
def test_files_that_are_none_are_told(name: str, content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(mien.DataError) as error:
        list(files.read(tmp_path / name))
    assert name in str(error.value)
