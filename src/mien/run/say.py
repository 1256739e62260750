"""Timelines in words and in files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mien.run import checkpoint
from mien.types import Problem, Specs, Timeline, Window


def write(path: Path, timelines: Sequence[Timeline]) -> None:
    """One timeline a line, as JSON."""
    text = "".join(json.dumps(t.to_dict(), ensure_ascii=False) + "\n" for t in timelines)
    checkpoint.write_bytes(path, text.encode())


def lines(timelines: Sequence[Timeline], specs: Specs, *, most: int = 20) -> str:
    """A few windows a source, strongest first, each with how sure it is."""
    said = []
    for timeline in timelines[:most]:
        windows = [window for _, window in timeline]
        said.append(
            f"{timeline.source}" + (f" ({len(windows)} windows)" if len(windows) > 1 else "")
        )
        for window in sorted(windows, key=lambda w: min(w.uncertainty.values(), default=0.0))[:3]:
            said.append(f"  {window.start:6.2f}-{window.end:.2f} s  {_answers(window, specs)}")
    if len(timelines) > most:
        said.append(f"... and {len(timelines) - most} more (--json or --out has them all)")
    return "\n".join(said)


def _answers(window: Window, specs: Specs) -> str:
    words = []
    for name, spec in specs.items():
        scores = window.scores[name]
        if spec.categorical:
            top = window.top(name)
            words.append(f"{name}: {top} {scores[top]:.2f}")
        elif spec.problem is Problem.MANY_OF_N:
            there = [label for label, score in scores.items() if score >= spec.threshold]
            words.append(f"{name}: {' '.join(there) or 'none'}")
        else:
            words.append(f"{name}: " + " ".join(f"{k} {v:+.2f}" for k, v in scores.items()))
        if name in window.uncertainty:
            words[-1] += f" (uncertainty {window.uncertainty[name]:.2f})"
    absent = [name for name, there in window.present.items() if not there]
    return ", ".join(words) + (f"  [without {', '.join(absent)}]" if absent else "")
