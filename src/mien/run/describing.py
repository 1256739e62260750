"""One clip described: who is asked what, and what is kept of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mien.data.descriptions import Captions, Description, Origin, Second, Status, clip_hash
from mien.data.glimpse import Glimpse, View
from mien.data.rows import Row
from mien.language import asking
from mien.language.asking import Unanswered
from mien.language.patience import Spent
from mien.language.talk import Talker, Usage
from mien.run import prompts
from mien.run.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Panel:
    """Who is asked, and how.

    Args:
        first: whose captions are kept.
        second: who has to agree; None: nobody.
        prompt: what they are asked.
        view: what they are shown.
        settings: what else has a part in an answer, for the record.
        mends: how often a model may try again after an answer that does not fit.
    """

    first: Talker
    second: Talker | None = None
    prompt: Prompt = field(default_factory=Prompt.read)
    view: View = field(default_factory=View)
    settings: dict[str, Any] = field(default_factory=dict)
    mends: int = 2

    def made_by(self, talker: Talker) -> Origin:
        """A record of what follows from these settings alone."""
        return Origin(
            kind="model",
            model=talker.name,
            prompt=f"{self.prompt.name}-{self.prompt.digest}",
            settings=dataclasses.asdict(self.view) | self.settings,
        )


def describe(
    panel: Panel,
    row: Row,
    glimpse: Glimpse,
    before: Description | None,
    keep: Callable[[Description], None],
) -> Description:
    """Ask about a clip, and keep each step as soon as it is paid for.

    Args:
        panel: who is asked.
        row: the clip; of it only the box is told.
        glimpse: what is shown and heard of it.
        before: what an earlier call left of this clip.
        keep: takes a line.

    Raises:
        Unanswered: there is no answer to be had; what was spent is kept.
    """
    line = before
    if line is None or line.status != "waiting":
        line = _first(panel, row, glimpse, keep)
    if line.status == "waiting" and panel.second is not None:
        line = _second(panel, panel.second, line, row, glimpse, keep)
    return line


def _first(
    panel: Panel, row: Row, glimpse: Glimpse, keep: Callable[[Description], None]
) -> Description:
    line = Description(
        id=row.id, clip=clip_hash(row), status="failed", by=panel.made_by(panel.first)
    )
    try:
        answer = _ask(panel, panel.first, row, glimpse)
    except Unanswered as error:
        if not isinstance(error.trouble, Spent) or error.usage.total:
            keep(line.model_copy(update={"why": error.what, "spent": error.usage.total}))
        raise
    status: Status = _status(answer)
    if status == "described" and panel.second is not None:
        status = "waiting"
    line = line.model_copy(
        update={
            "status": status,
            "captions": _captions(answer),
            "reasoning": answer.form.reasoning() if answer.form else {},
            "by": _from(line.by, answer, glimpse),
            "why": answer.refused or answer.wrong,
            "spent": answer.usage.total,
        }
    )
    keep(line)
    return line


def _second(
    panel: Panel,
    other: Talker,
    line: Description,
    row: Row,
    glimpse: Glimpse,
    keep: Callable[[Description], None],
) -> Description:
    """Both have to name one emotion at least that is the same word."""
    try:
        answer = _ask(panel, other, row, glimpse)
    except Unanswered as error:
        if error.usage.total:
            keep(line.model_copy(update={"spent": error.usage.total}))
        raise
    status, why = _status(answer), answer.refused or answer.wrong
    reasoning = answer.form.reasoning() if answer.form else {}
    shared = [name for name in _named(line.reasoning) if name in _named(reasoning)]
    if status == "described" and not shared:
        status = "disagreed"
        why = f"{', '.join(_named(line.reasoning))}; {', '.join(_named(reasoning))}"
    second = Second(
        by=_from(panel.made_by(other), answer, glimpse),
        captions=_captions(answer),
        reasoning=reasoning,
        shared=shared,
    )
    line = line.model_copy(
        update={"status": status, "second": second, "why": why, "spent": answer.usage.total}
    )
    keep(line)
    return line


def _ask(panel: Panel, talker: Talker, row: Row, glimpse: Glimpse) -> asking.Answer[prompts.Answer]:
    seen, heard = bool(glimpse.jpegs), glimpse.wav is not None
    return asking.ask(
        talker,
        panel.prompt.messages(glimpse, row.box),
        prompts.Answer,
        complaint=panel.prompt.complaint.strip(),
        attempts=1 + panel.mends,
        context={"visual": seen, "audio": heard},
    )


def _status(answer: asking.Answer[prompts.Answer]) -> Status:
    if answer.refused is not None:
        return "refused"
    return "malformed" if answer.form is None else "described"


def _captions(answer: asking.Answer[prompts.Answer]) -> Captions | None:
    form = answer.form
    if form is None:
        return None
    return Captions(
        visual=form.visual_caption or None,
        audio=form.audio_caption or None,
        joint=form.joint_caption,
    )


def _from(origin: Origin, answer: asking.Answer[prompts.Answer], glimpse: Glimpse) -> Origin:
    usage: Usage = answer.usage
    return origin.model_copy(
        update={
            "times": list(glimpse.times),
            "span": glimpse.span if glimpse.wav is not None else None,
            "usage": (usage.read, usage.written) if usage.known else None,
            "attempts": answer.attempts,
        }
    )


def _named(reasoning: dict[str, Any]) -> list[str]:
    return [str(emotion["name"]) for emotion in reasoning.get("emotions", [])]
