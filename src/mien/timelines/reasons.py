"""The reasons within a timeline, put into words."""

from __future__ import annotations

from collections.abc import Sequence

from mien.evidence import Reason
from mien.timelines.segments import Step
from mien.types import TaskSpec, Window

_LEAST = 0.05  # share of the time below which a reason is not worth a word


def of(window: Window, task: str) -> list[Reason]:
    """The reasons of a window's answers to a task."""
    if window.evidence is None:
        return []
    return [reason for reason in window.evidence.reasons if reason.task == task]


def said(window: Window, spec: TaskSpec) -> str:
    """Who carried a window's answers to a task: ``carried by video``, each with its label."""
    found = of(window, spec.name)
    if spec.categorical:
        return found[0].told if found else ""
    return ", ".join(f"{reason.label}: {reason.told}" for reason in found)


def single(window: Window, spec: TaskSpec) -> list[str]:
    """All that is worth a line of the one window of a source."""
    return [
        ("" if spec.categorical else f"{reason.label}: ") + _whole(reason)
        for reason in of(window, spec.name)
    ]


def _whole(reason: Reason) -> str:
    parts = [reason.told]
    if len(reason.shares) > 1:
        shares = ", ".join(f"{name} {value:+.2f}" for name, value in reason.shares.items())
        parts.append(f"{shares} of {reason.margin:+.2f}")
    if (most := reason.strongest) is not None:
        parts.append(f"most in {most.start:.1f} to {most.end:.1f} s ({most.drop:+.2f})")
    return "; ".join(parts)


def often(own: Sequence[Step], spec: TaskSpec) -> str:
    """For how much of the time each verdict was given, the commonest first."""
    whole = sum(step.seconds for step in own)
    times: dict[str, float] = {}
    for step in own:
        for text in filter(None, [said(step.window, spec)]):
            times[text] = times.get(text, 0.0) + (step.seconds / whole if whole else 1 / len(own))
    ranked = sorted(times.items(), key=lambda item: -item[1])
    return ", ".join(f"{text} in {100 * share:.0f} %" for text, share in ranked if share >= _LEAST)


def cues(windows: Sequence[Window], most: int = 6) -> str:
    """The commonest cues, and what is absent, of windows."""
    counts: dict[str, int] = {}
    for window in windows:
        if window.evidence is not None:
            texts = [cue.text for cue in window.evidence.cues]
            for text in dict.fromkeys([*window.evidence.absent, *texts]):
                counts[text] = counts.get(text, 0) + 1
    return ", ".join(sorted(counts, key=lambda text: -counts[text])[:most])
