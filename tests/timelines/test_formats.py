"""Timelines to files and back: nothing is lost, and nothing hostile gets in."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import talks
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mien.errors import DataError
from mien.timelines import formats
from mien.timelines.values import timeline_of
from mien.types import Timeline, Track, Window

LOSSLESS = [name for name, held in formats.FORMATS.items() if held.read is not None]
_QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]

# -- nothing is lost -------------------------------------------------------------------------------


def _named(*names: str) -> Timeline:
    """Tasks and labels that could be taken for other columns."""
    scores = {task: dict.fromkeys(names, 0.25) for task in names}
    held = Window(start=-0.0, end=5e-324, scores=scores, present=dict.fromkeys(names, True))
    return Timeline(source=names[0], tracks=[Track(id=names[-1], windows=[held])])


@pytest.mark.parametrize("form", LOSSLESS)
@settings(max_examples=60, deadline=None, suppress_health_check=_QUIET)
@given(timelines=talks.ANY)
@example(timelines=[])
@example(timelines=[Timeline(source="", tracks=[])])
@example(timelines=[Timeline(source="x", tracks=[Track(id="", windows=[])], duration=0.0)])
@example(timelines=[_named("top", "uncertainty", "present", "box", "\\top", "a.b", "=1", "'=1")])
@example(timelines=[talks.talk("one.mp4"), talks.talk("one.mp4")])
@example(timelines=[talks.explained(), talks.talk()])
def test_what_was_written_is_read_to_the_last_bit(
    form: str, timelines: list[Timeline], tmp_path: Path
) -> None:
    path = tmp_path / f"said{formats.FORMATS[form].suffix}"
    assert formats.write(path, timelines) == [path]
    assert talks.bits(formats.read(path)) == talks.bits(timelines)


def test_the_lossless_formats_are_four() -> None:
    assert LOSSLESS == ["json", "jsonl", "csv", "parquet"]


@pytest.mark.parametrize("form", LOSSLESS)
def test_a_file_that_was_written_anew_is_the_same(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"said{formats.FORMATS[form].suffix}"
    formats.write(path, [talks.talk()], specs=talks.SPECS)
    before = path.read_bytes()
    formats.write(path, formats.read(path), specs=talks.SPECS)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


# -- JSON ------------------------------------------------------------------------------------------


def test_json_is_always_a_list_and_jsonl_a_line_each(tmp_path: Path) -> None:
    one, many = [talks.talk()], [talks.talk("a"), talks.talk("b")]
    for timelines in (one, many):
        formats.write(tmp_path / "x.json", timelines)
        formats.write(tmp_path / "x.jsonl", timelines)
        plain = [timeline.to_dict() for timeline in timelines]
        assert json.loads((tmp_path / "x.json").read_text()) == plain
        lines = (tmp_path / "x.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == plain


def test_a_single_object_is_read_too_and_defaults_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    window = {"start": 1, "end": 2, "scores": {"emotion": {"calm": 1}}}
    path.write_text(json.dumps({"source": "a", "tracks": [{"id": "clip", "windows": [window]}]}))
    held = Window(start=1.0, end=2.0, scores={"emotion": {"calm": 1.0}})
    assert formats.read(path) == [Timeline(source="a", tracks=[Track(id="clip", windows=[held])])]


# -- tables ----------------------------------------------------------------------------------------


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_row_a_window_and_columns_for_people(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    formats.write(path, [talks.talk()], specs=talks.SPECS)
    rows = _table(path)
    assert len(rows) == 13
    assert list(rows[0]) == [
        *("timeline", "source", "track", "kind", "start", "end"),
        *("emotion.calm", "emotion.happy", "emotion.sad", "emotion.top", "emotion.uncertainty"),
        *("affect.valence", "affect.arousal", "au.AU4", "au.AU12", "au.uncertainty"),
        *("present.audio", "present.video"),
        *("box.left", "box.top", "box.width", "box.height", "voice", "voice_score", "about"),
    ]
    assert [row["emotion.top"] for row in rows[:3]] == ["calm", "calm", "happy"]
    assert rows[12] | {"track": "voice", "affect.valence": "", "present.video": "false"} == rows[12]
    assert [bool(row["about"]) for row in rows] == [True] + [False] * 12
    formats.write(tmp_path / "x.parquet", [talks.talk()], specs=talks.SPECS)
    schema = pq.read_schema(tmp_path / "x.parquet")
    assert schema.names == list(rows[0])
    assert schema.field("emotion.calm").type == pa.float64()
    assert schema.field("present.audio").type == pa.bool_()


def test_the_best_label_is_for_people_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    formats.write(path, [talks.talk()], specs=talks.SPECS)
    path.write_text(path.read_text().replace(",happy,", ",whatever,"))
    assert formats.read(path) == [talks.talk()]


def test_rows_may_be_sorted_otherwise(tmp_path: Path) -> None:
    """As spreadsheets do: windows of a track keep the order that they then have."""
    path = tmp_path / "x.csv"
    formats.write(path, [talks.talk("a"), talks.talk("b")])
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    rows.sort(key=lambda row: row.split(",")[4])  # start
    path.write_text("\n".join([header, *rows]))
    for timeline in formats.read(path):
        tracks = {track.id: track for track in timeline.tracks}
        assert timeline.made_by == talks.talk().made_by
        for track in talks.talk().tracks:
            assert sorted(tracks[track.id].windows, key=lambda w: w.start) == track.windows


def test_no_cell_begins_like_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    formulas = ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "\rx", "\uff1dx", "'=x"]
    timelines = [
        Timeline(
            source=text,
            tracks=[
                Track(
                    id=text,
                    windows=[Window(start=-1.0, end=0.0, scores={text: {text: -0.5}}, voice=text)],
                )
            ],
        )
        for text in formulas
    ]
    formats.write(path, timelines)
    with path.open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    risky = [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))]
    assert set(risky) == {"-1.0", "-0.5"}  # numbers
    assert formats.read(path) == timelines


# -- which format ----------------------------------------------------------------------------------


def test_the_ending_names_the_format_or_the_name_does(tmp_path: Path) -> None:
    for name, held in formats.FORMATS.items():
        path = tmp_path / f"talk{held.suffix}"
        assert formats.write(path, [talks.talk()])[0] == path
        formats.write(tmp_path / f"{name}.anything", [talks.talk()], form=name)
        if name != "eaf":  # it holds its date
            assert (tmp_path / f"{name}.anything").read_bytes() == path.read_bytes()
    assert formats.read(tmp_path / "csv.anything", form="csv") == [talks.talk()]


def test_an_unknown_ending_names_all_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        formats.write(tmp_path / "talk.txt", [talks.talk()])
    for held in formats.FORMATS.values():
        assert held.suffix in caught.value.what
    assert caught.value.fix == str(tmp_path / "talk.json")
    with pytest.raises(DataError, match="without an ending"):
        formats.write(tmp_path / "talk", [talks.talk()])
    with pytest.raises(DataError, match="did you mean 'parquet'"):
        formats.write(tmp_path / "talk", [talks.talk()], form="parqet")
    assert not list(tmp_path.iterdir())


def test_what_other_tools_read_cannot_be_read_back(tmp_path: Path) -> None:
    formats.write(tmp_path / "x.srt", [talks.talk()])
    formats.write(tmp_path / "x.label-studio.json", [talks.talk()])
    for name in ("x.srt", "x.label-studio.json", "x.txt", "missing.json"):
        with pytest.raises(DataError):
            formats.read(tmp_path / name)


@pytest.mark.parametrize("form", ["srt", "vtt", "eaf"])
@pytest.mark.parametrize("count", [0, 2])
def test_captions_and_elan_hold_one_source(form: str, count: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"one source, not {count}"):
        formats.write(tmp_path / f"x.{form}", [talks.talk()] * count)


@pytest.mark.parametrize("form", [name for name in formats.FORMATS if name not in LOSSLESS])
def test_without_lengths_there_is_no_time_axis(form: str, tmp_path: Path) -> None:
    held = Window(start=0.0, end=0.0, scores={"emotion": {"calm": 1.0}})
    timeline = Timeline(source="row", tracks=[Track(id="clip", windows=[held])])
    path = tmp_path / f"x{formats.FORMATS[form].suffix}"
    with pytest.raises(DataError, match="how long it lasts"):
        formats.write(path, [timeline])
    assert not path.exists()


# -- what no file may hold -------------------------------------------------------------------------


@pytest.mark.parametrize("form", list(formats.FORMATS))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(form: str, value: float, tmp_path: Path) -> None:
    held = Window(start=0.0, end=1.0, scores={"emotion": {"calm": value}})
    path = tmp_path / f"x{formats.FORMATS[form].suffix}"
    with pytest.raises(DataError, match="not finite") as caught:
        formats.write(path, [Timeline(source="row", tracks=[Track(id="clip", windows=[held])])])
    assert caught.value.where == "'row', tracks[0].windows[0].scores"
    assert not path.exists()


def test_a_name_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file can hold"):
        formats.write(tmp_path / "x.json", [replace(talks.talk(), source="b\udcffd.mp4")])


GOOD: dict[str, Any] = json.loads(json.dumps(talks.talk().to_dict()))


def _changed(path: str, value: Any) -> dict[str, Any]:
    """The good timeline with something else in one place."""
    changed: dict[str, Any] = json.loads(json.dumps(GOOD))
    inner: Any = changed
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in way:
        inner = inner[step]
    inner[last] = value
    return changed


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("source", 3),
        ("source", "\ud800"),
        ("duration", -1.0),
        ("duration", True),
        ("duration", "20"),
        ("made_by", []),
        ("made_by.run", None),
        ("notes", "one"),
        ("notes.0", 1),
        ("tracks", {}),
        ("tracks.0", []),
        ("tracks.0.id", None),
        ("tracks.0.kind", "person"),
        ("tracks.0.kind", []),
        ("tracks.1.id", "face-1"),
        ("tracks.0.windows", None),
        ("tracks.0.windows.0", 7),
        ("tracks.0.windows.0.start", None),
        ("tracks.0.windows.0.start", 10**400),
        ("tracks.0.windows.0.end", -1.0),
        ("tracks.0.windows.0.scores", [0.1]),
        ("tracks.0.windows.0.scores.emotion", {}),
        ("tracks.0.windows.0.scores.emotion", 0.5),
        ("tracks.0.windows.0.scores.emotion.calm", "0.5"),
        ("tracks.0.windows.0.scores.emotion.calm", False),
        ("tracks.0.windows.0.uncertainty.emotion", 1.5),
        ("tracks.0.windows.0.present.audio", 1),
        ("tracks.0.windows.0.box", [0.1, 0.2, 0.3]),
        ("tracks.0.windows.0.box", [0.1, 0.2, 0.3, None]),
        ("tracks.0.windows.0.voice", None),
        ("tracks.0.windows.0.voice_score", "high"),
        ("tracks.0.windows.0.more", 1),
        ("tracks.0.sex", "f"),
        ("version", 1),
    ],
)
def test_a_wrong_value_is_named_with_its_place(place: str, value: Any) -> None:
    with pytest.raises(DataError) as caught:
        timeline_of(_changed(place, value))
    said = f"{caught.value.where} {caught.value.what}"
    assert place.split(".")[0] in said
    assert len(caught.value.what) < 200


def test_keys_that_have_no_default_are_needed() -> None:
    for key in ("source", "tracks"):
        with pytest.raises(DataError, match=key):
            timeline_of({name: held for name, held in GOOD.items() if name != key})
    with pytest.raises(DataError, match="JSON object"):
        timeline_of([GOOD])


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["source", "tracks", "id", "windows"]), inner)
        ),
        max_leaves=20,
    )
)
def test_any_json_is_a_timeline_or_a_clear_error(value: Any) -> None:
    try:
        made = timeline_of(value)
    except DataError:
        return
    assert timeline_of(made.to_dict()) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '[{"source": "a", "tracks": [], "duration": NaN}]',
        '[{"source": "a", "tracks": [], "duration": Infinity}]',
        '[{"source": "a", "tracks": [], "duration": 1e999}]',
        '[{"source": "a", "source": "b", "tracks": []}]',
        '[{"source": "\\ud800", "tracks": []}]',
        '[{"source": "a", "tracks": [], "duration": ' + "1" * 6000 + "}]",
        "[1]",
        "null",
    ],
    ids=range(11),
)
def test_hostile_json(text: str, tmp_path: Path) -> None:
    for name, content in (("x.json", text), ("x.jsonl", text.strip("[]") or "{")):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError) as caught:
            formats.read(tmp_path / name)
        assert name in str(caught.value.where)
    (tmp_path / "x.json").write_bytes(b'{"source": "\xff"}')
    with pytest.raises(DataError, match="UTF-8"):
        formats.read(tmp_path / "x.json")


_HEADER = "timeline,source,track,kind,start,end"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no header"),
        ("timeline,source,track,kind,start\n", "'end'"),
        (f"{_HEADER},start\n", "two columns"),
        (f"{_HEADER},Unnamed: 0\n", "no column 'Unnamed: 0'"),
        (f"{_HEADER},box.depth\n", "a box has no 'depth'"),
        (f"{_HEADER},e.calm\n0,a,b,face,0,1,nan\n", "'nan' is not a number"),
        (f"{_HEADER},e.calm\n0,a,b,face,0,1,1e999\n", "not finite"),
        (f"{_HEADER},e.calm\n0,a,b,face,0,1,1_0\n", "not a number"),
        (f"{_HEADER},present.audio\n0,a,b,face,0,1,1\n", "neither true nor false"),
        (f"{_HEADER}\n0,a,b,face,0\n", "5 cells"),
        (f"{_HEADER}\n,a,b,face,0,1\n", "which timeline"),
        (f"{_HEADER}\n0.5,a,b,face,0,1\n", "numbered"),
        (f"{_HEADER}\n0,a,b,face,0,1\n0,c,b,face,1,2\n", "two sources"),
        (f"{_HEADER}\n0,a,b,face,0,1\n0,a,b,voice,1,2\n", "two kinds"),
        (f"{_HEADER}\n0,a,b,,0,1\n", "no kind"),
        (f"{_HEADER}\n0,a,b,face,0,\n", "needs 'end'"),
        (f"{_HEADER},about\n0,a,b,face,0,1,[]\n", "about holds"),
        (f"{_HEADER},about\n0,a,b,face,0,1,{'[' * 9}\n", "not JSON"),
        (f'{_HEADER},about\n0,a,b,face,0,1,"{{""duration"": -1}}"\n', "-1.0"),
        (f"{_HEADER},about\n0,a,b,face,0,1,{{}}\n0,a,b,face,1,2,{{}}\n", "two cells"),
        (f'{_HEADER}\n0,"a"b,b,face,0,1\n', "not a CSV"),
    ],
)
def test_hostile_csv(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        formats.read(path)
    assert said in str(caught.value)
    assert "x.csv" in str(caught.value.where)


def _columns(**more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"timeline": [0], "source": ["a"], "track": ["b"], "kind": ["face"]}
    return plain | {"start": [0.0], "end": [1.0]} | more


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"source": ["a"]}, "'timeline'"),
        (_columns(**{"e.calm": [float("nan")]}), "not finite"),
        (_columns(**{"e.calm": ["0.5"]}), "holds string"),
        (_columns(**{"e.calm": [[0.5]]}), "holds list"),
        (_columns(source=[1.0]), "holds double"),
        (_columns(timeline=[-1]), "numbered"),
        (_columns(__index_level_0__=[1]), "no column"),
    ],
)
def test_hostile_parquet(columns: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataError) as caught:
        formats.read(path)
    assert said in str(caught.value)


def test_parquet_that_is_none_or_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    formats.write(path, [talks.talk()])
    whole = path.read_bytes()
    for content in (b"", b"PAR1", whole[:-5], whole[:50] + whole[90:], b"PAR1" * 100):
        path.write_bytes(content)
        with pytest.raises(DataError):
            formats.read(path)


def test_a_small_parquet_file_of_very_many_rows_is_refused(tmp_path: Path) -> None:
    """A run of one value takes no room in the file, and gigabytes outside."""
    path, rows = tmp_path / "x.parquet", 3_000_000
    same = {name: pa.repeat(held[0], rows) for name, held in _columns().items()}
    pq.write_table(pa.table(same), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="unfold"):
        formats.read(path)


def test_tables_of_other_tools_are_read(tmp_path: Path) -> None:
    """Narrower numbers, categories for texts, no value where one is missing."""
    path = tmp_path / "x.parquet"
    columns = _columns(
        timeline=pa.array([0.0]),
        kind=pa.array(["face"]).dictionary_encode(),
        start=pa.array([0], pa.int32()),
        voice=pa.array([None], pa.string()),
        **{"e.calm": pa.array([0.5], pa.float32()), "e.sad": pa.nulls(1)},
    )
    pq.write_table(pa.table(columns), path)
    held = Window(start=0.0, end=1.0, scores={"e": {"calm": 0.5}})
    track = Track(id="b", windows=[held], kind="face")
    assert formats.read(path) == [Timeline(source="a", tracks=[track])]
