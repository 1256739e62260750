"""`mien data synthetic`: in several processes, and once more where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mien.cli import app
from mien.data import descriptions, takes
from mien.data.manifest import Manifest
from mien.data.media import probe
from mien.errors import ConfigError, DataError
from mien.run.synthesise import synthesise


def test_films_are_made_in_processes_and_kept(tmp_path: Path) -> None:
    made = synthesise(tmp_path, speakers=2, clips=2, seconds=0.5, jobs=2, quiet=True)
    assert (made.films, made.made, made.speakers) == (4, 4, 2)
    films = sorted((tmp_path / "clips").glob("*.mp4"))
    assert len(films) == 4 == len(Manifest.read(made.manifest).rows)
    assert all(probe(film).video is not None for film in films)
    films[1].unlink()
    again = synthesise(tmp_path, speakers=2, clips=2, seconds=0.5, jobs=0, quiet=True)
    assert (again.films, again.made) == (4, 1)
    assert films[1].exists()
    assert "3 were there" in again.text


def test_the_verb_says_what_it_made(tmp_path: Path) -> None:
    words = [
        "data",
        "synthetic",
        str(tmp_path),
        "--kind",
        "long",
        "--speakers",
        "1",
        "--clips",
        "1",
    ]
    done = CliRunner().invoke(app, [*words, "--seconds", "1", "--jobs", "0", "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["films"] == 1
    row = Manifest.read(said["manifest"]).rows[0]
    assert set(row.labels) == {"action_units", "affect", "expression"}


def test_a_disk_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "clips").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written"):
        synthesise(tmp_path, speakers=1, clips=1, seconds=0.5, jobs=0, quiet=True)


def test_what_cannot_be_made_stops_it_and_names_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path, take: object) -> None:
        raise DataError("the disk is full")

    monkeypatch.setattr(takes, "film", broken)
    with pytest.raises(DataError, match="the disk is full") as caught:
        synthesise(tmp_path, speakers=1, clips=1, seconds=0.5, jobs=0, quiet=True)
    assert caught.value.where == "s00-c00"


def test_films_are_put_into_words(tmp_path: Path) -> None:
    made = synthesise(tmp_path, speakers=2, clips=1, seconds=0.5, jobs=0, describe=True, quiet=True)
    assert made.descriptions is not None
    lines = descriptions.read(made.descriptions)
    rows = Manifest.read(made.manifest).rows
    assert [line.id for line in lines] == [row.id for row in rows]
    assert [line.clip for line in lines] == [descriptions.clip_hash(row) for row in rows]
    assert {(line.status, line.by.kind) for line in lines} == {("described", "template")}
    assert "descriptions.jsonl" in made.text
    with pytest.raises(ConfigError, match="no caption holds"):
        synthesise(tmp_path / "long", kind="long", describe=True, quiet=True)
    assert not (tmp_path / "long").exists()
