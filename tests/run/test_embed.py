"""`mien data embed`: captions to vectors that a manifest names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from small_sentences import sentence_encoder
from typer.testing import CliRunner

from mien.cli import app
from mien.data import descriptions, features
from mien.data.descriptions import Captions, Description, Origin, Status
from mien.data.manifest import Manifest, Row
from mien.errors import DataError
from mien.parts.sentences import SentenceEncoder
from mien.run.embed import embed

BY = Origin(kind="template", model="t", prompt="t")
ROWS = [Row(id=f"r{n}::{n}", video=f"{n}.mp4", labels={"emotion": "x"}) for n in range(5)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(sentence_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def told(row: Row, status: Status = "described", **captions: str) -> Description:
    held = Captions.model_validate(captions) if captions else None
    return Description(
        id=row.id, clip=descriptions.clip_hash(row), status=status, captions=held, by=BY
    )


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Five rows; of one all is said, of one a part, one was refused, one is another clip now."""
    lines = [
        told(ROWS[0], visual="old"),
        told(ROWS[0], visual="the brows", audio="the voice is high", joint="both"),
        told(ROWS[1], audio="the voice is high", joint="it comes"),
        told(ROWS[2], "refused"),
        told(Row(id=ROWS[3].id, video="another.mp4"), visual="a"),
        told(Row(id="elsewhere", video="e.mp4"), visual="b"),
    ]
    descriptions.write(tmp_path / "d.jsonl", lines)
    return Manifest(ROWS, tmp_path / "clips.jsonl").write(tmp_path / "clips.jsonl").path


def test_rows_get_three_vectors_in_order(corpus: Path, encoder: str) -> None:
    folder = corpus.parent
    made = embed(folder / "d.jsonl", corpus, encoder, folder / "described.jsonl", quiet=True)
    assert (made.described, made.changed, made.unknown, made.texts, made.encoded) == (2, 1, 1, 4, 4)
    manifest = Manifest.read(folder / "described.jsonl")
    assert [row.id for row in manifest.rows] == [row.id for row in ROWS]
    assert [sorted(row.features) for row in manifest.rows] == [["text"], ["text"], [], [], []]
    assert manifest.rows[0].labels == {"emotion": "x"}
    loaded = [features.load(row.features["text"], manifest.place) for row in manifest.rows[:2]]
    assert all(array.shape == (3, 16) and array.dtype == np.float32 for array in loaded)
    found = [np.asarray(array, np.float32) for array in loaded]
    texts = ["the brows", "the voice is high", "both", "it comes"]
    brows, voice, both, comes = SentenceEncoder.open(encoder).encode(texts)
    np.testing.assert_allclose(found[0], np.stack([brows, voice, both]), atol=1e-6)
    np.testing.assert_allclose(found[1], np.stack([0 * brows, voice, comes]), atol=1e-6)
    with safe_open(made.vectors, "numpy") as file:
        card = file.metadata()
    assert json.loads(card["captions"]) == ["visual", "audio", "joint"]
    assert card["encoder"] == SentenceEncoder.open(encoder).fingerprint


def test_a_text_is_encoded_once(
    corpus: Path, encoder: str, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = corpus.parent
    first = embed(folder / "d.jsonl", corpus, encoder, folder / "one.jsonl", quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr(SentenceEncoder, "encode", lambda self, texts: iter([None] * len(texts)))
        again = embed(folder / "d.jsonl", corpus, encoder, folder / "two.jsonl", quiet=True)
    assert again.encoded == 0
    one, two = load_file(first.vectors), load_file(again.vectors)
    assert {name: array.tolist() for name, array in one.items()} == {
        name: array.tolist() for name, array in two.items()
    }
    other = str(sentence_encoder(tmp_path / "other", seed=7))
    assert embed(folder / "d.jsonl", corpus, other, folder / "3.jsonl", quiet=True).encoded == 4
    (kept, _) = sorted((cache / "sentences").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    kept.write_bytes(kept.read_bytes()[:50])  # a damaged cache is made anew
    assert embed(folder / "d.jsonl", corpus, encoder, folder / "4.jsonl", quiet=True).encoded == 4


def test_a_manifest_in_another_folder_names_the_same(
    corpus: Path, encoder: str, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    made = embed(
        tmp_path / "d.jsonl", corpus, encoder, tmp_path / "sub" / "d.csv", root=tmp_path, quiet=True
    )
    again = Manifest.read(made.manifest, root=tmp_path)
    assert again.rows[0].video == "../0.mp4"
    assert features.shape(again.rows[0].features["text"], again.place) == (3, 16)
    # What was moved is still the clip that was described.
    moved = Manifest(ROWS, corpus, tmp_path).write(tmp_path / "sub" / "moved.jsonl").path
    found = embed(tmp_path / "d.jsonl", moved, encoder, tmp_path / "sub" / "e.jsonl",
                  root=tmp_path, quiet=True)  # fmt: skip
    assert found.described == 2


def test_what_cannot_be_embedded(corpus: Path, encoder: str, tmp_path: Path) -> None:
    made = embed(tmp_path / "d.jsonl", corpus, encoder, tmp_path / "one.jsonl", quiet=True)
    with pytest.raises(DataError, match=r"has features\.text already"):
        embed(tmp_path / "d.jsonl", made.manifest, encoder, tmp_path / "two.jsonl", quiet=True)
    with pytest.raises(DataError, match="would replace"):
        embed(tmp_path / "d.jsonl", corpus, encoder, corpus, quiet=True)
    descriptions.write(tmp_path / "none.jsonl", [told(ROWS[2], "refused")])
    with pytest.raises(DataError, match="no row of the manifest has a description"):
        embed(tmp_path / "none.jsonl", corpus, encoder, tmp_path / "x.jsonl", quiet=True)
    with pytest.raises(DataError, match="leaves the folder"):
        embed(tmp_path / "d.jsonl", corpus, encoder, tmp_path.parent / "x.jsonl", quiet=True)


def test_the_verb(corpus: Path, encoder: str, tmp_path: Path) -> None:
    words = ["data", "embed", str(tmp_path / "d.jsonl"), "--manifest", str(corpus), "--encoder",
             encoder, "--out", str(tmp_path / "x.jsonl")]  # fmt: skip
    done = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(done.stdout)["described"] == 2, done.stderr
    (tmp_path / "x.jsonl").unlink()
    assert "2 of 5 rows have features.text, 3 x 16" in CliRunner().invoke(app, words).stdout
