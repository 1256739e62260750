"""Hundreds of damaged and forged media files, each read in a worker: what came of them.

    python benchmarks/hostile_media.py [--files 300] [--first 0] [--jobs 2] [--prepare]
        [--real FOLDER] [--keep FOLDER] [--all]

A row for each kind of damage: how many gave a result, how many an error, and how many had to be
ended or died; the slowest, and the most memory. Below, every file that was not handled by checks
alone. `--prepare` writes shards, faces and all. `--real` adds the beginning of each film in a
folder to what mutants are made from.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "toys"))

import av
import mutants
import readings
from forgeries import Mutant

from mien.errors import MienError
from mien.run.workers import Lost, over

SECONDS, MEMORY = 60.0, 3 * 2**29
COLUMNS = "files results errors unclear time memory died"


def main() -> None:
    """Make the files, read them, and print what came of them."""
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("--files", type=int, default=300)
    words.add_argument("--first", type=int, default=0, help="number of the first file")
    words.add_argument("--jobs", type=int)
    words.add_argument("--real", type=Path, help="folder of real films")
    words.add_argument("--prepare", action="store_true", help="write shards, faces and all")
    words.add_argument("--keep", type=Path, help="where the files are made, and stay")
    words.add_argument("--all", action="store_true", help="print every error")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary) / "files"
        real = beginnings(given.real, folder / "clips") if given.real else {}
        made = mutants.make(folder, given.files, first=given.first, real=real)
        begin = time.monotonic()
        results: list[Any] = [None] * len(made)
        paths = [mutant.path for mutant in made]
        task: Callable[[Path], readings.Reading] = readings.read
        if given.prepare:
            shards = Path(temporary) / "shards"
            shards.mkdir()
            task = partial(readings.prepare, shards)
        for index, result in over(task, paths, jobs=given.jobs, seconds=SECONDS, memory=MEMORY):
            results[index] = result
        report(made, results, time.monotonic() - begin, every=given.all)


def beginnings(folder: Path, to: Path, seconds: float = 1.5) -> dict[str, Path]:
    """The first packets of every film in a folder, as they are, in files of their own."""
    to.mkdir(parents=True)
    found = {}
    for path in sorted(folder.iterdir()):
        found[path.name] = to / path.name
        with av.open(str(path)) as old, av.open(str(to / path.name), "w") as new:
            used = [*old.streams.video[:1], *old.streams.audio[:1]]
            streams = {stream.index: new.add_stream_from_template(stream) for stream in used}
            for packet in old.demux(used):
                if packet.dts is not None and packet.dts * packet.time_base < seconds:
                    packet.stream = streams[packet.stream.index]
                    new.mux(packet)
    return found


def outcome(path: Path, result: Any) -> str:
    """One of the columns."""
    if isinstance(result, Lost):
        return result.why
    texts = [str(result)] if isinstance(result, MienError) else result.errors
    if any(readings.unclear(text, path) for text in texts):
        return "unclear"
    return "errors" if result.is_empty else "results"


def report(made: list[Mutant], results: list[Any], seconds: float, *, every: bool) -> None:
    """Print the table, and what stands out."""
    table: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    odd = []
    for mutant, result in zip(made, results, strict=True):
        how = outcome(mutant.path, result)
        for row in (table[mutant.kind], table["all"]):
            row["files"] += 1
            row[how] += 1
            if isinstance(result, readings.Reading):
                row["slowest"] = max(row["slowest"], result.seconds)
                row["peak"] = max(row["peak"], result.peak / 2**20)
        if every or how not in ("results", "errors"):
            odd.append(f"{how}: {mutant.kind}, {mutant.source}, {mutant.path.name}: {result}")
    print(f"{'':20}" + "".join(f"{word:>9}" for word in COLUMNS.split()) + "  slowest     peak")
    table["all"] = table.pop("all")
    for kind, row in table.items():
        counts = "".join(f"{row[word]:9.0f}" for word in COLUMNS.split())
        print(f"{kind:20}{counts}{row['slowest']:7.1f} s{row['peak']:6.0f} MB")
    print(f"{len(made)} files in {seconds:.0f} s, limits {SECONDS:g} s and {MEMORY / 2**30:g} GB")
    print("\n".join(odd))


if __name__ == "__main__":
    main()
