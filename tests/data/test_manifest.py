"""Three formats that mean the same, and rows that are refused with their line."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.manifest import Inline, Manifest, Row, Track, infer_tasks
from mien.errors import DataError
from mien.tasks import NAMED
from mien.types import Problem, Resolution, TaskSpec

FORMATS = ("jsonl", "csv", "parquet")


def lines(folder: Path, *rows: Mapping[str, Any] | str, name: str = "rows.jsonl") -> Path:
    path = folder / name
    text = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def refused(path: Path, **how: Any) -> str:
    with pytest.raises(DataError) as error:
        Manifest.read(path, **how)
    return str(error.value)


# -- three formats, one meaning ----------------------------------------------------------------

names = st.text(min_size=1, max_size=6)
words = st.text(min_size=1, max_size=8)
files = st.text(alphabet="abcXYZ019_- ,'\"[", min_size=1, max_size=6).map(
    lambda name: f"{name}.npy"
)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
vectors = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3).map(
    Inline
)
matrices = st.integers(1, 3).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(-9, 9), min_size=width, max_size=width), min_size=1, max_size=3
    )
)
tracks = st.builds(
    Track,
    files,
    st.none() | words | st.lists(words, min_size=1, max_size=2).map(tuple),
    st.none() | st.floats(0.5, 100),
)
labels = (
    words
    | st.sampled_from(["null", "true", "1", "NaN", '"', "[1]", '{"a": 1}', " x", "-"])
    | numbers
    | st.lists(words, max_size=3)
    | st.lists(st.none() | numbers, max_size=3)
    | st.lists(st.lists(numbers, max_size=2), max_size=2)
    | st.dictionaries(words, st.none() | st.floats(0, 5), min_size=1, max_size=3)
    | tracks
)
seconds = st.none() | st.floats(0, 1e6)
rows = st.builds(
    Row,
    id=words,
    video=st.none() | files,
    audio=st.none() | files,
    text=st.none() | st.text(max_size=12),
    features=st.dictionaries(names, files | vectors | matrices.map(Inline), max_size=2),
    start=seconds,
    person=st.none() | words,
    box=st.none() | st.tuples(*[st.floats(0.5, 99)] * 4),
    fps=st.none() | st.floats(0.1, 100),
    speaker=st.none() | words,
    source=st.none() | words,
    dialogue=st.none() | words,
    turn=st.none() | st.integers(-5, 2**40),
    split=st.none() | st.sampled_from(["train", "val", "test"]),
    fold=st.none() | st.integers(0, 9),
    labels=st.dictionaries(names, labels, max_size=3),
    groups=st.dictionaries(names, words | numbers, max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, min_size=1, max_size=4, unique_by=lambda row: row.id))
def test_every_format_holds_the_same_rows(made: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = Manifest(made, folder / "memory.jsonl")
        for ending in FORMATS:
            written = manifest.write(folder / f"rows.{ending}")
            read = Manifest.read(folder / f"rows.{ending}")
            assert read.rows == made, ending
            assert read.fingerprint() == written.fingerprint() == manifest.fingerprint()


def test_kinds_survive_every_format(tmp_path: Path) -> None:
    """Equality in Python takes 1 for 1.0: kinds are compared too."""
    made = [
        Row(id="a", labels={"x": 1, "y": 1.0, "z": "1"}),
        Row(id="b", labels={"x": 2.5, "y": 2.0, "z": "null"}),
    ]
    for ending in FORMATS:
        path = tmp_path / f"rows.{ending}"
        Manifest(made, path).write(path)
        found = [[(type(v), v) for v in row.labels.values()] for row in Manifest.read(path).rows]
        assert found == [[(type(v), v) for v in row.labels.values()] for row in made], ending


def test_what_is_empty_is_absent(tmp_path: Path) -> None:
    row = Row(id="a", text="", labels={"x": None, "y": float("nan"), "z": ""}, groups={"g": None})  # type: ignore[dict-item]
    assert row == Row(id="a")
    path = lines(tmp_path, {"id": "a", "text": None, "labels": {"x": None}, "features": None})
    assert list(Manifest.read(path).rows) == [row]


def test_parquet_keeps_numbers_and_lists_as_such(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    made = [Row(id="a", features={"au": Inline([1.0, 2.0])}, labels={"e": "glad", "v": 0.5})]
    Manifest(made, path).write(path)
    schema = pq.read_schema(path)
    assert schema.field("features.au").type == pa.list_(pa.float64())
    assert schema.field("labels.v").type == pa.float64()
    assert schema.field("labels.e").type == pa.string()


def test_a_fingerprint_changes_with_what_is_meant(tmp_path: Path) -> None:
    prints = {
        Manifest([row], tmp_path / "x.jsonl").fingerprint()
        for row in (
            Row(id="a"),
            Row(id="b"),
            Row(id="a", labels={"e": "x"}),
            Row(id="a", features={"f": Inline([1, 2])}),
            Row(id="a", features={"f": Inline([1, 3])}),
        )
    }
    assert len(prints) == 5


# -- foreign files -----------------------------------------------------------------------------


def test_a_foreign_parquet_is_read_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "ravdess.parquet"
    table = {
        "id": ["01-a", "02-b"],
        "key": ["a", "b"],
        "actor": [1, 2],
        "emotion": ["sad", "calm"],
        "au": [[1.0, 2.0], [3.0, 4.0]],
        "video": [1.5, 2.5],  # not a path: it would be refused if it were read
        "jpg": [b"x", b"y"],
        "votes": [{"sad": 2, "calm": None}, {"sad": None, "calm": 3}],
    }
    pq.write_table(pa.table(table), path)
    columns = {
        "id": "key",
        "speaker": "actor",
        "labels.emotion": "emotion",
        "labels.votes": "votes",
        "features.au": "au",
        "groups.size": "video",
    }
    first, second = Manifest.read(path, columns=columns).rows
    assert first == Row(
        id="a",
        speaker="1",
        labels={"emotion": "sad", "votes": {"sad": 2}},
        features={"au": Inline([1, 2])},
        groups={"size": 1.5},
    )
    assert (second.id, second.speaker) == ("b", "2")
    assert "there is no field 'key'" in refused(path)
    assert "did you mean 'actor'" in refused(path, columns={"speaker": "acto"})
    assert "did you mean 'labels.emotion'" in refused(path, columns={"lables.emotion": "emotion"})


def test_a_foreign_csv_is_read_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "talk.csv"
    path.write_text('Sr No.,Utterance,Emotion,StartTime\n7,"Oh, no",fear,"00:20"\n', "utf-8-sig")
    columns = {"id": "Sr No.", "text": "Utterance", "labels.emotion": "Emotion"}
    assert Manifest.read(path, columns=columns).rows == [
        Row(id="7", text="Oh, no", labels={"emotion": "fear"})
    ]


def test_a_foreign_jsonl_is_read_by_its_keys(tmp_path: Path) -> None:
    path = lines(tmp_path, {"key": "a", "emotion": "sad"}, {"key": "b"})
    columns = {"id": "key", "labels.emotion": "emotion"}
    assert [row.id for row in Manifest.read(path, columns=columns).rows] == ["a", "b"]
    assert "no row has a key 'emotoin'" in refused(
        path, columns={"id": "key", "labels.emotion": "emotoin", "labels.other": "emotion"}
    )


def test_labels_are_renamed_wherever_they_stand(tmp_path: Path) -> None:
    path = lines(
        tmp_path,
        {"id": "a", "labels": {"e": "joy", "n": 1, "many": ["joy", "x"]}},
        {"id": "b", "labels": {"e": {"joy": 1, "glad": 2, "sad": 1}, "n": 0}},
    )
    read = Manifest.read(path, rename={"joy": "glad", "1": "yes"})
    assert read.rows[0].labels == {"e": "glad", "n": "yes", "many": ["glad", "x"]}
    assert read.rows[1].labels == {"e": {"glad": 3, "sad": 1}, "n": 0}


# -- what is refused ---------------------------------------------------------------------------

GOOD = {"id": "good"}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("{not json", "is not JSON"),
        ('{"id": "x", "start": NaN}', "NaN is not a JSON value"),
        ('{"id": "x", "text": "\\ud800"}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("7", "a row is a JSON object"),
        ({"text": "hi"}, "a row needs an id"),
        ({"id": "good"}, "given before, in"),
        ({"id": "x", "spekaer": "me"}, "did you mean 'speaker'"),
        ({"id": "x", "label.emotion": "sad"}, "did you mean 'labels.emotion'"),
        ({"id": "x", "labels": "sad"}, "labels is an object"),
        ({"id": "x", "labels": {"e": True, "": "x"}}, "go by a name"),
        ({"id": "x", "start": 3, "end": 3}, "ends at 3.0, before it starts"),
        ({"id": "x", "start": -1}, "start is a number of at least 0"),
        ({"id": "x", "start": "soon"}, "start is a number, not 'soon'"),
        ({"id": "x", "end": 1e999}, "Infinity is not a JSON value"),
        ({"id": "x", "fps": 0}, "fps is more than 0"),
        ({"id": "x", "turn": 1.5}, "turn is a whole number"),
        ({"id": "x", "fold": -1}, "folds count from 0"),
        ({"id": "x", "split": "dev"}, "write train, val or test"),
        ({"id": "x", "box": [1, 2, 3]}, "a box is"),
        ({"id": "x", "box": [1, 2, 0, 3]}, "a box is"),
        ({"id": "x", "text": [1]}, "text is a text, not list"),
        ({"id": "x", "features": {"f": [1, None]}}, "features.f: inline values"),
        ({"id": "x", "features": {"f": [[1], [1, 2]]}}, "features.f: inline values"),
        ({"id": "x", "features": {"f": []}}, "features.f: inline values"),
        ({"id": "x", "features": {"f": {"a": 1}}}, "a feature is a path or a list"),
        ({"id": "x", "labels": {"e": {"path": "t.npy", "rate": 5}}}, "a track has no 'rate'"),
        ({"id": "x", "labels": {"e": {"path": "t.npy", "fps": 0}}}, "more than 0 positions"),
        ({"id": "x", "labels": {"e": {"sad": "much"}}}, "labels.e: the weight of a class"),
        ({"id": "x", "groups": {"g": [1]}}, "groups.g: a value is a text or a number"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(bad: Any, words: str, tmp_path: Path) -> None:
    text = refused(lines(tmp_path, GOOD, "", bad))
    assert words in text
    assert "rows.jsonl:3" in text


def test_a_bad_cell_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id,text,fps\na,"two\nlines",5\nb,x,fast\n', encoding="utf-8")
    assert "rows.csv:4, row 'b'" in refused(path)
    path.write_text("id,text\na,x,too many\n", encoding="utf-8")
    assert "rows.csv:2" in refused(path)
    path.write_text("id,spekaer\na,x\n", encoding="utf-8")
    assert "did you mean 'speaker'" in refused(path)
    path.write_text("id,id\na,x\n", encoding="utf-8")
    assert "two columns are called 'id'" in refused(path)
    path.write_text('id,text\na,"never closed\n', encoding="utf-8")
    assert "not a CSV file" in refused(path)


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and nothing more")
    assert "not a Parquet file" in refused(tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_bytes(b"id,text\na,\xff\xfe\n")
    assert "in UTF-8" in refused(tmp_path / "rows.csv")
    (tmp_path / "rows.jsonl").write_bytes(b'{"id": "\xff"}\n')
    assert "not UTF-8" in refused(tmp_path / "rows.jsonl")
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    assert "has no rows" in refused(tmp_path / "empty.jsonl")
    assert "there is no such manifest" in refused(tmp_path / "other.csv")
    assert "did you mean 'rows.parquet'" in refused(tmp_path / "row.parquet")
    assert "ends in .jsonl, .csv, .parquet, not '.xlsx'" in refused(tmp_path / "rows.xlsx")


# -- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"video": "../secret.mp4"},
        {"video": "../corpus-2/secret.mp4"},
        {"audio": "a/../../secret.wav"},
        {"features": {"f": "../secret.npy"}},
        {"features": {"f": "../secret.safetensors::key"}},
        {"labels": {"e": {"path": "../secret.npy"}}},
        {"video": "link/secret.mp4"},
        {"video": "file.mp4"},
        {"video": "/etc/passwd"},
        {"video": "a\0b"},
    ],
)
def test_no_path_leaves_the_folder(row: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path)
    (folder / "file.mp4").symlink_to(tmp_path / "secret.mp4")
    text = refused(lines(folder, {"id": "bad", **row}))
    assert "rows.jsonl:1, row 'bad'" in text


def test_a_stated_root_may_be_wider_or_narrower(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    path = lines(folder, {"id": "a", "video": "../media/a.mp4"})
    assert Manifest.read(path, root=tmp_path).rows[0].video == "../media/a.mp4"
    absolute = lines(folder, {"id": "a", "video": str(tmp_path / "a.mp4")}, name="absolute.jsonl")
    assert Manifest.read(absolute, root=tmp_path).rows[0].id == "a"
    assert "absolute path" in refused(absolute)
    inner = lines(folder, {"id": "a", "video": "a.mp4"}, name="inner.jsonl")
    assert "leaves the folder" in refused(inner, root=tmp_path / "media")


def test_links_within_the_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    path = lines(tmp_path, {"id": "a", "video": "linked/a.mp4"})
    assert Manifest.read(path).rows[0].video == "linked/a.mp4"


def test_a_manifest_written_elsewhere_names_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    row = {
        "id": "a",
        "video": "in/a.mp4",
        "features": {"f": "in/a.safetensors::f", "v": [1.0]},
        "labels": {"e": {"path": "in/a.csv", "column": "e"}},
    }
    read = Manifest.read(lines(tmp_path, row))
    moved = read.write(tmp_path / "in" / "rows.csv")
    assert moved.rows[0].video == "a.mp4"
    assert Manifest.read(tmp_path / "in" / "rows.csv").rows == moved.rows
    assert moved.rows[0].source == "a.mp4"
    assert moved.rows[0].features["f"] == "a.safetensors::f"
    assert moved.rows[0].labels["e"] == Track("a.csv", "e")
    with pytest.raises(DataError, match="leaves the folder"):
        read.write(tmp_path / "out" / "rows.csv")
    wide = Manifest.read(tmp_path / "rows.jsonl", root=tmp_path)
    assert wide.write(tmp_path / "out" / "rows.csv").rows[0].video == "../in/a.mp4"


# -- rows --------------------------------------------------------------------------------------


def test_the_source_is_the_video_or_the_sound() -> None:
    assert Row(id="a", video="v.mp4", audio="s.wav").source == "v.mp4"
    assert Row(id="a", audio="s.wav").source == "s.wav"
    assert Row(id="a", video="v.mp4", source="film").source == "film"


def test_a_source_that_follows_is_not_written(tmp_path: Path) -> None:
    made = [Row(id="a", audio="s.wav"), Row(id="b", video="v.mp4", source="s.wav")]
    Manifest(made, tmp_path / "x.jsonl").write(tmp_path / "rows.jsonl")
    first, second = map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())
    assert first == {"id": "a", "audio": "s.wav"}
    assert second["source"] == "s.wav"


def test_a_row_stays_as_it_is() -> None:
    row = Row(id="a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.id = "b"  # type: ignore[misc]
    values = Inline([1, 2])
    with pytest.raises(ValueError, match="read-only"):
        values.values[0] = 5
    assert values == Inline(np.array([1.0, 2.0]))
    assert values != Inline([1, 2, 3])


# -- tasks -------------------------------------------------------------------------------------


def tasks_of(folder: Path, *labels: Any, named: Mapping[str, TaskSpec] = {}) -> dict[str, Any]:
    path = lines(folder, *[{"id": str(i), "labels": given} for i, given in enumerate(labels)])
    return infer_tasks(Manifest.read(path), named)


def test_tasks_follow_from_labels(tmp_path: Path) -> None:
    found = tasks_of(
        tmp_path,
        {"e": "sad", "many": ["b"], "v": 0.5, "soft": {"x": 1, "y": 1}, "none": None},
        {"e": {"glad": 1}, "many": ["a", "b"], "v": 1, "soft": {"z": 2}},
    )
    assert found == {
        "e": TaskSpec(name="e", problem=Problem.ONE_OF_N, labels=("glad", "sad")),
        "many": TaskSpec(name="many", problem=Problem.MANY_OF_N, labels=("a", "b")),
        "v": TaskSpec(name="v", problem=Problem.REGRESSION, labels=("v",)),
        "soft": TaskSpec(name="soft", problem=Problem.ONE_OF_N, labels=("x", "y", "z")),
    }


def test_a_named_task_gives_the_order_of_its_classes(tmp_path: Path) -> None:
    ravdess = NAMED["ravdess"]
    every = [{"emotion": label} for label in ravdess.labels]
    assert tasks_of(tmp_path, *every, named=NAMED) == {"emotion": ravdess}
    # Four of eight classes: a head for all eight would never learn the others.
    assert tasks_of(tmp_path, *every[:4], named=NAMED)["emotion"].labels == tuple(
        sorted(ravdess.labels[:4])
    )


def test_a_track_needs_a_known_or_declared_task(tmp_path: Path) -> None:
    np.save(tmp_path / "va.npy", np.zeros((5, 2)))
    track = {"path": "va.npy", "fps": 5}
    assert tasks_of(tmp_path, {"affect": track}, named=NAMED) == {"affect": NAMED["abaw_affect"]}
    with pytest.raises(DataError, match=r"2 columns a position(.|\n)*rows\.tasks\.yaml") as error:
        tasks_of(tmp_path, {"mood": track}, named=NAMED)
    assert "name: mood" in str(error.value)
    with pytest.raises(DataError, match="a list of numbers"):
        tasks_of(tmp_path, {"mood": [0.1, 0.2]})
    with pytest.raises(DataError, match=r"two kinds: text in row '0', number in row '1'"):
        tasks_of(tmp_path, {"mood": "x"}, {"mood": 1})


MOOD = TaskSpec(
    name="mood", problem=Problem.ORDINAL, labels=("low", "high"), resolution=Resolution.UTTERANCE
)


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        ("json", json.dumps([MOOD.to_dict()])),
        ("json", json.dumps({"mood": MOOD.to_dict()})),
        ("json", json.dumps({"licence": "CC-BY-4.0", "tasks": [MOOD.to_dict()]})),
        ("yaml", "- {name: mood, problem: ordinal, labels: [low, high], resolution: utterance}"),
        ("yaml", "mood: {problem: ordinal, labels: [low, high], resolution: utterance}"),
        ("yml", "licence: CC-BY-4.0\ntasks:\n  mood: {problem: ordinal, labels: [low, high], "
                "resolution: utterance}"),
    ],
)  # fmt: skip
def test_declared_tasks_come_first(ending: str, text: str, tmp_path: Path) -> None:
    (tmp_path / f"rows.tasks.{ending}").write_text(text)
    path = lines(tmp_path, {"id": "a", "labels": {"e": "x", "mood": "low"}})
    manifest = Manifest.read(path)
    found = infer_tasks(manifest, {})
    assert list(found) == ["mood", "e"]
    assert found["mood"] == MOOD
    assert manifest.licence == ("CC-BY-4.0" if "licence" in text else None)
    again = Manifest.read(manifest.write(tmp_path / "other.csv").path)
    assert (again.tasks, again.licence) == ({"mood": MOOD}, manifest.licence)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {name: e, problem: two_of_n, labels: [x]}", "problem"),
        ("- {name: e, problem: one_of_n, lables: [x]}", "unknown task keys: lables"),
        ("just words", "a list of tasks"),
        ("- [", "cannot read"),
        ("- !!python/object/apply:os.system ['true']", "cannot read"),
        ("- {name: e, problem: one_of_n, labels: [x]}\n" * 2, "declared twice"),
    ],
)
def test_a_bad_declaration_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "rows.tasks.yaml").write_text(text)
    found = refused(lines(tmp_path, GOOD))
    assert words in found
    assert "rows.tasks.yaml" in found


def test_only_one_file_declares(tmp_path: Path) -> None:
    for ending in ("yaml", "json"):
        (tmp_path / f"rows.tasks.{ending}").write_text("[]")
    assert "declared twice" in refused(lines(tmp_path, GOOD))
