"""RAVDESS from its file names: made-up trees, and the real copy where there is one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mien.data import split
from mien.data.check import check
from mien.data.manifest import Manifest, infer_tasks
from mien.errors import DataError
from mien.run.importing import take_in
from mien.tasks import NAMED


def copy(folder: Path, *names: str) -> Path:
    """Empty files, each in the folder of its actor."""
    for name in names:
        file = folder / f"Actor_{Path(name).stem[-2:]}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def test_a_name_says_everything(tmp_path: Path) -> None:
    source = copy(tmp_path / "ravdess", "03-01-06-02-02-01-18.wav")
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
    source = copy(tmp_path / "r", f"01-{take}.mp4", f"02-{take}.mp4", f"03-{take}.wav")
    copy(source, "02-01-04-01-01-01-02.mp4", "03-01-04-01-01-01-02.wav", "03-01-05-01-01-01-03.wav")
    report = take_in("ravdess", source, quiet=True)
    rows = {row.id: row for row in Manifest.read(report.manifest).rows}
    assert len(rows) == 3
    film, apart, heard = (rows[name] for name in sorted(rows))
    assert (film.video, film.audio) == (f"Actor_01/01-{take}.mp4", None)
    assert (apart.video, apart.audio) == (
        "Actor_02/02-01-04-01-01-01-02.mp4",
        "Actor_02/03-01-04-01-01-01-02.wav",
    )
    assert (heard.video, heard.audio) == (None, "Actor_03/03-01-05-01-01-01-03.wav")


@pytest.mark.shared
def test_the_real_copy_is_whole(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "ravdess_speech"
    report = take_in("ravdess", source, out=tmp_path / "ravdess.jsonl", quiet=True)
    assert not report.warnings
    manifest = Manifest.read(report.manifest, root=report.root)
    assert len(manifest.rows) == 1440
    classes = Counter(str(row.labels["emotion"]) for row in manifest.rows)
    assert classes == {name: 96 if name == "neutral" else 192 for name in NAMED["ravdess"].labels}
    assert Counter(row.fold for row in manifest.rows) == dict.fromkeys(range(6), 240)
    parts = [split.partition(manifest.rows, fold=fold) for fold in range(6)]
    tested = [{row.speaker for row in part.test} for part in parts]
    assert tested[0] == {"01", "02", "03", "04"}
    assert tested[5] == {"21", "22", "23", "24"}
    for part in parts:
        assert not {row.speaker for row in part.test} & {row.speaker for row in part.train}
    assert check(manifest, infer_tasks(manifest, NAMED)).ok


def test_a_folder_without_ravdess_says_how_names_look(tmp_path: Path) -> None:
    (tmp_path / "clip.wav").touch()
    with pytest.raises(DataError, match=r"none of 1 media files fits, such as clip\.wav") as error:
        take_in("ravdess", tmp_path, quiet=True)
    assert "03-01-05-02-01-01-12.wav" in str(error.value)
