"""Aff-Wild2 as its specification describes it: annotation files, gaps, two people in a video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from challenge import TRACKS, VIDEOS, annotation, copy, pictures

from mien.data import targets, tracks
from mien.data.batch import RowDataset
from mien.data.manifest import Manifest, Track
from mien.errors import DataError
from mien.importers import aff_wild2
from mien.importers.corpus import Options
from mien.run.importing import take_in
from mien.tasks.affect import ABAW_AFFECT, ABAW_EXPRESSION
from mien.types import Unit


def _import(folder: Path, name: str, **options: Any) -> Manifest:
    report = take_in(name, folder, options=Options(**options), quiet=True)
    return Manifest.read(report.manifest)


@pytest.mark.parametrize("name", sorted(TRACKS))
def test_rows_say_what_the_files_say(name: str, tmp_path: Path) -> None:
    spec, _ = TRACKS[name]
    manifest = _import(copy(tmp_path), name)
    rows = {row.id: row for row in manifest.rows}
    assert rows.keys() == VIDEOS.keys()
    assert manifest.tasks == {spec.name: spec}
    assert manifest.licence == "Aff-Wild2 agreement: non-commercial research only"
    assert [rows[video].split for video in VIDEOS] == ["train", "train", "train", "test"]
    left, right = rows["video7_left"], rows["video7_right"]
    assert left.source == right.source == "video7", "two people of one video are never apart"
    assert (left.groups, right.groups) == ({"side": "left"}, {"side": "right"})
    for number, (video, (_, count, _)) in enumerate(VIDEOS.items()):
        row = rows[video]
        assert row.video == f"cropped_aligned/{video}"
        track = row.labels[spec.name]
        assert isinstance(track, Track)
        assert track.fps == row.fps == 30
        wide = 1 if spec.categorical else spec.width
        assert tracks.width(track, manifest.place) == wide, "so it is known undeclared, too"
        target = targets.of_frames(tracks.load(track, manifest.place, spec), spec)
        given = annotation(spec, count, number)
        expected = np.where(np.isin(given, spec.invalid), np.nan, given)
        if spec is ABAW_EXPRESSION:
            expected = np.nan_to_num(expected[:, 0], nan=-1)
        np.testing.assert_allclose(target.astype(np.float64), expected, atol=1e-6)


def test_a_test_set_is_asked_for_by_its_list_or_its_example(tmp_path: Path) -> None:
    copy(tmp_path)
    pictures(tmp_path / "cropped_aligned/30-30-1920x1080", 4, {2}, 9)
    (tmp_path / "list.txt").write_text("30-30-1920x1080\n")
    example = "image_location,valence,arousal\n30-30-1920x1080/00001.jpg,0,0\n"
    (tmp_path / "example.txt").write_text(example)
    for name in ("list.txt", "example.txt"):
        manifest = _import(tmp_path, "aff-wild2-va", split={"test": name}, media="cropped_aligned")
        splits = {row.id: row.split for row in manifest.rows}
        assert splits["30-30-1920x1080"] == "test"
        assert splits["47-30-654x480"] == "val", "what validates chooses the epoch"
        asked = next(row for row in manifest.rows if row.id == "30-30-1920x1080")
        assert asked.labels == {}


def test_two_people_of_a_video_on_both_sides_are_a_leak(tmp_path: Path) -> None:
    copy(tmp_path)
    place = tmp_path / "annotations/VA_Estimation_Challenge"
    (place / "Train_Set/video7_left.txt").rename(place / "Validation_Set/video7_left.txt")
    report = take_in("aff-wild2-va", tmp_path, quiet=True)
    assert {row.split for row in report.rows} == {None}
    assert [f for w in report.warnings if w.kind == "source leak" for f in w.found] == ["video7"]
    kept = take_in("aff-wild2-va", tmp_path, options=Options(keep_leaks=True), quiet=True)
    assert {row.split for row in kept.rows} == {"train", "test"}


def test_what_it_says_next_keeps_a_position_a_picture(tmp_path: Path) -> None:
    report = take_in("aff-wild2-au", copy(tmp_path), options=Options(fps=25), quiet=True)
    _, prepare, train = report.next
    assert "--faces none --fps 25" in prepare
    assert "mien train clip-sequential --stage frames" in train


def test_what_lacks_is_told(tmp_path: Path) -> None:
    copy(tmp_path)
    (tmp_path / "cropped_aligned/video7_left").rename(tmp_path / "cropped_aligned/elsewhere")
    report = take_in("aff-wild2-va", tmp_path, quiet=True)
    kinds = {finding.kind: finding for finding in report.warnings}
    assert kinds["no pictures"].found == ["video7_left"]
    assert "3 of 432 clips" in kinds["partial copy"].what
    assert len(report.rows) == 3
    assert any("--fps 30" in note for note in report.notes)


def test_copies_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="Train_Set"):
        take_in("aff-wild2-va", tmp_path / "empty", quiet=True)
    folder = copy(tmp_path / "whole")
    with pytest.raises(DataError, match="has pictures"):
        take_in("aff-wild2-va", folder, options=Options(media="annotations"), quiet=True)
    pictures(folder / "cropped/video7_left", 2, set(), 0)
    with pytest.raises(DataError, match="two folders are called 'video7_left'"):
        take_in("aff-wild2-va", folder, quiet=True)
    again = folder / "old/VA_Estimation_Challenge/Train_Set"
    again.mkdir(parents=True)
    (again / "video7_left.txt").write_text("valence,arousal\n0,0\n")
    with pytest.raises(DataError, match="annotated twice"):
        take_in("aff-wild2-va", folder, quiet=True)
    options = Options(split={"train": "x.txt"})
    with pytest.raises(DataError, match="comes with the annotations"):
        take_in("aff-wild2-expr", folder, options=options, quiet=True)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("valence;arousal\n0;0\n", "its header names"),
        ("arousal,valence\n0,0\n", "its header names"),
        ("valence,arousal\n0,0\n0\n", "line 3 holds '0', not 2 numbers"),
        ("valence,arousal\n0,0\n0,x\n", "line 3 holds"),
        ("valence,arousal\n0,0\n\n0,0\n", "line 3 holds ''"),
    ],
)
def test_annotations_that_are_none_are_refused_by_line(
    text: str, what: str, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(text)
    row = {"id": "a", "text": "x", "labels": {"affect": {"path": "a.txt"}}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    manifest = Manifest.read(tmp_path / "rows.jsonl")
    specs = {"affect": ABAW_AFFECT}
    data = RowDataset(manifest.rows, manifest, {"text": "text"}, specs, Unit.WINDOW)
    with pytest.raises(DataError, match=what):
        data.targets(0)


def test_windows_line_ends_and_a_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfvalence,arousal\r\n0.5,-5\r\n-1,1")
    row = {"id": "a", "text": "x", "labels": {"affect": {"path": "a.txt"}}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    manifest = Manifest.read(tmp_path / "rows.jsonl")
    specs = {"affect": ABAW_AFFECT}
    data = RowDataset(manifest.rows, manifest, {"text": "text"}, specs, Unit.WINDOW)
    found = data.targets(0)["affect"]
    np.testing.assert_array_equal(found, np.array([[0.5, np.nan], [-1, 1]], np.float32))


def test_the_three_are_known_by_name() -> None:
    corpora = (aff_wild2.VALUES, aff_wild2.EXPRESSIONS, aff_wild2.ACTION_UNITS)
    assert [corpus.name for corpus in corpora] == list(TRACKS)
    assert "no real copy" in aff_wild2.VALUES.verified
