"""What a process may use: cores, memory, and a life no longer than its parent's."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
_SLACK = 2**28  # address space for the stacks of threads, most of which is never touched
_PR_SET_PDEATHSIG = 1


def cores() -> int:
    """Cores that this process may use: not those of the machine, where a container gives fewer."""
    there = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota, _, period = _line(_CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        there = min(there, -(-int(quota) // int(period)))
    return max(1, there)


def free_memory() -> int:
    """Bytes that could be taken without pushing anything else out."""
    free = int(psutil.virtual_memory().available)
    most, used = _line(_CGROUP / "memory.max"), _line(_CGROUP / "memory.current")
    if most.isdigit() and used.isdigit():
        free = min(free, max(0, int(most) - int(used)))
    return free


def resident(process: psutil.Process) -> int:
    """Bytes of memory that are a process's own: mapped files can be dropped, and do not count."""
    memory = process.memory_info()
    return int(memory.rss) - int(getattr(memory, "shared", 0))


def environment(threads: int) -> dict[str, str]:
    """The environment of a process whose libraries start this many threads, or fewer if told so.

    Most libraries read it once, when they are imported, so it has to be there from the beginning.
    """
    found = dict(os.environ)
    for key in _THREADS:
        told = found.get(key, "")
        found[key] = str(min(threads, int(told)) if told.isdigit() and int(told) else threads)
    return found


def keep_to(threads: int) -> None:
    """Tell the libraries that are already imported how many threads to use."""
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def die_with_parent() -> None:
    """Have the system end this process when its parent ends, even in the middle of C (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def confine(memory: int) -> None:
    """Refuse this process more memory than it has now and ``memory`` bytes; no core dumps.

    Only Linux counts what is really allocated, and there an allocation beyond it fails as if the
    machine had no more: an error in Python and in FFmpeg, after which the process goes on. With a
    GPU in use, whose driver reserves addresses as it likes, there is no such limit.
    """
    if sys.platform == "win32":
        return
    import resource  # there is none on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform != "linux":
        return
    # Should the machine itself run out, a worker is the one to go, never the process that leads.
    Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        return
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    data = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    wanted = data + memory + _SLACK
    if hard == resource.RLIM_INFINITY or wanted < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def settle() -> None:
    """Take what is in memory for good, so that later searches for garbage are short."""
    gc.collect()
    gc.freeze()


def tidy() -> None:
    """Give memory back that is no longer used.

    Films leave decoders in cycles of references, hundreds of megabytes of which Python counts a few
    objects; and C's allocator keeps what was freed.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
        if trim is not None:
            trim(0)


def _line(path: Path) -> str:
    """A file of one line, or nothing."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
