"""A run's log: one JSON object a line, without lines from a future that a resume takes back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mien.run import checkpoint


class Log:
    """Appends to ``log.jsonl``.

    Args:
        path: the file; made with its folder on the first line.
        active: only one of several processes writes.
    """

    def __init__(self, path: Path, *, active: bool = True) -> None:
        self.path = path
        self.active = active

    def write(self, line: Mapping[str, Any]) -> None:
        """Append one line and make it last."""
        if not self.active:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> list[dict[str, Any]]:
        """Every whole line; a half-written last one, and what is no object, is left out."""
        if not self.path.exists():
            return []
        found = []
        for text in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(line, dict):
                found.append(line)
        return found

    def rewind(self, stage: str, step: int) -> None:
        """Forget what this stage wrote after ``step``: those steps are about to run again."""
        if not self.active or not self.path.exists():
            return
        kept = [
            line
            for line in self.lines()
            if line.get("stage") != stage or int(line.get("step", 0)) <= step
        ]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        checkpoint.write_bytes(self.path, text.encode())
