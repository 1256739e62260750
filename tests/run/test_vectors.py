"""One vector a row, from several runs, in one table that the next stage reads."""

from __future__ import annotations

import json
from pathlib import Path

import corpora
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import mien
from mien.cli import app
from mien.data.manifest import Inline, Manifest
from mien.errors import ConfigError, DataError
from mien.run import infer, vectors
from mien.run.train import train

WORDS = ["epochs=1", "stages=[text]"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("vectors")
    data = corpora.conversations(home)
    train("m2fnet", preset="tiny", data=data, out=home / "text", overrides=WORDS, quiet=True)
    return data, home / "text"


def test_a_column_holds_what_the_run_says_of_each_row(made: tuple[Path, Path]) -> None:
    data, out = made
    found = vectors.gather(data, runs=[out])
    assert found.manifest == data.with_name("rows.features.parquet")
    table = Manifest.read(found.manifest)
    assert found.rows == len(table.rows) == found.columns["text"]
    run = mien.load(out)
    row = table.rows[7]
    whole = run.dataset(run.read(data), run.read(data).rows)
    batch = next(infer.batches(whole, {}, 8, run.front_end))
    with torch.no_grad():
        wanted = run.whole(batch).features["text"][7].numpy()
    ref = row.features["text"]
    assert isinstance(ref, Inline)
    np.testing.assert_allclose(ref.values, wanted, atol=1e-6)
    before = Manifest.read(data).rows[7]
    assert row.features.keys() == before.features.keys() | {"text"}
    assert (row.labels, row.dialogue, row.turn) == (before.labels, before.dialogue, before.turn)


def test_the_next_stage_reads_it(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = made
    runner = CliRunner()
    said = runner.invoke(
        app, ["data", "features", str(data), "--run", str(out), "--json", "--out",
              str(data.with_name("next.parquet"))]
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["widths"] == {"text": 16}
    fused = train("m2fnet", preset="tiny", data=data.with_name("next.parquet"), quiet=True,
                  out=tmp_path / "fused", overrides=["epochs=1"])  # fmt: skip
    assert fused["tasks"]["emotion"]["by"] == "weighted_f1"
    run = mien.load(tmp_path / "fused")
    assert run.settings.model.model_dump()["feature_dims"]["text"] == 16


def test_rows_without_words_get_no_vector(made: tuple[Path, Path]) -> None:
    data, out = made
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    del rows[3]["text"]
    some = data.with_name("some.jsonl")
    some.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = vectors.gather(some, runs=[out])
    assert found.columns == {"text": len(rows) - 1}
    assert "text" not in Manifest.read(found.manifest).rows[3].features


def test_what_makes_no_sense_is_said(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = made
    with pytest.raises(ConfigError, match=r"two runs give features\.text"):
        vectors.gather(data, runs=[out, out])
    with pytest.raises(DataError, match="would replace"):
        vectors.gather(data, runs=[out], out=data)
    mute = tmp_path / "mute.jsonl"
    mute.write_text('{"id": "a", "dialogue": "d", "features": {"audio": [1, 2]}}\n')
    with pytest.raises(DataError, match="no row has what this run reads: text"):
        vectors.gather(mute, runs=[out])
    train("m2fnet", preset="tiny", data=data, out=tmp_path / "fused", overrides=["epochs=1"],
          quiet=True)  # fmt: skip
    with pytest.raises(ConfigError, match="gives no vector of a whole row"):
        vectors.whole_rows([out, tmp_path / "fused"])
