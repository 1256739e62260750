"""`mien predict` over files: what it leaves, what is not done again, what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import corpora
import pytest
import squares

from mien.cli import main
from mien.errors import ConfigError, DataError
from mien.report import watch
from mien.run.train import train
from mien.timelines import formats


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("watching")
    words = ["epochs=1", "batch_size=4", "frames=4", "stride=2"]
    data = corpora.prepared(home)
    train("claip-emo", preset="tiny", data=data, out=home / "run", overrides=words, quiet=True)
    return home / "run"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares.scene(tmp_path_factory.mktemp("film") / "film.mp4", seconds=3, voice=(0.5, 2.5))


@pytest.fixture
def films(film: Path, tmp_path: Path) -> Path:
    """A folder of two films and a broken one."""
    folder = tmp_path / "films"
    folder.mkdir()
    shutil.copy(film, folder / "a.mp4")
    shutil.copy(film, folder / "b.mp4")
    (folder / "broken.mp4").write_bytes(film.read_bytes()[:200])
    (folder / "notes.txt").write_text("not a film")
    return folder


def made(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_each_file_gets_a_page_and_timelines_that_agree(
    film: Path, run: Path, tmp_path: Path
) -> None:
    found = watch.predict([film], run, out=tmp_path / "out", quiet=True)
    assert not found.errors
    (timeline,) = found.timelines
    names = {f"film.{ending}" for ending in ("html", "json", "csv", "parquet")}
    assert set(made(tmp_path / "out")) == names
    kept = {form: formats.read(tmp_path / "out" / f"film.{form}")[0] for form in watch.FORMS}
    assert kept["json"] == kept["csv"] == kept["parquet"]
    assert [t.to_dict() for t in kept["json"].tracks] == [t.to_dict() for t in timeline.tracks]
    page = (tmp_path / "out" / "film.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 300_000
    assert "AI Act" in page
    relative = os.path.relpath(film, tmp_path / "out")
    assert Path(relative).as_posix() in page
    assert "film.mp4" in found.text
    assert "AI Act" in found.text


def test_reasons_reach_every_file_and_the_page(film: Path, run: Path, tmp_path: Path) -> None:
    plain = watch.predict([film], run, out=tmp_path, quiet=True)
    options = watch.Options(explain=True)
    found = watch.predict([film], run, out=tmp_path, options=options, quiet=True)
    assert "finished before" not in found.text, "it is another question"
    kept = {form: formats.read(tmp_path / f"film.{form}")[0] for form in watch.FORMS}
    assert kept["json"] == kept["csv"] == kept["parquet"]
    for (_, asked), (_, bare) in zip(kept["json"], plain.timelines[0], strict=True):
        assert asked.scores == bare.scores
        assert asked.evidence is not None
        assert [reason.task for reason in asked.evidence.reasons] == list(asked.scores)
    page = (tmp_path / "film.html").read_text(encoding="utf-8")
    assert "further answers to each" in page
    assert ">carried by<" in page


def test_a_folder_is_watched_and_what_is_broken_is_one_line(
    films: Path, run: Path, tmp_path: Path
) -> None:
    found = watch.predict([films], run, out=tmp_path / "out", jobs=2, quiet=True)
    assert [timeline.source for timeline in found.timelines] == ["a.mp4", "b.mp4"]
    (error,) = found.errors
    assert "broken.mp4" in str(error)
    assert "Traceback" not in str(error)
    a, b = ([w.to_dict() for _, w in timeline] for timeline in found.timelines)
    assert a == b


def test_what_is_finished_is_not_done_again(films: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    watch.predict([films / "a.mp4"], run, out=out, quiet=True)
    before = made(out)
    found = watch.predict([films / "a.mp4", films / "b.mp4"], run, out=out, jobs=1, quiet=True)
    assert "1 of 2 were finished before" in found.text
    assert len(found.timelines) == 2
    assert before.items() <= made(out).items()
    # A page that is missing, a file that changed, and other settings are done again.
    (out / "a.html").unlink()
    watch.predict([films / "a.mp4"], run, out=out, quiet=True)
    assert (out / "a.html").is_file()
    after = made(out)
    watch.predict([films / "a.mp4"], run, out=out, options=watch.Options(hop=1.0), quiet=True)
    assert made(out)["a.json"] != after["a.json"]
    assert made(out)["b.json"] == after["b.json"]


def test_one_file_for_all_timelines(films: Path, run: Path, tmp_path: Path) -> None:
    names = [films / "a.mp4", films / "b.mp4"]
    found = watch.predict(names, run, out=tmp_path / "all.jsonl", jobs=1, quiet=True)
    kept = formats.read(tmp_path / "all.jsonl")
    assert [t.to_dict() for t in kept] == [t.to_dict() for t in found.timelines]
    assert sorted(made(tmp_path)) == ["all.jsonl", "films"]


def test_manifests_and_files_together(film: Path, run: Path, tmp_path: Path) -> None:
    data = corpora.prepared(tmp_path)
    found = watch.predict([film, data], run, out=tmp_path / "out", quiet=True)
    assert len(found.timelines) == 1 + 16
    assert {"film.html", "rows.csv", "rows.parquet", "rows.json"} <= set(made(tmp_path / "out"))


def test_files_of_one_name_do_not_overwrite_each_other(
    film: Path, run: Path, tmp_path: Path
) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        shutil.copy(film, tmp_path / name / "film.mp4")
    shutil.copy(film, tmp_path / "film.m4v")
    paths = [tmp_path / "x/film.mp4", tmp_path / "y/film.mp4", tmp_path / "film.m4v"]
    watch.predict(paths, run, out=tmp_path / "out", jobs=2, quiet=True)
    assert len([name for name in made(tmp_path / "out") if name.endswith(".html")]) == 3


def test_an_empty_folder_says_so(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no video"):
        watch.predict([tmp_path], run, quiet=True)


def test_a_window_has_a_sensible_length() -> None:
    with pytest.raises(ConfigError, match="--window"):
        watch.Options(window=0.0)


# -- in the shell ----------------------------------------------------------------------------------


def shell(*words: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["mien", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    code = end.value.code
    return code if isinstance(code, int) else 0


def test_the_shell_prints_a_summary_or_json(
    film: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell("predict", film, "--run", run, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "film.mp4" in said
    assert "AI Act" in said
    assert shell("predict", film, "--run", run, "--json", monkeypatch=monkeypatch) == 0
    values: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert values[0]["source"] == "film.mp4"


def test_the_shell_ends_with_one_where_a_file_failed(
    films: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("predict", films / "broken.mp4", "--run", run)
    assert shell(*words, monkeypatch=monkeypatch) == 1
    assert "broken.mp4" in capsys.readouterr().err


def test_the_shell_asks_for_a_run(
    film: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mien_pocket", None)  # as where it is not installed
    assert shell("predict", film, monkeypatch=monkeypatch) == 2
    assert "--run" in capsys.readouterr().err
    assert shell("predict", film, "--run", "x", "--who", "anna", monkeypatch=monkeypatch) == 2
    assert "anna=face-2" in capsys.readouterr().err
