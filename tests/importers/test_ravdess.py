"""RAVDESS from its file names: made-up trees, and the real copy where there is one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from copies import brought_in, files, warned

from mien import importers
from mien.data import split
from mien.data.check import check
from mien.data.manifest import Manifest, infer_tasks
from mien.run.importing import take_in
from mien.tasks import NAMED


def test_a_name_says_everything(tmp_path: Path) -> None:
    source = files(tmp_path / "ravdess", "Actor_18/03-01-06-02-02-01-18.wav")
    report = take_in("ravdess", source, quiet=True)
    assert report.manifest == source / "ravdess.jsonl"
    manifest = Manifest.read(report.manifest)
    (row,) = manifest.rows
    assert (row.id, row.audio, row.video) == (
        "01-06-02-02-01-18",
        "Actor_18/03-01-06-02-02-01-18.wav",
        None,
    )
    assert (row.speaker, row.fold, row.labels) == ("18", 4, {"emotion": "fearful"})
    assert row.groups == {"gender": "female", "intensity": "strong", "statement": "dogs"}
    assert infer_tasks(manifest, {}) == {"emotion": NAMED["ravdess"]}
    assert manifest.licence == "CC-BY-NC-SA-4.0"


def test_one_performance_is_one_row(tmp_path: Path) -> None:
    """Films are taken with their own sound; picture and sound apart are joined."""
    take = "01-03-01-01-01-01"
    source = files(tmp_path, f"01-{take}.mp4", f"a/02-{take}.mp4", f"b/03-{take}.wav")
    files(
        source, "02-01-04-01-01-01-02.mp4", "03-01-04-01-01-01-02.wav", "03-01-05-01-01-01-03.wav"
    )
    report, rows = brought_in("ravdess", source)
    shown = {name: (row.video, row.audio) for name, row in rows.items()}
    assert shown == {
        take: (f"01-{take}.mp4", None),
        "01-04-01-01-01-02": ("02-01-04-01-01-01-02.mp4", "03-01-04-01-01-01-02.wav"),
        "01-05-01-01-01-03": (None, "03-01-05-01-01-01-03.wav"),
    }
    assert any("1 sound files are not needed" in note for note in report.notes)


@pytest.mark.parametrize(
    ("modality", "taken"),
    [
        ("audio", {"01": (None, "03"), "02": (None, "03"), "03": (None, "03"), "04": (None, "01")}),
        ("video", {"01": ("02", None), "02": ("02", None)}),
        ("audio-video", {"01": ("01", None), "02": ("02", "03"), "04": ("01", None)}),
    ],
)
def test_a_modality_may_be_asked_for(
    modality: str, taken: dict[str, tuple[str | None, str | None]], tmp_path: Path
) -> None:
    there = {"01": ("01", "02", "03"), "02": ("02", "03"), "03": ("03",), "04": ("01",)}
    for actor, kinds in there.items():
        for kind in kinds:
            ending = "wav" if kind == "03" else "mp4"
            files(tmp_path, f"{kind}-01-05-01-01-01-{actor}.{ending}")
    _, rows = brought_in("ravdess", tmp_path, modality=modality)
    shown = {
        str(row.speaker): (row.video and row.video[:2], row.audio and row.audio[:2])
        for row in rows.values()
    }
    assert shown == taken


def test_song_is_a_corpus_of_its_own(tmp_path: Path) -> None:
    files(tmp_path, "03-01-01-01-01-01-01.wav", "03-02-06-02-01-01-01.wav")
    report, rows = brought_in("ravdess", tmp_path)
    assert list(rows) == ["01-01-01-01-01-01"]
    assert any("1 files belong to another part" in note for note in report.notes)
    report, rows = brought_in("ravdess-song", tmp_path)
    assert report.manifest.name == "ravdess-song.jsonl"
    assert list(rows) == ["02-06-02-01-01-01"]
    tasks = Manifest.read(report.manifest).tasks
    assert tasks["emotion"].labels == NAMED["ravdess"].labels[:6]


@pytest.mark.parametrize("name", ["ravdess", "ravdess-song"])
def test_the_names_of_a_whole_copy_make_its_counts(name: str, tmp_path: Path) -> None:
    """Names, classes, folds and speakers are stated apart from each other: they agree."""
    expected = importers.named(name).expected
    assert expected is not None
    assert expected.names is not None
    names = [f"03-{rest}.wav" for rest in expected.names()]
    assert len(names) == len(set(names)) == expected.rows
    report, rows = brought_in(name, files(tmp_path, *names))
    assert len(rows) == expected.rows
    assert not report.warnings
    assert report.counts["rows"]["expected"] == expected.rows
    assert report.counts["speakers"]["found"] == expected.speakers


def test_a_partial_copy_says_what_is_missing(tmp_path: Path) -> None:
    files(tmp_path, "03-01-01-01-01-01-01.wav")
    report, _ = brought_in("ravdess", tmp_path)
    found = warned(report)
    assert len(found["partial copy"]) == 1439
    assert "01-08-02-02-02-24" in found["partial copy"]
    assert "neutral 1 of 96" in found["classes"]
    assert "fold 5 0 of 240" in found["folds"]
    assert "1 of 1,440 rows" in report.text


@pytest.mark.shared
def test_the_real_copy_is_whole(shared: Path, tmp_path: Path) -> None:
    report, found = brought_in(
        "ravdess", shared / "data" / "ravdess_speech", tmp_path / "ravdess.jsonl"
    )
    assert not report.warnings
    assert len(found) == 1440
    manifest = Manifest.read(report.manifest, root=report.root)
    classes = Counter(str(row.labels["emotion"]) for row in manifest.rows)
    assert classes == {name: 96 if name == "neutral" else 192 for name in NAMED["ravdess"].labels}
    assert Counter(row.fold for row in manifest.rows) == dict.fromkeys(range(6), 240)
    parts = [split.partition(manifest.rows, fold=fold, held_out=0) for fold in range(6)]
    tested = [{row.speaker for row in part.test} for part in parts]
    assert tested[0] == {"01", "02", "03", "04"}
    assert tested[5] == {"21", "22", "23", "24"}
    for part in parts:
        assert not {row.speaker for row in part.test} & {row.speaker for row in part.train}
    some = manifest.only(manifest.rows[::48])
    assert check(some, infer_tasks(some, NAMED)).ok
