"""Workers: whatever happens to one of them, every item gets its value or its error, and no worker
outlives the one who asked."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import errands
import psutil
import pytest

from mien.errors import ConfigError, DataError, MienError, MissingExtra, RunError
from mien.run import limits, worker, workers
from mien.run.workers import Lost, over

LINUX = sys.platform == "linux"
on_linux = pytest.mark.skipif(not LINUX, reason="only Linux ends a process that holds its lock")


def all_of(task: Callable[[Any], Any], items: Sequence[Any], **options: Any) -> list[Any]:
    """Values and errors in the order of the items; each came exactly once."""
    found = sorted(over(task, items, **options), key=lambda pair: pair[0])
    assert [index for index, _ in found] == list(range(len(items)))
    return [value for _, value in found]


def gone(pids: Sequence[int], seconds: float = 10.0) -> bool:
    """Whether these processes end, soon."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(psutil.pid_exists(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True)]


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [None, 0, 1, 3])
def test_every_item_gets_its_value(jobs: int | None) -> None:
    assert all_of(errands.double, range(20), jobs=jobs) == [2 * i for i in range(20)]
    assert not children()


def test_one_job_is_one_other_process_and_none_is_this_one() -> None:
    assert set(all_of(errands.whoami, range(3), jobs=0)) == {os.getpid()}
    (pid,) = set(all_of(errands.whoami, range(3), jobs=1))
    assert pid != os.getpid()


def test_there_are_never_more_workers_than_items() -> None:
    results = over(errands.rest, [0.4, 0.4], jobs=50)
    next(results)
    assert len(children()) <= 2
    assert len(list(results)) == 1


def test_no_items_start_nothing() -> None:
    assert list(over(errands.double, [], start=errands.fail_to_begin)) == []


def test_results_come_as_they_finish() -> None:
    order = [index for index, _ in over(errands.rest, [0.6, 0.0, 0.0, 0.0], jobs=2)]
    assert order[-1] == 0


def test_nothing_starts_before_the_first_result_is_asked_for() -> None:
    results = over(errands.double, [1], jobs=1)
    assert not children()
    assert next(results) == (0, 2)


def test_large_messages_pass_both_ways_at_once() -> None:
    items = [bytes([i]) * (i * 2**20) + b"end" for i in range(9)]
    assert all_of(errands.turn_over, items, jobs=2) == [item[::-1] for item in items]


def test_few_results_wait_for_a_slow_consumer(tmp_path: Path) -> None:
    results = over(partial(errands.note, tmp_path), range(60), jobs=2)
    next(results)
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= 6
    assert len(list(results)) == 59


# -- errors ----------------------------------------------------------------------------------------

# deed -> class of the error, what it says, where
BAD: dict[str, tuple[type[MienError], str, str]] = {
    "segfault": (Lost, "the process that read it died (signal 11)", "a"),
    "abort": (Lost, "the process that read it died (signal 6)", "a"),
    "kill": (Lost, "the process that read it died (signal 9, perhaps for want of memory)", "a"),
    "exit at once": (Lost, "the process that read it died (exit status 3)", "a"),
    "sleep": (Lost, "took longer than 1.5 s", "a"),
    "freeze": (Lost, "took longer than 1.5 s", "a"),
    "MemoryError": (Lost, "needed more than 0.5 GB of memory", "a"),
    "sys.exit": (DataError, "SystemExit: 4", "a"),
    "ValueError": (DataError, "ValueError: one [31mtwo" + "." * 289 + " ...", "a"),
    "DataError": (DataError, "no film", "a.mp4"),
    "ConfigError": (ConfigError, "no such size", "a"),
    "MissingExtra": (MissingExtra, "'cv2' is not installed", "a"),
    "no pickle": (DataError, "its result cannot be sent: TypeError: not this one", "a"),
    "no unpickling": (
        DataError,
        "its result cannot be read: ValueError: invalid literal for int() with base 10: 'none'",
        "a",
    ),
    "too large": (DataError, "its result is too large: 64 MB of 1 MB", "a"),
}
if LINUX:  # elsewhere the memory is taken first, and then found to be too much
    BAD["want too much"] = (Lost, "needed more than 0.5 GB of memory", "a")
    BAD["ask for too much"] = (Lost, "needed more than 0.5 GB of memory", "a")


def test_each_misdeed_is_one_error_and_the_others_go_on() -> None:
    deeds = ["well", *[name for deed in BAD for name in (deed, "well")]]
    found = all_of(
        errands.misbehave,
        deeds,
        jobs=2,
        seconds=1.5,
        memory=2**29,
        largest=2**20,
        name=lambda _: "a",
    )
    assert found[0::2] == ["well"] * (len(BAD) + 1)
    for deed, error in zip(deeds[1::2], found[1::2], strict=True):
        kind, what, where = BAD[deed]
        assert type(error) is kind, (deed, error)
        assert (error.what, error.where) == (what, where), deed
    assert {error.fix for error in found if isinstance(error, MienError)} == {
        None, "another one", 'pip install "mien[video]"'
    }  # fmt: skip
    assert not children()


def test_a_worker_that_closes_its_pipe_is_lost() -> None:
    bad, good = all_of(errands.misbehave, ["close the pipe", "well"], jobs=1, seconds=20)
    assert good == "well"
    assert isinstance(bad, Lost)
    assert bad.why == "died"


def test_here_errors_are_the_same() -> None:
    deeds = ["ValueError", "DataError", "MissingExtra", "MemoryError"]
    there = all_of(errands.misbehave, deeds, jobs=1, memory=2**29)
    here = all_of(errands.misbehave, deeds, jobs=0)
    assert [type(error) for error in here] == [type(error) for error in there]
    assert [str(error) for error in here[:3]] == [str(error) for error in there[:3]]


def test_an_item_that_cannot_be_sent_is_an_error() -> None:
    good, bad = all_of(errands.misbehave, ["well", errands.Unsendable()], jobs=1)
    assert good == "well"
    assert "it cannot be sent to a worker: TypeError: not this one" in str(bad)


def test_the_traceback_is_there_for_who_asks(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="mien"):
        (error,) = all_of(errands.misbehave, ["ValueError"], jobs=1)
    assert "Traceback" not in str(error)
    assert "Traceback" in caplog.text
    assert "in misbehave" in caplog.text


def test_workers_print_nothing_and_ignore_ctrl_c(capfd: pytest.CaptureFixture[str]) -> None:
    found = all_of(errands.misbehave, ["print", "ignore a signal"], jobs=1)
    assert found == ["printed ", "ignored"]
    assert capfd.readouterr() == ("", "")


# -- limits ----------------------------------------------------------------------------------------


def test_time_may_depend_on_the_item() -> None:
    def allowed(item: float) -> float:
        return 20.0 if item else 0.3

    slow, lost = all_of(errands.rest, [0.6, 0.0], jobs=1, seconds=allowed)
    assert isinstance(slow, int)
    assert isinstance(lost, int)
    (lost,) = all_of(errands.rest, [0.6], jobs=1, seconds=lambda _: 0.3)
    assert lost.what == "took longer than 0.3 s"
    assert lost.why == "time"


@on_linux
def test_a_process_that_swells_is_ended_in_time() -> None:
    begin = time.monotonic()
    (lost,) = all_of(errands.swell, [0], jobs=1, memory=2**27, seconds=20)
    assert (lost.why, lost.what) == ("memory", "needed more than 0.125 GB of memory")
    assert time.monotonic() - begin < 10


def test_what_earlier_items_left_behind_is_not_held_against_later_ones() -> None:
    pids = all_of(errands.leak, range(6), jobs=1, memory=100 * 2**20)
    assert all(isinstance(pid, int) for pid in pids)
    assert len(set(pids)) == 6  # 60 MB of 100 are gone: the next item gets a fresh worker


def test_a_worker_that_ran_out_of_memory_is_replaced() -> None:
    first, _, second = all_of(errands.run_out, range(3), jobs=1)
    assert first != second


def test_what_can_be_given_back_is() -> None:
    pids = all_of(errands.tangle, range(6), jobs=1, memory=100 * 2**20)
    assert len(set(pids)) == 1
    assert isinstance(pids[0], int)


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "cores", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    assert all_of(errands.setting, names, jobs=2) == ["4", "4", "2"]
    assert all_of(errands.setting, names[:1], jobs=2) == ["8"]  # one item, one worker
    assert all_of(errands.threads_of_opencv, range(2), jobs=2) == [4, 4]


def test_as_many_workers_as_cores_and_memory_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "cores", lambda: 16)
    monkeypatch.setattr(limits, "free_memory", lambda: 8 * 2**30)
    assert workers._jobs(None, 100, 2**30) == 16
    assert workers._jobs(None, 100, 4 * 2**30) == 4
    assert workers._jobs(None, 100, 2**40) == 1
    assert workers._jobs(None, 3, 2**30) == 3
    assert workers._jobs(30, 100, 2**40) == 30


def test_cores_and_memory_are_those_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_CGROUP", tmp_path)
    free = limits.free_memory()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert limits.cores() == 8
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert limits.cores() == 8
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert limits.cores() == 2
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert limits.free_memory() > free // 2
    (tmp_path / "memory.max").write_text("5000\n")
    assert limits.free_memory() == 4000


@pytest.mark.parametrize("options", [{"jobs": -1}, {"memory": 0}, {"seconds": 0.0}])
def test_limits_that_make_no_sense_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        over(errands.double, [1], **options)


# -- start -----------------------------------------------------------------------------------------


def test_start_runs_once_in_each_worker() -> None:
    for begun in all_of(errands.begins, range(6), jobs=2, start=errands.begin):
        assert len(begun) == 1
        assert begun != [os.getpid()]


def test_a_start_that_raises_is_raised() -> None:
    with pytest.raises(RunError, match="there is no model") as caught:
        all_of(errands.double, range(3), jobs=2, start=errands.fail_to_begin)
    assert (caught.value.where, caught.value.fix) == ("runs/none", "mien train")
    assert not children()


def test_a_start_that_dies_is_an_error_not_a_loop() -> None:
    with pytest.raises(RunError, match="before they have started: no more of this"):
        all_of(errands.double, range(3), jobs=1, start=errands.die_at_the_beginning)
    assert not children()


def test_a_task_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(RunError, match="this task cannot be sent") as caught:
        all_of(lambda item: item, range(3), jobs=1)
    assert "module" in str(caught.value.fix)


def test_a_model_lives_within_the_limit() -> None:
    found = all_of(errands.infer, [4, 2, 3], jobs=1, memory=2**29, start=errands.load_torch)
    assert [tuple(sums.shape) for sums in found] == [(4,), (2,), (3,)]


# -- life and death --------------------------------------------------------------------------------


def test_closing_ends_the_workers() -> None:
    results = over(errands.rest, [0.0, 60.0, 60.0], jobs=2)
    next(results)
    busy = children()
    assert len(busy) == 2
    begin = time.monotonic()
    results.close()  # type: ignore[attr-defined]
    assert gone(busy)
    assert time.monotonic() - begin < 5


def test_a_consumer_that_raises_ends_the_workers() -> None:
    busy = []

    def consume() -> None:
        for _ in over(errands.rest, [0.0, 60.0], jobs=2):
            busy.extend(children())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert busy
    assert gone(busy)


SCRIPT = """\
import sys
from functools import partial
from pathlib import Path
import errands
from mien.run.workers import over
# No guard: a worker does not import this script.
folder = Path(sys.argv[1])
print(list(over(errands.double, [1], jobs=1)), flush=True)
list(over(partial(getattr(errands, sys.argv[2]), folder), [0, 1], jobs=2))
"""


def started(folder: Path, task: str, workers: int) -> tuple[subprocess.Popen[str], list[int]]:
    """A script whose workers are busy, and those it started."""
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    notes = folder / "notes"
    notes.mkdir()
    process = subprocess.Popen(
        [sys.executable, script, notes, task],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 30
    while len(list(notes.iterdir())) < workers:
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process, [int(path.name) for path in notes.iterdir()]


@pytest.mark.parametrize(
    ("task", "count"),
    [("doze", 2), pytest.param("freeze", 2, marks=on_linux)],
)
def test_workers_do_not_outlive_a_parent_that_was_killed(
    tmp_path: Path, task: str, count: int
) -> None:
    process, pids = started(tmp_path, task, count)
    process.kill()
    printed, _ = process.communicate()
    assert printed == "[(0, 2)]\n"
    assert gone(pids)


def test_a_worker_ends_with_its_pipe_wherever_the_system_does_not_help(tmp_path: Path) -> None:
    code = "from mien.run import limits, worker; limits.die_with_parent = lambda: None; "
    process = subprocess.Popen(
        [sys.executable, "-c", code + "worker.serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    task = partial(errands.doze, tmp_path)
    worker.write(process.stdin, worker.packed(worker.Order(task, None, 2**30, 1, 2**20)))
    assert worker.read(process.stdout) is not None
    worker.write(process.stdin, worker.packed(0))
    while not list(tmp_path.iterdir()):
        time.sleep(0.02)
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.mark.parametrize(("task", "count"), [("freeze", 2), ("spawn_a_child", 4)])
def test_ctrl_c_ends_everything(tmp_path: Path, task: str, count: int) -> None:
    process, pids = started(tmp_path, task, count)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, said = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert gone(pids)


def test_a_script_may_end_in_the_middle(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import errands\n"
        "from mien.run.workers import over\n"
        "results = over(errands.rest, [0.0, 60.0, 60.0], jobs=2)\n"
        "print(next(results)[1], flush=True)\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert gone([int(done.stdout)])


def test_a_task_of_the_script_itself_is_refused_with_a_reason(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from mien.run.workers import over\n"
        "def task(item): return item\n"
        "list(over(task, [1], jobs=1))\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "a worker does not find this task" in done.stderr
    assert "define the function in a module" in done.stderr
