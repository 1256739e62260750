"""Timelines of clips in words: a line each."""

from __future__ import annotations

from collections.abc import Sequence

from mien.types import Problem, Specs, Timeline, Window

_FEW = 3  # windows of a source that are shown


def lines(timelines: Sequence[Timeline], specs: Specs, *, most: int = 20) -> str:
    """One line a clip, or the surest windows of a longer one, each with how sure it is."""
    shown = timelines[:most]
    width = max((len(timeline.source) for timeline in shown), default=0)
    said = [line for timeline in shown for line in _source(timeline, specs, width)]
    if len(timelines) > most:
        said.append(f"... and {len(timelines) - most} more (--json or --out has them all)")
    if any(window.uncertainty for timeline in shown for _, window in timeline):
        said.append("uncertainty: 0 is sure, 1 knows nothing")
    return "\n".join(said)


def _source(timeline: Timeline, specs: Specs, width: int) -> list[str]:
    windows = [window for _, window in timeline]
    if len(windows) == 1:
        return [f"{timeline.source:<{width}}  {_line(windows[0], specs)}"]
    few = sorted(windows, key=lambda w: min(w.uncertainty.values(), default=0.0))[:_FEW]
    which = "surest" if windows[0].uncertainty else "first"
    more = f", the {_FEW} {which}" if len(windows) > _FEW else ""
    head = f"{timeline.source}  ({len(windows)} windows{more})"
    return [head, *(f"  {_line(window, specs)}" for window in few)]


def _line(window: Window, specs: Specs) -> str:
    # A row of vectors does not say how long it lasts.
    lasts = window.end > window.start
    span = f"{window.start:7.2f} to {window.end:7.2f} s  " if lasts else ""
    return span + _answers(window, specs)


def _answers(window: Window, specs: Specs) -> str:
    words = []
    for name, spec in specs.items():
        if name not in window.scores:
            words.append(f"{name}: no answer")
            continue
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
        words[-1] += _reason(window, name)
    absent = [name for name, there in window.present.items() if not there]
    return ", ".join(words) + (f"  [without {', '.join(absent)}]" if absent else "")


def _reason(window: Window, task: str) -> str:
    """Who carried the answer to a task, where somebody asked and there is one answer."""
    found = [] if window.evidence is None else window.evidence.reasons
    told = [reason.told for reason in found if reason.task == task]
    return f", {told[0]}" if len(told) == 1 else ""
