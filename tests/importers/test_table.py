"""Any table: guesses that are said, columns that are remembered, cells that mean something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from copies import brought_in, files, text, warned

from mien.data.manifest import Inline, Manifest
from mien.errors import MienError


def refused(source: Path, **words: object) -> str:
    with pytest.raises(MienError) as error:
        brought_in("table", source, **words)  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_common_names_are_understood(mark: str, start: str, tmp_path: Path) -> None:
    files(tmp_path, "clips/a.mp4", "clips/b.wav")
    lines = (
        ("File Name", "Emotion", "Actor", "Split", "Transcript", "Comment"),
        ("clips/a.mp4", "happy", "ann", "train", "Oh; no, \t| well", "x"),
        ("clips/b.wav", "sad", "bob", "dev", "", ""),
    )
    rows = [mark.join(f'"{cell}"' for cell in line) for line in lines]
    (tmp_path / "my.csv").write_text(start + "\n".join(rows), encoding="utf-8")
    report, found = brought_in("table", tmp_path / "my.csv")
    a, b = found["clips/a"], found["clips/b"]
    assert (a.video, a.audio, a.speaker, a.split) == ("clips/a.mp4", None, "ann", "train")
    assert (b.video, b.audio, b.speaker, b.split) == (None, "clips/b.wav", "bob", "val")
    assert (a.text, b.text) == ("Oh; no, \t| well", None)
    assert (a.labels, b.labels) == ({"emotion": "happy"}, {"emotion": "sad"})
    (note,) = [note for note in report.notes if note.startswith("guessed")]
    for said in ("media=File Name", "labels.emotion=Emotion", "speaker=Actor", "split=Split"):
        assert said in note


def test_columns_are_mapped_once_and_remembered(tmp_path: Path) -> None:
    files(tmp_path, "a.wav")
    text(tmp_path / "my.csv", "wo,was,wer", "a.wav,7,ann")
    assert "There are 'wo', 'was', 'wer'" in refused(tmp_path / "my.csv")
    column = {"media": "wo", "labels.mood": "was", "speaker": "wer"}
    first, rows = brought_in(
        "table", tmp_path / "my.csv", column=column, rename={"7": "glad", "8": "sad"}
    )
    assert rows["a"].labels == {"mood": "glad"}
    assert first.status == "written"
    files(tmp_path, "b.wav")
    text(tmp_path / "my.csv", "wo,was,wer", "a.wav,7,ann", "b.wav,8,bob")
    again, rows = brought_in("table", tmp_path / "my.csv")
    assert again.status == "replaced"
    assert [row.labels["mood"] for row in rows.values()] == ["glad", "sad"]
    assert any("as the last time: --column, --rename" in note for note in again.notes)


def test_guesses_are_remembered_too_and_can_be_put_off(tmp_path: Path) -> None:
    files(tmp_path, "a.wav")
    text(tmp_path / "my.csv", "file,label,speaker", "a.wav,x,somebody")
    _, rows = brought_in("table", tmp_path / "my.csv", column={"speaker": ""})
    assert rows["a"].speaker is None
    kept = (tmp_path / "my.import.yaml").read_text()
    assert "media: file" in kept
    assert "speaker" not in kept.partition("wrote")[0].partition("column:")[2]


def test_two_columns_that_could_be_one_field_are_said(tmp_path: Path) -> None:
    files(tmp_path, "a.wav")
    text(tmp_path / "my.csv", "file,label,emotion", "a.wav,1,happy")
    assert "which column holds the label?" in refused(tmp_path / "my.csv")
    report, rows = brought_in("table", tmp_path / "my.csv", column={"labels.emotion": "emotion"})
    assert rows["a"].labels == {"emotion": "happy"}
    text(tmp_path / "two.csv", "file,label,actor,subject", "a.wav,x,1,2")
    report, rows = brought_in("table", tmp_path / "two.csv")
    assert rows["a"].speaker is None
    assert any("actor or subject may be speaker" in note for note in report.notes)


def test_fields_may_be_made_of_several_columns(tmp_path: Path) -> None:
    files(tmp_path, "clips/dia0_utt1.mp4")
    text(tmp_path / "train.csv", "Dialogue_ID,Utterance_ID,Emotion", "0,1,joy")
    column = {
        "id": "{split}-{Dialogue_ID}-{Utterance_ID}",
        "media": "clips/dia{Dialogue_ID}_utt{Utterance_ID}.mp4",
        "turn": "Utterance_ID",
    }
    _, rows = brought_in("table", tmp_path / "train.csv", column=column)
    assert rows["-0-1"].video == "clips/dia0_utt1.mp4"
    assert rows["-0-1"].turn == 1


def test_numbers_may_be_classes(tmp_path: Path) -> None:
    text(tmp_path / "my.csv", "id,label", "a,1", "b,2", "c,")
    report, rows = brought_in("table", tmp_path / "my.csv")
    assert [row.labels.get("emotion") for row in rows.values()] == [1, 2, None]
    assert any("--labels names them" in note for note in report.notes)
    report, rows = brought_in("table", tmp_path / "my.csv", labels="glad,sad")
    assert [row.labels.get("emotion") for row in rows.values()] == ["glad", "sad", None]
    assert Manifest.read(report.manifest).tasks["emotion"].labels == ("glad", "sad")


def test_cells_hold_what_cells_of_a_manifest_hold(tmp_path: Path) -> None:
    files(tmp_path, "a.mp4", "f/a.npy")
    np.save(tmp_path / "t.npy", np.zeros((3, 2)))
    (tmp_path / "my.tsv").write_text(
        "file\tvotes\tau\tface\tvalence\tbeginn\tend\n"
        'a.mp4\t"{""happy"": 2, ""sad"": 1}"\t[0.5, 1]\tf/a.npy\t0.25\t00:00:01,500\t2.5\n',
        encoding="utf-8",
    )
    column = {
        "labels.emotion": "votes",
        "labels.valence": "valence",
        "features.au": "au",
        "features.face": "face",
        "start": "beginn",
    }
    _, rows = brought_in("table", tmp_path / "my.tsv", column=column)
    row = rows["a-1"]
    assert row.labels == {"emotion": {"happy": 2.0, "sad": 1.0}, "valence": 0.25}
    assert row.features == {"au": Inline([0.5, 1]), "face": "f/a.npy"}
    assert (row.start, row.end) == (1.5, 2.5)


def test_a_parquet_table_keeps_its_vectors(tmp_path: Path) -> None:
    table = {"key": ["a", "b"], "emotion": ["x", "y"], "actor": [1, 2], "au": [[1.0, 2], [3.0, 4]]}
    pq.write_table(pa.table(table | {"jpg": [b"1", b"2"]}), tmp_path / "my.parquet")
    report, rows = brought_in("table", tmp_path / "my.parquet", column={"features.au": "au"})
    assert rows["a"].features == {"au": Inline([1, 2])}
    assert rows["b"].speaker == "2"
    assert [command.split()[2] for command in report.next] == ["check"]


def test_lines_may_run_on_within_quotes(tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text('id,text,label\na,"two\nlines\u2028and more",x\n\nb,c,y\n')
    _, rows = brought_in("table", tmp_path / "my.csv")
    assert rows["a"].text == "two\nlines\u2028and more"
    assert "my.csv:6" in _after(tmp_path / "my.csv", "c,too,many,cells\n")


def _after(file: Path, line: str) -> str:
    file.write_text(file.read_text() + line)
    return refused(file)


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (b"", {}, "this table is empty"),
        (b"id,label\n", {}, "this table has no rows"),
        (b"id,label,id\na,b,c\n", {}, "two columns are called 'id'"),
        (b"id,label\na,x\na,y\n", {}, "the id 'a' was given before, in"),
        (b"id,label\n\xe9,x\n", {}, "perhaps latin-1"),
        (b'id,label\na,"x\n', {}, "this is not a table"),
        (b"id,label\na,x\n", {"column": {"speeker": "id"}}, "did you mean 'speaker'"),
        (b"id,label\na,x\n", {"column": {"speaker": "lable"}}, "did you mean 'label'"),
        (b"id,label\na,x\n", {"column": {"speaker": "{lable}"}}, "did you mean 'label'"),
        (b"id,label,split\na,x,later\n", {}, "there is no part 'later'"),
        (b"file,label\na.wav,x\n", {}, "none of 1 named files is here"),
        (b"id,label,start,wav\na,x,soon,b.wav\n", {}, "start is a number, not 'soon'"),
        (b"id,label\na,9\n", {"labels": "x,y"}, "there is no class 9"),
    ],
)
def test_a_bad_table_is_refused(
    content: bytes, words: dict[str, object], said: str, tmp_path: Path
) -> None:
    files(tmp_path, "b.wav")
    (tmp_path / "my.csv").write_bytes(content)
    assert said in refused(tmp_path / "my.csv", **words)


def test_tables_of_several_parts(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        text(tmp_path / f"{name}.csv", "id,label", f"{name}1,x")
    _, rows = brought_in("table", tmp_path / "train.csv", split={"val": "dev.csv"})
    assert {name: row.split for name, row in rows.items()} == {"train1": "train", "dev1": "val"}
    text(tmp_path / "dev.csv", "key,lbl", "dev1,x")
    assert "there is no column" in refused(tmp_path / "train.csv", split={"val": "dev.csv"})


def test_media_that_are_not_there(tmp_path: Path) -> None:
    files(tmp_path, "a.wav")
    text(tmp_path / "my.csv", "file,label,text", "a.wav,x,", "b.wav,x,", "c.wav,x,said")
    report, rows = brought_in("table", tmp_path / "my.csv")
    assert warned(report)["missing"] == ["b.wav", "c.wav"]
    assert {row.text for row in rows.values()} == {None, "said"}


@pytest.mark.shared
def test_meld_by_its_tables(shared: Path, tmp_path: Path) -> None:
    """The official parts have the same six friends on all sides: left out, unless asked for."""
    words: dict[str, Any] = {
        "split": {"test": "test_sent_emo.csv"},
        "column": {
            "id": "{split}-{Dialogue_ID}-{Utterance_ID}",
            "dialogue": "{split}-{Dialogue_ID}",
            "turn": "Utterance_ID",
        },
    }
    source, out = shared / "data" / "meld_text" / "dev_sent_emo.csv", tmp_path / "meld.jsonl"
    report, rows = brought_in("table", source, out, **words)
    assert len(rows) == 1109 + 2610
    assert report.root is None
    assert "Chandler" in warned(report)["speaker leak"]
    assert {row.split for row in rows.values()} == {None}
    report, rows = brought_in("table", source, out, keep_leaks=True, **words)
    assert report.to_dict()["counts"]["splits"] == {"train": 1109, "test": 2610}
    assert "kept, as asked for" in report.text
