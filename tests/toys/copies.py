"""Made-up copies of corpora: empty files under the names that a real copy has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mien.data.manifest import Manifest, Row
from mien.run.imported import ImportReport
from mien.run.importing import asked, take_in

# As the specification counts them: clips of each class that each fold tests.
DFEW = (
    (489, 379, 534, 435, 294, 29, 181),
    (489, 379, 534, 435, 294, 29, 181),
    (489, 379, 534, 435, 294, 29, 180),
    (489, 379, 534, 434, 294, 29, 180),
    (489, 378, 533, 434, 293, 29, 180),
)
MAFW = (
    (277, 128, 125, 249, 228, 294, 213, 48, 184, 53, 37),
    (277, 128, 125, 249, 228, 291, 215, 47, 183, 53, 37),
    (278, 128, 125, 242, 228, 294, 214, 47, 183, 52, 36),
    (278, 128, 125, 248, 225, 293, 214, 47, 183, 52, 36),
    (278, 127, 125, 248, 227, 294, 214, 47, 183, 52, 36),
)


def files(folder: Path, *names: str) -> Path:
    """Empty files below a folder."""
    for inner in {Path(name).parent for name in names}:
        (folder / inner).mkdir(parents=True, exist_ok=True)
    for name in names:
        os.close(os.open(f"{folder}/{name}", os.O_CREAT))  # a corpus has thousands of them
    return folder


def text(file: Path, *lines: str) -> Path:
    """A file of lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def folds(
    folder: Path, counts: Sequence[Sequence[int]], first: int = 0, head: str = ""
) -> list[str]:
    """Films of folds, and two lists for each: ``set_1_train.csv``, ``set_1_test.csv``.

    Args:
        folder: where the films and lists go.
        counts: clips of each class that each fold tests.
        first: what the first class is counted as.
        head: what the paths in the lists begin with.
    """
    tested: list[list[str]] = []
    names: list[str] = []
    for fold in counts:
        tested.append([])
        for label, count in enumerate(fold, first):
            for _ in range(count):
                names.append(f"clips/{len(names):05d}.mp4")
                tested[-1].append(f"{head}{names[-1]} {label}")
    files(folder, *names)
    for number, lines in enumerate(tested, 1):
        others = [line for other in tested if other is not lines for line in other]
        text(folder / f"set_{number}_train.csv", *others)
        text(folder / f"set_{number}_test.csv", *lines)
    return names


def brought_in(
    name: str, source: Path, out: Path | None = None, *, replace: bool = False, **words: Any
) -> tuple[ImportReport, dict[str, Row]]:
    """An import with the words of its options, and the rows of its manifest by their ids."""
    options = asked(**{"fold": {}, **words})
    report = take_in(name, source, out=out, options=options, replace=replace, quiet=True)
    rows = Manifest.read(report.manifest, root=report.root).rows
    return report, {row.id: row for row in rows}


def warned(report: ImportReport) -> dict[str, list[str]]:
    """What a report warns of, by kind."""
    return {finding.kind: finding.found for finding in report.warnings}
