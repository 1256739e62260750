"""What an answer rests on: which modality carried it, when, and what there was to see and hear.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Cue", "Evidence", "Moment", "Reason", "Verdict"]

Verdict = Literal["one", "only", "agree", "together", "unclear", "nothing"]
"""Who carried an answer: ``one`` modality; the ``only`` one that was there; several ``agree``, so
that it stands without any of them; several ``together``, none of which gives it alone; ``nothing``,
where it is what the run says anyway; ``unclear``, where none of these is so.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A stretch of time, and how much of an answer's margin goes with it.

    Args:
        start: its first second, on the clock of the source.
        end: where it ends.
        drop: of the margin, where the stretch is absent from everything.
        by: the same where it is absent from one modality, of several.
    """

    start: float
    end: float
    drop: float
    by: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"start": self.start, "end": self.end, "drop": self.drop, "by": dict(self.by)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a window has one of its answers.

    A margin is how far the answer lies above its best rival, in log-odds (many of n: above the
    threshold; regression: the value itself). Below 0 another answer would be given.

    Args:
        task: the task.
        label: the answer to it, or one of its dimensions.
        margin: with everything that was there.
        verdict: who carried it.
        carried_by: the modality that is named; empty where none is.
        shares: Shapley value of each modality that was there; with the margin of nothing at all
            they sum up to ``margin``.
        alone: the margin with one modality alone.
        drops: of the margin, where one modality is absent.
        moments: stretches of time; where a window is one of many answers of a clip, the strongest.
    """

    task: str
    label: str
    margin: float
    verdict: Verdict
    carried_by: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    alone: Mapping[str, float] = field(default_factory=dict)
    drops: Mapping[str, float] = field(default_factory=dict)
    moments: Sequence[Moment] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "task": self.task,
            "label": self.label,
            "margin": self.margin,
            "verdict": self.verdict,
            "carried_by": self.carried_by,
            "shares": dict(self.shares),
            "alone": dict(self.alone),
            "drops": dict(self.drops),
            "moments": [moment.to_dict() for moment in self.moments],
        }

    @property
    def told(self) -> str:
        """Who carried it, in a few words."""
        names = list(self.shares)
        same = [name for name in names if self.alone.get(name, 0.0) * self.margin > 0]
        return {
            "one": f"carried by {self.carried_by}",
            "only": f"only {self.carried_by} was there",
            "agree": f"{_listed(same if len(same) > 1 else names)} agree",
            "together": f"{_listed(names)} together",
            "unclear": "unclear what carried it",
            "nothing": "what is said of nothing, too",
        }[self.verdict]

    @property
    def strongest(self) -> Moment | None:
        """The stretch that most of the margin goes with, if any does."""
        found = max(self.moments, key=lambda moment: moment.drop, default=None)
        return found if found is not None and found.drop > 0 else None


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """Something that was measured, heard or seen, in words; it came from a file of cues.

    Args:
        start: its first second, on the clock of the source.
        end: where it ends.
        of: what it is a cue of: ``face``, ``expression``, ``voice`` or ``speech``.
        text: what it is.
    """

    start: float
    end: float
    of: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"start": self.start, "end": self.end, "of": self.of, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of why a window has its answers.

    Args:
        reasons: of each answer.
        cues: that lie in the window.
        absent: what was looked or listened for and is not there: ``no_face``, ``no_active_unit``,
            ``no_speech``, ``no_audio``.
    """

    reasons: Sequence[Reason] = ()
    cues: Sequence[Cue] = ()
    absent: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "reasons": [reason.to_dict() for reason in self.reasons],
            "cues": [cue.to_dict() for cue in self.cues],
            "absent": list(self.absent),
        }
