"""One vector a row, from several runs, in one table that the next stage reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import mien
from mien.cli import app
from mien.data.manifest import Inline, Manifest
from mien.errors import ConfigError, DataError, Interrupted
from mien.run import infer, vectors
from mien.run.train import train
from mien.types import Batch

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


def test_what_was_made_before_an_interruption_is_kept(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = made
    whole = vectors.gather(data, runs=[out], out=data.with_name("whole.parquet"), batch=2)
    asked: list[str] = []
    batches = infer.batches

    def counted(*args: Any, stop: int = 0) -> Iterator[Batch]:
        for number, batch in enumerate(batches(*args)):
            if stop and number == stop:
                raise KeyboardInterrupt
            asked.extend(batch.ids)
            yield batch

    goal = data.with_name("again.parquet")
    monkeypatch.setattr(infer, "batches", partial(counted, stop=3))
    with pytest.raises(Interrupted, match="are kept"):
        vectors.gather(data, runs=[out], out=goal, batch=2)
    assert (len(asked), goal.exists()) == (6, False)
    monkeypatch.setattr(infer, "batches", counted)
    vectors.gather(data, runs=[out], out=goal, batch=2)
    assert len(asked) == len(set(asked)) == whole.rows, "nothing was read twice"
    assert not goal.with_name("again.parquet.parts").exists()
    tables = [Manifest.read(path).rows for path in (whole.manifest, goal)]
    for one, two in zip(*tables, strict=True):
        first, second = one.features["text"], two.features["text"]
        assert isinstance(first, Inline)
        assert isinstance(second, Inline)
        np.testing.assert_allclose(first.values, second.values, atol=1e-6)


def test_another_manifest_begins_anew(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = made
    goal, plain = data.with_name("changed.features.parquet"), infer.batches
    changed = data.with_name("changed.jsonl")
    changed.write_text(data.read_text())

    def stopped(*args: Any) -> Iterator[Batch]:
        yield next(plain(*args))
        raise KeyboardInterrupt

    monkeypatch.setattr(infer, "batches", stopped)
    with pytest.raises(Interrupted):
        vectors.gather(changed, runs=[out])
    monkeypatch.setattr(infer, "batches", plain)
    lines = [json.loads(line) for line in changed.read_text().splitlines()]
    lines[0]["text"] = "something else altogether"
    changed.write_text("".join(json.dumps(line) + "\n" for line in lines))
    vectors.gather(changed, runs=[out])
    vectors.gather(changed, runs=[out], out=goal.with_name("fresh.parquet"))
    tables = [Manifest.read(p).rows[0] for p in (goal, goal.with_name("fresh.parquet"))]
    first, second = (row.features["text"] for row in tables)
    assert isinstance(first, Inline)
    assert isinstance(second, Inline)
    np.testing.assert_array_equal(first.values, second.values)
