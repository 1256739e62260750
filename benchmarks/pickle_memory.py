"""Peak memory of importing a pickle that is larger than it: float64 arrays to float32 features.

    python benchmarks/pickle_memory.py [--gigabytes 3] [--protocol 4] [--folder DIR] [--smoke]

Makes a pickle of random float64 arrays in MMSA's layout (unaligned: text, sound and picture of
train, valid and test), imports it with `mien data import mmsa` in a process of its own, and states
the largest resident memory that Linux counted for it. Some rows are compared with the arrays
that went in. Needs the pickle's size on the disk twice, and half of it for what comes out.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data import features
from mien.data.manifest import Manifest

SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}
SHAPES = {"text": (50, 768), "audio": (500, 74), "vision": (500, 35)}
BYTES = 8 * sum(length * width for length, width in SHAPES.values())  # of a clip
# VmHWM belongs to the program alone; getrusage would also count what its parent held when it began.
_IMPORT = """
import json, re, sys
from mien.run.importing import take_in
report = take_in("mmsa", sys.argv[1], quiet=True)
peak = re.search(r"VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read())
print(json.dumps({"rows": len(report.rows), "peak": int(peak[1]) * 1024}))
"""


def array(path: Path, shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Random numbers in a file, mapped: they are never held together."""
    mapped = np.lib.format.open_memmap(path, "w+", np.float64, shape)
    rng = np.random.default_rng(seed)
    for first in range(0, shape[0], 64):
        block = mapped[first : first + 64]
        block[...] = rng.standard_normal(block.shape)
    mapped.flush()
    return np.asarray(mapped)


def corpus(folder: Path, clips: int) -> dict[str, dict[str, Any]]:
    """Parts as MMSA's pickles have them, their arrays in files."""
    made: dict[str, dict[str, Any]] = {}
    for split, share in SHARES.items():
        count = max(2, round(share * clips))
        rng = np.random.default_rng(count)
        bert = np.zeros((count, 3, 50))
        bert[:, 1] = np.arange(50) < rng.integers(2, 51, count)[:, None]
        part: dict[str, Any] = {
            "raw_text": np.array([f"clip {n}" for n in range(count)]),
            "id": np.array([f"{split}{n // 4}$_${n}" for n in range(count)]),
            "text_bert": bert,
            "regression_labels": rng.uniform(-3, 3, count),
        }
        for number, (name, shape) in enumerate(SHAPES.items()):
            part[name] = array(folder / f"{split}.{name}.npy", (count, *shape), number)
        for name in ("audio", "vision"):
            part[f"{name}_lengths"] = np.full(count, 500)
        made[split] = part
    return made


def compare(held: dict[str, dict[str, Any]], manifest: Path) -> float:
    """The largest difference between features of some rows and what went in."""
    read = Manifest.read(manifest)
    rows = {row.id: row for row in read.rows}
    worst = 0.0
    for part in held.values():
        for index in (0, len(part["id"]) - 1):
            row = rows[str(part["id"][index])]
            for feature, key in (("text", "text"), ("audio", "audio"), ("visual", "vision")):
                found = features.load(row.features[feature], read.place)
                wanted = part[key][index][: len(found)].astype(np.float32)
                worst = max(worst, float(np.abs(np.asarray(found, np.float64) - wanted).max()))
    return worst


def measure(gigabytes: float, protocol: int, folder: Path) -> dict[str, Any]:
    """Make a pickle, import it, and say what that took."""
    held = corpus(folder, max(10, round(gigabytes * 1e9 / BYTES)))
    path = folder / "made.pkl"
    with path.open("wb") as file:
        pickle.dump(held, file, protocol)
    began = time.monotonic()
    command = [sys.executable, "-c", _IMPORT, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - began
    said = json.loads(done.stdout)
    written = sum(file.stat().st_size for file in (folder / "made.features").iterdir())
    return {
        "pickle_gb": round(path.stat().st_size / 1e9, 3),
        "protocol": protocol,
        "written_gb": round(written / 1e9, 3),
        "rows": said["rows"],
        "peak_resident_mb": round(said["peak"] / 1e6),
        "seconds": round(seconds, 1),
        "largest_difference": compare(held, folder / "made.jsonl"),
    }


def main() -> None:
    """Measure, and print."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--gigabytes", type=float, default=3.0, help="size of the pickle")
    words.add_argument("--protocol", type=int, default=4, choices=range(6))
    words.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    words.add_argument("--smoke", action="store_true", help="a pickle of 20 MB")
    given = words.parse_args()
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        found = measure(0.02 if given.smoke else given.gigabytes, given.protocol, folder)
    finally:
        shutil.rmtree(folder)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
