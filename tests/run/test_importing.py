"""`mien data import`: where a manifest goes, what is never lost, and what it says next."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import films
import pytest
from copies import brought_in, files, text

from mien import importers
from mien.cli import main
from mien.data.manifest import Manifest
from mien.errors import DataError
from mien.run import record
from mien.run.importing import take_in

TAKE = "03-01-05-01-01-01-{:02d}.wav"


def type_in(
    *words: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["mien", *map(str, words)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda *words: type_in(*words, capsys=capsys, monkeypatch=monkeypatch)


# -- what stands in the way ------------------------------------------------------------------------


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    found = sorted(path for path in folder.iterdir() if path.is_file())
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    files(tmp_path, TAKE.format(1))
    assert take_in("ravdess", tmp_path, quiet=True).status == "written"
    before = state(tmp_path)
    assert {"ravdess.jsonl", "ravdess.tasks.json", "ravdess.import.yaml"} < set(before)
    assert take_in("ravdess", tmp_path, quiet=True).status == "unchanged"
    assert state(tmp_path) == before
    files(tmp_path, TAKE.format(2))
    assert take_in("ravdess", tmp_path, quiet=True).status == "replaced"
    assert len(Manifest.read(tmp_path / "ravdess.jsonl").rows) == 2


@pytest.mark.parametrize("name", ["ravdess.jsonl", "ravdess.tasks.yaml", "ravdess.tasks.json"])
def test_a_foreign_file_is_not_written_over(name: str, tmp_path: Path) -> None:
    files(tmp_path, TAKE.format(1))
    text(tmp_path / name, '{"id": "mine"}' if name.endswith("l") else "{}")
    before = (tmp_path / name).read_bytes()
    with pytest.raises(DataError, match="no import wrote it"):
        take_in("ravdess", tmp_path, quiet=True)
    assert (tmp_path / name).read_bytes() == before
    assert take_in("ravdess", tmp_path, replace=True, quiet=True).status in ("written", "replaced")
    assert len(Manifest.read(tmp_path / "ravdess.jsonl").rows) == 1


def test_what_was_edited_is_not_written_over(tmp_path: Path) -> None:
    files(tmp_path, TAKE.format(1))
    take_in("ravdess", tmp_path, quiet=True)
    manifest = tmp_path / "ravdess.jsonl"
    manifest.write_text(manifest.read_text().replace("angry", "calm"))
    with pytest.raises(DataError, match="edited since an import wrote it"):
        take_in("ravdess", tmp_path, quiet=True)
    assert "calm" in manifest.read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("- a list\n", "mapping"),
        ("corpus: ravdess\nsource: .\nrun: rm\n", "not what an import leaves behind"),
        ("corpus: ravdess\nsource: .\noptions: {modality: smell}\n", "options.modality"),
        ("corpus: ravdess\nsource: .\noptions: {fps: 5}\n", "ravdess takes no --fps"),
        ("corpus: ravdess\nsource: .\nwrote: [1]\n", "leaves behind: wrote"),
        ("!!python/object/apply:os.system [echo]\n", "cannot read"),
    ],
)
def test_a_hostile_memory_is_an_error_of_ours(content: str, words: str, tmp_path: Path) -> None:
    files(tmp_path, TAKE.format(1))
    (tmp_path / "ravdess.import.yaml").write_text(content)
    with pytest.raises(Exception, match=words):
        take_in("ravdess", tmp_path, quiet=True)


def test_an_import_that_was_stopped_can_be_given_again(tmp_path: Path) -> None:
    """The rows are written first: without what stands beside them, they are still ours."""
    files(tmp_path, TAKE.format(1))
    take_in("ravdess", tmp_path, quiet=True)
    for name in ("ravdess.tasks.json", "ravdess.import.yaml"):
        (tmp_path / name).unlink()
    assert take_in("ravdess", tmp_path, quiet=True).status == "replaced"
    assert Manifest.read(tmp_path / "ravdess.jsonl").licence == "CC-BY-NC-SA-4.0"
    assert take_in("ravdess", tmp_path, quiet=True).status == "unchanged"


def test_odd_names_of_manifests_are_kept_apart(tmp_path: Path) -> None:
    files(tmp_path, TAKE.format(1))
    files(tmp_path, "a[1].tasks.json", "a1.tasks.json")
    (tmp_path / "a[1].tasks.json").unlink()
    (tmp_path / "a1.tasks.json").write_text("mine")
    take_in("ravdess", tmp_path, out=tmp_path / "a[1].jsonl", quiet=True)
    assert (tmp_path / "a1.tasks.json").read_text() == "mine"
    assert record.read(tmp_path / "a[1].jsonl") is not None


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_manifest_in_every_format(ending: str, tmp_path: Path) -> None:
    files(tmp_path, TAKE.format(1), TAKE.format(9))
    out = tmp_path / f"mine.{ending}"
    report, rows = brought_in("ravdess", tmp_path, out)
    assert [row.fold for row in rows.values()] == [0, 2]
    assert brought_in("ravdess", tmp_path, out)[0].status == "unchanged"
    assert report.counts["rows"]["found"] == 2


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, TAKE.format(1))
    with pytest.raises(DataError, match="a manifest ends in"):
        take_in("ravdess", tmp_path, out=tmp_path / "rows.xlsx", quiet=True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DataError, match="nothing can be written into this folder") as error:
        take_in("ravdess", tmp_path, quiet=True)
    assert "--out ravdess.jsonl" in str(error.value)


# -- where paths start -----------------------------------------------------------------------------


def test_a_manifest_elsewhere_needs_a_root_and_says_which(tmp_path: Path) -> None:
    source = files(tmp_path / "corpora" / "ravdess", TAKE.format(1))
    out = tmp_path / "work" / "deep" / "rows.jsonl"
    report, rows = brought_in("ravdess", source, out)
    assert report.root == tmp_path
    assert [row.audio for row in rows.values()] == ["../../corpora/ravdess/" + TAKE.format(1)]
    with pytest.raises(DataError, match="leaves the folder"):
        Manifest.read(out)
    above, _ = brought_in("ravdess", source, tmp_path / "rows.jsonl")
    assert above.root is None


def test_a_manifest_behind_a_link_names_the_same_files(tmp_path: Path) -> None:
    """Relative paths start where a folder really is, not where a link to it stands."""
    source = files(tmp_path / "a" / "b" / "ravdess", TAKE.format(1))
    (tmp_path / "real" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep" / "er")
    report, rows = brought_in("ravdess", source, tmp_path / "link" / "rows.jsonl")
    (row,) = rows.values()
    assert row.audio is not None
    assert (tmp_path / "real" / "deep" / "er" / row.audio).resolve().is_file()
    assert report.manifest == tmp_path / "link" / "rows.jsonl"


def test_what_it_says_next_can_be_typed(
    typed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Import beside the clips, check, prepare, train: with the root that was printed."""
    monkeypatch.chdir(tmp_path)
    for who in ("ann", "bob", "cyd"):
        for label, hertz in (("low", 110), ("high", 440)):
            file = tmp_path / "my clips" / label / f"{who}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            films.wav(file, films.tone(0.6, hertz=hertz))
    code, out, err = typed(
        "data", "import", "folders", "my clips", "--out", "work/mine.jsonl",
        "--speaker", r"/(\w+)\.", "--licence", "CC-BY-NC-4.0", "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["root"] == str(tmp_path)
    check, prepare, train = [command.split()[1:] for command in report["next"]]
    assert typed(*check, "-q")[0] == 0
    assert typed(*prepare, "-q", "-j", 0)[0] == 0
    code, _, err = typed(*train, "--preset", "tiny", "epochs=1", "train.select=last", "-q")
    assert code == 0, err
    card = json.loads((tmp_path / "runs" / "mine" / "card.json").read_text())
    assert card["licence"] == "CC-BY-NC-4.0"


# -- what is said ----------------------------------------------------------------------------------


def test_what_there_is_to_import(typed: Any) -> None:
    code, out, _ = typed("data", "import")
    assert code == 0
    assert all(f"  {name} " in out for name in importers.NAMES)
    code, out, _ = typed("data", "import", "--json")
    known = {corpus["name"]: corpus for corpus in json.loads(out)}
    assert tuple(known) == importers.NAMES
    for name, corpus in known.items():
        assert all(corpus[key] for key in ("apply", "layout", "verified", "folds", "about"))
        code, out, _ = typed("data", "import", name)
        assert code == 0
        assert corpus["title"] in " ".join(out.split())
        assert f"mien data import {name}" in out
    assert "on request" in known["dfew"]["apply"]
    assert "no real copy" in known["mafw"]["verified"]


def test_a_report_for_people_and_for_machines(typed: Any, tmp_path: Path) -> None:
    files(tmp_path, TAKE.format(1), "bonus.mp4")
    code, out, err = typed("data", "import", "ravdess", tmp_path)
    assert (code, err) == (0, "")
    assert "1 of 1,440 rows of ravdess" in out
    assert "warning: a partial copy" in out
    assert "mien data prepare" in out
    assert max(map(len, out.splitlines())) < 400
    code, out, _ = typed("data", "import", "ravdess", tmp_path, "--json")
    said = json.loads(out)
    assert said["status"] == "unchanged"
    assert said["counts"]["rows"] == {"found": 1, "expected": 1440}
    kinds = {finding["kind"]: finding for finding in said["warnings"]}
    assert kinds["unexpected"]["found"] == ["bonus.mp4"]
    assert kinds["partial copy"]["count"] == 1439
    assert said["people"] == {"fold 0": ["01"]}


def test_names_of_files_move_no_cursor(typed: Any, tmp_path: Path) -> None:
    files(tmp_path, "x/\x1b[2Jann.wav", "y/bob.wav", "\x1b]0;title\x07.mp4")
    code, out, _ = typed("data", "import", "folders", tmp_path, "--speaker", "/(.+)[.]")
    assert code == 0
    assert "\\x1b]0;title\\x07.mp4" in out
    assert "\x1b" not in out
    said = json.loads(typed("data", "import", "folders", tmp_path, "--json")[1])
    assert said["counts"]["by_speaker"] == {"\x1b[2Jann": 1, "bob": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ravdes", "."), "did you mean 'ravdess'"),
        (("ravdess", ".", "--fps", "25"), "ravdess takes no --fps"),
        (("table", "x.csv", "--column", "id"), "'id' has no name and ="),
        (("table", "x.csv", "--column", "id=a", "--column", "id=b"), "'id' is given twice"),
        (("lists", "x.csv", "--first-label", "2"), "--first-label"),
        (("lists", "x.csv", "--fold", "1=a"), "--fold"),
        (("folders", ".", "--fps", "0"), "--fps"),
        (("ravdess", "none"), "there is no such file or folder"),
    ],
)
def test_a_wrong_word_is_an_error_and_no_traceback(
    words: tuple[str, ...], said: str, typed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(text(tmp_path / "x.csv", "a,b").parent)
    code, _, err = typed("data", "import", *words)
    assert code == 2
    assert said in err
