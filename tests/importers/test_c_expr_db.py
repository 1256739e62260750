"""C-EXPR-DB by its specification: stray spaces, ten milliseconds, clips, and folds that leak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mien.cli import app
from mien.data.manifest import Manifest
from mien.errors import DataError
from mien.importers.c_expr_db import _lines
from mien.importers.corpus import Options
from mien.run.importing import take_in
from mien.tasks.affect import ABAW_COMPOUND, BASICS, C_EXPR_DB

HEAD = "Begin Time - hh:mm:ss.ms,End Time - hh:mm:ss.ms,"
CLASSES = [label.replace("_", " ") for label in C_EXPR_DB.labels]


def _line(begin: str, end: str, label: str, mark: str = "1") -> str:
    cells = [mark if name == label else "" for name in CLASSES]
    return f"{begin},{end},{','.join(cells)}"


def _annotations(folder: Path, name: str, *lines: str) -> None:
    text = "\n".join([HEAD + ", ".join(CLASSES), *lines])
    (folder / f"{name}.csv").write_text(text + "\n", encoding="utf-8")


def _copy(folder: Path) -> Path:
    """Six videos with three stretches each, and files that are none of this."""
    folder.mkdir(exist_ok=True)
    (folder / "else.csv").write_text("a,b\n1,2\n")
    for number in range(1, 7):
        name = f"{number:02d}"
        (folder / f"{name}.mp4").touch()
        _annotations(
            folder,
            name,
            _line("00:00:01.500", "00:00:03.25", "Sadly Angry", " 1 "),
            _line("00:01:00.000", "00:01:02.000", "Sadly Angry"),
            ",,,,,,,,,",
            _line("01:00:00.000", "01:00:00.010", "Fearfully Surprised"),
            _line("01:00:01.000", "01:00:02.000", "Other"),
        )
    return folder


def _import(folder: Path, name: str = "c-expr-db", **options: Any) -> tuple[Manifest, Any]:
    report = take_in(name, folder, options=Options(**options), quiet=True)
    return Manifest.read(report.manifest), report


def test_stretches_become_rows_and_ten_milliseconds_a_picture(tmp_path: Path) -> None:
    manifest, report = _import(_copy(tmp_path))
    rows = {row.id: row for row in manifest.rows}
    assert len(rows) == 24
    first = rows["01_Sadly-Angry_0"]
    assert (first.video, first.start, first.end) == ("01.mp4", 1.5, 3.25)
    assert first.labels == {"compound": "Sadly_Angry"}
    assert (rows["01_Sadly-Angry_1"].start, first.source) == (60, "01")
    short = rows["02_Fearfully-Surprised_0"]
    assert short.start == 3600
    assert short.end == pytest.approx(3600 + 1 / 30), "one picture, not none"
    kinds = {finding.kind: finding for finding in report.warnings}
    assert len(kinds["short"].found) == 6
    assert manifest.tasks == {"compound": C_EXPR_DB}
    assert manifest.tasks["compound"].aside == ("Other",)
    seven, report = _import(tmp_path, "c-expr-db-7")
    assert len(seven.rows) == 18
    assert seven.tasks == {"compound": ABAW_COMPOUND}
    assert any("6 stretches of Other" in note for note in report.notes)


def test_folds_keep_videos_whole(tmp_path: Path) -> None:
    manifest, report = _import(_copy(tmp_path))
    by_source = {row.source: {r.fold for r in manifest.rows if r.source == row.source}
                 for row in manifest.rows}  # fmt: skip
    assert all(len(folds) == 1 for folds in by_source.values())
    assert {row.fold for row in manifest.rows} == set(range(5))
    assert any("whole videos" in note for note in report.notes)


def _lists(folder: Path) -> None:
    """Published folds: each tests one stretch of every video and trains on the others."""
    names = ["Sadly-Angry_0", "Sadly-Angry_1", "Fearfully-Surprised_0"]
    for fold, tested in enumerate(names):
        (folder / f"split-{fold}").mkdir()
        for part, chosen in (("test", [tested]), ("train", [n for n in names if n != tested])):
            lines = [
                f"{name.rpartition('_')[0]}/{video:02d}_{name}.mp4,{6 if 'A' in name else 0},"
                f"I said: no, {video}"
                for video in range(1, 7)
                for name in chosen
            ]
            (folder / f"split-{fold}/{part}.txt").write_text("\n".join(lines))


def test_published_folds_are_named_and_their_overlap_is_leakage(tmp_path: Path) -> None:
    _lists(_copy(tmp_path))
    manifest, report = _import(tmp_path, "c-expr-db-7")
    notes = [note for note in report.notes if note.startswith("published fold")]
    assert notes[0].startswith("published fold 0: 6 of 6 tested clips are of a video")
    groups = {row.id: row.groups for row in manifest.rows}
    assert groups["03_Sadly-Angry_1"] == {"published fold": 1}
    assert manifest.rows[0].text == "I said: no, 1"
    fold = {"{}": ("split-{}/train.txt", "split-{}/test.txt")}
    manifest, report = _import(tmp_path, "c-expr-db-7", fold=fold)
    assert {row.fold for row in manifest.rows} == {None}, "not unless somebody asks for it"
    assert "source leak" in {finding.kind for finding in report.warnings}
    manifest, _ = _import(tmp_path, "c-expr-db-7", fold=fold, keep_leaks=True)
    assert {row.id: row.fold for row in manifest.rows}["03_Sadly-Angry_1"] == 1
    command = ["data", "check", str(manifest.path), "--json", "-q"]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 1
    leaks = [
        error for error in json.loads(found.stdout)["errors"] if error["kind"] == "source leak"
    ]
    assert leaks, "clips of one video on both sides"


def test_clips_that_were_cut_out_are_taken_by_their_place(tmp_path: Path) -> None:
    """Whether they are counted from 0 or from 1."""
    folder = tmp_path / "trimmed"
    _copy(folder)
    for number in (1, 2):
        place = folder / "clips/Sadly-Angry"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"01_Sadly-Angry_{number}.mp4").touch()
    rows = {row.id: row for row in _import(folder)[0].rows}
    assert rows["01_Sadly-Angry_0"].video == "clips/Sadly-Angry/01_Sadly-Angry_1.mp4"
    assert rows["01_Sadly-Angry_0"].start is None
    assert rows["02_Sadly-Angry_0"].video == "02.mp4"
    manifest, _ = _import(folder / "clips")
    assert [row.id for row in manifest.rows] == ["01_Sadly-Angry_1", "01_Sadly-Angry_2"]
    assert {row.source for row in manifest.rows} == {"01"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0:0,00:00:01.0,1", "is no time"),
        (_line("00:00:01.0", "00:00:02.0", "Other", "x"), "marks no class"),
        (HEAD.replace("Begin Time - hh:mm:ss.ms", "00:00:00.0")[:11] + "00:00:01.0,1,1", "both"),
    ],
)
def test_annotations_that_cannot_be_meant_are_refused(line: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "01.mp4").touch()
    _annotations(tmp_path, "01", line)
    with pytest.raises(DataError, match=what) as caught:
        _import(tmp_path)
    assert str(caught.value.where).endswith("01.csv:2")


def test_what_is_odd_is_told_and_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "01.mp4").touch()
    _annotations(
        tmp_path,
        "01",
        _line("00:00:01.0", "00:00:02.0", "nothing"),
        _line("00:00:02.0", "00:00:01.0", "Other"),
        _line("00:00:03.0", "00:00:04.0", "Other"),
    )
    _annotations(tmp_path, "02", _line("00:00:03.0", "00:00:04.0", "Other"))
    manifest, report = _import(tmp_path)
    assert [row.id for row in manifest.rows] == ["01_Other_0"]
    kinds = {finding.kind: finding.found for finding in report.warnings}
    assert kinds["missing"] == ["02_Other_0"]
    assert (kinds["unmarked"], kinds["backwards"]) == (["01.csv:2"], ["01.csv:3"])
    (tmp_path / "again").mkdir()
    _annotations(tmp_path / "again", "01")
    with pytest.raises(DataError, match="annotated twice"):
        _import(tmp_path)
    (tmp_path / "again/01.csv").rename(tmp_path / "again/01.mp4")
    with pytest.raises(DataError, match="two films are called '01'"):
        _import(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="neither annotations nor clips"):
        _import(tmp_path / "none")
    (tmp_path / "list.txt").write_text("a.mp4\n")
    with pytest.raises(DataError, match="no class"):
        list(_lines(tmp_path / "list.txt"))


def test_each_compound_emotion_has_two_basic_ones() -> None:
    assert tuple(BASICS) == ABAW_COMPOUND.labels
    assert all(len(set(pair)) == 2 for pair in BASICS.values())
