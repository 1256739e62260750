"""`mien data check`: what a manifest holds, and what is wrong with it, as a page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mien import config, tasks
from mien.config import DataConfig
from mien.data.check import Report, check
from mien.data.manifest import Manifest, infer_tasks
from mien.errors import DataError
from mien.run.progress import Bar


def inspect(
    path: str | Path,
    settings: str | Path | None = None,
    *,
    root: str | Path | None = None,
    quiet: bool = False,
) -> tuple[Report, str]:
    """Check a manifest, read with the ``data`` part of a YAML configuration if one is given.

    Args:
        path: the manifest.
        settings: the YAML file.
        root: the folder that paths may not leave.
        quiet: no progress.

    Returns:
        What was found, and the same in words.
    """
    data = DataConfig()
    if settings is not None:
        data = config.data_part(Path(settings))
    within = root if root is not None else data.root
    manifest = Manifest.read(path, columns=data.columns, root=within, rename=data.rename)
    try:
        specs = infer_tasks(manifest, tasks.NAMED)
    except DataError:
        specs = None  # the check says what is not declared, among all else
    with Bar("checking", len(manifest.rows), unit="rows", quiet=quiet) as bar:
        began = time.monotonic()

        def note(done: int, _: int) -> None:
            bar.advance("", rate=done / max(1e-9, time.monotonic() - began))

        report = check(manifest, specs, progress=note)
    return report, page(report, str(path))


def page(report: Report, name: str) -> str:
    """Counts, then findings, then a verdict."""
    lines = [name, *_table(report.counts), "", *report.lines()]
    if report.ok and not report.warnings:
        lines.append("nothing is wrong")
    elif report.ok:
        lines.append("no errors")
    return "\n".join(lines)


def _table(counts: dict[str, Any], indent: int = 2) -> list[str]:
    lines = []
    for key, value in counts.items():
        if not value:
            continue
        if isinstance(value, dict):
            if not any(isinstance(item, dict) for item in value.values()):
                inside = ", ".join(f"{k} {v}" for k, v in value.items())
                lines.append(f"{'':<{indent}}{key}: {inside}")
            else:
                lines.append(f"{'':<{indent}}{key}")
                lines += _table(value, indent + 2)
        else:
            lines.append(f"{'':<{indent}}{key}: {value}")
    return lines
