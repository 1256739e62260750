"""`mien data prepare`: nothing is done twice, nothing broken is kept, no row is lost silently."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import films
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from mien.data import prepare as preparing
from mien.data import shards
from mien.data.crops import CropRecipe
from mien.data.faces import Detector, Face
from mien.data.manifest import Manifest
from mien.data.prepare import Recipe
from mien.data.shards import Shard
from mien.errors import DataError, Interrupted, RunError
from mien.run import plan as plans
from mien.run import workers
from mien.run.prepare import prepare
from mien.run.prepared import PrepareReport

SIDE = 64
WHOLE = Recipe(faces="none", crop=CropRecipe(size=SIDE))
KILLS = int(os.environ.get("MIEN_KILLS", "5"))


def write(folder: Path, rows: Sequence[dict[str, Any]], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(path: Path, recipe: Recipe = WHOLE, **options: Any) -> PrepareReport:
    return prepare(path, recipe=recipe, **{"jobs": 0, "quiet": True, **options})


def made(folder: Path) -> dict[str, tuple[int, int]]:
    """Shards by name, with what changes when one is written anew."""
    found = sorted(folder.rglob(f"*{shards.SUFFIX}"))
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in found}


def contents(folder: Path) -> dict[str, bytes]:
    """All that is the same however it came to be: not which hashes were noted in which order."""
    names = [*folder.rglob(f"*{shards.SUFFIX}"), *folder.glob("rows.prepared*")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in names}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films with and without sound, a sound, something that is neither, and what is missing."""
    folder = tmp_path_factory.mktemp("clips")
    size = (SIDE, SIDE)
    films.film(folder / "both.mp4", seconds=2, size=size, audio=films.tone(2))
    films.film(folder / "silent.mp4", seconds=1, size=size)
    films.wav(folder / "heard.wav", films.tone(1))
    (folder / "broken.mp4").write_bytes(b"ftyp" + bytes(5000))
    return folder


@pytest.fixture
def folder(clips: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clips, tmp_path / "corpus"))


# -- rows ------------------------------------------------------------------------------------------


def test_rows_keep_what_they_have_and_get_what_there_is(folder: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "both", "video": "both.mp4", "labels": {"emotion": "glad"}, "speaker": "ann"},
        {"id": "part", "video": "both.mp4", "start": 0.5, "end": 1.0, "split": "test"},
        {"id": "silent", "video": "silent.mp4", "features": {"au": [1, 2]}},
        {"id": "dubbed", "video": "silent.mp4", "audio": "heard.wav"},
        {"id": "heard", "audio": "heard.wav"},
        {"id": "text", "text": "no media at all"},
    ]
    path = write(folder, rows)
    (folder / "rows.tasks.json").write_text(
        json.dumps([{"name": "emotion", "problem": "one_of_n", "labels": ["sad", "glad"]}])
    )
    report = run(path)
    assert report.ok
    assert (report.rows, report.sources, report.made) == (6, 4, 4)
    assert report.manifest == folder / "rows.prepared.jsonl"
    assert not (folder / "rows.prepared.errors.jsonl").exists()
    manifest = Manifest.read(report.manifest)
    assert manifest.tasks["emotion"].labels == ("sad", "glad")
    before = {row.id: row for row in Manifest.read(path).rows}
    found = {row.id: row for row in manifest.rows}
    for name, row in found.items():
        rest = {k: v for k, v in row.features.items() if k not in ("video", "audio")}
        assert dataclasses.replace(row, features=rest) == before[name]
    has = {name: sorted(set(row.features) & {"video", "audio"}) for name, row in found.items()}
    both = ["audio", "video"]
    assert has == {
        "both": both, "part": both, "silent": ["video"], "dubbed": both, "heard": ["audio"],
        "text": [],
    }  # fmt: skip
    ref = str(found["part"].features["video"])
    file, _, track = ref.partition("::")
    assert file.startswith("rows.shards/")
    clip = Shard.open(folder / file).clip(track, 0.5, 1.0)
    assert [films.number(crop) for crop in clip.frames()] == list(range(13, 25))


def test_rows_of_which_nothing_is_left_are_left_out_and_listed(folder: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "good", "video": "both.mp4"},
        {"id": "late", "video": "both.mp4", "start": 50.0, "end": 51.0},
        {"id": "broken", "video": "broken.mp4"},
        {"id": "spoken", "video": "broken.mp4", "text": "but what was said is known"},
        {"id": "gone", "audio": "gone.wav"},
        {"id": "pictures", "video": "frames"},
    ]
    (folder / "frames").mkdir()
    report = run(write(folder, rows), jobs=1)
    assert [row.id for row in Manifest.read(report.manifest).rows] == ["good", "spoken"]
    lines = (folder / "rows.prepared.errors.jsonl").read_text(encoding="utf-8").splitlines()
    listed = {loss["row"]: loss for loss in map(json.loads, lines)}
    assert set(listed) == {"late", "broken", "spoken", "gone", "pictures"}
    assert {name for name, loss in listed.items() if loss["kept"]} == {"spoken"}
    assert "no such file" in listed["gone"]["what"]
    assert "neither picture nor sound" in listed["late"]["what"]
    assert "no numbered images" in listed["pictures"]["what"]
    assert not report.ok
    assert "5 rows" in report.text
    assert "broken.mp4" in report.text
    assert json.loads(json.dumps(report.to_dict()))["errors"][0]["row"] == "late"
    run(write(folder, rows[:1]))
    assert not (folder / "rows.prepared.errors.jsonl").exists()


def test_a_manifest_of_which_nothing_is_left_is_an_error(folder: Path) -> None:
    path = write(folder, [{"id": "a", "video": "broken.mp4"}])
    with pytest.raises(DataError, match="nothing is left") as caught:
        run(path)
    assert "rows.prepared.errors.jsonl" in str(caught.value)
    assert not (folder / "rows.prepared.jsonl").exists()


def test_what_would_be_wrong_at_the_end_is_said_at_the_beginning(
    folder: Path, tmp_path: Path
) -> None:
    taken = write(folder, [{"id": "a", "video": "both.mp4", "features": {"video": "a.npy"}}])
    with pytest.raises(DataError, match=r"features\.video"):
        run(taken)
    path = write(folder, [{"id": "a", "video": "both.mp4"}])
    with pytest.raises(DataError, match="replace"):
        run(path, out=path)
    with pytest.raises(DataError, match="another folder"):
        run(path, out=tmp_path / "elsewhere" / "a.jsonl")
    assert not list(folder.rglob(f"*{shards.SUFFIX}"))


def test_elsewhere_below_a_root_paths_are_written_anew(folder: Path) -> None:
    path = write(folder, [{"id": "a", "video": "both.mp4"}])
    goal = folder.parent / "other" / "new.csv"
    report = run(path, out=goal, root=folder.parent)
    assert report.folder == goal.with_name("new.shards")
    (row,) = Manifest.read(goal, root=folder.parent).rows
    assert row.video == "../corpus/both.mp4"
    assert str(row.features["video"]).startswith("new.shards/")


def test_a_configuration_says_how_the_manifest_is_read(folder: Path) -> None:
    (folder / "rows.csv").write_text("key,film\na,silent.mp4\n", encoding="utf-8")
    (folder / "rows.yaml").write_text("data: {columns: {id: key, video: film}}", encoding="utf-8")
    report = run(folder / "rows.csv", config=folder / "rows.yaml")
    assert [row.video for row in Manifest.read(report.manifest).rows] == ["silent.mp4"]


# -- people ----------------------------------------------------------------------------------------


class Halves(Detector):
    """Sees a large face on the left of every frame, and a small one on its right from 1 s on."""

    name, note, has_points = "halves-1", "for tests", False

    def __init__(self) -> None:
        super().__init__(None)
        self.settings = {}

    def _rows(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise NotImplementedError

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        return [self._seen(frame) for frame in frames]

    def _seen(self, frame: NDArray[np.uint8]) -> list[Face]:
        left, right = Face((4.0, 4.0, 24.0, 24.0), 0.9), Face((40.0, 40.0, 16.0, 16.0), 0.8)
        return [left, right] if films.number(frame) >= 25 else [left]


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_detector", lambda *_: Halves())


FACES = Recipe(crop=CropRecipe(size=32))


@pytest.mark.usefixtures("halves")
def test_a_row_means_the_largest_face_or_who_is_named_or_everyone(folder: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "any", "video": "both.mp4"},
        {"id": "named", "video": "both.mp4", "person": "face-2"},
        {"id": "boxed", "video": "both.mp4", "start": 1.2, "end": 1.8, "box": [40, 40, 16, 16]},
        {"id": "first", "video": "both.mp4", "start": 0.0, "end": 0.6},
    ]
    path = write(folder, rows)

    def tracks(recipe: Recipe) -> dict[str, str]:
        report = run(path, recipe)
        return {
            row.id: str(row.features.get("video", "")).partition("::")[2]
            for row in Manifest.read(report.manifest).rows
        }

    first = {"any": "face-1", "named": "face-2", "boxed": "face-2", "first": "face-1"}
    assert tracks(FACES) == first
    before = made(folder)
    everyone = tracks(dataclasses.replace(FACES, faces="all"))
    assert everyone == {
        "any@face-1": "face-1", "any@face-2": "face-2", "named@face-2": "face-2",
        "boxed@face-2": "face-2", "first@face-1": "face-1",
    }  # fmt: skip
    assert tracks(dataclasses.replace(FACES, faces="named")) == first | {"any": "", "first": ""}
    assert made(folder) == before, "whom a row means changes nothing in a shard"


@pytest.mark.usefixtures("halves")
def test_who_is_named_and_not_there_is_told_and_the_sound_is_kept(folder: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "heard", "video": "both.mp4", "person": "face-7"},
        {"id": "unheard", "video": "silent.mp4", "box": [50, 0, 9, 9]},
        {"id": "nobody", "video": "silent.mp4"},
        {"id": "voice", "audio": "heard.wav", "person": "ann"},
    ]
    report = run(write(folder, rows), dataclasses.replace(FACES, faces="named"))
    found = {row.id: list(row.features) for row in Manifest.read(report.manifest).rows}
    assert found == {"heard": ["audio"], "voice": ["audio"]}
    lost = {loss.row: loss for loss in report.errors}
    assert {name: loss.kept for name, loss in lost.items()} == {
        "heard": True, "unheard": False, "nobody": False,
    }  # fmt: skip
    assert "face-7" in lost["heard"].what
    assert "names nobody" in lost["nobody"].what


# -- nothing is done twice -------------------------------------------------------------------------


def test_what_is_finished_is_not_done_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder, [{"id": "a", "video": "both.mp4"}, {"id": "b", "video": "silent.mp4"}])
    assert run(path).made == 2
    before = made(folder)
    monkeypatch.setattr(plans, "digest", lambda path: pytest.fail(f"{path} is read again"))
    again = run(path)
    assert (again.made, again.sources, again.rows) == (0, 2, 2)
    assert "0 files, and 2 before" in again.text
    assert made(folder) == before


def test_the_same_content_under_two_names_is_prepared_once(folder: Path) -> None:
    shutil.copy(folder / "both.mp4", folder / "copy.mp4")
    path = write(folder, [{"id": "a", "video": "both.mp4"}, {"id": "b", "video": "copy.mp4"}])
    report = run(path)
    assert (report.made, report.sources, report.rows) == (1, 1, 2)
    a, b = Manifest.read(report.manifest).rows
    assert a.features == b.features


def test_a_file_that_changed_is_read_and_prepared_again(folder: Path) -> None:
    path = write(folder, [{"id": "a", "video": "silent.mp4"}])
    run(path)
    shutil.copy(folder / "both.mp4", folder / "silent.mp4")
    report = run(path)
    assert (report.made, report.unused) == (1, 1)
    assert "1 shard" in report.text


def test_what_a_kill_left_of_the_list_of_hashes_is_passed_over(folder: Path) -> None:
    path = write(folder, [{"id": "a", "video": "silent.mp4"}, {"id": "b", "video": "both.mp4"}])
    run(path)
    known = folder / "rows.shards" / "sources.jsonl"
    text = known.read_text(encoding="utf-8")
    known.write_text(text[: len(text) - 30] + "\n[1]\nnull\n" + "[" * 100_000, encoding="utf-8")
    assert run(path).made == 0
    assert run(path).made == 0


@pytest.mark.parametrize("where", ["index", "blob"])
def test_a_damaged_shard_is_noticed_and_made_again(
    folder: Path, where: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(folder, [{"id": "a", "video": "both.mp4"}, {"id": "b", "video": "silent.mp4"}])
    run(path)
    good = contents(folder)
    (spoiled, *_) = (folder / "rows.shards").rglob(f"*{shards.SUFFIX}")
    content = bytearray(spoiled.read_bytes())
    content[len(content) - 60 if where == "index" else 100] ^= 1
    spoiled.write_bytes(content)
    capfd.readouterr()
    report = run(path, verify=where == "blob", quiet=False)
    said = [line for line in capfd.readouterr().err.splitlines() if "again" in line]
    assert len(said) == 1
    assert (report.mended, report.made) == (1, 1)
    assert contents(folder) == good


def test_two_processes_do_not_prepare_into_one_folder(folder: Path) -> None:
    path = write(folder, [{"id": "a", "video": "both.mp4"}])
    (folder / "rows.shards").mkdir()
    hold = (
        "import sys\nfrom pathlib import Path\nfrom mien.run.alone import alone\n"
        "with alone(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", hold, str(folder / "rows.shards")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process"):
            run(path)
        other.communicate()
    assert run(path).made == 1


# -- interrupted and killed ------------------------------------------------------------------------


def test_ctrl_c_keeps_what_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder, [{"id": "a", "video": "both.mp4"}, {"id": "b", "video": "silent.mp4"}])

    def stop(*given: Any, **options: Any) -> Iterator[Any]:
        yield next(over(*given, **options))
        raise KeyboardInterrupt

    over = workers.over
    with monkeypatch.context() as patch:
        patch.setattr(workers, "over", stop)
        with pytest.raises(Interrupted, match="1 file") as caught:
            run(path)
    assert "same command" in str(caught.value)
    before = made(folder)
    assert len(before) == 1
    report = run(path)
    assert (report.made, report.sources) == (1, 2)
    assert before.items() <= made(folder).items()


SCRIPT = """
import sys
from mien.data.crops import CropRecipe
from mien.data.prepare import Recipe
from mien.errors import Interrupted
from mien.run.prepare import prepare

recipe = Recipe(faces="none", crop=CropRecipe(size=224))
try:
    prepare(sys.argv[1], recipe=recipe, jobs=2, quiet=True)
except Interrupted as stop:
    print(stop, file=sys.stderr)
    sys.exit(130)
"""


def drawn(offset: int, index: int, _: float) -> NDArray[np.uint8]:
    return films.picture_of(index + offset, (SIDE, SIDE))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty films of different lengths."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(20):
        seconds = 2 + i % 4
        films.film(
            folder / f"{i}.mp4",
            seconds=seconds,
            size=(SIDE, SIDE),
            draw=partial(drawn, 7 * i),
            audio=films.tone(seconds, hertz=300 + 10 * i) if i % 3 else None,
            codec="mpeg4",
        )
    write(folder, [{"id": f"r{i}", "video": f"{i}.mp4"} for i in range(20)])
    return folder


@pytest.fixture(scope="module")
def undisturbed(many: Path) -> tuple[dict[str, bytes], float]:
    """What they come to if nobody interferes, and how long that takes."""
    process = started(many)
    at_work(process, many)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 0
    seconds, whole = time.monotonic() - began, contents(many)
    assert len(whole) == 21
    return whole, seconds


def started(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPT, str(folder / "rows.jsonl")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)


def at_work(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until it has begun."""
    while not (folder / "rows.shards" / ".lock").exists() and process.poll() is None:
        time.sleep(0.005)


def signalled(process: subprocess.Popen[bytes], how: signal.Signals) -> str:
    """Send a signal to a process alone; what it says. Its workers end with it."""
    workers = []
    with contextlib.suppress(psutil.NoSuchProcess):
        workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    said = process.communicate(timeout=30)[1].decode()
    assert not psutil.wait_procs(workers, timeout=5)[1], "a worker outlived its parent"
    return said


def clear(folder: Path) -> None:
    shutil.rmtree(folder / "rows.shards", ignore_errors=True)
    for file in folder.glob("rows.prepared*"):
        file.unlink()


def test_a_kill_at_any_moment_costs_only_what_was_unfinished(
    many: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    whole, seconds = undisturbed
    clear(many)
    random = np.random.default_rng(3)
    landed = 0
    for _ in range(KILLS):
        if len(made(many)) == 20:
            clear(many)
        process, before = started(many), made(many)
        at_work(process, many)
        time.sleep(float(random.uniform(0.0, 1.0)) * seconds * (1 - len(before) / 20))
        landed += process.poll() is None
        signalled(process, signal.SIGKILL)
        for file in (many / "rows.shards").rglob(f"*{shards.SUFFIX}"):
            Shard.open(file).verify()
        assert before.items() <= made(many).items(), "something finished was done again"
        manifest = many / "rows.prepared.jsonl"
        assert not manifest.exists() or manifest.read_bytes() == whole[manifest.name]
    assert landed >= KILLS // 2
    before = made(many)
    process = started(many)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert before.items() <= made(many).items()
    assert contents(many) == whole
    assert not list((many / "rows.shards").rglob(".*.unfinished"))


def test_an_interrupted_run_says_how_to_go_on_and_does(
    many: Path, undisturbed: tuple[dict[str, bytes], float]
) -> None:
    whole, seconds = undisturbed
    clear(many)
    process = started(many)
    at_work(process, many)
    time.sleep(0.5 * seconds)
    said = signalled(process, signal.SIGINT)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    before = made(many)
    assert len(before) < 20
    process = started(many)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert before.items() <= made(many).items()
    assert contents(many) == whole
