"""Published corpora, read by their own column names and cut by their own people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.data import split
from mien.data.batch import RowDataset, collate
from mien.data.check import check
from mien.data.manifest import Manifest, infer_tasks
from mien.tasks import NAMED
from mien.types import Unit

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not DATA.is_dir(), reason="the data folder is not beside this checkout"),
]


@pytest.fixture(scope="module")
def ravdess() -> Manifest:
    columns = {
        "id": "key",
        "speaker": "actor",
        "labels.emotion": "emotion",
        "features.au": "au",
        "features.mfcc": "mfcc",
    }
    return Manifest.read(DATA / "ravdess_au_mfcc.parquet", columns=columns)


def test_ravdess_has_its_24_actors_in_6_folds(ravdess: Manifest) -> None:
    specs = infer_tasks(ravdess, NAMED)
    assert specs == {"emotion": NAMED["ravdess"]}
    folds = split.make_folds(ravdess.rows, 6, seed=0)
    by_fold = [{row.speaker for row in ravdess.rows if folds[row.id] == k} for k in range(6)]
    assert [len(people) for people in by_fold] == [4] * 6
    rows = RowDataset(ravdess.rows, ravdess, {"video": "au", "audio": "mfcc"}, specs, Unit.CLIP)
    batch = collate([rows[i] for i in range(8)], specs)
    assert batch.inputs["video"].shape == (8, 1, 35)
    assert batch.inputs["audio"].shape == (8, 1, 259)


def test_ravdess_is_clean_but_for_one_clip_that_is_there_twice(ravdess: Manifest) -> None:
    found = check(ravdess, infer_tasks(ravdess, NAMED))
    assert found.ok
    assert [finding.found for finding in found.warnings] == [
        ["01-03-01-02-01-07 = 01-03-01-02-02-07"]
    ]


def test_mosi_keeps_its_split_and_holds_out_whole_videos() -> None:
    columns = {
        "source": "video",
        "text": "transcript",
        "features.text": "text",
        "features.audio": "audio",
        "features.vision": "vision",
        "labels.positive": "positive",
    }
    manifest = Manifest.read(
        DATA / "mosi_bclstm.parquet", columns=columns, rename={"0": "no", "1": "yes"}
    )
    parts = split.partition(manifest.rows)
    assert (len(parts.train) + len(parts.held_out), len(parts.test)) == (1447, 752)
    sources = [{row.source for row in part} for part in (parts.train, parts.held_out, parts.test)]
    assert sum(map(len, sources)) == 93
    yes = [
        np.mean([row.labels["positive"] == "yes" for row in p])
        for p in (parts.train, parts.held_out)
    ]
    assert yes[0] == pytest.approx(yes[1], abs=0.02)


def test_meld_dialogues_are_whole(tmp_path: Path) -> None:
    table = pq.read_table(DATA / "meld_dev_features.parquet")
    keys = [f"{d}-{u}" for d, u in zip(*(table[c].to_pylist() for c in ("dialogue", "utterance")),
                                       strict=True)]  # fmt: skip
    pq.write_table(table.append_column("key", pa.array(keys)), tmp_path / "meld.parquet")
    columns = {
        "id": "key",
        "turn": "utterance",
        "groups.speaker": "speaker",
        "text": "transcript",
        "labels.emotion": "emotion",
        "features.text": "text",
        "features.audio": "audio_mel",
    }
    manifest = Manifest.read(tmp_path / "meld.parquet", columns=columns)
    specs = infer_tasks(manifest, NAMED)
    modalities = {"text": "text", "audio": "audio"}
    rows = RowDataset(manifest.rows, manifest, modalities, specs, Unit.DIALOGUE)
    samples = [rows[index] for index in range(len(rows))]
    batch = collate(samples, specs)
    assert len(batch) == 114
    assert int(batch.target_mask["emotion"].sum()) == 1108
    assert batch.inputs["text"].shape[2] == 768
    folds = split.make_folds(manifest.rows, 5)
    for row in manifest.rows:
        first = next(other for other in manifest.rows if other.dialogue == row.dialogue)
        assert folds[row.id] == folds[first.id]
