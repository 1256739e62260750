"""CREMA-D and EmoDB from their file names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from copies import brought_in, files, warned

from mien.data.manifest import Manifest
from mien.tasks import NAMED

BROKEN = ("1076_MTI_NEU_XX", "1076_MTI_SAD_XX", "1064_TIE_SAD_XX", "1064_IEO_DIS_MD")


def test_crema_d_names_and_folds(tmp_path: Path) -> None:
    first = {
        1001: 0,
        1018: 0,
        1019: 1,
        1036: 1,
        1037: 2,
        1054: 2,
        1055: 3,
        1072: 3,
        1073: 4,
        1091: 4,
    }
    files(tmp_path, *(f"AudioWAV/{actor}_IEO_HAP_HI.wav" for actor in first))
    files(tmp_path, "VideoFlash/1001_IEO_HAP_HI.flv", "AudioWAV/1040_ITH_SAD_X.wav")
    report, rows = brought_in("crema-d", tmp_path)
    assert {int(str(row.speaker)): row.fold for row in rows.values() if "IEO" in row.id} == first
    both = rows["1001_IEO_HAP_HI"]
    assert (both.video, both.audio) == ("VideoFlash/1001_IEO_HAP_HI.flv", None)
    assert both.labels == {"emotion": "happiness"}
    assert both.groups == {"sentence": "IEO", "intensity": "high"}
    assert rows["1040_ITH_SAD_X"].groups["intensity"] == "unspecified"
    assert Manifest.read(report.manifest).tasks["emotion"].labels == NAMED["crema_d"].labels
    expected = [pair["expected"] for pair in report.counts["folds"].values()]
    assert expected == [1463, 1470, 1475, 1474, 1555]
    assert report.counts["rows"]["expected"] == sum(expected) == 7437


def test_crema_d_leaves_out_what_its_protocol_does(tmp_path: Path) -> None:
    files(tmp_path, *(f"{name}.wav" for name in BROKEN), "1076_MTI_ANG_XX.wav")
    report, rows = brought_in("crema-d", tmp_path)
    assert list(rows) == ["1076_MTI_ANG_XX"]
    (note,) = [note for note in report.notes if "broken" in note]
    assert all(name in note for name in BROKEN)


def test_emodb_letters_and_folds(tmp_path: Path) -> None:
    letters = dict(zip("WLEAFTN", NAMED["emodb"].labels, strict=True))
    files(tmp_path, *(f"wav/08b02{letter}c.wav" for letter in letters), "wav/03a01F.wav")
    _, rows = brought_in("emodb", tmp_path)
    said = {name[5]: row.labels["emotion"] for name, row in rows.items()}
    assert said == letters
    assert rows["03a01F"].groups == {"gender": "male", "sentence": "a01"}
    assert rows["08b02Wc"].groups["gender"] == "female"


@pytest.mark.shared
def test_emodb_the_real_copy_is_partial(shared: Path, tmp_path: Path) -> None:
    report, rows = brought_in("emodb", shared / "data" / "emodb", tmp_path / "emodb.jsonl")
    assert len(rows) == 339
    classes = Counter(str(row.labels["emotion"]) for row in rows.values())
    assert classes == {"anger": 127, "happiness": 71, "sadness": 62, "neutral": 79}
    found = warned(report)
    assert "partial copy" in found
    assert found["classes"] == ["boredom 0 of 81", "disgust 0 of 46", "fear 0 of 69"]
    assert "339 of 535 rows of emodb" in report.text
    people = [set(report.people[f"fold {fold}"]) for fold in range(5)]
    assert len(set.union(*people)) == sum(map(len, people)) == 10
    for fold in range(5):
        voices = {row.groups["gender"] for row in rows.values() if row.fold == fold}
        assert voices == {"male", "female"}
